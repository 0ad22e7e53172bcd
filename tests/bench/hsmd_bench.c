/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a tap costs in hsmd: time of each call as the front end sees it, and processor time of the
 * workers per tap.
 *
 *   CB_HSMD=build/hsm/cardbroker-hsmd build/tests/bench/hsmd_bench [TAPS]
 *
 * Or the same by the number of cards that hsmd remembers as bound, 10^3, 10^4 ... MOST; as JSON.
 * There a binding is measured, too: with its memory in the page cache, and right after that was
 * thrown out of it ("cold").
 *
 *   hsmd_bench bound MOST [TAPS]
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/secret.h"
#include "front.h"
#include "hsm/bound.h"
#include "hsmd_support.h"

#define MUST(call)                                                                                 \
    do {                                                                                           \
        cb_error failed = (call);                                                                  \
        if (failed) {                                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cb_error_code(failed));             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { STEPS = 7, TAPS_MAX = 20000, WARMING = 50 };
enum { WORKERS = 3, USE_WORKER = 0, LOG_WORKER = 1, MANAGE_WORKER = 2 };
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
    MUST(cb_hsm_tap_challenge(f->hsm, &tap.context, cb_buf_bytes(&answers), (cb_bytes){0},
                              (cb_bytes){0}, &script));
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
    pid_t use = hsmd_worker_pid(h, USE_WORKER), log = hsmd_worker_pid(h, LOG_WORKER);
    for (unsigned i = 0; i < WARMING; i++)
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

/* ---- By the number of cards that are bound ---- */

/* While the memory is filled: each of its entries would wait for the disk. hsmd's own do. */
static bool unsynced;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd) { return unsynced ? 0 : __real_fdatasync(fd); }

