/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/native/proof.h"

#include "cardlink/native/pin.h"

void cb_proof_date_put(uint32_t date, uint8_t out[CB_PROOF_DATE])
{
    for (int i = CB_PROOF_DATE - 1; i >= 0; i--, date >>= 8)
        out[i] = (uint8_t)date;
}

cb_digest cb_proof_request_digest(const cb_proof_request *request)
{
    static const char undated[] = "cardbroker broker request 1"; /* its final zero is part of it */
    static const char dated[] = "cardbroker broker request 2";
    uint8_t date[CB_PROOF_DATE];
    cb_proof_date_put(request->date, date);
    const cb_bytes parts[] = {request->date ? CB_BYTES_OF(dated) : CB_BYTES_OF(undated),
                              cb_digest_bytes(&request->transcript),
                              cb_digest_bytes(&request->signer_certificate),
                              CB_BYTES_OF(request->nonce),
                              cb_digest_bytes(&request->context),
                              cb_bytes_make(date, request->date ? sizeof date : 0)};
    return cb_sha256_parts(parts, sizeof parts / sizeof parts[0]);
}

cb_digest cb_proof_termination_digest(const cb_proof_request *request, const cb_id *card)
{
    static const char domain[] = "cardbroker termination 1"; /* its final zero is part of it */
    const cb_bytes parts[] = {CB_BYTES_OF(domain),
                              cb_digest_bytes(&request->transcript),
                              cb_digest_bytes(&request->signer_certificate),
                              CB_BYTES_OF(request->nonce),
                              cb_digest_bytes(&request->context),
                              cb_id_bytes(card)};
    return cb_sha256_parts(parts, sizeof parts / sizeof parts[0]);
}

cb_digest cb_proof_pin_reset_digest(const cb_proof_request *request, const cb_id *card,
                                    cb_bytes pin)
{
    static const char domain[] = "cardbroker pin reset 1"; /* its final zero is part of it */
    cb_digest ciphertext = cb_sha256(pin);
    const cb_bytes parts[] = {CB_BYTES_OF(domain),
                              cb_digest_bytes(&request->transcript),
                              cb_digest_bytes(&request->signer_certificate),
                              CB_BYTES_OF(request->nonce),
                              cb_digest_bytes(&request->context),
                              cb_id_bytes(card),
                              cb_digest_bytes(&ciphertext)};
    return cb_sha256_parts(parts, sizeof parts / sizeof parts[0]);
}

cb_digest cb_proof_digest(const cb_proof_request *request, const cb_proof_facts *facts)
{
    static const char silent[] = "cardbroker card proof 1"; /* its final zero is part of it */
    static const char tells[] = "cardbroker card proof 2";
    bool told = facts->generation > 0;
    const uint8_t said[] = {facts->pin_form,
                            facts->pin_state,
                            facts->tries_left,
                            (uint8_t)(facts->failures >> 8),
                            (uint8_t)facts->failures,
                            (uint8_t)(facts->counter >> 24),
                            (uint8_t)(facts->counter >> 16),
                            (uint8_t)(facts->counter >> 8),
                            (uint8_t)facts->counter,
                            facts->life_cycle,
                            facts->generation};
    const cb_bytes parts[] = {told ? CB_BYTES_OF(tells) : CB_BYTES_OF(silent),
                              cb_digest_bytes(&request->transcript),
                              cb_digest_bytes(&request->signer_certificate),
                              CB_BYTES_OF(request->nonce),
                              cb_digest_bytes(&request->context),
                              cb_id_bytes(&facts->card),
                              cb_bytes_make(said, sizeof said - (told ? 0 : 1))};
    return cb_sha256_parts(parts, sizeof parts / sizeof parts[0]);
}

void cb_proof_facts_put(cb_buf *buf, const cb_proof_facts *facts)
{
    cb_buf_put(buf, cb_id_bytes(&facts->card));
    cb_buf_put_u8(buf, facts->pin_form);
    cb_buf_put_u8(buf, facts->pin_state);
    cb_buf_put_u8(buf, facts->tries_left);
    cb_buf_put_u16(buf, facts->failures);
    cb_buf_put_u32(buf, facts->counter);
    cb_buf_put_u8(buf, facts->life_cycle);
    if (facts->generation > 0)
        cb_buf_put_u8(buf, facts->generation);
}

cb_error cb_proof_facts_get(cb_cursor *cursor, bool tells, cb_proof_facts *out)
{
    cb_cursor_copy(cursor, out->card.bytes, CB_ID_SIZE);
    out->pin_form = cb_cursor_u8(cursor);
    out->pin_state = cb_cursor_u8(cursor);
    out->tries_left = cb_cursor_u8(cursor);
    out->failures = cb_cursor_u16(cursor);
    out->counter = cb_cursor_u32(cursor);
    out->life_cycle = cb_cursor_u8(cursor);
    out->generation = tells ? cb_cursor_u8(cursor) : 0;
    if (tells && (out->generation == 0 || out->generation > CB_NATIVE_VERSION_MAX))
        return CB_E_CARD_ANSWER;
    bool presented = out->pin_form != CB_PIN_FORM_NONE;
    if (!cb_cursor_ok(cursor) || out->counter == 0 || out->pin_form > CB_PIN_FORM_RESET ||
        out->pin_state > CB_PIN_BLOCKED || presented != (out->pin_state != CB_PIN_NOT_PRESENTED) ||
        out->life_cycle < CB_LIFE_PERSONALISED || out->life_cycle > CB_LIFE_TERMINATED)
        return CB_E_CARD_ANSWER;
    return CB_OK;
}
