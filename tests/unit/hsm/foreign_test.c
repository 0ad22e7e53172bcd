/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that somebody else issued, from their registration to the activation of a tap; and what a
 * front end that was taken over, a hostile terminal or another card can make of it.
 */
#include "hsm/foreign.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/foreign.h"
#include "cardlink/jpki/commands.h"
#include "cardlink/piv/commands.h"
#include "cardlink/piv/first.h"
#include "cardlink/terminal/survey.h"
#include "fake.h"
#include "foreign_cards.h"
#include "hsm/activation.h"
#include "test.h"

static world w;
static fake f;
static cb_lane lane;
static agency issuer;
static const cb_id holder = {{7}};
static cb_buf binding = {.max = CB_BINDING_MAX};

static int setup(void **state)
{
    (void)state;
    world_make(&w, false);
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 5, &lane);
    agency_make(&issuer);
    agency_trust(&issuer, CB_PROFILE_PIV, &lane.host->foreign[0]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cb_buf_free(&binding);
    agency_free(&issuer);
    fake_lane_free(&lane);
    fake_end(&f);
    world_free(&w);
    return 0;
}

/* ---- Steps ---- */

/* What an operator's terminal reads, in the form in which hsmd gets it. */
typedef struct reading {
    cb_foreign_reading card;
    cb_buf answers;
} reading;

static void read_card(piv_card *c, reading *r)
{
    static const uint8_t uses[] = {CB_PIV_KEY_AUTHENTICATION, CB_PIV_KEY_CARD};
    cb_script script;
    cb_buf first = CB_BUF(CB_SCRIPT_BYTES_MAX);
    uint8_t state[1024] = {0};
    assert_true(cb_profile_piv.state_size <= sizeof state);
    *r = (reading){.card = {.profile = CB_PROFILE_PIV}, .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    good(cb_profile_piv.begin(state, NULL, &first));
    good(cb_script_read(cb_buf_bytes(&first), CB_COMMAND_MAX, &script));
    good(cb_play(&c->io, &script, &r->answers));
    r->card.answers = cb_buf_bytes(&r->answers);
    for (unsigned i = 0; i < 2; i++) {
        if (c->certificate[i].len == 0)
            continue;
        r->card.key[r->card.keys].use = uses[i];
        r->card.key[r->card.keys++].certificate = c->certificate[i];
    }
    cb_buf_free(&first);
}

static cb_error check(const reading *r, cb_binding_info *info)
{
    *info = (cb_binding_info){.holder = holder, .level = CB_LEVEL_PIN, .sequence = 1};
    return cb_foreign_card_check(cb_host_foreign(lane.host, r->card.profile), &r->card,
                                 (int64_t)time(NULL), info);
}

static void bind(piv_card *c, cb_binding_info *info)
{
    reading r;
    read_card(c, &r);
    good(check(&r, info));
    cb_buf_reset(&binding);
    good(fake_vault.binding_make(NULL, info, &binding));
    cb_buf_free(&r.answers);
}

typedef struct tap {
    cb_tap_context context;
    cb_tap *tap;
    cb_buf script, answers;
    cb_card_claim claim;
    cb_activation activation;
} tap;

static void play(tap *t, const cb_card_io *io)
{
    cb_script script;
    cb_buf_reset(&t->answers);
    good(cb_script_read(cb_buf_bytes(&t->script), CB_COMMAND_MAX, &script));
    good(cb_play(io, &script, &t->answers));
    cb_buf_reset(&t->script);
}

static void begin(tap *t, piv_card *c, uint8_t level)
{
    *t = (tap){.script = CB_BUF(CB_SCRIPT_BYTES_MAX), .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    t->context = (cb_tap_context){.terminal = cb_id_new(),
                                  .profile = CB_PROFILE_PIV,
                                  .purpose = CB_TAP_AUTHENTICATE,
                                  .level = level,
                                  .service = "tax"};
    good(cb_tap_begin(lane.taps, lane.host, CB_PROFILE_PIV, &t->context.terminal, &t->context.tap,
                      &t->script));
    good(cb_taps_enter(lane.taps, &t->context.tap, CB_TAP_BEGUN, &t->tap));
    cb_vcard_reset(c->card);
    play(t, &c->io);
}

static cb_error ask(tap *t)
{
    return cb_tap_ask_card(lane.taps, t->tap, &t->context, cb_buf_bytes(&t->answers), (cb_bytes){0},
                           cb_buf_bytes(&binding), &t->script);
}

static cb_error activate(tap *t)
{
    cb_feed_head head = cb_feed_now(lane.feed);
    return cb_tap_activate(lane.taps, t->tap, cb_buf_bytes(&binding), &head, &t->activation);
}

static void end(tap *t)
{
    cb_taps_end(lane.taps, t->tap);
    cb_buf_free(&t->script);
    cb_buf_free(&t->answers);
}

/* A whole tap with the card that is bound; pin "": none. */
static cb_error tap_with(piv_card *c, uint8_t level, const char *pin, cb_activation *out,
                         cb_card_claim *claim)
{
    tap t;
    cb_card_io io = c->io;
    io.pin = cb_bytes_str(pin);
    begin(&t, c, level);
    cb_error error = ask(&t);
    if (!error) {
        play(&t, &io);
        error = cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim);
    }
    if (claim)
        *claim = t.claim;
    if (!error)
        error = activate(&t);
    if (out)
        *out = t.activation;
    end(&t);
    return error;
}

/* ---- ---- */

static void every_kind_of_key_proves_the_card(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        piv_card c;
        cb_binding_info info;
        cb_activation activation;
        piv_card_make(&c, &issuer, kinds[i], kinds[i]);
        bind(&c, &info);
        good(tap_with(&c, CB_LEVEL_POSSESSION, "", &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_POSSESSION);
        good(tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_TERMINAL_PIN);
        assert_true(cb_id_same(&activation.holder, &holder));
        assert_true(cb_id_same(&activation.card, &info.card));
        piv_card_free(&c);
    }
}

/* Of the certificates of the keys that sign, the last. */
static void a_card_is_good_until_its_certificates_end(void **state)
{
    piv_card c;
    cb_binding_info info;
    int64_t last = 0;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &info);
    for (unsigned i = 0; i < 2; i++) {
        cb_x509 read;
        good(cb_x509_parse(c.certificate[i], &read));
        last = read.not_after > last ? read.not_after : last;
    }
    assert_true(info.expires == (last + 1) * CB_SECOND);
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    info.expires = cb_clock_wall_us() - CB_SECOND;
    cb_buf_reset(&binding);
    good(fake_vault.binding_make(NULL, &info, &binding));
    expect(CB_E_CARD_EXPIRED, tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    expect(CB_E_CARD_EXPIRED, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, NULL, NULL));
    piv_card_free(&c);
}

