/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a tap. Key service, store, connectors and sessions are replaced by ones that write down who was called
 * and fail where they are told to, so that each step can fail in turn.
 */
#include "broker/core/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/decide.h"
#include "broker/core/software.h"
#include "broker/core/tap_parts.h"
#include "tests/unit/base/test.h"

/* ---- What happened, and what is to fail ---- */

static char trace[512];
static const char *failing;   /* the step that fails */
static cb_error failure;      /* with this */
static cb_error recorded;     /* the outcome of the last result or refusal */
static const char *recorded_step; /* of the last refusal */
static uint32_t recorded_pins;    /* wrong ones, that were counted last */
static uint32_t signed_pins;      /* wrong ones, as the card says */
static uint64_t failed_here;      /* at the terminal */
static cb_failure_effect led_to;  /* what counting does */
static uint8_t login_kind;
static unsigned uses;         /* how often the connector uses the key */
static unsigned behind;       /* how often hsmd says that it has not heard of everything */
static cb_error behind_error; /* and how it says so */
static uint8_t service_level;
static uint32_t terminal_rate;
static uint8_t terminal_state;
static bool terminal_passwords;
static cb_error terminal_software, terminal_kind;
static bool pad_needed;
static uint8_t kind_of_card = CB_PROFILE_NATIVE;
static size_t receipts_recorded;

static cb_error step(const char *name)
{
    size_t at = strlen(trace);
    snprintf(trace + at, sizeof trace - at, "%s%s", at ? " " : "", name);
    return failing && strcmp(failing, name) == 0 ? failure : CB_OK;
}

/* ---- The key service ---- */

cb_error cb_hsm_tap_begin(cb_hsm *hsm, uint8_t profile, const cb_id *terminal, cb_id *tap,
                          cb_buf *script)
{
    (void)hsm, (void)profile, (void)terminal;
    *tap = cb_id_random();
    cb_script_put(script, 0, cb_bytes_str("apdu"));
    return step("begin");
}

cb_error cb_hsm_tap_challenge(cb_hsm *hsm, const cb_tap_context *context, cb_bytes answers,
                              cb_bytes pin, cb_bytes binding, cb_buf *script)
{
    (void)hsm, (void)context, (void)answers, (void)pin, (void)binding, (void)script;
    return step("challenge");
}

cb_error cb_hsm_tap_finish(cb_hsm *hsm, const cb_id *tap, cb_bytes answers, cb_card_claim *claim)
{
    (void)hsm, (void)tap, (void)answers;
    *claim = (cb_card_claim){.card = {{1}}, .pin_failures = (uint16_t)signed_pins};
    return step("finish");
}

cb_error cb_hsm_tap_activate(cb_hsm *hsm, const cb_id *tap, cb_bytes binding,
                             const cb_feed_head *feed, cb_activation *out)
{
    (void)hsm, (void)tap, (void)binding, (void)feed;
    if (behind > 0) {
        behind--;
        step("behind");
        return behind_error;
    }
    *out = (cb_activation){.holder = {{2}}, .card = {{1}}, .level = CB_LEVEL_PIN, .pin_tries_left = 2};
    return step("activate");
}

cb_error cb_hsm_tap_password(cb_hsm *hsm, const cb_id *tap, cb_bytes before,
                             const cb_feed_head *feed, cb_buf *binding)
{
    (void)hsm, (void)tap, (void)before, (void)feed;
    cb_buf_put_str(binding, "the new one");
    return step("change");
}

cb_error cb_hsm_feed_state(cb_hsm *hsm, const cb_id *tap, cb_feed_head *out)
{
    (void)hsm, (void)tap;
    *out = (cb_feed_head){.number = 0};
    return CB_OK;
}

static bool fed;

cb_error cb_hsm_feed_extend(cb_hsm *hsm, const cb_id *tap, const cb_feed_entry *entries,
                            size_t count)
{
    (void)hsm, (void)tap, (void)entries;
    assert_int_equal(count, 1);
    fed = true;
    return step("extend");
}

cb_error cb_hsm_tap_open_key(cb_hsm *hsm, const cb_id *tap, cb_bytes sealed,
                             const cb_intent_proof *proof)
{
    (void)hsm, (void)tap, (void)sealed, (void)proof;
    return step("open");
}

cb_error cb_hsm_use(cb_hsm *hsm, const cb_id *tap, uint8_t operation, uint8_t hash, cb_bytes data,
                    cb_buf *result, cb_buf *receipt)
{
    (void)hsm, (void)tap, (void)operation, (void)hash, (void)data;
    cb_buf_put_str(result, "signature");
    cb_buf_put_str(receipt, "receipt");
    return step("use");
}

void cb_hsm_tap_end(cb_hsm *hsm, const cb_id *tap)
{
    (void)hsm, (void)tap;
    step("end");
}

const cb_card_profile *cb_profile_find(uint8_t id)
{
    static const cb_card_profile native = {.id = CB_PROFILE_NATIVE,
                                           .name = "native",
                                           .level_with_pin = CB_LEVEL_PIN};
    static const cb_card_profile password = {.id = CB_PROFILE_PASSWORD,
                                             .name = "password",
                                             .level_with_pin = CB_LEVEL_PASSWORD};
    return id == CB_PROFILE_NATIVE ? &native : id == CB_PROFILE_PASSWORD ? &password : NULL;
}

