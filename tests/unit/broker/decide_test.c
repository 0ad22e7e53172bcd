/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What decide says: a login goes ahead, and counts, only while all who take part may.
 */
#include <unistd.h>

#include "tests/unit/broker/support.h"

#include "base/leaf.h"

/* ---- Helpers ---- */

static cb_error t2(world *w, const cb_id *tap, cb_error outcome)
{
    cb_result_request result = {.tap = *tap, .outcome = outcome};
    return cb_decide_result(w->store, &result);
}

typedef struct last_leaf {
    char kind[64];
    char outcome[64];
} last_leaf;

static void find(cb_bytes leaf, const char *name, char out[64])
{
    cb_buf value = CB_BUF(63);
    out[0] = 0;
    if (cb_leaf_find(leaf, name, &value) == CB_OK)
        strcpy(out, cb_buf_cstr(&value));
    cb_buf_free(&value);
}

static cb_error note_leaf(void *context, const cb_log_leaf *leaf)
{
    last_leaf *last = context;
    find(leaf->data, "kind", last->kind);
    find(leaf->data, "outcome", last->outcome);
    return CB_OK;
}

static last_leaf last_of(world *w)
{
    last_leaf last = {0};
    cb_store_state state;
    assert_int_equal(cb_store_status(w->store, &state), CB_OK);
    assert_int_equal(cb_log_leaves(w->store, state.leaves - 1, 1, note_leaf, &last), CB_OK);
    return last;
}

static uint64_t open_intents(world *w)
{
    cb_store_state state;
    assert_int_equal(cb_store_status(w->store, &state), CB_OK);
    return state.open_intents;
}

/* ---- Tests ---- */

static void an_active_card_at_an_active_terminal_is_logged_in(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_grant grant;
    cb_intent_request request = intent_of(&w);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
    assert_true(cb_id_same(&grant.enrolment, &w.enrolment.id));
    assert_true(cb_id_same(&grant.key.id, &w.enrolment.current.id));
    assert_true(cb_id_same(&grant.proof.intent.key, &w.enrolment.current.id));
    assert_string_equal(grant.service.connector, "mtls");
    assert_true(cb_bytes_same(cb_buf_bytes(&grant.data), cb_bytes_str("{\"subject\":\"x\"}")));
    assert_int_equal(open_intents(&w), 1);

    /* What hsmd will check: its own leaf is under the head whose MAC it made. */
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_intent_leaf(&grant.proof.intent, &leaf);
    cb_digest hash = cb_merkle_leaf(cb_buf_bytes(&leaf));
    assert_true(cb_merkle_includes(&grant.proof.head, grant.proof.index, &hash, &grant.proof.path));
    cb_buf_free(&leaf);

    assert_int_equal(t2(&w, &request.context.tap, CB_OK), CB_OK);
    last_leaf last = last_of(&w);
    assert_string_equal(last.kind, "tap.result");
    assert_string_equal(last.outcome, "accepted");
    assert_int_equal(open_intents(&w), 0);
    assert_int_equal(t2(&w, &request.context.tap, CB_OK), CB_E_STATE);
    cb_intent_grant_free(&grant);
    world_end(&w);
}

static void an_accept_is_under_a_stored_head_when_it_is_given_out(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (int i = 0; i < 20; i++) {
        cb_evidence_summary summary;
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        assert_int_equal(verify_file(&w, &summary), CB_OK);
        assert_int_equal(summary.leaves_unsigned, 0);
    }
    world_end(&w);
}

