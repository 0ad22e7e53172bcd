/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "foreign_wire.h"

#include <stdlib.h>
#include <time.h>

#include "cardlink/apdu.h"
#include "cardlink/card/jpki/application.h"
#include "cardlink/card/piv/application.h"
#include "cardlink/card/scp03/application.h"

enum { PARTS_MAX = 40, SW1_MORE = 0x61, INS_GET_RESPONSE = 0xC0, CLA_SECURED = 0x0C };

/* ---- What taps may leave behind ---- */

static bool jpki_is_legal(const kind *k, const cb_vcard *card, unsigned taps)
{
    const cb_vjpki_application *jpki = cb_vcard_applet(card, &cb_applet_jpki);
    const cb_vjpki_credential *of = jpki->state.of;
    (void)k;
    (void)taps;
    return of[CB_VJPKI_AUTHENTICATION].tries >= 2 && of[CB_VJPKI_SIGNATURE].tries == 5 &&
           memcmp(of[CB_VJPKI_AUTHENTICATION].pin, JPKI_PIN, 4) == 0;
}

static bool scp03_is_legal(const kind *k, const cb_vcard *card, unsigned taps)
{
    (void)k;
    const cb_vscp03_application *scp03 = cb_vcard_applet(card, &cb_applet_scp03);
    return scp03->state.counter <= taps && scp03->state.failures <= 1 &&
           scp03->state.sequence <= taps;
}

/* Everything as it was, but for one try. */
static bool piv_is_legal(const kind *k, const cb_vcard *card, unsigned taps)
{
    (void)taps;
    cb_vpiv_state *now = &((cb_vpiv_application *)cb_vcard_applet(card, &cb_applet_piv))->state;
    const uint8_t tries = now->pin_tries;
    cb_buf state = CB_BUF(CB_CARD_STATE_MAX);
    now->pin_tries = CB_VPIV_PIN_TRIES;
    cb_vpiv_state_put(&state, now);
    now->pin_tries = tries;
    bool same = cb_bytes_same(cb_buf_bytes(&state), cb_buf_bytes(&k->state));
    cb_buf_free(&state);
    return same && tries + 1 >= CB_VPIV_PIN_TRIES;
}

/* ---- Kinds ---- */

#define OF_JPKI                                                                                    \
    .profile = &cb_profile_jpki, .applet = &cb_applet_jpki,                                        \
    .atr = {cb_vjpki_atr, sizeof cb_vjpki_atr}, .legal = jpki_is_legal
#define OF_SCP03                                                                                   \
    .profile = &cb_profile_scp03, .applet = &cb_applet_scp03,                                      \
    .atr = {cb_vscp03_atr, sizeof cb_vscp03_atr}, .legal = scp03_is_legal
#define OF_PIV                                                                                     \
    .profile = &cb_profile_piv, .applet = &cb_applet_piv,                                          \
    .atr = {cb_vpiv_atr, sizeof cb_vpiv_atr}, .legal = piv_is_legal
#define BUFFERS .state = {.max = CB_CARD_STATE_MAX}, .binding = {.max = CB_BINDING_MAX}

