/* Looks into safetensors files and damages them on purpose, for the end-to-end tests. PATH is a file or a directory.
 *   surgeon list PATH                            one line per tensor: name type bytes shape, in file order
 *   surgeon bytes PATH TENSOR                    a tensor's bytes on standard output
 *   surgeon value PATH TENSOR ELEMENT            one element as a number
 *   surgeon replace FILE OLD NEW                 the first OLD in the header becomes NEW; length field and data follow
 *   surgeon length FILE NUMBER                   the header's length field alone
 *   surgeon poke FILE TENSOR ELEMENT HEX         bytes over an element, lowest first
 *   surgeon drop FILE TENSOR                     the file without the tensor
 *   surgeon copy FILE TENSOR NAME                the file with the tensor a second time, under another name
 *   surgeon deq FILE TENSOR                      deq_scale in its other encoding: F32 to the bits in I64, and back
 *   surgeon swap FILE TENSOR ROW ROW             two rows change places
 * Exit 1 with a message if that cannot be done: a test must not go on with an undamaged file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/checkpoint.h"
#include "io/writer.h"
#include "num/num.h"

enum { LENGTH_BYTES = 8 };

_Noreturn static void stop(const char *what, const char *detail)
{
    fprintf(stderr, "surgeon: %s: %s\n", what, detail);
    exit(1);
}

/* A single file is opened as a checkpoint of its own. */
typedef struct patient {
    gs_checkpoint all;
    gs_file file;
    gs_tensor_table table;
    bool single;
} patient;

static void admit(patient *p, const char *path)
{
    gs_error err;
    *p = (patient){.single = !gs_path_is_dir(path)};
    const gs_status status = p->single ? gs_file_open(&p->file, path, &err) : gs_checkpoint_open(&p->all, path, &err);
    if (status != GS_OK) stop("open", err.text);
    if (p->single && gs_safetensors_read_header(&p->file, &p->table, &err) != GS_OK) stop("header", err.text);
}

static const gs_tensor_table *tensors(const patient *p) { return p->single ? &p->table : &p->all.table; }

static const gs_tensor *find(const patient *p, const char *name)
{
    const gs_tensor_table *t = tensors(p);
    for (int64_t i = 0; i < t->count; i++)
        if (strcmp(t->tensors[i].name, name) == 0) return &t->tensors[i];
    stop("no such tensor", name);
}

static void release(patient *p)
{
    if (p->single) {
        gs_tensor_table_release(&p->table);
        gs_file_close(&p->file);
    } else {
        gs_checkpoint_close(&p->all);
    }
}

static void read_tensor(const patient *p, const gs_tensor *t, uint64_t offset, void *dst, size_t n)
{
    gs_error err;
    const gs_file *f = p->single ? &p->file : &p->all.files[t->file];
    if (gs_file_pread(f, t->offset + offset, dst, n, &err) != GS_OK) stop("read", err.text);
}

static void list(const patient *p)
{
    const gs_tensor_table *t = tensors(p);
    for (int64_t i = 0; i < t->count; i++) {
        const gs_tensor *x = &t->tensors[i];
        printf("%s %s %llu [", x->name, gs_dtype_name(x->dtype), (unsigned long long)x->bytes);
        for (int d = 0; d < x->rank; d++) printf("%s%lld", d ? "," : "", (long long)x->shape[d]);
        puts("]");
    }
}

static void print_bytes(const patient *p, const gs_tensor *t)
{
    char block[65536];
    for (uint64_t at = 0; at < t->bytes;) {
        const size_t n = t->bytes - at < sizeof block ? (size_t)(t->bytes - at) : sizeof block;
        read_tensor(p, t, at, block, n);
        if (fwrite(block, 1, n, stdout) != n) stop("write", "standard output");
        at += n;
    }
}

static int64_t element_of(const gs_tensor *t, const char *text)
{
    const long long at = atoll(text);
    if (at < 0 || at >= t->elements) stop("no such element", text);
    return at;
}

