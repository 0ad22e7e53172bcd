/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardbroker-connectord: wires the dispatcher, the opener and a zygote for every connector, and
 * keeps them running.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/supervise.h"
#include "connectors/host/dispatcher.h"
#include "connectors/host/opener.h"
#include "connectors/host/zygote.h"
#include "connectors/protocol.h"

enum {
    EXIT_USAGE = 2,
    EXIT_CONFIG = 78,
    CONNECTORS_MAX = CB_DISPATCHER_MOST,
    CLIENTS_MAX = 8,
    MEMORY_LEAST = 32,
    SESSIONS_MOST = 4096
};

typedef struct program {
    cfg_t *cfg; /* owns the strings below */
    const char *run;
    const char *user;
    cb_dispatcher dispatcher;
    cb_zygote zygotes[CONNECTORS_MAX];
    const char *names[CONNECTORS_MAX];
    int orders[CONNECTORS_MAX];
    uid_t clients[CLIENTS_MAX];
    int registrations[2]; /* to ask, to answer */
    unsigned count;
    int held; /* the lock for the socket; closed by the end of the process */
} program;

static program self;

static int usage(FILE *out, int status)
{
    fputs(
        "usage: cardbroker-connectord --config FILE [--check]\n"
        "\n"
        "Runs the connectors that log holders in at services, each login in a process of its own.\n"
        "\n"
        "  -c, --config FILE  configuration; see connectord.conf(5)\n"
        "      --check        read the configuration, load the plug-ins and end\n"
        "      --help         show this and end\n"
        "      --version      show the version and end\n",
        out);
    return status;
}

/* ---- configuration ---- */

static cfg_opt_t connector_options[] = {
    CFG_STR("plugin", NULL, CFGF_NODEFAULT), CFG_INT("sessions", 256, CFGF_NONE),
    CFG_INT("memory_mb", 256, CFGF_NONE), CFG_INT("cpu_seconds", 60, CFGF_NONE), CFG_END()};
