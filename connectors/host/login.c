/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/login.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "connectors/host/connected.h"
#include "connectors/host/opener.h"
#include "connectors/host/relay.h"
#include "hsm/records.h"

#define ANSWER_TIME (CB_SECOND)
/* Kept back from the deadline, so that the answer arrives before the broker gives up. */
#define MARGIN (50 * CB_MILLISECOND)

/* ---- towards the broker ---- */

cb_error cb_login_use(cardbroker_login *login, uint8_t operation, uint8_t hash, cb_bytes data,
                      cb_buf *result)
{
    cb_msg msg;
    if (login->uses++ >= CB_CONN_USES_MAX)
        return login->key_error = CB_E_HSM_ACTIVATION;
    cb_msg_init(&msg, CB_CONN_USE);
    cb_buf_put_u8(&msg.body, operation);
    cb_buf_put_u8(&msg.body, hash);
    cb_buf_put_var(&msg.body, data);
    cb_error error = cb_msg_call(login->socket, &msg, &msg, login->deadline);
    cb_cursor cursor = cb_msg_cursor(&msg);
    if (!error)
        cb_buf_put(result, cb_cursor_var(&cursor, CB_USE_RESULT_MAX));
    if (!error)
        error = cb_cursor_done(&cursor) ? cb_buf_error(result) : CB_E_PROTOCOL;
    if (error)
        login->key_error = error;
    cb_msg_free(&msg);
    return error;
}

static void put_text(cb_buf *buf, const char *text)
{
    size_t len = strlen(text);
    cb_buf_put_var(buf, cb_bytes_make(text, len < CB_CONN_TEXT_MAX ? len : CB_CONN_TEXT_MAX));
}

void cb_login_log(cardbroker_login *login, uint8_t level, const char *event, const char *message)
{
    cb_msg msg;
    if (login->logged++ >= CB_CONN_LOGS_MAX || !event || !message)
        return;
    cb_msg_init(&msg, CB_CONN_LOG);
    cb_buf_put_u8(&msg.body, level);
    put_text(&msg.body, event);
    put_text(&msg.body, message);
    cb_msg_send(login->socket, &msg, 0);
    cb_msg_free(&msg);
}

void cb_login_explain(cardbroker_login *login, const char *sentence)
{
    if (!sentence || login->reason.len > 0)
        return;
    cb_bytes text = cb_bytes_str(sentence);
    cb_buf_put(&login->reason,
               cb_bytes_make(text.data, text.len < CB_CONN_TEXT_MAX ? text.len : CB_CONN_TEXT_MAX));
}

void cb_login_misused(cardbroker_login *login, const char *sentence)
{
    login->misused = true;
    cb_login_explain(login, sentence);
}

/* True when the broker was told a success. Who cannot be told anything sees this process end. */
static bool answer(cardbroker_login *login, uint16_t type, uint32_t id, cb_error error,
                   const cb_buf *body)
{
    cb_msg msg;
    cb_msg_init(&msg, type);
    msg.id = id;
    if (!error)
        error = cb_buf_error(body);
    if (!error)
        cb_buf_put(&msg.body, cb_buf_bytes(body));
    if (!error)
        error = cb_buf_error(&msg.body);
    /* An error is said even if there is no memory for the words. */
    if (error) {
        cb_buf_reset(&msg.body);
        cb_buf_put(&msg.body, cb_buf_bytes(&login->reason));
    }
    if (cb_buf_error(&msg.body))
        cb_buf_reset(&msg.body);
    msg.error = error;
    bool sent = cb_msg_send(login->socket, &msg, cb_deadline_in(ANSWER_TIME)) == CB_OK;
    cb_msg_free(&msg);
    return sent && !error;
}

/* ---- from the first message ---- */

static cb_error take_text(cb_cursor *cursor, size_t most, char **out)
{
    cb_bytes text = cb_cursor_var(cursor, most);
    if (!cb_cursor_ok(cursor) || (text.len > 0 && memchr(text.data, 0, text.len)))
        return CB_E_PROTOCOL;
    *out = cb_text_copy(text);
    return *out ? CB_OK : CB_E_MEMORY;
}

