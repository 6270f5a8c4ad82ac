/* Shared by the tests of io/: scratch directories, expected failures, small safetensors files made by hand.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_TESTING_H
#define IO_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/file.h"

static gs_error test_err;

/* The call succeeds; otherwise its message is shown. */
#define OK(call)                                                                                                       \
    do {                                                                                                               \
        test_err.text[0] = '\0';                                                                                       \
        const gs_status status_ = (call);                                                                              \
        if (status_ != GS_OK) fail_msg("%s: status %d: %s", #call, (int)status_, test_err.text);                       \
    } while (0)

/* The call fails with this status and a message that holds this text. */
#define FAILS(call, wanted, part)                                                                                      \
    do {                                                                                                               \
        test_err.text[0] = '\0';                                                                                       \
        const gs_status status_ = (call);                                                                              \
        if (status_ != (wanted))                                                                                       \
            fail_msg("%s: status %d, not %d: %s", #call, (int)status_, (int)(wanted), test_err.text);                  \
        if (strstr(test_err.text, (part)) == NULL) fail_msg("'%s' is not in: %s", (part), test_err.text);              \
    } while (0)

/* A fresh directory, removed by remove_scratch. */
static inline char *make_scratch(void)
{
    const char *base = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/glmslim-io-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    char *real = realpath(path, NULL);
    char *copy = gs_strdup(real);
    free(real);
    return copy;
}

static inline void remove_scratch(char *path)
{
    char command[700];
    snprintf(command, sizeof command, "chmod -R u+rwX '%s' 2>/dev/null; rm -rf '%s'", path, path);
    assert_int_equal(system(command), 0);
    gs_free(path);
}

static inline void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static inline char *read_bytes(const char *path, size_t *n)
{
    char *data;
    OK(gs_file_read_all(path, (size_t)1 << 26, &data, n, &test_err));
    return data;
}

/* Length, header text and data as a file. */
static inline void write_safetensors(const char *path, const char *header, size_t header_bytes, const void *data,
                                     size_t data_bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++) fputc((int)((uint64_t)header_bytes >> 8 * i & 0xff), f);
    assert_int_equal(fwrite(header, 1, header_bytes, f), header_bytes);
    if (data_bytes > 0) assert_int_equal(fwrite(data, 1, data_bytes, f), data_bytes);
    assert_int_equal(fclose(f), 0);
}

static inline unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (unsigned)st.st_mode & 07777;
}

#endif
