/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/acceptor_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { EVENTS = 128, LOOK_MS = 250, ROUNDS = 64 };

/* What an event's data points at: the link itself, the link's inner socket, a listener, or the loop
 * (its wake-up, or the server's). The low bits, free because of alignment, tell them apart. */
enum tag {
    TAG_LINK = 0,
    TAG_INNER = 1,
    TAG_LISTENER = 2,
    TAG_WAKE = 3,
    TAG_SERVER = 4,
    TAG_MASK = 7
};
_Static_assert(_Alignof(cb_link) > TAG_MASK && _Alignof(cb_listener) > TAG_MASK &&
                   _Alignof(cb_loop) > TAG_MASK,
               "the tag needs the low bits");

static uint64_t tagged(const void *pointer, enum tag tag)
{
    return (uint64_t)(uintptr_t)pointer | tag;
}

static void *untagged(uint64_t data)
{
    return (void *)(uintptr_t)(data & ~(uint64_t)TAG_MASK); // NOLINT
}

static int poll_set(const cb_loop *loop, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(loop->epoll, operation, fd, &event);
}

static void ignore_all(cb_loop *loop)
{
    cb_acceptor *acceptor = loop->acceptor;
    for (size_t i = 0; i < acceptor->listener_count; i++)
        poll_set(loop, EPOLL_CTL_DEL, acceptor->listeners[i].socket, 0, 0);
}

/* False: the kernel has no memory for one of them. The others are listened to. */
static bool listen_all(cb_loop *loop)
{
    cb_acceptor *acceptor = loop->acceptor;
    bool all = true;
    for (size_t i = 0; i < acceptor->listener_count; i++) {
        cb_listener *listener = &acceptor->listeners[i];
        if (poll_set(loop, EPOLL_CTL_ADD, listener->socket, EPOLLIN | EPOLLEXCLUSIVE,
                     tagged(listener, TAG_LISTENER)) != 0 &&
            errno != EEXIST)
            all = false;
    }
    return all;
}

/* Who writes to the second has nothing to read from it: each time counts. */
static bool watch_server(cb_loop *loop)
{
    const cb_acceptor_sink *sink = &loop->acceptor->sink;
    int ready[2];
    sink->ready(sink->context, loop->number, ready);
    return poll_set(loop, EPOLL_CTL_ADD, ready[0], EPOLLIN, tagged(loop, TAG_SERVER)) == 0 &&
           poll_set(loop, EPOLL_CTL_ADD, ready[1], EPOLLIN | EPOLLET, tagged(loop, TAG_SERVER)) ==
               0;
}

cb_error cb_loop_prepare(cb_loop *loop)
{
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0 ||
        poll_set(loop, EPOLL_CTL_ADD, loop->wake, EPOLLIN, tagged(loop, TAG_WAKE)) != 0 ||
        !watch_server(loop))
        return CB_E_IO;
    return listen_all(loop) ? CB_OK : CB_E_IO;
}

static void unlink_link(cb_loop *loop, cb_link *link)
{
    if (link->previous)
        link->previous->next = link->next;
    else
        loop->links = link->next;
    if (link->next)
        link->next->previous = link->previous;
}

static void count_handshake(cb_acceptor *acceptor, const cb_link *link)
{
    cb_addresses_put(acceptor->shaking, &link->address);
    atomic_fetch_sub(&acceptor->handshakes, 1);
}

static void count_out(cb_acceptor *acceptor, const cb_link *link)
{
    if (!link->shaken) {
        count_handshake(acceptor, link);
        atomic_fetch_add(&acceptor->handshakes_failed, 1);
    }
    cb_addresses_put(acceptor->addresses, &link->address);
    atomic_fetch_sub(&acceptor->connections, 1);
}

/* Closing alone would do, if no process that is about to be something else held a copy meanwhile.
 */
static void stop_polling(cb_loop *loop, cb_link *link)
{
    poll_set(loop, EPOLL_CTL_DEL, link->socket, 0, 0);
    if (link->inner_polled)
        poll_set(loop, EPOLL_CTL_DEL, link->inner, 0, 0);
}

static void free_link(cb_loop *loop, cb_link *link)
{
    cb_acceptor *acceptor = loop->acceptor;
    uint64_t connection = link->handed ? link->peer.connection : 0;
    if (link->peer.kind == CB_PEER_NETWORK)
        count_out(acceptor, link);
    unlink_link(loop, link);
    atomic_fetch_sub(&loop->carried, 1);
    stop_polling(loop, link);
    cb_link_release(link);
    free(link);
    if (connection)
        acceptor->sink.gone(acceptor->sink.context, connection);
}

static void step(cb_loop *loop, cb_link *link, unsigned ways)
{
    cb_link_step(link, ways, loop->scratch);
    if (link->gave && !link->given) {
        link->given = true;
        link->next_given = loop->given;
        loop->given = link;
    }
    loop->work |= link->gave;
    link->gave = false;
}

