/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/api_foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cardlink/card/jpki/application.h"
#include "cardlink/card/scp03/application.h"
#include "cardlink/issuer/jpki.h"
#include "cardlink/issuer/scp03.h"
#include "cardlink/jpki/commands.h"
#include "tests/fault/api_judge.h"
#include "tests/support/alloc_faults.h"

#define JPKI_PIN "2718"

api_foreign api_foreign_cards[API_FOREIGN_CARDS] = {
    {"piv",
     CB_PROFILE_PIV,
     CB_LEVEL_TERMINAL_PIN,
     "vip",
     PIV_PIN,
     NULL,
     2,
     {CB_VPIV_AUTHENTICATION, CB_VPIV_CARD_AUTHENTICATION},
     {{0}}},
    {"jpki",
     CB_PROFILE_JPKI,
     CB_LEVEL_TERMINAL_PIN,
     "vip",
     JPKI_PIN,
     NULL,
     1,
     {CB_JPKI_KEY},
     {{0}}},
    {"scp03", CB_PROFILE_SCP03, CB_LEVEL_POSSESSION, "tax", "", NULL, 0, {0}, {{0}}},
};

static agency issuer;
static piv_card piv;
static cb_vjpki_state jpki;
static cb_scp03_plain_master master = {.len = 32, .key = {0x77}};

/* ---- Cards ---- */

/* Whatever the keys are by which native cards know the broker. */
static cb_error mac(void *keys, cb_bytes data, uint8_t out[CB_AES_BLOCK])
{
    const cb_scp03_master of = cb_scp03_master_of(&master);
    (void)keys;
    return of.cmac(of.context, data, out);
}

static void trust(cb_host *host)
{
    agency_trust(&issuer, CB_PROFILE_PIV, &host->foreign[0]);
    agency_trust(&issuer, CB_PROFILE_JPKI, &host->foreign[1]);
    host->profile.cmac = mac;
    host->profile.cmac_key_len = cb_scp03_master_of(&master).key_len;
}

static cb_error counts(void *context, cb_bytes certificate)
{
    (void)context, (void)certificate;
    return CB_OK;
}

static cb_vcard *put_down(cb_bytes atr, const cb_applet *applet, const cb_buf *state)
{
    cb_vcard *card;
    cb_card_content content = {0};
    MUST(cb_card_content_set_atr(&content, atr));
    MUST(cb_card_content_add(&content, applet, cb_buf_bytes(state)));
    MUST(cb_vcard_of(&content, NULL, &card));
    return card;
}

void api_foreign_make(void)
{
    static const cb_vjpki_secrets secrets = {{JPKI_PIN, "ABC271"}};
    const cb_scp03_master of = cb_scp03_master_of(&master);
    api_foreign *kinds = api_foreign_cards;
    cb_vscp03_state scp03;
    cb_buf state = CB_BUF(CB_CARD_STATE_MAX);
    alloc_faults_pause(true);
    agency_make(&issuer);
    piv_card_make(&piv, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    kinds[API_PIV].card = piv.card;
    for (size_t i = 0; i < API_FOREIGN_KEYS; i++)
        kinds[API_PIV].certificate[i] = piv.certificate[i];
    MUST(cb_vjpki_make(&issuer.signer, "Yuki", 3, &secrets, &jpki));
    cb_vjpki_state_put(&state, &jpki);
    kinds[API_JPKI].card = put_down(CB_BYTES_OF(cb_vjpki_atr), &cb_applet_jpki, &state);
    kinds[API_JPKI].certificate[0] =
        cb_vjpki_blob_bytes(&jpki.of[CB_VJPKI_AUTHENTICATION].certificate);
    cb_buf_reset(&state);
    MUST(cb_vscp03_make(&of, 0x30, NULL, &scp03));
    cb_vscp03_state_put(&state, &scp03);
    kinds[API_SCP03].card = put_down(CB_BYTES_OF(cb_vscp03_atr), &cb_applet_scp03, &state);
    cb_buf_free(&state);
    alloc_faults_pause(false);
}

void api_foreign_free(void)
{
    alloc_faults_pause(true);
    piv_card_free(&piv);
    cb_vcard_close(&api_foreign_cards[API_JPKI].card);
    cb_vcard_close(&api_foreign_cards[API_SCP03].card);
    agency_free(&issuer);
    alloc_faults_pause(false);
}

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    cb_vcard_process(card, command, answer);
    return cb_buf_error(answer);
}

static void play(void *context, const cb_buf *script, cb_buf *answers)
{
    const api_foreign *card = context;
    cb_script read;
    cb_card_io io = {.card = card->card, .transmit = transmit, .pin = cb_bytes_str(card->pin)};
    MUST(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    MUST(cb_play(&io, &read, answers));
}

void api_foreign_lay_down(api_world *w, api_foreign *card)
{
    w->play = play;
    w->player = card;
}

void api_foreign_begin(api_world *w)
{
    const api_foreign *card = w->player;
    cb_vcard_reset(card->card);
    api_begin(w, card->profile);
}

/* ---- The world ---- */

/* As a manager registers it, by what it says at the beginning of a tap. */
static void register_card(api_world *w, const api_foreign *k)
{
    cb_card card;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), binding = CB_BUF(CB_BINDING_MAX),
           all = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
    api_foreign_begin(w);
    api_answers(w, &answers);
    cb_foreign_reading reading = {
        .profile = k->id, .answers = cb_buf_bytes(&answers), .keys = k->keys};
    for (size_t i = 0; i < k->keys; i++) {
        reading.key[i].use = k->use[i];
        reading.key[i].certificate = k->certificate[i];
        cb_buf_put(&all, k->certificate[i]);
    }
    MUST(cb_hsm_bind_foreign(w->api.hsm, &reading, &w->holder, k->level, 1, &binding));
    cb_card_init(&card);
    MUST(cb_card_add(w->api.store, "test", cb_buf_bytes(&binding), cb_buf_bytes(&all), &card));
    MUST(cb_card_change(w->api.store, "test", &card.id, CB_CARD_ACTIVATE, NULL, NULL));
    cb_card_free(&card);
    cb_buf_free(&answers);
    cb_buf_free(&binding);
    cb_buf_free(&all);
}

void api_foreign_world(api_world *w)
{
    api_world_make_trusting(w, trust);
    w->status = counts;
    MUST(api_world_open(w));
    api_serve(w, "vip", "gives", CB_LEVEL_TERMINAL_PIN);
    for (size_t i = 0; i < API_FOREIGN_CARDS; i++) {
        api_foreign_lay_down(w, &api_foreign_cards[i]);
        register_card(w, &api_foreign_cards[i]);
    }
}
