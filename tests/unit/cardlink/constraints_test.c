/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Name constraints: what cannot be compared counts against the certificate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/tlv.h"
#include "cardlink/x509/constraints.h"

enum {
    UTF8 = 0x0C,
    PRINTABLE = 0x13,
    T61 = 0x14,
    IA5 = 0x16,
    UNIVERSAL = 0x1C,
    BMP = 0x1E,
    SEQUENCE = 0x30,
    SET = 0x31,
    MAIL = 0x81,
    DNS = 0x82,
    DIRECTORY = 0xA4,
    URI = 0x86
};

static const uint8_t country[] = {0x55, 0x04, 0x06}, organisation[] = {0x55, 0x04, 0x0A},
                     unit[] = {0x55, 0x04, 0x0B},
                     address[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x01};
static const cb_bytes C = {country, sizeof country}, O = {organisation, sizeof organisation},
                      OU = {unit, sizeof unit}, E = {address, sizeof address};

/* ---- Making names ---- */

/* Puts what is in a buffer into an object of its own. */
static void wrap(cb_buf *buf, unsigned tag)
{
    cb_buf inner = *buf;
    *buf = CB_BUF(1024);
    cb_tlv_put(buf, tag, cb_buf_bytes(&inner));
    cb_buf_free(&inner);
    assert_int_equal(cb_buf_error(buf), CB_OK);
}

static void put_attribute(cb_buf *part, cb_bytes type, unsigned tag, cb_bytes value)
{
    cb_buf one = CB_BUF(1024);
    cb_tlv_put(&one, 0x06, type);
    cb_tlv_put(&one, tag, value);
    cb_tlv_put(part, SEQUENCE, cb_buf_bytes(&one));
    cb_buf_free(&one);
}

/* C=JP and then the attributes of one part (no tag: none). */
typedef struct attribute {
    cb_bytes type;
    unsigned tag;
    cb_bytes value;
} attribute;

static cb_buf name_of(const attribute *attributes, size_t count)
{
    cb_buf name = CB_BUF(1024), part = CB_BUF(1024);
    put_attribute(&part, C, PRINTABLE, cb_bytes_str("JP"));
    cb_tlv_put(&name, SET, cb_buf_bytes(&part));
    cb_buf_reset(&part);
    for (size_t i = 0; i < count; i++)
        put_attribute(&part, attributes[i].type, attributes[i].tag, attributes[i].value);
    if (count > 0)
        cb_tlv_put(&name, SET, cb_buf_bytes(&part));
    wrap(&name, SEQUENCE);
    cb_buf_free(&part);
    return name;
}

/* ---- Asking ---- */

/* A card with this subject, and this other name (no kind: none), beneath a CA that permits or
 * excludes one. */
static cb_error ask(bool excluded, unsigned kind, cb_bytes constraint, cb_bytes subject,
                    unsigned other, cb_bytes name)
{
    cb_x509_path path = {.count = 2};
    cb_x509 *card = &path.certificates[0], *ca = &path.certificates[1];
    *card = (cb_x509){.subject = subject, .issuer = cb_bytes_str("ca")};
    *ca = (cb_x509){.subject = cb_bytes_str("ca"), .issuer = cb_bytes_str("root")};
    cb_buf trees = CB_BUF(1024), names = CB_BUF(1024);
    cb_tlv_put(&trees, kind, constraint);
    wrap(&trees, SEQUENCE);
    wrap(&trees, excluded ? 0xA1 : 0xA0);
    wrap(&trees, SEQUENCE);
    if (other) {
        cb_tlv_put(&names, other, name);
        wrap(&names, SEQUENCE);
    }
    card->alternative_name = cb_buf_bytes(&names);
    ca->name_constraints = cb_buf_bytes(&trees);
    cb_error error = cb_x509_check_constraints(&path);
    cb_buf_free(&trees);
    cb_buf_free(&names);
    return error;
}

