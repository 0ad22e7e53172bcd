/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/relay.h"

#include <wolfssl/ssl.h>

#include <curl/curl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/terminal/relay_json.h"
#include "cardlink/terminal/relay_parts.h"

enum {
    CONNECT_MS = 5000,
    IDLE_S = 45, /* after which a kept connection is not trusted to be alive */
    URL_BYTES = 1024,
    REQUEST_BYTES = 160 * 1024
};

struct cb_relay {
    CURL *curl;
    struct curl_slist *headers;
    char *broker;
    int64_t timeout;
    cb_buf request;
    size_t sent; /* of the request */
    cb_buf body;
    cb_bytes certificate, key; /* PEM, borrowed; empty: what is in the files */
    char reason[CURL_ERROR_SIZE];
    bool again; /* the last question was asked twice */
    bool maintenance;
};

cb_error cb_relay_init(void)
{
    cb_json_wipe_always();
    return wolfSSL_Init() == WOLFSSL_SUCCESS && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
               ? CB_OK
               : CB_E_INTERNAL;
}

static size_t receive(char *data, size_t size, size_t count, void *context)
{
    cb_relay *relay = context;
    cb_buf_put(&relay->body, cb_bytes_make(data, size * count));
    return cb_buf_error(&relay->body) == CB_OK ? size * count : 0;
}

/* The body is read from here, and cannot be read again: otherwise libcurl would ask anew, by
 * itself, when a kept connection ends without an answer, although the broker may have heard the
 * question. */
static size_t give(char *out, size_t size, size_t count, void *context)
{
    cb_relay *relay = context;
    size_t left = relay->request.len - relay->sent;
    size_t len = size * count < left ? size * count : left;
    if (len > 0)
        memcpy(out, relay->request.data + relay->sent, len);
    relay->sent += len;
    return len;
}

static bool show_as(WOLFSSL_CTX *context, cb_bytes certificate, cb_bytes key)
{
    return wolfSSL_CTX_use_certificate_chain_buffer(context, certificate.data,
                                                    (long)certificate.len) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_use_PrivateKey_buffer(context, key.data, (long)key.len,
                                             WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS;
}

/* No resumption, on top of curl's own refusal: the broker must see the certificate in each
 * handshake. A client that does not ask for tickets (TLS 1.2) gets none, and those of TLS 1.3 are
 * kept nowhere. */
static CURLcode on_handshake(CURL *curl, void *context, void *of)
{
    const cb_relay *relay = of;
    (void)curl;
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    bool good = relay->key.len == 0 || show_as(context, relay->certificate, relay->key);
    return good ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

static bool configure(cb_relay *relay, const cb_relay_settings *settings)
{
    CURL *curl = relay->curl;
    long timeout = (long)(settings->timeout / CB_MILLISECOND);
    long connect = timeout < CONNECT_MS ? timeout : CONNECT_MS;
    CURLcode rc = CURLE_OK;
#define SET(option, value) rc = rc ? rc : curl_easy_setopt(curl, option, value)
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_CAINFO, settings->ca);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (settings->certificate && settings->key_pem.len == 0) {
        SET(CURLOPT_SSLCERT, settings->certificate);
        SET(CURLOPT_SSLKEY, settings->key);
    }
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_handshake);
    SET(CURLOPT_SSL_CTX_DATA, relay);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, 15L);
    SET(CURLOPT_TCP_KEEPINTVL, 5L);
    SET(CURLOPT_MAXCONNECTS, 1L);
    SET(CURLOPT_MAXAGE_CONN, (long)IDLE_S);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, connect);
    SET(CURLOPT_TIMEOUT_MS, timeout);
    SET(CURLOPT_HTTPHEADER, relay->headers);
    SET(CURLOPT_USERAGENT, "cardlink/" CB_VERSION);
    SET(CURLOPT_ERRORBUFFER, relay->reason);
    SET(CURLOPT_WRITEFUNCTION, receive);
    SET(CURLOPT_WRITEDATA, relay);
    SET(CURLOPT_READFUNCTION, give);
    SET(CURLOPT_READDATA, relay);
#undef SET
    return rc == CURLE_OK;
}

cb_error cb_relay_open(const cb_relay_settings *settings, cb_relay **out)
{
    cb_relay *relay = calloc(1, sizeof *relay);
    if (!relay)
        return CB_E_MEMORY;
    relay->request = CB_BUF(REQUEST_BYTES);
    relay->body = CB_BUF(CB_RELAY_BODY_MAX);
    relay->broker = strdup(settings->broker);
    relay->timeout = settings->timeout;
    relay->maintenance = settings->maintenance;
    relay->certificate = settings->certificate_pem;
    relay->key = settings->key_pem;
    relay->curl = curl_easy_init();
    relay->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (relay->headers && !curl_slist_append(relay->headers, "Expect:")) {
        curl_slist_free_all(relay->headers);
        relay->headers = NULL;
    }
    if (!relay->broker || !relay->curl || !relay->headers || !configure(relay, settings)) {
        cb_relay_close(&relay);
        return CB_E_MEMORY;
    }
    *out = relay;
    return CB_OK;
}

