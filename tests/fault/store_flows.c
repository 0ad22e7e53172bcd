/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/store_flows.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/store/txn.h"

/* ---- The databases ---- */

static void copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    while (sendfile(out, in, NULL, 1 << 20) > 0)
        ;
    close(in);
    close(out);
}

static void remove_beside(const store_flows *s, const char *suffix)
{
    char name[160];
    snprintf(name, sizeof name, "%s%s", s->w.path, suffix);
    unlink(name);
}

static void put_database(store_flows *s, const char *from, unsigned which)
{
    remove_beside(s, "");
    remove_beside(s, "-wal");
    remove_beside(s, "-shm");
    remove_beside(s, "-journal");
    remove_beside(s, ".copy");
    remove_beside(s, "-checkpoint");
    remove_beside(s, "-checkpoint.next");
    if (from)
        copy_file(from, s->w.path);
    if (from)
        s->w.signer->remembered = s->remembered[which];
    else
        s->w.signer->remembered = (cb_tree_head){0, cb_sha256((cb_bytes){0})};
}

static void new_run(store_flows *s)
{
    s->tap = cb_id_new();
    s->session = cb_id_new();
    s->enrolment = s->w.enrolment.id;
}

void store_begin_calm(void *context)
{
    store_flows *s = context;
    new_run(s);
    put_database(s, s->calm, 0);
    world_open(&s->w);
}

void store_flows_make(store_flows *s)
{
    cb_intent_grant grant;
    cb_intent_request request;
    memset(s, 0, sizeof *s);
    world_begin(&s->w);
    snprintf(s->calm, sizeof s->calm, "%s/calm", s->w.folder);
    snprintf(s->crashed, sizeof s->crashed, "%s/crashed", s->w.folder);
    world_close(&s->w);
    copy_file(s->w.path, s->calm);
    s->remembered[0] = s->w.signer->remembered;
    world_open(&s->w);
    cb_id session = cb_id_new();
    assert_int_equal(tap_once(&s->w, NULL, &session), CB_OK);
    request = intent_of(&s->w);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(s->w.store, &request, &grant), CB_OK);
    cb_intent_grant_free(&grant);
    world_close(&s->w);
    copy_file(s->w.path, s->crashed);
    s->remembered[1] = s->w.signer->remembered;
}

void store_flows_end(store_flows *s) { world_end(&s->w); }

/* ---- What must hold after a fault ---- */

/* A store that has seen its disk fail says so until a trial write has succeeded, by itself; then
 * what it could not close is closed. */
void store_wait_for_the_disk(store_flows *s)
{
    cb_store_state status;
    assert_int_not_equal(error_without_fault(&s->w), CB_E_STORE);
    cb_store_settle(s->w.store);
    assert_int_equal(cb_store_status(s->w.store, &status), CB_OK);
    assert_int_equal(status.open_intents, 0);
}

/* The signer is asked again within half a second. */
void store_wait_for_the_lane(store_flows *s)
{
    for (int i = 0; i < 500 && !cb_store_signs(s->w.store); i++)
        usleep(10000);
    assert_true(cb_store_signs(s->w.store));
}

static void works_again(store_flows *s)
{
    cb_id session = cb_id_new();
    store_wait_for_the_disk(s);
    store_wait_for_the_lane(s);
    assert_int_equal(tap_once(&s->w, NULL, &session), CB_OK);
    assert_int_equal(end_session(s->w.store, &session, "ended"), CB_OK);
}

/* What found no memory for a head is signed within half a second: a close in that moment leaves it to
 * the next start. */
static void wait_for_the_head(store_flows *s)
{
    cb_store_state state = {.leaves_unsigned = 1};
    for (int i = 0; i < 500 && state.leaves_unsigned > 0; i++) {
        assert_int_equal(cb_store_status(s->w.store, &state), CB_OK);
        if (state.leaves_unsigned > 0)
            usleep(10000);
    }
}

void store_closes_whole(store_flows *s)
{
    cb_evidence_summary summary;
    wait_for_the_head(s);
    world_close(&s->w);
    assert_int_equal(verify_file(&s->w, &summary), CB_OK);
    assert_int_equal(summary.leaves_unsigned, 0);
}

/* ---- What the record says of this run's tap ---- */

typedef struct told {
    const cb_id *tap;
    unsigned intents, accepted, withheld, ended;
} told;

static bool says(cb_bytes leaf, const char *field, const char *value)
{
    cb_buf found = CB_BUF(128);
    bool same = cb_leaf_find(leaf, field, &found) == CB_OK &&
                cb_bytes_same(cb_buf_bytes(&found), cb_bytes_str(value));
    cb_buf_free(&found);
    return same;
}

static cb_error hear(void *context, const cb_log_leaf *leaf)
{
    told *t = context;
    char tap[CB_ID_TEXT];
    cb_id_text(t->tap, tap);
    if (!says(leaf->data, "tap", tap))
        return CB_OK;
    t->intents += says(leaf->data, "kind", "tap.intent");
    t->accepted += says(leaf->data, "outcome", "accepted");
    t->ended += says(leaf->data, "kind", "tap.result");
    t->withheld += says(leaf->data, "kind", "tap.withheld");
    return CB_OK;
}

