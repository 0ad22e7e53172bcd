/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How late it is, as far as a card without a clock knows, and whether its last day is over.
 */
#include "cardlink/card/native/application.h"

bool cb_native_is_over(const cb_vcard_state *state, uint32_t date)
{
    return state->version >= CB_VCARD_TELLS && state->last_day > 0 && date > state->last_day;
}

/* The next number in digits. */
static uint32_t next(uint32_t digits)
{
    uint32_t one = 1;
    while ((digits & 0xF * one) == 9 * one) {
        digits -= 9 * one;
        one <<= 4;
    }
    return digits + one;
}

/* The same day a month on. The 31st of a month that has none is later than its last day, and
 * earlier than the next month: that is all that matters. */
static uint32_t month_on(uint32_t day)
{
    uint32_t year = day >> 16, month = day >> 8 & 0xFF;
    if (month >= 0x12)
        return next(year) << 16 | 0x0100 | (day & 0xFF);
    return year << 16 | next(month) << 8 | (day & 0xFF);
}

uint32_t cb_native_next_date(uint32_t today, uint32_t signed_date)
{
    uint32_t limit = month_on(today);
    if (signed_date <= today)
        return today;
    return signed_date < limit ? signed_date : limit;
}
