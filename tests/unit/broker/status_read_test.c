/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What comes from issuers' servers, right and wrong in each way that tests/support/pki.py makes it:
 * revocation lists, OCSP answers, HTTP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "broker/status/crl.h"
#include "broker/status/fresh.h"
#include "broker/status/http.h"
#include "broker/status/ocsp.h"
#include "tests/support/pki.h"

#define expect(wanted, got) assert_string_equal(cb_error_code(got), cb_error_code(wanted))

static cb_x509 issuing, root, card;

/* ---- lists ---- */

static cb_error read_list(cb_bytes der, const cb_x509 *issuer, cb_crl **crl)
{
    cb_buf copy = CB_BUF(der.len);
    cb_buf_put(&copy, der);
    return cb_crl_read(&copy, issuer, crl);
}

static cb_crl *list(const char *name)
{
    cb_crl *crl = NULL;
    print_message("%s\n", name);
    expect(CB_OK, read_list(pki(name), &issuing, &crl));
    return crl;
}

static void revoked_cards_are_found(void **state)
{
    (void)state;
    uint8_t reason = 99;
    cb_crl *crl = list("crl-revoked");
    assert_int_equal(crl->count, 501);
    assert_true(cb_crl_has(crl, card.serial, &reason));
    assert_int_equal(reason, 1); /* keyCompromise */
    /* All that are on it, and no others. */
    unsigned found = 0;
    for (uint32_t serial = 1; serial < 1100000; serial++) {
        uint8_t bytes[] = {(uint8_t)(serial >> 16), (uint8_t)(serial >> 8), (uint8_t)serial};
        unsigned skip = serial > 0xFFFF ? 0 : serial > 0xFF ? 1 : 2;
        found += cb_crl_has(crl, cb_bytes_make(bytes + skip, 3 - skip), &reason);
    }
    assert_int_equal(found, 500);
    assert_int_equal(reason, CB_CRL_NO_REASON);
    cb_crl_free(&crl);
    crl = list("crl-hold");
    assert_true(cb_crl_has(crl, card.serial, &reason));
    assert_int_equal(reason, 6); /* certificateHold */
    cb_crl_free(&crl);
}

static void good_cards_are_not(void **state)
{
    (void)state;
    uint8_t reason;
    cb_crl *crl = list("crl");
    assert_false(cb_crl_has(crl, card.serial, &reason));
    assert_false(cb_crl_has(crl, (cb_bytes){0}, &reason));
    assert_int_equal(crl->this_update, pki_time(2026, 6, 1));
    assert_int_equal(crl->next_update, pki_time(2026, 6, 8));
    cb_crl_free(&crl);
    crl = list("crl-empty");
    assert_int_equal(crl->count, 0);
    assert_false(cb_crl_has(crl, card.serial, &reason));
    cb_crl_free(&crl);
}

static void lists_that_do_not_count_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        cb_error error;
    } wrong[] = {
        {"crl-impostor", CB_E_CRYPTO},
        {"crl-root", CB_E_CRYPTO},
        {"crl-sha1", CB_E_CERTIFICATE_ALGORITHM},
        {"crl-critical", CB_E_FORMAT},
        {"crl-delta", CB_E_FORMAT},
        {"crl-indirect", CB_E_FORMAT},
        {"crl-reasons", CB_E_FORMAT},
        {"card", CB_E_FORMAT},
        {"root", CB_E_CRYPTO},
    };
    cb_crl *crl;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        print_message("%s\n", wrong[i].name);
        expect(wrong[i].error, read_list(pki(wrong[i].name), &issuing, &crl));
        assert_null(crl);
    }
    expect(CB_E_FORMAT, read_list(cb_bytes_str("<html>"), &issuing, &crl));
    expect(CB_E_FORMAT, read_list((cb_bytes){0}, &issuing, &crl));
    expect(CB_E_DENIED, read_list(pki("crl"), &card, &crl));
    cb_x509 no_crl_sign = issuing;
    no_crl_sign.key_usage = CB_X509_CERTIFICATE_SIGN;
    expect(CB_E_DENIED, read_list(pki("crl"), &no_crl_sign, &crl));
}

