/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * T1: whether a login goes ahead.
 */
#include "broker/core/decide.h"

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/card_proof.h"
#include "broker/core/generation.h"
#include "broker/core/said.h"
#include "broker/core/software.h"
#include "broker/core/state.h"
#include "broker/core/still.h"
#include "broker/evidence/tap_leaf.h"

void cb_intent_grant_init(cb_intent_grant *grant)
{
    *grant = (cb_intent_grant){.data = CB_BUF(CB_ENROLMENT_DATA_MAX)};
    cb_service_init(&grant->service);
    cb_enrolment_key_init(&grant->key);
}

void cb_intent_grant_free(cb_intent_grant *grant)
{
    cb_service_free(&grant->service);
    cb_enrolment_key_free(&grant->key);
    cb_buf_free(&grant->data);
}

cb_error cb_decide_lookup_card(cb_store *store, const cb_id *card, cb_card *out)
{
    cb_error error = cb_card_get(store, card, out);
    return error == CB_E_NOT_FOUND ? CB_E_CARD_UNKNOWN : error;
}

bool cb_card_is_over(const cb_card *card, int64_t now)
{
    return card->expires > 0 && now >= card->expires;
}

cb_error cb_card_refusal(const cb_card *card)
{
    bool over = cb_card_is_over(card, cb_clock_wall_us());
    switch (card->state) {
    case CB_CARD_ACTIVE:
        return over ? CB_E_CARD_EXPIRED : CB_OK;
    case CB_CARD_ISSUED:
        return over ? CB_E_CARD_EXPIRED : CB_E_CARD_NOT_ACTIVE;
    case CB_CARD_SUSPENDED:
        return over ? CB_E_CARD_EXPIRED : CB_E_CARD_SUSPENDED;
    case CB_CARD_EXPIRED:
        return CB_E_CARD_EXPIRED;
    default:
        return CB_E_CARD_REVOKED;
    }
}

cb_error cb_card_renewal_refusal(const cb_card *card, int64_t now)
{
    if (card->state != CB_CARD_ACTIVE)
        return cb_card_refusal(card);
    int64_t own = cb_card_own_day(card);
    return own > 0 && now >= own ? CB_E_CARD_EXPIRED : CB_OK;
}

/* ---- What is asked under the writer's lock, at T1 and again at T2 ---- */

cb_error cb_still_card(cb_txn *txn, const cb_id *id, const cb_id *holder)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error = cb_row_card_get(txn, id, &card);
    if (error == CB_E_NOT_FOUND)
        error = CB_E_CARD_UNKNOWN;
    if (!error)
        error = cb_card_refusal(&card);
    if (!error && !cb_id_same(&card.holder, holder))
        error = CB_E_HSM_RECORD;
    if (!error)
        error = cb_said_of_card(txn, id);
    cb_card_free(&card);
    return error;
}

/* Whether something happened since then, 0: at no time. What says that it will happen did so before
 * the clock was put back: it was before, or nothing would be accepted until the clock is there. */
static bool happened_since(int64_t time, int64_t since)
{
    return since && time >= since && time <= cb_clock_wall_us();
}

cb_error cb_still_terminal(cb_txn *txn, const cb_id *id, const char *service, int64_t since)
{
    cb_terminal terminal;
    cb_error error = cb_row_terminal_get(txn, id, &terminal);
    if (error == CB_E_NOT_FOUND)
        return CB_E_TERMINAL_UNKNOWN;
    if (error)
        return error;
    error = cb_terminal_tap_refusal(terminal.state);
    if (!error && terminal.expires && cb_clock_wall_us() >= terminal.expires)
        error = CB_E_TERMINAL_EXPIRED;
    if (!error && happened_since(terminal.changed, since))
        error = CB_E_TERMINAL_INACTIVE;
    if (!error)
        error = cb_said_of_terminal(txn, &terminal);
    if (!error)
        error = cb_still_software(txn, id);
    if (error)
        return error;
    return service && !cb_terminal_allows(&terminal, service) ? CB_E_TERMINAL_SERVICE : CB_OK;
}

cb_error cb_still_password(cb_txn *txn, const cb_id *terminal, const cb_id *password,
                           uint8_t reached, int64_t since)
{
    cb_card card;
    cb_terminal there;
    if (reached != CB_LEVEL_PASSWORD)
        return CB_OK;
    cb_card_init(&card);
    cb_error error = cb_row_terminal_get(txn, terminal, &there);
    if (!error && !there.passwords)
        error = CB_E_TERMINAL_PASSWORDS;
    if (!error && since)
        error = cb_row_card_get(txn, password, &card);
    if (!error && happened_since(card.changed, since))
        error = CB_E_CARD_SUSPENDED;
    cb_card_free(&card);
    return error;
}

cb_error cb_still_enrolment(cb_txn *txn, const cb_id *holder, const char *service,
                            cb_enrolment *out)
{
    cb_error error = cb_row_enrolment_find(txn, holder, service, out);
    if (error == CB_E_NOT_FOUND)
        return CB_E_ENROLMENT_NONE;
    if (!error && out->state != CB_ENROLMENT_ACTIVE)
        return CB_E_ENROLMENT_PENDING;
    return error ? error : cb_said_of_enrolment(txn, out);
}

/* ---- T1 ---- */

typedef struct t1 {
    const cb_intent_request *request;
    cb_intent_grant *grant;
    cb_enrolment enrolment;
} t1;