static int open_memory(const hsmd *h, char path[128])
{
    snprintf(path, 128, "%s/state/bound-cards", h->folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    MUST(fd >= 0 ? CB_OK : CB_E_IO);
    return fd;
}

/* As hsmd enters them, beside it: it takes turns with whoever else writes. */
static void fill(const hsmd *h, unsigned long cards)
{
    char path[128];
    cb_memo *bound;
    int fd = open_memory(h, path);
    MUST(cb_memo_open(path, &bound));
    unsynced = true;
    for (unsigned long i = 0; i < cards; i++) {
        cb_binding_info info = {.card = cb_id_new(),
                                .holder = cb_id_new(),
                                .profile = CB_PROFILE_NATIVE,
                                .level = CB_LEVEL_PIN,
                                .sequence = 1,
                                .keys = {.count = 1}};
        cb_card_key *key = &info.keys.key[0];
        *key = (cb_card_key){.kind = CB_CARD_KEY_P256, .len = CB_P256_POINT};
        cb_random(key->data, key->len);
        MUST(cb_bound_take(bound, &info));
    }
    unsynced = false;
    MUST(fsync(fd) == 0 ? CB_OK : CB_E_IO);
    cb_memo_close(&bound);
    close(fd);
}

/* Out of the page cache; what is not on the disk yet would stay. */
static void throw_out(const hsmd *h)
{
    char path[128];
    int fd = open_memory(h, path);
    MUST(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 ? CB_OK : CB_E_IO);
    close(fd);
}

static double memory_mb(const hsmd *h)
{
    char path[128];
    struct stat file = {0};
    int fd = open_memory(h, path);
    fstat(fd, &file);
    close(fd);
    return (double)file.st_blocks * 512 / 1e6; /* there are holes in it */
}

static double resident_mb(const hsmd *h)
{
    long pages = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        char path[64];
        long its = 0;
        snprintf(path, sizeof path, "/proc/%d/statm", (int)hsmd_worker_pid(h, i));
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%*d %ld", &its) == 1)
            pages += its;
        if (file)
            fclose(file);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

typedef struct times {
    int64_t p50, p99, cpu;
} times;

static times times_of(int64_t *each, unsigned count, int64_t cpu)
{
    qsort(each, count, sizeof *each, by_value);
    return (times){each[count / 2], each[count * 99 / 100], cpu / count};
}

static times measure_taps(const hsmd *h, front *f, const front_key *key, unsigned taps)
{
    static int64_t whole[TAPS_MAX];
    pid_t use = hsmd_worker_pid(h, USE_WORKER), log = hsmd_worker_pid(h, LOG_WORKER);
    for (unsigned i = 0; i < WARMING; i++)
        one_tap(f, key, i);
    int64_t cpu = cpu_of(use) + cpu_of(log);
    for (unsigned i = 0; i < taps; i++)
        one_tap(f, key, i);
    cpu = cpu_of(use) + cpu_of(log) - cpu;
    for (unsigned i = 0; i < taps; i++) {
        whole[i] = 0;
        for (unsigned s = 0; s < STEPS; s++)
            whole[i] += spent[s][i];
    }
    return times_of(whole, taps, cpu);
}

/* Cards that nobody has bound before. One key does for all: it is their number that is measured. */
static times measure_bindings(const hsmd *h, front *f, unsigned count)
{
    static int64_t each[TAPS_MAX];
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf certificate = CB_BUF(CB_CVC_MAX), binding = CB_BUF(CB_BINDING_MAX);
    pid_t manage = hsmd_worker_pid(h, MANAGE_WORKER);
    MUST(cb_p256_generate(scalar, point));
    int64_t cpu = cpu_of(manage);
    for (unsigned i = 0; i < count; i++) {
        cb_id card = cb_id_new(), holder = cb_id_new();
        cb_buf_reset(&certificate);
        cb_buf_reset(&binding);
        MUST(cb_issue_certificate(&f->w->cards, cb_id_bytes(&card), CB_CVC_CARD_PROOF,
                                  CB_BYTES_OF(point), cb_issue_days_from_today(5), &certificate));
        int64_t at = cb_clock_monotonic_us();
        MUST(cb_hsm_bind(f->hsm, cb_buf_bytes(&certificate), &holder, CB_LEVEL_PIN, 1, &binding));
        each[i] = lap(&at);
    }
    cpu = cpu_of(manage) - cpu;
    cb_buf_free(&certificate);
    cb_buf_free(&binding);
    return times_of(each, count, cpu);
}

static void print_times(const char *name, times t)
{
    printf(", \"%s_p50\": %lld, \"%s_p99\": %lld, \"%s_cpu_us\": %lld", name, (long long)t.p50,
           name, (long long)t.p99, name, (long long)t.cpu);
}

static void measure_bound(const hsmd *h, front *f, const front_key *key, unsigned long most,
                          unsigned taps)
{
    unsigned long bound = 1; /* the front end's own card */
    printf("[\n");
    for (unsigned long cards = 1000; cards <= most; cards *= 10) {
        fill(h, cards - bound);
        bound = cards;
        times tap = measure_taps(h, f, key, taps);
        measure_bindings(h, f, WARMING);
        times bind = measure_bindings(h, f, taps);
        throw_out(h);
        times cold = measure_bindings(h, f, taps);
        bound += WARMING + 2 * taps;
        printf("%s  {\"cards\": %lu, \"memory_mb\": %.1f, \"resident_mb\": %.1f",
               cards > 1000 ? ",\n" : "", cards, memory_mb(h), resident_mb(h));
        print_times("tap", tap);
        print_times("bind", bind);
        print_times("cold", cold);
        printf("}");
        fflush(stdout);
    }
    printf("\n]\n");
}

/* ---- */

/* How many cards at most, 0: taps alone, and how many taps. False: wrong arguments. */
static bool read_arguments(int argc, char **argv, unsigned long *most, unsigned *taps)
{
    bool bound = argc > 1 && strcmp(argv[1], "bound") == 0;
    int at = bound ? 3 : 1;
    *most = bound && argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    *taps = argc > at ? (unsigned)strtoul(argv[at], NULL, 10) : bound ? 400 : 500;
    /* What a step binds beside what it fills in must stay below the next. */
    return *taps > 0 && *taps <= (bound ? 4000 : TAPS_MAX) &&
           (!bound || (*most >= 1000 && *most <= 100000000));
}

int main(int argc, char **argv)
{
    static world w;
    static hsmd h;
    front f;
    front_key key;
    cb_hsm *hsm;
    unsigned long most;
    unsigned taps;
    const char *program = getenv("CB_HSMD");
    if (!read_arguments(argc, argv, &most, &taps)) {
        fprintf(stderr, "usage: hsmd_bench [TAPS] | hsmd_bench bound MOST [TAPS]\n");
        return 2;
    }
    if (!program || !hsmd_make(&h, program, "workers = 1\n"))
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
    if (most > 0)
        measure_bound(&h, &f, &key, most, taps);
    else
        measure(&h, &f, &key, taps);
    front_key_free(&key);
    front_free(&f);
    cb_hsm_close(&hsm);
    world_free(&w);
    return hsmd_end(&h) ? 0 : 1;
}
