/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/worker.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/supervise.h"
#include "hsm/generations.h"
#include "hsm/host_load.h"
#include "hsm/sandbox.h"
#include "hsm/vault_keyring.h"

typedef struct worker {
    const cb_worker_plan *plan;
    cb_vault_keyring vault;
    cb_lane lane;
} worker;

/* Keys and PINs must not reach a swap device. Where locked memory is limited, locking all that is
 * to come would make allocation fail, so then it is left. */
static void lock_memory(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY &&
        mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
        return;
    cb_log(CB_LOG_INFO, "memory.not_locked",
           "Memory is not locked: allow it (LimitMEMLOCK=infinity) or run without swap.", NULL);
}

/* Reads certificates and anchors. Whatever is wrong with new ones, the old ones stay. */
static cb_error load_host(worker *w)
{
    cb_buf why = CB_BUF(1024);
    cb_host *host;
    cb_error error = cb_host_load(w->plan->config, w->vault.keyring, &host, &why);
    if (error) {
        cb_log_failure("host.unusable", error, cb_buf_cstr(&why));
    } else {
        cb_host_release(&w->lane.host);
        w->lane.host = host;
        if (!host->ready && w->plan->kind == CB_LANE_USE)
            cb_log(CB_LOG_WARNING, "host.not_ready",
                   "No taps are served: install the broker's certificates and a trust anchor, then "
                   "send SIGHUP.",
                   "worker", w->plan->name, NULL);
    }
    cb_buf_free(&why);
    return error;
}

/* A process is one worker; the loop hands back its lane only. */
static worker *reloading;

static void reload(cb_lane *lane)
{
    if (lane->kind == CB_LANE_LOG)
        return;
    if (load_host(reloading) == CB_OK)
        cb_log(CB_LOG_INFO, "host.reloaded", "Certificates and trust anchors were read again.",
               "worker", reloading->plan->name, NULL);
}

static cb_error open_feed(worker *w)
{
    const cb_hsmd_config *config = w->plan->config;
    cb_error error = cb_feed_open(config->feed_path, &w->lane.feed);
    if (error)
        return cb_log_failure("feed.unusable", error, config->feed_path);
    cb_feed_limit(w->lane.feed, config->revocations);
    return CB_OK;
}

/* Without it passwords are refused, and cards served: an installation that was made before there
 * were passwords has none. */
static void open_guesses(worker *w)
{
    const char *path = w->plan->config->guesses_path;
    if (cb_memo_open(path, &w->lane.guesses) != CB_OK)
        cb_log(CB_LOG_WARNING, "guesses.unusable",
               "No password is believed: the file in which guesses are counted cannot be used. If "
               "it was lost, restore it; if there never was one, cardbroker-hsmd --initialise makes "
               "it.",
               "file", path, NULL);
}

static cb_error open_bound(worker *w)
{
    const char *path = w->plan->config->bound_path;
    cb_error error = cb_memo_open(path, &w->lane.bound);
    return error ? cb_log_failure("bindings.unusable", error, path) : CB_OK;
}

/* Said once where it matters: an older configuration brings nothing back that was retired. */
static void warn_of_retired(const worker *w)
{
    const cb_profile_host *host = &w->lane.host->profile;
    if (w->lane.host->ready && cb_generations_retired(w->lane.guesses, host->key_id,
                                                      host->key_version) >= host->key_version)
        cb_log(CB_LOG_WARNING, "host.retired",
               "No card is served: the key version that the certificates are under was retired.",
               "worker", w->plan->name, NULL);
}

static cb_error open_manage(worker *w)
{
    cb_error error = open_feed(w);
    if (!error)
        error = open_bound(w);
    if (!error)
        open_guesses(w);
    return error;
}

