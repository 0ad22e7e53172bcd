/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a PIV card says of its secure messaging, to the broker's side. The first byte chooses:
 *
 *   0  a card verifiable certificate: what is read lies in it
 *   1  the answer to an offer whose key is fixed: a session only if the whole of it is as the
 * corpus has it, for a cryptogram cannot be guessed 2  answers, each u16 length and bytes, in a
 * session whose keys are fixed: an end with the first that is wrong 3  the same, with the MAC and
 * the outer status put behind each: what stands before them is looked at
 */
#include <stdlib.h>

#include "base/tlv.h"
#include "cardlink/piv/agreement.h"
#include "cardlink/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWERS_MAX = 8 };

static bool lies_in(cb_bytes part, cb_bytes whole)
{
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             part.data + part.len <= whole.data + whole.len);
}

static void check_certificate(const cb_piv_cvc *cvc, cb_bytes in)
{
    const cb_bytes parts[] = {cvc->whole, cvc->signed_bytes, cvc->issuer,   cvc->subject,
                              cvc->point, cvc->algorithm,    cvc->signature};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!lies_in(parts[i], in))
            abort();
    }
    if (cvc->issuer.len != CB_PIV_CVC_NAME || cvc->point.len != CB_P256_POINT ||
        cvc->subject.len != (size_t)(cvc->intermediate ? CB_PIV_CVC_NAME : CB_PIV_GUID))
        abort();
}

static void certificate(cb_bytes in)
{
    cb_piv_cvc cvc;
    if (cb_piv_cvc_read(in, &cvc) == CB_OK)
        check_certificate(&cvc, in);
}

static void agree(cb_bytes in)
{
    static const uint8_t scalar[CB_P256_SCALAR] = {0x43, 0x31, 0xFA, 0x6D, 0x3F, 0x1A, 0x28, 0x35,
                                                   0xC0, 0x12, 0xF3, 0x65, 0xD1, 0x44, 0xDB, 0xF8,
                                                   0x3C, 0x77, 0x43, 0x9E, 0x1C, 0x3A, 0x7F, 0x78,
                                                   0x55, 0xFD, 0x4F, 0x32, 0x09, 0x62, 0xBB, 0x50};
    static const cb_piv_session closed;
    static const cb_piv_offer none;
    cb_piv_answer answer;
    cb_piv_session session;
    cb_piv_offer offer = {.id = {0}};
    memcpy(offer.scalar, scalar, sizeof scalar);
    if (cb_p256_public(offer.scalar, offer.point))
        abort();
    if (cb_piv_answer_read(in, &answer))
        return;
    check_certificate(&answer.certificate, in);
    cb_error error = cb_piv_agree(&offer, &answer, answer.certificate.point, &session);
    if (memcmp(&offer, &none, sizeof none) != 0 || session.open != (error == CB_OK) ||
        (error && memcmp(&session, &closed, sizeof closed) != 0))
        abort();
}

static void ask(cb_piv_session *session)
{
    static const uint8_t keys[3 * CB_PIV_SESSION_KEY] = {1};
    cb_piv_session_begin(session, keys);
    for (size_t i = 0; i < ANSWERS_MAX; i++) {
        size_t parts;
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
        if (cb_piv_wrap(session, &(cb_apdu){.ins = 0xCB, .le = true}, &script, &parts))
            abort();
        cb_buf_free(&script);
    }
}

static void put_mac(const cb_piv_session *session, cb_bytes objects, cb_buf *answer)
{
    uint8_t mac[CB_AES_BLOCK];
    const cb_bytes parts[] = {CB_BYTES_OF(session->answer_chain), objects};
    if (cb_aes_cmac(CB_BYTES_OF(session->rmac), parts, 2, mac))
        abort();
    cb_buf_put(answer, objects);
    cb_tlv_put(answer, 0x8E, cb_bytes_make(mac, CB_PIV_MAC));
    cb_buf_put_u16(answer, CB_SW_OK);
}

static void answers(cb_cursor in, bool with_mac)
{
    static const cb_piv_session closed;
    cb_piv_session session;
    cb_error error = CB_OK;
    ask(&session);
    for (size_t i = 0; i < ANSWERS_MAX && in.rest.len > 0; i++) {
        size_t len = cb_cursor_u16(&in);
        uint16_t status;
        cb_bytes said = cb_cursor_take(&in, len < in.rest.len ? len : in.rest.len);
        cb_buf answer = CB_BUF(CB_SCRIPT_BYTES_MAX), data = CB_BUF(CB_ANSWER_MAX);
        if (with_mac && session.open)
            put_mac(&session, said, &answer);
        else
            cb_buf_put(&answer, said);
        cb_error now = cb_piv_open(&session, cb_buf_bytes(&answer), &data, &status);
        if (error && now == CB_OK)
            abort();
        if (now && (status != 0 || data.len > 0 || memcmp(&session, &closed, sizeof closed) != 0))
            abort();
        if (!now && (data.len >= said.len || session.answered != i + 1))
            abort();
        if (!now && !with_mac) /* a MAC of eight bytes was guessed */
            abort();
        error = now;
        cb_buf_free(&answer);
        cb_buf_free(&data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    uint8_t wish = cb_cursor_u8(&in) % 4;
    if (wish == 0)
        certificate(in.rest);
    else if (wish == 1)
        agree(in.rest);
    else
        answers(in, wish == 3);
    return 0;
}
