/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's end against a connectord that answers whatever the test says.
 */
#include <setjmp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "connectors/protocol.h"
#include "hsm/client.h"

static char run[64];
static int listener;
static cb_connectors *connectors;
static unsigned uses;

/* What the fake does after it has read a first message. */
typedef void (*script)(int socket, cb_msg *msg);

static void nothing(int socket, cb_msg *msg) { (void)socket, (void)msg; }

static int start(void **state)
{
    char path[96];
    (void)state;
    snprintf(run, sizeof run, "/tmp/cb-client-XXXXXX");
    assert_non_null(mkdtemp(run));
    snprintf(path, sizeof path, "%s/connectors.sock", run);
    assert_int_equal(cb_connectors_open(run, &connectors), CB_OK);
    assert_int_equal(cb_connectors_ping(connectors, NULL), CB_E_CONNECTOR_DOWN);
    assert_int_equal(cb_msg_listen(path, 0600, &listener), CB_OK);
    return 0;
}

static int stop(void **state)
{
    char path[96];
    (void)state;
    cb_connectors_close(&connectors);
    close(listener);
    snprintf(path, sizeof path, "%s/connectors.sock", run);
    unlink(path);
    rmdir(run);
    return 0;
}

static void *serve(void *context)
{
    script *what = context;
    cb_msg msg;
    int socket = accept(listener, NULL, NULL);
    cb_msg_init(&msg, 0);
    if (cb_msg_receive(socket, &msg, cb_deadline_in(2 * CB_SECOND)) == CB_OK)
        (*what)(socket, &msg);
    /* Until the other side has had enough. */
    while (*what != nothing && cb_msg_receive(socket, &msg, cb_deadline_in(2 * CB_SECOND)) == CB_OK)
        continue;
    cb_msg_free(&msg);
    close(socket);
    return NULL;
}

static cb_error use(void *context, uint8_t operation, uint8_t hash, cb_bytes data, cb_buf *result)
{
    (void)context, (void)operation, (void)hash, (void)data;
    uses++;
    cb_buf_put_str(result, "signature");
    return CB_OK;
}

static cb_error log_in(script what, int64_t time, cb_session **session)
{
    pthread_t thread;
    cb_login_result result;
    cb_login_keys keys = {NULL, use};
    cb_login_request request = {
        .connector = "x", .service = "s", .config = "{}", .enrolment = "{}"};
    uses = 0;
    pthread_create(&thread, NULL, serve, &what);
    cb_error error =
        cb_connector_login(connectors, &request, &keys, cb_deadline_in(time), &result, session);
    pthread_join(thread, NULL);
    cb_login_result_free(&result);
    return error;
}

static void answer(int socket, uint16_t type, uint32_t id, cb_error error, cb_bytes body)
{
    cb_msg msg;
    cb_msg_init(&msg, type);
    msg.id = id;
    msg.error = error;
    cb_buf_put(&msg.body, body);
    cb_msg_send(socket, &msg, cb_deadline_in(CB_SECOND));
    cb_msg_free(&msg);
}

static void give(int socket, uint32_t id, uint8_t kind, const char *value)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    cb_buf_put_u8(&body, kind);
    cb_buf_put_u64(&body, 0);
    cb_buf_put_var(&body, cb_bytes_str(value));
    answer(socket, CB_CONN_LOGIN, id, CB_OK, cb_buf_bytes(&body));
    cb_buf_free(&body);
}

static void ask_for_use(int socket, uint8_t operation, uint8_t hash, size_t len)
{
    static const uint8_t data[64];
    cb_buf body = CB_BUF(256);
    cb_buf_put_u8(&body, operation);
    cb_buf_put_u8(&body, hash);
    cb_buf_put_var(&body, cb_bytes_make(data, len));
    answer(socket, CB_CONN_USE, 7, CB_OK, cb_buf_bytes(&body));
    cb_buf_free(&body);
}

