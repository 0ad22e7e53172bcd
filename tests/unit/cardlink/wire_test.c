/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that changes what it relays, enumerated: every byte of every message of every kind of
 * tap, and every message of one tap in place of another's. What it does is refused with a code that
 * says so, or is without meaning; never does the broker hear something else than the card said, and
 * never does the card lose more than an honest tap would cost it.
 */
#include "meddle.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "cardlink/card/native/application.h"

enum { SCRIPTS = 2, COMMANDS_MAX = 5 };

/* A kind of tap, and what an honest one reports and leaves. */
typedef struct kind {
    const char *name;
    uint8_t purpose;
    typed pin;
    uint8_t pin_state, tries_left;
    uint16_t failures;
    size_t commands[SCRIPTS];
    cb_error honest;          /* what comes of it when nobody disturbs it */
    uint32_t today, last_day; /* of the card; 0: as it was made */
    bool linked;              /* the broker moves the card to its authority's next key */
} kind;

#define PIN(secret) .pin = {secret, NULL}
#define FRESH_PIN(secret) .pin = {secret, "777777"}
static const kind kinds[] = {
    {.name = "possession",
     .purpose = CB_TAP_AUTHENTICATE,
     .pin_state = CB_PIN_NOT_PRESENTED,
     .tries_left = 3,
     .commands = {4, 3}},
    {.name = "right PIN",
     .purpose = CB_TAP_AUTHENTICATE,
     PIN(WORLD_PIN),
     .pin_state = CB_PIN_VERIFIED,
     .tries_left = 3,
     .commands = {4, 4}},
    {.name = "wrong PIN",
     .purpose = CB_TAP_AUTHENTICATE,
     PIN("0000"),
     .pin_state = CB_PIN_WRONG,
     .tries_left = 2,
     .failures = 1,
     .commands = {4, 4}},
    {.name = "change",
     .purpose = CB_TAP_PIN_CHANGE,
     FRESH_PIN(WORLD_PIN),
     .pin_state = CB_PIN_VERIFIED,
     .tries_left = 3,
     .commands = {4, 4}},
    {.name = "unblocking",
     .purpose = CB_TAP_PIN_UNBLOCK,
     FRESH_PIN(WORLD_CODE),
     .pin_state = CB_PIN_VERIFIED,
     .tries_left = 10,
     .commands = {4, 4}},
    {.name = "wrong code",
     .purpose = CB_TAP_PIN_UNBLOCK,
     FRESH_PIN("00000000"),
     .pin_state = CB_PIN_WRONG,
     .tries_left = 9,
     .failures = 1,
     .commands = {4, 4}},
    {.name = "reset at a desk",
     .purpose = CB_TAP_PIN_RESET,
     FRESH_PIN(""),
     .pin_state = CB_PIN_VERIFIED,
     .tries_left = 3,
     .commands = {4, 4}},
    {.name = "the card's end",
     .purpose = CB_TAP_CARD_END,
     .pin_state = CB_PIN_NOT_PRESENTED,
     .tries_left = 3,
     .commands = {4, 3}},
    {.name = "a date after the card's last day",
     .purpose = CB_TAP_AUTHENTICATE,
     PIN(WORLD_PIN),
     .commands = {4, 2},
     .honest = CB_E_CARD_EXPIRED,
     .today = 0x20260101,
     .last_day = 0x20260115},
};
enum { KINDS = sizeof kinds / sizeof kinds[0], RIGHT_PIN = 1, OTHERS = 6 };

static const kind linked = {.name = "a link to the next key",
                            .purpose = CB_TAP_AUTHENTICATE,
                            PIN(WORLD_PIN),
                            .pin_state = CB_PIN_VERIFIED,
                            .tries_left = 3,
                            .commands = {5, 4},
                            .linked = true};

/* What the terminal does with a message before it passes it on. */
typedef void (*terminal)(void *context, place at, cb_buf *message);

