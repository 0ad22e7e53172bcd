/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Passwords in hsmd: how one is set, what is believed of it, and how often it may be guessed; and
 * what a front end that was taken over, or somebody who writes the database, can make of it.
 */
#include "password_steps.h"

#include <stdio.h>
#include <unistd.h>

/* ---- What is believed ---- */

static void a_password_reaches_its_level_and_no_other(void **state)
{
    uint8_t level = 0;
    cb_binding_info info;
    cb_buf binding = CB_BUF(CB_BINDING_MAX), forged = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("hana", RIGHT, &hana, 1, NULL, &binding));
    good(log_in("hana", RIGHT, &binding, &level));
    assert_int_equal(level, CB_LEVEL_PASSWORD);
    expect(CB_E_PASSWORD_WRONG, log_in("hana", OTHER, &binding, NULL));
    good(cb_binding_info_read(cb_buf_bytes(&binding), &info));
    assert_int_equal(info.level, CB_LEVEL_PASSWORD);
    assert_true(cb_id_same(&info.holder, &hana));
    for (unsigned other = 0; other <= UINT8_MAX; other++) {
        info.level = (uint8_t)other;
        cb_buf_reset(&forged);
        /* Even under a right MAC it would be none. */
        good(fake_vault.binding_make(NULL, &info, &forged));
        use_lane.taps->passwords = (cb_brake){0};
        if (other != CB_LEVEL_PASSWORD)
            expect(CB_E_HSM_RECORD, guess("hana", &forged));
    }
    cb_buf_free(&binding);
    cb_buf_free(&forged);
}

static void no_card_is_bound_to_the_level_of_passwords(void **state)
{
    (void)state;
    cb_binding_info info = {
        .card = {{1}}, .holder = hana, .profile = CB_PROFILE_SCP03, .sequence = 1};
    for (unsigned level = 0; level <= UINT8_MAX; level++) {
        cb_buf made = CB_BUF(CB_BINDING_MAX);
        cb_binding_info read;
        info.level = (uint8_t)level;
        good(fake_vault.binding_make(NULL, &info, &made));
        bool card = level >= CB_LEVEL_POSSESSION && level <= CB_LEVEL_TERMINAL_PIN;
        assert_int_equal(cb_binding_info_read(cb_buf_bytes(&made), &read) == CB_OK, card);
        cb_buf_free(&made);
    }
}

static void keys_of_a_higher_level_stay_closed(void **state)
{
    tap t;
    cb_intent_place place = {.time = cb_clock_wall_us()};
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("keys", RIGHT, &hana, 1, NULL, &binding));
    for (uint8_t level = CB_LEVEL_POSSESSION; level <= CB_LEVEL_PASSWORD; level++) {
        cb_sealed_info key = {.key = {{9}},
                              .holder = hana,
                              .service = "library",
                              .algorithm = CB_KEY_EC_P256,
                              .level = level,
                              .uses = 1,
                              .generation = 1,
                              .sequence = 1};
        cb_buf sealed = CB_BUF(CB_SEALED_MAX);
        good(fake_make_sealed(&key, &sealed));
        claim(&t, "keys", RIGHT);
        good(activate(&t, &binding));
        expect(level == CB_LEVEL_PASSWORD ? CB_E_HSM_INTENT : CB_E_TAP_LEVEL,
               cb_tap_open_key(use_lane.taps, t.tap, cb_buf_bytes(&sealed), &place));
        cb_taps_end(use_lane.taps, t.tap);
        cb_buf_free(&sealed);
    }
    cb_buf_free(&binding);
}

static void nobody_is_told_from_somebody(void **state)
{
    uint8_t salt[3][CB_PASSWORD_SALT];
    cb_id id[2] = {cb_password_id("nobody-here"), cb_password_id("hana")};
    (void)state;
    good(use_lane.host->profile.salt(NULL, &id[0], salt[0]));
    good(use_lane.host->profile.salt(NULL, &id[0], salt[1]));
    good(use_lane.host->profile.salt(NULL, &id[1], salt[2]));
    assert_memory_equal(salt[0], salt[1], sizeof salt[0]);
    assert_memory_not_equal(salt[0], salt[2], sizeof salt[0]);
    for (unsigned i = 0; i < 2 * CB_GUESSES_FREE; i++)
        expect(CB_E_PASSWORD_WRONG, guess("nobody-here", NULL));
}

