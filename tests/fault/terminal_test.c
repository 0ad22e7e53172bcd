/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The terminal's commands while each allocation, each call for sockets and each call of PC/SC fails
 * in turn, between a real card and a broker's side that no fault strikes. It says that a tap was
 * accepted if, and only if, the broker accepted it and the whole delivery was shown; otherwise it
 * says what was wrong, with a code. A PIN is compared once at most, and is nowhere in memory
 * afterwards. The next tap works.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "cardlink/terminal/agent.h"
#include "cardlink/terminal/commands.h"
#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/relay.h"
#include "cardlink/terminal/spool.h"
#include "fake_pcsc.h"
#include "far_side.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/socket_faults.h"

/* What a flow returns when the terminal said or did what it must not; no listed error. */
#define WRONG CB_ERROR_COUNT

/* A PIN that is nowhere else. It is written so that the program itself does not hold it. */
#define FRESH_PIN_COMPLEMENT "081726354453"

#define DELIVERY "https://relay.test/one-time"

typedef struct flow_case {
    const char *name;
    const char *words[2];
    const char *service;
    cb_pin_form form;
    bool json, prefetch;
    const char *delivery; /* a file in the folder */
} flow_case;

static char folder[] = "/tmp/cb-terminal-XXXXXX";
static far_record *far;
static pid_t far_pid;
static cb_terminal_config config;
static char said[8192];
static const flow_case *current;
static int pins_fd;
static bool nothing_lost; /* such a fault is none */
static int64_t patience;  /* for the card */
static char place[128];   /* the card's */

/* ---- PINs ---- */

static void type_line(int fd, const char *digits, bool complement)
{
    for (; *digits; digits++) {
        char c = complement ? (char)('9' - (*digits - '0')) : *digits;
        assert_int_equal(write(fd, &c, 1), 1);
    }
    assert_int_equal(write(fd, "\n", 1), 1);
}

static void type_pins(cb_pin_form form)
{
    int pair[2];
    pins_fd = -1;
    if (form == CB_PIN_FORM_NONE)
        return;
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    type_line(pair[1], FAR_PIN, false);
    if (form == CB_PIN_FORM_CHANGE)
        type_line(pair[1], FRESH_PIN_COMPLEMENT, true);
    close(pair[1]);
    pins_fd = pair[0];
}

#ifdef CB_SANITIZED
static bool fresh_pin_is_in_memory(void) { return false; } /* too much of it */
#else
static bool range_has_pin(const uint8_t *at, const uint8_t *end)
{
    const size_t len = sizeof FRESH_PIN_COMPLEMENT - 1;
    for (; at + len <= end; at++) {
        size_t same = 0;
        while (same < len && at[same] == (uint8_t)('9' - (FRESH_PIN_COMPLEMENT[same] - '0')))
            same++;
        if (same == len)
            return true;
    }
    return false;
}

/* In all that can be written: heap, stacks, variables. */
static bool fresh_pin_is_in_memory(void)
{
    static char maps[256 * 1024];
    size_t len = 0;
    bool found = false;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t got = 1; got > 0 && len + 1 < sizeof maps; len += (size_t)(got > 0 ? got : 0))
        got = read(fd, maps + len, sizeof maps - 1 - len);
    close(fd);
    maps[len] = 0;
    for (char *line = strtok(maps, "\n"); line && !found; line = strtok(NULL, "\n")) {
        uintptr_t from, to;
        char how[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, how) == 3 && strncmp(how, "rw", 2) == 0 &&
            !strstr(line, "[vvar]") && to - from < (1U << 26))
            found = range_has_pin((const uint8_t *)from, (const uint8_t *)to); // NOLINT
    }
    return found;
}
#endif

/* ---- A command ---- */

static void forget(void *context)
{
    current = context;
    far_side_again(far);
    unlink("delivery");
    cb_spool_remove(config.log);
    type_pins(current->form);
}

