/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's side of the native profile: the three calls of profile.h.
 */
#include "cardlink/native/certificate.h"
#include "cardlink/native/first.h"
#include "cardlink/native/pin.h"
#include "cardlink/native/proof.h"

#include "base/clock.h"
#include "base/secret.h"
#include "base/tlv.h"

typedef enum tap_step { STEP_NEW, STEP_BEGUN, STEP_ASKED, STEP_DONE } tap_step;

/* The commands of the second script, in their order; the PIN is left out when none is presented. */
enum { SECOND_SIGNER, SECOND_REQUEST, SECOND_PIN, SECOND_PROOF, SECOND_MAX };

typedef struct native_tap {
    uint8_t step;
    uint8_t scalar[CB_P256_SCALAR]; /* the session's own; wiped once the channel is open */
    uint8_t point[CB_P256_POINT];
    cb_sm sm; /* enc and rmac alone after the second script was made */
    cb_sm_mark mark[SECOND_MAX];
    bool with_pin;
    uint8_t pin_form;
    bool
        ends; /* the last command asks for no proof, but ends this card, which proves that it was */
    bool resets; /* this card takes a new PIN by the broker's word */
    cb_id card;  /* which is named to the broker: for the two of these */
    uint8_t retired; /* with which the first script was made */
    bool tells;
    bool over;          /* the card's batch: the card is told the date, or ended */
    cb_generation used; /* once the card has answered */
    cb_proof_request request;
} native_tap;

static cb_error begin(void *state, const cb_profile_host *host, cb_buf *script)
{
    native_tap *tap = state;
    uint8_t data[CB_CHANNEL_DATA];
    if (tap->step != STEP_NEW)
        return CB_E_TAP_ORDER;
    cb_error error = cb_p256_generate(tap->scalar, tap->point);
    if (error)
        return error;
    cb_channel_data_make(tap->point, data);
    tap->retired = host->retired;
    error = cb_native_first_put(host, tap->retired, data, script);
    if (!error)
        tap->step = STEP_BEGUN;
    return error;
}

/* The certificate in the card's store, believed. */
static cb_error read_store(const cb_profile_host *host, cb_bytes answer, cb_bytes *certificate,
                           cb_batch_facts *batch)
{
    cb_cursor cursor = cb_cursor_over(cb_answer_data(answer));
    *certificate = cb_tlv_expect(&cursor, CB_TAG_STORE);
    if (!cb_cursor_done(&cursor))
        return CB_E_CARD_ANSWER;
    return cb_batch_certificate_check(*certificate, host->trust, host->trust_count, batch);
}

static cb_error read_mutual(cb_bytes answer, cb_bytes *point, cb_bytes *receipt)
{
    cb_cursor cursor = cb_cursor_over(cb_answer_data(answer));
    *point = cb_tlv_expect(&cursor, CB_TAG_EPHEMERAL);
    *receipt = cb_tlv_expect(&cursor, CB_TAG_RECEIPT);
    if (!cb_cursor_done(&cursor) || point->len != CB_P256_POINT ||
        receipt->len != CB_NATIVE_RECEIPT)
        return CB_E_CARD_ANSWER;
    return CB_OK;
}

/* Derives the keys and checks that the card derived the same: from here on the other end holds the
 * batch's key. */