static cb_error take_var(cb_cursor *cursor, size_t most, cb_buf *out)
{
    *out = CB_BUF(most + 1);
    cb_buf_put(out, cb_cursor_var(cursor, most));
    return cb_buf_error(out);
}

static cb_error read_holder(cardbroker_login *login, cb_cursor *cursor, char **enrolment)
{
    cb_error error = take_text(cursor, CB_LOGIN_CONFIG_MAX, enrolment);
    if (!error)
        error = take_var(cursor, CB_CONN_CERTIFICATE_MAX, &login->certificate);
    if (!error)
        error = take_var(cursor, CB_CONN_CHAIN_MAX, &login->chain);
    if (!error)
        error = take_var(cursor, CB_PUBLIC_KEY_MAX, &login->public_key);
    login->algorithm = cb_cursor_u8(cursor);
    cb_cursor_copy(cursor, login->session.bytes, CB_ID_SIZE);
    login->deadline = cb_deadline_before((int64_t)cb_cursor_u64(cursor), MARGIN);
    return error;
}

static cb_error read_login(cardbroker_login *login, const cb_msg *msg, char **config,
                           char **enrolment)
{
    cb_cursor cursor = cb_msg_cursor(msg);
    cb_cursor_var(&cursor, CB_CONN_NAME_MAX); /* the connector, which the zygote is */
    bool whole = msg->type == CB_CONN_LOGIN || msg->type == CB_CONN_ENROL;
    login->deadline = cb_deadline_in(CB_CONN_OPERATION_TIME - CB_SECOND);
    cb_error error = CB_OK;
    if (whole)
        error = take_text(&cursor, CB_CONN_TEXT_MAX, &login->service);
    if (!error)
        error = take_text(&cursor, CB_LOGIN_CONFIG_MAX, config);
    if (!error && whole)
        error = read_holder(login, &cursor, enrolment);
    return error ? error : cb_cursor_done(&cursor) ? CB_OK : CB_E_PROTOCOL;
}

static cb_error check_algorithm(cardbroker_login *login)
{
    if (login->algorithm < 32 &&
        login->plugin->about->algorithms & CARDBROKER_USES(login->algorithm))
        return CB_OK;
    cb_login_explain(login, "this connector does not work with a key of this algorithm");
    return CB_E_HSM_ALGORITHM;
}

/* Everything that needs rights which are then given up. */
static cb_error prepare(cardbroker_login *login, const cb_msg *msg, int registrations,
                        const cb_login_limits *limits, const cb_sandbox_filter *calls)
{
    char *config = NULL;
    char *enrolment = NULL;
    int keep[] = {login->socket, registrations};
    signal(SIGPIPE, SIG_IGN);
    cb_connected_from_now();
    cb_error error = cb_login_close_others(keep, 2);
    if (!error)
        error = read_login(login, msg, &config, &enrolment);
    if (!error)
        error =
            cb_fields_read(&login->fields, login->plugin->about, config, enrolment, &login->reason);
    if (!error && enrolment)
        error = check_algorithm(login);
    if (!error)
        error = cb_http_new(login, &login->http);
    if (!error)
        error = cb_opener_register(registrations, login->fields.origins, login->fields.origin_count,
                                   &login->channel);
    close(registrations);
    free(config);
    free(enrolment);
    return error ? error : cb_login_confine(limits, calls);
}

/* ---- the operations ---- */

typedef cardbroker_status (*operation)(const cardbroker_host *host, cardbroker_login *login);

/* The most exact of what is known about a failure. */
static cb_error outcome(const cardbroker_login *login, cardbroker_status status)
{
    if (login->key_error)
        return login->key_error;
    if (status == CARDBROKER_OK)
        return CB_OK;
    if (login->misused)
        return CB_E_CONNECTOR_ANSWER;
    if (login->host_error && cb_status_of_error(login->host_error) == status)
        return login->host_error;
    return cb_error_of_status(status);
}

static cb_error run(cardbroker_login *login, operation function)
{
    return function ? outcome(login, function(&cb_host_table, login)) : CB_OK;
}

