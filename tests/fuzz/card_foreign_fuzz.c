/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What cards that others issued answer, to the broker's side of their profiles.
 *
 * The first byte chooses: 01 JPKI instead of PIV, 02 a tap with the PIN, 04 a card without a key
 * that does without it, 08 P-384 and 10 RSA-2048 instead of P-256 (PIV), 20 SCP03, 40 a PIV card
 * that is bound with its key for secure messaging. Then come the answers to the first script, to
 * the second, and to the reading of certificates: each u8 number, and each answer u16 length and
 * bytes. No claim may come of it that verifies, or that is about another card than the one that was
 * recognised; and no second script of a card that did not open its session.
 */
#include <stdlib.h>

#include "cardlink/apdu.h"
#include "cardlink/jpki/commands.h"
#include "cardlink/piv/commands.h"
#include "cardlink/profile.h"
#include "cardlink/x509/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    WITH_JPKI = 1,
    WITH_PIN = 2,
    PIN_ONLY = 4,
    P384 = 8,
    RSA = 16,
    WITH_SCP03 = 32,
    SECURED = 64,
    ANSWERS_MAX = 20
};

/* A master key that anybody could guess: what comes of it is another for each challenge of the
 * host's. */
static cb_error cmac(void *keys, cb_bytes data, uint8_t out[CB_AES_BLOCK])
{
    static const uint8_t master[16] = {1};
    (void)keys;
    return cb_aes_cmac(CB_BYTES_OF(master), &data, 1, out);
}

static cb_card_key some_key(uint8_t use, uint8_t kind)
{
    static uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    if (point[0] == 0 && cb_p256_generate(scalar, point))
        abort();
    cb_card_key key =
        cb_card_key_of_point(point); /* of another kind it is none, and verifies nothing */
    key.use = use;
    key.kind = kind;
    return key;
}

static void make_card(uint8_t wish, cb_known_card *known)
{
    uint8_t kind = wish & RSA    ? CB_CARD_KEY_RSA_2048
                   : wish & P384 ? CB_CARD_KEY_P384
                                 : CB_CARD_KEY_P256;
    known->keys = (cb_card_keys){.count = 1};
    if (wish & WITH_JPKI) {
        known->keys.key[0] = some_key(CB_JPKI_KEY, CB_CARD_KEY_RSA_2048);
        return;
    }
    known->keys.key[0] = some_key(CB_PIV_KEY_AUTHENTICATION, kind);
    known->keys.key[1] = some_key(CB_PIV_KEY_CARD, kind);
    known->keys.count = wish & PIN_ONLY ? 1 : 2;
    if (wish & SECURED)
        known->keys.key[known->keys.count++] = some_key(CB_PIV_KEY_MESSAGING, CB_CARD_KEY_P256);
}

static void take_answers(cb_cursor *in, cb_script *out)
{
    out->count = cb_cursor_u8(in) % ANSWERS_MAX;
    for (size_t i = 0; i < out->count; i++) {
        size_t len = cb_cursor_u16(in);
        out->item[i] =
            (cb_script_item){.apdu = cb_cursor_take(in, len < in->rest.len ? len : in->rest.len)};
    }
}

/* Only what fits says anything that is the card's alone. */
static void check_marks(const cb_card_profile *profile, const cb_script *answers,
                        const cb_x509 *certificate)
{
    cb_bytes mark[CB_PROFILE_MARKS_MAX];
    size_t count = profile->marks(answers, certificate, mark);
    if (count > CB_PROFILE_MARKS_MAX || (count > 0 && !profile->fits(answers, certificate)))
        abort();
    for (size_t i = 0; i < count; i++) {
        if (mark[i].len == 0)
            abort();
    }
}

