/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Passwords in hsmd's lanes, while each allocation and each call for a socket fails in turn, on
 * whichever side it is made: bound, typed right and wrong, and changed by a manager and by their
 * holder. The answer is whole, or an error that is no holder's; what is wrong opens nothing; what
 * was not done is done when it is asked again, and nobody else has the name.
 */
#include "tests/fault/lanes_world.h"

#include "cardlink/password/password.h"
#include "hsm/brake.h"

/* Many are tried in a short time; how many a worker looks at is tested elsewhere. */
bool __wrap_cb_brake_pass(cb_brake *brake, cb_brake_rate rate, unsigned amount);

bool __wrap_cb_brake_pass(cb_brake *brake, cb_brake_rate rate, unsigned amount)
{
    (void)brake, (void)rate, (void)amount;
    return true;
}

typedef struct secret {
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
} secret;

static cb_id name;
static secret right, next, other;
static cb_buf password; /* its binding */

static void make_secret(secret *s) { MUST(cb_p256_generate(s->scalar, s->point)); }

static void a_new_name(void *context)
{
    lanes_connect_anew(context);
    name = cb_id_random();
    make_secret(&right);
    make_secret(&next);
    make_secret(&other);
}

static cb_error set_password(lanes *l, const secret *s, const cb_id *holder, uint64_t sequence,
                             const cb_buf *before, cb_buf *out)
{
    cb_error error = cb_hsm_bind_password(l->front.hsm, &name, s->point, holder, sequence, 0,
                                          before ? cb_buf_bytes(before) : (cb_bytes){0}, out);
    return lanes_judge_binding(error, out, holder, sequence);
}

static void has_password(void *context)
{
    lanes *l = context;
    a_new_name(l);
    alloc_faults_pause(true);
    cb_buf_reset(&password);
    MUST(set_password(l, &right, &l->front.holder, 1, NULL, &password));
    alloc_faults_pause(false);
    lanes_connect_anew(l);
}

/* Who types: the password that is shown, and the next one (NULL: it is not changed). */
typedef struct typist {
    cb_tap_context context;
    const secret *shown, *into;
} typist;

/* The terminal's part, which derives no key here: that takes long. */
static void answer_question(const typist *who, cb_bytes command, cb_buf *answer)
{
    uint8_t signature[CB_P256_SIGNATURE];
    cb_password_question question;
    cb_tap_context signed_context = who->context;
    const secret *shown = who->shown, *into = who->into;
    MUST(cb_password_question_get(command, &question));
    signed_context.terminal = question.terminal;
    signed_context.level = question.level;
    cb_digest digest = cb_password_statement(&question, &signed_context, &name);
    if (into)
        digest = cb_password_change_statement(&digest, into->point);
    MUST(cb_p256_sign(shown->scalar, &digest, signature));
    cb_buf_put(answer, CB_BYTES_OF(shown->point));
    if (into)
        cb_buf_put(answer, CB_BYTES_OF(into->point));
    cb_buf_put(answer, CB_BYTES_OF(signature));
}

