/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/secret.h"

#include "tests/unit/base/test.h"

static void a_wipe_leaves_zeros(void **state)
{
    (void)state;
    uint8_t secret[5] = {1, 2, 3, 4, 5};
    cb_wipe(secret, 4);
    assert_memory_equal(secret, "\0\0\0\0\5", 5);
    cb_wipe(NULL, 0);
}

static void values_are_equal_only_when_every_byte_is(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    assert_true(cb_equal(CB_BYTES_OF(a), CB_BYTES_OF(b)));
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] = 0x80;
        assert_false(cb_equal(CB_BYTES_OF(a), CB_BYTES_OF(b)));
        b[i] = 0;
    }
    assert_false(cb_equal(cb_bytes_make(a, 31), CB_BYTES_OF(b)));
    assert_true(cb_equal((cb_bytes){0}, (cb_bytes){0}));
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    cb_random(a, sizeof a);
    cb_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wipe_leaves_zeros),
        cmocka_unit_test(values_are_equal_only_when_every_byte_is),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