static void a_card_with_one_key_does_what_that_key_can(void **state)
{
    piv_card c;
    cb_binding_info info;
    cb_activation activation;
    (void)state;
    piv_card_make(&c, &issuer, 0, CB_VCARD_EC_P256);
    bind(&c, &info);
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", &activation, NULL));
    expect(CB_E_TAP_LEVEL, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, NULL, NULL));
    piv_card_free(&c);
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, 0);
    bind(&c, &info);
    good(tap_with(&c, CB_LEVEL_POSSESSION, PIV_PIN, &activation, NULL));
    assert_int_equal(activation.level, CB_LEVEL_TERMINAL_PIN);
    piv_card_free(&c);
}

/* And it is refused before anybody is asked for the PIN. */
static void what_a_card_cannot_reach_is_not_asked_of_it(void **state)
{
    static const struct {
        uint8_t of_card, asked;
        cb_error error;
    } cases[] = {{CB_LEVEL_PIN, CB_LEVEL_PIN, CB_E_TAP_LEVEL},
                 {CB_LEVEL_PIN, CB_LEVEL_TERMINAL_PIN, CB_OK},
                 {CB_LEVEL_TERMINAL_PIN, CB_LEVEL_TERMINAL_PIN, CB_OK},
                 {CB_LEVEL_TERMINAL_PIN, CB_LEVEL_PIN, CB_E_TAP_LEVEL},
                 {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN, CB_E_TAP_LEVEL},
                 {CB_LEVEL_POSSESSION, CB_LEVEL_POSSESSION, CB_OK},
                 {CB_LEVEL_POSSESSION, CB_LEVEL_NONE, CB_OK}};
    piv_card c;
    cb_binding_info info;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &info);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap t;
        info.level = cases[i].of_card;
        cb_buf_reset(&binding);
        good(fake_vault.binding_make(NULL, &info, &binding));
        begin(&t, &c, cases[i].asked);
        expect(cases[i].error, ask(&t));
        assert_int_equal(t.script.len > 0, cases[i].error == CB_OK);
        end(&t);
    }
    piv_card_free(&c);
}

static void a_wrong_pin_is_said_with_the_card_and_its_tries(void **state)
{
    piv_card c;
    cb_binding_info info;
    cb_card_claim claim;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &info);
    for (int left = 2; left > 0; left--) {
        expect(CB_E_PIN_WRONG, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, &claim));
        assert_int_equal(claim.pin_tries_left, left);
        assert_true(cb_id_same(&claim.card, &info.card));
    }
    expect(CB_E_PIN_BLOCKED, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, &claim));
    assert_int_equal(claim.pin_tries_left, 0);
    expect(CB_E_PIN_BLOCKED, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, NULL, NULL));
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    piv_card_free(&c);
}

