/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whole taps, by as many cards at a time as are named, each in a thread with its own connection:
 *
 *   tap_bench [-p PROFILE] [-n PIN] [-a LANES] BROKER CA CERTIFICATE KEY SERVICE SECONDS
 *             [PROFILE[,PIN]=]CARD-STATE...
 *
 * With -a only so many tap at a time, and each tap is of a card drawn at random from those that
 * nobody else has just then.
 *
 * The cards are of a profile (native, unless another is named, for all or for one) and are played
 * in the process, so that no reader is measured. Of the profile "password" there is no card: names
 * are given in the place of CARD-STATE, and what is derived from -n's password is timed apart
 * ("derive"). One line of JSON: taps, taps a second, failures by code, what the
 * card of a tap was told, said and did (card_count.h), the exchanges with the broker, the median of
 * each profile's taps where there are several ("by_profile"), and in microseconds the median and
 * 99th percentile of
 *
 *   server   the sum over the three exchanges from request sent to answer read: all but the card
 *   begin, challenge, proof   each of them
 *   card     what the card computed meanwhile; of a password what the terminal did in its place
 *   derive   of that the key from the password, by Argon2id
 *
 * "generator" is the CPU of this process for a tap. Nothing is prefetched: a terminal would have
 * the first script before the card comes.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "card_count.h"
#include "cardlink/native/pin.h"
#include "cardlink/password/password.h"
#include "cardlink/terminal/play.h"
#include "cardlink/terminal/relay.h"

enum { CARDS_MAX = 256, SAMPLES_MAX = 1 << 16, PARTS = 6 };
enum { SERVER, BEGIN, CHALLENGE, PROOF, CARD, DERIVE };
static const char *const part_names[PARTS] = {"server", "begin", "challenge",
                                              "proof",  "card",  "derive"};

/* A card, or who has a password. */
typedef struct player {
    const cb_card_profile *profile;
    cb_bytes digits; /* the PIN or password; none: empty */
    cb_vcard *card;  /* NULL: a password is used */
    cb_soft_password soft;
    bool taps; /* just now */
} player;

typedef struct lane {
    pthread_t thread;
    player *player; /* whose turn it is */
    cb_relay *relay;
    cb_relay_tap tap;
    cb_buf answers;
    int64_t *samples; /* PARTS each */
    uint8_t *whose;   /* of each of them: the player */
    unsigned taps, failures;
    cb_error last_failure;
    card_count tap_count, count; /* of this tap; of all that were accepted */
    unsigned tap_exchanges, exchanges;
} lane;

static cb_relay_settings settings;
static const cb_card_profile *profile = &cb_profile_native; /* of those of whom none is said */
static const char *service;
static cb_bytes digits;
static int64_t end_at;
static player players[CARDS_MAX];
static int player_count, drawing; /* lanes that draw; 0: each player has a lane */
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;

static bool by_password(const player *p) { return p->profile == &cb_profile_password; }

/* How long this thread has derived keys from passwords. Calls from other files come here
 * (card_count.c). */
static _Thread_local int64_t deriving;

cb_error __real_cb_password_key(cb_bytes password, const uint8_t salt[CB_PASSWORD_SALT],
                                const cb_id *id, uint8_t scalar[CB_P256_SCALAR]);
cb_error __wrap_cb_password_key(cb_bytes password, const uint8_t salt[CB_PASSWORD_SALT],
                                const cb_id *id, uint8_t scalar[CB_P256_SCALAR]);
cb_error __wrap_cb_password_key(cb_bytes password, const uint8_t salt[CB_PASSWORD_SALT],
                                const cb_id *id, uint8_t scalar[CB_P256_SCALAR])
{
    int64_t began = cb_clock_monotonic_us();
    cb_error error = __real_cb_password_key(password, salt, id, scalar);
    deriving += cb_clock_monotonic_us() - began;
    return error;
}

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    lane *l = card;
    if (by_password(l->player))
        return cb_soft_password_transmit(&l->player->soft, command, answer);
    return card_count_process(l->player->card, command, answer, &l->tap_count);
}

