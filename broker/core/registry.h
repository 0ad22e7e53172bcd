/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The registry: who holds which card, which terminals may ask for which services, and which keys
 * stand ready.
 *
 * Every act is one transaction with its evidence leaf (kind "card.revoked" and so on,
 * docs/architecture.md), which names the actor: 1 to 128 printable ASCII characters. Acts are
 * durable when they return CB_OK. In common:
 *
 *   CB_E_ARGUMENT    a value is missing, too long or not allowed
 *   CB_E_NOT_FOUND   no such row; also a holder or service that is referred to
 *   CB_E_EXISTS      it is there already
 *   CB_E_STATE       not from this state (the tables are in state.c)
 *   CB_E_BUSY        too many changes wait; never for revocations, suspensions and removals
 *   CB_E_HSM_DOWN    the log lane does not answer; never for revocations, suspensions and removals
 *   CB_E_UNSIGNED    the same, but noticed too late: the act is done; likewise never for those
 *   CB_E_STORE, CB_E_STORE_FULL, CB_E_HSM_ROLLED_BACK   nothing was changed
 *
 * Lists call each row's visitor in the order of ids (services: names) and stop at the first error,
 * which they return. A page is what follows "after" (zero id or "": from the start), limit rows at
 * most (0: 100, at most CB_PAGE_LIMIT).
 */
#ifndef CB_BROKER_CORE_REGISTRY_H
#define CB_BROKER_CORE_REGISTRY_H

#include "base/code.h"
#include "broker/store/rows.h"
#include "broker/store/store.h"

/* The taps and sessions that an act has put an end to: no T2 for these taps will be accepted, and
 * the caller cuts these sessions (cb_sessions_cut). Zero it before use, free it afterwards. */
typedef struct cb_affected {
    cb_id *taps;
    size_t tap_count;
    cb_id *sessions;
    size_t session_count;
    uint64_t feed_number; /* of the entry made; 0: none */
    size_t code_count;    /* registration codes that were withdrawn */
} cb_affected;

void cb_affected_free(cb_affected *affected);

/* ---- Holders ---- */

cb_error cb_holder_add(cb_store *store, const char *actor, const char *name, cb_holder *out);
/* With an identifier of the caller's, so that it may be repeated: CB_E_EXISTS then. */
cb_error cb_holder_add_as(cb_store *store, const char *actor, const cb_id *id, const char *name,
                          cb_holder *out);
cb_error cb_holder_get(cb_store *store, const cb_id *id, cb_holder *out);
cb_error cb_holder_list(cb_store *store, const cb_id *after, unsigned limit,
                        cb_error (*each)(void *context, const cb_holder *holder), void *context);

/* ---- Cards: docs/card-life.md; the table is in state.c ---- */

/* binding is the record that cb_hsm_bind or cb_hsm_bind_foreign made; card, holder, profile, level are read from it. certificates are those
 * that a foreign card was bound with (DER, one after another, in the binding's order: CB_E_ARGUMENT for others); none for a native card. State: issued. */
cb_error cb_card_add(cb_store *store, const char *actor, cb_bytes binding, cb_bytes certificates,
                     cb_card *out);

enum { CB_STOCK_NAME_MAX = 63 }; /* bytes of a manufacturer's name, a serial, a station: printable ASCII */

typedef enum cb_stock_demand {
    CB_STOCK_NOT_DEMANDED = 0,
    CB_STOCK_OF_NATIVE = 1, /* cards that this broker's issuers made */
    CB_STOCK_OF_ALL = 2
} cb_stock_demand;

/* What an installation demands of each card that is issued (stock.h). */
typedef struct cb_card_rules {
    bool applications; /* an approved application */
    uint8_t stock;     /* that it is in stock: cb_stock_demand */
} cb_card_rules;

