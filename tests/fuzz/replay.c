/* Runs a fuzz target over files: every argument is a file or a directory of files. Without libFuzzer, for any compiler and
 * sanitizer, as part of the normal suite. Fails when there was nothing to run. SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

enum { MAX_FILE = 1 << 24 };

static int run_file(const char *path)
{
    char *data;
    size_t n;
    gs_error err;
    if (gs_file_read_all(path, MAX_FILE, &data, &n, &err) != GS_OK) {
        fprintf(stderr, "replay: %s\n", err.text);
        exit(1);
    }
    uint8_t *exact = (uint8_t *)gs_fuzz_copy((const uint8_t *)data, n);
    gs_free(data);
    LLVMFuzzerTestOneInput(exact, n);
    gs_free(exact);
    return 1;
}

static int run_path(const char *path)
{
    if (!gs_path_is_dir(path)) return run_file(path);
    int count = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) return 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        char *full = gs_path_join(path, e->d_name);
        count += run_file(full);
        gs_free(full);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) count += run_path(argv[i]);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