static cb_error open_channel(native_tap *tap, const cb_profile_host *host, cb_bytes certificate,
                             const uint8_t batch_point[CB_P256_POINT], cb_bytes mutual)
{
    uint8_t ephemeral[CB_P256_SCALAR], fixed[CB_P256_SCALAR];
    uint8_t data[CB_CHANNEL_DATA], receipt[CB_NATIVE_RECEIPT];
    cb_bytes card_point, sent_receipt;
    cb_error error = read_mutual(mutual, &card_point, &sent_receipt);
    if (!error && cb_p256_agree(tap->scalar, card_point, ephemeral))
        error = CB_E_CARD_ANSWER;
    if (!error)
        error = host->agree(tap->used.keys, batch_point, fixed);
    if (!error) {
        cb_channel_data_make(tap->point, data);
        error = cb_channel_open(ephemeral, fixed, data, card_point.data, &tap->sm, receipt);
    }
    if (!error && !cb_equal(CB_BYTES_OF(receipt), sent_receipt))
        error = CB_E_CARD_ANSWER;
    if (!error)
        tap->request.transcript = cb_channel_transcript(
            &(cb_channel_facts){host->key_id, tap->used.version, tap->used.agreement, certificate,
                                tap->point, card_point.data, receipt});
    cb_wipe(tap->scalar, sizeof tap->scalar);
    cb_wipe(ephemeral, sizeof ephemeral);
    cb_wipe(fixed, sizeof fixed);
    return error;
}

static cb_error put_secure(native_tap *tap, unsigned which, uint8_t flags, const cb_apdu *plain,
                           cb_buf *script)
{
    cb_buf bytes = CB_BUF(CB_COMMAND_MAX);
    cb_error error = cb_sm_wrap_command(&tap->sm, plain, &bytes, &tap->mark[which]);
    if (!error)
        cb_script_put(script, flags, cb_buf_bytes(&bytes));
    cb_buf_free(&bytes);
    return error ? error : cb_buf_error(script);
}

/* Names the card, and the PIN that it is for: another card does not take it. */
static cb_error put_pin_reset(native_tap *tap, const cb_profile_host *host, cb_bytes pin,
                              cb_buf *script)
{
    uint8_t signature[CB_P256_SIGNATURE];
    cb_digest digest = cb_proof_pin_reset_digest(&tap->request, &tap->card, pin);
    cb_error error = host->sign(tap->used.keys, &digest, signature);
    if (error)
        return error;
    cb_buf data = CB_BUF(CB_PIN_CIPHERTEXT + CB_PROOF_PIN_RESET);
    cb_buf_put(&data, pin);
    cb_buf_put(&data, cb_id_bytes(&tap->card));
    cb_buf_put(&data, CB_BYTES_OF(signature));
    error = cb_buf_error(&data);
    if (!error)
        error = put_secure(tap, SECOND_PIN, CB_SCRIPT_GO_ON,
                           &(cb_apdu){CB_NATIVE_CLA, CB_INS_UNBLOCK, CB_NATIVE_UNBLOCK_SIGNED, 0x80,
                                      cb_buf_bytes(&data), false},
                           script);
    cb_buf_free(&data);
    return error;
}

/* The failure of a PIN shows in the proof, authentically; so the script goes on after it. */
static cb_error put_pin(native_tap *tap, const cb_profile_host *host, cb_bytes pin, cb_buf *script)
{
    static const uint8_t ins[] = {[CB_PIN_FORM_VERIFY] = CB_INS_VERIFY,
                                  [CB_PIN_FORM_CHANGE] = CB_INS_CHANGE,
                                  [CB_PIN_FORM_UNBLOCK] = CB_INS_UNBLOCK};
    if (tap->resets)
        return put_pin_reset(tap, host, pin, script);
    return put_secure(tap, SECOND_PIN, CB_SCRIPT_GO_ON,
                      &(cb_apdu){CB_NATIVE_CLA, ins[tap->pin_form], 0x00, 0x80, pin, false},
                      script);
}

static cb_error put_request(native_tap *tap, const cb_profile_host *host, cb_buf *script)
{
    uint8_t signature[CB_P256_SIGNATURE], date[CB_PROOF_DATE];
    cb_digest digest = cb_proof_request_digest(&tap->request);
    cb_error error = host->sign(tap->used.keys, &digest, signature);
    if (error)
        return error;
    cb_buf data = CB_BUF(CB_PROOF_REQUEST + CB_PROOF_DATE);
    cb_proof_date_put(tap->request.date, date);
    cb_buf_put(&data, CB_BYTES_OF(tap->request.nonce));
    cb_buf_put(&data, cb_digest_bytes(&tap->request.context));
    cb_buf_put(&data, cb_bytes_make(date, tap->tells ? sizeof date : 0));
    cb_buf_put(&data, CB_BYTES_OF(signature));
    error = cb_buf_error(&data);
    if (!error)
        error = put_secure(
            tap, SECOND_REQUEST, 0,
            &(cb_apdu){CB_NATIVE_CLA, CB_INS_REQUEST, 0x00, 0x00, cb_buf_bytes(&data), false},
            script);
    cb_buf_free(&data);
    return error;
}

