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

/* All processes share it. Native byte order. */
typedef struct plan {
    atomic_int target;   /* a process; 0: nobody */
    atomic_int children; /* or those whose parent this is; 0: none */
    char program[NAME];  /* or those of this name; empty: none */
    char only[NAME];     /* the calls that count; empty: all */
    atomic_uint unlucky; /* how-manieth call; 0: count only */
    atomic_uint hold;    /* 0: kill */
    atomic_uint go;      /* ends the hold */
    atomic_uint counted;
    atomic_uint struck;
    char call[NAME];      /* that was not made */
    _Atomic int64_t when; /* monotonic, nanoseconds */
} plan;

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

static bool chosen(void)
{
    return atomic_load(&shared->target) == me || atomic_load(&shared->children) == parent ||
           strcmp(shared->program, program_invocation_short_name) == 0;
}

static void step(const char *call)
{
    if (!shared || !chosen() || (shared->only[0] && strcmp(call, shared->only) != 0))
        return;
    unsigned mine = atomic_fetch_add(&shared->counted, 1) + 1;
    if (mine != atomic_load(&shared->unlucky))
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&shared->when, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    strncpy(shared->call, call, NAME - 1);
    atomic_store(&shared->struck, (unsigned)me);
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
COUNTED(int, link, (const char *from, const char *to), (from, to))
COUNTED(int, unlink, (const char *path), (path))
COUNTED(ssize_t, pread, (int fd, void *out, size_t len, off_t at), (fd, out, len, at))
COUNTED(ssize_t, pread64, (int fd, void *out, size_t len, off64_t at), (fd, out, len, at))

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