static void a_list_in_parts_covers_its_part(void **state)
{
    (void)state;
    cb_crl *whole = list("crl"), *shard = list("crl-shard"), *other = list("crl-other-shard");
    cb_crl *users = list("crl-users"), *cas = list("crl-cas");
    assert_true(cb_crl_covers(whole, false, card.crl_points));
    assert_true(cb_crl_covers(whole, true, (cb_bytes){0}));
    assert_true(cb_crl_covers(shard, false, card.crl_points));
    assert_false(cb_crl_covers(shard, false, (cb_bytes){0}));
    assert_false(cb_crl_covers(other, false, card.crl_points));
    assert_true(cb_crl_covers(users, false, card.crl_points));
    assert_false(cb_crl_covers(users, true, card.crl_points));
    assert_false(cb_crl_covers(cas, false, card.crl_points));
    assert_true(cb_crl_covers(cas, true, card.crl_points));
    cb_crl *all[] = {whole, shard, other, users, cas};
    for (size_t i = 0; i < 5; i++)
        cb_crl_free(&all[i]);
}

static void lists_of_other_scopes_are_told_apart(void **state)
{
    (void)state;
    static const char *const names[] = {"crl", "crl-shard", "crl-other-shard", "crl-users",
                                        "crl-cas"};
    enum { SCOPES = sizeof names / sizeof *names };
    cb_crl *all[SCOPES], *next[] = {list("crl-newer"), list("crl-users-newer")};
    for (size_t i = 0; i < SCOPES; i++)
        all[i] = list(names[i]);
    for (size_t i = 0; i < SCOPES; i++) {
        for (size_t k = 0; k < SCOPES; k++)
            assert_true(cb_crl_same_scope(all[i], all[k]) == (i == k));
        assert_true(cb_crl_same_scope(next[0], all[i]) == (i == 0));
        assert_true(cb_crl_same_scope(next[1], all[i]) == (i == 3));
    }
    for (size_t i = 0; i < SCOPES; i++)
        cb_crl_free(&all[i]);
    cb_crl_free(&next[0]);
    cb_crl_free(&next[1]);
}

static void an_older_list_is_known_as_such(void **state)
{
    (void)state;
    cb_crl *crl = list("crl"), *newer = list("crl-newer");
    assert_true(cb_crl_is_older(crl, newer));
    assert_false(cb_crl_is_older(newer, crl));
    assert_false(cb_crl_is_older(crl, crl));
    cb_crl_free(&crl);
    cb_crl_free(&newer);
}

static void a_change_of_a_list_is_noticed(void **state)
{
    (void)state;
    cb_bytes der = pki("crl-hold");
    uint8_t *copy = malloc(der.len);
    cb_crl *crl;
    memcpy(copy, der.data, der.len);
    for (size_t i = 0; i < der.len; i++) {
        copy[i] ^= (uint8_t)(1u << i % 8);
        assert_true(read_list(cb_bytes_make(copy, der.len), &issuing, &crl));
        copy[i] ^= (uint8_t)(1u << i % 8);
        assert_true(read_list(cb_bytes_make(copy, i), &issuing, &crl));
    }
    free(copy);
}

/* ---- answers ---- */

static const uint8_t nonce[] = "0123456789abcdef";

static cb_error read_answer(const char *name, const uint8_t *with, cb_ocsp_answer *out)
{
    const cb_ocsp_question question = {&issuing, card.serial, with};
    return cb_ocsp_read(pki(name), &question, pki_time(2026, 6, 1), out);
}

static void answers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        cb_ocsp_status status;
        bool look_up;
    } good[] = {
        {"ocsp", CB_OCSP_GOOD, false},
        {"ocsp-by-key", CB_OCSP_GOOD, false},
        {"ocsp-delegated", CB_OCSP_GOOD, false},
        {"ocsp-delegated-by-key", CB_OCSP_GOOD, false},
        {"ocsp-nonce", CB_OCSP_GOOD, false},
        {"ocsp-revoked", CB_OCSP_REVOKED, false},
        {"ocsp-unknown", CB_OCSP_UNKNOWN, false},
        {"ocsp-no-next", CB_OCSP_GOOD, false},
        {"ocsp-checked", CB_OCSP_GOOD, true},
    };
    cb_ocsp_answer answer;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        print_message("%s\n", good[i].name);
        expect(CB_OK, read_answer(good[i].name, NULL, &answer));
        assert_int_equal(answer.status, good[i].status);
        assert_int_equal(answer.delegated, good[i].look_up);
        assert_int_equal(answer.this_update, pki_time(2026, 6, 1));
    }
    expect(CB_OK, read_answer("ocsp-revoked", NULL, &answer));
    assert_int_equal(answer.reason, 1);
    expect(CB_OK, read_answer("ocsp-no-next", NULL, &answer));
    assert_int_equal(answer.next_update, 0);
}

