/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/turn.h"

#include <linux/sockios.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct cb_turn {
    atomic_uint references;
    pthread_mutex_t lock;
    int socket;        /* -1: closed */
    uint64_t read;     /* bytes of the stream that the link has taken */
    uint64_t answered; /* where in the stream the server's last answer ended */
    bool answering;
    bool serving;
    bool over;    /* the last answer ends the connection */
    bool starved; /* there was no memory to take the connection or its request up */
};

cb_turn *cb_turn_new(int socket)
{
    cb_turn *turn = calloc(1, sizeof *turn);
    if (!turn)
        return NULL;
    turn->references = 1;
    turn->socket = socket;
    turn->starved = true;
    pthread_mutex_init(&turn->lock, NULL);
    return turn;
}

cb_turn *cb_turn_keep(cb_turn *turn)
{
    atomic_fetch_add(&turn->references, 1);
    return turn;
}

void cb_turn_release(cb_turn **out)
{
    cb_turn *turn = *out;
    *out = NULL;
    if (!turn || atomic_fetch_sub(&turn->references, 1) != 1)
        return;
    pthread_mutex_destroy(&turn->lock);
    free(turn);
}

void cb_turn_serve(cb_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    turn->serving = true;
    pthread_mutex_unlock(&turn->lock);
}

void cb_turn_begin_answer(cb_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    turn->answering = true;
    pthread_mutex_unlock(&turn->lock);
}

/* Everything was written: what the link has not read yet is in its socket's buffer. */
void cb_turn_end_answer(cb_turn *turn, bool goes_on)
{
    pthread_mutex_lock(&turn->lock);
    int waiting = 0;
    if (turn->answering && turn->socket >= 0 && ioctl(turn->socket, SIOCINQ, &waiting) == 0)
        turn->answered = turn->read + (uint64_t)waiting;
    turn->over |= turn->answering && !goes_on;
    turn->answering = turn->serving = false;
    pthread_mutex_unlock(&turn->lock);
}

void cb_turn_take_up(cb_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    turn->starved = false;
    pthread_mutex_unlock(&turn->lock);
}

void cb_turn_starve(cb_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    turn->starved = true;
    pthread_mutex_unlock(&turn->lock);
}

bool cb_turn_starved(cb_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    bool starved = turn->starved;
    pthread_mutex_unlock(&turn->lock);
    return starved;
}

bool cb_turn_serving(cb_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    bool serving = turn->serving;
    pthread_mutex_unlock(&turn->lock);
    return serving;
}

bool cb_turn_owes(cb_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    bool owes = !turn->over && !turn->answering && !turn->serving;
    pthread_mutex_unlock(&turn->lock);
    return owes;
}

static size_t of_answers(const cb_turn *turn, size_t got)
{
    if (turn->answering)
        return got;
    uint64_t left = turn->answered > turn->read ? turn->answered - turn->read : 0;
    return left < got ? (size_t)left : got;
}

ssize_t cb_turn_read(cb_turn *turn, uint8_t *out, size_t size, size_t *answers)
{
    *answers = 0;
    pthread_mutex_lock(&turn->lock);
    ssize_t got = recv(turn->socket, out, size, MSG_DONTWAIT);
    if (got > 0) {
        *answers = of_answers(turn, (size_t)got);
        turn->read += (uint64_t)got;
    }
    pthread_mutex_unlock(&turn->lock);
    return got;
}

void cb_turn_close(cb_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    turn->socket = -1;
    pthread_mutex_unlock(&turn->lock);
}