static void the_pin_is_asked_for_where_it_is_needed_only(void **state)
{
    piv_card c;
    tap t;
    cb_script script;
    cb_binding_info info;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &info);
    for (int with = 0; with < 2; with++) {
        begin(&t, &c, with ? CB_LEVEL_TERMINAL_PIN : CB_LEVEL_POSSESSION);
        good(ask(&t));
        good(cb_script_read(cb_buf_bytes(&t.script), CB_COMMAND_MAX, &script));
        assert_int_equal(cb_script_wants_pin(&script), with);
        assert_int_equal(script.count, 1 + with);
        cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
        expect(with ? CB_E_PIN_REQUIRED : CB_OK, cb_play(&c.io, &script, &answers));
        cb_buf_free(&answers);
        end(&t);
    }
    piv_card_free(&c);
}

/* Which commands a tap has for a card that is bound: those that read (GET DATA, READ BINARY) are
 * counted, and how much they read. */
static void count_reads(const cb_buf *commands, size_t *reads, size_t *bytes)
{
    cb_script script;
    good(cb_script_read(cb_buf_bytes(commands), CB_COMMAND_MAX, &script));
    for (size_t i = 0; i < script.count; i++) {
        cb_bytes apdu = script.item[i].apdu;
        bool reads_it = apdu.data[1] == 0xCB || apdu.data[1] == 0xB0 || apdu.data[1] == 0xB2 ||
                        apdu.data[1] == 0xCA;
        *reads += reads_it;
        if (reads_it)
            *bytes += apdu.data[apdu.len - 1] ? apdu.data[apdu.len - 1] : 256;
    }
}

/* No certificate: the beginning of the CHUID, and nothing else. */
static void of_a_known_card_nothing_is_read_but_who_it_is(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    static const uint8_t levels[] = {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        for (size_t j = 0; j < sizeof levels; j++) {
            piv_card c;
            cb_binding_info info;
            tap t;
            size_t reads = 0, bytes = 0;
            cb_buf first = CB_BUF(CB_SCRIPT_BYTES_MAX);
            void *profile = calloc(1, cb_profile_piv.state_size);
            assert_non_null(profile);
            good(cb_profile_piv.begin(profile, NULL, &first));
            count_reads(&first, &reads, &bytes);
            cb_profile_piv.end(profile);
            free(profile);
            assert_int_equal(reads, 1);
            assert_int_equal(bytes, 0x50);
            piv_card_make(&c, &issuer, kinds[i], kinds[i]);
            bind(&c, &info);
            begin(&t, &c, levels[j]);
            good(ask(&t));
            count_reads(&t.script, &reads, &bytes);
            assert_int_equal(reads, 1);
            end(&t);
            cb_buf_free(&first);
            piv_card_free(&c);
        }
    }
}

/* No more of the certificate than its serial number can need. */
static void of_a_known_jpki_card_nothing_is_read_but_its_number(void **state)
{
    static const uint8_t ok[] = {0x90, 0x00};
    static const char head[] = "3082010030820080a003020102020400bc614e";
    piv_card c; /* whose RSA key stands in for the card's */
    cb_x509 certificate;
    cb_script answers;
    cb_known_card known = {.keys.count = 1};
    const cb_tap_context context = {.profile = CB_PROFILE_JPKI,
                                    .purpose = CB_TAP_AUTHENTICATE,
                                    .level = CB_LEVEL_TERMINAL_PIN,
                                    .service = "tax"};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), encoded = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf third = CB_BUF(128);
    size_t reads = 0, bytes = 0;
    void *profile = calloc(1, cb_profile_jpki.state_size);
    (void)state;
    assert_non_null(profile);
    piv_card_make(&c, &issuer, CB_VCARD_RSA_2048, CB_VCARD_EC_P256);
    good(cb_x509_parse(c.certificate[0], &certificate));
    good(cb_card_key_of_spki(certificate.public_key, &known.keys.key[0]));
    known.keys.key[0].use = CB_JPKI_KEY;
    good(cb_profile_jpki.begin(profile, NULL, &script));
    count_reads(&script, &reads, &bytes);
    assert_true(reads == 1 && bytes == 0x30);
    good(cb_unhex(cb_bytes_str(head), &third));
    cb_buf_put(&third, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, cb_buf_bytes(&third));
    good(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers));
    good(cb_profile_jpki.recognise(&answers, &known.card));
    cb_buf_reset(&script);
    good(cb_profile_jpki.challenge(profile, &lane.host->profile, &answers, &context, &known,
                                   (cb_bytes){0}, &script));
    count_reads(&script, &reads, &bytes);
    assert_int_equal(reads, 1);
    cb_profile_jpki.end(profile);
    free(profile);
    cb_buf_free(&script);
    cb_buf_free(&encoded);
    cb_buf_free(&third);
    piv_card_free(&c);
}

