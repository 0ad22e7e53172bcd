/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How long T1 and T2 take, with a signer in software: for 1, 4 and 16 taps at a time, on the file
 * system of the given folder.
 *
 *   store_bench [FOLDER [TAPS]]      (default: the present folder, 2000)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/bench/store_place.h"

enum { THREADS_MAX = 64 };

typedef struct tapper {
    cb_store *store;
    const tapped *who;
    pthread_t thread;
    unsigned taps;
    int64_t *t1, *t2;
} tapper;

static void *tap(void *context)
{
    tapper *t = context;
    for (unsigned i = 0; i < t->taps; i++)
        tap_once(t->store, t->who, &t->t1[i], &t->t2[i]);
    return NULL;
}

static void say(const char *what, int64_t *us, unsigned count)
{
    printf("  %-8s p50 %6lld  p99 %6lld  most %6lld\n", what, (long long)quantile(us, count, 500),
           (long long)quantile(us, count, 990), (long long)us[count - 1]);
}

static void run(cb_store *store, const tapped *who, signer *s, unsigned threads, unsigned taps)
{
    tapper t[THREADS_MAX];
    unsigned each = taps / threads, all = each * threads;
    int64_t *t1 = calloc(all, sizeof *t1), *t2 = calloc(all, sizeof *t2);
    int64_t *pair = calloc(all, sizeof *pair);
    cb_store_state before, after;
    unsigned signatures = s->signatures;
    need(t1 && t2 && pair ? CB_OK : CB_E_MEMORY, "memory");
    need(cb_store_status(store, &before), "status");
    int64_t began = cb_clock_monotonic_us();
    for (unsigned i = 0; i < threads; i++) {
        t[i] = (tapper){
            .store = store, .who = who, .taps = each, .t1 = t1 + i * each, .t2 = t2 + i * each};
        pthread_create(&t[i].thread, NULL, tap, &t[i]);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(t[i].thread, NULL);
    int64_t took = cb_clock_monotonic_us() - began;
    need(cb_store_status(store, &after), "status");
    for (unsigned i = 0; i < all; i++)
        pair[i] = t1[i] + t2[i];
    printf("%u at a time: %.0f taps a second, %.1f changes a commit, %.2f signatures a tap (us)\n",
           threads, all * 1e6 / (double)took,
           (double)(after.changes - before.changes) / (double)(after.groups - before.groups),
           (double)(s->signatures - signatures) / all);
    say("T1", t1, all);
    say("T2", t2, all);
    say("T1 + T2", pair, all);
    free(t1);
    free(t2);
    free(pair);
}

/* What logins wait for after a start. */
static void read_again(cb_store **store, const cb_store_options *options)
{
    cb_store_state state;
    cb_store_close(store);
    int64_t began = cb_clock_monotonic_us();
    need(cb_store_open(options, store), "open");
    int64_t opened = cb_clock_monotonic_us();
    need(cb_store_checked(*store, cb_deadline_in(600 * CB_SECOND)), "read again");
    int64_t took = cb_clock_monotonic_us() - opened;
    need(cb_store_status(*store, &state), "status");
    printf("after a start: open %.1f ms; %llu leaves read again in %.1f ms, %.0f a second\n",
           (double)(opened - began) / 1e3, (unsigned long long)state.leaves_found,
           (double)took / 1e3, (double)state.leaves_found * 1e6 / (double)took);
}

int main(int argc, char **argv)
{
    char path[512];
    const char *folder = argc > 1 ? argv[1] : ".";
    unsigned taps = argc > 2 ? (unsigned)atoi(argv[2]) : 2000;
    signer s;
    cb_store *store = NULL;
    tapped who = {.service = "tax"};
    cb_log_init("store_bench", CB_LOG_ERROR);
    signer_begin(&s);
    snprintf(path, sizeof path, "%s/store_bench.%d.db", folder, (int)getpid());
    cb_store_options options = {
        .path = path, .signer = signer_of(&s), .checkpoint = CB_CHECKPOINT_NONE};
    need(cb_store_open(&options, &store), "open");
    add_citizen(store, &who.holder, &who.card);
    who.terminal = add_terminal(store, "counter");
    add_service(store, who.service);
    add_key(store, &who.holder, who.service);
    run(store, &who, &s, 1, taps);
    run(store, &who, &s, 4, taps);
    run(store, &who, &s, 16, taps);
    read_again(&store, &options);
    cb_store_close(&store);
    unlink(path);
    strcat(path, "-lock");
    unlink(path);
    return 0;
}
