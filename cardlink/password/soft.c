/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The card that a terminal plays for somebody who has a password.
 */
#include "base/secret.h"
#include "cardlink/apdu.h"
#include "cardlink/password/password.h"

static cb_error status(cb_buf *answer, uint16_t word)
{
    cb_buf_put_u16(answer, word);
    return cb_buf_error(answer);
}

static cb_error public_of(const cb_soft_password *soft, cb_bytes password,
                          const uint8_t salt[CB_PASSWORD_SALT], uint8_t point[CB_P256_POINT])
{
    uint8_t scalar[CB_P256_SCALAR];
    memset(point, 0, CB_P256_POINT);
    cb_error error = cb_password_key(password, salt, &soft->id, scalar);
    if (!error)
        error = cb_p256_public(scalar, point);
    cb_wipe(scalar, sizeof scalar);
    return error;
}

static cb_error prove(const cb_soft_password *soft, const cb_password_question *question,
                      cb_buf *answer)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT], signature[CB_P256_SIGNATURE];
    uint8_t next[CB_P256_POINT];
    bool changes = soft->context.purpose == CB_TAP_PASSWORD_CHANGE;
    cb_tap_context context = soft->context;
    context.terminal = question->terminal;
    context.level = question->level;
    cb_digest statement = cb_password_statement(question, &context, &soft->id);
    cb_error error = changes ? public_of(soft, soft->next, question->salt, next) : CB_OK;
    if (changes)
        statement = cb_password_change_statement(&statement, next);
    if (!error)
        error = cb_password_key(soft->password, question->salt, &soft->id, scalar);
    if (!error)
        error = cb_p256_public(scalar, point);
    if (!error)
        error = cb_p256_sign(scalar, &statement, signature);
    cb_wipe(scalar, sizeof scalar);
    if (error)
        return error;
    cb_buf_put(answer, CB_BYTES_OF(point));
    if (changes)
        cb_buf_put(answer, CB_BYTES_OF(next));
    cb_buf_put(answer, CB_BYTES_OF(signature));
    return status(answer, CB_SW_OK);
}

cb_error cb_soft_password_transmit(void *context, cb_bytes command, cb_buf *answer)
{
    const cb_soft_password *soft = context;
    cb_password_question question;
    if (cb_bytes_same(command, CB_BYTES_OF(cb_password_select)))
        return status(answer, CB_SW_OK);
    if (cb_bytes_same(command, CB_BYTES_OF(cb_password_get_name))) {
        cb_buf_put(answer, cb_id_bytes(&soft->id));
        return status(answer, CB_SW_OK);
    }
    if (command.len < 2 || command.data[1] != 0x88)
        return status(answer, CB_SW_INS);
    if (cb_password_question_get(command, &question))
        return status(answer, CB_SW_DATA);
    return prove(soft, &question, answer);
}