/* A broker of one generation; or also of the next, to which it moves cards. */
typedef struct brokers {
    world w; /* first */
    world_next next;
    bool moves;
} brokers;

static int make(void **state, bool moves)
{
    brokers *b = calloc(1, sizeof *b);
    assert_non_null(b);
    world_make(&b->w, false);
    b->moves = moves;
    if (moves)
        world_next_make(&b->next, &b->w);
    *state = b;
    return 0;
}

static int setup(void **state) { return make(state, false); }
static int setup_next(void **state) { return make(state, true); }

static int teardown(void **state)
{
    brokers *b = *state;
    if (b->moves)
        world_next_free(&b->next);
    world_free(&b->w);
    free(b);
    return 0;
}

static cb_vcard *lay(const world *w, const kind *k)
{
    cb_vcard *card;
    cb_vcard_state first = w->first;
    if (k->today > 0) {
        first.today = k->today;
        first.last_day = k->last_day;
    }
    assert_int_equal(cb_vcard_make(&first, NULL, &card), CB_OK);
    return card;
}

static void play(cb_vcard *card, size_t number, const cb_buf *script, terminal pass, void *context,
                 cb_buf *answers)
{
    cb_script commands;
    place at = {number, 0, false};
    cb_buf first = CB_BUF(512);
    cb_buf_reset(answers);
    assert_int_equal(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &commands), CB_OK);
    for (size_t i = 0; i < commands.count; i++) {
        if (!cb_script_plays(&commands.item[i], cb_buf_bytes(&first)))
            continue;
        cb_buf message = CB_BUF(512), answer = CB_BUF(512);
        cb_buf_put(&message, commands.item[i].apdu);
        pass(context, at, &message);
        cb_vcard_process(card, cb_buf_bytes(&message), &answer);
        at.answer = true;
        pass(context, at, &answer);
        at = (place){number, at.command + 1, false};
        assert_int_equal(cb_buf_error(&answer), CB_OK);
        cb_script_put(answers, 0, cb_buf_bytes(&answer));
        if (i == 0)
            cb_buf_put(&first, cb_buf_bytes(&answer));
        bool stop = cb_answer_status(cb_buf_bytes(&answer)) != CB_SW_OK &&
                    !(commands.item[i].flags & CB_SCRIPT_GO_ON);
        cb_buf_free(&message);
        cb_buf_free(&answer);
        if (stop)
            break;
    }
    cb_buf_free(&first);
}

