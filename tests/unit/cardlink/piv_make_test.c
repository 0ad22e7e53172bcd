/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * New PIV cards: what their certificates say, whose they are, and what is not made.
 */
#include "cardlink/issuer/piv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"
#include "base/tlv.h"
#include "cardlink/card_key.h"
#include "cardlink/x509/path.h"
#include "vpiv_host.h"

static const int64_t begin = 1780000000, end = 2600000000; /* the latter after 2049 */

static cb_issue_piv_order order_of(uint8_t a, uint8_t c, uint8_t d, uint8_t e)
{
    return (cb_issue_piv_order){.algorithm = {a, c, d, e},
                                .name = cb_bytes_str("Hanako"),
                                .pin = cb_bytes_str("123456"),
                                .puk = cb_bytes_str("12345678"),
                                .management_algorithm = CB_VPIV_AES_192,
                                .not_before = begin,
                                .not_after = end};
}

static bool names(cb_bytes bytes, const char *oid)
{
    cb_buf encoded = CB_BUF(CB_OID_MAX), whole = CB_BUF(CB_OID_MAX + 4);
    assert_int_equal(cb_oid_parse(oid, &encoded), CB_OK);
    cb_der_put(&whole, CB_DER_OID, cb_buf_bytes(&encoded));
    bool found = bytes.len > 0 && memmem(bytes.data, bytes.len, whole.data, whole.len);
    cb_buf_free(&encoded);
    cb_buf_free(&whole);
    return found;
}

static void certificates_say_whose_keys_they_are_and_what_for(void **state)
{
    static const struct {
        uint16_t usage;
        const char *policy;
    } rows[CB_VPIV_SLOTS] = {{0x8000, "2.16.840.1.101.3.2.1.3.13"},
                             {0xC000, "2.16.840.1.101.3.2.1.3.7"},
                             {0x0800, "2.16.840.1.101.3.2.1.3.7"},
                             {0x8000, "2.16.840.1.101.3.2.1.3.17"}};
    cb_issue_piv_order order =
        order_of(CB_VCARD_EC_P256, CB_VCARD_RSA_2048, CB_VCARD_EC_P384, CB_VCARD_EC_P384);
    cb_vpiv_state made;
    cb_id card;
    char id[CB_ID_TEXT], uri[64];
    (void)state;
    assert_int_equal(cb_issue_piv(&order, &made, &card), CB_OK);
    cb_id_text(&card, id);
    snprintf(uri, sizeof uri, "urn:uuid:%s", id);
    for (int i = 0; i < CB_VPIV_SLOTS; i++) {
        cb_x509 read;
        cb_buf spki = CB_BUF(CB_VCARD_SPKI_MAX);
        assert_int_equal(cb_x509_parse(cb_issue_piv_certificate(&made, i), &read), CB_OK);
        assert_int_equal(cb_vcard_key_spki(&made.key[i], &spki), CB_OK);
        assert_true(cb_bytes_same(read.public_key, cb_buf_bytes(&spki)));
        assert_true(cb_bytes_same(read.subject, read.issuer));
        assert_int_equal(cb_x509_is_issued_by(&read, &read), CB_OK);
        assert_true(read.not_before == begin && read.not_after == end);
        assert_true(read.has_key_usage);
        assert_int_equal(read.key_usage, rows[i].usage);
        assert_true(names(read.policies, rows[i].policy));
        assert_non_null(
            memmem(read.alternative_name.data, read.alternative_name.len, uri, strlen(uri)));
        assert_int_equal(names(read.extended_usages, "2.16.840.1.101.3.6.8"), i == 3);
        assert_int_equal(names(read.extended_usages, "1.3.6.1.5.5.7.3.2"), i == 0);
        assert_false(read.is_ca || read.unknown_critical);
        cb_buf_free(&spki);
    }
    cb_vpiv_state_free(&made);
}

static void a_card_without_a_name_is_called_by_its_guid(void **state)
{
    cb_issue_piv_order order = order_of(CB_VCARD_EC_P256, 0, 0, 0);
    cb_vpiv_state made;
    cb_x509 read;
    cb_id card;
    char id[CB_ID_TEXT];
    (void)state;
    order.name = (cb_bytes){0};
    assert_int_equal(cb_issue_piv(&order, &made, &card), CB_OK);
    cb_id_text(&card, id);
    assert_int_equal(cb_x509_parse(cb_issue_piv_certificate(&made, 0), &read), CB_OK);
    assert_non_null(memmem(read.subject.data, read.subject.len, id, strlen(id)));
    assert_int_equal(cb_issue_piv_certificate(&made, 3).len, 0);
    assert_int_equal(made.key[3].algorithm, CB_VCARD_NO_KEY);
    cb_vpiv_state_free(&made);
}

