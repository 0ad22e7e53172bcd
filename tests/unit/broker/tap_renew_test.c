/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a tap that renews what its card is bound with. Key service, record and issuers are
 * replaced by ones that write down who was called and fail where they are told to.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "broker/core/tap_parts.h"
#include "tests/unit/base/test.h"

static char trace[256];
static const char *failing;
static cb_error failure, refused;
static bool recognised;
static uint8_t state_of_card;
static int64_t end_of_card;
static unsigned dropped, early;

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

cb_error cb_hsm_tap_renew(cb_hsm *hsm, const cb_tap_context *context,
                          const cb_foreign_reading *reading, cb_bytes binding,
                          cb_bytes certificates, cb_buf *script)
{
    (void)hsm, (void)script;
    assert_int_equal(context->purpose, CB_TAP_RENEW);
    assert_int_equal(reading->profile, CB_PROFILE_PIV);
    assert_true(cb_bytes_same(binding, cb_bytes_str("before")));
    assert_int_equal(certificates.len, 3);
    return step("hsmd");
}

cb_error cb_hsm_tap_finish(cb_hsm *hsm, const cb_id *tap, cb_bytes answers, cb_card_claim *claim)
{
    (void)hsm, (void)tap, (void)answers;
    *claim = (cb_card_claim){.pin_tries_left = 2};
    return step("finish");
}

cb_error cb_hsm_tap_bind(cb_hsm *hsm, const cb_id *tap, uint64_t sequence, const cb_feed_head *feed,
                         cb_buf *binding)
{
    (void)hsm, (void)tap, (void)feed;
    assert_int_equal(sequence, 5); /* after the one that the card has */
    cb_buf_put_str(binding, "binding");
    return step("bind");
}

cb_error cb_decide_lookup_card(cb_store *store, const cb_id *card, cb_card *out)
{
    (void)store;
    out->id = *card;
    out->holder = (cb_id){{2}};
    out->sequence = 4;
    out->state = state_of_card;
    out->expires = end_of_card;
    cb_buf_put_str(&out->binding, "before");
    cb_buf_put(&out->certificates, cb_bytes_make("\x30\x01\x07", 3));
    return step("look");
}

bool cb_card_is_over(const cb_card *card, int64_t now)
{
    return card->expires > 0 && now >= card->expires;
}

cb_error cb_card_refusal(const cb_card *card)
{
    return card->state == CB_CARD_ACTIVE ? CB_OK : CB_E_CARD_SUSPENDED;
}

cb_error cb_tap_pass_feed_on(cb_taps *of, const cb_id *tap)
{
    (void)of, (void)tap;
    return step("feed");
}

cb_error cb_card_renew_at_tap(cb_store *store, const cb_card_tap_renewal *what, cb_card *out)
{
    cb_digest before = cb_sha256(cb_bytes_str("before"));
    (void)store;
    assert_int_equal(what->binding.len, 7); /* of the last round only */
    assert_int_equal(what->certificates.len, 4);
    assert_int_equal(what->card.bytes[0], 1);
    assert_memory_equal(&what->before, &before, sizeof before);
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
    assert_int_equal(context->purpose, CB_TAP_RENEW);
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

void cb_card_init(cb_card *card)
{
    *card = (cb_card){.binding = CB_BUF(64), .certificates = CB_BUF(64)};
}

void cb_card_free(cb_card *card)
{
    cb_buf_free(&card->binding);
    cb_buf_free(&card->certificates);
}

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
    state_of_card = CB_CARD_ACTIVE;
    end_of_card = 0;
    taps = (cb_taps){.parts = {.certificate_status = ask_issuer}};
    return cb_tap_table_open(10, 10, &taps.table) ? -1 : 0;
}

static int close_taps(void **state)
{
    (void)state;
    cb_tap_table_close(&taps.table);
    return 0;
}

