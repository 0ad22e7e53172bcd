/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/jpki/state.h"

#include "base/cursor.h"
#include "base/secret.h"

enum { VERSION = 1 };

const cb_vjpki_pin_rule cb_vjpki_pin_rules[CB_VJPKI_USES] = {
    [CB_VJPKI_AUTHENTICATION] = {4, 4, false, 3},
    [CB_VJPKI_SIGNATURE] = {6, CB_VJPKI_PIN_MAX, true, 5}};

bool cb_vjpki_pin_ok(cb_vjpki_use use, cb_bytes pin)
{
    const cb_vjpki_pin_rule *rule = &cb_vjpki_pin_rules[use];
    if (pin.len < rule->least || pin.len > rule->most)
        return false;
    for (size_t i = 0; i < pin.len; i++) {
        uint8_t c = pin.data[i];
        if (!(c >= '0' && c <= '9') && !(rule->letters && c >= 'A' && c <= 'Z'))
            return false;
    }
    return true;
}

bool cb_vjpki_blob_set(cb_vjpki_blob *blob, cb_bytes bytes)
{
    if (bytes.len > sizeof blob->bytes)
        return false;
    if (bytes.len > 0)
        memcpy(blob->bytes, bytes.data, bytes.len);
    blob->len = bytes.len;
    return true;
}

void cb_vjpki_pin_set(cb_vjpki_credential *credential, cb_bytes pin)
{
    memset(credential->pin, 0, sizeof credential->pin);
    memcpy(credential->pin, pin.data, pin.len);
    credential->pin_len = (uint8_t)pin.len;
}

void cb_vjpki_state_put(cb_buf *buf, const cb_vjpki_state *state)
{
    cb_buf_put_u8(buf, VERSION);
    for (int use = 0; use < CB_VJPKI_USES; use++) {
        const cb_vjpki_credential *credential = &state->of[use];
        cb_buf_put_var(buf, cb_bytes_make(credential->key.secret, credential->key.len));
        cb_buf_put_var(buf, cb_vjpki_blob_bytes(&credential->certificate));
        cb_buf_put_var(buf, cb_vjpki_blob_bytes(&credential->authority));
        cb_buf_put_u8(buf, credential->pin_len);
        cb_buf_put(buf, CB_BYTES_OF(credential->pin));
        cb_buf_put_u8(buf, credential->tries);
    }
}

static void get_blob(cb_cursor *cursor, cb_vjpki_blob *blob)
{
    cb_vjpki_blob_set(blob, cb_cursor_var(cursor, sizeof blob->bytes));
}

static bool is_padded(const cb_vjpki_credential *credential)
{
    uint8_t behind = 0;
    for (size_t i = credential->pin_len; i < sizeof credential->pin; i++)
        behind |= credential->pin[i];
    return behind == 0;
}

static cb_error get_credential(cb_cursor *cursor, cb_vjpki_use use, cb_vjpki_credential *out)
{
    cb_bytes secret = cb_cursor_var(cursor, CB_VCARD_SECRET_MAX);
    get_blob(cursor, &out->certificate);
    get_blob(cursor, &out->authority);
    out->pin_len = cb_cursor_u8(cursor);
    cb_cursor_copy(cursor, out->pin, sizeof out->pin);
    out->tries = cb_cursor_u8(cursor);
    bool good = cb_cursor_ok(cursor) && out->tries <= cb_vjpki_pin_rules[use].tries &&
                out->pin_len <= sizeof out->pin &&
                cb_vjpki_pin_ok(use, cb_bytes_make(out->pin, out->pin_len)) && is_padded(out) &&
                out->certificate.len > 0 && out->authority.len > 0;
    return good ? cb_vcard_key_of(CB_VCARD_RSA_2048, secret, &out->key) : CB_E_FORMAT;
}

cb_error cb_vjpki_state_parse(cb_bytes content, cb_vjpki_state *out)
{
    cb_cursor cursor = cb_cursor_over(content);
    memset(out, 0, sizeof *out);
    cb_error error = cb_cursor_u8(&cursor) == VERSION ? CB_OK : CB_E_FORMAT;
    for (int use = 0; !error && use < CB_VJPKI_USES; use++)
        error = get_credential(&cursor, (cb_vjpki_use)use, &out->of[use]);
    if (!error && !cb_cursor_done(&cursor))
        error = CB_E_FORMAT;
    if (error)
        cb_wipe(out, sizeof *out);
    return error;
}
