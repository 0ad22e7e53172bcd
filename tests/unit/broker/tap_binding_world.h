/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What stands around a tap that binds its card: key service, issuers and what taps share, replaced
 * by ones that write down who was called and fail where they are told to. It holds the functions
 * themselves: each program of tests has one file that includes it, and says what is asked.
 */
#ifndef CB_TESTS_UNIT_BROKER_TAP_BINDING_WORLD_H
#define CB_TESTS_UNIT_BROKER_TAP_BINDING_WORLD_H

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "broker/core/tap_parts.h"
#include "tests/unit/base/test.h"

enum { PROOFS = 7 }; /* that the card has made, as it says */

static char trace[256];
static const char *failing;
static cb_error failure, refused;
static bool recognised;
static unsigned dropped, early;
static uint8_t purpose; /* of the question */

static cb_error step(const char *name)
{
    size_t at = strlen(trace);
    snprintf(trace + at, sizeof trace - at, "%s%s", at ? " " : "", name);
    return failing && strcmp(failing, name) == 0 ? failure : CB_OK;
}

/* ---- What is replaced ---- */

static cb_error recognise(const cb_script *answers, cb_id *card)
{
    assert_int_equal(answers->count, 0);
    *card = (cb_id){{1}};
    return step("recognise");
}

const cb_card_profile *cb_profile_find(uint8_t id)
{
    static const cb_card_profile others = {
        .id = CB_PROFILE_PIV, .recognise = recognise, .certificates = 3};
    static const cb_card_profile own = {.id = CB_PROFILE_NATIVE};
    (void)id;
    return recognised ? &others : &own;
}

cb_error cb_hsm_tap_finish(cb_hsm *hsm, const cb_id *tap, cb_bytes answers, cb_card_claim *claim)
{
    (void)hsm, (void)tap, (void)answers;
    *claim = (cb_card_claim){.card = {{1}}, .pin_tries_left = 2, .counter = PROOFS};
    return step("finish");
}

cb_error cb_hsm_tap_bind(cb_hsm *hsm, const cb_id *tap, uint64_t sequence, const cb_feed_head *feed,
                         cb_buf *binding)
{
    (void)hsm, (void)tap, (void)feed;
    assert_int_equal(sequence, 5);
    cb_buf_put_str(binding, "binding");
    return step("bind");
}

cb_error cb_tap_with_head(cb_taps *of, const cb_id *tap,
                          cb_error (*run)(void *context, const cb_feed_head *head), void *context)
{
    cb_feed_head head = {.number = 1};
    (void)of, (void)tap;
    run(context, &head); /* as if hsmd had not heard of something */
    return run(context, &head);
}

cb_error cb_tap_permit(cb_taps *of, const cb_tap_context *context, const cb_service *service,
                       bool pad)
{
    (void)of;
    assert_true(!service && !pad);
    assert_int_equal(context->purpose, purpose);
    return step("permit");
}

void cb_tap_drop(cb_taps *of, cb_tap_entry *tap)
{
    (void)of;
    dropped += tap != NULL;
    cb_tap_entry_free(tap);
}

cb_error cb_tap_refuse(cb_taps *of, const cb_tap_context *context, const cb_tap_outcome *outcome,
                       cb_error error)
{
    (void)of, (void)context, (void)outcome;
    refused = error;
    return error;
}

void cb_tap_refuse_early(cb_taps *of, const cb_tap_context *context, cb_error error)
{
    (void)of, (void)context;
    refused = error;
    early++;
}

void cb_card_init(cb_card *card)
{
    *card = (cb_card){.binding = CB_BUF(64), .certificates = CB_BUF(64)};
}

void cb_card_free(cb_card *card)
{
    cb_buf_free(&card->binding);
    cb_buf_free(&card->certificates);
}

/* The card, as a record has it that was made of the last round's binding. */
static void fill_bound(cb_bytes binding, cb_bytes certificates, cb_card *out)
{
    assert_int_equal(binding.len, 7);
    assert_int_equal(certificates.len, 4);
    out->id = (cb_id){{1}};
    out->holder = (cb_id){{2}};
    out->level = CB_LEVEL_TERMINAL_PIN;
}

/* ---- A tap ---- */

static cb_taps taps;
static const cb_id terminal = {{7}}, tap = {{9}};
static const uint8_t der[] = {0x30, 0x02, 0x05, 0x00, 0x7F}; /* and what follows a signer's */

static cb_error ask_issuer(void *context, cb_bytes certificate)
{
    (void)context;
    assert_int_equal(certificate.len, 4);
    return step("issuer");
}

static int open_taps_for(uint8_t question)
{
    trace[0] = 0;
    failing = NULL;
    refused = CB_OK;
    recognised = true;
    dropped = early = 0;
    purpose = question;
    taps = (cb_taps){.parts = {.certificate_status = ask_issuer}};
    return cb_tap_table_open(10, 10, &taps.table) || cb_rate_open(&taps.codes) ? -1 : 0;
}

static int close_taps(void **state)
{
    (void)state;
    cb_tap_table_close(&taps.table);
    cb_rate_close(&taps.codes);
    return 0;
}

