/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Logins and what follows them, each process as it is: the broker's side, dispatcher, opener,
 * zygote, and the login's own. Each allocation, wolfSSL's, libcurl's and jansson's among them, and
 * each call for a socket fails in turn, on whichever side it is made. The service receives the
 * right request or none; the broker gets all of the answer or an error; no process ends by it,
 * nothing is left over, and the next login works.
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

#include "base/clock.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/socket_faults.h"

static connectors_world shared;
static cb_session *session; /* of a flow that begins with one */

/* ---- Logins ---- */

static cb_error log_in_at(int port, holder *who, cb_session **out)
{
    char config[4 * PATH_SIZE];
    cb_login_result result;
    snprintf(config, sizeof config,
             "{\"url\":\"https://127.0.0.1:%d/login?who=%s\",\"ca_file\":\"%s/server-ca.pem\","
             "\"server_name\":\"localhost\",\"connect_timeout_ms\":30000,\"timeout_ms\":30000}",
             port, who == &shared.other ? "him" : "me", shared.b.service);
    cb_error error = world_log_in(&shared, who, "mtls", config, "{}", &result, out);
    if (!error && (result.kind != CB_SESSION_RELAYED || result.value.len > 0))
        error = WRONG;
    cb_login_result_free(&result);
    return error;
}

static cb_error log_in_by_certificate(void *context)
{
    cb_session *own = NULL;
    (void)context;
    cb_error error = log_in_at(shared.port, &shared.holder, &own);
    cb_session_end(&own);
    return error;
}

static cb_error log_in_with_rsa(void *context)
{
    cb_session *own = NULL;
    (void)context;
    cb_error error = log_in_at(shared.port, &shared.other, &own);
    cb_session_end(&own);
    return error;
}

/* Whatever fails, one that is not the service does not become it. */
static cb_error log_in_at_another(void *context)
{
    cb_session *own = NULL;
    (void)context;
    cb_error error = log_in_at(shared.other_port, &shared.holder, &own);
    cb_session_end(&own);
    return error ? CB_OK : WRONG;
}

/* One that has not connected to anywhere before. */
static void fresh_opener(void *context)
{
    (void)context;
    connectors_world_start(&shared, OPENER);
    assert_true(connectors_world_await(&shared, OPENER));
}

static cb_error token(const char *more, const char *enrolment)
{
    static const char expected[] =
        "{\"access_token\": \"token \\\"quoted\\\"\", \"expires_in\": 600, \"scope\": \"a b\", "
        "\"token_type\": \"Bearer\"}";
    char config[4 * PATH_SIZE];
    cb_login_result result;
    cb_session *own = NULL;
    snprintf(config, sizeof config,
             "{\"token_endpoint\":\"https://localhost:%d/token\",\"ca_file\":\"%s/server-ca.pem\","
             "\"scope\":\"a b\",\"resource\":\"https://x/\",\"timeout_ms\":30000%s}",
             shared.port, shared.b.service, more);
    cb_error error = world_log_in(&shared, &shared.holder, "jwt", config, enrolment, &result, &own);
    cb_session_end(&own);
    if (!error) {
        alloc_faults_pause(true);
        json_t *json = json_loadb((char *)result.value.data, result.value.len, 0, NULL);
        char *text = json_dumps(json, JSON_SORT_KEYS);
        if (result.kind != CB_SESSION_TOKEN || !text || strcmp(text, expected) != 0)
            error = WRONG;
        json_decref(json);
        free(text);
        alloc_faults_pause(false);
    }
    cb_login_result_free(&result);
    return error;
}

static cb_error log_in_as_client(void *context)
{
    (void)context;
    return token("", "{\"subject\":\"anna\"}");
}

static cb_error log_in_by_grant(void *context)
{
    (void)context;
    return token(",\"grant\":\"jwt-bearer\",\"issuer\":\"broker\",\"audience\":\"tax\"",
                 "{\"subject\":\"anna\",\"key_id\":\"key one\"}");
}

