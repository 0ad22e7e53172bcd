/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/id.h"

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"

/* Where the dashes stand, in bytes. */
static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

static void mark(cb_id *id, uint8_t version)
{
    id->bytes[6] = (uint8_t)(version << 4 | (id->bytes[6] & 0x0F));
    id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3F));
}

cb_id cb_id_random(void)
{
    cb_id id;
    cb_random(id.bytes, sizeof id.bytes);
    mark(&id, 4);
    return id;
}

cb_id cb_id_new(void)
{
    cb_id id;
    cb_random(id.bytes, sizeof id.bytes);
    uint64_t ms = (uint64_t)cb_clock_wall_us() / 1000;
    for (int i = 5; i >= 0; i--, ms >>= 8)
        id.bytes[i] = (uint8_t)ms;
    mark(&id, 7);
    return id;
}

void cb_id_text(const cb_id *id, char out[CB_ID_TEXT])
{
    for (size_t i = 0; i < CB_ID_SIZE; i++) {
        if (dash_before(i))
            *out++ = '-';
        cb_hex((cb_bytes){id->bytes + i, 1}, out);
        out += 2;
    }
}

cb_error cb_id_parse(const char *text, cb_id *out)
{
    cb_id id;
    if (!text || strlen(text) != CB_ID_TEXT - 1)
        return CB_E_FORMAT;
    for (size_t i = 0; i < CB_ID_SIZE; i++) {
        if (dash_before(i) && *text++ != '-')
            return CB_E_FORMAT;
        char pair[3] = {text[0], text[1], 0};
        if (cb_unhex_exact(pair, &id.bytes[i], 1))
            return CB_E_FORMAT;
        text += 2;
    }
    *out = id;
    return CB_OK;
}
