/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A holder logs in with a PIV, a JPKI and an SCP03 card that others issued, over HTTP and through
 * hsmd's lanes, while each allocation of the broker fails in turn. The terminal gets the whole
 * answer, or an error that is said to be the server's, or an end. A tap that did not succeed is not
 * told as accepted, nor when the proof is brought again, and has left no intent open; the next tap
 * of the same card works.
 */
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cardlink/card/jpki/application.h"
#include "cardlink/card/scp03/application.h"
#include "cardlink/issuer/jpki.h"
#include "cardlink/issuer/scp03.h"
#include "cardlink/jpki/commands.h"
#include "foreign_cards.h"
#include "tests/support/alloc_faults.h"

#define JPKI_PIN "2718"

enum { RUNS = 5, PIV = 0, JPKI, SCP03, KINDS, KEYS_MAX = 2 };

typedef struct kind {
    const char *profile;
    uint8_t id, level;
    const char *service, *pin;
    cb_vcard *card;
    unsigned keys;
    uint8_t use[KEYS_MAX];
    cb_bytes certificate[KEYS_MAX];
} kind;

static kind kinds[KINDS] = {
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

typedef struct taps {
    api_world w;
    kind *k; /* whose card lies there */
    bool proves;
    api_tally before;
    size_t script;
} taps;

static agency issuer;
static piv_card piv;
static cb_vjpki_state jpki;
static cb_scp03_plain_master master = {.len = 32, .key = {0x77}};

/* ---- Cards ---- */

static void trust(cb_host *host)
{
    const cb_scp03_master of = cb_scp03_master_of(&master);
    agency_trust(&issuer, CB_PROFILE_PIV, &host->foreign[0]);
    agency_trust(&issuer, CB_PROFILE_JPKI, &host->foreign[1]);
    host->profile.keys = of.context;
    host->profile.cmac = of.cmac;
    host->profile.cmac_key_len = of.key_len;
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

/* Nothing of a card is the broker's memory. */
static void make_cards(void)
{
    static const cb_vjpki_secrets secrets = {{JPKI_PIN, "ABC271"}};
    const cb_scp03_master of = cb_scp03_master_of(&master);
    cb_vscp03_state scp03;
    cb_buf state = CB_BUF(CB_CARD_STATE_MAX);
    alloc_faults_pause(true);
    piv_card_make(&piv, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    kinds[PIV].card = piv.card;
    for (size_t i = 0; i < KEYS_MAX; i++)
        kinds[PIV].certificate[i] = piv.certificate[i];
    MUST(cb_vjpki_make(&issuer.signer, "Yuki", 3, &secrets, &jpki));
    cb_vjpki_state_put(&state, &jpki);
    kinds[JPKI].card = put_down(CB_BYTES_OF(cb_vjpki_atr), &cb_applet_jpki, &state);
    kinds[JPKI].certificate[0] = cb_vjpki_blob_bytes(&jpki.of[CB_VJPKI_AUTHENTICATION].certificate);
    cb_buf_reset(&state);
    MUST(cb_vscp03_make(&of, 0x30, NULL, &scp03));
    cb_vscp03_state_put(&state, &scp03);
    kinds[SCP03].card = put_down(CB_BYTES_OF(cb_vscp03_atr), &cb_applet_scp03, &state);
    cb_buf_free(&state);
    alloc_faults_pause(false);
}

static void free_cards(void)
{
    alloc_faults_pause(true);
    piv_card_free(&piv);
    cb_vcard_close(&kinds[JPKI].card);
    cb_vcard_close(&kinds[SCP03].card);
    alloc_faults_pause(false);
}

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    cb_vcard_process(card, command, answer);
    return cb_buf_error(answer);
}

static void play(void *context, const cb_buf *script, cb_buf *answers)
{
    const taps *t = context;
    cb_script read;
    cb_card_io io = {.card = t->k->card, .transmit = transmit, .pin = cb_bytes_str(t->k->pin)};
    MUST(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    MUST(cb_play(&io, &read, answers));
}

static void begin(taps *t)
{
    cb_vcard_reset(t->k->card);
    api_begin(&t->w, t->k->profile);
}

/* As a manager registers it, by what it says at the beginning of a tap. */
static void register_card(taps *t)
{
    cb_card card;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), binding = CB_BUF(CB_BINDING_MAX),
           all = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
    begin(t);
    api_answers(&t->w, &answers);
    cb_foreign_reading reading = {
        .profile = t->k->id, .answers = cb_buf_bytes(&answers), .keys = t->k->keys};
    for (size_t i = 0; i < t->k->keys; i++) {
        reading.key[i].use = t->k->use[i];
        reading.key[i].certificate = t->k->certificate[i];
        cb_buf_put(&all, t->k->certificate[i]);
    }
    MUST(cb_hsm_bind_foreign(t->w.api.hsm, &reading, &t->w.holder, t->k->level, 1, &binding));
    cb_card_init(&card);
    MUST(cb_card_add(t->w.api.store, "test", cb_buf_bytes(&binding), cb_buf_bytes(&all), &card));
    MUST(cb_card_change(t->w.api.store, "test", &card.id, CB_CARD_ACTIVATE, NULL, NULL));
    cb_card_free(&card);
    cb_buf_free(&answers);
    cb_buf_free(&binding);
    cb_buf_free(&all);
}

static void make(taps *t)
{
    kind *k = t->k;
    api_world_make_trusting(&t->w, trust);
    t->w.status = counts;
    t->w.play = play;
    t->w.player = t;
    MUST(api_world_open(&t->w));
    api_serve(&t->w, "vip", "gives", CB_LEVEL_TERMINAL_PIN);
    for (size_t i = 0; i < KINDS; i++) {
        t->k = &kinds[i];
        register_card(t);
    }
    t->k = k;
    api_world_close(&t->w);
}

/* ---- The steps ---- */

static void ask(taps *t) { api_step(&t->w, "challenge", ",\"service\":\"%s\"", t->k->service); }

static void started(void *context)
{
    taps *t = context;
    api_open_again(&t->w, &t->before);
    begin(t);
}

static void challenged(void *context)
{
    taps *t = context;
    started(t);
    ask(t);
    api_come_to_proof(&t->w);
}

static cb_error challenge(void *context)
{
    taps *t = context;
    ask(t);
    return api_judge_script(&t->w, 200, &t->script);
}

static cb_error prove(void *context)
{
    taps *t = context;
    api_bring_proof(&t->w);
    return api_judge_accept(&t->w, t->k->level, t->k->service, false);
}

/* ---- Afterwards ---- */

static void told_as_it_was(void *context, cb_error result, bool struck)
{
    taps *t = context;
    api_tally is;
    bool told = t->proves && result == CB_OK;
    (void)struck;
    api_settled(&t->w, &t->before, &is);
    api_accepted_as_told(&is, false, told);
    if (t->proves) {
        told = api_bring_again(&t->w) || told;
        api_settled(&t->w, &t->before, &is);
        api_accepted_as_told(&is, false, told);
    }
    api_let_it_sign(&t->w);
    api_count(&t->w, &t->before);
    begin(t);
    ask(t);
    api_come_to_proof(&t->w);
    MUST(prove(t));
    api_settled(&t->w, &t->before, &is);
    api_accepted_as_told(&is, false, true);
    api_world_close(&t->w);
}

static const struct {
    unsigned kind;
    fault_flow flow;
} flows[] = {
    {PIV, {"a PIV card's challenge", started, challenge, told_as_it_was}},
    {PIV, {"a PIV card's proof", challenged, prove, told_as_it_was}},
    {JPKI, {"a JPKI card's challenge", started, challenge, told_as_it_was}},
    {JPKI, {"a JPKI card's proof", challenged, prove, told_as_it_was}},
    {SCP03, {"an SCP03 card's challenge", started, challenge, told_as_it_was}},
    {SCP03, {"an SCP03 card's proof", challenged, prove, told_as_it_was}},
};

static void make_anew(void *context)
{
    taps *t = context;
    api_world_over(&t->w);
    make(t);
}

static void a_tap_of_others_cards_succeeds_or_has_not_been(void **state)
{
    static taps t;
    (void)state;
    agency_make(&issuer);
    make_cards();
    make(&t);
    fault_anew(make_anew);
    fault_theirs(FAULT_THEIRS_HTTP);
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        t.k = &kinds[flows[i].kind];
        t.proves = flows[i].flow.run == prove;
        t.script = 0;
        fault_each(&alloc_faults, &flows[i].flow, &t, RUNS);
    }
    api_world_over(&t.w);
    free_cards();
    agency_free(&issuer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_tap_of_others_cards_succeeds_or_has_not_been, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