bool cb_profile_has_cards(const cb_card_profile *of) { return of->id != CB_PROFILE_PASSWORD; }

uint8_t cb_profile_level(const cb_card_profile *of, bool with_pin)
{
    assert_true(with_pin);
    return of->level_with_pin;
}

/* ---- The store ---- */

cb_error cb_card_status(const cb_card *card, cb_certificate_status status, void *context)
{
    (void)card, (void)status, (void)context;
    return CB_OK;
}

cb_error cb_service_get(cb_store *store, const char *name, cb_service *out)
{
    (void)store;
    if (strcmp(name, "tax") != 0)
        return CB_E_SERVICE_UNKNOWN;
    strcpy(out->name, name);
    out->level = service_level;
    return CB_OK;
}

void cb_service_init(cb_service *service)
{
    *service = (cb_service){.config = CB_BUF(CB_SERVICE_CONFIG_MAX)};
}

void cb_service_free(cb_service *service)
{
    cb_buf_free(&service->config);
}

void cb_card_init(cb_card *card)
{
    *card = (cb_card){.binding = CB_BUF(CB_BINDING_MAX)};
}

void cb_card_free(cb_card *card)
{
    cb_buf_free(&card->binding);
}

cb_error cb_software_admit(cb_store *store, const cb_id *terminal)
{
    (void)store, (void)terminal;
    return terminal_software;
}

cb_error cb_service_takes(const cb_service *service, const cb_terminal *terminal)
{
    (void)service, (void)terminal;
    return terminal_kind;
}

cb_error cb_service_takes_pin(const cb_service *service, const cb_terminal *terminal,
                              uint8_t reached, bool said)
{
    (void)service, (void)terminal;
    return pad_needed && reached == CB_LEVEL_TERMINAL_PIN && !said ? CB_E_PIN_PAD : CB_OK;
}

cb_error cb_terminal_get(cb_store *store, const cb_id *id, cb_terminal *out)
{
    (void)store;
    *out = (cb_terminal){.id = *id, .state = terminal_state, .rate = terminal_rate,
                         .passwords = terminal_passwords};
    return CB_OK;
}

bool cb_terminal_allows(const cb_terminal *terminal, const char *service)
{
    (void)terminal, (void)service;
    return step("allows") == CB_OK;
}

cb_error cb_decide_lookup_card(cb_store *store, const cb_id *card, cb_card *out)
{
    (void)store;
    out->id = *card;
    out->holder = (cb_id){{2}};
    out->state = CB_CARD_ACTIVE;
    return step("lookup");
}

cb_error cb_card_refusal(const cb_card *card)
{
    (void)card;
    return step("state");
}

cb_error cb_feed_head_now(cb_store *store, cb_feed_head *out)
{
    (void)store;
    *out = (cb_feed_head){.number = 1};
    return CB_OK;
}

cb_error cb_feed_since(cb_store *store, uint64_t number, cb_feed_entry *entries, size_t max,
                       size_t *count)
{
    (void)store, (void)number, (void)max;
    *count = fed ? 0 : 1;
    entries[0] = (cb_feed_entry){.number = 1};
    return CB_OK;
}

void cb_intent_grant_init(cb_intent_grant *grant)
{
    *grant = (cb_intent_grant){.service.config = CB_BUF(64), .data = CB_BUF(64)};
}

void cb_intent_grant_free(cb_intent_grant *grant)
{
    (void)grant;
}

cb_error cb_decide_intent(cb_store *store, const cb_intent_request *request, cb_intent_grant *out)
{
    (void)store, (void)out;
    assert_int_equal(request->reached, CB_LEVEL_PIN);
    assert_int_equal(request->holder.bytes[0], 2);
    return step("intent");
}

cb_error cb_decide_result(cb_store *store, const cb_result_request *request)
{
    (void)store;
    recorded = request->outcome;
    receipts_recorded = request->receipt_count;
    return step(request->outcome ? "failed" : "result");
}

cb_error cb_decide_refused(cb_store *store, const cb_refusal *refusal, cb_failure_effect *effect)
{
    (void)store;
    recorded = refusal->error;
    recorded_step = refusal->step;
    recorded_pins = refusal->wrong_pins;
    *effect = led_to;
    return step("refused");
}

cb_error cb_decide_wrong_pins(cb_store *store, const cb_refusal *refusal, cb_failure_effect *effect)
{
    (void)store;
    assert_int_equal(refusal->card.bytes[0], 1);
    recorded_pins = refusal->wrong_pins;
    *effect = led_to;
    return step("wrong_pins");
}

/* ---- What failed ---- */

const cb_failure_limits cb_failure_limits_default = {.slow = 1, .slow_rate = 1};

void cb_failure_effect_free(cb_failure_effect *effect) { (void)effect; }

cb_error cb_failures_get(cb_store *store, uint8_t of, const cb_id *id, cb_failure_row *out)
{
    (void)store, (void)id;
    assert_int_equal(of, CB_OF_TERMINAL);
    *out = (cb_failure_row){.counted = failed_here};
    return CB_OK;
}

