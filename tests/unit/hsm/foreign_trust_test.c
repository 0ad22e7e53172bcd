/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whom hsmd trusts to have issued others' cards: from a section of hsmd.conf and the files that it
 * names to the certificate that is taken or refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/config.h"
#include "cardlink/jpki/commands.h"
#include "cardlink/piv/commands.h"
#include "foreign_cards.h"
#include "hsm/host_load.h"
#include "test.h"
#include "tests/support/softhsm.h"

enum { DAY = 24 * 60 * 60, NAME = 96 };

#define DIGITAL_SIGNATURE 0x80
#define ONE_POLICY "1.2.392.100.1"
#define OTHER_POLICY "1.2.392.100.2"
#define ANY_POLICY "2.5.29.32.0"

static softhsm hsm;
static cb_keyring *keyring;
static agency root;
static piv_card card; /* whose answers and key the certificates are for */
static cb_host *host;
static cb_hsmd_config config;
static cb_buf why = {.max = 1024};

/* ---- Files and what they say ---- */

static const char *file(const char *name)
{
    static char path[4][NAME];
    static unsigned next;
    char *out = path[next++ % 4];
    snprintf(out, NAME, "%s/%s", hsm.folder, name);
    return out;
}

static void put_pem(const char *name, const cb_bytes *der, size_t count)
{
    cb_buf text = CB_BUF(32 * 1024);
    for (size_t i = 0; i < count; i++)
        cb_issue_pem(der[i], &text);
    good(cb_file_replace(file(name), cb_buf_bytes(&text), 0600));
    cb_buf_free(&text);
}

/* The section of a profile with the root as its anchor and more besides; what was loaded is host.
 */
static cb_error load(const char *profile, const char *more)
{
    char text[1024];
    cb_hsmd_config_free(&config);
    cb_host_release(&host);
    cb_buf_reset(&why);
    snprintf(text, sizeof text, "foreign \"%s\" { anchors = {\"%s\"} %s }\n", profile,
             file("root.pem"), more);
    good(cb_file_replace(file("hsmd.conf"), cb_bytes_str(text), 0600));
    if (cb_hsmd_config_load(file("hsmd.conf"), &config, &why))
        fail_msg("%s", cb_buf_cstr(&why));
    return cb_host_load(&config, keyring, &host, &why);
}

static void refused(const char *more, const char *reason)
{
    expect(CB_E_CONFIG, load("piv", more));
    if (!strstr(cb_buf_cstr(&why), reason))
        fail_msg("%s\n%s", more, cb_buf_cstr(&why));
}

/* ---- Certificates ---- */

typedef struct says {
    uint8_t usage; /* 0: nothing */
    const char *extended, *policy;
} says;

static void make_certificate(const cb_issue_signer *by, const cb_vcard_key *key, const char *name,
                             const says *what, bool authority, cb_buf *out)
{
    static const uint8_t constraints[] = {0x55, 0x1D, 0x13}, ca[] = {0x30, 0x03, 0x01, 0x01, 0xFF};
    cb_buf extensions = CB_BUF(512), subject = CB_BUF(128);
    good(cb_issue_name(cb_bytes_str(name), &subject));
    if (authority)
        cb_issue_extension(&extensions, CB_BYTES_OF(constraints), true, CB_BYTES_OF(ca));
    if (what->usage)
        cb_issue_key_usage(&extensions, what->usage);
    if (what->extended)
        cb_issue_extended_usage(&extensions, what->extended, false);
    if (what->policy)
        cb_issue_policy(&extensions, what->policy);
    const cb_issue_x509 request = {.subject = cb_buf_bytes(&subject),
                                   .key = key,
                                   .extensions = cb_buf_bytes(&extensions),
                                   .not_before = time(NULL) - DAY,
                                   .not_after = time(NULL) + 300 * DAY};
    cb_buf_init(out, CB_ISSUE_X509_MAX);
    good(cb_issue_x509_make(&request, by, out));
    cb_buf_free(&extensions);
    cb_buf_free(&subject);
}

