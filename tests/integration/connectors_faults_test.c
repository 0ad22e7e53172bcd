/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What goes wrong costs one login an error, says which, and leaves nothing: services that are away
 * or refuse, names that resolve badly, connectors that crash, hang, lie or try what they may not,
 * processes that are killed or stopped. What a service does wrong: connectors_stages_test.c.
 */
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/msg.h"
#include "connectors/protocol.h"
#include "tests/integration/connectors_support.h"

static bench b;
static holder anna;
static char plugin[64]; /* a copy of bad.so that can go away */

static void put_plugin(void)
{
    char command[3 * PATH_SIZE];
    snprintf(command, sizeof command, "rm -f %s && install -m 755 %s/bad.so %s", plugin,
             getenv("CB_BAD_CONNECTORS"), plugin);
    assert_int_equal(system(command), 0);
}

static int start(void **state)
{
    char connectors[4 * PATH_SIZE];
    const char *folder = getenv("CB_CONNECTORS");
    (void)state;
    snprintf(plugin, sizeof plugin, "/tmp/cb-bad-%d.so", (int)getpid());
    snprintf(connectors, sizeof connectors,
             "connector mtls {\n  plugin = \"%s/mtls.so\"\n}\n"
             "connector bad {\n  plugin = \"%s\"\n  cpu_seconds = 1\n}\n",
             folder, plugin);
    put_plugin();
    bench_start(&b, connectors, true);
    holder_new(&b, &anna, "anna", "ec-p256");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    holder_free(&anna);
    bench_stop(&b);
    unlink(plugin);
    return 0;
}

/* ---- services ---- */

static cb_error try_service(int port, const char *extra, int64_t time)
{
    cb_buf config;
    cb_login_result result;
    cb_session *session = NULL;
    cb_error error = log_in(&b, &anna, "mtls", service_config(&b, port, "/whoami", extra, &config),
                            time, &result, &session);
    if (!error)
        cb_session_end(&session);
    assert_null(session);
    cb_login_result_free(&result);
    cb_buf_free(&config);
    return error;
}

static void a_service_that_is_not_there_is_down(void **state)
{
    (void)state;
    assert_int_equal(try_service(1, "", 5 * CB_SECOND), CB_E_SERVICE_DOWN);
}

static void a_service_that_refuses_the_certificate_refuses_the_login(void **state)
{
    holder stranger = {0};
    cb_buf config, none = CB_BUF(16);
    cb_login_result result;
    cb_session *session = NULL;
    (void)state;
    /* A certificate of an authority that nginx does not know: its server authority. */
    holder_new(&b, &stranger, "stranger", "ec-p256");
    char command[6 * PATH_SIZE];
    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -new -key stranger.key.pem -subj /CN=stranger -days 2 "
             "-outform DER -out stranger.der",
             b.service);
    assert_int_equal(system(command), 0);
    holder_reload(&b, &stranger);
    assert_int_equal(log_in(&b, &stranger, "mtls",
                            service_config(&b, b.port, "/whoami", "", &config), 5 * CB_SECOND,
                            &result, &session),
                     CB_E_SERVICE_REFUSED);
    /* And one whose key is another's. */
    cb_buf_reset(&stranger.certificate);
    cb_buf_put(&stranger.certificate, cb_buf_bytes(&anna.certificate));
    cb_error error =
        log_in(&b, &stranger, "mtls", cb_buf_cstr(&config), 5 * CB_SECOND, &result, &session);
    assert_true(error == CB_E_SERVICE_DOWN || error == CB_E_SERVICE_REFUSED);
    cb_buf_free(&stranger.certificate);
    stranger.certificate = none;
    assert_int_equal(
        log_in(&b, &stranger, "mtls", cb_buf_cstr(&config), 5 * CB_SECOND, &result, &session),
        CB_E_ENROLMENT_PENDING);
    cb_buf_free(&config);
    holder_free(&stranger);
}

static void an_unexpected_status_is_no_login(void **state)
{
    (void)state;
    assert_int_equal(try_service(b.port, ",\"status\":\"302\"", 5 * CB_SECOND),
                     CB_E_SERVICE_ANSWER);
    assert_int_equal(try_service(b.port, ",\"status\":\"200-204,302\"", 5 * CB_SECOND), CB_OK);
}

