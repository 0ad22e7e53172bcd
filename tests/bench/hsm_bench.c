/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a sealed key costs against a key that rests in the token, in one run:
 *
 *   sealed    check the record (MAC), unwrap, use once, destroy: what a tap pays
 *   floor     the calls of PKCS#11 alone, through token.h: C_UnwrapKey, C_SignInit, C_Sign, C_DestroyObject
 *   resident  C_SignInit, C_Sign with a key that stays in the token; of a secret, C_GetAttributeValue
 *
 * and what the keyring's other operations cost. The ways take turns, so that all see the same
 * machine; the figures are the median and the 99th percentile, in microseconds. A table on standard
 * error, JSON on standard output.
 *
 *   build/tests/bench/hsm_bench [rounds]
 *
 * Or what so many processes do together, as hsmd's workers do: each with a login of its own at ONE
 * token. Uses of a sealed P-256 key a second, those of bare PKCS#11, by the same processes in turn
 * with the others, and the first over the second.
 *
 *   build/tests/bench/hsm_bench workers N [rounds]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "hsm/binding.h"
#include "hsm/key_sign.h"
#include "hsm/key_template.h"
#include "hsm/receipt.h"
#include "hsm/sealed_parts.h"
#include "hsm/token_parts.h"
#include "tests/support/softhsm.h"

#define MUST(call)                                                                                 \
    do {                                                                                           \
        cb_error failed = (call);                                                                  \
        if (failed) {                                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cb_error_code(failed));             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { ROUNDS_MAX = 10000, WAYS = 4 };
typedef enum way { OPENED, SEALED, FLOOR, RESIDENT } way;

static cb_keyring *keyring;
static int64_t spent[WAYS][ROUNDS_MAX];

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int64_t percentile(int64_t *values, unsigned count, unsigned percent)
{
    qsort(values, count, sizeof *values, ascending);
    return values[(count - 1) * percent / 100];
}

/* ---- One kind of key ---- */

typedef struct subject {
    uint8_t algorithm;
    uint8_t operation;
    cb_buf sealed;
    cb_sealed_info info;
    cb_bytes wrapped;
    CK_OBJECT_HANDLE kek, resident;
    cb_digest digest;
} subject;

/* As at a tap: the record was checked when the tap opened the key. With check: as if it had not
 * been. */
static void sealed_once(subject *s, bool check)
{
    cb_open_key key = {0};
    cb_buf out = CB_BUF(CB_USE_RESULT_MAX);
    bool release = s->operation == CB_USE_RELEASE;
    cb_bytes data = release ? (cb_bytes){0} : cb_digest_bytes(&s->digest);
    if (check)
        MUST(cb_sealed_open(keyring, cb_buf_bytes(&s->sealed), &key));
    else
        MUST(cb_sealed_open_believed(keyring, cb_buf_bytes(&s->sealed), &key));
    MUST(cb_open_key_use(keyring, &key, s->operation, CB_HASH_SHA256, data, &out));
    cb_open_key_close(keyring, &key);
    cb_buf_free(&out);
}

static void bare_use(subject *s, CK_OBJECT_HANDLE key)
{
    static const CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    cb_token *token = cb_keyring_token(keyring);
    cb_buf out = CB_BUF(CB_USE_RESULT_MAX);
    cb_bytes data = cb_digest_bytes(&s->digest);
    if (s->operation == CB_USE_RELEASE)
        MUST(cb_token_attribute(token, key, CKA_VALUE, &out));
    else if (s->operation == CB_USE_MAC)
        MUST(cb_token_sign(token, key, &hmac, &data, 1, &out));
    else
        MUST(cb_key_sign(token, key, s->algorithm, s->operation, CB_HASH_SHA256, data, &out));
    cb_buf_free(&out);
}

static CK_OBJECT_HANDLE bare_unwrap(subject *s)
{
    CK_OBJECT_HANDLE key;
    cb_key_template template;
    bool release = s->operation == CB_USE_RELEASE;
    cb_template_key(&template, s->algorithm, release ? CB_STATION_RELEASE : CB_STATION_USE, true);
    MUST(cb_token_unwrap(cb_keyring_token(keyring), &cb_key_wrap, s->kek, s->wrapped,
                         cb_template_of(&template), &key));
    return key;
}

static void floor_once(subject *s)
{
    CK_OBJECT_HANDLE key = bare_unwrap(s);
    bare_use(s, key);
    cb_token_destroy(cb_keyring_token(keyring), &key);
}

static void prepare(subject *s)
{
    size_t size;
    cb_bytes public_key;
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    s->sealed = CB_BUF(CB_SEALED_MAX);
    s->info = (cb_sealed_info){
        .holder = {{1}}, .service = "bench", .algorithm = s->algorithm, .uses = 1, .sequence = 1};
    s->digest = cb_sha256(cb_bytes_str("to be signed"));
    MUST(cb_sealed_generate(keyring, &s->info, (cb_bytes){0}, &s->sealed, &spki, NULL));
    MUST(cb_sealed_parts(keyring, cb_buf_bytes(&s->sealed), &s->info, &public_key, &s->wrapped));
    MUST(cb_secret_size(s->algorithm, &s->wrapped, &size));
    MUST(cb_keyring_kek(keyring, s->operation == CB_USE_RELEASE ? CB_KEK_RELEASE : CB_KEK_USE,
                        s->info.generation, &s->kek));
    s->resident = bare_unwrap(s);
    cb_buf_free(&spki);
}

static void measure(subject *s, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        int64_t first = cb_clock_monotonic_us();
        sealed_once(s, true);
        int64_t start = cb_clock_monotonic_us();
        sealed_once(s, false);
        int64_t second = cb_clock_monotonic_us();
        floor_once(s);
        int64_t third = cb_clock_monotonic_us();
        bare_use(s, s->resident);
        int64_t end = cb_clock_monotonic_us();
        spent[OPENED][i] = start - first;
        spent[SEALED][i] = second - start;
        spent[FLOOR][i] = third - second;
        spent[RESIDENT][i] = end - third;
    }
}

