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
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/decide.h"
#include "broker/store/txn.h"
#include "hsm/record_codec.h"

enum { THREADS_MAX = 64 };

/* ---- A signer that takes about as long as SoftHSM's resident key ---- */

typedef struct signer {
    uint8_t scalar[CB_P256_SCALAR];
    uint8_t point[CB_P256_POINT];
    cb_tree_head remembered;
    unsigned signatures;
} signer;

static cb_error sign(void *context, const cb_tree_head *head, const cb_merkle_proof *extends,
                     cb_signed_head *out, cb_tree_head *remembered)
{
    signer *s = context;
    cb_buf text = CB_BUF(1024);
    (void)remembered;
    if (!cb_merkle_extends(&s->remembered, head, extends))
        return CB_E_HSM_HEAD;
    *out = (cb_signed_head){.head = *head, .time = cb_clock_wall_us()};
    cb_signed_head_text("bench", out, &text);
    cb_digest digest = cb_sha256(cb_buf_bytes(&text));
    cb_buf_free(&text);
    s->remembered = *head;
    s->signatures++;
    return cb_p256_sign(s->scalar, &digest, out->signature);
}

static cb_error state(void *context, cb_tree_head *remembered)
{
    *remembered = ((signer *)context)->remembered;
    return CB_OK;
}

/* ---- A holder, a card, a terminal, a service, an enrolment ---- */

typedef struct place {
    cb_store *store;
    cb_holder holder;
    cb_id card;
    cb_terminal terminal;
} place;

static void need(cb_error error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "store_bench: %s: %s\n", what, cb_error_text(error));
    exit(1);
}

static void put_mac(cb_buf *blob) { memset(cb_buf_extend(blob, CB_RECORD_MAC), 0, CB_RECORD_MAC); }

static void furnish(place *p)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX), sealed = CB_BUF(CB_SEALED_MAX);
    need(cb_holder_add(p->store, "bench", "Hanako", &p->holder), "holder");
    p->card = cb_id_new();
    cb_binding_info card = {.card = p->card, .holder = p->holder.id, .profile = 1, .level = 2};
    cb_binding_body_put(&binding, &card);
    put_mac(&binding);
    need(cb_card_add(p->store, "bench", cb_buf_bytes(&binding), NULL), "card");
    need(cb_card_change(p->store, "bench", &p->card, CB_CARD_ACTIVATE, NULL, NULL), "activation");
    cb_service_new service = {.name = "tax", .title = "Tax", .connector = "mtls", .level = 1};
    need(cb_service_add(p->store, "bench", &service), "service");
    cb_terminal_new terminal = {.name = "counter"};
    need(cb_terminal_add(p->store, "bench", &terminal, &p->terminal), "terminal");
    cb_sealed_info key = {.key = cb_id_new(),
                          .holder = p->holder.id,
                          .service = "tax",
                          .algorithm = CB_KEY_EC_P256,
                          .level = 1,
                          .uses = 1,
                          .generation = 1};
    cb_sealed_body_put(&sealed, &key, (cb_bytes){0}, cb_bytes_str("wrapped"));
    put_mac(&sealed);
    cb_enrolment_new enrolment = {
        .holder = p->holder.id, .service = "tax", .sealed = cb_buf_bytes(&sealed)};
    need(cb_enrolment_add(p->store, "bench", &enrolment, NULL), "enrolment");
    cb_buf_free(&binding);
    cb_buf_free(&sealed);
}

/* ---- Taps ---- */

typedef struct tapper {
    place *place;
    pthread_t thread;
    unsigned taps;
    int64_t *t1, *t2;
} tapper;

static void *tap(void *context)
{
    tapper *t = context;
    for (unsigned i = 0; i < t->taps; i++) {
        cb_intent_grant grant;
        cb_intent_request request = {.context = {.tap = cb_id_random(),
                                                 .terminal = t->place->terminal.id,
                                                 .profile = 1,
                                                 .purpose = CB_TAP_AUTHENTICATE,
                                                 .level = 1,
                                                 .service = "tax"},
                                     .card = t->place->card,
                                     .holder = t->place->holder.id,
                                     .reached = 2};
        int64_t began = cb_clock_monotonic_us();
        cb_intent_grant_init(&grant);
        need(cb_decide_intent(t->place->store, &request, &grant), "T1");
        cb_intent_grant_free(&grant);
        int64_t between = cb_clock_monotonic_us();
        cb_result_request result = {.tap = request.context.tap};
        need(cb_decide_result(t->place->store, &result), "T2");
        t->t1[i] = between - began;
        t->t2[i] = cb_clock_monotonic_us() - between;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void say(const char *what, int64_t *us, unsigned count)
{
    qsort(us, count, sizeof *us, compare);
    printf("  %-8s p50 %6lld  p99 %6lld  most %6lld\n", what, (long long)us[count / 2],
           (long long)us[count * 99 / 100], (long long)us[count - 1]);
}

static void run(place *p, signer *s, unsigned threads, unsigned taps)
{
    tapper t[THREADS_MAX];
    unsigned each = taps / threads, all = each * threads;
    int64_t *t1 = calloc(all, sizeof *t1), *t2 = calloc(all, sizeof *t2);
    int64_t *pair = calloc(all, sizeof *pair);
    cb_store_state before, after;
    unsigned signatures = s->signatures;
    need(t1 && t2 && pair ? CB_OK : CB_E_MEMORY, "memory");
    need(cb_store_status(p->store, &before), "status");
    int64_t began = cb_clock_monotonic_us();
    for (unsigned i = 0; i < threads; i++) {
        t[i] = (tapper){.place = p, .taps = each, .t1 = t1 + i * each, .t2 = t2 + i * each};
        pthread_create(&t[i].thread, NULL, tap, &t[i]);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(t[i].thread, NULL);
    int64_t took = cb_clock_monotonic_us() - began;
    need(cb_store_status(p->store, &after), "status");
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
static void read_again(place *p, const cb_store_options *options)
{
    cb_store_state state;
    cb_store_close(&p->store);
    int64_t began = cb_clock_monotonic_us();
    need(cb_store_open(options, &p->store), "open");
    int64_t opened = cb_clock_monotonic_us();
    need(cb_store_checked(p->store, cb_deadline_in(600 * CB_SECOND)), "read again");
    int64_t took = cb_clock_monotonic_us() - opened;
    need(cb_store_status(p->store, &state), "status");
    printf("after a start: open %.1f ms; %llu leaves read again in %.1f ms, %.0f a second\n",
           (double)(opened - began) / 1e3, (unsigned long long)state.leaves_found,
           (double)took / 1e3, (double)state.leaves_found * 1e6 / (double)took);
}

int main(int argc, char **argv)
{
    char path[512];
    const char *folder = argc > 1 ? argv[1] : ".";
    unsigned taps = argc > 2 ? (unsigned)atoi(argv[2]) : 2000;
    signer s = {.remembered = {0, cb_sha256((cb_bytes){0})}};
    place p = {0};
    cb_log_init("store_bench", CB_LOG_ERROR);
    need(cb_p256_generate(s.scalar, s.point), "key");
    snprintf(path, sizeof path, "%s/store_bench.%d.db", folder, (int)getpid());
    cb_store_options options = {.path = path, .signer = {&s, sign, state}};
    need(cb_store_open(&options, &p.store), "open");
    furnish(&p);
    run(&p, &s, 1, taps);
    run(&p, &s, 4, taps);
    run(&p, &s, 16, taps);
    read_again(&p, &options);
    cb_store_close(&p.store);
    unlink(path);
    strcat(path, "-lock");
    unlink(path);
    return 0;
}
