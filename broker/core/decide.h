/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The only place that decides whether a login goes ahead (T1) and whether it counts (T2).
 *
 * T1 reads card, holder, terminal, service and enrolment under the writer's lock and records an
 * intent; no key is used without one. T2 reads them again and records the result; only a T2 that
 * says accepted, and whose evidence is stored under a stored signed head, releases what the service
 * answered. A revocation is a transaction of the same writer: it stands either before a T2, which
 * is then not accepted, or after it, and then it lists the session that the T2 opened.
 *
 * "Since T1" includes a renewal that retired the key: a result made with it is withdrawn too.
 *
 * Errors in common: CB_E_BUSY (T1 only), CB_E_HSM_DOWN (the head could not be signed or stored in
 * time), CB_E_STORE, CB_E_STORE_FULL, CB_E_HSM_ROLLED_BACK.
 */
#ifndef CB_BROKER_CORE_DECIDE_H
#define CB_BROKER_CORE_DECIDE_H

#include "broker/core/failures.h"
#include "broker/core/registry.h"

/* A card's binding and state, to pass on to cb_hsm_tap_activate. out as cb_card_get.
 * CB_E_CARD_UNKNOWN. Says CB_OK for a card in any state: T1 refuses. */
cb_error cb_decide_lookup_card(cb_store *store, const cb_id *card, cb_card *out);

/* CB_OK for an active card whose last day is not over now; CB_E_CARD_NOT_ACTIVE, CB_E_CARD_SUSPENDED,
 * CB_E_CARD_EXPIRED, CB_E_CARD_REVOKED (also for one that was given back or destroyed). */
cb_error cb_card_refusal(const cb_card *card);

/* Why a tap gives it no new certificates: CB_OK also for one that is over by those that it has, and
 * not marked so yet; otherwise the same. */
cb_error cb_card_renewal_refusal(const cb_card *card, int64_t now);

typedef struct cb_intent_request {
    cb_tap_context context; /* purpose CB_TAP_AUTHENTICATE; as the card's proof was made for */
    cb_id card;             /* these three as hsmd activated them */
    cb_id holder;
    uint8_t reached;
    bool pin_seen; /* a PIN was verified that the terminal saw; one may have been that no level tells of */
    bool pad;      /* the terminal says that the PIN was typed on its pad */
    uint8_t
        generation; /* that the card signed, where its row has another; 0: nothing to write down */
    uint32_t counter; /* of native and SCP03 cards: which of their proofs this is; 0: others */
} cb_intent_request;

typedef struct cb_intent_grant {
    cb_intent_proof proof; /* for cb_hsm_tap_open_key; proof.intent.key is the key */
    cb_id enrolment;
    cb_service service;   /* connector, config, life, idle, kind */
    cb_enrolment_key key; /* sealed, certificate, chain, public key, algorithm */
    cb_buf data;          /* the enrolment's JSON */
} cb_intent_grant;

void cb_intent_grant_init(cb_intent_grant *grant);
void cb_intent_grant_free(cb_intent_grant *grant);

/* T1. CB_E_CARD_UNKNOWN, CB_E_CARD_NOT_ACTIVE, CB_E_CARD_SUSPENDED, CB_E_CARD_EXPIRED, CB_E_CARD_REVOKED,
 * CB_E_TERMINAL_UNKNOWN, CB_E_TERMINAL_REVOKED, CB_E_TERMINAL_SERVICE, CB_E_SERVICE_UNKNOWN,
 * CB_E_CARD_COUNTER, CB_E_TERMINAL_KIND, CB_E_TERMINAL_SOFTWARE, CB_E_PIN_PAD, CB_E_TAP_LEVEL, CB_E_ENROLMENT_NONE, CB_E_ENROLMENT_PENDING, CB_E_HSM_RECORD (the holder that
 * hsmd took from the binding is not the card's holder here, or a row is not what the log says of it:
 * said.h), CB_E_EVIDENCE (the log is not the one that was signed): refused, nothing recorded yet; call
 * cb_decide_refused. CB_E_EXISTS: this tap has an intent. CB_E_HSM_DOWN after the intent was
 * recorded: it is closed here, as failed. So after any error there is no intent to close, and after
 * CB_OK the caller ends it with exactly one cb_decide_result. */
cb_error cb_decide_intent(cb_store *store, const cb_intent_request *request, cb_intent_grant *out);

enum { CB_RESULT_RECEIPTS = 16 };

typedef struct cb_result_request {
    cb_id tap;
    cb_error outcome; /* CB_OK: the service has accepted; otherwise why there is no login */
    const cb_bytes
        *receipts; /* of the uses of the key, in order; they are recorded for every outcome */
    size_t receipt_count;
    cb_id session;   /* opened at the service; zero: none stays open that the broker could cut */
    uint8_t kind;    /* cb_session_kind */
    int64_t expires; /* wall clock, or 0 */
    bool pin_seen;   /* as at T1 */
    bool pad;        /* as at T1, recorded */
    uint32_t counter; /* as at T1 */
} cb_result_request;

