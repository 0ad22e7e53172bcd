/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation of judging a card's certificate, a revocation list and a responder's answer fails
 * in turn: then there was no memory, or the right word; a certificate is called neither good nor
 * bad for want of it.
 */
#include "tests/support/alloc_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker/status/crl.h"
#include "broker/status/ocsp.h"
#include "cardlink/x509/path.h"
#include "tests/support/pki.h"

enum { RUNS = 200 };

typedef struct judged {
    const char *file;
    cb_error right;
} judged;

static cb_x509 issuing;

static cb_error validate(void *context)
{
    static cb_x509_path path;
    const judged *j = context;
    cb_bytes anchor = pki("root");
    cb_bytes between[] = {pki("impostor"), pki("ca-rsa"), pki("issuing")};
    const cb_x509_trust trust = {&anchor, 1, between, 3};
    const cb_x509_rules rules = {.time = pki_time(2026, 6, 1),
                                 .key_usage = CB_X509_DIGITAL_SIGNATURE};
    return cb_x509_validate(pki(j->file), &trust, &rules, &path);
}

static cb_error read_list(void *context)
{
    const judged *j = context;
    cb_bytes der = pki(j->file);
    cb_crl *crl = NULL;
    cb_buf copy = CB_BUF(der.len);
    cb_buf_put(&copy, der);
    cb_error error = cb_buf_error(&copy);
    if (!error)
        error = cb_crl_read(&copy, &issuing, &crl);
    cb_buf_free(&copy);
    if (!error && crl->count != 501)
        error = CB_E_INTERNAL;
    cb_crl_free(&crl);
    return error;
}

static cb_error ask_and_read(void *context)
{
    static uint8_t nonce[CB_OCSP_NONCE] = "0123456789abcde";
    static size_t asked; /* when nothing failed */
    const judged *j = context;
    cb_x509 card;
    cb_ocsp_answer answer;
    cb_buf request = CB_BUF(1024);
    cb_error error = cb_x509_parse(pki("card"), &card);
    cb_ocsp_question question = {&issuing, card.serial, nonce};
    if (!error)
        error = cb_ocsp_ask(&question, &request);
    if (!error && asked && request.len != asked)
        error = CB_E_INTERNAL;
    asked = asked ? asked : request.len;
    cb_buf_free(&request);
    question.nonce = NULL;
    return error ? error : cb_ocsp_read(pki(j->file), &question, pki_time(2026, 6, 1), &answer);
}

static void it_is_right_or_there_was_no_memory(void *context, cb_error result, bool struck)
{
    const judged *j = context;
    assert_true(result == j->right || (struck && result == CB_E_MEMORY));
}

static void judge(const char *name, cb_error (*run)(void *), const char *file)
{
    judged j = {file, CB_OK};
    const fault_flow flow = {name, NULL, run, it_is_right_or_there_was_no_memory};
    run(&j); /* files are read, and libraries have begun */
    fault_each(&alloc_faults, &flow, &j, RUNS);
}

/* RSA takes memory, elliptic curves none. */
static void cards_are_judged(void **state)
{
    (void)state;
    static const char *const cards[] = {"card", "card-p256", "card-p384"};
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        judged j = {cards[i], CB_OK};
        assert_int_equal(validate(&j), CB_OK);
        alloc_faults.arm(1, true);
        cb_error error = validate(&j);
        unsigned calls = alloc_faults.disarm();
        assert_int_equal(error, CB_OK);
        assert_int_equal(calls, 0);
    }
    judge("by an RSA issuer", validate, "card-ca-rsa");
}

/* Whatever fails. */
static void refusals_stay_refusals(void **state)
{
    static const char *const wrong[] = {"card-expired", "card-impostor", "card-k1", "card-sha1",
                                        "card-by-card"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        judged j = {wrong[i], CB_OK};
        j.right = validate(&j);
        assert_int_not_equal(j.right, CB_OK);
        for (unsigned nth = 1, struck = 1; struck; nth++) {
            alloc_faults.arm(nth, false);
            cb_error error = validate(&j);
            struck = alloc_faults.disarm() >= nth;
            assert_true(error == j.right || error == CB_E_MEMORY);
        }
    }
}

static void lists_are_read(void **state)
{
    (void)state;
    judge("list", read_list, "crl-revoked");
}

static void answers_are_read(void **state)
{
    (void)state;
    judge("answer", ask_and_read, "ocsp");
    judge("delegated", ask_and_read, "ocsp-delegated-by-key");
}

static const char *script;

static int setup(void **state)
{
    (void)state;
    fault_quiet();
    return pki_make(script) != 0 || cb_x509_parse(pki("issuing"), &issuing) != CB_OK;
}

static int teardown(void **state)
{
    (void)state;
    pki_remove();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(cards_are_judged, fault_said),
        cmocka_unit_test_teardown(refusals_stay_refusals, fault_said),
        cmocka_unit_test_teardown(lists_are_read, fault_said),
        cmocka_unit_test_teardown(answers_are_read, fault_said),
    };
    script = argc > 1 ? argv[1] : "tests/support/pki.py";
    return cmocka_run_group_tests(tests, setup, teardown);
}
