/* The damages of the table of bad inputs. Words are split at blanks; \s \n \t \e \xHH \\ stand for a blank and bytes, \N(text) for N
 * times the text, "" alone for an empty word.
 *   put FILE TEXT      the file is TEXT               sub FILE OLD NEW    the first OLD becomes NEW
 *   add FILE TEXT      TEXT behind it                 head FILE OLD NEW   the same in a safetensors file, its length field too
 *   cut FILE N         N bytes remain; -N: N less     len FILE N          the header's length field alone
 *   grow FILE N        a hole of N bytes behind it    poke FILE N BYTES   over the bytes from N on; -N: from the end
 *   copy FROM TO, rm FILE, dir FILE, fifo FILE, socket FILE, link FILE TARGET, mode FILE OCTAL
 * A damage that changes nothing is an error of the table. SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bad_inputs.h"
#include "io/file.h"

enum { MAX_WORDS = 4, MAX_FILE = 1 << 26, LENGTH_BYTES = 8 };

static void decode_into(gs_str *out, const char *word, const char *end)
{
    while (word < end) {
        if (*word != '\\') {
            gs_str_addc(out, *word++);
            continue;
        }
        const char c = *++word;
        if (c >= '1' && c <= '9') {
            char *open;
            const long times = strtol(word, &open, 10);
            const char *close = *open == '(' ? memchr(open, ')', (size_t)(end - open)) : NULL;
            if (close == NULL) bad_stop("a repetition is \\N(text)", word);
            for (long i = 0; i < times; i++) decode_into(out, open + 1, close);
            word = close + 1;
        } else if (c == 'x') {
            const char digits[3] = {word[1], word[2], '\0'};
            gs_str_addc(out, (char)strtol(digits, NULL, 16));
            word += 3;
        } else {
            static const char from[] = "snte\\", to[] = " \n\t\x1b\\";
            const char *known = strchr(from, c);
            if (c == '\0' || known == NULL) bad_stop("unknown escape", word);
            gs_str_addc(out, to[known - from]);
            word++;
        }
    }
}

char *bad_decode(const char *word, size_t *n)
{
    gs_str out;
    gs_str_init(&out);
    if (strcmp(word, "\"\"") != 0) decode_into(&out, word, word + strlen(word));
    if (n != NULL) *n = out.len;
    return bad_keep(&out);
}

typedef struct content {
    char *data;
    size_t n;
} content;

static content load(const char *path)
{
    content c = {0};
    gs_error err;
    if (gs_file_read_all(path, MAX_FILE, &c.data, &c.n, &err) != GS_OK) bad_stop("read", err.text);
    return c;
}

/* Always a new file: the old one may be a link to what other cases need. */
static void store(const char *path, const char *data, size_t n)
{
    gs_error err;
    (void)unlink(path);
    if (gs_file_write_all(path, data, n, 0644, &err) != GS_OK) bad_stop("write", err.text);
}

static void set_length(char *data, unsigned long long length)
{
    for (int i = 0; i < LENGTH_BYTES; i++) data[i] = (char)(length >> (8 * i));
}

static void substitute(const char *path, const char *old, const char *new, bool header)
{
    size_t n_old, n_new;
    const char *from = bad_decode(old, &n_old), *to = bad_decode(new, &n_new);
    content c = load(path);
    const char *at = memmem(c.data, c.n, from, n_old);
    if (at == NULL || (n_old == n_new && memcmp(from, to, n_old) == 0)) bad_stop("nothing to change", old);
    gs_str out;
    gs_str_init(&out);
    gs_str_add(&out, c.data, (size_t)(at - c.data));
    gs_str_add(&out, to, n_new);
    gs_str_add(&out, at + n_old, c.n - (size_t)(at - c.data) - n_old);
    if (header) {
        unsigned long long length = 0;
        for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | (unsigned char)c.data[i];
        set_length(out.data, length + n_new - n_old);
    }
    store(path, out.data, out.len);
    gs_str_release(&out);
    gs_free(c.data);
}

static void resize(const char *path, const char *number, bool grow)
{
    const long long by = atoll(number);
    content c = load(path);
    store(path, c.data, c.n);
    if (truncate(path, (grow || by < 0 ? (long long)c.n : 0) + by) != 0) bad_stop("resize", path);
    gs_free(c.data);
}

