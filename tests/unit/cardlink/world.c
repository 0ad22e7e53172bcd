/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "world.h"

#include <stdlib.h>

#include "base/config.h"
#include "base/secret.h"
#include "cardlink/native/native.h"

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != CB_OK)                                                                       \
            abort();                                                                               \
    } while (0)

static cb_error agree(void *keys, const uint8_t peer[CB_P256_POINT], uint8_t shared[CB_P256_SCALAR])
{
    return cb_p256_agree(((world *)keys)->agreement, cb_bytes_make(peer, CB_P256_POINT), shared);
}

static cb_error sign(void *keys, const cb_digest *digest, uint8_t signature[CB_P256_SIGNATURE])
{
    return cb_p256_sign(((world *)keys)->signer, digest, signature);
}

static void make_broker(world *w, cb_issue_days days)
{
    uint8_t point[CB_P256_POINT];
    MUST(cb_p256_generate(w->agreement, point));
    MUST(cb_issue_certificate(&w->brokers, cb_bytes_str("broker"), CB_CVC_AGREEMENT,
                              CB_BYTES_OF(point), days, &w->agreement_certificate));
    MUST(cb_p256_generate(w->signer, point));
    MUST(cb_issue_certificate(&w->brokers, cb_bytes_str("broker"), CB_CVC_BROKER_SIGNATURE,
                              CB_BYTES_OF(point), days, &w->signer_certificate));
    w->host = (cb_profile_host){.keys = w,
                                .agree = agree,
                                .sign = sign,
                                .key_id = 0x20,
                                .key_version = 0x01,
                                .agreement_certificate = cb_buf_bytes(&w->agreement_certificate),
                                .signer_certificate = cb_buf_bytes(&w->signer_certificate),
                                .trust = &w->cards.anchor,
                                .trust_count = 1};
}

static void make_card(world *w, bool in_transit, cb_issue_days days)
{
    w->kloc = (cb_vcard_kloc){.key_id = 0x20, .key_version = 0x01};
    w->kloc.name_len = (uint8_t)w->brokers.anchor.name_len;
    memcpy(w->kloc.name, w->brokers.anchor.name, w->kloc.name_len);
    memcpy(w->kloc.point, w->brokers.anchor.point, CB_P256_POINT);
    cb_issue_order order = {&w->kloc,   1,   cb_bytes_str(WORLD_PIN), cb_bytes_str(WORLD_CODE),
                            in_transit, days};
    MUST(cb_issue_card(&w->cards, &w->batch, &order, &w->first, &w->certificate));
    MUST(cb_vcard_make(&w->first, NULL, &w->card));
    cb_id card;
    MUST(cb_card_certificate_check(cb_buf_bytes(&w->certificate), &w->cards.anchor, 1, &card,
                                   w->point));
}

void world_make(world *w, bool in_transit)
{
    cb_issue_days days = cb_issue_days_from_today(5);
    cb_buf own = CB_BUF(CB_CVC_MAX);
    *w = (world){0};
    cb_buf_init(&w->agreement_certificate, CB_CVC_MAX);
    cb_buf_init(&w->signer_certificate, CB_CVC_MAX);
    cb_buf_init(&w->certificate, CB_CVC_MAX);
    MUST(cb_issue_authority_make(cb_bytes_str("test cards"), days, &w->cards, &own));
    cb_buf_reset(&own);
    MUST(cb_issue_authority_make(cb_bytes_str("test brokers"), days, &w->brokers, &own));
    MUST(cb_issue_batch_make(&w->cards, cb_bytes_str("batch 1"), days, &w->batch));
    make_broker(w, days);
    make_card(w, in_transit, days);
    w->context = (cb_tap_context){.tap = cb_id_new(),
                                  .terminal = cb_id_new(),
                                  .profile = CB_PROFILE_NATIVE,
                                  .purpose = CB_TAP_AUTHENTICATE,
                                  .level = CB_LEVEL_POSSESSION,
                                  .service = "tax"};
    cb_buf_free(&own);
}

void world_free(world *w)
{
    cb_vcard_close(&w->card);
    cb_buf_free(&w->agreement_certificate);
    cb_buf_free(&w->signer_certificate);
    cb_buf_free(&w->certificate);
    cb_wipe(w, sizeof *w);
}

void world_redate(world *w, cb_issue_days batch, uint32_t today)
{
    cb_cvc cvc;
    cb_buf made = CB_BUF(CB_NATIVE_CERTIFICATE_MAX);
    MUST(cb_cvc_parse(cb_bytes_make(w->first.batch_certificate, w->first.batch_certificate_len),
                      &cvc));
    MUST(cb_issue_certificate(&w->cards, cvc.subject, CB_CVC_AGREEMENT, cvc.point, batch, &made));
    memcpy(w->first.batch_certificate, made.data, made.len);
    w->first.batch_certificate_len = (uint8_t)made.len;
    w->first.today = today;
    w->first.last_day = batch.last;
    cb_vcard_close(&w->card);
    MUST(cb_vcard_make(&w->first, NULL, &w->card));
    cb_buf_free(&made);
}

