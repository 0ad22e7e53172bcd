/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/generations.h"

static cb_id place_of(uint8_t key_id)
{
    return cb_memo_place("cardbroker retired generation 2", cb_bytes_make(&key_id, sizeof key_id));
}

static void advance(void *context, cb_digest *value)
{
    uint8_t version = *(const uint8_t *)context;
    if (version > value->bytes[0])
        value->bytes[0] = version;
}

cb_error cb_generations_retire(cb_memo *memo, uint8_t key_id, uint8_t version)
{
    cb_id id = place_of(key_id);
    return cb_memo_change(memo, &id, advance, &version);
}

uint8_t cb_generations_retired(const cb_memo *memo, uint8_t key_id, uint8_t newest)
{
    cb_id id = place_of(key_id);
    cb_digest value = {{0}};
    cb_error error = memo ? cb_memo_get(memo, &id, &value) : CB_E_IO;
    if (error == CB_E_NOT_FOUND)
        return 0;
    return error ? (uint8_t)(newest - 1) : value.bytes[0];
}
