/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Scripts, APDUs, and what a tap is for.
 */
#include "cardlink/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "cardlink/apdu.h"
#include "cardlink/context.h"
#include "cardlink/profile.h"

static void a_script_is_read_as_it_was_written(void **state)
{
    cb_buf buf = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script script;
    (void)state;
    cb_script_put(&buf, 0, cb_bytes_str("one"));
    cb_script_put(&buf, CB_SCRIPT_GO_ON, cb_bytes_str("three"));
    assert_int_equal(cb_script_read(cb_buf_bytes(&buf), 5, &script), CB_OK);
    assert_int_equal(script.count, 2);
    assert_int_equal(script.item[1].flags, CB_SCRIPT_GO_ON);
    assert_true(cb_bytes_same(script.item[1].apdu, cb_bytes_str("three")));
    assert_int_equal(cb_script_read(cb_buf_bytes(&buf), 4, &script), CB_E_FORMAT);
    assert_int_equal(script.count, 0);
    for (size_t i = 1; i < buf.len; i++)
        assert_int_equal(cb_script_read(cb_bytes_make(buf.data, i), 5, &script), CB_E_FORMAT);
    assert_int_equal(cb_script_read((cb_bytes){0}, 5, &script), CB_OK);
    assert_int_equal(script.count, 0);
    cb_buf_free(&buf);
}

static void a_script_has_a_limit(void **state)
{
    cb_buf buf = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script script;
    (void)state;
    for (int i = 0; i < CB_SCRIPT_COMMANDS_MAX; i++)
        cb_script_put(&buf, 0, (cb_bytes){0});
    assert_int_equal(cb_buf_error(&buf), CB_OK);
    assert_int_equal(cb_script_read(cb_buf_bytes(&buf), 5, &script), CB_OK);
    assert_int_equal(script.count, CB_SCRIPT_COMMANDS_MAX);
    cb_script_put(&buf, 0, (cb_bytes){0});
    assert_int_equal(cb_buf_error(&buf), CB_E_TOO_LARGE);
    buf.data[0] = CB_SCRIPT_COMMANDS_MAX + 1;
    assert_int_equal(cb_script_read(cb_buf_bytes(&buf), 5, &script), CB_E_TOO_LARGE);
    cb_buf_free(&buf);
}

static void an_answer_ends_with_its_status(void **state)
{
    (void)state;
    assert_int_equal(cb_answer_status(cb_bytes_str("ab\x90\x01")), 0x9001);
    assert_true(cb_bytes_same(cb_answer_data(cb_bytes_str("ab\x90\x01")), cb_bytes_str("ab")));
    assert_int_equal(cb_answer_status(cb_bytes_str("a")), 0);
    assert_int_equal(cb_answer_data(cb_bytes_str("a")).len, 0);
}

static void apdus_are_short_and_add_up(void **state)
{
    static const struct {
        const char *hex;
        bool good, le;
        size_t data;
    } rows[] = {{"00a40400", true, false, 0},         {"00a4040000", true, true, 0},
                {"00a4040001aa", true, false, 1},     {"00a4040001aa00", true, true, 1},
                {"00a404", false, false, 0},          {"", false, false, 0},
                {"00a4040002aa", false, false, 0},    {"00a4040001aa0000", false, false, 0},
                {"00a40400000001aa", false, false, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cb_buf bytes = CB_BUF(300), again = CB_BUF(300);
        cb_apdu apdu;
        assert_int_equal(cb_unhex(cb_bytes_str(rows[i].hex), &bytes), CB_OK);
        cb_error error = cb_apdu_read(cb_buf_bytes(&bytes), &apdu);
        assert_int_equal(error, rows[i].good ? CB_OK : CB_E_FORMAT);
        assert_int_equal(apdu.data.len, rows[i].data);
        assert_int_equal(apdu.le, rows[i].le);
        if (!error) {
            cb_apdu_put(&again, &apdu);
            assert_true(cb_bytes_same(cb_buf_bytes(&again), cb_buf_bytes(&bytes)));
        }
        cb_buf_free(&bytes);
        cb_buf_free(&again);
    }
}

static void service_names_are_plain(void **state)
{
    char longest[CB_SERVICE_NAME_MAX + 2];
    (void)state;
    memset(longest, 'a', sizeof longest);
    longest[CB_SERVICE_NAME_MAX] = 0;
    assert_true(cb_service_name_ok("tax"));
    assert_true(cb_service_name_ok("0-a-"));
    assert_true(cb_service_name_ok(longest));
    longest[CB_SERVICE_NAME_MAX] = 'a';
    longest[CB_SERVICE_NAME_MAX + 1] = 0;
    const char *bad[] = {NULL, "", "-tax", "Tax", "t_x", "t/x", "t x", longest};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cb_service_name_ok(bad[i]));
}

static void the_context_depends_on_every_field(void **state)
{
    cb_tap_context all[8] = {{.profile = 1, .purpose = 1, .level = 1, .service = "tax"}};
    (void)state;
    for (size_t i = 1; i < 8; i++)
        all[i] = all[0];
    all[1].tap.bytes[15] = 1;
    all[2].terminal.bytes[0] = 1;
    all[3].profile = 2;
    all[4].purpose = 2;
    all[5].level = 2;
    all[6].service[2] = 'y';
    all[7].text.bytes[31] = 1;
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < i; j++) {
            cb_digest a = cb_tap_context_digest(&all[i]), b = cb_tap_context_digest(&all[j]);
            assert_memory_not_equal(a.bytes, b.bytes, sizeof a.bytes);
        }
    }
    /* What stands behind the end of the name does not count. */
    all[1] = all[0];
    all[1].service[10] = 'x';
    cb_digest a = cb_tap_context_digest(&all[0]), b = cb_tap_context_digest(&all[1]);
    assert_memory_equal(a.bytes, b.bytes, sizeof a.bytes);
}

static void profiles_are_found_by_number(void **state)
{
    (void)state;
    assert_ptr_equal(cb_profile_find(CB_PROFILE_NATIVE), &cb_profile_native);
    assert_null(cb_profile_find(0));
    assert_null(cb_profile_find(255));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_is_read_as_it_was_written),
        cmocka_unit_test(a_script_has_a_limit),
        cmocka_unit_test(an_answer_ends_with_its_status),
        cmocka_unit_test(apdus_are_short_and_add_up),
        cmocka_unit_test(service_names_are_plain),
        cmocka_unit_test(the_context_depends_on_every_field),
        cmocka_unit_test(profiles_are_found_by_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
