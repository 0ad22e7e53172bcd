/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A service that hangs, breaks off or talks nonsense, at each stage of TCP, TLS and HTTP, for both
 * connectors and for a relayed session: each ends in time, with the error that says what happened,
 * and leaves nothing.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/integration/connectors_support.h"

/* A limit that is meant to be met is short; no other case comes near its own on a slow machine. */
#define SHORT (1500 * CB_MILLISECOND)
#define LONG (60 * CB_SECOND)
/* How long a short one may take, on a machine that does much else. */
#define IN_TIME (20 * CB_SECOND)

/* connectord's: dispatcher, opener, and a zygote for each of the two connectors. */
enum { PORTS_MAX = 96, PORT_NAME = 48, AT_A_TIME = 24, WORKERS = 4 };

static bench b;
static holder anna;
static pid_t services;
static struct {
    char name[PORT_NAME];
    int number;
} ports[PORTS_MAX];
static unsigned port_count;

static void read_ports(FILE *out)
{
    char line[128] = "";
    while (fgets(line, sizeof line, out) && strcmp(line, "ready\n") != 0) {
        assert_true(port_count < PORTS_MAX);
        assert_int_equal(sscanf(line, "%47s %d", ports[port_count].name, &ports[port_count].number),
                         2);
        port_count++;
    }
    assert_string_equal(line, "ready\n");
}

static int port_named(const char *name)
{
    for (unsigned i = 0; i < port_count; i++) {
        if (strcmp(ports[i].name, name) == 0)
            return ports[i].number;
    }
    return 0;
}

