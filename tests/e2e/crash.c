/* Loaded into the program (LD_PRELOAD), kills it at a chosen system call that changes files below one directory, and can play a power
 * failure: what was not synced by then is lost, wholly or here and there.
 *   CRASH_DIR   the directory; calls on other files do not count
 *   CRASH_AT    the call to die at, from 1; 0 or absent = count only
 *   CRASH_RECORDS  instead of CRASH_AT: the call after so many records in the journal
 *   CRASH_SYNC  instead of CRASH_AT: this sync of the journal, from 1
 *   CRASH_HOW   kill (default): as kill -9. full: no death; from that call on the disk is full. fault: one I/O error. lose: files go back to their last fsync, names to the last fsync of their directory.
 *               mix: of every 4096 bytes of a file, and of every name, either the synced state or the present one, by CRASH_SEED
 *   CRASH_COUNT a file that gets the number of calls, and of syncs of the journal, when the program ends by itself
 * The directory must exist and lie still when the program starts: that is the state on the disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#pragma GCC visibility push(default) /* the program must find these */

/* What is on the disk. Nodes are never removed: a file without a name may still get one back. */
typedef struct name {
    char text[256];
    ino_t ino;
} name;

typedef struct node {
    ino_t ino;
    bool directory;
    mode_t mode;
    char *data; /* of a file: synced content */
    size_t bytes;
    name *entry; /* of a directory: synced names */
    int n_entries;
} node;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[4096];
static node **nodes;
static int n_nodes;
static long at, calls, journal_syncs, wanted_syncs, last_sync;
static bool plays_disk;
static _Thread_local bool dying; /* the others wait for the lock, for ever */
static int refusal;              /* instead of death: the errno value of that call, */
static bool once;                /* or of all from there on */
static uint64_t seed;

#define REAL(ret, fn, ...)                                                                                             \
    static ret (*real)(__VA_ARGS__);                                                                                   \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #fn)

static node *find(ino_t ino, bool make)
{
    for (int i = 0; i < n_nodes; i++)
        if (nodes[i]->ino == ino) return nodes[i];
    if (!make) return NULL;
    nodes = realloc(nodes, (size_t)(n_nodes + 1) * sizeof *nodes);
    node *n = calloc(1, sizeof *n);
    n->ino = ino;
    return nodes[n_nodes++] = n;
}

static char *read_file(const char *path, size_t *bytes)
{
    struct stat st;
    *bytes = 0;
    const int fd = open(path, O_RDONLY | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0) return NULL;
    char *data = calloc(1, (size_t)st.st_size + 1);
    for (ssize_t got; *bytes < (size_t)st.st_size &&
                      (got = pread(fd, data + *bytes, (size_t)st.st_size - *bytes, (off_t)*bytes)) > 0;)
        *bytes += (size_t)got;
    close(fd);
    return data;
}

/* The names of a directory as they are now. Whoever has no node gets one, empty: its content is not synced. */
static name *list(const char *path, int *n)
{
    name *out = NULL;
    *n = 0;
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;) {
        struct stat st;
        char full[4400];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(full, sizeof full, "%s/%s", path, e->d_name);
        if (lstat(full, &st) != 0) continue;
        out = realloc(out, (size_t)(*n + 1) * sizeof *out);
        snprintf(out[*n].text, sizeof out[*n].text, "%s", e->d_name);
        out[(*n)++].ino = st.st_ino;
        node *child = find(st.st_ino, true);
        child->directory = S_ISDIR(st.st_mode);
        child->mode = st.st_mode & 07777;
    }
    if (d) closedir(d);
    return out;
}

/* A directory has one name: its rename, saved where it is now, is saved where it was. */
static void forget_elsewhere(const node *now)
{
    for (int i = 0; i < n_nodes; i++) {
        node *n = nodes[i];
        for (int k = 0; k < now->n_entries && n != now; k++) {
            int e = n->n_entries;
            while (e > 0 && n->entry[e - 1].ino != now->entry[k].ino) e--;
            if (e > 0 && find(now->entry[k].ino, true)->directory) n->entry[e - 1] = n->entry[--n->n_entries];
        }
    }
}

