/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/relay.h"

#include <wolfssl/ssl.h>

#include <curl/curl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/profile.h"
#include "cardlink/terminal/relay_json.h"
#include "cardlink/x509/request.h"

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
    char reason[CURL_ERROR_SIZE];
};

/* One exchange. */
typedef struct request {
    const char *path;
    json_t *body;     /* NULL: GET. Owned by the caller */
    bool safe;        /* may be asked again */
    unsigned success; /* the status of a success */
} request;

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

/* No resumption, on top of curl's own refusal: the broker must see the certificate in each
 * handshake. A client that does not ask for tickets (TLS 1.2) gets none, and those of TLS 1.3 are
 * kept nowhere. */
static CURLcode no_sessions(CURL *curl, void *context, void *unused)
{
    (void)curl;
    (void)unused;
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    return CURLE_OK;
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
    if (settings->certificate) {
        SET(CURLOPT_SSLCERT, settings->certificate);
        SET(CURLOPT_SSLKEY, settings->key);
    }
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_SSL_CTX_FUNCTION, no_sessions);
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

static cb_error prepare(cb_relay *relay, const request *what)
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
static cb_error perform(cb_relay *relay, const request *what, cb_problem *problem)
{
    cb_error error = prepare(relay, what);
    for (int attempt = 0; !error; attempt++) {
        cb_buf_reset(&relay->body);
        relay->sent = 0;
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

/* Does an exchange and reads the answer; *answer is NULL unless CB_OK is returned. */
static cb_error exchange(cb_relay *relay, const request *what, json_t **answer, cb_problem *problem)
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

void cb_relay_tap_init(cb_relay_tap *tap)
{
    *tap = (cb_relay_tap){.script = CB_BUF(CB_SCRIPT_BYTES_MAX)};
}

void cb_relay_tap_free(cb_relay_tap *tap)
{
    cb_buf_free(&tap->script);
    tap->id = (cb_id){{0}};
    tap->expires = 0;
}

static cb_error no_script(cb_problem *problem, cb_error error)
{
    return cb_problem_set(
        problem, error,
        error == CB_E_PROTOCOL ? "the broker's script is not one, or exceeds the limits" : NULL);
}

cb_error cb_relay_begin(cb_relay *relay, const cb_card_profile *profile, cb_relay_tap *tap,
                        cb_problem *problem)
{
    json_t *answer = NULL;
    int64_t asked = cb_clock_monotonic_us();
    json_t *body = json_pack("{s:s}", "profile", profile->name);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    request what = {.path = "/v1/taps", .body = body, .safe = true, .success = 201};
    cb_error error = exchange(relay, &what, &answer, problem);
    if (!error) {
        error = cb_json_read_begun(answer, true, asked, tap);
        if (error)
            no_script(problem, error);
    }
    json_decref(answer);
    json_decref(body);
    return error;
}

static void path_of(const cb_relay_tap *tap, const char *step, char out[128])
{
    char id[CB_ID_TEXT];
    cb_id_text(&tap->id, id);
    snprintf(out, 128, "/v1/taps/%s/%s", id, step);
}

static const char *purpose_name(uint8_t purpose)
{
    switch (purpose) {
    case CB_TAP_PIN_CHANGE:
        return "pin_change";
    case CB_TAP_PIN_UNBLOCK:
        return "pin_unblock";
    case CB_TAP_CARD_END:
        return "card_end";
    case CB_TAP_PIN_RESET:
        return "pin_reset";
    default:
        return "authenticate";
    }
}

static bool is_text(const char *text)
{
    uint32_t character;
    size_t len;
    for (; *text; text += len)
        if ((len = cb_utf8_read(text, &character)) == 0)
            return false;
    return true;
}

/* NULL: no memory. */
static json_t *challenge_body(const cb_relay_question *question, cb_bytes answers)
{
    char pin[2 * CB_PIN_CIPHERTEXT_MAX + 1];
    json_t *root = json_object();
    int rc = json_object_set_new(root, "answers", cb_json_answers(answers));
    rc |= json_object_set_new(root, "purpose", json_string(purpose_name(question->purpose)));
    if (question->service[0])
        rc |= json_object_set_new(root, "service", json_string(question->service));
    if (question->after) {
        char after[CB_ID_TEXT];
        cb_id_text(question->after, after);
        rc |= json_object_set_new(root, "after", json_string(after));
    }
    if (question->card) {
        char card[CB_ID_TEXT];
        cb_id_text(question->card, card);
        rc |= json_object_set_new(root, "card", json_string(card));
    }
    if (question->text[0])
        rc |= json_object_set_new(root, "text", json_string(question->text));
    if (question->pin.len > CB_PIN_CIPHERTEXT_MAX)
        rc = -1;
    else if (question->pin.len > 0) {
        cb_hex(question->pin, pin);
        rc |= json_object_set_new(root, "pin", json_string(pin));
        cb_wipe(pin, sizeof pin);
    }
    if (rc != 0) {
        json_decref(root);
        root = NULL;
    }
    return root;
}

cb_error cb_relay_challenge(cb_relay *relay, cb_relay_tap *tap, const cb_relay_question *question,
                            cb_bytes answers, cb_problem *problem)
{
    char path[128];
    json_t *answer = NULL;
    int64_t asked = cb_clock_monotonic_us();
    if (!is_text(question->text))
        return cb_problem_set(problem, CB_E_ARGUMENT, "the text is not UTF-8");
    json_t *body = challenge_body(question, answers);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    path_of(tap, "challenge", path);
    request what = {.path = path, .body = body, .success = 200};
    cb_error error = exchange(relay, &what, &answer, problem);
    if (!error) {
        error = cb_json_read_begun(answer, false, asked, tap);
        if (error)
            no_script(problem, error);
    }
    json_decref(answer);
    json_decref(body);
    return error;
}

static cb_error prove(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                      bool (*is_result)(const json_t *), json_t **result, cb_problem *problem)
{
    char path[128];
    json_t *body = json_pack("{s:o}", "answers", cb_json_answers(answers));
    *result = NULL;
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    path_of(tap, "proof", path);
    request what = {.path = path, .body = body, .success = 200};
    cb_error error = exchange(relay, &what, result, problem);
    if (!error && !is_result(*result)) {
        json_decref(*result);
        *result = NULL;
        error = cb_problem_set(problem, CB_E_PROTOCOL, "the broker's answer is no result");
    }
    json_decref(body);
    return error;
}

cb_error cb_relay_proof(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers, json_t **result,
                        cb_problem *problem)
{
    return prove(relay, tap, answers, cb_json_accepted, result, problem);
}

cb_error cb_relay_card_ended(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                             cb_problem *problem)
{
    json_t *result = NULL;
    cb_error error = prove(relay, tap, answers, cb_json_card_ended, &result, problem);
    json_decref(result);
    return error;
}

cb_error cb_relay_end(cb_relay *relay, const cb_relay_tap *tap, const char *reason,
                      cb_problem *problem)
{
    char path[128];
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "reason", reason);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    path_of(tap, "end", path);
    request what = {.path = path, .body = body, .success = 200};
    cb_error error = exchange(relay, &what, &answer, problem);
    json_decref(answer);
    json_decref(body);
    return error;
}

cb_error cb_relay_services(cb_relay *relay, json_t **services, cb_problem *problem)
{
    json_t *answer = NULL;
    request what = {.path = "/v1/services", .safe = true, .success = 200};
    cb_error error = exchange(relay, &what, &answer, problem);
    *services = NULL;
    if (!error && !json_is_array(json_object_get(answer, "services")))
        error = cb_problem_set(problem, CB_E_PROTOCOL, "the broker's answer lists no services");
    else if (!error)
        *services = json_incref(json_object_get(answer, "services"));
    json_decref(answer);
    return error;
}

/* NULL: no memory. */
static json_t *certificate_body(const char *name, const char *code, cb_bytes csr)
{
    char hex[2 * CB_X509_REQUEST_MAX + 1];
    if (csr.len > CB_X509_REQUEST_MAX)
        return NULL;
    cb_hex(csr, hex);
    return name ? json_pack("{s:s,s:s,s:s}", "name", name, "code", code, "request", hex)
                : json_pack("{s:s}", "request", hex);
}

static cb_error read_certificate(const json_t *answer, cb_buf *out)
{
    const json_t *hex = json_object_get(answer, "certificate");
    if (!json_is_string(hex))
        return CB_E_PROTOCOL;
    cb_error error = cb_unhex(cb_bytes_make(json_string_value(hex), json_string_length(hex)), out);
    return error && error != CB_E_MEMORY ? CB_E_PROTOCOL : error;
}

cb_error cb_relay_certificate(cb_relay *relay, const char *name, const char *code, cb_bytes csr,
                              cb_buf *out, cb_problem *problem)
{
    json_t *answer = NULL;
    if (name && !is_text(name))
        return cb_problem_set(problem, CB_E_ARGUMENT, "the name is not UTF-8");
    json_t *body = certificate_body(name, code, csr);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    request what = {.path = name ? "/v1/activations" : "/v1/certificate",
                           .body = body,
                           .safe = true,
                           .success = name ? 201 : 200};
    cb_error error = exchange(relay, &what, &answer, problem);
    if (!error && (error = read_certificate(answer, out)) != CB_OK)
        cb_problem_set(problem, error, "the broker's answer has no certificate");
    json_decref(answer);
    json_decref(body);
    return error;
}

cb_error cb_relay_leave(cb_relay *relay, const char *why, cb_problem *problem)
{
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "reason", why);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    request what = {.path = "/v1/terminal/end", .body = body, .safe = true, .success = 200};
    cb_error error = exchange(relay, &what, &answer, problem);
    json_decref(answer);
    json_decref(body);
    return error;
}