/* T2. With outcome CB_OK: CB_OK is the accept; CB_E_TAP_WITHDRAWN means that something was revoked,
 * suspended or removed since T1 (recorded as such); after any error the caller discards the result
 * and logs the session out; if the accept had been committed but its head could not be stored
 * (CB_E_HSM_DOWN), that it was withheld is recorded too (kind "tap.withheld"). With another
 * outcome: CB_OK when it is recorded (its head may wait for a signature). CB_E_STATE: no intent of
 * this tap is open. */
cb_error cb_decide_result(cb_store *store, const cb_result_request *request);

/* A tap that ended before T1. Unknown fields are zero or "". */
typedef struct cb_refusal {
    cb_id tap;
    cb_id terminal;
    cb_id card;
    cb_id holder;
    cb_id claimed;       /* of a name and a password: the name's, whether there is such a one or not */
    const char *service; /* "" or NULL: none */
    uint8_t purpose;     /* cb_tap_purpose; recorded when it is about the PIN */
    const char *step; /* how far it had come, recorded with who said so: the terminal; NULL: none */
    cb_error error;
    uint8_t pin_tries_left; /* recorded for CB_E_PIN_WRONG and CB_E_PIN_BLOCKED */
    uint8_t profile;        /* cb_profile_id */
    uint32_t wrong_pins;    /* since its last proof, as the card has signed and hsmd believed it */
    bool proof_heard;       /* a proof came here that its card has counted */
    uint32_t counter;       /* which of its proofs, if hsmd believed it; otherwise 0 */
    int64_t begun;          /* the tap; wall clock */
    const cb_failure_limits *limits; /* NULL: only counted */
} cb_refusal;

/* Counts what failed, in the same transaction (failures.h). effect: what that has led to; NULL:
 * nobody asks. What it has ended the caller cuts off. CB_E_STORE_FULL also where only the last of
 * the disk is left, unless a card has signed wrong PINs: for them it is used. */
cb_error cb_decide_refused(cb_store *store, const cb_refusal *refusal, cb_failure_effect *effect);

/* A card that proved itself has signed that wrong PINs were tried since its last proof, which
 * nobody brought: kind "tap.wrong_pins", before T1, which looks whether it is suspended by then.
 * The card has forgotten them with that proof: where they are not recorded, the tap must not go
 * on. */
cb_error cb_decide_wrong_pins(cb_store *store, const cb_refusal *refusal,
                              cb_failure_effect *effect);

/* An accept that is to be given out once more, because its terminal did not hear it. */
typedef struct cb_again_request {
    cb_id tap;
    cb_id terminal;
    cb_id card;
    cb_id holder;
    const char *service;
    cb_id key;        /* with which the login was made */
    int64_t intended; /* when: the intent's time */
    uint8_t reached;
    bool pin_seen;
    cb_id session;    /* zero: none that the broker can cut */
} cb_again_request;

/* Reads under the writer's lock what T2 read: a revocation stands either before, and refuses, or
 * after, and finds the same session. CB_OK when that it was given out again is recorded (kind
 * "tap.repeated") and its head stored; CB_E_TAP_WITHDRAWN; CB_E_SESSION_ENDED. */
cb_error cb_decide_again(cb_store *store, const cb_again_request *request);

/* A PIN was changed, unblocked or reset (context.purpose says which): kind "tap.pin". Reads card,
 * holder and terminal as T1 does; what it finds is recorded and returned. CB_OK when it is recorded
 * as done and its head is stored. CB_E_CARD_COUNTER: nothing is recorded yet; call
 * cb_decide_refused. */
cb_error cb_decide_pin(cb_store *store, const cb_intent_request *request);

/* A holder put another password in the place of his own, as hsmd bound it (binding), from the one
 * whose binding has the digest before: kind "tap.password", and what a renewal of a card writes.
 * CB_OK when it is recorded and its head is signed; CB_E_TAP_WITHDRAWN: the name has another
 * password since; CB_E_UNSIGNED; and as cb_decide_pin. */
cb_error cb_decide_password(cb_store *store, const cb_intent_request *request,
                            const cb_digest *before, cb_bytes binding);

/* Whether a decision would be taken at once: waits for the record to be read again after a start.
 * Errors as of cb_store_checked. */
cb_error cb_decide_ready(cb_store *store);

/* A revoked card was ended by the broker's command, and has signed that it was: kind
 * "tap.card_ended". CB_OK when it is recorded and its head is stored. */
cb_error cb_decide_card_end(cb_store *store, const cb_intent_request *request);

typedef struct cb_session_over {
    cb_id session;
    const char *why; /* a short word (core/session.h) */
} cb_session_over;

/* The ends of sessions that T2 recorded, many in one transaction. Passes over those that are not
 * open, of which a revocation may have been one; CB_E_SESSION_UNKNOWN when none of them is. */
cb_error cb_decide_session_ends(cb_store *store, const cb_session_over *over, size_t count);

/* ---- The revocation feed, for hsmd ---- */

/* The head as of now: never older than the last revocation that was acknowledged. */
cb_error cb_feed_head_now(cb_store *store, cb_feed_head *out);

/* Entries with a greater number, in order, at most max. */
cb_error cb_feed_since(cb_store *store, uint64_t number, cb_feed_entry *entries, size_t max,
                       size_t *count);

#endif