static cb_error admit(cb_txn *txn, t1 *t)
{
    const cb_intent_request *r = t->request;
    const char *name = r->context.service;
    cb_error error = cb_still_card(txn, &r->card, &r->holder);
    if (!error)
        error = cb_row_service_get(txn, name, &t->grant->service);
    if (error == CB_E_NOT_FOUND)
        error = CB_E_SERVICE_UNKNOWN;
    if (!error)
        error = cb_said_of_service(txn, &t->grant->service);
    if (!error)
        error = cb_still_terminal(txn, &r->context.terminal, name, 0);
    if (!error)
        error = cb_still_password(txn, &r->context.terminal, &r->card, r->reached, 0);
    if (!error && !(cb_level_reaches(r->reached, t->grant->service.level) &&
                    cb_level_reaches(r->reached, r->context.level)))
        error = CB_E_TAP_LEVEL;
    if (!error)
        error = cb_still_kind(txn, &r->context.terminal, name,
                              r->pin_seen || r->reached == CB_LEVEL_TERMINAL_PIN, r->pad);
    return error ? error : cb_still_enrolment(txn, &r->holder, name, &t->enrolment);
}

static cb_error put_intent(cb_txn *txn, const cb_intent *intent, const cb_id *enrolment)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_intent_row row = {.tap = intent->context.tap,
                         .card = intent->card,
                         .holder = intent->holder,
                         .terminal = intent->context.terminal,
                         .enrolment = *enrolment,
                         .key = intent->key,
                         .reached = intent->reached,
                         .time = intent->time};
    memcpy(row.service, intent->context.service, sizeof row.service);
    cb_intent_leaf(intent, &leaf);
    cb_error error = cb_txn_leaf(txn, &leaf, &row.leaf);
    if (!error)
        error = cb_row_intent_put(txn, &row);
    cb_buf_free(&leaf);
    return error;
}

static cb_error run_intent(cb_txn *txn, void *context)
{
    t1 *t = context;
    const cb_intent_request *r = t->request;
    cb_error error = admit(txn, t);
    if (!error && r->generation > 0)
        error = cb_card_generation_in(txn, &r->context.tap, &r->card, r->generation);
    if (!error && r->counter > 0)
        error = cb_card_proof_in(txn, &r->card, r->counter, cb_clock_wall_us());
    if (error)
        return error;
    t->grant->proof.intent = (cb_intent){.time = cb_clock_wall_us(),
                                         .context = r->context,
                                         .card = r->card,
                                         .holder = r->holder,
                                         .key = t->enrolment.current.id,
                                         .reached = r->reached};
    return put_intent(txn, &t->grant->proof.intent, &t->enrolment.id);
}

static cb_error fill_key(const cb_enrolment_key *from, cb_enrolment_key *to)
{
    cb_enrolment_key_free(to);
    to->id = from->id;
    to->algorithm = from->algorithm;
    to->level = from->level;
    to->sequence = from->sequence;
    cb_buf_put(&to->sealed, cb_buf_bytes(&from->sealed));
    cb_buf_put(&to->public_key, cb_buf_bytes(&from->public_key));
    cb_buf_put(&to->certificate, cb_buf_bytes(&from->certificate));
    cb_buf_put(&to->chain, cb_buf_bytes(&from->chain));
    bool failed =
        to->sealed.error || to->public_key.error || to->certificate.error || to->chain.error;
    return failed ? CB_E_MEMORY : CB_OK;
}

static cb_error fill_grant(const t1 *t, const cb_inclusion *inclusion, cb_intent_grant *grant)
{
    grant->enrolment = t->enrolment.id;
    grant->proof.index = inclusion->index;
    grant->proof.head = inclusion->head.head;
    grant->proof.head_mac = inclusion->head.mac;
    grant->proof.path = inclusion->path;
    cb_buf_reset(&grant->data);
    cb_buf_put(&grant->data, cb_buf_bytes(&t->enrolment.data));
    cb_error error = fill_key(&t->enrolment.current, &grant->key);
    return error ? error : cb_buf_error(&grant->data);
}

/* An intent that the caller will never hear of is closed here. */
static void close_unheard(cb_store *store, const cb_id *tap, cb_error why)
{
    cb_result_request request = {.tap = *tap, .outcome = why};
    cb_error error = cb_decide_result(store, &request);
    if (error)
        cb_log_failure("tap.unrecorded", error, "an intent stays open until the database can be written");
}

cb_error cb_decide_intent(cb_store *store, const cb_intent_request *request, cb_intent_grant *out)
{
    cb_inclusion inclusion;
    bool committed = false;
    t1 t = {.request = request, .grant = out};
    if (request->context.purpose != CB_TAP_AUTHENTICATE ||
        !memchr(request->context.service, 0, sizeof request->context.service) ||
        !cb_service_name_ok(request->context.service))
        return CB_E_ARGUMENT;
    cb_enrolment_init(&t.enrolment);
    cb_change change = {.run = run_intent,
                        .context = &t,
                        .until = CB_UNTIL_SIGNED,
                        .inclusion = &inclusion,
                        .committed = &committed};
    cb_error error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
    if (!error)
        error = cb_store_write(store, &change);
    if (!error)
        error = fill_grant(&t, &inclusion, out);
    if (error && committed)
        close_unheard(store, &request->context.tap, error);
    cb_enrolment_free(&t.enrolment);
    return error;
}
