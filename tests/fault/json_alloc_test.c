/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * JSON is read and written whole, or not at all, whichever allocation fails. A number behind the
 * text hides from errno what was lost before it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/json_text.h"
#include "tests/support/alloc_faults.h"

static const char text[] =
    "{\"id\":\"01a1fde5-0123-4567-89ab-0123456789ab, and more than fits at first\","
    "\"a name that is long enough to need room of its own\":12345,\"last\":1.5}";

static void it_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    json_t *right = json_loads(text, 0, NULL);
    unsigned refused = 0;
    for (unsigned nth = 1;; nth++) {
        alloc_faults.arm(nth, false);
        json_t *read = cb_json_load(cb_bytes_str(text), JSON_REJECT_DUPLICATES, NULL);
        int reason = errno;
        bool struck = alloc_faults.disarm() >= nth;
        if (read)
            assert_true(json_equal(read, right));
        else
            assert_int_equal(reason, ENOMEM);
        json_decref(read);
        refused += read ? 0 : 1;
        if (!struck)
            break;
    }
    assert_true(refused > 5);
    assert_null(cb_json_load(cb_bytes_str("{\"a\":}"), 0, NULL));
    assert_int_equal(errno, 0);
    json_decref(right);
}

/* A token of every length, so that each of its characters, the last above all, is once the one for
 * which there is no room. */
static void no_length_of_a_token_is_one_too_much(void **state)
{
    static const char *const begin[] = {"[\"", "[", "[\"", "[\"", "[{\"", "[0."};
    static const char *const fill[] = {"x", "1", "\\n", "\u3042", "x", "1"};
    static const char *const end[] = {"\"]", "]", "\"]", "\"]", "\":1}]", "]"};
    (void)state;
    for (unsigned kind = 0; kind < sizeof fill / sizeof *fill; kind++) {
        for (unsigned count = 1; count < (kind == 1 ? 18 : 140); count++) {
            char json[1024];
            strcpy(json, begin[kind]);
            for (unsigned i = 0; i < count; i++)
                strcat(json, fill[kind]);
            strcat(json, end[kind]);
            bool struck = true;
            for (unsigned nth = 1; struck; nth++) {
                alloc_faults.arm(nth, false);
                json_t *read = cb_json_load(cb_bytes_str(json), 0, NULL);
                int reason = errno;
                struck = alloc_faults.disarm() >= nth;
                assert_true(read || reason == ENOMEM);
                json_t *right = json_loads(json, 0, NULL);
                assert_true(!read || json_equal(read, right));
                json_decref(right);
                json_decref(read);
            }
        }
    }
}

static void it_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    json_t *value = json_loads(text, 0, NULL);
    char *right = json_dumps(value, JSON_COMPACT);
    unsigned refused = 0;
    for (unsigned nth = 1;; nth++) {
        alloc_faults.arm(nth, false);
        char *written = cb_json_dumps(value, JSON_COMPACT);
        bool struck = alloc_faults.disarm() >= nth;
        if (written)
            assert_string_equal(written, right);
        refused += written ? 0 : 1;
        free(written);
        if (!struck)
            break;
    }
    assert_true(refused > 0);
    free(right);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_read_whole_or_not_at_all),
        cmocka_unit_test(no_length_of_a_token_is_one_too_much),
        cmocka_unit_test(it_is_written_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