/* Two cards of the same agency, and each holder's binding in the other's tap. */
static void one_card_is_not_taken_for_another(void **state)
{
    piv_card one, two;
    tap t;
    cb_binding_info info;
    (void)state;
    piv_card_make(&one, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    piv_card_make(&two, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&two, &info);
    expect(CB_E_HSM_RECORD, tap_with(&one, CB_LEVEL_POSSESSION, "", NULL, NULL));
    bind(&one, &info);
    begin(&t, &one, CB_LEVEL_POSSESSION);
    good(ask(&t));
    cb_vcard_reset(two.card);
    cb_script select;
    cb_buf ignored = CB_BUF(CB_SCRIPT_BYTES_MAX), first = CB_BUF(CB_SCRIPT_BYTES_MAX);
    static const uint8_t command[] = {0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08};
    cb_script_put(&first, 0, CB_BYTES_OF(command));
    good(cb_script_read(cb_buf_bytes(&first), CB_COMMAND_MAX, &select));
    good(cb_play(&two.io, &select, &ignored));
    play(&t, &two.io);
    good(cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim));
    expect(CB_E_CARD_PROOF, activate(&t));
    end(&t);
    cb_buf_free(&first);
    cb_buf_free(&ignored);
    piv_card_free(&one);
    piv_card_free(&two);
}

/* What the card signed for one tap is brought to another of the same card, terminal, service. */
static void a_signature_is_good_for_its_tap_alone(void **state)
{
    piv_card c;
    tap first, second;
    cb_binding_info info;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &info);
    begin(&first, &c, CB_LEVEL_POSSESSION);
    good(ask(&first));
    play(&first, &c.io);
    begin(&second, &c, CB_LEVEL_POSSESSION);
    good(ask(&second));
    good(cb_tap_finish(second.tap, cb_buf_bytes(&first.answers), &second.claim));
    expect(CB_E_CARD_PROOF, activate(&second));
    end(&first);
    end(&second);
    piv_card_free(&c);
}

/* With the key that asks for no PIN where the tap asks for one: the terminal has the card sign the
 * challenge by 9E. */
static void the_key_without_a_pin_does_not_stand_in_for_the_other(void **state)
{
    piv_card c;
    tap t;
    cb_binding_info info;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &info);
    begin(&t, &c, CB_LEVEL_TERMINAL_PIN);
    good(ask(&t));
    cb_script script;
    uint8_t command[CB_COMMAND_MAX];
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), changed = CB_BUF(CB_SCRIPT_BYTES_MAX);
    static const uint8_t ok[] = {0x90, 0x00};
    good(cb_script_read(cb_buf_bytes(&t.script), CB_COMMAND_MAX, &script));
    memcpy(command, script.item[1].apdu.data, script.item[1].apdu.len);
    command[3] = CB_PIV_KEY_CARD;
    cb_script_put(&changed, 0, cb_bytes_make(command, script.item[1].apdu.len));
    good(cb_script_read(cb_buf_bytes(&changed), CB_COMMAND_MAX, &script));
    good(cb_play(&c.io, &script, &answers));
    good(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &script));
    cb_buf_reset(&t.answers);
    cb_script_put(&t.answers, 0, CB_BYTES_OF(ok));
    cb_script_put(&t.answers, 0, script.item[0].apdu);
    good(cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim));
    expect(CB_E_CARD_PROOF, activate(&t));
    end(&t);
    cb_buf_free(&answers);
    cb_buf_free(&changed);
    piv_card_free(&c);
}

static void a_tap_without_a_binding_or_with_a_changed_one_is_refused(void **state)
{
    piv_card c;
    tap t;
    cb_binding_info info;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &info);
    begin(&t, &c, CB_LEVEL_POSSESSION);
    expect(CB_E_ARGUMENT, cb_tap_ask_card(lane.taps, t.tap, &t.context, cb_buf_bytes(&t.answers),
                                          (cb_bytes){0}, (cb_bytes){0}, &t.script));
    end(&t);
    for (size_t i = 0; i < binding.len; i += 7) {
        binding.data[i] ^= 1;
        begin(&t, &c, CB_LEVEL_POSSESSION);
        expect(CB_E_HSM_RECORD, ask(&t));
        end(&t);
        binding.data[i] ^= 1;
    }
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    piv_card_free(&c);
}

/* ---- A chip that is two cards ---- */

/* Were the two known by one identifier, and by one key where their records can say that, even so: a
 * card is of its profile alone. */