static void t1_refuses_each_state_by_its_name(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request request = intent_of(&w);

    request.card = cb_id_random();
    assert_int_equal(t1(&w, &request), CB_E_CARD_UNKNOWN);
    request.card = add_card(&w, false);
    assert_int_equal(t1(&w, &request), CB_E_CARD_NOT_ACTIVE);
    request.card = w.card;
    request.holder = cb_id_random();
    assert_int_equal(t1(&w, &request), CB_E_HSM_RECORD);
    request.holder = w.holder.id;
    request.context.terminal = cb_id_random();
    assert_int_equal(t1(&w, &request), CB_E_TERMINAL_UNKNOWN);
    request.context.terminal = w.terminal.id;
    strcpy(request.context.service, "none");
    assert_int_equal(t1(&w, &request), CB_E_SERVICE_UNKNOWN);
    add_service(&w, "bank", true);
    strcpy(request.context.service, "bank");
    assert_int_equal(t1(&w, &request), CB_E_ENROLMENT_NONE);
    assert_int_equal(add_enrolment(&w, "bank", 1, NULL), CB_OK);
    assert_int_equal(t1(&w, &request), CB_E_ENROLMENT_PENDING);
    strcpy(request.context.service, "tax");
    request.reached = CB_LEVEL_NONE;
    assert_int_equal(t1(&w, &request), CB_E_TAP_LEVEL);
    request.reached = CB_LEVEL_POSSESSION;
    request.context.level = CB_LEVEL_PIN;
    assert_int_equal(t1(&w, &request), CB_E_TAP_LEVEL);

    request = intent_of(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(t1(&w, &request), CB_E_CARD_SUSPENDED);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_RESUME, NULL, NULL), CB_OK);
    assert_int_equal(t1(&w, &request), CB_OK);
    assert_int_equal(t1(&w, &request), CB_E_EXISTS);
    assert_int_equal(cb_terminal_revoke(w.store, "test", &w.terminal.id, NULL, NULL), CB_OK);
    request.context.tap = cb_id_random();
    assert_int_equal(t1(&w, &request), CB_E_TERMINAL_REVOKED);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, "lost", NULL), CB_OK);
    assert_int_equal(t1(&w, &request), CB_E_CARD_REVOKED);
    world_end(&w);
}

static void a_terminal_asks_for_its_own_services_only(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    add_service(&w, "bank", false);
    const char *const services[] = {"bank"};
    cb_terminal_new new = {.name = "counter 2",
                           .key = cb_sha256(cb_bytes_str("2")),
                           .services = services,
                           .service_count = 1,
                           .rate = 5};
    cb_terminal terminal;
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &terminal), CB_OK);
    cb_intent_request request = intent_of(&w);
    request.context.terminal = terminal.id;
    assert_int_equal(t1(&w, &request), CB_E_TERMINAL_SERVICE);
    world_end(&w);
}

/* Each act that can withdraw a tap between T1 and T2. */
static cb_error suspend(world *w, cb_affected *affected)
{
    return cb_card_change(w->store, "test", &w->card, CB_CARD_SUSPEND, NULL, affected);
}

static cb_error revoke_card(world *w, cb_affected *affected)
{
    return cb_card_change(w->store, "test", &w->card, CB_CARD_REVOKE, "stolen", affected);
}

static cb_error revoke_terminal(world *w, cb_affected *affected)
{
    return cb_terminal_revoke(w->store, "test", &w->terminal.id, NULL, affected);
}

static cb_error remove_enrolment(world *w, cb_affected *affected)
{
    return cb_enrolment_remove(w->store, "test", &w->enrolment.id, affected);
}

static cb_error (*const withdrawals[])(world *, cb_affected *) = {
    suspend, revoke_card, revoke_terminal, remove_enrolment};

static void what_is_withdrawn_between_t1_and_t2_is_not_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof withdrawals / sizeof *withdrawals; i++) {
        world w;
        world_begin(&w);
        cb_affected affected = {0};
        cb_intent_request request = intent_of(&w);
        assert_int_equal(t1(&w, &request), CB_OK);
        assert_int_equal(withdrawals[i](&w, &affected), CB_OK);
        assert_int_equal(affected.tap_count, 1);
        assert_true(cb_id_same(&affected.taps[0], &request.context.tap));
        assert_int_equal(affected.feed_number, 1);
        assert_int_equal(t2(&w, &request.context.tap, CB_OK), CB_E_TAP_WITHDRAWN);
        assert_string_equal(last_of(&w).outcome, "tap.withdrawn");
        assert_int_equal(open_intents(&w), 0);
        cb_affected_free(&affected);
        world_end(&w);
    }
}

static void a_key_renewed_between_t1_and_t2_withdraws_the_tap(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request request = intent_of(&w);
    assert_int_equal(t1(&w, &request), CB_OK);
    cb_id key = cb_id_new();
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    make_sealed(&key, &w.holder.id, "tax", 2, 1, &sealed);
    assert_int_equal(cb_enrolment_renew(w.store, "test", &w.enrolment.id, cb_buf_bytes(&sealed),
                                        cb_bytes_str("public")),
                     CB_OK);
    assert_int_equal(t2(&w, &request.context.tap, CB_OK), CB_E_TAP_WITHDRAWN);
    cb_buf_free(&sealed);
    world_end(&w);
}

