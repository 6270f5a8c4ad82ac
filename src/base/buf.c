/* Large buffers: counted, 64-byte aligned, zero-filled; and what the process occupies according to the kernel.
 * From 1 MiB on they are mappings of their own, so that releasing one gives the memory back at once; from 4 MiB on they
 * begin on a 2 MiB boundary and ask for huge pages. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

enum { ALIGN = 64 };
#define MAP_FROM  ((size_t)1 << 20)
#define HUGE_FROM ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)

static _Atomic uint64_t held, held_peak, limit;

static size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/* A zero-filled anonymous mapping that begins on a multiple of HUGE_PAGE; NULL on failure. */
static void *map_huge(size_t bytes)
{
    const size_t span = bytes + HUGE_PAGE;
    char *base = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NULL;
    const size_t head = (HUGE_PAGE - (uintptr_t)base % HUGE_PAGE) % HUGE_PAGE;
    char *data = base + head;
    if (head) munmap(base, head);
    munmap(data + bytes, span - head - bytes);
    (void)madvise(data, bytes, MADV_HUGEPAGE); /* a wish; kernels without it refuse */
    return data;
}

static void *map_plain(size_t bytes)
{
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return data == MAP_FAILED ? NULL : data;
}

static void *obtain(size_t bytes)
{
    if (bytes > SIZE_MAX / 2) {
        errno = ENOMEM;
        return NULL;
    }
    if (bytes >= MAP_FROM) {
        const size_t whole = round_up(bytes, (size_t)sysconf(_SC_PAGESIZE));
        return bytes >= HUGE_FROM ? map_huge(whole) : map_plain(whole);
    }
    const size_t whole = round_up(bytes ? bytes : 1, ALIGN);
    void *data = aligned_alloc(ALIGN, whole);
    if (data) memset(data, 0, whole);
    return data;
}

static void count(uint64_t bytes)
{
    const uint64_t now = atomic_fetch_add(&held, bytes) + bytes;
    uint64_t peak = atomic_load(&held_peak);
    while (now > peak && !atomic_compare_exchange_weak(&held_peak, &peak, now)) {}
}

gs_status gs_buf_alloc(gs_buf *buf, size_t bytes, const char *purpose, gs_error *err)
{
    *buf = (gs_buf){0};
    const uint64_t most = atomic_load(&limit);
    const bool over = most && (bytes > most || atomic_load(&held) > most - bytes);
    void *data = over ? NULL : obtain(bytes);
    if (!data) {
        const double mib = 1048576.0;
        return gs_fail(err, GS_ERR_MEMORY,
                       "not enough memory: %.1f MiB (%zu bytes) for %s, with %.1f MiB in use already; "
                       "use fewer threads, or fewer or shorter texts if there are any, or raise the memory limit",
                       (double)bytes / mib, bytes, purpose, (double)gs_buf_now() / mib);
    }
    count(bytes);
    *buf = (gs_buf){.data = data, .bytes = bytes};
    return GS_OK;
}

void gs_buf_release(gs_buf *buf)
{
    if (buf->data) {
        if (buf->bytes >= MAP_FROM)
            munmap(buf->data, round_up(buf->bytes, (size_t)sysconf(_SC_PAGESIZE)));
        else
            free(buf->data);
        atomic_fetch_sub(&held, buf->bytes);
    }
    *buf = (gs_buf){0};
}

uint64_t gs_buf_touched(uint64_t bytes, uint64_t touched)
{
    if (touched >= bytes) return bytes;
    const uint64_t pages = bytes >= HUGE_FROM ? round_up(touched, HUGE_PAGE) : touched;
    return pages < bytes ? pages : bytes;
}

void gs_buf_set_limit(uint64_t bytes) { atomic_store(&limit, bytes); }
uint64_t gs_buf_now(void) { return atomic_load(&held); }
uint64_t gs_buf_peak(void) { return atomic_load(&held_peak); }

uint64_t gs_rss_now(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    unsigned long long total, resident;
    const int got = fscanf(f, "%llu %llu", &total, &resident);
    fclose(f);
    return got == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

uint64_t gs_rss_peak(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    if (!f) return 0;
    char line[256];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1) break;
    fclose(f);
    return (uint64_t)kib * 1024;
}
