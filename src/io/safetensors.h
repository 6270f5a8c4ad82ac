/* Reading a safetensors file header: nothing trusted, no data read. Refused are: a length beyond the file or the cap,
 * bad UTF-8, JSON that is not exactly the format's, names that occur twice, unknown types, sizes that overflow or
 * disagree, holes and overlaps. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_SAFETENSORS_H
#define GS_IO_SAFETENSORS_H

#include "io/file.h"
#include "num/dtype.h"

#define GS_MAX_RANK        8
#define GS_MAX_TENSOR_NAME 512
#define GS_MAX_HEADER      100000000u
#define GS_MAX_TENSORS     1000000

typedef struct gs_tensor {
    const char *name; /* owned by the table it is in */
    gs_dtype dtype;
    int rank;
    int64_t shape[GS_MAX_RANK];
    int64_t elements; /* product of shape, 1 for rank 0 */
    uint64_t offset;  /* of the first byte, from the start of the file */
    uint64_t bytes;
    int file; /* index of the file in its checkpoint; 0 for a single file */
} gs_tensor;

typedef struct gs_tensor_table {
    gs_tensor *tensors; /* in order of offset */
    int64_t count;
    gs_arena *arena; /* names */
} gs_tensor_table;

/* Read and check the header of an open file. Errors (GS_ERR_FILE) name path, tensor and rule. */
gs_status gs_safetensors_read_header(const gs_file *f, gs_tensor_table *out, gs_error *err) GS_CHECKED;
void gs_tensor_table_release(gs_tensor_table *t);

#endif