/* Plays the tap's script; what the card took is added. */
static cb_error play(lane *l, int64_t *card)
{
    cb_script script;
    player *p = l->player;
    const bool clear = p->profile != &cb_profile_native && !by_password(p);
    p->soft.context.tap = l->tap.id;
    const cb_card_io io = {
        .card = l, .transmit = transmit, .pin = clear ? p->digits : (cb_bytes){0}};
    int64_t began = cb_clock_monotonic_us();
    cb_buf_reset(&l->answers);
    cb_error error = cb_script_read(cb_buf_bytes(&l->tap.script), CB_COMMAND_MAX, &script);
    if (!error)
        error = cb_play(&io, &script, &l->answers);
    *card += cb_clock_monotonic_us() - began;
    return error;
}

/* The PIN as a card of the native profile takes it. */
static cb_error encrypt_pin(const lane *l, cb_buf *pin)
{
    cb_script answers;
    uint8_t point[CB_P256_POINT];
    if (l->player->digits.len == 0 || l->player->profile != &cb_profile_native)
        return CB_OK;
    cb_error error = cb_script_read(cb_buf_bytes(&l->answers), CB_ANSWER_MAX, &answers);
    if (!error)
        error = cb_pin_card_key(&answers, point);
    return error ? error
                 : cb_pin_encrypt(CB_PIN_FORM_VERIFY, l->player->digits, (cb_bytes){0}, point, pin);
}

static cb_error challenge(lane *l, int64_t *spent)
{
    cb_problem problem;
    cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_error error = encrypt_pin(l, &pin);
    const cb_relay_question question = {
        .purpose = CB_TAP_AUTHENTICATE, .service = service, .text = "", .pin = cb_buf_bytes(&pin)};
    int64_t at = cb_clock_monotonic_us();
    l->tap_exchanges++;
    if (!error)
        error =
            cb_relay_challenge(l->relay, &l->tap, &question, cb_buf_bytes(&l->answers), &problem);
    *spent = cb_clock_monotonic_us() - at;
    cb_buf_free(&pin);
    return error;
}

static cb_error tap(lane *l, int64_t spent[PARTS])
{
    cb_problem problem;
    json_t *result = NULL;
    if (l->player->card)
        cb_vcard_reset(l->player->card);
    deriving = 0;
    int64_t at = cb_clock_monotonic_us();
    l->tap_exchanges++;
    cb_error error = cb_relay_begin(l->relay, l->player->profile, &l->tap, &problem);
    spent[BEGIN] = cb_clock_monotonic_us() - at;
    if (!error)
        error = play(l, &spent[CARD]);
    if (!error)
        error = challenge(l, &spent[CHALLENGE]);
    if (!error)
        error = play(l, &spent[CARD]);
    at = cb_clock_monotonic_us();
    if (!error) {
        l->tap_exchanges++;
        error = cb_relay_proof(l->relay, &l->tap, cb_buf_bytes(&l->answers), &result, &problem);
    }
    spent[PROOF] = cb_clock_monotonic_us() - at;
    spent[SERVER] = spent[BEGIN] + spent[CHALLENGE] + spent[PROOF];
    spent[DERIVE] = deriving;
    json_decref(result);
    return error;
}

/* There are no more lanes than players: somebody is always free. */
static void take_one(lane *l)
{
    if (drawing == 0)
        return;
    uint32_t drawn;
    pthread_mutex_lock(&table);
    do {
        cb_random(&drawn, sizeof drawn);
        l->player = &players[drawn % (unsigned)player_count];
    } while (l->player->taps);
    l->player->taps = true;
    pthread_mutex_unlock(&table);
}

static void put_back(lane *l)
{
    pthread_mutex_lock(&table);
    l->player->taps = false;
    pthread_mutex_unlock(&table);
}

