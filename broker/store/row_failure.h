/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows of what failed, of cards, holders and terminals (core/failures.h).
 */
#ifndef CB_BROKER_STORE_ROW_FAILURE_H
#define CB_BROKER_STORE_ROW_FAILURE_H

#include "broker/store/txn.h"

typedef enum cb_failure_kind {
    CB_FAILURE_NONE = 0,
    CB_FAILURE_WRONG_PIN = 1, /* as the card has signed it */
    CB_FAILURE_PROOF = 2,     /* one that does not verify: only the terminal says whose it is */
    CB_FAILURE_TOLD_PIN = 3,  /* a wrong PIN, as the terminal says */
    CB_FAILURE_PASSWORD = 4   /* a wrong one, or one that was not looked at */
} cb_failure_kind;

typedef enum cb_failing { CB_OF_CARD = 1, CB_OF_HOLDER = 2, CB_OF_TERMINAL = 3 } cb_failing;

enum { CB_FAILURE_KINDS = 5, CB_FAILURE_DAYS = 92 /* of each subject that are kept */ };

/* "wrong_pin", "proof", "told_pin", "password", as leaves have them; NULL. And back; 0. */
const char *cb_failure_name(uint8_t kind);
uint8_t cb_failure_named(const char *name);

/* "card", "holder", "terminal"; NULL. And back; 0. */
const char *cb_failing_name(uint8_t of);
uint8_t cb_failing_named(const char *name);

typedef struct cb_failure_row {
    uint64_t count[CB_FAILURE_KINDS]; /* of each cb_failure_kind, ever */
    uint64_t pins_row;                /* since the last tap with the right PIN */
    uint64_t proofs_row;              /* since the last tap that succeeded */
    int64_t last;                     /* time of the last one */
    int64_t day;                      /* of the next two */
    uint64_t pins_today, claims_today;
    int64_t window; /* of the next three, which are a terminal's */
    uint64_t counted, proofs_seen, accepted;
} cb_failure_row;

/* All zero when there is none. */
cb_error cb_row_failure_get(cb_txn *txn, uint8_t of, const cb_id *id, cb_failure_row *out);
cb_error cb_row_failure_set(cb_txn *txn, uint8_t of, const cb_id *id, const cb_failure_row *row);

/* Adds to a day, and forgets the oldest day of a subject that has too many. */
cb_error cb_row_failure_day(cb_txn *txn, uint8_t of, const cb_id *id, int64_t day, uint8_t kind,
                            uint64_t count);

/* Takes one failed proof from a day. */
cb_error cb_row_failure_day_take(cb_txn *txn, uint8_t of, const cb_id *id, int64_t day);

/* A tap succeeded: what was in a row is not any more, wrong PINs only if the right one was there.
 */
cb_error cb_row_failure_end(cb_txn *txn, uint8_t of, const cb_id *id, bool with_pin);

/* Who may decide has looked at it: nothing of before counts towards a limit. */
cb_error cb_row_failure_forgive(cb_txn *txn, uint8_t of, const cb_id *id);

/* Of a card at a terminal, in the window that the caller knows: a new one begins with clear. */
cb_error cb_row_failure_at(cb_txn *txn, const cb_id *terminal, const cb_id *card, uint64_t *count);
cb_error cb_row_failure_at_add(cb_txn *txn, const cb_id *terminal, const cb_id *card);
cb_error cb_row_failure_at_take(cb_txn *txn, const cb_id *terminal, const cb_id *card);
cb_error cb_row_failure_at_clear(cb_txn *txn, const cb_id *terminal);

typedef struct cb_failure_day {
    uint8_t of; /* cb_failing */
    cb_id id;
    int64_t day;
    uint64_t count[CB_FAILURE_KINDS];
} cb_failure_day;

typedef struct cb_failure_query {
    uint8_t of; /* 0: any */
    int64_t from, to;
    uint64_t least; /* of all kinds together, in one day */
    const cb_failure_day *after; /* the last one before, of which day, of and id count; NULL: none */
    unsigned limit;
} cb_failure_query;

/* The newest day first. Whoever goes on after the last one has each that is there all the while once. */
typedef cb_error (*cb_failure_visitor)(void *context, const cb_failure_day *day);
cb_error cb_row_failure_each(cb_txn *txn, const cb_failure_query *query, cb_failure_visitor each,
                             void *context);

/* All there is, for a check: in days what the days of each add up to, and how many they are. */
typedef cb_error (*cb_failure_row_visitor)(void *context, uint8_t of, const cb_id *id,
                                           const cb_failure_row *row, const uint64_t *days,
                                           unsigned day_count);
cb_error cb_row_failure_all(cb_txn *txn, cb_failure_row_visitor each, void *context);

#endif
