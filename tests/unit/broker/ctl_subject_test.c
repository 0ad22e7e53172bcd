/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/text.h"
#include "broker/ctl/subject.h"

static void assert_name(const char *text, const char *hex)
{
    cb_buf der = CB_BUF(CB_SUBJECT_MAX), spelled = CB_BUF(4 * CB_SUBJECT_MAX), why = CB_BUF(512);
    assert_int_equal(cb_subject_parse(text, &der, &why), CB_OK);
    cb_buf_put_hex(&spelled, cb_buf_bytes(&der));
    assert_string_equal(cb_buf_cstr(&spelled), hex);
    cb_buf_free(&der);
    cb_buf_free(&spelled);
    cb_buf_free(&why);
}

static void assert_bad(const char *text)
{
    cb_buf der = CB_BUF(CB_SUBJECT_MAX), why = CB_BUF(512);
    cb_error error = cb_subject_parse(text, &der, &why);
    if (error != CB_E_FORMAT && error != CB_E_TOO_LARGE)
        fail_msg("accepted: %s", text);
    assert_true(why.len > 0);
    assert_int_equal(der.len, 0);
    cb_buf_free(&der);
    cb_buf_free(&why);
}

static void names_stand_in_the_order_of_certificates(void **state)
{
    (void)state;
    /* C, O, CN: what "openssl req -subj /C=JP/O=X/CN=y -utf8" makes */
    assert_name("CN=y,O=X,C=JP",
                "3025310b3009060355040613024a50310a3008060355040a0c0158310a30080603"
                "5504030c0179");
}

static void escapes_are_undone(void **state)
{
    (void)state;
    assert_name("CN=a\\,b", "300e310c300a06035504030c03612c62");
    assert_name("CN=\\E7\\94\\B0", "300e310c300a06035504030c03e794b0");
    assert_name("CN=\\ a\\ ", "300e310c300a06035504030c03206120");
    assert_name("CN=\\#a", "300d310b300906035504030c022361");
    assert_name("CN=\\\"\\+\\;", "300e310c300a06035504030c03222b3b");
}

static void spaces_around_do_not_count(void **state)
{
    (void)state;
    assert_name("  cn =  a b  ", "300e310c300a06035504030c03612062");
    assert_name("CN=a; O=b", "3018310a3008060355040a0c0162310a300806035504030c0161");
}

static void joined_attributes_are_sorted(void **state)
{
    (void)state;
    const char *both = "30163114300806035504030c01613008060355040a0c0162";
    assert_name("CN=a+O=b", both);
    assert_name("O=b+CN=a", both);
}

static void other_types_are_dotted(void **state)
{
    (void)state;
    assert_name("2.5.4.97=x", "300c310a300806035504610c0178");
    assert_name("1.2.840.113549.1.9.2=x", "30123110300e06092a864886f70d0109020c0178");
    assert_name("2.999=x", "300b31093007060288370c0178");
}

static void strings_are_of_the_kind_certificates_want(void **state)
{
    (void)state;
    assert_name("serialNumber=A1", "300d310b3009060355040513024131");
    assert_name("DC=jp", "301431123010060a0992268993f22c64011916026a70");
}

static void malformed_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "CN",
                                      "CN=",
                                      "=x",
                                      "CN=a,",
                                      "CN=a,,O=b",
                                      ",CN=a",
                                      "CN=a+",
                                      "CN=a=b\\",
                                      "CN=a\\",
                                      "CN=a\\g1",
                                      "CN=a\\4",
                                      "CN=\"a\"",
                                      "CN=a<b",
                                      "CN=#0c0161",
                                      "XX=a",
                                      "CN=a\nb",
                                      "CN=a\\0ab",
                                      "CN=a\\00b",
                                      "CN=a\x7f",
                                      "CN=\xff",
                                      "CN=\\FF",
                                      "CN=\xc0\x80",
                                      "CN=\xed\xa0\x80",
                                      "CN=\xf4\x90\x80\x80",
                                      "CN=\xe7\x94",
                                      "CN=\\C2\\9B",
                                      "C=Japan",
                                      "C=J",
                                      "C=\xe7\x94\xb0\xe7\x94\xb0",
                                      "C=J*",
                                      "DC=\xe7\x94\xb0",
                                      "serialNumber=a_b",
                                      "1=a",
                                      "1.=a",
                                      "1..2=a",
                                      "3.1=a",
                                      "1.40=a",
                                      "01.2=a",
                                      "1.02=a",
                                      "1.2.4294967296=a",
                                      "1.2.99999999999=a",
                                      ".1.2=a",
                                      "1.2.=a",
                                      "OID.1.2=a",
                                      "CN=a/O=b,=c",
                                      "\\43N=a",
                                      "CN\\=a=b",
                                      "C N=a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_bad(bad[i]);
}

static void there_are_limits(void **state)
{
    (void)state;
    char text[8192] = "CN=";
    memset(text + 3, 'a', 65);
    assert_bad(text);
    text[3 + 64] = 0;
    cb_buf der = CB_BUF(CB_SUBJECT_MAX);
    assert_int_equal(cb_subject_parse(text, &der, NULL), CB_OK);
    cb_buf_free(&der);
    /* characters, not bytes: 64 times three bytes */
    size_t len = 3;
    for (unsigned i = 0; i < 64; i++, len += 3)
        memcpy(text + len, "\xe7\x94\xb0", 3);
    text[len] = 0;
    der = CB_BUF(CB_SUBJECT_MAX);
    assert_int_equal(cb_subject_parse(text, &der, NULL), CB_OK);
    cb_buf_free(&der);
    /* too many attributes; too many bytes of them; a type without an end */
    len = 0;
    for (unsigned i = 0; i < CB_SUBJECT_ATTRIBUTES + 1; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%sL=a", i ? "," : "");
    assert_bad(text);
    len = 0;
    for (unsigned i = 0; i < 10; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%sL=%0120d", i ? "," : "", 7);
    assert_bad(text);
    memset(text, 'C', 4000);
    text[4000] = 0;
    assert_bad(text);
}

/* Every prefix and every single wrong byte of a good name either parses or is refused with a
 * sentence; the sanitizers watch. */
static void nothing_is_read_beyond_the_text(void **state)
{
    (void)state;
    const char *good = "CN=Tanaka\\, \\E7\\94\\B0+UID=7,O=Ex\\\\ample,2.5.4.97=x,C=JP";
    char text[128];
    for (size_t at = 0; at <= strlen(good); at++)
        for (int c = 0; c < 256; c += 5) {
            cb_buf der = CB_BUF(CB_SUBJECT_MAX), why = CB_BUF(512);
            snprintf(text, sizeof text, "%s", good);
            text[at] = (char)c;
            cb_error error = cb_subject_parse(text, &der, &why);
            assert_true(error == CB_OK ? der.len > 0 : why.len > 0);
            cb_buf_free(&der);
            cb_buf_free(&why);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stand_in_the_order_of_certificates),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(spaces_around_do_not_count),
        cmocka_unit_test(joined_attributes_are_sorted),
        cmocka_unit_test(other_types_are_dotted),
        cmocka_unit_test(strings_are_of_the_kind_certificates_want),
        cmocka_unit_test(malformed_names_are_refused),
        cmocka_unit_test(there_are_limits),
        cmocka_unit_test(nothing_is_read_beyond_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
