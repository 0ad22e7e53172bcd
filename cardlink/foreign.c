/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/foreign.h"

#include "base/secret.h"
#include "cardlink/apdu.h"

cb_id cb_foreign_card_id(uint8_t profile, cb_bytes distinguishing)
{
    static const char domain[] = "cardbroker foreign card 1"; /* its final zero is part of it */
    cb_id id;
    cb_digest digest = cb_sha256_parts(
        (cb_bytes[]){CB_BYTES_OF(domain), cb_bytes_make(&profile, 1), distinguishing}, 3);
    memcpy(id.bytes, digest.bytes, sizeof id.bytes);
    id.bytes[6] = (uint8_t)(0x80 | (id.bytes[6] & 0x0F));
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3F));
    return id;
}

void cb_foreign_statement(const cb_profile_host *host, const cb_tap_context *context,
                          const cb_id *card, uint8_t use, const uint8_t nonce[CB_FOREIGN_NONCE],
                          uint8_t out[CB_FOREIGN_STATEMENT])
{
    static const char domain[] = "cardbroker foreign proof 1";
    cb_digest broker = cb_sha256(host->signer_certificate);
    cb_digest about = cb_tap_context_digest(context);
    const cb_bytes parts[] = {CB_BYTES_OF(domain),      cb_bytes_make(&context->profile, 1),
                              cb_digest_bytes(&broker), cb_bytes_make(nonce, CB_FOREIGN_NONCE),
                              cb_digest_bytes(&about),  cb_id_bytes(card),
                              cb_bytes_make(&use, 1)};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        memcpy(out, parts[i].data, parts[i].len);
        out += parts[i].len;
    }
}

cb_error cb_foreign_answers(const cb_script *answers, size_t count)
{
    if (answers->count > count)
        return CB_E_CARD_ANSWER;
    for (size_t i = 0; i < answers->count; i++) {
        uint16_t status = cb_answer_status(answers->item[i].apdu);
        if (status == 0)
            return CB_E_CARD_ANSWER;
        if (status != CB_SW_OK)
            return i == 0 || status == CB_SW_FILE_NOT_FOUND ? CB_E_CARD_FOREIGN : CB_E_CARD_STATUS;
    }
    return answers->count == count ? CB_OK : CB_E_CARD_REMOVED;
}

/* What a refused VERIFY means. */
static cb_error pin_refused(uint16_t status, cb_card_claim *claim)
{
    claim->pin_tries_left = (status & 0xFFF0) == CB_SW_TRIES_LEFT ? (uint8_t)(status & 0x0F) : 0;
    if (status == CB_SW_BLOCKED || status == CB_SW_TRIES_LEFT) {
        claim->pin = CB_PIN_BLOCKED;
        return CB_E_PIN_BLOCKED;
    }
    if (claim->pin_tries_left == 0)
        return CB_E_CARD_STATUS;
    claim->pin = CB_PIN_WRONG;
    return CB_E_PIN_WRONG;
}

cb_error cb_foreign_second(const cb_script *answers, size_t count, size_t pin, cb_card_claim *claim)
{
    if (answers->count > count)
        return CB_E_CARD_ANSWER;
    for (size_t i = 0; i < answers->count; i++) {
        uint16_t status = cb_answer_status(answers->item[i].apdu);
        if (status == 0)
            return CB_E_CARD_ANSWER;
        if (status != CB_SW_OK)
            return i == pin && pin < count ? pin_refused(status, claim) : CB_E_CARD_STATUS;
    }
    return answers->count == count ? CB_OK : CB_E_CARD_REMOVED;
}

/* ---- The calls of a profile ---- */

enum { STEP_NEW, STEP_BEGUN, STEP_ASKED, STEP_DONE };

cb_error cb_foreign_begin(const cb_foreign_kind *kind, cb_foreign_tap *tap, cb_buf *script)
{
    if (tap->step != STEP_NEW)
        return CB_E_TAP_ORDER;
    cb_error error = kind->first(tap, script);
    if (!error)
        error = cb_buf_error(script);
    if (!error)
        tap->step = STEP_BEGUN;
    return error;
}

/* Which card is to sign what, with which of its keys. */
static cb_error prepare(const cb_foreign_kind *kind, cb_foreign_tap *tap,
                        const cb_profile_host *host, const cb_tap_context *context,
                        const cb_known_card *known)
{
    uint8_t nonce[CB_FOREIGN_NONCE], statement[CB_FOREIGN_STATEMENT];
    const cb_card_key *key = kind->choose(known, context->level, &tap->with_pin);
    uint8_t reached = tap->with_pin ? CB_LEVEL_TERMINAL_PIN : CB_LEVEL_POSSESSION;
    if (!key || !cb_level_reaches(reached, context->level)) /* no PIN is typed for nothing */
        return CB_E_TAP_LEVEL;
    tap->kind = key->kind;
    tap->claim = (cb_card_claim){.card = known->card,
                                 .pin = tap->with_pin ? CB_PIN_VERIFIED : CB_PIN_NOT_PRESENTED,
                                 .signature = {.use = key->use}};
    cb_random(nonce, sizeof nonce);
    cb_foreign_statement(host, context, &known->card, key->use, nonce, statement);
    return cb_card_digest(key->kind, CB_BYTES_OF(statement), &tap->claim.signature);
}

cb_error cb_foreign_challenge(const cb_foreign_kind *kind, cb_foreign_tap *tap,
                              const cb_profile_host *host, const cb_script *answers,
                              const cb_tap_context *context, const cb_known_card *known,
                              cb_bytes pin, cb_buf *script)
{
    cb_id card;
    if (tap->step != STEP_BEGUN)
        return CB_E_TAP_ORDER;
    tap->step = STEP_DONE; /* unless everything below goes well */
    if (context->profile != kind->profile || !cb_tap_purpose_foreign(context->purpose) || !known ||
        pin.len > 0)
        return CB_E_ARGUMENT;
    cb_error error = kind->recognise(answers, &card);
    if (!error && !cb_id_same(&card, &known->card))
        error = CB_E_HSM_RECORD;
    if (!error)
        error = prepare(kind, tap, host, context, known);
    if (!error)
        error = kind->ask(tap, answers, known, script);
    if (!error)
        error = cb_buf_error(script);
    if (!error)
        tap->step = STEP_ASKED;
    return error;
}

cb_error cb_foreign_finish(const cb_foreign_kind *kind, cb_foreign_tap *tap,
                           const cb_script *answers, cb_card_claim *claim)
{
    *claim = (cb_card_claim){0};
    if (tap->step != STEP_ASKED)
        return CB_E_TAP_ORDER;
    cb_error error = kind->read(tap, answers);
    if (!error || error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED)
        *claim = tap->claim;
    cb_foreign_end(tap);
    return error;
}

void cb_foreign_end(void *state)
{
    cb_wipe(state, sizeof(cb_foreign_tap));
    ((cb_foreign_tap *)state)->step = STEP_DONE;
}