static cb_error ask_with(size_t keys, cb_bytes certificate)
{
    unsigned expires = 0;
    cb_buf script = CB_BUF(64);
    cb_foreign_reading what = {.keys = keys};
    cb_tap_entry *entry = calloc(1, sizeof *entry);
    assert_non_null(entry);
    for (size_t i = 0; i < keys; i++)
        what.key[i].certificate = certificate;
    *entry =
        (cb_tap_entry){.context = {.tap = tap, .terminal = terminal, .profile = CB_PROFILE_PIV},
                       .stage = CB_TAP_BEGUN,
                       .expires = cb_deadline_in(CB_SECOND),
                       .certificates = CB_BUF(64)};
    cb_tap_table_put(taps.table, entry);
    cb_error error = cb_tap_renew(&taps, &terminal, &tap, &what, &script, &expires);
    assert_int_equal(expires, error ? 0 : 60);
    cb_buf_free(&script);
    return error;
}

static cb_error ask(size_t keys) { return ask_with(keys, CB_BYTES_OF(der)); }

static cb_error finish(cb_tap_outcome *outcome)
{
    cb_tap_entry *entry;
    *outcome = (cb_tap_outcome){.level = 0};
    assert_int_equal(cb_tap_table_take(taps.table, &tap, &terminal, CB_TAP_CHALLENGED, &entry),
                     CB_OK);
    cb_error error = cb_tap_renew_end(&taps, entry, (cb_bytes){0}, outcome);
    cb_tap_entry_free(entry);
    return error;
}

static void forget_challenged(void)
{
    cb_tap_entry *entry;
    assert_int_equal(cb_tap_table_take(taps.table, &tap, &terminal, CB_TAP_CHALLENGED, &entry),
                     CB_OK);
    cb_tap_entry_free(entry);
}

static void it_runs_in_order(void **state)
{
    cb_tap_outcome outcome;
    (void)state;
    assert_int_equal(ask(1), CB_OK);
    assert_int_equal(finish(&outcome), CB_OK);
    assert_string_equal(trace, "permit recognise look issuer feed hsmd finish bind bind record");
    assert_int_equal(outcome.card.bytes[0], 1);
    assert_int_equal(outcome.holder.bytes[0], 2);
    assert_int_equal(outcome.level, CB_LEVEL_TERMINAL_PIN);
}

static void the_issuer_is_asked_about_each_certificate(void **state)
{
    (void)state;
    assert_int_equal(ask(3), CB_OK);
    assert_string_equal(trace, "permit recognise look issuer issuer issuer feed hsmd");
}

/* hsmd is not asked before the issuer was: what it is told it cannot be told back. */
static void each_step_can_fail_and_none_comes_after_it(void **state)
{
    static const char *const steps[] = {"recognise", "look", "issuer", "feed", "hsmd"};
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
    static const char *const steps[] = {"finish", "bind", "record"};
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

static void a_card_of_the_brokers_own_is_not_renewed_so(void **state)
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

/* It has used the terminal's rate, and that is all. */
static void nothing_new_is_no_refusal_and_asks_nobody(void **state)
{
    (void)state;
    assert_int_equal(ask_with(1, cb_bytes_make("\x30\x01\x07", 3)), CB_E_CERTIFICATE_RENEWAL);
    assert_string_equal(trace, "permit recognise look");
    assert_int_equal(refused, CB_OK);
    assert_int_equal(dropped, 1);
}

/* One that is only over is renewed as long as nothing else was made of that. */
static void a_card_that_is_ended_here_is_not_renewed(void **state)
{
    (void)state;
    end_of_card = 1;
    assert_int_equal(ask(1), CB_OK);
    forget_challenged();
    state_of_card = CB_CARD_SUSPENDED;
    trace[0] = 0;
    assert_int_equal(ask(1), CB_E_CARD_SUSPENDED);
    assert_string_equal(trace, "permit recognise look");
    assert_int_equal(refused, CB_E_CARD_SUSPENDED);
}

static void which_errors_another_tap_may_mend(void **state)
{
    (void)state;
    for (unsigned error = 0; error < CB_ERROR_COUNT; error++)
        assert_int_equal(cb_tap_may_renew((cb_error)error),
                         error == CB_E_CERTIFICATE_EXPIRED || error == CB_E_CERTIFICATE_REVOKED);
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
        T(a_card_of_the_brokers_own_is_not_renewed_so),
        T(what_is_refused_before_its_rate_was_asked_takes_from_it),
        T(nothing_new_is_no_refusal_and_asks_nobody),
        T(a_card_that_is_ended_here_is_not_renewed),
        T(which_errors_another_tap_may_mend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
