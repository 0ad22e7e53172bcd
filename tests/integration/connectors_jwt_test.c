/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Logins with assertions at npm's oidc-provider, which nobody here wrote. Skipped (77) when npm
 * cannot fetch it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/config.h"
#include "tests/integration/connectors_support.h"

#define VERSION "8.8.1"

enum { SKIPPED = 77, HOLDERS = 5 };

static bench b;
static holder holders[HOLDERS];
static pid_t provider;
static int port;

static const struct {
    const char *name, *algorithm, *extra, *alg;
} cases[HOLDERS] = {{"es256", "ec-p256", "", "ES256"},
                    {"es384", "ec-p384", "", "ES384"},
                    {"ps256", "rsa-2048", "", "PS256"},
                    {"rs256", "rsa-2048", ",\"rsa\":\"RS256\"", "RS256"},
                    {"large", "rsa-3072", "", "PS256"}};

static const char *config_for(const char *extra, cb_buf *out)
{
    *out = CB_BUF(4096);
    cb_buf_printf(
        out,
        "{\"token_endpoint\":\"https://localhost:%d/token\",\"ca_file\":\"%s/server-ca.pem\","
        "\"scope\":\"taxes\"%s}",
        port, b.service, extra);
    return cb_buf_cstr(out);
}

static cb_login_request request_of(const holder *h, const char *config, const char *enrolment)
{
    return (cb_login_request){.connector = "jwt",
                              .service = "provider",
                              .config = config,
                              .enrolment = enrolment,
                              .public_key = cb_buf_bytes(&h->public_key),
                              .algorithm = h->algorithm,
                              .session = cb_id_new()};
}

static const char *enrolment_of(const char *name, char out[128])
{
    snprintf(out, 128, "{\"subject\":\"%s\"}", name);
    return out;
}

/* What an administrator hands to the service goes into a file. */
static void enrol(unsigned i)
{
    char path[2 * PATH_SIZE], enrolment[128];
    cb_buf config, json = CB_BUF(16 * 1024), why = CB_BUF(4096);
    cb_login_request request = request_of(&holders[i], config_for(cases[i].extra, &config),
                                          enrolment_of(cases[i].name, enrolment));
    cb_error error = cb_connectors_enrol(b.connectors, &request, &json, &why);
    if (error)
        fprintf(stderr, "enrol: %s: %s\n", cb_error_code(error), cb_buf_cstr(&why));
    assert_int_equal(error, CB_OK);
    assert_non_null(strstr(cb_buf_cstr(&json), cases[i].alg));
    snprintf(path, sizeof path, "%s/%s.json", b.dir, cases[i].name);
    assert_int_equal(cb_file_replace(path, cb_buf_bytes(&json), 0600), CB_OK);
    cb_buf_free(&config);
    cb_buf_free(&json);
    cb_buf_free(&why);
}

static bool fetch_provider(char modules[PATH_SIZE])
{
    char command[4 * PATH_SIZE];
    const char *cache = getenv("CARDBROKER_CACHE");
    const char *home = getenv("HOME");
    snprintf(modules, PATH_SIZE, "%s%s/oidc-provider-" VERSION,
             cache  ? cache
             : home ? home
                    : "/tmp",
             cache ? "" : "/.cache/cardbroker");
    snprintf(command, sizeof command,
             "test -d '%s/node_modules/oidc-provider' || npm install --silent --no-audit --no-fund "
             "--prefix '%s' oidc-provider@" VERSION " > /dev/null 2>&1",
             modules, modules);
    return system(command) == 0;
}

static void run_provider(const char *modules, int out)
{
    cb_buf command = CB_BUF(8192);
    cb_buf_printf(&command,
                  "exec node %s/../integration/oidc_provider.mjs --modules '%s' --port %d "
                  "--cert %s/server.pem --key %s/server.key",
                  getenv("CB_SUPPORT"), modules, port, b.service, b.service);
    for (unsigned i = 0; i < HOLDERS; i++)
        cb_buf_printf(&command, " --client %s/%s.json", b.dir, cases[i].name);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, STDOUT_FILENO);
    execl("/bin/sh", "sh", "-c", cb_buf_cstr(&command), (char *)NULL);
    _exit(127);
}

static void start_provider(const char *modules)
{
    int pipes[2];
    char line[64] = "";
    assert_int_equal(pipe(pipes), 0);
    provider = fork();
    assert_true(provider >= 0);
    if (provider == 0)
        run_provider(modules, pipes[1]);
    close(pipes[1]);
    FILE *out = fdopen(pipes[0], "r");
    while (fgets(line, sizeof line, out) && strcmp(line, "ready\n") != 0)
        continue;
    assert_string_equal(line, "ready\n");
    fclose(out);
}

