/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that others issued, in hsmd's lanes, while each allocation and each call for a socket fails
 * in turn, on whichever side it is made: bound by a manager and by a code, renewed by a manager and
 * at a tap, shown in a tap. The answer is whole, or an error that is no card's and no holder's, and
 * no code is counted as a wrong one. What was not done is done when it is asked again, and nobody
 * else has it.
 */
#include "tests/fault/lanes_world.h"

#include "base/clock.h"
#include "cardlink/piv/commands.h"
#include "foreign_cards.h"

enum { KEYS = 2 };

static const uint8_t uses[KEYS] = {CB_PIV_KEY_AUTHENTICATION, CB_PIV_KEY_CARD};

/* ---- Cards ---- */

static agency issuer;

static void trust_issuer(cb_host *host)
{
    agency_trust(&issuer, CB_PROFILE_PIV, &host->foreign[0]);
    host->foreign[0].renewal = CB_X509_RENEWAL_SAME_SUBJECT;
    host->foreign[0].renewal_at_taps = true;
}

/* A card of one run, what it is bound with, and the certificates that it has now. */
static piv_card card;
static bool laid;
static cb_buf said, binding, old[KEYS], now[KEYS], all_old;

static void lay_new_card(void *context)
{
    lanes_connect_anew(context);
    alloc_faults_pause(true); /* it stays there when the run is over */
    if (laid)
        piv_card_free(&card);
    laid = true;
    piv_card_make(&card, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    cb_buf_reset(&said);
    piv_card_answers(&card, &said);
    for (unsigned i = 0; i < KEYS; i++) {
        cb_buf_reset(&old[i]);
        cb_buf_put(&old[i], card.certificate[i]);
    }
    alloc_faults_pause(false);
}

static void read_card(const cb_buf certificate[KEYS], cb_bytes answers, cb_foreign_reading *out)
{
    *out = (cb_foreign_reading){.profile = CB_PROFILE_PIV, .answers = answers, .keys = KEYS};
    for (unsigned i = 0; i < KEYS; i++) {
        out->key[i].use = uses[i];
        out->key[i].certificate = cb_buf_bytes(&certificate[i]);
    }
}

static cb_error bind_to(lanes *l, const cb_id *holder, cb_buf *out)
{
    cb_foreign_reading reading;
    read_card(old, cb_buf_bytes(&said), &reading);
    cb_error error =
        cb_hsm_bind_foreign(l->front.hsm, &reading, holder, CB_LEVEL_TERMINAL_PIN, 1, out);
    return lanes_judge_binding(error, out, holder, 1);
}

static cb_error bind_card(void *context)
{
    lanes *l = context;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = bind_to(l, &l->front.holder, &made);
    cb_buf_free(&made);
    return lanes_judge(error);
}

static void it_is_bound_once(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    cb_id somebody = cb_id_new();
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)result, (void)struck;
    lanes_are_alive(l);
    MUST(bind_card(l));
    assert_int_equal(bind_to(l, &somebody, &made), CB_E_CARD_BOUND);
    cb_buf_free(&made);
}

static void lay_bound_card(void *context)
{
    lanes *l = context;
    lay_new_card(l);
    alloc_faults_pause(true);
    cb_buf_reset(&binding);
    MUST(bind_to(l, &l->front.holder, &binding));
    cb_buf_reset(&all_old);
    for (unsigned i = 0; i < KEYS; i++) {
        cb_buf_put(&all_old, cb_buf_bytes(&old[i]));
        cb_buf_reset(&now[i]);
        piv_card_certify(&card, &issuer, i, NULL, NULL, 1, &now[i]);
    }
    alloc_faults_pause(false);
    lanes_connect_anew(l);
}

static cb_error renew(lanes *l, uint64_t sequence)
{
    cb_foreign_reading reading;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    read_card(now, cb_buf_bytes(&said), &reading);
    cb_error error = cb_hsm_renew_foreign(l->front.hsm, &reading, cb_buf_bytes(&binding),
                                          cb_buf_bytes(&all_old), sequence, &made);
    error = lanes_judge_binding(error, &made, &l->front.holder, sequence);
    cb_buf_free(&made);
    return lanes_judge(error);
}

