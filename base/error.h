/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One enumeration of errors for every part, and one place that turns it into words.
 *
 * An error has a stable code ("card.revoked") that programs may rely on, a class that says whose
 * turn it is to act (and which HTTP status the broker answers), and a sentence for a person
 * that says what to do. The number travels between the processes of one installation, which are
 * always of one build; only the code is stable between versions.
 *
 * To add an error, add a row. Codes are never reused for another meaning.
 */
#ifndef CB_BASE_ERROR_H
#define CB_BASE_ERROR_H

typedef enum cb_error_class {
    CB_CLASS_OK,
    CB_CLASS_INVALID,     /* the request is wrong: change it (400) */
    CB_CLASS_AUTH,        /* who asks is not known (401) */
    CB_CLASS_DENIED,      /* who asks may not (403) */
    CB_CLASS_MISSING,     /* no such thing (404) */
    CB_CLASS_CONFLICT,    /* not in this state (409) */
    CB_CLASS_GONE,        /* was there, is over (410) */
    CB_CLASS_LARGE,       /* over a limit (413) */
    CB_CLASS_CARD,        /* the card or its proof did not do (422) */
    CB_CLASS_UPSTREAM,    /* the service answered wrongly (502) */
    CB_CLASS_UNAVAILABLE, /* try again later (503) */
    CB_CLASS_TIMEOUT,     /* the service or a part took too long (504) */
    CB_CLASS_INTERNAL     /* a fault of ours (500) */
} cb_error_class;