bool cb_failures_slow(const cb_failure_row *of, const cb_failure_limits *limits, int64_t now)
{
    (void)now;
    return of->counted >= limits->slow;
}

cb_error cb_decide_again(cb_store *store, const cb_again_request *request)
{
    (void)store;
    assert_int_equal(request->card.bytes[0], 1);
    assert_int_equal(request->holder.bytes[0], 2);
    assert_int_equal(request->terminal.bytes[0], 7);
    assert_int_equal(cb_id_is_zero(&request->session), login_kind != CB_SESSION_RELAYED);
    return step("again");
}

cb_error cb_decide_card_end(cb_store *store, const cb_intent_request *request)
{
    (void)store;
    assert_int_equal(request->card.bytes[0], 1);
    return step("card_end");
}

cb_error cb_decide_password(cb_store *store, const cb_intent_request *request,
                            const cb_digest *before, cb_bytes binding)
{
    (void)store, (void)request, (void)before;
    assert_true(cb_bytes_same(binding, cb_bytes_str("the new one")));
    return step("password");
}

cb_error cb_decide_pin(cb_store *store, const cb_intent_request *request)
{
    (void)store, (void)request;
    return step("pin");
}

/* tap_register_test.c has it. */
cb_error cb_tap_register_end(cb_taps *of, const cb_tap_entry *entry, cb_bytes answers,
                             cb_tap_outcome *outcome)
{
    (void)of, (void)entry, (void)answers, (void)outcome;
    fail();
    return CB_E_INTERNAL;
}

/* ---- Connectors and sessions ---- */

struct cb_session {
    int unused;
};

cb_error cb_connector_login(cb_connectors *connectors, const cb_login_request *request,
                            const cb_login_keys *keys, int64_t deadline, cb_login_result *result,
                            cb_session **session)
{
    (void)connectors, (void)request, (void)deadline;
    cb_error error = step("login");
    for (unsigned i = 0; i < uses && !error; i++) {
        cb_buf signature = CB_BUF(64);
        error = keys->use(keys->context, 1, 1, cb_bytes_str("digest"), &signature);
        cb_buf_free(&signature);
    }
    if (error)
        return error;
    result->kind = login_kind;
    if (login_kind == CB_SESSION_TOKEN)
        cb_buf_put_str(&result->value, "{\"access_token\":\"t\"}");
    *session = calloc(1, sizeof **session);
    return CB_OK;
}

void cb_login_result_free(cb_login_result *result)
{
    cb_buf_free(&result->value);
}

void cb_session_cut(cb_session *session, bool logout)
{
    (void)session;
    step(logout ? "logout" : "cut");
}

void cb_session_end(cb_session **session)
{
    free(*session);
    *session = NULL;
}

static cb_session *entered;

cb_error cb_sessions_add(cb_sessions *sessions, const cb_session_facts *facts, cb_session *session,
                         cb_buf *url)
{
    (void)sessions, (void)facts;
    cb_error error = step("enter");
    if (!error) {
        entered = session;
        cb_buf_put_str(url, "https://one-time");
    }
    return error;
}

unsigned cb_sessions_cut(cb_sessions *sessions, const cb_session_match *match, const char *why)
{
    (void)sessions, (void)why;
    assert_false(cb_id_is_zero(&match->session));
    step("withdraw");
    return 1;
}

/* ---- Taps ---- */

static cb_taps *taps;
static const cb_id terminal = {{7}};

static int open_taps(void **state)
{
    (void)state;
    cb_taps_parts parts = {.most = 100};
    cb_log_init("tap_test", CB_LOG_ERROR);
    trace[0] = 0;
    failing = NULL;
    recorded = CB_OK;
    login_kind = CB_SESSION_RELAYED;
    uses = 1;
    behind = 0;
    behind_error = CB_E_HSM_FEED_BEHIND;
    fed = false;
    service_level = CB_LEVEL_POSSESSION;
    terminal_rate = 0;
    terminal_state = CB_TERMINAL_ACTIVE;
    terminal_passwords = false;
    terminal_software = terminal_kind = CB_OK;
    pad_needed = false;
    kind_of_card = CB_PROFILE_NATIVE;
    entered = NULL;
    recorded_pins = signed_pins = 0;
    failed_here = 0;
    led_to = (cb_failure_effect){.noted = false};
    return cb_taps_open(&parts, &taps) == CB_OK ? 0 : -1;
}

static int close_taps(void **state)
{
    (void)state;
    free(entered);
    cb_taps_close(&taps);
    return 0;
}

static cb_error start(cb_id *tap)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    unsigned expires;
    cb_error error = cb_tap_start(taps, &terminal, kind_of_card, tap, &script, &expires);
    cb_buf_free(&script);
    return error;
}

static cb_error ask(const cb_id *tap, const cb_tap_question *question)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    unsigned expires;
    cb_error error = cb_tap_challenge(taps, &terminal, tap, question, &script, &expires);
    cb_buf_free(&script);
    return error;
}