static void another_name_in_the_certificate_can_be_configured(void **state)
{
    (void)state;
    assert_int_equal(try_service(b.port, ",\"server_name\":\"service.test\"", 5 * CB_SECOND),
                     CB_OK);
    assert_int_equal(try_service(b.port, ",\"server_name\":\"other.test\"", 5 * CB_SECOND),
                     CB_E_SERVICE_CERTIFICATE);
}

/* ---- connectors ---- */

static cb_error misbehave(const char *how, int64_t time, cb_login_result *result)
{
    char config[128];
    cb_session *session = NULL;
    snprintf(config, sizeof config, "{\"do\":\"%s\"}", how);
    cb_error error = log_in(&b, &anna, "bad", config, time, result, &session);
    cb_session_end(&session);
    return error;
}

static void assert_still_good(void)
{
    cb_login_result result;
    assert_int_equal(misbehave("good", 5 * CB_SECOND, &result), CB_OK);
    assert_true(
        cb_bytes_same(cb_buf_bytes(&result.value), cb_bytes_str("{\"access_token\":\"good\"}")));
    cb_login_result_free(&result);
}

static void what_a_connector_may_not_do_ends_its_login_only(void **state)
{
    static const char *const forbidden[] = {"open",      "socket", "connect", "execve",
                                            "fork",      "ptrace", "kill",    "bind",
                                            "setrlimit", "unlink", "io_uring"};
    (void)state;
    for (unsigned i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        cb_login_result result;
        cb_error error = misbehave(forbidden[i], 5 * CB_SECOND, &result);
        if (error != CB_E_CONNECTOR_FAILED)
            fprintf(stderr, "%s: %s\n", forbidden[i], cb_error_code(error));
        assert_int_equal(error, CB_E_CONNECTOR_FAILED);
        assert_still_good();
    }
}

static void a_connector_that_fails_costs_one_login_an_error(void **state)
{
    static const struct {
        const char *how;
        cb_error expected;
    } cases[] = {{"crash", CB_E_CONNECTOR_FAILED},   {"abort", CB_E_CONNECTOR_FAILED},
                 {"exit", CB_E_CONNECTOR_FAILED},    {"hang", CB_E_TIMEOUT},
                 {"nothing", CB_E_CONNECTOR_ANSWER}, {"no-json", CB_E_CONNECTOR_ANSWER},
                 {"kind", CB_E_CONNECTOR_ANSWER},    {"url", CB_E_CONNECTOR_ANSWER},
                 {"status", CB_E_CONNECTOR_FAILED},  {"short-digest", CB_E_CONNECTOR_ANSWER},
                 {"sign", CB_E_HSM_ACTIVATION},      {"elsewhere", CB_E_CONNECTOR_ANSWER}};
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_login_result result;
        cb_error error = misbehave(cases[i].how, CB_SECOND, &result);
        if (error != cases[i].expected)
            fprintf(stderr, "%s: %s\n", cases[i].how, cb_error_code(error));
        assert_int_equal(error, cases[i].expected);
        cb_login_result_free(&result);
        assert_still_good();
    }
}

static void memory_and_time_are_limited(void **state)
{
    cb_login_result result;
    (void)state;
    assert_int_equal(misbehave("spin", 10 * CB_SECOND, &result), CB_E_CONNECTOR_FAILED);
    if (!sanitized())
        assert_int_equal(misbehave("memory", 5 * CB_SECOND, &result), CB_OK);
    cb_login_result_free(&result);
    assert_int_equal(misbehave("log", 5 * CB_SECOND, &result), CB_OK);
    cb_login_result_free(&result);
    assert_still_good();
}

static void a_key_that_refuses_ends_the_login_with_its_error(void **state)
{
    (void)state;
    anna.refuse = CB_E_HSM_INTENT;
    assert_int_equal(try_service(b.port, "", 5 * CB_SECOND), CB_E_HSM_INTENT);
    anna.refuse = CB_OK;
    assert_int_equal(try_service(b.port, "", 5 * CB_SECOND), CB_OK);
}

