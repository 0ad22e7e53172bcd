/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking connectord, and a login up to its session. What happens in a session is in session.c.
 */
#include "connectors/client.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/secret.h"
#include "connectors/protocol.h"
#include "connectors/session.h"
#include "hsm/client.h"

/* A connection is made for each operation, so there is nothing to keep, to share between threads,
 * or to make anew when connectord was restarted. */
struct cb_connectors {
    char *path;
};

cb_error cb_connectors_open(const char *run, cb_connectors **out)
{
    cb_connectors *connectors = calloc(1, sizeof *connectors);
    if (!connectors || asprintf(&connectors->path, "%s/" CB_CONNECTORS_SOCKET, run) < 0) {
        free(connectors);
        return CB_E_MEMORY;
    }
    *out = connectors;
    return CB_OK;
}

void cb_connectors_close(cb_connectors **connectors)
{
    if (!connectors || !*connectors)
        return;
    free((*connectors)->path);
    free(*connectors);
    *connectors = NULL;
}

/* connectord's absence in one word. */
static cb_error down(cb_error error)
{
    switch (error) {
    case CB_E_CLOSED:
    case CB_E_DENIED:
    case CB_E_CONFIG:
    case CB_E_IO:
        return CB_E_CONNECTOR_DOWN;
    default:
        return error;
    }
}

static void put_text(cb_buf *buf, const char *text) { cb_buf_put_var(buf, cb_bytes_str(text)); }

/* One question, one answer. The answer's body is left in msg. */
static cb_error ask(cb_connectors *connectors, cb_msg *msg, int64_t deadline)
{
    int socket;
    cb_error error = cb_msg_connect(connectors->path, &socket);
    if (error)
        return down(error);
    error = cb_msg_call(socket, msg, msg, deadline);
    close(socket);
    return error == CB_E_CLOSED ? CB_E_CONNECTOR_FAILED : error;
}

static void copy_reason(const cb_msg *msg, cb_buf *why)
{
    if (why)
        cb_buf_put(why, cb_buf_bytes(&msg->body));
}

cb_error cb_connectors_ping(cb_connectors *connectors, const char *connector)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_CONN_PING);
    put_text(&msg.body, connector);
    cb_error error = ask(connectors, &msg, cb_deadline_in(CB_CONN_PING_TIME));
    cb_msg_free(&msg);
    return error == CB_E_CONNECTOR_FAILED || error == CB_E_TIMEOUT ? CB_E_CONNECTOR_DOWN : error;
}

static cb_error ask_with_config(cb_connectors *connectors, uint16_t type, const char *connector,
                                const char *config, cb_buf *why)
{
    cb_msg msg;
    cb_msg_init(&msg, type);
    put_text(&msg.body, connector);
    put_text(&msg.body, config);
    cb_error error = ask(connectors, &msg, cb_deadline_in(CB_CONN_OPERATION_TIME));
    if (error)
        copy_reason(&msg, why);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_connectors_check(cb_connectors *connectors, const char *connector, const char *config,
                             cb_buf *why)
{
    if (strlen(config) > CB_LOGIN_CONFIG_MAX)
        return CB_E_TOO_LARGE;
    return ask_with_config(connectors, CB_CONN_CHECK, connector, config, why);
}

cb_error cb_connectors_describe(cb_connectors *connectors, const char *connector, cb_buf *json)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_CONN_DESCRIBE);
    put_text(&msg.body, connector);
    cb_error error = ask(connectors, &msg, cb_deadline_in(CB_CONN_OPERATION_TIME));
    if (!error)
        copy_reason(&msg, json);
    cb_msg_free(&msg);
    return error ? error : cb_buf_error(json);
}

/* ---- a login ---- */