static cb_error ask_for_tax(const cb_id *tap)
{
    return ask(tap, &(cb_tap_question){.purpose = CB_TAP_AUTHENTICATE, .service = "tax"});
}

/* A whole tap; the outcome is the caller's to free. */
static cb_error run(cb_tap_outcome *outcome)
{
    cb_id tap;
    cb_error error = start(&tap);
    *outcome = (cb_tap_outcome){.kind = 0};
    if (!error)
        error = ask_for_tax(&tap);
    if (!error)
        error = cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, outcome);
    assert_int_equal(cb_taps_count(taps), 0);
    return error;
}

static void a_tap_runs_in_order_and_gives_the_session_out_last(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    assert_int_equal(run(&outcome), CB_OK);
    assert_string_equal(trace, "begin allows challenge finish lookup state activate intent open login use "
                               "enter result end");
    assert_string_equal(cb_buf_cstr(&outcome.value), "https://one-time");
    assert_int_equal(outcome.kind, CB_SESSION_RELAYED);
    assert_int_equal(receipts_recorded, 1);
    cb_tap_outcome_free(&outcome);
}

/* A registration, for one. */
static void what_is_for_no_service_is_permitted_without_one(void **state)
{
    const cb_tap_context context = {
        .terminal = {{7}}, .profile = CB_PROFILE_NATIVE, .purpose = CB_TAP_REGISTER};
    (void)state;
    assert_int_equal(cb_tap_permit(taps, &context, NULL, false), CB_OK);
    terminal_state = CB_TERMINAL_REVOKED;
    assert_int_equal(cb_tap_permit(taps, &context, NULL, false), CB_E_TERMINAL_REVOKED);
}

static void a_token_is_given_out_and_no_session_kept(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    login_kind = CB_SESSION_TOKEN;
    assert_int_equal(run(&outcome), CB_OK);
    assert_null(strstr(trace, "enter"));
    assert_string_equal(cb_buf_cstr(&outcome.value), "{\"access_token\":\"t\"}");
    cb_tap_outcome_free(&outcome);
}

/* Whatever step fails: nothing is given out, the failure is recorded once, the tap ends in hsmd. */
static void every_step_can_fail(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        const char *after; /* what must have happened by the end */
        const char *never; /* and what must not */
    } cases[] = {
        {"challenge", "refused", "finish"}, {"finish", "refused", "lookup"},
        {"lookup", "refused", "activate"},  {"state", "refused", "activate"},
        {"activate", "refused", "intent"},  {"intent", "refused", "open"},
        {"open", "failed", "login"},        {"login", "failed", "result"},
        {"use", "failed", "enter"},         {"enter", "logout", "result"},
        {"result", "withdraw", "failed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        trace[0] = 0;
        failing = cases[i].step;
        failure = CB_E_CARD_REVOKED;
        free(entered);
        entered = NULL;
        assert_int_equal(run(&outcome), CB_E_CARD_REVOKED);
        assert_int_equal(outcome.value.len, 0);
        assert_true(cb_id_is_zero(&outcome.session));
        assert_non_null(strstr(trace, cases[i].after));
        assert_null(strstr(trace, cases[i].never));
        assert_string_equal(trace + strlen(trace) - 4, " end");
        if (strcmp(cases[i].step, "result") != 0)
            assert_int_equal(recorded, CB_E_CARD_REVOKED);
        cb_tap_outcome_free(&outcome);
    }
}

static void a_token_of_a_withdrawn_tap_is_logged_out_and_not_given(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    login_kind = CB_SESSION_TOKEN;
    failing = "result";
    failure = CB_E_TAP_WITHDRAWN;
    assert_int_equal(run(&outcome), CB_E_TAP_WITHDRAWN);
    assert_int_equal(outcome.value.len, 0);
    assert_non_null(strstr(trace, "result logout"));
    cb_tap_outcome_free(&outcome);
}

static void a_key_that_was_retired_after_the_intent_withdraws_the_tap(void **state)
{
    (void)state;
    static const char *const steps[] = {"open", "use"};
    for (size_t i = 0; i < 2; i++) {
        cb_tap_outcome outcome;
        failing = steps[i];
        failure = CB_E_HSM_KEY_RETIRED;
        assert_int_equal(run(&outcome), CB_E_TAP_WITHDRAWN);
        assert_int_equal(recorded, CB_E_TAP_WITHDRAWN);
        cb_tap_outcome_free(&outcome);
    }
}

static void hsmd_is_told_of_revocations_it_has_missed(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    behind = 1;
    assert_int_equal(run(&outcome), CB_OK);
    assert_non_null(strstr(trace, "behind extend activate"));
    cb_tap_outcome_free(&outcome);
    behind = 99;
    fed = false;
    assert_int_equal(run(&outcome), CB_E_HSM_FEED_BEHIND);
    cb_tap_outcome_free(&outcome);
}

/* Somebody else's revocation came between reading the head and hsmd's look at it. */
static void a_revocation_of_another_card_does_not_refuse_this_one(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    behind = 3;
    behind_error = CB_E_HSM_ROLLED_BACK;
    assert_int_equal(run(&outcome), CB_OK);
    cb_tap_outcome_free(&outcome);
    behind = 99;
    assert_int_equal(run(&outcome), CB_E_HSM_ROLLED_BACK);
    cb_tap_outcome_free(&outcome);
}