/* A tap of a card through a terminal. */
static cb_error tap_through(world *w, const kind *k, cb_vcard *card, terminal pass, void *context,
                            cb_card_claim *claim)
{
    void *state = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    *claim = (cb_card_claim){0};
    w->context.purpose = k->purpose;
    bool named = k->purpose == CB_TAP_PIN_RESET || k->purpose == CB_TAP_CARD_END;
    strcpy(w->context.service, named ? "" : "tax");
    cb_error error = world_begin(w, state, &script);
    if (!error) {
        play(card, 0, &script, pass, context, &answers);
        error = world_challenge(w, state, &answers, k->pin, &script);
    }
    if (!error) {
        play(card, 1, &script, pass, context, &answers);
        error = world_finish(w, state, &answers, claim);
    }
    cb_profile_native.end(state);
    free(state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

/* Errors by which a terminal, and who reads the record, sees that a tap was disturbed. */
static bool says_what_happened(cb_error error)
{
    return error == CB_E_CARD_ANSWER || error == CB_E_CARD_STATUS || error == CB_E_CARD_FOREIGN ||
           error == CB_E_CARD_CERTIFICATE || error == CB_E_CARD_REMOVED ||
           error == CB_E_CARD_BLOCKED || error == CB_E_CARD_NOT_ACTIVE ||
           error == CB_E_CARD_EXPIRED || error == CB_E_CARD_GENERATION;
}

static bool claim_is_true(const world *w, const kind *k, const cb_card_claim *claim,
                          const cb_vcard_state *now)
{
    return claim->pin == k->pin_state && claim->pin_tries_left == k->tries_left &&
           claim->pin_failures == k->failures && claim->counter == 1 && now->counter == 1 &&
           claim->generation == cb_native_newest(now, w->kloc.key_id);
}

/* The key that it had, and after it the authority's next or none. */
static bool keys_are_legal(const world *w, const kind *k, const cb_vcard_state *now)
{
    const brokers *b = (const brokers *)w;
    return memcmp(&now->kloc[0], &w->first.kloc[0], sizeof now->kloc[0]) == 0 &&
           (now->kloc_count == 1 ||
            (k->linked && now->kloc_count == 2 &&
             memcmp(now->kloc[1].point, b->next.keys.brokers.anchor.point, CB_P256_POINT) == 0));
}

static uint32_t first_day(const world *w, const kind *k)
{
    return k->today > 0 ? k->today : w->first.today;
}

static bool date_is_legal(const world *w, const kind *k, const cb_vcard_state *now)
{
    uint32_t before = first_day(w, k);
    return now->today == before ||
           now->today == cb_native_next_date(before, cb_cvc_day(cb_clock_wall_us()));
}

/* Whether a card is as it was or as a whole tap of this kind leaves it, or in between where a tap
 * that breaks off may leave it. */
static bool card_is_legal(const world *w, const kind *k, const cb_vcard_state *now)
{
    bool code = k->purpose == CB_TAP_PIN_UNBLOCK, wrong = k->pin_state == CB_PIN_WRONG;
    uint8_t fresh[CB_PIN_MAX];
    bool changed = memcmp(now->pin, w->first.pin, CB_PIN_MAX) != 0;
    if (k->pin.fresh)
        cb_pin_pad(cb_bytes_str(k->pin.fresh), fresh);
    if (!keys_are_legal(w, k, now) || !date_is_legal(w, k, now))
        return false;
    if (k->purpose == CB_TAP_CARD_END && now->life_cycle == CB_LIFE_TERMINATED)
        return now->counter == 1;
    return now->pin_tries >= CB_VCARD_PIN_TRIES - (wrong && !code) &&
           now->code_tries >= CB_VCARD_CODE_TRIES - (wrong && code) && now->failures <= wrong &&
           now->counter <= 1 && now->life_cycle == CB_LIFE_ACTIVE &&
           memcmp(now->code, w->first.code, CB_PIN_MAX) == 0 &&
           (!changed || (k->pin.fresh && !wrong && memcmp(now->pin, fresh, CB_PIN_MAX) == 0));
}

/* Whether the card did what this kind of tap is for, and the command that says so. */
static bool is_carried_out(const world *w, const kind *k, const cb_vcard_state *now)
{
    return now->life_cycle != CB_LIFE_ACTIVE || (k->linked && now->kloc_count > 1) ||
           (k->today > 0 && now->today != k->today) ||
           memcmp(now->pin, w->first.pin, CB_PIN_MAX) != 0;
}

static place own_command(const kind *k)
{
    return k->linked      ? (place){0, 2, false}
           : k->today > 0 ? (place){1, 1, false}
                          : (place){1, 2, false};
}

static size_t number(place at) { return at.script * COMMANDS_MAX + at.command; }

/* ---- One byte ---- */

/* Kinds of taps that a row is for. */
enum {
    WITHOUT_PIN = 1,
    RIGHT = 2,
    WRONG = 4,
    ENDS = 8,
    DATED = 16,
    LINKED = 32,
    ALL = 63,
    WITH_PIN = RIGHT | WRONG
};

/* What is without meaning, and why. Every row must be seen to be taken. */
typedef struct row {
    place at;
    size_t first, last; /* bytes */
    unsigned changes;   /* one bit for each kind */
    unsigned kinds;
    const char *why;
} row;

static const row meaningless[] = {
    {{0, 0, false}, 17, 17, ANY, ALL, "SELECT: Le"},
    {{0, 0, true}, 4, 15, FLIP, ALL, "SELECT: the AID, said back"},
    {{0, 0, true}, 18, 21, FLIP, ALL & ~LINKED, "SELECT: the generation, where one is accepted"},
    {{0, 1, false}, 11, 11, ANY, ALL, "GET DATA: Le"},
    {{0, 2, false}, 195, 260, 1u << LONGER, ALL & ~LINKED, "PSO: an Le where there was none"},
    {{0, 2, false}, 0, 260, ANY, LINKED, "the link: the tap goes on without"},
    {{0, 2, false}, 5, 260, 1u << LONGER, LINKED, "the link: an Le where there was none"},
    {{0, 2, true}, 0, 1, FLIP, LINKED, "the link's status: the proof says what the card has"},
    {{0, 3, false}, 88, 88, 1u << LONGER, ALL & ~LINKED, "MUTUAL AUTHENTICATE: the same"},
    {{1, 0, false}, 100, 260, 1u << LONGER, ALL, "PSO: the same"},
    {{1, 1, false}, 157, 157, 1u << LONGER, ALL, "EXTERNAL AUTHENTICATE: the same"},
    {{1, 2, false}, 141, 260, 1u << LONGER, WITH_PIN, "the PIN: the same"},
    {{1, 2, true}, 8, 9, FLIP, RIGHT, "the PIN's status: the proof says it"},
    {{1, 2, true}, 2, 9, 1u << CUT, RIGHT, "a shorter one has another status"},
    {{1, 2, true}, 0, 1, FLIP, WRONG, "the PIN's status: the proof says it"},
    {{1, 2, true}, 2, 2, 1u << LONGER, WRONG, "the PIN's status: the proof says it"},
    {{1, 3, false}, 13, 13, ANY, WITH_PIN, "INTERNAL AUTHENTICATE: Le"},
    {{1, 2, false}, 13, 13, ANY, WITHOUT_PIN, "INTERNAL AUTHENTICATE without PIN: Le"},
    {{1, 2, false}, 100, 260, 1u << LONGER, ENDS, "TERMINATE: an Le where there was none"},
};
enum { ROWS = sizeof meaningless / sizeof meaningless[0] };
static size_t taken[ROWS];

static unsigned sort_of(const kind *k)
{
    return k->linked                       ? LINKED
           : k->today > 0                  ? DATED
           : k->purpose == CB_TAP_CARD_END ? ENDS
           : !k->pin.secret                ? WITHOUT_PIN
           : k->pin_state == CB_PIN_WRONG  ? WRONG
                                           : RIGHT;
}

static bool is_meaningless(const kind *k, const meddling *m)
{
    bool found = false;
    for (size_t i = 0; i < ROWS; i++) {
        const row *r = &meaningless[i];
        bool here = (r->kinds & sort_of(k)) && meddles_in(m, r->at, r->first, r->last, r->changes);
        taken[i] += here;
        found = found || here;
    }
    return found;
}

/* Whether the card did something by a command that was changed, or after one. A link that was
 * changed is without meaning for the tap, and not for the card. */
static bool is_done_wrongly(const world *w, const kind *k, const meddling *m, bool without_meaning,
                            const cb_vcard_state *now)
{
    place own = own_command(k);
    bool to_the_card = !same_place(m->at, own) || !k->linked || m->change == LONGER;
    return m->hit && !m->at.answer && number(m->at) <= number(own) &&
           !(without_meaning && to_the_card) && is_carried_out(w, k, now);
}

/* One disturbed tap; false when there is no such byte. */
static bool disturb(world *w, const kind *k, meddling *m)
{
    cb_card_claim claim;
    cb_vcard *card = lay(w, k);
    cb_error error = tap_through(w, k, card, meddle, m, &claim);
    const cb_vcard_state *now = cb_vcard_state_of(card);
    bool expected = m->hit && is_meaningless(k, m);
    if (!m->hit) /* shorter than that, or not reached: an honest tap */
        assert_int_equal(error, k->honest);
    else if (!card_is_legal(w, k, now) || (error && !says_what_happened(error)) ||
             expected != (error == k->honest) || is_done_wrongly(w, k, m, expected, now))
        fail_msg("%s: script %zu %s %zu, byte %zu, change %u: %s", k->name, m->at.script + 1,
                 m->at.answer ? "answer" : "command", m->at.command, m->byte, m->change,
                 cb_error_code(error));
    if (!error)
        assert_true(claim_is_true(w, k, &claim, now));
    else
        assert_true(cb_id_is_zero(&claim.card) || error == CB_E_CARD_PROOF);
    cb_vcard_close(&card);
    return m->hit;
}

/* How many taps that made. change: a kind, or less than BYTE for another bit of each byte. There is
 * one way to make a message longer. */
static size_t disturb_message(world *w, const kind *k, place at, unsigned change)
{
    for (size_t byte = 0;; byte++) {
        meddling m = {.at = at, .byte = byte, .change = change < BYTE ? byte % 8 : change};
        bool hit = disturb(w, k, &m);
        if (!hit || change == LONGER)
            return byte + hit;
    }
}

/* What comes before the PIN is the same in every kind of tap: it is disturbed in one of them. Of
 * the others what is their own. */
static bool is_disturbed(const kind *k, place at)
{
    if (k->linked)
        return at.script == 0 && (at.command == 0 || at.command == 2);
    if (k->today > 0)
        return at.script == 1 && at.command == 1;
    return k == &kinds[RIGHT_PIN] || (at.script == 1 && at.command >= 2);
}

static size_t disturb_kind(world *w, const kind *k)
{
    size_t taps = 0;
    for (size_t i = 0; i < SCRIPTS * COMMANDS_MAX * 2; i++) {
        place at = {i / 2 / COMMANDS_MAX, i / 2 % COMMANDS_MAX, i % 2};
        if (at.command >= k->commands[at.script] || !is_disturbed(k, at))
            continue;
        for (unsigned change = BYTE - 1; change < CHANGES; change++)
            taps += disturb_message(w, k, at, change);
    }
    return taps;
}

/* Of the rows that are for other kinds as well, those kinds have shown them. */
static void look_at_rows(bool of_link)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (taken[i] == 0 && (meaningless[i].kinds == LINKED) == of_link)
            fail_msg("nothing was seen of: %s", meaningless[i].why);
    }
}

