/* See work_lock.h. SPDX-License-Identifier: Apache-2.0 */
#include "io/work_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/file.h"
#include "io/io_error.h"
#include "io/tree.h"

#define LOCK_TRIES  16
#define LOCK_BYTES  96
#define SINCE_BYTES 32

typedef struct holder {
    long pid;                 /* 0 = the file does not say */
    char since[SINCE_BYTES];  /* when the run began, for people; may be empty */
    unsigned long long start; /* when the process began, in the kernel's ticks; 0 = not known */
} holder;

static holder read_lock(int fd)
{
    char text[LOCK_BYTES];
    holder h = {0};
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    h.pid = strtol(text, NULL, 10);
    const char *line = strchr(text, '\n');
    if (!line) return h;
    const size_t have = strspn(line + 1, "0123456789-: UTC");
    if (have < SINCE_BYTES) memcpy(h.since, line + 1, have);
    line = strchr(line + 1, '\n');
    if (line) h.start = strtoull(line + 1, NULL, 10);
    return h;
}

/* Field 22 of /proc/PID/stat; the second, the program's name in brackets, may hold anything. */
static unsigned long long start_of(long pid)
{
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    const int fd = TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC));
    const ssize_t n = fd < 0 ? -1 : TEMP_FAILURE_RETRY(read(fd, text, sizeof text - 1));
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

/* A number is given to a process again and again, in a container sooner than elsewhere: the start tells them apart. */
bool gs_work_lock_is_alive(int fd)
{
    const holder h = read_lock(fd);
    if (h.pid <= 0 || (kill((pid_t)h.pid, 0) != 0 && errno != EPERM)) return false;
    const unsigned long long start = start_of(h.pid);
    return h.start != 0 && start != 0 ? start == h.start : h.pid != (long)getpid();
}

static bool is_unsupported(int code)
{
    return code == ENOSYS || code == EOPNOTSUPP || code == ENOLCK || code == EINVAL;
}

/* 0 = locked, EWOULDBLOCK = another run has it. Where flock does not work, a lock of the other kind; where that does not
 * either, what the file says. */
static int try_lock(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if (!is_unsupported(errno)) return errno;
#ifdef F_OFD_SETLK
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0) return 0;
    if (errno == EACCES || errno == EAGAIN) return EWOULDBLOCK;
    if (!is_unsupported(errno)) return errno;
#endif
    return gs_work_lock_is_alive(fd) ? EWOULDBLOCK : 0;
}

static gs_status refuse_held(int fd, const char *final_path, gs_error *err)
{
    const holder h = read_lock(fd);
    if (h.pid <= 0)
        return gs_fail(err, GS_ERR_IO, "another run is writing %s: wait for it or choose another directory",
                       final_path);
    return gs_fail(err, GS_ERR_IO,
                   "another run (process %ld%s%s) is writing %s: wait for it, stop it, or choose another directory",
                   h.pid, h.since[0] ? ", since " : "", h.since, final_path);
}

/* What is in the folder: its lock, anything else. */
static gs_status look_into(const char *base, bool *locked, bool *other, gs_error *err)
{
    gs_status status;
    *locked = *other = false;
    DIR *dir = opendir(base);
    if (!dir && errno == ENOENT) return GS_OK; /* it has gone meanwhile */
    if (!dir) return gs_io_fail(err, errno, "list", base);
    for (const char *name; (name = gs_dir_next(dir, base, &status, err)) != NULL;)
        *(strcmp(name, GS_WORK_LOCK) == 0 ? locked : other) = true;
    closedir(dir);
    return status;
}

static gs_status make_base(const char *base, gs_error *err)
{
    struct stat st;
    bool locked, other;
    if (mkdir(base, 0700) == 0) return GS_OK;
    if (errno != EEXIST) return gs_io_fail(err, errno, "create the work folder", base);
    if (lstat(base, &st) != 0) return GS_OK; /* it has gone meanwhile */
    if (!S_ISDIR(st.st_mode)) return gs_fail(err, GS_ERR_IO, "%s is in the way of the work folder: remove it", base);
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return gs_fail(err, GS_ERR_IO, "%s is not this user's alone: look at what is in it, then remove it", base);
    GS_TRY(look_into(base, &locked, &other, err));
    if (locked || !other) return GS_OK;
    return gs_fail(err, GS_ERR_IO,
                   "%s is called like a work folder but has no file \"" GS_WORK_LOCK
                   "\": no run has left it. Look at what is in "
                   "it, then move it elsewhere or remove it",
                   base);
}

gs_status gs_work_lock_take(const char *base, const char *final_path, int *held, gs_error *err)
{
    char *path = gs_path_join(base, GS_WORK_LOCK);
    gs_status status = GS_ERR_IO;
    for (int i = 0; i < LOCK_TRIES; i++) {
        status = make_base(base, err);
        if (status != GS_OK) break;
        const int fd = TEMP_FAILURE_RETRY(open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (fd < 0 && errno == ENOENT && i + 1 < LOCK_TRIES) continue; /* a run that ended took the folder away */
        if (fd < 0) {
            status = gs_io_fail(err, errno, "create", path);
            break;
        }
        const int code = try_lock(fd);
        if (code == 0 && gs_work_lock_is_held(fd, base)) {
            *held = fd;
            break;
        }
        status = code == EWOULDBLOCK ? refuse_held(fd, final_path, err)
                                     : gs_io_fail(err, code != 0 ? code : EBUSY, "lock", path);
        close(fd);
        if (code != 0) break;
    }
    gs_free(path);
    return status;
}

/* Is the file that was locked still the one under that name? A run that ended meanwhile may have removed it. */
bool gs_work_lock_is_held(int fd, const char *base)
{
    struct stat held, named;
    char *path = gs_path_join(base, GS_WORK_LOCK);
    const bool same =
        fstat(fd, &held) == 0 && lstat(path, &named) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
    gs_free(path);
    return same;
}

/* The lock's name is on the disk before any other in the folder. */
gs_status gs_work_lock_sign(int fd, const char *base, gs_error *err)
{
    char text[LOCK_BYTES], since[SINCE_BYTES] = "";
    const time_t now = time(NULL);
    struct tm parts;
    if (gmtime_r(&now, &parts)) strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S UTC", &parts);
    const long pid = (long)getpid();
    const int n = snprintf(text, sizeof text, "%ld\n%s\n%llu\n", pid, since, start_of(pid));
    if (TEMP_FAILURE_RETRY(ftruncate(fd, 0)) != 0) return gs_io_fail(err, errno, "write the lock in", base);
    GS_TRY(gs_pwrite_all(fd, 0, text, (size_t)n, base, err));
    return gs_dir_sync(base, err);
}

void gs_work_lock_remove(const char *base)
{
    char *path = gs_path_join(base, GS_WORK_LOCK);
    unlink(path);
    gs_free(path);
    rmdir(base);
}

void gs_work_lock_remove_alone(const char *base)
{
    bool locked, other;
    if (look_into(base, &locked, &other, NULL) == GS_OK && !other) gs_work_lock_remove(base);
}
