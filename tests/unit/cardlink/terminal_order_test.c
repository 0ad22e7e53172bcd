/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a card's ATR says changes the order in which applications are looked for, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "cardlink/terminal/order.h"

static const cb_profile_order all = {
    4, {&cb_profile_native, &cb_profile_piv, &cb_profile_jpki, &cb_profile_scp03}};

static cb_atr_hints hints;

static int forget_hints(void **state)
{
    (void)state;
    hints.count = 0;
    return 0;
}

/* mask NULL: the whole ATR. */
static void hint(const char *atr, const char *mask, const cb_card_profile *profile)
{
    cb_atr_hint *own = &hints.hint[hints.count++];
    assert_int_equal(cb_atr_hint_read(atr, own), CB_OK);
    if (mask)
        assert_int_equal(cb_atr_hint_mask(mask, own), CB_OK);
    own->profile = profile;
}

static void expect(const cb_profile_order *order, const char *atr, const char *names)
{
    char said[64] = "";
    cb_profile_order out;
    cb_buf bytes = CB_BUF(CB_ATR_MAX);
    assert_int_equal(cb_unhex(cb_bytes_str(atr), &bytes), CB_OK);
    cb_profile_order_for(order, &hints, cb_buf_bytes(&bytes), &out);
    assert_int_equal(out.count, order->count);
    for (size_t i = 0; i < out.count; i++) {
        strcat(said, i ? " " : "");
        strcat(said, out.profile[i]->name);
    }
    assert_string_equal(said, names);
    cb_buf_free(&bytes);
}

static void an_unknown_card_is_tried_as_configured(void **state)
{
    (void)state;
    expect(&all, "", "native piv jpki scp03");
    expect(&all, "3b80800101", "native piv jpki scp03");
    hint("3b80800102", NULL, &cb_profile_piv);
    expect(&all, "3b80800101", "native piv jpki scp03");
    expect(&all, "", "native piv jpki scp03");
}

static void a_card_that_fits_is_tried_with_that_profile_first_and_then_with_the_others(void **state)
{
    (void)state;
    hint("3B80800101", NULL, &cb_profile_scp03);
    hint("3b8f80", NULL, &cb_profile_native);
    expect(&all, "3b80800101", "scp03 native piv jpki");
    expect(&all, "3b8f80", "native piv jpki scp03");
}

static void only_bits_of_the_mask_count(void **state)
{
    (void)state;
    hint("3b80ffffa1", "ffff0000f0", &cb_profile_piv);
    expect(&all, "3b800000a0", "piv native jpki scp03");
    expect(&all, "3b801234af", "piv native jpki scp03");
    expect(&all, "3b801234bf", "native piv jpki scp03");
    expect(&all, "3b811234af", "native piv jpki scp03");
}

static void an_atr_of_another_length_does_not_fit(void **state)
{
    (void)state;
    hint("3b8080", "ff0000", &cb_profile_piv);
    expect(&all, "3b80", "native piv jpki scp03");
    expect(&all, "3b808000", "native piv jpki scp03");
    expect(&all, "3b8080", "piv native jpki scp03");
}

static void of_several_that_fit_the_first_counts(void **state)
{
    (void)state;
    hint("3b8080", "ffff00", &cb_profile_scp03);
    hint("3b8080", NULL, &cb_profile_piv);
    expect(&all, "3b8080", "scp03 native piv jpki");
}

static void no_profile_is_added(void **state)
{
    (void)state;
    static const cb_profile_order own = {1, {&cb_profile_native}};
    hint("3b8080", NULL, &cb_profile_piv);
    expect(&own, "3b8080", "native");
}

static void the_individual_number_card_is_known(void **state)
{
    static const cb_profile_order without = {2, {&cb_profile_native, &cb_profile_piv}};
    (void)state;
    expect(&all, "3be000ff8131fe4514", "jpki native piv scp03");
    expect(&all, "3be000ff8131fe4515", "native piv jpki scp03");
    expect(&without, "3be000ff8131fe4514", "native piv");
    hint("3be000ff8131fe4514", NULL, &cb_profile_native);
    expect(&all, "3be000ff8131fe4514", "native piv jpki scp03");
}

static void what_is_no_atr_or_mask_is_refused(void **state)
{
    static const char *const bad[] = {"",         "3b",     "3b8",    "3b80 80",
                                      "3b:80:80", "0x3b80", "3b80zz", "3b8080\n"};
    cb_atr_hint own;
    char longest[2 * (CB_ATR_MAX + 1) + 1];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cb_atr_hint_read(bad[i], &own), CB_E_FORMAT);
    memset(longest, '3', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(cb_atr_hint_read(longest, &own), CB_E_FORMAT);
    longest[sizeof longest - 3] = 0;
    assert_int_equal(cb_atr_hint_read(longest, &own), CB_OK);
    assert_int_equal(cb_atr_hint_read("3b8080", &own), CB_OK);
    assert_int_equal(cb_atr_hint_mask("ffff", &own), CB_E_FORMAT);
    assert_int_equal(cb_atr_hint_mask("ffffffff", &own), CB_E_FORMAT);
    assert_int_equal(cb_atr_hint_mask("000000", &own), CB_E_FORMAT);
    assert_int_equal(cb_atr_hint_mask("fffffg", &own), CB_E_FORMAT);
    assert_int_equal(cb_atr_hint_mask("000001", &own), CB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_unknown_card_is_tried_as_configured, forget_hints),
        cmocka_unit_test_setup(
            a_card_that_fits_is_tried_with_that_profile_first_and_then_with_the_others,
            forget_hints),
        cmocka_unit_test_setup(only_bits_of_the_mask_count, forget_hints),
        cmocka_unit_test_setup(an_atr_of_another_length_does_not_fit, forget_hints),
        cmocka_unit_test_setup(of_several_that_fit_the_first_counts, forget_hints),
        cmocka_unit_test_setup(no_profile_is_added, forget_hints),
        cmocka_unit_test_setup(the_individual_number_card_is_known, forget_hints),
        cmocka_unit_test_setup(what_is_no_atr_or_mask_is_refused, forget_hints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