static cb_error wrong(const char *why)
{
    fprintf(stderr, "%s (%u accepted, %u compared, %u proved): %s\n", why, far->accepted,
            far->compared, far->proved, said);
    return WRONG;
}

static bool delivery_is_whole(const flow_case *c)
{
    cb_buf text = CB_BUF(1024);
    bool whole = strstr(said, DELIVERY) != NULL;
    if (c->delivery) {
        alloc_faults_pause(true);
        whole =
            cb_file_read(c->delivery, &text) == CB_OK && cb_buf_cstr(&text) &&
            strcmp(cb_buf_cstr(&text), "{\"kind\":\"relayed\",\"url\":\"" DELIVERY "\"}\n") == 0;
        cb_buf_free(&text);
        alloc_faults_pause(false);
    }
    return whole;
}

static bool is_tap(const flow_case *c) { return strcmp(c->words[0], "services") != 0; }

static cb_error judge(const flow_case *c, cb_error error)
{
    bool tap = is_tap(c);
    if (far->compared > (c->form ? 1 : 0) || far->accepted > 1 || far->strangers > 0)
        return wrong("too much was done");
    if (far->tries != 3)
        return wrong("a try is lost");
    if (error) {
        bool accept = tap && (strstr(said, "tap.accepted") || strstr(said, ": accepted for"));
        /* One whose end the log did not take is said, and that it did not. */
        if (accept && (far->accepted != 1 || !delivery_is_whole(c)))
            return wrong("an accept was said of a failure");
        return strstr(said, c->json ? "\"code\":\"" : " [")
                   ? error
                   : wrong("nothing was said of a failure");
    }
    if (!tap)
        return strstr(said, "tax") ? CB_OK : wrong("the list is not there");
    if (far->accepted != 1 || !strstr(said, "accepted") || !delivery_is_whole(c))
        return wrong("it was said to have succeeded");
    return CB_OK;
}

static cb_error run(void *context)
{
    const flow_case *c = context;
    static char room[BUFSIZ];
    static atomic_bool stop;
    FILE *errors = stderr;
    cb_output output;
    cb_options options = {.service = c->service,
                          .timeout = patience,
                          .pin_fd = pins_fd,
                          .pin = c->form == CB_PIN_FORM_VERIFY,
                          .json = c->json};
    memset(said, 0, sizeof said);
    alloc_faults_pause(true);
    FILE *stream = fmemopen(said, sizeof said - 1, "w");
    assert_non_null(stream);
    setvbuf(stream, room, _IOFBF, sizeof room);
    alloc_faults_pause(false);
    config.prefetch = c->prefetch;
    cb_output_init(&output, stream, c->json);
    output.file = c->delivery;
    cb_command_context command = {&options, &config, &output, &stop};
    if (!c->json)
        stderr = stream; /* where people are told */
    cb_error error = cb_command_find(c->words)->run(&command);
    error = error ? error : output.error;
    stderr = errors;
    alloc_faults_pause(true);
    fclose(stream);
    alloc_faults_pause(false);
    if (pins_fd >= 0)
        close(pins_fd);
    pins_fd = -1;
    if (getenv("CARDBROKER_FAULTS_SHOW"))
        fprintf(stderr, "%s: %s", cb_error_code(error), said);
    if (c->form == CB_PIN_FORM_CHANGE && fresh_pin_is_in_memory())
        return wrong("the PIN is still in memory");
    return judge(c, error);
}

static void works_again(void *context, cb_error result, bool struck)
{
    (void)struck;
    /* libcurl takes the interruption of a call that cannot wait, which there is none of, for an
     * end. */
    if (nothing_lost && result != CB_E_BROKER_DOWN)
        assert_int_equal(result, CB_OK);
    forget(context);
    assert_int_equal(run(context), CB_OK);
}

