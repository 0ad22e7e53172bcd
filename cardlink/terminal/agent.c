/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/agent.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "cardlink/terminal/keeper.h"

#define SLICE (CB_SECOND / 2)
#define HUNG_PAUSE (30 * CB_SECOND)
#define REST (5 * CB_SECOND) /* before a reader is served again that could not be */
#define BACKOFF_MAX (30 * CB_SECOND)

enum { HUNG_MAX = 8 };

/* A reader and who serves it. The watching thread owns it; the serving thread writes only what is
 * atomic. */
typedef struct place {
    const cb_agent_order *order;
    cb_keeper *keeper;
    char reader[CB_READER_NAME_MAX + 1]; /* "": free */
    bool running;
    pthread_t thread;
    atomic_bool done;
    atomic_bool hung;
    _Atomic cb_error error; /* why it does not serve; CB_OK: the reader went */
    int64_t not_before;
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t posted;
    cb_reader_info info;
    bool fresh; /* not seen by the serving thread yet */
    bool gone;
} place;

/* What a serving thread works with. */
typedef struct server {
    const cb_agent_order *order;
    cb_keeper *keeper;
    unsigned renewals; /* that there were when the relay was opened */
    const char *reader;
    cb_tap_order tap;
    cb_readers *readers;
    cb_relay *relay;
    cb_relay_tap first;
    int64_t last_card; /* when one was last here, or this began */
    int64_t ask_again; /* not before: the broker was out of reach or busy */
    int64_t backoff;
    bool broker_missing; /* said so already */
    uint32_t served;     /* the change that brought the card served last */
    bool serving;        /* that card is still there */
    bool disposed;       /* the broker says that this terminal is over */
} server;

static bool stopped(const cb_agent_order *order) { return atomic_load(order->stop); }

/* ---- one reader ---- */

/* Nothing is fetched for a tap that could not be written down: what is fetched is a tap at the
 * broker already. */
static bool prefetch_due(const server *own)
{
    const cb_terminal_config *config = own->order->config;
    int64_t now = cb_clock_monotonic_us();
    return config->prefetch && !own->serving && now >= own->ask_again &&
           now - own->last_card < config->prefetch_for && !cb_tap_fresh(&own->first) &&
           cb_keeper_room(own->keeper);
}

/* For the first of the configured order: which card will come nobody knows. */
static void prefetch(server *own)
{
    cb_problem problem;
    if (cb_relay_begin(own->relay, own->tap.profiles->profile[0], &own->first, &problem) == CB_OK) {
        if (own->broker_missing)
            cb_keeper_note(own->keeper, CB_JOURNAL_BROKER_BACK, "");
        if (own->broker_missing)
            cb_output_event(own->order->output, "broker.back", own->reader, "the broker is back",
                            NULL);
        own->broker_missing = false;
        own->backoff = 0;
        return;
    }
    own->disposed = problem.error == CB_E_TERMINAL_DISPOSED;
    if (!own->broker_missing)
        cb_keeper_note(own->keeper, CB_JOURNAL_BROKER_LOST, problem.code);
    if (!own->broker_missing)
        cb_output_event(own->order->output, "broker.trouble", own->reader, "not ready", &problem);
    own->broker_missing = true;
    own->backoff = own->backoff ? own->backoff * 2 : CB_SECOND;
    if (own->backoff > BACKOFF_MAX)
        own->backoff = BACKOFF_MAX;
    int64_t said = problem.retry_after > 0 ? problem.retry_after * CB_SECOND : 0;
    own->ask_again = cb_deadline_in(said > own->backoff ? said : own->backoff);
}

static cb_error note_tap(server *own, cb_journal_event event, const cb_id *tap, const char *code)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    cb_journal_tap(tap, code, text);
    return cb_keeper_note(own->keeper, event, text);
}