void cb_relay_close(cb_relay **handle)
{
    cb_relay *relay = *handle;
    *handle = NULL;
    if (!relay)
        return;
    curl_easy_cleanup(relay->curl);
    curl_slist_free_all(relay->headers);
    cb_buf_free(&relay->request);
    cb_buf_free(&relay->body);
    free(relay->broker);
    free(relay);
}

bool cb_relay_maintains(const cb_relay *relay) { return relay->maintenance; }

bool cb_relay_asked_again(const cb_relay *relay) { return relay->again; }

int64_t cb_relay_timeout(const cb_relay *relay) { return relay->timeout; }

static cb_error transport_error(CURLcode rc, const cb_buf *body)
{
    switch (rc) {
    case CURLE_OK:
        return CB_OK;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CACERT_BADFILE: /* what curl makes of an issuer that the file does not name */
        return CB_E_BROKER_CERTIFICATE;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
        return CB_E_CONFIG;
    case CURLE_WRITE_ERROR: /* more than there may be, or no memory for it */
        return cb_buf_error(body) == CB_E_MEMORY ? CB_E_MEMORY : CB_E_PROTOCOL;
    case CURLE_OPERATION_TIMEDOUT:
        return CB_E_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return CB_E_MEMORY;
    default:
        return CB_E_BROKER_DOWN;
    }
}

static cb_error prepare(cb_relay *relay, const cb_relay_request *what)
{
    char url[URL_BYTES];
    int len = snprintf(url, sizeof url, "%s%s", relay->broker, what->path);
    cb_buf_reset(&relay->request);
    cb_error error = what->body ? cb_json_write(what->body, &relay->request) : CB_OK;
    if (error || len < 0 || (size_t)len >= sizeof url)
        return error ? error : CB_E_CONFIG;
    CURLcode rc = curl_easy_setopt(relay->curl, CURLOPT_URL, url);
    if (!rc && !what->body)
        rc = curl_easy_setopt(relay->curl, CURLOPT_HTTPGET, 1L);
    if (!rc && what->body)
        rc = curl_easy_setopt(relay->curl, CURLOPT_POST, 1L);
    if (!rc && what->body)
        rc = curl_easy_setopt(relay->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                              (curl_off_t)relay->request.len);
    return rc ? CB_E_MEMORY : CB_OK;
}

/* Sends it; once more on a new connection if that is safe and the old one was dead. */
static cb_error perform(cb_relay *relay, const cb_relay_request *what, cb_problem *problem)
{
    cb_error error = prepare(relay, what);
    for (int attempt = 0; !error; attempt++) {
        cb_buf_reset(&relay->body);
        relay->sent = 0;
        relay->again = attempt > 0;
        relay->reason[0] = 0;
        curl_easy_setopt(relay->curl, CURLOPT_FRESH_CONNECT, (long)(attempt > 0));
        CURLcode rc = curl_easy_perform(relay->curl);
        if (rc == CURLE_SEND_FAIL_REWIND)
            snprintf(relay->reason, sizeof relay->reason, "the connection ended without an answer");
        error = transport_error(rc, &relay->body);
        if (error != CB_E_BROKER_DOWN || !what->safe || attempt > 0)
            break;
        error = CB_OK;
    }
    if (error)
        cb_problem_set(problem, error, relay->reason[0] ? relay->reason : NULL);
    return error;
}

cb_error cb_relay_exchange(cb_relay *relay, const cb_relay_request *what, json_t **answer,
                           cb_problem *problem)
{
    long status = 0;
    curl_off_t retry_after = 0;
    *answer = NULL;
    cb_error error = perform(relay, what, problem);
    if (!error) {
        curl_easy_getinfo(relay->curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(relay->curl, CURLINFO_RETRY_AFTER, &retry_after);
        int after = retry_after > 0 && retry_after <= 86400 ? (int)retry_after : -1;
        if ((unsigned)status != what->success)
            error = cb_problem_read(problem, (unsigned)status, cb_buf_bytes(&relay->body), after);
        else if ((error = cb_json_read(cb_buf_bytes(&relay->body), answer)) != CB_OK)
            cb_problem_set(problem, error,
                           error == CB_E_PROTOCOL ? "the broker's answer is not JSON" : NULL);
    }
    cb_buf_reset(&relay->body);
    cb_buf_reset(&relay->request);
    return error;
}

bool cb_relay_is_text(const char *text)
{
    uint32_t character;
    size_t len;
    for (; *text; text += len)
        if ((len = cb_utf8_read(text, &character)) == 0)
            return false;
    return true;
}
