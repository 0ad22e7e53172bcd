/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A connector's process between two peers that say what they like: the broker (a first message,
 * then answers about the key and a relayed session) and the service (its answers as bytes).
 *
 * An input: u8 type and u16 length of the first message, and its body; u8 number of the messages
 * that follow, each u8 type, u8 error, u16 length, body; the rest is what the service sends. Bit 6
 * of an OPEN's type puts a deadline that is not over in the place of its last eight bytes.
 *
 * The first message is answered once, each question at most once; a head that the broker gets is
 * well formed; the key is asked for no more often than one login may.
 */
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "connectors/host/connected.h"
#include "connectors/host/login.h"
#include "connectors/host/opener.h"
#include "connectors/host/relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
cb_error __wrap_cb_msg_receive(int socket, cb_msg *msg, int64_t deadline);
cb_error __wrap_cb_msg_send(int socket, const cb_msg *msg, int64_t deadline);
cb_error __wrap_cb_msg_call(int socket, cb_msg *question, cb_msg *answer, int64_t deadline);
cb_error __wrap_cb_http_perform(cb_http *http);
cb_error __real_cb_http_perform(cb_http *http);
cb_error __wrap_cb_login_close_others(const int *keep, unsigned count);
cb_error __wrap_cb_login_confine(const cb_login_limits *limits, const cb_sandbox_filter *calls);
cb_error __wrap_cb_opener_register(int registrations, const cb_origin *origins, size_t count,
                                   int *channel);

/* A process ends with its operation and frees nothing; here it goes on. */
static cardbroker_login *made;
#define calloc(count, size) (made = (calloc)(count, size))
#include "connectors/host/login.c"
#undef calloc

enum { MESSAGES_MAX = 24, DEADLINE_NEAR = 0x40 };

static cb_cursor messages; /* still to come */
static unsigned message_count;
static cb_bytes service;
static int broker[2], quiet[2];
static uint16_t first_type;
static unsigned first_answers, questions, answers, uses;

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- The broker ---- */

static bool next_message(cb_msg *msg)
{
    if (message_count == 0 || messages.rest.len == 0)
        return false;
    message_count--;
    uint8_t type = cb_cursor_u8(&messages);
    msg->type = type & (DEADLINE_NEAR - 1);
    msg->error = cb_cursor_u8(&messages) % CB_ERROR_COUNT;
    size_t len = cb_cursor_u16(&messages);
    cb_bytes body = cb_cursor_take(&messages, len < messages.rest.len ? len : messages.rest.len);
    bool near = type & DEADLINE_NEAR && body.len >= 8;
    cb_buf_put(&msg->body, near ? cb_bytes_make(body.data, body.len - 8) : body);
    if (near)
        cb_buf_put_u64(&msg->body, (uint64_t)cb_deadline_in(CB_SECOND));
    return true;
}

cb_error __wrap_cb_msg_receive(int socket, cb_msg *msg, int64_t deadline)
{
    (void)socket;
    cb_msg_free(msg);
    if (deadline != INT64_MAX && cb_deadline_left_ms(deadline) == 0)
        return CB_E_TIMEOUT;
    if (!next_message(msg))
        return CB_E_CLOSED;
    msg->id = 1000 + message_count;
    questions += msg->type == CB_CONN_HEAD || msg->type == CB_CONN_READ;
    return CB_OK;
}

static void check_head(const cb_msg *msg)
{
    cb_cursor in = cb_msg_cursor(msg);
    cb_cursor_u16(&in);
    cb_bytes headers = cb_cursor_var(&in, CB_RELAY_HEADERS_MAX);
    must(cb_cursor_done(&in) && (headers.len == 0 || !memchr(headers.data, 0, headers.len)));
}

cb_error __wrap_cb_msg_send(int socket, const cb_msg *msg, int64_t deadline)
{
    (void)socket, (void)deadline;
    must(cb_buf_error(&msg->body) == CB_OK);
    if (msg->id == 1)
        must(msg->type == first_type && ++first_answers == 1);
    else if (msg->type == CB_CONN_HEAD || msg->type == CB_CONN_READ)
        must(++answers <= questions);
    if (msg->id > 1 && msg->type == CB_CONN_HEAD && !msg->error)
        check_head(msg);
    return CB_OK;
}

cb_error __wrap_cb_msg_call(int socket, cb_msg *question, cb_msg *answer, int64_t deadline)
{
    (void)socket, (void)deadline;
    must(question->type == CB_CONN_USE && ++uses <= CB_CONN_USES_MAX);
    cb_msg_free(answer);
    return next_message(answer) ? answer->error : CB_E_CLOSED;
}

/* ---- The service, without TLS: libcurl reads what is there, and then the end ---- */

static curl_socket_t open_service(void *context, curlsocktype purpose,
                                  struct curl_sockaddr *address)
{
    int pair[2];
    cb_http *http = context;
    (void)purpose, (void)address;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return CURL_SOCKET_BAD;
    if (service.len > 0 && send(pair[1], service.data, service.len, MSG_NOSIGNAL) < 0)
        abort();
    shutdown(pair[1], SHUT_WR);
    /* Left open beyond this exchange, so that a request may be sent: it is never read. */
    if (http->login->channel >= 0)
        close(http->login->channel);
    http->login->channel = pair[1];
    return pair[0];
}

static int is_connected(void *context, curl_socket_t fd, curlsocktype purpose)
{
    (void)context, (void)fd, (void)purpose;
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

cb_error __wrap_cb_http_perform(cb_http *http)
{
    CURL *easy = http->easy;
    curl_easy_setopt(easy, CURLOPT_URL, "http://192.0.2.1/");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_service);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, is_connected);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, cb_http_take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
    return __real_cb_http_perform(http);
}