/* What is not written down is not done. */
static bool not_noted(server *own, const cb_profile_order *profiles)
{
    cb_problem problem;
    cb_error error = note_tap(own, CB_JOURNAL_TAP_BEGUN, cb_tap_known(&own->first, profiles), "");
    if (!error)
        return false;
    cb_problem_set(&problem, error, NULL);
    cb_output_event(own->order->output, "card.not_served", own->reader, "the log takes no entry",
                    &problem);
    return true;
}

static void serve_card(server *own, const cb_reader_info *info)
{
    cb_tap_report report;
    cb_profile_order profiles;
    cb_tap_order order = own->tap;
    cb_terminal_config_order(own->order->config, info, &profiles);
    order.profiles = &profiles;
    own->served = info->changes;
    own->serving = true;
    cb_output_event(own->order->output, "card.present", own->reader, "card", NULL);
    if (not_noted(own, &profiles))
        return;
    cb_tap_run(own->relay, own->readers, own->reader, &own->first, &order, &report);
    cb_output_tap(own->order->output, own->reader, &report);
    note_tap(own, CB_JOURNAL_TAP_ENDED, &report.tap, cb_tap_code(&report));
    if (!stopped(own->order) &&
        cb_tap_renew_early(own->relay, own->readers, own->reader, &order, &report))
        cb_output_event(own->order->output, "card.renewed", own->reader,
                        "the card's new certificates count from now on", NULL);
    own->disposed = report.problem.error == CB_E_TERMINAL_DISPOSED;
    cb_tap_report_free(&report);
    own->last_card = cb_clock_monotonic_us();
}

static void card_gone(server *own)
{
    if (own->serving)
        cb_output_event(own->order->output, "card.removed", own->reader, "ready", NULL);
    own->serving = false;
}

static void post(place *at, const cb_reader_info *info)
{
    pthread_mutex_lock(&at->lock);
    at->gone = !info;
    at->fresh = true;
    if (info)
        at->info = *info;
    pthread_cond_signal(&at->posted);
    pthread_mutex_unlock(&at->lock);
}

/* The reader's state, new or, after a while, the same; false if it has gone. */
static bool next_state(place *at, cb_reader_info *info)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&at->lock);
    if (!at->fresh)
        pthread_cond_timedwait(&at->posted, &at->lock, &until);
    at->fresh = false;
    *info = at->info;
    bool there = !at->gone;
    pthread_mutex_unlock(&at->lock);
    return there;
}

static cb_error open_relay(server *own)
{
    const cb_terminal_config *config = own->order->config;
    cb_relay_settings settings = {.broker = config->broker,
                                  .ca = config->ca,
                                  .certificate = config->certificate,
                                  .key = config->key,
                                  .timeout = config->timeout};
    own->renewals = cb_keeper_renewals(own->keeper);
    return cb_relay_open(&settings, &own->relay);
}

/* After a renewal the connection must show the new key; what was begun with the old one is dropped. */
static bool is_current(server *own)
{
    if (own->renewals == cb_keeper_renewals(own->keeper))
        return true;
    cb_relay_tap_free(&own->first);
    cb_relay_tap_init(&own->first);
    cb_relay_close(&own->relay);
    return open_relay(own) == CB_OK;
}

/* With a connection that is not out of date while it is done; false if there is none. */
static bool serve_now(server *own, const cb_reader_info *info)
{
    cb_keeper_tap(own->keeper, true);
    bool current = is_current(own);
    if (current)
        serve_card(own, info);
    cb_keeper_tap(own->keeper, false);
    return current;
}

static void serve_reader(server *own, place *at)
{
    cb_reader_info info;
    while (!stopped(own->order) && !own->disposed && next_state(at, &info) &&
           !cb_readers_hung(own->readers) && is_current(own)) {
        if (!info.present)
            card_gone(own);
        else if ((!own->serving || info.changes != own->served) && !serve_now(own, &info))
            break;
        if (prefetch_due(own))
            prefetch(own);
    }
}

