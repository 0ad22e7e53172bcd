/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation of reading a configuration fails in turn: an error, or all of what the file says;
 * never a part of it, and never a default that is missing.
 */
#include "tests/support/alloc_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "broker/config.h"
#include "cardlink/terminal/config.h"
#include "hsm/config.h"

/* What the flows return when something was read that the file does not say; no listed error. */
#define TAKEN_HALF CB_ERROR_COUNT
#define LOST (CB_ERROR_COUNT + 1)

/* Blocks that libConfuse's scanner and libc's search for users keep; a configuration has more. */
enum { KEPT = 24 };

/* Of a configuration that was read, what decides: compared with that of a run without faults. */
typedef struct program {
    const char *file;
    cb_error (*load)(const char *path, char *said, size_t size, cb_buf *why);
    char whole[2048];
} program;

static char folder[] = "/tmp/cb-config-alloc-XXXXXX";
static char path[64];

static const char *or_none(const char *text) { return text ? text : "none"; }

static void say_broker(const cb_broker_config *c, char *said, size_t size)
{
    const cb_broker_listener *l = c->listeners;
    const cb_broker_issuer *i = c->issuers;
    snprintf(said, size,
             "%zu %s %s %zu %s %s %s %d %d %s %s %s %s %s %s %u %zu %s %u %s %s %s %s %zu %u %u %u "
             "%u %u %u %d %d",
             c->issuer_count, or_none(i->name), or_none(i->certificate), i->list_count,
             or_none(i->lists[0]), or_none(i->lists[1]), or_none(i->responder), (int)c->status.wait,
             c->status.nonce, or_none(c->user), c->run, c->state, c->database, c->relay_domain,
             c->relay_pattern, c->relay_port, c->listener_count, l[0].address, l[0].port,
             or_none(l[0].entries[0].certificate), or_none(l[0].entries[0].key),
             or_none(l[0].entries[1].certificate), or_none(l[1].entries[0].certificate),
             c->administrator_count, c->administrators[0], c->limits.connections,
             c->limits.per_address, c->taps, c->workers, c->streams, c->log_level, c->sandbox);
}

static cb_error load_broker(const char *name, char *said, size_t size, cb_buf *why)
{
    cb_broker_config c;
    cb_error error = cb_broker_config_load(name, &c, why);
    if (!error)
        say_broker(&c, said, size);
    cb_broker_config_free(&c);
    return error;
}

static cb_error load_broker_apart(const char *name, char *said, size_t size, cb_buf *why)
{
    cb_broker_config c;
    cb_error error = cb_broker_config_load_apart(name, 30 * CB_SECOND, &c, why);
    if (!error)
        say_broker(&c, said, size);
    cb_broker_config_free(&c);
    return error;
}

static cb_error load_hsmd(const char *name, char *said, size_t size, cb_buf *why)
{
    cb_hsmd_config c;
    cb_error error = cb_hsmd_config_load(name, &c, why);
    if (error)
        return error;
    snprintf(said, size, "%s %s %s %s %s %s %s %u %u %u %u %zu %s %s %s %s %zu %s %d %d %s",
             c.token.module, c.token.label, c.pin_file, or_none(c.so_pin_file), c.run, c.state,
             c.origin, c.workers, c.taps, c.revocations, c.renew_after, c.anchors,
             or_none(c.anchor[0]), or_none(c.anchor[1]), or_none(c.agreement), or_none(c.signer),
             c.extra_calls, or_none(c.extra_call[0]), c.log_level, c.sandbox, c.log_path);
    cb_hsmd_config_free(&c);
    return CB_OK;
}

static cb_error load_terminal(const char *name, char *said, size_t size, cb_buf *why)
{
    cb_terminal_config c;
    cb_error error = cb_terminal_config_load(name, &c, why);
    if (error)
        return error;
    cb_reader_use own = cb_terminal_config_reader(&c, "Door 1"),
                  other = cb_terminal_config_reader(&c, "Hall");
    snprintf(said, size, "%s %s %s %s %s %s %lld %lld %d %lld %d %s %s %s %s", c.broker, c.ca,
             c.certificate, c.key, c.kind->name, or_none(c.place), (long long)c.timeout,
             (long long)c.card_timeout, c.prefetch, (long long)c.prefetch_for, c.log_level,
             own.service, own.text, other.service, other.text);
    cb_terminal_config_free(&c);
    return CB_OK;
}

