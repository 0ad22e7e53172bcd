/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that changes what it relays of JPKI and SCP03 cards, enumerated: each bit of each byte
 * of every command and every answer, all of the byte, the message cut off before it, and a byte
 * more at its end. The tap is refused, or the byte is in the table of those that carry nothing;
 * never is anything else accepted than what was asked, and never does the card lose more than the
 * try that a wrong PIN costs. (Native cards: tests/unit/cardlink/wire_test.c; PIV cards:
 * foreign_attack_test.c, foreign_secure_tap_test.c.)
 */
#include <stdlib.h>
#include <time.h>

#include "cardlink/apdu.h"
#include "cardlink/card/content.h"
#include "cardlink/card/jpki/application.h"
#include "cardlink/card/scp03/application.h"
#include "cardlink/issuer/jpki.h"
#include "cardlink/issuer/scp03.h"
#include "fake.h"
#include "foreign_cards.h"
#include "hsm/activation.h"
#include "meddle.h"
#include "test.h"

#define JPKI_PIN "2718"

enum { SCRIPTS = 2 };

/* What carries nothing, and why. Every row must be seen to be taken. */
typedef struct row {
    place at;
    size_t first, last; /* bytes */
    unsigned changes;   /* one bit for each kind */
    const char *why;
    size_t taken;
} row;

typedef struct kind {
    const char *name;
    const cb_card_profile *profile;
    const cb_applet *applet;
    cb_bytes atr;
    uint8_t level;
    const char *pin; /* "": none */
    size_t commands[SCRIPTS];
    row *rows;
    size_t count;
    bool (*legal)(const cb_vcard *card); /* what a tap may leave behind */
    cb_buf state, binding;
    cb_id card;
} kind;

/* The number of a certificate of the virtual card has 16 bytes; it begins behind these. */
enum { NUMBER = 15, NUMBER_END = NUMBER + 16, HEAD = 0x30 };

static row of_jpki[] = {
    {{0, 0, false}, 15, 15, 1u << LONGER, "SELECT: an Le where there was none", 0},
    {{0, 1, false}, 7, 7, 1u << LONGER, "SELECT of the certificate: the same", 0},
    {{0, 2, false}, 4, 4, ANY & ~(1u << 5), "READ BINARY: an Le that has room for the number", 0},
    {{0, 2, true}, 2, 3, FLIP, "the certificate's length: it is not read to its end", 0},
    {{0, 2, true}, 6, 7, FLIP, "the length of what is signed of it: the same", 0},
    {{0, 2, true}, NUMBER_END, HEAD - 1, FLIP, "what stands behind the number", 0},
    {{1, 0, false}, 7, 7, 1u << LONGER, "SELECT of the PIN: an Le where there was none", 0},
    {{1, 1, false}, 9, 9, 1u << LONGER, "VERIFY: the same", 0},
    {{1, 2, false}, 7, 7, 1u << LONGER, "SELECT of the key: the same", 0},
    {{1, 3, false}, 56, 56, 1u << CUT, "COMPUTE DIGITAL SIGNATURE: no Le", 0},
};
static row of_scp03[] = {
    {{0, 0, false}, 17, 17, ANY, "SELECT: Le", 0},
    {{0, 1, false}, 13, 13, ANY, "INITIALIZE UPDATE: Le", 0},
    {{0, 1, true}, 10, 10, FLIP, "the version of the card's keys: there is one master key", 0},
    {{1, 0, false}, 21, 21, 1u << LONGER, "EXTERNAL AUTHENTICATE: an Le where there was none", 0},
    {{1, 1, false}, 61, 61, ANY, "the command inside the channel: Le", 0},
};
static row of_scp03_without_counter[sizeof of_scp03 / sizeof *of_scp03];

static bool jpki_is_legal(const cb_vcard *card)
{
    const cb_vjpki_application *jpki = cb_vcard_applet(card, &cb_applet_jpki);
    const cb_vjpki_credential *of = jpki->state.of;
    return of[CB_VJPKI_AUTHENTICATION].tries >= 2 && of[CB_VJPKI_SIGNATURE].tries == 5 &&
           memcmp(of[CB_VJPKI_AUTHENTICATION].pin, JPKI_PIN, 4) == 0;
}