/* Names the card: another one does not carry it out. */
static cb_error put_termination(native_tap *tap, const cb_profile_host *host, cb_buf *script)
{
    uint8_t signature[CB_P256_SIGNATURE];
    cb_digest digest = cb_proof_termination_digest(&tap->request, &tap->card);
    cb_error error = host->sign(tap->used.keys, &digest, signature);
    if (error)
        return error;
    cb_buf data = CB_BUF(CB_PROOF_TERMINATION);
    cb_buf_put(&data, cb_id_bytes(&tap->card));
    cb_buf_put(&data, CB_BYTES_OF(signature));
    error = cb_buf_error(&data);
    if (!error)
        error = put_secure(
            tap, SECOND_PROOF, 0,
            &(cb_apdu){CB_NATIVE_CLA, CB_INS_TERMINATE, 0x00, 0x00, cb_buf_bytes(&data), false},
            script);
    cb_buf_free(&data);
    return error;
}

static cb_error put_proof(native_tap *tap, const cb_profile_host *host, cb_buf *script)
{
    if (tap->ends)
        return put_termination(tap, host, script);
    return put_secure(tap, SECOND_PROOF, 0,
                      &(cb_apdu){CB_NATIVE_CLA, CB_INS_PROVE, 0x00, 0x00, {0}, true}, script);
}

static cb_error put_second(native_tap *tap, const cb_profile_host *host, cb_bytes pin,
                           cb_buf *script)
{
    cb_error error = put_secure(tap, SECOND_SIGNER, 0,
                                &(cb_apdu){CB_NATIVE_CLA, CB_INS_PSO, tap->used.version,
                                           host->key_id, tap->used.signer, false},
                                script);
    if (!error)
        error = put_request(tap, host, script);
    if (!error && tap->with_pin)
        error = put_pin(tap, host, pin, script);
    if (!error)
        error = put_proof(tap, host, script);
    cb_wipe(tap->sm.mac, sizeof tap->sm.mac);
    return error;
}

static cb_error challenge_checks(native_tap *tap, const cb_tap_context *context,
                                 const cb_known_card *known, cb_bytes pin)
{
    tap->ends = context->purpose == CB_TAP_CARD_END;
    tap->resets = context->purpose == CB_TAP_PIN_RESET;
    if ((tap->ends || tap->resets) != (known != NULL))
        return CB_E_ARGUMENT;
    if (known)
        tap->card = known->card;
    if (tap->ends)
        return pin.len > 0 || context->profile != CB_PROFILE_NATIVE ? CB_E_ARGUMENT : CB_OK;
    tap->pin_form = (uint8_t)cb_pin_form_for(context->purpose);
    tap->with_pin = pin.len > 0;
    if (context->profile != CB_PROFILE_NATIVE || tap->pin_form == CB_PIN_FORM_NONE)
        return CB_E_ARGUMENT;
    if (!tap->with_pin && tap->pin_form != CB_PIN_FORM_VERIFY)
        return CB_E_PIN_REQUIRED;
    return tap->with_pin && pin.len != CB_PIN_CIPHERTEXT ? CB_E_PIN_FORMAT : CB_OK;
}

/* A card whose batch is over is told the date, so that it ends by itself, or is ended. It gets no
 * PIN: who it is was vouched for until that day. */
static cb_error look_at_days(native_tap *tap, bool over)
{
    tap->over = over;
    if (!over || tap->ends)
        return CB_OK;
    tap->with_pin = false;
    return tap->pin_form == CB_PIN_FORM_VERIFY ? CB_OK : CB_E_CARD_EXPIRED;
}