static void *run(void *context)
{
    lane *l = context;
    while (cb_clock_monotonic_us() < end_at && l->taps < SAMPLES_MAX) {
        int64_t *spent = &l->samples[(size_t)l->taps * PARTS];
        memset(spent, 0, PARTS * sizeof *spent);
        l->tap_count = (card_count){0};
        l->tap_exchanges = 0;
        take_one(l);
        l->whose[l->taps] = (uint8_t)(l->player - players);
        cb_error error = tap(l, spent);
        put_back(l);
        if (error) {
            l->failures++;
            l->last_failure = error;
        } else {
            l->taps++;
            l->exchanges += l->tap_exchanges;
            card_count_add(&l->count, &l->tap_count);
        }
    }
    return NULL;
}

/* Whoever has that name; service is known by now. */
static cb_error open_password(player *p, const char *name)
{
    char usual[CB_PASSWORD_NAME_MAX + 1];
    cb_error error = cb_password_name(name, usual);
    if (error || strlen(service) > CB_SERVICE_NAME_MAX)
        return CB_E_ARGUMENT;
    p->soft = (cb_soft_password){
        .id = cb_password_id(usual),
        .password = p->digits,
        .context = {.profile = CB_PROFILE_PASSWORD, .purpose = CB_TAP_AUTHENTICATE}};
    memcpy(p->soft.context.service, service, strlen(service));
    return CB_OK;
}

/* "PROFILE=" or "PROFILE,PIN=" before a card's file; what else has such a sign is the file's name.
 */
static char *own_profile(player *p, char *card)
{
    char name[32];
    size_t whole = strcspn(card, "="), len = strcspn(card, ",=");
    if (!card[whole] || len >= sizeof name)
        return card;
    memcpy(name, card, len);
    name[len] = 0;
    const cb_card_profile *own = cb_profile_named(name);
    if (!own)
        return card;
    p->profile = own;
    p->digits = len < whole ? cb_bytes_make(card + len + 1, whole - len - 1) : (cb_bytes){0};
    return card + whole + 1;
}

static bool open_player(player *p, char *card)
{
    *p = (player){.profile = profile, .digits = digits};
    card = own_profile(p, card);
    return (by_password(p) ? open_password(p, card) : cb_vcard_open(card, &p->card)) == CB_OK;
}

static bool prepare(lane *l, player *p)
{
    l->player = p;
    l->answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_relay_tap_init(&l->tap);
    l->samples = calloc((size_t)SAMPLES_MAX * PARTS, sizeof *l->samples);
    l->whose = calloc(SAMPLES_MAX, sizeof *l->whose);
    return l->samples && l->whose && cb_relay_open(&settings, &l->relay) == CB_OK;
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

/* The server's share of each profile's taps, where there are several. */
static void print_profile(const lane *lanes, int count, unsigned taps, const cb_card_profile *which,
                          bool first)
{
    int64_t *all = calloc(taps + 1, sizeof *all);
    unsigned n = 0;
    for (int i = 0; all && i < count; i++)
        for (unsigned t = 0; t < lanes[i].taps; t++)
            if (players[lanes[i].whose[t]].profile == which)
                all[n++] = lanes[i].samples[(size_t)t * PARTS + SERVER];
    if (all)
        qsort(all, n, sizeof *all, ascending);
    printf("%s\"%s\":{\"taps\":%u,\"server_p50\":%lld}", first ? "" : ",", which->name, n,
           all ? (long long)all[n / 2] : 0);
    free(all);
}

static void print_profiles(const lane *lanes, int count, unsigned taps)
{
    bool first = true;
    printf(",\"by_profile\":{");
    for (int i = 0; i < player_count; i++) {
        bool known = false;
        for (int j = 0; j < i; j++)
            known = known || players[j].profile == players[i].profile;
        if (known)
            continue;
        print_profile(lanes, count, taps, players[i].profile, first);
        first = false;
    }
    printf("}");
}

/* Of a tap, on average: answers have more or fewer bytes, for signatures in DER have. */
static void print_card(const lane *lanes, int count, double taps)
{
    card_count all = {0};
    unsigned exchanges = 0;
    for (int i = 0; i < count; i++) {
        card_count_add(&all, &lanes[i].count);
        exchanges += lanes[i].exchanges;
    }
    printf(",\"exchanges\":%.2f,\"apdus\":%.2f,\"to_card\":%.1f,\"to_host\":%.1f,"
           "\"blocks\":%.2f,\"operations\":{",
           exchanges / taps, (double)all.apdus / taps, (double)all.to_card / taps,
           (double)all.to_host / taps, (double)all.blocks / taps);
    for (int i = 0; i < CARD_OPERATIONS; i++)
        printf("%s\"%s\":%.2f", i > 0 ? "," : "", card_operation_names[i],
               (double)all.operations[i] / taps);
    printf("}");
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
    printf("{\"cards\":%d,\"at_a_time\":%d,\"taps\":%u,\"seconds\":%.3f,\"taps_per_second\":%.1f,"
           "\"failures\":%u,"
           "\"failure\":\"%s\","
           "\"generator_us\":%.0f",
           player_count, count, taps, (double)took / 1e6, taps / ((double)took / 1e6), failures,
           last ? cb_error_code(last) : "", taps ? cpu / taps : 0);
    for (int part = 0; part < (by_password(&players[0]) ? PARTS : DERIVE); part++)
        print_part(lanes, count, taps, part);
    print_profiles(lanes, count, taps);
    if (taps > 0)
        print_card(lanes, count, taps);
    printf("}\n");
}

/* Where the arguments begin that are no options; 0: wrong ones. */
static int read_options(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "p:n:a:")) != -1;) {
        if (option == 'p')
            profile = cb_profile_named(optarg);
        else if (option == 'n')
            digits = cb_bytes_make(optarg, strlen(optarg));
        else if (option == 'a')
            drawing = atoi(optarg);
        else
            return 0;
    }
    return profile ? optind : 0;
}