static cfg_opt_t options[] = {
    CFG_STR("run", "/run/cardbroker", CFGF_NONE),
    CFG_STR("user", NULL, CFGF_NONE),
    CFG_STR_LIST("clients", NULL, CFGF_NONE),
    CFG_STR("log_level", "info", CFGF_NONE),
    CFG_SEC("connector", connector_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_END()};

static cb_error complain(cb_buf *why, const char *what, const char *detail)
{
    cb_buf_printf(why, "%s%s%s", what, detail ? ": " : "", detail ? detail : "");
    return CB_E_CONFIG;
}

static cb_error read_connector(cfg_t *section, cb_zygote *out, cb_buf *why)
{
    long sessions = cfg_getint(section, "sessions");
    long memory = cfg_getint(section, "memory_mb");
    long seconds = cfg_getint(section, "cpu_seconds");
    *out = (cb_zygote){.name = cfg_title(section),
                       .path = cfg_getstr(section, "plugin"),
                       .user = self.user,
                       .sessions = (unsigned)sessions,
                       .limits = {(unsigned)memory, (unsigned)seconds}};
    if (!out->path)
        return complain(why, "the connector has no plugin = \"/path\"", out->name);
    if (strlen(out->name) > CB_CONN_NAME_MAX)
        return complain(why, "the connector's name is too long", out->name);
    if (sessions < 1 || sessions > SESSIONS_MOST || memory < MEMORY_LEAST || memory > 65536 ||
        seconds < 1 || seconds > 86400)
        return complain(why, "sessions, memory_mb or cpu_seconds is out of range", out->name);
    return CB_OK;
}

static cb_error read_clients(cfg_t *cfg, cb_buf *why)
{
    size_t count = cfg_size(cfg, "clients");
    if (count > CLIENTS_MAX)
        return complain(why, "clients names too many users", NULL);
    for (unsigned i = 0; i < count; i++) {
        const struct passwd *entry = getpwnam(cfg_getnstr(cfg, "clients", i));
        if (!entry)
            return complain(why, "clients names a user that does not exist",
                            cfg_getnstr(cfg, "clients", i));
        self.clients[i] = entry->pw_uid;
    }
    self.dispatcher.clients = self.clients;
    self.dispatcher.client_count = count;
    return CB_OK;
}

static cb_error read_config(const char *path, cb_buf *why)
{
    cb_log_level level;
    cb_error error = cb_config_load(path, options, &self.cfg, why);
    cfg_t *cfg = self.cfg;
    if (error)
        return error;
    self.run = cfg_getstr(cfg, "run");
    self.user = cfg_getstr(cfg, "user");
    self.count = cfg_size(cfg, "connector");
    if (cb_log_level_parse(cfg_getstr(cfg, "log_level"), &level) != CB_OK)
        return complain(why, "log_level is not debug, info, warning or error", NULL);
    cb_log_init("cardbroker-connectord", level);
    if (self.count == 0 || self.count > CONNECTORS_MAX)
        return complain(why, "there is no connector, or too many (32 at most)", NULL);
    for (unsigned i = 0; i < self.count && !error; i++) {
        error = read_connector(cfg_getnsec(cfg, "connector", i), &self.zygotes[i], why);
        self.names[i] = self.zygotes[i].name;
    }
    return error ? error : read_clients(cfg, why);
}

/* ---- sockets that outlive the workers ---- */

static cb_error make_sockets(cb_buf *why)
{
    cb_buf path = CB_BUF(256);
    unsigned mode = self.dispatcher.client_count > 0 ? 0666 : 0600;
    cb_buf_printf(&path, "%s/" CB_CONNECTORS_SOCKET, self.run);
    const char *name = cb_buf_cstr(&path);
    cb_error error =
        name ? cb_msg_hold(name, cb_deadline_in(CB_MSG_HOLD_TIME), &self.held) : CB_E_CONFIG;
    /* Of one that was killed, processes of its logins may not be gone yet. */
    if (!error)
        error = cb_msg_listen_when_free(name, mode, cb_deadline_in(CB_MSG_FREE_TIME),
                                        &self.dispatcher.listener);
    if (error == CB_E_RUNNING)
        complain(why, "another cardbroker-connectord serves the socket in run", name);
    else if (error)
        complain(why, "cannot listen on the socket in run", name);
    if (!error)
        error = cb_msg_pair(self.registrations);
    for (unsigned i = 0; i < self.count && !error; i++) {
        int pair[2];
        error = cb_msg_pair(pair);
        self.orders[i] = error ? -1 : pair[0];
        self.zygotes[i].orders = error ? -1 : pair[1];
        self.zygotes[i].registrations = self.registrations[0];
    }
    cb_buf_free(&path);
    return error;
}

/* ---- workers ---- */

static int run_dispatcher(void *context, unsigned index)
{
    (void)context, (void)index;
    return cb_dispatcher_main(&self.dispatcher);
}

static int run_opener(void *context, unsigned index)
{
    int dropped;
    (void)context, (void)index;
    if (cb_sandbox_become(self.user, &dropped) != CB_OK)
        return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return cb_opener_main(self.registrations[1]);
}

static int run_zygote(void *context, unsigned index)
{
    (void)context;
    return cb_zygote_main(&self.zygotes[index]);
}

static void note_ready(void *context)
{
    (void)context;
    cb_log(CB_LOG_INFO, "connectord.ready", "Connectors are ready.", "run", self.run, NULL);
}

static cb_error supervise(void)
{
    static cb_worker workers[CONNECTORS_MAX + 2];
    self.dispatcher.user = self.user;
    self.dispatcher.names = self.names;
    self.dispatcher.orders = self.orders;
    self.dispatcher.count = self.count;
    workers[0] = (cb_worker){.name = "dispatcher", .main = run_dispatcher, .deaf = true};
    workers[1] = (cb_worker){.name = "opener", .main = run_opener, .deaf = true};
    for (unsigned i = 0; i < self.count; i++)
        workers[i + 2] =
            (cb_worker){.name = self.names[i], .main = run_zygote, .index = i, .deaf = true};
    return cb_supervise(workers, self.count + 2, note_ready, NULL);
}

static bool try_plugins(void)
{
    bool good = true;
    for (unsigned i = 0; i < self.count; i++)
        good &= cb_zygote_try(&self.zygotes[i]);
    return good;
}

static int run(const char *config, bool check)
{
    cb_buf why = CB_BUF(1024);
    int status = 0;
    /* Of all its processes: it would end the sessions, and whoever sends it means to reload. */
    signal(SIGHUP, SIG_IGN);
    cb_error error = cb_sandbox_no_dumps();
    if (!error)
        error = read_config(config, &why);
    if (!error && !try_plugins())
        error = complain(&why, "a plug-in cannot be used; the reason is above", NULL);
    if (!error && !check)
        error = make_sockets(&why);
    if (!error && !check && geteuid() != 0)
        cb_log(CB_LOG_WARNING, "connectord.not_separated",
               "Not started as root: connectors run as the same user as this program.", NULL);
    if (!error && !check)
        error = supervise();
    if (error) {
        const char *text = why.len > 0 ? cb_buf_cstr(&why) : cb_error_text(error);
        if (error == CB_E_RUNNING)
            cb_log_failure("connectord.failed", error, text);
        else
            fprintf(stderr, "cardbroker-connectord: %s\n", text ? text : "");
        status = error == CB_E_CONFIG ? EXIT_CONFIG : EXIT_FAILURE;
    }
    cb_buf_free(&why);
    if (self.cfg)
        cfg_free(self.cfg);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                                 {"check", no_argument, NULL, 'k'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {"version", no_argument, NULL, 'v'},
                                                 {0}};
    const char *config = NULL;
    bool check = false;
    cb_log_init("cardbroker-connectord", CB_LOG_INFO);
    for (int option; (option = getopt_long(argc, argv, "c:", long_options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case 'k':
            check = true;
            break;
        case 'h':
            return usage(stdout, 0);
        case 'v':
            puts("cardbroker-connectord " CB_VERSION);
            return 0;
        default:
            return usage(stderr, EXIT_USAGE);
        }
    }
    if (!config || optind != argc)
        return usage(stderr, EXIT_USAGE);
    return run(config, check);
}
