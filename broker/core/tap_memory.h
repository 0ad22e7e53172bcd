/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the last request of each tap was answered, for terminals to which the answer did not come.
 *
 * A connection can end after the broker has heard a request and before the terminal has heard the
 * answer. The same terminal may then bring the same answers of the card again, on another
 * connection, and is told the same; nothing is done a second time. An answer is remembered for
 * CB_TAP_REMEMBERED, given out again CB_TAP_REPEATS times, known to the terminal that brought the
 * proof alone, and wiped when it is forgotten. Of too many, the oldest are forgotten first.
 */
#ifndef CB_BROKER_CORE_TAP_MEMORY_H
#define CB_BROKER_CORE_TAP_MEMORY_H

#include "base/clock.h"
#include "base/crypto.h"
#include "broker/core/tap.h"

#define CB_TAP_REMEMBERED (30 * CB_SECOND)
enum { CB_TAP_REPEATS = 8, CB_TAP_MEMORY_MOST = 4096, CB_TAP_MEMORY_BYTES = 16 * 1024 * 1024 };

typedef struct cb_tap_memory cb_tap_memory;

/* Whose proof it is: all three must be the same. */
typedef struct cb_tap_question_id {
    cb_id tap;
    cb_id terminal;
    cb_digest answers; /* SHA-256 of what the card answered, encoded as in cardlink/script.h */
} cb_tap_question_id;

/* How a tap ended. */
typedef struct cb_tap_word {
    cb_error error;
    cb_id key;        /* that was used at the service; zero: none */
    int64_t intended; /* the intent's time */
    cb_tap_outcome outcome;
} cb_tap_word;

cb_error cb_tap_memory_open(cb_tap_memory **out);
void cb_tap_memory_close(cb_tap_memory **memory);

/* CB_OK: nobody has brought this proof; the caller works on it now and says how it ended with
 * cb_tap_memory_put or cb_tap_memory_forget. CB_E_EXISTS: it was answered, and word is a copy of
 * the answer (cb_tap_outcome_free). CB_E_TAP_UNDER_WAY: another request works on it.
 * CB_E_TAP_UNKNOWN: other answers were brought for this tap, or it was asked too often.
 * CB_E_MEMORY. */
cb_error cb_tap_memory_claim(cb_tap_memory *memory, const cb_tap_question_id *question,
                             cb_tap_word *word);

/* Remembers a copy; without memory for it, nothing. */
void cb_tap_memory_put(cb_tap_memory *memory, const cb_tap_question_id *question,
                       const cb_tap_word *word);

/* There is nothing to remember. */
void cb_tap_memory_forget(cb_tap_memory *memory, const cb_tap_question_id *question);

/* The card of a tap of this terminal that was refused because that card is revoked.
 * CB_E_TAP_UNKNOWN. */
cb_error cb_tap_memory_revoked(cb_tap_memory *memory, const cb_id *tap, const cb_id *terminal,
                               cb_id *card);

/* Forgets what is too old. now is monotonic. */
void cb_tap_memory_sweep(cb_tap_memory *memory, int64_t now);

/* How many proofs are under way or remembered. */
unsigned cb_tap_memory_count(cb_tap_memory *memory);

#endif