/* Plug-ins: sections with titles and lists, as cardbroker-connectord has. */
static cb_error load_sections(const char *name, char *said, size_t size, cb_buf *why)
{
    cfg_opt_t plugin[] = {CFG_STR("path", NULL, CFGF_NODEFAULT),
                          CFG_STR_LIST("hosts", NULL, CFGF_NONE), CFG_INT("memory", 64, CFGF_NONE),
                          CFG_END()};
    cfg_opt_t options[] = {CFG_STR("run", "/run", CFGF_NONE), CFG_BOOL("sandbox", cfg_true, 0),
                           CFG_SEC("plugin", plugin, CFGF_MULTI | CFGF_TITLE), CFG_END()};
    cfg_t *cfg = NULL;
    cb_error error = cb_config_load(name, options, &cfg, why);
    if (error)
        return error;
    size_t len = (size_t)snprintf(said, size, "%s %d", or_none(cfg_getstr(cfg, "run")),
                                  cfg_getbool(cfg, "sandbox"));
    for (unsigned i = 0; i < cfg_size(cfg, "plugin"); i++) {
        cfg_t *s = cfg_getnsec(cfg, "plugin", i);
        len += (size_t)snprintf(said + len, size - len, " %s %s %ld", cfg_title(s),
                                or_none(cfg_getstr(s, "path")), cfg_getint(s, "memory"));
        for (unsigned k = 0; k < cfg_size(s, "hosts"); k++)
            len += (size_t)snprintf(said + len, size - len, " %s", cfg_getnstr(s, "hosts", k));
    }
    cfg_free(cfg);
    return CB_OK;
}

static void write_file(void *context)
{
    program *p = context;
    assert_int_equal(cb_file_replace(path, cb_bytes_str(p->file), 0600), CB_OK);
}

/* Where a child is, when it ends. libConfuse itself ends the program, or falls over what it has
 * half made, when some of its calls fail: that is for it to mend, and nothing was taken then. */
static volatile bool *in_library;

cfg_t *__real_cfg_init(cfg_opt_t *options, cfg_flag_t flags);
cfg_t *__wrap_cfg_init(cfg_opt_t *options, cfg_flag_t flags);
int __real_cfg_parse_buf(cfg_t *cfg, const char *text);
int __wrap_cfg_parse_buf(cfg_t *cfg, const char *text);

static void be_quiet(void)
{
    int none = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (!getenv("CARDBROKER_FAULTS_SHOW") && none >= 0)
        dup2(none, STDERR_FILENO);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
}

static pid_t tester;
static void (*instead)(void); /* of what libConfuse does; NULL: nothing else */

cfg_t *__wrap_cfg_init(cfg_opt_t *options, cfg_flag_t flags)
{
    if (getpid() != tester)
        be_quiet();
    *in_library = true;
    cfg_t *cfg = __real_cfg_init(options, flags);
    *in_library = false;
    return cfg;
}

int __wrap_cfg_parse_buf(cfg_t *cfg, const char *text)
{
    if (instead)
        instead();
    *in_library = true;
    int status = __real_cfg_parse_buf(cfg, text);
    *in_library = false;
    return status;
}

/* A sanitizer's allocator sets errno anew, and with it goes the reason. */
static bool reason_is_lost(cb_buf *why)
{
#ifdef CB_SANITIZED
    const char *text = cb_buf_cstr(why);
    return !text || strstr(text, "not understood");
#else
    (void)why;
    return false;
#endif
}

void __real_cfg_free(cfg_t *cfg);
void __wrap_cfg_free(cfg_t *cfg);

void __wrap_cfg_free(cfg_t *cfg)
{
#ifdef CB_SANITIZED
    *in_library = true; /* what is half made is freed, for nobody knows the reason */
#endif
    __real_cfg_free(cfg);
    *in_library = false;
}

