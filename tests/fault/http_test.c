/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The acceptor and the HTTP server while each allocation, wolfSSL's, libmicrohttpd's and jansson's
 * among them, and each call for a socket fails in turn. The client gets the whole answer, an error
 * that is said to be the server's, or an end; never silence, never what it has no right to, and it
 * is never blamed. The next request works, and nothing is left when all is closed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/http/acceptor.h"
#include "broker/http/server.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/calm_client.h"
#include "tests/support/socket_faults.h"

/* What a flow returns when its client was given what it must not be; it is no listed error. */
#define WRONG CB_ERROR_COUNT

#define ADMIN "admin" /* the socket */

typedef struct http_flows {
    char folder[64]; /* the working directory meanwhile */
    struct WOLFSSL_CTX *terminal, *stranger;
    cb_server *server;
    cb_acceptor *acceptor;
    uint16_t port;
    calm_answer answer;
    bool pairs_break;
} http_flows;

/* ---- The server ---- */

static cb_error get_who(cb_request *request, cb_reply *reply)
{
    char key[2 * CB_SHA256_SIZE + 1] = "";
    if (request->peer.has_key)
        cb_hex(cb_digest_bytes(&request->peer.key), key);
    return cb_reply_json(reply, 200,
                         json_pack("{ss, ss}", "key", key, "actor", (char *)request->identity));
}

static cb_error post_echo(cb_request *request, cb_reply *reply)
{
    const char *text = "";
    json_t *object = NULL;
    int64_t count = 0;
    cb_buf bytes = CB_BUF(16);
    const cb_field fields[] = {
        {"text", CB_FIELD_TEXT, true, 60000, &text},
        {"object", CB_FIELD_OBJECT, true, 0, &object},
        {"count", CB_FIELD_NUMBER, true, 10, &count},
        {"bytes", CB_FIELD_HEX, true, 16, &bytes},
    };
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error)
        error = cb_reply_json(reply, 201,
                              json_pack("{ss, sI, si}", "text", text, "count", (json_int_t)count,
                                        "bytes", (int)bytes.len));
    cb_buf_free(&bytes);
    return error;
}

static cb_error get_list(cb_request *request, cb_reply *reply)
{
    const char *after = "";
    int64_t most = 0;
    const cb_field fields[] = {{"after", CB_FIELD_TEXT, true, 100, &after},
                               {"most", CB_FIELD_NUMBER, true, 100, &most}};
    cb_error error = cb_request_query(request, reply, fields, 2);
    if (error)
        return error;
    return cb_reply_json(reply, 200,
                         json_pack("{ss, sI}", "after", after, "most", (json_int_t)most));
}

static const cb_route routes[] = {
    {"GET", "/v1/who", CB_ROLE_TERMINAL, get_who, 0, CB_CREW_COMMON},
    {"POST", "/v1/echo", CB_ROLE_TERMINAL, post_echo, 0, CB_CREW_ENTRY},
    {"GET", "/v1/list", CB_ROLE_TERMINAL, get_list, 0, CB_CREW_COMMON},
    {"GET", "/v1/here", CB_ROLE_TERMINAL, get_list, 0, CB_CREW_NONE},
    {"GET", "/v1/admin", CB_ROLE_ADMINISTRATOR, get_who, 0, CB_CREW_ADMINISTRATORS},
};

static cb_error identify(cb_request *request, cb_reply *reply)
{
    (void)reply;
    request->identity = strdup("somebody");
    return request->identity ? CB_OK : CB_E_MEMORY;
}

/* As the relay answers for a service. */
static cb_error on_stream(void *context, cb_stream *stream)
{
    uint8_t body[64];
    size_t got = 0;
    (void)context;
    cb_error error = cb_stream_read(stream, body, sizeof body, &got);
    if (!error)
        error = cb_stream_head(stream, 200,
                               "Set-Cookie: a=1\r\nContent-Security-Policy: default-src 'none'\r\n",
                               (int64_t)got);
    return error ? error : cb_stream_write(stream, cb_bytes_make(body, got));
}

static void close_all(http_flows *h)
{
    cb_acceptor_close(&h->acceptor);
    cb_server_close(&h->server);
    unlink(ADMIN);
}

