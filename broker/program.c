/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/program.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sandbox.h"
#include "broker/core/decide.h"
#include "broker/core/registration.h"

enum { PATH_SIZE = 512, OTHER_DESCRIPTORS = 1024 };
#define SWEEP_TIME (200 * CB_MILLISECOND)
#define CLOCK_STEP (3600 * CB_SECOND)
#define CLOCK_REST (24 * 3600 * CB_SECOND)

/* ---- Calls that parts make into one another ---- */

static void record_ends(void *context, const cb_session_over *over, size_t count)
{
    const cb_program *p = context;
    cb_error error = cb_decide_session_ends(p->api.store, over, count);
    if (error && error != CB_E_SESSION_UNKNOWN)
        cb_log_failure("session.end_unrecorded", error, over->why);
}

/* ---- Start ---- */

static cb_error join(cb_program *p, const char *folder, const char *name, char out[PATH_SIZE])
{
    int length = name[0] == '/' ? snprintf(out, PATH_SIZE, "%s", name)
                                : snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    if (length > 0 && length < PATH_SIZE)
        return CB_OK;
    cb_buf_printf(&p->why, "%s: the path is too long", name);
    return CB_E_CONFIG;
}

/* While the program may still be root: low ports, and keys that only root may read. */
static cb_error open_network(cb_program *p)
{
    cb_error error = cb_acceptor_open(&p->config.limits, &p->api.acceptor);
    for (size_t i = 0; i < p->config.listener_count && !error; i++) {
        const cb_broker_listener *listener = &p->config.listeners[i];
        error = cb_acceptor_listen(p->api.acceptor, listener->address, listener->port,
                                   listener->entries, listener->entry_count, NULL, &p->why);
    }
    return error;
}

/* The socket's folder decides who reaches it, and the user id of each connection who is let in.
 * Made while the program may still be root, for in that folder lie the sockets of others: a front
 * end that could write to it could put its own in the place of manage.sock. */
static cb_error open_local(cb_program *p)
{
    char path[PATH_SIZE];
    cb_error error = join(p, p->config.run, "admin.sock", path);
    if (!error)
        error = cb_acceptor_listen_local(
            p->api.acceptor, path, p->config.administrator_count > 0 ? 0666 : 0600,
            p->config.administrators, p->config.administrator_count, &p->why);
    return error;
}

static cb_error become_user(cb_program *p)
{
    int dropped = 0;
    cb_error error = cb_sandbox_become(p->config.user, &dropped);
    if (error)
        cb_buf_printf(&p->why, "cannot become user %s", p->config.user);
    else if (geteuid() == 0)
        cb_log(CB_LOG_WARNING, "start.root",
               "Runs as root: name a user of its own in the configuration", NULL);
    umask(0077);
    return error;
}

/* Each connection over TLS takes three descriptors: the client's, and both ends of the pair behind
 * it. */
static void raise_descriptors(const cb_program *p)
{
    struct rlimit limit;
    rlim_t needed = 3 * (rlim_t)p->config.limits.connections + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < needed)
        cb_log(
            CB_LOG_WARNING, "start.descriptors",
            "The system allows fewer open files than limits.connections needs: raise LimitNOFILE "
            "or lower that limit",
            NULL);
}

static cb_error open_store(cb_program *p)
{
    char path[PATH_SIZE];
    cb_error error = join(p, p->config.state, p->config.database, path);
    cb_store_options options = {.path = path, .signer = cb_head_signer_hsm(p->api.hsm),
                                .software = p->config.software,
                                .checkpoint = p->config.checkpoint};
    if (!error)
        error = cb_store_open(&options, &p->api.store);
    if (error && p->why.len == 0)
        cb_buf_printf(&p->why, "%s: cannot be used: %s", path, cb_error_text(error));
    return error;
}

static void cut_sessions(void *context, const cb_id *card, const cb_affected *affected)
{
    const cb_program *p = context;
    cb_session_match match = {.card = *card};
    cb_sessions_cut(p->api.sessions, &match, "revoked");
    (void)affected;
}

/* What failed too often has ended a card or a terminal. */
static void cut_failed(void *context, const cb_session_match *match, const cb_affected *affected)
{
    cb_program *p = context;
    cb_api_cut(&p->api, affected, match,
               cb_id_is_zero(&match->terminal) ? "revoked" : "deactivated");
}

/* A clock that was set by mistake would end every card there is, and whoever puts it right could
 * not undo that. */
static bool days_are_believed(cb_program *p)
{
    bool steady = cb_clock_steady(&p->clock, cb_clock_wall_us(), cb_clock_running_us(), CLOCK_STEP,
                                  CLOCK_REST);
    if (!steady && !p->clock_doubted)
        cb_log(CB_LOG_WARNING, "clock.set",
               "The clock was set by more than an hour: no card is ended by its day until it has "
               "gone on for a day, or until a restart. If it is wrong, set it right.",
               NULL);
    p->clock_doubted = !steady;
    return steady;
}

/* Cards whose day is over, and codes that nobody used: refused at each tap anyway, so that there is no hurry. */
static void end_cards(void *context)
{
    cb_program *p = context;
    size_t believed = days_are_believed(p) ? 1 : 0, done = believed;
    int64_t deadline = cb_deadline_in(SWEEP_TIME);
    while (done > 0 && cb_deadline_left_ms(deadline) > 0) {
        cb_card_sweep sweep = {cb_clock_wall_us(), p->config.return_time, cut_sessions, p};
        if (cb_card_sweep_step(p->api.store, &sweep, &done) != CB_OK)
            break; /* what hinders it is logged where it is, and said to those who ask */
    }
    done = believed;
    while (done > 0 && cb_deadline_left_ms(deadline) > 0) {
        if (cb_registration_sweep_step(p->api.store, cb_clock_wall_us(), &done) != CB_OK)
            break;
    }
}