static void a_connector_cannot_use_the_key_without_end(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    uses = CB_RESULT_RECEIPTS + 1;
    assert_int_equal(run(&outcome), CB_E_HSM_ACTIVATION);
    assert_int_equal(receipts_recorded, CB_RESULT_RECEIPTS);
    cb_tap_outcome_free(&outcome);
}

static void steps_come_once_and_in_order_and_from_the_same_terminal(void **state)
{
    (void)state;
    static const cb_id other = {{8}};
    cb_id tap;
    cb_tap_outcome outcome;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(cb_tap_proof(taps, &other, &tap, (cb_bytes){0}, &outcome), CB_E_TAP_UNKNOWN);
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_E_TAP_ORDER);
    assert_int_equal(ask_for_tax(&tap), CB_E_TAP_UNKNOWN);
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TAP_ORDER);
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_E_TAP_UNKNOWN);
}

static void a_mistake_can_be_put_right_while_the_card_stays(void **state)
{
    (void)state;
    cb_id tap;
    service_level = CB_LEVEL_PIN;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_PIN_REQUIRED);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_AUTHENTICATE, .service = "no"}),
                     CB_E_SERVICE_UNKNOWN);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_PIN_CHANGE}), CB_E_ARGUMENT);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = 77, .pin = CB_BYTES_OF("p")}),
                     CB_E_ARGUMENT);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_AUTHENTICATE,
                                                  .service = "tax",
                                                  .pin = CB_BYTES_OF("pin")}),
                     CB_OK);
}

static void a_pin_change_uses_no_key_and_is_recorded(void **state)
{
    (void)state;
    cb_id tap;
    cb_tap_outcome outcome;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_PIN_CHANGE,
                                                  .pin = CB_BYTES_OF("pin")}),
                     CB_OK);
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_OK);
    assert_string_equal(trace, "begin challenge finish lookup state activate pin end");
    cb_tap_outcome_free(&outcome);
}

static void a_terminal_is_limited(void **state)
{
    (void)state;
    cb_id tap;
    terminal_rate = 2;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(start(&tap), CB_OK);
        assert_int_equal(ask_for_tax(&tap), i < 2 ? CB_OK : CB_E_TERMINAL_RATE);
    }
    terminal_rate = 0;
    terminal_state = CB_TERMINAL_REVOKED;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_REVOKED);
}

static void a_terminal_with_software_that_is_not_listed_gets_no_tap(void **state)
{
    (void)state;
    cb_id tap;
    terminal_software = CB_E_TERMINAL_SOFTWARE;
    assert_int_equal(start(&tap), CB_E_TERMINAL_SOFTWARE);
    terminal_software = CB_OK;
    assert_int_equal(start(&tap), CB_OK);
    terminal_software = CB_E_TERMINAL_SOFTWARE; /* taken off the list meanwhile */
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_SOFTWARE);
    terminal_software = CB_OK;
    assert_int_equal(ask_for_tax(&tap), CB_E_TAP_UNKNOWN);
}

static void a_terminal_has_only_so_many_taps_under_way(void **state)
{
    (void)state;
    cb_id tap;
    cb_error error = CB_OK;
    int begun = 0;
    terminal_rate = 10000;
    for (; !error && begun < 200; begun++) {
        error = start(&tap);
        if (!error)
            assert_int_equal(ask_for_tax(&tap), CB_OK);
    }
    assert_int_equal(error, CB_E_BUSY);
    assert_true(begun < 70);
}

/* One more for each card of another profile, that is: nobody goes on with it. */
static void a_terminal_that_begins_many_taps_loses_the_oldest_of_them(void **state)
{
    (void)state;
    static const cb_id other = {{8}};
    cb_id first, second, tap, theirs;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    unsigned expires;
    assert_int_equal(cb_tap_start(taps, &other, CB_PROFILE_NATIVE, &theirs, &script, &expires),
                     CB_OK);
    cb_buf_free(&script);
    assert_int_equal(start(&first), CB_OK);
    assert_int_equal(start(&second), CB_OK);
    assert_int_equal(ask_for_tax(&second), CB_OK);
    for (int i = 0; i < 63; i++) {
        usleep(2); /* so that one is the oldest */
        trace[0] = 0;
        assert_int_equal(start(&tap), CB_OK);
        assert_string_equal(trace, i < 62 ? "begin" : "end begin");
    }
    assert_int_equal(cb_taps_count(taps), 65);
    assert_int_equal(ask_for_tax(&first), CB_E_TAP_UNKNOWN);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    assert_int_equal(cb_tap_break_off(taps, &terminal, &second, CB_E_READER), CB_OK);
    assert_int_equal(cb_tap_break_off(taps, &other, &theirs, CB_E_READER), CB_OK);
}

