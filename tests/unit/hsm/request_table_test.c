/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Every request there is, well formed: at each lane, in each state of a tap, out of time, cut, and
 * changed in one byte.
 */
#include "hsm/request.h"

#include "base/clock.h"
#include "base/config.h"
#include "requests.h"
#include "test.h"

static cb_lane *const lanes[] = {&use, &log_lane, &manage};

static cb_lane *own_lane(const request_row *r)
{
    return r->lanes & USE ? &use : r->lanes & LOG ? &log_lane : &manage;
}

static void is_illegal(cb_lane *lane, uint16_t type, cb_bytes body)
{
    bool kept;
    cb_buf answer = CB_BUF(CB_MSG_BODY_MAX);
    expect(CB_E_HSM_ILLEGAL, walk_ask_len(lane, type, body, &answer, &kept));
    assert_false(kept);
    assert_int_equal(answer.len, 0);
    cb_buf_free(&answer);
}

static void end_all_taps(void)
{
    for (size_t i = 0; i < use.taps->setup.capacity; i++)
        cb_taps_end(use.taps, &use.taps->tap[i]);
}

/* ---- ---- */

static void the_table_is_complete(void **state)
{
    bool seen[CB_HSM_MESSAGES] = {false};
    (void)state;
    for (size_t i = 0; i < requests_count; i++)
        seen[requests[i].type] = true;
    for (unsigned type = 1; type < CB_HSM_MESSAGES; type++)
        assert_true(seen[type]);
}

/* A message that its own lane would have served does nothing at another one. */
static void each_lane_serves_its_own_requests_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < requests_count; i++) {
        walk t;
        request_make(&t, &requests[i]);
        for (unsigned lane = 0; lane < 3; lane++) {
            if (!(requests[i].lanes & lanes[lane]->kind))
                is_illegal(lanes[lane], requests[i].type, cb_buf_bytes(&t.body));
        }
        for (unsigned lane = 0; lane < 3; lane++) {
            if (requests[i].lanes & lanes[lane]->kind)
                good(walk_ask(lanes[lane], requests[i].type, &t.body, NULL));
        }
        walk_free(&t);
        end_all_taps();
    }
}

/* Cut anywhere, or longer, it does nothing; and whole, it is served afterwards. */
static void every_request_is_served_whole_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < requests_count; i++) {
        walk t;
        bool kept;
        request_make(&t, &requests[i]);
        cb_lane *lane = own_lane(&requests[i]);
        for (size_t len = 0; len < t.body.len; len++) {
            cb_bytes cut = cb_bytes_make(t.body.data, len);
            if (!requests[i].open_ended || len == 0)
                is_illegal(lane, requests[i].type, cut);
            else
                assert_int_not_equal(walk_ask_len(lane, requests[i].type, cut, NULL, &kept), CB_OK);
        }
        cb_buf_put_u8(&t.body, 0);
        if (!requests[i].open_ended)
            is_illegal(lane, requests[i].type, cb_buf_bytes(&t.body));
        else
            assert_int_not_equal(walk_ask(lane, requests[i].type, &t.body, NULL), CB_OK);
        t.body.len--;
        good(walk_ask(lane, requests[i].type, &t.body, NULL));
        walk_free(&t);
        end_all_taps();
    }
}

/* The largest body that a packet carries, and one that lies about its lengths in every place. */
static void lengths_that_lie_are_believed_nowhere(void **state)
{
    static uint8_t large[CB_MSG_BODY_MAX];
    static const uint8_t lies[][4] = {
        {0xFF, 0xFF, 0xFF, 0xFF}, {0x7F, 0xFF, 0xFF, 0xFF}, {0, 1, 0, 0}};
    (void)state;
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    request_receipt(&receipt); /* so that the log is not empty: an empty one goes on in any way */
    cb_buf_free(&receipt);
    for (size_t i = 0; i < requests_count; i++) {
        walk t;
        bool kept;
        request_make(&t, &requests[i]);
        cb_lane *lane = own_lane(&requests[i]);
        memset(large, 0, sizeof large);
        if (t.body.len > 0)
            memcpy(large, t.body.data, t.body.len);
        is_illegal(lane, requests[i].type, CB_BYTES_OF(large));
        for (size_t at = 0; at + 4 <= t.body.len && !requests[i].open_ended; at++) {
            for (size_t lie = 0; lie < 3; lie++) {
                memcpy(large, t.body.data, t.body.len);
                memcpy(large + at, lies[lie], 4);
                walk_ask_len(lane, requests[i].type, cb_bytes_make(large, t.body.len), NULL, &kept);
            }
        }
        assert_true(cb_taps_live(use.taps) <= f.config.taps);
        if (requests[i].type == CB_HSM_LOG_SIGN)
            good(walk_ask(lane, requests[i].type, &t.body, NULL));
        walk_free(&t);
        end_all_taps();
    }
}