/* What the constraint C=JP, one decides about the subject C=JP, another. */
static void part(const attribute *one, size_t ones, const attribute *another, size_t others,
                 cb_error permitted, cb_error excluded)
{
    cb_buf constraint = name_of(one, ones), subject = name_of(another, others);
    for (int kind = 0; kind < 2; kind++)
        assert_int_equal(ask(kind, DIRECTORY, cb_buf_bytes(&constraint), cb_buf_bytes(&subject), 0,
                             (cb_bytes){0}),
                         kind ? excluded : permitted);
    cb_buf_free(&constraint);
    cb_buf_free(&subject);
}

#define NO CB_E_CERTIFICATE_PATH
#define TEXT(literal) cb_bytes_make(literal, sizeof literal - 1)

static void a_text_that_cannot_be_compared_is_excluded_and_not_permitted(void **state)
{
    static const struct {
        unsigned tag, other_tag;
        const char *text;
        size_t len;
        const char *other;
        size_t other_len;
        cb_error permitted, excluded;
    } cases[] = {
#define CASE(tag, text, other_tag, other, permitted, excluded)                                     \
    {tag, other_tag, text, sizeof text - 1, other, sizeof other - 1, permitted, excluded}
        CASE(UTF8, "Agency", UTF8, "Agency", CB_OK, NO),
        CASE(UTF8, "Agency", PRINTABLE, " aGENCY ", CB_OK, NO),
        CASE(PRINTABLE, "Agency", IA5, "Agency", CB_OK, NO),
        CASE(UTF8, "Agency", UTF8, "Ministry", NO, CB_OK),
        CASE(PRINTABLE, "Agency", UTF8, "Agenc", NO, CB_OK),
        /* Other kinds of text. */
        CASE(UTF8, "Agency", BMP, "\0A\0g\0e\0n\0c\0y", NO, NO),
        CASE(UTF8, "Agency", T61, "Agency", NO, NO),
        CASE(UTF8, "A", UNIVERSAL, "\0\0\0A", NO, NO),
        CASE(BMP, "\0A\0g", UTF8, "Ag", NO, NO),
        CASE(BMP, "\0A\0g", BMP, "\0a\0g", NO, NO),
        CASE(BMP, "\0A\0g", BMP, "\0A\0g", CB_OK, NO),
        /* Letters beyond ASCII: these two are one word in another case. */
        CASE(UTF8, "\xC3\x84mter", UTF8, "\xC3\xA4mter", NO, NO),
        CASE(UTF8, "\xC3\x84mter", UTF8, "\xC3\x84MTER", CB_OK, NO),
        CASE(UTF8, "Agency", UTF8, "Age\xC2\xADncy", NO, NO), /* a hyphen that is not seen */
        CASE(UTF8, "Our agency", UTF8, "Our\tagency", NO, NO),
        CASE(UTF8, "Agency", UTF8, "Agency\0", NO, NO),
#undef CASE
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%zu\n", i);
        attribute one = {O, cases[i].tag, cb_bytes_make(cases[i].text, cases[i].len)};
        attribute other = {O, cases[i].other_tag,
                           cb_bytes_make(cases[i].other, cases[i].other_len)};
        part(&one, 1, &other, 1, cases[i].permitted, cases[i].excluded);
    }
    attribute one = {O, UTF8, cb_bytes_str("Agency")}, other = {OU, BMP, cb_bytes_str("Ag")};
    part(&one, 1, &other, 1, NO, CB_OK); /* of another meaning */
    part(&one, 1, NULL, 0, NO, CB_OK);
    part(NULL, 0, &other, 1, CB_OK, NO);
}

static void the_order_in_a_part_lets_no_name_out(void **state)
{
    (void)state;
    const attribute ab[] = {{O, UTF8, cb_bytes_str("Agency")}, {OU, UTF8, cb_bytes_str("Cards")}};
    const attribute ba[] = {ab[1], ab[0]};
    const attribute ac[] = {ab[0], {OU, UTF8, cb_bytes_str("Seals")}};
    const attribute bmp[] = {ab[1], {O, BMP, TEXT("\0A\0g\0e\0n\0c\0y")}};
    attribute many[10];
    for (size_t i = 0; i < 10; i++)
        many[i] = ab[0];
    part(ab, 2, ab, 2, CB_OK, NO);
    part(ab, 2, ba, 2, NO, NO);
    part(ab, 2, bmp, 2, NO, NO);
    part(ab, 2, ac, 2, NO, CB_OK);
    part(ab, 2, ab, 1, NO, CB_OK);
    part(ab, 1, ab, 2, NO, CB_OK);
    part(many, 10, many, 10, NO, NO);
}