/* What is known of a card that is issued. NULL texts and zero identifiers: not given. */
typedef struct cb_card_new {
    cb_bytes binding, certificates; /* as cb_card_add */
    int64_t expires;                /* an own last moment, wall clock; the card ends then, or with its certificates before; 0: none */
    const char *station;            /* the machine that it is issued at */
    const char *manufacturer, *serial; /* as the manufacturer's list has it; both or none */
    cb_id application;                 /* that it is issued for */
    const struct cb_card_rules *rules; /* NULL: none */
    const char *holder_name; /* enters the binding's holder by this name, unless he is there: CB_E_EXISTS if by another name; NULL: he is there */
    bool activate;           /* in the same transaction */
    cb_id replaces;                    /* set by cb_card_replace */
} cb_card_new;

/* As cb_card_add, which gives no more than binding and certificates. CB_E_CARD_UNLISTED, CB_E_APPLICATION_NONE: a rule is not met, which is
 * recorded as a mismatch. */
cb_error cb_card_issue(cb_store *store, const char *actor, const cb_card_new *fresh, cb_card *out);

/* Whether it may be issued, asked before hsmd binds it, which is for good. Of fresh: what the list calls it, application, replaces, holder_name,
 * rules. Of the card: holder, profile, and its id if that is known (zero: what a list says of it by its id alone is not looked at). Errors and
 * mismatches as of cb_card_issue; CB_E_NOT_FOUND: there is no such holder. */
cb_error cb_card_issuable(cb_store *store, const char *actor, const cb_card_new *fresh,
                          const cb_card *card);

/* Puts the record that cb_hsm_renew_foreign made, and the certificates in it, in the place of the card's. When keys changed, the feed retires the
 * binding of before in the same transaction. CB_E_ARGUMENT (of another card, holder, profile or level; not numbered higher; a native card),
 * CB_E_EXISTS (it is the card's already), CB_E_STATE (revoked). */
cb_error cb_card_renew(cb_store *store, const char *actor, const cb_id *id, cb_bytes binding,
                       cb_bytes certificates, cb_card *out);

/* A proof that did not verify, as it was counted. */
typedef struct cb_failed_proof {
    cb_id tap; /* in which it came; zero: there was none */
    cb_id card, holder, terminal;
    int64_t time; /* of its leaf */
    bool counts;  /* towards the limits of the terminal, in the window of that time */
} cb_failed_proof;

struct cb_failure_limits; /* failures.h */

typedef struct cb_card_tap_renewal {
    cb_id tap, terminal, card;
    cb_digest before; /* SHA-256 of the binding that is renewed */
    cb_bytes binding, certificates;
    const cb_failed_proof *failed; /* that another key explains, if one is renewed; NULL: none */
    const struct cb_failure_limits *limits; /* with which it was counted */
} cb_card_tap_renewal;

/* The same by a tap of the card, if card and terminal are active, its own day is not over and it
 * has the binding of before: otherwise CB_E_STATE, or what ended them. The actor is "tap". Where a
 * key changed, the failed proof is taken back (failures.h). */
cb_error cb_card_renew_at_tap(cb_store *store, const cb_card_tap_renewal *what, cb_card *out);

/* Whether a certificate counts now, as its issuer says: CB_OK or CB_E_CERTIFICATE_… */
typedef cb_error (*cb_certificate_status)(void *context, cb_bytes certificate);

/* Asks it of each certificate that the card was bound with, for which key will sign is not known yet. CB_E_HSM_RECORD when those of the row are not those of the
 * binding (whether that is genuine is hsmd's to say). status NULL: no certificate counts (CB_E_CERTIFICATE_STATUS). A native card has none: CB_OK. */
cb_error cb_card_status(const cb_card *card, cb_certificate_status status, void *context);

/* When the last of its certificates is no longer valid (before that hsmd looks at each); 0: it has none that says. As cb_card_status. */
cb_error cb_card_certificates_end(const cb_card *card, int64_t *end);

/* The same of the first of them. */
cb_error cb_card_certificates_first_end(const cb_card *card, int64_t *end);

/* The first of two days, of which 0 is none. */
static inline int64_t cb_first_day(int64_t one, int64_t other)
{
    return one == 0 || (other > 0 && other < one) ? other : one;
}

/* The day that an operator set for it, which no certificate puts off; 0: none. */
int64_t cb_card_own_day(const cb_card *card);

