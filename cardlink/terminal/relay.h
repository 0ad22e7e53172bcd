/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The terminal's end of the broker's REST interface (docs/architecture.md, "REST, for terminals").
 *
 * One cb_relay is one kept TLS connection, for one thread at a time: both sides show certificates,
 * the broker's is checked against the configured CA file and the host name, sessions are never
 * resumed (a resumed one would not carry the certificate). Every answer has a deadline and a
 * greatest size. Only what changes nothing is asked twice by itself (begin, services, and only when
 * the connection failed); a challenge never is, a proof when the caller brings it again: the broker
 * answers it once and the same for a while (tap.h). Scripts, answers and results are never
 * logged, and wiped when they are let go.
 *
 * Functions return CB_OK or an error that *problem describes: CB_E_BROKER_DOWN,
 * CB_E_BROKER_CERTIFICATE, CB_E_TIMEOUT, CB_E_PROTOCOL (an answer that is none, or breaks a limit),
 * or what the broker said.
 */
#ifndef CB_CARDLINK_TERMINAL_RELAY_H
#define CB_CARDLINK_TERMINAL_RELAY_H

#include <jansson.h>

#include "cardlink/journal.h"
#include "cardlink/profile.h"
#include "cardlink/registration.h"
#include "cardlink/script.h"
#include "cardlink/terminal/problem.h"

#define CB_RELAY_TIME_MAX INT64_C(32503680000) /* seconds: the year 3000 */

enum { CB_RELAY_BODY_MAX = 256 * 1024, CB_RELAY_EXPIRES_MAX = 600, CB_RELAY_TEXT_MAX = 4096 };

typedef struct cb_relay_settings {
    const char *broker;                 /* https://host:port */
    const char *ca, *certificate, *key; /* paths; certificate NULL: a terminal that has none yet */
    int64_t timeout;                    /* microseconds for one answer */
    cb_bytes certificate_pem, key_pem;  /* in the place of the files, as long as the relay is open;
                                           empty: what the files hold when a connection is made */
    bool maintenance; /* its taps are about maintenance, and begin while that is under way, too */
} cb_relay_settings;

typedef struct cb_relay cb_relay;

/* Before any thread is started: once in a process. */
cb_error cb_relay_init(void);

/* Does not connect yet. The settings are copied. CB_E_MEMORY. */
cb_error cb_relay_open(const cb_relay_settings *settings, cb_relay **out);
void cb_relay_close(cb_relay **relay);

/* Microseconds that one answer may take. */
int64_t cb_relay_timeout(const cb_relay *relay);

/* A tap that was begun: its name, the script to play now, and until when (monotonic) its answers
 * may be brought. */
typedef struct cb_relay_tap {
    cb_id id;      /* zero: none */
    const cb_card_profile *profile; /* of the card it is for */
    cb_buf script; /* encoded as in cardlink/script.h */
    int64_t expires;
    int64_t ahead; /* how far the broker's clock is ahead of this one, microseconds; 0: not said */
} cb_relay_tap;

void cb_relay_tap_init(cb_relay_tap *tap);
void cb_relay_tap_free(cb_relay_tap *tap);

/* What a tap is for. */
typedef struct cb_relay_question {
    uint8_t purpose;     /* cb_tap_purpose */
    const cb_id *after;  /* the tap whose card is to be ended; otherwise NULL */
    const cb_id *card;   /* that takes a new PIN by a manager's permission; otherwise NULL */
    const char *service; /* "" unless the purpose is to authenticate */
    const char *text;    /* shown to the holder; "": none */
    cb_bytes pin;        /* ciphertext; empty: none */
    bool pad;            /* a PIN that goes to the card in the clear is typed on the reader's pad */
} cb_relay_question;

/* Opens a tap for a card of this profile. */
cb_error cb_relay_begin(cb_relay *relay, const cb_card_profile *profile, cb_relay_tap *tap,
                        cb_problem *problem);

/* answers: encoded. On success tap holds the second script. */
cb_error cb_relay_challenge(cb_relay *relay, cb_relay_tap *tap, const cb_relay_question *question,
                            cb_bytes answers, cb_problem *problem);

/* On success *result is the broker's answer, whose outcome is "accepted"; the caller ends it with
 * json_decref. */
cb_error cb_relay_proof(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers, json_t **result,
                        cb_problem *problem);

/* The same for a tap that ends a revoked card: CB_OK when the broker says that it was. */
cb_error cb_relay_card_ended(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                             cb_problem *problem);

/* In the place of a challenge: the card is to be registered with a code. On success tap holds the
 * second script. */
cb_error cb_relay_register(cb_relay *relay, cb_relay_tap *tap, const cb_foreign_reading *reading,
                           const cb_registration_word *word, cb_problem *problem);

/* The proof of such a tap, as cb_relay_proof; its outcome is "registered". */
cb_error cb_relay_registered(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                             json_t **result, cb_problem *problem);

/* In the place of a challenge: a registered card is to be bound with the certificates that it has
 * now. On success tap holds the second script. */
cb_error cb_relay_renewal(cb_relay *relay, cb_relay_tap *tap, const cb_foreign_reading *reading,
                          cb_problem *problem);

/* The proof of such a tap, as cb_relay_proof; its outcome is "renewed". */
cb_error cb_relay_renewed(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                          json_t **result, cb_problem *problem);

/* Says that the tap is not gone on with, and why: a stable code that the broker knows
 * (card.removed, card.answer, reader.failed, broker.unreachable, pin.required, pin.format,
 * pin.uncertain, pin.cancelled). */
cb_error cb_relay_end(cb_relay *relay, const cb_relay_tap *tap, const char *reason,
                      cb_problem *problem);

/* Says that this terminal is over, and why ("erased", "tamper"). Asked again when the connection
 * failed. CB_OK also when the broker knows it already. */
cb_error cb_relay_leave(cb_relay *relay, const char *why, cb_problem *problem);

/* Asks for the certificate of a key: with the one-time code of the terminal of that name (not NULL),
 * or as the terminal itself. request: PKCS#10, DER. On success the certificate (DER) is appended to
 * out; its key is not looked at here. Asked again when the connection failed, for the broker then
 * says the same. */
cb_error cb_relay_certificate(cb_relay *relay, const char *name, const char *code, cb_bytes request,
                              cb_buf *out, cb_problem *problem);

/* What became of a card of which its holder said that it is lost. */
typedef struct cb_relay_suspended {
    const char *state;   /* what the card is then; static */
    bool code_withdrawn; /* one that was to put another card in its place */
} cb_relay_suspended;

/* Suspends the card of a holder's code (its text). */
cb_error cb_relay_suspend(cb_relay *relay, const char *code, cb_relay_suspended *out,
                          cb_problem *problem);

/* Entries of the terminal's log (cardlink/journal.h), the heads around them, and the signature of
 * the later one by the key of the point. */
typedef struct cb_relay_log {
    cb_journal_head before, after;
    cb_bytes entries;
    uint8_t point[CB_P256_POINT];
    uint8_t signature[CB_P256_SIGNATURE];
} cb_relay_log;

/* Brings them. On success *taken is the head of what the broker has. Asked again when the
 * connection failed, for the broker takes them once. */
cb_error cb_relay_bring(cb_relay *relay, const cb_relay_log *log, cb_journal_head *taken,
                        cb_problem *problem);

/* On success *services is the list of what this terminal may ask for; ended with json_decref. */
cb_error cb_relay_services(cb_relay *relay, json_t **services, cb_problem *problem);

#endif
