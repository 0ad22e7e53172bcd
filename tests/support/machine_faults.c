/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A machine that fails, for programs that know nothing of it: loaded with LD_PRELOAD, commanded
 * through the file that CB_MACHINE_FAULTS names (tests/support/faulty.py writes it).
 *
 * The clock: CLOCK_REALTIME and its kin are as far off as said. The disk: below one folder every
 * write, and every file made, fails with the error said; ENOSPC also shows as no room left. The
 * kernel: of all reads, writes and waits some are interrupted (EINTR), and some of those on files
 * and streams do less than was asked.
 */
/* With the one a function has two names in this file, with the other two bodies. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef struct commands {
    volatile int64_t clock_us;
    volatile int32_t disk_error;
    volatile uint32_t disk_refused; /* how often; counted here */
    char folder[232];
    volatile uint32_t awkward; /* whether calls are interrupted and cut short */
    volatile uint32_t calls;   /* so handled; counted here */
} commands;

static commands nothing, *told = &nothing;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CB_MACHINE_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        told = map;
    close(fd);
}

/* The function of that name that would have been called. */
#define REAL(name, type)                                                                           \
    static __typeof__(type) real;                                                                  \
    if (!real) {                                                                                   \
        void *found = dlsym(RTLD_NEXT, name);                                                      \
        memcpy(&real, &found, sizeof real);                                                        \
    }

/* ---- The clock ---- */

int clock_gettime(clockid_t which, struct timespec *out)
{
    REAL("clock_gettime", int (*)(clockid_t, struct timespec *))
    int result = real(which, out);
    if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += told->clock_us / 1000000;
        out->tv_nsec += told->clock_us % 1000000 * 1000;
        out->tv_sec += out->tv_nsec >= 1000000000 ? 1 : out->tv_nsec < 0 ? -1 : 0;
        out->tv_nsec = (out->tv_nsec + 1000000000) % 1000000000;
    }
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

/* ---- The kernel ---- */

/* What happens to a call, by a number that looks like chance and is the same in each run of one
 * process alone: 0 interrupted, 1 less than was asked, else nothing. */
static unsigned chance(void)
{
    uint32_t n = told->awkward ? __atomic_add_fetch(&told->calls, 1, __ATOMIC_RELAXED) : 0;
    return n ? (n * UINT32_C(2654435761) >> 20) % 4 : 3;
}

static int interrupted(unsigned what)
{
    if (what == 0)
        errno = EINTR;
    return what == 0;
}

static int is_stream(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;
    struct stat about;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0)
        return type == SOCK_STREAM;
    /* What has no name is memory. */
    return fstat(fd, &about) == 0 && about.st_nlink > 0 &&
           (S_ISREG(about.st_mode) || S_ISFIFO(about.st_mode));
}

/* A call that cannot wait is not interrupted; libraries rely on it. */
static unsigned chance_at(int fd)
{
    unsigned what = chance();
    return what == 0 && fcntl(fd, F_GETFL) & O_NONBLOCK ? 1 : what;
}

static size_t shorter(unsigned what, int fd, size_t len)
{
    return what == 1 && len > 1 && is_stream(fd) ? len / 2 : len;
}

ssize_t read(int fd, void *data, size_t len)
{
    REAL("read", ssize_t(*)(int, void *, size_t))
    unsigned what = is_stream(fd) ? chance_at(fd) : 3; /* an eventfd knows neither */
    return interrupted(what) ? -1 : real(fd, data, shorter(what, fd, len));
}

ssize_t pread(int fd, void *data, size_t len, off_t at)
{
    REAL("pread", ssize_t(*)(int, void *, size_t, off_t))
    unsigned what = is_stream(fd) ? chance_at(fd) : 3;
    return interrupted(what) ? -1 : real(fd, data, shorter(what, fd, len), at);
}

ssize_t pread64(int fd, void *data, size_t len, off64_t at) { return pread(fd, data, len, at); }