/* Whether the row's certificates are those of the binding and no more: CB_E_ARGUMENT. */
cb_error cb_card_certificates_check(const cb_card *card);
cb_error cb_card_get(cb_store *store, const cb_id *id, cb_card *out);

/* holder NULL: all. */
cb_error cb_card_list(cb_store *store, const cb_id *holder, const cb_id *after, unsigned limit,
                      cb_error (*each)(void *context, const cb_card *card), void *context);

typedef enum cb_card_act {
    CB_CARD_ACTIVATE = 1,
    CB_CARD_SUSPEND = 2,
    CB_CARD_RESUME = 3,
    CB_CARD_REVOKE = 4,
    CB_CARD_RETURN = 5,
    CB_CARD_DESTROY = 6,
    CB_CARD_EXPIRE = 7, /* its last day is over */
    CB_CARD_RENEW = 8,  /* cb_card_renew's */
    CB_CARD_SEND = 9,   /* this and the next two: of stock */
    CB_CARD_RECEIVE = 10,
    CB_CARD_ISSUE = 11
} cb_card_act;

/* Whether its last day is over. */
bool cb_card_is_over(const cb_card *card, int64_t now);

/* Changes a card's state, by the acts from CB_CARD_ACTIVATE to CB_CARD_EXPIRE (others are
 * CB_E_ARGUMENT). reason is "" or NULL or a short word [a-z0-9._-]{1,32}, e.g. "lost".
 * Suspending, resuming, revoking and expiring make an entry of the revocation feed in the same
 * transaction; a card that is given back and was not revoked is revoked with it. A card whose day
 * is not over does not expire: CB_E_STATE. affected may be NULL. Revoking a revoked card is
 * CB_E_STATE. Suspending one that has expired leaves it as it is, and withdraws the open
 * registration codes that put another card in its place; CB_E_STATE when there is none. */
cb_error cb_card_change(cb_store *store, const char *actor, const cb_id *id, cb_card_act act,
                        const char *reason, cb_affected *affected);

/* Gives the holder of a card another one, which is active, and revokes the old in the same transaction unless it is revoked, given
 * back or destroyed already. out is begun by the caller. Errors as cb_card_issue and cb_card_change; CB_E_ARGUMENT also when the binding is
 * of another holder, CB_E_EXISTS when the new card is there already or the old one has been replaced. */
cb_error cb_card_replace(cb_store *store, const char *actor, const cb_id *old,
                         const cb_card_new *fresh, const char *reason, cb_card *out,
                         cb_affected *affected);

/* Asks for a card to be given back before a moment (wall clock; 0: not any more). CB_E_STATE for one that is dead already. */
cb_error cb_card_recall(cb_store *store, const char *actor, const cb_id *id, int64_t due,
                        const char *reason);

/* Records that a card may take a new PIN without its unblocking code, at a terminal; hsmd has to be
 * told by a manager. CB_E_CARD_FOREIGN for one that others issued; CB_E_CARD_NOT_ACTIVE,
 * CB_E_CARD_SUSPENDED …; CB_E_TERMINAL_UNKNOWN, CB_E_TERMINAL_INACTIVE …; CB_E_ARGUMENT without a
 * reason. */
cb_error cb_card_pin_reset(cb_store *store, const char *actor, const cb_id *id,
                           const cb_id *terminal, const char *reason);

/* A fresh code with which the holder of a card that is issued, active or suspended can suspend it
 * himself, as often as he has to; the one of before is worth nothing then. first: there is to be
 * none of before (CB_E_EXISTS). text is for his letter, to be wiped; only a hash is kept.
 * CB_E_STATE. */
cb_error cb_card_code_set(cb_store *store, const char *actor, const cb_id *id, bool first,
                          char text[CB_CODE_TEXT]);

/* Suspends the card of that code (its symbols, base/code.h), if it is active. *state is its state
 * then; a card that opens nothing any more stays what it is, and of one that has expired the
 * registration codes are withdrawn as by cb_card_change. CB_E_SUSPENSION: it is no card's;
 * CB_E_CARD_NOT_ACTIVE. */
cb_error cb_card_suspend_by_code(cb_store *store, const char symbols[CB_CODE_SYMBOLS], cb_id *card,
                                 uint8_t *state, cb_affected *affected);