static void a_name_that_is_broken_is_let_nowhere(void **state)
{
    static const uint8_t broken[] = {SEQUENCE, 4, SET, 9, SEQUENCE, 0};
    (void)state;
    const attribute agency = {O, UTF8, cb_bytes_str("Agency")};
    cb_buf constraint = name_of(&agency, 1), subject = name_of(NULL, 0);
    cb_bytes good = cb_buf_bytes(&constraint), bad = CB_BYTES_OF(broken);
    cb_bytes plain = cb_buf_bytes(&subject);
    for (int excluded = 0; excluded < 2; excluded++) {
        assert_int_equal(ask(excluded, DIRECTORY, good, bad, 0, bad), NO);
        assert_int_equal(ask(excluded, DIRECTORY, bad, plain, 0, bad), NO);
    }
    cb_buf_free(&constraint);
    cb_buf_free(&subject);
}

static void a_host_that_cannot_be_compared_is_excluded_and_not_permitted(void **state)
{
    static const struct {
        unsigned kind;
        const char *constraint, *name;
        cb_error permitted, excluded;
    } cases[] = {
        {DNS, "example.org", "a.EXAMPLE.org", CB_OK, NO},
        {DNS, "example.org", "example.net", NO, CB_OK},
        {DNS, "example.org", "example.org.", NO, NO},
        {DNS, "example.org", "ex\xC3\xA4mple.net", NO, NO},
        {MAIL, "example.org", "a@example.org", CB_OK, NO},
        {MAIL, "example.org", "a@example.net", NO, CB_OK},
        {MAIL, "example.org", "a@example.org.", NO, NO},
        {MAIL, "a@example.org", "\"a\"@example.org", NO, NO},
        {URI, "example.org", "http://a@example.org:80/", CB_OK, NO},
        {URI, "example.org", "http://example.net/", NO, CB_OK},
        {URI, "example.org", "http://ex%61mple.org/", NO, NO},
        {URI, "example.org", "http://[::1]/", NO, NO},
        {URI, "example.org", "http://example.org./", NO, NO},
    };
    (void)state;
    cb_buf subject = name_of(NULL, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        for (int excluded = 0; excluded < 2; excluded++)
            assert_int_equal(ask(excluded, cases[i].kind, cb_bytes_str(cases[i].constraint),
                                 cb_buf_bytes(&subject), cases[i].kind,
                                 cb_bytes_str(cases[i].name)),
                             excluded ? cases[i].excluded : cases[i].permitted);
    }
    cb_buf_free(&subject);
}

static void an_address_in_a_subject_is_one(void **state)
{
    (void)state;
    const attribute plain = {E, IA5, cb_bytes_str("a@example.net")};
    const attribute wide = {E, BMP, TEXT("\0a\0@\0b")};
    const attribute *all[] = {&plain, &wide};
    for (size_t i = 0; i < 2; i++) {
        cb_buf subject = name_of(all[i], 1);
        assert_int_equal(
            ask(true, MAIL, cb_bytes_str("example.org"), cb_buf_bytes(&subject), 0, (cb_bytes){0}),
            i == 0 ? CB_OK : NO);
        cb_buf_free(&subject);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_that_cannot_be_compared_is_excluded_and_not_permitted),
        cmocka_unit_test(the_order_in_a_part_lets_no_name_out),
        cmocka_unit_test(a_name_that_is_broken_is_let_nowhere),
        cmocka_unit_test(a_host_that_cannot_be_compared_is_excluded_and_not_permitted),
        cmocka_unit_test(an_address_in_a_subject_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
