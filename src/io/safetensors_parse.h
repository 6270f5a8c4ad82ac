/* Private to io/: the header text of a safetensors file, token by token, into tensors with offsets relative to the
 * data.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_SAFETENSORS_PARSE_H
#define GS_IO_SAFETENSORS_PARSE_H

#include "io/safetensors.h"

/* text[0..n) is the header as stored, padding included. Found tensors are appended to table with offset = begin
 * within the data, bytes = product of shape and type size, checked against the stored end. Order as in the text. */
gs_status gs_safetensors_parse(const char *text, size_t n, const char *path, gs_tensor_table *table,
                               gs_error *err) GS_CHECKED;

/* As gs_safetensors_read_header, behind the tensors that table holds already; every new one gets .file = file_index. */
gs_status gs_safetensors_append_header(const gs_file *f, int file_index, gs_tensor_table *table,
                                       gs_error *err) GS_CHECKED;

#endif
