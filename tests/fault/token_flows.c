/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/token_flows.h"

#include <stdio.h>

#include "base/config.h"
#include "base/log.h"
#include "hsm/keyring_names.h"
#include "hsm/request.h"
#include "hsm/token_parts.h"

/* What is on the disk when the power goes is tested elsewhere. */
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    (void)fd;
    return 0;
}

/* What the log was told of, in the last request. */
static const char *told;

void __wrap_cb_log(cb_log_level level, const char *event, const char *message, ...);
void __wrap_cb_log(cb_log_level level, const char *event, const char *message, ...)
{
    (void)message;
    if (level == CB_LOG_INFO)
        told = event;
}

/* ---- Asking ---- */

/* What is told of, once it was done. */
static bool is_told_right(uint16_t type, cb_error error)
{
    const char *expected = type == CB_HSM_BIND_PASSWORD  ? "password.set"
                           : type == CB_HSM_TAP_PASSWORD ? "password.changed"
                           : type == CB_HSM_CERTIFY      ? "terminal.certified"
                                                         : NULL;
    return error || !expected ? !told : told && strcmp(told, expected) == 0;
}

cb_error flows_ask(cb_lane *lane, uint16_t type, cb_buf *body, cb_buf *out)
{
    cb_msg question, answer;
    cb_msg_init(&question, type);
    cb_msg_init(&answer, 0);
    cb_buf_put(&question.body, cb_buf_bytes(body));
    MUST(cb_buf_error(&question.body));
    told = NULL;
    cb_error error = cb_request_handle(lane, &question, &answer) ? answer.error : FLOWS_WRONG;
    if ((error && answer.body.len > 0) || !is_told_right(type, error))
        error = FLOWS_WRONG;
    if (out)
        cb_buf_reset(out);
    if (!error && out)
        cb_buf_put(out, cb_buf_bytes(&answer.body));
    cb_msg_free(&question);
    cb_msg_free(&answer);
    cb_buf_free(body);
    return error;
}

cb_error flows_judge(cb_error error)
{
    switch (cb_error_class_of(error)) {
    case CB_CLASS_OK:
    case CB_CLASS_UNAVAILABLE:
    case CB_CLASS_INTERNAL:
        return error;
    default:
        if (error != FLOWS_WRONG)
            fprintf(stderr, "the HSM's failure is said to be another's: %s\n",
                    cb_error_code(error));
        return FLOWS_WRONG;
    }
}

cb_error flows_refused(cb_error error, cb_error expected)
{
    return error == expected ? CB_OK : error == CB_OK ? FLOWS_WRONG : flows_judge(error);
}

/* ---- Taps ---- */

static void answer_script(const flows_answerer *who, const cb_tap_context *context, cb_bytes script,
                          cb_buf *answers)
{
    cb_script read;
    cb_buf_reset(answers);
    MUST(cb_script_read(script, CB_COMMAND_MAX, &read));
    for (size_t i = 0; i < read.count; i++) {
        cb_buf answer = CB_BUF(CB_ANSWER_MAX);
        who->answer(who, context, read.item[i].apdu, &answer);
        MUST(cb_buf_error(&answer));
        cb_script_put(answers, 0, cb_buf_bytes(&answer));
        cb_buf_free(&answer);
    }
    MUST(cb_buf_error(answers));
}

cb_error flows_prove(const flows_answerer *who, cb_tap_context *context, const cb_buf *binding)
{
    cb_lane *use = &who->t->use;
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), out = CB_BUF(CB_MSG_BODY_MAX),
           answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf_put_u8(&body, context->profile);
    cb_put_id(&body, &context->terminal);
    cb_error error = flows_ask(use, CB_HSM_TAP_BEGIN, &body, &out);
    if (!error) {
        cb_cursor in = cb_cursor_over(cb_buf_bytes(&out));
        context->tap = cb_get_id(&in);
        answer_script(who, context, cb_cursor_rest(&in), &answers);
        body = CB_BUF(CB_MSG_BODY_MAX);
        cb_put_context(&body, context);
        cb_buf_put_var(&body, cb_buf_bytes(&answers));
        cb_buf_put_var(&body, (cb_bytes){0});
        cb_buf_put_var(&body, binding ? cb_buf_bytes(binding) : (cb_bytes){0});
        error = flows_ask(use, CB_HSM_TAP_CHALLENGE, &body, &out);
    }
    if (!error) {
        answer_script(who, context, cb_buf_bytes(&out), &answers);
        body = CB_BUF(CB_MSG_BODY_MAX);
        cb_put_id(&body, &context->tap);
        cb_buf_put_var(&body, cb_buf_bytes(&answers));
        error = flows_ask(use, CB_HSM_TAP_FINISH, &body, &out);
    }
    cb_buf_free(&out);
    cb_buf_free(&answers);
    return error;
}

