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

enum { SCRIPTS = 2, COMMANDS_MAX = 4 };

/* A kind of tap, and what an honest one reports and leaves. */
typedef struct kind {
    const char *name;
    uint8_t purpose;
    typed pin;
    uint8_t pin_state, tries_left;
    uint16_t failures;
    size_t commands[SCRIPTS];
} kind;

static const kind kinds[] = {
    {"possession", CB_TAP_AUTHENTICATE, {NULL, NULL}, CB_PIN_NOT_PRESENTED, 3, 0, {4, 3}},
    {"right PIN", CB_TAP_AUTHENTICATE, {WORLD_PIN, NULL}, CB_PIN_VERIFIED, 3, 0, {4, 4}},
    {"wrong PIN", CB_TAP_AUTHENTICATE, {"0000", NULL}, CB_PIN_WRONG, 2, 1, {4, 4}},
    {"change", CB_TAP_PIN_CHANGE, {WORLD_PIN, "777777"}, CB_PIN_VERIFIED, 3, 0, {4, 4}},
    {"unblocking", CB_TAP_PIN_UNBLOCK, {WORLD_CODE, "777777"}, CB_PIN_VERIFIED, 10, 0, {4, 4}},
    {"wrong code", CB_TAP_PIN_UNBLOCK, {"00000000", "777777"}, CB_PIN_WRONG, 9, 1, {4, 4}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0], RIGHT_PIN = 1 };

/* What the terminal does with a message before it passes it on. */
typedef void (*terminal)(void *context, place at, cb_buf *message);

static int setup(void **state)
{
    *state = malloc(sizeof(world));
    world_make(*state, false);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    free(*state);
    return 0;
}

static void play(cb_vcard *card, size_t number, const cb_buf *script, terminal pass, void *context,
                 cb_buf *answers)
{
    cb_script commands;
    cb_buf_reset(answers);
    assert_int_equal(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &commands), CB_OK);
    for (size_t i = 0; i < commands.count; i++) {
        cb_buf message = CB_BUF(512), answer = CB_BUF(512);
        cb_buf_put(&message, commands.item[i].apdu);
        pass(context, (place){number, i, false}, &message);
        cb_vcard_process(card, cb_buf_bytes(&message), &answer);
        pass(context, (place){number, i, true}, &answer);
        assert_int_equal(cb_buf_error(&answer), CB_OK);
        cb_script_put(answers, 0, cb_buf_bytes(&answer));
        bool stop = cb_answer_status(cb_buf_bytes(&answer)) != CB_SW_OK &&
                    !(commands.item[i].flags & CB_SCRIPT_GO_ON);
        cb_buf_free(&message);
        cb_buf_free(&answer);
        if (stop)
            break;
    }
}

/* A tap of a card through a terminal. */
static cb_error tap_through(world *w, const kind *k, cb_vcard *card, terminal pass, void *context,
                            cb_card_claim *claim)
{
    void *state = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    *claim = (cb_card_claim){0};
    w->context.purpose = k->purpose;
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
           error == CB_E_CARD_BLOCKED || error == CB_E_CARD_NOT_ACTIVE;
}

static bool claim_is_true(const kind *k, const cb_card_claim *claim, uint32_t counter)
{
    return claim->pin == k->pin_state && claim->pin_tries_left == k->tries_left &&
           claim->pin_failures == k->failures && claim->counter == counter;
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
    return now->pin_tries >= CB_VCARD_PIN_TRIES - (wrong && !code) &&
           now->code_tries >= CB_VCARD_CODE_TRIES - (wrong && code) && now->failures <= wrong &&
           now->counter <= 1 && now->life_cycle == CB_LIFE_ACTIVE &&
           memcmp(now->code, w->first.code, CB_PIN_MAX) == 0 &&
           (!changed || (k->pin.fresh && !wrong && memcmp(now->pin, fresh, CB_PIN_MAX) == 0));
}

/* ---- One byte ---- */

/* What is without meaning, and why. Every row must be seen to be taken. */
typedef struct row {
    place at;
    size_t first, last; /* bytes */
    unsigned changes;   /* one bit for each kind */
    bool pin;           /* only in taps with a PIN, and */
    bool wrong;         /* with a wrong one */
    const char *why;
} row;

static const row meaningless[] = {
    {{0, 0, false}, 17, 17, ANY, false, false, "SELECT: Le"},
    {{0, 0, true}, 4, 15, FLIP, false, false, "SELECT: the AID, said back"},
    {{0, 0, true}, 18, 21, FLIP, false, false, "SELECT: the generation, where one is accepted"},
    {{0, 1, false}, 11, 11, ANY, false, false, "GET DATA: Le"},
    {{0, 2, false}, 195, 260, 1u << LONGER, false, false, "PSO: an Le where there was none"},
    {{0, 3, false}, 88, 88, 1u << LONGER, false, false, "MUTUAL AUTHENTICATE: the same"},
    {{1, 0, false}, 100, 260, 1u << LONGER, false, false, "PSO: the same"},
    {{1, 1, false}, 157, 157, 1u << LONGER, false, false, "EXTERNAL AUTHENTICATE: the same"},
    {{1, 2, false}, 141, 141, 1u << LONGER, true, false, "the PIN: the same"},
    {{1, 2, true}, 8, 9, FLIP, true, false, "the PIN's status: the proof says it"},
    {{1, 2, true}, 2, 9, 1u << CUT, true, false, "a shorter one has another status"},
    {{1, 2, true}, 0, 1, FLIP, true, true, "the PIN's status: the proof says it"},
    {{1, 2, true}, 2, 2, 1u << LONGER, true, true, "the PIN's status: the proof says it"},
    {{1, 3, false}, 13, 13, ANY, true, false, "INTERNAL AUTHENTICATE: Le"},
    {{1, 2, false}, 13, 13, ANY, false, false, "INTERNAL AUTHENTICATE without PIN: Le"},
};
enum { ROWS = sizeof meaningless / sizeof meaningless[0] };
static size_t taken[ROWS];

