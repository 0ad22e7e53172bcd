/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a connector may ask of the host: the functions of cardbroker_host.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include <wolfssl/wolfcrypt/hash.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/secret.h"
#include "connectors/host/jwk.h"
#include "connectors/host/login.h"
#include "hsm/client.h"

static const struct {
    cardbroker_status status;
    cb_error error;
} statuses[] = {{CARDBROKER_OK, CB_OK},
                {CARDBROKER_INVALID, CB_E_ARGUMENT},
                {CARDBROKER_DOWN, CB_E_SERVICE_DOWN},
                {CARDBROKER_SLOW, CB_E_SERVICE_SLOW},
                {CARDBROKER_CERTIFICATE, CB_E_SERVICE_CERTIFICATE},
                {CARDBROKER_REFUSED, CB_E_SERVICE_REFUSED},
                {CARDBROKER_ANSWER, CB_E_SERVICE_ANSWER},
                {CARDBROKER_LARGE, CB_E_SERVICE_ANSWER}};

enum { STATUSES = sizeof statuses / sizeof *statuses };

cb_error cb_error_of_status(cardbroker_status status)
{
    for (unsigned i = 0; i < STATUSES; i++) {
        if (statuses[i].status == status)
            return statuses[i].error;
    }
    return CB_E_CONNECTOR_FAILED;
}

cardbroker_status cb_status_of_error(cb_error error)
{
    for (unsigned i = 0; i < STATUSES; i++) {
        if (statuses[i].error == error)
            return statuses[i].status;
    }
    return CARDBROKER_FAILED;
}

/* What makes no sense is the connector's fault, not the service's. */
static cardbroker_status reject(cardbroker_login *login, const char *sentence)
{
    cb_login_misused(login, sentence);
    return CARDBROKER_INVALID;
}

static cardbroker_status no_memory(cardbroker_login *login)
{
    login->host_error = CB_E_MEMORY;
    return CARDBROKER_FAILED;
}

/* ---- configuration ---- */

static const char *text(cardbroker_login *login, const char *field)
{
    const cb_field_value *value = cb_fields_find(&login->fields, field);
    /* cb_buf_cstr ends the text in place, which needs the buffer itself. */
    return value ? cb_buf_cstr((cb_buf *)(uintptr_t)&value->text) : NULL;
}

static int64_t number(cardbroker_login *login, const char *field)
{
    const cb_field_value *value = cb_fields_find(&login->fields, field);
    return value ? value->number : 0;
}

static cardbroker_bytes content(cardbroker_login *login, const char *field)
{
    const cb_field_value *value = cb_fields_find(&login->fields, field);
    return value ? (cardbroker_bytes){value->text.data, value->text.len} : (cardbroker_bytes){0};
}

/* ---- the key ---- */

static cardbroker_algorithm algorithm(cardbroker_login *login)
{
    return (cardbroker_algorithm)login->algorithm;
}

static cardbroker_bytes certificate(cardbroker_login *login)
{
    return (cardbroker_bytes){login->certificate.data, login->certificate.len};
}

static cardbroker_status public_jwk(cardbroker_login *login, char *out, size_t size)
{
    cb_buf json = CB_BUF(4096);
    cb_error error = cb_jwk_of(cb_buf_bytes(&login->public_key), &json);
    const char *done = error ? NULL : cb_buf_cstr(&json);
    cardbroker_status status = !done              ? CARDBROKER_FAILED
                               : json.len >= size ? CARDBROKER_LARGE
                                                  : CARDBROKER_OK;
    if (status == CARDBROKER_OK)
        memcpy(out, done, json.len + 1);
    cb_buf_free(&json);
    return status;
}