/* A CA beneath another one. */
static void make_authority(const cb_issue_signer *by, const char *name, const char *policy,
                           cb_issue_signer *out)
{
    const says what = {.usage = 0x04, .policy = policy};
    cb_x509 read;
    *out = (cb_issue_signer){.name = CB_BUF(128), .key_id = CB_BUF(64)};
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &out->key));
    make_certificate(by, &out->key, name, &what, true, &out->certificate);
    good(cb_x509_parse(cb_buf_bytes(&out->certificate), &read));
    cb_buf_put(&out->name, read.subject);
    cb_buf_put(&out->key_id, read.subject_key_id);
    good(cb_buf_error(&out->name));
    good(cb_buf_error(&out->key_id));
}

/* What a JPKI card says first is how its certificate begins. */
static void answers_of(uint8_t profile, cb_bytes certificate, cb_buf *answers)
{
    static const uint8_t ok[] = {0x90, 0x00};
    cb_buf head = CB_BUF(64);
    if (profile == CB_PROFILE_PIV) {
        piv_card_answers(&card, answers);
        return;
    }
    cb_buf_put(&head, cb_bytes_make(certificate.data, 0x30));
    cb_buf_put(&head, CB_BYTES_OF(ok));
    cb_script_put(answers, 0, CB_BYTES_OF(ok));
    cb_script_put(answers, 0, CB_BYTES_OF(ok));
    cb_script_put(answers, 0, cb_buf_bytes(&head));
    cb_buf_free(&head);
}

/* Of a card with one key whose certificate says this. */
static cb_error check(uint8_t profile, uint8_t use, const cb_issue_signer *by, const says *what)
{
    cb_buf der, answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_binding_info info = {.level = CB_LEVEL_PIN, .sequence = 1};
    make_certificate(by, &card.state.key[cb_vpiv_slot(CB_VPIV_AUTHENTICATION)], "Taro", what, false,
                     &der);
    answers_of(profile, cb_buf_bytes(&der), &answers);
    const cb_foreign_reading reading = {.profile = profile,
                                        .answers = cb_buf_bytes(&answers),
                                        .keys = 1,
                                        .key = {{use, cb_buf_bytes(&der)}}};
    cb_error error =
        cb_foreign_card_check(cb_host_foreign(host, profile), &reading, (int64_t)time(NULL), &info);
    cb_buf_free(&der);
    cb_buf_free(&answers);
    return error;
}

static cb_error check_policy(const cb_issue_signer *by, const char *policy)
{
    const says what = {.usage = DIGITAL_SIGNATURE, .policy = policy};
    return check(CB_PROFILE_PIV, CB_PIV_KEY_AUTHENTICATION, by, &what);
}

static int setup(void **state)
{
    (void)state;
    softhsm_make(&hsm);
    keyring = softhsm_open(&hsm);
    agency_make(&root);
    piv_card_make(&card, &root, CB_VCARD_EC_P256, 0);
    put_pem("root.pem", (cb_bytes[]){cb_buf_bytes(&root.certificate)}, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cb_host_release(&host);
    cb_hsmd_config_free(&config);
    cb_buf_free(&why);
    piv_card_free(&card);
    agency_free(&root);
    cb_keyring_close(&keyring);
    softhsm_remove(&hsm);
    return 0;
}

/* ---- What keys are for ---- */

#define CLIENT_AUTH "1.3.6.1.5.5.7.3.2"
#define SMARTCARD_LOGON "1.3.6.1.4.1.311.20.2.2"
#define CARD_AUTH "2.16.840.1.101.3.6.8"
#define CONTENT_SIGNING "2.16.840.1.101.3.6.7"
#define SERVER_AUTH "1.3.6.1.5.5.7.3.1"
#define ANY_USAGE "2.5.29.37.0"

/* A key of a card is for authentication only if its certificate lets it sign. */
static void a_certificate_that_is_not_for_signing_is_refused(void **state)
{
    static const struct {
        uint8_t usage;
        cb_error error;
    } cases[] = {{DIGITAL_SIGNATURE, CB_OK},
                 {DIGITAL_SIGNATURE | 0x40, CB_OK},
                 {0, CB_E_CERTIFICATE_USAGE},
                 {0x40, CB_E_CERTIFICATE_USAGE}, /* as JPKI's second certificate */
                 {0x20, CB_E_CERTIFICATE_USAGE}, /* as PIV's 9D with RSA */
                 {0x08, CB_E_CERTIFICATE_USAGE}, /* and with EC */
                 {0x06, CB_E_CERTIFICATE_USAGE}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const says what = {.usage = cases[i].usage};
        good(load("piv", ""));
        expect(cases[i].error,
               check(CB_PROFILE_PIV, CB_PIV_KEY_AUTHENTICATION, &root.signer, &what));
        expect(cases[i].error, check(CB_PROFILE_PIV, CB_PIV_KEY_CARD, &root.signer, &what));
        good(load("jpki", ""));
        expect(cases[i].error, check(CB_PROFILE_JPKI, CB_JPKI_KEY, &root.signer, &what));
    }
}

static void each_kind_of_key_has_its_extended_usages(void **state)
{
    static const char *const usages[] = {
        NULL, CLIENT_AUTH, SMARTCARD_LOGON, CARD_AUTH, CONTENT_SIGNING, SERVER_AUTH, ANY_USAGE};
    static const struct {
        const char *profile;
        uint8_t id, use, taken; /* bits, in the order of the usages */
    } keys[] = {{"piv", CB_PROFILE_PIV, CB_PIV_KEY_AUTHENTICATION, 1 | 2 | 4},
                {"piv", CB_PROFILE_PIV, CB_PIV_KEY_CARD, 1 | 2 | 8},
                {"jpki", CB_PROFILE_JPKI, CB_JPKI_KEY, 1 | 2 | 4}};
    (void)state;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        good(load(keys[k].profile, ""));
        for (size_t i = 0; i < sizeof usages / sizeof *usages; i++) {
            const says what = {.usage = DIGITAL_SIGNATURE, .extended = usages[i]};
            print_message("%02x %s\n", keys[k].use, usages[i] ? usages[i] : "none");
            expect(keys[k].taken >> i & 1 ? CB_OK : CB_E_CERTIFICATE_USAGE,
                   check(keys[k].id, keys[k].use, &root.signer, &what));
        }
    }
}