static void what_no_card_can_have_is_not_made(void **state)
{
    char long_name[66];
    cb_vpiv_state made;
    cb_id card;
    (void)state;
    memset(long_name, 'x', 65);
    long_name[65] = 0;
    for (int i = 0; i < 8; i++) {
        cb_issue_piv_order order = order_of(CB_VCARD_EC_P256, 0, 0, 0);
        cb_error expected = CB_E_PIN_FORMAT;
        if (i == 0)
            order.pin = cb_bytes_str("12345");
        else if (i == 1)
            order.pin = cb_bytes_str("123456789");
        else if (i == 2)
            order.pin = cb_bytes_str("12345a");
        else if (i == 3)
            order.puk = cb_bytes_str("1234567");
        else if (i == 4)
            order.puk = cb_bytes_str("123456789");
        else
            expected = CB_E_ARGUMENT;
        if (i == 5)
            order.management_algorithm = 0x04;
        else if (i == 6)
            order.algorithm[1] = 0x05;
        else if (i == 7)
            order.name = cb_bytes_str(long_name);
        assert_int_equal(cb_issue_piv(&order, &made, &card), expected);
        assert_int_equal(made.object_count, 0); /* nothing to end */
    }
}

/* ---- Somebody's authority ---- */

static char folder[] = "/tmp/cardlink-piv-XXXXXX";

static const char *in(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static void shell(const char *commands)
{
    char line[512];
    snprintf(line, sizeof line, "cd %s && { %s; } >/dev/null 2>&1", folder, commands);
    assert_int_equal(system(line), 0);
}

static void openssl(const char *arguments)
{
    char line[400];
    snprintf(line, sizeof line, "openssl %s", arguments);
    shell(line);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char line[64];
    (void)state;
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line);
}

static void keys_of_each_kind_and_form_can_certify(void **state)
{
    static const char *const keys[] = {
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out key",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key",
        "ecparam -name prime256v1 -genkey -out key", /* SEC 1, after its parameters */
        "genrsa -traditional -out key 2048"};
    cb_buf why = CB_BUF(1024);
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        cb_issue_signer signer;
        openssl(keys[i]);
        openssl("req -x509 -new -key key -subj '/O=Town/CN=Staff CA' -days 30 -out ca");
        assert_int_equal(chmod(in("key"), 0600), 0);
        if (cb_issue_signer_load(in("ca"), in("key"), &signer, &why))
            fail_msg("%s: %s", keys[i], cb_buf_cstr(&why));
        cb_issue_piv_order order = order_of(CB_VCARD_EC_P256, 0, 0, CB_VCARD_EC_P384);
        order.signer = &signer;
        cb_vpiv_state made;
        cb_id card;
        cb_x509 issued, issuer;
        assert_int_equal(cb_issue_piv(&order, &made, &card), CB_OK);
        assert_int_equal(cb_x509_parse(cb_buf_bytes(&signer.certificate), &issuer), CB_OK);
        for (int slot = 0; slot < CB_VPIV_SLOTS; slot += 3) {
            assert_int_equal(cb_x509_parse(cb_issue_piv_certificate(&made, slot), &issued), CB_OK);
            assert_int_equal(cb_x509_is_issued_by(&issued, &issuer), CB_OK);
            assert_true(cb_bytes_same(issued.authority_key_id, issuer.subject_key_id));
        }
        cb_vpiv_state_free(&made);
        cb_issue_signer_end(&signer);
    }
    cb_buf_free(&why);
}

static void what_is_no_authority_is_refused_with_its_name(void **state)
{
    static const struct {
        const char *certificate, *key, *blamed;
    } rows[] = {{"none", "key", "none"},    {"ca", "none", "none"},   {"key", "key", "key"},
                {"ca", "ca", "ca"},         {"ca", "other", "other"}, {"ca", "large", "large"},
                {"ca", "locked", "locked"}, {"torn", "key", "torn"}};
    (void)state;
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key");
    openssl("req -x509 -new -key key -subj /CN=CA -days 30 -out ca");
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other");
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out large");
    openssl("pkcs8 -topk8 -in key -out locked -passout pass:x");
    shell("head -c 200 ca > torn && chmod 600 key other large locked ca");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cb_buf why = CB_BUF(1024);
        cb_issue_signer signer;
        assert_int_not_equal(
            cb_issue_signer_load(in(rows[i].certificate), in(rows[i].key), &signer, &why), CB_OK);
        const char *said = cb_buf_cstr(&why);
        assert_non_null(said);
        if (!strstr(said, rows[i].blamed))
            fail_msg("row %zu: %s", i, said);
        assert_int_equal(signer.key.algorithm, CB_VCARD_NO_KEY);
        cb_buf_free(&why);
    }
}