static cardbroker_status use(cardbroker_login *login, uint8_t operation, uint8_t hash,
                             cardbroker_bytes data, uint8_t *out, size_t size, size_t *len)
{
    cb_buf result = CB_BUF(CB_USE_RESULT_MAX);
    cardbroker_status status = CARDBROKER_OK;
    if (cb_login_use(login, operation, hash, cb_bytes_make(data.data, data.len), &result) != CB_OK)
        status = CARDBROKER_KEY;
    else if (result.len > size)
        status = CARDBROKER_LARGE;
    if (status == CARDBROKER_OK) {
        memcpy(out, result.data, result.len);
        *len = result.len;
    }
    cb_buf_free(&result);
    return status;
}

static cardbroker_status sign(cardbroker_login *login, cardbroker_scheme scheme,
                              cardbroker_hash hash, cardbroker_bytes digest, uint8_t *out,
                              size_t size, size_t *len)
{
    if (scheme != CARDBROKER_SIGN && scheme != CARDBROKER_SIGN_PSS)
        return reject(login, "the connector asked for an unknown kind of signature");
    return use(login, scheme == CARDBROKER_SIGN ? CB_USE_SIGN_DIGEST : CB_USE_SIGN_PSS,
               (uint8_t)hash, digest, out, size, len);
}

static cardbroker_status mac(cardbroker_login *login, cardbroker_bytes data, uint8_t *out,
                             size_t size, size_t *len)
{
    return use(login, CB_USE_MAC, CB_HASH_SHA256, data, out, size, len);
}

static cardbroker_status secret(cardbroker_login *login, uint8_t *out, size_t size, size_t *len)
{
    return use(login, CB_USE_RELEASE, CB_HASH_SHA256, (cardbroker_bytes){0}, out, size, len);
}

/* ---- the service ---- */

static cardbroker_status http(cardbroker_login *login, const cardbroker_request *request,
                              cardbroker_response *response)
{
    cb_error error = cb_http_exchange(login->http, request, response);
    if (error)
        login->host_error = error;
    return login->key_error ? CARDBROKER_KEY : cb_status_of_error(error);
}

static const char *header(cardbroker_login *login, const cardbroker_response *response,
                          const char *name)
{
    (void)response;
    return cb_http_find_header(login->http, name);
}

/* ---- small things ---- */

static void log_line(cardbroker_login *login, cardbroker_level level, const char *event,
                     const char *message)
{
    cb_login_log(login, (uint8_t)level, event, message);
}

static int64_t wall_clock(cardbroker_login *login)
{
    (void)login;
    return cb_clock_wall_us() / CB_SECOND;
}

static int64_t time_left(cardbroker_login *login) { return cb_deadline_left_ms(login->deadline); }

static void draw(cardbroker_login *login, void *out, size_t len)
{
    (void)login;
    cb_random(out, len);
}

static cardbroker_status digest(cardbroker_login *login, cardbroker_hash hash,
                                cardbroker_bytes data, uint8_t *out)
{
    static const enum wc_HashType types[] = {WC_HASH_TYPE_NONE, WC_HASH_TYPE_SHA256,
                                             WC_HASH_TYPE_SHA384, WC_HASH_TYPE_SHA512};
    (void)login;
    if (hash < CARDBROKER_SHA256 || hash > CARDBROKER_SHA512)
        return CARDBROKER_INVALID;
    int size = wc_HashGetDigestSize(types[hash]);
    return wc_Hash(types[hash], data.data, (word32)data.len, out, (word32)size) == 0
               ? CARDBROKER_OK
               : CARDBROKER_FAILED;
}

/* ---- the result ---- */

static bool is_json_object(const char *value)
{
    json_t *json = cb_json_load(cb_bytes_str(value), JSON_REJECT_DUPLICATES, NULL);
    bool object = json_is_object(json);
    json_decref(json);
    return object;
}

/* Right after is_json_object said no. */
static cardbroker_status refuse_json(cardbroker_login *login, const char *sentence)
{
    return errno == ENOMEM ? no_memory(login) : reject(login, sentence);
}

/* Whether the value is there as a whole; none is left otherwise. */
static cardbroker_status status_of_value(cardbroker_login *login)
{
    cb_error error = cb_buf_error(&login->value);
    if (error)
        cb_buf_reset(&login->value);
    return !error ? CARDBROKER_OK : error == CB_E_MEMORY ? no_memory(login) : CARDBROKER_LARGE;
}