/* ---- Policies ---- */

static void without_policies_any_will_do(void **state)
{
    (void)state;
    good(load("piv", ""));
    assert_int_equal(cb_host_foreign(host, CB_PROFILE_PIV)->policies, 0);
    good(check_policy(&root.signer, NULL));
    good(check_policy(&root.signer, ONE_POLICY));
}

static void a_card_needs_one_of_the_policies(void **state)
{
    static const char *const both = "policies = {\"" OTHER_POLICY "\", \"" ONE_POLICY "\"}";
    (void)state;
    good(load("piv", "policies = {\"" ONE_POLICY "\"}"));
    good(check_policy(&root.signer, ONE_POLICY));
    expect(CB_E_CERTIFICATE_POLICY, check_policy(&root.signer, OTHER_POLICY));
    expect(CB_E_CERTIFICATE_POLICY, check_policy(&root.signer, ANY_POLICY));
    expect(CB_E_CERTIFICATE_POLICY, check_policy(&root.signer, NULL));
    good(load("piv", both));
    good(check_policy(&root.signer, ONE_POLICY));
    good(check_policy(&root.signer, OTHER_POLICY));
    expect(CB_E_CERTIFICATE_POLICY, check_policy(&root.signer, ONE_POLICY ".1"));
    good(load("jpki", both));
    const says without = {.usage = DIGITAL_SIGNATURE},
               with = {.usage = DIGITAL_SIGNATURE, .policy = OTHER_POLICY};
    expect(CB_E_CERTIFICATE_POLICY, check(CB_PROFILE_JPKI, CB_JPKI_KEY, &root.signer, &without));
    good(check(CB_PROFILE_JPKI, CB_JPKI_KEY, &root.signer, &with));
}

static void what_is_no_policy_is_refused_by_its_name(void **state)
{
    static const char *const wrong[] = {
        "id-fpki-common-authentication", "1.2.", "2.16.840.1.101.3.2.1.3.-13",
        "1.2.99999999.99999999.99999999.99999999.99999999.99999999.99999999.99999999.99999999"};
    char more[160];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(more, sizeof more, "policies = {\"" ONE_POLICY "\", \"%s\"}", wrong[i]);
        refused(more, "is no object identifier");
        refused(more, wrong[i]);
    }
}

/* ---- Intermediates ---- */

