/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A tap, from the front end's side: three requests of a terminal (docs/architecture.md, "A tap").
 *
 *   start      opens a tap in hsmd, gives the first script
 *   challenge  says what the tap is for, gives the second script
 *   proof      the card is believed by hsmd, the intent is recorded (T1), the service is logged in
 * at, the result is recorded (T2), and only then given out
 *
 * The front end holds no key and believes nothing hsmd did not say: here is only the order of
 * things. A tap belongs to the terminal that started it. Functions block; called by the HTTP
 * workers, in any number of threads.
 */
#ifndef CB_BROKER_CORE_TAP_H
#define CB_BROKER_CORE_TAP_H

#include "broker/core/failures.h"
#include "broker/core/registry.h"
#include "broker/core/session.h"
#include "cardlink/context.h"
#include "connectors/client.h"
#include "cardlink/registration.h"
#include "hsm/client.h"

enum { CB_TAP_TEXT_MAX = 4096 };

typedef struct cb_taps cb_taps;

typedef struct cb_taps_parts {
    struct cb_store *store;
    cb_hsm *hsm;
    cb_connectors *connectors;
    cb_sessions *sessions;
    unsigned most;               /* taps at a time; 0: 4096 */
    int64_t login_deadline;      /* microseconds a connector may take; 0: 15 s */
    unsigned logins_per_service; /* at a time; 0: 8 */
    cb_certificate_status certificate_status; /* may wait a moment; NULL: no issuer is configured */
    void *status_context;
    const cb_failure_limits *failures; /* copied; NULL: the defaults */
    /* A card was suspended, or a terminal de-activated, for what failed, or a card was revoked for
     * another one in its place: its sessions are to be cut and hsmd told. Called by the thread of
     * the tap; may be NULL. */
    void (*ended)(void *context, const cb_session_match *match, const cb_affected *affected);
    void *ended_context;
    const cb_card_rules *rules; /* for cards that are registered in a tap; NULL: none */
    int64_t renewal; /* microseconds before the end of a card's certificates from which on it may be
                        asked for newer ones in its taps; 0: only when they do not count any more */
    int64_t maintenance; /* microseconds that maintenance of a terminal may last; 0: 8 hours */
} cb_taps_parts;

cb_error cb_taps_open(const cb_taps_parts *parts, cb_taps **out);
void cb_taps_close(cb_taps **taps);

/* Taps under way now. */
unsigned cb_taps_count(cb_taps *taps);

/* Other limits, from now on. */
void cb_taps_set_limits(cb_taps *taps, const cb_failure_limits *limits);
cb_failure_limits cb_taps_limits(cb_taps *taps);

/* What failed, and what that has led to, since the start. */
typedef struct cb_taps_failures {
    uint64_t failed[CB_FAILURE_KINDS];
    uint64_t suspended, slowed, stopped, noted;
} cb_taps_failures;

cb_taps_failures cb_taps_failed(cb_taps *taps);

/* CB_E_TERMINAL_SOFTWARE, CB_E_TERMINAL_RATE, CB_E_BUSY, CB_E_HSM_DOWN. Appends the script; *expires_in in seconds. */
cb_error cb_tap_start(cb_taps *taps, const cb_id *terminal, uint8_t profile, cb_id *tap,
                      cb_buf *script, unsigned *expires_in);

typedef struct cb_tap_question {
    uint8_t purpose;     /* cb_tap_purpose */
    const cb_id *after;  /* the tap that was refused because its card is revoked: to end that card;
                            otherwise NULL */
    const cb_id *card;   /* to which a new PIN was allowed: for CB_TAP_PIN_RESET; otherwise NULL */
    const char *service; /* NULL unless the purpose is to authenticate */
    const char *text;    /* shown to the holder; NULL: none; at most CB_TAP_TEXT_MAX bytes */
    cb_bytes pin;        /* ciphertext; empty: none */
    bool pad;            /* if a PIN goes to the card in the clear, it is typed on the terminal's pad */
    cb_bytes answers;    /* to the first script, encoded as in cardlink/script.h */
} cb_tap_question;

