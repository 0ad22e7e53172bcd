/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * More citizens for an installation whose broker is stopped, so that whole taps can be measured as
 * the store grows (whole.py):
 *
 *   fill_store DATABASE RUN-FOLDER BOUND-CARDS REAL MORE SERVICE...
 *
 * Each of MORE new holders gets a card that is like one of the REAL ones that were registered
 * first, and a sealed key at each service; the holders of the real cards get the keys that they
 * have not, too. The real ones are enrolled at the first service, which wants a certificate; the
 * others want none. Rows are written by the store's own functions, with the leaves that the acts
 * would have left, many in a transaction, and the running key service signs the heads over them: so
 * the file and the record are as large as if all had been entered one by one, and a start reads as
 * much. In BOUND-CARDS, hsmd's memory of which card was bound to whom, they are entered as well.
 *
 * What is like another has its bytes: bindings and sealed keys are copies, under identifiers of
 * their own. They say another card's, holder's and key's, so that hsmd would refuse all of them;
 * who is put here cannot tap. Prints JSON.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/card_issue.h"
#include "broker/core/enrolment_key.h"
#include "broker/evidence/said.h"
#include "broker/store/row_card_proof.h"
#include "hsm/bound.h"
#include "tests/bench/store_place.h"

/* A batch makes about 100,000 rows and leaves. */
enum { REAL_MAX = 256, BATCH = 2000, PATIENCE_SECONDS = 3600 };

typedef struct likeness {
    cb_card card;
    cb_enrolment enrolment; /* at the first service */
    cb_card_proof_row proof;
} likeness;

typedef struct citizen {
    cb_id holder, card;
    const likeness *like;
} citizen;

typedef struct place {
    cb_store *store;
    likeness real[REAL_MAX];
    size_t reals;
    const char *const *services;
    size_t service_count;
    citizen batch[BATCH];
    size_t count;  /* in the batch */
    size_t before; /* that there were before it */
} place;

/* ---- Those that are real ---- */

static cb_error note_card(void *context, const cb_card *card)
{
    place *p = context;
    likeness *like = &p->real[p->reals++];
    cb_card_init(&like->card);
    cb_enrolment_init(&like->enrolment);
    return cb_card_copy(card, &like->card);
}

static cb_error look(cb_txn *txn, void *context)
{
    place *p = context;
    size_t wanted = p->reals;
    p->reals = 0;
    cb_error error = cb_row_card_each(txn, NULL, NULL, (unsigned)wanted, note_card, p);
    for (size_t i = 0; !error && i < p->reals; i++) {
        likeness *like = &p->real[i];
        error = cb_row_card_proof_get(txn, &like->card.id, &like->proof);
        if (!error)
            error =
                cb_row_enrolment_find(txn, &like->card.holder, p->services[0], &like->enrolment);
    }
    return !error && p->reals < wanted ? CB_E_NOT_FOUND : error;
}

/* ---- Rows and leaves, as the acts write them (broker/core/) ---- */

static cb_error put_added(cb_txn *txn, const cb_act *act, const cb_enrolment *e, bool certified)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "enrolment.added", act);
    cb_leaf_id(&leaf, "enrolment", &e->id);
    cb_said_enrolment(&leaf, e);
    cb_leaf_text(&leaf, "state",
                 cb_enrolment_state_name(certified ? CB_ENROLMENT_PENDING : CB_ENROLMENT_ACTIVE));
    cb_key_leaf(&leaf, &e->current);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error put_certified(cb_txn *txn, const cb_act *act, const cb_enrolment *e)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_digest digest = cb_sha256(cb_buf_bytes(&e->current.certificate));
    cb_act_leaf(&leaf, "enrolment.certified", act);
    cb_leaf_id(&leaf, "enrolment", &e->id);
    cb_leaf_text(&leaf, "state", cb_enrolment_state_name(CB_ENROLMENT_ACTIVE));
    cb_leaf_id(&leaf, "key", &e->current.id);
    cb_leaf_hex(&leaf, "certificate_sha256", cb_digest_bytes(&digest));
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

/* What is not changed here is borrowed from the one that it is like. */
static cb_error put_enrolment(cb_txn *txn, const cb_act *act, const likeness *like,
                              const cb_id *holder, const char *service, bool certified)
{
    cb_enrolment e = like->enrolment;
    e.id = cb_id_new();
    e.holder = *holder;
    snprintf(e.service, sizeof e.service, "%s", service);
    e.state = CB_ENROLMENT_ACTIVE;
    e.created = e.changed = act->time;
    e.current.id = cb_id_new();
    if (!certified)
        e.current.certificate = e.current.chain = CB_BUF(0);
    cb_error error = cb_row_enrolment_put(txn, &e);
    if (!error)
        error = cb_row_key_put(txn, &e.id, true, &e.current);
    if (!error)
        error = put_added(txn, act, &e, certified);
    return error || !certified ? error : put_certified(txn, act, &e);
}

static cb_error put_card(cb_txn *txn, const cb_act *act, const citizen *c, size_t number)
{
    char name[CB_NAME_MAX + 1];
    cb_card card = c->like->card;
    snprintf(name, sizeof name, "Yamada Hanako %zu", number);
    card.id = c->card;
    card.holder = c->holder;
    card.state = CB_CARD_ISSUED;
    card.created = card.changed = act->time;
    const cb_card_new fresh = {.binding = cb_buf_bytes(&card.binding),
                               .certificates = cb_buf_bytes(&card.certificates),
                               .expires = card.own_expires,
                               .holder_name = name};
    cb_error error = cb_card_issue_in(txn, act, &fresh, &card);
    if (!error)
        error = cb_card_act_in(txn, act, &card.id, CB_CARD_ACTIVATE);
    return error || c->like->proof.at == 0 ? error
                                           : cb_row_card_proof_set(txn, &card.id, &c->like->proof);
}