static void answers_that_do_not_count_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        cb_error error;
    } wrong[] = {
        {"ocsp-impostor", CB_E_CRYPTO},           {"ocsp-sha1", CB_E_CERTIFICATE_ALGORITHM},
        {"ocsp-not-included", CB_E_DENIED},       {"ocsp-not-delegated", CB_E_DENIED},
        {"ocsp-other-issuer", CB_E_DENIED},       {"ocsp-expired", CB_E_DENIED},
        {"ocsp-no-usages", CB_E_DENIED},          {"ocsp-enciphers", CB_E_DENIED},
        {"ocsp-another", CB_E_NOT_FOUND},         {"ocsp-another-issuer", CB_E_NOT_FOUND},
        {"ocsp-try-later", CB_E_SERVICE_REFUSED}, {"card", CB_E_FORMAT},
    };
    cb_ocsp_answer answer;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        print_message("%s\n", wrong[i].name);
        expect(wrong[i].error, read_answer(wrong[i].name, NULL, &answer));
    }
}

static void a_nonce_has_to_come_back(void **state)
{
    (void)state;
    cb_ocsp_answer answer;
    expect(CB_OK, read_answer("ocsp-nonce", nonce, &answer));
    expect(CB_E_CRYPTO, read_answer("ocsp-nonce", (const uint8_t *)"0123456789abcdeF", &answer));
    expect(CB_E_CRYPTO, read_answer("ocsp", nonce, &answer));
}

static void a_change_of_an_answer_is_noticed(void **state)
{
    (void)state;
    cb_bytes der = pki("ocsp");
    uint8_t *copy = malloc(der.len);
    const cb_ocsp_question question = {&issuing, card.serial, NULL};
    cb_ocsp_answer answer;
    memcpy(copy, der.data, der.len);
    for (size_t i = 0; i < der.len; i++) {
        copy[i] ^= (uint8_t)(1u << i % 8);
        assert_true(cb_ocsp_read(cb_bytes_make(copy, der.len), &question, 0, &answer));
        copy[i] ^= (uint8_t)(1u << i % 8);
        assert_true(cb_ocsp_read(cb_bytes_make(copy, i), &question, 0, &answer));
    }
    free(copy);
}

/* ---- freshness ---- */

static void nothing_counts_for_longer_than_its_limits(void **state)
{
    (void)state;
    const cb_fresh_limits limits = {.skew = 10, .age = 100};
    assert_true(cb_is_fresh(1000, 1050, &limits, 1000));
    assert_true(cb_is_fresh(1000, 1050, &limits, 1060));
    assert_false(cb_is_fresh(1000, 1050, &limits, 1061));
    assert_true(cb_is_fresh(1000, 5000, &limits, 1110));
    assert_false(cb_is_fresh(1000, 5000, &limits, 1111)); /* too old, whatever it says */
    assert_false(cb_is_fresh(1000, 0, &limits, 1111));
    assert_true(cb_is_fresh(1000, 1050, &limits, 990));
    assert_false(cb_is_fresh(1000, 1050, &limits, 989)); /* not yet */
}

/* ---- URLs and HTTP ---- */

static void urls_are_plain_http(void **state)
{
    (void)state;
    static const char *const wrong[] = {"https://a/",
                                        "http://",
                                        "http:///x",
                                        "http://a:0/",
                                        "http://a:65536/",
                                        "http://a:x/",
                                        "http://u@a/",
                                        "http://[::1",
                                        "http://a/ b",
                                        "http://a/#f",
                                        "ftp://a/",
                                        "http://a:/",
                                        "",
                                        "http://a/\r\nX: y",
                                        "http://[]/",
                                        "http://a/\x80",
                                        "HTTP://a/"};
    cb_url url;
    expect(CB_OK, cb_url_parse("http://crl.example:8080/a/b?c=d", &url));
    assert_string_equal(url.host, "crl.example");
    assert_string_equal(url.port, "8080");
    assert_string_equal(url.authority, "crl.example:8080");
    assert_string_equal(url.target, "/a/b?c=d");
    expect(CB_OK, cb_url_parse("http://[::1]", &url));
    assert_string_equal(url.host, "::1");
    assert_string_equal(url.port, "80");
    assert_string_equal(url.target, "/");
    expect(CB_OK, cb_url_parse("http://a?b", &url));
    assert_string_equal(url.target, "/?b");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect(CB_E_FORMAT, cb_url_parse(wrong[i], &url));
}