static void an_answer_that_was_lost_is_given_again_and_nothing_done_again(void **state)
{
    (void)state;
    static const uint8_t kinds[] = {CB_SESSION_RELAYED, CB_SESSION_TOKEN};
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_id tap;
        cb_tap_outcome first, again;
        login_kind = kinds[i];
        free(entered);
        entered = NULL;
        assert_int_equal(start(&tap), CB_OK);
        assert_int_equal(ask_for_tax(&tap), CB_OK);
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &first), CB_OK);
        trace[0] = 0;
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &again), CB_OK);
        assert_string_equal(trace, "again");
        assert_true(cb_bytes_same(cb_buf_bytes(&first.value), cb_buf_bytes(&again.value)));
        assert_true(cb_id_same(&first.session, &again.session));
        cb_tap_outcome_free(&again);
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("b"), &again),
                         CB_E_TAP_UNKNOWN);
        failing = "again";
        failure = CB_E_TAP_WITHDRAWN;
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &again),
                         CB_E_TAP_WITHDRAWN);
        assert_int_equal(again.value.len, 0);
        failing = NULL;
        cb_tap_outcome_free(&first);
    }
}

static void a_refusal_that_was_lost_is_said_again(void **state)
{
    (void)state;
    cb_id tap;
    cb_tap_outcome outcome;
    failing = "finish";
    failure = CB_E_PIN_WRONG;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &outcome),
                         CB_E_PIN_WRONG);
        assert_string_equal(trace, "begin allows challenge finish lookup refused end");
    }
}

static void a_tap_that_is_broken_off_ends_with_its_reason(void **state)
{
    (void)state;
    static const cb_id other = {{8}};
    cb_id tap;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(cb_tap_break_off(taps, &other, &tap, CB_E_CARD_REMOVED), CB_E_TAP_UNKNOWN);
    assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_CARD_REMOVED), CB_OK);
    assert_int_equal(recorded, CB_E_CARD_REMOVED);
    assert_string_equal(recorded_step, "begun");
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    trace[0] = 0;
    assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_BROKER_DOWN), CB_OK);
    assert_string_equal(trace, "refused end");
    assert_int_equal(recorded, CB_E_BROKER_DOWN);
    assert_string_equal(recorded_step, "challenged");
    assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_BROKER_DOWN), CB_E_TAP_UNKNOWN);
    assert_int_equal(cb_taps_count(taps), 0);
}

static void taps_that_are_begun_and_broken_off_without_end_do_not_fill_the_record(void **state)
{
    (void)state;
    terminal_rate = 2;
    for (int i = 0; i < 5; i++) {
        cb_id tap;
        assert_int_equal(start(&tap), CB_OK);
        trace[0] = 0;
        assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_CARD_REMOVED), CB_OK);
        assert_string_equal(trace, i < 2 ? "refused end" : "end");
    }
}

static void a_new_pin_without_the_code_is_for_a_card_that_is_named(void **state)
{
    (void)state;
    static const cb_id named = {{7}};
    cb_id tap;
    const cb_bytes pin = CB_BYTES_OF("pin");
    const cb_tap_question wrong[] = {
        {.purpose = CB_TAP_PIN_RESET, .pin = pin},
        {.purpose = CB_TAP_PIN_RESET, .pin = pin, .card = &named, .service = "tax"},
        {.purpose = CB_TAP_PIN_RESET, .card = &named},
        {.purpose = CB_TAP_PIN_UNBLOCK, .pin = pin, .card = &named},
        {.purpose = CB_TAP_PIN_CHANGE, .pin = pin, .card = &named},
        {.purpose = CB_TAP_CARD_END, .card = &named},
        {.purpose = CB_TAP_AUTHENTICATE, .service = "tax", .card = &named}};
    cb_tap_question question = {.purpose = CB_TAP_PIN_RESET, .pin = pin, .card = &named};
    cb_tap_outcome outcome;
    assert_int_equal(start(&tap), CB_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(ask(&tap, &wrong[i]), CB_E_ARGUMENT);
    trace[0] = 0;
    assert_int_equal(ask(&tap, &question), CB_OK);
    assert_string_equal(trace, "lookup state extend challenge");
    trace[0] = 0;
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_OK);
    assert_string_equal(trace, "finish lookup state activate pin end");
    cb_tap_outcome_free(&outcome);
    /* Which cards there are is nobody's to ask. */
    failing = "lookup";
    failure = CB_E_CARD_UNKNOWN;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_PIN_RESET_REFUSED);
    failing = "challenge";
    failure = CB_E_PIN_RESET_REFUSED;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_PIN_RESET_REFUSED);
}

