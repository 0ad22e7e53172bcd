/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's side of a password: the calls of profile.h.
 *
 * Nothing here knows whether there is such a name: every name is given a salt and asked for a
 * proof. Whether the key that it shows is the one of the name's password, hsm/password.h says.
 */
#include "base/secret.h"
#include "cardlink/apdu.h"
#include "cardlink/foreign.h"
#include "cardlink/password/password.h"

enum { STEP_NEW, STEP_BEGUN, STEP_ASKED, STEP_DONE, FIRST_NAME = 1, FIRST_COUNT, SECOND_COUNT = 1 };

typedef struct password_tap {
    uint8_t step;
    bool changes; /* the password */
    cb_id password;
    cb_digest statement;
} password_tap;

static cb_error begin(void *state, const cb_profile_host *host, cb_buf *script)
{
    password_tap *tap = state;
    (void)host;
    if (tap->step != STEP_NEW)
        return CB_E_TAP_ORDER;
    cb_script_put(script, 0, CB_BYTES_OF(cb_password_select));
    cb_script_put(script, 0, CB_BYTES_OF(cb_password_get_name));
    cb_error error = cb_buf_error(script);
    if (!error)
        tap->step = STEP_BEGUN;
    return error;
}

static cb_error read_name(const cb_script *answers, cb_id *password)
{
    cb_error error = cb_foreign_answers(answers, FIRST_COUNT);
    if (error)
        return error;
    cb_bytes data = cb_answer_data(answers->item[FIRST_NAME].apdu);
    if (data.len != CB_ID_SIZE)
        return CB_E_CARD_ANSWER;
    memcpy(password->bytes, data.data, CB_ID_SIZE);
    return cb_id_is_zero(password) ? CB_E_CARD_ANSWER : CB_OK;
}

static cb_error ask(password_tap *tap, const cb_profile_host *host, const cb_tap_context *context,
                    cb_buf *script)
{
    cb_password_question question = {.terminal = context->terminal,
                                     .level = context->level,
                                     .broker = cb_sha256(host->signer_certificate)};
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    cb_random(question.nonce, sizeof question.nonce);
    cb_error error = host->salt(host->keys, &tap->password, question.salt);
    tap->statement = cb_password_statement(&question, context, &tap->password);
    cb_password_question_put(&command, &question);
    cb_script_put(script, 0, cb_buf_bytes(&command));
    if (!error)
        error = cb_buf_error(&command) ? cb_buf_error(&command) : cb_buf_error(script);
    cb_buf_free(&command);
    return error;
}

static cb_error challenge(void *state, const cb_profile_host *host, const cb_script *answers,
                          const cb_tap_context *context, const cb_known_card *known, cb_bytes pin,
                          cb_buf *script)
{
    password_tap *tap = state;
    if (tap->step != STEP_BEGUN)
        return CB_E_TAP_ORDER;
    tap->step = STEP_DONE; /* unless everything below goes well */
    tap->changes = context->purpose == CB_TAP_PASSWORD_CHANGE;
    if (context->profile != CB_PROFILE_PASSWORD || known || pin.len > 0 ||
        (context->purpose != CB_TAP_AUTHENTICATE && !tap->changes))
        return CB_E_ARGUMENT;
    if (!host->salt)
        return CB_E_CONFIG;
    if (!cb_level_reaches(CB_LEVEL_PASSWORD, context->level)) /* nobody types one for nothing */
        return CB_E_TAP_LEVEL;
    cb_error error = read_name(answers, &tap->password);
    if (!error)
        error = ask(tap, host, context, script);
    if (!error)
        tap->step = STEP_ASKED;
    return error;
}

static cb_error finish(void *state, const cb_profile_host *host, const cb_script *answers,
                       cb_card_claim *claim)
{
    password_tap *tap = state;
    (void)host;
    *claim = (cb_card_claim){0};
    if (tap->step != STEP_ASKED)
        return CB_E_TAP_ORDER;
    tap->step = STEP_DONE;
    cb_error error = cb_foreign_second(answers, SECOND_COUNT, SECOND_COUNT, claim);
    if (error)
        return error;
    cb_cursor in = cb_cursor_over(cb_answer_data(answers->item[0].apdu));
    cb_card_signature *signature = &claim->signature;
    cb_cursor_copy(&in, claim->shown, CB_P256_POINT);
    if (tap->changes) {
        cb_cursor_copy(&in, claim->next, CB_P256_POINT);
        tap->statement = cb_password_change_statement(&tap->statement, claim->next);
    }
    cb_cursor_copy(&in, signature->bytes, CB_P256_SIGNATURE);
    if (!cb_cursor_done(&in)) {
        *claim = (cb_card_claim){0};
        return CB_E_CARD_ANSWER;
    }
    claim->card = tap->password;
    signature->len = CB_P256_SIGNATURE;
    signature->digest_len = CB_SHA256_SIZE;
    memcpy(signature->digest, tap->statement.bytes, CB_SHA256_SIZE);
    return CB_OK;
}

static void end(void *state)
{
    cb_wipe(state, sizeof(password_tap));
    ((password_tap *)state)->step = STEP_DONE;
}

const cb_card_profile cb_profile_password = {
    .id = CB_PROFILE_PASSWORD,
    .name = "password",
    .select = {cb_password_select, sizeof cb_password_select},
    .level_with_pin = CB_LEVEL_PASSWORD,
    .state_size = sizeof(password_tap),
    .begin = begin,
    .challenge = challenge,
    .finish = finish,
    .end = end,
};