static void start_services(void)
{
    int pipes[2];
    char script[2 * PATH_SIZE];
    snprintf(script, sizeof script, "%s/bad_service.py", getenv("CB_SUPPORT"));
    assert_int_equal(pipe(pipes), 0);
    services = fork();
    if (services == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        execl("/usr/bin/python3", "python3", script, b.service, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    FILE *out = fdopen(pipes[0], "r");
    assert_non_null(out);
    read_ports(out);
    fclose(out);
}

static int start(void **state)
{
    char connectors[4 * PATH_SIZE];
    const char *folder = getenv("CB_CONNECTORS");
    (void)state;
    snprintf(connectors, sizeof connectors,
             "connector mtls {\n  plugin = \"%s/mtls.so\"\n}\n"
             "connector jwt {\n  plugin = \"%s/jwt.so\"\n}\n",
             folder, folder);
    bench_start(&b, connectors, true);
    holder_new(&b, &anna, "anna", "ec-p256");
    start_services();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (services > 0) {
        kill(services, SIGKILL);
        waitpid(services, NULL, 0);
    }
    holder_free(&anna);
    bench_stop(&b);
    return 0;
}

/* ---- one login ---- */

static cb_error try_login(const char *connector, int port, const char *path, const char *extra,
                          int64_t time, cb_session **session)
{
    bool jwt = strcmp(connector, "jwt") == 0;
    char config[3 * PATH_SIZE];
    cb_login_result result;
    snprintf(config, sizeof config,
             "{\"%s\":\"https://localhost:%d%s\",\"ca_file\":\"%s/server-ca.pem\"%s}",
             jwt ? "token_endpoint" : "url", port, path, b.service, extra);
    cb_login_request request = {.connector = connector,
                                .service = "test",
                                .config = config,
                                .enrolment = jwt ? "{\"subject\":\"anna\"}" : "{}",
                                .certificate = cb_buf_bytes(&anna.certificate),
                                .public_key = cb_buf_bytes(&anna.public_key),
                                .algorithm = anna.algorithm,
                                .session = cb_id_new()};
    cb_login_keys keys = {&anna, holder_use};
    cb_error error =
        cb_connector_login(b.connectors, &request, &keys, cb_deadline_in(time), &result, session);
    cb_login_result_free(&result);
    return error;
}

/* ---- many at a time ---- */

typedef struct trial {
    const char *where; /* a port, or a path when it begins with a slash */
    const char *what;  /* "mtls", "jwt", or "relay" */
    cb_error expected;
    bool by_deadline; /* the limit is the broker's, not the configuration's */
} trial;

typedef struct queue {
    const trial *trials;
    unsigned count;
    atomic_uint next, wrong;
} queue;

static cb_error relay_error(const trial *t, int64_t time)
{
    cb_session *session = NULL;
    cb_relay *relay = NULL;
    unsigned status;
    uint8_t chunk[4096];
    size_t got = 1, all = 0;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX);
    cb_error error = try_login("mtls", port_named("http"), "/good", "", LONG, &session);
    if (error) {
        fprintf(stderr, "login before %s: %s\n", t->where, cb_error_code(error));
        return CB_E_INTERNAL;
    }
    error = cb_relay_open(session, "GET", t->where, "", 0, cb_deadline_in(time), &relay);
    if (!error)
        error = cb_relay_head(relay, &status, &headers);
    /* A browser may go when it has seen enough of what never ends. */
    while (!error && got > 0 && (all += got) < 8 * 1024 * 1024)
        error = cb_relay_read(relay, chunk, sizeof chunk, &got);
    cb_relay_close(&relay);
    cb_buf_free(&headers);
    cb_session_end(&session);
    return error;
}

/* A reset may take along what was sent before it: then there was no answer. */
static bool is_expected(const trial *t, cb_error error)
{
    bool cut = *t->where == '/' && strstr(t->where, "-reset");
    return error == t->expected ||
           (cut && (error == CB_E_SERVICE_DOWN || error == CB_E_SESSION_ENDED));
}

static void try_one(queue *q, const trial *t)
{
    bool path = *t->where == '/';
    bool slow = t->expected == CB_E_SERVICE_SLOW;
    cb_session *session = NULL;
    int64_t before = cb_clock_monotonic_us(), time = slow && t->by_deadline ? SHORT : LONG;
    cb_error error;
    if (strcmp(t->what, "relay") == 0)
        error = relay_error(t, slow ? SHORT : LONG);
    else
        error =
            try_login(t->what, port_named(path ? "http" : t->where), path ? t->where : "/good",
                      slow && !t->by_deadline ? ",\"timeout_ms\":1500" : ",\"timeout_ms\":60000",
                      time, &session);
    cb_session_end(&session);
    int64_t took = cb_clock_monotonic_us() - before;
    if (!is_expected(t, error) || took > IN_TIME) {
        fprintf(stderr, "%s at %s%s: %s after %d ms, not %s\n", t->what, t->where,
                t->by_deadline ? " (deadline)" : "", cb_error_code(error), (int)(took / 1000),
                cb_error_code(t->expected));
        atomic_fetch_add(&q->wrong, 1);
    }
}

static void *work(void *context)
{
    queue *q = context;
    for (unsigned i; (i = atomic_fetch_add(&q->next, 1)) < q->count;)
        try_one(q, &q->trials[i]);
    return NULL;
}

/* How many went wrong. Meanwhile a service that is well is logged in at, again and again. */
static unsigned try_all(const trial *trials, unsigned count)
{
    queue q = {.trials = trials, .count = count};
    pthread_t threads[AT_A_TIME];
    for (unsigned i = 0; i < AT_A_TIME; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &q), 0);
    do {
        cb_session *session = log_in_at_service(&b, &anna, b.port);
        cb_session_end(&session);
        usleep(50000);
    } while (atomic_load(&q.next) < q.count);
    for (unsigned i = 0; i < AT_A_TIME; i++)
        pthread_join(threads[i], NULL);
    return q.wrong;
}

/* ---- the stages ---- */

#define DOWN CB_E_SERVICE_DOWN
#define SLOW CB_E_SERVICE_SLOW
#define CERT CB_E_SERVICE_CERTIFICATE
#define ANSWER CB_E_SERVICE_ANSWER
#define REFUSED CB_E_SERVICE_REFUSED
#define ENDED CB_E_SESSION_ENDED

