/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a tap that registers its card. Key service, record and issuers are replaced by ones
 * that write down who was called and fail where they are told to.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "broker/core/registration.h"
#include "broker/core/tap_parts.h"
#include "tests/unit/base/test.h"

static char trace[256];
static const char *failing;
static cb_error failure, refused;
static bool recognised;
static unsigned dropped, early;
static cb_rate *codes;

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
    static const cb_card_profile others = {.id = CB_PROFILE_PIV, .recognise = recognise};
    static const cb_card_profile own = {.id = CB_PROFILE_NATIVE};
    (void)id;
    return recognised ? &others : &own;
}

cb_error cb_hsm_tap_register(cb_hsm *hsm, const cb_tap_context *context,
                             const cb_foreign_reading *reading, const cb_registration_word *word,
                             cb_buf *script)
{
    (void)hsm, (void)script;
    assert_int_equal(context->purpose, CB_TAP_REGISTER);
    assert_int_equal(context->level, CB_LEVEL_NONE);
    assert_int_equal(reading->profile, CB_PROFILE_PIV);
    assert_int_equal(word->point[0], 4);
    return step("hsmd");
}

cb_error cb_hsm_tap_finish(cb_hsm *hsm, const cb_id *tap, cb_bytes answers, cb_card_claim *claim)
{
    (void)hsm, (void)tap, (void)answers;
    *claim = (cb_card_claim){.card = {{1}}, .pin_tries_left = 2, .counter = 7};
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

cb_error cb_registration_open(cb_store *store, const cb_id *code, const cb_id *card,
                              uint8_t profile, const cb_card_rules *rules)
{
    (void)store, (void)rules;
    assert_int_equal(profile, CB_PROFILE_PIV);
    assert_false(cb_id_is_zero(code));
    assert_int_equal(card->bytes[0], 1);
    return step("open");
}

cb_error cb_registration_sequence(cb_store *store, const cb_id *code, uint64_t *sequence)
{
    (void)store, (void)code;
    *sequence = 5;
    return step("sequence");
}

cb_error cb_registration_use_code(cb_store *store, const cb_registration_use *use, cb_card *out)
{
    (void)store;
    assert_int_equal(use->binding.len, 7); /* of the last round only */
    assert_int_equal(use->certificates.len, 4);
    assert_int_equal(use->counter, 7);
    out->id = (cb_id){{1}};
    out->holder = (cb_id){{2}};
    out->level = CB_LEVEL_TERMINAL_PIN;
    return step("record");
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
    assert_int_equal(context->purpose, CB_TAP_REGISTER);
    return step("permit");
}

bool cb_tap_may_ask_again(cb_error error) { return error == CB_E_TERMINAL_RATE; }

unsigned cb_tap_challenged(cb_taps *of, cb_tap_entry *entry)
{
    entry->stage = CB_TAP_CHALLENGED;
    entry->expires = cb_deadline_in(CB_SECOND);
    cb_tap_table_put(of->table, entry);
    return 60;
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

void cb_card_init(cb_card *card) { *card = (cb_card){.level = 0}; }
void cb_card_free(cb_card *card) { (void)card; }

/* ---- ---- */

static cb_taps taps;
static const cb_id terminal = {{7}}, tap = {{9}};
static const uint8_t der[] = {0x30, 0x02, 0x05, 0x00, 0x7F}; /* and what follows a signer's */

static cb_error ask_issuer(void *context, cb_bytes certificate)
{
    (void)context;
    assert_int_equal(certificate.len, 4);
    return step("issuer");
}

static int open_taps(void **state)
{
    (void)state;
    trace[0] = 0;
    failing = NULL;
    refused = CB_OK;
    recognised = true;
    dropped = early = 0;
    if (cb_rate_open(&codes))
        return -1;
    taps = (cb_taps){.codes = codes, .parts = {.certificate_status = ask_issuer}};
    return cb_tap_table_open(10, 10, &taps.table) ? -1 : 0;
}

static int close_taps(void **state)
{
    (void)state;
    cb_tap_table_close(&taps.table);
    cb_rate_close(&codes);
    return 0;
}

static cb_error ask(size_t keys)
{
    unsigned expires = 0;
    cb_buf script = CB_BUF(64);
    cb_tap_registration what = {.reading = {.keys = keys}, .word = {.point = {4}}};
    cb_tap_entry *entry = calloc(1, sizeof *entry);
    assert_non_null(entry);
    for (size_t i = 0; i < keys; i++)
        what.reading.key[i].certificate = CB_BYTES_OF(der);
    *entry =
        (cb_tap_entry){.context = {.tap = tap, .terminal = terminal, .profile = CB_PROFILE_PIV},
                       .stage = CB_TAP_BEGUN,
                       .expires = cb_deadline_in(CB_SECOND),
                       .certificates = CB_BUF(64)};
    cb_tap_table_put(taps.table, entry);
    cb_error error = cb_tap_register(&taps, &terminal, &tap, &what, &script, &expires);
    assert_int_equal(expires, error ? 0 : 60);
    cb_buf_free(&script);
    return error;
}

static cb_error finish(cb_tap_outcome *outcome)
{
    cb_tap_entry *entry;
    *outcome = (cb_tap_outcome){.level = 0};
    assert_int_equal(cb_tap_table_take(taps.table, &tap, &terminal, CB_TAP_CHALLENGED, &entry),
                     CB_OK);
    cb_error error = cb_tap_register_end(&taps, entry, (cb_bytes){0}, outcome);
    cb_tap_entry_free(entry);
    return error;
}

static void forget(void)
{
    cb_tap_entry *entry;
    cb_tap_table_take(taps.table, &tap, &terminal, CB_TAP_BEGUN, &entry);
    cb_tap_entry_free(entry);
}

static void it_runs_in_order(void **state)
{
    cb_tap_outcome outcome;
    (void)state;
    assert_int_equal(ask(1), CB_OK);
    assert_int_equal(finish(&outcome), CB_OK);
    assert_string_equal(trace,
                        "permit recognise open issuer hsmd finish sequence bind bind record");
    assert_int_equal(outcome.card.bytes[0], 1);
    assert_int_equal(outcome.holder.bytes[0], 2);
    assert_int_equal(outcome.level, CB_LEVEL_TERMINAL_PIN);
}

static void the_issuer_is_asked_about_each_certificate(void **state)
{
    (void)state;
    assert_int_equal(ask(3), CB_OK);
    assert_string_equal(trace, "permit recognise open issuer issuer issuer hsmd");
}

/* hsmd is not asked before the issuer was: what it is told it cannot be told back. */
static void each_step_can_fail_and_none_comes_after_it(void **state)
{
    static const char *const steps[] = {"recognise", "open", "issuer", "hsmd"};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        trace[0] = 0;
        failing = steps[i];
        failure = CB_E_CERTIFICATE_REVOKED;
        dropped = 0;
        assert_int_equal(ask(1), CB_E_CERTIFICATE_REVOKED);
        assert_string_equal(trace + strlen(trace) - strlen(steps[i]), steps[i]);
        assert_int_equal(refused, CB_E_CERTIFICATE_REVOKED);
        assert_int_equal(dropped, 1);
        assert_int_equal(cb_tap_table_count(taps.table), 0);
    }
}

static void no_issuer_that_is_known_means_no(void **state)
{
    (void)state;
    taps.parts.certificate_status = NULL;
    assert_int_equal(ask(1), CB_E_CERTIFICATE_STATUS);
    assert_null(strstr(trace, "hsmd"));
}

static void each_step_of_the_end_can_fail(void **state)
{
    static const char *const steps[] = {"finish", "sequence", "bind", "record"};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        cb_tap_outcome outcome;
        failing = NULL;
        assert_int_equal(ask(1), CB_OK);
        trace[0] = 0;
        failing = steps[i];
        failure = CB_E_PIN_WRONG;
        assert_int_equal(finish(&outcome), CB_E_PIN_WRONG);
        assert_string_equal(trace + strlen(trace) - strlen(steps[i]), steps[i]);
        assert_true(cb_id_is_zero(&outcome.card));
        assert_int_equal(outcome.pin_tries_left, i == 0 ? 2 : 0);
    }
}

