/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The parts of cardbrokerd, from their start to their end; for main.c.
 */
#ifndef CB_BROKER_PROGRAM_H
#define CB_BROKER_PROGRAM_H

#include "base/clock.h"
#include "broker/api/api.h"
#include "broker/api/relay.h"
#include "broker/config.h"

typedef struct cb_program {
    const char *path; /* of the configuration */
    cb_broker_config config;
    cb_api api;
    cb_relay_context relay;
    cb_fetcher *fetcher; /* for api.status; NULL where there is none */
    cb_status_issuer issuers[CB_STATUS_ISSUERS_MAX];
    cb_buf issuer_certificates[CB_STATUS_ISSUERS_MAX];
    cb_clock_watch clock; /* for cards whose day is over */
    bool clock_doubted;
    cb_buf why; /* what is wrong, in a sentence */
} cb_program;

/* Opens sockets, gives up rights, opens the parts, serves. After an error, which why explains where
 * it can, cb_program_end is still to be called. Signals that the caller waits for are blocked
 * before: the threads made here inherit that. */
cb_error cb_program_start(cb_program *p);

/* Listens no more, finishes what is under way for as long as the configuration allows, cuts
 * sessions, closes everything. */
void cb_program_end(cb_program *p);

/* For program.c: limits the process to the system calls that serving makes, unless the
 * configuration leaves that out. */
cb_error cb_program_confine(const cb_program *p);

/* What issuers say of foreign cards, for program.c: who fetches it, begun before anything else;
 * then the rest, and its end, stop before everything that may still wait for it. */
cb_error cb_program_status_begin(cb_program *p);
cb_error cb_program_status_open(cb_program *p);
void cb_program_status_close(cb_program *p);

/* For cb_taps_parts: what the issuer of a certificate says of it. */
cb_error cb_program_status_of(void *program, cb_bytes certificate);

#endif