static void sync_path(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0) return;
    node *n = find(st.st_ino, true);
    n->directory = S_ISDIR(st.st_mode);
    n->mode = st.st_mode & 07777;
    if (n->directory) {
        free(n->entry);
        n->entry = list(path, &n->n_entries);
        forget_elsewhere(n);
    } else {
        free(n->data);
        n->data = read_file(path, &n->bytes);
    }
}

static void sync_tree(const char *path)
{
    int n;
    sync_path(path);
    name *now = list(path, &n);
    for (int i = 0; i < n; i++) {
        char full[4400];
        snprintf(full, sizeof full, "%s/%s", path, now[i].text);
        if (find(now[i].ino, true)->directory)
            sync_tree(full);
        else
            sync_path(full);
    }
    free(now);
}

static bool coin(void)
{
    if (seed == 0) return false; /* the present state is lost */
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 63 != 0;
}

/* A rename of a directory happens or does not, in both places. */
static bool newer_folders;

/* What there is now, whatever its name: a file's content, a directory's path. */
typedef struct present {
    ino_t ino;
    char *data;
    size_t bytes;
} present;
static present *now_there;
static int n_now;

static void add_present(ino_t ino, char *data, size_t bytes)
{
    now_there = realloc(now_there, (size_t)(n_now + 1) * sizeof *now_there);
    now_there[n_now++] = (present){ino, data, bytes};
}

static const present *find_present(ino_t ino)
{
    for (int i = 0; i < n_now; i++)
        if (now_there[i].ino == ino) return &now_there[i];
    return NULL;
}

static void remember(ino_t ino, const char *path)
{
    int n;
    name *e = list(path, &n);
    add_present(ino, strdup(path), 0);
    for (int i = 0; i < n; i++) {
        char full[4400];
        size_t bytes;
        snprintf(full, sizeof full, "%s/%s", path, e[i].text);
        if (find(e[i].ino, true)->directory) {
            remember(e[i].ino, full);
            continue;
        }
        char *data = read_file(full, &bytes);
        add_present(e[i].ino, data, bytes);
    }
    free(e);
}

static void restore_file(const node *n, const char *path)
{
    const present *p = find_present(n->ino);
    const size_t bytes = p && coin() ? p->bytes : n->bytes;
    char *data = calloc(1, bytes + 1);
    for (size_t b = 0; b < bytes; b += 4096) {
        const bool newer = p && coin();
        const char *from = newer ? p->data : n->data;
        const size_t have = newer ? p->bytes : n->bytes;
        const size_t want = bytes - b < 4096 ? bytes - b : 4096;
        if (from && b < have) memcpy(data + b, from + b, have - b < want ? have - b : want);
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes) fchmod(fd, n->mode);
    close(fd);
    free(data);
}

/* What is in the directory now, wherever it is, and what was there when it was synced: each name by a coin. An unsynced rename of a
 * file may so leave both names, or none. to: where it is built. */
static void restore_tree(ino_t ino, const char *to, int depth)
{
    const node *dir = find(ino, true);
    const present *now = find_present(ino);
    int n_here = 0;
    name *here = now ? list(now->data, &n_here) : NULL;
    mkdir(to, 0700);
    for (int i = 0; i < dir->n_entries + n_here && depth < 20; i++) {
        const bool old = i < dir->n_entries;
        const name *e = old ? &dir->entry[i] : &here[i - dir->n_entries];
        char full[4400];
        const name *other = NULL;
        for (int k = 0; k < (old ? n_here : dir->n_entries) && !other; k++) {
            const name *c = old ? &here[k] : &dir->entry[k];
            if (strcmp(c->text, e->text) == 0) other = c;
        }
        if (other && !old) continue; /* decided when the synced name came along */
        const bool folder = find(e->ino, true)->directory, newer = folder ? newer_folders : coin();
        if (!other && newer == old) continue;
        if (other && other->ino != e->ino && newer) e = other;
        snprintf(full, sizeof full, "%s/%s", to, e->text);
        const node *n = find(e->ino, true);
        if (n->directory)
            restore_tree(n->ino, full, depth + 1);
        else
            restore_file(n, full);
    }
    free(here);
    chmod(to, dir->mode ? dir->mode : 0700);
}

