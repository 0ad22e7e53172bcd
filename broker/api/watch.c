/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/decide.h"

#define LOOK_EVERY (2 * CB_SECOND)
#define LOOK_WHILE_DOWN (250 * CB_MILLISECOND) /* who comes back serves at once */

enum { ENTRIES = 256 };

struct cb_watch {
    cb_store *store;
    cb_hsm *hsm;
    cb_connectors *connectors;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool running, stopping, feed;
    void (*duty)(void *context);
    void *duty_context;
    cb_watch_view view;
    int64_t next, next_duty; /* when all is looked at, and done, again: the thread's own */
};

/* Hands hsmd what it has not heard of yet. */
static cb_error pass_on(cb_watch *watch)
{
    cb_feed_entry entries[ENTRIES];
    size_t count = ENTRIES;
    cb_feed_head head;
    cb_error error = cb_hsm_feed_state_any(watch->hsm, &head);
    while (!error && count == ENTRIES) {
        error = cb_feed_since(watch->store, head.number, entries, ENTRIES, &count);
        if (!error && count > 0) {
            error = cb_hsm_feed_extend_any(watch->hsm, entries, count);
            head.number = entries[count - 1].number;
        }
    }
    return error;
}

static void tell_change(const char *event, cb_error before, cb_error now)
{
    if (before != now && now)
        cb_log_failure(event, now, NULL);
    else if (before != now)
        cb_log(CB_LOG_INFO, event, "It answers again", NULL);
}

static void do_duties(cb_watch *watch)
{
    if (cb_clock_monotonic_us() < watch->next_duty)
        return;
    cb_store_settle(watch->store);
    pthread_mutex_lock(&watch->lock);
    void (*duty)(void *) = watch->duty;
    void *context = watch->duty_context;
    pthread_mutex_unlock(&watch->lock);
    if (duty)
        duty(context);
    watch->next_duty = cb_clock_monotonic_us() + LOOK_EVERY;
}

/* Looks; after how long all is to be looked at again. */
static int64_t look(cb_watch *watch, bool everything)
{
    cb_watch_view view;
    cb_watch_see(watch, &view);
    cb_watch_view before = view;
    if (everything) {
        do_duties(watch);
        view.hsm = cb_hsm_ping(watch->hsm);
        view.connectors = cb_connectors_ping(watch->connectors, NULL);
    }
    view.feed = view.hsm ? view.hsm : pass_on(watch);
    tell_change("watch.hsm", before.hsm, view.hsm);
    tell_change("watch.connectors", before.connectors, view.connectors);
    pthread_mutex_lock(&watch->lock);
    watch->view = view;
    pthread_mutex_unlock(&watch->lock);
    return view.hsm || view.connectors ? LOOK_WHILE_DOWN : LOOK_EVERY;
}

/* False when it is time to end; *everything when it is time to look at all, however much there is
 * to be passed on meanwhile. */
static bool wait_for_work(cb_watch *watch, bool *everything)
{
    int waited = 0;
    const struct timespec until = {.tv_sec = watch->next / CB_SECOND,
                                   .tv_nsec = watch->next % CB_SECOND * 1000};
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping && !watch->feed && waited == 0)
        waited = pthread_cond_timedwait(&watch->wake, &watch->lock, &until);
    watch->feed = false;
    bool go_on = !watch->stopping;
    pthread_mutex_unlock(&watch->lock);
    *everything = cb_clock_monotonic_us() >= watch->next;
    return go_on;
}

static void *run(void *context)
{
    cb_watch *watch = context;
    bool everything = true;
    while (wait_for_work(watch, &everything)) {
        int64_t until = look(watch, everything);
        if (everything)
            watch->next = cb_clock_monotonic_us() + until;
    }
    return NULL;
}

cb_error cb_watch_open(cb_store *store, cb_hsm *hsm, cb_connectors *connectors, cb_watch **out)
{
    cb_watch *watch = calloc(1, sizeof *watch);
    pthread_condattr_t attributes;
    *out = watch;
    if (!watch)
        return CB_E_MEMORY;
    watch->store = store;
    watch->hsm = hsm;
    watch->connectors = connectors;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    watch->next = look(watch, true) + cb_clock_monotonic_us();
    watch->running = pthread_create(&watch->thread, NULL, run, watch) == 0;
    if (!watch->running)
        cb_watch_close(out);
    return *out ? CB_OK : CB_E_MEMORY;
}

void cb_watch_duty(cb_watch *watch, void (*duty)(void *context), void *context)
{
    pthread_mutex_lock(&watch->lock);
    watch->duty = duty;
    watch->duty_context = context;
    pthread_mutex_unlock(&watch->lock);
}

void cb_watch_close(cb_watch **out)
{
    cb_watch *watch = *out;
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    if (watch->running)
        pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
    *out = NULL;
}

void cb_watch_see(cb_watch *watch, cb_watch_view *out)
{
    pthread_mutex_lock(&watch->lock);
    *out = watch->view;
    pthread_mutex_unlock(&watch->lock);
}

void cb_watch_feed(cb_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    watch->feed = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
}
