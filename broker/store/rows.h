/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the store keeps about holders, cards, terminals, services and enrolments.
 *
 * Times are wall clock microseconds. Structures that hold a cb_buf are begun with their _init,
 * ended with their _free, and may be filled again in between; in a visitor they are borrowed and
 * die when it returns.
 */
#ifndef CB_BROKER_STORE_ROWS_H
#define CB_BROKER_STORE_ROWS_H

#include "base/buf.h"
#include "base/crypto.h"
#include "base/id.h"
#include "cardlink/journal.h"
#include "hsm/records.h"

enum {
    CB_NAME_MAX = 128, /* bytes of UTF-8: names and titles */
    CB_SERVICE_CONFIG_MAX = 16 * 1024,
    CB_ENROLMENT_DATA_MAX = 4 * 1024,
    CB_CERTIFICATE_MAX = 8 * 1024, /* DER, one */
    CB_CHAIN_MAX = 32 * 1024,      /* DER, one after another */
    CB_CARD_CERTIFICATES_MAX = 8 * 1024,
    CB_TERMINAL_SERVICES_MAX = 64,
    CB_TERMINAL_CERTIFICATE_SIZE = 2048, /* DER, at most */
    CB_PAGE_LIMIT = 1000 /* most rows of one page */
};

typedef struct cb_holder {
    cb_id id;
    char name[CB_NAME_MAX + 1];
    int64_t created;
} cb_holder;

/* docs/card-life.md. */
typedef enum cb_card_state {
    CB_CARD_ISSUED = 1,
    CB_CARD_ACTIVE = 2,
    CB_CARD_SUSPENDED = 3,
    CB_CARD_REVOKED = 4,
    CB_CARD_MANUFACTURED = 5, /* this and the next two: of stock, which nobody holds */
    CB_CARD_IN_TRANSIT = 6,
    CB_CARD_IN_STOCK = 7,
    CB_CARD_EXPIRED = 8,
    CB_CARD_RETURNED = 9,
    CB_CARD_DESTROYED = 10
} cb_card_state;

typedef struct cb_card {
    cb_id id;
    cb_id holder;
    uint8_t state; /* cb_card_state */
    uint8_t profile;
    uint8_t level; /* highest */
    uint64_t sequence;
    int64_t created, changed;
    int64_t expires; /* refused from then on, the first of its days; 0: no such day */
    int64_t own_expires; /* what an operator set, whatever its certificates say; 0: nothing (see cb_card_own_day) */
    uint8_t generation; /* of a native card, as it last signed it; 0: not heard yet */
    int64_t due;     /* to be given back by then, or it is revoked; 0: nobody asks for it */
    cb_buf binding;
    cb_buf certificates; /* of its keys, DER, one after another, as the binding has them; none for a native card */
} cb_card;

enum { CB_STOCK_TEXT = 65, CB_ACTOR_TEXT = 129 }; /* with the zero at the end */

/* How a card came to its holder. */
typedef struct cb_issue_row {
    cb_id card;
    int64_t day; /* since 1970-01-01, UTC */
    char operator[CB_ACTOR_TEXT];
    char station[CB_STOCK_TEXT]; /* "": not named */
    char manufacturer[CB_STOCK_TEXT];
    char serial[CB_STOCK_TEXT]; /* "": from no list */
    cb_id application;          /* zero: none */
    cb_id replaces;             /* zero: none */
} cb_issue_row;

typedef enum cb_terminal_state {
    CB_TERMINAL_ACTIVE = 1,
    CB_TERMINAL_REVOKED = 2,
    CB_TERMINAL_REGISTERED = 3, /* has no key yet */
    CB_TERMINAL_DEACTIVATED = 4,
    CB_TERMINAL_DISPOSED = 5,   /* revoked, and its keys are to be erased */
    CB_TERMINAL_MAINTENANCE = 6 /* serves nobody, until a maintainer has ended it */
} cb_terminal_state;

/* Where a terminal stands, as an administrator says. The numbers stand in the record for good. */
typedef enum cb_terminal_kind {
    CB_TERMINAL_UNSTATED = 0,
    CB_TERMINAL_ATTENDED = 1,   /* at a desk, with somebody of the operator's beside it */
    CB_TERMINAL_UNATTENDED = 2, /* a kiosk, a gate */
    CB_TERMINAL_PERSONAL = 3    /* the holder's own */
} cb_terminal_kind;

/* "attended", "unattended", "personal"; NULL for what is not stated. And back: CB_TERMINAL_UNSTATED
 * for what is none. */
const char *cb_terminal_kind_name(uint8_t kind);
uint8_t cb_terminal_kind_parse(const char *name);