static cb_error put_request(cb_msg *msg, const cb_login_request *request, int64_t deadline)
{
    const char *enrolment = request->enrolment ? request->enrolment : "{}";
    if (strlen(request->connector) > CB_CONN_NAME_MAX ||
        strlen(request->service) > CB_CONN_TEXT_MAX ||
        strlen(request->config) > CB_LOGIN_CONFIG_MAX || strlen(enrolment) > CB_LOGIN_CONFIG_MAX ||
        request->certificate.len > CB_CONN_CERTIFICATE_MAX ||
        request->chain.len > CB_CONN_CHAIN_MAX || request->public_key.len > CB_PUBLIC_KEY_MAX)
        return CB_E_TOO_LARGE;
    put_text(&msg->body, request->connector);
    put_text(&msg->body, request->service);
    put_text(&msg->body, request->config);
    put_text(&msg->body, enrolment);
    cb_buf_put_var(&msg->body, request->certificate);
    cb_buf_put_var(&msg->body, request->chain);
    cb_buf_put_var(&msg->body, request->public_key);
    cb_buf_put_u8(&msg->body, request->algorithm);
    cb_buf_put(&msg->body, cb_id_bytes(&request->session));
    cb_buf_put_u64(&msg->body, (uint64_t)deadline);
    return cb_buf_error(&msg->body);
}

cb_error cb_connectors_enrol(cb_connectors *connectors, const cb_login_request *request,
                             cb_buf *json, cb_buf *why)
{
    cb_msg msg;
    int64_t deadline = cb_deadline_in(CB_CONN_OPERATION_TIME);
    cb_msg_init(&msg, CB_CONN_ENROL);
    cb_error error = put_request(&msg, request, deadline);
    if (!error)
        error = ask(connectors, &msg, deadline);
    copy_reason(&msg, error ? why : json);
    cb_msg_free(&msg);
    return error ? error : cb_buf_error(json);
}

static bool is_use(uint8_t operation, uint8_t hash, cb_bytes data)
{
    static const size_t sizes[] = {0, 32, 48, 64};
    switch (operation) {
    case CB_USE_SIGN_DIGEST:
    case CB_USE_SIGN_PSS:
        return hash >= CB_HASH_SHA256 && hash <= CB_HASH_SHA512 && data.len == sizes[hash];
    case CB_USE_MAC:
        return hash == CB_HASH_SHA256;
    case CB_USE_RELEASE:
        return data.len == 0;
    default:
        return false;
    }
}

/* One use of the key; its own failure goes to the connector and does not end the login here. */
static cb_error answer_use(int socket, const cb_msg *question, const cb_login_keys *keys,
                           unsigned *uses, int64_t deadline)
{
    cb_cursor cursor = cb_msg_cursor(question);
    uint8_t operation = cb_cursor_u8(&cursor);
    uint8_t hash = cb_cursor_u8(&cursor);
    cb_bytes data = cb_cursor_var(&cursor, CB_USE_DATA_MAX);
    cb_buf result = CB_BUF(CB_USE_RESULT_MAX);
    cb_msg msg;
    if (!cb_cursor_done(&cursor) || !is_use(operation, hash, data) || ++*uses > CB_CONN_USES_MAX)
        return CB_E_CONNECTOR_ANSWER;
    cb_msg_init(&msg, CB_CONN_USE);
    msg.id = question->id;
    msg.error =
        keys ? keys->use(keys->context, operation, hash, data, &result) : CB_E_HSM_ACTIVATION;
    if (!msg.error)
        msg.error = cb_buf_error(&result);
    if (!msg.error)
        cb_buf_put_var(&msg.body, cb_buf_bytes(&result));
    cb_error error = cb_msg_send(socket, &msg, deadline);
    cb_msg_free(&msg);
    cb_buf_free(&result);
    return error;
}

static cb_error check_json_object(cb_bytes text)
{
    json_t *json = cb_json_load(text, JSON_REJECT_DUPLICATES, NULL);
    cb_error error = json_is_object(json)       ? CB_OK
                     : !json && errno == ENOMEM ? CB_E_MEMORY
                                                : CB_E_CONNECTOR_ANSWER;
    json_decref(json);
    return error;
}

static cb_error check_result(const cb_login_result *result)
{
    cb_bytes value = cb_buf_bytes(&result->value);
    bool good = value.len > 0 && !memchr(value.data, 0, value.len);
    cb_error error = cb_buf_error(&result->value);
    if (error)
        return error;
    switch (result->kind) {
    case CB_SESSION_TOKEN:
    case CB_SESSION_COOKIES:
        return good ? check_json_object(value) : CB_E_CONNECTOR_ANSWER;
    case CB_SESSION_URL:
        good = good && value.len > 8 && memcmp(value.data, "https://", 8) == 0;
        break;
    case CB_SESSION_RELAYED:
        good = value.len == 0;
        break;
    default:
        good = false;
    }
    return good ? CB_OK : CB_E_CONNECTOR_ANSWER;
}

