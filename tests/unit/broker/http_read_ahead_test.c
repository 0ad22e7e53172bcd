/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/read_ahead.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wolfssl/ssl.h>

#include "tests/unit/base/test.h"

enum { HEADER = 5, LONG = 3 * CB_AHEAD };

static int client;
static cb_ahead ahead;
static char got[LONG];

static void join(int pair[2])
{
    client = pair[0];
    ahead = (cb_ahead){.socket = pair[1]};
}

static int begin(void **state)
{
    int pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    join(pair);
    return 0;
}

static int end(void **state)
{
    (void)state;
    close(client);
    close(ahead.socket);
    return 0;
}

static void say(const char *text)
{
    assert_int_equal(write(client, text, strlen(text)), strlen(text));
}

static int unread(void)
{
    int bytes = -1;
    assert_int_equal(ioctl(ahead.socket, FIONREAD, &bytes), 0);
    return bytes;
}

static void reads(const char *expected, size_t size)
{
    assert_int_equal(cb_ahead_read(&ahead, got, size), strlen(expected));
    assert_memory_equal(got, expected, strlen(expected));
}

static void one_call_brings_header_and_record(void **state)
{
    (void)state;
    say("headerrecord");
    reads("heade", HEADER);
    assert_int_equal(unread(), 0);
    assert_true(cb_ahead_left(&ahead));
    reads("rrecord", LONG);
    assert_false(cb_ahead_left(&ahead));
}

static void a_socket_that_had_no_more_is_asked_when_it_says_so(void **state)
{
    (void)state;
    say("all");
    reads("all", HEADER);
    say("more");
    assert_int_equal(cb_ahead_read(&ahead, got, HEADER), WOLFSSL_CBIO_ERR_WANT_READ);
    assert_int_equal(cb_ahead_read(&ahead, got, LONG), WOLFSSL_CBIO_ERR_WANT_READ);
    assert_int_equal(unread(), 4);
    cb_ahead_again(&ahead);
    reads("more", HEADER);
}

static void what_was_read_comes_before_what_was_not(void **state)
{
    static char sent[LONG];
    (void)state;
    for (size_t i = 0; i < LONG; i++)
        sent[i] = (char)(i * 7 + i / 256);
    assert_int_equal(write(client, sent, LONG), LONG);
    size_t at = HEADER;
    assert_int_equal(cb_ahead_read(&ahead, got, HEADER), HEADER);
    while (at < LONG) {
        int part = cb_ahead_read(&ahead, got + at, LONG - at);
        assert_true(part > 0);
        at += (size_t)part;
    }
    assert_memory_equal(got, sent, LONG);
}

static void a_full_read_may_not_be_all(void **state)
{
    static char sent[CB_AHEAD];
    (void)state;
    assert_int_equal(write(client, sent, CB_AHEAD), CB_AHEAD);
    assert_int_equal(cb_ahead_read(&ahead, got, CB_AHEAD), CB_AHEAD);
    assert_int_equal(cb_ahead_read(&ahead, got, HEADER), WOLFSSL_CBIO_ERR_WANT_READ);
    say("then");
    reads("then", HEADER);
}

/* Or the library would read on for as long as a client sends records that are for nobody. */
static void a_socket_that_always_has_more_is_left_alone_for_a_while(void **state)
{
    static char sent[2 * CB_AHEAD_CALLS * CB_AHEAD];
    (void)state;
    assert_int_equal(write(client, sent, sizeof sent), sizeof sent);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CB_AHEAD_CALLS; i++) {
            assert_int_equal(cb_ahead_read(&ahead, got, HEADER), HEADER);
            assert_int_equal(cb_ahead_read(&ahead, got, LONG), CB_AHEAD - HEADER);
        }
        assert_int_equal(cb_ahead_read(&ahead, got, HEADER), WOLFSSL_CBIO_ERR_WANT_READ);
        assert_int_equal(cb_ahead_read(&ahead, got, LONG), WOLFSSL_CBIO_ERR_WANT_READ);
        assert_int_equal(unread(), sizeof sent / 2 * (round == 0));
        cb_ahead_again(&ahead);
    }
}

static void the_end_comes_after_the_bytes(void **state)
{
    (void)state;
    say("last");
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    reads("la", 2);
    reads("st", 2);
    assert_int_equal(cb_ahead_read(&ahead, got, HEADER), WOLFSSL_CBIO_ERR_WANT_READ);
    cb_ahead_again(&ahead);
    assert_int_equal(cb_ahead_read(&ahead, got, HEADER), WOLFSSL_CBIO_ERR_CONN_CLOSE);
    assert_int_equal(cb_ahead_read(&ahead, got, LONG), WOLFSSL_CBIO_ERR_CONN_CLOSE);
}

static void a_broken_connection_is_no_end(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof at;
    const struct linger at_once = {1, 0};
    int listener = socket(AF_INET, SOCK_STREAM, 0), pair[2] = {socket(AF_INET, SOCK_STREAM, 0), -1};
    end(state);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &length), 0);
    assert_int_equal(connect(pair[0], (struct sockaddr *)&at, sizeof at), 0);
    pair[1] = accept(listener, NULL, NULL);
    close(listener);
    join(pair);
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(client);
    client = dup(ahead.socket);
    assert_int_equal(cb_ahead_read(&ahead, got, HEADER), WOLFSSL_CBIO_ERR_CONN_RST);
    close(client);
    client = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_call_brings_header_and_record, begin, end),
        cmocka_unit_test_setup_teardown(a_socket_that_had_no_more_is_asked_when_it_says_so, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_was_read_comes_before_what_was_not, begin, end),
        cmocka_unit_test_setup_teardown(a_full_read_may_not_be_all, begin, end),
        cmocka_unit_test_setup_teardown(a_socket_that_always_has_more_is_left_alone_for_a_while,
                                        begin, end),
        cmocka_unit_test_setup_teardown(the_end_comes_after_the_bytes, begin, end),
        cmocka_unit_test_setup_teardown(a_broken_connection_is_no_end, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
