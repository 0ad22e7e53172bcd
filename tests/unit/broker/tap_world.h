/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What stands around a tap: key service, store, connectors and sessions, replaced by ones that write
 * down who was called and fail where they are told to, so that each step can fail in turn. It holds
 * the functions themselves: each program of tests has one file that includes it.
 */
#ifndef CB_TESTS_UNIT_BROKER_TAP_WORLD_H
#define CB_TESTS_UNIT_BROKER_TAP_WORLD_H

#include "broker/core/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/act.h"
#include "broker/core/decide.h"
#include "broker/core/maintenance.h"
#include "broker/core/software.h"
#include "broker/core/tap_parts.h"
#include "tests/unit/base/test.h"

/* ---- What happened, and what is to fail ---- */

static char trace[512];
static const char *failing;   /* the step that fails */
static cb_error failure;      /* with this */
static cb_error recorded;     /* the outcome of the last result or refusal */
static cb_id recorded_card, recorded_claimed;
static const char *recorded_step; /* of the last refusal */
static uint32_t recorded_pins;    /* wrong ones, that were counted last */
static uint32_t signed_pins;      /* wrong ones, as the card says */
static uint32_t said_counter;     /* which of its proofs this is, likewise */
static uint32_t intended_counter; /* of the last intent */
static uint32_t recorded_counter; /* of the last refusal */
static bool forged; /* the proof: hsmd does not believe it */
static bool recorded_heard;       /* likewise */
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
static cb_error terminal_software, terminal_kind, terminal_record;
static bool pad_needed;
static uint8_t asks_pin; /* flags of the second script's command */
static bool intended_pin_seen;
static uint8_t kind_of_card = CB_PROFILE_NATIVE;
static int64_t card_expires, certificate_ends; /* wall clock; 0: no such day */
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
    (void)hsm, (void)context, (void)answers, (void)pin, (void)binding;
    cb_error error = step("challenge");
    if (!error)
        cb_script_put(script, asks_pin, cb_bytes_str("command"));
    return error;
}

cb_error cb_hsm_tap_finish(cb_hsm *hsm, const cb_id *tap, cb_bytes answers, cb_card_claim *claim)
{
    (void)hsm, (void)tap, (void)answers;
    *claim = (cb_card_claim){
        .card = {{1}}, .pin_failures = (uint16_t)signed_pins, .counter = said_counter};
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
    *out = (cb_activation){.holder = {{2}},
                           .card = {{1}},
                           .level = CB_LEVEL_PIN,
                           .pin = CB_PIN_VERIFIED,
                           .pin_tries_left = 2};
    cb_error error = step("activate");
    return !error && forged ? CB_E_CARD_PROOF : error;
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

static cb_error recognise_it(const cb_script *answers, cb_id *card)
{
    (void)answers;
    *card = (cb_id){{3}};
    return CB_OK;
}

const cb_card_profile *cb_profile_find(uint8_t id)
{
    static const cb_card_profile recognised = {.id = CB_PROFILE_SCP03,
                                               .name = "scp03",
                                               .level_with_pin = CB_LEVEL_POSSESSION,
                                               .recognise = recognise_it};
    static const cb_card_profile native = {.id = CB_PROFILE_NATIVE,
                                           .name = "native",
                                           .level_with_pin = CB_LEVEL_PIN};
    static const cb_card_profile foreign = {.id = CB_PROFILE_JPKI,
                                            .name = "jpki",
                                            .level_with_pin = CB_LEVEL_TERMINAL_PIN,
                                            .recognise = recognise_it,
                                            .certificates = 1};
    static const cb_card_profile piv = {.id = CB_PROFILE_PIV,
                                        .name = "piv",
                                        .level_with_pin = CB_LEVEL_TERMINAL_PIN,
                                        .recognise = recognise_it,
                                        .certificates = 3};
    static const cb_card_profile password = {.id = CB_PROFILE_PASSWORD,
                                             .name = "password",
                                             .level_with_pin = CB_LEVEL_PASSWORD};
    return id == CB_PROFILE_NATIVE     ? &native
           : id == CB_PROFILE_PASSWORD ? &password
           : id == CB_PROFILE_SCP03    ? &recognised
           : id == CB_PROFILE_JPKI     ? &foreign
           : id == CB_PROFILE_PIV      ? &piv
                                       : NULL;
}

bool cb_profile_has_cards(const cb_card_profile *of) { return of->id != CB_PROFILE_PASSWORD; }

uint8_t cb_profile_level(const cb_card_profile *of, bool with_pin)
{
    assert_true(with_pin);
    return of->level_with_pin;
}

#include "tests/unit/broker/tap_world_store.h"

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
    assert_false(cb_id_is_zero(&match->session) && cb_id_is_zero(&match->card));
    step("withdraw");
    return 1;
}

/* ---- Taps ---- */

static cb_taps *taps;
static const cb_id terminal = {{7}};

static inline int open_taps(void **state)
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
    terminal_software = terminal_kind = terminal_record = CB_OK;
    pad_needed = false;
    asks_pin = 0;
    kind_of_card = CB_PROFILE_NATIVE;
    card_expires = certificate_ends = 0;
    entered = NULL;
    recorded_pins = signed_pins = 0;
    said_counter = intended_counter = recorded_counter = 0;
    forged = recorded_heard = false;
    failed_here = 0;
    led_to = (cb_failure_effect){.noted = false};
    return cb_taps_open(&parts, &taps) == CB_OK ? 0 : -1;
}

static inline int close_taps(void **state)
{
    (void)state;
    free(entered);
    cb_taps_close(&taps);
    return 0;
}

static inline cb_error start(cb_id *tap)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    unsigned expires;
    cb_error error = cb_tap_start(taps, &terminal, kind_of_card, tap, &script, &expires);
    cb_buf_free(&script);
    return error;
}

static inline cb_error ask(const cb_id *tap, const cb_tap_question *question)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    unsigned expires;
    cb_error error = cb_tap_challenge(taps, &terminal, tap, question, &script, &expires);
    assert_int_equal(script.len > 0, !error);
    cb_buf_free(&script);
    return error;
}

static inline cb_error ask_for_tax(const cb_id *tap)
{
    return ask(tap, &(cb_tap_question){.purpose = CB_TAP_AUTHENTICATE, .service = "tax"});
}

/* A whole tap; the outcome is the caller's to free. */
static inline cb_error run(cb_tap_outcome *outcome)
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

#endif
