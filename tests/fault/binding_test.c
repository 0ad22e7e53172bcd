/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Binding a card and lifting its suspension, as hsmd does for a manager, on a real token: each call
 * to it fails in turn, and each allocation; the suspension is lifted without a call to it. A card is bound to one holder, whatever fails, and to
 * him it can be bound again; what is half done gives no record.
 */
#include "tests/support/pkcs11_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fake.h"
#include "hsm/durable.h"
#include "hsm/password.h"
#include "hsm/protocol.h"
#include "hsm/request.h"
#include "hsm/vault_keyring.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/softhsm.h"

/* What a flow returns when it was given something false; it is no listed error. */
#define WRONG CB_ERROR_COUNT

typedef struct bindings {
    world w;
    fake f; /* its files and its manage lane, over a real token */
    softhsm hsm;
    cb_hsmd_config config;
    cb_buf pin;
    cb_vault_keyring vault;
    cb_lane lane;
    cb_id holder, other, password;
} bindings;

static bindings shared;

/* ---- Asking ---- */

static cb_error ask(bindings *b, cb_msg *question, cb_msg *answer)
{
    cb_msg_init(answer, 0);
    cb_error error = cb_buf_error(&question->body);
    if (!error && !cb_request_handle(&b->lane, question, answer))
        error = WRONG;
    cb_msg_free(question);
    if (!error && answer->error && answer->body.len > 0)
        error = WRONG;
    return error ? error : answer->error;
}

/* And what comes out says what was asked for, and is believed. */
static cb_error bind(bindings *b, const cb_id *holder)
{
    cb_msg question, answer;
    cb_binding_info info;
    cb_msg_init(&question, CB_HSM_BIND);
    cb_buf_put_var(&question.body, cb_buf_bytes(&b->w.certificate));
    cb_put_id(&question.body, holder);
    cb_buf_put_u8(&question.body, CB_LEVEL_PIN);
    cb_buf_put_u64(&question.body, 1);
    cb_error error = ask(b, &question, &answer);
    if (!error)
        error = b->vault.vault.binding_check(&b->vault, cb_buf_bytes(&answer.body), &info);
    if (error == CB_E_HSM_RECORD ||
        (!error && (!cb_id_same(&info.holder, holder) || info.level != CB_LEVEL_PIN ||
                    memcmp(info.keys.key[0].data, b->w.point, sizeof b->w.point) != 0)))
        error = WRONG;
    cb_msg_free(&answer);
    return error;
}

static cb_error resume(bindings *b)
{
    cb_msg question, answer;
    cb_msg_init(&question, CB_HSM_RESUME);
    cb_put_id(&question.body, &b->w.first.card);
    cb_error error = ask(b, &question, &answer);
    cb_msg_free(&answer);
    return error;
}

/* A password is bound as a card is; its key here is the card's. */
static cb_error bind_password(bindings *b, const cb_id *holder)
{
    cb_msg question, answer;
    cb_binding_info info;
    cb_digest verifier;
    cb_msg_init(&question, CB_HSM_BIND_PASSWORD);
    cb_put_id(&question.body, &b->password);
    cb_buf_put(&question.body, cb_bytes_make(b->w.point, sizeof b->w.point));
    cb_put_id(&question.body, holder);
    cb_buf_put_u64(&question.body, 1);
    cb_buf_put_u64(&question.body, 0); /* for good */
    cb_buf_put_var(&question.body, (cb_bytes){0});
    cb_error error = ask(b, &question, &answer);
    if (!error)
        error = b->vault.vault.binding_check(&b->vault, cb_buf_bytes(&answer.body), &info);
    if (!error)
        error = cb_password_verifier(&b->vault.vault, &b->password, b->w.point, &verifier);
    if (error == CB_E_HSM_RECORD ||
        (!error &&
         (!cb_id_same(&info.holder, holder) || info.level != CB_LEVEL_PASSWORD ||
          memcmp(info.keys.key[0].data, verifier.bytes, sizeof verifier.bytes) != 0)))
        error = WRONG;
    cb_msg_free(&answer);
    return error;
}

static cb_error forgive(bindings *b)
{
    cb_msg question, answer;
    cb_msg_init(&question, CB_HSM_PASSWORD_FORGIVE);
    cb_put_id(&question.body, &b->password);
    cb_error error = ask(b, &question, &answer);
    cb_msg_free(&answer);
    return error;
}

/* ---- The flows ---- */

static void nothing_is_bound(void *context)
{
    bindings *b = context;
    cb_memo_close(&b->lane.bound);
    unlink(b->f.config.bound_path);
    assert_int_equal(cb_durable_make(b->f.config.bound_path), CB_OK);
    assert_int_equal(cb_memo_open(b->f.config.bound_path, &b->lane.bound), CB_OK);
}

static cb_error bind_it(void *context)
{
    bindings *b = context;
    return bind(b, &b->holder);
}

