/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Logins with client certificates at a real nginx, and what is relayed afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "tests/integration/connectors_support.h"

static bench b;

static int start(void **state)
{
    (void)state;
    bench_start(&b, "", true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    bench_stop(&b);
    return 0;
}

static void assert_is(cb_session *session, const char *name)
{
    unsigned status = 0;
    char expected[128];
    cb_buf text = CB_BUF(64 * 1024);
    assert_int_equal(fetch(session, "GET", "/whoami", "", &status, NULL, &text), CB_OK);
    assert_int_equal(status, 200);
    snprintf(expected, sizeof expected, "subject=CN=%s,O=Test service\n", name);
    assert_non_null(strstr(cb_buf_cstr(&text), expected));
    assert_non_null(strstr(cb_buf_cstr(&text), "verify=SUCCESS"));
    assert_non_null(strstr(cb_buf_cstr(&text), "reused=.\n"));
    cb_buf_free(&text);
}

static void a_holder_is_known_to_the_service_with_every_algorithm_and_version(void **state)
{
    static const char *const algorithms[] = {"ec-p256", "ec-p384", "rsa-2048", "rsa-3072"};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        holder h;
        holder_new(&b, &h, algorithms[i], algorithms[i]);
        for (int port = b.port; port < b.port + 3; port++) {
            cb_session *session = log_in_at_service(&b, &h, port);
            assert_is(session, h.name);
            cb_session_end(&session);
        }
        assert_int_equal(h.uses, 3);
        holder_free(&h);
    }
}

static void two_holders_alternate_and_never_meet(void **state)
{
    holder one, two;
    (void)state;
    holder_new(&b, &one, "anna", "ec-p256");
    holder_new(&b, &two, "bert", "ec-p256");
    for (unsigned i = 0; i < 100; i++) {
        holder *h = i % 2 ? &two : &one;
        cb_session *session = log_in_at_service(&b, h, b.port + (int)(i % 3));
        assert_is(session, h->name);
        cb_session_end(&session);
    }
    assert_int_equal(one.uses, 50);
    assert_int_equal(two.uses, 50);
    holder_free(&one);
    holder_free(&two);
}

/* ---- what is relayed ---- */

static void relayed_requests_stay_on_the_connection_of_the_login(void **state)
{
    holder h;
    char first[64] = "";
    (void)state;
    holder_new(&b, &h, "carl", "ec-p256");
    cb_session *session = log_in_at_service(&b, &h, b.port);
    for (unsigned i = 0; i < 50; i++) {
        unsigned status;
        cb_buf text = CB_BUF(4096);
        assert_int_equal(fetch(session, "GET", "/whoami", "", &status, NULL, &text), CB_OK);
        const char *line = strstr(cb_buf_cstr(&text), "connection=");
        assert_non_null(line);
        if (i == 0)
            snprintf(first, sizeof first, "%.40s", line);
        assert_int_equal(strncmp(first, line, strcspn(first, "\n")), 0);
        cb_buf_free(&text);
    }
    assert_int_equal(h.uses, 1);
    cb_session_end(&session);
    holder_free(&h);
}

static cb_session *session_of(holder *h, const char *name)
{
    holder_new(&b, h, name, "ec-p256");
    return log_in_at_service(&b, h, b.port);
}

