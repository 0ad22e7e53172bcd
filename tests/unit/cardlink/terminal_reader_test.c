/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A reader that hangs is given up, and harms nothing when it comes back, or never does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "cardlink/terminal/reader.h"

/* A kind of reader that does as it is told: to answer, or to hang until it is let go. */
static atomic_bool hanging;
static atomic_bool let_go;
static atomic_int open_count;
static cb_error next_error;

static void perhaps_hang(void)
{
    if (!atomic_load(&hanging))
        return;
    while (!atomic_load(&let_go))
        usleep(1000);
}

static cb_error fake_open(const char *place, void **state)
{
    atomic_fetch_add(&open_count, 1);
    *state = strdup(place);
    return *state ? CB_OK : CB_E_MEMORY;
}

static void fake_close(void *state)
{
    free(state);
    atomic_fetch_sub(&open_count, 1);
}

static cb_error fake_list(void *state, cb_reader_list *out)
{
    perhaps_hang();
    out->count = 1;
    strcpy(out->reader[0].name, state);
    return next_error;
}

static cb_error fake_wait(void *state, cb_reader_list *known, bool plug, int64_t deadline)
{
    (void)plug;
    (void)deadline;
    return fake_list(state, known);
}

static cb_error fake_connect(void *state, const char *reader)
{
    return strcmp(state, reader) == 0 ? CB_OK : CB_E_READER_NONE;
}

static cb_error fake_transmit(void *state, cb_bytes command, cb_buf *answer)
{
    (void)state;
    perhaps_hang();
    cb_buf_put(answer, command);
    return next_error;
}

static void fake_disconnect(void *state)
{
    (void)state;
}

static const cb_reader_kind fake_kind = {.name = "fake",
                                         .open = fake_open,
                                         .close = fake_close,
                                         .list = fake_list,
                                         .wait = fake_wait,
                                         .connect = fake_connect,
                                         .transmit = fake_transmit,
                                         .disconnect = fake_disconnect};

static int reset(void **state)
{
    (void)state;
    atomic_store(&hanging, false);
    atomic_store(&let_go, false);
    next_error = CB_OK;
    return 0;
}

static int all_closed(void **state)
{
    (void)state;
    for (int i = 0; i < 2000 && atomic_load(&open_count) > 0; i++)
        usleep(1000);
    return atomic_load(&open_count);
}

static cb_readers *open_fake(int64_t patience)
{
    cb_readers *readers = NULL;
    assert_int_equal(cb_readers_open(&fake_kind, "here", patience, &readers), CB_OK);
    return readers;
}

static void calls_reach_the_reader_and_come_back(void **state)
{
    (void)state;
    cb_readers *readers = open_fake(CB_SECOND);
    cb_reader_list list = {.count = 0};
    cb_buf answer = CB_BUF(16);
    assert_int_equal(cb_readers_list(readers, &list), CB_OK);
    assert_string_equal(list.reader[0].name, "here");
    assert_int_equal(cb_card_take(readers, "elsewhere"), CB_E_READER_NONE);
    assert_int_equal(cb_card_take(readers, "here"), CB_OK);
    assert_int_equal(cb_card_transmit(readers, cb_bytes_str("abcd"), &answer), CB_OK);
    assert_memory_equal(answer.data, "abcd", 4);
    next_error = CB_E_CARD_REMOVED;
    assert_int_equal(cb_card_transmit(readers, cb_bytes_str("ef"), &answer), CB_E_CARD_REMOVED);
    assert_int_equal(answer.len, 4);
    cb_card_release(readers);
    assert_false(cb_readers_hung(readers));
    cb_buf_free(&answer);
    cb_readers_close(&readers);
    assert_null(readers);
}

