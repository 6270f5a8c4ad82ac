/* bench_copy OUTPUT BYTES FILE…: the disk's share of a job. Reads the files from end to end and writes that many bytes of what it reads,
 * one piece after the other, then fsync; prints the seconds. With --direct in front: past the page cache. What is in the cache
 * beforehand is the caller's matter. SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"

#define PIECE ((size_t)16 << 20)
#define BLOCK ((size_t)4096)

static int fail(const char *what)
{
    perror(what);
    return 1;
}

/* Whole blocks, so that the last piece of a direct file may be longer than wanted. */
static int write_piece(int fd, const char *piece, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t put = write(fd, piece + at, n - at);
        if (put <= 0) return -1;
        at += (size_t)put;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int flags = 0;
    if (argc > 1 && strcmp(argv[1], "--direct") == 0) {
        flags = O_DIRECT;
        argc--, argv++;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: bench_copy [--direct] OUTPUT BYTES FILE...\n");
        return 2;
    }
    long long left = atoll(argv[2]), total = left, read_bytes = 0;
    char *piece = aligned_alloc(BLOCK, PIECE);
    if (!piece) return fail("memory");
    memset(piece, 0, PIECE);
    const double start = gs_seconds();
    const int out = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);
    if (out < 0) return fail(argv[1]);
    if (fallocate(out, 0, 0, total) != 0) fprintf(stderr, "bench_copy: no space reserved\n");
    long long all = 0;
    for (int i = 3; i < argc; i++) {
        const int in = open(argv[i], O_RDONLY | O_CLOEXEC | flags);
        if (in < 0) return fail(argv[i]);
        for (ssize_t got; (got = read(in, piece, PIECE)) != 0; read_bytes += got) {
            if (got < 0) return fail(argv[i]);
            all += got;
            size_t n = (size_t)got < (size_t)left ? (size_t)got : (size_t)left;
            if (flags) n = (n + BLOCK - 1) / BLOCK * BLOCK;
            if (left > 0 && write_piece(out, piece, n) != 0) return fail(argv[1]);
            left -= (long long)n < left ? (long long)n : left;
        }
        close(in);
    }
    for (size_t n; left > 0; left -= (long long)n < left ? (long long)n : left) {
        n = PIECE < (size_t)left ? PIECE : ((size_t)left + BLOCK - 1) / BLOCK * BLOCK;
        if (write_piece(out, piece, n) != 0) return fail(argv[1]);
    }
    if (ftruncate(out, total) != 0 || fsync(out) != 0 || close(out) != 0) return fail(argv[1]);
    printf("%.3f\n", gs_seconds() - start);
    return all == read_bytes ? 0 : 1;
}