/* Well formed, and the PIN is wanted in VERIFY alone. */
static void check_script(const cb_buf *encoded)
{
    cb_apdu apdu;
    cb_script script;
    if (cb_script_read(cb_buf_bytes(encoded), CB_COMMAND_MAX, &script) || script.count == 0)
        abort();
    for (size_t i = 0; i < script.count; i++) {
        bool pin = script.item[i].flags & CB_SCRIPT_PIN;
        if (cb_apdu_read(script.item[i].apdu, &apdu))
            abort();
        if (pin && (apdu.cla != 0 || apdu.ins != 0x20 || apdu.p1 != 0 || apdu.data.len > 0))
            abort();
    }
}

static void check_claim(cb_error error, const cb_card_claim *claim, const cb_known_card *known)
{
    static const cb_card_claim nothing;
    bool refused = error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED;
    if (error && !refused) {
        if (memcmp(claim, &nothing, sizeof nothing) != 0)
            abort();
        return;
    }
    if (!cb_id_same(&claim->card, &known->card) || claim->pin_tries_left > 15)
        abort();
    if (refused != (claim->pin == CB_PIN_WRONG || claim->pin == CB_PIN_BLOCKED))
        abort();
    if (claim->signature.len > CB_CARD_SIGNATURE_MAX || cb_profile_verify(claim, &known->keys))
        abort();
}

static void tap(const cb_card_profile *profile, uint8_t wish, cb_cursor *in)
{
    static const uint8_t signer[] = {0x7F, 0x21};
    const cb_profile_host host = {
        .signer_certificate = CB_BYTES_OF(signer), .cmac = cmac, .cmac_key_len = 16};
    const cb_tap_context context = {.profile = profile->id,
                                    .purpose = CB_TAP_AUTHENTICATE,
                                    .level = wish & WITH_PIN ? CB_LEVEL_TERMINAL_PIN
                                                             : CB_LEVEL_POSSESSION,
                                    .service = "tax"};
    cb_script answers;
    cb_id again;
    cb_known_card known = {0};
    cb_card_claim claim;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    void *state = calloc(1, profile->state_size);
    if (!state || profile->begin(state, &host, &script))
        abort();
    check_script(&script);
    cb_buf_reset(&script);
    take_answers(in, &answers);
    cb_error error = profile->recognise(&answers, &known.card);
    if (!error && (profile->recognise(&answers, &again) || !cb_id_same(&again, &known.card)))
        abort();
    const cb_x509 certificate = {.whole = in->rest, .alternative_name = in->rest};
    if (!error && profile->fits)
        profile->fits(&answers, &certificate);
    if (!error && profile->marks)
        check_marks(profile, &answers, &certificate);
    make_card(wish, &known);
    if (profile->challenge(state, &host, &answers, &context, &known, (cb_bytes){0}, &script) ==
        CB_OK) {
        if (error || (profile == &cb_profile_piv && wish & SECURED))
            abort();
        check_script(&script);
        take_answers(in, &answers);
        error = profile->finish(state, &host, &answers, &claim);
        if (!error && profile->proven_in_channel)
            abort();
        check_claim(error, &claim, &known);
        if (profile->finish(state, &host, &answers, &claim) != CB_E_TAP_ORDER)
            abort();
    }
    profile->end(state);
    free(state);
    cb_buf_free(&script);
}

static void read_certificates(const cb_card_profile *profile, cb_cursor *in)
{
    cb_script answers;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    take_answers(in, &answers);
    profile->survey(&answers, &script); /* they are some first script's, too */
    check_script(&script);
    cb_buf_free(&script);
    for (size_t i = 0; i < profile->certificates; i++) {
        uint8_t use;
        cb_buf der = CB_BUF(CB_ANSWER_MAX);
        if (profile->certificate(&answers, i, &use, &der) == CB_OK && use == 0)
            abort();
        cb_buf_free(&der);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    uint8_t wish = cb_cursor_u8(&in);
    const cb_card_profile *profile = wish & WITH_SCP03  ? &cb_profile_scp03
                                     : wish & WITH_JPKI ? &cb_profile_jpki
                                                        : &cb_profile_piv;
    tap(profile, wish, &in);
    if (profile->survey)
        read_certificates(profile, &in);
    return 0;
}
