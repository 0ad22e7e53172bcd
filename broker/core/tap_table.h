/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The taps under way, as the front end remembers them between two requests of a terminal.
 *
 * A request takes its tap out of the table and puts it back when another request is to follow, so that no two
 * requests ever work on one tap and a tap that failed is simply not put back.
 */
#ifndef CB_BROKER_CORE_TAP_TABLE_H
#define CB_BROKER_CORE_TAP_TABLE_H

#include "broker/core/registry.h"
#include "cardlink/context.h"

typedef enum cb_tap_stage { CB_TAP_BEGUN = 1, CB_TAP_CHALLENGED = 2 } cb_tap_stage;

typedef struct cb_tap_entry {
    struct cb_tap_entry *next;
    cb_tap_context context; /* tap, terminal, profile from the start; the rest from the challenge */
    uint8_t stage;          /* cb_tap_stage */
    bool pad;               /* the terminal says that the PIN is typed on its pad */
    char reason[34];        /* of maintenance: the text, as far as it fits; longer is none */
    int64_t expires;        /* monotonic */
    int64_t begun;          /* wall clock */
    cb_id card, holder;     /* that the challenge was made for, where that is known; else zero */
    uint64_t sequence;      /* of a tap that renews its card's binding: the card's, */
    cb_digest binding;      /* and the SHA-256 of the binding that is renewed */
    cb_failed_proof failed; /* and the proof that it may explain */
    cb_id code;             /* of a tap that registers its card: the code's, */
    cb_buf certificates;    /* and of either the card's certificates, as its row will have them */
} cb_tap_entry;

/* A tap out of the table; NULL is allowed. */
void cb_tap_entry_free(cb_tap_entry *tap);

typedef struct cb_tap_table cb_tap_table;

/* most taps in all, per_terminal of one terminal. */
cb_error cb_tap_table_open(unsigned most, unsigned per_terminal, cb_tap_table **out);

/* Frees it with what is in it. */
void cb_tap_table_close(cb_tap_table **table);

unsigned cb_tap_table_count(cb_tap_table *table);

/* Whether one more tap of this terminal may begin: CB_OK or CB_E_BUSY. A terminal begins taps that
 * it does not go on with, because no card came for a script that it fetched in advance; so when it
 * has too many, the oldest of those that it only began makes place: *dropped, the caller's, or
 * NULL. */
cb_error cb_tap_table_room(cb_tap_table *table, const cb_id *terminal, cb_tap_entry **dropped);

/* Puts a tap in; the table owns it. */
void cb_tap_table_put(cb_tap_table *table, cb_tap_entry *tap);

/* Takes a tap out; the caller owns it (free). CB_E_TAP_UNKNOWN when there is none or it is another terminal's; CB_E_TAP_ORDER when its
 * stage is another: then, and when it has expired (CB_E_TAP_EXPIRED), *out is still given so that the caller ends it. */
cb_error cb_tap_table_take(cb_tap_table *table, const cb_id *tap, const cb_id *terminal,
                           cb_tap_stage stage, cb_tap_entry **out);

/* Takes all expired taps out, as a list. */
cb_tap_entry *cb_tap_table_expired(cb_tap_table *table);

#endif