/* In these, every byte counts: whatever is changed in them, they do not succeed. */
static void no_byte_of_what_opens_a_key_can_be_changed(void **state)
{
    static const uint16_t types[] = {CB_HSM_TAP_ACTIVATE, CB_HSM_TAP_OPEN_KEY};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const request_row *r = &requests[types[i] - 1];
        assert_int_equal(r->type, types[i]);
        size_t longest = 1; /* a proof is as long as the log's size makes it */
        for (size_t at = 0; at < longest; at++) {
            walk t;
            bool kept;
            request_make(&t, r);
            longest = t.body.len > longest ? t.body.len : longest;
            if (at < t.body.len) {
                t.body.data[at] ^= (uint8_t)(1 << at % 8);
                assert_int_not_equal(
                    walk_ask_len(&use, r->type, cb_buf_bytes(&t.body), NULL, &kept), CB_OK);
            }
            walk_free(&t);
            end_all_taps();
        }
    }
}

/* What is not about a tap leaves it as it is, in each of its states; so does what is illegal. */
static void a_tap_goes_on_whatever_else_is_asked(void **state)
{
    (void)state;
    for (unsigned at = CB_TAP_BEGUN; at <= CB_TAP_OPEN; at <<= 1) {
        for (size_t i = 0; i < requests_count; i++) {
            walk t, other;
            const request_row *own = NULL;
            for (size_t j = 0; j < requests_count && !own; j++)
                own = requests[j].state == at ? &requests[j] : NULL;
            /* An entry of the feed, made meanwhile, is for the front end to look up again; and the
             * log moves on. */
            bool moves_on =
                requests[i].type == CB_HSM_FEED_EXTEND || requests[i].type == CB_HSM_RESUME ||
                requests[i].type == CB_HSM_RECEIPT_CHECK || requests[i].type == CB_HSM_REWRAP;
            if (requests[i].state || moves_on)
                continue;
            request_make(&t, own);
            request_make(&other, &requests[i]);
            good(walk_ask(own_lane(&requests[i]), requests[i].type, &other.body, NULL));
            is_illegal(&use, requests[i].type, cb_bytes_make(t.sealed.data, 3));
            good(walk_ask(&use, own->type, &t.body, NULL));
            walk_free(&other);
            walk_free(&t);
            end_all_taps();
        }
    }
}

static void out_of_time_nothing_of_a_tap_is_left_in_any_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < requests_count; i++) {
        walk t;
        cb_tap *tap;
        if (!requests[i].state)
            continue;
        request_make(&t, &requests[i]);
        good(cb_taps_enter(use.taps, &t.context.tap, requests[i].state, &tap));
        tap->begun -=
            requests[i].state == CB_TAP_BEGUN ? f.config.prefetch_us : f.config.lifetime_us;
        for (int again = 0; again < 2; again++)
            expect(CB_E_TAP_EXPIRED, walk_ask(&use, requests[i].type, &t.body, &t.answer));
        assert_int_equal(cb_taps_live(use.taps), 0);
        assert_null(tap->profile_state);
        walk_free(&t);
        end_all_taps();
    }
}

/* ---- Another worker ---- */

static cb_lane other;

static void change_places(void)
{
    cb_lane lane = use;
    use = other;
    other = lane;
}

/* The second worker trusts whom the first one does. */
static int two_workers(void **state)
{
    int failed = requests_setup(state);
    fake_lane(&f, CB_LANE_USE, 1, &other);
    cb_host_release(&other.host);
    other.host = cb_host_hold(use.host);
    return failed;
}

static int two_workers_end(void **state)
{
    fake_lane_free(&other);
    return requests_teardown(state);
}

/* What hsmd keeps, whichever worker wrote it. */
static cb_digest kept_files(void)
{
    const char *const paths[] = {f.config.feed_path, f.config.bound_path, f.config.guesses_path,
                                 f.config.log_path};
    cb_buf all = CB_BUF(1 << 24);
    for (size_t i = 0; i < 4; i++)
        good(cb_file_read(paths[i], &all));
    cb_digest digest = cb_sha256(cb_buf_bytes(&all));
    cb_buf_free(&all);
    return digest;
}