/* clang-format off */
static const struct {
    const char *port;
    cb_error expected;
} in_tls[] = {
    {"syn-hang", SLOW},
    {"accept-hang", SLOW}, {"accept-close", DOWN}, {"accept-reset", DOWN},
    {"tls1.2-hello-hang", SLOW}, {"tls1.2-hello-close", DOWN}, {"tls1.2-hello-reset", DOWN},
    {"tls1.2-certificate-hang", SLOW}, {"tls1.2-certificate-close", DOWN}, {"tls1.2-certificate-reset", DOWN},
    {"tls1.2-client-hang", SLOW}, {"tls1.2-client-close", DOWN}, {"tls1.2-client-reset", DOWN},
    {"tls1.2-handshake-hang", SLOW}, {"tls1.2-handshake-close", DOWN}, {"tls1.2-handshake-reset", DOWN},
    {"tls1.2-request-hang", SLOW}, {"tls1.2-request-close", DOWN}, {"tls1.2-request-reset", DOWN},
    {"tls1.3-hello-hang", SLOW}, {"tls1.3-hello-close", DOWN}, {"tls1.3-hello-reset", DOWN},
    {"tls1.3-certificate-hang", SLOW}, {"tls1.3-certificate-close", DOWN}, {"tls1.3-certificate-reset", DOWN},
    {"tls1.3-client-hang", SLOW}, {"tls1.3-client-close", DOWN}, {"tls1.3-client-reset", DOWN},
    {"tls1.3-handshake-hang", SLOW}, {"tls1.3-handshake-close", DOWN}, {"tls1.3-handshake-reset", DOWN},
    {"tls1.3-request-hang", SLOW}, {"tls1.3-request-close", DOWN}, {"tls1.3-request-reset", DOWN},
    {"alert-close_notify", DOWN}, {"alert-unexpected_message", DOWN}, {"alert-handshake_failure", DOWN},
    {"alert-protocol_version", DOWN}, {"alert-internal_error", DOWN}, {"alert-unrecognized_name", DOWN},
    {"garbage", DOWN}, {"plain_http", DOWN}, {"long_record", DOWN}, {"empty_records", DOWN}, {"hello_cut", SLOW},
    {"tls1.2-refused", DOWN}, {"tls1.3-refused", DOWN}, {"early", CB_OK},
    {"expired", CERT}, {"other_host", CERT}, {"untrusted", CERT},
};

static const struct {
    const char *path;
    cb_error mtls, jwt, relay;
} in_http[] = {
    {"/good", CB_OK, CB_OK, CB_OK},
    {"/status-hang", SLOW, SLOW, SLOW},
    {"/status-close", DOWN, DOWN, ENDED},
    {"/status-reset", DOWN, DOWN, ENDED},
    {"/headers-hang", SLOW, SLOW, SLOW},
    {"/headers-close", ANSWER, ANSWER, ANSWER},
    {"/headers-reset", ANSWER, ANSWER, ANSWER},
    {"/body-hang", SLOW, SLOW, SLOW},
    {"/body-close", ANSWER, ANSWER, ANSWER},
    {"/body-reset", ANSWER, ANSWER, ANSWER},
    {"/chunk-hang", SLOW, SLOW, SLOW},
    {"/chunk-close", ANSWER, ANSWER, ANSWER},
    {"/no-last-chunk", ANSWER, ANSWER, ANSWER},
    {"/slow-headers", SLOW, SLOW, SLOW},
    {"/slow-body", SLOW, SLOW, SLOW},
    {"/slow-chunks", SLOW, SLOW, SLOW},
    {"/endless-headers", ANSWER, ANSWER, ANSWER},
    {"/endless-header", ANSWER, ANSWER, ANSWER},
    {"/endless-chunks", ANSWER, ANSWER, CB_OK},
    {"/endless-body", ANSWER, ANSWER, CB_OK},
    {"/endless-interim", ANSWER, ANSWER, ANSWER},
    {"/large-headers", ANSWER, ANSWER, ANSWER},
    {"/no-http", ANSWER, ANSWER, ANSWER},
    {"/http-0.9", ANSWER, ANSWER, ANSWER},
    {"/until-close", ANSWER, ANSWER, ANSWER},
    {"/until-goodbye", ANSWER, CB_OK, CB_OK},
    {"/nothing", DOWN, DOWN, ENDED},
    {"/http-1.0", ANSWER, CB_OK, CB_OK},
    {"/http-7", ANSWER, ANSWER, ANSWER},
    {"/zero-in-header", ANSWER, ANSWER, ANSWER},
    {"/length-negative", ANSWER, ANSWER, ANSWER},
    {"/length-word", ANSWER, ANSWER, ANSWER},
    {"/length-huge", ANSWER, ANSWER, ANSWER},
    {"/length-past-limit", SLOW, SLOW, SLOW},
    {"/length-short", ANSWER, CB_OK, CB_OK},
    {"/two-answers", ANSWER, CB_OK, CB_OK},
    {"/chunk-word", ANSWER, ANSWER, ANSWER},
    {"/chunk-negative", ANSWER, ANSWER, ANSWER},
    {"/chunk-huge", ANSWER, ANSWER, ANSWER},
    {"/unknown-coding", ANSWER, ANSWER, ANSWER},
    {"/redirect-to-itself", CB_OK, ANSWER, CB_OK},
    {"/redirect-away", CB_OK, ANSWER, CB_OK},
    {"/switching", SLOW, SLOW, SLOW},
    {"/closing", ANSWER, CB_OK, CB_OK},
    {"/good-close", CB_OK, CB_OK, CB_OK},
    {"/401", REFUSED, REFUSED, CB_OK},
    {"/500", ANSWER, ANSWER, CB_OK},
    {"/503", ANSWER, ANSWER, CB_OK},
};
/* clang-format on */

