/* A library to preload: the n-th call of a class fails, or all calls behave as a difficult system's. What it does is in two
 * environment variables. GS_FAULT is "CLASS N ERRNO" (only the n-th call), "CLASS N+ ERRNO" (from the n-th on) or "cut N" (before the
 * n-th read the file is truncated there). GS_FAULT_MODE is a list of words: short-reads, short-writes, interrupted, no-direct,
 * direct-refuses, no-room, no-exchange, clock. GS_FAULT_COUNTS names a file to which the number of calls of each class is written
 * at the end. Counting begins with main(). SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef enum class {
    READ,
    WRITE,
    SYNC,
    RENAME,
    OPEN,
    STAT,
    LIST,
    PLACE,
    SIZE,
    LOCK,
    ALLOC,
    MAP,
    THREAD,
    CLASSES
} class;
static const char *const names[CLASSES] = {"read",  "write", "sync", "rename", "open", "stat",  "list",
                                           "place", "size",  "lock", "alloc",  "map",  "thread"};

enum {
    SHORT_READS = 1,
    SHORT_WRITES = 2,
    INTERRUPTED = 4,
    NO_DIRECT = 8,
    DIRECT_REFUSES = 16,
    NO_ROOM = 32,
    NO_EXCHANGE = 64,
    CLOCK = 128
};
static const char *const modes[] = {"short-reads",    "short-writes", "interrupted", "no-direct",
                                    "direct-refuses", "no-room",      "no-exchange", "clock"};

static atomic_bool armed;
static atomic_long calls[CLASSES];
static int at_class = -1, with_errno, mode;
static long at;
static bool onwards, cuts;

static bool fails(class c)
{
    if (!atomic_load_explicit(&armed, memory_order_relaxed)) return false;
    const long n = atomic_fetch_add(&calls[c], 1) + 1;
    if (cuts || (int)c != at_class || (onwards ? n < at : n != at)) return false;
    errno = with_errno;
    return true;
}

/* Every other call of a kind that a signal can interrupt. */
static bool interrupts(void)
{
    static _Thread_local unsigned turn;
    if (!atomic_load_explicit(&armed, memory_order_relaxed) || !(mode & INTERRUPTED) || turn++ % 2 == 1) return false;
    errno = EINTR;
    return true;
}

static size_t shortened(size_t n, int which)
{
    static atomic_uint step;
    if (!(mode & which) || n < 2) return n;
    const size_t most = 1 + (atomic_fetch_add(&step, 1) * 2654435761u >> 8) % 60000;
    return most < n ? most : n;
}

static void parse(void)
{
    char name[16] = "", plus = 0;
    const char *fault = getenv("GS_FAULT"), *words = getenv("GS_FAULT_MODE");
    for (size_t i = 0; words != NULL && i < sizeof modes / sizeof modes[0]; i++)
        if (strstr(words, modes[i]) != NULL) mode |= 1 << i;
    if (fault == NULL) return;
    if (sscanf(fault, "cut %ld", &at) == 1) {
        cuts = true;
        return;
    }
    if (sscanf(fault, "%15s %ld%c %d", name, &at, &plus, &with_errno) != 4) _exit(98);
    onwards = plus == '+';
    for (int i = 0; i < CLASSES; i++)
        if (strcmp(name, names[i]) == 0) at_class = i;
    if (at_class < 0) _exit(98);
}

static void write_counts(void)
{
    const char *path = getenv("GS_FAULT_COUNTS");
    atomic_store(&armed, false);
    if (path == NULL) return;
    const long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < CLASSES; i++) {
        char line[64];
        const int n = snprintf(line, sizeof line, "%s %ld\n", names[i], atomic_load(&calls[i]));
        if (syscall(SYS_write, fd, line, n) != n) _exit(98);
    }
    syscall(SYS_close, fd);
}

/* What would have been called without this library, looked up at its first call. */
#define REAL(result, name, ...)                                                                                        \
    static result (*real)(__VA_ARGS__);                                                                                \
    if (real == NULL) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int (*real_main)(int, char **, char **);
static int armed_main(int argc, char **argv, char **environment)
{
    parse();
    atexit(write_counts);
    atomic_store(&armed, true);
    return real_main(argc, argv, environment);
}

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end);
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end)
{
    REAL(int, __libc_start_main, int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
         void (*)(void), void *);
    real_main = main;
    return real(armed_main, argc, argv, init, fini, rtld_fini, stack_end);
}

/* ---- reading and writing ---- */

static void cut_before(int fd, off_t offset)
{
    char path[64];
    if (!cuts || !atomic_load(&armed) || atomic_load(&calls[READ]) != at) return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (syscall(SYS_truncate, path, (long)offset) != 0) _exit(98);
}

