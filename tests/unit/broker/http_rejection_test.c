/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/rejection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";

static cb_rejection look(const char *text, size_t length, unsigned *status)
{
    return cb_rejection_look(cb_bytes_make(text, length), status);
}

static void the_status_is_read_as_soon_as_it_is_there(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request", 400},
        {"HTTP/1.1 431 ", 431},
        {"HTTP/1.0 505 ", 505},
        {"HTTP/1.1 503 ", 503},
        {"HTTP/1.1 200 ", 400},
        {"HTTP/1.1 999 ", 400},
        {"HTTP/1.1 40x ", 400},
        {"FTP/1.11 431 ", 400},
        {"HTTP/1.1 101 ", 400},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned status = 0;
        for (size_t length = 0; length < 12; length++)
            assert_int_equal(look(cases[i].text, length, &status), CB_REJECTION_INCOMPLETE);
        assert_int_equal(look(cases[i].text, 12, &status), CB_REJECTION_FINAL);
        assert_int_equal(status, cases[i].status);
    }
}

static void an_interim_answer_is_known_when_it_is_whole(void **state)
{
    unsigned status = 0;
    (void)state;
    for (size_t length = 0; length < CB_REJECTION_HEAD; length++)
        assert_int_equal(look(interim, length, &status), CB_REJECTION_INCOMPLETE);
    assert_int_equal(look(interim, CB_REJECTION_HEAD, &status), CB_REJECTION_INTERIM);
    assert_int_equal(look("HTTP/1.1 100 Continue\r\nX: 1", CB_REJECTION_HEAD, &status),
                     CB_REJECTION_FINAL);
}

static void a_refusal_is_one_whole_answer(void **state)
{
    cb_peer peer = {.kind = CB_PEER_NETWORK, .address = "127.0.0.1"};
    cb_buf answer = CB_BUF(CB_REJECTION_MAX);
    unsigned length = 0;
    (void)state;
    assert_int_equal(cb_rejection_write(431, &peer, &answer), CB_OK);
    const char *text = cb_buf_cstr(&answer);
    const char *body = strstr(text, "\r\n\r\n");
    const char *header = strstr(text, "Content-Length: ");
    assert_non_null(body);
    assert_non_null(header);
    assert_int_equal(strncmp(text, "HTTP/1.1 431 Request Header Fields Too Large\r\n", 46), 0);
    assert_int_equal(sscanf(header, "Content-Length: %u", &length), 1);
    assert_int_equal(strlen(body + 4), length);
    assert_non_null(strstr(body, "\"code\":\"request.too_large\""));
    assert_non_null(strstr(text, "\r\nStrict-Transport-Security: "));
    cb_buf_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_status_is_read_as_soon_as_it_is_there),
        cmocka_unit_test(an_interim_answer_is_known_when_it_is_whole),
        cmocka_unit_test(a_refusal_is_one_whole_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