static void a_revoked_card_is_ended_when_its_terminal_says_in_which_tap_it_was(void **state)
{
    (void)state;
    static const cb_id other = {{8}};
    cb_id refused, tap;
    cb_tap_outcome outcome;
    cb_tap_question question = {.purpose = CB_TAP_CARD_END, .after = &refused};
    failing = "state";
    failure = CB_E_CARD_REVOKED;
    assert_int_equal(start(&refused), CB_OK);
    assert_int_equal(ask_for_tax(&refused), CB_OK);
    assert_int_equal(cb_tap_proof(taps, &terminal, &refused, (cb_bytes){0}, &outcome),
                     CB_E_CARD_REVOKED);
    assert_true(outcome.may_end);
    /* Nothing else with it, and not without. */
    assert_int_equal(start(&tap), CB_OK);
    question.service = "tax";
    assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
    question = (cb_tap_question){.purpose = CB_TAP_CARD_END};
    assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
    question =
        (cb_tap_question){.purpose = CB_TAP_CARD_END, .after = &refused, .pin = CB_BYTES_OF("pin")};
    assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
    question =
        (cb_tap_question){.purpose = CB_TAP_AUTHENTICATE, .service = "tax", .after = &refused};
    assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
    question = (cb_tap_question){.purpose = CB_TAP_CARD_END, .after = &refused};
    trace[0] = 0;
    assert_int_equal(ask(&tap, &question), CB_OK);
    assert_string_equal(trace, "lookup state extend challenge");
    trace[0] = 0;
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_OK);
    assert_string_equal(trace, "finish lookup state activate card_end end");
    assert_true(outcome.ended);
    cb_tap_outcome_free(&outcome);
    /* A tap that was not refused for that, or another terminal's, names no card. */
    question.after = &tap;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_TAP_UNKNOWN);
    question.after = &other;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_TAP_UNKNOWN);
    /* Nor is one ended that is not revoked. */
    failing = NULL;
    question.after = &refused;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_STATE);
}

static void a_profile_that_is_not_known_begins_nothing(void **state)
{
    (void)state;
    cb_id tap;
    cb_buf script = CB_BUF(100);
    unsigned expires;
    assert_int_equal(cb_tap_start(taps, &terminal, 99, &tap, &script, &expires), CB_E_ARGUMENT);
    assert_string_equal(trace, "");
}

/* ---- What failed ---- */

static cb_session_match cut_off;

static void note_ended(void *context, const cb_session_match *match, const cb_affected *affected)
{
    (void)context, (void)affected;
    cut_off = *match;
}

static void open_again_with_ended(void)
{
    cb_taps_parts parts = {.most = 100, .ended = note_ended};
    cb_taps_close(&taps);
    cut_off = (cb_session_match){.session = {{0}}};
    assert_int_equal(cb_taps_open(&parts, &taps), CB_OK);
}

static void wrong_pins_that_the_card_signed_count_once_and_before_the_login(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    signed_pins = 2;
    assert_int_equal(run(&outcome), CB_OK);
    assert_non_null(strstr(trace, "activate wrong_pins intent"));
    assert_int_equal(recorded_pins, 2);
    cb_tap_outcome_free(&outcome);
    trace[0] = 0; /* and not again with what the login comes to */
    failing = "intent";
    failure = CB_E_CARD_SUSPENDED;
    free(entered);
    entered = NULL;
    assert_int_equal(run(&outcome), CB_E_CARD_SUSPENDED);
    assert_non_null(strstr(trace, "wrong_pins intent refused"));
    assert_int_equal(recorded_pins, 0);
    cb_tap_outcome_free(&outcome);
}

static void what_hsmd_did_not_believe_is_no_word_of_the_card(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        cb_error error;
        uint32_t pins;
    } cases[] = {{"activate", CB_E_PIN_WRONG, 3},       {"activate", CB_E_PIN_BLOCKED, 3},
                 {"activate", CB_E_TAP_LEVEL, 3},       {"activate", CB_E_CARD_PROOF, 0},
                 {"activate", CB_E_HSM_RECORD, 0},      {"activate", CB_E_CARD_REVOKED, 0},
                 {"finish", CB_E_PIN_WRONG, 0},         {"finish", CB_E_CARD_PROOF, 0},
                 {"lookup", CB_E_CARD_UNKNOWN, 0},      {"activate", CB_E_TERMINAL_REVOKED, 0}};
    signed_pins = 3;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        recorded_pins = 99;
        failing = cases[i].step;
        failure = cases[i].error;
        assert_int_equal(run(&outcome), cases[i].error);
        assert_int_equal(recorded_pins, cases[i].pins);
        cb_tap_outcome_free(&outcome);
    }
    /* A card that says its PIN was wrong, and that none was, has tried one. */
    cb_tap_outcome outcome;
    signed_pins = 0;
    failing = "activate";
    failure = CB_E_PIN_WRONG;
    assert_int_equal(run(&outcome), CB_E_PIN_WRONG);
    assert_int_equal(recorded_pins, 1);
    cb_tap_outcome_free(&outcome);
}

static void whom_counting_has_ended_is_cut_off(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    open_again_with_ended();
    failing = "activate";
    failure = CB_E_PIN_WRONG;
    led_to = (cb_failure_effect){.kind = CB_FAILURE_WRONG_PIN, .count = 1, .suspended = true};
    assert_int_equal(run(&outcome), CB_E_PIN_WRONG);
    assert_int_equal(cut_off.card.bytes[0], 1);
    assert_true(cb_id_is_zero(&cut_off.terminal));
    failure = CB_E_CARD_PROOF;
    led_to = (cb_failure_effect){.kind = CB_FAILURE_PROOF, .count = 1, .stopped = true};
    assert_int_equal(run(&outcome), CB_E_CARD_PROOF);
    assert_true(cb_id_is_zero(&cut_off.card));
    assert_int_equal(cut_off.terminal.bytes[0], 7);
    assert_int_equal(cb_taps_failed(taps).failed[CB_FAILURE_PROOF], 1);
    assert_int_equal(cb_taps_failed(taps).suspended, 1);
    assert_int_equal(cb_taps_failed(taps).stopped, 1);
}