static cb_error authenticate(cardbroker_login *login)
{
    cb_error error = run(login, login->plugin->table->authenticate);
    if (!error && !login->kind) {
        cb_login_explain(login, "the connector said that it logged in but gave no result");
        error = CB_E_CONNECTOR_ANSWER;
    }
    return error;
}

static void write_result(const cardbroker_login *login, cb_buf *body)
{
    *body = CB_BUF(CB_LOGIN_VALUE_MAX + 64);
    cb_buf_put_u8(body, (uint8_t)login->kind);
    cb_buf_put_u64(body, (uint64_t)login->expires);
    cb_buf_put_var(body, cb_buf_bytes(&login->value));
}

/* Until the broker wants the session ended. */
static bool wait_for_end(cardbroker_login *login, uint32_t *id)
{
    cb_msg msg;
    cb_msg_init(&msg, 0);
    cb_error error;
    do {
        error = cb_msg_receive(login->socket, &msg, INT64_MAX);
    } while (error == CB_E_TIMEOUT);
    *id = msg.id;
    bool log_out = !error && msg.type == CB_CONN_LOGOUT;
    cb_msg_free(&msg);
    return log_out;
}

static void keep_session(cardbroker_login *login)
{
    uint32_t id = 0;
    bool asked = false;
    cb_log_set_request(NULL);
    if (login->kind == CB_SESSION_RELAYED)
        asked = cb_login_relay(login, &id);
    else if (login->plugin->table->log_out)
        asked = wait_for_end(login, &id);
    if (!asked)
        return;
    login->deadline = cb_deadline_in(CB_CONN_LOGOUT_TIME - MARGIN);
    login->uses = CB_CONN_USES_MAX;
    login->http->may_connect = true;
    cb_error error = run(login, login->plugin->table->log_out);
    answer(login, CB_CONN_LOGOUT, id, error, &(cb_buf){0});
}

static void do_login(cardbroker_login *login, uint32_t id)
{
    cb_buf body = CB_BUF(0);
    cb_error error = authenticate(login);
    write_result(login, &body);
    bool logged_in = answer(login, CB_CONN_LOGIN, id, error, &body);
    cb_buf_free(&body);
    if (logged_in)
        keep_session(login);
}

static void do_other(cardbroker_login *login, uint16_t type, uint32_t id)
{
    const cardbroker_connector *table = login->plugin->table;
    operation function = type == CB_CONN_CHECK    ? table->check
                         : type == CB_CONN_ENROL  ? table->enrol
                         : type == CB_CONN_HEALTH ? table->health
                                                  : NULL;
    login->uses = CB_CONN_USES_MAX; /* no key is used outside a login */
    cb_error error = run(login, function);
    if (!error && type == CB_CONN_ENROL && login->value.len == 0)
        cb_buf_put_str(&login->value, "{}");
    answer(login, type, id, error, &login->value);
}

int cb_login_run(const cb_plugin *plugin, cb_msg *msg, int registrations,
                 const cb_login_limits *limits, const cb_sandbox_filter *calls)
{
    /* Everything ends with the process; nothing here is freed. */
    cardbroker_login *login = calloc(1, sizeof *login);
    if (!login) {
        answer(&(cardbroker_login){.socket = msg->fd}, msg->type, msg->id, CB_E_MEMORY, NULL);
        return 0;
    }
    *login = (cardbroker_login){.socket = msg->fd,
                                .channel = -1,
                                .plugin = plugin,
                                .value = CB_BUF(CB_LOGIN_VALUE_MAX),
                                .relay_headers = CB_BUF(CB_RELAY_HEADERS_MAX / 2),
                                .reason = CB_BUF(2 * CB_CONN_TEXT_MAX)};
    msg->fd = -1;
    uint16_t type = msg->type;
    uint32_t id = msg->id;
    cb_log_set_request(&msg->request);
    cb_error error = prepare(login, msg, registrations, limits, calls);
    cb_msg_free(msg);
    if (error)
        answer(login, type, id, error, NULL);
    else if (type == CB_CONN_LOGIN)
        do_login(login, id);
    else
        do_other(login, type, id);
    return 0;
}
