/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/keeper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "cardlink/terminal/certify.h"
#include "cardlink/terminal/ending.h"
#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/report.h"
#include "cardlink/terminal/ship.h"

#define SLICE (CB_SECOND / 2)
#define PAUSE_MAX (30 * CB_SECOND)
#define LAST_TIME (2 * CB_SECOND)

enum { STACK = 2 * 1024 * 1024 }; /* enough for TLS; it lives as long as the agent does */

struct cb_keeper {
    const cb_terminal_config *config;
    cb_output *output;
    pthread_t renewing, watching;
    bool watched;    /* there is a source to watch */
    cb_spool *spool; /* NULL: no log is kept */
    atomic_bool stop;
    _Atomic cb_error over;
    atomic_uint renewals;
    atomic_int taps;   /* under way */
    unsigned shipped;  /* renewals that there were when the log was brought last */
    struct stat shown; /* the certificate that is in use */
};

/* Another program may renew the key as well ("cardlink renew"). */
static void look_at_key(cb_keeper *keeper)
{
    struct stat now;
    if (stat(keeper->config->certificate, &now) != 0)
        return;
    bool same = now.st_ino == keeper->shown.st_ino && now.st_size == keeper->shown.st_size &&
                now.st_ctim.tv_sec == keeper->shown.st_ctim.tv_sec &&
                now.st_ctim.tv_nsec == keeper->shown.st_ctim.tv_nsec;
    if (!same && keeper->shown.st_size > 0)
        atomic_fetch_add(&keeper->renewals, 1);
    keeper->shown = now;
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
        cb_keeper_note(keeper, CB_JOURNAL_RENEWAL_FAILED, problem.code);
    if (error && !*troubled)
        cb_output_event(keeper->output, "renewal.failed", NULL, "the key is not renewed yet",
                        &problem);
    *troubled = error != CB_OK;
    cb_error none = CB_OK;
    if (error == CB_E_TERMINAL_DISPOSED)
        atomic_compare_exchange_strong(&keeper->over, &none, error);
    if (error)
        return cb_deadline_in(every);
    cb_keeper_note(keeper, CB_JOURNAL_RENEWED, "");
    cb_output_event(keeper->output, "renewed", NULL, "the terminal has a new key", NULL);
    return cb_deadline_in(SLICE);
}

static bool goes_on(cb_keeper *keeper)
{
    return !atomic_load(&keeper->stop) && !atomic_load(&keeper->over);
}

/* ---- The log ---- */

cb_error cb_keeper_note(cb_keeper *keeper, cb_journal_event event, const char *text)
{
    cb_error none = CB_OK;
    if (!keeper->spool)
        return CB_OK;
    cb_error error = cb_spool_add(keeper->spool, event, text);
    bool waits = error == CB_E_TERMINAL_LOG && event == CB_JOURNAL_TAP_BEGUN;
    if (error && !waits)
        atomic_compare_exchange_strong(&keeper->over, &none, error);
    return error;
}

bool cb_keeper_room(cb_keeper *keeper)
{
    return !keeper->spool || cb_spool_room(keeper->spool) == CB_OK;
}

/* Returns when to try again (monotonic); *pause grows while it fails. */
static int64_t ship(cb_keeper *keeper, int64_t *pause)
{
    cb_problem problem;
    unsigned renewals = atomic_load(&keeper->renewals);
    if (!cb_spool_waits(keeper->spool))
        return cb_deadline_in(SLICE);
    /* The first use of a new key ends the old one: not before taps that were begun with it are
     * over. */
    if (renewals != keeper->shipped && atomic_load(&keeper->taps) > 0)
        return cb_deadline_in(SLICE);
    keeper->shipped = renewals;
    cb_error error = cb_ship(keeper->config, keeper->spool, keeper->config->timeout, &problem);
    if (error && *pause == 0)
        cb_output_event(keeper->output, "log.waits", NULL,
                        "the broker does not take this terminal's log", &problem);
    if (!error && *pause != 0)
        cb_output_event(keeper->output, "log.taken", NULL, "the broker has this terminal's log",
                        NULL);
    if (error == CB_E_TERMINAL_DISPOSED)
        atomic_store(&keeper->over, error);
    *pause = !error ? 0 : *pause == 0 ? CB_SECOND : *pause * 2;
    *pause = *pause > PAUSE_MAX ? PAUSE_MAX : *pause;
    return cb_deadline_in(error ? *pause : keeper->config->log_every);
}

