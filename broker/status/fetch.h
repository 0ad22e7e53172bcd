/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fetching over HTTP, with few rights.
 *
 * A keeper process, begun before the front end holds anything, waits for orders and makes one
 * process for each. That one looks up the name and connects; then, before it reads a single byte of
 * what comes, it gives up all but that connection and a pipe: no file, no other socket, no process,
 * limited memory and time. What it hands over are the bytes of the answer's body, unjudged:
 * whatever they are, only a signature makes them count.
 *
 * Names and addresses come from the configuration, never from a certificate.
 */
#ifndef CB_BROKER_STATUS_FETCH_H
#define CB_BROKER_STATUS_FETCH_H

#include <stdbool.h>

#include "base/buf.h"

typedef struct cb_fetcher cb_fetcher;

/* Begins the keeper, which becomes user (NULL: stays who it is), confines itself unless sandbox is
 * false, and is begun again should it end, by a process that does nothing else. To be called while
 * the program has one thread. CB_E_MEMORY, CB_E_IO. */
cb_error cb_fetcher_open(const char *user, bool sandbox, cb_fetcher **out);

/* Whether the process that begins the keeper again has ended itself, and the keeper with it: then
 * nothing is fetched any more, and nobody but a program that has just started can begin it. To be
 * asked after SIGCHLD, by the thread that stops it. Takes NULL. */
bool cb_fetcher_ended(cb_fetcher *fetcher);

/* Ends its processes: what is being fetched fails at once, and so does all that is asked for from
 * now on. Takes NULL. */
void cb_fetcher_stop(cb_fetcher *fetcher);

/* When nobody fetches any more. Takes NULL. */
void cb_fetcher_close(cb_fetcher **fetcher);

typedef struct cb_fetch {
    const char *url;   /* see url.h */
    cb_bytes question; /* of at most 4 KiB, to POST; none: GET */
    int64_t deadline;  /* monotonic, of clock.h */
} cb_fetch;

/* The body, of at most answer->max bytes, into an empty buffer; what a process that was ended
 * did not come to is asked for once more. CB_E_FORMAT (the URL), CB_E_SERVICE_DOWN,
 * CB_E_SERVICE_SLOW, CB_E_SERVICE_REFUSED, CB_E_SERVICE_ANSWER, CB_E_TOO_LARGE, CB_E_BUSY,
 * CB_E_MEMORY. Any thread. */
cb_error cb_fetcher_get(cb_fetcher *fetcher, const cb_fetch *what, cb_buf *answer);

/* For tests: the process that begins the keeper. */
int cb_fetcher_process(const cb_fetcher *fetcher);

#endif