static void play_password(void *context, const cb_buf *script, cb_buf *answers)
{
    static const uint8_t ok[] = {0x90, 0x00};
    cb_script read;
    MUST(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    for (size_t i = 0; i < read.count; i++) {
        cb_bytes command = read.item[i].apdu;
        cb_buf answer = CB_BUF(CB_ANSWER_MAX);
        if (cb_bytes_same(command, CB_BYTES_OF(cb_password_get_name)))
            cb_buf_put(&answer, cb_id_bytes(&name));
        else if (!cb_bytes_same(command, CB_BYTES_OF(cb_password_select)))
            answer_question(context, command, &answer);
        cb_buf_put(&answer, CB_BYTES_OF(ok));
        MUST(cb_buf_error(&answer));
        cb_script_put(answers, 0, cb_buf_bytes(&answer));
        cb_buf_free(&answer);
    }
}

/* A tap up to the claim, of a login or (into) of a change. */
static cb_error claim(lanes *l, const secret *shown, const secret *into, cb_id *tap)
{
    cb_card_claim claimed;
    cb_hsm *hsm = l->front.hsm;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    typist who = {.context = {.terminal = l->front.terminal,
                              .profile = CB_PROFILE_PASSWORD,
                              .purpose = into ? CB_TAP_PASSWORD_CHANGE : CB_TAP_AUTHENTICATE,
                              .level = CB_LEVEL_PASSWORD},
                  .shown = shown,
                  .into = into};
    cb_tap_context *context = &who.context;
    strcpy(context->service, into ? "" : "library");
    cb_error error =
        cb_hsm_tap_begin(hsm, CB_PROFILE_PASSWORD, &context->terminal, &context->tap, &script);
    if (!error)
        error = lanes_play(play_password, &who, &script, &answers);
    cb_buf_reset(&script);
    if (!error)
        error = cb_hsm_tap_challenge(hsm, context, cb_buf_bytes(&answers), (cb_bytes){0},
                                     (cb_bytes){0}, &script);
    if (!error)
        error = lanes_play(play_password, &who, &script, &answers);
    if (!error)
        error = cb_hsm_tap_finish(hsm, &context->tap, cb_buf_bytes(&answers), &claimed);
    *tap = context->tap;
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static cb_error type(lanes *l, const secret *shown, const cb_buf *of)
{
    cb_id tap;
    cb_activation activation = {.level = 0};
    cb_error error = claim(l, shown, NULL, &tap);
    if (!error)
        error =
            cb_hsm_tap_activate(l->front.hsm, &tap, cb_buf_bytes(of), &l->front.feed, &activation);
    if (!error && (!cb_id_same(&activation.holder, &l->front.holder) ||
                   activation.level != CB_LEVEL_PASSWORD))
        error = LANES_WRONG;
    return error;
}

static cb_error bind_password(void *context)
{
    lanes *l = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = set_password(l, &right, &l->front.holder, 1, NULL, &made);
    cb_buf_free(&made);
    return lanes_judge(error);
}

static void the_name_is_one_holders(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    cb_id somebody = cb_id_new();
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)result, (void)struck;
    lanes_are_alive(l);
    MUST(set_password(l, &right, &l->front.holder, 1, NULL, &made));
    MUST(type(l, &right, &made));
    cb_buf_reset(&made);
    assert_int_equal(set_password(l, &other, &somebody, 1, NULL, &made), CB_E_CARD_BOUND);
    cb_buf_free(&made);
}

static cb_error put_another(void *context)
{
    lanes *l = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = set_password(l, &next, &l->front.holder, 2, &password, &made);
    cb_buf_free(&made);
    return lanes_judge(error);
}

static void another_is_the_password(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)result, (void)struck;
    lanes_are_alive(l);
    MUST(set_password(l, &next, &l->front.holder, 3, &password, &made));
    MUST(type(l, &next, &made));
    assert_int_equal(type(l, &right, &password), CB_E_HSM_RECORD);
    cb_buf_free(&made);
}

static cb_error type_right(void *context) { return lanes_judge(type(context, &right, &password)); }

static cb_error type_wrong(void *context)
{
    cb_error error = type(context, &other, &password);
    return error == CB_E_PASSWORD_WRONG ? CB_OK : error == CB_OK ? LANES_WRONG : lanes_judge(error);
}

static void the_right_one_is_right(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    lanes_are_alive(context);
    MUST(type_right(context));
    MUST(type_wrong(context));
}

static cb_error change(lanes *l, cb_buf *out)
{
    cb_id tap;
    cb_error error = claim(l, &right, &next, &tap);
    if (!error)
        error =
            cb_hsm_tap_password(l->front.hsm, &tap, cb_buf_bytes(&password), &l->front.feed, out);
    return lanes_judge_binding(error, out, &l->front.holder, 2);
}

static cb_error change_password(void *context)
{
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = change(context, &made);
    cb_buf_free(&made);
    return lanes_judge(error);
}

/* The one of before is good until the next one was used. */
static void it_is_changed_with_its_first_use(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)result, (void)struck;
    lanes_are_alive(l);
    MUST(type(l, &right, &password));
    MUST(change(l, &made));
    MUST(type(l, &next, &made));
    assert_int_equal(type(l, &right, &password), CB_E_HSM_RECORD);
    assert_int_equal(type(l, &other, &made), CB_E_PASSWORD_WRONG);
    cb_buf_free(&made);
}

static const fault_flow flow[] = {
    {"a password bound", a_new_name, bind_password, the_name_is_one_holders},
    {"another password bound", has_password, put_another, another_is_the_password},
    {"a login with a password", has_password, type_right, the_right_one_is_right},
    {"a wrong password", has_password, type_wrong, the_right_one_is_right},
    {"a password changed", has_password, change_password, it_is_changed_with_its_first_use},
};

static void init(lanes *l)
{
    (void)l;
    password = CB_BUF(CB_BINDING_MAX);
}

static void clear(lanes *l)
{
    (void)l;
    cb_buf_free(&password);
}

int main(void)
{
    return lanes_main(&(lanes_program){.flow = flow,
                                       .count = sizeof flow / sizeof *flow,
                                       .runs = 10,
                                       .made = init,
                                       .gone = clear});
}