/* ---- Passwords ---- */

/* A world in which the card is a password, at a terminal that may take it. */
static cb_intent_request with_password(world *w)
{
    const cb_service_new library = {.name = "library",
                                    .title = "Library",
                                    .connector = "mtls",
                                    .level = CB_LEVEL_PASSWORD,
                                    .kind = 4};
    const cb_terminal_new desk = {
        .name = "desk", .key = cb_sha256(cb_bytes_str("desk")), .passwords = true};
    cb_terminal terminal;
    cb_enrolment enrolment;
    cb_enrolment_init(&enrolment);
    assert_int_equal(cb_service_add(w->store, "test", &library), CB_OK);
    assert_int_equal(add_enrolment(w, "library", 1, &enrolment), CB_OK);
    assert_int_equal(cb_terminal_add(w->store, "test", &desk, &terminal), CB_OK);
    assert_true(terminal.passwords);
    cb_enrolment_free(&enrolment);
    cb_intent_request request = intent_of(w);
    request.context.terminal = terminal.id;
    request.context.profile = CB_PROFILE_PASSWORD;
    request.context.level = request.reached = CB_LEVEL_PASSWORD;
    strcpy(request.context.service, "library");
    return request;
}

static void a_password_counts_where_it_is_allowed_and_for_no_more(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request good = with_password(&w), request = good;
    request.context.terminal = w.terminal.id;
    assert_int_equal(t1(&w, &request), CB_E_TERMINAL_PASSWORDS);
    request = good;
    strcpy(request.context.service, "tax");
    assert_int_equal(t1(&w, &request), CB_E_TAP_LEVEL);
    assert_int_equal(t1(&w, &good), CB_OK);
    assert_int_equal(t2(&w, &good.context.tap, CB_OK), CB_OK);
    request = intent_of(&w); /* a card does for it as well, anywhere */
    strcpy(request.context.service, "library");
    assert_int_equal(t1(&w, &request), CB_OK);
    assert_int_equal(t2(&w, &request.context.tap, CB_OK), CB_OK);
    world_end(&w);
}

/* As a reset leaves it: suspended, and good again, before the login came to its end. */
static void a_password_that_was_changed_since_t1_is_not_accepted(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request request = with_password(&w);
    assert_int_equal(t1(&w, &request), CB_OK);
    assert_int_equal(suspend(&w, NULL), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_RESUME, NULL, NULL), CB_OK);
    assert_int_equal(t2(&w, &request.context.tap, CB_OK), CB_E_TAP_WITHDRAWN);
    request.context.tap = cb_id_random();
    assert_int_equal(t1(&w, &request), CB_OK);
    assert_int_equal(t2(&w, &request.context.tap, CB_OK), CB_OK);
    cb_again_request again = {.tap = request.context.tap,
                              .terminal = request.context.terminal,
                              .card = w.card,
                              .holder = w.holder.id,
                              .service = "library",
                              .intended = 1,
                              .reached = CB_LEVEL_PASSWORD};
    assert_int_equal(cb_decide_again(w.store, &again), CB_E_TAP_WITHDRAWN);
    world_end(&w);
}

/* Terminal and password were entered while the clock was wrong. */
static void what_was_changed_before_the_clock_was_put_back_is_served(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w);
    tamper(&w, "UPDATE terminal SET changed = changed + 3600000000");
    tamper(&w, "UPDATE card SET changed = changed + 3600000000");
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    cb_intent_request request = with_password(&w);
    assert_int_equal(t1(&w, &request), CB_OK);
    assert_int_equal(t2(&w, &request.context.tap, CB_OK), CB_OK);
    world_end(&w);
}

