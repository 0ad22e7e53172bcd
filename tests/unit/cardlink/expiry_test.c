/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card's last day, as the card itself and the terminal know it.
 */
#include "hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/tlv.h"
#include "cardlink/card/native/application.h"
#include "cardlink/terminal/expiry.h"

static void good(cb_error error) { assert_int_equal(error, CB_OK); }

/* Lays a card of these days on the reader; NULL: nothing outlives it. */
static void lay(world *w, uint32_t today, uint32_t last_day, const cb_vcard_store *store)
{
    w->first.today = today;
    w->first.last_day = last_day;
    cb_vcard_close(&w->card);
    good(cb_vcard_make(&w->first, store, &w->card));
}

static const cb_vcard_state *now(const world *w) { return cb_vcard_state_of(w->card); }

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    world_make(w, false);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    free(*state);
    return 0;
}

static void a_card_is_made_with_its_certificates_last_day(void **state)
{
    world *w = *state;
    cb_cvc own, batch;
    good(cb_cvc_parse(cb_buf_bytes(&w->certificate), &own));
    good(cb_cvc_parse(cb_bytes_make(w->batch.certificate, w->batch.certificate_len), &batch));
    assert_int_equal(w->first.last_day, own.last_day);
    assert_int_equal(w->first.today, own.first_day);
    assert_true(own.last_day <= batch.last_day);
}

static void no_card_is_good_for_longer_than_its_batch(void **state)
{
    world *w = *state;
    cb_cvc own;
    cb_vcard_state made;
    cb_buf certificate = CB_BUF(CB_CVC_MAX);
    cb_issue_order order = {&w->kloc,
                            1,
                            cb_bytes_str(WORLD_PIN),
                            cb_bytes_str(WORLD_CODE),
                            false,
                            cb_issue_days_from_today(20)};
    good(cb_issue_card(&w->cards, &w->batch, &order, &made, &certificate));
    good(cb_cvc_parse(cb_buf_bytes(&certificate), &own));
    assert_int_equal(own.last_day, cb_issue_days_from_today(5).last);
    assert_int_equal(made.last_day, own.last_day);
    cb_buf_free(&certificate);
}

static void a_date_goes_on_by_a_month_at_most_and_never_back(void **state)
{
    (void)state;
    static const uint32_t dates[][3] = {
        /* today, signed, taken */
        {0x20260115, 0x20260116, 0x20260116}, {0x20260115, 0x20260115, 0x20260115},
        {0x20260115, 0x20260114, 0x20260115}, {0x20260115, 0x20250116, 0x20260115},
        {0x20260115, 0x20260215, 0x20260215}, {0x20260115, 0x20260216, 0x20260215},
        {0x20260115, 0x99991231, 0x20260215}, {0x20260915, 0x20270101, 0x20261015},
        {0x20261115, 0x20270301, 0x20261215}, {0x20261215, 0x20270301, 0x20270115},
        {0x20291215, 0x20310101, 0x20300115}, {0x20991231, 0x21050101, 0x21000131},
        {0x20260131, 0x20260301, 0x20260231}, {0x20260231, 0x20260301, 0x20260301}};
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++)
        assert_int_equal(cb_native_next_date(dates[i][0], dates[i][1]), dates[i][2]);
}

static void a_card_learns_the_date_with_its_proof(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    uint32_t today = cb_cvc_day(cb_clock_wall_us());
    lay(w, today - 0x00010000, 0x20991231, NULL);
    uint32_t limit = cb_native_next_date(today - 0x00010000, today);
    good(world_tap(w, (typed){0}, &claim));
    assert_int_equal(now(w)->today, limit);
    for (int tap = 0; tap < 12; tap++)
        good(world_tap(w, (typed){0}, &claim));
    assert_int_equal(now(w)->today, today);
}