static void unknown_connectors_and_configurations_are_refused(void **state)
{
    cb_login_result result;
    cb_session *session = NULL;
    cb_buf why = CB_BUF(4096);
    (void)state;
    assert_int_equal(log_in(&b, &anna, "none", "{}", CB_SECOND, &result, &session),
                     CB_E_CONNECTOR_DOWN);
    assert_int_equal(log_in(&b, &anna, "mtls", "{", CB_SECOND, &result, &session), CB_E_ARGUMENT);
    assert_int_equal(
        log_in(&b, &anna, "mtls", "{\"url\":\"http://x/\"}", CB_SECOND, &result, &session),
        CB_E_ARGUMENT);
    assert_int_equal(cb_connectors_ping(b.connectors, "none"), CB_E_CONNECTOR_DOWN);
    assert_int_equal(
        cb_connectors_check(b.connectors, "mtls", "{\"url\":\"https://x/\",\"what\":1}", &why),
        CB_E_ARGUMENT);
    assert_non_null(strstr(cb_buf_cstr(&why), "what"));
    cb_buf_free(&why);
}

/* Whether connectord, asked to check a configuration with this plug-in under this name, refuses it.
 */
static bool is_refused(const char *name, const char *from)
{
    char path[2 * PATH_SIZE], command[8 * PATH_SIZE];
    snprintf(path, sizeof path, "%s/check.conf", b.dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "run = \"%s\"\nconnector %s {\n plugin = \"%s\"\n}\n", b.dir, name, from);
    fclose(file);
    snprintf(command, sizeof command, "%s --config %s --check 2>/dev/null", getenv("CB_CONNECTORD"),
             path);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 78;
}

static void a_plugin_of_another_interface_is_refused_at_start(void **state)
{
    static const char *const plugins[] = {"bad_abi", "bad_size", "bad_symbol", "bad_start"};
    char path[2 * PATH_SIZE];
    (void)state;
    snprintf(path, sizeof path, "%s/bad.so", getenv("CB_BAD_CONNECTORS"));
    assert_false(is_refused("bad", path));
    assert_true(is_refused("good", path));
    assert_true(is_refused("bad", "bad.so"));
    assert_true(is_refused("bad", "/does/not/exist.so"));
    for (unsigned i = 0; i < sizeof plugins / sizeof *plugins; i++) {
        snprintf(path, sizeof path, "%s/%s.so", getenv("CB_BAD_CONNECTORS"), plugins[i]);
        assert_true(is_refused("bad", path));
    }
}

/* ---- connectors and processes that are there and do nothing ---- */

static bool bad_is_good(void *unused)
{
    cb_login_result result;
    (void)unused;
    cb_error error = misbehave("good", 2 * CB_SECOND, &result);
    cb_login_result_free(&result);
    return error == CB_OK;
}

static void assert_mtls_works(void)
{
    cb_session *session = log_in_at_service(&b, &anna, b.port);
    cb_session_end(&session);
}

/* Asks that connector so often and waits for no answer. */
static void leave_orders(int count)
{
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/" CB_CONNECTORS_SOCKET, b.dir);
    for (int i = 0; i < count; i++) {
        int socket;
        cb_msg msg;
        cb_msg_init(&msg, CB_CONN_PING);
        cb_buf_put_var(&msg.body, cb_bytes_str("bad"));
        assert_int_equal(cb_msg_connect(path, &socket), CB_OK);
        assert_int_equal(cb_msg_send(socket, &msg, cb_deadline_in(CB_SECOND)), CB_OK);
        close(socket);
        cb_msg_free(&msg);
    }
}

