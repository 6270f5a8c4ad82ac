/* The header of a safetensors file. Accepted means: tensors in order, covering the data without hole or overlap, names
 * unique and bounded. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <string.h>

#include "io/safetensors.h"

static void check_table(const gs_tensor_table *t, const gs_file *f)
{
    uint64_t end = t->count > 0 ? t->tensors[0].offset : f->size;
    GS_FUZZ_CHECK(t->count <= (int64_t)f->size); /* the table cannot outgrow the file */
    for (int64_t i = 0; i < t->count; i++) {
        const gs_tensor *x = &t->tensors[i];
        GS_FUZZ_CHECK(x->rank >= 0 && x->rank <= GS_MAX_RANK);
        GS_FUZZ_CHECK(strlen(x->name) <= GS_MAX_TENSOR_NAME);
        GS_FUZZ_CHECK(x->offset == end);
        end += x->bytes;
        int64_t elements = 1;
        for (int d = 0; d < x->rank; d++) elements *= x->shape[d];
        GS_FUZZ_CHECK(elements == x->elements && x->bytes == (uint64_t)elements * gs_dtype_bytes(x->dtype));
        for (int64_t k = 0; k < i && k < 64; k++) GS_FUZZ_CHECK(strcmp(t->tensors[k].name, x->name) != 0);
    }
    GS_FUZZ_CHECK(end == f->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    gs_file f;
    gs_error err;
    gs_tensor_table table;
    gs_fuzz_file(data, n, &f);
    const gs_status status = gs_safetensors_read_header(&f, &table, &err);
    gs_fuzz_outcome(status, &err);
    if (status != GS_OK) return 0;
    check_table(&table, &f);
    gs_tensor_table_release(&table);
    return 0;
}
