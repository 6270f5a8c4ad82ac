/* Memory in two classes. Small (names, tables): gs_alloc and friends never return NULL; they end the process with a message,
 * because nothing sensible can go on. Large (weights, streams, scratch): gs_buf_alloc returns GS_ERR_MEMORY with size
 * and purpose, is 64-byte aligned, zero-filled, asks for huge pages, and is counted.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_MEM_H
#define GS_BASE_MEM_H

#include "base/status.h"

void *gs_alloc(size_t bytes); /* zero-filled */
void *gs_alloc_array(size_t count, size_t size);
void *gs_realloc_array(void *p, size_t count, size_t size); /* new part is not cleared */
char *gs_strdup(const char *s);
char *gs_strndup(const char *s, size_t n);
void gs_free(void *p); /* NULL is fine */

typedef struct gs_buf {
    void *data;
    size_t bytes;
} gs_buf;

/* purpose: what for, for the error text and for gs_buf_report ("hidden states of all samples"). */
gs_status gs_buf_alloc(gs_buf *buf, size_t bytes, const char *purpose, gs_error *err) GS_CHECKED;
void gs_buf_release(gs_buf *buf); /* accepts an all-zero gs_buf; clears it */

/* Of a buffer with room for `bytes`, what the kernel may have to provide once the first `touched` are in use: huge pages come whole. */
uint64_t gs_buf_touched(uint64_t bytes, uint64_t touched);

/* Large buffers together may not exceed this; beyond it gs_buf_alloc fails as if the machine were full. 0 = no limit.
 */
void gs_buf_set_limit(uint64_t bytes);
uint64_t gs_buf_now(void); /* bytes held in large buffers */
uint64_t gs_buf_peak(void);
uint64_t gs_rss_now(void); /* resident set of the process, bytes; 0 = unknown */
uint64_t gs_rss_peak(void);
uint64_t gs_memory_limit(void); /* bytes that the control groups of the process grant; 0 = no limit */

/* Checked sizes: false on overflow, *out untouched. */
bool gs_mul_size(size_t a, size_t b, size_t *out);
bool gs_add_size(size_t a, size_t b, size_t *out);

/* Arena for many small things with one lifetime. */
typedef struct gs_arena gs_arena;
gs_arena *gs_arena_create(void);
void *gs_arena_alloc(gs_arena *a, size_t bytes); /* zero-filled, 16-byte aligned */
char *gs_arena_strdup(gs_arena *a, const char *s);
char *gs_arena_printf(gs_arena *a, const char *fmt, ...) GS_PRINTF(2, 3);
void gs_arena_free(gs_arena *a);

#endif