typedef struct cb_card_sweep {
    int64_t now;         /* wall clock */
    int64_t return_time; /* how long after its last day a card may be given back, microseconds; 0: for ever */
    void (*ended)(void *context, const cb_id *card, const cb_affected *affected); /* of each; or NULL */
    void *context;
} cb_card_sweep;

/* Lets some cards expire whose last day is over, and revokes some that were not given back in time: a bounded number, so that it is called
 * again while *done is not 0. */
cb_error cb_card_sweep_step(cb_store *store, const cb_card_sweep *sweep, size_t *done);

/* ---- Terminals: registered → active ⇄ deactivated, any → revoked → disposed ---- */

typedef enum cb_terminal_act {
    CB_TERMINAL_REVOKE = 1,
    CB_TERMINAL_ACTIVATE = 2, /* for the first time, with a code: not by cb_terminal_change */
    CB_TERMINAL_DEACTIVATE = 3,
    CB_TERMINAL_REACTIVATE = 4,
    CB_TERMINAL_DISPOSE = 5,
    CB_TERMINAL_MAINTAIN = 6,  /* by a maintainer's card: maintenance.h */
    CB_TERMINAL_MAINTAINED = 7 /* likewise, or by an administrator */
} cb_terminal_act;

/* A one-time code with which a terminal is activated where it stands. Only a hash of it is kept. */
typedef struct cb_terminal_code {
    char text[CB_CODE_TEXT]; /* for the administrator; to be wiped */
    int64_t expires;
} cb_terminal_code;

enum { CB_TERMINAL_CODE_TRIES = 5, CB_TERMINAL_CODE_SECONDS_MAX = 30 * 86400 };

/* A fresh one that expires after so many seconds, 1 to CB_TERMINAL_CODE_SECONDS_MAX. */
cb_error cb_terminal_code_make(int64_t seconds, cb_terminal_code *out);

typedef struct cb_terminal_new {
    const char *name; /* unique among those that are not revoked */
    const cb_terminal_code *code; /* NULL: active at once, known by key; otherwise registered */
    cb_digest
        key; /* SHA-256 of the certificate's SubjectPublicKeyInfo; a revoked one never comes back */
    const char *const *services; /* NULL: all services */
    unsigned service_count;
    uint32_t rate; /* taps a minute; 0: no limit */
    bool passwords; /* holders may log in with one here */
    uint8_t kind;   /* cb_terminal_kind */
    bool pad;       /* it has a PIN pad, by which card readers take the PIN (PC/SC part 10) */
} cb_terminal_new;

cb_error cb_terminal_add(cb_store *store, const char *actor, const cb_terminal_new *terminal,
                         cb_terminal *out);
cb_error cb_terminal_get(cb_store *store, const cb_id *id, cb_terminal *out);

/* The same of a terminal that is in use, if its row is what the log says: CB_E_HSM_RECORD. Waits
 * for the record to be read again after a start: errors as of cb_store_checked. */
cb_error cb_terminal_get_vouched(cb_store *store, const cb_id *id, cb_terminal *out);

/* By key, for each request of a terminal: CB_E_TERMINAL_UNKNOWN, or why it is served nothing
 * (CB_E_TERMINAL_REVOKED, _INACTIVE, _DISPOSED, _EXPIRED; then out is filled in). The first use of a
 * key that was to take the place of another lets it do so, for good. */
cb_error cb_terminal_find(cb_store *store, const cb_digest *key, cb_terminal *out);

/* The same for a terminal that may have its end to say: one that is de-activated is found, too. */
cb_error cb_terminal_find_ending(cb_store *store, const cb_digest *key, cb_terminal *out);
cb_error cb_terminal_list(cb_store *store, const cb_id *after, unsigned limit,
                          cb_error (*each)(void *context, const cb_terminal *terminal),
                          void *context);

/* Says where a terminal stands, and whether it has a PIN pad. If that is new, its taps under way are
 * not accepted any more. CB_E_STATE unless it is registered or active; CB_E_HSM_RECORD as below. */
cb_error cb_terminal_describe(cb_store *store, const char *actor, const cb_id *id,
                              uint8_t kind, bool pad, const char *reason);

