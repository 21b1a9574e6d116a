// Preloaded into the server by tests/it/power.rs: writes down, in order, what the process asks of
// the files under $POWER_DIR (writes, syncs, names) and when it begins to send an answer.
//
// One record: kind, length of the path, length of the data or second path, offset; then both. Every
// call is made and written down under one lock, so the order of the records is the true one.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;
static char root[PATH_MAX];
static size_t root_length;

__attribute__((constructor)) static void start(void) {
    const char *dir = getenv("POWER_DIR"), *file = getenv("POWER_LOG");
    if (!dir || !file) return;
    root_length = strlen(strcpy(root, dir));
    out = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int ours(const char *path) {
    return out >= 0 && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

static void put(const void *data, size_t length) {
    for (const char *at = data; length > 0;) {
        long done = syscall(SYS_write, out, at, length);
        if (done <= 0) _exit(97);
        at += done, length -= done;
    }
}

static void note(char kind, const char *path, uint64_t offset, const void *data, uint64_t length) {
    struct { uint64_t kind, path, data, offset; } head = {kind, strlen(path), length, offset};
    put(&head, sizeof head);
    put(path, head.path);
    put(data, length);
}

// The path behind a descriptor, if it is one of ours.
static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    if (out < 0 || fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return ours(path);
}

static void answer(int fd, const void *data, size_t length) {
    struct stat is;
    if (out < 0 || length < 9 || memcmp(data, "HTTP/1.1 ", 9)) return;
    if (fstat(fd, &is) == 0 && S_ISSOCK(is.st_mode)) note('A', "", 0, data, 12);
}

static uint64_t position(int fd) {
    int end = fcntl(fd, F_GETFL) & O_APPEND;
    return lseek(fd, 0, end ? SEEK_END : SEEK_CUR);
}

#define LOCKED(type, call) \
    type done = call; \
    pthread_mutex_unlock(&lock); \
    return done;

ssize_t write(int fd, const void *data, size_t length) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    if (path_of(fd, path)) note('W', path, position(fd), data, length);
    else answer(fd, data, length);
    LOCKED(ssize_t, REAL(write)(fd, data, length))
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    if (path_of(fd, path)) {
        uint64_t at = position(fd);
        for (int i = 0; i < count; at += parts[i++].iov_len)
            note('W', path, at, parts[i].iov_base, parts[i].iov_len);
    } else if (count > 0) answer(fd, parts[0].iov_base, parts[0].iov_len);
    LOCKED(ssize_t, REAL(writev)(fd, parts, count))
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
    pthread_mutex_lock(&lock);
    answer(fd, data, length);
    LOCKED(ssize_t, REAL(send)(fd, data, length, flags))
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    pthread_mutex_lock(&lock);
    if (message->msg_iovlen > 0)
        answer(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    LOCKED(ssize_t, REAL(sendmsg)(fd, message, flags))
}

#define PWRITE(name, off) \
    ssize_t name(int fd, const void *data, size_t length, off offset) { \
        char path[PATH_MAX]; \
        pthread_mutex_lock(&lock); \
        if (path_of(fd, path)) note('W', path, offset, data, length); \
        LOCKED(ssize_t, REAL(name)(fd, data, length, offset)) \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, off) \
    int name(int fd, off length) { \
        char path[PATH_MAX]; \
        pthread_mutex_lock(&lock); \
        if (path_of(fd, path)) note('T', path, length, "", 0); \
        LOCKED(int, REAL(name)(fd, length)) \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name) \
    int name(int fd) { \
        char path[PATH_MAX]; \
        pthread_mutex_lock(&lock); \
        int done = REAL(name)(fd); \
        if (done == 0 && path_of(fd, path)) note('S', path, 0, "", 0); \
        pthread_mutex_unlock(&lock); \
        return done; \
    }
SYNC(fsync)
SYNC(fdatasync)

// A file that an open makes, or empties.
static void opened(int dir, const char *path, int flags) {
    char whole[PATH_MAX];
    struct stat is;
    if (dir != AT_FDCWD && path[0] != '/') {
        if (!path_of(dir, whole) || strlen(whole) + strlen(path) + 2 > PATH_MAX) return;
        strcat(strcat(whole, "/"), path);
        path = whole;
    }
    if (!ours(path)) return;
    int there = stat(path, &is) == 0;
    if (!there && (flags & O_CREAT)) note('C', path, 0, "", 0);
    if (there && (flags & O_TRUNC)) note('T', path, 0, "", 0);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        pthread_mutex_lock(&lock); \
        opened(AT_FDCWD, path, flags); \
        LOCKED(int, REAL(name)(path, flags, mode)) \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        pthread_mutex_lock(&lock); \
        opened(dir, path, flags); \
        LOCKED(int, REAL(name)(dir, path, flags, mode)) \
    }
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&lock);
    int done = REAL(mkdir)(path, mode);
    if (done == 0 && ours(path)) note('M', path, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int done = REAL(rename)(from, to);
    if (done == 0 && ours(from)) note('R', from, 0, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int done = REAL(unlink)(path);
    if (done == 0 && ours(path)) note('U', path, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int unlinkat(int dir, const char *name, int flags) {
    char whole[PATH_MAX];
    pthread_mutex_lock(&lock);
    int mine = dir == AT_FDCWD ? ours(strcpy(whole, name)) : path_of(dir, whole);
    if (mine && dir != AT_FDCWD) strcat(strcat(whole, "/"), name);
    int done = REAL(unlinkat)(dir, name, flags);
    if (done == 0 && mine) note('U', whole, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int rmdir(const char *path) {
    pthread_mutex_lock(&lock);
    int done = REAL(rmdir)(path);
    if (done == 0 && ours(path)) note('U', path, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}
