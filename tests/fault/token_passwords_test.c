/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Passwords, whose salts and verifiers are made in the HSM, while each call to it fails in turn.
 */
#include "tests/fault/token_flows.h"

#include "cardlink/apdu.h"
#include "cardlink/password/password.h"
#include "hsm/binding.h"

static cb_id name;
static flows_secret right, other, next;
static uint8_t salt[CB_PASSWORD_SALT];
static cb_buf password = {.max = CB_BINDING_MAX}; /* the binding of the right one */

static cb_error ask_salt(void *context)
{
    flows *t = context;
    cb_buf body = CB_BUF(CB_ID_SIZE), out = CB_BUF(CB_PASSWORD_SALT);
    cb_put_id(&body, &name);
    cb_error error = flows_ask(&t->manage, CB_HSM_PASSWORD_SALT, &body, &out);
    if (!error && !cb_bytes_same(cb_buf_bytes(&out), CB_BYTES_OF(salt)))
        error = FLOWS_WRONG;
    cb_buf_free(&out);
    return flows_judge(error);
}

static cb_error set_password(flows *t, const flows_secret *key, uint64_t sequence,
                             const cb_buf *before, cb_buf *binding)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    cb_put_id(&body, &name);
    cb_buf_put(&body, CB_BYTES_OF(key->point));
    cb_put_id(&body, &t->holder);
    cb_buf_put_u64(&body, sequence);
    cb_buf_put_u64(&body, 0); /* for good */
    cb_buf_put_var(&body, before ? cb_buf_bytes(before) : (cb_bytes){0});
    return flows_ask(&t->manage, CB_HSM_BIND_PASSWORD, &body, binding);
}

static void answer_question(const flows_answerer *who, const cb_tap_context *context,
                            cb_bytes command, cb_buf *out)
{
    uint8_t signature[CB_P256_SIGNATURE];
    cb_password_question question;
    MUST(cb_password_question_get(command, &question));
    assert_memory_equal(question.salt, salt, sizeof question.salt);
    cb_digest digest = cb_password_statement(&question, context, &name);
    if (who->into)
        digest = cb_password_change_statement(&digest, who->into->point);
    MUST(cb_p256_sign(who->shown->scalar, &digest, signature));
    cb_buf_put(out, CB_BYTES_OF(who->shown->point));
    if (who->into)
        cb_buf_put(out, CB_BYTES_OF(who->into->point));
    cb_buf_put(out, CB_BYTES_OF(signature));
}

static void type_password(const flows_answerer *who, const cb_tap_context *context,
                          cb_bytes command, cb_buf *out)
{
    if (cb_bytes_same(command, CB_BYTES_OF(cb_password_get_name)))
        cb_buf_put(out, cb_id_bytes(&name));
    else if (!cb_bytes_same(command, CB_BYTES_OF(cb_password_select)))
        answer_question(who, context, command, out);
    cb_buf_put_u16(out, CB_SW_OK);
}

static cb_error prove_password(flows *t, const flows_answerer *who, cb_tap_context *context)
{
    *context = (cb_tap_context){.terminal = t->terminal,
                                .profile = CB_PROFILE_PASSWORD,
                                .purpose = who->into ? CB_TAP_PASSWORD_CHANGE : CB_TAP_AUTHENTICATE,
                                .level = CB_LEVEL_PASSWORD};
    strcpy(context->service, who->into ? "" : "library");
    t->use.taps->passwords = (cb_brake){0}; /* so many in a moment are slowed down else */
    return flows_prove(who, context, NULL);
}

static cb_error log_in(flows *t, const flows_secret *shown, const cb_buf *binding)
{
    cb_tap_context context;
    const flows_answerer who = {.answer = type_password, .t = t, .shown = shown};
    cb_error error = prove_password(t, &who, &context);
    return error ? error : flows_activate(&who, &context, binding, &name);
}