static bool refuses_direct(int fd)
{
    return (mode & DIRECT_REFUSES) && (fcntl(fd, F_GETFL) & O_DIRECT) && (errno = EINVAL);
}

ssize_t read(int fd, void *to, size_t n)
{
    REAL(ssize_t, read, int, void *, size_t);
    if (fails(READ) || interrupts()) return -1;
    return real(fd, to, shortened(n, SHORT_READS));
}

ssize_t pread(int fd, void *to, size_t n, off_t offset)
{
    REAL(ssize_t, pread64, int, void *, size_t, off_t);
    if (fails(READ) || interrupts() || refuses_direct(fd)) return -1;
    cut_before(fd, offset);
    return real(fd, to, shortened(n, SHORT_READS), offset);
}
ssize_t pread64(int fd, void *to, size_t n, off_t offset) __attribute__((alias("pread")));

ssize_t write(int fd, const void *from, size_t n)
{
    REAL(ssize_t, write, int, const void *, size_t);
    if (fd <= STDERR_FILENO) return real(fd, from, n); /* the message is looked at */
    if (fails(WRITE) || interrupts()) return -1;
    return real(fd, from, shortened(n, SHORT_WRITES));
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t offset)
{
    REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
    if (fails(WRITE) || interrupts() || refuses_direct(fd)) return -1;
    return real(fd, from, shortened(n, SHORT_WRITES), offset);
}
ssize_t pwrite64(int fd, const void *from, size_t n, off_t offset) __attribute__((alias("pwrite")));

#define SIMPLE(class, result, bad, name, declared, types, passed)                                                      \
    result name declared                                                                                               \
    {                                                                                                                  \
        REAL(result, name, types);                                                                                     \
        if (fails(class)) return bad;                                                                                  \
        return real passed;                                                                                            \
    }
#define TYPES(...) __VA_ARGS__

int fsync(int fd)
{
    REAL(int, fsync, int);
    return fails(SYNC) || interrupts() ? -1 : real(fd);
}
int fdatasync(int fd)
{
    REAL(int, fdatasync, int);
    return fails(SYNC) || interrupts() ? -1 : real(fd);
}
SIMPLE(SYNC, int, -1, sync_file_range, (int fd, off64_t a, off64_t n, unsigned how),
       TYPES(int, off64_t, off64_t, unsigned), (fd, a, n, how))

/* ---- names and places ---- */

SIMPLE(RENAME, int, -1, rename, (const char *a, const char *b), TYPES(const char *, const char *), (a, b))
int renameat2(int d, const char *a, int e, const char *b, unsigned how)
{
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    if (fails(RENAME)) return -1;
    if (mode & NO_EXCHANGE) return errno = EINVAL, -1;
    return real(d, a, e, b, how);
}

static int open_any(int dir, const char *path, int flags, int access_mode)
{
    static int (*real)(int, const char *, int, ...);
    if (real == NULL) real = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat64");
    if (fails(OPEN) || interrupts()) return -1;
    if ((flags & O_DIRECT) && (mode & NO_DIRECT)) return errno = EINVAL, -1;
    return real(dir, path, flags, access_mode);
}
#define ACCESS_MODE(flags)                                                                                             \
    int access_mode = 0;                                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        access_mode = va_arg(rest, int);                                                                               \
        va_end(rest);                                                                                                  \
    }