static cb_error open_log(cb_keeper *keeper)
{
    cb_error error = cb_spool_open(keeper->config->log, &keeper->spool);
    if (!error)
        error = cb_report_started(keeper->config, keeper->spool);
    if (error) {
        cb_problem problem;
        cb_problem_set(&problem, error, keeper->config->log);
        cb_output_event(keeper->output, "log.failed", NULL, "the terminal's log cannot be written",
                        &problem);
    }
    return error;
}

/* ---- The thread ---- */

static void *keep(void *context)
{
    cb_keeper *keeper = context;
    int64_t next = 0, next_log = cb_deadline_in(SLICE), pause = 0;
    bool troubled = false;
    while (goes_on(keeper)) {
        if (cb_clock_monotonic_us() >= next)
            next = renew(keeper, &troubled);
        look_at_key(keeper);
        if (keeper->spool && cb_clock_monotonic_us() >= next_log)
            next_log = ship(keeper, &pause);
        cb_pause(SLICE);
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
        cb_pause(SLICE);
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

/* How long the start, or the end, may wait for a broker that is away. */
static int64_t brief_time(const cb_terminal_config *config)
{
    return config->timeout < LAST_TIME ? config->timeout : LAST_TIME;
}

cb_error cb_keeper_start(const cb_terminal_config *config, cb_output *output, cb_keeper **out)
{
    cb_keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper)
        return CB_E_MEMORY;
    keeper->config = config;
    keeper->output = output;
    cb_error error = open_log(keeper);
    if (!error && keeper->spool) { /* so that the broker knows what asks it before it asks */
        cb_problem problem;
        cb_ship(config, keeper->spool, brief_time(config), &problem);
    }
    keeper->watched = config->tamper[0] != 0;
    look_at_key(keeper);
    if (!error && !begin(keeper, &keeper->renewing, keep))
        error = CB_E_MEMORY;
    if (error) {
        cb_spool_close(&keeper->spool);
        free(keeper);
        return error;
    }
    if (keeper->watched && !begin(keeper, &keeper->watching, watch)) {
        keeper->watched = false;
        cb_keeper_stop(&keeper, CB_E_MEMORY);
        return CB_E_MEMORY;
    }
    *out = keeper;
    return CB_OK;
}

static void note_end(cb_keeper *keeper, cb_error why)
{
    cb_problem problem;
    int64_t limit = brief_time(keeper->config);
    if (!keeper->spool || why == CB_E_TERMINAL_DISPOSED)
        return;
    if (cb_spool_add(keeper->spool, CB_JOURNAL_STOPPED, cb_error_code(why)) == CB_OK)
        cb_ship(keeper->config, keeper->spool, limit, &problem);
}

void cb_keeper_stop(cb_keeper **handle, cb_error why)
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
    if (atomic_load(&keeper->over) == CB_E_TERMINAL_TAMPERED) {
        cb_identity_erase(keeper->config->certificate, keeper->config->key);
        cb_spool_remove(keeper->config->log);
    } else {
        note_end(keeper, why);
    }
    cb_spool_close(&keeper->spool);
    free(keeper);
}

void cb_keeper_tap(cb_keeper *keeper, bool begins)
{
    atomic_fetch_add(&keeper->taps, begins ? 1 : -1);
}

unsigned cb_keeper_renewals(cb_keeper *keeper) { return atomic_load(&keeper->renewals); }

cb_error cb_keeper_over(cb_keeper *keeper) { return atomic_load(&keeper->over); }
