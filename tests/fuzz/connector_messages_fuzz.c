/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a connector's process, or connectord, sends to the broker.
 *
 * An input begins with the operation (one byte: describe, enrol, login with a relayed exchange).
 * Then come messages, each: u8 how, u8 error, u16 length, body. Bit 0 of how: after the next
 * question, as its answer; otherwise at once, with the other bits as its type.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "connectors/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPLIES_MAX = 64 };

static char folder[] = "/tmp/cardbroker-fuzz-XXXXXX";
static int listener = -1;
static int begin[2], done[2];
static cb_bytes script;
static cb_connectors *connectors;

static void reply(int socket, cb_cursor *in)
{
    uint8_t how = cb_cursor_u8(in);
    cb_msg question, msg;
    cb_msg_init(&question, 0);
    cb_msg_init(&msg, how >> 1);
    if ((how & 1) &&
        cb_msg_receive(socket, &question, cb_deadline_in(20 * CB_MILLISECOND)) == CB_OK) {
        msg.type = question.type;
        msg.id = question.id;
    }
    msg.error = cb_cursor_u8(in) % CB_ERROR_COUNT;
    size_t len = cb_cursor_u16(in);
    cb_buf_put(&msg.body, cb_cursor_take(in, len < in->rest.len ? len : in->rest.len));
    cb_msg_send(socket, &msg, 0);
    cb_msg_free(&question);
    cb_msg_free(&msg);
}

static void *play_connectord(void *unused)
{
    char go;
    (void)unused;
    while (read(begin[0], &go, 1) == 1) {
        int socket = accept(listener, NULL, NULL);
        cb_cursor in = cb_cursor_over(script);
        for (int i = 0; i < REPLIES_MAX && in.rest.len > 0; i++)
            reply(socket, &in);
        close(socket);
        if (write(done[1], &go, 1) != 1)
            abort();
    }
    return NULL;
}

static void clean_up(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, CB_CONNECTORS_SOCKET);
    unlink(path);
    rmdir(folder);
    cb_connectors_close(&connectors);
}

static void prepare(void)
{
    char path[64];
    pthread_t thread;
    if (connectors)
        return;
    cb_log_init("fuzz", CB_LOG_ERROR + 1); /* what connectors say is not of interest */
    if (!mkdtemp(folder) || pipe(begin) || pipe(done))
        abort();
    snprintf(path, sizeof path, "%s/%s", folder, CB_CONNECTORS_SOCKET);
    if (cb_msg_listen(path, 0600, &listener) || cb_connectors_open(folder, &connectors) ||
        pthread_create(&thread, NULL, play_connectord, NULL) || pthread_detach(thread))
        abort();
    atexit(clean_up);
}

static cb_error use(void *context, uint8_t operation, uint8_t hash, cb_bytes data, cb_buf *result)
{
    (void)context, (void)operation, (void)hash;
    cb_buf_put(result, data);
    return cb_buf_error(result);
}

static void relay(cb_session *session)
{
    cb_relay *exchange;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX);
    uint8_t block[1000];
    unsigned status;
    size_t got = 1;
    if (cb_relay_open(session, "GET", "/", "", 0, cb_deadline_in(100 * CB_MILLISECOND), &exchange))
        goto end;
    if (cb_relay_head(exchange, &status, &headers) == CB_OK)
        for (int i = 0;
             i < 8 && got > 0 && cb_relay_read(exchange, block, sizeof block, &got) == CB_OK; i++)
            if (got > sizeof block)
                abort();
    cb_relay_close(&exchange);
end:
    cb_buf_free(&headers);
}

static void log_in(const cb_login_request *request)
{
    cb_login_keys keys = {NULL, use};
    cb_login_result result = {.value = CB_BUF(CB_LOGIN_VALUE_MAX)};
    cb_session *session = NULL;
    cb_error error = cb_connector_login(connectors, request, &keys,
                                        cb_deadline_in(100 * CB_MILLISECOND), &result, &session);
    if ((error == CB_OK) != (session != NULL))
        abort();
    if (!error && (result.kind < CB_SESSION_TOKEN || result.kind > CB_SESSION_RELAYED))
        abort();
    if (!error && result.kind == CB_SESSION_RELAYED)
        relay(session);
    cb_session_end(&session);
    cb_login_result_free(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cb_login_request request = {
        .connector = "c", .service = "s", .config = "{}", .enrolment = "{}", .algorithm = 1};
    char go = 0;
    cb_buf json = CB_BUF(CB_MSG_BODY_MAX), why = CB_BUF(CB_MSG_BODY_MAX);
    if (size == 0)
        return 0;
    prepare();
    script = cb_bytes_make(data + 1, size - 1);
    if (write(begin[1], &go, 1) != 1)
        abort();
    if (data[0] % 3 == 0)
        cb_connectors_describe(connectors, "c", &json);
    else if (data[0] % 3 == 1)
        cb_connectors_enrol(connectors, &request, &json, &why);
    else
        log_in(&request);
    ssize_t got;
    do {
        got = read(done[0], &go, 1); /* libFuzzer's alarm interrupts it */
    } while (got < 0 && errno == EINTR);
    if (got != 1)
        abort();
    cb_buf_free(&json);
    cb_buf_free(&why);
    return 0;
}
