/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/pin_reset.h"

#include "base/clock.h"
#include "base/cursor.h"

typedef struct permission {
    cb_id terminal;
    int64_t until;
} permission;

static cb_id place_of(const cb_id *card)
{
    return cb_memo_place("cardbroker pin reset permission 1", cb_id_bytes(card));
}

static permission read_value(const cb_digest *value)
{
    permission p;
    cb_cursor in = cb_cursor_over(cb_digest_bytes(value));
    cb_cursor_copy(&in, p.terminal.bytes, CB_ID_SIZE);
    p.until = (int64_t)cb_cursor_u64(&in);
    return p;
}

cb_error cb_pin_reset_allow(cb_memo *memo, const cb_id *card, const cb_id *terminal, int64_t until)
{
    cb_id place = place_of(card);
    cb_digest value = {{0}};
    memcpy(value.bytes, terminal->bytes, CB_ID_SIZE);
    for (unsigned i = 0; i < 8; i++)
        value.bytes[CB_ID_SIZE + i] = (uint8_t)((uint64_t)until >> (56 - 8 * i));
    return cb_memo_put(memo, &place, &value);
}

typedef struct taking {
    const cb_id *terminal;
    int64_t now;
    bool taken;
} taking;

/* One that is longer than any that is given was made before the clock was put back: it counts for
 * nothing. */
static void take(void *context, cb_digest *value)
{
    taking *t = context;
    permission p = read_value(value);
    bool in_time = t->now < p.until && p.until - t->now <= (int64_t)CB_PIN_RESET_MOST_S * CB_SECOND;
    t->taken = in_time && cb_id_same(&p.terminal, t->terminal);
    if (t->taken || !in_time)
        *value = (cb_digest){{0}};
}

cb_error cb_pin_reset_take(cb_memo *memo, const cb_id *card, const cb_id *terminal, int64_t now)
{
    cb_id place = place_of(card);
    cb_digest value;
    taking t = {.terminal = terminal, .now = now};
    /* Who asks for cards that have none, adds nothing to the file. */
    cb_error error = cb_memo_get(memo, &place, &value);
    if (!error)
        error = cb_memo_change(memo, &place, take, &t);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_PIN_RESET_REFUSED : error;
    return t.taken ? CB_OK : CB_E_PIN_RESET_REFUSED;
}