ssize_t recv(int fd, void *data, size_t len, int flags)
{
    REAL("recv", ssize_t(*)(int, void *, size_t, int))
    unsigned what = chance_at(fd);
    return interrupted(what) ? -1 : real(fd, data, shorter(what, fd, len), flags);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    REAL("send", ssize_t(*)(int, const void *, size_t, int))
    unsigned what = chance_at(fd);
    return interrupted(what) ? -1 : real(fd, data, shorter(what, fd, len), flags);
}

ssize_t recvmsg(int fd, struct msghdr *packet, int flags)
{
    REAL("recvmsg", ssize_t(*)(int, struct msghdr *, int))
    return interrupted(chance()) ? -1 : real(fd, packet, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *packet, int flags)
{
    REAL("sendmsg", ssize_t(*)(int, const struct msghdr *, int))
    return interrupted(chance()) ? -1 : real(fd, packet, flags);
}

int poll(struct pollfd *set, nfds_t count, int timeout)
{
    REAL("poll", int (*)(struct pollfd *, nfds_t, int))
    return interrupted(chance()) ? -1 : real(set, count, timeout);
}

int epoll_wait(int poller, struct epoll_event *events, int most, int timeout)
{
    REAL("epoll_wait", int (*)(int, struct epoll_event *, int, int))
    return interrupted(chance()) ? -1 : real(poller, events, most, timeout);
}

/* ---- The disk ---- */

static int refuse(void)
{
    __atomic_add_fetch(&told->disk_refused, 1, __ATOMIC_RELAXED);
    errno = told->disk_error;
    return -1;
}

static int inside(const char *path)
{
    size_t len = strlen(told->folder);
    return len > 0 && strncmp(path, told->folder, len) == 0;
}

static int fails(int fd)
{
    char link[40], path[4096];
    if (told->disk_error == 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0)
        return 0;
    path[len] = 0;
    return inside(path);
}

ssize_t write(int fd, const void *data, size_t len)
{
    REAL("write", ssize_t(*)(int, const void *, size_t))
    unsigned what = is_stream(fd) ? chance_at(fd) : 3;
    if (fails(fd))
        return refuse();
    return interrupted(what) ? -1 : real(fd, data, shorter(what, fd, len));
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    REAL("pwrite", ssize_t(*)(int, const void *, size_t, off_t))
    unsigned what = chance();
    if (fails(fd))
        return refuse();
    return interrupted(what) ? -1 : real(fd, data, shorter(what, fd, len), at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    return pwrite(fd, data, len, at);
}

int ftruncate(int fd, off_t len)
{
    REAL("ftruncate", int (*)(int, off_t))
    return fails(fd) ? refuse() : real(fd, len);
}

int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }

int fsync(int fd)
{
    REAL("fsync", int (*)(int))
    return told->disk_error == EIO && fails(fd) ? refuse() : real(fd);
}

int fdatasync(int fd)
{
    REAL("fdatasync", int (*)(int))
    return told->disk_error == EIO && fails(fd) ? refuse() : real(fd);
}

/* Nothing new can be made; what is there can be opened, unless the file system is to be read
 * only, or out of reach. */
static int makes(const char *path, int flags)
{
    if (told->disk_error == 0 || !inside(path))
        return 0;
    if (told->disk_error == EACCES)
        return 1;
    if (told->disk_error == EROFS)
        return (flags & O_ACCMODE) != O_RDONLY;
    return (flags & O_CREAT) && access(path, F_OK) != 0;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        REAL(#name, int (*)(const char *, int, ...))                                               \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, unsigned) : 0;              \
        va_end(rest);                                                                              \
        return makes(path, flags) ? refuse() : real(path, flags, mode);                            \
    }

OPEN(open)
OPEN(open64)

static int no_room(const char *path) { return told->disk_error == ENOSPC && inside(path); }

int statvfs(const char *restrict path, struct statvfs *restrict out)
{
    REAL("statvfs", int (*)(const char *, struct statvfs *))
    int result = real(path, out);
    if (result == 0 && no_room(path))
        out->f_bavail = out->f_bfree = 0;
    return result;
}

int statvfs64(const char *restrict path, struct statvfs64 *restrict out)
{
    REAL("statvfs64", int (*)(const char *, struct statvfs64 *))
    int result = real(path, out);
    if (result == 0 && no_room(path))
        out->f_bavail = out->f_bfree = 0;
    return result;
}