static void a_card_whose_day_is_over_says_so_itself_and_for_good(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    lay(w, 0x20260101, 0x20260115, NULL);
    /* The first broker that it meets has told it the date. */
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_E_CARD_EXPIRED);
    assert_int_equal(now(w)->counter, 0);
    assert_int_equal(now(w)->today, 0x20260201);
    /* From then on it says so to anybody, and does nothing else. */
    cb_vcard_reset(w->card);
    assert_int_equal(hand_select(w->card), CB_SW_EXPIRED);
    cb_bytes agreement = cb_buf_bytes(&w->agreement_certificate);
    assert_int_equal(
        hand_plain(w->card, (cb_apdu){0x80, CB_INS_PSO, 1, 0x20, agreement, false}, NULL),
        CB_SW_CONDITIONS);
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_EXPIRED);
}

static void on_its_last_day_a_card_is_still_good(void **state)
{
    world *w = *state;
    hand h;
    lay(w, 0x20260101, 0x20260115, NULL);
    hand_open(&h, w);
    assert_int_equal(hand_signer(&h), CB_SW_OK);
    h.request.date = 0x20260115;
    assert_int_equal(hand_request(&h), CB_SW_OK);
    assert_int_equal(hand_prove(&h), CB_SW_OK);
    assert_int_equal(now(w)->today, 0x20260115);
    hand_open(&h, w);
    assert_int_equal(hand_signer(&h), CB_SW_OK);
    h.request.date = 0x20260116;
    assert_int_equal(hand_request(&h), CB_SW_EXPIRED);
    assert_int_equal(hand_select(w->card), CB_SW_EXPIRED);
}

/* A broker whose clock is wrong, or who lies: once, and again and again. */
static void a_lying_broker_ends_no_card_that_is_good_for_longer_than_a_month(void **state)
{
    world *w = *state;
    hand h;
    lay(w, 0x20260101, 0x20260315, NULL);
    for (int tap = 0; tap < 3; tap++) {
        hand_open(&h, w);
        assert_int_equal(hand_signer(&h), CB_SW_OK);
        h.request.date = 0x20991231;
        assert_int_equal(hand_request(&h), tap < 2 ? CB_SW_OK : CB_SW_EXPIRED);
        if (tap < 2)
            assert_int_equal(hand_prove(&h), CB_SW_OK);
    }
}

static void only_a_date_that_is_signed_counts_and_only_with_the_proof(void **state)
{
    world *w = *state;
    hand h;
    lay(w, 0x20260101, 0x20991231, NULL);
    /* Signed for another date. */
    uint8_t data[CB_PROOF_REQUEST + CB_PROOF_DATE] = {0};
    hand_open(&h, w);
    assert_int_equal(hand_signer(&h), CB_SW_OK);
    h.request.date = 0x20260103;
    cb_digest digest = cb_proof_request_digest(&h.request);
    good(w->host.sign(w, &digest, &data[68]));
    cb_proof_date_put(0x20260104, &data[64]);
    assert_int_equal(hand_secure(&h, CB_INS_REQUEST, 0, 0, CB_BYTES_OF(data)), CB_SW_SECURITY);
    /* A session that ends before its proof. */
    hand_open(&h, w);
    assert_int_equal(hand_signer(&h), CB_SW_OK);
    h.request.date = 0x20260103;
    assert_int_equal(hand_request(&h), CB_SW_OK);
    assert_int_equal(hand_select(w->card), CB_SW_OK);
    assert_int_equal(now(w)->today, 0x20260101);
    /* No date at all, and what is none. */
    static const uint32_t none[] = {0x20261301, 0x20260132 + 0x10, 0x2026010A, 0x00000000};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        hand_open(&h, w);
        assert_int_equal(hand_signer(&h), CB_SW_OK);
        cb_proof_date_put(none[i], &data[64]);
        assert_int_equal(hand_secure(&h, CB_INS_REQUEST, 0, 0, CB_BYTES_OF(data)), CB_SW_DATA);
    }
    assert_int_equal(now(w)->today, 0x20260101);
}

/* ---- A card that is good for as long as its batch, as cards are made ---- */

