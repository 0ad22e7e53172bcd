/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/keeper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "cardlink/terminal/certify.h"
#include "cardlink/terminal/ending.h"
#include "cardlink/terminal/identity.h"

#define SLICE (CB_SECOND / 2)

enum { STACK = 2 * 1024 * 1024 }; /* enough for TLS; it lives as long as the agent does */

struct cb_keeper {
    const cb_terminal_config *config;
    cb_output *output;
    pthread_t renewing, watching;
    bool watched; /* there is a source to watch */
    atomic_bool stop;
    _Atomic cb_error over;
    atomic_uint renewals;
};

static void pause_for(int64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = us / CB_SECOND, .tv_nsec = us % CB_SECOND * 1000}, NULL);
}

/* Returns when to look again (monotonic). */
static int64_t renew(cb_keeper *keeper, bool *troubled)
{
    cb_problem problem;
    int64_t every;
    if (cb_clock_wall_us() < cb_certify_due(keeper->config, &every))
        return cb_deadline_in(SLICE);
    cb_error error = cb_certify_renew(keeper->config, &problem);
    if (error && !*troubled)
        cb_output_event(keeper->output, "renewal.failed", NULL, "the key is not renewed yet",
                        &problem);
    *troubled = error != CB_OK;
    cb_error none = CB_OK;
    if (error == CB_E_TERMINAL_DISPOSED)
        atomic_compare_exchange_strong(&keeper->over, &none, error);
    if (error)
        return cb_deadline_in(every);
    atomic_fetch_add(&keeper->renewals, 1);
    cb_output_event(keeper->output, "renewed", NULL, "the terminal has a new key", NULL);
    return cb_deadline_in(SLICE);
}

static bool goes_on(cb_keeper *keeper)
{
    return !atomic_load(&keeper->stop) && !atomic_load(&keeper->over);
}

static void *keep(void *context)
{
    cb_keeper *keeper = context;
    int64_t next = 0;
    bool troubled = false;
    while (goes_on(keeper)) {
        if (cb_clock_monotonic_us() >= next)
            next = renew(keeper, &troubled);
        pause_for(SLICE);
    }
    return NULL;
}

/* Waits for nobody: a broker that is mute, or was made so, must not keep the keys alive. */
static void *watch(void *context)
{
    cb_keeper *keeper = context;
    while (goes_on(keeper)) {
        if (cb_ending_tampered(keeper->config)) {
            atomic_store(&keeper->over, CB_E_TERMINAL_TAMPERED);
            cb_ending(keeper->config, CB_ENDING_TAMPER, keeper->output);
            break;
        }
        pause_for(SLICE);
    }
    return NULL;
}

static bool begin(cb_keeper *keeper, pthread_t *thread, void *(*run)(void *))
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, STACK);
    bool begun = pthread_create(thread, &attributes, run, keeper) == 0;
    pthread_attr_destroy(&attributes);
    return begun;
}

cb_error cb_keeper_start(const cb_terminal_config *config, cb_output *output, cb_keeper **out)
{
    cb_keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper)
        return CB_E_MEMORY;
    keeper->config = config;
    keeper->output = output;
    keeper->watched = config->tamper[0] != 0;
    if (!begin(keeper, &keeper->renewing, keep)) {
        free(keeper);
        return CB_E_MEMORY;
    }
    if (keeper->watched && !begin(keeper, &keeper->watching, watch)) {
        keeper->watched = false;
        cb_keeper_stop(&keeper);
        return CB_E_MEMORY;
    }
    *out = keeper;
    return CB_OK;
}

void cb_keeper_stop(cb_keeper **handle)
{
    cb_keeper *keeper = *handle;
    *handle = NULL;
    if (!keeper)
        return;
    atomic_store(&keeper->stop, true);
    pthread_join(keeper->renewing, NULL);
    if (keeper->watched)
        pthread_join(keeper->watching, NULL);
    /* What was under way when the keys were erased leaves nothing either. */
    if (atomic_load(&keeper->over) == CB_E_TERMINAL_TAMPERED)
        cb_identity_erase(keeper->config->certificate, keeper->config->key);
    free(keeper);
}

unsigned cb_keeper_renewals(cb_keeper *keeper) { return atomic_load(&keeper->renewals); }

cb_error cb_keeper_over(cb_keeper *keeper) { return atomic_load(&keeper->over); }