static void a_terminal_at_which_much_fails_taps_less_often(void **state)
{
    (void)state;
    cb_id tap;
    failed_here = 5;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(start(&tap), CB_OK);
        assert_int_equal(ask_for_tax(&tap), i < 1 ? CB_OK : CB_E_TERMINAL_RATE);
    }
    cb_failure_limits limits = {.slow = 0};
    cb_taps_set_limits(taps, &limits);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    limits = (cb_failure_limits){.slow = 1, .slow_rate = 100};
    cb_taps_set_limits(taps, &limits);
    terminal_rate = 1; /* never more often than it may at all */
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_RATE);
}

/* ---- Passwords ---- */

static void passwords_are_taken_where_terminal_and_service_do(void **state)
{
    (void)state;
    cb_id tap;
    const cb_tap_question change = {.purpose = CB_TAP_PIN_CHANGE, .pin = cb_bytes_str("x")};
    kind_of_card = CB_PROFILE_PASSWORD;
    service_level = CB_LEVEL_PASSWORD;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_PASSWORDS);
    terminal_passwords = true;
    for (uint8_t level = CB_LEVEL_POSSESSION; level <= CB_LEVEL_PASSWORD; level++) {
        assert_int_equal(start(&tap), CB_OK);
        service_level = level;
        trace[0] = 0;
        assert_int_equal(ask_for_tax(&tap), level == CB_LEVEL_PASSWORD ? CB_OK : CB_E_TAP_LEVEL);
        assert_int_equal(strstr(trace, "challenge") != NULL, level == CB_LEVEL_PASSWORD);
    }
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &change), CB_E_CARD_FOREIGN);
}

/* What hsmd is asked, what is recorded, what is told. */
static void nobody_is_told_whether_there_is_a_name(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        cb_error error, told;
    } cases[] = {{"lookup", CB_E_CARD_UNKNOWN, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_PASSWORD_WRONG, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_PASSWORD_DELAYED, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_CARD_SUSPENDED, CB_E_CARD_SUSPENDED},
                 {"activate", CB_E_HSM_DOWN, CB_E_HSM_DOWN},
                 {"lookup", CB_E_STORE, CB_E_STORE},
                 {"state", CB_E_CARD_NOT_ACTIVE, CB_E_CARD_NOT_ACTIVE}};
    kind_of_card = CB_PROFILE_PASSWORD;
    service_level = CB_LEVEL_PASSWORD;
    terminal_passwords = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        trace[0] = 0;
        failing = cases[i].step;
        failure = cases[i].error;
        assert_int_equal(run(&outcome), cases[i].told);
        assert_int_equal(recorded, cases[i].error);
        assert_int_equal(strstr(trace, "activate") != NULL, failure != CB_E_STORE);
        assert_null(strstr(trace, "intent"));
        cb_tap_outcome_free(&outcome);
    }
    failing = NULL;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(passwords_are_taken_where_terminal_and_service_do),
        T(nobody_is_told_whether_there_is_a_name),
        T(a_tap_runs_in_order_and_gives_the_session_out_last),
        T(what_is_for_no_service_is_permitted_without_one),
        T(a_token_is_given_out_and_no_session_kept),
        T(every_step_can_fail),
        T(a_token_of_a_withdrawn_tap_is_logged_out_and_not_given),
        T(a_key_that_was_retired_after_the_intent_withdraws_the_tap),
        T(hsmd_is_told_of_revocations_it_has_missed),
        T(a_revocation_of_another_card_does_not_refuse_this_one),
        T(a_connector_cannot_use_the_key_without_end),
        T(steps_come_once_and_in_order_and_from_the_same_terminal),
        T(a_mistake_can_be_put_right_while_the_card_stays),
        T(a_pin_change_uses_no_key_and_is_recorded),
        T(a_terminal_is_limited),
        T(a_terminal_with_software_that_is_not_listed_gets_no_tap),
        T(a_terminal_has_only_so_many_taps_under_way),
        T(a_terminal_that_begins_many_taps_loses_the_oldest_of_them),
        T(an_answer_that_was_lost_is_given_again_and_nothing_done_again),
        T(a_refusal_that_was_lost_is_said_again),
        T(a_tap_that_is_broken_off_ends_with_its_reason),
        T(taps_that_are_begun_and_broken_off_without_end_do_not_fill_the_record),
        T(a_new_pin_without_the_code_is_for_a_card_that_is_named),
        T(a_revoked_card_is_ended_when_its_terminal_says_in_which_tap_it_was),
        T(a_profile_that_is_not_known_begins_nothing),
        T(wrong_pins_that_the_card_signed_count_once_and_before_the_login),
        T(what_hsmd_did_not_believe_is_no_word_of_the_card),
        T(whom_counting_has_ended_is_cut_off),
        T(a_terminal_at_which_much_fails_taps_less_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