static cb_error put_batch(cb_txn *txn, void *context)
{
    const place *p = context;
    const cb_act act = {.actor = "bench", .time = cb_clock_wall_us()};
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < p->count; i++) {
        const citizen *c = &p->batch[i];
        error = put_card(txn, &act, c, p->before + i);
        for (size_t s = 0; !error && s < p->service_count; s++)
            error = put_enrolment(txn, &act, c->like, &c->holder, p->services[s], s == 0);
    }
    return error;
}

/* The keys that the real ones have not. */
static cb_error put_rest(cb_txn *txn, void *context)
{
    const place *p = context;
    const cb_act act = {.actor = "bench", .time = cb_clock_wall_us()};
    cb_error error = CB_OK;
    cb_enrolment there;
    cb_enrolment_init(&there);
    for (size_t i = 0; !error && i < p->reals * p->service_count; i++) {
        const likeness *like = &p->real[i / p->service_count];
        const char *service = p->services[i % p->service_count];
        error = cb_row_enrolment_find(txn, &like->card.holder, service, &there);
        if (error == CB_E_NOT_FOUND)
            error = put_enrolment(txn, &act, like, &like->card.holder, service, false);
    }
    cb_enrolment_free(&there);
    return error;
}

static void write_all(place *p, cb_txn_function run)
{
    const cb_change change = {
        .run = run, .context = p, .urgency = CB_WRITE_DUE, .until = CB_UNTIL_COMMITTED};
    need(cb_store_write(p->store, &change), "write");
}

/* ---- hsmd's memory, beside it: it takes turns with whoever else writes ---- */

/* Each entry would wait for the disk; in this thread they are made durable together. */
static _Thread_local bool unsynced;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd) { return unsynced ? 0 : __real_fdatasync(fd); }

static void bind_all(const place *p, cb_memo *bound)
{
    unsynced = true;
    for (size_t i = 0; i < p->count; i++) {
        cb_binding_info info;
        need(cb_binding_info_read(cb_buf_bytes(&p->batch[i].like->card.binding), &info), "binding");
        info.card = p->batch[i].card;
        info.holder = p->batch[i].holder;
        need(cb_bound_take(bound, &info), "bound cards");
    }
    unsynced = false;
}

/* ---- */

static void fill(place *p, size_t more, const char *memory)
{
    cb_memo *bound;
    int file = open(memory, O_RDWR | O_CLOEXEC);
    need(file >= 0 ? cb_memo_open(memory, &bound) : CB_E_IO, "bound cards");
    write_all(p, put_rest);
    for (p->before = 0; p->before < more; p->before += p->count) {
        p->count = more - p->before < BATCH ? more - p->before : BATCH;
        for (size_t i = 0; i < p->count; i++)
            p->batch[i] = (citizen){cb_id_new(), cb_id_new(), &p->real[(p->before + i) % p->reals]};
        write_all(p, put_batch);
        bind_all(p, bound);
    }
    need(fsync(file) == 0 ? CB_OK : CB_E_IO, "bound cards");
    cb_memo_close(&bound);
    close(file);
}

/* Until a signed head covers all of it. */
static void wait_for_heads(const place *p, cb_store_state *state)
{
    int64_t deadline = cb_deadline_in(PATIENCE_SECONDS * CB_SECOND);
    do {
        usleep(10000);
        need(cb_store_status(p->store, state), "status");
        need(state->error, "record");
    } while (state->leaves_unsigned > 0 && cb_deadline_left_ms(deadline) > 0);
    need(state->leaves_unsigned > 0 ? CB_E_TIMEOUT : CB_OK, "heads");
}

int main(int argc, char **argv)
{
    static place p;
    cb_hsm *hsm;
    cb_store_state state;
    p.reals = argc > 6 ? strtoul(argv[4], NULL, 10) : 0;
    if (p.reals < 1 || p.reals > REAL_MAX) {
        fprintf(stderr, "usage: fill_store DATABASE RUN-FOLDER BOUND-CARDS REAL MORE SERVICE...\n");
        return 2;
    }
    p.services = (const char *const *)argv + 6;
    p.service_count = (size_t)argc - 6;
    cb_log_init("fill_store", CB_LOG_ERROR);
    need(cb_hsm_open(argv[2], &hsm), "key service");
    const cb_store_options options = {.path = argv[1], .signer = cb_head_signer_hsm(hsm)};
    int64_t began = cb_clock_monotonic_us();
    need(cb_store_open(&options, &p.store), "open");
    need(cb_store_checked(p.store, cb_deadline_in(PATIENCE_SECONDS * CB_SECOND)), "read again");
    need(cb_store_read(p.store, look, &p), "the real ones");
    fill(&p, strtoul(argv[5], NULL, 10), argv[3]);
    wait_for_heads(&p, &state);
    cb_store_close(&p.store);
    cb_hsm_close(&hsm);
    printf("{\"leaves\": %llu, \"seconds\": %.1f}\n", (unsigned long long)state.leaves,
           (double)(cb_clock_monotonic_us() - began) / 1e6);
    for (size_t i = 0; i < p.reals; i++) {
        cb_card_free(&p.real[i].card);
        cb_enrolment_free(&p.real[i].enrolment);
    }
    return 0;
}