static void report(const char *name, unsigned rounds, bool first)
{
    int64_t middle[WAYS], late[WAYS];
    for (int i = 0; i < WAYS; i++) {
        middle[i] = percentile(spent[i], rounds, 50);
        late[i] = percentile(spent[i], rounds, 99);
    }
    double share = (double)middle[FLOOR] / (double)middle[SEALED];
    fprintf(stderr, "%-16s %8lld %8lld %8lld %8lld %8lld %8.1f %%\n", name,
            (long long)middle[OPENED], (long long)middle[SEALED], (long long)late[SEALED],
            (long long)middle[FLOOR], (long long)middle[RESIDENT], 100 * share);
    printf(
        "%s\n  "
        "{\"key\":\"%s\",\"checked_us\":%lld,\"sealed_us\":%lld,\"sealed_p99_us\":%lld,\"floor_"
        "us\":%lld,"
        "\"floor_p99_us\":%lld,\"resident_us\":%lld,\"resident_p99_us\":%lld,\"floor_share\":%.3f}",
        first ? "" : ",", name, (long long)middle[OPENED], (long long)middle[SEALED],
        (long long)late[SEALED], (long long)middle[FLOOR], (long long)late[FLOOR],
        (long long)middle[RESIDENT], (long long)late[RESIDENT], share);
}