/* More than one transaction takes, with one among them that has ended already and one unknown. */
static void sessions_that_end_together_are_all_recorded(void **state)
{
    enum { MANY = 100 };
    world w;
    cb_store_state before, after;
    cb_session_over over[MANY + 1];
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < MANY; i++) {
        over[i] = (cb_session_over){cb_id_new(), "idle"};
        assert_int_equal(tap_once(&w, NULL, &over[i].session), CB_OK);
    }
    over[MANY] = (cb_session_over){cb_id_new(), "idle"};
    assert_int_equal(end_session(w.store, &over[7].session, "revoked"), CB_OK);
    assert_int_equal(cb_store_status(w.store, &before), CB_OK);
    assert_int_equal(cb_decide_session_ends(w.store, over, MANY + 1), CB_OK);
    assert_int_equal(cb_store_status(w.store, &after), CB_OK);
    assert_int_equal(after.leaves - before.leaves, MANY - 1);
    assert_int_equal(before.open_sessions, MANY - 1);
    assert_int_equal(after.open_sessions, 0);
    assert_int_equal(cb_decide_session_ends(w.store, over, MANY + 1), CB_E_SESSION_UNKNOWN);
    world_end(&w);
}

static void a_session_is_listed_by_the_revocation_that_follows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof withdrawals / sizeof *withdrawals; i++) {
        world w;
        world_begin(&w);
        cb_affected affected = {0};
        cb_id session = cb_id_new();
        assert_int_equal(tap_once(&w, NULL, &session), CB_OK);
        assert_int_equal(withdrawals[i](&w, &affected), CB_OK);
        assert_int_equal(affected.tap_count, 0);
        assert_int_equal(affected.session_count, 1);
        assert_true(cb_id_same(&affected.sessions[0], &session));
        assert_int_equal(end_session(w.store, &session, "revoked"), CB_OK);
        assert_string_equal(last_of(&w).kind, "session.ended");
        assert_int_equal(end_session(w.store, &session, "revoked"), CB_E_SESSION_UNKNOWN);
        cb_affected_free(&affected);
        world_end(&w);
    }
}

static void failures_and_refusals_are_recorded(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request request = intent_of(&w);
    assert_int_equal(t1(&w, &request), CB_OK);
    assert_int_equal(t2(&w, &request.context.tap, CB_E_SERVICE_DOWN), CB_OK);
    assert_string_equal(last_of(&w).outcome, "service.unreachable");
    cb_refusal refusal = {.tap = request.context.tap,
                          .terminal = w.terminal.id,
                          .error = CB_E_PIN_WRONG,
                          .pin_tries_left = 2};
    assert_int_equal(cb_decide_refused(w.store, &refusal, NULL), CB_OK);
    assert_string_equal(last_of(&w).outcome, "pin.wrong");
    request = intent_of(&w);
    request.context.purpose = CB_TAP_PIN_CHANGE;
    request.context.service[0] = 0;
    assert_int_equal(cb_decide_pin(w.store, &request), CB_OK);
    assert_string_equal(last_of(&w).kind, "tap.pin");
    assert_int_equal(suspend(&w, NULL), CB_OK);
    assert_int_equal(cb_decide_pin(w.store, &request), CB_E_CARD_SUSPENDED);
    assert_string_equal(last_of(&w).outcome, "card.suspended");
    world_end(&w);
}

static void an_act_whose_head_is_not_signed_in_time_is_said_to_be_done(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_store_state status;
    set_signer(&w.signer->fail, CB_E_HSM_DOWN); /* but nobody has noticed yet */
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", NULL), CB_E_UNSIGNED);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.leaves_unsigned, 1); /* it is done */
    assert_int_equal(cb_holder_add(w.store, "test", "Jiro", NULL), CB_E_HSM_DOWN);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.leaves_unsigned, 1); /* and this is not */
    world_end(&w);
}