static void a_secure_messaging_key_is_certified_by_a_content_signer(void **state)
{
    cb_issue_piv_order order = order_of(CB_VCARD_EC_P256, 0, 0, 0);
    cb_issue_signer signer;
    cb_vpiv_state made;
    cb_id card;
    cb_bytes body, holder, value, certificate;
    cb_vcard_public key;
    (void)state;
    vpiv_signer_make(&signer);
    order.content_signer = &signer;
    assert_int_equal(cb_issue_piv(&order, &made, &card), CB_OK);
    assert_true(cb_tlv_find(cb_bytes_make(made.cvc, made.cvc_len), 0x7F21, &body));
    assert_true(cb_tlv_find(body, 0x5F20, &value) && cb_bytes_same(value, cb_id_bytes(&card)));
    assert_true(cb_tlv_find(body, 0x42, &value));
    assert_true(cb_bytes_same(value, cb_bytes_make(signer.key_id.data, 8)));
    assert_true(cb_tlv_find(body, 0x7F49, &holder) && cb_tlv_find(holder, 0x86, &value));
    assert_int_equal(cb_vcard_key_public(&made.channel_key, &key), CB_OK);
    assert_true(cb_bytes_same(value, cb_bytes_make(key.key, key.len)));
    assert_true(cb_tlv_find(cb_vpiv_object_get(&made, 0x5FC122), 0x70, &certificate));
    assert_true(cb_bytes_same(certificate, cb_buf_bytes(&signer.certificate)));
    cb_vpiv_state_free(&made);
    cb_issue_signer_end(&signer);
}

static void who_is_no_content_signer_certifies_no_key(void **state)
{
    static const struct {
        const char *key, *extensions, *fault;
    } rows[] = {
        {"P-256", "-addext keyUsage=digitalSignature -addext extendedKeyUsage=2.16.840.1.101.3.6.7",
         NULL},
        {"P-384", "-addext keyUsage=digitalSignature -addext extendedKeyUsage=2.16.840.1.101.3.6.7",
         "P-256"},
        {"P-256", "-addext keyUsage=digitalSignature -addext extendedKeyUsage=2.16.840.1.101.3.6.8",
         "id-PIV-content-signing"},
        {"P-256", "-addext keyUsage=digitalSignature", "id-PIV-content-signing"},
        {"P-256", "-addext keyUsage=keyAgreement -addext extendedKeyUsage=2.16.840.1.101.3.6.7",
         "digital signatures"},
        {"P-256", "-addext extendedKeyUsage=2.16.840.1.101.3.6.7", "digital signatures"},
        {"P-256",
         "-addext keyUsage=digitalSignature -addext extendedKeyUsage=2.16.840.1.101.3.6.7 "
         "-addext subjectKeyIdentifier=01:02:03:04:05:06:07",
         "subjectKeyIdentifier"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[400];
        cb_buf why = CB_BUF(1024);
        cb_issue_signer signer;
        snprintf(line, sizeof line, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:%s -out key",
                 rows[i].key);
        openssl(line);
        snprintf(line, sizeof line,
                 "req -x509 -new -key key -subj /CN=Signer -days 30 -out ca "
                 "-addext basicConstraints=CA:FALSE %s",
                 rows[i].extensions);
        openssl(line);
        shell("chmod 600 key");
        assert_int_equal(cb_issue_signer_load(in("ca"), in("key"), &signer, &why), CB_OK);
        const char *fault = cb_issue_content_signer_fault(&signer);
        if (!rows[i].fault)
            assert_null(fault);
        else if (!fault || !strstr(fault, rows[i].fault))
            fail_msg("row %zu: %s", i, fault ? fault : "none");
        cb_issue_piv_order order = order_of(CB_VCARD_EC_P256, 0, 0, 0);
        cb_vpiv_state made;
        cb_id card;
        order.content_signer = &signer;
        assert_int_equal(cb_issue_piv(&order, &made, &card), rows[i].fault ? CB_E_ARGUMENT : CB_OK);
        cb_vpiv_state_free(&made);
        cb_issue_signer_end(&signer);
        cb_buf_free(&why);
    }
}

static void pem_is_what_openssl_reads(void **state)
{
    cb_issue_piv_order order = order_of(CB_VCARD_EC_P256, 0, 0, 0);
    cb_buf text = CB_BUF(8192), der = CB_BUF(8192);
    cb_vpiv_state made;
    cb_id card;
    (void)state;
    assert_int_equal(cb_issue_piv(&order, &made, &card), CB_OK);
    cb_bytes certificate = cb_issue_piv_certificate(&made, 0);
    cb_issue_pem(certificate, &text);
    assert_int_equal(cb_file_replace(in("made"), cb_buf_bytes(&text), 0644), CB_OK);
    openssl("x509 -in made -outform DER -out der");
    assert_int_equal(cb_file_read(in("der"), &der), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&der), certificate));
    cb_buf_free(&text);
    cb_buf_free(&der);
    cb_vpiv_state_free(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_say_whose_keys_they_are_and_what_for),
        cmocka_unit_test(a_card_without_a_name_is_called_by_its_guid),
        cmocka_unit_test(what_no_card_can_have_is_not_made),
        cmocka_unit_test(keys_of_each_kind_and_form_can_certify),
        cmocka_unit_test(what_is_no_authority_is_refused_with_its_name),
        cmocka_unit_test(a_secure_messaging_key_is_certified_by_a_content_signer),
        cmocka_unit_test(who_is_no_content_signer_certifies_no_key),
        cmocka_unit_test(pem_is_what_openssl_reads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