static cardbroker_status set(cardbroker_login *login, unsigned kind_bit, cb_session_kind kind,
                             const char *value, int64_t expires)
{
    if (login->kind)
        return reject(login, "the connector gave two results");
    if (!(login->plugin->about->kinds & kind_bit))
        return reject(login, "the connector gave a kind of result that it does not declare");
    if (expires < 0 || expires > INT64_MAX / CB_SECOND)
        return reject(login, "the connector gave an expiry that is no time");
    cb_buf_put_str(&login->value, value);
    cardbroker_status status = status_of_value(login);
    if (status != CARDBROKER_OK)
        return status;
    login->kind = kind;
    login->expires = expires * CB_SECOND;
    return CARDBROKER_OK;
}

static cardbroker_status set_token(cardbroker_login *login, const char *json, int64_t expires)
{
    if (!json)
        return reject(login, "the connector gave no token");
    if (!is_json_object(json))
        return refuse_json(login, "the connector gave a token that is no JSON object");
    return set(login, CARDBROKER_TOKEN, CB_SESSION_TOKEN, json, expires);
}

static cardbroker_status set_url(cardbroker_login *login, const char *url, int64_t expires)
{
    cb_origin origin;
    if (!url || cb_origin_of(url, &origin, NULL) != CB_OK)
        return reject(login, "the connector gave an address that is not https");
    return set(login, CARDBROKER_ONE_TIME_URL, CB_SESSION_URL, url, expires);
}

static cardbroker_status set_cookies(cardbroker_login *login, const char *json, int64_t expires)
{
    if (!json)
        return reject(login, "the connector gave no cookies");
    if (!is_json_object(json))
        return refuse_json(login, "the connector gave cookies that are no JSON object");
    return set(login, CARDBROKER_COOKIES, CB_SESSION_COOKIES, json, expires);
}

static cardbroker_status set_relayed(cardbroker_login *login, int64_t expires)
{
    if (!login->http || login->http->connection < 0) {
        cb_login_explain(login,
                         "the service did not keep the connection open, so there is no session");
        return CARDBROKER_ANSWER;
    }
    return set(login, CARDBROKER_RELAYED, CB_SESSION_RELAYED, "", expires);
}

static cardbroker_status set_relay_header(cardbroker_login *login, const char *name,
                                          const char *value)
{
    if (!name || !value || !*name || strpbrk(name, ": \t") || !cb_is_header_text(name) ||
        !cb_is_header_text(value))
        return CARDBROKER_INVALID;
    cb_buf_printf(&login->relay_headers, "%s: %s\r\n", name, value);
    return cb_buf_error(&login->relay_headers) ? CARDBROKER_LARGE : CARDBROKER_OK;
}

static cardbroker_status set_enrolment(cardbroker_login *login, const char *json)
{
    if (!json || !is_json_object(json))
        return json && errno == ENOMEM ? no_memory(login) : CARDBROKER_INVALID;
    cb_buf_reset(&login->value);
    cb_buf_put_str(&login->value, json);
    return status_of_value(login);
}

const cardbroker_host cb_host_table = {
    .abi = CARDBROKER_CONNECTOR_ABI,
    .size = sizeof(cardbroker_host),
    .text = text,
    .number = number,
    .content = content,
    .algorithm = algorithm,
    .certificate = certificate,
    .public_jwk = public_jwk,
    .sign = sign,
    .mac = mac,
    .secret = secret,
    .http = http,
    .header = header,
    .log = log_line,
    .wall_clock = wall_clock,
    .time_left = time_left,
    .random = draw,
    .digest = digest,
    .set_token = set_token,
    .set_url = set_url,
    .set_cookies = set_cookies,
    .set_relayed = set_relayed,
    .set_relay_header = set_relay_header,
    .explain = cb_login_explain,
    .set_enrolment = set_enrolment,
};
