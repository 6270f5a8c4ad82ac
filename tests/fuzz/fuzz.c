/* What the fuzz targets share. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"

_Noreturn void gs_fuzz_stop(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: an accepted input breaks: %s\n", file, line, condition);
    abort();
}

char *gs_fuzz_copy(const uint8_t *data, size_t n)
{
    char *copy = gs_alloc(n);
    if (n > 0) memcpy(copy, data, n);
    return copy;
}

void gs_fuzz_file(const uint8_t *data, size_t n, gs_file *f)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        GS_FUZZ_CHECK(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    GS_FUZZ_CHECK(ftruncate(fd, 0) == 0);
    GS_FUZZ_CHECK(n == 0 || pwrite(fd, data, n, 0) == (ssize_t)n);
    *f = (gs_file){.fd = fd, .size = n, .path = path};
}

void gs_fuzz_outcome(gs_status status, const gs_error *err)
{
    if (status == GS_OK) return;
    GS_FUZZ_CHECK(status == err->status);
    const size_t n = strnlen(err->text, sizeof err->text);
    GS_FUZZ_CHECK(n > 0 && n < sizeof err->text);
    GS_FUZZ_CHECK(gs_utf8_valid(err->text, n) == n);
    for (size_t i = 0; i < n; i++) GS_FUZZ_CHECK((unsigned char)err->text[i] >= 0x20 || err->text[i] == '\n');
}
