/* The list of checksums that a run leaves in its result, against the files. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "format/verify_checks.h"
#include "io/sha256.h"

#define MAX_LIST ((size_t)16 << 20)

static void compare(gs_verify *v, const gs_checksums *listed, const gs_checksums *there)
{
    for (int i = 0; i < listed->n; i++) {
        const gs_checksum *want = &listed->file[i], *have = gs_checksums_find(there, want->name);
        if (!have)
            gs_verify_fail(v, NULL, "%s is listed in " GS_CHECKSUMS_FILE " but is not in the directory", want->name);
        else if (strcmp(have->sha256, want->sha256) != 0)
            gs_verify_fail(v, NULL, "%s has the SHA-256 %.12s…, listed is %.12s…", want->name, have->sha256,
                           want->sha256);
    }
    for (int i = 0; i < there->n; i++) {
        const char *name = there->file[i].name;
        if (name[0] == '.' || strcmp(name, GS_CHECKSUMS_FILE) == 0 || gs_checksums_find(listed, name)) continue;
        gs_verify_warn(v, "Whatever reads the directory may take the file for a part of the result.",
                       "%s is not listed in " GS_CHECKSUMS_FILE ": it was added later", name);
    }
}

GS_CHECK_DIRECTORY(checksums)
{
    char *path = gs_path_join(v->request->dir, GS_CHECKSUMS_FILE), *text = NULL;
    size_t n = 0;
    gs_checksums listed = {0}, there = {0};
    gs_status status = GS_OK;
    if (gs_path_exists(path)) {
        status = gs_file_read_all(path, MAX_LIST, &text, &n, err);
        if (status == GS_OK) status = gs_checksums_parse(&listed, text, n, path, err);
        if (status == GS_OK) status = gs_checksums_read(&there, v->request->compute->pool, v->request->dir, err);
        if (status == GS_OK) compare(v, &listed, &there);
    }
    gs_checksums_release(&listed);
    gs_checksums_release(&there);
    gs_free(text);
    gs_free(path);
    return gs_verify_absorb(v, status, err);
}
