/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/http.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <wolfssl/wolfcrypt/memory.h>

#include "base/clock.h"
#include "base/config.h"
#include "connectors/host/login.h"
#include "connectors/host/opener.h"
#include "connectors/host/tls.h"

#define SYSTEM_TRUST "/etc/ssl/certs/ca-certificates.crt"

enum { SYSTEM_TRUST_MAX = 2 * 1024 * 1024, POLL_MS = 1000 };

static cb_buf system_trust;

/* libcurl 7.88 does not look whether wolfSSL had memory for what each connection later needs. */
static bool starved;

static void *take_noted(size_t size)
{
    void *block = malloc(size);
    starved |= !block;
    return block;
}

static void *take_more_noted(void *block, size_t size)
{
    void *moved = realloc(block, size);
    starved |= !moved && size > 0;
    return moved;
}

static cb_error start_libraries(void)
{
    wolfSSL_SetAllocators(take_noted, free, take_more_noted);
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    wolfSSL_SetAllocators(NULL, NULL, NULL);
    return starved ? CB_E_MEMORY : code != CURLE_OK ? CB_E_INTERNAL : CB_OK;
}

static cb_error read_system_trust(void)
{
    system_trust = CB_BUF(SYSTEM_TRUST_MAX);
    /* Absent on some machines; then each service names its own. */
    cb_error error = cb_file_read(SYSTEM_TRUST, &system_trust);
    if (error)
        cb_buf_reset(&system_trust);
    return error == CB_E_MEMORY ? error : CB_OK;
}

cb_error cb_http_start(void)
{
    cb_error error = start_libraries();
    return error ? error : read_system_trust();
}

/* ---- callbacks ---- */

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    cb_http *http = context;
    (void)purpose, (void)address;
    if (!http->may_connect) {
        http->error = CB_E_SESSION_ENDED;
        return CURL_SOCKET_BAD;
    }
    int fd = -1;
    cb_error error =
        cb_opener_connect(http->login->channel, http->origin, http->connect_until, &fd);
    if (error) {
        http->error = error;
        return CURL_SOCKET_BAD;
    }
    http->connection = fd;
    return fd;
}