static void while_nobody_signs_only_revocations_are_taken(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request open = intent_of(&w), late = intent_of(&w);
    cb_affected affected = {0};
    cb_store_state status;
    cb_holder holder;
    assert_int_equal(t1(&w, &open), CB_OK);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(t1(&w, &late), CB_E_HSM_DOWN); /* committed, then closed again */
    assert_int_equal(open_intents(&w), 1);
    late.context.tap = cb_id_random();
    assert_int_equal(t1(&w, &late), CB_E_HSM_DOWN); /* not even begun */
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_HSM_DOWN);
    assert_int_equal(t2(&w, &open.context.tap, CB_OK), CB_E_HSM_DOWN);
    assert_string_equal(last_of(&w).outcome, "hsm.unavailable");
    assert_int_equal(revoke_card(&w, &affected), CB_OK);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.signer, CB_E_HSM_DOWN);
    assert_true(status.leaves_unsigned > 0);

    set_signer(&w.signer->fail, CB_OK);
    for (int i = 0; i < 100 && status.leaves_unsigned > 0; i++) {
        usleep(50000);
        assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    }
    assert_int_equal(status.leaves_unsigned, 0);
    assert_int_equal(status.signer, CB_OK);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_OK);
    cb_affected_free(&affected);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void an_accept_that_cannot_be_given_out_is_recorded_as_withheld(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request request = intent_of(&w);
    cb_id session = cb_id_new();
    assert_int_equal(t1(&w, &request), CB_OK);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN); /* but nobody has noticed yet */
    cb_result_request result = {.tap = request.context.tap, .session = session};
    assert_int_equal(cb_decide_result(w.store, &result), CB_E_HSM_DOWN);
    assert_string_equal(last_of(&w).kind, "tap.withheld");
    assert_int_equal(end_session(w.store, &session, "x"), CB_E_SESSION_UNKNOWN);
    world_end(&w);
}

static void an_answer_that_was_lost_does_not_stop_the_log(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    set_signer(&w.signer->lose, 1);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_DOWN);
    cb_error error = CB_E_HSM_DOWN;
    for (int i = 0; i < 100 && error; i++) {
        usleep(50000);
        error = tap_once(&w, NULL, NULL);
    }
    assert_int_equal(error, CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void the_feed_is_numbered_and_chained(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_feed_entry entries[8];
    cb_feed_head head;
    size_t count = 0;
    cb_digest hash = {{0}};
    assert_int_equal(suspend(&w, NULL), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_RESUME, NULL, NULL), CB_OK);
    assert_int_equal(revoke_card(&w, NULL), CB_OK);
    assert_int_equal(revoke_card(&w, NULL), CB_E_STATE);
    assert_int_equal(remove_enrolment(&w, NULL), CB_OK);
    assert_int_equal(cb_feed_since(w.store, 0, entries, 8, &count), CB_OK);
    assert_int_equal(count, 4);
    assert_int_equal(entries[0].kind, CB_FEED_CARD_SUSPENDED);
    assert_int_equal(entries[1].kind, CB_FEED_CARD_RESUMED);
    assert_int_equal(entries[2].kind, CB_FEED_CARD_REVOKED);
    assert_int_equal(entries[3].kind, CB_FEED_KEY_RETIRED);
    assert_true(cb_id_same(&entries[3].subject, &w.enrolment.current.id));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].number, i + 1);
        hash = cb_feed_hash(&hash, &entries[i]);
    }
    assert_int_equal(cb_feed_head_now(w.store, &head), CB_OK);
    assert_int_equal(head.number, 4);
    assert_memory_equal(&head.hash, &hash, sizeof hash);
    assert_int_equal(cb_feed_since(w.store, 3, entries, 8, &count), CB_OK);
    assert_int_equal(count, 1);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_active_card_at_an_active_terminal_is_logged_in),
        cmocka_unit_test(an_accept_is_under_a_stored_head_when_it_is_given_out),
        cmocka_unit_test(t1_refuses_each_state_by_its_name),
        cmocka_unit_test(a_terminal_asks_for_its_own_services_only),
        cmocka_unit_test(what_is_withdrawn_between_t1_and_t2_is_not_accepted),
        cmocka_unit_test(a_password_counts_where_it_is_allowed_and_for_no_more),
        cmocka_unit_test(a_password_that_was_changed_since_t1_is_not_accepted),
        cmocka_unit_test(what_was_changed_before_the_clock_was_put_back_is_served),
        cmocka_unit_test(a_key_renewed_between_t1_and_t2_withdraws_the_tap),
        cmocka_unit_test(sessions_that_end_together_are_all_recorded),
        cmocka_unit_test(a_session_is_listed_by_the_revocation_that_follows),
        cmocka_unit_test(failures_and_refusals_are_recorded),
        cmocka_unit_test(an_act_whose_head_is_not_signed_in_time_is_said_to_be_done),
        cmocka_unit_test(while_nobody_signs_only_revocations_are_taken),
        cmocka_unit_test(an_accept_that_cannot_be_given_out_is_recorded_as_withheld),
        cmocka_unit_test(an_answer_that_was_lost_does_not_stop_the_log),
        cmocka_unit_test(the_feed_is_numbered_and_chained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
