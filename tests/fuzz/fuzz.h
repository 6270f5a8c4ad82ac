/* What the fuzz targets share. A target is one file fuzz_<input>.c with one entry function: under libFuzzer it is fed
 * mutations, in the normal suite (replay.c) every file of tests/fuzz/corpus/<input>/. Beyond not crashing, a target checks
 * what the rest of the program relies on when an input was accepted. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FUZZ_H
#define GS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "io/file.h"

/* libFuzzer's names. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);

/* Stop with the failed condition's text: a finding. */
#define GS_FUZZ_CHECK(condition) ((condition) ? (void)0 : gs_fuzz_stop(__FILE__, __LINE__, #condition))
_Noreturn void gs_fuzz_stop(const char *file, int line, const char *condition);

/* A copy of exactly n bytes, so that reading one too many is seen. Caller gs_free()s. */
char *gs_fuzz_copy(const uint8_t *data, size_t n);
/* The bytes as an open file in memory; *path (may be NULL) = a path under which it can be opened again. The file stays
 * open; the next call replaces its content. f->path must not be freed. */
void gs_fuzz_file(const uint8_t *data, size_t n, gs_file *f);
/* After a call: a failure has a text, a success has none of the failure's codes. */
void gs_fuzz_outcome(gs_status status, const gs_error *err);

#endif