/* Today; for a card that is to be ended a day that it knows already, or it would only say that it
 * is over. */
static uint32_t date_for(const native_tap *tap, const cb_batch_facts *batch)
{
    if (!tap->tells)
        return 0;
    return tap->ends ? batch->first_day : cb_cvc_day(cb_clock_wall_us());
}

static cb_error challenge(void *state, const cb_profile_host *host, const cb_script *answers,
                          const cb_tap_context *context, const cb_known_card *known, cb_bytes pin,
                          cb_buf *script)
{
    native_tap *tap = state;
    cb_native_first first;
    cb_bytes certificate = {0};
    cb_batch_facts batch = {.over = false};
    if (tap->step != STEP_BEGUN)
        return CB_E_TAP_ORDER;
    tap->step = STEP_DONE; /* unless everything below goes well */
    cb_error error = CB_OK;
    /* A foreign card refuses our certificate; that its own is foreign to us says more. */
    if (answers->count > CB_NATIVE_STORE_ANSWER &&
        cb_answer_status(answers->item[CB_NATIVE_STORE_ANSWER].apdu) == CB_SW_OK)
        error = read_store(host, answers->item[CB_NATIVE_STORE_ANSWER].apdu, &certificate, &batch);
    if (!error)
        error = cb_native_first_read(host, tap->retired, answers, &first);
    if (!error)
        error = challenge_checks(tap, context, known, pin);
    if (!error)
        error = look_at_days(tap, batch.over);
    if (!error) {
        tap->used = first.used;
        tap->tells = first.tells;
        error = open_channel(tap, host, certificate, batch.point, first.mutual);
    }
    if (!error) {
        tap->request.signer_certificate = cb_sha256(tap->used.signer);
        tap->request.date = date_for(tap, &batch);
        tap->request.context = cb_tap_context_digest(context);
        cb_random(tap->request.nonce, sizeof tap->request.nonce);
        error = put_second(tap, host, pin, script);
    }
    if (error)
        cb_wipe(tap, sizeof *tap);
    tap->step = error ? STEP_DONE : STEP_ASKED;
    return error;
}

static cb_error second_failure(uint16_t status)
{
    switch (status) {
    case 0:
        return CB_E_CARD_ANSWER;
    case CB_SW_CONDITIONS:
        return CB_E_CARD_NOT_ACTIVE;
    case CB_SW_TERMINATED:
        return CB_E_CARD_BLOCKED;
    case CB_SW_EXPIRED:
        return CB_E_CARD_EXPIRED;
    default:
        return CB_E_CARD_STATUS;
    }
}

/* Opens the answer to a command that has no data to give; a failure of the PIN is not looked at
 * here. */
static cb_error check_empty(const native_tap *tap, unsigned which, cb_bytes answer)
{
    uint16_t status = cb_answer_status(answer);
    cb_buf data = CB_BUF(CB_APDU_DATA_MAX);
    if (status != CB_SW_OK)
        return which == SECOND_PIN && status != 0 ? CB_OK : second_failure(status);
    cb_error error = cb_sm_open_answer(&tap->sm, &tap->mark[which], answer, &data);
    if (!error && data.len > 0)
        error = CB_E_CARD_ANSWER;
    cb_buf_free(&data);
    return error;
}

static void claim_fill(const native_tap *tap, const cb_proof_facts *facts, cb_card_claim *claim)
{
    *claim = (cb_card_claim){.card = facts->card,
                             .pin = facts->pin_state,
                             .pin_tries_left = facts->tries_left,
                             .pin_failures = facts->failures,
                             .counter = facts->counter,
                             .generation = tap->tells ? facts->generation : tap->used.version,
                             .over = tap->over,
                             .served_under = tap->used.version,
                             .signature = {.digest_len = CB_SHA256_SIZE, .len = CB_P256_SIGNATURE}};
    cb_digest digest = cb_proof_digest(&tap->request, facts);
    memcpy(claim->signature.digest, digest.bytes, sizeof digest.bytes);
}