#define SCRIPT(name) static void name(int socket, cb_msg *msg)
SCRIPT(garbage)
{
    (void)msg;
    if (write(socket, "garbage", 7) < 0)
        return;
}
SCRIPT(other_type) { answer(socket, CB_CONN_PING, msg->id, CB_OK, (cb_bytes){0}); }
SCRIPT(other_id) { give(socket, msg->id + 1, CB_SESSION_RELAYED, ""); }
SCRIPT(no_body) { answer(socket, CB_CONN_LOGIN, msg->id, CB_OK, (cb_bytes){0}); }
SCRIPT(unknown_kind) { give(socket, msg->id, 9, ""); }
SCRIPT(token_that_is_none) { give(socket, msg->id, CB_SESSION_TOKEN, "[]"); }
SCRIPT(url_that_is_none) { give(socket, msg->id, CB_SESSION_URL, "http://x.test/"); }
SCRIPT(relayed_with_value) { give(socket, msg->id, CB_SESSION_RELAYED, "x"); }
SCRIPT(unknown_error) { answer(socket, CB_CONN_LOGIN, msg->id, (cb_error)9999, (cb_bytes){0}); }
SCRIPT(unknown_use)
{
    (void)msg;
    ask_for_use(socket, 9, CB_HASH_SHA256, 32);
}
SCRIPT(raw_rsa)
{
    (void)msg;
    ask_for_use(socket, CB_USE_SIGN_DIGEST, CB_HASH_SHA256, 51);
}
SCRIPT(wrong_size)
{
    (void)msg;
    ask_for_use(socket, CB_USE_SIGN_PSS, CB_HASH_SHA512, 32);
}
SCRIPT(late)
{
    (void)msg;
    (void)socket;
    usleep(400000);
}
SCRIPT(many_uses)
{
    for (int i = 0; i < 40; i++)
        ask_for_use(socket, CB_USE_SIGN_DIGEST, CB_HASH_SHA256, 32);
    give(socket, msg->id, CB_SESSION_RELAYED, "");
}
SCRIPT(log_flood)
{
    for (int i = 0; i < 1000; i++)
        answer(socket, CB_CONN_LOG, 0, CB_OK, cb_bytes_str("x"));
    give(socket, msg->id, CB_SESSION_RELAYED, "");
}
SCRIPT(good)
{
    answer(socket, CB_CONN_LOG, 0, CB_OK, cb_bytes_str("not a log message"));
    ask_for_use(socket, CB_USE_SIGN_DIGEST, CB_HASH_SHA256, 32);
    give(socket, msg->id, CB_SESSION_TOKEN, "{}");
}

static void nonsense_is_called_so_and_nothing_is_left(void **state)
{
    static const script scripts[] = {garbage,          other_type,         other_id,
                                     no_body,          unknown_kind,       token_that_is_none,
                                     url_that_is_none, relayed_with_value, unknown_use,
                                     raw_rsa,          wrong_size,         log_flood,
                                     many_uses};
    (void)state;
    for (unsigned i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        cb_session *session = NULL;
        assert_int_equal(log_in(scripts[i], 2 * CB_SECOND, &session), CB_E_CONNECTOR_ANSWER);
        assert_null(session);
        assert_true(uses <= CB_CONN_USES_MAX);
    }
}

static void silence_is_a_failure_or_a_timeout(void **state)
{
    cb_session *session = NULL;
    (void)state;
    assert_int_equal(log_in(nothing, CB_SECOND, &session), CB_E_CONNECTOR_FAILED);
    assert_int_equal(log_in(late, CB_SECOND / 10, &session), CB_E_TIMEOUT);
    assert_int_equal(log_in(unknown_error, CB_SECOND, &session), CB_E_CONNECTOR_ANSWER);
    assert_null(session);
}

static void a_login_uses_the_key_and_gives_a_session(void **state)
{
    cb_session *session = NULL;
    cb_relay *relay;
    (void)state;
    assert_int_equal(log_in(good, CB_SECOND, &session), CB_OK);
    assert_int_equal(uses, 1);
    assert_false(cb_session_alive(session));
    assert_int_equal(cb_relay_open(session, "GET", "/", "", 0, cb_deadline_in(CB_SECOND), &relay),
                     CB_E_STATE);
    cb_session_cut(session, true);
    cb_session_end(&session);
    assert_null(session);
    cb_session_end(&session);
}

static void what_is_too_long_is_not_sent(void **state)
{
    char *config = calloc(1, CB_LOGIN_CONFIG_MAX + 2);
    cb_session *session;
    cb_login_result result;
    cb_buf why = CB_BUF(64);
    (void)state;
    memset(config, ' ', CB_LOGIN_CONFIG_MAX + 1);
    cb_login_request request = {.connector = "x", .service = "s", .config = config};
    assert_int_equal(cb_connector_login(connectors, &request, NULL, cb_deadline_in(CB_SECOND),
                                        &result, &session),
                     CB_E_TOO_LARGE);
    assert_int_equal(cb_connectors_check(connectors, "x", config, &why), CB_E_TOO_LARGE);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nonsense_is_called_so_and_nothing_is_left),
                                       cmocka_unit_test(silence_is_a_failure_or_a_timeout),
                                       cmocka_unit_test(a_login_uses_the_key_and_gives_a_session),
                                       cmocka_unit_test(what_is_too_long_is_not_sent)};
    return cmocka_run_group_tests(tests, start, stop);
}
