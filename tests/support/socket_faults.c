/* SPDX-License-Identifier: GPL-3.0-or-later */

/* With GNU's extensions these functions take unions, which no definition can. */
#undef _GNU_SOURCE
#define _DEFAULT_SOURCE
#include "tests/support/socket_faults.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/fault_counter.h"

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

static fault_counter broken, interrupted, shortened;

__attribute__((constructor)) static void make_counters(void)
{
    fault_counter_make(&broken);
    fault_counter_make(&interrupted);
    fault_counter_make(&shortened);
}

static bool breaks(int number)
{
    bool unlucky = fault_counter_strikes(&broken);
    if (unlucky)
        errno = number;
    return unlucky;
}

static bool interrupts(void)
{
    bool unlucky = fault_counter_strikes(&interrupted);
    if (unlucky)
        errno = EINTR;
    return unlucky;
}

static size_t shorter(int fd, size_t len)
{
    int type = 0;
    socklen_t size = sizeof type;
    if (len < 2 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
        return len;
    return fault_counter_strikes(&shortened) ? 1 : len;
}

int socket(int family, int type, int protocol)
{
    return breaks(EMFILE) ? -1 : (int)syscall(SYS_socket, family, type, protocol);
}

int socketpair(int family, int type, int protocol, int out[2])
{
    return breaks(EMFILE) ? -1 : (int)syscall(SYS_socketpair, family, type, protocol, out);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    return breaks(ECONNREFUSED) || interrupts() ? -1 : (int)syscall(SYS_connect, fd, address, len);
}

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    if (breaks(EMFILE) || interrupts())
        return -1;
    return (int)syscall(SYS_accept4, fd, address, len, flags);
}

int accept(int fd, struct sockaddr *address, socklen_t *len)
{
    return accept4(fd, address, len, 0);
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to,
               socklen_t to_len)
{
    if (breaks(ECONNRESET) || interrupts())
        return -1;
    return syscall(SYS_sendto, fd, data, shorter(fd, len), flags, to, to_len);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    return sendto(fd, data, len, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *packet, int flags)
{
    return breaks(ENOBUFS) || interrupts() ? -1 : syscall(SYS_sendmsg, fd, packet, flags);
}

ssize_t recvfrom(int fd, void *restrict data, size_t len, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict from_len)
{
    if (breaks(ECONNRESET) || interrupts())
        return -1;
    return syscall(SYS_recvfrom, fd, data, shorter(fd, len), flags, from, from_len);
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
    return recvfrom(fd, data, len, flags, NULL, NULL);
}

ssize_t recvmsg(int fd, struct msghdr *packet, int flags)
{
    return breaks(ECONNRESET) || interrupts() ? -1 : syscall(SYS_recvmsg, fd, packet, flags);
}

int poll(struct pollfd *fds, nfds_t count, int wait)
{
    return breaks(ENOMEM) || interrupts() ? -1 : (int)syscall(SYS_poll, fds, count, wait);
}

int epoll_create1(int flags)
{
    return breaks(EMFILE) ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

/* Only what is new needs memory in the kernel. */
int epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && breaks(ENOMEM))
        return -1;
    return (int)syscall(SYS_epoll_ctl, set, operation, fd, event);
}

int eventfd(unsigned count, int flags)
{
    return breaks(EMFILE) ? -1 : (int)syscall(SYS_eventfd2, count, flags);
}

int epoll_pwait(int fd, struct epoll_event *out, int most, int wait, const sigset_t *mask)
{
    if (interrupts())
        return -1;
    return (int)syscall(SYS_epoll_pwait, fd, out, most, wait, mask, (size_t)(_NSIG / 8));
}

int epoll_wait(int fd, struct epoll_event *out, int most, int wait)
{
    return epoll_pwait(fd, out, most, wait, NULL);
}

#define KIND(name, which, said, passes)                                                            \
    static void which##_arm(unsigned nth, bool lasting)                                            \
    {                                                                                              \
        fault_counter_arm(&which, nth, lasting);                                                   \
    }                                                                                              \
    static unsigned which##_disarm(void) { return fault_counter_disarm(&which); }                  \
    static void which##_where(void) { fault_counter_where(&which); }                               \
    const fault_kind name = {said, which##_arm, which##_disarm, which##_where, passes}

KIND(socket_faults, broken, "socket", true);
KIND(interrupt_faults, interrupted, "interruption", true);
KIND(short_faults, shortened, "short stream", false);
