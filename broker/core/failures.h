/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Failed proofs, wrong PINs and wrong passwords: how many, whose, where, and when that is too many
 * (S0-7.5.1; docs/decisions/0027).
 *
 * What is counted is counted in the transaction that records it, so that no crash loses one and no
 * repeated answer counts twice; its leaf says so, and the record can be counted again
 * (evidence/check_failures.c).
 *
 * Who is blamed depends on who says it. A wrong PIN that a card has signed is that card's: too many
 * suspend it. A proof that does not verify, a wrong PIN that only the terminal tells of, and a
 * password, say nothing of a card or a holder that anybody would have to believe: they never end
 * anything of theirs, and count against the terminal that brought them, which is slowed down, and
 * for proofs de-activated, until an administrator has looked.
 */
#ifndef CB_BROKER_CORE_FAILURES_H
#define CB_BROKER_CORE_FAILURES_H

#include "broker/core/registry.h"
#include "broker/store/row_failure.h"

/* 0: no such limit. */
typedef struct cb_failure_limits {
    uint32_t pins_in_row;  /* signed by the card, without a right one between: it is suspended */
    uint32_t pins_a_day;   /* likewise, whatever is between */
    uint32_t claims_a_day; /* of one card or holder: noted in the record, once a day */
    int64_t window;        /* of what follows, microseconds; not 0 */
    uint32_t of_one_card;  /* claims, and passwords of one name, that count at a terminal; those of
                              cards that are not registered count as one card's */
    uint32_t slow;         /* of them, when there are more than taps that succeeded: slowed down */
    uint32_t slow_rate;    /* to so many taps a minute; not 0 */
    uint32_t stop;         /* failed proofs: de-activated */
} cb_failure_limits;

extern const cb_failure_limits cb_failure_limits_default;

typedef struct cb_failure {
    uint8_t kind;                 /* cb_failure_kind */
    uint32_t count;               /* more than one of CB_FAILURE_WRONG_PIN alone */
    cb_id card, holder, terminal; /* as they were claimed; zero: not known */
    cb_id place; /* whose claims count together at the terminal: the card's; of a password the name
                    that was typed, so that when a terminal is slowed down does not tell whether
                    there is such a name */
    int64_t time;                 /* of the leaf */
} cb_failure;

/* What counting has led to. Zero it before use, free it afterwards. */
typedef struct cb_failure_effect {
    uint8_t kind;   /* that was counted; CB_FAILURE_NONE: nothing was */
    uint32_t count; /* likewise */
    bool suspended; /* the card */
    bool slowed;    /* the terminal, from now on */
    bool stopped;   /* the terminal */
    bool noted;     /* the card, or the holder */
    bool counts;    /* towards the terminal's limits */
    int64_t time;   /* of the leaf */
    cb_affected of_card, of_terminal;
} cb_failure_effect;

void cb_failure_effect_free(cb_failure_effect *effect);

/* ---- Within a transaction ---- */

/* Counts, and does what the limits say, each act with a leaf of its own. limits NULL: counts only.
 */
cb_error cb_failures_count(cb_txn *txn, const cb_failure *failure, const cb_failure_limits *limits,
                           cb_failure_effect *effect);

/* The fields of a leaf that say what was counted. */
void cb_failure_leaf(cb_buf *leaf, const cb_failure *failure);

/* A tap of this card succeeded. */
cb_error cb_failures_end(cb_txn *txn, const cb_id *card, const cb_id *holder, const cb_id *terminal,
                         bool with_pin);

/* A failed proof was one of a key that the card's issuer made on it, which its renewal has shown:
 * takes it back of card, holder and terminal, and says so in a leaf of its own,
 * "failures.explained". What it has led to meanwhile stays. limits: those that it was counted with.
 */
cb_error cb_failures_explain(cb_txn *txn, const cb_failed_proof *failed,
                             const cb_failure_limits *limits, int64_t now);

/* ---- Reading ---- */

/* All zero for who never failed. */
cb_error cb_failures_get(cb_store *store, uint8_t of, const cb_id *id, cb_failure_row *out);

/* Whether a terminal is slowed down now. */
bool cb_failures_slow(const cb_failure_row *terminal, const cb_failure_limits *limits, int64_t now);

cb_error cb_failures_report(cb_store *store, const cb_failure_query *query, cb_failure_visitor each,
                            void *context);

#endif