void flows_put_bound(flows *t, cb_buf *body, const cb_tap_context *context, const cb_buf *binding)
{
    cb_feed_head head = cb_feed_now(t->use.feed);
    cb_put_id(body, &context->tap);
    cb_buf_put_var(body, cb_buf_bytes(binding));
    cb_put_feed_head(body, &head);
}

cb_error flows_activate(const flows_answerer *who, cb_tap_context *context, const cb_buf *binding,
                        const cb_id *card)
{
    flows *t = who->t;
    cb_activation activation;
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), end = CB_BUF(CB_ID_SIZE), out = CB_BUF(512);
    flows_put_bound(t, &body, context, binding);
    cb_error error = flows_ask(&t->use, CB_HSM_TAP_ACTIVATE, &body, &out);
    if (!error) {
        cb_cursor in = cb_cursor_over(cb_buf_bytes(&out));
        cb_get_activation(&in, &activation);
        if (!cb_cursor_done(&in) || !cb_id_same(&activation.holder, &t->holder) ||
            !cb_id_same(&activation.card, card) || activation.level != context->level)
            error = FLOWS_WRONG;
        cb_put_id(&end, &context->tap);
        MUST(flows_ask(&t->use, CB_HSM_TAP_END, &end, NULL));
    }
    cb_buf_free(&out);
    return error;
}

/* What hsmd keeps outside the token. */
static cb_digest files_of(const flows *t)
{
    const cb_hsmd_config *c = &t->f.config;
    const char *const paths[] = {c->feed_path, c->bound_path, c->guesses_path, c->log_path};
    cb_buf all = CB_BUF(1 << 24);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        MUST(cb_file_read(paths[i], &all));
    cb_digest digest = cb_sha256(cb_buf_bytes(&all));
    cb_buf_free(&all);
    return digest;
}

void flows_remember(void *context)
{
    flows *t = context;
    t->files = files_of(t);
}

void flows_kept_nothing(const flows *t)
{
    cb_digest now = files_of(t);
    assert_memory_equal(&now, &t->files, sizeof now);
}

void flows_no_tap_left(const flows *t) { assert_int_equal(cb_taps_live(t->use.taps), 0); }

void flows_nothing_left(flows *t)
{
    size_t left = 0, persistent = 0;
    cb_token *token = cb_keyring_token(t->vault.keyring);
    flows_no_tap_left(t);
    MUST(cb_token_count(token, false, &left));
    assert_int_equal(left, 0);
    MUST(cb_token_count(token, true, &persistent));
    assert_int_equal(persistent, t->persistent);
}

/* ---- The world ---- */

cb_error flows_open(void *context)
{
    flows *t = context;
    cb_error error = cb_vault_keyring_open(&t->config, &t->pin, &t->vault);
    t->pair.keyring = t->vault.keyring;
    if (error)
        return flows_judge(error);
    cb_buf key = CB_BUF(CB_PUBLIC_KEY_MAX);
    if (cb_keyring_scp03_len(t->vault.keyring) != t->master.len)
        error = FLOWS_WRONG;
    if (!error)
        error = cb_keyring_public(t->vault.keyring, CB_OWN_TERMINALS, &key);
    if (error == CB_E_CONFIG)
        error = FLOWS_WRONG;
    cb_buf_free(&key);
    return flows_judge(error);
}