void world_next_make(world_next *next, world *w)
{
    cb_profile_host *host = &w->host;
    uint8_t version = host->key_version;
    world_make(&next->keys, false);
    cb_buf_init(&next->link, CB_CVC_MAX);
    MUST(cb_issue_link(&w->brokers, &next->keys.brokers.anchor, host->key_id, version,
                       (uint8_t)(version + 1), cb_issue_days_from_today(5), &next->link));
    next->older = (cb_host_older){host->keys, version, host->agreement_certificate,
                                  host->signer_certificate, cb_buf_bytes(&next->link)};
    host->older = &next->older;
    host->older_count = 1;
    host->keys = &next->keys;
    host->key_version++;
    host->agreement_certificate = next->keys.host.agreement_certificate;
    host->signer_certificate = next->keys.host.signer_certificate;
}

void world_next_free(world_next *next)
{
    world_free(&next->keys);
    cb_buf_free(&next->link);
}

void world_play(cb_vcard *card, const cb_buf *script, cb_buf *answers)
{
    cb_script commands;
    cb_buf_reset(answers);
    cb_buf first = CB_BUF(CB_ANSWER_MAX);
    MUST(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &commands));
    for (size_t i = 0; i < commands.count; i++) {
        if (!cb_script_plays(&commands.item[i], cb_buf_bytes(&first)))
            continue;
        cb_buf answer = CB_BUF(CB_ANSWER_MAX);
        cb_vcard_process(card, commands.item[i].apdu, &answer);
        MUST(cb_buf_error(&answer));
        cb_script_put(answers, 0, cb_buf_bytes(&answer));
        if (i == 0)
            cb_buf_put(&first, cb_buf_bytes(&answer));
        bool go_on = cb_answer_status(cb_buf_bytes(&answer)) == CB_SW_OK ||
                     (commands.item[i].flags & CB_SCRIPT_GO_ON);
        cb_buf_free(&answer);
        if (!go_on)
            break;
    }
    cb_buf_free(&first);
}

void *world_state(void)
{
    void *state = calloc(1, cb_profile_native.state_size);
    if (!state)
        abort();
    return state;
}

cb_error world_begin(world *w, void *state, cb_buf *script)
{
    cb_buf_reset(script);
    return cb_profile_native.begin(state, &w->host, script);
}

cb_error world_challenge(world *w, void *state, const cb_buf *answers, typed pin, cb_buf *script)
{
    cb_script read;
    uint8_t card_key[CB_P256_POINT];
    cb_buf ciphertext = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    const cb_known_card known = {.card = w->first.card};
    const uint8_t purpose = w->context.purpose;
    bool named = purpose == CB_TAP_PIN_RESET || purpose == CB_TAP_CARD_END;
    cb_buf_reset(script);
    cb_error error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read);
    if (!error && pin.secret && cb_pin_card_key(&read, card_key) == CB_OK)
        error = cb_pin_encrypt(cb_pin_form_for(purpose), cb_bytes_str(pin.secret),
                               cb_bytes_str(pin.fresh), card_key, &ciphertext);
    if (!error)
        error =
            cb_profile_native.challenge(state, &w->host, &read, &w->context, named ? &known : NULL,
                                        cb_buf_bytes(&ciphertext), script);
    cb_buf_free(&ciphertext);
    return error;
}

cb_error world_finish(world *w, void *state, const cb_buf *answers, cb_card_claim *claim)
{
    cb_script read;
    cb_error error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read);
    if (!error)
        error = cb_profile_native.finish(state, &w->host, &read, claim);
    const cb_card_keys keys = {.count = 1, .key = {cb_card_key_of_point(w->point)}};
    if (!error && (!cb_profile_verify(claim, &keys) ||
                   !cb_id_same(&claim->card, &w->first.card)))
        error = CB_E_CARD_PROOF;
    return error;
}

cb_error world_tap(world *w, typed pin, cb_card_claim *claim)
{
    void *state = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    *claim = (cb_card_claim){0};
    cb_vcard_reset(w->card);
    cb_error error = world_begin(w, state, &script);
    if (!error) {
        world_play(w->card, &script, &answers);
        error = world_challenge(w, state, &answers, pin, &script);
    }
    if (!error) {
        world_play(w->card, &script, &answers);
        error = world_finish(w, state, &answers, claim);
    }
    cb_profile_native.end(state);
    free(state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

cb_error world_state_read(const char *path, cb_vcard_state *out)
{
    cb_buf file = CB_BUF(CB_VCARD_STATE_MAX);
    cb_error error = cb_card_file_read(path, &file);
    if (!error)
        error = cb_vcard_state_parse(cb_buf_bytes(&file), out);
    cb_buf_free(&file);
    return error;
}

cb_error world_state_write(const char *path, const cb_vcard_state *state)
{
    cb_buf file = CB_BUF(CB_VCARD_STATE_MAX);
    cb_vcard_state_put(&file, state);
    cb_error error = cb_buf_error(&file);
    if (!error)
        error = cb_file_replace(path, cb_buf_bytes(&file), 0600);
    cb_buf_free(&file);
    return error;
}