static cb_error read_proof(const native_tap *tap, cb_bytes answer, cb_card_claim *claim)
{
    cb_proof_facts facts;
    cb_buf data = CB_BUF(CB_APDU_DATA_MAX + 1);
    if (cb_answer_status(answer) != CB_SW_OK)
        return second_failure(cb_answer_status(answer));
    cb_error error = cb_sm_open_answer(&tap->sm, &tap->mark[SECOND_PROOF], answer, &data);
    cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&data));
    if (!error)
        error = cb_proof_facts_get(&cursor, tap->tells, &facts);
    if (!error) {
        claim_fill(tap, &facts, claim);
        cb_cursor_copy(&cursor, claim->signature.bytes, CB_P256_SIGNATURE);
        if (!cb_cursor_done(&cursor))
            error = CB_E_CARD_ANSWER;
        /* A card presents what it was given, or nothing if it could not read it. */
        else if (facts.pin_form != CB_PIN_FORM_NONE &&
                 (!tap->with_pin || facts.pin_form != tap->pin_form))
            error = CB_E_CARD_ANSWER;
        else if (tap->ends &&
                 (facts.life_cycle != CB_LIFE_TERMINATED || !cb_id_same(&facts.card, &tap->card)))
            error = CB_E_CARD_ANSWER;
        else if (tap->resets && !cb_id_same(&facts.card, &tap->card))
            error = CB_E_PIN_RESET_REFUSED;
        else if (facts.life_cycle == CB_LIFE_PERSONALISED && facts.pin_form == CB_PIN_FORM_NONE)
            error = CB_E_CARD_NOT_ACTIVE;
    }
    if (error)
        *claim = (cb_card_claim){0};
    cb_buf_free(&data);
    return error;
}

static cb_error read_second(const native_tap *tap, const cb_script *answers, cb_card_claim *claim)
{
    unsigned order[SECOND_MAX] = {SECOND_SIGNER, SECOND_REQUEST, SECOND_PIN, SECOND_PROOF};
    size_t count = SECOND_MAX;
    if (!tap->with_pin)
        order[--count - 1] = SECOND_PROOF;
    if (answers->count > count)
        return CB_E_CARD_ANSWER;
    for (size_t i = 0; i < answers->count; i++) {
        cb_bytes answer = answers->item[i].apdu;
        cb_error error = order[i] == SECOND_PROOF ? read_proof(tap, answer, claim)
                                                  : check_empty(tap, order[i], answer);
        if (error)
            return error;
    }
    return answers->count == count ? CB_OK : CB_E_CARD_REMOVED;
}

static cb_error finish(void *state, const cb_profile_host *host, const cb_script *answers,
                       cb_card_claim *claim)
{
    native_tap *tap = state;
    (void)host;
    *claim = (cb_card_claim){0};
    if (tap->step != STEP_ASKED)
        return CB_E_TAP_ORDER;
    cb_error error = read_second(tap, answers, claim);
    cb_wipe(tap, sizeof *tap);
    tap->step = STEP_DONE;
    return error;
}

static void end(void *state)
{
    cb_wipe(state, sizeof(native_tap));
    ((native_tap *)state)->step = STEP_DONE;
}

static const uint8_t select_command[] = {0x00, CB_INS_SELECT, 0x04, 0x00, 0x0C, 0xF0,
                                         0x43, 0x41,          0x52, 0x44, 0x42, 0x52,
                                         0x4F, 0x4B,          0x45, 0x52, 0x01, 0x00};

const cb_card_profile cb_profile_native = {
    .id = CB_PROFILE_NATIVE,
    .name = "native",
    .select = {select_command, sizeof select_command},
    .level_with_pin = CB_LEVEL_PIN,
    .state_size = sizeof(native_tap),
    .begin = begin,
    .challenge = challenge,
    .finish = finish,
    .end = end,
};
