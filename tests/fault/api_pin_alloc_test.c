/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taps of a native card with its PIN, and such as change, unblock and reset it, over HTTP, while
 * each allocation of the broker fails in turn. The terminal gets the whole answer, or an error that
 * is said to be the server's, or an end. What the card has done before it is answered stays done;
 * the record says it once or says that the tap was refused. A wrong PIN that the card has signed is
 * counted once, if it was told; never twice. A manager's permission is good for one reset.
 */
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "broker/api/watch.h"
#include "broker/core/decide.h"
#include "tests/support/alloc_faults.h"

#define FRESH_PIN "997755"
#define NO_PIN "4444"

enum { RUNS = 6, PERMISSION_S = 600 };

/* What a tap asks for. */
typedef struct wish {
    const char *purpose; /* NULL: the service "vip", which takes a PIN */
    cb_tap_purpose number;
    const char *secret, *fresh;
} wish;

static const wish log_in = {NULL, CB_TAP_AUTHENTICATE, WORLD_PIN, ""},
                  log_in_fresh = {NULL, CB_TAP_AUTHENTICATE, FRESH_PIN, ""},
                  log_in_wrong = {NULL, CB_TAP_AUTHENTICATE, NO_PIN, ""},
                  change = {"pin_change", CB_TAP_PIN_CHANGE, WORLD_PIN, FRESH_PIN},
                  unblock = {"pin_unblock", CB_TAP_PIN_UNBLOCK, WORLD_CODE, FRESH_PIN},
                  reset = {"pin_reset", CB_TAP_PIN_RESET, "", FRESH_PIN};

typedef struct pins {
    api_world w;
    const wish *wish;
    unsigned tries, failures; /* of the card, before each run */
    bool strict;              /* one wrong PIN suspends it */
    api_tally before;
    uint64_t wrong_before; /* PINs that the card has signed */
    size_t script;
} pins;

/* ---- Who taps ---- */

/* The card as it is, with the PIN of the beginning. */
static void give_pin(pins *p)
{
    alloc_faults_pause(true);
    cb_vcard_state state = *cb_vcard_state_of(p->w.card.card);
    cb_pin_pad(cb_bytes_str(WORLD_PIN), state.pin);
    state.pin_tries = (uint8_t)p->tries;
    state.code_tries = CB_VCARD_CODE_TRIES;
    state.failures = (uint16_t)p->failures;
    cb_vcard_close(&p->w.card.card);
    MUST(cb_vcard_make(&state, NULL, &p->w.card.card));
    cb_wipe(&state, sizeof state);
    alloc_faults_pause(false);
}

static bool has_pin(const pins *p, const char *pin)
{
    uint8_t padded[CB_PIN_MAX];
    cb_pin_pad(cb_bytes_str(pin), padded);
    return memcmp(cb_vcard_state_of(p->w.card.card)->pin, padded, sizeof padded) == 0;
}

/* What is typed, for the card that has answered the first script. */
static void encrypt(const pins *p, char hex[2 * CB_PIN_CIPHERTEXT_MAX + 1])
{
    cb_script read;
    uint8_t point[CB_P256_POINT];
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), ciphertext = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    api_answers(&p->w, &answers);
    alloc_faults_pause(true);
    MUST(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read));
    MUST(cb_pin_card_key(&read, point));
    MUST(cb_pin_encrypt(cb_pin_form_for(p->wish->number), cb_bytes_str(p->wish->secret),
                        cb_bytes_str(p->wish->fresh), point, &ciphertext));
    cb_hex(cb_buf_bytes(&ciphertext), hex);
    cb_buf_free(&ciphertext);
    cb_buf_free(&answers);
    alloc_faults_pause(false);
}