static flow_case cases[] = {
    {"services", {"services", NULL}, NULL, CB_PIN_FORM_NONE, true, false, NULL},
    {"a tap", {"tap", NULL}, "tax", CB_PIN_FORM_NONE, true, true, NULL},
    {"a tap for a person", {"tap", NULL}, "tax", CB_PIN_FORM_NONE, false, false, NULL},
    {"a tap into a file", {"tap", NULL}, "tax", CB_PIN_FORM_NONE, true, false, "delivery"},
    {"a tap with the PIN", {"tap", NULL}, FAR_PIN_SERVICE, CB_PIN_FORM_VERIFY, true, true, NULL},
    {"another PIN", {"pin", "change"}, NULL, CB_PIN_FORM_CHANGE, true, false, NULL},
};

static void each_case(const fault_kind *kind, unsigned runs)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static fault_flow flow;
        flow = (fault_flow){cases[i].name, forget, run, works_again};
        fault_each(kind, &flow, &cases[i], runs);
    }
}

static void use_readers(const cb_reader_kind *kind)
{
    nothing_lost = false;
    config.kind = kind;
    config.place = kind == &cb_reader_virtual ? place : "pcsc";
    patience = kind == &cb_reader_virtual ? 5 * CB_SECOND : CB_SECOND / 4;
    fake_pcsc(place, SCARD_E_NO_SERVICE);
}

/* What libcurl 7.88 loses when there is no memory for a BIO (wolfssl_connect_step1). */
enum { THEIRS = 1 };

static void a_failed_allocation_is_said_and_costs_a_tap_at_most(void **state)
{
    (void)state;
    use_readers(&cb_reader_virtual);
    fault_theirs(THEIRS);
    each_case(&alloc_faults, 40);
    fault_theirs(0);
}

static void a_broken_socket_is_said_and_costs_a_tap_at_most(void **state)
{
    (void)state;
    use_readers(&cb_reader_virtual);
    each_case(&socket_faults, 40);
}

static void an_interruption_costs_nothing(void **state)
{
    (void)state;
    use_readers(&cb_reader_virtual);
    nothing_lost = true;
    each_case(&interrupt_faults, 100);
    each_case(&short_faults, 40);
}

static void a_reader_that_fails_is_said_and_costs_a_tap_at_most(void **state)
{
    static const LONG codes[] = {
        SCARD_E_NO_SERVICE,        SCARD_F_COMM_ERROR,     SCARD_E_NO_MEMORY,
        SCARD_E_SHARING_VIOLATION, SCARD_W_REMOVED_CARD,   SCARD_W_RESET_CARD,
        SCARD_E_NOT_TRANSACTED,    SCARD_E_UNKNOWN_READER, SCARD_E_PROTO_MISMATCH,
        SCARD_E_TIMEOUT,           SCARD_F_UNKNOWN_ERROR};
    (void)state;
    use_readers(&cb_reader_pcsc);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        static const fault_flow flow = {"a tap with the PIN", forget, run, works_again};
        fault_kind kind = pcsc_faults;
        kind.passing = i > 1; /* what lasts is waited for */
        fake_pcsc(place, codes[i]);
        fault_each(&kind, &flow, &cases[4], 0);
    }
}

/* ---- What is asked once ---- */

/* A challenge that is not answered ends its tap, and another is begun, once. */
static void what_changes_something_is_not_done_twice(void **state)
{
    static const struct {
        far_fault fault;
        unsigned challenged, ended;
        cb_error error;
    } cases_of[] = {{FAR_SILENT_CHALLENGE, 2, 2, CB_E_BROKER_DOWN},
                    {FAR_SILENT_PROOF, 1, 0, CB_E_TAP_UNHEARD}};
    (void)state;
    use_readers(&cb_reader_virtual);
    for (size_t i = 0; i < sizeof cases_of / sizeof *cases_of; i++) {
        flow_case *c =
            &cases[4]; /* with a script that was fetched before, on the same connection */
        forget(c);
        atomic_store(&far->fault, cases_of[i].fault);
        assert_int_equal(run(c), cases_of[i].error);
        assert_int_equal(far->challenged, cases_of[i].challenged);
        assert_int_equal(far->ended, cases_of[i].ended);
        assert_true(cases_of[i].error == CB_E_BROKER_DOWN ? far->proved == 0 : far->proved > 1);
        assert_int_equal(far->accepted, 0);
        atomic_store(&far->fault, FAR_NONE);
    }
}