static void a_connector_that_is_stopped_holds_nobody_else_up(void **state)
{
    cb_login_result result;
    cb_error error = CB_OK;
    (void)state;
    pid_t zygote = zygote_of(&b, plugin);
    assert_true(zygote > 0);
    kill(zygote, SIGSTOP);
    for (int i = 0; i < 20 && error != CB_E_CONNECTOR_DOWN; i++) {
        leave_orders(500);
        error = misbehave("good", CB_SECOND, &result);
        assert_true(error == CB_E_TIMEOUT || error == CB_E_CONNECTOR_DOWN);
    }
    assert_int_equal(error, CB_E_CONNECTOR_DOWN);
    int64_t before = cb_clock_monotonic_us();
    for (int i = 0; i < 20; i++)
        assert_int_equal(misbehave("good", 20 * CB_SECOND, &result), CB_E_CONNECTOR_DOWN);
    assert_mtls_works();
    assert_true(cb_clock_monotonic_us() - before < 10 * CB_SECOND);
    kill(zygote, SIGCONT);
    assert_true(eventually(bad_is_good, NULL));
}

static bool bad_is_down(void *unused)
{
    cb_login_result result;
    (void)unused;
    return misbehave("good", 5 * CB_SECOND, &result) == CB_E_CONNECTOR_DOWN;
}

/* While it is so, each login is refused at once. */
static void assert_bad_stays_down(void)
{
    cb_login_result result;
    int64_t before = cb_clock_monotonic_us();
    assert_true(eventually(bad_is_down, NULL));
    for (int i = 0; i < 20; i++)
        assert_int_equal(misbehave("good", 20 * CB_SECOND, &result), CB_E_CONNECTOR_DOWN);
    assert_true(cb_clock_monotonic_us() - before < 20 * CB_SECOND);
    assert_int_equal(cb_connectors_ping(b.connectors, "bad"), CB_E_CONNECTOR_DOWN);
    assert_mtls_works();
    assert_int_equal(kill(b.connectord, 0), 0);
}

static void a_plugin_that_cannot_be_loaded_any_more_costs_its_own_logins_an_error(void **state)
{
    char crashing[2 * PATH_SIZE];
    (void)state;
    cb_session *session = log_in_at_service(&b, &anna, b.port);
    pid_t zygote = zygote_of(&b, plugin);
    assert_true(zygote > 0);
    assert_int_equal(unlink(plugin), 0);
    kill(zygote, SIGKILL);
    assert_bad_stays_down();
    /* Nor does one that crashes while it is loaded: it is tried again five seconds later. */
    snprintf(crashing, sizeof crashing, "%s/bad_start.so", getenv("CB_BAD_CONNECTORS"));
    assert_int_equal(symlink(crashing, plugin), 0);
    usleep(5500000);
    assert_bad_stays_down();
    assert_true(cb_session_alive(session));
    cb_session_end(&session);
    put_plugin();
    bool back = false;
    for (int i = 0; i < 6 && !back; i++)
        back = eventually(bad_is_good, NULL);
    assert_true(back);
}

static void a_stopped_connectord_is_missed_in_time_and_serves_when_it_goes_on(void **state)
{
    pid_t all[64];
    unsigned count = descendants(b.connectord, all, 64);
    (void)state;
    for (unsigned i = 0; i < count && i < 64; i++)
        kill(all[i], SIGSTOP);
    int64_t before = cb_clock_monotonic_us();
    assert_int_equal(cb_connectors_ping(b.connectors, NULL), CB_E_CONNECTOR_DOWN);
    assert_int_equal(try_service(b.port, "", CB_SECOND), CB_E_TIMEOUT);
    assert_true(cb_clock_monotonic_us() - before < 9 * CB_SECOND);
    for (unsigned i = 0; i < count && i < 64; i++)
        kill(all[i], SIGCONT);
    assert_mtls_works();
}

/* ---- names ---- */

static cb_error try_name(bench *other, const char *name, int64_t time)
{
    char config[3 * PATH_SIZE];
    cb_login_result result;
    cb_session *session = NULL;
    snprintf(config, sizeof config,
             "{\"url\":\"https://%s:%d/whoami\",\"ca_file\":\"%s/server-ca.pem\","
             "\"server_name\":\"localhost\",\"connect_timeout_ms\":%d}",
             name, b.port, b.service, (int)(time / CB_MILLISECOND));
    cb_error error = log_in(other, &anna, "mtls", config, 20 * CB_SECOND, &result, &session);
    cb_session_end(&session);
    cb_login_result_free(&result);
    return error;
}