/* clang-format off */
#define CB_ERROR_LIST(X) \
    X(CB_OK,                     OK,          "ok",                       "Done.") \
    /* requests in general */ \
    X(CB_E_ARGUMENT,             INVALID,     "request.invalid",          "A value in the request is missing or not allowed: correct it and send it again.") \
    X(CB_E_FORMAT,               INVALID,     "request.malformed",        "The data is not well formed: check how it was made and send it again.") \
    X(CB_E_UNKNOWN_FIELD,        INVALID,     "request.unknown_field",    "The request names a field that does not exist: remove it or correct its spelling.") \
    X(CB_E_TOO_LARGE,            LARGE,       "request.too_large",        "The data is larger than the limit: send less.") \
    X(CB_E_UNAUTHENTICATED,      AUTH,        "request.unauthenticated",  "The caller is not known: present a registered certificate or use the local administration socket.") \
    X(CB_E_DENIED,               DENIED,      "request.denied",           "The caller may not do this: ask an administrator for the right.") \
    X(CB_E_NOT_FOUND,            MISSING,     "resource.unknown",         "There is no such thing: check the identifier.") \
    X(CB_E_METHOD,               INVALID,     "request.method",           "This resource does not have that method: see the API description.") \
    X(CB_E_EXISTS,               CONFLICT,    "resource.exists",          "It exists already: use another name or change the existing one.") \
    X(CB_E_RUNNING,              CONFLICT,    "program.running",          "Another of the same program serves here already, and nothing was changed: stop that one first, or give this one a run folder of its own.") \
    X(CB_E_STATE,                CONFLICT,    "resource.state",           "It is not in a state that allows this: look at its state first.") \
    X(CB_E_BUSY,                 UNAVAILABLE, "broker.busy",              "All places are taken: try again after the time given.") \
    X(CB_E_STOPPING,             UNAVAILABLE, "broker.stopping",          "The broker is stopping: try again in a moment.") \
    X(CB_E_TIMEOUT,              TIMEOUT,     "broker.timeout",           "A part did not answer in time: try again.") \
    X(CB_E_BROKER_DOWN,          UNAVAILABLE, "broker.unreachable",       "The broker cannot be reached: check the network and the configured address, then try again.") \
    X(CB_E_BROKER_CERTIFICATE,   UNAVAILABLE, "broker.certificate",       "The other end did not prove to be the broker: check the address and the CA file; if they are right, somebody may be in between.") \
    X(CB_E_CLOSED,               UNAVAILABLE, "broker.connection_closed", "The other side closed the connection: try again.") \
    /* faults of ours */ \
    X(CB_E_MEMORY,               INTERNAL,    "internal.memory",          "No memory was left: free some or allow more, then try again.") \
    X(CB_E_IO,                   INTERNAL,    "internal.io",              "Reading or writing failed: look at the log for the reason.") \
    X(CB_E_CRYPTO,               INTERNAL,    "internal.crypto",          "A cryptographic operation failed: look at the log for the reason.") \
    X(CB_E_CONFIG,               INTERNAL,    "internal.config",          "The configuration is wrong: correct the line that the message names.") \
    X(CB_E_PROTOCOL,             INTERNAL,    "internal.protocol",        "Two parts of the product did not understand each other: check that all are of one version.") \
    X(CB_E_INTERNAL,             INTERNAL,    "internal.error",           "Something failed that should not: look at the log and report it.") \
    /* reader and card */ \
    X(CB_E_READER_NONE,          UNAVAILABLE, "reader.none",              "No card reader is connected: connect one and check that pcscd runs.") \
    X(CB_E_READER,               UNAVAILABLE, "reader.failed",            "The card reader failed: reconnect it and try again.") \
    X(CB_E_READER_IN_USE,        UNAVAILABLE, "reader.in_use",            "Another program is using the card: end it and try again.") \
    X(CB_E_CARD_ABSENT,          CARD,        "card.absent",              "There is no card on the reader: present the card.") \
    X(CB_E_CARD_REMOVED,         CARD,        "card.removed",             "The card was taken away too early: nothing was done; present it again and keep it there.") \
    X(CB_E_CARD_FOREIGN,         CARD,        "card.foreign",             "This card does not carry the broker's application: use a card issued for this broker.") \
    X(CB_E_CARD_STATUS,          CARD,        "card.status",              "The card refused a command: try again, or have the card checked.") \
    X(CB_E_CARD_ANSWER,          CARD,        "card.answer",              "The card's answer was not genuine or not complete: try again at another terminal.") \
    X(CB_E_CARD_CERTIFICATE,     CARD,        "card.certificate",         "The card's certificate is not of a trusted issuer: use a card issued for this broker.") \
    X(CB_E_CERTIFICATE_FORM,     CARD,        "certificate.malformed",    "The card's certificate cannot be read: have the card checked, or use another.") \
    X(CB_E_CERTIFICATE_EARLY,    CARD,        "certificate.not_yet_valid","The card's certificate, or one above it, is not valid yet: check the broker's clock, or come back when it is.") \
    X(CB_E_CERTIFICATE_EXPIRED,  CARD,        "certificate.expired",      "The card's certificate, or one above it, has expired: have the certificate on the card renewed.") \
    X(CB_E_CERTIFICATE_PATH,     CARD,        "certificate.path",         "A certificate above the card's may not issue it, or says something that this broker does not know: have the trust anchors and intermediate certificates checked.") \
    X(CB_E_CERTIFICATE_USAGE,    CARD,        "certificate.usage",        "The card's certificate is not meant for this use: use the card's certificate for authentication; if it is that one, its issuer has to make one with the usages that are asked for here.") \
    X(CB_E_CERTIFICATE_POLICY,   CARD,        "certificate.policy",       "The card's certificate was not issued under a policy that is accepted here: use another card, or have the configured policies checked.") \
    X(CB_E_CERTIFICATE_ALGORITHM,CARD,        "certificate.algorithm",    "The card's certificate, or one above it, has a key or signature of a kind or size that is not accepted: use a newer card.") \
    X(CB_E_CERTIFICATE_RENEWAL,  CARD,        "certificate.not_renewed",  "The card's certificates do not renew those that it was registered with, by the rule for cards of this kind: read the card again, or have the rule checked.") \
    X(CB_E_CERTIFICATE_REVOKED,  CARD,        "certificate.revoked",      "The issuer has revoked the card's certificate, or one above it: ask the issuer for a new one.") \
    X(CB_E_CERTIFICATE_STATUS,   UNAVAILABLE, "certificate.status_unknown","Whether the issuer has revoked the card's certificate cannot be told now: try again later; if this stays, have the issuer's status service checked.") \
    X(CB_E_CARD_PROOF,           CARD,        "card.proof",               "The card's proof does not verify: nothing was done; report the terminal if this repeats.") \
    X(CB_E_CARD_UNKNOWN,         CARD,        "card.unknown",             "The card is not registered here: have it issued or registered first; where its issuer has renewed it, in the place of the card that it was.") \
    X(CB_E_CARD_BOUND,           CONFLICT,    "card.bound",               "The card is bound already, to another holder or level or under another name, which stays so: use another card.") \
    X(CB_E_CARD_NOT_ACTIVE,      CARD,        "card.not_active",          "The card is not active yet: have it activated first.") \
    X(CB_E_CARD_SUSPENDED,       CARD,        "card.suspended",           "The card is suspended: have it resumed, or use another card.") \
    X(CB_E_CARD_EXPIRED,         CARD,        "card.expired",             "The card's last day is over: ask for a replacement card; everything set up for its holder carries on with it.") \
    X(CB_E_CARD_REVOKED,         CARD,        "card.revoked",             "The card is revoked and will never work again: ask for a replacement card.") \
    X(CB_E_CARD_GENERATION,      CARD,        "card.generation",          "The card was not presented while the broker's former key was still accepted, and does not know the one in use: ask for a replacement card; everything set up for its holder carries on with it.") \
    X(CB_E_CARD_COUNTER,         CARD,        "card.counter",             "The card has proven itself as often before, so that this is a copy of it, or a tap that came too late: present it again; if this repeats, report the card as lost.") \
    X(CB_E_CARD_UNLISTED,        CONFLICT,    "card.unlisted",            "The card is not in stock by the manufacturers' lists: it was not listed, not delivered, delivered twice, or is another's; keep it apart and have that looked into.") \
    X(CB_E_APPLICATION_NONE,     CONFLICT,    "application.none",         "There is no approved application for this holder, kind of card and reason: enter one and have it approved.") \
    X(CB_E_APPLICATION_SELF,     DENIED,      "application.same_operator","An application is approved by another operator than the one who entered it: ask one of them.") \
    X(CB_E_GENERATION_CARDS,     CONFLICT,    "generation.cards",         "Cards would be lost with this generation: say how many, as they are counted now, if they may be.") \
    X(CB_E_CARD_BLOCKED,         CARD,        "card.blocked",             "The card has been terminated: ask for a replacement card.") \
    X(CB_E_PIN_REQUIRED,         CARD,        "pin.required",             "This service asks for the PIN: enter it and present the card again.") \
    X(CB_E_PIN_PAD,              CARD,        "pin.pad",                  "This service takes the PIN from a PIN pad alone: use a terminal that has one.") \
    X(CB_E_PIN_CANCELLED,        CARD,        "pin.cancelled",            "No PIN was typed on the PIN pad in time, or its entry was cancelled: present the card again.") \
    X(CB_E_PIN_WRONG,            CARD,        "pin.wrong",                "The PIN was wrong: try again; the answer says how many tries are left.") \
    X(CB_E_PIN_BLOCKED,          CARD,        "pin.blocked",              "The PIN is blocked after too many wrong tries: unblock a card of the broker's with its unblocking code, or at a desk; any other where its issuer does that.") \
    X(CB_E_PIN_RESET_REFUSED,    CARD,        "pin.reset_refused",        "No manager has allowed this card a new PIN at this terminal now: the permission was used, is over, or is for another card; ask for another.") \
    X(CB_E_PIN_FORMAT,           INVALID,     "pin.format",               "The PIN or code has the wrong length or characters: enter digits of the allowed length.") \
    X(CB_E_PIN_UNCERTAIN,        CARD,        "pin.uncertain",            "The tap ended while the PIN was being set: whether it was set is not certain; use the new PIN first, and if it is wrong the one before.") \
    X(CB_E_REGISTRATION_CODE,    CARD,        "registration.code",        "There is no such registration code: check what was typed against what you were given.") \
    X(CB_E_REGISTRATION_USED,    CARD,        "registration.used",        "This registration code has been used for another card, or for other keys on this one: ask for a new code.") \
    X(CB_E_REGISTRATION_LAPSED,  CARD,        "registration.lapsed",      "This registration code's time is over: ask for a new code.") \
    X(CB_E_REGISTRATION_WITHDRAWN, CARD,      "registration.withdrawn",   "This registration code was withdrawn: ask why, or for a new code.") \
    X(CB_E_REGISTRATION_TRIED,   CARD,        "registration.tried",       "This registration code was used wrongly too often, by something between terminal and key service: ask for a new code, and have that looked into.") \
    X(CB_E_REGISTRATION_PROFILE, CARD,        "registration.profile",     "This registration code is for a card of another kind: use the card that it was given for, or ask for another code.") \
    X(CB_E_REGISTRATION_STOPPED, CARD,        "registration.stopped",     "The card in whose place this registration code puts another was suspended or revoked, or expired, after the code was made: ask whoever gave you the code.") \
    X(CB_E_REGISTRATION_RATE,    UNAVAILABLE, "registration.rate",        "Too many registration codes were tried within a minute: wait and try again.") \
    X(CB_E_CARD_REGISTERED,      CONFLICT,    "card.registered",          "The card is registered already: nothing was done; use it as it is, or ask who registered it.") \
    X(CB_E_CARD_NAMELESS,        CARD,        "card.nameless",            "The card's certificates do not say which card they are of, so that nobody can register it but an operator: bring it to one.") \
    X(CB_E_PASSWORD_WRONG,       CARD,        "password.wrong",           "The name or the password is wrong, or too many wrong ones were tried before: try again, and wait if it was right.") \
    X(CB_E_PASSWORD_DELAYED,     CARD,        "password.delayed",         "Too many wrong passwords were tried for this name: it is not looked at before some time has passed.") \
    X(CB_E_PASSWORD_INITIAL,     CARD,        "password.initial",         "This password was given to be changed once, and opens nothing: choose your own first, with cardlink password change.") \
    X(CB_E_PASSWORD_OVER,        CARD,        "password.expired",         "The time in which this password was to be changed is over: ask an administrator for another.") \
    X(CB_E_PASSWORD_USED,        CARD,        "password.used",            "That is, or was before, the password of this name: choose another.") \
    X(CB_E_PASSWORD_UNCERTAIN,   CARD,        "password.uncertain",       "The broker's answer to the change was lost on its way: whether the password was changed is not certain; use the new one first, and if it is wrong the one before.") \
    X(CB_E_PASSWORD_FORMAT,      INVALID,     "password.format",          "The password is too short, too long or too easy to guess: use at least 15 characters without a pattern.") \
    /* terminal */ \
    X(CB_E_TERMINAL_UNKNOWN,     AUTH,        "terminal.unknown",         "This terminal is not registered: have it enrolled first.") \
    X(CB_E_TERMINAL_REVOKED,     DENIED,      "terminal.revoked",         "This terminal is revoked: it can no longer be used.") \
    X(CB_E_TERMINAL_REGISTERED,  DENIED,      "terminal.not_activated",   "This terminal is registered, but not activated yet: activate it with its one-time code.") \
    X(CB_E_TERMINAL_INACTIVE,    DENIED,      "terminal.deactivated",     "This terminal is de-activated: ask an administrator to activate it again.") \
    X(CB_E_TERMINAL_DISPOSED,    DENIED,      "terminal.disposed",        "This terminal was disposed of: it erases its keys and can no longer be used.") \
    X(CB_E_TERMINAL_EXPIRED,     DENIED,      "terminal.expired",         "This terminal's certificate has expired: register the terminal anew, and activate it with a one-time code.") \
    X(CB_E_ACTIVATION,           DENIED,      "activation.refused",       "The terminal's name and the code do not belong together, or the code has expired, was used or was tried too often: check both, or ask an administrator for a new code.") \
    X(CB_E_SUSPENSION,           DENIED,      "suspension.refused",       "No card has this code: look at the letter that has come with the card, or call.") \
    X(CB_E_SUSPENSION_RATE,      UNAVAILABLE, "suspension.rate",          "Too many codes were tried within a minute: wait and try again, or call.") \
    X(CB_E_ACTIVATION_RATE,      UNAVAILABLE, "activation.rate",          "There were too many activations within a minute: wait and try again.") \
    X(CB_E_TERMINAL_TAMPERED,    DENIED,      "terminal.tampered",        "This terminal's housing was opened: its keys were erased; have it examined and registered anew.") \
    X(CB_E_TERMINAL_LOG,         UNAVAILABLE, "terminal.log_full",        "This terminal's log is full of entries that the broker has not taken: no card is served and no password taken until it has.") \
    X(CB_E_LOG_GAP,              CONFLICT,    "terminal.log_gap",         "Entries are missing between what the broker has of this terminal's log and what was sent: ask an administrator.") \
    X(CB_E_LOG_FORK,             CONFLICT,    "terminal.log_fork",        "This terminal's log is not the one that the broker has the beginning of: ask an administrator.") \
    X(CB_E_LOG_SIGNATURE,        DENIED,      "terminal.log_signature",   "The log is not signed by this terminal's key.") \
    X(CB_E_TERMINAL_SOFTWARE,    DENIED,      "terminal.software",        "This terminal runs software that is not on the administrator's list, or has not said what it runs: update it, or run cardlink report.") \
    X(CB_E_TERMINAL_KIND,        DENIED,      "terminal.kind",            "This service is not given at a terminal of this kind: use another terminal, such as one at a desk.") \
    X(CB_E_TERMINAL_MAINTENANCE, DENIED,      "terminal.maintenance",     "This terminal is under maintenance: use another one.") \
    X(CB_E_MAINTAINER,           DENIED,      "maintenance.refused",      "The card's holder is no maintainer of this terminal, or the maintenance should have been ended before: ask an administrator.") \
    X(CB_E_TERMINAL_SERVICE,     DENIED,      "terminal.service",         "This terminal is not allowed to use that service: ask an administrator.") \
    X(CB_E_TERMINAL_PASSWORDS,   DENIED,      "terminal.passwords",       "This terminal may not take passwords: present a card, or ask an administrator.") \
    X(CB_E_TERMINAL_RATE,        UNAVAILABLE, "terminal.rate",            "This terminal has started too many taps: wait and try again.") \
    /* tap */ \
    X(CB_E_TAP_UNKNOWN,          MISSING,     "tap.unknown",              "There is no such tap: start again by presenting the card.") \
    X(CB_E_TAP_EXPIRED,          GONE,        "tap.expired",              "The tap took too long: start again by presenting the card.") \
    X(CB_E_TAP_ORDER,            CONFLICT,    "tap.order",                "That step does not come now in this tap: start again by presenting the card.") \
    X(CB_E_TAP_LEVEL,            CARD,        "tap.level",                "The service asks for a higher level of assurance: use the PIN or a better terminal.") \
    X(CB_E_TAP_WITHDRAWN,        CARD,        "tap.withdrawn",            "The card, enrolment or terminal was revoked during the tap: its result was discarded.") \
    X(CB_E_TAP_UNDER_WAY,        UNAVAILABLE, "tap.under_way",            "The tap is still under way: ask again in a moment.") \
    X(CB_E_TAP_UNHEARD,          UNAVAILABLE, "tap.unheard",              "The broker's answer was lost on its way, and the tap or login may have been accepted: present the card, or log in, again; what nobody fetched ends by itself.") \
    X(CB_E_ENROLMENT_NONE,       CARD,        "enrolment.none",           "The holder is not enrolled at this service: have the service added.") \
    X(CB_E_ENROLMENT_PENDING,    CONFLICT,    "enrolment.pending",        "The enrolment waits for its certificate: install it first.") \
    /* service and connector */ \
    X(CB_E_SERVICE_UNKNOWN,      MISSING,     "service.unknown",          "There is no such service: check its name.") \
    X(CB_E_SERVICE_BUSY,         UNAVAILABLE, "service.busy",             "As many logins as are allowed at a time wait for this service: try again after the time given.") \
    X(CB_E_SERVICE_DOWN,         UPSTREAM,    "service.unreachable",      "The service cannot be reached: try again later.") \
    X(CB_E_SERVICE_SLOW,         TIMEOUT,     "service.slow",             "The service did not answer in time: try again later.") \
    X(CB_E_SERVICE_CERTIFICATE,  UPSTREAM,    "service.certificate",      "The service's own certificate is not trusted: its operator or the broker's must put this right.") \
    X(CB_E_SERVICE_REFUSED,      UPSTREAM,    "service.refused",          "The service refused the login: ask its operator why.") \
    X(CB_E_SERVICE_ANSWER,       UPSTREAM,    "service.answer",           "The service's answer could not be used: its operator or the broker's must put this right.") \
    X(CB_E_CONNECTOR_DOWN,       UNAVAILABLE, "connector.unavailable",    "The connector for this service does not run: try again in a moment.") \
    X(CB_E_CONNECTOR_FAILED,     UPSTREAM,    "connector.failed",         "The connector for this service failed: this tap ended, nothing else was touched; try again.") \
    X(CB_E_CONNECTOR_ANSWER,     UPSTREAM,    "connector.answer",         "The connector for this service answered nonsense: report it to the broker's operator.") \
    X(CB_E_SESSION_UNKNOWN,      MISSING,     "session.unknown",          "There is no such session: present the card to open one.") \
    X(CB_E_SESSION_ENDED,        GONE,        "session.ended",            "The session has ended: present the card to open another.") \
    /* hsmd */ \
    X(CB_E_HSM_DOWN,             UNAVAILABLE, "hsm.unavailable",          "The key service is not available: try again in a moment.") \
    X(CB_E_HSM_TOKEN,            UNAVAILABLE, "hsm.token",                "The HSM refused or failed an operation: look at the key service's log.") \
    X(CB_E_HSM_ILLEGAL,          DENIED,      "hsm.illegal",              "The key service refuses this request in this state.") \
    X(CB_E_HSM_RECORD,           DENIED,      "hsm.record",               "A stored record is not genuine: it was changed outside the product; restore it from a backup.") \
    X(CB_E_HSM_ACTIVATION,       DENIED,      "hsm.activation",           "There is no activation for this: the card must be presented for this very use.") \
    X(CB_E_HSM_INTENT,           DENIED,      "hsm.intent",               "The use was not recorded before it was asked for: the key stays closed.") \
    X(CB_E_HSM_ROLLED_BACK,      UNAVAILABLE, "hsm.rolled_back",          "The database is older than what the key service has seen: restore a newer one; no tap is served until then.") \
    X(CB_E_HSM_FEED_BEHIND,      UNAVAILABLE, "hsm.feed_behind",          "The key service has not heard of the latest revocations: pass them on and ask again.") \
    X(CB_E_HSM_HEAD,             DENIED,      "hsm.head",                 "The log head does not extend the one the key service has seen: it is not signed.") \
    X(CB_E_HSM_KEY_RETIRED,      DENIED,      "hsm.key_retired",          "This key was retired: renew the enrolment.") \
    X(CB_E_HSM_ALGORITHM,        INVALID,     "hsm.algorithm",            "That algorithm is not available for this key: choose one that is listed.") \
    /* store and evidence */ \
    X(CB_E_STORE,                UNAVAILABLE, "store.unavailable",        "The database cannot be used now: look at the log for the reason; nothing was changed.") \
    X(CB_E_STORE_FULL,           UNAVAILABLE, "store.full",               "There is no space left to record anything: free some; nothing was changed.") \
    X(CB_E_STORE_DAMAGED,        UNAVAILABLE, "store.damaged",            "The database is damaged: stop the broker, keep a copy of its files, and restore the newest backup.") \
    X(CB_E_STORE_MOVED,          UNAVAILABLE, "store.moved",              "A file of the database was moved, removed or replaced under the running broker: put it back, or stop the broker first.") \
    X(CB_E_STORE_VERSION,        UNAVAILABLE, "store.version",            "The database is of another version: migrate it or install the matching program.") \
    X(CB_E_UNSIGNED,             TIMEOUT,     "evidence.unsigned",        "It is done and recorded, but its record is not signed yet: that follows by itself; look at it before you ask again.") \
    X(CB_E_EVIDENCE,             CONFLICT,    "evidence.invalid",         "The evidence log does not verify: records were edited, removed or reordered; keep a copy and investigate.")
/* clang-format on */

typedef enum cb_error {
#define CB_ERROR_ENUM(name, cls, code, text) name,
    CB_ERROR_LIST(CB_ERROR_ENUM)
#undef CB_ERROR_ENUM
    CB_ERROR_COUNT
} cb_error;

/* The stable code, e.g. "card.revoked". A number out of range gives "internal.error". */
const char *cb_error_code(cb_error error);

/* One sentence for a person. Never NULL. */
const char *cb_error_text(cb_error error);

cb_error_class cb_error_class_of(cb_error error);

/* An error that came as a number from another process; unknown numbers become CB_E_PROTOCOL. */
cb_error cb_error_from_wire(unsigned number);

#endif