/* Says once more what a start has taken back of a terminal, because no signed head covered it: that
 * it has this key, and may do what stands here and nothing else; whatever the table has of that is
 * overwritten, but for the name and the day on which its key ends. A next key that waits is forgotten. CB_E_STATE when nothing of it was
 * taken back, or it is not in use; CB_E_HSM_RECORD: its key is another. */
cb_error cb_terminal_confirm(cb_store *store, const char *actor, const cb_id *id,
                             const cb_terminal_new *as, const char *reason);

/* A registered terminal's new code; the one of before is worth nothing then. CB_E_STATE. */
cb_error cb_terminal_code_set(cb_store *store, const char *actor, const cb_id *id,
                              const cb_terminal_code *code);

/* Whether that is a code which cb_terminal_code_try might take; nothing is counted. */
cb_error cb_terminal_code_known(cb_store *store, const char *name,
                                const char code[CB_CODE_SYMBOLS], bool *right);

/* Whether somebody who is not known yet has the code of the terminal of that name, and wants its
 * certificate for a key that may have one: CB_E_ACTIVATION, and no word about why. A wrong code
 * counts, and after CB_TERMINAL_CODE_TRIES of them no code is right any more. code: its symbols
 * (base/code.h). When the terminal has been activated with this very code and key already, *done is
 * set, for an answer that was lost: also after the code was used up, or is late. */
cb_error cb_terminal_code_try(cb_store *store, const char *name,
                              const char code[CB_CODE_SYMBOLS], const cb_digest *key,
                              cb_id *terminal, bool *done);

/* Activates a registered terminal: this key, with this certificate of the terminal CA, which ends
 * then. The code is looked at again. CB_E_ACTIVATION, CB_E_EXISTS (the key is or was another
 * terminal's), CB_E_HSM_RECORD (the rows are not what the log says of them). */
typedef struct cb_terminal_activation {
    cb_id terminal;
    const char *code; /* symbols */
    cb_digest key;
    cb_bytes certificate;
    int64_t expires;
} cb_terminal_activation;
cb_error cb_terminal_activate(cb_store *store, const cb_terminal_activation *activation);

/* Gives an active terminal a certificate for a key that is to take the place of the one it is known
 * by, when it is used for the first time (cb_terminal_find does that). Another that waits already is
 * forgotten; the same one keeps its certificate. CB_E_STATE: it has no certificate of the terminal CA; CB_E_EXISTS. */
cb_error cb_terminal_certify(cb_store *store, const cb_id *id, const cb_digest *key,
                             cb_bytes certificate, int64_t expires);

/* Appends the certificate of a key of the terminal, the one in use or the next, once a signed head
 * covers that it is: CB_E_HSM_DOWN, CB_E_UNSIGNED. CB_E_NOT_FOUND when it is neither's, or the
 * terminal CA made none. */
cb_error cb_terminal_certificate(cb_store *store, const cb_id *id, const cb_digest *key,
                                 cb_buf *out, int64_t *expires);

/* Changes a terminal's state; reason and affected as cb_card_change. Whatever takes a right away
 * ends the terminal's taps and sessions. A revocation makes an entry of the feed in the same
 * transaction; disposing of a terminal that is not revoked revokes it first. To be activated again
 * a terminal must be what the log says of it: CB_E_HSM_RECORD. */
cb_error cb_terminal_change(cb_store *store, const char *actor, const cb_id *id,
                            cb_terminal_act act, const char *reason, cb_affected *affected);
cb_error cb_terminal_revoke(cb_store *store, const char *actor, const cb_id *id, const char *reason,
                            cb_affected *affected);

/* What a terminal says of itself when its housing was opened: it is de-activated, by "terminal" for
 * "tamper". Of one that is de-activated already the same is recorded once more, unless that is what
 * it was last de-activated by: said again, it changes nothing. Whether it is waits for the record
 * to be read again after a start: errors as of cb_store_checked. CB_E_STATE: it is over. */
cb_error cb_terminal_opened(cb_store *store, const cb_id *id, cb_affected *affected);