/* It is told of whom, so that the card is suspended that there are two of. */
static void a_card_whose_number_does_not_follow_is_named_with_it(void **state)
{
    cb_tap_outcome outcome;
    (void)state;
    assert_int_equal(ask(1), CB_OK);
    failing = "record";
    failure = CB_E_CARD_COUNTER;
    assert_int_equal(finish(&outcome), CB_E_CARD_COUNTER);
    assert_int_equal(outcome.card.bytes[0], 1);
    assert_int_equal(outcome.counter, 7);
    assert_true(outcome.proof_heard);
}

static void a_card_of_the_brokers_own_is_not_registered_so(void **state)
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

static void a_terminal_tries_few_a_minute_and_is_told_to_wait(void **state)
{
    (void)state;
    failing = "hsmd";
    failure = CB_E_REGISTRATION_CODE;
    for (int i = 0; i < CB_TAP_CODES_A_MINUTE; i++)
        assert_int_equal(ask(1), CB_E_REGISTRATION_CODE);
    trace[0] = 0;
    assert_int_equal(ask(1), CB_E_REGISTRATION_RATE);
    assert_string_equal(trace, "permit");
    assert_int_equal(early, 0);
    failing = "permit"; /* the terminal's own limit leaves the tap as it was */
    failure = CB_E_TERMINAL_RATE;
    assert_int_equal(ask(1), CB_E_TERMINAL_RATE);
    assert_int_equal(cb_tap_table_count(taps.table), 1);
    forget();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(it_runs_in_order),
        T(the_issuer_is_asked_about_each_certificate),
        T(each_step_can_fail_and_none_comes_after_it),
        T(no_issuer_that_is_known_means_no),
        T(each_step_of_the_end_can_fail),
        T(a_card_whose_number_does_not_follow_is_named_with_it),
        T(a_card_of_the_brokers_own_is_not_registered_so),
        T(what_is_refused_before_its_rate_was_asked_takes_from_it),
        T(a_terminal_tries_few_a_minute_and_is_told_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