static uint32_t yesterday(void) { return cb_cvc_day(cb_clock_wall_us() - 24 * 3600 * CB_SECOND); }

static void a_card_whose_batch_is_over_is_told_the_date_and_says_so(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    world_redate(w, (cb_issue_days){0x20200101, yesterday()}, yesterday());
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_E_CARD_EXPIRED);
    assert_int_equal(now(w)->counter, 0);
    cb_vcard_reset(w->card);
    assert_int_equal(hand_select(w->card), CB_SW_EXPIRED);
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_EXPIRED);
}

/* It was in a drawer for long: what it proves is for nobody to go by, and it gets no PIN. */
static void a_card_that_lags_behind_its_batch_proves_nothing(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    world_redate(w, (cb_issue_days){0x20200101, 0x20211231}, 0x20210801);
    for (int month = 0; month < 4; month++) {
        assert_int_equal(world_tap(w, (typed){"9999", NULL}, &claim), CB_OK);
        assert_true(claim.over);
        assert_int_equal(claim.pin, CB_PIN_NOT_PRESENTED);
        assert_int_equal(now(w)->pin_tries, CB_VCARD_PIN_TRIES);
    }
    assert_int_equal(world_tap(w, (typed){"9999", NULL}, &claim), CB_E_CARD_EXPIRED);
    assert_int_equal(now(w)->pin_tries, CB_VCARD_PIN_TRIES);
}

static void a_card_whose_batch_is_over_changes_no_pin(void **state)
{
    static const uint8_t purposes[] = {CB_TAP_PIN_CHANGE, CB_TAP_PIN_UNBLOCK};
    world *w = *state;
    cb_card_claim claim;
    world_redate(w, (cb_issue_days){0x20200101, 0x20211231}, 0x20210801);
    for (size_t i = 0; i < sizeof purposes; i++) {
        w->context.purpose = purposes[i];
        w->context.service[0] = 0;
        typed pin = {i == 0 ? WORLD_PIN : WORLD_CODE, "5678"};
        assert_int_equal(world_tap(w, pin, &claim), CB_E_CARD_EXPIRED);
        assert_memory_equal(now(w)->pin, w->first.pin, sizeof w->first.pin);
        assert_int_equal(now(w)->code_tries, CB_VCARD_CODE_TRIES);
    }
}

static void a_card_of_before_whose_batch_is_over_proves_nothing(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    w->first.version = CB_VCARD_SILENT;
    world_redate(w, (cb_issue_days){0x20200101, 0x20211231}, 0x20210801);
    good(world_tap(w, (typed){0}, &claim));
    assert_true(claim.over);
}

static void a_batch_that_is_good_is_not_over(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    uint32_t today = cb_cvc_day(cb_clock_wall_us());
    world_redate(w, (cb_issue_days){0x20200101, today}, 0x20200101);
    good(world_tap(w, (typed){WORLD_PIN, NULL}, &claim));
    assert_false(claim.over);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
}

typedef struct memory {
    int left;
    cb_vcard_state kept;
} memory;

static cb_error keep(void *context, const cb_vcard *card)
{
    memory *m = context;
    if (m->left-- == 0)
        return CB_E_IO;
    m->kept = *cb_vcard_state_of(card);
    return CB_OK;
}

static void power_lost_at_the_write_leaves_the_date_before(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    memory m = {.left = 0, .kept = w->first};
    cb_vcard_store store = {&m, keep};
    lay(w, 0x20260101, 0x20260115, &store);
    m.kept = w->first;
    assert_int_not_equal(world_tap(w, (typed){0}, &claim), CB_OK);
    assert_int_equal(m.kept.today, 0x20260101);
    cb_vcard_close(&w->card);
    good(cb_vcard_make(&m.kept, &store, &w->card));
    m.left = -1;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_EXPIRED);
    assert_int_equal(m.kept.today, 0x20260201);
}

