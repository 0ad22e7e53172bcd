/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a login costs, and what of it is the process made for it. Not a test: prints figures.
 *
 * ping is answered by the zygote without a process; check makes a process, reads a configuration,
 * closes the sandbox and answers; login adds a TLS handshake with one signature and one request at
 * nginx on this machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "tests/integration/connectors_support.h"

enum { ROUNDS = 300 };

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, int64_t *times)
{
    qsort(times, ROUNDS, sizeof *times, compare);
    printf("%-28s p50 %6.2f ms   p99 %6.2f ms\n", what, (double)times[ROUNDS / 2] / 1000,
           (double)times[ROUNDS * 99 / 100] / 1000);
}

static void measure_operations(bench *b)
{
    static int64_t ping[ROUNDS], check[ROUNDS];
    cb_buf config, why = CB_BUF(4096);
    service_config(b, b->port, "/whoami", "", &config);
    for (unsigned i = 0; i < ROUNDS; i++) {
        int64_t start = cb_clock_monotonic_us();
        cb_connectors_ping(b->connectors, "mtls");
        ping[i] = cb_clock_monotonic_us() - start;
        start = cb_clock_monotonic_us();
        cb_connectors_check(b->connectors, "mtls", cb_buf_cstr(&config), &why);
        check[i] = cb_clock_monotonic_us() - start;
    }
    report("ping (no process)", ping);
    report("check (process, sandbox)", check);
    cb_buf_free(&config);
}

static void measure_logins(bench *b, const char *algorithm, int port, const char *what)
{
    static int64_t login[ROUNDS], request[ROUNDS];
    holder h;
    holder_new(b, &h, what, algorithm);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned status;
        int64_t start = cb_clock_monotonic_us();
        cb_session *session = log_in_at_service(b, &h, port);
        login[i] = cb_clock_monotonic_us() - start;
        start = cb_clock_monotonic_us();
        fetch(session, "GET", "/whoami", "", &status, NULL, NULL);
        request[i] = cb_clock_monotonic_us() - start;
        cb_session_end(&session);
    }
    printf("%s:\n", what);
    report("  login", login);
    report("  relayed request", request);
    holder_free(&h);
}

static void measure_download(bench *b)
{
    holder h;
    unsigned status;
    holder_new(b, &h, "download", "ec-p256");
    cb_session *session = log_in_at_service(b, &h, b->port);
    int64_t start = cb_clock_monotonic_us();
    for (unsigned i = 0; i < 20; i++)
        fetch(session, "GET", "/download", "", &status, NULL, NULL);
    double seconds = (double)(cb_clock_monotonic_us() - start) / CB_SECOND;
    printf("relayed download             %.0f MiB/s\n", 160 / seconds);
    cb_session_end(&session);
    holder_free(&h);
}

int main(void)
{
    bench b;
    bench_start(&b, "", true);
    measure_operations(&b);
    measure_logins(&b, "ec-p256", b.port + 2, "p256-tls1.3");
    measure_logins(&b, "ec-p256", b.port + 1, "p256-tls1.2");
    measure_logins(&b, "rsa-2048", b.port + 2, "rsa2048-tls1.3");
    measure_download(&b);
    bench_stop(&b);
    return 0;
}
