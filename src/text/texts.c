/* Calibration texts: from a file, built in, from the command line. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "text/builtin_texts.h"
#include "text/texts_parse.h"

enum { MAX_TEXT_FILE = 64 << 20 }; /* some 15 million tokens: far more than anyone calibrates on */

/* Room grows in powers of two, so the count tells when. */
void gs_texts_add(gs_texts *t, const char *text, size_t n)
{
    const size_t count = (size_t)t->count;
    if ((count & (count - 1)) == 0) {
        t->text = gs_realloc_array(t->text, count ? count * 2 : 1, sizeof *t->text);
        t->bytes = gs_realloc_array(t->bytes, count ? count * 2 : 1, sizeof *t->bytes);
    }
    t->text[count] = gs_alloc(n + 1);
    memcpy(t->text[count], text, n);
    t->bytes[count] = n;
    t->count++;
}

void gs_texts_release(gs_texts *t)
{
    for (int64_t i = 0; i < t->count; i++) gs_free(t->text[i]);
    gs_free(t->text);
    gs_free(t->bytes);
    gs_free(t->source);
    *t = (gs_texts){0};
}

static gs_status check_file(const char *path, gs_error *err)
{
    struct stat st;
    const bool found = stat(path, &st) == 0;
    if (!found && errno != ENOENT && errno != ENOTDIR) return gs_fail_errno(err, errno, "cannot read %s", path);
    if (!found || !S_ISREG(st.st_mode))
        return gs_fail(err, GS_ERR_IO, "The path %s doesn't exist or not a file.", path);
    return GS_OK;
}

gs_status gs_texts_read(gs_texts *out, const char *path, gs_text_keys keys, gs_error *err)
{
    *out = (gs_texts){0};
    char *data = NULL;
    size_t n = 0;
    GS_TRY(check_file(path, err));
    GS_TRY(gs_file_read_all(path, MAX_TEXT_FILE, &data, &n, err));
    out->source = gs_strdup(path);
    out->file_bytes = n;
    gs_status status = gs_sha256_bytes(data, n, out->file_sha256, err); /* of what is parsed: the file may be changed */
    if (status == GS_OK) status = gs_texts_parse(out, data, n, path, keys, err);
    gs_free(data);
    if (status != GS_OK) gs_texts_release(out);
    return status;
}

gs_status gs_texts_builtin(gs_texts *out, bool anti, gs_error *err)
{
    const unsigned char *const from = anti ? gs_builtin_anti : gs_builtin_calib;
    const size_t n = anti ? gs_builtin_anti_bytes : gs_builtin_calib_bytes;
    char *const data = gs_alloc(n + 1);
    memcpy(data, from, n);
    *out = (gs_texts){.source = gs_strdup("built-in")};
    const gs_status status = gs_texts_parse(out, data, n, "the built-in texts", GS_KEYS_ALL, err);
    gs_free(data);
    if (status != GS_OK) gs_texts_release(out);
    return status;
}

gs_status gs_texts_append(gs_texts *t, const char *const *list, gs_error *err)
{
    for (size_t i = 0; list[i]; i++) {
        const size_t n = strlen(list[i]), valid = gs_utf8_valid(list[i], n);
        if (n == 0)
            return gs_fail(err, GS_ERR_USAGE, "calib_texts[%zu] is empty: give every text at least one character", i);
        if (valid != n) return gs_fail(err, GS_ERR_USAGE, "calib_texts[%zu] is not valid UTF-8 at byte %zu", i, valid);
    }
    for (size_t i = 0; list[i]; i++) gs_texts_add(t, list[i], strlen(list[i]));
    if (list[0]) {
        gs_str source;
        gs_str_init(&source);
        gs_str_printf(&source, "%s%scalib_texts", t->source ? t->source : "", t->source ? " + " : "");
        gs_free(t->source);
        t->source = gs_str_take(&source);
        gs_str_release(&source);
    }
    return GS_OK;
}
