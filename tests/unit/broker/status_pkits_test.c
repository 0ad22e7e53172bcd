/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * NIST's Public Key Interoperability Test Suite (PKITS 1.0.1), with its certificates and lists as
 * python3-cryptography-vectors has them: every path that is to be refused is refused, and those
 * that are to be accepted are, but for what docs/foreign-cards.md says is not understood. The name
 * of a card's certificate says which it is to be.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/config.h"
#include "broker/status/crl.h"
#include "broker/status/fresh.h"
#include "cardlink/x509/path.h"
#include "tests/support/pki.h"

enum { FILES_MAX = 512, SKIP = 77 };

typedef struct file {
    char name[128];
    cb_buf content;
} file;

static file certificates[FILES_MAX], lists[FILES_MAX];
static cb_bytes authorities[FILES_MAX];
static size_t certificate_count, list_count, authority_count;
static cb_bytes anchor;
static int64_t now;

static size_t load(const char *folder, const char *part, file *out)
{
    char path[1024];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/%s", folder, part);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir)) && count < FILES_MAX;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/%s", folder, part, entry->d_name);
        snprintf(out[count].name, sizeof out[count].name, "%.120s", entry->d_name);
        out[count].content = CB_BUF(1 << 20);
        if (cb_file_read(path, &out[count].content) == CB_OK)
            count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

static bool is_of_a_card(const char *name) { return strstr(name, "EE.crt") != NULL; }

/* ---- as broker/status decides with lists alone ---- */

static cb_error check_lists(const cb_x509 *certificate, const cb_x509 *issuer)
{
    const cb_fresh_limits limits = {300, INT64_C(50) * 366 * 86400};
    cb_error error = CB_E_CERTIFICATE_STATUS;
    uint8_t reason;
    for (size_t i = 0; i < list_count; i++) {
        cb_crl *crl = NULL;
        cb_buf copy = CB_BUF(1 << 20);
        cb_buf_put(&copy, cb_buf_bytes(&lists[i].content));
        bool used = cb_crl_read(&copy, issuer, &crl) == CB_OK &&
                    cb_crl_covers(crl, certificate->is_ca, certificate->crl_points);
        if (used && cb_crl_has(crl, certificate->serial, &reason))
            error = CB_E_CERTIFICATE_REVOKED;
        else if (used && error == CB_E_CERTIFICATE_STATUS &&
                 cb_is_fresh(crl->this_update, crl->next_update, &limits, now))
            error = CB_OK;
        cb_crl_free(&crl);
    }
    return error;
}

static cb_error judge(cb_bytes card)
{
    static cb_x509_path path;
    const cb_x509_trust trust = {&anchor, 1, authorities, authority_count};
    const cb_x509_rules rules = {.time = now};
    cb_error error = cb_x509_validate(card, &trust, &rules, &path);
    for (size_t i = 0; i + 1 < path.count && !error; i++)
        error = check_lists(&path.certificates[i], &path.certificates[i + 1]);
    return error;
}

/* ---- the suite ---- */

/* Of paths that are good, and refused, as docs/foreign-cards.md says; the one that is bad, and
 * accepted, is so for those who do not read delta lists: the whole list is good and fresh. */