static void a_binding_of_one_profile_is_none_in_a_tap_of_the_other(void **state)
{
    piv_card c;
    tap t;
    cb_binding_info piv, others[2];
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &piv);
    others[0] = others[1] = piv;
    others[0].profile = CB_PROFILE_NATIVE;
    others[0].keys = (cb_card_keys){.count = 1, .key = {cb_card_key_of_point(w.point)}};
    others[0].expires = 0;
    others[1].profile = CB_PROFILE_JPKI;
    for (size_t i = 0; i < 2; i++) {
        cb_buf_reset(&binding);
        good(fake_vault.binding_make(NULL, &others[i], &binding));
        begin(&t, &c, CB_LEVEL_POSSESSION);
        expect(CB_E_HSM_RECORD, ask(&t)); /* before it is asked for anything */
        assert_int_equal(t.script.len, 0);
        end(&t);
    }
    begin(&t, &c, CB_LEVEL_POSSESSION);
    cb_buf_reset(&binding);
    good(fake_vault.binding_make(NULL, &piv, &binding));
    good(ask(&t));
    play(&t, &c.io);
    good(cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim));
    for (size_t i = 0; i < 2; i++) {
        cb_buf_reset(&binding);
        good(fake_vault.binding_make(NULL, &others[i], &binding));
        expect(CB_E_HSM_RECORD, activate(&t));
    }
    cb_buf_reset(&binding);
    good(fake_vault.binding_make(NULL, &piv, &binding));
    good(activate(&t));
    end(&t);
    piv_card_free(&c);
}

/* The reverse. */
static void a_native_card_is_not_opened_by_a_binding_of_another_profile(void **state)
{
    static const uint8_t profiles[] = {CB_PROFILE_PIV, CB_PROFILE_JPKI, CB_PROFILE_SCP03,
                                       CB_PROFILE_NATIVE};
    (void)state;
    for (size_t i = 0; i < sizeof profiles; i++) {
        bool right = profiles[i] == CB_PROFILE_NATIVE;
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
        tap t = {.script = CB_BUF(CB_SCRIPT_BYTES_MAX), .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
        t.context = (cb_tap_context){.terminal = cb_id_new(),
                                     .profile = CB_PROFILE_NATIVE,
                                     .purpose = CB_TAP_AUTHENTICATE,
                                     .level = CB_LEVEL_POSSESSION,
                                     .service = "tax"};
        good(cb_tap_begin(lane.taps, lane.host, CB_PROFILE_NATIVE, &t.context.terminal,
                          &t.context.tap, &t.script));
        good(cb_taps_enter(lane.taps, &t.context.tap, CB_TAP_BEGUN, &t.tap));
        cb_vcard_reset(w.card);
        world_play(w.card, &t.script, &t.answers);
        good(cb_tap_ask_card(lane.taps, t.tap, &t.context, cb_buf_bytes(&t.answers), (cb_bytes){0},
                             (cb_bytes){0}, &script));
        world_play(w.card, &script, &t.answers);
        good(cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim));
        cb_binding_info info = {.card = t.claim.card,
                                .holder = holder,
                                .profile = profiles[i],
                                .keys = {.count = 1, .key = {cb_card_key_of_point(w.point)}},
                                .level = CB_LEVEL_PIN,
                                .sequence = 1};
        cb_buf_reset(&binding);
        good(fake_vault.binding_make(NULL, &info, &binding));
        expect(right ? CB_OK : CB_E_HSM_RECORD, activate(&t));
        end(&t);
        cb_buf_free(&script);
    }
}

/* Each byte of each answer of the card, changed by the terminal; not the flags, of which answers
 * have none: that to VERIFY, which is a status, and the next one's. */
enum { FLAGS = 1, NEXT_FLAGS = 8 };

static cb_error conclude(tap *t)
{
    cb_error error = cb_tap_finish(t->tap, cb_buf_bytes(&t->answers), &t->claim);
    return error ? error : activate(t);
}

static void no_changed_answer_is_believed(void **state)
{
    static const uint8_t levels[] = {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN};
    piv_card c;
    cb_binding_info info;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(&c, &info);
    cb_card_io io = c.io;
    io.pin = cb_bytes_str(PIV_PIN);
    for (size_t level = 0; level < sizeof levels; level++) {
        bool more = true;
        for (size_t i = 0; more; i++) {
            tap t;
            begin(&t, &c, levels[level]);
            good(ask(&t));
            play(&t, &io);
            more = i + 1 < t.answers.len; /* signatures are not all of one length */
            bool flags = i == FLAGS || (level > 0 && i == NEXT_FLAGS);
            if (!flags && i < t.answers.len) {
                t.answers.data[i] ^= 1 << (i % 8);
                if (conclude(&t) == CB_OK)
                    fail_msg("byte %zu of %zu, level %u", i, t.answers.len, levels[level]);
            }
            end(&t);
        }
    }
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    piv_card_free(&c);
}

/* Plays a script with one byte of what is to be signed, or of the lengths around it, changed; false
 * when there is none of that number. */