static int start(void **state)
{
    char modules[PATH_SIZE], connectors[2 * PATH_SIZE];
    (void)state;
    if (!fetch_provider(modules)) {
        fputs("oidc-provider cannot be fetched\n", stderr);
        exit(SKIPPED);
    }
    snprintf(connectors, sizeof connectors, "connector jwt {\n  plugin = \"%s/jwt.so\"\n}\n",
             getenv("CB_CONNECTORS"));
    bench_start(&b, connectors, true);
    port = 18000 + (int)(getpid() % 2000);
    for (unsigned i = 0; i < HOLDERS; i++) {
        holder_new(&b, &holders[i], cases[i].name, cases[i].algorithm);
        enrol(i);
    }
    start_provider(modules);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (provider > 0) {
        kill(provider, SIGKILL);
        waitpid(provider, NULL, 0);
    }
    for (unsigned i = 0; i < HOLDERS; i++)
        holder_free(&holders[i]);
    bench_stop(&b);
    return 0;
}

static cb_error log_in_as(unsigned i, const char *name, const char *extra, cb_login_result *result)
{
    char enrolment[128];
    cb_buf config;
    cb_session *session = NULL;
    cb_login_request request =
        request_of(&holders[i], config_for(extra, &config), enrolment_of(name, enrolment));
    cb_login_keys keys = {&holders[i], holder_use};
    cb_error error = cb_connector_login(b.connectors, &request, &keys,
                                        cb_deadline_in(20 * CB_SECOND), result, &session);
    cb_session_end(&session);
    cb_buf_free(&config);
    return error;
}

static void assert_token_of(const cb_login_result *result, const char *name)
{
    char command[2048], answer[512] = "", expected[128];
    json_t *token = json_loadb((const char *)result->value.data, result->value.len, 0, NULL);
    const char *text = json_string_value(json_object_get(token, "access_token"));
    assert_non_null(text);
    assert_string_equal(json_string_value(json_object_get(token, "token_type")), "Bearer");
    assert_string_equal(json_string_value(json_object_get(token, "scope")), "taxes");
    assert_int_equal(json_integer_value(json_object_get(token, "expires_in")), 600);
    snprintf(command, sizeof command,
             "curl -s --cacert %s/server-ca.pem 'https://localhost:%d/who?token=%s'", b.service,
             port, text);
    FILE *out = popen(command, "r");
    assert_non_null(fgets(answer, sizeof answer, out));
    pclose(out);
    snprintf(expected, sizeof expected, "\"client\":\"%s\"", name);
    assert_non_null(strstr(answer, expected));
    json_decref(token);
}

static void a_holder_gets_a_token_of_his_own_with_every_algorithm(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HOLDERS; i++) {
        cb_login_result result;
        unsigned before = holders[i].uses;
        assert_int_equal(log_in_as(i, cases[i].name, cases[i].extra, &result), CB_OK);
        assert_int_equal(result.kind, CB_SESSION_TOKEN);
        assert_true(result.expires > cb_clock_wall_us() + 590 * CB_SECOND);
        assert_token_of(&result, cases[i].name);
        assert_int_equal(holders[i].uses, before + 1);
        cb_login_result_free(&result);
    }
}

static void the_service_refuses_a_key_that_is_not_the_clients(void **state)
{
    cb_login_result result;
    (void)state;
    assert_int_equal(log_in_as(0, "es384", "", &result), CB_E_SERVICE_REFUSED);
    assert_int_equal(log_in_as(2, "large", "", &result), CB_E_SERVICE_REFUSED);
    assert_int_equal(log_in_as(0, "nobody", "", &result), CB_E_SERVICE_REFUSED);
}

static void the_service_refuses_an_assertion_for_another_audience(void **state)
{
    cb_login_result result;
    (void)state;
    assert_int_equal(log_in_as(0, "es256", ",\"audience\":\"https://elsewhere.test/\"", &result),
                     CB_E_SERVICE_REFUSED);
}

static void a_key_that_refuses_ends_the_login_with_its_own_error(void **state)
{
    cb_login_result result;
    (void)state;
    holders[0].refuse = CB_E_HSM_ACTIVATION;
    assert_int_equal(log_in_as(0, "es256", "", &result), CB_E_HSM_ACTIVATION);
    holders[0].refuse = CB_OK;
}

static void what_is_wrong_in_a_configuration_is_named(void **state)
{
    cb_buf why = CB_BUF(4096), config;
    (void)state;
    assert_int_equal(cb_connectors_check(b.connectors, "jwt", "{}", &why), CB_E_ARGUMENT);
    assert_non_null(strstr(cb_buf_cstr(&why), "token_endpoint"));
    assert_int_equal(cb_connectors_check(b.connectors, "jwt", config_for("", &config), &why),
                     CB_OK);
    cb_buf_free(&why);
    cb_buf_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_holder_gets_a_token_of_his_own_with_every_algorithm),
        cmocka_unit_test(the_service_refuses_a_key_that_is_not_the_clients),
        cmocka_unit_test(the_service_refuses_an_assertion_for_another_audience),
        cmocka_unit_test(a_key_that_refuses_ends_the_login_with_its_own_error),
        cmocka_unit_test(what_is_wrong_in_a_configuration_is_named)};
    return cmocka_run_group_tests(tests, start, stop);
}