static told what_was_told(store_flows *s, const cb_id *tap)
{
    told t = {.tap = tap};
    for (uint64_t from = 0; from < 200; from += 50)
        assert_int_equal(cb_log_leaves(s->w.store, from, 50, hear, &t), CB_OK);
    return t;
}

/* ---- Opening ---- */

static void no_database(void *context)
{
    new_run(context);
    put_database(context, NULL, 0);
}

static void crashed_database(void *context)
{
    new_run(context);
    put_database(context, ((store_flows *)context)->crashed, 1);
}

static cb_error open_and_close(void *context)
{
    store_flows *s = context;
    cb_error error = cb_store_open(&s->w.options, &s->w.store);
    world_close(&s->w);
    return error;
}

static void a_new_one_opens(void *context, cb_error result, bool struck)
{
    store_flows *s = context;
    cb_holder holder;
    (void)result;
    (void)struck;
    world_open(&s->w);
    store_wait_for_the_lane(s);
    assert_int_equal(cb_holder_add(s->w.store, "test", "Taro", &holder), CB_OK);
    store_closes_whole(s);
}

static void the_crashed_one_opens(void *context, cb_error result, bool struck)
{
    store_flows *s = context;
    cb_store_state status;
    (void)result;
    (void)struck;
    world_open(&s->w);
    assert_int_equal(cb_store_status(s->w.store, &status), CB_OK);
    assert_int_equal(status.open_intents, 0);
    assert_int_equal(status.open_sessions, 0);
    works_again(s);
    store_closes_whole(s);
}

/* ---- A tap ---- */

static cb_error decide(void *context)
{
    store_flows *s = context;
    cb_intent_grant grant;
    cb_intent_request request = intent_of(&s->w);
    request.context.tap = s->tap;
    request.counter = ++s->counter;
    cb_intent_grant_init(&grant);
    cb_error error = cb_decide_intent(s->w.store, &request, &grant);
    if (!error && (grant.key.sealed.len == 0 || !cb_id_same(&grant.enrolment, &s->enrolment)))
        error = CB_ERROR_COUNT;
    cb_intent_grant_free(&grant);
    if (error)
        return error;
    cb_result_request result = {
        .tap = s->tap, .session = s->session, .counter = request.counter};
    error = cb_decide_result(s->w.store, &result);
    /* As the caller does: what ended before T2 could be written is written as what it was. */
    if (error) {
        result = (cb_result_request){.tap = s->tap, .outcome = error};
        cb_decide_result(s->w.store, &result);
    }
    return error;
}

static void the_tap_is_told_as_it_was(void *context, cb_error result, bool struck)
{
    store_flows *s = context;
    (void)struck;
    store_wait_for_the_disk(s);
    told t = what_was_told(s, &s->tap);
    assert_true(t.intents <= 1 && t.accepted <= 1 && t.ended <= t.intents);
    if (result == CB_OK)
        assert_true(t.accepted == 1 && t.withheld == 0);
    works_again(s);
    store_closes_whole(s);
}

/* ---- A revocation ---- */

static void begin_with_session(void *context)
{
    store_flows *s = context;
    store_begin_calm(context);
    assert_int_equal(tap_once(&s->w, NULL, &s->session), CB_OK);
}

static cb_error revoke_card(void *context)
{
    store_flows *s = context;
    cb_affected affected = {0};
    cb_error error =
        cb_card_change(s->w.store, "test", &s->w.card, CB_CARD_REVOKE, "lost", &affected);
    if (!error && (affected.session_count != 1 || affected.feed_number == 0))
        error = CB_ERROR_COUNT;
    cb_affected_free(&affected);
    return error;
}

static void it_is_revoked_or_as_before(void *context, cb_error result, bool struck)
{
    store_flows *s = context;
    cb_card card;
    cb_feed_head feed;
    (void)struck;
    store_wait_for_the_disk(s);
    cb_card_init(&card);
    assert_int_equal(cb_card_get(s->w.store, &s->w.card, &card), CB_OK);
    assert_int_equal(cb_feed_head_now(s->w.store, &feed), CB_OK);
    bool revoked = card.state == CB_CARD_REVOKED;
    assert_true(revoked || card.state == CB_CARD_ACTIVE);
    assert_int_equal(feed.number, revoked);
    if (!s->disk || result == CB_OK)
        assert_int_equal(revoked, result == CB_OK);
    store_wait_for_the_lane(s);
    if (revoked)
        assert_int_equal(tap_once(&s->w, NULL, NULL), CB_E_CARD_REVOKED);
    else
        assert_int_equal(cb_card_change(s->w.store, "test", &s->w.card, CB_CARD_REVOKE, NULL, NULL),
                         CB_OK);
    cb_card_free(&card);
    store_closes_whole(s);
}

/* ---- What administrators do ---- */