static bool is_meaningless(const kind *k, const meddling *m)
{
    bool with_pin = k->pin.secret != NULL, wrong = k->pin_state == CB_PIN_WRONG, found = false;
    for (size_t i = 0; i < ROWS; i++) {
        const row *r = &meaningless[i];
        bool here = meddles_in(m, r->at, r->first, r->last, r->changes) &&
                    (m->at.script == 0 || (r->pin ? with_pin : !with_pin || m->at.command < 2)) &&
                    (!r->pin || m->at.command != 2 || !m->at.answer || r->wrong == wrong);
        taken[i] += here;
        found = found || here;
    }
    return found;
}

/* One disturbed tap; false when there is no such byte. */
static bool disturb(world *w, const kind *k, meddling *m)
{
    cb_card_claim claim;
    cb_vcard *card;
    assert_int_equal(cb_vcard_make(&w->first, NULL, &card), CB_OK);
    cb_error error = tap_through(w, k, card, meddle, m, &claim);
    const cb_vcard_state *now = cb_vcard_state_of(card);
    bool expected = m->hit && is_meaningless(k, m);
    if (!m->hit) /* shorter than that, or not reached: an honest tap */
        assert_int_equal(error, CB_OK);
    else if (!card_is_legal(w, k, now) || (error && !says_what_happened(error)) ||
             expected != (error == CB_OK))
        fail_msg("%s: script %zu %s %zu, byte %zu, change %u: %s", k->name, m->at.script + 1,
                 m->at.answer ? "answer" : "command", m->at.command, m->byte, m->change,
                 cb_error_code(error));
    if (!error)
        assert_true(claim_is_true(k, &claim, 1) && now->counter == 1);
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

/* What comes before the PIN is the same in every kind of tap: it is disturbed in one of them. */
static size_t disturb_kind(world *w, const kind *k)
{
    size_t taps = 0;
    for (size_t script = k == &kinds[RIGHT_PIN] ? 0 : 1; script < SCRIPTS; script++) {
        for (size_t command = 0; command < k->commands[script]; command++) {
            if (script == 1 && command < 2 && k != &kinds[RIGHT_PIN])
                continue;
            for (int answer = 0; answer < 2; answer++) {
                for (unsigned change = BYTE - 1; change < CHANGES; change++)
                    taps += disturb_message(w, k, (place){script, command, answer}, change);
            }
        }
    }
    return taps;
}

static void no_byte_can_be_changed_on_the_way(void **state)
{
    world *w = *state;
    size_t taps = 0;
    for (size_t i = 0; i < KINDS; i++)
        taps += disturb_kind(w, &kinds[i]);
    for (size_t i = 0; i < ROWS; i++) {
        if (taken[i] == 0)
            fail_msg("nothing was seen of: %s", meaningless[i].why);
    }
    print_message("%zu disturbed taps\n", taps);
    assert_true(taps > 5000);
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
        cb_buf_free(&r->message[i / 8][i / 2 % 4][i % 2]);
}

static size_t number(place at) { return at.script * COMMANDS_MAX + at.command; }

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
    cb_vcard *card;
    assert_int_equal(cb_vcard_make(&w->first, NULL, &card), CB_OK);
    cb_error error = tap_through(w, k, card, exchange, &s, &claim);
    bool harmless = s.different == 0 || s.failures_alone;
    if ((error == CB_OK) != harmless || (error && !says_what_happened(error)) ||
        !card_is_legal(w, k, cb_vcard_state_of(card)))
        fail_msg("%s: another tap's %s %zu of script %zu (%d): %s", k->name,
                 at.answer ? "answer" : "command", at.command, at.script + 1, extent,
                 cb_error_code(error));
    if (!error)
        assert_true(claim_is_true(k, &claim, 1));
    cb_vcard_close(&card);
}

static void exchange_all(world *w, const kind *a, const kind *b)
{
    record kept = {0};
    cb_card_claim claim;
    cb_vcard *card;
    assert_int_equal(cb_vcard_make(&w->first, NULL, &card), CB_OK);
    assert_int_equal(tap_through(w, a, card, keep, &kept, &claim), CB_OK);
    cb_vcard_close(&card);
    for (size_t i = 0; i < SCRIPTS * COMMANDS_MAX * 2; i++) {
        place at = {i / 8, i / 2 % 4, i % 2};
        for (int extent = 0; at.command < b->commands[at.script] && extent < EXTENTS; extent++)
            exchange_and_check(w, b, &kept, at, (reach)extent);
    }
    forget(&kept);
}

/* The same card, the same broker, an earlier tap of any kind: each message, all from each one on,
 * all up to each one, in both directions. */
static void nothing_of_one_tap_can_be_used_in_another(void **state)
{
    for (size_t a = 0; a < KINDS; a++) {
        for (size_t b = 0; b < KINDS; b++)
            exchange_all(*state, &kinds[a], &kinds[b]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_byte_can_be_changed_on_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_of_one_tap_can_be_used_in_another, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
