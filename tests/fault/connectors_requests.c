/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the service must have received, whole or not at all.
 */
#include "connectors_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <jansson.h>

#include "base/crypto.h"
#include "base/text.h"
#include "tests/support/alloc_faults.h"

#define GRANT "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
#define CLIENT "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"

enum { REQUEST_MAX = 1024 * 1024 };

/* ---- Tokens ---- */

/* What is between two texts, which must be there. */
static cb_bytes between(const char *text, const char *before, const char *after)
{
    const char *start = strstr(text, before);
    if (!start)
        fail_msg("no %s in %s", before, text);
    start += strlen(before);
    const char *end = strstr(start, after);
    if (!end)
        fail_msg("no %s in %s", after, start);
    return cb_bytes_make(start, (size_t)(end - start));
}

static json_t *decoded(cb_bytes text)
{
    cb_buf raw = CB_BUF(4096);
    assert_int_equal(cb_unbase64url(text, &raw), CB_OK);
    json_t *json = json_loadb((const char *)raw.data, raw.len, JSON_REJECT_DUPLICATES, NULL);
    cb_buf_free(&raw);
    assert_true(json_is_object(json));
    return json;
}

static void expect_json(json_t *got, json_t *expected)
{
    char *one = json_dumps(got, JSON_SORT_KEYS), *two = json_dumps(expected, JSON_SORT_KEYS);
    assert_string_equal(one, two);
    free(one);
    free(two);
    json_decref(got);
    json_decref(expected);
}

static void expect_claims(json_t *claims, json_t *expected)
{
    json_int_t made = json_integer_value(json_object_get(claims, "iat"));
    const char *number = json_string_value(json_object_get(claims, "jti"));
    assert_true(made > 0 && json_integer_value(json_object_get(claims, "exp")) == made + 60);
    assert_true(number && strlen(number) == 32);
    json_object_del(claims, "iat");
    json_object_del(claims, "exp");
    json_object_del(claims, "jti");
    expect_json(claims, expected);
}

/* Signed by the key, and by it alone. */
static void expect_assertion(const char *text, const char *kid, json_t *claims)
{
    size_t first = strcspn(text, "."), second = first + 1 + strcspn(text + first + 1, ".");
    const char *signature = text + second + 1;
    cb_digest digest = cb_sha256(cb_bytes_make(text, second));
    cb_buf made = CB_BUF(1024);
    expect_json(decoded(cb_bytes_make(text, first)),
                json_pack("{ss, ss, ss}", "alg", "ES256", "typ", "JWT", "kid", kid));
    expect_claims(decoded(cb_bytes_make(text + first + 1, second - first - 1)), claims);
    assert_int_equal(cb_unbase64url(cb_bytes_str(signature), &made), CB_OK);
    assert_true(was_signed(cb_digest_bytes(&digest), cb_buf_bytes(&made)));
    cb_buf_free(&made);
}

static void expect_token_request(connectors_world *w, const char *text)
{
    bool bearer = strstr(text, "jwt-bearer&assertion=") != NULL;
    char expected[8192], endpoint[64], assertion[4096];
    cb_bytes proof = between(text, bearer ? "&assertion=" : "&client_assertion=", "&scope=");
    assert_true(proof.len < sizeof assertion);
    memcpy(assertion, proof.data, proof.len);
    assertion[proof.len] = 0;
    snprintf(endpoint, sizeof endpoint, "https://localhost:%d/token", w->port);
    if (bearer)
        expect_assertion(assertion, "key one",
                         json_pack("{ss, ss, ss}", "iss", "broker", "sub", "anna", "aud", "tax"));
    else
        expect_assertion(assertion, w->kid,
                         json_pack("{ss, ss, ss}", "iss", "anna", "sub", "anna", "aud", endpoint));
    char body[6144];
    snprintf(body, sizeof body, "%s=%s&scope=a%%20b&resource=https%%3A%%2F%%2Fx%%2F",
             bearer ? "grant_type=" GRANT "&assertion"
                    : "grant_type=client_credentials&client_id=anna&client_assertion_type=" CLIENT
                      "&client_assertion",
             assertion);
    snprintf(expected, sizeof expected,
             "POST /token HTTP/1.1\r\nHost: localhost:%d\r\n"
             "Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             w->port, strlen(body), body);
    assert_string_equal(text, expected);
}

/* ---- Pages ---- */

static void expect_exactly(const char *got, const char *expected, const char *body)
{
    size_t head = strlen(expected);
    if (strncmp(got, expected, head) != 0 || strcmp(got + head, body) != 0)
        fail_msg("the service received\n%s\nand should have received\n%s%s", got, expected, body);
}

static void expect_page_request(connectors_world *w, const char *text, const char *method,
                                const char *path)
{
    char expected[1024];
    bool login = strcmp(path, "/login?who=me") == 0 || strcmp(path, "/login?who=him") == 0;
    bool form = strcmp(path, "/form") == 0, chunked = form && strcmp(method, "PUT") == 0;
    if (login)
        snprintf(expected, sizeof expected,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\n\r\n", path, w->port);
    else
        snprintf(expected, sizeof expected,
                 "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                 "Accept: text/html\r\nAccept-Language: ja\r\nOrigin: https://127.0.0.1:%d\r\n"
                 "X-Empty:\r\nCookie: c=1\r\n%s\r\n",
                 method, path, w->port, w->port,
                 chunked ? "Transfer-Encoding: chunked\r\n"
                 : form  ? "Content-Length: 100000\r\n"
                         : "");
    if (!login && !form && strcmp(path, "/page?n=1") != 0 && strcmp(path, "/other") != 0)
        fail_msg("nobody asked for %s", path);
    expect_exactly(text, expected, form ? form_text() : "");
}

void look_at_requests(connectors_world *w)
{
    char who[64], method[16], path[128];
    cb_buf request = CB_BUF(REQUEST_MAX);
    alloc_faults_pause(true);
    while (next_request(w, who, &request)) {
        const char *text = cb_buf_cstr(&request);
        assert_int_equal(sscanf(text, "%15s %127s", method, path), 2);
        if (strcmp(path, "/token") == 0) {
            assert_string_equal(who, "-");
            expect_token_request(w, text);
        } else {
            bool bert = strcmp(path, "/login?who=him") == 0;
            assert_string_equal(who, bert ? "bert" : "anna");
            expect_page_request(w, text, method, path);
        }
        cb_buf_reset(&request);
    }
    cb_buf_free(&request);
    alloc_faults_pause(false);
}

const char *form_text(void)
{
    static char text[FORM + 1];
    for (size_t i = 0; i < FORM; i++)
        text[i] = (char)('a' + i * 7 % 26);
    return text;
}