static cb_error renew_card(void *context) { return renew(context, 2); }

/* ---- Taps of them ---- */

typedef struct attempt {
    cb_tap_context context;
    cb_foreign_reading reading;
    cb_buf first, script, answers;
} attempt;

static void play_card(void *io, const cb_buf *script, cb_buf *answers)
{
    cb_script read;
    MUST(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    MUST(cb_play(io, &read, answers));
}

static cb_error play(const char *pin, const cb_buf *script, cb_buf *answers)
{
    cb_card_io io = card.io;
    io.pin = cb_bytes_str(pin);
    return lanes_play(play_card, &io, script, answers);
}

static cb_error begin(lanes *l, attempt *a, uint8_t purpose)
{
    *a = (attempt){
        .context = {.terminal = l->front.terminal, .profile = CB_PROFILE_PIV, .purpose = purpose},
        .first = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .script = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    cb_error error = cb_hsm_tap_begin(l->front.hsm, CB_PROFILE_PIV, &a->context.terminal,
                                      &a->context.tap, &a->script);
    if (error)
        return error;
    alloc_faults_pause(true);
    cb_vcard_reset(card.card);
    alloc_faults_pause(false);
    error = play("", &a->script, &a->first);
    cb_buf_reset(&a->script);
    return error;
}

static cb_error finish(lanes *l, attempt *a, cb_error error)
{
    cb_card_claim claim;
    if (!error)
        error = play(PIV_PIN, &a->script, &a->answers);
    return error ? error
                 : cb_hsm_tap_finish(l->front.hsm, &a->context.tap, cb_buf_bytes(&a->answers),
                                     &claim);
}

static void end(attempt *a)
{
    cb_buf_free(&a->first);
    cb_buf_free(&a->script);
    cb_buf_free(&a->answers);
}

/* With the PIN, up to the activation. */
static cb_error log_in(void *context)
{
    lanes *l = context;
    attempt a;
    cb_activation activation = {.level = 0};
    cb_hsm *hsm = l->front.hsm;
    cb_error error = begin(l, &a, CB_TAP_AUTHENTICATE);
    strcpy(a.context.service, "tax");
    a.context.level = CB_LEVEL_TERMINAL_PIN;
    if (!error)
        error = cb_hsm_tap_challenge(hsm, &a.context, cb_buf_bytes(&a.first), (cb_bytes){0},
                                     cb_buf_bytes(&binding), &a.script);
    error = finish(l, &a, error);
    if (!error)
        error = cb_hsm_tap_activate(hsm, &a.context.tap, cb_buf_bytes(&binding), &l->front.feed,
                                    &activation);
    if (!error && (!cb_id_same(&activation.holder, &l->front.holder) ||
                   activation.level != CB_LEVEL_TERMINAL_PIN))
        error = LANES_WRONG;
    end(&a);
    return lanes_judge(error);
}

static void the_next_login_works(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    lanes_are_alive(context);
    MUST(log_in(context));
}

static void it_is_renewed(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)result, (void)struck;
    lanes_are_alive(l);
    MUST(renew(l, 3));
    MUST(log_in(l)); /* the keys are the same */
}

static cb_error renew_at_tap(void *context)
{
    lanes *l = context;
    attempt a;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = begin(l, &a, CB_TAP_RENEW);
    read_card(now, cb_buf_bytes(&a.first), &a.reading);
    if (!error)
        error = cb_hsm_tap_renew(l->front.hsm, &a.context, &a.reading, cb_buf_bytes(&binding),
                                 cb_buf_bytes(&all_old), &a.script);
    error = finish(l, &a, error);
    if (!error)
        error = cb_hsm_tap_bind(l->front.hsm, &a.context.tap, 2, &l->front.feed, &made);
    error = lanes_judge_binding(error, &made, &l->front.holder, 2);
    cb_buf_free(&made);
    end(&a);
    return lanes_judge(error);
}

static void it_is_renewed_at_a_tap(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    lanes_are_alive(context);
    MUST(renew_at_tap(context));
    MUST(log_in(context));
}

/* ---- By a code ---- */

static char symbols[CB_CODE_SYMBOLS];
static cb_id code;

static void allow_code(void *context)
{
    char text[CB_CODE_TEXT];
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    lanes *l = context;
    cb_registration_grant grant = {.holder = l->front.holder,
                                   .until = cb_clock_wall_us() + 60 * CB_SECOND,
                                   .profiles = 1 << CB_PROFILE_PIV,
                                   .level = CB_LEVEL_TERMINAL_PIN};
    lay_new_card(l);
    cb_code_make(text);
    MUST(cb_code_read(cb_bytes_str(text), symbols));
    MUST(cb_registration_key(symbols, scalar, point));
    code = cb_registration_id(point);
    MUST(cb_hsm_registration_allow(l->front.hsm, &code, &grant));
    lanes_connect_anew(l);
}

static cb_error attempt_with_code(lanes *l)
{
    attempt a;
    cb_registration_word word;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    cb_error error = begin(l, &a, CB_TAP_REGISTER);
    read_card(old, cb_buf_bytes(&a.first), &a.reading);
    alloc_faults_pause(true);
    MUST(cb_registration_say(symbols, &a.context.tap, &a.reading, &word));
    alloc_faults_pause(false);
    if (!error)
        error = cb_hsm_tap_register(l->front.hsm, &a.context, &a.reading, &word, &a.script);
    error = finish(l, &a, error);
    if (!error)
        error = cb_hsm_tap_bind(l->front.hsm, &a.context.tap, 1, &l->front.feed, &made);
    error = lanes_judge_binding(error, &made, &l->front.holder, 1);
    cb_buf_free(&made);
    end(&a);
    return error;
}

static cb_error register_card(void *context) { return lanes_judge(attempt_with_code(context)); }

static void it_is_registered_once(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    cb_registration_grant is;
    (void)struck;
    lanes_are_alive(l);
    MUST(cb_hsm_registration_state(l->front.hsm, &code, &is));
    assert_true(is.state == CB_REGISTRATION_USED || (is.state == CB_REGISTRATION_OPEN && result));
    assert_int_equal(is.wrong, 0);
    MUST(register_card(l));
    lay_new_card(l);
    assert_int_equal(attempt_with_code(l), CB_E_REGISTRATION_USED);
}

static const fault_flow flow[] = {
    {"a card of others bound", lay_new_card, bind_card, it_is_bound_once},
    {"its certificates renewed", lay_bound_card, renew_card, it_is_renewed},
    {"a tap of it", lay_bound_card, log_in, the_next_login_works},
    {"its certificates renewed at a tap", lay_bound_card, renew_at_tap, it_is_renewed_at_a_tap},
    {"a card registered with a code", allow_code, register_card, it_is_registered_once},
};

static void init(lanes *l)
{
    (void)l;
    said = CB_BUF(CB_SCRIPT_BYTES_MAX);
    binding = CB_BUF(CB_BINDING_MAX);
    all_old = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
    for (unsigned i = 0; i < KEYS; i++)
        old[i] = now[i] = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
}

static void clear(lanes *l)
{
    (void)l;
    if (laid)
        piv_card_free(&card);
    cb_buf_free(&said);
    cb_buf_free(&binding);
    cb_buf_free(&all_old);
    for (unsigned i = 0; i < KEYS; i++) {
        cb_buf_free(&old[i]);
        cb_buf_free(&now[i]);
    }
}

int main(void)
{
    agency_make(&issuer);
    int failed = lanes_main(&(lanes_program){.flow = flow,
                                             .count = sizeof flow / sizeof *flow,
                                             .runs = 10,
                                             .trust = trust_issuer,
                                             .made = init,
                                             .gone = clear});
    agency_free(&issuer);
    return failed;
}