kind kinds[KINDS] = {
    [JPKI] = {.name = "JPKI",
              OF_JPKI,
              .level = CB_LEVEL_TERMINAL_PIN,
              .pin = JPKI_PIN,
              .commands = {3, 4},
              .messages = {3, 4},
              BUFFERS},
    [SCP03] = {.name = "SCP03",
               OF_SCP03,
               .level = CB_LEVEL_POSSESSION,
               .pin = "",
               .commands = {2, 2},
               .messages = {2, 2},
               BUFFERS},
    [SCP03_WITHOUT_COUNTER] = {.name = "SCP03 without a counter",
                               OF_SCP03,
                               .level = CB_LEVEL_POSSESSION,
                               .pin = "",
                               .commands = {2, 2},
                               .messages = {2, 2},
                               BUFFERS},
    [PIV] = {.name = "PIV",
             OF_PIV,
             .level = CB_LEVEL_POSSESSION,
             .pin = "",
             .commands = {3, 1},
             .messages = {3, 1},
             .changes = 3,
             BUFFERS},
    [PIV_WITH_PIN] = {.name = "PIV with the PIN",
                      OF_PIV,
                      .level = CB_LEVEL_TERMINAL_PIN,
                      .pin = PIV_PIN,
                      .commands = {3, 2},
                      .messages = {3, 2},
                      .second_alone = true,
                      .changes = 3,
                      BUFFERS},
    [PIV_WRONG] = {.name = "PIV with a wrong PIN",
                   OF_PIV,
                   .level = CB_LEVEL_TERMINAL_PIN,
                   .pin = PIV_WRONG_PIN,
                   .commands = {3, 2},
                   .messages = {3, 1},
                   .wrong = true,
                   .second_alone = true,
                   .changes = 3,
                   BUFFERS},
    [PIV_SECURED] = {.name = "PIV with secure messaging",
                     OF_PIV,
                     .level = CB_LEVEL_POSSESSION,
                     .pin = "",
                     .commands = {3, 1},
                     .messages = {3, 1},
                     .secured = true,
                     .changes = 3,
                     BUFFERS},
    [PIV_SECURED_WITH_PIN] = {.name = "PIV with secure messaging and the PIN",
                              OF_PIV,
                              .level = CB_LEVEL_TERMINAL_PIN,
                              .pin = PIV_PIN,
                              .commands = {3, 2},
                              .messages = {3, 2},
                              .secured = true,
                              .second_alone = true,
                              .changes = 3,
                              BUFFERS},
    [PIV_RSA] = {.name = "PIV with RSA",
                 OF_PIV,
                 .level = CB_LEVEL_POSSESSION,
                 .pin = "",
                 .commands = {3, 2},
                 .messages = {3, 3},
                 .second_alone = true,
                 .changes = 1,
                 BUFFERS},
    [PIV_SECURED_RSA] = {.name = "PIV with secure messaging and RSA",
                         OF_PIV,
                         .level = CB_LEVEL_POSSESSION,
                         .pin = "",
                         .commands = {3, 2},
                         .messages = {3, 3},
                         .secured = true,
                         .second_alone = true,
                         .changes = 1,
                         BUFFERS},
};

/* ---- Cards ---- */

/* Of the PIN that the kind takes; 0: it takes none. */
static uint8_t tries_of(const cb_vcard *card)
{
    const cb_vpiv_application *piv = cb_vcard_applet(card, &cb_applet_piv);
    const cb_vjpki_application *jpki = cb_vcard_applet(card, &cb_applet_jpki);
    return piv ? piv->state.pin_tries : jpki ? jpki->state.of[CB_VJPKI_AUTHENTICATION].tries : 0;
}

/* A try is taken away, durably, before each comparison. */
static cb_error save(void *context, const cb_vcard *card)
{
    tapped *t = context;
    uint8_t tries = tries_of(card);
    t->compared += tries < t->tries;
    t->tries = tries;
    return CB_OK;
}

cb_vcard *wire_lay(const kind *k, tapped *out)
{
    const cb_vcard_store store = {out, save};
    cb_vcard *card = card_lay(k->applet, k->atr, cb_buf_bytes(&k->state), &store);
    *out = (tapped){.tries = tries_of(card)};
    return card;
}

/* ---- What the terminal does ---- */

static void put_command(const cb_script_item *item, const char *pin, cb_buf *message)
{
    enum { PADDED = 8 };
    size_t len = strlen(pin), whole = item->flags & CB_SCRIPT_PIN_PADDED ? PADDED : len;
    cb_buf_put(message, item->apdu);
    if (!(item->flags & CB_SCRIPT_PIN))
        return;
    cb_buf_put_u8(message, (uint8_t)whole);
    cb_buf_put_str(message, pin);
    for (; len < whole; len++)
        cb_buf_put_u8(message, 0xFF);
}

/* What the card did, of its own answer. */
static void watch(cb_bytes command, cb_bytes answer, tapped *t)
{
    enum { CLA, INS, P1, P2, HEADER, CHAIN = 0x10 };
    if (command.len < HEADER || cb_answer_data(answer).len == 0)
        return;
    if ((command.data[CLA] & ~CHAIN) == CLA_SECURED)
        t->inside++;
    else if (command.data[INS] == CB_VPIV_INS_AUTHENTICATE &&
             command.data[P2] != CB_VPIV_SECURE_MESSAGING)
        t->outside++;
}