/* NULL: no memory. */
static json_t *log_body(const cb_relay_log *log)
{
    char previous[2 * CB_SHA256_SIZE + 1], key[2 * CB_P256_POINT + 1];
    char signature[2 * CB_P256_SIGNATURE + 1], entries[2 * CB_JOURNAL_BATCH_MAX + 1];
    if (log->entries.len > CB_JOURNAL_BATCH_MAX)
        return NULL;
    cb_hex(cb_digest_bytes(&log->before.hash), previous);
    cb_hex(CB_BYTES_OF(log->point), key);
    cb_hex(CB_BYTES_OF(log->signature), signature);
    cb_hex(log->entries, entries);
    return json_pack("{s:I,s:s,s:s,s:s,s:s}", "after", (json_int_t)log->before.number, "previous",
                     previous, "entries", entries, "key", key, "signature", signature);
}

cb_error cb_relay_bring(cb_relay *relay, const cb_relay_log *log, cb_journal_head *taken,
                        cb_problem *problem)
{
    json_t *answer = NULL;
    json_t *body = log_body(log);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    request what = {.path = "/v1/log", .body = body, .safe = true, .success = 200};
    cb_error error = exchange(relay, &what, &answer, problem);
    if (!error && (error = cb_json_read_head(answer, taken)) != CB_OK)
        cb_problem_set(problem, error, "the broker's answer does not say what it has of the log");
    json_decref(answer);
    json_decref(body);
    return error;
}