static bool run_all(lane *lanes, int count, double seconds)
{
    int64_t began = cb_clock_monotonic_us();
    end_at = began + (int64_t)(seconds * 1e6);
    for (int i = 0; i < count; i++)
        if (pthread_create(&lanes[i].thread, NULL, run, &lanes[i]) != 0)
            return false;
    for (int i = 0; i < count; i++)
        pthread_join(lanes[i].thread, NULL);
    print(lanes, count, cb_clock_monotonic_us() - began);
    return true;
}

static bool prepare_all(lane *lanes, int count, char **cards)
{
    bool ready = cb_relay_init() == CB_OK;
    for (int i = 0; ready && i < player_count; i++)
        ready = open_player(&players[i], cards[i]);
    for (int i = 0; ready && i < count; i++)
        ready = prepare(&lanes[i], &players[i]);
    return ready;
}

static void close_all(lane *lanes, int count)
{
    for (int i = 0; i < count; i++) {
        cb_relay_close(&lanes[i].relay);
        cb_relay_tap_free(&lanes[i].tap);
        cb_buf_free(&lanes[i].answers);
        free(lanes[i].samples);
        free(lanes[i].whose);
    }
    for (int i = 0; i < player_count; i++)
        cb_vcard_close(&players[i].card);
}

int main(int argc, char **argv)
{
    static lane lanes[CARDS_MAX];
    int at = read_options(argc, argv);
    player_count = argc - at - 6;
    if (at == 0 || player_count < 1 || player_count > CARDS_MAX || drawing < 0 ||
        drawing > player_count) {
        fprintf(stderr, "usage: tap_bench [-p PROFILE] [-n PIN] [-a LANES] BROKER CA CERTIFICATE "
                        "KEY SERVICE SECONDS [PROFILE[,PIN]=]CARD-STATE...\n");
        return 2;
    }
    argv += at;
    settings = (cb_relay_settings){.broker = argv[0],
                                   .ca = argv[1],
                                   .certificate = argv[2],
                                   .key = argv[3],
                                   .timeout = 60 * CB_SECOND};
    service = argv[4];
    cb_log_init("tap_bench", CB_LOG_ERROR);
    int count = drawing > 0 ? drawing : player_count;
    if (!prepare_all(lanes, count, argv + 6)) {
        fprintf(stderr, "tap_bench: a card or the connection could not be opened\n");
        return 1;
    }
    if (!run_all(lanes, count, strtod(argv[5], NULL)))
        return 1;
    close_all(lanes, count);
    return 0;
}