static cb_error open_all(http_flows *h)
{
    const cb_tls_entry entries[] = {{"", "broker.pem", "broker.key", true},
                                    {"*.relay.test", "relay.pem", "relay.key", false}};
    const cb_server_config config = {.routes = routes,
                                     .route_count = sizeof routes / sizeof *routes,
                                     .identify = identify,
                                     .stream_domain = "relay.test",
                                     .stream = on_stream,
                                     .threads = 1,
                                     .workers = 1,
                                     .administrators = 1,
                                     .reserved = 1};
    cb_limits limits = cb_limits_default();
    cb_buf why = CB_BUF(1024);
    limits.handshake_time = limits.idle_time = 3600 * CB_SECOND; /* what hangs is to be seen */
    cb_error error = cb_server_open(&config, &h->server);
    if (!error)
        error = cb_acceptor_open(&limits, &h->acceptor);
    if (!error)
        error = cb_acceptor_listen(h->acceptor, "127.0.0.1", 0, entries, 2, &h->port, &why);
    if (!error)
        error = cb_acceptor_listen_local(h->acceptor, ADMIN, 0600, NULL, 0, &why);
    if (!error)
        error = cb_acceptor_start(h->acceptor, cb_server_sink(h->server));
    cb_buf_free(&why);
    if (error)
        close_all(h);
    return error;
}

static cb_error open_server(void *context) { return open_all(context); }

/* A test that has failed may have left something. */
static void nothing_open(void *context) { close_all(context); }

static void fresh_server(void *context)
{
    nothing_open(context);
    assert_int_equal(open_all(context), CB_OK);
}

/* ---- What clients ask ---- */

static bool head_has(const calm_answer *answer, const char *line)
{
    char whole[128];
    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    return strstr(answer->head, whole) != NULL;
}

static cb_error wrong(const calm_answer *answer, const char *why)
{
    fprintf(stderr, "%s: %s%s\n", why, answer->head, answer->body);
    return WRONG;
}

/* The answer that is due, or one that is known for a failure, which nobody takes for anything else.
 */
static cb_error due(const http_flows *h, int status, const char *said)
{
    const calm_answer *answer = &h->answer;
    if (answer->silent)
        return wrong(answer, "silence");
    if (answer->status == 0)
        return CB_E_CLOSED;
    if (answer->status >= 500)
        return answer->status == 503 ? CB_E_BUSY : CB_E_MEMORY;
    if (answer->status == status && strstr(answer->body, said))
        return CB_OK;
    /* Between the two ends of a pair in one process nothing breaks in earnest: here it looks as if
     * nothing had been understood. */
    if (h->pairs_break && answer->status == 400 && strstr(answer->body, "\"request.malformed\""))
        return CB_E_FORMAT;
    return wrong(answer, "a wrong answer");
}

/* One that is whole says what browsers must not do with it. */
static cb_error judge(const http_flows *h, int status, const char *said)
{
    cb_error error = due(h, status, said);
    if (!error && (!head_has(&h->answer, "Cache-Control: no-store") ||
                   !strcasestr(h->answer.head, "\r\nRequest-Id: ") ||
                   !strcasestr(h->answer.head, "\r\nContent-Type: application/")))
        error = wrong(&h->answer, "a header is missing");
    return error;
}

static cb_error ask(http_flows *h, struct WOLFSSL_CTX *tls, const char *request)
{
    calm_ask_network(tls, h->port, request, &h->answer);
    return h->answer.silent ? wrong(&h->answer, "silence") : CB_OK;
}

#define TAIL "Host: localhost\r\nConnection: close\r\n"

static cb_error ask_who(void *context)
{
    http_flows *h = context;
    ask(h, h->terminal, "GET /v1/who HTTP/1.1\r\n" TAIL "\r\n");
    return judge(h, 200, "\"actor\":\"somebody\"}");
}

static cb_error ask_echo(void *context)
{
    http_flows *h = context;
    ask(h, h->terminal,
        "POST /v1/echo HTTP/1.1\r\n" TAIL "Content-Length: 66\r\n\r\n"
        "{\"text\":\"a\", \"object\":{\"b\":[1, 2]}, \"count\": 7,   \"bytes\": \"0aff\"}");
    return judge(h, 201, "{\"text\":\"a\",\"count\":7,\"bytes\":2}");
}

static cb_error ask_list(void *context)
{
    http_flows *h = context;
    ask(h, h->terminal, "GET /v1/list?after=a%20b&most=7 HTTP/1.1\r\n" TAIL "\r\n");
    return judge(h, 200, "{\"after\":\"a b\",\"most\":7}");
}