static void *serve(void *context)
{
    place *at = context;
    const cb_agent_order *order = at->order;
    const cb_terminal_config *config = order->config;
    cb_reader_use use = cb_terminal_config_reader(config, at->reader);
    server own = {.order = order,
                  .keeper = at->keeper,
                  .reader = at->reader,
                  .tap = {.purpose = CB_TAP_AUTHENTICATE,
                          .service = order->service ? order->service : use.service,
                          .text = order->text ? order->text : use.text,
                          .profiles = &config->profiles,
                          .pin_pad = config->pin_pad},
                  .last_card = cb_clock_monotonic_us()};
    cb_relay_tap_init(&own.first);
    cb_error error =
        cb_readers_open(config->kind, config->place, config->card_timeout, &own.readers);
    if (!error)
        error = open_relay(&own);
    if (!error)
        serve_reader(&own, at);
    if (own.disposed)
        error = CB_E_TERMINAL_DISPOSED;
    atomic_store(&at->error, error);
    if (own.readers && cb_readers_hung(own.readers))
        atomic_store(&at->hung, true);
    cb_relay_tap_free(&own.first);
    cb_relay_close(&own.relay);
    cb_readers_close(&own.readers);
    atomic_store(&at->done, true);
    return NULL;
}

/* ---- which readers there are ---- */

static bool wanted(const cb_agent_order *order, const char *reader)
{
    cb_reader_use use = cb_terminal_config_reader(order->config, reader);
    return (!order->reader || strcmp(order->reader, reader) == 0) &&
           (order->service || *use.service);
}

static place *place_of(place *places, const char *reader)
{
    place *unused = NULL;
    for (int i = 0; i < CB_READERS_MAX; i++) {
        if (strcmp(places[i].reader, reader) == 0)
            return &places[i];
        if (!unused && !places[i].running && places[i].not_before <= cb_clock_monotonic_us())
            unused = &places[i];
    }
    return unused;
}

static void not_served(place *at, cb_error error)
{
    cb_problem problem;
    cb_keeper_note(at->keeper, CB_JOURNAL_READER_FAILED, cb_error_code(error));
    cb_problem_set(&problem, error, NULL);
    cb_output_event(at->order->output, "reader.failed", at->reader, "not served", &problem);
    at->not_before = cb_deadline_in(REST);
}

/* Tells the thread that serves a reader of its state; starts it if there is none yet. */
static void attend(place *places, const cb_agent_order *order, const cb_reader_info *info)
{
    const char *reader = info->name;
    place *at = place_of(places, reader);
    if (at && at->running)
        post(at, info);
    if (!at || at->running || at->not_before > cb_clock_monotonic_us() || !wanted(order, reader))
        return;
    at->order = order;
    memcpy(at->reader, reader, strlen(reader) + 1);
    atomic_store(&at->done, false);
    atomic_store(&at->hung, false);
    post(at, info);
    at->running = pthread_create(&at->thread, NULL, serve, at) == 0;
    if (at->running)
        cb_output_event(order->output, "reader.ready", reader, "ready", NULL);
    else
        not_served(at, CB_E_MEMORY);
}

/* Takes leave of threads that have ended; returns how many of them because their reader hung.
 * disposed is set when one of them because the terminal is over. */
static unsigned reap(place *places, const cb_agent_order *order, bool all, bool *disposed)
{
    unsigned hung = 0;
    for (int i = 0; i < CB_READERS_MAX; i++) {
        place *at = &places[i];
        if (!at->running || (!all && !atomic_load(&at->done)))
            continue;
        pthread_join(at->thread, NULL);
        at->running = false;
        cb_problem problem;
        bool stuck = atomic_load(&at->hung);
        cb_problem_set(&problem, stuck ? CB_E_READER : CB_E_READER_NONE, NULL);
        at->not_before = cb_deadline_in(stuck ? HUNG_PAUSE : 0);
        cb_error error = atomic_load(&at->error);
        *disposed = *disposed || error == CB_E_TERMINAL_DISPOSED;
        if (!all && error && !stuck)
            not_served(at, error);
        else if (!all && stuck)
            cb_keeper_note(at->keeper, CB_JOURNAL_READER_FAILED, cb_error_code(CB_E_READER));
        if (!all && (!error || stuck))
            cb_output_event(order->output, stuck ? "reader.failed" : "reader.gone", at->reader,
                            stuck ? "the reader hangs" : "the reader is gone",
                            stuck ? &problem : NULL);
        hung += stuck;
    }
    return hung;
}