enum { IN_TLS = sizeof in_tls / sizeof *in_tls, IN_HTTP = sizeof in_http / sizeof *in_http };

static void what_goes_wrong_before_http_says_so_in_time(void **state)
{
    trial trials[4 * IN_TLS];
    unsigned count = 0;
    (void)state;
    for (unsigned i = 0; i < IN_TLS; i++) {
        trials[count++] = (trial){in_tls[i].port, "mtls", in_tls[i].expected, false};
        trials[count++] = (trial){in_tls[i].port, "jwt", in_tls[i].expected, false};
        if (in_tls[i].expected != SLOW)
            continue;
        trials[count++] = (trial){in_tls[i].port, "mtls", SLOW, true};
        trials[count++] = (trial){in_tls[i].port, "jwt", SLOW, true};
    }
    assert_int_equal(try_all(trials, count), 0);
}

static void what_goes_wrong_in_http_says_so_in_time(void **state)
{
    trial trials[3 * IN_HTTP];
    unsigned count = 0;
    (void)state;
    for (unsigned i = 0; i < IN_HTTP; i++) {
        trials[count++] = (trial){in_http[i].path, "mtls", in_http[i].mtls, false};
        trials[count++] = (trial){in_http[i].path, "jwt", in_http[i].jwt, false};
        trials[count++] = (trial){in_http[i].path, "relay", in_http[i].relay, false};
    }
    assert_int_equal(try_all(trials, count), 0);
}

static bool is_dead(void *session) { return !cb_session_alive(session); }

static void a_session_whose_service_closes_between_two_requests_has_ended(void **state)
{
    cb_session *session = NULL;
    unsigned status = 0;
    (void)state;
    assert_int_equal(try_login("mtls", port_named("http"), "/good", "", LONG, &session), CB_OK);
    assert_int_equal(fetch(session, "GET", "/good", "", &status, NULL, NULL), CB_OK);
    assert_int_equal(fetch(session, "GET", "/good-close", "", &status, NULL, NULL), CB_OK);
    assert_int_equal(status, 200);
    assert_true(eventually(is_dead, session));
    assert_int_equal(fetch(session, "GET", "/good", "", &status, NULL, NULL), CB_E_SESSION_ENDED);
    cb_session_end(&session);
}

/* connectord's own processes and the descriptors in them. */
typedef struct size {
    unsigned processes, descriptors;
} size;

static size size_now(void)
{
    pid_t all[WORKERS];
    size now = {.processes = descendants(b.connectord, all, WORKERS)};
    for (unsigned i = 0; i < now.processes && i < WORKERS; i++)
        now.descriptors += open_descriptors(all[i]);
    return now;
}

static bool only_workers_are_left(void *unused)
{
    (void)unused;
    return descendants(b.connectord, NULL, 0) == WORKERS;
}

static bool is_as_large(void *before)
{
    return only_workers_are_left(NULL) && size_now().descriptors == ((size *)before)->descriptors;
}

static void nothing_has_grown(void **state)
{
    const trial one = {"/good", "relay", CB_OK, false};
    const trial many[] = {
        {"accept-reset", "mtls", DOWN, false},        {"tls1.2-client-close", "mtls", DOWN, false},
        {"tls1.3-request-close", "jwt", DOWN, false}, {"/body-close", "relay", ANSWER, false},
        {"/endless-body", "relay", CB_OK, false},     {"/endless-chunks", "jwt", ANSWER, false}};
    (void)state;
    assert_int_equal(try_all(&one, 1), 0);
    assert_true(eventually(only_workers_are_left, NULL));
    size before = size_now();
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(try_all(many, sizeof many / sizeof *many), 0);
    assert_true(eventually(is_as_large, &before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_wrong_before_http_says_so_in_time),
        cmocka_unit_test(what_goes_wrong_in_http_says_so_in_time),
        cmocka_unit_test(a_session_whose_service_closes_between_two_requests_has_ended),
        cmocka_unit_test(nothing_has_grown)};
    return cmocka_run_group_tests(tests, start, stop);
}