static cb_error ask_here(void *context)
{
    http_flows *h = context;
    ask(h, h->terminal, "GET /v1/here?after=a%20b&most=7 HTTP/1.1\r\n" TAIL "\r\n");
    return judge(h, 200, "{\"after\":\"a b\",\"most\":7}");
}

static cb_error ask_without_key(void *context)
{
    http_flows *h = context;
    ask(h, h->stranger, "GET /v1/who HTTP/1.1\r\n" TAIL "\r\n");
    return judge(h, 401, "\"code\":");
}

static cb_error ask_for_the_administrators(void *context)
{
    http_flows *h = context;
    ask(h, h->terminal, "GET /v1/admin HTTP/1.1\r\n" TAIL "\r\n");
    return judge(h, 403, "\"code\":");
}

static cb_error administer(void *context)
{
    http_flows *h = context;
    calm_ask_local(ADMIN, "GET /v1/admin HTTP/1.1\r\n" TAIL "\r\n", &h->answer);
    return judge(h, 200, "{\"key\":\"\",\"actor\":\"somebody\"}");
}

static cb_error ask_what_is_no_http(void *context)
{
    http_flows *h = context;
    calm_ask_local(ADMIN, "GET /v1/admin\r\n\r\n\r\n", &h->answer);
    return judge(h, 400, "\"code\":");
}

static cb_error ask_a_service(void *context)
{
    http_flows *h = context;
    ask(h, h->stranger,
        "POST /page HTTP/1.1\r\nHost: tax.relay.test\r\nConnection: close\r\nContent-Length: 5\r\n"
        "\r\nhello");
    cb_error error = due(h, 200, "hello");
    if (!error && (!head_has(&h->answer, "Set-Cookie: a=1") ||
                   !head_has(&h->answer, "Content-Security-Policy: default-src 'none'")))
        error = wrong(&h->answer, "the service's header is missing");
    return error;
}

static cb_error reload(void *context)
{
    http_flows *h = context;
    const cb_tls_entry entries[] = {{"", "relay.pem", "relay.key", true}};
    cb_buf why = CB_BUF(1024);
    cb_error error = cb_acceptor_prepare(h->acceptor, 0, entries, 1, &why);
    cb_acceptor_settle(h->acceptor, !error);
    cb_buf_free(&why);
    return error;
}

/* ---- The flows ---- */

static void all_is_well(void *context, cb_error result, bool struck)
{
    http_flows *h = context;
    (void)result, (void)struck;
    assert_int_equal(ask_who(h), CB_OK);
    assert_int_equal(administer(h), CB_OK);
    close_all(h);
}

static void opens_again(void *context, cb_error result, bool struck)
{
    if (result)
        fresh_server(context);
    all_is_well(context, result, struck);
}

static const fault_flow flow[] = {
    {"opening", nothing_open, open_server, opens_again},
    {"a terminal's question", fresh_server, ask_who, all_is_well},
    {"a terminal's body", fresh_server, ask_echo, all_is_well},
    {"a terminal's query", fresh_server, ask_list, all_is_well},
    {"a query that no worker answers", fresh_server, ask_here, all_is_well},
    {"a client without a key", fresh_server, ask_without_key, all_is_well},
    {"a terminal as administrator", fresh_server, ask_for_the_administrators, all_is_well},
    {"an administrator's act", fresh_server, administer, all_is_well},
    {"a rejected request", fresh_server, ask_what_is_no_http, all_is_well},
    {"a relayed request", fresh_server, ask_a_service, all_is_well},
    {"other certificates", fresh_server, reload, all_is_well},
};

static bool uses_tls(const fault_flow *f)
{
    return f->before == fresh_server && f->run != administer && f->run != ask_what_is_no_http &&
           f->run != reload;
}

static http_flows shared;

static void make_certificate(const char *name)
{
    char command[256];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
             "-subj /CN=%s -keyout %s.key -out %s.pem 2> /dev/null",
             name, name, name);
    assert_int_equal(system(command), 0); // NOLINT
}

static int setup(void **state)
{
    http_flows *h = &shared;
    (void)state;
    snprintf(h->folder, sizeof h->folder, "/tmp/http-faults.XXXXXX");
    assert_non_null(mkdtemp(h->folder));
    assert_int_equal(chdir(h->folder), 0);
    make_certificate("broker");
    make_certificate("relay");
    h->terminal = calm_tls("broker.pem", "broker.key");
    h->stranger = calm_tls(NULL, NULL);
    fault_quiet();
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {ADMIN, ADMIN "-lock", "broker.pem", "broker.key", "relay.pem",
                                        "relay.key"};
    http_flows *h = &shared;
    (void)state;
    calm_tls_free(&h->terminal);
    calm_tls_free(&h->stranger);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
    return rmdir(h->folder);
}