static void nothing_is_broken(cb_error result)
{
    if (result == CB_E_TIMEOUT || result == CB_E_SERVICE_SLOW)
        fail_msg("somebody waited in vain");
    look_at_requests(&shared);
    connectors_world_is_well(&shared);
}

static void all_is_well(void *context, cb_error result, bool struck)
{
    (void)struck;
    nothing_is_broken(result);
    assert_int_equal(log_in_by_certificate(context), CB_OK);
    look_at_requests(&shared);
}

static void tokens_are_well(void *context, cb_error result, bool struck)
{
    (void)struck;
    nothing_is_broken(result);
    assert_int_equal(log_in_as_client(context), CB_OK);
    look_at_requests(&shared);
}

/* ---- In a session ---- */

static void begin_session(void *context)
{
    (void)context;
    assert_int_equal(log_in_at(shared.port, &shared.holder, &session), CB_OK);
}

/* The page that the service has for everybody. */
static bool is_page(const cb_buf *headers, const cb_buf *body)
{
    static const char expected[] = "Content-Type: text/plain\r\nSet-Cookie: a=1; Path=/\r\n"
                                   "Location: /next?n=2\r\nContent-Length: 114000\r\n";
    if (!cb_bytes_same(cb_buf_bytes(headers), cb_bytes_str(expected)))
        return false;
    for (size_t i = 0; i < body->len; i++) {
        if (body->data[i] != 32 + i % 95)
            return false;
    }
    return body->len == PAGE;
}

static bool is_whole(const char *path, const cb_buf *headers, const cb_buf *body)
{
    if (*path == '/' && path[1] == 'p')
        return is_page(headers, body);
    const char *expected = strcmp(path, "/form") == 0 ? form_text() : "hello /other";
    char head[128];
    snprintf(head, sizeof head, "Content-Type: text/plain\r\nContent-Length: %zu\r\n",
             strlen(expected));
    return cb_bytes_same(cb_buf_bytes(headers), cb_bytes_str(head)) &&
           cb_bytes_same(cb_buf_bytes(body), cb_bytes_str(expected));
}

static cb_error read_answer(cb_relay *relay, const char *path)
{
    static uint8_t chunk[20000];
    unsigned status = 0;
    size_t got = 1;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX), body = CB_BUF(2 * PAGE);
    cb_error error = cb_relay_head(relay, &status, &headers);
    while (!error && got > 0) {
        error = cb_relay_read(relay, chunk, sizeof chunk, &got);
        alloc_faults_pause(true);
        cb_buf_put(&body, cb_bytes_make(chunk, got));
        alloc_faults_pause(false);
    }
    alloc_faults_pause(true);
    if (!error && (status != 200 || !is_whole(path, &headers, &body)))
        error = WRONG;
    cb_buf_free(&body);
    alloc_faults_pause(false);
    cb_buf_free(&headers);
    return error;
}

static cb_error exchange(const char *method, const char *path, const char *text, bool chunked)
{
    cb_relay *relay = NULL;
    cb_error error =
        cb_relay_open(session, method, path,
                      "Host: a.relay.test\r\nAccept: text/html\r\nAccept-Language: ja\r\n"
                      "Cookie: c=1\r\nOrigin: https://a.relay.test\r\nX-Empty:\r\n",
                      chunked ? -1 : (int64_t)strlen(text), cb_deadline_in(30 * CB_SECOND), &relay);
    if (!error)
        error = cb_relay_send(relay, cb_bytes_str(text));
    if (!error)
        error = read_answer(relay, path);
    cb_relay_close(&relay);
    return error;
}

static cb_error get_page(void *context)
{
    (void)context;
    return exchange("GET", "/page?n=1", "", false);
}

static cb_error post_form(void *context)
{
    (void)context;
    return exchange("POST", "/form", form_text(), false);
}

static cb_error put_chunks(void *context)
{
    (void)context;
    return exchange("PUT", "/form", form_text(), true);
}

static cb_error log_out(void *context)
{
    (void)context;
    cb_session_cut(session, true);
    return CB_OK;
}