int open(const char *path, int flags, ...)
{
    ACCESS_MODE(flags)
    return open_any(AT_FDCWD, path, flags, access_mode);
}
int openat(int dir, const char *path, int flags, ...)
{
    ACCESS_MODE(flags)
    return open_any(dir, path, flags, access_mode);
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
int __openat_2(int dir, const char *path, int flags);
int __openat_2(int dir, const char *path, int flags) { return open_any(dir, path, flags, 0); }
int __openat64_2(int dir, const char *path, int flags) __attribute__((alias("__openat_2")));

FILE *fopen(const char *path, const char *how)
{
    REAL(FILE *, fopen64, const char *, const char *);
    return fails(OPEN) ? NULL : real(path, how);
}
FILE *fopen64(const char *path, const char *how) __attribute__((alias("fopen")));
int mkostemp(char *name, int flags)
{
    REAL(int, mkostemp64, char *, int);
    return fails(OPEN) ? -1 : real(name, flags);
}
int mkostemp64(char *name, int flags) __attribute__((alias("mkostemp")));
DIR *opendir(const char *path)
{
    REAL(DIR *, opendir, const char *);
    return fails(LIST) ? NULL : real(path);
}
struct dirent *readdir(DIR *dir)
{
    REAL(struct dirent *, readdir64, DIR *);
    return fails(LIST) ? NULL : real(dir);
}
struct dirent64 *readdir64(DIR *dir) __attribute__((alias("readdir")));
SIMPLE(LIST, DIR *, NULL, fdopendir, (int fd), TYPES(int), (fd))

int stat(const char *path, struct stat *st)
{
    REAL(int, stat64, const char *, struct stat *);
    return fails(STAT) ? -1 : real(path, st);
}
int stat64(const char *path, struct stat64 *st) __attribute__((alias("stat")));
int lstat(const char *path, struct stat *st)
{
    REAL(int, lstat64, const char *, struct stat *);
    return fails(STAT) ? -1 : real(path, st);
}
int lstat64(const char *path, struct stat64 *st) __attribute__((alias("lstat")));
int fstat(int fd, struct stat *st)
{
    REAL(int, fstat64, int, struct stat *);
    return fails(STAT) ? -1 : real(fd, st);
}
int fstat64(int fd, struct stat64 *st) __attribute__((alias("fstat")));
int fstatat(int dir, const char *path, struct stat *st, int flags)
{
    REAL(int, fstatat64, int, const char *, struct stat *, int);
    return fails(STAT) ? -1 : real(dir, path, st, flags);
}
int fstatat64(int dir, const char *path, struct stat64 *st, int flags) __attribute__((alias("fstatat")));
SIMPLE(STAT, char *, NULL, realpath, (const char *path, char *to), TYPES(const char *, char *), (path, to))
SIMPLE(STAT, int, -1, access, (const char *path, int how), TYPES(const char *, int), (path, how))

SIMPLE(PLACE, int, -1, mkdir, (const char *path, mode_t m), TYPES(const char *, mode_t), (path, m))
SIMPLE(PLACE, int, -1, chmod, (const char *path, mode_t m), TYPES(const char *, mode_t), (path, m))
SIMPLE(PLACE, int, -1, fchmod, (int fd, mode_t m), TYPES(int, mode_t), (fd, m))
SIMPLE(PLACE, int, -1, unlink, (const char *path), TYPES(const char *), (path))
SIMPLE(PLACE, int, -1, unlinkat, (int dir, const char *path, int how), TYPES(int, const char *, int), (dir, path, how))
SIMPLE(PLACE, int, -1, rmdir, (const char *path), TYPES(const char *), (path))
SIMPLE(LOCK, int, -1, flock, (int fd, int how), TYPES(int, int), (fd, how))
SIMPLE(LOCK, int, -1, close, (int fd), TYPES(int), (fd))

int ftruncate(int fd, off_t n)
{
    REAL(int, ftruncate64, int, off_t);
    return fails(SIZE) || interrupts() ? -1 : real(fd, n);
}
int ftruncate64(int fd, off_t n) __attribute__((alias("ftruncate")));
int fallocate(int fd, int how, off_t a, off_t n)
{
    REAL(int, fallocate64, int, int, off_t, off_t);
    if (fails(SIZE) || interrupts()) return -1;
    if (mode & NO_ROOM) return errno = EOPNOTSUPP, -1;
    return real(fd, how, a, n);
}
int fallocate64(int fd, int how, off_t a, off_t n) __attribute__((alias("fallocate")));

/* ---- memory, threads, time ---- */

/* A mapped file that is cut kills its reader, so there must be none. */
void *mmap(void *to, size_t n, int protection, int flags, int fd, off_t offset)
{
    REAL(void *, mmap64, void *, size_t, int, int, int, off_t);
    if (atomic_load(&armed) && fd >= 0) abort();
    return fails(MAP) ? MAP_FAILED : real(to, n, protection, flags, fd, offset);
}
void *mmap64(void *to, size_t n, int protection, int flags, int fd, off_t offset) __attribute__((alias("mmap")));

#ifndef FAULTS_WITHOUT_ALLOC /* a sanitizer has an allocator of its own */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);
void *malloc(size_t n) { return fails(ALLOC) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return fails(ALLOC) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return fails(ALLOC) ? NULL : __libc_realloc(p, n); }
void *aligned_alloc(size_t alignment, size_t n) { return fails(ALLOC) ? NULL : __libc_memalign(alignment, n); }
#endif

int pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg)
{
    REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    return fails(THREAD) ? with_errno : real(id, attributes, fn, arg);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    static atomic_uint step;
    const int code = real(clock, now);
    if (mode & CLOCK) now->tv_sec += (time_t)((atomic_fetch_add(&step, 1) * 2654435761u) % 2000000u) - 1000000;
    return code;
}