static void ask(pins *p)
{
    char pin[2 * CB_PIN_CIPHERTEXT_MAX + 1], card[CB_ID_TEXT];
    encrypt(p, pin);
    cb_id_text(&p->w.card.first.card, card);
    if (!p->wish->purpose)
        api_step(&p->w, "challenge", ",\"service\":\"vip\",\"pin\":\"%s\"", pin);
    else if (p->wish->number == CB_TAP_PIN_RESET)
        api_step(&p->w, "challenge", ",\"purpose\":\"pin_reset\",\"card\":\"%s\",\"pin\":\"%s\"",
                 card, pin);
    else
        api_step(&p->w, "challenge", ",\"purpose\":\"%s\",\"pin\":\"%s\"", p->wish->purpose, pin);
}

/* Up to the proof, which is at hand. */
static void come_to_proof(pins *p)
{
    api_begin(&p->w, "native");
    ask(p);
    api_come_to_proof(&p->w);
}

/* A whole tap without faults. */
static void tap(pins *p, const wish *of)
{
    const wish *was = p->wish;
    p->wish = of;
    come_to_proof(p);
    api_bring_proof(&p->w);
    p->wish = was;
}

/* As a manager does at a desk. */
static void permit(pins *p)
{
    const cb_id *card = &p->w.card.first.card;
    MUST(cb_card_pin_reset(p->w.api.store, "test", card, &p->w.terminal, "forgotten"));
    MUST(cb_hsm_pin_reset(p->w.api.hsm, card, &p->w.terminal, PERMISSION_S));
}

/* ---- The steps ---- */

static const cb_failure_limits strict = {
    .pins_in_row = 1, .window = 3600 * CB_SECOND, .slow_rate = 1};

static void opened(void *context)
{
    pins *p = context;
    cb_failure_row row;
    give_pin(p);
    api_open_again(&p->w, &p->before);
    if (p->strict)
        cb_taps_set_limits(p->w.api.taps, &strict);
    if (p->wish->number == CB_TAP_PIN_RESET)
        permit(p);
    MUST(cb_failures_get(p->w.api.store, CB_OF_CARD, &p->w.card.first.card, &row));
    p->wrong_before = row.count[CB_FAILURE_WRONG_PIN];
    api_count(&p->w, &p->before);
}

static void begun(void *context)
{
    pins *p = context;
    opened(p);
    api_begin(&p->w, "native");
}

static void challenged(void *context)
{
    opened(context);
    come_to_proof(context);
}

static cb_error challenge(void *context)
{
    pins *p = context;
    ask(p);
    return api_judge_script(&p->w, 200, &p->script);
}

static cb_error judge_accept(const pins *p)
{
    return api_judge_accept(&p->w, CB_LEVEL_PIN, "vip", false);
}

static cb_error judge_done(const pins *p)
{
    return api_judge_accept(&p->w, CB_LEVEL_PIN, NULL, false);
}

static cb_error prove(void *context)
{
    pins *p = context;
    api_bring_proof(&p->w);
    return judge_accept(p);
}

static cb_error prove_wrong(void *context)
{
    static const char *const parts[] = {"\"code\":\"pin.wrong\"", "\"tries_left\":2", NULL};
    pins *p = context;
    api_bring_proof(&p->w);
    return api_judge_parts(&p->w, 422, parts);
}

static cb_error prove_done(void *context)
{
    pins *p = context;
    api_bring_proof(&p->w);
    return judge_done(p);
}

/* ---- Afterwards ---- */

static uint64_t wrong_pins(const pins *p)
{
    cb_failure_row row;
    MUST(cb_failures_get(p->w.api.store, CB_OF_CARD, &p->w.card.first.card, &row));
    return row.count[CB_FAILURE_WRONG_PIN] - p->wrong_before;
}

static void logs_in(pins *p, const wish *with)
{
    tap(p, with);
    MUST(judge_accept(p));
}