static void measure_keys(unsigned rounds)
{
    static const struct {
        const char *name;
        uint8_t algorithm, operation;
    } kinds[] = {{"ec-p256", CB_KEY_EC_P256, CB_USE_SIGN_DIGEST},
                 {"ec-p384", CB_KEY_EC_P384, CB_USE_SIGN_DIGEST},
                 {"rsa-2048", CB_KEY_RSA_2048, CB_USE_SIGN_DIGEST},
                 {"rsa-2048 pss", CB_KEY_RSA_2048, CB_USE_SIGN_PSS},
                 {"rsa-3072", CB_KEY_RSA_3072, CB_USE_SIGN_DIGEST},
                 {"hmac-sha256", CB_KEY_HMAC_SHA256, CB_USE_MAC},
                 {"secret", CB_KEY_SECRET, CB_USE_RELEASE}};
    fprintf(stderr, "%-16s %8s %8s %8s %8s %8s %10s\n", "µs", "checked", "sealed", "p99", "floor",
            "resident", "floor/sealed");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        subject s = {.algorithm = kinds[i].algorithm, .operation = kinds[i].operation};
        prepare(&s);
        measure(&s, rounds);
        report(kinds[i].name, rounds, i == 0);
        cb_token_destroy(cb_keyring_token(keyring), &s.resident);
        cb_buf_free(&s.sealed);
    }
}

/* ---- The keyring ---- */

static void do_mac(void)
{
    cb_digest mac;
    cb_bytes part = cb_bytes_str("two hundred bytes or so would be a record");
    MUST(cb_keyring_mac(keyring, CB_MAC_MEMORY, &part, 1, &mac));
}

static void do_sign(void)
{
    static const cb_digest digest = {{1}};
    uint8_t signature[CB_P256_SIGNATURE];
    MUST(cb_keyring_sign(keyring, CB_OWN_LOG, &digest, signature));
}

static void do_agree(void)
{
    static uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    uint8_t shared[CB_P256_SCALAR];
    if (point[0] == 0)
        MUST(cb_p256_generate(scalar, point));
    MUST(cb_keyring_host_agree(keyring, point, shared));
}

static void do_receipt(void)
{
    static const cb_receipt_info info = {.counter = 1};
    cb_buf blob = CB_BUF(CB_RECEIPT_MAX);
    MUST(cb_receipt_make(keyring, &info, &blob));
    cb_buf_free(&blob);
}

static void do_generate(void)
{
    cb_sealed_info info = {
        .holder = {{1}}, .service = "bench", .algorithm = CB_KEY_EC_P256, .uses = 1};
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    MUST(cb_sealed_generate(keyring, &info, (cb_bytes){0}, &sealed, &spki, NULL));
    cb_buf_free(&sealed);
    cb_buf_free(&spki);
}

static void measure_keyring(unsigned rounds)
{
    static const struct {
        const char *name;
        void (*act)(void);
    } acts[] = {{"mac", do_mac},
                {"sign p-256", do_sign},
                {"agree", do_agree},
                {"receipt", do_receipt},
                {"generate p-256", do_generate}};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        for (unsigned n = 0; n < rounds; n++) {
            int64_t start = cb_clock_monotonic_us();
            acts[i].act();
            spent[0][n] = cb_clock_monotonic_us() - start;
        }
        int64_t middle = percentile(spent[0], rounds, 50), late = percentile(spent[0], rounds, 99);
        fprintf(stderr, "%-16s %8lld %8lld\n", acts[i].name, (long long)middle, (long long)late);
        printf("%s\n  {\"operation\":\"%s\",\"us\":%lld,\"p99_us\":%lld}", i ? "," : "",
               acts[i].name, (long long)middle, (long long)late);
    }
}

/* ---- Workers ---- */

enum { WORKERS_MAX = 64, TURNS = 10 };
enum { DO_SEALED = 's', DO_BARE = 'b' };

static softhsm hsm;
static int wires[WORKERS_MAX]; /* a byte says what to do, one comes back when it is done */

/* A process of its own, until nobody asks any more. */
static void work(int wire, unsigned uses)
{
    char asked;
    subject s = {.algorithm = CB_KEY_EC_P256, .operation = CB_USE_SIGN_DIGEST};
    keyring = softhsm_open(&hsm);
    prepare(&s);
    while (write(wire, "", 1) == 1 && read(wire, &asked, 1) == 1)
        for (unsigned i = 0; i < uses; i++) {
            if (asked == DO_SEALED)
                sealed_once(&s, false);
            else
                floor_once(&s);
        }
    cb_token_destroy(cb_keyring_token(keyring), &s.resident);
    cb_buf_free(&s.sealed);
    cb_keyring_close(&keyring);
    exit(0);
}