/* ---- A new identity ---- */

static void no_identity(void *context)
{
    (void)context;
    unlink("new.pem");
    unlink("new.key");
}

static cb_error enrol(void *context)
{
    cb_identity identity;
    (void)context;
    return cb_identity_make("gate", "new.pem", "new.key", &identity);
}

static void is_whole_or_not_there(void *context, cb_error result, bool struck)
{
    cb_identity identity;
    cb_buf why = CB_BUF(1024);
    (void)context, (void)struck;
    if (result == CB_OK)
        assert_int_equal(cb_identity_check("new.pem", "new.key", &identity, &why), CB_OK);
    else
        assert_true(access("new.pem", F_OK) != 0 && access("new.key", F_OK) != 0);
    assert_true(access("new.pem.new", F_OK) != 0 && access("new.key.new", F_OK) != 0);
    cb_buf_free(&why);
    no_identity(NULL);
}

static cb_error check(void *context)
{
    cb_identity identity;
    cb_buf why = CB_BUF(1024);
    (void)context;
    cb_error error = cb_identity_check(config.certificate, config.key, &identity, &why);
    if (!error)
        error = cb_trust_check(config.ca, &why);
    cb_buf_free(&why);
    return error;
}

static void still_good(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    assert_int_equal(check(context), CB_OK);
}

static void an_identity_is_made_whole_or_not_at_all(void **state)
{
    static const fault_flow making = {"an identity", no_identity, enrol, is_whole_or_not_there};
    static const fault_flow checking = {"a look at it", NULL, check, still_good};
    (void)state;
    fault_each(&alloc_faults, &making, NULL, 100);
    fault_each(&alloc_faults, &checking, NULL, 100);
}

/* ---- The agent ---- */

enum { SHORT = 20 * CB_MILLISECOND };

static atomic_bool agent_stop;

cb_error __real_cb_readers_wait(cb_readers *readers, cb_reader_list *known, bool plug,
                                int64_t deadline);
cb_error __wrap_cb_readers_wait(cb_readers *readers, cb_reader_list *known, bool plug,
                                int64_t deadline);
void __real_cb_pause(int64_t us);
void __wrap_cb_pause(int64_t us);

/* The agent's threads look twice a second whether they are to end, which would be most of the time
 * here. */
void __wrap_cb_pause(int64_t us) { __real_cb_pause(us < SHORT ? us : SHORT); }

cb_error __wrap_cb_readers_wait(cb_readers *readers, cb_reader_list *known, bool plug,
                                int64_t deadline)
{
    int64_t soon = cb_deadline_in(SHORT);
    return __real_cb_readers_wait(readers, known, plug, soon < deadline ? soon : deadline);
}

/* Ends the agent when the card was served, or could not be for a while. */
static void *stop_agent(void *context)
{
    (void)context;
    alloc_faults_pause(true);
    for (int i = 0; i < 300 && !strstr(said, "tap.accepted") && !strstr(said, "tap.refused") &&
                    !strstr(said, "delivery.failed") && !atomic_load(&agent_stop);
         i++)
        usleep(10000);
    atomic_store(&agent_stop, true);
    alloc_faults_pause(false);
    return NULL;
}