static void print_value(const patient *p, const gs_tensor *t, const char *element)
{
    union {
        float f;
        int32_t i;
        int8_t b;
        uint16_t h;
    } v;
    const size_t n = gs_dtype_bytes(t->dtype);
    if (n > sizeof v) stop("cannot print this type", gs_dtype_name(t->dtype));
    read_tensor(p, t, (uint64_t)element_of(t, element) * n, &v, n);
    if (t->dtype == GS_F32)
        printf("%.9g\n", (double)v.f);
    else if (t->dtype == GS_BF16)
        printf("%.9g\n", (double)gs_bf16_to_f32(v.h));
    else if (t->dtype == GS_F16)
        printf("%.9g\n", (double)gs_f16_to_f32(v.h));
    else if (t->dtype == GS_I32)
        printf("%d\n", v.i);
    else if (t->dtype == GS_I8)
        printf("%d\n", v.b);
    else
        stop("cannot print this type", gs_dtype_name(t->dtype));
}

static uint64_t get_length(const char *bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) n |= (uint64_t)(unsigned char)bytes[i] << 8 * i;
    return n;
}

static void put_length(char *bytes, uint64_t n)
{
    for (int i = 0; i < LENGTH_BYTES; i++) bytes[i] = (char)(unsigned char)(n >> 8 * i);
}

static void read_whole(const char *path, char **data, size_t *n)
{
    gs_error err;
    if (gs_file_read_all(path, (size_t)1 << 30, data, n, &err) != GS_OK) stop("read", err.text);
    if (*n < LENGTH_BYTES) stop("too short", path);
}

static void write_whole(const char *path, const char *data, size_t n)
{
    gs_error err;
    if (gs_file_write_all(path, data, n, 0644, &err) != GS_OK) stop("write", err.text);
}

static void set_length(const char *path, const char *number)
{
    char *data;
    size_t n;
    read_whole(path, &data, &n);
    put_length(data, strtoull(number, NULL, 10));
    write_whole(path, data, n);
    gs_free(data);
}

static void replace(const char *path, const char *old, const char *new)
{
    char *data;
    size_t n;
    read_whole(path, &data, &n);
    const uint64_t header = get_length(data);
    if (header > n - LENGTH_BYTES) stop("not a whole file", path);
    const char *at = memmem(data + LENGTH_BYTES, (size_t)header, old, strlen(old));
    if (at == NULL) stop("not in the header", old);
    gs_str out;
    gs_str_init(&out);
    gs_str_add(&out, data, (size_t)(at - data));
    gs_str_adds(&out, new);
    const char *rest = at + strlen(old);
    gs_str_add(&out, rest, (size_t)(data + n - rest));
    put_length(out.data, header + strlen(new) - strlen(old));
    write_whole(path, out.data, out.len);
    gs_str_release(&out);
    gs_free(data);
}

static void poke(const char *path, const char *name, const char *element, const char *hex)
{
    patient p;
    char *data;
    size_t n;
    admit(&p, path);
    if (!p.single) stop("poke needs a file", path);
    const gs_tensor *t = find(&p, name);
    const size_t bytes = gs_dtype_bytes(t->dtype);
    uint64_t at = t->offset + (uint64_t)element_of(t, element) * bytes;
    if (strlen(hex) != 2 * bytes) stop("not the size of an element", hex);
    read_whole(path, &data, &n);
    for (; *hex; hex += 2) {
        const char pair[3] = {hex[0], hex[1], '\0'};
        data[at++] = (char)(unsigned char)strtoul(pair, NULL, 16);
    }
    write_whole(path, data, n);
    gs_free(data);
    release(&p);
}

/* The other encoding of deq_scale. */
static void convert(const gs_tensor *from, gs_dtype to, const char *src, char *dst)
{
    for (int64_t i = 0; i < from->elements; i++) {
        int32_t bits;
        int64_t wide;
        if (to == GS_I64) {
            memcpy(&bits, src + 4 * i, 4);
            wide = bits;
            memcpy(dst + 8 * i, &wide, 8);
        } else {
            memcpy(&wide, src + 8 * i, 8);
            bits = (int32_t)wide;
            memcpy(dst + 4 * i, &bits, 4);
        }
    }
}

typedef enum change { DROP, COPY, DEQ } change;

