/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/acceptor_loop.h"

#include <sys/eventfd.h>

enum { UNEVEN = 4 /* links more than another loop has, before that one gets the next */ };

cb_link *cb_loop_arrivals(cb_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    cb_link *arrivals = loop->arrivals;
    loop->arrivals = NULL;
    pthread_mutex_unlock(&loop->lock);
    return arrivals;
}

static void pass_on(cb_loop *to, cb_link *link)
{
    pthread_mutex_lock(&to->lock);
    link->todo = to->arrivals;
    to->arrivals = link;
    pthread_mutex_unlock(&to->lock);
    eventfd_write(to->wake, 1);
}

/* The kernel wakes the same loop again and again while it has time, and connections may stay. */
static cb_loop *choose(cb_loop *own)
{
    const cb_acceptor *acceptor = own->acceptor;
    cb_loop *chosen = own;
    unsigned bound = atomic_load(&own->carried);
    bound = bound > UNEVEN ? bound - UNEVEN : 0;
    for (unsigned i = 0; i < acceptor->loop_count; i++) {
        unsigned carried = atomic_load(&acceptor->loops[i]->carried);
        if (carried < bound) {
            chosen = acceptor->loops[i];
            bound = carried;
        }
    }
    return chosen;
}

void cb_loop_place(cb_loop *loop, cb_link *link)
{
    cb_loop *to = choose(loop);
    atomic_fetch_add(&to->carried, 1);
    if (to == loop)
        cb_loop_carry(loop, link);
    else
        pass_on(to, link);
}