static void put_master(flows *t)
{
    cb_token *token = NULL;
    cb_buf pin = softhsm_pin();
    cb_token_config config = softhsm_config(&t->hsm);
    MUST(cb_token_open(&config, &pin, &token));
    CK_OBJECT_HANDLE made;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    char label[] = CB_LABEL_SCP03;
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &class, sizeof class},        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_LABEL, label, sizeof label - 1},     {CKA_TOKEN, &yes, sizeof yes},
        {CKA_PRIVATE, &yes, sizeof yes},          {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_EXTRACTABLE, &no, sizeof no},        {CKA_SIGN, &yes, sizeof yes},
        {CKA_VALUE, t->master.key, t->master.len}};
    assert_int_equal(token->f->C_CreateObject(token->session, attributes,
                                              sizeof attributes / sizeof *attributes, &made),
                     CKR_OK);
    cb_token_close(&token);
}

static void make_lanes(flows *t)
{
    fake_lane(&t->f, CB_LANE_USE, 0, &t->use);
    fake_lane(&t->f, CB_LANE_MANAGE, 0, &t->manage);
    t->use.vault = t->manage.vault = t->use.taps->setup.vault = &t->vault.vault;
    cb_profile_host *host = &t->use.host->profile;
    host->keys = &t->pair;
    host->cmac = cb_card_pair_cmac;
    host->salt = cb_card_pair_salt;
    host->cmac_key_len = cb_keyring_scp03_len(t->vault.keyring);
}

static flows shared;
static const flows_program *tried;

static int make_all(void **state)
{
    flows *t = &shared;
    (void)state;
    *t = (flows){
        .holder = cb_id_new(), .terminal = cb_id_new(), .master = {.len = 32, .key = {0x77}}};
    world_make(&t->w, false);
    fake_make(&t->f, &t->w);
    softhsm_make(&t->hsm);
    fault_quiet();
    put_master(t);
    t->config = (cb_hsmd_config){.token = softhsm_config(&t->hsm)};
    t->pin = softhsm_pin();
    MUST(flows_open(t));
    MUST(cb_token_count(cb_keyring_token(t->vault.keyring), true, &t->persistent));
    make_lanes(t);
    tried->made(t);
    return 0;
}

static int end_all(void **state)
{
    flows *t = &shared;
    (void)state;
    tried->gone(t);
    fake_lane_free(&t->use);
    fake_lane_free(&t->manage);
    cb_vault_keyring_close(&t->vault);
    cb_buf_free(&t->pin);
    softhsm_remove(&t->hsm);
    fake_end(&t->f);
    world_free(&t->w);
    return 0;
}

/* Of the calls of an opening, which are many and take long, those for keys that may be missing are
 * few: one kind of fault strikes them in any case. Of all other flows each call is struck. */
enum { EACH = 0, OPENINGS = 43, FEW_OPENINGS = 6 };

static void each_flow(const fault_kind *kind)
{
    unsigned openings = kind == &pkcs11_device_faults ? OPENINGS : FEW_OPENINGS;
    for (size_t i = 0; i < tried->count; i++) {
        bool opens = tried->flow[i].run == flows_open;
        fault_each(kind, &tried->flow[i], &shared, opens ? openings : EACH);
    }
}

static void a_device_error_lets_nobody_in_and_passes(void **state)
{
    (void)state;
    each_flow(&pkcs11_device_faults);
}

static void a_module_without_memory_lets_nobody_in_and_passes(void **state)
{
    (void)state;
    each_flow(&pkcs11_memory_faults);
}

static void a_lost_session_lets_nobody_in_and_passes(void **state)
{
    (void)state;
    each_flow(&pkcs11_session_faults);
}

static void a_lost_login_lets_nobody_in_and_passes(void **state)
{
    (void)state;
    each_flow(&pkcs11_login_faults);
}

static void a_removed_device_lets_nobody_in_and_passes(void **state)
{
    (void)state;
    each_flow(&pkcs11_removed_faults);
}

int flows_main(const flows_program *program)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_device_error_lets_nobody_in_and_passes, fault_said),
        cmocka_unit_test_teardown(a_module_without_memory_lets_nobody_in_and_passes, fault_said),
        cmocka_unit_test_teardown(a_lost_session_lets_nobody_in_and_passes, fault_said),
        cmocka_unit_test_teardown(a_lost_login_lets_nobody_in_and_passes, fault_said),
        cmocka_unit_test_teardown(a_removed_device_lets_nobody_in_and_passes, fault_said),
    };
    tried = program;
    return cmocka_run_group_tests(tests, make_all, end_all);
}