static cb_error read_http(const char *text, cb_bytes *body)
{
    return cb_status_http_read(cb_bytes_str(text), body);
}

static void answers_in_http_are_whole(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "x",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 2\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1  20\r\n\r\n",
        "ICY 200 OK\r\n\r\nabc"};
    cb_bytes body;
    expect(CB_OK, read_http("HTTP/1.1 200 OK\r\ncontent-LENGTH:  3 \r\nX: y\r\n\r\nabc", &body));
    assert_true(cb_bytes_same(body, cb_bytes_str("abc")));
    expect(CB_OK, read_http("HTTP/1.0 200\n\nabcd", &body));
    assert_true(cb_bytes_same(body, cb_bytes_str("abcd")));
    expect(CB_E_SERVICE_REFUSED, read_http("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", &body));
    expect(CB_E_SERVICE_REFUSED, read_http("HTTP/1.1 500\r\n\r\n", &body));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect(CB_E_SERVICE_ANSWER, read_http(wrong[i], &body));
}

static void headers_are_not_endless(void **state)
{
    (void)state;
    cb_bytes body;
    cb_buf text = CB_BUF(1 << 20);
    cb_buf_put_str(&text, "HTTP/1.1 200 OK\r\n");
    while (text.len < CB_STATUS_HEADERS_MAX + 64)
        cb_buf_put_str(&text, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
    cb_buf_put_str(&text, "\r\nabc");
    expect(CB_E_SERVICE_ANSWER, cb_status_http_read(cb_buf_bytes(&text), &body));
    cb_buf_free(&text);
}

static void a_request_says_what_it_needs(void **state)
{
    (void)state;
    cb_url url;
    cb_buf out = CB_BUF(1024);
    expect(CB_OK, cb_url_parse("http://crl.example:8080/a?b", &url));
    expect(CB_OK, cb_status_http_ask(&url, (cb_bytes){0}, &out));
    assert_string_equal(cb_buf_cstr(&out),
                        "GET /a?b HTTP/1.0\r\nHost: crl.example:8080\r\n"
                        "User-Agent: cardbrokerd\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    cb_buf_reset(&out);
    expect(CB_OK, cb_status_http_ask(&url, cb_bytes_str("abc"), &out));
    assert_non_null(strstr(cb_buf_cstr(&out), "POST /a?b HTTP/1.0\r\n"));
    assert_non_null(strstr(cb_buf_cstr(&out), "Content-Type: application/ocsp-request\r\n"
                                              "Content-Length: 3\r\n"));
    assert_non_null(strstr(cb_buf_cstr(&out), "\r\n\r\nabc"));
    cb_buf_free(&out);
}

static const char *script;

static int setup(void **state)
{
    (void)state;
    if (pki_make(script) != 0)
        return -1;
    return cb_x509_parse(pki("issuing"), &issuing) || cb_x509_parse(pki("root"), &root) ||
           cb_x509_parse(pki("card"), &card);
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
        cmocka_unit_test(revoked_cards_are_found),
        cmocka_unit_test(good_cards_are_not),
        cmocka_unit_test(lists_that_do_not_count_are_refused),
        cmocka_unit_test(a_list_in_parts_covers_its_part),
        cmocka_unit_test(lists_of_other_scopes_are_told_apart),
        cmocka_unit_test(an_older_list_is_known_as_such),
        cmocka_unit_test(a_change_of_a_list_is_noticed),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(answers_that_do_not_count_are_refused),
        cmocka_unit_test(a_nonce_has_to_come_back),
        cmocka_unit_test(a_change_of_an_answer_is_noticed),
        cmocka_unit_test(nothing_counts_for_longer_than_its_limits),
        cmocka_unit_test(urls_are_plain_http),
        cmocka_unit_test(answers_in_http_are_whole),
        cmocka_unit_test(headers_are_not_endless),
        cmocka_unit_test(a_request_says_what_it_needs),
    };
    script = argc > 1 ? argv[1] : "tests/support/pki.py";
    return cmocka_run_group_tests(tests, setup, teardown);
}
