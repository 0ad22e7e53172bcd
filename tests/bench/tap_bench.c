/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whole taps, by as many cards at a time as are named, each in a thread with its own connection:
 *
 *   tap_bench BROKER CA CERTIFICATE KEY SERVICE SECONDS CARD-STATE...
 *
 * The cards are played in the process, so that no reader is measured. One line of JSON: taps, taps
 * a second, failures by code, and in microseconds the median and 99th percentile of
 *
 *   server   the sum over the three exchanges from request sent to answer read: all but the card
 *   begin, challenge, proof   each of them
 *   card     what the card computed meanwhile
 *
 * "generator" is the CPU of this process for a tap. Nothing is prefetched: a terminal would have
 * the first script before the card comes.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "cardlink/card/card.h"
#include "cardlink/terminal/play.h"
#include "cardlink/terminal/relay.h"

enum { CARDS_MAX = 256, SAMPLES_MAX = 1 << 16, PARTS = 5 };
enum { SERVER, BEGIN, CHALLENGE, PROOF, CARD };
static const char *const part_names[PARTS] = {"server", "begin", "challenge", "proof", "card"};

typedef struct lane {
    pthread_t thread;
    cb_vcard *card;
    cb_relay *relay;
    cb_relay_tap tap;
    cb_buf answers;
    int64_t *samples; /* PARTS each */
    unsigned taps, failures;
    cb_error last_failure;
} lane;

static cb_relay_settings settings;
static const char *service;
static int64_t end_at;

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    cb_vcard_process(card, command, answer);
    return cb_buf_error(answer);
}

/* Plays the tap's script; what the card took is added. */
static cb_error play(lane *l, int64_t *card)
{
    cb_script script;
    const cb_card_io io = {.card = l->card, .transmit = transmit};
    int64_t began = cb_clock_monotonic_us();
    cb_buf_reset(&l->answers);
    cb_error error = cb_script_read(cb_buf_bytes(&l->tap.script), CB_COMMAND_MAX, &script);
    if (!error)
        error = cb_play(&io, &script, &l->answers);
    *card += cb_clock_monotonic_us() - began;
    return error;
}

static cb_error tap(lane *l, int64_t spent[PARTS])
{
    cb_problem problem;
    json_t *result = NULL;
    const cb_relay_question question = {
        .purpose = CB_TAP_AUTHENTICATE, .service = service, .text = ""};
    int64_t at = cb_clock_monotonic_us();
    cb_vcard_reset(l->card);
    cb_error error = cb_relay_begin(l->relay, &cb_profile_native, &l->tap, &problem);
    spent[BEGIN] = cb_clock_monotonic_us() - at;
    if (!error)
        error = play(l, &spent[CARD]);
    at = cb_clock_monotonic_us();
    if (!error)
        error =
            cb_relay_challenge(l->relay, &l->tap, &question, cb_buf_bytes(&l->answers), &problem);
    spent[CHALLENGE] = cb_clock_monotonic_us() - at;
    if (!error)
        error = play(l, &spent[CARD]);
    at = cb_clock_monotonic_us();
    if (!error)
        error = cb_relay_proof(l->relay, &l->tap, cb_buf_bytes(&l->answers), &result, &problem);
    spent[PROOF] = cb_clock_monotonic_us() - at;
    spent[SERVER] = spent[BEGIN] + spent[CHALLENGE] + spent[PROOF];
    json_decref(result);
    return error;
}

static void *run(void *context)
{
    lane *l = context;
    while (cb_clock_monotonic_us() < end_at && l->taps < SAMPLES_MAX) {
        int64_t *spent = &l->samples[(size_t)l->taps * PARTS];
        memset(spent, 0, PARTS * sizeof *spent);
        cb_error error = tap(l, spent);
        if (error) {
            l->failures++;
            l->last_failure = error;
        } else {
            l->taps++;
        }
    }
    return NULL;
}

static bool prepare(lane *l, const char *card)
{
    l->answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_relay_tap_init(&l->tap);
    l->samples = calloc((size_t)SAMPLES_MAX * PARTS, sizeof *l->samples);
    return l->samples && cb_vcard_open(card, &l->card) == CB_OK &&
           cb_relay_open(&settings, &l->relay) == CB_OK;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void print_part(const lane *lanes, int count, unsigned taps, int part)
{
    int64_t *all = calloc(taps + 1, sizeof *all);
    unsigned n = 0;
    for (int i = 0; all && i < count; i++)
        for (unsigned t = 0; t < lanes[i].taps; t++)
            all[n++] = lanes[i].samples[(size_t)t * PARTS + (size_t)part];
    if (all && n > 0) {
        qsort(all, n, sizeof *all, ascending);
        printf(",\"%s_p50\":%lld,\"%s_p99\":%lld", part_names[part], (long long)all[n / 2],
               part_names[part], (long long)all[n * 99 / 100]);
    }
    free(all);
}

static void print(const lane *lanes, int count, int64_t took)
{
    unsigned taps = 0, failures = 0;
    cb_error last = CB_OK;
    struct rusage use;
    for (int i = 0; i < count; i++) {
        taps += lanes[i].taps;
        failures += lanes[i].failures;
        last = lanes[i].last_failure ? lanes[i].last_failure : last;
    }
    getrusage(RUSAGE_SELF, &use);
    double cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    printf("{\"cards\":%d,\"taps\":%u,\"seconds\":%.3f,\"taps_per_second\":%.1f,\"failures\":%u,"
           "\"failure\":\"%s\","
           "\"generator_us\":%.0f",
           count, taps, (double)took / 1e6, taps / ((double)took / 1e6), failures,
           last ? cb_error_code(last) : "", taps ? cpu / taps : 0);
    for (int part = 0; part < PARTS; part++)
        print_part(lanes, count, taps, part);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static lane lanes[CARDS_MAX];
    int count = argc - 7;
    if (count < 1 || count > CARDS_MAX) {
        fprintf(stderr,
                "usage: tap_bench BROKER CA CERTIFICATE KEY SERVICE SECONDS CARD-STATE...\n");
        return 2;
    }
    settings = (cb_relay_settings){argv[1], argv[2], argv[3], argv[4], 60 * CB_SECOND};
    service = argv[5];
    cb_log_init("tap_bench", CB_LOG_ERROR);
    bool ready = cb_relay_init() == CB_OK;
    for (int i = 0; ready && i < count; i++)
        ready = prepare(&lanes[i], argv[7 + i]);
    if (!ready) {
        fprintf(stderr, "tap_bench: a card or the connection could not be opened\n");
        return 1;
    }
    int64_t began = cb_clock_monotonic_us();
    end_at = began + (int64_t)(strtod(argv[6], NULL) * 1e6);
    for (int i = 0; i < count; i++)
        if (pthread_create(&lanes[i].thread, NULL, run, &lanes[i]) != 0)
            return 1;
    for (int i = 0; i < count; i++)
        pthread_join(lanes[i].thread, NULL);
    print(lanes, count, cb_clock_monotonic_us() - began);
    for (int i = 0; i < count; i++) {
        cb_vcard_close(&lanes[i].card);
        cb_relay_close(&lanes[i].relay);
        cb_relay_tap_free(&lanes[i].tap);
        cb_buf_free(&lanes[i].answers);
        free(lanes[i].samples);
    }
    return 0;
}