static void what_lies_between_is_read_from_its_files(void **state)
{
    cb_issue_signer upper, lower, other;
    char more[3 * NAME];
    (void)state;
    make_authority(&root.signer, "Upper", NULL, &upper);
    make_authority(&upper, "Lower", NULL, &lower);
    make_authority(&root.signer, "Other", NULL, &other);
    put_pem("upper.pem", (cb_bytes[]){cb_buf_bytes(&upper.certificate)}, 1);
    put_pem("lower.pem",
            (cb_bytes[]){cb_buf_bytes(&other.certificate), cb_buf_bytes(&lower.certificate)}, 2);
    good(load("piv", ""));
    expect(CB_E_CARD_CERTIFICATE, check_policy(&upper, NULL));
    snprintf(more, sizeof more, "intermediates = {\"%s\"}", file("upper.pem"));
    good(load("piv", more));
    good(check_policy(&upper, NULL));
    expect(CB_E_CARD_CERTIFICATE, check_policy(&lower, NULL));
    snprintf(more, sizeof more, "intermediates = {\"%s\", \"%s\"}", file("upper.pem"),
             file("lower.pem"));
    good(load("piv", more));
    assert_int_equal(cb_host_foreign(host, CB_PROFILE_PIV)->intermediates, 3);
    assert_int_equal(cb_host_foreign(host, CB_PROFILE_PIV)->anchors, 1);
    good(check_policy(&root.signer, NULL));
    good(check_policy(&upper, NULL));
    good(check_policy(&lower, NULL));
    good(check_policy(&other, NULL));
    cb_issue_signer_end(&upper);
    cb_issue_signer_end(&lower);
    cb_issue_signer_end(&other);
}

/* They lead to an anchor, and are none. */
static void an_intermediate_is_not_trusted_by_itself(void **state)
{
    agency stranger;
    char more[2 * NAME];
    (void)state;
    agency_make(&stranger);
    put_pem("stranger.pem", (cb_bytes[]){cb_buf_bytes(&stranger.certificate)}, 1);
    snprintf(more, sizeof more, "intermediates = {\"%s\"}", file("stranger.pem"));
    good(load("piv", more));
    expect(CB_E_CARD_CERTIFICATE, check_policy(&stranger.signer, NULL));
    good(check_policy(&root.signer, NULL));
    agency_free(&stranger);
}

static void a_policy_holds_along_the_whole_path(void **state)
{
    static const struct {
        const char *of_authority;
        cb_error error;
    } cases[] = {{ONE_POLICY, CB_OK},
                 {ANY_POLICY, CB_OK},
                 {OTHER_POLICY, CB_E_CERTIFICATE_POLICY},
                 {NULL, CB_E_CERTIFICATE_POLICY}};
    char more[3 * NAME];
    (void)state;
    snprintf(more, sizeof more, "intermediates = {\"%s\"} policies = {\"%s\"}", file("between.pem"),
             ONE_POLICY);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_issue_signer between;
        make_authority(&root.signer, "Between", cases[i].of_authority, &between);
        put_pem("between.pem", (cb_bytes[]){cb_buf_bytes(&between.certificate)}, 1);
        good(load("piv", more));
        expect(cases[i].error, check_policy(&between, ONE_POLICY));
        expect(CB_E_CERTIFICATE_POLICY, check_policy(&between, OTHER_POLICY));
        cb_issue_signer_end(&between);
    }
}

static void files_that_cannot_be_used_are_named(void **state)
{
    char more[2 * NAME];
    (void)state;
    good(cb_file_replace(file("empty.pem"), cb_bytes_str("no certificate\n"), 0600));
    for (unsigned i = 0; i < 2; i++) {
        const char *name = i ? "empty.pem" : "missing.pem";
        snprintf(more, sizeof more, "intermediates = {\"%s\"}", file(name));
        refused(more, name);
    }
    unlink(file("root.pem"));
    refused("", "root.pem");
    put_pem("root.pem", (cb_bytes[]){cb_buf_bytes(&root.certificate)}, 1);
    good(load("piv", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_that_is_not_for_signing_is_refused),
        cmocka_unit_test(each_kind_of_key_has_its_extended_usages),
        cmocka_unit_test(without_policies_any_will_do),
        cmocka_unit_test(a_card_needs_one_of_the_policies),
        cmocka_unit_test(what_is_no_policy_is_refused_by_its_name),
        cmocka_unit_test(what_lies_between_is_read_from_its_files),
        cmocka_unit_test(an_intermediate_is_not_trusted_by_itself),
        cmocka_unit_test(a_policy_holds_along_the_whole_path),
        cmocka_unit_test(files_that_cannot_be_used_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
