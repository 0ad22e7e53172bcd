/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/client_pool.h"

static cb_error call(cb_hsm *hsm, cb_msg *msg)
{
    return cb_hsm_call(hsm, CB_LANE_OF_MANAGE, msg, cb_hsm_long_time);
}

/* Appends the whole answer. */
static cb_error take_all(const cb_msg *msg, cb_buf *out)
{
    cb_buf_put(out, cb_buf_bytes(&msg->body));
    return cb_buf_error(out);
}

/* A question of bytes whose answer is bytes. */
static cb_error exchange(cb_hsm *hsm, uint16_t type, cb_bytes question, cb_buf *out)
{
    cb_msg msg;
    cb_msg_init(&msg, type);
    cb_buf_put(&msg.body, question);
    cb_error error = call(hsm, &msg);
    if (!error && out)
        error = take_all(&msg, out);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_bind(cb_hsm *hsm, cb_bytes card_certificate, const cb_id *holder, uint8_t level,
                     uint64_t sequence, cb_buf *binding)
{
    cb_msg msg;
    if (card_certificate.len > CB_HOST_CERTIFICATE_MAX)
        return CB_E_CARD_CERTIFICATE;
    cb_msg_init(&msg, CB_HSM_BIND);
    cb_buf_put_var(&msg.body, card_certificate);
    cb_put_id(&msg.body, holder);
    cb_buf_put_u8(&msg.body, level);
    cb_buf_put_u64(&msg.body, sequence);
    cb_error error = call(hsm, &msg);
    if (!error)
        error = take_all(&msg, binding);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_bind_foreign(cb_hsm *hsm, const cb_foreign_reading *card, const cb_id *holder,
                             uint8_t level, uint64_t sequence, cb_buf *binding)
{
    cb_msg msg;
    if (card->keys > CB_CARD_KEYS_MAX)
        return CB_E_ARGUMENT;
    cb_msg_init(&msg, CB_HSM_BIND_FOREIGN);
    cb_put_reading(&msg.body, card);
    cb_put_id(&msg.body, holder);
    cb_buf_put_u8(&msg.body, level);
    cb_buf_put_u64(&msg.body, sequence);
    cb_error error = call(hsm, &msg);
    if (!error)
        error = take_all(&msg, binding);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_renew_foreign(cb_hsm *hsm, const cb_foreign_reading *card, cb_bytes binding,
                              cb_bytes certificates, uint64_t sequence, cb_buf *renewed)
{
    cb_msg msg;
    if (card->keys > CB_CARD_KEYS_MAX || binding.len > CB_BINDING_MAX ||
        certificates.len > CB_FOREIGN_CERTIFICATES_LEN)
        return CB_E_ARGUMENT;
    cb_msg_init(&msg, CB_HSM_RENEW_FOREIGN);
    cb_put_reading(&msg.body, card);
    cb_buf_put_var(&msg.body, binding);
    cb_buf_put_var(&msg.body, certificates);
    cb_buf_put_u64(&msg.body, sequence);
    cb_error error = call(hsm, &msg);
    if (!error)
        error = take_all(&msg, renewed);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_password_salt(cb_hsm *hsm, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT])
{
    cb_buf out = CB_BUF(CB_PASSWORD_SALT);
    cb_error error = exchange(hsm, CB_HSM_PASSWORD_SALT, cb_id_bytes(password), &out);
    if (!error && out.len != CB_PASSWORD_SALT)
        error = CB_E_PROTOCOL;
    if (!error)
        memcpy(salt, out.data, CB_PASSWORD_SALT);
    cb_buf_free(&out);
    return error;
}

cb_error cb_hsm_bind_password(cb_hsm *hsm, const cb_id *password,
                              const uint8_t point[CB_P256_POINT], const cb_id *holder,
                              uint64_t sequence, int64_t expires, cb_bytes before, cb_buf *binding)
{
    cb_msg msg;
    if (before.len > CB_BINDING_MAX)
        return CB_E_ARGUMENT;
    cb_msg_init(&msg, CB_HSM_BIND_PASSWORD);
    cb_put_id(&msg.body, password);
    cb_buf_put(&msg.body, cb_bytes_make(point, CB_P256_POINT));
    cb_put_id(&msg.body, holder);
    cb_buf_put_u64(&msg.body, sequence);
    cb_buf_put_u64(&msg.body, (uint64_t)expires);
    cb_buf_put_var(&msg.body, before);
    cb_error error = call(hsm, &msg);
    if (!error)
        error = take_all(&msg, binding);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_password_forgive(cb_hsm *hsm, const cb_id *password)
{
    return exchange(hsm, CB_HSM_PASSWORD_FORGIVE, cb_id_bytes(password), NULL);
}

cb_error cb_hsm_resume(cb_hsm *hsm, const cb_id *card)
{
    return exchange(hsm, CB_HSM_RESUME, cb_id_bytes(card), NULL);
}

cb_error cb_hsm_pin_reset(cb_hsm *hsm, const cb_id *card, const cb_id *terminal, uint16_t seconds)
{
    cb_buf body = CB_BUF(2 * CB_ID_SIZE + 2);
    cb_put_id(&body, card);
    cb_put_id(&body, terminal);
    cb_buf_put_u16(&body, seconds);
    cb_error error = cb_buf_error(&body);
    if (!error)
        error = exchange(hsm, CB_HSM_PIN_RESET, cb_buf_bytes(&body), NULL);
    cb_buf_free(&body);
    return error;
}

cb_error cb_hsm_retire_generation(cb_hsm *hsm, uint8_t version)
{
    const uint8_t body[] = {version, false};
    return exchange(hsm, CB_HSM_RETIRE_GENERATION, CB_BYTES_OF(body), NULL);
}

cb_error cb_hsm_may_retire_generation(cb_hsm *hsm, uint8_t version)
{
    const uint8_t body[] = {version, true};
    return exchange(hsm, CB_HSM_RETIRE_GENERATION, CB_BYTES_OF(body), NULL);
}

/* The answer of GENERATE and IMPORT; csr is NULL for the latter, and may be NULL for the former. */
static cb_error take_key(const cb_msg *msg, cb_sealed_info *info, cb_buf *sealed,
                         cb_buf *public_key, bool has_csr, cb_buf *csr)
{
    cb_cursor in = cb_msg_cursor(msg);
    info->key = cb_get_id(&in);
    info->generation = cb_cursor_u32(&in);
    cb_buf_put(sealed, cb_cursor_var(&in, CB_SEALED_MAX));
    cb_buf_put(public_key, cb_cursor_var(&in, CB_PUBLIC_KEY_MAX));
    cb_bytes request = has_csr ? cb_cursor_var(&in, CB_HSM_CSR_MAX) : (cb_bytes){0};
    if (csr)
        cb_buf_put(csr, request);
    if (!cb_cursor_done(&in))
        return CB_E_PROTOCOL;
    cb_error error = cb_buf_error(sealed);
    if (!error)
        error = cb_buf_error(public_key);
    return error || !csr ? error : cb_buf_error(csr);
}

cb_error cb_hsm_generate(cb_hsm *hsm, cb_sealed_info *info, cb_bytes subject_der, cb_buf *sealed,
                         cb_buf *public_key, cb_buf *csr)
{
    cb_msg msg;
    if (subject_der.len > CB_HSM_SUBJECT_MAX)
        return CB_E_TOO_LARGE;
    cb_msg_init(&msg, CB_HSM_GENERATE);
    cb_put_sealed_info(&msg.body, info);
    cb_buf_put_u8(&msg.body, csr != NULL);
    cb_buf_put_var(&msg.body, subject_der);
    cb_error error = call(hsm, &msg);
    if (!error)
        error = take_key(&msg, info, sealed, public_key, true, csr);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_import(cb_hsm *hsm, cb_sealed_info *info, cb_bytes wrapped, cb_buf *sealed,
                       cb_buf *public_key)
{
    cb_msg msg;
    if (wrapped.len > CB_HSM_WRAPPED_MAX)
        return CB_E_TOO_LARGE;
    cb_msg_init(&msg, CB_HSM_IMPORT);
    cb_put_sealed_info(&msg.body, info);
    cb_buf_put_var(&msg.body, wrapped);
    cb_error error = call(hsm, &msg);
    if (!error)
        error = take_key(&msg, info, sealed, public_key, false, NULL);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_rewrap(cb_hsm *hsm, cb_bytes sealed, cb_buf *out)
{
    if (sealed.len == 0 || sealed.len > CB_SEALED_MAX)
        return CB_E_HSM_RECORD;
    return exchange(hsm, CB_HSM_REWRAP, sealed, out);
}

cb_error cb_hsm_new_generation(cb_hsm *hsm, uint32_t *generation)
{
    cb_buf answer = CB_BUF(4);
    cb_error error = exchange(hsm, CB_HSM_GENERATION, (cb_bytes){0}, &answer);
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    if (!error) {
        *generation = cb_cursor_u32(&in);
        error = cb_cursor_done(&in) ? CB_OK : CB_E_PROTOCOL;
    }
    cb_buf_free(&answer);
    return error;
}

/* The log lane knows them too: public halves are no secret, and the front end publishes the log's.
 */
cb_error cb_hsm_public_key(cb_hsm *hsm, const char *name, cb_buf *out)
{
    cb_msg msg;
    if (!name[0] || strlen(name) > CB_HSM_NAME_MAX)
        return CB_E_NOT_FOUND;
    cb_error error = exchange(hsm, CB_HSM_PUBLIC_KEY, cb_bytes_str(name), out);
    if (error != CB_E_DENIED && error != CB_E_HSM_DOWN)
        return error;
    cb_msg_init(&msg, CB_HSM_PUBLIC_KEY);
    cb_buf_put_str(&msg.body, name);
    error = cb_hsm_call(hsm, CB_LANE_OF_LOG, &msg, cb_hsm_call_time);
    if (!error)
        error = take_all(&msg, out);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_receipt_check(cb_hsm *hsm, cb_bytes receipt)
{
    if (receipt.len == 0 || receipt.len > CB_RECEIPT_MAX)
        return CB_E_HSM_RECORD;
    return exchange(hsm, CB_HSM_RECEIPT_CHECK, receipt, NULL);
}

cb_error cb_hsm_status(cb_hsm *hsm, cb_hsm_state *out)
{
    cb_buf answer = CB_BUF(64);
    cb_error error = exchange(hsm, CB_HSM_STATUS, (cb_bytes){0}, &answer);
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    if (!error) {
        cb_get_state(&in, out);
        error = cb_cursor_done(&in) ? CB_OK : CB_E_PROTOCOL;
    }
    cb_buf_free(&answer);
    return error;
}