/* A listener whose queue is full: whoever connects gets no answer. */
static int silent_listener(int port, int fillers[3])
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(0x7F000003)}};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (int i = 0; i < 3; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    return listener;
}

static void a_name_that_resolves_badly_costs_its_own_logins_an_error(void **state)
{
    bench other;
    int fillers[3], listener = silent_listener(b.port, fillers);
    cb_login_result result;
    cb_session *session = NULL;
    (void)state;
    setenv("LD_PRELOAD", getenv("CB_NAMES"), 1);
    bench_start(&other, "", false);
    unsetenv("LD_PRELOAD");
    assert_int_equal(try_name(&other, "none.test", CB_SECOND), CB_E_SERVICE_DOWN);
    assert_int_equal(try_name(&other, "again.test", CB_SECOND), CB_E_SERVICE_DOWN);
    int64_t before = cb_clock_monotonic_us();
    assert_int_equal(try_name(&other, "slow.test", CB_SECOND), CB_E_SERVICE_SLOW);
    assert_true(cb_clock_monotonic_us() - before < 10 * CB_SECOND);
    /* The same when the broker's own limit is the shorter one. */
    assert_int_equal(log_in(&other, &anna, "mtls", "{\"url\":\"https://slow.test/\"}", CB_SECOND,
                            &result, &session),
                     CB_E_SERVICE_SLOW);
    assert_int_equal(try_name(&other, "dead.test", 10 * CB_SECOND), CB_OK);
    assert_int_equal(try_name(&other, "silent.test", 4 * CB_SECOND), CB_OK);
    assert_int_equal(try_name(&other, "localhost", 10 * CB_SECOND), CB_OK);
    bench_stop(&other);
    for (int i = 0; i < 3; i++)
        close(fillers[i]);
    close(listener);
}

/* ---- another user ---- */

static long uid_of(pid_t pid)
{
    char path[64], line[256];
    long uid = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "Uid: %ld", &uid) != 1)
        continue;
    if (file)
        fclose(file);
    return uid;
}

static void started_as_root_connectors_are_another_user(void **state)
{
    bench other;
    char connectors[4 * PATH_SIZE];
    pid_t all[16];
    cb_login_result result;
    cb_session *session = NULL;
    (void)state;
    if (geteuid() != 0)
        skip();
    /* The copy lies where that user can read it. */
    snprintf(connectors, sizeof connectors, "user = nobody\nconnector bad {\n plugin = \"%s\"\n}\n",
             plugin);
    bench_start(&other, connectors, false);
    assert_int_equal(
        log_in(&other, &anna, "bad", "{\"do\":\"good\"}", 5 * CB_SECOND, &result, &session), CB_OK);
    cb_session_end(&session);
    cb_login_result_free(&result);
    /* The login's own process may take a moment to go. */
    unsigned count = descendants(other.connectord, all, 16);
    for (int i = 0; i < 200 && count > 3; i++) {
        usleep(10000);
        count = descendants(other.connectord, all, 16);
    }
    assert_int_equal(count, 3);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(uid_of(all[i]), 65534);
    /* Who changed users still dies with the parent. */
    bench_stop_connectord(&other, SIGKILL);
    for (unsigned i = 0; i < count; i++)
        assert_true(eventually(process_is_gone, &all[i]));
    bench_stop(&other);
}

/* ---- processes that are killed ---- */

static bool answers(void *connector)
{
    return cb_connectors_ping(b.connectors, connector) == CB_OK;
}

static bool is_dead(void *session) { return !cb_session_alive(session); }

static void a_killed_zygote_ends_its_sessions_and_is_made_anew(void **state)
{
    unsigned status;
    (void)state;
    cb_session *session = log_in_at_service(&b, &anna, b.port);
    pid_t zygote = zygote_of(&b, "mtls.so");
    assert_true(zygote > 0);
    kill(zygote, SIGKILL);
    assert_true(eventually(is_dead, session));
    assert_int_equal(fetch(session, "GET", "/whoami", "", &status, NULL, NULL), CB_E_SESSION_ENDED);
    cb_session_end(&session);
    char name[] = "mtls";
    assert_true(eventually(answers, name));
    session = log_in_at_service(&b, &anna, b.port);
    cb_session_end(&session);
}