static cb_error change(flows *t, const flows_secret *shown, cb_buf *binding)
{
    cb_tap_context context;
    cb_binding_info info;
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    const flows_answerer who = {.answer = type_password, .t = t, .shown = shown, .into = &next};
    cb_error error = prove_password(t, &who, &context);
    if (error)
        return error;
    flows_put_bound(t, &body, &context, &password);
    error = flows_ask(&t->use, CB_HSM_TAP_PASSWORD, &body, binding);
    if (!error && (cb_binding_info_read(cb_buf_bytes(binding), &info) || info.sequence != 2 ||
                   !cb_id_same(&info.holder, &t->holder) || !cb_id_same(&info.card, &name)))
        error = FLOWS_WRONG;
    return error;
}

static void has_password(void *context)
{
    flows *t = context;
    MUST(set_password(t, &right, 1, NULL, &password));
}

static cb_error log_in_right(void *context)
{
    flows *t = context;
    return flows_judge(log_in(t, &right, &password));
}

static cb_error log_in_wrong(void *context)
{
    flows *t = context;
    return flows_refused(log_in(t, &other, &password), CB_E_PASSWORD_WRONG);
}

/* One failure of the HSM makes nobody wait. */
static void passwords_are_told_apart(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    flows_no_tap_left(context);
    MUST(ask_salt(context));
    MUST(log_in_right(context));
    MUST(log_in_wrong(context));
    MUST(log_in_right(context));
    flows_nothing_left(context);
}

static cb_error set_another(void *context)
{
    flows *t = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = set_password(t, &next, 2, &password, &made);
    if (!error)
        error = log_in(t, &next, &made);
    cb_buf_free(&made);
    return flows_judge(error);
}

/* Of what was broken off nobody knows which of the two is believed: another is set. */
static void another_can_be_set(void *context, cb_error result, bool struck)
{
    flows *t = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)result, (void)struck;
    flows_no_tap_left(t);
    MUST(set_password(t, &next, 3, &password, &made));
    MUST(log_in(t, &next, &made));
    assert_int_equal(log_in(t, &right, &password), CB_E_HSM_RECORD);
    flows_nothing_left(t);
    cb_buf_free(&made);
}

static cb_error change_it(void *context)
{
    flows *t = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = change(t, &right, &made);
    cb_buf_free(&made);
    return flows_judge(error);
}

static cb_error change_anothers(void *context)
{
    flows *t = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = change(t, &other, &made);
    cb_buf_free(&made);
    return flows_refused(error, CB_E_PASSWORD_WRONG);
}

/* The one of before does until the next is used. */
static void it_can_be_changed(void *context, cb_error result, bool struck)
{
    flows *t = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    passwords_are_told_apart(context, result, struck);
    MUST(change(t, &right, &made));
    MUST(log_in_right(context));
    MUST(log_in(t, &next, &made));
    assert_int_equal(log_in(t, &right, &password), CB_E_HSM_RECORD);
    flows_nothing_left(t);
    cb_buf_free(&made);
}

static const fault_flow flow[] = {
    {"a password's salt", has_password, ask_salt, passwords_are_told_apart},
    {"setting another password", has_password, set_another, another_can_be_set},
    {"a login with a password", has_password, log_in_right, passwords_are_told_apart},
    {"a wrong password", has_password, log_in_wrong, passwords_are_told_apart},
    {"changing a password", has_password, change_it, it_can_be_changed},
    {"changing another's password", has_password, change_anothers, it_can_be_changed},
};

static void make(flows *t)
{
    flows_secret *const all[] = {&right, &other, &next};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        MUST(cb_p256_generate(all[i]->scalar, all[i]->point));
    name = cb_password_id("somebody");
    MUST(t->vault.vault.password_salt(&t->vault, &name, salt));
}

static void end(flows *t)
{
    (void)t;
    cb_buf_free(&password);
}

int main(void)
{
    return flows_main(&(flows_program){
        .flow = flow, .count = sizeof flow / sizeof *flow, .made = make, .gone = end});
}
