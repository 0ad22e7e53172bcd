/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a tap costs in hsmd: time of each call as the front end sees it, and processor time of the
 * workers per tap.
 *
 *   CB_HSMD=build/hsm/cardbroker-hsmd build/tests/bench/hsmd_bench [taps]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "front.h"
#include "hsmd_support.h"

#define MUST(call)                                                                                 \
    do {                                                                                           \
        cb_error failed = (call);                                                                  \
        if (failed) {                                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cb_error_code(failed));             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { STEPS = 7, TAPS_MAX = 20000 };
static const char *const names[STEPS] = {"begin",     "challenge", "finish", "activate",
                                         "sign head", "open key",  "use"};
static int64_t spent[STEPS][TAPS_MAX];

/* Processor time of a process so far, microseconds. */
static int64_t cpu_of(pid_t pid)
{
    char path[64];
    long long ns = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%lld", &ns) != 1)
        ns = 0;
    if (file)
        fclose(file);
    return ns / 1000;
}

static int64_t lap(int64_t *from)
{
    int64_t now = cb_clock_monotonic_us(), took = now - *from;
    *from = now;
    return took;
}

static void one_tap(front *f, const front_key *key, unsigned n)
{
    front_tap tap;
    cb_intent_proof proof;
    cb_digest digest = cb_sha256(cb_bytes_str("to be signed"));
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf result = CB_BUF(CB_USE_RESULT_MAX), receipt = CB_BUF(CB_RECEIPT_MAX);
    int64_t at = cb_clock_monotonic_us();
    MUST(front_begin(f, &tap, &script));
    spent[0][n] = lap(&at);
    tap.context.purpose = CB_TAP_AUTHENTICATE;
    tap.context.level = CB_LEVEL_POSSESSION;
    memcpy(tap.context.service, "tax", 3);
    world_play(f->w->card, &script, &answers);
    cb_buf_reset(&script);
    lap(&at);
    MUST(
        cb_hsm_tap_challenge(f->hsm, &tap.context, cb_buf_bytes(&answers), (cb_bytes){0}, (cb_bytes){0}, &script));
    spent[1][n] = lap(&at);
    world_play(f->w->card, &script, &answers);
    lap(&at);
    MUST(cb_hsm_tap_finish(f->hsm, &tap.context.tap, cb_buf_bytes(&answers), &tap.claim));
    spent[2][n] = lap(&at);
    MUST(cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &f->feed,
                             &tap.activation));
    spent[3][n] = lap(&at);
    cb_intent intent = front_intent(&tap, &key->info.key);
    MUST(front_record(f, &intent, &proof));
    spent[4][n] = lap(&at);
    MUST(cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key->sealed), &proof));
    spent[5][n] = lap(&at);
    MUST(cb_hsm_use(f->hsm, &tap.context.tap, CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                    cb_digest_bytes(&digest), &result, &receipt));
    spent[6][n] = lap(&at);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    cb_buf_free(&result);
    cb_buf_free(&receipt);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void write_anchor(const hsmd *h, const world *w)
{
    char path[128];
    cb_buf certificate = CB_BUF(CB_CVC_MAX);
    snprintf(path, sizeof path, "%s/anchor.cvc", h->folder);
    MUST(cb_issue_certificate(
        &w->cards, cb_bytes_make(w->cards.anchor.name, w->cards.anchor.name_len), CB_CVC_AUTHORITY,
        CB_BYTES_OF(w->cards.anchor.point), cb_issue_days_from_today(5), &certificate));
    MUST(cb_file_replace(path, cb_buf_bytes(&certificate), 0600));
    cb_buf_free(&certificate);
}

static void measure(const hsmd *h, front *f, const front_key *key, unsigned taps)
{
    pid_t use = hsmd_worker_pid(h, 0), log = hsmd_worker_pid(h, 1);
    for (unsigned i = 0; i < 50; i++)
        one_tap(f, key, i);
    int64_t use_from = cpu_of(use), log_from = cpu_of(log);
    for (unsigned i = 0; i < taps; i++)
        one_tap(f, key, i);
    int64_t use_cpu = cpu_of(use) - use_from, log_cpu = cpu_of(log) - log_from;
    printf("%-12s %8s %8s   us, as the front end sees it\n", "call", "p50", "p99");
    for (unsigned s = 0; s < STEPS; s++) {
        qsort(spent[s], taps, sizeof spent[s][0], by_value);
        printf("%-12s %8lld %8lld\n", names[s], (long long)spent[s][taps / 2],
               (long long)spent[s][taps * 99 / 100]);
    }
    printf("processor    %lld us a tap in the use worker, %lld us a tap in the log lane\n",
           (long long)(use_cpu / taps), (long long)(log_cpu / taps));
}

int main(int argc, char **argv)
{
    static world w;
    static hsmd h;
    front f;
    front_key key;
    cb_hsm *hsm;
    unsigned taps = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 500;
    const char *program = getenv("CB_HSMD");
    if (!program || taps == 0 || taps > TAPS_MAX || !hsmd_make(&h, program, "workers = 1\n"))
        return 77;
    world_make(&w, false);
    write_anchor(&h, &w);
    if (hsmd_run(&h, "--initialise") != 0)
        return 1;
    hsmd_start(&h);
    MUST(cb_hsm_open(h.run, &hsm));
    MUST(hsmd_wait(hsm, false));
    hsmd_certify(&h, hsm, &w);
    kill(h.pid, SIGHUP);
    MUST(hsmd_wait(hsm, true));
    MUST(front_make(&f, &w, h.run));
    MUST(front_key_make(&f, &f.holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    measure(&h, &f, &key, taps);
    front_key_free(&key);
    front_free(&f);
    cb_hsm_close(&hsm);
    world_free(&w);
    return hsmd_end(&h) ? 0 : 1;
}
