/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * To be loaded into a program with LD_PRELOAD: counts the calls with which one chosen process
 * touches the world outside it, and before the n-th kills it (SIGKILL) or holds the thread that
 * makes it. Who chooses writes the plan into the file that CARDBROKER_KILL_STEPS names;
 * tests/e2e/steps.py does.
 */
#undef _FILE_OFFSET_BITS /* both sizes of the calls are here, under their own names */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NAME = 24 };

/* All processes share it. Native byte order. What happens is one word, which changes as a whole:
 * how many calls there were, who was struck, and whose turn it is, which is odd while the plan
 * counts. So who read a plan that is no more neither counts in the next one nor is struck by it,
 * and nobody is struck once the turn is over. */
typedef struct plan {
    _Atomic uint64_t word;
    atomic_int target;    /* a process; 0: nobody */
    atomic_int children;  /* or those whose parent this is; 0: none */
    char program[NAME];   /* or those of this name; empty: none */
    char only[NAME];      /* the calls that count; empty: all */
    atomic_uint unlucky;  /* how-manieth call; 0: count only */
    atomic_uint hold;     /* 0: kill */
    atomic_uint go;       /* ends the hold */
    atomic_uint told;     /* by whom, once the two below hold */
    char call[NAME];      /* that was not made */
    _Atomic int64_t when; /* monotonic, nanoseconds */
} plan;

#define COUNT(word) ((unsigned)(word)&0xffffff)
#define TURN ((uint64_t)1 << 48)

static plan *shared;
static int me, parent;

static void know_myself(void)
{
    me = (int)getpid();
    parent = (int)getppid();
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CARDBROKER_KILL_STEPS");
    know_myself();
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    shared = memory == MAP_FAILED ? NULL : memory;
}

/* For who writes the plan, whose language has no such thing: adds, and says what was there. */
uint64_t kill_steps_add(_Atomic uint64_t *word, uint64_t what);
uint64_t kill_steps_add(_Atomic uint64_t *word, uint64_t what)
{
    return atomic_fetch_add(word, what);
}

static bool chosen(const char *call)
{
    return (atomic_load(&shared->target) == me || atomic_load(&shared->children) == parent ||
            strcmp(shared->program, program_invocation_short_name) == 0) &&
           (!shared->only[0] || strcmp(call, shared->only) == 0);
}

/* Whether this call is the one. */
static bool is_struck(const char *call)
{
    uint64_t now = atomic_load(&shared->word), then;
    uint64_t turn = now / TURN;
    if (turn % 2 == 0 || !chosen(call))
        return false;
    unsigned unlucky = atomic_load(&shared->unlucky);
    do {
        if (now / TURN != turn)
            return false;
        then = now + 1;
        if (COUNT(then) == unlucky)
            then += (uint64_t)me << 24;
    } while (!atomic_compare_exchange_weak(&shared->word, &now, then));
    return COUNT(then) == unlucky;
}

static void step(const char *call)
{
    if (!shared || !is_struck(call))
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&shared->when, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    strncpy(shared->call, call, NAME - 1);
    atomic_store(&shared->told, (unsigned)me);
    if (atomic_load(&shared->hold)) {
        while (!atomic_load(&shared->go)) { /* without a call, for a filter may not allow it */
        }
        return;
    }
    kill(me, SIGKILL);
    abort(); /* where a filter does not let a process kill itself */
}

/* The call that a library further on in the search order has under this name. */
#define NEXT(name)                                                                                 \
    static __typeof__(&name) next;                                                                 \
    if (!next)                                                                                     \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

#define COUNTED(result, name, parameters, arguments)                                               \
    result name parameters                                                                         \
    {                                                                                              \
        NEXT(name);                                                                                \
        step(#name);                                                                               \
        return next arguments;                                                                     \
    }

/* Files */
COUNTED(ssize_t, pwrite, (int fd, const void *data, size_t len, off_t at), (fd, data, len, at))
COUNTED(ssize_t, pwrite64, (int fd, const void *data, size_t len, off64_t at), (fd, data, len, at))
COUNTED(int, ftruncate, (int fd, off_t size), (fd, size))
COUNTED(int, ftruncate64, (int fd, off64_t size), (fd, size))
COUNTED(int, fsync, (int fd), (fd))
COUNTED(int, fdatasync, (int fd), (fd))
COUNTED(int, rename, (const char *from, const char *to), (from, to))
COUNTED(int, renameat, (int of, const char *from, int in, const char *to), (of, from, in, to))
COUNTED(int, renameat2, (int of, const char *from, int in, const char *to, unsigned flags),
        (of, from, in, to, flags))
COUNTED(int, link, (const char *from, const char *to), (from, to))
COUNTED(int, unlink, (const char *path), (path))
COUNTED(ssize_t, pread, (int fd, void *out, size_t len, off_t at), (fd, out, len, at))
COUNTED(ssize_t, pread64, (int fd, void *out, size_t len, off64_t at), (fd, out, len, at))

/* A file that is opened for reading is as it was: of these only those count that make or empty one.
 * A mode is there only where one is made. */
#define MAKES(flags) ((flags)&O_CREAT || ((flags)&O_TMPFILE) == O_TMPFILE)
#define COUNTED_OPEN(name, parameters, arguments)                                                  \
    int name parameters                                                                            \
    {                                                                                              \
        NEXT(name);                                                                                \
        mode_t mode = 0;                                                                           \
        if (MAKES(flags)) {                                                                        \
            va_list more;                                                                          \
            va_start(more, flags);                                                                 \
            mode = va_arg(more, mode_t);                                                           \
            va_end(more);                                                                          \
        }                                                                                          \
        if (MAKES(flags) || flags & O_TRUNC)                                                       \
            step(#name);                                                                           \
        return next arguments;                                                                     \
    }

COUNTED_OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
COUNTED_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
COUNTED_OPEN(openat, (int in, const char *path, int flags, ...), (in, path, flags, mode))
COUNTED_OPEN(openat64, (int in, const char *path, int flags, ...), (in, path, flags, mode))

/* Files and sockets */
COUNTED(ssize_t, write, (int fd, const void *data, size_t len), (fd, data, len))
COUNTED(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
COUNTED(ssize_t, read, (int fd, void *out, size_t len), (fd, out, len))

/* Sockets */
COUNTED(ssize_t, send, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags))
COUNTED(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
COUNTED(ssize_t, recv, (int fd, void *out, size_t len, int flags), (fd, out, len, flags))
COUNTED(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
COUNTED(int, connect, (int fd, __CONST_SOCKADDR_ARG to, socklen_t len), (fd, to, len))
COUNTED(int, accept4, (int fd, __SOCKADDR_ARG from, socklen_t *len, int flags),
        (fd, from, len, flags))
COUNTED(int, socketpair, (int domain, int type, int protocol, int fds[2]),
        (domain, type, protocol, fds))

/* A new process is another one, with the same plan. */
pid_t fork(void)
{
    NEXT(fork);
    step("fork");
    pid_t pid = next();
    if (pid == 0)
        know_myself();
    return pid;
}