static void each_flow(const fault_kind *kind)
{
    shared.pairs_break = kind == &socket_faults;
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++) {
        if (kind != &alloc_faults && flow[i].run == reload)
            continue; /* it calls for no socket */
        fault_theirs(uses_tls(&flow[i]) ? FAULT_THEIRS_TLS : FAULT_THEIRS_HTTP);
        fault_each(kind, &flow[i], &shared, 0);
    }
}

static void a_failed_allocation_costs_a_request_at_most(void **state)
{
    (void)state;
    each_flow(&alloc_faults);
}

static void a_broken_socket_costs_a_connection_at_most(void **state)
{
    (void)state;
    each_flow(&socket_faults);
}

static void an_interruption_costs_nothing(void **state)
{
    (void)state;
    each_flow(&interrupt_faults);
}

static void *administer_meanwhile(void *context)
{
    administer(context);
    return NULL;
}

/* No descriptor and no memory in the kernel for a while, also when it is tried again. */
static void who_comes_in_a_shortage_is_served_after_it(void **state)
{
    http_flows *h = &shared;
    pthread_t client;
    (void)state;
    fresh_server(h);
    socket_faults.arm(1, true);
    assert_int_equal(pthread_create(&client, NULL, administer_meanwhile, h), 0);
    usleep(900000);
    assert_true(socket_faults.disarm() > 1);
    pthread_join(client, NULL);
    assert_int_equal(h->answer.status, 200);
    all_is_well(h, CB_OK, false);
}

/* In a folder of its own: a client's certificate, its authority's, and that one's, all new. */
static void make_chain(void)
{
    static const char command[] =
        "set -e; exec 2> /dev/null; rm -rf chain; mkdir chain; cd chain\n"
        "echo basicConstraints=critical,CA:TRUE > authority\n"
        "new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'\n"
        "openssl req -x509 $new -days 2 -subj /CN=root -keyout root.key -out root.pem\n"
        "openssl req $new -subj /CN=middle -keyout middle.key -out middle.csr\n"
        "openssl req $new -subj /CN=client -keyout client.key -out client.csr\n"
        "openssl x509 -req -in middle.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2"
        " -extfile authority -out middle.pem\n"
        "openssl x509 -req -in client.csr -CA middle.pem -CAkey middle.key -CAcreateserial -days 2"
        " -out client.pem\n"
        "cat client.pem middle.pem root.pem > chain.pem\n";
    assert_int_equal(system(command), 0); // NOLINT
}

static void ask_with_a_new_chain(http_flows *h)
{
    make_chain();
    struct WOLFSSL_CTX *client = calm_tls("chain/chain.pem", "chain/client.key");
    ask(h, client, "GET /v1/who HTTP/1.1\r\n" TAIL "\r\n");
    calm_tls_free(&client);
    assert_int_equal(judge(h, 200, "\"actor\":\"somebody\"}"), CB_OK);
    assert_null(strstr(h->answer.body, "\"key\":\"\""));
}

/* The fewest blocks within half a second, or as soon as they are no more than enough: a connection
 * ends after its client has seen the answer. */
static long blocks(long enough)
{
    long least = alloc_faults_live();
    for (int i = 0; i < 50 && least > enough; i++) {
        usleep(10000);
        long now = alloc_faults_live();
        least = now < least ? now : least;
    }
    return least;
}

/* Whoever can connect can make new authorities for each connection. */
static void what_clients_show_is_not_kept(void **state)
{
    http_flows *h = &shared;
    (void)state;
    fresh_server(h);
    for (int i = 0; i < 3; i++)
        ask_with_a_new_chain(h);
    long before = blocks(0);
    for (int i = 0; i < 4; i++)
        ask_with_a_new_chain(h);
    assert_true(blocks(before + 3) <= before + 3);
    close_all(h);
    assert_int_equal(system("rm -r chain"), 0); // NOLINT
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_failed_allocation_costs_a_request_at_most, fault_said),
        cmocka_unit_test_teardown(a_broken_socket_costs_a_connection_at_most, fault_said),
        cmocka_unit_test_teardown(an_interruption_costs_nothing, fault_said),
        cmocka_unit_test(who_comes_in_a_shortage_is_served_after_it),
        cmocka_unit_test(what_clients_show_is_not_kept),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
