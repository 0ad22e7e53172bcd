/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/piv/state.h"

#include "base/cursor.h"
#include "base/secret.h"
#include "base/tlv.h"

enum { VERSION = 1, VERSION_WITH_CHANNEL = 2, PIN_DIGITS_MIN = 6, TAG_CVC = 0x7F21 };

static const struct slot {
    uint8_t reference;
    uint32_t certificate;
} slots[CB_VPIV_SLOTS] = {{CB_VPIV_AUTHENTICATION, CB_VPIV_AUTHENTICATION_CERTIFICATE},
                          {CB_VPIV_SIGNATURE, CB_VPIV_SIGNATURE_CERTIFICATE},
                          {CB_VPIV_KEY_MANAGEMENT, CB_VPIV_KEY_MANAGEMENT_CERTIFICATE},
                          {CB_VPIV_CARD_AUTHENTICATION, CB_VPIV_CARD_AUTHENTICATION_CERTIFICATE}};

int cb_vpiv_slot(uint8_t reference)
{
    for (int i = 0; i < CB_VPIV_SLOTS; i++) {
        if (slots[i].reference == reference)
            return i;
    }
    return -1;
}

uint8_t cb_vpiv_reference(int slot) { return slots[slot].reference; }

uint32_t cb_vpiv_certificate_tag(int slot) { return slots[slot].certificate; }

size_t cb_vpiv_management_len(uint8_t algorithm)
{
    switch (algorithm) {
    case CB_VPIV_3DES:
    case CB_VPIV_AES_192:
        return 24;
    case CB_VPIV_AES_128:
        return 16;
    case CB_VPIV_AES_256:
        return 32;
    default:
        return 0;
    }
}

bool cb_vpiv_pin_ok(cb_bytes block)
{
    size_t digits = 0;
    if (block.len != CB_VPIV_PIN)
        return false;
    while (digits < CB_VPIV_PIN && block.data[digits] >= '0' && block.data[digits] <= '9')
        digits++;
    for (size_t i = digits; i < CB_VPIV_PIN; i++) {
        if (block.data[i] != 0xFF)
            return false;
    }
    return digits >= PIN_DIGITS_MIN;
}

bool cb_vpiv_pin_pad(cb_bytes digits, uint8_t out[CB_VPIV_PIN])
{
    memset(out, 0xFF, CB_VPIV_PIN);
    if (digits.len > CB_VPIV_PIN)
        return false;
    memcpy(out, digits.data, digits.len);
    return cb_vpiv_pin_ok(cb_bytes_make(out, CB_VPIV_PIN));
}

static cb_vpiv_object *find(cb_vpiv_state *state, uint32_t tag)
{
    for (size_t i = 0; i < state->object_count; i++) {
        if (state->object[i].tag == tag)
            return &state->object[i];
    }
    return NULL;
}

cb_bytes cb_vpiv_object_get(const cb_vpiv_state *state, uint32_t tag)
{
    for (size_t i = 0; i < state->object_count; i++) {
        if (state->object[i].tag == tag)
            return cb_buf_bytes(&state->object[i].content);
    }
    return (cb_bytes){0};
}

static size_t bytes_beside(const cb_vpiv_state *state, const cb_vpiv_object *one)
{
    size_t sum = 0;
    for (size_t i = 0; i < state->object_count; i++) {
        if (&state->object[i] != one)
            sum += state->object[i].content.len;
    }
    return sum;
}

static void drop(cb_vpiv_state *state, cb_vpiv_object *object)
{
    cb_buf_free(&object->content);
    *object = state->object[--state->object_count];
}

cb_error cb_vpiv_object_set(cb_vpiv_state *state, uint32_t tag, cb_bytes content)
{
    cb_vpiv_object *object = find(state, tag);
    if (content.len == 0) {
        if (object)
            drop(state, object);
        return CB_OK;
    }
    if (content.len > CB_VPIV_OBJECT_MAX ||
        (!object && state->object_count == CB_VPIV_OBJECTS_MAX) ||
        bytes_beside(state, object) + content.len > CB_VPIV_OBJECT_BYTES_MAX)
        return CB_E_TOO_LARGE;
    cb_buf copy = CB_BUF(CB_VPIV_OBJECT_MAX);
    cb_buf_put(&copy, content);
    if (cb_buf_error(&copy))
        return cb_buf_error(&copy);
    if (object)
        cb_buf_free(&object->content);
    else
        object = &state->object[state->object_count++];
    *object = (cb_vpiv_object){tag, copy};
    return CB_OK;
}