/* The handshake is done, or there is none: the HTTP server gets the other end of a socket pair. */
static void hand_over(cb_loop *loop, cb_link *link)
{
    cb_acceptor *acceptor = loop->acceptor;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        link->state = CB_LINK_DEAD;
        return;
    }
    link->inner = pair[0];
    link->turn = cb_turn_new(link->inner);
    if (!link->turn) {
        link->state = CB_LINK_DEAD;
        close(pair[1]);
        return;
    }
    link->handed = true;
    if (link->peer.kind == CB_PEER_NETWORK) {
        link->shaken = true;
        count_handshake(acceptor, link);
        atomic_fetch_add(&acceptor->handshakes_done, 1);
    }
    if (!acceptor->sink.take(acceptor->sink.context, loop->number, pair[1], &link->peer,
                             link->turn))
        link->state = CB_LINK_DEAD;
    else
        step(loop, link, CB_LINK_UP); /* the request may have come with the end of the handshake */
}

static void poll_link(cb_loop *loop, cb_link *link)
{
    uint32_t events = cb_link_socket_events(link);
    if (events != link->socket_events)
        poll_set(loop, EPOLL_CTL_MOD, link->socket, events, tagged(link, TAG_LINK));
    link->socket_events = events;
    if (link->inner < 0)
        return;
    events = cb_link_inner_events(link);
    /* After the server closed its end the kernel would report that for ever. */
    if (link->inner_polled && (link->down.ended || link->state != CB_LINK_OPEN)) {
        poll_set(loop, EPOLL_CTL_DEL, link->inner, 0, 0);
        link->inner_polled = false;
    } else if (!link->inner_polled && !link->inner_closed && !link->down.ended &&
               link->state == CB_LINK_OPEN && (loop->work || cb_link_expects(link))) {
        link->inner_polled =
            poll_set(loop, EPOLL_CTL_ADD, link->inner, events, tagged(link, TAG_INNER)) == 0;
        link->inner_events = events;
        if (!link->inner_polled)
            link->state = CB_LINK_DEAD; /* nobody would hear the server's answer */
    } else if (link->inner_polled && events != link->inner_events) {
        poll_set(loop, EPOLL_CTL_MOD, link->inner, events, tagged(link, TAG_INNER));
        link->inner_events = events;
    }
}

/* Looks at a link after a step: counts, hands over, polls, or frees it. */
static void settle(cb_loop *loop, cb_link *link)
{
    if (link->state == CB_LINK_OPEN && !link->handed)
        hand_over(loop, link);
    if (link->state == CB_LINK_OPEN && link->up.shut && !link->told) {
        link->told = true;
        loop->acceptor->sink.gone(loop->acceptor->sink.context, link->peer.connection);
    }
    if (link->state != CB_LINK_DEAD && !link->given)
        poll_link(loop, link);
    if ((link->again || link->state == CB_LINK_DEAD) && !link->listed) {
        link->listed = true;
        link->todo = loop->todo;
        loop->todo = link;
    }
}

static void add(cb_loop *loop, cb_link *link)
{
    link->todo = NULL;
    link->next = loop->links;
    if (loop->links)
        loop->links->previous = link;
    loop->links = link;
}

void cb_loop_carry(cb_loop *loop, cb_link *link)
{
    add(loop, link);
    link->socket_events = EPOLLIN;
    if (poll_set(loop, EPOLL_CTL_ADD, link->socket, EPOLLIN, tagged(link, TAG_LINK)) != 0)
        link->state = CB_LINK_DEAD;
    settle(loop, link);
}

static void be_woken(cb_loop *loop)
{
    uint64_t count;
    if (read(loop->wake, &count, sizeof count) < 0)
        return;
    for (cb_link *link = cb_loop_arrivals(loop), *next; link; link = next) {
        next = link->todo;
        cb_loop_carry(loop, link);
    }
}

/* What can be read on the one socket and written to the other goes the same way. */
static unsigned ways_of(bool inner, uint32_t events)
{
    unsigned in = events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? CB_LINK_UP : 0;
    unsigned out = events & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? CB_LINK_DOWN : 0;
    if (!inner)
        return in | out;
    return (in ? CB_LINK_DOWN : 0u) | (out ? CB_LINK_UP : 0u);
}

static void on_link(cb_loop *loop, cb_link *link, bool inner, uint32_t events)
{
    if (link->state == CB_LINK_DEAD)
        return;
    if (!inner && (events & (EPOLLERR | EPOLLHUP))) {
        link->state = CB_LINK_DEAD; /* nobody is there to be answered */
        settle(loop, link);
        return;
    }
    if (!inner && (events & EPOLLIN))
        cb_ahead_again(&link->ahead);
    step(loop, link, ways_of(inner, events));
    if (inner && (events & EPOLLHUP) && link->down.piece && link->inner_polled) {
        /* The server has closed and the client is slow: what is left is read when there is room. */
        poll_set(loop, EPOLL_CTL_DEL, link->inner, 0, 0);
        link->inner_polled = false;
        link->inner_closed = true;
    }
    settle(loop, link);
}

