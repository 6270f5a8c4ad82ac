/* model.safetensors.index.json. Accepted means: every file name is bare. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fuzz.h"
#include "io/checkpoint_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    gs_file f;
    gs_error err;
    gs_shard_index index;
    gs_fuzz_file(data, n, &f);
    const gs_status status = gs_shard_index_open(&index, f.path, &err);
    gs_fuzz_outcome(status, &err);
    if (status != GS_OK) return 0;
    GS_FUZZ_CHECK(index.n_files > 0);
    for (int i = 0; i < index.n_files; i++) {
        GS_FUZZ_CHECK(strchr(index.files[i], '/') == NULL && index.files[i][0] != '.' && index.files[i][0] != '\0');
        GS_FUZZ_CHECK(i == 0 || strcmp(index.files[i - 1], index.files[i]) < 0);
    }
    for (void *entry = gs_shard_index_first(&index); entry != NULL; entry = gs_shard_index_next(&index, entry)) {
        const char *tensor, *file;
        gs_shard_index_entry(entry, &tensor, &file);
        const int at = gs_shard_index_file(&index, tensor);
        GS_FUZZ_CHECK(at >= 0 && at < index.n_files && strcmp(index.files[at], file) == 0);
    }
    gs_shard_index_close(&index);
    return 0;
}