static bool play_changed(tap *t, const cb_card_io *io, size_t nth)
{
    cb_script script;
    uint8_t changed[CB_COMMAND_MAX];
    bool there = false;
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(cb_script_read(cb_buf_bytes(&t->script), CB_COMMAND_MAX, &script));
    for (size_t i = 0; i < script.count; i++) {
        cb_bytes command = script.item[i].apdu;
        memcpy(changed, command.data, command.len);
        size_t data = command.len > 6 ? command.len - 6 : 0; /* less the header, Lc and Le */
        if (!there && nth < data) {
            changed[5 + nth] ^= 1 << (nth % 8);
            there = true;
        }
        nth -= nth < data ? 0 : data;
        cb_script_put(&encoded, script.item[i].flags, cb_bytes_make(changed, command.len));
    }
    cb_buf_reset(&t->script);
    cb_buf_put(&t->script, cb_buf_bytes(&encoded));
    cb_buf_free(&encoded);
    play(t, io);
    return there;
}

/* What goes to the card stands there in the clear: with another digest in it, the front end's own,
 * say, it signs that, and the tap is not what it signed for. */
static void a_signature_over_anything_else_is_none_for_the_tap(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    static const uint8_t levels[] = {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN};
    (void)state;
    for (size_t kind = 0; kind < sizeof kinds; kind++) {
        piv_card c;
        cb_binding_info info;
        piv_card_make(&c, &issuer, kinds[kind], kinds[kind]);
        bind(&c, &info);
        cb_card_io io = c.io;
        io.pin = cb_bytes_str(PIV_PIN);
        for (size_t level = 0; level < sizeof levels; level++) {
            bool there = true;
            size_t tried = 0;
            for (; there; tried++) {
                tap t;
                begin(&t, &c, levels[level]);
                good(ask(&t));
                there = play_changed(&t, &io, tried);
                cb_error error = conclude(&t);
                if (there == (error == CB_OK))
                    fail_msg("byte %zu, kind %u, level %u: %s", tried, kinds[kind], levels[level],
                             cb_error_code(error));
                end(&t);
            }
            assert_true(tried > 32);
        }
        piv_card_free(&c);
    }
}