static void on_event(cb_loop *loop, const struct epoll_event *event)
{
    void *object = untagged(event->data.u64);
    switch ((enum tag)(event->data.u64 & TAG_MASK)) {
    case TAG_LINK:
        on_link(loop, object, false, event->events);
        break;
    case TAG_INNER:
        on_link(loop, object, true, event->events);
        break;
    case TAG_LISTENER:
        cb_loop_accept(loop, object);
        break;
    case TAG_SERVER:
        loop->work = true;
        break;
    case TAG_WAKE:
    default:
        be_woken(loop);
        break;
    }
}

/* Ends links whose time is over. */
static void look_at_times(cb_loop *loop, int64_t now)
{
    cb_limits limits = cb_acceptor_limits(loop->acceptor);
    bool stopping = atomic_load(&loop->acceptor->draining);
    for (cb_link *link = loop->links; link; link = link->next) {
        cb_link_check_time(link, &limits, stopping, now);
        if (link->state == CB_LINK_DEAD)
            settle(loop, link);
    }
}

/* Frees the dead and goes on with links that stopped for fairness. */
static void work_off(cb_loop *loop)
{
    cb_link *todo = loop->todo;
    loop->todo = NULL;
    for (cb_link *link = todo, *next; link; link = next) {
        next = link->todo;
        link->listed = false;
        if (link->state == CB_LINK_DEAD) {
            free_link(loop, link);
            continue;
        }
        step(loop, link, CB_LINK_BOTH);
        settle(loop, link);
    }
}

/* Connections whose handshake the kernel has finished were promised service; only then nobody
 * listens any more. */
static void drain(cb_loop *loop)
{
    cb_acceptor *acceptor = loop->acceptor;
    for (size_t i = 0; i < acceptor->listener_count; i++)
        while (cb_loop_accept(loop, &acceptor->listeners[i]))
            ;
    ignore_all(loop);
    loop->drained = true;
    atomic_fetch_sub(&acceptor->undrained, 1);
}

static void let_server_work(cb_loop *loop)
{
    const cb_acceptor_sink *sink = &loop->acceptor->sink;
    if (loop->work)
        loop->work = sink->work(sink->context, loop->number);
    loop->rounds = loop->work ? loop->rounds + 1 : 0;
}

/* What was answered at once is passed on at once: only a server that has more to say later is
 * waited for. */
static void take_answers(cb_loop *loop)
{
    cb_link *given = loop->given;
    loop->given = NULL;
    for (cb_link *link = given, *next; link; link = next) {
        next = link->next_given;
        link->given = false;
        if (link->state == CB_LINK_OPEN && cb_turn_spoken(link->turn))
            step(loop, link, CB_LINK_DOWN);
        settle(loop, link);
    }
}

/* How long to wait for events. libmicrohttpd says at once when a client's bytes fill its buffer and
 * it can make nothing of them, and says so until the client's time is over. */
static int patience(const cb_loop *loop)
{
    if (loop->todo)
        return 0;
    if (!loop->work)
        return LOOK_MS;
    return loop->rounds < ROUNDS ? 0 : 1;
}

static void go_on_listening(cb_loop *loop)
{
    if (loop->paused && (loop->drained || listen_all(loop)))
        loop->paused = false; /* otherwise it is tried again at the next look */
}

void *cb_loop_run(void *context)
{
    cb_loop *loop = context;
    cb_acceptor *acceptor = loop->acceptor;
    struct epoll_event events[EVENTS];
    while (!atomic_load(&acceptor->ending)) {
        int count = epoll_wait(loop->epoll, events, EVENTS, patience(loop));
        bool was_paused = loop->paused;
        for (int i = 0; i < count; i++)
            on_event(loop, &events[i]);
        if (loop->paused && !was_paused)
            ignore_all(loop);
        if (atomic_load(&acceptor->draining) && !loop->drained)
            drain(loop);
        int64_t now = cb_clock_monotonic_us();
        if (now - loop->last_look >= LOOK_MS * CB_MILLISECOND) {
            loop->last_look = now;
            go_on_listening(loop);
            look_at_times(loop, now);
        }
        let_server_work(loop);
        take_answers(loop);
        work_off(loop);
    }
    return NULL;
}

void cb_loop_close(cb_loop *loop)
{
    for (cb_link *link = cb_loop_arrivals(loop), *next; link; link = next) {
        next = link->todo;
        add(loop, link);
    }
    while (loop->links)
        free_link(loop, loop->links);
    if (loop->epoll >= 0)
        close(loop->epoll);
    if (loop->wake >= 0)
        close(loop->wake);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}