static cb_error open_use(worker *w)
{
    const cb_hsmd_config *config = w->plan->config;
    cb_error error = open_feed(w);
    if (error)
        return error;
    open_guesses(w);
    open_bound(w); /* taps are served without it */
    warn_of_retired(w);
    cb_taps_setup setup = {.worker = (uint8_t)w->plan->index,
                           .capacity = (uint16_t)config->taps,
                           /* Not all at once. */
                           .most = config->renew_after +
                                   (uint64_t)config->renew_after * w->plan->index / config->workers,
                           .prefetch_us = config->prefetch_us,
                           .lifetime_us = config->lifetime_us,
                           .vault = w->lane.vault,
                           .feed = w->lane.feed,
                           .guesses = w->lane.guesses,
                           .bound = w->lane.bound,
                           .profile_find = cb_profile_find};
    return cb_taps_new(&setup, &w->lane.taps);
}

/* Files that cannot be used keep taps from being served, and nothing else. */
static cb_error open_host(worker *w)
{
    if (load_host(w))
        w->lane.host = cb_host_new();
    return w->lane.host ? CB_OK : CB_E_MEMORY;
}

static cb_error open_lane(worker *w)
{
    cb_error error = CB_OK;
    if (w->plan->kind != CB_LANE_LOG)
        error = open_host(w);
    if (!error && w->plan->kind == CB_LANE_USE)
        error = open_use(w);
    if (!error && w->plan->kind == CB_LANE_MANAGE)
        error = open_manage(w);
    if (!error && w->plan->kind == CB_LANE_LOG) {
        error = cb_loghead_open(w->plan->config->log_path, &w->lane.loghead);
        if (error)
            cb_log_failure("loghead.unusable", error, w->plan->config->log_path);
    }
    return error;
}

static void close_lane(worker *w)
{
    cb_taps_free(&w->lane.taps);
    cb_feed_close(&w->lane.feed);
    cb_memo_close(&w->lane.bound);
    cb_memo_close(&w->lane.guesses);
    cb_loghead_close(&w->lane.loghead);
    cb_host_release(&w->lane.host);
    cb_vault_keyring_close(&w->vault);
}

static cb_error serve(worker *w)
{
    const cb_hsmd_config *config = w->plan->config;
    cb_error error = CB_OK;
    if (config->sandbox)
        error = cb_hsmd_sandbox(config->extra_call, config->extra_calls);
    if (error)
        return cb_log_failure("sandbox.refused", error, NULL);
    cb_log(CB_LOG_INFO, "worker.ready", "A worker serves.", "worker", w->plan->name, NULL);
    return cb_lane_serve(&w->lane, w->plan->listener, reload);
}

/* The token was there when hsmd started; now it may be away for a while. Only a PIN that it refuses
 * makes waiting useless. */
static cb_error open_token(worker *w)
{
    cb_error error = cb_vault_keyring_open(w->plan->config, w->plan->pin, &w->vault);
    return error == CB_E_CONFIG ? CB_E_HSM_TOKEN : error;
}

static int exit_status(const worker *w, cb_error error)
{
    const atomic_bool *pin_refused = w->plan->config->token.pin_refused;
    if (error == CB_E_CONFIG || (error && pin_refused && atomic_load(pin_refused)))
        return CB_WORKER_EXIT_FATAL;
    return error == CB_OK ? 0 : 1;
}

int cb_hsmd_worker(void *context, unsigned index)
{
    worker w = {.plan = context};
    (void)index;
    cb_lane_catch_signals();
    /* SoftHSM writes the token's file anew at each login: who is killed meanwhile leaves an empty
     * one. */
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    cb_error error = cb_sandbox_no_dumps();
    lock_memory();
    w.lane = (cb_lane){.kind = w.plan->kind,
                       .index = w.plan->index,
                       .config = w.plan->config,
                       .vault = &w.vault.vault};
    reloading = &w;
    if (!error)
        error = open_token(&w);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (!error)
        error = open_lane(&w);
    if (!error)
        error = serve(&w);
    close_lane(&w);
    if (error)
        cb_log_failure("worker.failed", error, w.plan->name);
    return exit_status(&w, error);
}