static void a_binding_of_another_is_of_no_use(void **state)
{
    cb_buf mine = CB_BUF(CB_BINDING_MAX), his = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("mine", RIGHT, &hana, 1, NULL, &mine));
    good(bind("his", OTHER, &taro, 1, NULL, &his));
    expect(CB_E_HSM_RECORD, log_in("his", RIGHT, &mine, NULL));
    expect(CB_E_PASSWORD_WRONG, log_in("his", RIGHT, &his, NULL));
    his.data[20] ^= 1;
    expect(CB_E_HSM_RECORD, log_in("his", OTHER, &his, NULL));
    cb_buf_free(&mine);
    cb_buf_free(&his);
}

/* A proof is of one tap. */
static void a_proof_is_used_once(void **state)
{
    tap first, second;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("once", RIGHT, &hana, 1, NULL, &binding));
    claim(&first, "once", RIGHT);
    claim(&second, "once", OTHER);
    memcpy(second.tap->claim.shown, first.tap->claim.shown, CB_P256_POINT);
    memcpy(second.tap->claim.signature.bytes, first.tap->claim.signature.bytes, CB_P256_SIGNATURE);
    expect(CB_E_PASSWORD_WRONG, activate(&second, &binding));
    good(activate(&first, &binding));
    cb_taps_end(use_lane.taps, first.tap);
    cb_taps_end(use_lane.taps, second.tap);
    cb_buf_free(&binding);
}

/* ---- Setting ---- */

static void a_new_password_ends_the_old_for_good(void **state)
{
    cb_buf old = CB_BUF(CB_BINDING_MAX), now = CB_BUF(CB_BINDING_MAX),
           back = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("renewed", OTHER, &hana, 1, NULL, &old));
    expect(CB_E_ARGUMENT, bind("renewed", RIGHT, &hana, 1, &old, &now)); /* no higher sequence */
    expect(CB_E_ARGUMENT, bind("renewed", RIGHT, &taro, 2, &old, &now)); /* no other holder */
    good(bind("renewed", RIGHT, &hana, 2, &old, &now));
    good(bind("renewed", RIGHT, &hana, 3, &old, &now)); /* nobody was told of the first */
    retire(&old);
    expect(CB_E_HSM_RECORD, log_in("renewed", OTHER, &old, NULL));
    good(log_in("renewed", RIGHT, &now, NULL));
    expect(CB_E_HSM_KEY_RETIRED, bind("renewed", OTHER, &hana, 4, &now, &back));
    cb_buf_free(&old);
    cb_buf_free(&now);
    cb_buf_free(&back);
}

static void a_name_is_of_one_holder(void **state)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX), other = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("taken", RIGHT, &hana, 1, NULL, &binding));
    good(bind("taken", RIGHT, &hana, 1, NULL, &other));
    expect(CB_E_CARD_BOUND, bind("taken", RIGHT, &taro, 1, NULL, &other));
    expect(CB_E_CARD_BOUND, bind("taken", OTHER, &taro, 2, NULL, &other));
    expect(CB_E_ARGUMENT, bind("taken", OTHER, &taro, 2, &binding, &other));
    good(log_in("taken", RIGHT, &binding, NULL));
    cb_buf_free(&binding);
    cb_buf_free(&other);
}

/* Somebody was broken off after hsmd had bound it, and does not know the password any more. */
static void what_was_broken_off_is_gone_on_with_by_any_password(void **state)
{
    cb_buf lost = CB_BUF(CB_BINDING_MAX), binding = CB_BUF(CB_BINDING_MAX);
    cb_buf reset = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("broken", OTHER, &hana, 1, NULL, &lost));
    good(bind("broken", RIGHT, &hana, 1, NULL, &binding));
    good(log_in("broken", RIGHT, &binding, NULL));
    expect(CB_E_HSM_RECORD, log_in("broken", OTHER, &lost, NULL));
    good(bind("broken", OTHER, &hana, 2, &binding, &lost));
    good(bind("broken", "a third one, and the last", &hana, 2, &binding, &reset));
    good(log_in("broken", "a third one, and the last", &reset, NULL));
    expect(CB_E_HSM_RECORD, log_in("broken", OTHER, &lost, NULL));
    expect(CB_E_HSM_RECORD, log_in("broken", RIGHT, &binding, NULL));
    expect(CB_E_CARD_BOUND, bind("broken", RIGHT, &taro, 3, NULL, &lost));
    cb_buf_free(&lost);
    cb_buf_free(&binding);
    cb_buf_free(&reset);
}

