/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a card that somebody else issued is bound by: its own certificates, those of its issuer, the
 * names in them; and what a terminal reads of it for that.
 */
#include "foreign_steps.h"

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/piv/first.h"
#include "cardlink/terminal/survey.h"

static void a_card_whose_certificates_lead_nowhere_is_not_bound(void **state)
{
    piv_card c;
    reading r;
    cb_binding_info info;
    agency other;
    (void)state;
    agency_make(&other);
    piv_card_make(&c, &other, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    read_card(&c, &r);
    expect(CB_E_CARD_CERTIFICATE, check(&r, &info));
    cb_buf_free(&r.answers);
    piv_card_free(&c);
    agency_free(&other);
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    read_card(&c, &r);
    good(check(&r, &info));
    assert_int_equal(info.keys.count, 2);
    r.card.key[1].use = CB_PIV_KEY_AUTHENTICATION;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card.key[1].use = 0x9C;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card.keys = 0;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card.keys = 1;
    good(check(&r, &info));
    r.card.profile = CB_PROFILE_NATIVE;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card.profile = CB_PROFILE_PIV;
    r.card.answers.len = 0;
    expect(CB_E_CARD_REMOVED, check(&r, &info));
    cb_buf_free(&r.answers);
    piv_card_free(&c);
}

/* Somebody has what distinguishes one card beside the certificates of another, whose keys he has: a
 * revoked card under a new name, or a stranger's name taken. */
static void a_card_is_bound_with_its_own_certificates_only(void **state)
{
    piv_card one, two;
    reading r;
    cb_binding_info info;
    (void)state;
    piv_card_make(&one, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    piv_card_make(&two, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    read_card(&one, &r);
    good(check(&r, &info));
    for (size_t i = 0; i < 2; i++) {
        r.card.key[i].certificate = two.certificate[i];
        expect(CB_E_CARD_ANSWER, check(&r, &info));
        r.card.key[i].certificate = one.certificate[i];
    }
    good(check(&r, &info));
    cb_buf_free(&r.answers);
    piv_card_free(&one);
    piv_card_free(&two);
}

/* What signs without a PIN would otherwise reach what the PIN does. */
static void one_key_is_not_bound_as_two(void **state)
{
    piv_card c;
    reading r;
    cb_binding_info info;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    read_card(&c, &r);
    r.card.key[1].certificate = r.card.key[0].certificate;
    expect(CB_E_ARGUMENT, check(&r, &info));
    cb_buf_free(&r.answers);
    piv_card_free(&c);
}

#define FASC_N "d4e739da739ced39ce739d836858210842108421c84210c3eb"
#define GUID "000102030405460780090a0b0c0d0e0f"
#define URN "75726e3a757569643a" /* urn:uuid: */
#define FASC_N_NAME(x) "a027" "0608" "6086480165030606" "a01b0419" x
#define UUID_NAME "862d" URN "30303031303230332d303430352d343630372d383030392d306130423043304430653046"

static void the_names_in_a_piv_certificate_are_compared(void **state)
{
    static const struct {
        const char *names;
        bool fits;
    } cases[] = {
        {"", true},
        {"3000", true},
        {"3003820161", true}, /* a DNS name is nobody's */
        {"3029" FASC_N_NAME(FASC_N), true},
        {"3029" FASC_N_NAME("d5e739da739ced39ce739d836858210842108421c84210c3eb"), false},
        {"300e" "a00c" "0608" "6086480165030606" "a000", false},
        {"302f" UUID_NAME, true},
        {"3032" "820161" UUID_NAME, true},
        {"302f862d" URN "30313031303230332d303430352d343630372d383030392d306130623063306430653066", false},
        {"300b8609" URN, false},
        {"300b8609" "75726e3a757569644a", true}, /* another URN */
        {"302f" UUID_NAME "00", false},
        {"3001", false},
    };
    static const uint8_t ok[] = {0x90, 0x00};
    cb_script answers;
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX), chuid = CB_BUF(128);
    (void)state;
    good(cb_unhex(cb_bytes_str("532d" "3019" FASC_N "3410" GUID "9000"), &chuid));
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, cb_buf_bytes(&chuid));
    good(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_buf names = CB_BUF(128);
        good(cb_unhex(cb_bytes_str(cases[i].names), &names));
        const cb_x509 certificate = {.alternative_name = cb_buf_bytes(&names)};
        if (cb_profile_piv.fits(&answers, &certificate) != cases[i].fits)
            fail_msg("%s", cases[i].names);
        cb_buf_free(&names);
    }
    cb_buf_free(&encoded);
    cb_buf_free(&chuid);
}

#define FEDERAL "d4e7315a739ced39ce739d836858210842108421c84210c3eb"

/* A FASC-N of the agency 9999 is many cards', and one of an agency 9998 is not. */
static void what_is_one_cards_alone_is_what_its_certificates_say(void **state)
{
    static const struct {
        const char *fasc_n, *names;
        size_t first, second; /* lengths of what there is */
    } cases[] = {
        {FASC_N, "3029" FASC_N_NAME(FASC_N), 0, 0},
        {FASC_N, "302f" UUID_NAME, CB_PIV_GUID, 0},
        {FASC_N, "3058" FASC_N_NAME(FASC_N) UUID_NAME, CB_PIV_GUID, 0},
        {FEDERAL, "3029" FASC_N_NAME(FEDERAL), CB_PIV_FASC_N, 0},
        {FEDERAL, "302f" UUID_NAME, CB_PIV_GUID, 0},
        {FEDERAL, "3058" FASC_N_NAME(FEDERAL) UUID_NAME, CB_PIV_GUID, CB_PIV_FASC_N},
        {FEDERAL, "3058" FASC_N_NAME(FASC_N) UUID_NAME, 0, 0}, /* another's */
        {FEDERAL, "", 0, 0},
        {FEDERAL, NULL, CB_PIV_GUID, 0}, /* the one that is attested */
    };
    static const uint8_t ok[] = {0x90, 0x00};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_script answers;
        cb_bytes found[CB_PROFILE_MARKS_MAX] = {{0}};
        cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX), chuid = CB_BUF(128), names = CB_BUF(128);
        good(cb_unhex(cb_bytes_str("532d" "3019"), &chuid));
        good(cb_unhex(cb_bytes_str(cases[i].fasc_n), &chuid));
        good(cb_unhex(cb_bytes_str("3410" GUID "9000"), &chuid));
        cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
        cb_script_put(&encoded, 0, cb_buf_bytes(&chuid));
        good(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers));
        good(cb_unhex(cb_bytes_str(cases[i].names ? cases[i].names : ""), &names));
        const cb_x509 certificate = {.alternative_name = cb_buf_bytes(&names)};
        size_t count = cb_profile_piv.marks(&answers, cases[i].names ? &certificate : NULL, found);
        print_message("%s\n", cases[i].names ? cases[i].names : "attested");
        assert_int_equal(count, (cases[i].first > 0) + (cases[i].second > 0));
        assert_int_equal(found[0].len, cases[i].first);
        assert_int_equal(found[1].len, cases[i].second);
        cb_buf_free(&encoded);
        cb_buf_free(&chuid);
        cb_buf_free(&names);
    }
}