static cb_error load_here(program *p)
{
    char said[sizeof p->whole] = "";
    cb_buf why = CB_BUF(1024);
    long live = alloc_faults_live();
    cb_error error = p->load(path, said, sizeof said, &why);
    if (error == CB_E_CONFIG && reason_is_lost(&why))
        error = CB_E_MEMORY;
    cb_buf_free(&why);
    if (!error && alloc_faults_live() > live + KEPT)
        return LOST;
    if (error)
        return error;
    return strcmp(said, p->whole) == 0 ? CB_OK : TAKEN_HALF;
}

/* In a process of its own, which may end. */
static cb_error load(void *context)
{
    int status = 0;
    *in_library = false;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit((int)load_here(context));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (*in_library)
        return CB_E_MEMORY;
    assert_true(WIFEXITED(status));
    return (cb_error)WEXITSTATUS(status);
}

static void loaded_again(void *context, cb_error result, bool struck)
{
    (void)struck;
    if (result)
        assert_int_equal(result, CB_E_MEMORY);
    assert_int_equal(load(context), CB_OK);
}

static char broker_file[] =
    "user = \"\"\nrun = \"/tmp/r\"\nworkers = 3\nadministrators = {\"root\"}\nlog-level = "
    "\"error\"\n"
    "listen one { port = 1443 certificate = \"/c\" key = \"/k\" }\n"
    "card-issuer agency { certificate = \"/i\" crl = {\"http://a/1\", \"http://a/2\"} ocsp = "
    "\"http://o/\" }\n"
    "status { wait-milliseconds = 700 nonce = true }\n"
    "listen two { address = \"127.0.0.2\" certificate = \"/c2\" key = \"/k2\" }\n"
    "relay { domain = \"relay.example\" certificate = \"/rc\" key = \"/rk\" }\n"
    "limits { taps = 77 connections = 5 }\n";

/* Of a program that serves: here, where nothing may end but the reader. */
static cb_error load_apart(void *context)
{
    program *p = context;
    char said[sizeof p->whole] = "";
    cb_buf why = CB_BUF(1024);
    cb_error error = p->load(path, said, sizeof said, &why);
    if (error == CB_E_CONFIG && reason_is_lost(&why))
        error = CB_E_MEMORY;
    cb_buf_free(&why);
    if (!error && strcmp(said, p->whole) != 0)
        error = TAKEN_HALF;
    return error;
}

static bool no_child_is_left(void) { return waitpid(-1, NULL, WNOHANG) == -1; }

static void it_serves_on(void *context, cb_error result, bool struck)
{
    (void)struck;
    assert_true(result == CB_OK || result == CB_E_MEMORY || result == CB_E_INTERNAL);
    assert_true(no_child_is_left());
    assert_int_equal(load_apart(context), CB_OK);
}

static void a_program_that_serves_outlives_its_reader(void **state)
{
    static program broker = {broker_file, load_broker_apart, ""};
    static const fault_flow flow = {"cardbroker.conf again", write_file, load_apart, it_serves_on};
    cb_buf why = CB_BUF(1024);
    (void)state;
    write_file(&broker);
    assert_int_equal(load_broker(path, broker.whole, sizeof broker.whole, &why), CB_OK);
    cb_buf_free(&why);
    fault_each(&alloc_faults, &flow, &broker, 400);
}

static void ends(void) { _exit(0); }
static void falls(void) { raise(SIGSEGV); }
static void hangs(void) { pause(); }

static void whatever_becomes_of_a_reader_is_said(void **state)
{
    static void (*const ways[])(void) = {ends, abort, falls, hangs};
    static program broker = {broker_file, NULL, ""};
    (void)state;
    write_file(&broker);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        cb_broker_config c;
        cb_buf why = CB_BUF(1024);
        instead = ways[i];
        int64_t time = instead == hangs ? 50 * CB_MILLISECOND : 30 * CB_SECOND;
        assert_int_equal(cb_broker_config_load_apart(path, time, &c, &why), CB_E_INTERNAL);
        instead = NULL;
        assert_non_null(strstr(cb_buf_cstr(&why), path));
        assert_true(no_child_is_left());
        cb_broker_config_free(&c);
        cb_buf_free(&why);
    }
}