/* As hsmd remembered it before, with the password. */
static void a_name_from_an_earlier_version_goes_on(void **state)
{
    cb_binding_info info;
    cb_buf binding = CB_BUF(CB_BINDING_MAX), next = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("earlier", RIGHT, &hana, 1, NULL, &binding));
    good(cb_binding_info_read(cb_buf_bytes(&binding), &info));
    cb_digest then = cb_binding_digest(&info);
    good(cb_memo_put(manage_lane.bound, &info.card, &then));
    good(bind("earlier", RIGHT, &hana, 1, NULL, &next));
    expect(CB_E_CARD_BOUND, bind("earlier", OTHER, &hana, 1, NULL, &next));
    good(bind("earlier", OTHER, &hana, 2, &binding, &next));
    good(log_in("earlier", OTHER, &next, NULL));
    cb_buf_free(&binding);
    cb_buf_free(&next);
}

static void what_is_no_point_or_no_binding_is_refused(void **state)
{
    uint8_t point[CB_P256_POINT] = {4};
    uint8_t scalar[CB_P256_SCALAR], right[CB_P256_POINT];
    cb_id id = cb_password_id("points"), none = {{0}};
    cb_buf binding = CB_BUF(CB_BINDING_MAX), card = CB_BUF(CB_BINDING_MAX);
    (void)state;
    expect(CB_E_ARGUMENT, bind_point(&id, point, &hana, 1, NULL, &binding));
    good(cb_p256_generate(scalar, right));
    expect(CB_E_ARGUMENT, bind_point(&none, right, &hana, 1, NULL, &binding));
    expect(CB_E_ARGUMENT, bind_point(&id, right, &none, 1, NULL, &binding));
    cb_binding_info info = {.card = id,
                            .holder = hana,
                            .profile = CB_PROFILE_SCP03,
                            .level = CB_LEVEL_POSSESSION,
                            .sequence = 1};
    good(fake_vault.binding_make(NULL, &info, &card));
    expect(CB_E_HSM_RECORD, bind_point(&id, right, &hana, 2, &card, &binding));
    cb_buf_free(&binding);
    cb_buf_free(&card);
}

static void a_suspended_password_says_so_to_its_holder_alone(void **state)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_id id = cb_password_id("stopped");
    (void)state;
    good(bind("stopped", RIGHT, &hana, 1, NULL, &binding));
    cb_feed_entry entry = {.number = cb_feed_now(use_lane.feed).number + 1,
                           .kind = CB_FEED_CARD_SUSPENDED,
                           .subject = id,
                           .time = 1};
    good(cb_feed_extend(use_lane.feed, &entry, 1));
    expect(CB_E_PASSWORD_WRONG, log_in("stopped", OTHER, &binding, NULL));
    expect(CB_E_CARD_SUSPENDED, log_in("stopped", RIGHT, &binding, NULL));
    entry = (cb_feed_entry){
        .number = entry.number + 1, .kind = CB_FEED_CARD_REVOKED, .subject = id, .time = 2};
    good(cb_feed_extend(use_lane.feed, &entry, 1));
    expect(CB_E_CARD_REVOKED, log_in("stopped", RIGHT, &binding, NULL));
    expect(CB_E_CARD_REVOKED, bind("stopped", OTHER, &hana, 2, &binding, &binding));
    cb_buf_free(&binding);
}

/* ---- Guesses ---- */

static void guesses_are_counted_across_workers_and_restarts(void **state)
{
    cb_lane other;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("guessed", RIGHT, &hana, 1, NULL, &binding));
    for (unsigned i = 0; i + 1 < CB_GUESSES_FREE; i++)
        expect(CB_E_PASSWORD_WRONG, guess("guessed", &binding));
    good(log_in("guessed", RIGHT, &binding, NULL)); /* and the count begins anew */
    for (unsigned i = 0; i < CB_GUESSES_FREE; i++)
        expect(CB_E_PASSWORD_WRONG, guess("guessed", &binding));
    expect(CB_E_PASSWORD_DELAYED, guess("guessed", &binding));
    expect(CB_E_PASSWORD_DELAYED, log_in("guessed", RIGHT, &binding, NULL));
    fake_lane_free(&use_lane);
    fake_lane(&own, CB_LANE_USE, 6, &other);
    use_lane = other;
    expect(CB_E_PASSWORD_DELAYED, log_in("guessed", RIGHT, &binding, NULL));
    bool kept;
    cb_id id = cb_password_id("guessed");
    good(walk_ask_len(&manage_lane, CB_HSM_PASSWORD_FORGIVE, cb_id_bytes(&id), NULL, &kept));
    good(log_in("guessed", RIGHT, &binding, NULL));
    cb_buf_free(&binding);
}