/* A command, and the rest of its answer where that comes in parts. at counts messages. */
static void exchange(cb_vcard *card, const cb_script_item *item, const char *pin, place *at,
                     terminal pass, void *context, tapped *t, cb_buf *whole)
{
    cb_buf message = CB_BUF(512), answer = CB_BUF(512);
    put_command(item, pin, &message);
    for (int part = 0; part < PARTS_MAX; part++) {
        cb_buf_reset(&answer);
        pass(context, *at, &message);
        cb_vcard_process(card, cb_buf_bytes(&message), &answer);
        watch(cb_buf_bytes(&message), cb_buf_bytes(&answer), t);
        at->answer = true;
        pass(context, *at, &answer);
        *at = (place){at->script, at->command + 1, false};
        good(cb_buf_error(&answer));
        uint16_t status = cb_answer_status(cb_buf_bytes(&answer));
        if (status >> 8 != SW1_MORE || answer.len == 2) {
            cb_buf_put(whole, cb_buf_bytes(&answer));
            break;
        }
        cb_buf_put(whole, cb_answer_data(cb_buf_bytes(&answer)));
        if (item->flags & CB_SCRIPT_PART) {
            cb_buf_put_u16(whole, CB_SW_OK);
            break;
        }
        cb_buf_reset(&message);
        const uint8_t more[] = {0x00, INS_GET_RESPONSE, 0x00, 0x00, (uint8_t)status};
        cb_buf_put(&message, CB_BYTES_OF(more));
    }
    cb_buf_free(&message);
    cb_buf_free(&answer);
}

static void play(cb_vcard *card, const kind *k, size_t number, const cb_buf *script, terminal pass,
                 void *context, tapped *t, cb_buf *answers)
{
    cb_script commands;
    place at = {number, 0, false};
    good(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &commands));
    assert_int_equal(commands.count, k->commands[number]);
    for (size_t i = 0; i < commands.count; i++) {
        cb_buf whole = CB_BUF(CB_ANSWER_MAX);
        exchange(card, &commands.item[i], k->pin, &at, pass, context, t, &whole);
        good(cb_buf_error(&whole));
        cb_script_put(answers, 0, cb_buf_bytes(&whole));
        bool stop = cb_answer_status(cb_buf_bytes(&whole)) != CB_SW_OK &&
                    !(commands.item[i].flags & CB_SCRIPT_GO_ON);
        cb_buf_free(&whole);
        if (stop)
            break;
    }
}

/* ---- Taps ---- */

static cb_error finish(cb_tap *tap, const kind *k, const cb_buf *answers, tapped *out)
{
    cb_feed_head head = cb_feed_now(secure_lane.feed);
    cb_error error = cb_tap_finish(tap, cb_buf_bytes(answers), &out->claim);
    return error ? error
                 : cb_tap_activate(secure_lane.taps, tap, cb_buf_bytes(&k->binding), &head,
                                   &out->activation);
}