/* The PINs that the card has signed are counted with the accept, or not twice. */
static void told_as_it_was(void *context, cb_error result, bool struck)
{
    pins *p = context;
    api_tally is;
    bool told = result == CB_OK;
    (void)struck;
    for (int i = 0; i < 2; i++) {
        api_settled(&p->w, &p->before, &is);
        api_accepted_as_told(&is, false, told);
        assert_true(wrong_pins(p) == p->failures ||
                    (wrong_pins(p) == 0 && api_number(&is, "leaf tap.result accepted") == 0));
        if (i == 0)
            told = api_bring_again(&p->w);
    }
    api_let_it_sign(&p->w);
    logs_in(p, &log_in);
    api_world_close(&p->w);
}

static void counted_once(void *context, cb_error result, bool struck)
{
    pins *p = context;
    api_tally is;
    (void)struck;
    for (int i = 0; i < 2; i++) {
        api_settled(&p->w, &p->before, &is);
        assert_int_equal(api_number(&is, "leaf tap.intent"), 0);
        long refused = api_number(&is, "leaf tap.refused");
        assert_true(refused <= 1 && wrong_pins(p) <= (uint64_t)refused);
        if (result == CB_OK)
            assert_int_equal(wrong_pins(p), 1);
        if (i == 0)
            assert_false(api_bring_again(&p->w));
    }
    api_let_it_sign(&p->w);
    logs_in(p, &log_in);
    api_world_close(&p->w);
}

static bool hsmd_has_heard(const pins *p)
{
    cb_feed_head now, known;
    MUST(cb_feed_head_now(p->w.api.store, &now));
    return cb_hsm_feed_state_any(p->w.api.hsm, &known) == CB_OK && known.number == now.number;
}

/* hsmd does not take the front end's word for it, and has to have heard of the record. */
static void resume(const pins *p)
{
    const cb_id *card = &p->w.card.first.card;
    int64_t deadline = cb_deadline_in(60 * CB_SECOND);
    MUST(cb_card_change(p->w.api.store, "test", card, CB_CARD_RESUME, NULL, NULL));
    cb_watch_feed(p->w.api.watch);
    while (!hsmd_has_heard(p) && cb_deadline_left_ms(deadline) > 0)
        usleep(500);
    MUST(cb_hsm_resume(p->w.api.hsm, card));
}

/* With the PIN that is one too many, or not at all. */
static long suspended(pins *p)
{
    api_tally is;
    api_settled(&p->w, &p->before, &is);
    long done = api_number(&is, "card suspended");
    bool good = done >= 0 && done <= 1 && api_number(&is, "card active") == -done &&
                api_number(&is, "leaf card.suspended") == done &&
                api_number(&is, "feed 2") == done && wrong_pins(p) == (uint64_t)done &&
                api_number(&is, "leaf tap.refused") >= done &&
                api_number(&is, "leaf tap.intent") == 0;
    if (!good) {
        api_say("is", &is);
        fail_msg("half suspended");
    }
    return done;
}

static void suspended_or_not(void *context, cb_error result, bool struck)
{
    static const char *const parts[] = {"\"code\":\"card.suspended\"", NULL};
    pins *p = context;
    (void)struck;
    assert_true(suspended(p) == 1 || result != CB_OK);
    assert_false(api_bring_again(&p->w));
    long done = suspended(p);
    api_let_it_sign(&p->w);
    if (done) {
        tap(p, &log_in);
        MUST(api_judge_parts(&p->w, 422, parts));
        resume(p);
    }
    logs_in(p, &log_in);
    api_world_close(&p->w);
}

/* A tap that did not come to its proof has changed nothing. */
static void nothing_is_done(void *context, cb_error result, bool struck)
{
    pins *p = context;
    api_tally is;
    (void)result, (void)struck;
    api_settled(&p->w, &p->before, &is);
    assert_int_equal(api_number(&is, "leaf tap.intent"), 0);
    assert_int_equal(api_number(&is, "leaf tap.pin"), 0);
    assert_true(api_number(&is, "leaf tap.refused") <= 1);
    give_pin(p);
    api_let_it_sign(&p->w);
    logs_in(p, &log_in);
    api_world_close(&p->w);
}