/* CB_E_TAP_UNKNOWN (also for another terminal's tap), CB_E_TAP_EXPIRED, CB_E_TAP_ORDER,
 * CB_E_SERVICE_UNKNOWN, CB_E_TERMINAL_SERVICE, CB_E_TERMINAL_KIND, CB_E_PIN_PAD, CB_E_PIN_REQUIRED, CB_E_SERVICE_BUSY, CB_E_STATE (to
 * end a card that is not revoked), and what cb_hsm_tap_challenge returns. */
cb_error cb_tap_challenge(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                          const cb_tap_question *question, cb_buf *script, unsigned *expires_in);

/* What a terminal brings to register the card that lies there by a one-time code. */
typedef struct cb_tap_registration {
    cb_foreign_reading reading; /* its profile is the tap's */
    cb_registration_word word;
} cb_tap_registration;

enum { CB_TAP_CODES_A_MINUTE = 10 }; /* tries with codes, of one terminal */

/* In the place of cb_tap_challenge. Errors as there and of cb_hsm_tap_register;
 * CB_E_CARD_REGISTERED, CB_E_REGISTRATION_RATE. */
cb_error cb_tap_register(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                         const cb_tap_registration *registration, cb_buf *script,
                         unsigned *expires_in);

/* Likewise, to bind the card that lies there with the certificates that it has now. reading: its
 * profile is the tap's. Errors as of cb_tap_challenge and cb_hsm_tap_renew. */
cb_error cb_tap_renew(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                      const cb_foreign_reading *reading, cb_buf *script, unsigned *expires_in);

/* Whether the error with which a tap ended is one of a card whose certificates another tap may
 * renew while it lies there, if it has newer ones. */
bool cb_tap_may_renew(cb_taps *taps, const cb_id *terminal, const cb_id *tap, cb_error error);

typedef struct cb_tap_outcome {
    char service[CB_SERVICE_NAME_MAX + 1]; /* "" if the purpose has none */
    cb_id card;                            /* zero while not known */
    cb_id holder;
    cb_id claimed; /* the name that a password was typed for, whether there is such a one or not */
    uint8_t level;
    bool pin_seen;          /* a PIN was verified that the terminal saw */
    uint8_t pin_tries_left; /* for CB_E_PIN_WRONG */
    uint32_t wrong_pins;    /* as cb_refusal; counted when the tap has ended */
    bool proof_heard;       /* as cb_refusal */
    uint32_t counter;
    int64_t begun;
    cb_id session;          /* zero: none */
    uint8_t kind;           /* cb_session_kind; 0: none (PIN purposes) */
    cb_buf value;           /* as cb_login_result; for a relayed session the one-time URL */
    int64_t expires;
    bool may_end; /* the card is revoked, and could be ended by another tap while it lies there */
    bool ended;   /* it was, and said so */
    bool registered; /* the card is its holder's now */
    cb_id replaces;  /* and this one of his is dead; zero: none */
    bool may_renew;  /* its certificates will soon be over, or its key is another than it is bound
                        with, and another tap could bring newer ones */
    bool renewed;    /* it is bound with the certificates that it has now */
} cb_tap_outcome;

void cb_tap_outcome_free(cb_tap_outcome *outcome);

/* CB_OK only for an accept whose evidence is stored. Whatever else is returned, the tap has ended
 * and no session is open. The same terminal may ask again with the same answers, and is told the
 * same (tap_memory.h): CB_E_TAP_UNDER_WAY while the first request is; for an accept, as long as
 * cb_decide_again says so. */
cb_error cb_tap_proof(cb_taps *taps, const cb_id *terminal, const cb_id *tap, cb_bytes answers,
                      cb_tap_outcome *outcome);

/* The terminal says that it does not go on with a tap: recorded as refused with that reason, as the
 * terminal's word, with how far the tap had come. A tap whose answers to the first script were not
 * brought yet counts for the terminal's rate, and is not recorded when that is used up.
 * CB_E_TAP_UNKNOWN. With any other error nothing is recorded, and the tap has not ended. */
cb_error cb_tap_break_off(cb_taps *taps, const cb_id *terminal, const cb_id *tap, cb_error reason);

#endif