static void a_reader_that_hangs_is_given_up_in_time(void **state)
{
    (void)state;
    cb_readers *readers = open_fake(50 * CB_MILLISECOND);
    cb_reader_list list;
    cb_buf answer = CB_BUF(16);
    atomic_store(&hanging, true);
    int64_t before = cb_clock_monotonic_us();
    assert_int_equal(cb_card_transmit(readers, cb_bytes_str("abcd"), &answer), CB_E_READER);
    assert_in_range(cb_clock_monotonic_us() - before, 50 * CB_MILLISECOND, 5 * CB_SECOND);
    assert_true(cb_readers_hung(readers));
    assert_int_equal(cb_readers_list(readers, &list), CB_E_READER);
    assert_int_equal(cb_card_transmit(readers, cb_bytes_str("abcd"), &answer), CB_E_READER);
    assert_int_equal(answer.len, 0);
    cb_readers_close(&readers);
    assert_int_equal(atomic_load(&open_count), 1); /* the thread still holds it */
    atomic_store(&let_go, true);
    cb_buf_free(&answer);
}

static void a_reader_that_comes_back_late_changes_nothing(void **state)
{
    (void)state;
    cb_readers *readers = open_fake(50 * CB_MILLISECOND);
    cb_reader_list list = {.count = 7};
    atomic_store(&hanging, true);
    assert_int_equal(cb_readers_wait(readers, &list, true, 0), CB_E_READER);
    atomic_store(&let_go, true);
    usleep(20000);
    assert_int_equal(cb_readers_list(readers, &list), CB_E_READER);
    assert_int_equal(list.count, 7);
    cb_readers_close(&readers);
}

static void a_command_beyond_the_limit_is_not_sent(void **state)
{
    (void)state;
    static const uint8_t command[512];
    cb_readers *readers = open_fake(CB_SECOND);
    cb_buf answer = CB_BUF(1024);
    assert_int_equal(cb_card_transmit(readers, CB_BYTES_OF(command), &answer), CB_E_TOO_LARGE);
    assert_int_equal(answer.len, 0);
    cb_buf_free(&answer);
    cb_readers_close(&readers);
}

static void a_place_names_its_kind(void **state)
{
    (void)state;
    const cb_reader_kind *kind = NULL;
    const char *place = NULL;
    assert_int_equal(cb_reader_kind_find("pcsc", &kind, &place), CB_OK);
    assert_ptr_equal(kind, &cb_reader_pcsc);
    assert_int_equal(cb_reader_kind_find("virtual:/run/card", &kind, &place), CB_OK);
    assert_ptr_equal(kind, &cb_reader_virtual);
    assert_string_equal(place, "/run/card");
    static const char *const bad[] = {"", "pcs", "virtual:", "virtual:card", "PCSC"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cb_reader_kind_find(bad[i], &kind, &place), CB_E_CONFIG);
}

static void a_virtual_card_that_is_not_there_is_an_empty_reader(void **state)
{
    (void)state;
    cb_readers *readers = NULL;
    cb_reader_list list;
    assert_int_equal(cb_readers_open(&cb_reader_virtual, "/nonexistent/card", 0, &readers), CB_OK);
    assert_int_equal(cb_readers_list(readers, &list), CB_OK);
    assert_int_equal(list.count, 1);
    assert_false(list.reader[0].present);
    assert_int_equal(cb_readers_wait(readers, &list, true, cb_deadline_in(10000)), CB_E_TIMEOUT);
    assert_int_equal(cb_card_take(readers, "/nonexistent/card"), CB_E_CARD_ABSENT);
    cb_readers_close(&readers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_reach_the_reader_and_come_back, reset, all_closed),
        cmocka_unit_test_setup_teardown(a_reader_that_hangs_is_given_up_in_time, reset, all_closed),
        cmocka_unit_test_setup_teardown(a_reader_that_comes_back_late_changes_nothing, reset,
                                        all_closed),
        cmocka_unit_test_setup_teardown(a_command_beyond_the_limit_is_not_sent, reset, all_closed),
        cmocka_unit_test(a_place_names_its_kind),
        cmocka_unit_test(a_virtual_card_that_is_not_there_is_an_empty_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