static cb_error take_result(const cb_msg *msg, cb_login_result *result)
{
    cb_cursor cursor = cb_msg_cursor(msg);
    *result = (cb_login_result){.value = CB_BUF(CB_LOGIN_VALUE_MAX)};
    result->kind = cb_cursor_u8(&cursor);
    result->expires = (int64_t)cb_cursor_u64(&cursor);
    cb_buf_put(&result->value, cb_cursor_var(&cursor, CB_LOGIN_VALUE_MAX));
    cb_error error = cb_cursor_done(&cursor) && result->expires >= 0 ? check_result(result)
                                                                     : CB_E_CONNECTOR_ANSWER;
    if (error)
        cb_login_result_free(result);
    return error;
}

static void log_failure(const cb_msg *msg, const cb_login_request *request)
{
    cb_buf reason = CB_BUF(CB_MSG_BODY_MAX);
    char session[CB_ID_TEXT];
    cb_id_text(&request->session, session);
    cb_buf_put(&reason, cb_buf_bytes(&msg->body));
    cb_log(CB_LOG_WARNING, "login.failed", cb_error_text(msg->error), "error",
           cb_error_code(msg->error), "detail", cb_buf_cstr(&reason), "service", request->service,
           "connector", request->connector, "session", session, NULL);
    cb_buf_free(&reason);
}

/* Serves the login's process until it has an answer. */
static cb_error attend(int socket, uint32_t id, const cb_login_request *request,
                       const cb_login_keys *keys, int64_t deadline, cb_login_result *result)
{
    cb_msg msg;
    unsigned uses = 0, logs = 0;
    cb_error error;
    cb_msg_init(&msg, 0);
    for (;;) {
        error = cb_msg_receive(socket, &msg, deadline + CB_CONN_GRACE);
        if (error || (msg.type != CB_CONN_LOG && msg.type != CB_CONN_USE))
            break;
        if (msg.type == CB_CONN_LOG && ++logs > CB_CONN_LOGS_MAX)
            error = CB_E_CONNECTOR_ANSWER;
        if (msg.type == CB_CONN_USE && cb_deadline_left_ms(deadline) == 0)
            error = CB_E_TIMEOUT;
        if (error)
            break;
        if (msg.type == CB_CONN_LOG)
            cb_session_log(&msg);
        else if ((error = answer_use(socket, &msg, keys, &uses, deadline)) != CB_OK)
            break;
    }
    if (!error && (msg.type != CB_CONN_LOGIN || msg.id != id))
        error = CB_E_CONNECTOR_ANSWER;
    else if (!error && msg.error)
        log_failure(&msg, request);
    if (!error)
        error = msg.error ? msg.error : take_result(&msg, result);
    cb_msg_free(&msg);
    if (error == CB_E_PROTOCOL)
        return CB_E_CONNECTOR_ANSWER;
    return error == CB_E_CLOSED || error == CB_E_IO ? CB_E_CONNECTOR_FAILED : error;
}

cb_error cb_connector_login(cb_connectors *connectors, const cb_login_request *request,
                            const cb_login_keys *keys, int64_t deadline, cb_login_result *result,
                            cb_session **session)
{
    int socket = -1;
    cb_msg msg;
    *session = NULL;
    *result = (cb_login_result){.value = CB_BUF(CB_LOGIN_VALUE_MAX)};
    cb_msg_init(&msg, CB_CONN_LOGIN);
    msg.id = 1;
    cb_error error = put_request(&msg, request, deadline);
    if (!error)
        error = down(cb_msg_connect(connectors->path, &socket));
    if (!error)
        error = down(cb_msg_send(socket, &msg, deadline));
    if (!error)
        error = attend(socket, msg.id, request, keys, deadline, result);
    if (!error) {
        error = cb_session_new(socket, result->kind == CB_SESSION_RELAYED, session);
        if (error)
            cb_login_result_free(result);
    }
    if (error && socket >= 0)
        close(socket);
    cb_msg_free(&msg);
    return error;
}

void cb_login_result_free(cb_login_result *result)
{
    if (!result)
        return;
    cb_buf_free(&result->value);
    result->kind = 0;
    result->expires = 0;
}