void cb_vpiv_state_put(cb_buf *buf, const cb_vpiv_state *state)
{
    size_t keys = 0;
    bool channel = state->channel_key.algorithm != CB_VCARD_NO_KEY;
    cb_buf_put_u8(buf, channel ? VERSION_WITH_CHANNEL : VERSION);
    cb_buf_put(buf, CB_BYTES_OF(state->pin));
    cb_buf_put_u8(buf, state->pin_tries);
    cb_buf_put(buf, CB_BYTES_OF(state->puk));
    cb_buf_put_u8(buf, state->puk_tries);
    cb_buf_put_u8(buf, state->management_algorithm);
    cb_buf_put(buf, cb_bytes_make(state->management_key,
                                  cb_vpiv_management_len(state->management_algorithm)));
    for (int i = 0; i < CB_VPIV_SLOTS; i++)
        keys += state->key[i].algorithm != CB_VCARD_NO_KEY;
    cb_buf_put_u8(buf, (uint8_t)keys);
    for (int i = 0; i < CB_VPIV_SLOTS; i++) {
        const cb_vcard_key *key = &state->key[i];
        if (key->algorithm == CB_VCARD_NO_KEY)
            continue;
        cb_buf_put_u8(buf, cb_vpiv_reference(i));
        cb_buf_put_u8(buf, key->algorithm);
        cb_buf_put_var(buf, cb_bytes_make(key->secret, key->len));
    }
    cb_buf_put_u8(buf, (uint8_t)state->object_count);
    for (size_t i = 0; i < state->object_count; i++) {
        cb_buf_put_u32(buf, state->object[i].tag);
        cb_buf_put_var(buf, cb_buf_bytes(&state->object[i].content));
    }
    if (channel) {
        cb_buf_put_var(buf, cb_bytes_make(state->channel_key.secret, state->channel_key.len));
        cb_buf_put_var(buf, cb_bytes_make(state->cvc, state->cvc_len));
    }
}

static cb_error get_secrets(cb_cursor *cursor, cb_vpiv_state *out)
{
    cb_cursor_copy(cursor, out->pin, sizeof out->pin);
    out->pin_tries = cb_cursor_u8(cursor);
    cb_cursor_copy(cursor, out->puk, sizeof out->puk);
    out->puk_tries = cb_cursor_u8(cursor);
    out->management_algorithm = cb_cursor_u8(cursor);
    size_t len = cb_vpiv_management_len(out->management_algorithm);
    cb_cursor_copy(cursor, out->management_key, len);
    bool good = cb_cursor_ok(cursor) && len > 0 && cb_vpiv_pin_ok(CB_BYTES_OF(out->pin)) &&
                out->pin_tries <= CB_VPIV_PIN_TRIES && out->puk_tries <= CB_VPIV_PUK_TRIES;
    return good ? CB_OK : CB_E_FORMAT;
}

static cb_error get_key(cb_cursor *cursor, cb_vpiv_state *out)
{
    int slot = cb_vpiv_slot(cb_cursor_u8(cursor));
    uint8_t algorithm = cb_cursor_u8(cursor);
    cb_bytes secret = cb_cursor_var(cursor, CB_VCARD_SECRET_MAX);
    if (slot < 0 || out->key[slot].algorithm != CB_VCARD_NO_KEY)
        return CB_E_FORMAT;
    return cb_vcard_key_of(algorithm, secret, &out->key[slot]);
}

static cb_error get_object(cb_cursor *cursor, cb_vpiv_state *out)
{
    uint32_t tag = cb_cursor_u32(cursor);
    cb_bytes content = cb_cursor_var(cursor, CB_VPIV_OBJECT_MAX);
    if (content.len == 0 || find(out, tag))
        return CB_E_FORMAT;
    cb_error error = cb_vpiv_object_set(out, tag, content);
    return error == CB_E_TOO_LARGE ? CB_E_FORMAT : error;
}

static cb_error get_channel(cb_cursor *cursor, cb_vpiv_state *out)
{
    cb_bytes secret = cb_cursor_var(cursor, CB_VCARD_SECRET_MAX);
    cb_bytes cvc = cb_cursor_var(cursor, sizeof out->cvc);
    cb_cursor whole = cb_cursor_over(cvc);
    cb_tlv_expect(&whole, TAG_CVC);
    if (!cb_cursor_done(&whole))
        return CB_E_FORMAT;
    memcpy(out->cvc, cvc.data, cvc.len);
    out->cvc_len = cvc.len;
    return cb_vcard_key_of(CB_VCARD_EC_P256, secret, &out->channel_key);
}

cb_error cb_vpiv_state_parse(cb_bytes bytes, cb_vpiv_state *out)
{
    cb_cursor cursor = cb_cursor_over(bytes);
    *out = (cb_vpiv_state){0};
    uint8_t version = cb_cursor_u8(&cursor);
    cb_error error = version == VERSION || version == VERSION_WITH_CHANNEL ? CB_OK : CB_E_FORMAT;
    if (!error)
        error = get_secrets(&cursor, out);
    size_t keys = cb_cursor_u8(&cursor);
    for (size_t i = 0; !error && i < keys; i++)
        error = get_key(&cursor, out);
    size_t objects = cb_cursor_u8(&cursor);
    for (size_t i = 0; !error && i < objects; i++)
        error = get_object(&cursor, out);
    if (!error && version == VERSION_WITH_CHANNEL)
        error = get_channel(&cursor, out);
    if (!error && !cb_cursor_done(&cursor))
        error = CB_E_FORMAT;
    if (error)
        cb_vpiv_state_free(out);
    return error;
}

void cb_vpiv_state_free(cb_vpiv_state *state)
{
    for (size_t i = 0; i < state->object_count; i++)
        cb_buf_free(&state->object[i].content);
    cb_wipe(state, sizeof *state);
}