static cb_error serve(void *context)
{
    static char room[BUFSIZ];
    pthread_t thread;
    cb_output output;
    (void)context;
    memset(said, 0, sizeof said);
    atomic_store(&agent_stop, false);
    alloc_faults_pause(true);
    FILE *stream = fmemopen(said, sizeof said - 1, "w");
    assert_non_null(stream);
    setvbuf(stream, room, _IOFBF, sizeof room);
    assert_int_equal(pthread_create(&thread, NULL, stop_agent, NULL), 0);
    alloc_faults_pause(false);
    config.prefetch = true;
    cb_output_init(&output, stream, true);
    const cb_agent_order order = {
        .config = &config, .service = "tax", .output = &output, .stop = &agent_stop};
    cb_error error = cb_agent_run(&order);
    alloc_faults_pause(true);
    atomic_store(&agent_stop, true);
    pthread_join(thread, NULL);
    fclose(stream);
    alloc_faults_pause(false);
    if (getenv("CARDBROKER_FAULTS_SHOW"))
        fprintf(stderr, "%s: %s", cb_error_code(error), said);
    bool accepted = strstr(said, "\"tap.accepted\"");
    if (far->strangers > 0 || (accepted && (far->accepted != 1 || !strstr(said, DELIVERY))))
        return wrong("it was said to have succeeded");
    if (error || accepted)
        return error ? error : output.error;
    return strstr(said, "\"code\":\"") ? CB_E_READER : wrong("nothing was said of a failure");
}

static void works_in_the_next_round(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    forget(context);
    assert_int_equal(run(context), CB_OK);
}

static void the_agent_outlives_or_says_a_failure(void **state)
{
    static const fault_flow flow = {"the agent", forget, serve, works_in_the_next_round};
    (void)state;
    use_readers(&cb_reader_virtual);
    fault_theirs(THEIRS);
    fault_each(&alloc_faults, &flow, &cases[1], 12);
    fault_theirs(0);
    fault_each(&socket_faults, &flow, &cases[1], 12);
    fault_each(&interrupt_faults, &flow, &cases[1], 12);
}

/* ---- */

static void configure(void)
{
    cb_buf text = CB_BUF(4096), why = CB_BUF(1024);
    cb_identity identity;
    cb_buf_printf(&text,
                  "broker = \"https://localhost:%u\"\nca = \"%s/" FAR_CERTIFICATE "\"\n"
                  "certificate = \"%s/own.pem\"\nkey = \"%s/own.key\"\nreaders = \"virtual:%s\"\n",
                  atomic_load(&far->port), folder, folder, folder, place);
    assert_int_equal(cb_identity_make("gate", "own.pem", "own.key", &identity), CB_OK);
    assert_int_equal(cb_file_replace("conf", cb_buf_bytes(&text), 0600), CB_OK);
    assert_int_equal(cb_terminal_config_load("conf", &config, &why), CB_OK);
    cb_buf_free(&text);
    cb_buf_free(&why);
}

static int begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    snprintf(place, sizeof place, "%s/" FAR_CARD, folder);
    assert_int_equal(
        system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes " // NOLINT
               "-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
               "-keyout " FAR_KEY " -out " FAR_CERTIFICATE " 2> /dev/null"),
        0);
    assert_int_equal(cb_relay_init(), CB_OK);
    far = far_side_start(&far_pid);
    configure();
    return 0;
}

static int end(void **state)
{
    static const char *const files[] = {FAR_CARD,  FAR_KEY, FAR_CERTIFICATE, "own.pem",
                                        "own.key", "conf",  "delivery"};
    (void)state;
    kill(far_pid, SIGKILL);
    waitpid(far_pid, NULL, 0);
    cb_spool_remove(config.log);
    cb_terminal_config_free(&config);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
    return rmdir(folder);
}

int main(int argc, char **argv)
{
    far_side_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changes_something_is_not_done_twice),
        cmocka_unit_test_teardown(a_failed_allocation_is_said_and_costs_a_tap_at_most, fault_said),
        cmocka_unit_test_teardown(a_broken_socket_is_said_and_costs_a_tap_at_most, fault_said),
        cmocka_unit_test_teardown(an_interruption_costs_nothing, fault_said),
        cmocka_unit_test_teardown(a_reader_that_fails_is_said_and_costs_a_tap_at_most, fault_said),
        cmocka_unit_test_teardown(an_identity_is_made_whole_or_not_at_all, fault_said),
        cmocka_unit_test_teardown(the_agent_outlives_or_says_a_failure, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, begin, end);
}
