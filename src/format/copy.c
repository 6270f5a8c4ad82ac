/* Files that a result takes over from the model directory unchanged: which they are, whether they can be taken, and the
 * copying, in blocks whatever their size. SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"
#include "io/file.h"
#include "io/json.h"

#define MAX_FILE    ((uint64_t)256 << 20) /* tokenizer.json of the largest vocabularies is 20 MB */
#define MAX_JSON    ((uint64_t)16 << 20)  /* larger ones are copied unseen: parsing takes many times their size */
#define BLOCK       ((size_t)256 << 10)
#define MAX_ENTRIES 1024

typedef gs_status (*visit_fn)(void *ctx, const char *path, const char *name, gs_error *err);

static bool is_copied(const char *name)
{
    static const char *const word[] = {"tokenizer",  "tokenization",  "special_token_map",
                                       "generation", "configuration", "tiktoken"};
    if (strstr(name, ".safetensors")) return false;
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (strstr(name, word[i])) return true;
    return false;
}

static gs_status visit_one(const char *model_dir, const char *name, visit_fn fn, void *ctx, gs_error *err)
{
    char *path = gs_path_join(model_dir, name);
    bool is_file;
    gs_status status = gs_path_is_file(path, &is_file, err);
    if (status == GS_OK && is_file) status = fn(ctx, path, name, err);
    gs_free(path);
    return status;
}

static gs_status each_copied(const char *model_dir, visit_fn fn, void *ctx, gs_error *err)
{
    DIR *dir = opendir(model_dir);
    if (!dir) return gs_fail_errno(err, errno, "%s: cannot list the model directory", model_dir);
    gs_status status = GS_OK;
    int entries = 0;
    for (const char *name; status == GS_OK && (name = gs_dir_next(dir, model_dir, &status, err));) {
        if (++entries > MAX_ENTRIES)
            status = gs_fail(err, GS_ERR_FILE,
                             "%s: more than %d entries; a checkpoint directory holds a few dozen. Point --model_path "
                             "at the model's own directory",
                             model_dir, MAX_ENTRIES);
        else if (is_copied(name))
            status = visit_one(model_dir, name, fn, ctx, err);
    }
    closedir(dir);
    return status;
}

static gs_status check_json(const char *path, gs_error *err)
{
    char *text;
    size_t n;
    GS_TRY(gs_file_read_all(path, MAX_JSON, &text, &n, err));
    json_t *root = gs_json_parse(text, n, path, 64, err);
    gs_free(text);
    if (!root) return gs_wrap(err, "the output would take over a broken file; fetch it again");
    json_decref(root);
    return GS_OK;
}

static gs_status check_one(void *ctx, const char *path, const char *name, gs_error *err)
{
    uint64_t *const sum = ctx;
    gs_file f;
    GS_TRY(gs_file_open(&f, path, err));
    const uint64_t size = f.size;
    gs_file_close(&f);
    if (size > MAX_FILE)
        return gs_fail(err, GS_ERR_FILE,
                       "%s has %llu bytes; by its name the output takes it over, and such a file may have at most "
                       "%llu: move it out of the model directory if it is something else",
                       path, (unsigned long long)size, (unsigned long long)MAX_FILE);
    *sum += size;
    const size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".json") == 0 && size <= MAX_JSON ? check_json(path, err) : GS_OK;
}

gs_status gs_format_check_copies(const char *model_dir, uint64_t *bytes, gs_error *err)
{
    *bytes = 0;
    return each_copied(model_dir, check_one, bytes, err);
}

static gs_status copy_blocks(const gs_file *f, int fd, const char *to, gs_error *err)
{
    gs_status status = GS_OK;
    char *block = gs_alloc(BLOCK);
    for (uint64_t at = 0; at < f->size && status == GS_OK; at += BLOCK) {
        const size_t n = f->size - at < BLOCK ? (size_t)(f->size - at) : BLOCK;
        status = gs_file_pread(f, at, block, n, err);
        if (status == GS_OK) status = gs_pwrite_all(fd, at, block, n, to, err);
    }
    gs_free(block);
    return status == GS_OK ? gs_fd_sync(fd, to, err) : status;
}

/* The directory is the run's own: nobody else waits for the file to be whole. */
static gs_status write_copy(const gs_file *f, const char *to, gs_error *err)
{
    const int fd = TEMP_FAILURE_RETRY(open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (fd < 0) return gs_fail_errno(err, errno, "cannot create %s", to);
    gs_status status = GS_OK;
    if (fchmod(fd, 0600) != 0) status = gs_fail_errno(err, errno, "cannot set the permissions of %s", to);
    if (status == GS_OK) status = copy_blocks(f, fd, to, err);
    if (close(fd) != 0 && status == GS_OK) status = gs_fail_errno(err, errno, "cannot write %s", to);
    return status;
}

static gs_status copy_one(void *ctx, const char *path, const char *name, gs_error *err)
{
    const char *const out_dir = ctx;
    gs_file f;
    GS_TRY(gs_file_open(&f, path, err));
    char *to = gs_path_join(out_dir, name);
    const gs_status status = write_copy(&f, to, err);
    gs_free(to);
    gs_file_close(&f);
    return status;
}

gs_status gs_format_copy_files(const char *model_dir, const char *out_dir, gs_error *err)
{
    return each_copied(model_dir, copy_one, (void *)out_dir, err); /* only read */
}