void wire_tap(const kind *k, cb_vcard *card, terminal pass, void *context, tapped *out)
{
    cb_tap *tap;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_tap_context about = {.terminal = cb_id_new(),
                            .profile = k->profile->id,
                            .purpose = CB_TAP_AUTHENTICATE,
                            .level = k->level,
                            .service = "tax"};
    cb_vcard_reset(card);
    *out = (tapped){.tries = out->tries};
    good(cb_tap_begin(secure_lane.taps, secure_lane.host, k->profile->id, &about.terminal,
                      &about.tap, &script));
    good(cb_taps_enter(secure_lane.taps, &about.tap, CB_TAP_BEGUN, &tap));
    play(card, k, 0, &script, pass, context, out, &answers);
    cb_buf_reset(&script);
    out->error = cb_tap_ask_card(secure_lane.taps, tap, &about, cb_buf_bytes(&answers),
                                 (cb_bytes){0}, cb_buf_bytes(&k->binding), &script);
    if (!out->error) {
        cb_buf_reset(&answers);
        play(card, k, 1, &script, pass, context, out, &answers);
        out->error = finish(tap, k, &answers, out);
    }
    cb_taps_end(secure_lane.taps, tap);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

/* Another number, or another name, is another card's. */
bool wire_says_what_happened(cb_error error)
{
    return error == CB_E_CARD_ANSWER || error == CB_E_CARD_STATUS || error == CB_E_CARD_FOREIGN ||
           error == CB_E_CARD_REMOVED || error == CB_E_CARD_PROOF || error == CB_E_HSM_RECORD ||
           error == CB_E_PIN_WRONG;
}

bool wire_pin_is_told(const tapped *t)
{
    bool lost = t->tries > 0 && t->tries < CB_VPIV_PIN_TRIES;
    return t->compared <= 1 && (!lost || t->error == CB_E_PIN_WRONG) &&
           (t->error != CB_E_PIN_WRONG || t->claim.pin_tries_left == t->tries);
}

/* ---- Making and binding them ---- */

static void honest(void *context, place at, cb_buf *message)
{
    (void)context;
    (void)at;
    (void)message;
}

/* As an operator's terminal reads it. certificate: of a JPKI card. */
static void bind(kind *k, cb_bytes certificate)
{
    tapped unused;
    cb_vcard *card = wire_lay(k, &unused);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_binding_info info = {.holder = secure_holder, .level = k->level, .sequence = 1};
    cb_foreign_reading about = {.profile = k->profile->id, .keys = certificate.len > 0};
    void *state = calloc(1, k->profile->state_size);
    assert_non_null(state);
    good(k->profile->begin(state, &secure_lane.host->profile, &script));
    k->profile->end(state);
    free(state);
    play(card, k, 0, &script, honest, NULL, &unused, &answers);
    about.answers = cb_buf_bytes(&answers);
    if (about.keys) {
        about.key[0].use = 0x17;
        about.key[0].certificate = certificate;
    }
    good(cb_foreign_card_check(cb_host_foreign(secure_lane.host, k->profile->id), &about,
                               (int64_t)time(NULL), &info));
    good(fake_vault.binding_make(NULL, &info, &k->binding));
    k->card = info.card;
    cb_buf_free(&script);
    cb_buf_free(&answers);
    cb_vcard_close(&card);
}

static void make_jpki(kind *k)
{
    cb_buf certificate = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    jpki_card_make(&secure_issuer, &k->state, &certificate);
    bind(k, cb_buf_bytes(&certificate));
    cb_buf_free(&certificate);
}

static void make_scp03(kind *k, uint8_t i)
{
    scp03_card_make(i, &k->state);
    bind(k, (cb_bytes){0});
}

/* The card that there is, for a kind. */
static void take_piv(kind *k)
{
    cb_binding_info info;
    secure_bind(&info);
    info.keys.count -= !k->secured && info.keys.key[info.keys.count - 1].use == 0x04;
    cb_vpiv_state_put(&k->state, &secure_card.state);
    good(fake_vault.binding_make(NULL, &info, &k->binding));
    k->card = info.card;
}

int wire_setup(void **state)
{
    secure_setup(state);
    secure_begin_test(state);
    agency_trust(&secure_issuer, CB_PROFILE_JPKI, &secure_lane.host->foreign[1]);
    scp03_card_trust(&secure_lane.host->profile);
    make_jpki(&kinds[JPKI]);
    make_scp03(&kinds[SCP03], CB_SCP03_I_ANSWERS | CB_SCP03_I_PSEUDO_RANDOM);
    make_scp03(&kinds[SCP03_WITHOUT_COUNTER], CB_SCP03_I_ANSWERS);
    secure_card_itself = true;
    for (size_t i = PIV; i <= PIV_WRONG; i++)
        take_piv(&kinds[i]);
    secure_use_virtual_card(CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    for (size_t i = PIV_SECURED; i <= PIV_SECURED_WITH_PIN; i++)
        take_piv(&kinds[i]);
    secure_use_virtual_card(CB_VCARD_EC_P256, CB_VCARD_RSA_2048);
    for (size_t i = PIV_RSA; i <= PIV_SECURED_RSA; i++)
        take_piv(&kinds[i]);
    return 0;
}

int wire_teardown(void **state)
{
    for (size_t i = 0; i < KINDS; i++) {
        cb_buf_free(&kinds[i].state);
        cb_buf_free(&kinds[i].binding);
    }
    secure_end_test(state);
    return secure_teardown(state);
}