static bool scp03_is_legal(const cb_vcard *card)
{
    const cb_vscp03_application *scp03 = cb_vcard_applet(card, &cb_applet_scp03);
    return scp03->state.counter <= 1 && scp03->state.failures <= 1 && scp03->state.sequence <= 1;
}

enum { JPKI, SCP03, SCP03_WITHOUT_COUNTER, KINDS };

#define ROWS(rows) (rows), sizeof(rows) / sizeof *(rows)
static kind kinds[KINDS] = {
    {"JPKI",
     &cb_profile_jpki,
     &cb_applet_jpki,
     {cb_vjpki_atr, sizeof cb_vjpki_atr},
     CB_LEVEL_TERMINAL_PIN,
     JPKI_PIN,
     {3, 4},
     ROWS(of_jpki),
     jpki_is_legal,
     .state = {.max = CB_CARD_STATE_MAX},
     .binding = {.max = CB_BINDING_MAX}},
    {"SCP03",
     &cb_profile_scp03,
     &cb_applet_scp03,
     {cb_vscp03_atr, sizeof cb_vscp03_atr},
     CB_LEVEL_POSSESSION,
     "",
     {2, 2},
     ROWS(of_scp03),
     scp03_is_legal,
     .state = {.max = CB_CARD_STATE_MAX},
     .binding = {.max = CB_BINDING_MAX}},
    {"SCP03 without a counter",
     &cb_profile_scp03,
     &cb_applet_scp03,
     {cb_vscp03_atr, sizeof cb_vscp03_atr},
     CB_LEVEL_POSSESSION,
     "",
     {2, 2},
     ROWS(of_scp03_without_counter),
     scp03_is_legal,
     .state = {.max = CB_CARD_STATE_MAX},
     .binding = {.max = CB_BINDING_MAX}},
};

static world w;
static fake f;
static cb_lane lane;
static agency issuer;
static cb_scp03_plain_master master;
static const cb_id holder = {{7}};

/* ---- Cards ---- */

static cb_vcard *lay(const kind *k)
{
    cb_vcard *card;
    cb_card_content content = {0};
    good(cb_card_content_set_atr(&content, k->atr));
    good(cb_card_content_add(&content, k->applet, cb_buf_bytes(&k->state)));
    good(cb_vcard_of(&content, NULL, &card));
    return card;
}

/* ---- What the terminal does ---- */

static void put_command(const cb_script_item *item, const char *pin, cb_buf *message)
{
    cb_buf_put(message, item->apdu);
    if (item->flags & CB_SCRIPT_PIN) {
        assert_int_equal(item->flags & CB_SCRIPT_PIN, CB_SCRIPT_PIN_ASCII);
        cb_buf_put_u8(message, (uint8_t)strlen(pin));
        cb_buf_put_str(message, pin);
    }
}

static void play(cb_vcard *card, const kind *k, size_t number, const cb_buf *script, meddling *m,
                 cb_buf *answers)
{
    cb_script commands;
    good(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &commands));
    assert_int_equal(commands.count, k->commands[number]);
    for (size_t i = 0; i < commands.count; i++) {
        cb_buf message = CB_BUF(512), answer = CB_BUF(512);
        put_command(&commands.item[i], k->pin, &message);
        meddle(m, (place){number, i, false}, &message);
        cb_vcard_process(card, cb_buf_bytes(&message), &answer);
        meddle(m, (place){number, i, true}, &answer);
        good(cb_buf_error(&answer));
        cb_script_put(answers, 0, cb_buf_bytes(&answer));
        bool stop = cb_answer_status(cb_buf_bytes(&answer)) != CB_SW_OK;
        cb_buf_free(&message);
        cb_buf_free(&answer);
        if (stop)
            break;
    }
}

/* ---- Taps ---- */