static void no_byte_can_be_changed_on_the_way(void **state)
{
    world *w = *state;
    size_t taps = 0;
    for (size_t i = 0; i < KINDS; i++)
        taps += disturb_kind(w, &kinds[i]);
    look_at_rows(false);
    print_message("%zu disturbed taps\n", taps);
    assert_true(taps > 5000);
}

static void nor_of_what_moves_a_card_to_the_next_key(void **state)
{
    size_t taps = disturb_kind(*state, &linked);
    look_at_rows(true);
    print_message("%zu disturbed taps\n", taps);
    assert_true(taps > 700);
}

/* ---- One tap's messages in another ---- */

/* What a terminal has kept of a tap, or puts into another. */
typedef struct record {
    cb_buf message[SCRIPTS][COMMANDS_MAX][2];
} record;

typedef enum reach { ONE, FROM_HERE, UP_TO_HERE, EXTENTS } reach;

typedef struct splice {
    const record *from;
    bool with_pin; /* the tap that it goes into */
    place at;
    reach extent;
    size_t different;    /* messages that were not the same anyway */
    bool failures_alone; /* all of these: a PIN's failure for another answer of the PIN */
} splice;

static void keep(void *context, place at, cb_buf *message)
{
    record *r = context;
    cb_buf *to = &r->message[at.script][at.command][at.answer];
    cb_buf_init(to, 512);
    cb_buf_put(to, cb_buf_bytes(message));
}