static void die(void)
{
    struct stat st;
    dying = true;
    if (plays_disk && lstat(root, &st) == 0) {
        char built[4200], gone[4200];
        snprintf(built, sizeof built, "%s.built", root);
        snprintf(gone, sizeof gone, "%s.gone", root);
        remember(st.st_ino, root);
        newer_folders = coin();
        restore_tree(st.st_ino, built, 0);
        rename(root, gone);
        rename(built, root);
    }
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static bool below(const char *path)
{
    const size_t n = strlen(root);
    return n > 0 && strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool fd_below(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return below(path);
}

static bool at_below(int fd, const char *path) { return path[0] == '/' ? below(path) : fd != AT_FDCWD && fd_below(fd); }

/* The call is about to be made; journal: it syncs one. Holds the lock if it counts. */
static bool enter_sync(bool counts, bool journal)
{
    if (!counts || dying || root[0] == '\0') return false;
    pthread_mutex_lock(&lock);
    calls++;
    if (journal && ++journal_syncs == last_sync) at = calls;
    if (calls == at && refusal == 0) die();
    return true;
}

static bool enter(bool counts) { return enter_sync(counts, false); }

/* Writing, while the lock is held. */
static bool refuses(bool counted)
{
    if (!counted || refusal == 0 || at == 0 || calls < at || (once && calls > at)) return false;
    errno = refusal;
    return true;
}

static void leave(bool counted)
{
    if (counted) pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
    const char *dir = getenv("CRASH_DIR"), *n = getenv("CRASH_AT"), *how = getenv("CRASH_HOW"),
               *records = getenv("CRASH_RECORDS"), *sync = getenv("CRASH_SYNC"), *s = getenv("CRASH_SEED");
    if (!dir || !realpath(dir, root)) return;
    at = n ? atol(n) : 0;
    wanted_syncs = records ? 2 * (atol(records) + 1) : 0; /* each is synced twice; the first one says what run it is */
    last_sync = sync ? atol(sync) : 0;
    once = how && strcmp(how, "fault") == 0;
    refusal = once ? EIO : how && strcmp(how, "full") == 0 ? ENOSPC : 0;
    plays_disk = how && strcmp(how, "kill") != 0 && refusal == 0;
    if (how && strcmp(how, "mix") == 0) seed = strtoull(s ? s : "1", NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    if (plays_disk) sync_tree(root);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("CRASH_COUNT");
    FILE *f = path && root[0] ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%ld %ld\n", calls, journal_syncs);
    fclose(f);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    const bool in = enter(fd_below(fd));
    const ssize_t got = refuses(in) ? -1 : real(fd, data, n, offset);
    leave(in);
    return got;
}

static int sync_fd(int fd, int (*real)(int))
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    const bool journal = n > 8 && strcmp(path + n - 8, "/journal") == 0, in = enter_sync(below(path), journal);
    const int status = refuses(in) ? -1 : real(fd);
    if (in && status == 0) {
        if (journal && journal_syncs == wanted_syncs) at = calls + 1;
        if (plays_disk) sync_path(path);
    }
    leave(in);
    return status;
}

int fsync(int fd)
{
    REAL(int, fsync, int);
    return sync_fd(fd, real);
}

int fdatasync(int fd)
{
    REAL(int, fdatasync, int);
    return sync_fd(fd, real);
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *);
    const bool in = enter(below(to));
    const int status = real(from, to);
    leave(in);
    return status;
}

int renameat2(int fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    const bool in = enter(at_below(to_fd, to));
    const int status = real(fd, from, to_fd, to, flags);
    leave(in);
    return status;
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, mkdir, const char *, mode_t);
    const bool in = enter(below(path));
    const int status = real(path, mode);
    leave(in);
    return status;
}

int unlink(const char *path)
{
    REAL(int, unlink, const char *);
    const bool in = enter(below(path));
    const int status = real(path);
    leave(in);
    return status;
}

int unlinkat(int fd, const char *path, int flags)
{
    REAL(int, unlinkat, int, const char *, int);
    const bool in = enter(at_below(fd, path));
    const int status = real(fd, path, flags);
    leave(in);
    return status;
}

int rmdir(const char *path)
{
    REAL(int, rmdir, const char *);
    const bool in = enter(below(path));
    const int status = real(path);
    leave(in);
    return status;
}

int ftruncate(int fd, off_t bytes)
{
    REAL(int, ftruncate, int, off_t);
    const bool in = enter(fd_below(fd));
    const int status = real(fd, bytes);
    leave(in);
    return status;
}