/* Writes the file again, with one tensor changed. */
static void rebuild(const char *path, const char *name, change what, const char *new_name)
{
    patient p;
    gs_layout l;
    gs_error err;
    size_t n;
    admit(&p, path);
    const gs_tensor *subject = find(&p, name);
    const gs_dtype other = subject->dtype == GS_I64 ? GS_F32 : GS_I64;
    const gs_tensor **source = gs_alloc_array((size_t)p.table.count + 1, sizeof *source);
    gs_layout_init(&l);
    for (int64_t i = 0; i < p.table.count; i++) {
        const gs_tensor *t = &p.table.tensors[i];
        if (t == subject && what == DROP) continue;
        source[gs_layout_add(&l, t->name, t == subject && what == DEQ ? other : t->dtype, t->rank, t->shape)] = t;
    }
    if (what == COPY) source[gs_layout_add(&l, new_name, subject->dtype, subject->rank, subject->shape)] = subject;
    if (gs_layout_plan(&l, "x", 0, &err) != GS_OK) stop("plan", err.text);
    char *header = gs_layout_header(&l, 0, &n), *data = gs_alloc((size_t)l.files[0].bytes);
    memcpy(data, header, n);
    for (int64_t i = 0; i < l.count; i++) {
        char *raw = gs_alloc((size_t)source[i]->bytes + 1);
        read_tensor(&p, source[i], 0, raw, (size_t)source[i]->bytes);
        if (l.tensors[i].dtype == source[i]->dtype)
            memcpy(data + l.tensors[i].offset, raw, (size_t)source[i]->bytes);
        else
            convert(source[i], other, raw, data + l.tensors[i].offset);
        gs_free(raw);
    }
    write_whole(path, data, (size_t)l.files[0].bytes);
    gs_free(header);
    gs_free(data);
    gs_free(source);
    gs_layout_release(&l);
    release(&p);
}

static void swap_rows(const char *path, const char *name, const char *one, const char *other)
{
    patient p;
    char *data;
    size_t n;
    admit(&p, path);
    const gs_tensor *t = find(&p, name);
    const int64_t row[] = {atoll(one), atoll(other)};
    if (t->rank != 2 || row[0] < 0 || row[1] < 0 || row[0] >= t->shape[0] || row[1] >= t->shape[0])
        stop("no such row", name);
    const size_t bytes = (size_t)(t->bytes / (uint64_t)t->shape[0]);
    read_whole(path, &data, &n);
    char *a = data + t->offset + (size_t)row[0] * bytes, *b = data + t->offset + (size_t)row[1] * bytes;
    for (size_t i = 0; i < bytes; i++) {
        const char c = a[i];
        a[i] = b[i];
        b[i] = c;
    }
    write_whole(path, data, n);
    gs_free(data);
    release(&p);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    const bool lists = argc == 3 && strcmp(verb, "list") == 0, prints = argc == 4 && strcmp(verb, "bytes") == 0;
    const bool values = argc == 5 && strcmp(verb, "value") == 0;
    if (argc == 5 && strcmp(verb, "replace") == 0)
        replace(argv[2], argv[3], argv[4]);
    else if (argc == 4 && strcmp(verb, "length") == 0)
        set_length(argv[2], argv[3]);
    else if (argc == 6 && strcmp(verb, "poke") == 0)
        poke(argv[2], argv[3], argv[4], argv[5]);
    else if (argc == 4 && strcmp(verb, "drop") == 0)
        rebuild(argv[2], argv[3], DROP, NULL);
    else if (argc == 4 && strcmp(verb, "deq") == 0)
        rebuild(argv[2], argv[3], DEQ, NULL);
    else if (argc == 5 && strcmp(verb, "copy") == 0)
        rebuild(argv[2], argv[3], COPY, argv[4]);
    else if (argc == 6 && strcmp(verb, "swap") == 0)
        swap_rows(argv[2], argv[3], argv[4], argv[5]);
    else if (!lists && !prints && !values)
        stop("usage", "see the head of the source");
    if (!lists && !prints && !values) return 0;
    patient p;
    admit(&p, argv[2]);
    if (lists)
        list(&p);
    else if (prints)
        print_bytes(&p, find(&p, argv[3]));
    else
        print_value(&p, find(&p, argv[3]), argv[4]);
    release(&p);
    return 0;
}