static void headers_are_rewritten_so_that_the_browser_stays(void **state)
{
    holder h;
    unsigned status;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX), text = CB_BUF(8192);
    (void)state;
    cb_session *session = session_of(&h, "dora");
    assert_int_equal(fetch(session, "GET", "/redirect", "", &status, &headers, NULL), CB_OK);
    assert_int_equal(status, 302);
    assert_non_null(strstr(cb_buf_cstr(&headers), "Location: /whoami?from=redirect#top\r\n"));
    assert_null(strstr(cb_buf_cstr(&headers), "Connection:"));
    cb_buf_reset(&headers);
    assert_int_equal(fetch(session, "GET", "/away", "", &status, &headers, NULL), CB_OK);
    assert_non_null(strstr(cb_buf_cstr(&headers), "Location: https://elsewhere.test/\r\n"));
    cb_buf_reset(&headers);
    assert_int_equal(fetch(session, "GET", "/cookie", "", &status, &headers, NULL), CB_OK);
    assert_non_null(strstr(cb_buf_cstr(&headers), "Set-Cookie: a=1; Path=/; Secure\r\n"));
    assert_non_null(strstr(cb_buf_cstr(&headers), "Set-Cookie: b=2; Domain=elsewhere.test\r\n"));
    /* The service sees its own name, and what the browser said otherwise. */
    assert_int_equal(
        fetch(session, "GET", "/headers",
              "Host: abc.relay.test:8443\r\nOrigin: https://abc.relay.test:8443\r\n"
              "Referer: https://elsewhere.test/x\r\nAccept: text/html\r\nCookie: c=3\r\n"
              "X-Empty:\r\nKeep-Alive: 5\r\n",
              &status, NULL, &text),
        CB_OK);
    char expected[128];
    snprintf(expected, sizeof expected, "Host: localhost:%d\n", b.port);
    assert_non_null(strstr(cb_buf_cstr(&text), expected));
    snprintf(expected, sizeof expected, "Origin: https://localhost:%d\n", b.port);
    assert_non_null(strstr(cb_buf_cstr(&text), expected));
    assert_non_null(strstr(cb_buf_cstr(&text), "Referer: https://elsewhere.test/x\n"));
    assert_non_null(strstr(cb_buf_cstr(&text), "Accept: text/html\n"));
    assert_non_null(strstr(cb_buf_cstr(&text), "Cookie: c=3\n"));
    assert_null(strstr(cb_buf_cstr(&text), "Keep-Alive"));
    cb_session_end(&session);
    cb_buf_free(&headers);
    cb_buf_free(&text);
    holder_free(&h);
}

/* The largest resident set of any login process. */
static long largest_login(void)
{
    pid_t all[256];
    long most = 0;
    unsigned count = descendants(zygote_of(&b, "mtls.so"), all, 256);
    for (unsigned i = 0; i < count; i++) {
        char path[64];
        long pages = 0;
        snprintf(path, sizeof path, "/proc/%d/statm", (int)all[i]);
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%*d %ld", &pages) == 1)
            most = pages > most ? pages : most;
        if (file)
            fclose(file);
    }
    return most * 4096;
}

static void a_long_download_arrives_whole_in_constant_memory(void **state)
{
    holder h;
    unsigned status;
    cb_buf text = CB_BUF(9 * 1024 * 1024), file = CB_BUF(9 * 1024 * 1024);
    char path[2 * PATH_SIZE];
    (void)state;
    cb_session *session = session_of(&h, "emil");
    assert_is(session, "emil");
    long before = largest_login();
    assert_int_equal(fetch(session, "GET", "/download", "", &status, NULL, &text), CB_OK);
    long after = largest_login();
    snprintf(path, sizeof path, "%s/www/download", b.service);
    assert_int_equal(cb_file_read(path, &file), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&text), cb_buf_bytes(&file)));
    assert_true(sanitized() || (before > 0 && after - before < 1024 * 1024));
    assert_is(session, "emil");
    cb_session_end(&session);
    cb_buf_free(&text);
    cb_buf_free(&file);
    holder_free(&h);
}

static void upload(cb_session *session, const char *method, size_t chunks, bool known)
{
    static uint8_t chunk[64 * 1024];
    uint8_t answer[4096];
    size_t got, len = 0;
    unsigned status;
    cb_relay *relay;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX);
    char expected[128];
    memset(chunk, 'x', sizeof chunk);
    assert_int_equal(cb_relay_open(session, method, "/echo", "Content-Type: text/plain\r\n",
                                   known ? (int64_t)(chunks * sizeof chunk) : -1,
                                   cb_deadline_in(30 * CB_SECOND), &relay),
                     CB_OK);
    for (size_t i = 0; i < chunks; i++)
        assert_int_equal(cb_relay_send(relay, CB_BYTES_OF(chunk)), CB_OK);
    assert_int_equal(cb_relay_head(relay, &status, &headers), CB_OK);
    assert_int_equal(status, 200);
    do {
        assert_int_equal(cb_relay_read(relay, answer + len, sizeof answer - 1 - len, &got), CB_OK);
        len += got;
    } while (got > 0);
    answer[len] = 0;
    snprintf(expected, sizeof expected, "method=%s\nlength=%zu\n", method, chunks * sizeof chunk);
    assert_non_null(strstr((char *)answer, expected));
    cb_relay_close(&relay);
    cb_buf_free(&headers);
}