static void a_killed_connectord_takes_everything_along_and_can_be_started_again(void **state)
{
    pid_t all[64];
    unsigned status;
    (void)state;
    cb_session *session = log_in_at_service(&b, &anna, b.port);
    unsigned count = descendants(b.connectord, all, 64);
    assert_true(count >= 5);
    bench_stop_connectord(&b, SIGKILL);
    assert_true(eventually(is_dead, session));
    assert_int_equal(fetch(session, "GET", "/whoami", "", &status, NULL, NULL), CB_E_SESSION_ENDED);
    cb_session_end(&session);
    for (unsigned i = 0; i < count; i++)
        assert_true(eventually(process_is_gone, &all[i]));
    assert_int_equal(try_service(b.port, "", CB_SECOND), CB_E_CONNECTOR_DOWN);
    bench_start_connectord(&b);
    session = log_in_at_service(&b, &anna, b.port);
    cb_session_end(&session);
}

/* Of one that was killed, somebody may still hold the socket when the next is started. */
static void the_socket_of_an_earlier_connectord_is_waited_for(void **state)
{
    char path[PATH_SIZE + 32];
    int earlier, looked, pid = 0;
    unsigned uid, gid;
    (void)state;
    bench_stop_connectord(&b, SIGTERM);
    snprintf(path, sizeof path, "%s/" CB_CONNECTORS_SOCKET, b.dir);
    assert_int_equal(cb_msg_listen(path, 0600, &earlier), CB_OK);
    bench_launch_connectord(&b);
    struct pollfd p = {.fd = earlier, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60 * 1000), 1);
    looked = accept(earlier, NULL, NULL);
    assert_int_equal(cb_msg_peer(looked, &pid, &uid, &gid), CB_OK);
    assert_int_equal(pid, b.connectord);
    close(looked);
    close(earlier);
    bench_await_connectord(&b);
    cb_session *session = log_in_at_service(&b, &anna, b.port);
    cb_session_end(&session);
}

static bool nothing_is_left(void *unused)
{
    (void)unused;
    return descendants(b.connectord, NULL, 0) == 4;
}

static void nothing_is_left_of_any_of_this(void **state)
{
    (void)state;
    assert_true(eventually(nothing_is_left, NULL)); /* dispatcher, opener, two zygotes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_that_is_not_there_is_down),
        cmocka_unit_test(a_service_that_refuses_the_certificate_refuses_the_login),
        cmocka_unit_test(an_unexpected_status_is_no_login),
        cmocka_unit_test(another_name_in_the_certificate_can_be_configured),
        cmocka_unit_test(what_a_connector_may_not_do_ends_its_login_only),
        cmocka_unit_test(a_connector_that_fails_costs_one_login_an_error),
        cmocka_unit_test(memory_and_time_are_limited),
        cmocka_unit_test(a_key_that_refuses_ends_the_login_with_its_error),
        cmocka_unit_test(unknown_connectors_and_configurations_are_refused),
        cmocka_unit_test(a_plugin_of_another_interface_is_refused_at_start),
        cmocka_unit_test(a_connector_that_is_stopped_holds_nobody_else_up),
        cmocka_unit_test(a_plugin_that_cannot_be_loaded_any_more_costs_its_own_logins_an_error),
        cmocka_unit_test(a_stopped_connectord_is_missed_in_time_and_serves_when_it_goes_on),
        cmocka_unit_test(a_name_that_resolves_badly_costs_its_own_logins_an_error),
        cmocka_unit_test(started_as_root_connectors_are_another_user),
        cmocka_unit_test(nothing_is_left_of_any_of_this),
        cmocka_unit_test(a_killed_zygote_ends_its_sessions_and_is_made_anew),
        cmocka_unit_test(a_killed_connectord_takes_everything_along_and_can_be_started_again),
        cmocka_unit_test(the_socket_of_an_earlier_connectord_is_waited_for)};
    return cmocka_run_group_tests(tests, start, stop);
}