/* The session goes on, or has ended: an answer is one to its own question. */
static void the_session_is_well(void *context, cb_error result, bool struck)
{
    cb_error next = exchange("GET", "/other", "", false);
    if (next == WRONG || (next && next != CB_E_SESSION_ENDED))
        fail_msg("the two sides are out of step: %s", cb_error_code(next));
    if (!struck)
        assert_int_equal(next, CB_OK);
    cb_session_end(&session);
    all_is_well(context, result, struck);
}

static void the_session_is_over(void *context, cb_error result, bool struck)
{
    assert_int_equal(exchange("GET", "/other", "", false), CB_E_SESSION_ENDED);
    cb_session_end(&session);
    all_is_well(context, result, struck);
}

/* ---- What needs no key ---- */

static cb_error administer(void *context)
{
    static const char config[] = "{\"token_endpoint\":\"https://localhost/\",\"scope\":\"a b\"}";
    cb_buf json = CB_BUF(CB_LOGIN_VALUE_MAX), why = CB_BUF(2048), about = CB_BUF(64 * 1024);
    cb_login_request request = {.connector = "jwt",
                                .service = "tax",
                                .config = config,
                                .enrolment = "{\"subject\":\"anna\"}",
                                .public_key = cb_buf_bytes(&shared.holder.public_key),
                                .algorithm = shared.holder.algorithm};
    (void)context;
    cb_error error = cb_connectors_ping(shared.b.connectors, "jwt");
    if (!error)
        error = cb_connectors_check(shared.b.connectors, "jwt", config, &why);
    if (!error)
        error = cb_connectors_enrol(shared.b.connectors, &request, &json, &why);
    if (!error)
        error = cb_connectors_describe(shared.b.connectors, "jwt", &about);
    alloc_faults_pause(true);
    if (!error && (!cb_bytes_same(cb_buf_bytes(&json), cb_bytes_str(shared.jwks)) ||
                   !cb_bytes_same(cb_buf_bytes(&about), cb_bytes_str(shared.about_jwt))))
        error = WRONG;
    alloc_faults_pause(false);
    cb_buf_free(&json);
    cb_buf_free(&why);
    cb_buf_free(&about);
    return error;
}

static const fault_flow flow[] = {
    {"a login by certificate", NULL, log_in_by_certificate, all_is_well},
    {"a login with RSA", NULL, log_in_with_rsa, all_is_well},
    {"a login at a new address", fresh_opener, log_in_by_certificate, all_is_well},
    {"a login as client", NULL, log_in_as_client, tokens_are_well},
    {"a login by grant", NULL, log_in_by_grant, tokens_are_well},
    {"a login at another", NULL, log_in_at_another, all_is_well},
    {"a page", begin_session, get_page, the_session_is_well},
    {"a form", begin_session, post_form, the_session_is_well},
    {"a form in chunks", begin_session, put_chunks, the_session_is_well},
    {"a log-out", begin_session, log_out, the_session_is_over},
    {"administration", NULL, administer, tokens_are_well},
};

static int setup(void **state)
{
    (void)state;
    fault_quiet();
    connectors_world_make(&shared);
    fault_also(connectors_world_kept);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    connectors_world_end(&shared);
    return 0;
}

static void each_flow(const fault_kind *kind, unsigned runs)
{
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(kind, &flow[i], &shared, runs);
}

static void a_failed_allocation_costs_a_login_at_most(void **state)
{
    (void)state;
    each_flow(&alloc_faults, 20);
}

static void a_broken_socket_costs_a_login_at_most(void **state)
{
    (void)state;
    each_flow(&socket_faults, 40);
}

static void an_interruption_costs_a_login_at_most(void **state)
{
    (void)state;
    each_flow(&interrupt_faults, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_failed_allocation_costs_a_login_at_most, fault_said),
        cmocka_unit_test_teardown(a_broken_socket_costs_a_login_at_most, fault_said),
        cmocka_unit_test_teardown(an_interruption_costs_a_login_at_most, fault_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