static void uploads_arrive_whole_with_and_without_a_known_length(void **state)
{
    holder h;
    (void)state;
    cb_session *session = session_of(&h, "fred");
    upload(session, "PUT", 50, false);
    upload(session, "POST", 50, true);
    long before = largest_login();
    upload(session, "POST", 600, true);
    upload(session, "PUT", 600, false);
    upload(session, "POST", 0, true);
    upload(session, "PATCH", 1, true);
    /* 75 MiB went through; a few buffers stay. */
    assert_true(sanitized() || (before > 0 && largest_login() - before < 2 * 1024 * 1024));
    assert_is(session, "fred");
    cb_session_end(&session);
    holder_free(&h);
}

static void other_methods_and_answers_pass(void **state)
{
    holder h;
    unsigned status;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX), text = CB_BUF(4096);
    (void)state;
    cb_session *session = session_of(&h, "gina");
    assert_int_equal(fetch(session, "HEAD", "/whoami", "", &status, &headers, &text), CB_OK);
    assert_int_equal(status, 200);
    assert_int_equal(text.len, 0);
    assert_non_null(strstr(cb_buf_cstr(&headers), "Content-Length:"));
    assert_int_equal(fetch(session, "DELETE", "/echo", "", &status, NULL, &text), CB_OK);
    assert_non_null(strstr(cb_buf_cstr(&text), "method=DELETE"));
    assert_int_equal(fetch(session, "GET", "/status?code=500", "", &status, NULL, NULL), CB_OK);
    assert_int_equal(status, 500);
    assert_int_equal(fetch(session, "GET", "/status?code=304", "", &status, NULL, NULL), CB_OK);
    assert_int_equal(status, 304);
    assert_int_equal(fetch(session, "GET", "/whoami",
                           "Upgrade: websocket\r\nConnection: Upgrade\r\n", &status, NULL, NULL),
                     CB_OK);
    assert_int_equal(status, 501);
    assert_int_equal(fetch(session, "GET", "/a b", "", &status, NULL, NULL), CB_E_ARGUMENT);
    assert_int_equal(fetch(session, "GET /x", "/", "", &status, NULL, NULL), CB_E_ARGUMENT);
    assert_int_equal(fetch(session, "GET", "/", "Bad Header: 1\r\n", &status, NULL, NULL),
                     CB_E_ARGUMENT);
    assert_is(session, "gina");
    cb_session_end(&session);
    cb_buf_free(&headers);
    cb_buf_free(&text);
    holder_free(&h);
}

static void an_answer_left_early_does_not_end_the_session_when_little_is_left(void **state)
{
    holder h;
    unsigned status;
    cb_relay *relay;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX);
    (void)state;
    cb_session *session = session_of(&h, "hans");
    assert_int_equal(
        cb_relay_open(session, "GET", "/whoami", "", 0, cb_deadline_in(CB_SECOND), &relay), CB_OK);
    assert_int_equal(cb_relay_head(relay, &status, &headers), CB_OK);
    cb_relay_close(&relay);
    assert_is(session, "hans");
    /* 8 MiB are more than is read for nothing. */
    assert_int_equal(
        cb_relay_open(session, "GET", "/download", "", 0, cb_deadline_in(CB_SECOND), &relay),
        CB_OK);
    cb_relay_close(&relay);
    assert_int_equal(fetch(session, "GET", "/whoami", "", &status, NULL, NULL), CB_E_SESSION_ENDED);
    cb_session_end(&session);
    cb_buf_free(&headers);
    holder_free(&h);
}

/* ---- how a session ends ---- */

static bool is_dead(void *session) { return !cb_session_alive(session); }

static void a_session_ends_when_the_service_closes_its_connection(void **state)
{
    holder h;
    unsigned status;
    (void)state;
    cb_session *session = session_of(&h, "ines");
    assert_true(cb_session_alive(session));
    assert_int_equal(fetch(session, "GET", "/close", "", &status, NULL, NULL), CB_OK);
    assert_int_equal(status, 200);
    assert_true(eventually(is_dead, session));
    assert_int_equal(fetch(session, "GET", "/whoami", "", &status, NULL, NULL), CB_E_SESSION_ENDED);
    cb_session_end(&session);
    assert_int_equal(h.uses, 1);
    holder_free(&h);
}

static void a_slow_answer_ends_the_exchange_at_its_deadline(void **state)
{
    holder h;
    unsigned status;
    cb_relay *relay;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX);
    (void)state;
    cb_session *session = session_of(&h, "jana");
    assert_int_equal(cb_relay_open(session, "GET", "/slow?seconds=5", "", 0,
                                   cb_deadline_in(CB_SECOND / 2), &relay),
                     CB_OK);
    assert_int_equal(cb_relay_head(relay, &status, &headers), CB_E_SERVICE_SLOW);
    cb_relay_close(&relay);
    assert_true(eventually(is_dead, session));
    cb_session_end(&session);
    cb_buf_free(&headers);
    holder_free(&h);
}