/* What else stands in that file, at places that anybody can work out. */
static void a_name_is_nobody_elses_place_in_the_memory(void **state)
{
    bool kept;
    cb_digest before, after;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    static const char *const domain[] = {
        "cardbroker retired generation 2", "cardbroker password guesses 1",
        "cardbroker password change 1",    "cardbroker pin reset permission 1",
        "cardbroker registration grant 1", "cardbroker registration use 1"};
    const cb_id name = cb_password_id("placed");
    (void)state;
    good(cb_p256_generate(scalar, point));
    for (size_t i = 0; i < sizeof domain / sizeof *domain; i++) {
        const uint8_t authority = own_world.host.key_id;
        const cb_bytes parts[] = {cb_bytes_make(domain[i], strlen(domain[i]) + 1),
                                  i == 0 ? cb_bytes_make(&authority, 1) : cb_id_bytes(&name)};
        cb_digest digest = cb_sha256_parts(parts, 2);
        cb_id place;
        memcpy(place.bytes, digest.bytes, CB_ID_SIZE);
        memset(&before, 3, sizeof before);
        good(cb_memo_put(manage_lane.guesses, &place, &before));
        good(walk_ask_len(&manage_lane, CB_HSM_PASSWORD_FORGIVE, cb_id_bytes(&place), NULL, &kept));
        good(bind_point(&place, point, &hana, 1, NULL, &binding));
        good(walk_ask_len(&manage_lane, CB_HSM_PASSWORD_FORGIVE, cb_id_bytes(&place), NULL, &kept));
        good(cb_memo_get(manage_lane.guesses, &place, &after));
        assert_memory_equal(&before, &after, sizeof before);
    }
    cb_buf_free(&binding);
}

static void forgiving_what_nobody_counted_fills_no_disk(void **state)
{
    bool kept;
    cb_digest value;
    cb_id nobody = cb_password_id("nobody at all");
    (void)state;
    good(walk_ask_len(&manage_lane, CB_HSM_PASSWORD_FORGIVE, cb_id_bytes(&nobody), NULL, &kept));
    expect(CB_E_NOT_FOUND, cb_memo_get(manage_lane.guesses, &nobody, &value));
    static const char domain[] = "cardbroker password guesses 1";
    cb_digest digest = cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(domain), cb_id_bytes(&nobody)}, 2);
    memcpy(nobody.bytes, digest.bytes, CB_ID_SIZE);
    expect(CB_E_NOT_FOUND, cb_memo_get(manage_lane.guesses, &nobody, &value));
}

static void a_new_password_is_not_made_to_wait(void **state)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("fresh", OTHER, &hana, 1, NULL, &binding));
    for (unsigned i = 0; i < CB_GUESSES_FREE; i++)
        expect(CB_E_PASSWORD_WRONG, guess("fresh", &binding));
    expect(CB_E_PASSWORD_DELAYED, guess("fresh", &binding));
    good(bind("fresh", RIGHT, &hana, 2, &binding, &binding));
    good(log_in("fresh", RIGHT, &binding, NULL));
    cb_buf_free(&binding);
}

static void without_its_file_no_password_is_believed(void **state)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("lost", RIGHT, &hana, 1, NULL, &binding));
    use_lane.taps->setup.guesses = NULL;
    expect(CB_E_IO, log_in("lost", RIGHT, &binding, NULL));
    use_lane.taps->setup.guesses = use_lane.guesses;
    cb_buf_free(&binding);
}

static void a_worker_looks_at_no_more_than_it_can(void **state)
{
    unsigned held = 0;
    (void)state;
    for (unsigned i = 0; i < 400 && !held; i++)
        held = guess("flood", NULL) == CB_E_BUSY;
    assert_true(held);
    use_lane.taps->passwords = (cb_brake){0};
}

/* ---- The delays ---- */

static void delays_grow_to_a_day_and_end_with_the_hundredth(void **state)
{
    int64_t before = 0, sum = 0;
    (void)state;
    for (uint32_t wrong = 0; wrong < CB_GUESSES_MOST; wrong++) {
        int64_t delay = cb_guesses_delay(wrong);
        assert_true(delay >= before && delay <= INT64_C(86400) * CB_SECOND);
        assert_int_equal(delay == 0, wrong < CB_GUESSES_FREE);
        sum += before = delay;
    }
    assert_int_equal(cb_guesses_delay(CB_GUESSES_FREE), 10 * CB_SECOND);
    assert_int_equal(cb_guesses_delay(CB_GUESSES_MOST), -1);
    assert_int_equal(cb_guesses_delay(UINT32_MAX), -1);
    assert_true(sum > INT64_C(80) * 86400 * CB_SECOND);
}

