/* Shared by the tests of the output directory: a scratch directory with a model in it and a place for the output.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TESTS_OUTDIR_TESTING_H
#define GS_TESTS_OUTDIR_TESTING_H

#include "io_testing.h"

#include <dirent.h>

#include "io/outdir.h"

static char *dir, *model, *out;

static inline int setup(void **state)
{
    (void)state;
    dir = make_scratch();
    model = gs_path_join(dir, "model");
    out = gs_path_join(dir, "out");
    return mkdir(model, 0755);
}

static inline int teardown(void **state)
{
    (void)state;
    gs_free(model);
    gs_free(out);
    remove_scratch(dir);
    return 0;
}

static inline void put(const char *folder, const char *name, const char *text, unsigned mode)
{
    char *path = gs_path_join(folder, name);
    OK(gs_file_write_all(path, text, strlen(text), mode, &test_err));
    gs_free(path);
}

static inline bool has(const char *folder, const char *name)
{
    char *path = gs_path_join(folder, name);
    struct stat st;
    const bool there = lstat(path, &st) == 0;
    gs_free(path);
    return there;
}

static inline int entries(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d) != NULL) n++;
    closedir(d);
    return n - 2;
}

static inline void begin(gs_outdir *o, bool overwrite) { OK(gs_outdir_begin(o, out, model, overwrite, &test_err)); }

#endif
