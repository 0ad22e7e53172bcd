/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The command that gives a card a new PIN by the broker's signature, changed in any way.
 *
 * An input is INS, P1 and P2, each changed by what it is XORed with, the length that is sent (one
 * byte), and bytes that the command's data are XORed with. Only the command as it was signed sets
 * the PIN; whatever else comes changes nothing on the card.
 */
#include <stdlib.h>

#include "base/secret.h"
#include "cardlink/card/native/application.h"
#include "world.h"

enum { WHOLE = CB_PIN_CIPHERTEXT + CB_PROOF_PIN_RESET };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world w;
static cb_vcard_session session; /* up to the broker's first signature */
static uint8_t whole[WHOLE];

static void clean_up(void) { world_free(&w); }

static void must(bool good)
{
    if (!good)
        abort();
}

static void prepare(void)
{
    static bool done;
    cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    if (done)
        return;
    done = true;
    world_make(&w, false);
    atexit(clean_up);
    w.first.pin_tries = 0;
    session.step = CB_VCARD_AUTHENTICATED;
    must(!cb_p256_generate(session.scalar, session.point));
    must(!cb_p256_public(w.signer, session.signer));
    must(!cb_pin_encrypt(CB_PIN_FORM_RESET, (cb_bytes){0}, cb_bytes_str("9753"), session.point,
                         &pin));
    cb_digest digest =
        cb_proof_pin_reset_digest(&session.request, &w.first.card, cb_buf_bytes(&pin));
    memcpy(whole, pin.data, CB_PIN_CIPHERTEXT);
    memcpy(whole + CB_PIN_CIPHERTEXT, w.first.card.bytes, CB_ID_SIZE);
    must(!w.host.sign(w.host.keys, &digest, whole + CB_PIN_CIPHERTEXT + CB_ID_SIZE));
    cb_buf_free(&pin);
}

static void check(const cb_vcard *card, uint16_t status, bool as_signed)
{
    uint8_t fresh[CB_PIN_MAX];
    const cb_vcard_state *now = cb_vcard_state_of(card);
    cb_pin_pad(cb_bytes_str("9753"), fresh);
    must((status == CB_SW_OK) == as_signed);
    must(memcmp(now->pin, as_signed ? fresh : w.first.pin, CB_PIN_MAX) == 0);
    must(now->pin_tries == (as_signed ? CB_VCARD_PIN_TRIES : 0));
    must(now->code_tries == w.first.code_tries && now->counter == 0 &&
         now->failures == w.first.failures && now->life_cycle == w.first.life_cycle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t sent[UINT8_MAX] = {0}, changed = 0;
    cb_vcard *card;
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    uint8_t ins = cb_cursor_u8(&in), p1 = cb_cursor_u8(&in), p2 = cb_cursor_u8(&in);
    uint8_t len = cb_cursor_u8(&in);
    prepare();
    /* A wrong code or PIN, for which there would be tries, is another target's. */
    ins = ins % 3 == 0 ? CB_INS_UNBLOCK : ins % 3 == 1 ? CB_INS_VERIFY : CB_INS_CHANGE;
    if (!cb_cursor_ok(&in) || cb_vcard_make(&w.first, NULL, &card))
        return 0;
    memcpy(sent, whole, WHOLE);
    for (size_t i = 0; i < in.rest.len && i < len; i++) {
        sent[i] ^= in.rest.data[i];
        changed |= i < WHOLE ? in.rest.data[i] : 0;
    }
    cb_buf answer = CB_BUF(512);
    cb_native_application *native = cb_native_of(card);
    native->session = session;
    cb_apdu apdu = {
        CB_NATIVE_CLA, ins, p1 ^ CB_NATIVE_UNBLOCK_SIGNED, p2 ^ 0x80, cb_bytes_make(sent, len),
        false};
    uint16_t status = cb_vcard_pin(native, &apdu, &answer);
    check(card, status,
          ins == CB_INS_UNBLOCK && p1 == 0 && p2 == 0 && len == WHOLE && changed == 0);
    cb_buf_free(&answer);
    cb_vcard_close(&card);
    return 0;
}