static cb_foreign_reading reading_of(size_t keys, cb_bytes certificate)
{
    cb_foreign_reading reading = {.keys = keys};
    for (size_t i = 0; i < keys; i++)
        reading.key[i].certificate = certificate;
    return reading;
}

static void put_begun(void)
{
    cb_tap_entry *entry = calloc(1, sizeof *entry);
    assert_non_null(entry);
    *entry =
        (cb_tap_entry){.context = {.tap = tap, .terminal = terminal, .profile = CB_PROFILE_PIV},
                       .stage = CB_TAP_BEGUN,
                       .expires = cb_deadline_in(CB_SECOND),
                       .certificates = CB_BUF(64)};
    cb_tap_table_put(taps.table, entry);
}

static cb_tap_entry *take(uint8_t stage)
{
    cb_tap_entry *entry;
    assert_int_equal(cb_tap_table_take(taps.table, &tap, &terminal, stage, &entry), CB_OK);
    return entry;
}

/* ---- What is asked, by the file that includes this ---- */

/* Of a card with so many keys, each with the certificate above. */
static cb_error ask(size_t keys);
static cb_error end(cb_taps *of, const cb_tap_entry *entry, cb_bytes answers,
                    cb_tap_outcome *outcome);

static cb_error finish(cb_tap_outcome *outcome)
{
    *outcome = (cb_tap_outcome){.level = 0};
    cb_tap_entry *entry = take(CB_TAP_CHALLENGED);
    cb_error error = end(&taps, entry, (cb_bytes){0}, outcome);
    cb_tap_entry_free(entry);
    return error;
}

/* Whether the last step was that, and none came after it. */
static void ended_with(const char *name)
{
    assert_true(strlen(trace) >= strlen(name));
    assert_string_equal(trace + strlen(trace) - strlen(name), name);
}

/* ---- What holds of each of these taps ---- */

static void runs_in_order(const char *steps)
{
    cb_tap_outcome outcome;
    assert_int_equal(ask(1), CB_OK);
    assert_int_equal(finish(&outcome), CB_OK);
    assert_string_equal(trace, steps);
    assert_int_equal(outcome.card.bytes[0], 1);
    assert_int_equal(outcome.holder.bytes[0], 2);
    assert_int_equal(outcome.level, CB_LEVEL_TERMINAL_PIN);
}

/* hsmd is not asked before the issuer was: what it is told it cannot be told back. */
static void each_can_fail(const char *const steps[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        trace[0] = 0;
        failing = steps[i];
        failure = CB_E_CERTIFICATE_REVOKED;
        dropped = 0;
        assert_int_equal(ask(1), CB_E_CERTIFICATE_REVOKED);
        ended_with(steps[i]);
        assert_int_equal(refused, CB_E_CERTIFICATE_REVOKED);
        assert_int_equal(dropped, 1);
        assert_int_equal(cb_tap_table_count(taps.table), 0);
    }
}

static void each_of_the_end_can_fail(const char *const steps[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cb_tap_outcome outcome;
        failing = NULL;
        assert_int_equal(ask(1), CB_OK);
        trace[0] = 0;
        failing = steps[i];
        failure = CB_E_PIN_WRONG;
        assert_int_equal(finish(&outcome), CB_E_PIN_WRONG);
        ended_with(steps[i]);
        assert_true(cb_id_is_zero(&outcome.card));
        assert_int_equal(outcome.pin_tries_left, i == 0 ? 2 : 0);
    }
}

static void no_issuer_that_is_known_means_no(void **state)
{
    (void)state;
    taps.parts.certificate_status = NULL;
    assert_int_equal(ask(1), CB_E_CERTIFICATE_STATUS);
    assert_null(strstr(trace, "hsmd"));
}

static void a_card_of_the_brokers_own_is_not_bound_so(void **state)
{
    (void)state;
    recognised = false;
    assert_int_equal(ask(0), CB_E_CARD_FOREIGN);
    assert_string_equal(trace, "");
    assert_int_equal(early, 1);
}

/* Otherwise a terminal fills the record faster than it may tap. */
static void what_is_refused_before_its_rate_was_asked_takes_from_it(void **state)
{
    (void)state;
    failing = "permit";
    failure = CB_E_TERMINAL_SOFTWARE;
    assert_int_equal(ask(1), CB_E_TERMINAL_SOFTWARE);
    assert_int_equal(early, 1);
    failing = "hsmd"; /* and afterwards not again */
    assert_int_equal(ask(1), CB_E_TERMINAL_SOFTWARE);
    assert_int_equal(refused, CB_E_TERMINAL_SOFTWARE);
    assert_int_equal(early, 1);
}

/* Such a mistake is put right while the card lies there; nothing of the question stays. */
static void a_terminal_that_is_told_to_wait_has_its_tap_as_it_was(void **state)
{
    (void)state;
    failing = "permit";
    failure = CB_E_TERMINAL_RATE;
    assert_int_equal(ask(1), CB_E_TERMINAL_RATE);
    assert_string_equal(trace, "permit");
    assert_int_equal(early + dropped, 0);
    assert_int_equal(refused, CB_OK);
    cb_tap_entry *entry = take(CB_TAP_BEGUN);
    assert_int_equal(entry->context.purpose, 0);
    cb_tap_entry_free(entry);
}

#endif