static void it_is_bound_to_one(void *context, cb_error result, bool struck)
{
    bindings *b = context;
    (void)result, (void)struck;
    assert_int_equal(bind(b, &b->holder), CB_OK);
    assert_int_equal(bind(b, &b->other), CB_E_CARD_BOUND);
    assert_int_equal(bind(b, &b->holder), CB_OK);
}

/* Refused before the token is asked; if it fails meanwhile, all the same. */
static cb_error bind_to_another(void *context)
{
    bindings *b = context;
    cb_error error = bind(b, &b->holder);
    if (!error && (error = bind(b, &b->other)) == CB_OK)
        error = WRONG;
    return error == CB_E_CARD_BOUND ? CB_OK : error;
}

static cb_error bind_a_password(void *context)
{
    bindings *b = context;
    cb_error error = bind_password(b, &b->holder);
    return error ? error : forgive(b);
}

static void it_is_of_one(void *context, cb_error result, bool struck)
{
    bindings *b = context;
    (void)result, (void)struck;
    assert_int_equal(bind_password(b, &b->holder), CB_OK);
    assert_int_equal(bind_password(b, &b->other), CB_E_CARD_BOUND);
    assert_int_equal(forgive(b), CB_OK);
}

static void suspended_and_resumed(void *context)
{
    bindings *b = context;
    cb_feed_head now = cb_feed_now(b->lane.feed);
    cb_feed_entry entries[2];
    for (unsigned i = 0; i < 2; i++)
        entries[i] = (cb_feed_entry){now.number + 1 + i,
                                     i == 0 ? CB_FEED_CARD_SUSPENDED : CB_FEED_CARD_RESUMED,
                                     b->w.first.card, cb_clock_wall_us()};
    assert_int_equal(cb_feed_extend(b->lane.feed, entries, 2), CB_OK);
    assert_int_equal(cb_feed_card(b->lane.feed, &b->w.first.card), CB_E_CARD_SUSPENDED);
}

static cb_error resume_it(void *context) { return resume(context); }

static void it_is_resumed(void *context, cb_error result, bool struck)
{
    bindings *b = context;
    (void)struck;
    cb_error state = cb_feed_card(b->lane.feed, &b->w.first.card);
    assert_true(state == CB_OK || (result != CB_OK && state == CB_E_CARD_SUSPENDED));
    assert_int_equal(resume(b), CB_OK);
    assert_int_equal(cb_feed_card(b->lane.feed, &b->w.first.card), CB_OK);
}

static const fault_flow flow[] = {
    {"binding", nothing_is_bound, bind_it, it_is_bound_to_one},
    {"binding to another", nothing_is_bound, bind_to_another, it_is_bound_to_one},
    {"binding a password", nothing_is_bound, bind_a_password, it_is_of_one},
};

static const fault_flow resuming = {"resuming", suspended_and_resumed, resume_it, it_is_resumed};

static int make_all(void **state)
{
    bindings *b = &shared;
    (void)state;
    world_make(&b->w, false);
    fake_make(&b->f, &b->w);
    fake_lane(&b->f, CB_LANE_MANAGE, 0, &b->lane);
    softhsm_make(&b->hsm);
    b->config = (cb_hsmd_config){.token = softhsm_config(&b->hsm)};
    b->pin = softhsm_pin();
    b->holder = cb_id_new();
    b->other = cb_id_new();
    b->password = cb_id_new();
    fault_quiet();
    cb_error error = cb_vault_keyring_open(&b->config, &b->pin, &b->vault);
    b->lane.vault = &b->vault.vault;
    return error ? -1 : 0;
}

static int end_all(void **state)
{
    bindings *b = &shared;
    (void)state;
    cb_vault_keyring_close(&b->vault);
    cb_buf_free(&b->pin);
    fake_lane_free(&b->lane);
    softhsm_remove(&b->hsm);
    fake_end(&b->f);
    world_free(&b->w);
    return 0;
}

static const fault_kind *const kinds[] = {&pkcs11_device_faults, &pkcs11_memory_faults,
                                          &pkcs11_session_faults, &pkcs11_login_faults,
                                          &pkcs11_removed_faults};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void a_card_is_bound_once_whatever_the_token_does(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++)
        for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
            fault_each(kinds[k], &flow[i], &shared, 10);
}

/* So it needs no row of faults: there is no call that could fail. */
static void a_suspension_is_lifted_while_the_token_fails_for_good(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        suspended_and_resumed(&shared);
        kinds[k]->arm(1, true);
        cb_error error = resume_it(&shared);
        assert_int_equal(kinds[k]->disarm(), 0);
        assert_int_equal(error, CB_OK);
        it_is_resumed(&shared, error, false);
    }
}

static void a_card_is_bound_and_resumed_whole_without_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(&alloc_faults, &flow[i], &shared, 60);
    fault_each(&alloc_faults, &resuming, &shared, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_card_is_bound_once_whatever_the_token_does, fault_said),
        cmocka_unit_test(a_suspension_is_lifted_while_the_token_fails_for_good),
        cmocka_unit_test_teardown(a_card_is_bound_and_resumed_whole_without_memory, fault_said),
    };
    return cmocka_run_group_tests(tests, make_all, end_all);
}