static void forget(record *r)
{
    for (size_t i = 0; i < SCRIPTS * COMMANDS_MAX * 2; i++)
        cb_buf_free(&r->message[i / 2 / COMMANDS_MAX][i / 2 % COMMANDS_MAX][i % 2]);
}

/* Only messages of the direction that was chosen are exchanged. */
static void exchange(void *context, place at, cb_buf *message)
{
    splice *s = context;
    const cb_buf *other = &s->from->message[at.script][at.command][at.answer];
    bool here = s->extent == ONE         ? number(at) == number(s->at)
                : s->extent == FROM_HERE ? number(at) >= number(s->at)
                                         : number(at) <= number(s->at);
    if (at.answer != s->at.answer || !here || other->len == 0 ||
        cb_bytes_same(cb_buf_bytes(other), cb_buf_bytes(message)))
        return;
    bool failure = s->with_pin && at.script == 1 && at.command == 2 && at.answer && other->len == 2;
    s->failures_alone = failure && (s->failures_alone || s->different == 0);
    s->different++;
    cb_buf_reset(message);
    cb_buf_put(message, cb_buf_bytes(other));
}

/* Tap B with messages of tap A. */
static void exchange_and_check(world *w, const kind *k, const record *from, place at, reach extent)
{
    splice s = {.from = from, .with_pin = k->pin.secret, .at = at, .extent = extent};
    cb_card_claim claim;
    cb_vcard *card = lay(w, k);
    cb_error error = tap_through(w, k, card, exchange, &s, &claim);
    bool harmless = s.different == 0 || s.failures_alone;
    if ((error == k->honest) != harmless || (error && !says_what_happened(error)) ||
        !card_is_legal(w, k, cb_vcard_state_of(card)))
        fail_msg("%s: another tap's %s %zu of script %zu (%d): %s", k->name,
                 at.answer ? "answer" : "command", at.command, at.script + 1, extent,
                 cb_error_code(error));
    if (!error)
        assert_true(claim_is_true(w, k, &claim, cb_vcard_state_of(card)));
    cb_vcard_close(&card);
}