static int is_connected(void *context, curl_socket_t fd, curlsocktype purpose)
{
    (void)context, (void)fd, (void)purpose;
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static int close_socket(void *context, curl_socket_t fd)
{
    cb_http *http = context;
    if (http->connection == fd)
        http->connection = -1;
    return close(fd);
}

static CURLcode set_up_tls(CURL *easy, void *ctx, void *context)
{
    cb_http *http = context;
    (void)easy;
    http->error = cb_tls_set_up(http->login, ctx);
    return http->error ? CURLE_ABORTED_BY_CALLBACK : CURLE_OK;
}

static bool is_status_line(cb_bytes line)
{
    return line.len >= 5 && memcmp(line.data, "HTTP/", 5) == 0;
}

size_t cb_http_take_header(char *line, size_t size, size_t count, void *context)
{
    cb_http *http = context;
    cb_bytes bytes = cb_bytes_make(line, size * count);
    if (is_status_line(bytes))
        cb_buf_reset(&http->headers);
    else if (bytes.len > 2)
        cb_buf_put(&http->headers, bytes);
    http->error = cb_buf_error(&http->headers);
    if (!http->error && memchr(line, 0, bytes.len) == NULL)
        return bytes.len;
    if (http->error == CB_E_MEMORY)
        return 0;
    cb_login_explain(http->login, "the service's headers are too large or hold zero bytes");
    http->error = CB_E_SERVICE_ANSWER;
    return 0;
}

/* ---- life ---- */

cb_error cb_http_new(cardbroker_login *login, cb_http **out)
{
    cb_http *http = calloc(1, sizeof *http);
    if (!http)
        return CB_E_MEMORY;
    *http = (cb_http){.login = login,
                      .connection = -1,
                      .may_connect = true,
                      .headers = CB_BUF(CARDBROKER_HEADERS_MAX),
                      .body = CB_BUF(CARDBROKER_BODY_MAX),
                      .found = CB_BUF(CARDBROKER_HEADERS_MAX)};
    http->easy = curl_easy_init();
    http->multi = curl_multi_init();
    *out = http;
    if (!http->easy || !http->multi)
        return CB_E_MEMORY;
    return CB_OK;
}

void cb_http_free(cb_http **http)
{
    if (!http || !*http)
        return;
    curl_easy_cleanup((*http)->easy);
    curl_multi_cleanup((*http)->multi);
    cb_buf_free(&(*http)->headers);
    cb_buf_free(&(*http)->body);
    cb_buf_free(&(*http)->found);
    free((*http)->resolve);
    free(*http);
    *http = NULL;
}

/* ---- preparing ---- */

static cb_error choose_origin(cb_http *http, const char *url, cb_origin *origin)
{
    const cb_fields *fields = &http->login->fields;
    cb_error error = cb_origin_of(url, origin, NULL);
    unsigned i = 0;
    while (!error && i < fields->origin_count && !cb_origin_same(&fields->origins[i], origin))
        i++;
    if (error || i == fields->origin_count) {
        cb_login_misused(http->login,
                         "the address is not of an origin that the configuration names");
        return CB_E_ARGUMENT;
    }
    http->origin = i;
    return CB_OK;
}

/* The name to check in the service's certificate is the one libcurl thinks it connects to; where
 * that is to differ from the URL's host, the URL is rewritten and the Host header kept. What comes
 * after it is said apart: without memory libcurl would leave out a query. */
static void set_url(cb_http *http, const char *url, const cb_origin *origin,
                    const char *server_name)
{
    const char *path = "";
    cb_origin again;
    cb_buf text = CB_BUF(2 * CB_CONN_TARGET_MAX);
    cb_origin_of(url, &again, &path);
    const char *host = server_name ? server_name : origin->host;
    bool v6 = strchr(host, ':') != NULL;
    cb_buf_printf(&text, "https://%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", origin->port);
    size_t target = text.len;
    cb_buf_printf(&text, "%s%s", *path == '/' ? "" : "/", path);
    const char *done = cb_buf_cstr(&text);
    http->lost = !done;
    CB_HTTP_SET(http, CURLOPT_URL, done);
    CB_HTTP_SET(http, CURLOPT_REQUEST_TARGET, done ? &done[target] : NULL);
    cb_buf_free(&text);
}

static void set_callbacks(cb_http *http)
{
    CB_HTTP_SET(http, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    CB_HTTP_SET(http, CURLOPT_OPENSOCKETDATA, http);
    CB_HTTP_SET(http, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    CB_HTTP_SET(http, CURLOPT_CLOSESOCKETDATA, http);
    CB_HTTP_SET(http, CURLOPT_SOCKOPTFUNCTION, is_connected);
    CB_HTTP_SET(http, CURLOPT_SSL_CTX_FUNCTION, set_up_tls);
    CB_HTTP_SET(http, CURLOPT_SSL_CTX_DATA, http);
    CB_HTTP_SET(http, CURLOPT_HEADERFUNCTION, cb_http_take_header);
    CB_HTTP_SET(http, CURLOPT_HEADERDATA, http);
}

static void set_protocol(cb_http *http)
{
    CB_HTTP_SET(http, CURLOPT_PROTOCOLS_STR, "https");
    CB_HTTP_SET(http, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    CB_HTTP_SET(http, CURLOPT_FOLLOWLOCATION, 0L);
    CB_HTTP_SET(http, CURLOPT_PROXY, "");
    CB_HTTP_SET(http, CURLOPT_NOSIGNAL, 1L);
    CB_HTTP_SET(http, CURLOPT_NOPROGRESS, 1L);
    /* On wolfSSL a least version would be the only one; tls.c sets it. */
    CB_HTTP_SET(http, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_DEFAULT);
    CB_HTTP_SET(http, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    CB_HTTP_SET(http, CURLOPT_SSL_VERIFYPEER, 1L);
    CB_HTTP_SET(http, CURLOPT_SSL_VERIFYHOST, 2L);
    CB_HTTP_SET(http, CURLOPT_CAINFO, NULL);
    /* Refused where libcurl reads no folder of certificates at all. */
    curl_easy_setopt(http->easy, CURLOPT_CAPATH, NULL);
    CB_HTTP_SET(http, CURLOPT_MAXCONNECTS, 1L);
    CB_HTTP_SET(http, CURLOPT_FRESH_CONNECT, 1L);
    CB_HTTP_SET(http, CURLOPT_TCP_NODELAY, 1L);
    CB_HTTP_SET(http, CURLOPT_BUFFERSIZE, (long)CURL_MAX_READ_SIZE / 8);
    CB_HTTP_SET(http, CURLOPT_MAXLIFETIME_CONN, 0L);
    CB_HTTP_SET(http, CURLOPT_MAXAGE_CONN, 24L * 3600L);
}

static long milliseconds_until(int64_t deadline)
{
    int left = cb_deadline_left_ms(deadline);
    return left > 0 ? left : 1;
}

cb_error cb_http_prepare(cb_http *http, const cardbroker_request *request, int64_t deadline)
{
    cb_origin origin;
    cb_error error = choose_origin(http, request->url, &origin);
    if (error)
        return error;
    long left = milliseconds_until(deadline);
    long whole =
        request->timeout_ms && request->timeout_ms < left ? (long)request->timeout_ms : left;
    set_url(http, request->url, &origin, request->server_name);
    set_protocol(http);
    set_callbacks(http);
    CB_HTTP_SET(http, CURLOPT_TIMEOUT_MS, whole);
    long connect = request->connect_timeout_ms && request->connect_timeout_ms < whole
                       ? (long)request->connect_timeout_ms
                       : whole;
    CB_HTTP_SET(http, CURLOPT_CONNECTTIMEOUT_MS, connect);
    /* libcurl waits for the opener without looking at its own limits. */
    http->connect_until = cb_deadline_in(connect * CB_MILLISECOND);
    http->with_certificate = request->flags & CARDBROKER_WITH_CERTIFICATE;
    http->trust = cb_bytes_make(request->trust.data, request->trust.len);
    if (http->trust.len == 0)
        http->trust = cb_buf_bytes(&system_trust);
    http->error = CB_OK;
    return CB_OK;
}

void cb_http_add_line(cb_http *http, struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = line ? curl_slist_append(*list, line) : NULL;
    if (longer)
        *list = longer;
    else
        http->lost = true;
}

/* ---- performing ---- */

static cb_error error_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return CB_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return CB_E_SERVICE_SLOW;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return CB_E_SERVICE_CERTIFICATE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        return CB_E_SERVICE_DOWN;
    case CURLE_OUT_OF_MEMORY:
        return CB_E_MEMORY;
    default:
        return CB_E_SERVICE_ANSWER;
    }
}

/* The transfer's outcome, once it has one. */
static bool is_over(CURLM *multi, CURLcode *code)
{
    int left;
    for (CURLMsg *msg; (msg = curl_multi_info_read(multi, &left));) {
        if (msg->msg == CURLMSG_DONE) {
            *code = msg->data.result;
            return true;
        }
    }
    return false;
}

/* Whether an answer broke off, rather than none having come. */
static bool has_begun(const cb_http *http)
{
    long status = 0;
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    return status > 0;
}

static bool is_broker_gone(const cb_http *http)
{
    struct pollfd p = {.fd = http->login->socket};
    return poll(&p, 1, 0) > 0;
}

cb_error cb_http_perform(cb_http *http)
{
    int running = 0;
    CURLcode code = CURLE_OUT_OF_MEMORY; /* of a transfer that does not even begin */
    char detail[CURL_ERROR_SIZE] = "";
    if (http->lost || curl_multi_add_handle(http->multi, http->easy) != CURLM_OK)
        return CB_E_MEMORY;
    curl_easy_setopt(http->easy, CURLOPT_ERRORBUFFER, detail);
    for (;;) {
        /* No events asked for: only the end of the broker's side wakes it. */
        struct curl_waitfd broker = {.fd = http->login->socket};
        if (curl_multi_perform(http->multi, &running) != CURLM_OK || is_over(http->multi, &code))
            break;
        if (running == 0)
            break;
        curl_multi_poll(http->multi, &broker, 1, POLL_MS, NULL);
        if (is_broker_gone(http))
            http->error = CB_E_SESSION_ENDED;
        if (http->error)
            break;
    }
    curl_multi_remove_handle(http->multi, http->easy);
    curl_easy_setopt(http->easy, CURLOPT_ERRORBUFFER, NULL);
    if (code != CURLE_OK && detail[0])
        cb_login_explain(http->login, detail);
    if (http->login->key_error)
        return http->login->key_error;
    if (http->error)
        return http->error;
    /* Out of memory is what libcurl calls a header line that is longer than it takes. */
    if ((code == CURLE_RECV_ERROR || code == CURLE_OUT_OF_MEMORY) && has_begun(http))
        return CB_E_SERVICE_ANSWER;
    return error_of(code);
}
