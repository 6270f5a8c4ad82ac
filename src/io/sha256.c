/* SHA-256 (FIPS 180-4) through libcrypto, which uses the processor's instructions for it where there are any.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/sha256.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/direct.h"
#include "io/io_error.h"

#define BLOCK_BYTES ((size_t)1 << 20)
#define PIECE_BYTES ((size_t)8 << 20)

/* libcrypto's own start crashes when memory ends in it; with these it never sees that. */
static void *take(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return gs_alloc(n);
}
static void *resize(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return gs_realloc_array(p, n, 1);
}
static void give(void *p, const char *file, int line)
{
    (void)file, (void)line;
    gs_free(p);
}
static void use_our_memory(void) { (void)CRYPTO_set_mem_functions(take, resize, give); }

static gs_status begin(EVP_MD_CTX **out, gs_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_our_memory);
    EVP_MD_CTX *c = *out = EVP_MD_CTX_new();
    if (c != NULL && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1) return GS_OK;
    EVP_MD_CTX_free(c);
    return gs_fail(err, GS_ERR_UNSUPPORTED,
                   "the system's libcrypto refuses to compute SHA-256; repair it, or use --no_extras");
}

static void to_text(const unsigned char *digest, char out[GS_SHA256_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[64] = '\0';
}

/* Takes c over. status: of what went before; a failed update cannot happen once begin has worked, and is looked at once. */
static gs_status end(EVP_MD_CTX *c, gs_status status, char out[GS_SHA256_TEXT], gs_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (status == GS_OK && (EVP_DigestFinal_ex(c, digest, &n) != 1 || n != 32))
        status = gs_fail(err, GS_ERR_UNSUPPORTED, "libcrypto failed while computing SHA-256");
    if (status == GS_OK) to_text(digest, out);
    EVP_MD_CTX_free(c);
    return status;
}

gs_status gs_sha256_bytes(const void *data, size_t n, char out[GS_SHA256_TEXT], gs_error *err)
{
    EVP_MD_CTX *c;
    GS_TRY(begin(&c, err));
    EVP_DigestUpdate(c, data, n);
    return end(c, GS_OK, out, err);
}

/* n bytes of the file from offset. */
static gs_status add_range(EVP_MD_CTX *c, const gs_file *f, uint64_t offset, uint64_t n, void *block, gs_error *err)
{
    while (n > 0) {
        const size_t part = n < BLOCK_BYTES ? (size_t)n : BLOCK_BYTES;
        GS_TRY(gs_check_interrupt(err));
        GS_TRY(gs_file_pread(f, offset, block, part, err));
        EVP_DigestUpdate(c, block, part);
        offset += part;
        n -= part;
    }
    return GS_OK;
}

/* One piece of a file, read while the one before it is hashed. */
typedef struct piece {
    const gs_file *file;
    gs_direct_reader *reader;
    uint64_t offset;
    size_t n;
    gs_buf room;
    const void *data;
    gs_error error;
} piece;

static void read_piece(void *ctx)
{
    piece *p = ctx;
    p->error.status = gs_direct_read(p->reader, p->file, p->offset, p->n, p->room.data, &p->data, &p->error);
}

static void set_piece(piece *p, uint64_t offset)
{
    p->offset = offset < p->file->size ? offset : p->file->size;
    const uint64_t rest = p->file->size - p->offset;
    p->n = rest < PIECE_BYTES ? (size_t)rest : PIECE_BYTES;
}

/* first has been read. */
static gs_status add_pieces(EVP_MD_CTX *c, piece *first, piece *second, gs_error *err)
{
    for (piece *now = first, *next = second; now->n > 0;) {
        gs_thread *thread;
        GS_TRY(gs_check_interrupt(err));
        set_piece(next, now->offset + now->n);
        GS_TRY(gs_thread_start(&thread, read_piece, next, err));
        EVP_DigestUpdate(c, now->data, now->n);
        gs_thread_join(thread);
        if (next->error.status != GS_OK) return gs_fail(err, next->error.status, "%s", next->error.text);
        piece *done = now;
        now = next;
        next = done;
    }
    return GS_OK;
}

static gs_status add_file(EVP_MD_CTX *c, const gs_file *f, gs_error *err)
{
    gs_direct_reader reader = {0};
    piece p[2] = {{.file = f, .reader = &reader}, {.file = f, .reader = &reader}};
    const size_t room = gs_direct_room(f->size < PIECE_BYTES ? (size_t)f->size : PIECE_BYTES);
    gs_status status = gs_buf_alloc(&p[0].room, room, "a file", err);
    if (status == GS_OK && f->size > PIECE_BYTES) status = gs_buf_alloc(&p[1].room, room, "a file", err);
    set_piece(&p[0], 0);
    if (status == GS_OK) status = gs_check_interrupt(err);
    if (status == GS_OK) status = gs_direct_read(&reader, f, 0, p[0].n, p[0].room.data, &p[0].data, err);
    if (status == GS_OK && f->size > PIECE_BYTES)
        status = add_pieces(c, &p[0], &p[1], err);
    else if (status == GS_OK)
        EVP_DigestUpdate(c, p[0].data, p[0].n);
    gs_buf_release(&p[0].room);
    gs_buf_release(&p[1].room);
    gs_direct_close(&reader);
    return status;
}

gs_status gs_sha256_file(const char *path, char out[GS_SHA256_TEXT], uint64_t *bytes, gs_error *err)
{
    gs_file f;
    EVP_MD_CTX *c;
    GS_TRY(gs_file_open(&f, path, err));
    gs_status status = begin(&c, err);
    if (status == GS_OK) status = end(c, add_file(c, &f, err), out, err);
    *bytes = f.size;
    gs_file_close(&f);
    return status;
}

static int by_offset(const void *left, const void *right)
{
    const gs_tensor *a = *(const gs_tensor *const *)left, *b = *(const gs_tensor *const *)right;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static gs_status add_samples(EVP_MD_CTX *c, const gs_checkpoint *ck, int file, gs_error *err)
{
    const gs_file *f = &ck->files[file];
    int64_t n = 0;
    const gs_tensor **t = gs_alloc_array((size_t)ck->table.count + 1, sizeof(gs_tensor *));
    for (int64_t i = 0; i < ck->table.count; i++)
        if (ck->table.tensors[i].file == file) t[n++] = &ck->table.tensors[i];
    qsort(t, (size_t)n, sizeof(gs_tensor *), by_offset);
    gs_buf block = {0};
    gs_status status = gs_buf_alloc(&block, BLOCK_BYTES, "samples of a checkpoint", err);
    /* All tensors lie behind the header, without holes. */
    if (status == GS_OK) status = add_range(c, f, 0, n > 0 ? t[0]->offset : f->size, block.data, err);
    for (int64_t i = 0; i < n && status == GS_OK; i++) {
        const uint64_t bytes = t[i]->bytes < GS_SAMPLE_BYTES ? t[i]->bytes : GS_SAMPLE_BYTES;
        status = add_range(c, f, t[i]->offset, bytes, block.data, err);
    }
    gs_buf_release(&block);
    gs_free(t);
    return status;
}

gs_status gs_sha256_sample(const gs_checkpoint *ck, int file, char out[GS_SHA256_TEXT], gs_error *err)
{
    EVP_MD_CTX *c;
    GS_TRY(begin(&c, err));
    return end(c, add_samples(c, ck, file, err), out, err);
}

static gs_checksum *append(gs_checksums *c, const char *name)
{
    if (c->n == c->cap) {
        c->cap = c->cap > 0 ? 2 * c->cap : 16;
        c->file = gs_realloc_array(c->file, (size_t)c->cap, sizeof *c->file);
    }
    c->file[c->n] = (gs_checksum){.name = gs_strdup(name)};
    return &c->file[c->n++];
}

static int by_name(const void *left, const void *right)
{
    const gs_checksum *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static void sort(gs_checksums *c)
{
    if (c->n > 1) qsort(c->file, (size_t)c->n, sizeof *c->file, by_name); /* not with NULL */
}

static gs_status list(gs_checksums *c, const char *dir, gs_error *err)
{
    DIR *d = opendir(dir);
    if (d == NULL) return gs_io_fail(err, errno, "list", dir);
    gs_status status = GS_OK;
    for (const char *name; status == GS_OK && (name = gs_dir_next(d, dir, &status, err)) != NULL;) {
        char *path = gs_path_join(dir, name);
        bool is_file;
        status = gs_path_is_file(path, &is_file, err);
        if (status == GS_OK && is_file) append(c, name);
        gs_free(path);
    }
    closedir(d);
    GS_TRY(status);
    sort(c);
    return GS_OK;
}

typedef struct hashing {
    gs_checksums *c;
    const char *dir;
    gs_error *error; /* [n], by file: the first by name is reported, whoever came first */
} hashing;

static void hash_one(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const hashing *h = ctx;
    gs_checksum *f = &h->c->file[task];
    char *path = gs_path_join(h->dir, f->name);
    h->error[task].status = gs_sha256_file(path, f->sha256, &f->bytes, &h->error[task]);
    gs_free(path);
}

gs_status gs_checksums_read(gs_checksums *c, gs_pool *pool, const char *dir, gs_error *err)
{
    *c = (gs_checksums){0};
    gs_status status = list(c, dir, err);
    hashing h = {c, dir, gs_alloc_array((size_t)c->n + 1, sizeof(gs_error))};
    if (status == GS_OK) gs_pool_run(pool, c->n, hash_one, &h);
    for (int i = 0; i < c->n && status == GS_OK; i++)
        if (h.error[i].status != GS_OK) status = gs_fail(err, h.error[i].status, "%s", h.error[i].text);
    gs_free(h.error);
    if (status != GS_OK) gs_checksums_release(c);
    return status;
}

gs_status gs_checksums_add(gs_checksums *c, const char *name, const void *data, size_t n, gs_error *err)
{
    gs_checksum *f = append(c, name);
    f->bytes = n;
    const gs_status status = gs_sha256_bytes(data, n, f->sha256, err);
    sort(c);
    return status;
}

const gs_checksum *gs_checksums_find(const gs_checksums *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->file[i].name, name) == 0) return &c->file[i];
    return NULL;
}

static void add_name(gs_str *out, const char *name)
{
    for (; *name != '\0'; name++) {
        switch (*name) {
        case '\n':
            gs_str_adds(out, "\\n");
            break;
        case '\r':
            gs_str_adds(out, "\\r");
            break;
        case '\\':
            gs_str_adds(out, "\\\\");
            break;
        default:
            gs_str_addc(out, *name);
        }
    }
}

void gs_checksums_text(const gs_checksums *c, gs_str *out)
{
    for (int i = 0; i < c->n; i++) {
        const gs_checksum *f = &c->file[i];
        if (strpbrk(f->name, "\n\r\\") != NULL) gs_str_addc(out, '\\'); /* says that the name is escaped */
        gs_str_printf(out, "%s  ", f->sha256);
        add_name(out, f->name);
        gs_str_addc(out, '\n');
    }
}

/* The name of a line that starts with a backslash, in place; false: an escape that there is not. */
static bool unescape(char *name)
{
    char *to = name;
    for (const char *from = name; *from != '\0'; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        from++;
        if (*from != 'n' && *from != 'r' && *from != '\\') return false;
        *to++ = *from == 'n' ? '\n' : *from == 'r' ? '\r' : '\\';
    }
    *to = '\0';
    return true;
}

/* "<64 digits>  name", or with '*' for the second blank, as sha256sum -b writes it. */
static bool parse_line(gs_checksums *c, const char *line, size_t n)
{
    const bool escaped = n > 0 && line[0] == '\\';
    line += escaped;
    n -= escaped;
    if (n < 67 || strspn(line, "0123456789abcdef") != 64 || line[64] != ' ' || (line[65] != ' ' && line[65] != '*'))
        return false;
    char *name = gs_strndup(line + 66, n - 66);
    const bool good = strlen(name) == n - 66 && (!escaped || unescape(name)) && strchr(name, '/') == NULL;
    if (good) memcpy(append(c, name)->sha256, line, 64);
    gs_free(name);
    return good;
}

gs_status gs_checksums_parse(gs_checksums *c, const char *text, size_t n, const char *path, gs_error *err)
{
    *c = (gs_checksums){0};
    int64_t number = 1;
    for (const char *line = text, *end; line < text + n; line = end + 1, number++) {
        end = memchr(line, '\n', (size_t)(text + n - line));
        if (end == NULL) end = text + n;
        if (!parse_line(c, line, (size_t)(end - line))) {
            gs_checksums_release(c);
            return gs_fail(err, GS_ERR_FILE, "%s: line %lld is not a SHA-256 and the name of a file", path,
                           (long long)number);
        }
    }
    sort(c);
    for (int i = 1; i < c->n; i++) {
        if (strcmp(c->file[i - 1].name, c->file[i].name) != 0) continue;
        const gs_status status = gs_fail(err, GS_ERR_FILE, "%s: %s is listed twice", path, c->file[i].name);
        gs_checksums_release(c);
        return status;
    }
    return GS_OK;
}

void gs_checksums_release(gs_checksums *c)
{
    for (int i = 0; i < c->n; i++) gs_free(c->file[i].name);
    gs_free(c->file);
    *c = (gs_checksums){0};
}
