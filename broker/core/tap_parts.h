/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of tap.h share.
 */
#ifndef CB_BROKER_CORE_TAP_PARTS_H
#define CB_BROKER_CORE_TAP_PARTS_H

#include <pthread.h>

#include "broker/core/decide.h"
#include "broker/core/places.h"
#include "broker/core/rate.h"
#include "broker/core/tap.h"
#include "broker/core/tap_memory.h"
#include "broker/core/tap_table.h"
#include "broker/core/tap_unexplained.h"

struct cb_taps {
    cb_taps_parts parts;
    cb_tap_table *table;
    cb_tap_memory *memory; /* of what was answered last */
    cb_tap_unexplained *unexplained; /* proofs that failed, which a renewal may explain */
    cb_rate *rate;
    cb_rate *codes; /* tries with registration codes */
    cb_places *places;  /* for logins */
    cb_places *changes; /* of passwords: one of each name */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t sweeper;
    bool stopping;
    cb_failure_limits limits;  /* under the lock */
    cb_taps_failures failures; /* likewise */
};

/* What a proof says beside who taps. */
typedef struct cb_tap_identity {
    cb_digest before;   /* of the binding of a password that is changed */
    cb_buf binding;     /* and the one that takes its place: CB_BUF(CB_BINDING_MAX), the caller's */
    uint8_t generation; /* that the card signed, if its row has another; otherwise 0 */
    cb_id changing;     /* the name whose password is being changed; zero: none */
} cb_tap_identity;

/* Who is tapping, as hsmd believes the card's answers. outcome: card, holder, level and what is
 * said of its PIN, as far as they are known, also where it is refused. */
cb_error cb_tap_identify(cb_taps *taps, const cb_tap_context *context, cb_bytes answers,
                         cb_tap_outcome *outcome, cb_tap_identity *identity);

/* What was recorded of a change, or is not: another one of that name may begin. */
void cb_tap_end_change(cb_taps *taps, cb_tap_identity *identity);

/* Hands the tap's worker the revocations that it has not heard of. */
cb_error cb_tap_pass_feed_on(cb_taps *taps, const cb_id *tap);

/* Calls run with the present head of the feed, of which the tap's worker is told what it has not
 * heard. */
cb_error cb_tap_with_head(cb_taps *taps, const cb_id *tap,
                          cb_error (*run)(void *context, const cb_feed_head *head), void *context);

/* Whether this terminal may ask for it now. service: the one that the context names, or NULL; pad:
 * the terminal says that the PIN is typed on its pad. */
cb_error cb_tap_permit(cb_taps *taps, const cb_tap_context *context, const cb_service *service,
                       bool pad);

/* Mistakes of the question, which leave the tap as it was. */
bool cb_tap_may_ask_again(cb_error error);

/* What a tap's second request asks for. */
typedef struct cb_tap_asking {
    const void *question;
    /* Whether it may be asked at this terminal now; writes what it is for into the tap's context.
     */
    cb_error (*admit)(cb_taps *taps, cb_tap_entry *entry, const void *question);
    /* Makes the second script; records why it does not. */
    cb_error (*ask)(cb_taps *taps, cb_tap_entry *entry, const void *question, cb_buf *script);
} cb_tap_asking;

/* Puts it to a tap that has begun. Where admit finds a mistake the tap is as it was, and may be
 * asked something else; with any other error it is over; otherwise it is challenged, for so many
 * seconds. CB_E_TAP_…, and as the two functions. */
cb_error cb_tap_put_question(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                             const cb_tap_asking *asking, cb_buf *script, unsigned *expires_in);

/* Appends the certificates of X.509 in what was read, as the card's row has them.
 * CB_E_CERTIFICATE_FORM, CB_E_MEMORY. */
cb_error cb_tap_take_certificates(const cb_foreign_reading *reading, cb_buf *all);

/* Whether each of them counts now, as its issuer says. */
cb_error cb_tap_ask_issuers(const cb_taps *taps, cb_bytes certificates);

/* The last step of a tap that renews its card's binding. */
cb_error cb_tap_renew_end(cb_taps *taps, const cb_tap_entry *entry, cb_bytes answers,
                          cb_tap_outcome *outcome);

/* The last step of a tap that registers its card. */
cb_error cb_tap_register_end(cb_taps *taps, const cb_tap_entry *entry, cb_bytes answers,
                             cb_tap_outcome *outcome);

/* Ends a tap in hsmd and frees it. */
void cb_tap_drop(cb_taps *taps, cb_tap_entry *tap);

/* What was counted has ended a card or terminal, or should be seen: has it cut off, and logs it. */
void cb_tap_failed(cb_taps *taps, const cb_refusal *refusal, cb_failure_effect *effect);

/* Counts the wrong PINs that a card has signed which proved itself otherwise. The card knows nothing
 * of them any more: with an error the tap must be refused, and the refusal counts them. */
cb_error cb_tap_count_pins(cb_taps *taps, const cb_tap_context *context, cb_tap_outcome *outcome);

/* The rate that is left to a terminal: its own, or less while too much fails there. */
cb_error cb_tap_rate(cb_taps *taps, const cb_terminal *terminal, uint32_t *rate);

/* As cb_tap_refuse, where the terminal's rate was not asked yet: takes from it, and records nothing
 * when it is used up. */
void cb_tap_refuse_early(cb_taps *taps, const cb_tap_context *context, cb_error error);

/* Records that a tap ended before T1, and logs it. Returns error. */
cb_error cb_tap_refuse(cb_taps *taps, const cb_tap_context *context, const cb_tap_outcome *outcome,
                       cb_error error);

#endif