/* What is wrong with a file is said as well as where it is read at the start. */
static void a_reader_says_what_is_wrong(void **state)
{
    static program wrong = {"limits { taps = 0 }\n", NULL, ""};
    cb_broker_config c;
    cb_buf why = CB_BUF(1024), again = CB_BUF(1024);
    (void)state;
    write_file(&wrong);
    assert_int_equal(cb_broker_config_load(path, &c, &why), CB_E_CONFIG);
    assert_int_equal(cb_broker_config_load_apart(path, 30 * CB_SECOND, &c, &again), CB_E_CONFIG);
    assert_string_equal(cb_buf_cstr(&again), cb_buf_cstr(&why));
    cb_buf_free(&why);
    cb_buf_free(&again);
}

static void each_configuration_is_taken_whole_or_not_at_all(void **state)
{
    static program broker = {broker_file, load_broker, ""};
    static program hsmd = {
        "token-label = \"t\"\nworkers = 3\norigin = \"o\"\nso-pin-file = \"/so\"\n"
        "trust-anchors = {\"/a\", \"/b\"}\nsandbox-allow = {\"uname\"}\n"
        "certificates { key-id = 17 agreement = \"/ag\" signer = \"/si\" }\nstate = \"/tmp/s\"\n",
        load_hsmd, ""};
    static program terminal = {
        "broker = \"https://b:1\"\nca = \"/ca\"\nservice = \"s\"\ntext = \"t\"\nprefetch = false\n"
        "reader \"Door\" { service = \"door\" }\nreader \"Door 1\" { text = \"one\" }\n",
        load_terminal, ""};
    static program sections = {
        "plugin a { path = \"/a\" hosts = {\"h1\", \"h2\"} }\nplugin b { memory = 5 }\n",
        load_sections, ""};
    static const struct {
        const char *name;
        program *of;
    } all[] = {{"cardbroker.conf", &broker},
               {"hsmd.conf", &hsmd},
               {"cardlink.conf", &terminal},
               {"sections", &sections}};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cb_buf why = CB_BUF(1024);
        write_file(all[i].of);
        assert_int_equal(all[i].of->load(path, all[i].of->whole, sizeof all[i].of->whole, &why), 0);
        cb_buf_free(&why);
        fault_flow flow = {all[i].name, write_file, load, loaded_again};
        fault_each(&alloc_faults, &flow, all[i].of, 400);
    }
}

static cb_error read_pin(void *context)
{
    cb_buf pin = CB_BUF(64), why = CB_BUF(1024);
    (void)context;
    cb_error error = cb_config_secret(path, &pin, &why);
    if (!error && !cb_bytes_same(cb_buf_bytes(&pin), cb_bytes_str("123456")))
        error = TAKEN_HALF;
    cb_buf_free(&pin);
    cb_buf_free(&why);
    return error;
}

static void write_pin(void *context)
{
    (void)context;
    assert_int_equal(cb_file_replace(path, cb_bytes_str("123456\n"), 0600), CB_OK);
}

/* What was to take the place of the PIN: the old or the new one, and nothing beside it. */
static cb_error replace_pin(void *context)
{
    (void)context;
    return cb_file_replace(path, cb_bytes_str("123456\n"), 0600);
}

static void pin_is_there(void *context, cb_error result, bool struck)
{
    char beside[80];
    (void)struck;
    if (result)
        assert_int_equal(result, CB_E_MEMORY);
    snprintf(beside, sizeof beside, "%s.new", path);
    assert_int_not_equal(access(beside, F_OK), 0);
    assert_int_equal(read_pin(context), CB_OK);
}

static void a_secret_is_read_whole_or_not_at_all(void **state)
{
    static const fault_flow flow[] = {{"a PIN", write_pin, read_pin, pin_is_there},
                                      {"a file replaced", write_pin, replace_pin, pin_is_there}};
    (void)state;
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(&alloc_faults, &flow[i], NULL, 100);
}

static int make_folder(void **state)
{
    (void)state;
    tester = getpid();
    in_library =
        mmap(NULL, sizeof *in_library, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (in_library == MAP_FAILED || !mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_configuration_is_taken_whole_or_not_at_all, fault_said),
        cmocka_unit_test_teardown(a_program_that_serves_outlives_its_reader, fault_said),
        cmocka_unit_test(whatever_becomes_of_a_reader_is_said),
        cmocka_unit_test(a_reader_says_what_is_wrong),
        cmocka_unit_test_teardown(a_secret_is_read_whole_or_not_at_all, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