static cb_error new_card(store_flows *s, cb_id *out)
{
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    *out = cb_id_new();
    make_binding(out, &s->w.holder.id, &binding);
    cb_card_init(&card);
    cb_error error = cb_card_add(s->w.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, &card);
    if (!error)
        error = cb_card_change(s->w.store, "test", out, CB_CARD_ACTIVATE, NULL, NULL);
    cb_card_free(&card);
    cb_buf_free(&binding);
    return error;
}

static cb_error issue(void *context)
{
    store_flows *s = context;
    cb_holder holder;
    cb_terminal terminal;
    const char *services[] = {"tax"};
    cb_error error = cb_holder_add(s->w.store, "test", "Taro", &holder);
    if (!error)
        error = new_card(s, &s->tap);
    cb_terminal_new made = {.name = "counter 2",
                            .key = cb_sha256(cb_bytes_str("counter 2")),
                            .services = services,
                            .service_count = 1};
    if (!error)
        error = cb_terminal_add(s->w.store, "test", &made, &terminal);
    if (!error)
        error = cb_terminal_find(s->w.store, &made.key, &terminal);
    if (!error && (terminal.all_services || cb_terminal_allows(&terminal, "bank")))
        error = CB_ERROR_COUNT;
    return error;
}

static void what_is_there_is_whole(void *context, cb_error result, bool struck)
{
    store_flows *s = context;
    cb_card card;
    (void)struck;
    works_again(s);
    cb_card_init(&card);
    cb_error error = cb_card_get(s->w.store, &s->tap, &card);
    assert_true(error == CB_OK || error == CB_E_NOT_FOUND);
    if (result == CB_OK)
        assert_int_equal(card.state, CB_CARD_ACTIVE);
    cb_card_free(&card);
    assert_int_equal(new_card(s, &s->tap), CB_OK);
    store_closes_whole(s);
}

static cb_error renew(store_flows *s, uint64_t sequence)
{
    cb_id key = cb_id_new();
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    make_sealed(&key, &s->w.holder.id, "tax", sequence, 1, &sealed);
    cb_error error = cb_enrolment_renew(s->w.store, "test", &s->enrolment, cb_buf_bytes(&sealed),
                                        cb_bytes_str("public"));
    cb_buf_free(&sealed);
    return error;
}

static cb_error enrol(void *context)
{
    store_flows *s = context;
    cb_enrolment enrolment;
    cb_error error = renew(s, 2);
    if (!error)
        error = cb_enrolment_remove(s->w.store, "test", &s->enrolment, NULL);
    cb_enrolment_init(&enrolment);
    if (!error)
        error = add_enrolment(&s->w, "tax", 3, &enrolment);
    if (!error && enrolment.current.sealed.len == 0)
        error = CB_ERROR_COUNT;
    cb_enrolment_free(&enrolment);
    return error;
}

static void one_enrolment_is_left(void *context, cb_error result, bool struck)
{
    store_flows *s = context;
    (void)result;
    (void)struck;
    store_wait_for_the_disk(s);
    store_wait_for_the_lane(s);
    cb_enrolment enrolment;
    cb_enrolment_init(&enrolment);
    cb_error error = add_enrolment(&s->w, "tax", 4, &enrolment);
    cb_enrolment_free(&enrolment);
    assert_true(error == CB_OK || error == CB_E_EXISTS);
    works_again(s);
    store_closes_whole(s);
}

/* ---- Verification ---- */

void store_closed_calm(void *context)
{
    put_database(context, ((store_flows *)context)->calm, 0);
}

static cb_error verify(void *context) { return verify_file(&((store_flows *)context)->w, NULL); }

/* A verification that fails for want of memory is not one that has found something. */
static void nothing_is_found(void *context, cb_error result, bool struck)
{
    (void)struck;
    assert_true(result != CB_E_EVIDENCE && findings_of(NULL) == 0);
    assert_int_equal(verify(context), CB_OK);
}

const fault_flow store_flow[] = {
    {"a new database", no_database, open_and_close, a_new_one_opens},
    {"opening after a crash", crashed_database, open_and_close, the_crashed_one_opens},
    {"a checkpoint", store_begin_with_checkpoints, store_make_and_go_on,
     store_starts_with_or_without},
    {"a tap", store_begin_calm, decide, the_tap_is_told_as_it_was},
    {"a revocation", begin_with_session, revoke_card, it_is_revoked_or_as_before},
    {"a card and a terminal", store_begin_calm, issue, what_is_there_is_whole},
    {"a wrong PIN too many", store_begin_wrong_pins, store_count_wrong_pin,
     store_it_is_counted_with_its_refusal},
    {"an enrolment renewed", store_begin_calm, enrol, one_enrolment_is_left},
    {"a code used, a password changed, a card renewed", store_begin_holders, store_do_holders,
     store_holders_are_done},
    {"a log taken, a program allowed, maintenance begun", store_begin_terminals, store_do_terminals,
     store_terminals_are_done},
    {"stock moved, an application approved", store_begin_stock, store_do_stock,
     store_stock_is_done},
    {"verification", store_closed_calm, verify, nothing_is_found},
};
const unsigned store_flow_count = sizeof store_flow / sizeof *store_flow;