/* Tells the threads whose readers are not there any more. */
static void dismiss(place *places, const cb_reader_list *known)
{
    for (int i = 0; i < CB_READERS_MAX; i++) {
        bool there = false;
        for (size_t j = 0; j < known->count && !there; j++)
            there = strcmp(places[i].reader, known->reader[j].name) == 0;
        if (places[i].running && !there)
            post(&places[i], NULL);
    }
}

/* One round of watching. */
static cb_error watch(cb_readers **readers, cb_reader_list *known, const cb_agent_order *order)
{
    const cb_terminal_config *config = order->config;
    cb_error error = CB_OK;
    if (!*readers)
        error = cb_readers_open(config->kind, config->place, config->card_timeout, readers);
    if (!error)
        error = cb_readers_wait(*readers, known, true, cb_deadline_in(SLICE));
    if (error == CB_E_READER_NONE || error == CB_E_READER) {
        known->count = 0;
        cb_pause(SLICE);
    }
    return error;
}

/* Waits are not to be longer when the clock on the wall is put back. */
static void make_place(place *at, cb_keeper *keeper)
{
    at->keeper = keeper;
    pthread_condattr_t attributes;
    pthread_mutex_init(&at->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&at->posted, &attributes);
    pthread_condattr_destroy(&attributes);
}

cb_error cb_agent_run(const cb_agent_order *order)
{
    place *places = calloc(CB_READERS_MAX, sizeof *places);
    cb_readers *readers = NULL;
    cb_reader_list known = {.count = 0};
    unsigned hung = 0;
    cb_keeper *keeper = NULL;
    cb_error error = places ? CB_OK : CB_E_MEMORY;
    if (!error)
        error = cb_keeper_start(order->config, order->output, &keeper);
    bool none = false, disposed = false;
    for (int i = 0; i < CB_READERS_MAX && places; i++)
        make_place(&places[i], keeper);
    while (!error && !stopped(order)) {
        cb_error seen = watch(&readers, &known, order);
        if (readers && cb_readers_hung(readers)) {
            cb_readers_close(&readers);
            hung++;
        }
        if (known.count == 0 && !none)
            cb_output_event(order->output, "reader.none", NULL,
                            "waiting for a reader (is one connected, and does pcscd run?)", NULL);
        none = known.count == 0;
        for (size_t i = 0; i < known.count; i++)
            attend(places, order, &known.reader[i]);
        dismiss(places, &known);
        hung += reap(places, order, false, &disposed);
        if (seen == CB_E_MEMORY || seen == CB_E_CONFIG || hung >= HUNG_MAX)
            error = hung >= HUNG_MAX ? CB_E_READER : seen;
        if (disposed || cb_keeper_over(keeper))
            error = disposed ? CB_E_TERMINAL_DISPOSED : cb_keeper_over(keeper);
    }
    if (places) {
        atomic_store(order->stop, true);
        known.count = 0;
        dismiss(places, &known);
        reap(places, order, true, &disposed);
    }
    for (int i = 0; i < CB_READERS_MAX && places; i++) {
        pthread_mutex_destroy(&places[i].lock);
        pthread_cond_destroy(&places[i].posted);
    }
    cb_keeper_stop(&keeper, error);
    cb_readers_close(&readers);
    free(places);
    return error;
}