/* How often it is on record that it was done. */
static long recorded(pins *p)
{
    api_tally is;
    api_settled(&p->w, &p->before, &is);
    long done = api_number(&is, "leaf tap.pin"), refused = api_number(&is, "leaf tap.refused");
    if (done < 0 || done > 1 || refused > 1 || done + refused > 1 ||
        api_number(&is, "leaf tap.intent") != 0) {
        api_say("is", &is);
        fail_msg("it is not on record as it was");
    }
    return done;
}

static void on_record_as_told(void *context, cb_error result, bool struck)
{
    pins *p = context;
    (void)struck;
    assert_true(recorded(p) == 1 || result != CB_OK);
    bool told = api_bring_again(&p->w);
    assert_true(recorded(p) == 1 || !told);
    assert_true(has_pin(p, FRESH_PIN));
    api_let_it_sign(&p->w);
    logs_in(p, &log_in_fresh);
    api_world_close(&p->w);
}

/* The permission that hsmd has given up for a script that was lost is to be asked for anew; what
 * was used opens nothing twice. */
static void reset_once(void *context, cb_error result, bool struck)
{
    pins *p = context;
    (void)struck;
    if (result == CB_OK) {
        api_dial(&p->w);
        MUST(prove_done(p));
    } else {
        assert_true(has_pin(p, WORLD_PIN));
        assert_int_equal(recorded(p), 0);
        api_let_it_sign(&p->w);
        permit(p);
        tap(p, &reset);
        MUST(judge_done(p));
    }
    api_begin(&p->w, "native");
    ask(p);
    assert_int_equal(p->w.answer.status, 422);
    assert_non_null(strstr(p->w.answer.body, "\"code\":\"pin.reset_refused\""));
    logs_in(p, &log_in_fresh);
    api_world_close(&p->w);
}

#define ASKED begun, challenge
#define PROVEN challenged, prove
#define WRONG_PROVEN challenged, prove_wrong
#define DONE challenged, prove_done

static const struct {
    fault_flow flow;
    const wish *wish;
    unsigned tries, failures; /* of the card */
    bool strict;
} flows[] = {
    {{"a PIN asked for", ASKED, nothing_is_done}, &log_in, 3, 0, false},
    {{"a right PIN", PROVEN, told_as_it_was}, &log_in, 3, 0, false},
    {{"a right PIN after wrong ones", PROVEN, told_as_it_was}, &log_in, 1, 2, false},
    {{"a wrong PIN", WRONG_PROVEN, counted_once}, &log_in_wrong, 3, 0, false},
    {{"a wrong PIN too many", WRONG_PROVEN, suspended_or_not}, &log_in_wrong, 3, 0, true},
    {{"a PIN's change asked for", ASKED, nothing_is_done}, &change, 3, 0, false},
    {{"a PIN changed", DONE, on_record_as_told}, &change, 3, 0, false},
    {{"a PIN unblocked", DONE, on_record_as_told}, &unblock, 0, 0, false},
    {{"a PIN's reset asked for", ASKED, reset_once}, &reset, 0, 0, false},
    {{"a PIN reset", DONE, on_record_as_told}, &reset, 0, 0, false},
};

/* ---- ---- */

static void make(pins *p)
{
    api_world_make(&p->w);
    MUST(api_world_open(&p->w));
    api_serve(&p->w, "vip", "gives", CB_LEVEL_PIN);
    api_world_close(&p->w);
}

static void make_anew(void *context)
{
    pins *p = context;
    api_world_over(&p->w);
    make(p);
}

static void a_pin_is_taken_and_counted_as_it_is_told(void **state)
{
    static pins p;
    (void)state;
    make(&p);
    fault_anew(make_anew);
    fault_theirs(FAULT_THEIRS_HTTP);
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        p.wish = flows[i].wish;
        p.tries = flows[i].tries;
        p.failures = flows[i].failures;
        p.strict = flows[i].strict;
        p.script = 0;
        fault_each(&alloc_faults, &flows[i].flow, &p, RUNS);
    }
    api_world_over(&p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_pin_is_taken_and_counted_as_it_is_told, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