static const struct {
    const char *names;
    cb_error error;
} otherwise[] = {
    {"AllCertificatesanyPolicyTest11", CB_E_CERTIFICATE_POLICY}, /* the card names none itself */
    {"InvaliddeltaCRLTest4", CB_OK},
    {"ValiddeltaCRLTest5", CB_E_CERTIFICATE_REVOKED}, /* the delta list alone lifts it */
    {"ValidDSA", CB_E_CERTIFICATE_ALGORITHM},
    {"ValidNameChaining", CB_E_CARD_CERTIFICATE}, /* names the same, but not byte for byte */
    {"ValidUTF8StringCaseInsensitiveMatch", CB_E_CARD_CERTIFICATE},
    {"ValidRolloverfromPrintableStringtoUTF8String", CB_E_CARD_CERTIFICATE},
    {"ValidPolicyMapping", CB_E_CERTIFICATE_POLICY},
    {"ValidinhibitPolicyMapping", CB_E_CERTIFICATE_POLICY},
    {"ValidSelfIssuedinhibitPolicyMapping", CB_E_CERTIFICATE_POLICY},
    /* Lists by another key than signed the certificate: after a change of key, ... */
    {"ValidBasicSelfIssued", CB_E_CERTIFICATE_STATUS},
    {"ValidDNnameConstraintsTest19", CB_E_CERTIFICATE_STATUS},
    {"ValidSelfIssued", CB_E_CERTIFICATE_STATUS},
    /* ... of a key for lists alone, or of another authority. */
    {"ValidSeparateCertificateandCRLKeys", CB_E_CERTIFICATE_STATUS},
    {"ValidIDPwithindirectCRL", CB_E_CERTIFICATE_STATUS},
    {"ValidcRLIssuer", CB_E_CERTIFICATE_STATUS},
    {"ValidonlySomeReasons", CB_E_CERTIFICATE_STATUS},
    {"ValiddistributionPoint", CB_E_CERTIFICATE_STATUS}, /* names relative to the issuer's */
    {"ValidNegativeSerialNumber", CB_E_CERTIFICATE_STATUS},
};

/* Policies that differ along the path, where a CA asks for one; their names do not say so. */
static bool differs(const char *name)
{
    static const char *const bad[] = {"Test4E", "Test5E", "Test7E", "Test8E", "Test9E", "Test12E"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (strstr(name, "DifferentPolicies") && strstr(name, bad[i]))
            return true;
    }
    return false;
}

static bool is_otherwise(const char *name, cb_error error, unsigned *used)
{
    for (size_t i = 0; i < sizeof otherwise / sizeof *otherwise; i++) {
        if (strncmp(name, otherwise[i].names, strlen(otherwise[i].names)) == 0 &&
            error == otherwise[i].error) {
            *used |= 1u << i;
            return true;
        }
    }
    return false;
}

static void each_path_is_judged_as_the_suite_says(void **state)
{
    (void)state;
    unsigned good = 0, bad = 0, wrong = 0, used = 0;
    for (size_t i = 0; i < certificate_count; i++) {
        const char *name = certificates[i].name;
        if (!is_of_a_card(name))
            continue;
        bool valid = strncmp(name, "Invalid", 7) != 0 && !differs(name);
        cb_error error = judge(cb_buf_bytes(&certificates[i].content));
        good += valid && error == CB_OK;
        bad += !valid && error != CB_OK;
        if (!valid && strstr(name, "nameConstraints"))
            assert_int_equal(error, CB_E_CERTIFICATE_PATH);
        if (valid == (error == CB_OK) || is_otherwise(name, error, &used))
            continue;
        print_message("%s %s\n", name, cb_error_code(error));
        wrong++;
    }
    print_message("%u good, %u bad\n", good, bad);
    assert_int_equal(wrong, 0);
    assert_int_equal(used, (1u << sizeof otherwise / sizeof *otherwise) - 1);
    assert_true(good >= 59 && bad >= 120);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_path_is_judged_as_the_suite_says)};
    const char *folder = argc > 1 ? argv[1] : "";
    certificate_count = load(folder, "certs", certificates);
    list_count = load(folder, "crls", lists);
    if (certificate_count == 0) {
        printf("the suite is not there: %s\n", folder);
        return SKIP;
    }
    for (size_t i = 0; i < certificate_count; i++) {
        if (strcmp(certificates[i].name, "TrustAnchorRootCertificate.crt") == 0)
            anchor = cb_buf_bytes(&certificates[i].content);
        else if (!is_of_a_card(certificates[i].name))
            authorities[authority_count++] = cb_buf_bytes(&certificates[i].content);
    }
    now = pki_time(2026, 6, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
