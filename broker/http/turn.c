/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/turn.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct cb_turn {
    unsigned references;
    int socket;        /* -1: closed */
    uint64_t read;     /* bytes of the stream that the link has taken */
    uint64_t answered; /* where in the stream the server's last answer ended */
    bool answering;
    bool serving;
    bool over;    /* the last answer ends the connection */
    bool gone;    /* the server's end is closed */
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
    return turn;
}

cb_turn *cb_turn_keep(cb_turn *turn)
{
    turn->references++;
    return turn;
}

void cb_turn_release(cb_turn **out)
{
    cb_turn *turn = *out;
    *out = NULL;
    if (turn && --turn->references == 0)
        free(turn);
}

void cb_turn_serve(cb_turn *turn) { turn->serving = true; }

void cb_turn_begin_answer(cb_turn *turn) { turn->answering = true; }

/* Everything was written: what the link has not read yet is in its socket's buffer. */
void cb_turn_end_answer(cb_turn *turn, bool goes_on)
{
    int waiting = 0;
    if (turn->answering && turn->socket >= 0 && ioctl(turn->socket, SIOCINQ, &waiting) == 0)
        turn->answered = turn->read + (uint64_t)waiting;
    turn->over |= turn->answering && !goes_on;
    turn->answering = turn->serving = false;
}

void cb_turn_take_up(cb_turn *turn) { turn->starved = false; }

void cb_turn_leave(cb_turn *turn) { turn->gone = true; }

void cb_turn_starve(cb_turn *turn) { turn->starved = true; }

bool cb_turn_starved(cb_turn *turn) { return turn->starved; }

bool cb_turn_serving(const cb_turn *turn) { return turn->serving; }

bool cb_turn_spoken(const cb_turn *turn)
{
    return turn->answering || turn->answered > turn->read || turn->gone;
}

bool cb_turn_expected(const cb_turn *turn)
{
    return turn->serving || turn->over || turn->starved || cb_turn_spoken(turn);
}

bool cb_turn_owes(cb_turn *turn) { return !turn->over && !turn->answering && !turn->serving; }

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
    ssize_t got = recv(turn->socket, out, size, MSG_DONTWAIT);
    if (got > 0) {
        *answers = of_answers(turn, (size_t)got);
        turn->read += (uint64_t)got;
    }
    return got;
}

void cb_turn_close(cb_turn *turn) { turn->socket = -1; }