static cb_error open_parts(cb_program *p)
{
    cb_api *api = &p->api;
    cb_error error = cb_hsm_open(p->config.run, &api->hsm);
    if (!error)
        error = cb_connectors_open(p->config.run, &api->connectors);
    if (!error)
        error = open_store(p);
    if (!error)
        error = cb_rate_open(&api->activations);
    if (!error)
        error = cb_rate_open(&api->logs);
    if (!error)
        error = cb_allowance_open(&api->log_bytes);
    api->activations_all = p->config.activations;
    api->activations_each = p->config.activations_each;
    const cb_sessions_parts sessions = {
        p->config.relay_domain, p->config.relay_port, p->config.sessions, record_ends, p};
    if (!error)
        error = cb_sessions_open(&sessions, &api->sessions);
    const cb_taps_parts taps = {api->store,
                                api->hsm,
                                api->connectors,
                                api->sessions,
                                p->config.taps,
                                p->config.login_deadline,
                                p->config.logins_per_service,
                                cb_program_status_of,
                                p,
                                &p->config.failures,
                                cut_failed,
                                p,
                                &api->rules,
                                p->config.renewal,
                                p->config.maintenance};
    if (!error)
        error = cb_program_status_open(p);
    if (!error)
        error = cb_taps_open(&taps, &api->taps);
    if (!error)
        error = cb_watch_open(api->store, api->hsm, api->connectors, &api->watch);
    days_are_believed(p); /* the first look */
    if (!error)
        cb_watch_duty(api->watch, end_cards, p);
    return error;
}

static cb_error serve(cb_program *p)
{
    p->relay =
        (cb_relay_context){.sessions = p->api.sessions, .relay_domain = p->config.relay_domain};
    const cb_server_config config = {
        .routes = cb_api_routes,
        .route_count = cb_api_route_count,
        .context = &p->api,
        .identify = cb_api_identify,
        .stream_domain = p->config.relay_domain,
        .stream = cb_relay_serve,
        .stream_context = &p->relay,
        .threads = p->config.threads,
        .workers = p->config.workers,
        .queue = p->config.queue,
        .streams = p->config.streams,
        .connections = 2 * p->config.limits.connections,
    };
    cb_error error = cb_server_open(&config, &p->api.server);
    return error ? error : cb_acceptor_start(p->api.acceptor, cb_server_sink(p->api.server));
}

/* All are off unless somebody asked for them, so that a first card needs neither a list nor a
 * second person, nor a first terminal a list of programs; whoever serves a country should know that
 * he has not. */
static void say_what_is_not_demanded(const cb_broker_config *config)
{
    const cb_card_rules *rules = &config->rules;
    if (!rules->applications)
        cb_log(
            CB_LOG_WARNING, "start.applications",
            "Cards may be issued without an approved application: set applications = \"required\" "
            "in the section cards of the configuration",
            NULL);
    if (rules->stock == CB_STOCK_NOT_DEMANDED)
        cb_log(CB_LOG_WARNING, "start.stock",
               "Cards may be issued that no manufacturer's list has: set stock = \"native\" or "
               "\"required\" in the section cards of the configuration",
               NULL);
    if (config->software == CB_SOFTWARE_OFF)
        cb_log(CB_LOG_WARNING, "start.software",
               "Terminals may run programs that nobody listed: set software = \"report\" or "
               "\"enforce\" in the section terminals of the configuration",
               NULL);
}

cb_error cb_program_start(cb_program *p)
{
    p->api.started = cb_clock_wall_us();
    p->api.rules = p->config.rules;
    say_what_is_not_demanded(&p->config);
    raise_descriptors(p);
    cb_error error = cb_program_status_begin(p);
    if (!error)
        error = open_network(p);
    if (!error)
        error = open_local(p);
    if (!error)
        error = become_user(p);
    if (!error)
        error = cb_program_confine(p);
    if (!error)
        error = open_parts(p);
    if (!error)
        error = serve(p);
    return error;
}

/* Listens no more, finishes what is under way, for as long as the configuration allows. */
static void drain(cb_program *p)
{
    cb_acceptor_state state;
    int64_t deadline = cb_deadline_in(p->config.stop_time);
    cb_server_drain(p->api.server);
    cb_acceptor_drain(p->api.acceptor);
    do {
        usleep(20000);
        cb_acceptor_status(p->api.acceptor, &state);
    } while ((state.connections > 0 || cb_server_busy(p->api.server) > 0) &&
             cb_deadline_left_ms(deadline) > 0);
}

void cb_program_end(cb_program *p)
{
    cb_api *api = &p->api;
    if (api->acceptor && api->server)
        drain(p);
    if (api->sessions)
        cb_sessions_cut(api->sessions, NULL,
                        "stopped"); /* before waiting for who reads from them */
    cb_acceptor_close(&api->acceptor);
    cb_server_close(&api->server);
    cb_watch_close(&api->watch);
    cb_taps_close(&api->taps);
    cb_rate_close(&api->activations);
    cb_rate_close(&api->logs);
    cb_allowance_close(&api->log_bytes);
    cb_program_status_close(p);
    cb_sessions_close(&api->sessions);
    cb_store_close(&api->store);
    cb_connectors_close(&api->connectors);
    cb_hsm_close(&api->hsm);
}
