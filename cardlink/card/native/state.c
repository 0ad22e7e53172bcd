/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/native/state.h"

#include "base/secret.h"

static const uint8_t magic[] = {'C', 'B', 'V', 'C', 0x00}; /* and the version */

static void put_kloc(cb_buf *buf, const cb_vcard_kloc *kloc)
{
    cb_buf_put_u8(buf, kloc->key_id);
    cb_buf_put_u8(buf, kloc->key_version);
    cb_buf_put_u8(buf, kloc->name_len);
    cb_buf_put(buf, cb_bytes_make(kloc->name, kloc->name_len));
    cb_buf_put(buf, CB_BYTES_OF(kloc->point));
}

static void get_kloc(cb_cursor *cursor, cb_vcard_kloc *kloc)
{
    kloc->key_id = cb_cursor_u8(cursor);
    kloc->key_version = cb_cursor_u8(cursor);
    kloc->name_len = cb_cursor_u8(cursor);
    if (kloc->name_len == 0 || kloc->name_len > CB_CVC_NAME_MAX ||
        !cb_native_kloc_id_ok(kloc->key_id)) {
        cb_cursor_fail(cursor);
        return;
    }
    cb_cursor_copy(cursor, kloc->name, kloc->name_len);
    cb_cursor_copy(cursor, kloc->point, sizeof kloc->point);
}

static void put_remembered(cb_buf *buf, const cb_vcard_remembered *remembered)
{
    cb_buf_put(buf, cb_digest_bytes(&remembered->digest));
    cb_buf_put_u8(buf, remembered->key_id);
    cb_buf_put_u8(buf, remembered->key_version);
    cb_buf_put(buf, CB_BYTES_OF(remembered->point));
}

static void get_remembered(cb_cursor *cursor, cb_vcard_remembered *remembered)
{
    cb_cursor_copy(cursor, remembered->digest.bytes, CB_SHA256_SIZE);
    remembered->key_id = cb_cursor_u8(cursor);
    remembered->key_version = cb_cursor_u8(cursor);
    cb_cursor_copy(cursor, remembered->point, sizeof remembered->point);
}

void cb_vcard_state_put(cb_buf *buf, const cb_vcard_state *state)
{
    size_t start = buf->len;
    cb_buf_put(buf, CB_BYTES_OF(magic));
    cb_buf_put_u8(buf, state->version);
    cb_buf_put_u8(buf, state->life_cycle);
    cb_buf_put(buf, cb_id_bytes(&state->card));
    cb_buf_put(buf, CB_BYTES_OF(state->scalar));
    cb_buf_put(buf, CB_BYTES_OF(state->batch_scalar));
    cb_buf_put_u8(buf, state->batch_certificate_len);
    cb_buf_put(buf, cb_bytes_make(state->batch_certificate, state->batch_certificate_len));
    cb_buf_put_u8(buf, state->kloc_count);
    for (size_t i = 0; i < state->kloc_count; i++)
        put_kloc(buf, &state->kloc[i]);
    cb_buf_put(buf, CB_BYTES_OF(state->pin));
    cb_buf_put_u8(buf, state->pin_tries);
    cb_buf_put(buf, CB_BYTES_OF(state->code));
    cb_buf_put_u8(buf, state->code_tries);
    cb_buf_put_u16(buf, state->failures);
    cb_buf_put_u32(buf, state->counter);
    for (size_t i = 0; i < CB_VCARD_SLOTS; i++)
        put_remembered(buf, &state->remembered[i]);
    if (state->version == CB_VCARD_TELLS) {
        cb_buf_put_u32(buf, state->last_day);
        cb_buf_put_u32(buf, state->today);
    }
    if (cb_buf_error(buf))
        return;
    cb_digest digest = cb_sha256(cb_bytes_make(&buf->data[start], buf->len - start));
    cb_buf_put(buf, cb_digest_bytes(&digest));
}

static void get_keys(cb_cursor *cursor, cb_vcard_state *out)
{
    out->life_cycle = cb_cursor_u8(cursor);
    cb_cursor_copy(cursor, out->card.bytes, CB_ID_SIZE);
    cb_cursor_copy(cursor, out->scalar, sizeof out->scalar);
    cb_cursor_copy(cursor, out->batch_scalar, sizeof out->batch_scalar);
    out->batch_certificate_len = cb_cursor_u8(cursor);
    if (out->batch_certificate_len > sizeof out->batch_certificate)
        cb_cursor_fail(cursor);
    else
        cb_cursor_copy(cursor, out->batch_certificate, out->batch_certificate_len);
    out->kloc_count = cb_cursor_u8(cursor);
    if (out->kloc_count > CB_VCARD_KLOC_MAX)
        cb_cursor_fail(cursor);
    for (size_t i = 0; cb_cursor_ok(cursor) && i < out->kloc_count; i++)
        get_kloc(cursor, &out->kloc[i]);
}

static void get_counters(cb_cursor *cursor, cb_vcard_state *out)
{
    cb_cursor_copy(cursor, out->pin, sizeof out->pin);
    out->pin_tries = cb_cursor_u8(cursor);
    cb_cursor_copy(cursor, out->code, sizeof out->code);
    out->code_tries = cb_cursor_u8(cursor);
    out->failures = cb_cursor_u16(cursor);
    out->counter = cb_cursor_u32(cursor);
    for (size_t i = 0; i < CB_VCARD_SLOTS; i++)
        get_remembered(cursor, &out->remembered[i]);
    if (out->version != CB_VCARD_TELLS)
        return;
    out->last_day = cb_cursor_u32(cursor);
    out->today = cb_cursor_u32(cursor);
}

cb_error cb_vcard_state_parse(cb_bytes content, cb_vcard_state *out)
{
    *out = (cb_vcard_state){0};
    if (content.len < sizeof magic + CB_SHA256_SIZE)
        return CB_E_FORMAT;
    cb_cursor cursor = cb_cursor_over(content);
    cb_cursor body = cb_cursor_over(cb_cursor_take(&cursor, content.len - CB_SHA256_SIZE));
    cb_digest digest = cb_sha256(body.rest);
    bool good = cb_bytes_same(cb_cursor_rest(&cursor), cb_digest_bytes(&digest)) &&
                cb_bytes_same(cb_cursor_take(&body, sizeof magic), CB_BYTES_OF(magic));
    out->version = cb_cursor_u8(&body);
    good = good && (out->version == CB_VCARD_SILENT || out->version == CB_VCARD_TELLS);
    get_keys(&body, out);
    get_counters(&body, out);
    if (good && cb_cursor_done(&body) && out->life_cycle >= CB_LIFE_PERSONALISED &&
        out->life_cycle <= CB_LIFE_TERMINATED && out->pin_tries <= CB_VCARD_PIN_TRIES &&
        out->code_tries <= CB_VCARD_CODE_TRIES)
        return CB_OK;
    cb_wipe(out, sizeof *out);
    return CB_E_FORMAT;
}