/* Not even with a tap of its own in the same place and the same state; and both go on. */
static void no_request_of_a_tap_does_anything_at_another_worker(void **state)
{
    (void)state;
    for (size_t i = 0; i < requests_count; i++) {
        walk t, its_own;
        cb_tap *tap, *there, before[2];
        const request_row *r = &requests[i];
        if (!r->state)
            continue;
        change_places();
        request_make(&its_own, r);
        change_places();
        request_make(&t, r);
        good(cb_taps_enter(use.taps, &t.context.tap, r->state, &tap));
        good(cb_taps_enter(other.taps, &its_own.context.tap, r->state, &there));
        assert_int_equal(tap - use.taps->tap, there - other.taps->tap);
        before[0] = *tap;
        before[1] = *there;
        cb_digest files = kept_files();
        cb_error unknown = r->state & (CB_TAP_ACTIVE | CB_TAP_OPEN) && r->type != CB_HSM_TAP_END
                               ? CB_E_HSM_ACTIVATION
                               : CB_E_TAP_UNKNOWN;
        expect(unknown, walk_ask(&other, r->type, &t.body, &t.answer));
        assert_int_equal(t.answer.len, 0);
        expect(unknown, walk_ask(&use, r->type, &its_own.body, &t.answer));
        assert_int_equal(t.answer.len, 0);
        assert_memory_equal(&before[0], tap, sizeof *tap);
        assert_memory_equal(&before[1], there, sizeof *there);
        cb_digest after = kept_files();
        assert_memory_equal(&files, &after, sizeof files);
        good(walk_ask(&other, r->type, &its_own.body, NULL));
        good(walk_ask(&use, r->type, &t.body, NULL));
        walk_free(&t);
        walk_free(&its_own);
        for (unsigned worker = 0; worker < 2; worker++) {
            change_places();
            end_all_taps();
        }
    }
}

/* More entries than the rate are not taken, and not forgotten either: they are told so. */
static void a_flood_of_entries_is_braked(void **state)
{
    walk t;
    static const request_row extend = {CB_HSM_FEED_EXTEND, USE, 0, false};
    (void)state;
    request_make(&t, &extend);
    uint64_t before = cb_feed_now(use.feed).number;
    int64_t full = CB_LANE_FEED_RATE.each_us * CB_LANE_FEED_RATE.burst;
    /* As if the clock stood still after as many as may come at once. */
    use.entries.due = cb_clock_monotonic_us() + full + CB_SECOND;
    for (int i = 0; i < 3; i++)
        expect(CB_E_BUSY, walk_ask(&use, CB_HSM_FEED_EXTEND, &t.body, &t.answer));
    assert_int_equal(t.answer.len, 0);
    assert_int_equal(cb_feed_now(use.feed).number, before);
    use.entries = (cb_brake){0};
    good(walk_ask(&use, CB_HSM_FEED_EXTEND, &t.body, NULL));
    assert_int_equal(cb_feed_now(use.feed).number, before + 2);
    walk_free(&t);
}

/* What does not fit is refused, and said: the operator alone can make room. */
static void a_feed_that_is_full_is_refused(void **state)
{
    walk t;
    static const request_row extend = {CB_HSM_FEED_EXTEND, USE, 0, false};
    (void)state;
    request_make(&t, &extend);
    uint64_t before = cb_feed_now(use.feed).number;
    cb_feed_limit(use.feed, (uint32_t)before + 1);
    expect(CB_E_STORE_FULL, walk_ask(&use, CB_HSM_FEED_EXTEND, &t.body, &t.answer));
    assert_int_equal(t.answer.len, 0);
    assert_true(use.complaints[CB_COMPLAINT_FEED].due > 0);
    assert_int_equal(cb_feed_now(use.feed).number, before);
    cb_feed_limit(use.feed, (uint32_t)before + 2);
    good(walk_ask(&use, CB_HSM_FEED_EXTEND, &t.body, NULL));
    walk_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_complete),
        cmocka_unit_test_setup_teardown(each_lane_serves_its_own_requests_only, requests_setup,
                                        requests_teardown),
        cmocka_unit_test_setup_teardown(every_request_is_served_whole_only, requests_setup,
                                        requests_teardown),
        cmocka_unit_test_setup_teardown(lengths_that_lie_are_believed_nowhere, requests_setup,
                                        requests_teardown),
        cmocka_unit_test_setup_teardown(no_byte_of_what_opens_a_key_can_be_changed, requests_setup,
                                        requests_teardown),
        cmocka_unit_test_setup_teardown(a_tap_goes_on_whatever_else_is_asked, requests_setup,
                                        requests_teardown),
        cmocka_unit_test_setup_teardown(out_of_time_nothing_of_a_tap_is_left_in_any_state,
                                        requests_setup, requests_teardown),
        cmocka_unit_test_setup_teardown(no_request_of_a_tap_does_anything_at_another_worker,
                                        two_workers, two_workers_end),
        cmocka_unit_test_setup_teardown(a_flood_of_entries_is_braked, requests_setup,
                                        requests_teardown),
        cmocka_unit_test_setup_teardown(a_feed_that_is_full_is_refused, requests_setup,
                                        requests_teardown),
    };
    return cmocka_run_group_tests_name("request table", tests, NULL, NULL);
}