/* The rest of the certificate stands behind what is read in a tap. */
static void a_jpki_certificate_begins_as_the_card_does(void **state)
{
    static const uint8_t ok[] = {0x90, 0x00};
    static const char head[] = "3082010030820080a003020102020400bc614e";
    cb_script answers;
    cb_id card;
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX), first = CB_BUF(128), whole = CB_BUF(512);
    (void)state;
    good(cb_unhex(cb_bytes_str(head), &first));
    good(cb_unhex(cb_bytes_str(head), &whole));
    cb_buf_put(&first, CB_BYTES_OF(ok));
    for (int i = 0; i < 256; i++)
        cb_buf_put_u8(&whole, (uint8_t)i);
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, cb_buf_bytes(&first));
    good(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers));
    good(cb_profile_jpki.recognise(&answers, &card));
    for (size_t i = 0; i < whole.len; i++) {
        const cb_x509 certificate = {.whole = cb_buf_bytes(&whole)};
        assert_true(cb_profile_jpki.fits(&answers, &certificate));
        whole.data[i] ^= 1;
        assert_int_equal(cb_profile_jpki.fits(&answers, &certificate), i >= first.len - 2);
        whole.data[i] ^= 1;
    }
    cb_buf_free(&encoded);
    cb_buf_free(&first);
    cb_buf_free(&whole);
}

static void what_a_terminal_reads_is_what_is_needed(void **state)
{
    static const cb_profile_order order = {2, {&cb_profile_native, &cb_profile_piv}};
    piv_card c;
    json_t *found = NULL;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_RSA_2048, CB_VCARD_EC_P256);
    good(cb_survey(&c.io, &order, &found));
    assert_string_equal(json_string_value(json_object_get(found, "profile")), "piv");
    assert_int_equal(json_array_size(json_object_get(found, "answers")), 3);
    const json_t *list = json_object_get(found, "certificates");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "use")), 0x9A);
    assert_int_equal(json_string_length(json_object_get(json_array_get(list, 1), "der")),
                     2 * c.certificate[1].len);
    json_decref(found);
    piv_card_free(&c);
    piv_card_make(&c, &issuer, 0, 0);
    expect(CB_E_CARD_CERTIFICATE, cb_survey(&c.io, &order, &found));
    assert_null(found);
    piv_card_free(&c);
}

static void what_a_card_keeps_compressed_leaves_the_terminal_whole(void **state)
{
    static const cb_profile_order order = {1, {&cb_profile_piv}};
    piv_card c;
    json_t *found = NULL;
    char plain[2][2 * CB_ANSWER_MAX + 1];
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_RSA_2048, CB_VCARD_EC_P256);
    for (unsigned i = 0; i < 2; i++)
        cb_hex(c.certificate[i], plain[i]);
    piv_card_compress(&c);
    good(cb_survey(&c.io, &order, &found));
    const json_t *list = json_object_get(found, "certificates");
    assert_int_equal(json_array_size(list), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(c.certificate[i].data[0], 0x1F);
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(list, i), "der")), plain[i]);
    }
    json_decref(found);
    piv_card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_whose_certificates_lead_nowhere_is_not_bound),
        cmocka_unit_test(a_card_is_bound_with_its_own_certificates_only),
        cmocka_unit_test(one_key_is_not_bound_as_two),
        cmocka_unit_test(the_names_in_a_piv_certificate_are_compared),
        cmocka_unit_test(what_is_one_cards_alone_is_what_its_certificates_say),
        cmocka_unit_test(a_jpki_certificate_begins_as_the_card_does),
        cmocka_unit_test(what_a_terminal_reads_is_what_is_needed),
        cmocka_unit_test(what_a_card_keeps_compressed_leaves_the_terminal_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