static void a_card_whose_certificates_lead_nowhere_is_not_bound(void **state)
{
    piv_card c;
    reading r;
    cb_binding_info info;
    agency other;
    (void)state;
    agency_make(&other);
    piv_card_make(&c, &other, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    read_card(&c, &r);
    expect(CB_E_CARD_CERTIFICATE, check(&r, &info));
    cb_buf_free(&r.answers);
    piv_card_free(&c);
    agency_free(&other);
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    read_card(&c, &r);
    good(check(&r, &info));
    assert_int_equal(info.keys.count, 2);
    r.card.key[1].use = CB_PIV_KEY_AUTHENTICATION;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card.key[1].use = 0x9C;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card.keys = 0;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card.keys = 1;
    good(check(&r, &info));
    r.card.profile = CB_PROFILE_NATIVE;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card.profile = CB_PROFILE_PIV;
    r.card.answers.len = 0;
    expect(CB_E_CARD_REMOVED, check(&r, &info));
    cb_buf_free(&r.answers);
    piv_card_free(&c);
}

/* Somebody has what distinguishes one card beside the certificates of another, whose keys he has: a
 * revoked card under a new name, or a stranger's name taken. */
static void a_card_is_bound_with_its_own_certificates_only(void **state)
{
    piv_card one, two;
    reading r;
    cb_binding_info info;
    (void)state;
    piv_card_make(&one, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    piv_card_make(&two, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    read_card(&one, &r);
    good(check(&r, &info));
    for (size_t i = 0; i < 2; i++) {
        r.card.key[i].certificate = two.certificate[i];
        expect(CB_E_CARD_ANSWER, check(&r, &info));
        r.card.key[i].certificate = one.certificate[i];
    }
    good(check(&r, &info));
    cb_buf_free(&r.answers);
    piv_card_free(&one);
    piv_card_free(&two);
}

/* What signs without a PIN would otherwise reach what the PIN does. */
static void one_key_is_not_bound_as_two(void **state)
{
    piv_card c;
    reading r;
    cb_binding_info info;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    read_card(&c, &r);
    r.card.key[1].certificate = r.card.key[0].certificate;
    expect(CB_E_ARGUMENT, check(&r, &info));
    cb_buf_free(&r.answers);
    piv_card_free(&c);
}

#define FASC_N "d4e739da739ced39ce739d836858210842108421c84210c3eb"
#define GUID "000102030405460780090a0b0c0d0e0f"
#define URN "75726e3a757569643a" /* urn:uuid: */
#define FASC_N_NAME(x) "a027" "0608" "6086480165030606" "a01b0419" x
#define UUID_NAME "862d" URN "30303031303230332d303430352d343630372d383030392d306130423043304430653046"

static void the_names_in_a_piv_certificate_are_compared(void **state)
{
    static const struct {
        const char *names;
        bool fits;
    } cases[] = {
        {"", true},
        {"3000", true},
        {"3003820161", true}, /* a DNS name is nobody's */
        {"3029" FASC_N_NAME(FASC_N), true},
        {"3029" FASC_N_NAME("d5e739da739ced39ce739d836858210842108421c84210c3eb"), false},
        {"300e" "a00c" "0608" "6086480165030606" "a000", false},
        {"302f" UUID_NAME, true},
        {"3032" "820161" UUID_NAME, true},
        {"302f862d" URN "30313031303230332d303430352d343630372d383030392d306130623063306430653066", false},
        {"300b8609" URN, false},
        {"300b8609" "75726e3a757569644a", true}, /* another URN */
        {"302f" UUID_NAME "00", false},
        {"3001", false},
    };
    static const uint8_t ok[] = {0x90, 0x00};
    cb_script answers;
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX), chuid = CB_BUF(128);
    (void)state;
    good(cb_unhex(cb_bytes_str("532d" "3019" FASC_N "3410" GUID "9000"), &chuid));
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, cb_buf_bytes(&chuid));
    good(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_buf names = CB_BUF(128);
        good(cb_unhex(cb_bytes_str(cases[i].names), &names));
        const cb_x509 certificate = {.alternative_name = cb_buf_bytes(&names)};
        if (cb_profile_piv.fits(&answers, &certificate) != cases[i].fits)
            fail_msg("%s", cases[i].names);
        cb_buf_free(&names);
    }
    cb_buf_free(&encoded);
    cb_buf_free(&chuid);
}

#define FEDERAL "d4e7315a739ced39ce739d836858210842108421c84210c3eb"

/* A FASC-N of the agency 9999 is many cards', and one of an agency 9998 is not. */
static void what_is_one_cards_alone_is_what_its_certificates_say(void **state)
{
    static const struct {
        const char *fasc_n, *names;
        size_t first, second; /* lengths of what there is */
    } cases[] = {
        {FASC_N, "3029" FASC_N_NAME(FASC_N), 0, 0},
        {FASC_N, "302f" UUID_NAME, CB_PIV_GUID, 0},
        {FASC_N, "3058" FASC_N_NAME(FASC_N) UUID_NAME, CB_PIV_GUID, 0},
        {FEDERAL, "3029" FASC_N_NAME(FEDERAL), CB_PIV_FASC_N, 0},
        {FEDERAL, "302f" UUID_NAME, CB_PIV_GUID, 0},
        {FEDERAL, "3058" FASC_N_NAME(FEDERAL) UUID_NAME, CB_PIV_GUID, CB_PIV_FASC_N},
        {FEDERAL, "3058" FASC_N_NAME(FASC_N) UUID_NAME, 0, 0}, /* another's */
        {FEDERAL, "", 0, 0},
        {FEDERAL, NULL, CB_PIV_GUID, 0}, /* the one that is attested */
    };
    static const uint8_t ok[] = {0x90, 0x00};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_script answers;
        cb_bytes found[CB_PROFILE_MARKS_MAX] = {{0}};
        cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX), chuid = CB_BUF(128), names = CB_BUF(128);
        good(cb_unhex(cb_bytes_str("532d" "3019"), &chuid));
        good(cb_unhex(cb_bytes_str(cases[i].fasc_n), &chuid));
        good(cb_unhex(cb_bytes_str("3410" GUID "9000"), &chuid));
        cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
        cb_script_put(&encoded, 0, cb_buf_bytes(&chuid));
        good(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers));
        good(cb_unhex(cb_bytes_str(cases[i].names ? cases[i].names : ""), &names));
        const cb_x509 certificate = {.alternative_name = cb_buf_bytes(&names)};
        size_t count = cb_profile_piv.marks(&answers, cases[i].names ? &certificate : NULL, found);
        print_message("%s\n", cases[i].names ? cases[i].names : "attested");
        assert_int_equal(count, (cases[i].first > 0) + (cases[i].second > 0));
        assert_int_equal(found[0].len, cases[i].first);
        assert_int_equal(found[1].len, cases[i].second);
        cb_buf_free(&encoded);
        cb_buf_free(&chuid);
        cb_buf_free(&names);
    }
}