static bool start_workers(unsigned count, unsigned uses)
{
    for (unsigned i = 0; i < count; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
            return false;
        wires[i] = ends[0];
        pid_t pid = fork();
        if (pid < 0)
            return false;
        if (pid == 0) {
            for (unsigned n = 0; n <= i; n++)
                close(wires[n]); /* so that each hears when this program ends */
            work(ends[1], uses);
        }
        close(ends[1]);
    }
    return true;
}

static bool all_done(unsigned count)
{
    char done;
    for (unsigned i = 0; i < count; i++)
        if (read(wires[i], &done, 1) != 1)
            return false;
    return true;
}

static bool all_do(unsigned count, char what, int64_t *took)
{
    int64_t began = cb_clock_monotonic_us();
    for (unsigned i = 0; i < count; i++)
        if (write(wires[i], &what, 1) != 1)
            return false;
    bool done = all_done(count);
    *took += cb_clock_monotonic_us() - began;
    return done;
}

static bool take_turns(unsigned count, int64_t *sealed, int64_t *bare)
{
    int64_t warm = 0;
    bool good = all_done(count) && all_do(count, DO_SEALED, &warm) && all_do(count, DO_BARE, &warm);
    for (int i = 0; good && i < TURNS; i++)
        good = all_do(count, DO_SEALED, sealed) && all_do(count, DO_BARE, bare);
    return good;
}

static bool measure_workers(unsigned count, unsigned rounds)
{
    unsigned uses = rounds / TURNS > 0 ? rounds / TURNS : 1;
    int64_t sealed = 0, bare = 0;
    signal(SIGPIPE, SIG_IGN);
    bool good = start_workers(count, uses) && take_turns(count, &sealed, &bare);
    for (unsigned i = 0; i < count && wires[i] > 0; i++)
        close(wires[i]);
    for (unsigned i = 0; i < count; i++)
        wait(NULL);
    if (!good || sealed <= 0 || bare <= 0) {
        fprintf(stderr, "hsm_bench: a worker ended\n");
        return false;
    }
    double all = 1e6 * TURNS * uses * count, a_second = all / (double)sealed,
           bare_a_second = all / (double)bare;
    fprintf(stderr, "%u workers, one token: %.0f sealed, %.0f bare uses a second, %.1f %%\n", count,
            a_second, bare_a_second, 100 * a_second / bare_a_second);
    printf("{\"workers\":%u,\"uses\":%u,\"sealed_per_second\":%.1f,\"bare_per_second\":%.1f,"
           "\"sealed_over_bare\":%.3f}\n",
           count, TURNS * uses * count, a_second, bare_a_second, a_second / bare_a_second);
    return true;
}

/* ---- */

static void measure_all(unsigned rounds)
{
    keyring = softhsm_open(&hsm);
    printf("{\"rounds\":%u,\"keys\":[", rounds);
    measure_keys(rounds);
    printf("],\n\"keyring\":[");
    measure_keyring(rounds);
    printf("]}\n");
    cb_keyring_close(&keyring);
}

int main(int argc, char **argv)
{
    bool together = argc > 1 && strcmp(argv[1], "workers") == 0, good = true;
    int at = together ? 3 : 1;
    long workers = together && argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    long rounds = argc > at ? strtol(argv[at], NULL, 10) : 500;
    if (rounds < 1 || rounds > ROUNDS_MAX || (together && (workers < 1 || workers > WORKERS_MAX))) {
        fprintf(stderr,
                "usage: hsm_bench [rounds, 1 to %d] | hsm_bench workers N [rounds]; N is 1 to %d\n",
                ROUNDS_MAX, WORKERS_MAX);
        return 2;
    }
    softhsm_make(&hsm);
    if (together)
        good = measure_workers((unsigned)workers, (unsigned)rounds);
    else
        measure_all((unsigned)rounds);
    softhsm_remove(&hsm);
    return good ? 0 : 1;
}
