/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the tests of the store, the record and the decisions share: a folder of their own, a signer
 * in software that behaves like hsmd's log lane, records as hsmd writes them (with a MAC that
 * nobody checks here), and a small world: one holder with an active card, one terminal, one
 * service, one enrolment.
 */
#ifndef CB_TESTS_UNIT_BROKER_SUPPORT_H
#define CB_TESTS_UNIT_BROKER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/core/decide.h"
#include "broker/evidence/verify.h"

#define ORIGIN "test log"

/* Lives in memory that a forked child shares. */
typedef struct soft_signer {
    uint8_t scalar[CB_P256_SCALAR];
    uint8_t point[CB_P256_POINT];
    cb_tree_head remembered;
    unsigned asked; /* how often, for the head that it remembers */
    /* Set with set_signer while the store is open. */
    int fail; /* a cb_error that sign and state return */
    int refuse; /* one that sign alone returns */
    int lose; /* signs, remembers, and then says CB_E_TIMEOUT: so many times */
} soft_signer;

typedef struct world {
    char folder[64];
    char path[96];
    soft_signer *signer;
    cb_store_options options;
    cb_store *store;
    cb_holder holder;
    cb_id card;
    cb_terminal terminal;
    cb_enrolment enrolment;
} world;

static inline void set_signer(int *what, int value)
{
    __atomic_store_n(what, value, __ATOMIC_SEQ_CST);
}

/* A folder and a signer, nothing open. */
void world_make(world *w);
void world_open(world *w);

/* Opens, and adds holder, card, terminal, service "tax" (no certificate, possession) and enrolment.
 */
void world_begin(world *w);
void world_close(world *w);

/* Closes and removes everything. */
void world_end(world *w);

/* The same, of a world whose record is sound. */
void verify_and_end(world *w);

/* Records as hsmd makes them. */
void make_binding(const cb_id *card, const cb_id *holder, cb_buf *out);
void make_binding_of(const cb_binding_info *info, cb_buf *out);
void make_sealed(const cb_id *key, const cb_id *holder, const char *service, uint64_t sequence,
                 uint32_t generation, cb_buf *out);
void make_receipt(const cb_id *boot, uint64_t counter, const cb_intent *intent, cb_buf *out);

void add_service(world *w, const char *name, bool certificate);
cb_id add_card(world *w, bool active);
cb_error add_enrolment(world *w, const char *service, uint64_t sequence, cb_enrolment *out);

cb_intent_request intent_of(const world *w);

cb_error t1(world *w, const cb_intent_request *request);

/* T1 and T2 of a new tap; the first error. */
cb_error tap_once(world *w, cb_id *tap, const cb_id *session);

/* Records the end of one session. */
cb_error end_session(cb_store *store, const cb_id *session, const char *why);

/* What the store says of itself, as soon as that is no fault that may pass; after 30 s what it is.
 */
cb_error error_without_fault(world *w);

/* Verifies the database of a world that is closed; prints findings. */
cb_error verify_file(world *w, cb_evidence_summary *summary);

/* How many findings of a name (NULL: any) the last verify_file had. */
unsigned findings_of(const char *what);

/* Runs SQL on the open database by a second connection beside the broker's, as an attacker has one;
 * checks do not bind him. */
void meddle(const world *w, const char *sql);

/* Runs SQL on the closed database, as an attacker who has the file would. */
void tamper(world *w, const char *sql);

#endif