static void overwrite(const char *path, const char *place, const char *word)
{
    size_t n;
    const char *bytes = bad_decode(word, &n);
    const long long at = atoll(place);
    content c = load(path);
    const size_t from = at < 0 ? c.n - (size_t)-at : (size_t)at;
    if (from > c.n || n > c.n - from) bad_stop("poke", path);
    memcpy(c.data + from, bytes, n);
    store(path, c.data, c.n);
    gs_free(c.data);
}

static void make_socket(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    (void)unlink(path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&name, sizeof name) != 0) bad_stop("socket", path);
    close(fd);
}

/* The kinds of things that are not files. */
static bool make_other(char **w)
{
    if (strcmp(w[0], "dir") && strcmp(w[0], "fifo") && strcmp(w[0], "socket") && strcmp(w[0], "link")) return false;
    (void)unlink(w[1]);
    if (strcmp(w[0], "dir") == 0 && mkdir(w[1], 0755) != 0) bad_stop("dir", w[1]);
    if (strcmp(w[0], "fifo") == 0 && mkfifo(w[1], 0644) != 0) bad_stop("fifo", w[1]);
    if (strcmp(w[0], "link") == 0 && symlink(w[2], w[1]) != 0) bad_stop("link", w[1]);
    if (strcmp(w[0], "socket") == 0) make_socket(w[1]);
    return true;
}

static bool change(char **w)
{
    const bool header = strcmp(w[0], "head") == 0;
    if (header || strcmp(w[0], "sub") == 0) {
        substitute(w[1], w[2], w[3], header);
    } else if (strcmp(w[0], "cut") == 0 || strcmp(w[0], "grow") == 0) {
        resize(w[1], w[2], w[0][0] == 'g');
    } else if (strcmp(w[0], "poke") == 0) {
        overwrite(w[1], w[2], w[3]);
    } else if (strcmp(w[0], "len") == 0) {
        content c = load(w[1]);
        set_length(c.data, strtoull(w[2], NULL, 10));
        store(w[1], c.data, c.n);
        gs_free(c.data);
    } else {
        return false;
    }
    return true;
}

static void damage(char **w)
{
    if (make_other(w) || change(w)) return;
    if (strcmp(w[0], "put") == 0 || strcmp(w[0], "add") == 0) {
        content old = {0};
        size_t n;
        const char *text = bad_decode(w[2], &n);
        if (w[0][0] == 'a') old = load(w[1]);
        gs_str all;
        gs_str_init(&all);
        gs_str_add(&all, old.data != NULL ? old.data : "", old.n);
        gs_str_add(&all, text, n);
        store(w[1], all.data, all.len);
        gs_str_release(&all);
        gs_free(old.data);
    } else if (strcmp(w[0], "copy") == 0) {
        content c = load(w[1]);
        store(w[2], c.data, c.n);
        gs_free(c.data);
    } else if (strcmp(w[0], "rm") == 0) {
        if (unlink(w[1]) != 0) bad_stop("rm", w[1]);
    } else if (strcmp(w[0], "mode") == 0) {
        if (gs_path_is_dir(w[1]) == false) {
            content c = load(w[1]);
            store(w[1], c.data, c.n);
            gs_free(c.data);
        }
        if (chmod(w[1], (mode_t)strtol(w[2], NULL, 8)) != 0) bad_stop("mode", w[1]);
    } else {
        bad_stop("unknown damage", w[0]);
    }
}

void bad_damage(char *damages)
{
    char *next_damage, *next_word;
    for (char *one = strtok_r(damages, ";", &next_damage); one != NULL; one = strtok_r(NULL, ";", &next_damage)) {
        char *words[MAX_WORDS] = {0};
        int n = 0;
        for (char *w = strtok_r(one, " ", &next_word); w != NULL; w = strtok_r(NULL, " ", &next_word)) {
            if (n == MAX_WORDS) bad_stop("too many words", one);
            words[n++] = w;
        }
        static char none[] = "\"\"";
        for (int i = n; n > 0 && i < MAX_WORDS; i++) words[i] = none;
        if (n > 0) damage(words);
    }
}
