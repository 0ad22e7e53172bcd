/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/brake.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "test.h"
#include "walk.h"

/* So slow that nothing is earned while a test runs. */
static const cb_brake_rate slow = {.each_us = 3600 * CB_SECOND, .burst = 5};

static void a_burst_passes_and_then_nothing(void **state)
{
    cb_brake brake = {0};
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_true(cb_brake_pass(&brake, slow, 1));
    for (int i = 0; i < 3; i++)
        assert_false(cb_brake_pass(&brake, slow, 1));
    assert_int_equal(brake.held, 3);
}

static void an_amount_passes_whole_or_not_at_all(void **state)
{
    cb_brake brake = {0};
    (void)state;
    assert_false(cb_brake_pass(&brake, slow, 6));
    assert_true(cb_brake_pass(&brake, slow, 3));
    assert_false(cb_brake_pass(&brake, slow, 3));
    assert_true(cb_brake_pass(&brake, slow, 2));
    assert_int_equal(brake.held, 9);
    assert_true(cb_brake_pass(&brake, slow, 0));
}

static void what_was_used_is_earned_again(void **state)
{
    cb_brake brake = {0};
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_true(cb_brake_pass(&brake, slow, 1));
    /* As if two hours had gone by. */
    brake.due -= 2 * slow.each_us;
    assert_true(cb_brake_pass(&brake, slow, 1));
    assert_true(cb_brake_pass(&brake, slow, 1));
    assert_false(cb_brake_pass(&brake, slow, 1));
    /* Not more is saved than the burst, however long it was quiet. */
    brake.due -= 1000 * slow.each_us;
    for (int i = 0; i < 5; i++)
        assert_true(cb_brake_pass(&brake, slow, 1));
    assert_false(cb_brake_pass(&brake, slow, 1));
}

/* Standard error goes to a file meanwhile; its lines that hold a word are counted afterwards. */
static int kept_stderr;
static FILE *lines;

static void catch_lines(void)
{
    lines = tmpfile();
    assert_non_null(lines);
    kept_stderr = dup(STDERR_FILENO);
    dup2(fileno(lines), STDERR_FILENO);
}

static unsigned caught(const char *word)
{
    char line[1024];
    unsigned count = 0;
    rewind(lines);
    while (fgets(line, sizeof line, lines))
        count += strstr(line, word) != NULL;
    return count;
}

static void release_lines(void)
{
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    fclose(lines);
}

static void a_flood_of_illegal_requests_does_not_flood_the_log(void **state)
{
    enum { FLOOD = 5000, BURST = 20 };
    bool kept;
    (void)state;
    cb_log_init("brake_test", CB_LOG_INFO);
    int64_t from = cb_clock_monotonic_us();
    catch_lines();
    for (int i = 0; i < FLOOD; i++)
        walk_ask_len(&use, CB_HSM_STATUS, (cb_bytes){0}, NULL, &kept);
    unsigned written = caught("request.illegal");
    uint64_t held = use.complaints[CB_COMPLAINT_REQUEST].held;
    cb_complaints_settle(use.complaints);
    unsigned early = caught("log.held_back");
    /* As if it had been quiet for a while. */
    use.complaints[CB_COMPLAINT_REQUEST].due = 0;
    cb_complaints_settle(use.complaints);
    cb_complaints_settle(use.complaints);
    unsigned settled = caught("log.held_back");
    int64_t seconds = (cb_clock_monotonic_us() - from) / CB_SECOND + 1;
    release_lines();
    assert_true(written >= BURST && written <= BURST + seconds);
    assert_true(held > 0 && held < FLOOD);
    assert_true(early <= seconds);
    assert_int_equal(settled, early + 1);
    assert_int_equal(use.complaints[CB_COMPLAINT_REQUEST].held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_and_then_nothing),
        cmocka_unit_test(an_amount_passes_whole_or_not_at_all),
        cmocka_unit_test(what_was_used_is_earned_again),
        cmocka_unit_test_setup_teardown(a_flood_of_illegal_requests_does_not_flood_the_log,
                                        walk_setup, walk_teardown),
    };
    return cmocka_run_group_tests_name("brake", tests, NULL, NULL);
}