typedef struct cb_terminal {
    cb_id id;
    char name[CB_NAME_MAX + 1];
    uint8_t state; /* cb_terminal_state */
    cb_digest key; /* SHA-256 of the SubjectPublicKeyInfo of its certificate; of a registered one: nobody's */
    int64_t expires;    /* of that certificate, when the terminal CA made it; 0: it does not */
    cb_digest next_key; /* takes its place when it is used for the first time */
    int64_t next_expires; /* 0: there is no such key */
    uint32_t rate; /* taps a minute; 0: no limit */
    bool passwords; /* holders may log in with one here */
    uint8_t kind;   /* cb_terminal_kind */
    bool pad;       /* it has a PIN pad */
    bool all_services;
    unsigned service_count; /* when not all_services */
    char services[CB_TERMINAL_SERVICES_MAX][CB_SERVICE_NAME_MAX + 1];
    int64_t created, changed;
} cb_terminal;

/* The one-time code of a terminal, as it is kept. */
typedef struct cb_terminal_code_row {
    cb_digest hash; /* core/terminal_code.c */
    int64_t expires;
    uint32_t tries; /* wrong ones that are left */
} cb_terminal_code_row;

typedef struct cb_service {
    char name[CB_SERVICE_NAME_MAX + 1];
    char title[CB_NAME_MAX + 1];
    char connector[CB_SERVICE_NAME_MAX + 1];
    uint8_t level;    /* least: cb_level */
    uint8_t kind;     /* cb_session_kind that its connector returns; 0: not stated */
    uint8_t kinds;    /* of terminals at which it is given: 1 << cb_terminal_kind each; 0: any */
    bool pad;         /* it takes no PIN that a terminal saw */
    bool certificate; /* an enrolment needs a certificate before it can be used */
    int64_t life;     /* of a session, microseconds; 0: the default of core/session.h */
    int64_t idle;     /* likewise */
    int64_t created, changed;
    cb_buf config; /* JSON text of an object */
} cb_service;

typedef enum cb_enrolment_state {
    CB_ENROLMENT_PENDING = 1,
    CB_ENROLMENT_ACTIVE = 2,
    CB_ENROLMENT_REMOVED = 3
} cb_enrolment_state;

/* One key of an enrolment. sealed is opaque to everybody but hsmd. */
typedef struct cb_enrolment_key {
    cb_id id; /* the sealed key's own; zero: there is none */
    uint8_t algorithm;
    uint8_t level;
    uint64_t sequence;
    cb_buf sealed;
    cb_buf public_key;  /* DER SubjectPublicKeyInfo; empty for secrets */
    cb_buf certificate; /* DER; empty: none */
    cb_buf chain;       /* DER certificates one after another; empty: none */
} cb_enrolment_key;

typedef struct cb_enrolment {
    cb_id id;
    cb_id holder;
    char service[CB_SERVICE_NAME_MAX + 1];
    uint8_t state; /* cb_enrolment_state */
    int64_t created, changed;
    cb_buf data;              /* the enrolment's own JSON object, "{}" if none */
    cb_enrolment_key current; /* in use */
    cb_enrolment_key next;    /* waits for its certificate */
} cb_enrolment;

/* A session that T2 recorded and whose end is not recorded yet. */
typedef struct cb_session_row {
    cb_id id;
    cb_id tap;
    uint64_t leaf; /* of the result */
    cb_id card, holder, terminal, enrolment;
    char service[CB_SERVICE_NAME_MAX + 1];
    uint8_t kind;
    int64_t opened, expires;
} cb_session_row;

/* "issued", "active" …; "unknown" for numbers that are none. */
const char *cb_card_state_name(uint8_t state);
const char *cb_terminal_state_name(uint8_t state);
const char *cb_enrolment_state_name(uint8_t state);

void cb_card_init(cb_card *card);
void cb_card_free(cb_card *card);
void cb_service_init(cb_service *service);
void cb_service_free(cb_service *service);
void cb_enrolment_key_init(cb_enrolment_key *key);
void cb_enrolment_key_free(cb_enrolment_key *key);
void cb_enrolment_init(cb_enrolment *enrolment);
void cb_enrolment_free(cb_enrolment *enrolment);

/* How far a terminal's own log has come to the broker. */
typedef struct cb_journal_row {
    uint64_t part; /* from 1 on */
    cb_journal_head head;
    char finding[32]; /* the code of the last one; "" */
    uint64_t after;   /* what was refused then went on from that number */
    int64_t found;
    bool resume; /* the next that does not fit may begin another part */
} cb_journal_row;

/* Entries of it after a head up to another, with the signature of the latter. What it points to is
 * borrowed. */
typedef struct cb_journal_batch {
    uint64_t part;
    cb_journal_head before, last;
    cb_bytes entries, key, signature;
    int64_t received;
} cb_journal_batch;

#endif
