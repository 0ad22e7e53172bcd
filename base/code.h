/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One-time codes that people read and type: 19 random symbols of Crockford's base 32 (95 bits) and
 * a check symbol, in four groups of five, e.g. "7ZD0F-3KX8M-0QG2A-WN5BJ".
 *
 * Symbols are digits and capital letters without I, L, O and U; the check symbol is the number's
 * remainder by 37, with *, ~, $, = and U for 32 to 36. Read are small letters too, I and L for 1, O
 * for 0, and hyphens and spaces anywhere. The check finds each wrong symbol and each pair that was
 * exchanged. (Crockford, "Base 32", www.crockford.com/base32.html.)
 */
#ifndef CB_BASE_CODE_H
#define CB_BASE_CODE_H

#include "base/bytes.h"
#include "base/error.h"

enum {
    CB_CODE_SYMBOLS = 20, /* with the check symbol */
    CB_CODE_TEXT = 24     /* with hyphens and a zero */
};

/* Makes a code, as text for people. */
void cb_code_make(char out[CB_CODE_TEXT]);

/* Reads one: its symbols in their usual form, without hyphens; no zero at the end. CB_E_FORMAT. */
cb_error cb_code_read(cb_bytes text, char out[CB_CODE_SYMBOLS]);

#endif
