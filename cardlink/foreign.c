/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/foreign.h"

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

cb_error cb_foreign_pin_refused(uint16_t status, cb_card_claim *claim)
{
    claim->pin_tries_left = (status & 0xFFF0) == CB_SW_TRIES_LEFT ? (uint8_t)(status & 0x0F) : 0;
    if (status == CB_SW_BLOCKED || status == CB_SW_TRIES_LEFT) {
        claim->pin = CB_PIN_BLOCKED;
        return CB_E_PIN_BLOCKED;
    }
    if (claim->pin_tries_left == 0)
        return status == 0 ? CB_E_CARD_ANSWER : CB_E_CARD_STATUS;
    claim->pin = CB_PIN_WRONG;
    return CB_E_PIN_WRONG;
}
