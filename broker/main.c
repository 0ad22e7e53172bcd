/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardbrokerd: wires the parts together, and owns nothing else.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sandbox.h"
#include "broker/program.h"

enum { EXIT_USAGE = 2, EXIT_CONFIG = 78 };
#define RELOAD_TIME (10 * CB_SECOND)

static const char help[] =
    "usage: cardbrokerd --config FILE [--check]\n"
    "\n"
    "Serves terminals, the sessions they open, and administrators.\n"
    "\n"
    "  -c, --config FILE  the configuration, see cardbroker.conf(5)\n"
    "      --check        read the configuration, say what is wrong with it, and end\n"
    "      --help, --version\n";

/* ---- Reload ---- */

static bool same_listeners(const cb_broker_config *a, const cb_broker_config *b)
{
    bool same = a->listener_count == b->listener_count;
    for (size_t i = 0; same && i < a->listener_count; i++)
        same = strcmp(a->listeners[i].address, b->listeners[i].address) == 0 &&
               a->listeners[i].port == b->listeners[i].port;
    return same;
}

/* Certificates, limits, what is done about failures and the log's level change at once, all of them
 * or none; the rest is for the next start. */
static cb_error reload(cb_program *p)
{
    cb_broker_config fresh;
    cb_error error = cb_broker_config_load_apart(p->path, RELOAD_TIME, &fresh, &p->why);
    if (error)
        return error;
    if (!same_listeners(&p->config, &fresh)) {
        cb_buf_printf(&p->why, "%s: listen: addresses and ports change with a restart only",
                      p->path);
        error = CB_E_CONFIG;
    }
    for (size_t i = 0; i < fresh.listener_count && !error; i++)
        error = cb_acceptor_prepare(p->api.acceptor, i, fresh.listeners[i].entries,
                                    fresh.listeners[i].entry_count, &p->why);
    cb_acceptor_settle(p->api.acceptor, !error);
    if (!error) {
        cb_acceptor_set_limits(p->api.acceptor, &fresh.limits);
        cb_taps_set_limits(p->api.taps, &fresh.failures);
        cb_log_init("cardbrokerd", fresh.log_level);
    }
    cb_broker_config_free(&fresh);
    return error;
}

static void say_reloaded(cb_program *p, cb_error error)
{
    if (error)
        cb_log(CB_LOG_ERROR, "reload.failed", "The configuration was read again and is not used",
               "error", cb_error_code(error), "detail", cb_buf_cstr(&p->why), NULL);
    else
        cb_log(CB_LOG_INFO, "reload.done", "Certificates and limits are those of the files", NULL);
    cb_buf_reset(&p->why);
}

/* Without it nothing is heard of the certificates of foreign cards, and who serves holds too much
 * to begin it once more. It ends at once, as if it had been killed itself, but in order. */
static cb_error say_fetcher_ended(cb_program *p)
{
    cb_log(
        CB_LOG_ERROR, "status.fetcher_ended",
        "The process that has the status of certificates fetched was ended: the program ends, to "
        "be started again",
        NULL);
    p->config.stop_time = 0;
    return CB_E_INTERNAL;
}

/* Until somebody ends it: CB_OK; or until it has to be started again. */
static cb_error serve(cb_program *p, const sigset_t *signals)
{
    int number = 0;
    cb_error error = CB_OK;
    cb_watch_view view;
    cb_watch_see(p->api.watch, &view);
    cb_log(CB_LOG_INFO, "ready", "Serves", "version", CB_VERSION, "hsm", cb_error_code(view.hsm),
           "connectors", cb_error_code(view.connectors), NULL);
    while (!error && sigwait(signals, &number) == 0 && (number == SIGHUP || number == SIGCHLD)) {
        if (number == SIGHUP)
            say_reloaded(p, reload(p));
        else if (cb_fetcher_ended(p->fetcher)) /* or it was the configuration's reader */
            error = say_fetcher_ended(p);
    }
    cb_log(CB_LOG_INFO, "stopping", "Finishes what is under way", NULL);
    return error;
}

/* Signals are for sigwait in the first thread, and blocked in every thread that it makes. */
static void take_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* whoever started it may have had it ignored */
}

static int run(cb_program *p, bool check_only)
{
    sigset_t signals;
    cb_error error = cb_broker_config_load(p->path, &p->config, &p->why);
    if (!error && check_only)
        return EXIT_SUCCESS;
    if (!error) {
        cb_log_init("cardbrokerd", p->config.log_level);
        cb_json_wipe_always();
        take_signals(&signals);
        error = cb_program_start(p);
    }
    if (error)
        cb_log(CB_LOG_ERROR, "start.failed",
               p->why.len > 0 ? cb_buf_cstr(&p->why) : cb_error_text(error), "error",
               cb_error_code(error), NULL);
    else
        error = serve(p, &signals);
    cb_program_end(p);
    if (!error)
        cb_log(CB_LOG_INFO, "stopped", "Everything is recorded and closed", NULL);
    cb_broker_config_free(&p->config);
    return error == CB_OK ? EXIT_SUCCESS : error == CB_E_CONFIG ? EXIT_CONFIG : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    enum { OPT_CHECK = 256, OPT_HELP, OPT_VERSION };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, OPT_CHECK},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {0},
    };
    static cb_program p;
    bool check = false;
    bool wrong = false;
    cb_log_init("cardbrokerd", CB_LOG_INFO);
    cb_buf_init(&p.why, 1024);
    for (int c; (c = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (c == OPT_HELP || c == OPT_VERSION) {
            puts(c == OPT_HELP ? help : "cardbrokerd " CB_VERSION);
            return EXIT_SUCCESS;
        }
        if (c == 'c')
            p.path = optarg;
        check |= c == OPT_CHECK;
        wrong |= c == '?';
    }
    if (wrong || optind < argc || !p.path) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    if (cb_sandbox_no_dumps() != CB_OK) {
        fputs("cardbrokerd: cannot give up core dumps\n", stderr);
        return EXIT_FAILURE;
    }
    int status = run(&p, check);
    cb_buf_free(&p.why);
    return status;
}
