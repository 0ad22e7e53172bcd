/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/order.h"

#include "base/text.h"

/* The contact interface of Japan's Individual Number Card. */
static const uint8_t individual_number[] = {0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14};

bool cb_profile_order_has(const cb_profile_order *order, const cb_card_profile *profile)
{
    for (size_t i = 0; i < order->count; i++) {
        if (order->profile[i] == profile)
            return true;
    }
    return false;
}

static cb_error read_hex(const char *text, uint8_t out[CB_ATR_MAX], size_t *len)
{
    size_t digits = strlen(text);
    *len = digits / 2;
    if (digits % 2 != 0 || *len < CB_ATR_LEAST || *len > CB_ATR_MAX)
        return CB_E_FORMAT;
    return cb_unhex_exact(text, out, *len);
}

cb_error cb_atr_hint_read(const char *atr, cb_atr_hint *out)
{
    *out = (cb_atr_hint){.len = 0};
    memset(out->mask, 0xFF, sizeof out->mask);
    return read_hex(atr, out->atr, &out->len);
}

cb_error cb_atr_hint_mask(const char *mask, cb_atr_hint *hint)
{
    size_t len = 0;
    uint8_t any = 0;
    cb_error error = read_hex(mask, hint->mask, &len);
    for (size_t i = 0; !error && i < len; i++) {
        hint->atr[i] &= hint->mask[i];
        any |= hint->mask[i];
    }
    return error || len != hint->len || !any ? CB_E_FORMAT : CB_OK;
}

static bool fits(const cb_atr_hint *hint, cb_bytes atr)
{
    bool same = atr.len == hint->len;
    for (size_t i = 0; same && i < atr.len; i++)
        same = (atr.data[i] & hint->mask[i]) == hint->atr[i];
    return same;
}

/* NULL: nothing is said of such a card. */
static const cb_card_profile *first_for(const cb_atr_hints *hints, cb_bytes atr)
{
    for (size_t i = 0; i < hints->count; i++) {
        if (fits(&hints->hint[i], atr))
            return hints->hint[i].profile;
    }
    return cb_bytes_same(atr, CB_BYTES_OF(individual_number)) ? &cb_profile_jpki : NULL;
}

void cb_profile_order_for(const cb_profile_order *order, const cb_atr_hints *hints, cb_bytes atr,
                          cb_profile_order *out)
{
    const cb_card_profile *first = first_for(hints, atr);
    out->count = 0;
    if (first && cb_profile_order_has(order, first))
        out->profile[out->count++] = first;
    else
        first = NULL;
    for (size_t i = 0; i < order->count; i++) {
        if (order->profile[i] != first)
            out->profile[out->count++] = order->profile[i];
    }
}