/* Whether a terminal may ask for a service. */
bool cb_terminal_allows(const cb_terminal *terminal, const char *service);

/* Whether a service is given at a terminal of that kind (CB_E_TERMINAL_KIND); and takes a PIN
 * that a terminal saw (seen; said: on its pad, by its own word; CB_E_PIN_PAD). */
cb_error cb_service_takes(const cb_service *service, const cb_terminal *terminal);
cb_error cb_service_takes_pin(const cb_service *service, const cb_terminal *terminal, bool seen,
                              bool said);

/* ---- Services ---- */

typedef struct cb_service_new {
    const char *name; /* cb_service_name_ok */
    const char *title;
    const char *connector; /* like a service's name */
    const char *config;    /* JSON text of an object; NULL: {} */
    uint8_t level;         /* cb_level: possession or PIN */
    uint8_t kind;          /* cb_session_kind, or 0 */
    uint8_t kinds;         /* of terminals: 1 << cb_terminal_kind each; 0: any */
    bool pad;              /* it takes no PIN that a terminal saw */
    bool certificate;
    int64_t life, idle; /* microseconds, or 0 */
} cb_service_new;

cb_error cb_service_add(cb_store *store, const char *actor, const cb_service_new *service);

/* Replaces everything but the name. */
cb_error cb_service_update(cb_store *store, const char *actor, const cb_service_new *service);
cb_error cb_service_get(cb_store *store, const char *name,
                        cb_service *out); /* CB_E_SERVICE_UNKNOWN */
cb_error cb_service_list(cb_store *store, const char *after, unsigned limit,
                         cb_error (*each)(void *context, const cb_service *service), void *context);

/* ---- Enrolments: pending → active, → removed ---- */

typedef struct cb_enrolment_new {
    cb_id holder;
    const char *service;
    cb_bytes sealed;     /* made by hsmd for this holder and service: CB_E_ARGUMENT otherwise */
    cb_bytes public_key; /* DER SubjectPublicKeyInfo, or empty */
    const char *data;    /* JSON object; NULL: {} */
} cb_enrolment_new;

/* Active at once where the service needs no certificate, else pending. One enrolment of a holder at
 * a service that is not removed: CB_E_EXISTS. */
cb_error cb_enrolment_add(cb_store *store, const char *actor, const cb_enrolment_new *enrolment,
                          cb_enrolment *out);
cb_error cb_enrolment_get(cb_store *store, const cb_id *id, cb_enrolment *out);

/* holder and service may be NULL: all. */
cb_error cb_enrolment_list(cb_store *store, const cb_id *holder, const char *service,
                           const cb_id *after, unsigned limit,
                           cb_error (*each)(void *context, const cb_enrolment *enrolment),
                           void *context);

/* Installs the certificate of the key that waits, which then takes the place of the one in use; the
 * old key is retired in the feed. With no key waiting, replaces the certificate of the one in use.
 * The certificate must be for that key: CB_E_ARGUMENT. */
cb_error cb_enrolment_certificate(cb_store *store, const char *actor, const cb_id *id,
                                  cb_bytes certificate, cb_bytes chain);

/* A second key beside the one in use, with a higher sequence. Where the service needs no
 * certificate it takes over at once and the old key is retired. CB_E_STATE when one waits already
 * (its certificate is missing) or the enrolment is removed. */
cb_error cb_enrolment_renew(cb_store *store, const char *actor, const cb_id *id, cb_bytes sealed,
                            cb_bytes public_key);

/* The same key, sealed under a newer generation of the key-encryption key (cb_hsm_rewrap):
 * CB_E_ARGUMENT when it is another key. */
cb_error cb_enrolment_rewrap(cb_store *store, const char *actor, const cb_id *id, cb_bytes sealed);

/* Retires its keys in the feed and erases them here. */
cb_error cb_enrolment_remove(cb_store *store, const char *actor, const cb_id *id,
                             cb_affected *affected);

/* The DER SubjectPublicKeyInfo of a DER X.509 certificate, appended. CB_E_FORMAT. Its SHA-256 is a
 * terminal's key. */
cb_error cb_certificate_public_key(cb_bytes certificate, cb_buf *out);

#endif