static void exchange_all(world *w, const kind *a, const kind *b)
{
    record kept = {0};
    cb_card_claim claim;
    cb_vcard *card = lay(w, a);
    assert_int_equal(tap_through(w, a, card, keep, &kept, &claim), a->honest);
    cb_vcard_close(&card);
    for (size_t i = 0; i < SCRIPTS * COMMANDS_MAX * 2; i++) {
        place at = {i / 2 / COMMANDS_MAX, i / 2 % COMMANDS_MAX, i % 2};
        for (int extent = 0; at.command < b->commands[at.script] && extent < EXTENTS; extent++)
            exchange_and_check(w, b, &kept, at, (reach)extent);
    }
    forget(&kept);
}

/* The same card, the same broker, an earlier tap of any kind: each message, all from each one on,
 * all up to each one, in both directions. What does not take the holder's PIN or code with itself
 * and with a login alone. */
static void nothing_of_one_tap_can_be_used_in_another(void **state)
{
    for (size_t i = 0; i < KINDS * KINDS; i++) {
        size_t a = i / KINDS, b = i % KINDS;
        if ((a < OTHERS && b < OTHERS) || a == b || a == RIGHT_PIN || b == RIGHT_PIN)
            exchange_all(*state, &kinds[a], &kinds[b]);
    }
}

static void nor_where_a_card_is_moved_to_the_next_key(void **state)
{
    exchange_all(*state, &linked, &linked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_byte_can_be_changed_on_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(nor_of_what_moves_a_card_to_the_next_key, setup_next,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_of_one_tap_can_be_used_in_another, setup, teardown),
        cmocka_unit_test_setup_teardown(nor_where_a_card_is_moved_to_the_next_key, setup_next,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
