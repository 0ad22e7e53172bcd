/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What broker and terminal say to each other about a password.
 */
#include "cardlink/apdu.h"
#include "cardlink/password/password.h"

enum { CLA = 0x80, INTERNAL_AUTHENTICATE = 0x88 };

const uint8_t cb_password_select[12] = {0x00, 0xA4, 0x04, 0x00, 0x06, 0xF0,
                                        0x43, 0x42, 0x50, 0x57, 0x01, 0x00};
const uint8_t cb_password_get_name[5] = {CLA, 0xCA, 0x00, 0x00, 0x00};

void cb_password_question_put(cb_buf *command, const cb_password_question *question)
{
    uint8_t data[CB_PASSWORD_QUESTION], *at = data;
    const cb_bytes parts[] = {CB_BYTES_OF(question->salt), cb_id_bytes(&question->terminal),
                              cb_bytes_make(&question->level, 1),
                              cb_digest_bytes(&question->broker), CB_BYTES_OF(question->nonce)};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        memcpy(at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    cb_apdu_put(command, &(cb_apdu){.cla = CLA,
                                    .ins = INTERNAL_AUTHENTICATE,
                                    .data = CB_BYTES_OF(data),
                                    .le = true});
}

cb_error cb_password_question_get(cb_bytes command, cb_password_question *out)
{
    cb_apdu apdu;
    if (cb_apdu_read(command, &apdu) || apdu.cla != CLA || apdu.ins != INTERNAL_AUTHENTICATE ||
        apdu.p1 != 0 || apdu.p2 != 0 || !apdu.le)
        return CB_E_FORMAT;
    cb_cursor in = cb_cursor_over(apdu.data);
    cb_cursor_copy(&in, out->salt, sizeof out->salt);
    cb_cursor_copy(&in, out->terminal.bytes, CB_ID_SIZE);
    out->level = cb_cursor_u8(&in);
    cb_cursor_copy(&in, out->broker.bytes, CB_SHA256_SIZE);
    cb_cursor_copy(&in, out->nonce, sizeof out->nonce);
    return cb_cursor_done(&in) ? CB_OK : CB_E_FORMAT;
}

cb_digest cb_password_statement(const cb_password_question *question, const cb_tap_context *context,
                                const cb_id *password)
{
    static const char domain[] = "cardbroker password proof 1"; /* its final zero is part of it */
    cb_digest about = cb_tap_context_digest(context);
    return cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(domain), cb_digest_bytes(&question->broker),
                                        CB_BYTES_OF(question->nonce), cb_digest_bytes(&about),
                                        cb_id_bytes(password)},
                           5);
}

cb_digest cb_password_change_statement(const cb_digest *statement,
                                       const uint8_t next[CB_P256_POINT])
{
    static const char domain[] = "cardbroker password change 1"; /* its final zero is part of it */
    return cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(domain), cb_digest_bytes(statement),
                                        cb_bytes_make(next, CB_P256_POINT)},
                           3);
}