/* The rest of the certificate stands behind what is read in a tap. */
static void a_jpki_certificate_begins_as_the_card_does(void **state)
{
    static const uint8_t ok[] = {0x90, 0x00};
    static const char head[] = "3082010030820080a003020102020400bc614e";
    cb_script answers;
    cb_id card;
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX), first = CB_BUF(128), whole = CB_BUF(512);
    (void)state;
    good(cb_unhex(cb_bytes_str(head), &first));
    good(cb_unhex(cb_bytes_str(head), &whole));
    cb_buf_put(&first, CB_BYTES_OF(ok));
    for (int i = 0; i < 256; i++)
        cb_buf_put_u8(&whole, (uint8_t)i);
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, cb_buf_bytes(&first));
    good(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers));
    good(cb_profile_jpki.recognise(&answers, &card));
    for (size_t i = 0; i < whole.len; i++) {
        const cb_x509 certificate = {.whole = cb_buf_bytes(&whole)};
        assert_true(cb_profile_jpki.fits(&answers, &certificate));
        whole.data[i] ^= 1;
        assert_int_equal(cb_profile_jpki.fits(&answers, &certificate), i >= first.len - 2);
        whole.data[i] ^= 1;
    }
    cb_buf_free(&encoded);
    cb_buf_free(&first);
    cb_buf_free(&whole);
}

static void what_a_terminal_reads_is_what_is_needed(void **state)
{
    static const cb_profile_order order = {2, {&cb_profile_native, &cb_profile_piv}};
    piv_card c;
    json_t *found = NULL;
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_RSA_2048, CB_VCARD_EC_P256);
    good(cb_survey(&c.io, &order, &found));
    assert_string_equal(json_string_value(json_object_get(found, "profile")), "piv");
    assert_int_equal(json_array_size(json_object_get(found, "answers")), 3);
    const json_t *list = json_object_get(found, "certificates");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "use")), 0x9A);
    assert_int_equal(json_string_length(json_object_get(json_array_get(list, 1), "der")),
                     2 * c.certificate[1].len);
    json_decref(found);
    piv_card_free(&c);
    piv_card_make(&c, &issuer, 0, 0);
    expect(CB_E_CARD_CERTIFICATE, cb_survey(&c.io, &order, &found));
    assert_null(found);
    piv_card_free(&c);
}

static void what_a_card_keeps_compressed_leaves_the_terminal_whole(void **state)
{
    static const cb_profile_order order = {1, {&cb_profile_piv}};
    piv_card c;
    json_t *found = NULL;
    char plain[2][2 * CB_ANSWER_MAX + 1];
    (void)state;
    piv_card_make(&c, &issuer, CB_VCARD_RSA_2048, CB_VCARD_EC_P256);
    for (unsigned i = 0; i < 2; i++)
        cb_hex(c.certificate[i], plain[i]);
    piv_card_compress(&c);
    good(cb_survey(&c.io, &order, &found));
    const json_t *list = json_object_get(found, "certificates");
    assert_int_equal(json_array_size(list), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(c.certificate[i].data[0], 0x1F);
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(list, i), "der")), plain[i]);
    }
    json_decref(found);
    piv_card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key_proves_the_card),
        cmocka_unit_test(a_card_is_good_until_its_certificates_end),
        cmocka_unit_test(a_card_with_one_key_does_what_that_key_can),
        cmocka_unit_test(what_a_card_cannot_reach_is_not_asked_of_it),
        cmocka_unit_test(a_wrong_pin_is_said_with_the_card_and_its_tries),
        cmocka_unit_test(the_pin_is_asked_for_where_it_is_needed_only),
        cmocka_unit_test(of_a_known_card_nothing_is_read_but_who_it_is),
        cmocka_unit_test(of_a_known_jpki_card_nothing_is_read_but_its_number),
        cmocka_unit_test(one_card_is_not_taken_for_another),
        cmocka_unit_test(a_signature_is_good_for_its_tap_alone),
        cmocka_unit_test(the_key_without_a_pin_does_not_stand_in_for_the_other),
        cmocka_unit_test(a_tap_without_a_binding_or_with_a_changed_one_is_refused),
        cmocka_unit_test(a_binding_of_one_profile_is_none_in_a_tap_of_the_other),
        cmocka_unit_test(a_native_card_is_not_opened_by_a_binding_of_another_profile),
        cmocka_unit_test(no_changed_answer_is_believed),
        cmocka_unit_test(a_signature_over_anything_else_is_none_for_the_tap),
        cmocka_unit_test(a_card_whose_certificates_lead_nowhere_is_not_bound),
        cmocka_unit_test(a_card_is_bound_with_its_own_certificates_only),
        cmocka_unit_test(one_key_is_not_bound_as_two),
        cmocka_unit_test(the_names_in_a_piv_certificate_are_compared),
        cmocka_unit_test(what_is_one_cards_alone_is_what_its_certificates_say),
        cmocka_unit_test(a_jpki_certificate_begins_as_the_card_does),
        cmocka_unit_test(what_a_terminal_reads_is_what_is_needed),
        cmocka_unit_test(what_a_card_keeps_compressed_leaves_the_terminal_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