/* ---- The connector: asks for everything once, gives the result that the configuration names ----
 */

static const cardbroker_field fields[] = {
    {.name = "url", .type = CARDBROKER_URL, .flags = CARDBROKER_REQUIRED, .help = ""},
    {.name = "count",
     .type = CARDBROKER_INTEGER,
     .fallback = "1",
     .least = -1,
     .most = 99,
     .help = ""},
    {.name = "result", .type = CARDBROKER_STRING, .fallback = "relayed", .help = ""},
    {.name = "who", .type = CARDBROKER_STRING, .flags = CARDBROKER_OF_ENROLMENT, .help = ""}};
static const cardbroker_description about = {.size = sizeof about,
                                             .name = "fuzz",
                                             .kinds = 15,
                                             .algorithms = 0x7E,
                                             .fields = fields,
                                             .field_count = sizeof fields / sizeof *fields};

static void use_key(const cardbroker_host *host, cardbroker_login *login)
{
    uint8_t out[512];
    char jwk[2048];
    size_t len = 0;
    cardbroker_bytes some = {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32};
    host->public_jwk(login, jwk, sizeof jwk);
    for (int64_t i = 0; i < host->number(login, "count"); i++)
        if (host->sign(login, CARDBROKER_SIGN, CARDBROKER_SHA256, some, out, sizeof out, &len) ==
            CARDBROKER_OK)
            must(len <= sizeof out);
    host->mac(login, some, out, 32, &len);
}

static cardbroker_status log_in(const cardbroker_host *host, cardbroker_login *login)
{
    const char *result = host->text(login, "result"), *who = host->text(login, "who");
    cardbroker_request request = {
        .size = sizeof request, .method = "GET", .url = host->text(login, "url")};
    cardbroker_response response = {.size = sizeof response};
    must(request.url && result);
    use_key(host, login);
    if (host->http(login, &request, &response) == CARDBROKER_OK) {
        const char *where = host->header(login, &response, "Location");
        host->set_relay_header(login, "X-From", where ? where : "nobody");
    }
    if (strcmp(result, "token") == 0)
        return host->set_token(login, who, 1);
    if (strcmp(result, "url") == 0)
        return host->set_url(login, who, -1);
    if (strcmp(result, "cookies") == 0)
        return host->set_cookies(login, who, INT64_MAX);
    login->http->connection = quiet[0];
    if (who)
        host->set_relay_header(login, who, who);
    return host->set_relayed(login, host->time_left(login));
}

static cardbroker_status enrol(const cardbroker_host *host, cardbroker_login *login)
{
    const char *who = host->text(login, "who");
    return who ? host->set_enrolment(login, who) : CARDBROKER_OK;
}

static cardbroker_status log_out(const cardbroker_host *host, cardbroker_login *login)
{
    host->log(login, CARDBROKER_INFO, "fuzz.out", host->text(login, "result"));
    return CARDBROKER_OK;
}

static const cardbroker_connector table = {
    .enrol = enrol, .authenticate = log_in, .log_out = log_out};
static const cb_plugin plugin = {.name = "fuzz", .table = &table, .about = &about};

/* ---- What a process does to itself ---- */

cb_error __wrap_cb_login_close_others(const int *keep, unsigned count)
{
    (void)keep, (void)count;
    return CB_OK;
}

cb_error __wrap_cb_login_confine(const cb_login_limits *limits, const cb_sandbox_filter *calls)
{
    (void)limits, (void)calls;
    return CB_OK;
}

cb_error __wrap_cb_opener_register(int registrations, const cb_origin *origins, size_t count,
                                   int *channel)
{
    (void)registrations;
    must(count > 0 && origins[0].host[0]);
    *channel = -1;
    return CB_OK;
}

static void free_login(cardbroker_login *login)
{
    cb_buf *const all[] = {&login->certificate, &login->chain,         &login->public_key,
                           &login->value,       &login->relay_headers, &login->reason};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cb_buf_free(all[i]);
    cb_http_free(&login->http);
    if (login->channel >= 0)
        close(login->channel);
    cb_fields_free(&login->fields);
    free(login->service);
    free(login);
}

static void prepare_once(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    cb_log_init("fuzz", CB_LOG_ERROR + 1);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    must(pipe(broker) == 0 && pipe(quiet) == 0 && write(broker[1], "", 1) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t types[] = {CB_CONN_LOGIN, CB_CONN_ENROL, CB_CONN_CHECK, CB_CONN_HEALTH};
    cb_msg msg;
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    prepare_once();
    first_type = types[cb_cursor_u8(&in) % 4];
    cb_msg_init(&msg, first_type);
    size_t len = cb_cursor_u16(&in);
    cb_buf_put(&msg.body, cb_cursor_take(&in, len < in.rest.len ? len : in.rest.len));
    /* A deadline that is not over, where one stands. */
    if (first_type <= CB_CONN_LOGIN && msg.body.len >= 8 &&
        msg.body.data[msg.body.len - 8] == 0x7E) {
        msg.body.len -= 8;
        cb_buf_put_u64(&msg.body, (uint64_t)cb_deadline_in(CB_SECOND));
    }
    msg.id = 1;
    msg.fd = broker[0];
    message_count = cb_cursor_u8(&in) % (MESSAGES_MAX + 1);
    first_answers = questions = answers = uses = 0;
    messages = in;
    for (unsigned i = 0; i < message_count && in.rest.len > 0; i++) {
        cb_cursor_u16(&in);
        len = cb_cursor_u16(&in);
        cb_cursor_take(&in, len < in.rest.len ? len : in.rest.len);
    }
    service = cb_cursor_rest(&in);
    must(cb_login_run(&plugin, &msg, -1, NULL, NULL) == 0 && first_answers == 1);
    free_login(made);
    return 0;
}