static cb_error finish(cb_tap *tap, const kind *k, const cb_buf *answers, cb_activation *out)
{
    cb_card_claim claim;
    cb_feed_head head = cb_feed_now(lane.feed);
    cb_error error = cb_tap_finish(tap, cb_buf_bytes(answers), &claim);
    return error ? error : cb_tap_activate(lane.taps, tap, cb_buf_bytes(&k->binding), &head, out);
}

/* A tap of a card through a terminal, as far as hsmd's word that it is the card's. */
static cb_error tap_through(const kind *k, cb_vcard *card, meddling *m, cb_activation *out)
{
    cb_tap *tap;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_tap_context context = {.terminal = cb_id_new(),
                              .profile = k->profile->id,
                              .purpose = CB_TAP_AUTHENTICATE,
                              .level = k->level,
                              .service = "tax"};
    *out = (cb_activation){0};
    good(cb_tap_begin(lane.taps, lane.host, k->profile->id, &context.terminal, &context.tap,
                      &script));
    good(cb_taps_enter(lane.taps, &context.tap, CB_TAP_BEGUN, &tap));
    play(card, k, 0, &script, m, &answers);
    cb_buf_reset(&script);
    cb_error error = cb_tap_ask_card(lane.taps, tap, &context, cb_buf_bytes(&answers),
                                     (cb_bytes){0}, cb_buf_bytes(&k->binding), &script);
    if (!error) {
        cb_buf_reset(&answers);
        play(card, k, 1, &script, m, &answers);
        error = finish(tap, k, &answers, out);
    }
    cb_taps_end(lane.taps, tap);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

/* Errors by which a terminal, and who reads the record, sees that a tap was disturbed. Another
 * number is another card's. */
static bool says_what_happened(cb_error error)
{
    return error == CB_E_CARD_ANSWER || error == CB_E_CARD_STATUS || error == CB_E_CARD_FOREIGN ||
           error == CB_E_CARD_REMOVED || error == CB_E_CARD_PROOF || error == CB_E_HSM_RECORD ||
           error == CB_E_PIN_WRONG;
}

static bool is_meaningless(kind *k, const meddling *m)
{
    bool found = false;
    for (size_t i = 0; i < k->count; i++) {
        row *r = &k->rows[i];
        bool here = meddles_in(m, r->at, r->first, r->last, r->changes);
        r->taken += here;
        found = found || here;
    }
    return found;
}

/* One disturbed tap; false when there is no such byte. */
static bool disturb(kind *k, meddling *m)
{
    cb_activation activation;
    cb_vcard *card = lay(k);
    cb_error error = tap_through(k, card, m, &activation);
    bool expected = !m->hit || is_meaningless(k, m);
    if (expected != (error == CB_OK) || (error && !says_what_happened(error)) || !k->legal(card))
        fail_msg("%s: script %zu %s %zu, byte %zu, change %u: %s", k->name, m->at.script + 1,
                 m->at.answer ? "answer" : "command", m->at.command, m->byte, m->change,
                 cb_error_code(error));
    if (!error)
        assert_true(cb_id_same(&activation.holder, &holder) &&
                    cb_id_same(&activation.card, &k->card) && activation.level == k->level);
    cb_vcard_close(&card);
    return m->hit;
}

/* How many taps that made. There is one way to make a message longer. */
static size_t disturb_message(kind *k, place at)
{
    size_t taps = 0;
    bool there = true;
    for (size_t byte = 0; there; byte++) {
        for (unsigned change = 0; there && change < LONGER; change++) {
            meddling m = {.at = at, .byte = byte, .change = change};
            there = disturb(k, &m);
            taps += there;
        }
    }
    meddling m = {.at = at, .change = LONGER};
    return taps + disturb(k, &m);
}

static void disturb_kind(kind *k)
{
    size_t taps = 0;
    for (size_t script = 0; script < SCRIPTS; script++) {
        for (size_t command = 0; command < k->commands[script]; command++) {
            for (int answer = 0; answer < 2; answer++)
                taps += disturb_message(k, (place){script, command, answer});
        }
    }
    for (size_t i = 0; i < k->count; i++) {
        if (k->rows[i].taken == 0)
            fail_msg("nothing was seen of: %s", k->rows[i].why);
    }
    print_message("%s: %zu disturbed taps\n", k->name, taps);
    assert_true(taps > 1000);
}

static void no_byte_of_a_jpki_tap_can_be_changed_on_the_way(void **state)
{
    (void)state;
    disturb_kind(&kinds[JPKI]);
}

static void no_byte_of_an_scp03_tap_can_be_changed_on_the_way(void **state)
{
    (void)state;
    disturb_kind(&kinds[SCP03]);
}

static void nor_of_one_with_a_card_that_counts_nothing(void **state)
{
    (void)state;
    disturb_kind(&kinds[SCP03_WITHOUT_COUNTER]);
}

/* ---- ---- */

/* Binds the card, as an operator's terminal reads it. certificate: of a JPKI card. */
static void bind(kind *k, cb_bytes certificate)
{
    cb_vcard *card = lay(k);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_binding_info info = {.holder = holder, .level = k->level, .sequence = 1};
    cb_foreign_reading reading = {.profile = k->profile->id, .keys = certificate.len > 0};
    void *state = calloc(1, k->profile->state_size);
    assert_non_null(state);
    good(k->profile->begin(state, &lane.host->profile, &script));
    k->profile->end(state);
    free(state);
    play(card, k, 0, &script, NULL, &answers);
    reading.answers = cb_buf_bytes(&answers);
    if (reading.keys) {
        reading.key[0].use = 0x17;
        reading.key[0].certificate = certificate;
    }
    good(cb_foreign_card_check(cb_host_foreign(lane.host, k->profile->id), &reading,
                               (int64_t)time(NULL), &info));
    good(fake_vault.binding_make(NULL, &info, &k->binding));
    k->card = info.card;
    cb_buf_free(&script);
    cb_buf_free(&answers);
    cb_vcard_close(&card);
}

static void make_jpki(kind *k)
{
    static const cb_vjpki_secrets secrets = {{JPKI_PIN, "ABC271"}};
    cb_vjpki_state *state = calloc(1, sizeof *state);
    assert_non_null(state);
    good(cb_vjpki_make(&issuer.signer, "Yuki", 3, &secrets, state));
    cb_vjpki_state_put(&k->state, state);
    bind(k, cb_vjpki_blob_bytes(&state->of[CB_VJPKI_AUTHENTICATION].certificate));
    free(state);
}

static void make_scp03(kind *k, uint8_t i)
{
    cb_vscp03_state state;
    const cb_scp03_master of = cb_scp03_master_of(&master);
    good(cb_vscp03_make(&of, 0x30, NULL, &state));
    state.i = i;
    cb_vscp03_state_put(&k->state, &state);
    bind(k, (cb_bytes){0});
}

static int setup(void **state)
{
    (void)state;
    world_make(&w, false);
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 5, &lane);
    agency_make(&issuer);
    agency_trust(&issuer, CB_PROFILE_JPKI, &lane.host->foreign[0]);
    master = (cb_scp03_plain_master){.len = 32};
    memset(master.key, 0x77, master.len);
    const cb_scp03_master of = cb_scp03_master_of(&master);
    lane.host->profile.keys = of.context;
    lane.host->profile.cmac = of.cmac;
    lane.host->profile.cmac_key_len = of.key_len;
    make_jpki(&kinds[JPKI]);
    make_scp03(&kinds[SCP03], CB_SCP03_I_ANSWERS | CB_SCP03_I_PSEUDO_RANDOM);
    make_scp03(&kinds[SCP03_WITHOUT_COUNTER], CB_SCP03_I_ANSWERS);
    memcpy(of_scp03_without_counter, of_scp03, sizeof of_scp03);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        cb_buf_free(&kinds[i].state);
        cb_buf_free(&kinds[i].binding);
    }
    agency_free(&issuer);
    fake_lane_free(&lane);
    fake_end(&f);
    world_free(&w);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_byte_of_a_jpki_tap_can_be_changed_on_the_way),
        cmocka_unit_test(no_byte_of_an_scp03_tap_can_be_changed_on_the_way),
        cmocka_unit_test(nor_of_one_with_a_card_that_counts_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