static void who_comes_too_early_lengthens_nothing(void **state)
{
    char path[96];
    cb_memo *memo;
    bool allowed;
    const cb_id id = {{1}}, subject = {{2}};
    int64_t now = INT64_C(1000000) * CB_SECOND;
    (void)state;
    snprintf(path, sizeof path, "%s/early", own.folder);
    good(cb_durable_make(path));
    good(cb_memo_open(path, &memo));
    for (unsigned i = 0; i < CB_GUESSES_FREE; i++) {
        good(cb_guesses_take(memo, &id, &subject, now, &allowed));
        assert_true(allowed);
    }
    for (int i = 0; i < 10; i++) {
        good(cb_guesses_take(memo, &id, &subject, now + i * CB_SECOND, &allowed));
        assert_false(allowed);
    }
    good(cb_guesses_take(memo, &id, &subject, now + 10 * CB_SECOND, &allowed));
    assert_true(allowed);
    /* The clock was put back: no longer than the delay from now on. */
    good(cb_guesses_take(memo, &id, &subject, now - 5000 * CB_SECOND, &allowed));
    assert_false(allowed);
    good(cb_guesses_take(memo, &id, &subject, now - 4980 * CB_SECOND, &allowed));
    assert_true(allowed);
    good(cb_guesses_right(memo, &id, &subject));
    for (unsigned i = 0; i < CB_GUESSES_MOST; i++) {
        now += 2 * INT64_C(86400) * CB_SECOND;
        good(cb_guesses_take(memo, &id, &subject, now, &allowed));
        assert_true(allowed);
    }
    good(cb_guesses_take(memo, &id, &subject, now + 1000 * INT64_C(86400) * CB_SECOND, &allowed));
    assert_false(allowed);
    good(cb_guesses_forgive(memo, &id));
    good(cb_guesses_take(memo, &id, &subject, now, &allowed));
    assert_true(allowed);
    /* A crash while a password was made, and the same again. */
    const cb_id next = {{3}};
    good(cb_guesses_begin(memo, &id, &next));
    expect(CB_E_HSM_RECORD, cb_guesses_take(memo, &id, &subject, now, &allowed));
    assert_false(allowed);
    good(cb_guesses_right(memo, &id, &subject));
    for (unsigned i = 0; i < CB_GUESSES_FREE; i++) {
        good(cb_guesses_take(memo, &id, &next, now, &allowed));
        assert_true(allowed);
    }
    good(cb_guesses_begin(memo, &id, &next));
    good(cb_guesses_take(memo, &id, &next, now, &allowed));
    assert_false(allowed);
    cb_memo_close(&memo);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_reaches_its_level_and_no_other),
        cmocka_unit_test(no_card_is_bound_to_the_level_of_passwords),
        cmocka_unit_test(keys_of_a_higher_level_stay_closed),
        cmocka_unit_test(nobody_is_told_from_somebody),
        cmocka_unit_test(a_binding_of_another_is_of_no_use),
        cmocka_unit_test(a_proof_is_used_once),
        cmocka_unit_test(a_new_password_ends_the_old_for_good),
        cmocka_unit_test(a_name_is_of_one_holder),
        cmocka_unit_test(what_was_broken_off_is_gone_on_with_by_any_password),
        cmocka_unit_test(a_name_from_an_earlier_version_goes_on),
        cmocka_unit_test(what_is_no_point_or_no_binding_is_refused),
        cmocka_unit_test(a_suspended_password_says_so_to_its_holder_alone),
        cmocka_unit_test(guesses_are_counted_across_workers_and_restarts),
        cmocka_unit_test(a_name_is_nobody_elses_place_in_the_memory),
        cmocka_unit_test(forgiving_what_nobody_counted_fills_no_disk),
        cmocka_unit_test(a_new_password_is_not_made_to_wait),
        cmocka_unit_test(without_its_file_no_password_is_believed),
        cmocka_unit_test(a_worker_looks_at_no_more_than_it_can),
        cmocka_unit_test(delays_grow_to_a_day_and_end_with_the_hundredth),
        cmocka_unit_test(who_comes_too_early_lengthens_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
