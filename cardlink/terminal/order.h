/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which kinds of cards are looked for, and in which order. What a card says of itself before it is
 * asked (its answer to reset, ISO/IEC 7816-3, 8) may put one of them first. That saves selecting
 * what is not there and says nothing of the card: which application it has is seen when it is
 * selected, and who it is when it has proven it. Kinds that are not in the configured order are not
 * looked for whatever a card says (docs/decisions/0033-an-atr-only-says-what-to-try-first.md).
 */
#ifndef CB_CARDLINK_TERMINAL_ORDER_H
#define CB_CARDLINK_TERMINAL_ORDER_H

#include "cardlink/profile.h"
#include "cardlink/terminal/reader.h"

enum { CB_ATR_HINTS_MAX = 64 };

/* Which kinds of cards are looked for, in this order; at least one, none twice. */
typedef struct cb_profile_order {
    size_t count;
    const cb_card_profile *profile[CB_PROFILES_MAX];
} cb_profile_order;

/* Cards whose ATR is as long and has these bits where the mask has ones are tried with the profile
 * first. */
typedef struct cb_atr_hint {
    size_t len;
    uint8_t atr[CB_ATR_MAX]; /* no bit that is not in the mask */
    uint8_t mask[CB_ATR_MAX];
    const cb_card_profile *profile;
} cb_atr_hint;

/* The first that fits counts. */
typedef struct cb_atr_hints {
    size_t count;
    cb_atr_hint hint[CB_ATR_HINTS_MAX];
} cb_atr_hints;

bool cb_profile_order_has(const cb_profile_order *order, const cb_card_profile *profile);

/* Reads an ATR in hexadecimal, CB_ATR_LEAST to CB_ATR_MAX bytes: CB_E_FORMAT. */
cb_error cb_atr_hint_read(const char *atr, cb_atr_hint *out);

/* The same for its mask, which must be as long and not all zero. */
cb_error cb_atr_hint_mask(const char *mask, cb_atr_hint *hint);

/* What to look for on a card with this ATR (empty: not known), of those in order. Behind the given
 * hints come what is known of cards' ATRs from their issuers. */
void cb_profile_order_for(const cb_profile_order *order, const cb_atr_hints *hints, cb_bytes atr,
                          cb_profile_order *out);

#endif