static void *cut_soon(void *session)
{
    usleep(200000);
    cb_session_cut(session, false);
    return NULL;
}

static void cutting_a_session_wakes_whoever_reads_from_it(void **state)
{
    holder h;
    unsigned status;
    uint8_t chunk[64 * 1024];
    size_t got = 1;
    cb_relay *relay;
    pthread_t thread;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX);
    cb_error error = CB_OK;
    (void)state;
    cb_session *session = session_of(&h, "kurt");
    int64_t before = cb_clock_monotonic_us();
    assert_int_equal(pthread_create(&thread, NULL, cut_soon, session), 0);
    assert_int_equal(
        cb_relay_open(session, "GET", "/trickle", "", 0, cb_deadline_in(60 * CB_SECOND), &relay),
        CB_OK);
    assert_int_equal(cb_relay_head(relay, &status, &headers), CB_OK);
    while (!error && got > 0)
        error = cb_relay_read(relay, chunk, sizeof chunk, &got);
    assert_int_equal(error, CB_E_SESSION_ENDED);
    assert_true(cb_clock_monotonic_us() - before < 5 * CB_SECOND);
    cb_relay_close(&relay);
    pthread_join(thread, NULL);
    assert_int_equal(cb_relay_open(session, "GET", "/", "", 0, cb_deadline_in(CB_SECOND), &relay),
                     CB_E_SESSION_ENDED);
    cb_session_end(&session);
    cb_buf_free(&headers);
    holder_free(&h);
}

static void *fetch_many(void *session)
{
    for (unsigned i = 0; i < 20; i++) {
        unsigned status = 0;
        if (fetch(session, "GET", "/whoami", "", &status, NULL, NULL) != CB_OK || status != 200)
            return session;
    }
    return NULL;
}

static void exchanges_of_many_threads_take_turns(void **state)
{
    holder h;
    pthread_t threads[4];
    (void)state;
    cb_session *session = session_of(&h, "lena");
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_many, session), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    cb_session_end(&session);
    holder_free(&h);
}

static void *log_in_once(void *h)
{
    cb_session *session = log_in_at_service(&b, h, b.port);
    unsigned status;
    cb_error error = fetch(session, "GET", "/whoami", "", &status, NULL, NULL);
    cb_session_end(&session);
    return error ? h : NULL;
}

static bool no_login_is_left(void *unused)
{
    (void)unused;
    return descendants(zygote_of(&b, "mtls.so"), NULL, 0) == 0;
}

static void fifty_logins_at_once_work_and_leave_nothing(void **state)
{
    holder h;
    pthread_t threads[50];
    (void)state;
    holder_new(&b, &h, "mona", "ec-p256");
    assert_true(eventually(no_login_is_left, NULL));
    pid_t zygote = zygote_of(&b, "mtls.so");
    unsigned own = open_descriptors(getpid()), theirs = open_descriptors(zygote);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_in_once, &h), 0);
    for (unsigned i = 0; i < 50; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(h.uses, 50);
    assert_true(eventually(no_login_is_left, NULL));
    assert_int_equal(open_descriptors(getpid()), own);
    assert_int_equal(open_descriptors(zygote), theirs);
    holder_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_holder_is_known_to_the_service_with_every_algorithm_and_version),
        cmocka_unit_test(two_holders_alternate_and_never_meet),
        cmocka_unit_test(relayed_requests_stay_on_the_connection_of_the_login),
        cmocka_unit_test(headers_are_rewritten_so_that_the_browser_stays),
        cmocka_unit_test(a_long_download_arrives_whole_in_constant_memory),
        cmocka_unit_test(uploads_arrive_whole_with_and_without_a_known_length),
        cmocka_unit_test(other_methods_and_answers_pass),
        cmocka_unit_test(an_answer_left_early_does_not_end_the_session_when_little_is_left),
        cmocka_unit_test(a_session_ends_when_the_service_closes_its_connection),
        cmocka_unit_test(a_slow_answer_ends_the_exchange_at_its_deadline),
        cmocka_unit_test(cutting_a_session_wakes_whoever_reads_from_it),
        cmocka_unit_test(exchanges_of_many_threads_take_turns),
        cmocka_unit_test(fifty_logins_at_once_work_and_leave_nothing)};
    return cmocka_run_group_tests(tests, start, stop);
}