static void a_card_from_before_has_no_day(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    w->first.version = CB_VCARD_SILENT;
    lay(w, 0x20200101, 0x20200115, NULL);
    good(world_tap(w, (typed){WORLD_PIN, NULL}, &claim));
    assert_int_equal(now(w)->today, 0x20200101);
}

/* ---- The terminal ---- */

/* The answers of the card that lies there to the first script, judged at a time. */
static cb_error judge(world *w, int64_t at)
{
    void *state = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_vcard_reset(w->card);
    good(world_begin(w, state, &script));
    world_play(w->card, &script, &answers);
    cb_error error = cb_card_expiry(cb_buf_bytes(&answers), at);
    cb_profile_native.end(state);
    free(state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static void a_terminal_sees_that_the_batch_is_over_a_day_later(void **state)
{
    world *w = *state;
    int64_t end = cb_cvc_day_end(cb_issue_days_from_today(5).last);
    good(judge(w, cb_clock_wall_us()));
    good(judge(w, end - 1));
    good(judge(w, end + CB_EXPIRY_TOLERANCE - 1));
    assert_int_equal(judge(w, end + CB_EXPIRY_TOLERANCE), CB_E_CARD_EXPIRED);
    good(judge(w, 0));
}

static void a_terminal_takes_the_cards_own_word(void **state)
{
    world *w = *state;
    lay(w, 0x20260201, 0x20260115, NULL);
    assert_int_equal(judge(w, 0), CB_E_CARD_EXPIRED);
}

static void what_is_no_card_of_ours_is_the_brokers_to_name(void **state)
{
    (void)state;
    static const uint8_t odd[] = {0x6A, 0x82};
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(cb_card_expiry((cb_bytes){0}, INT64_MAX));
    cb_script_put(&answers, 0, CB_BYTES_OF(odd));
    cb_script_put(&answers, 0, CB_BYTES_OF(odd));
    good(cb_card_expiry(cb_buf_bytes(&answers), INT64_MAX));
    good(cb_card_expiry(cb_bytes_make(answers.data, answers.len - 1), INT64_MAX));
    cb_buf_free(&answers);
}

static void the_brokers_time_counts_where_the_own_clock_is_far_off(void **state)
{
    (void)state;
    int64_t hour = 3600 * CB_SECOND;
    assert_int_equal(cb_expiry_time(100 * hour, 0), 100 * hour);
    assert_int_equal(cb_expiry_time(100 * hour, hour), 100 * hour);
    assert_int_equal(cb_expiry_time(100 * hour, -hour), 100 * hour);
    assert_int_equal(cb_expiry_time(100 * hour, -2 * hour), 98 * hour);
    assert_int_equal(cb_expiry_time(100 * hour, 50 * hour), 150 * hour);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(a_card_is_made_with_its_certificates_last_day),
        CASE(no_card_is_good_for_longer_than_its_batch),
        CASE(a_date_goes_on_by_a_month_at_most_and_never_back),
        CASE(a_card_learns_the_date_with_its_proof),
        CASE(a_card_whose_day_is_over_says_so_itself_and_for_good),
        CASE(on_its_last_day_a_card_is_still_good),
        CASE(a_lying_broker_ends_no_card_that_is_good_for_longer_than_a_month),
        CASE(only_a_date_that_is_signed_counts_and_only_with_the_proof),
        CASE(a_card_whose_batch_is_over_is_told_the_date_and_says_so),
        CASE(a_card_that_lags_behind_its_batch_proves_nothing),
        CASE(a_card_whose_batch_is_over_changes_no_pin),
        CASE(a_card_of_before_whose_batch_is_over_proves_nothing),
        CASE(a_batch_that_is_good_is_not_over),
        CASE(power_lost_at_the_write_leaves_the_date_before),
        CASE(a_card_from_before_has_no_day),
        CASE(a_terminal_sees_that_the_batch_is_over_a_day_later),
        CASE(a_terminal_takes_the_cards_own_word),
        CASE(what_is_no_card_of_ours_is_the_brokers_to_name),
        CASE(the_brokers_time_counts_where_the_own_clock_is_far_off),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
