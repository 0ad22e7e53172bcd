/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/code.h"

#include <string.h>

#include "base/secret.h"

enum { BASE = 32, CHECK = 37, GROUP = 5 };

/* The first 32 are symbols, all of them check symbols. */
static const char symbols[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";

/* The value of a symbol below limit, or -1. */
static int value_of(char c, int limit)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    const char *at = c ? strchr(symbols, c) : NULL;
    return at && at - symbols < limit ? (int)(at - symbols) : -1;
}

void cb_code_make(char out[CB_CODE_TEXT])
{
    uint8_t random[CB_CODE_SYMBOLS - 1];
    int rest = 0;
    size_t at = 0;
    cb_random(random, sizeof random);
    for (size_t i = 0; i < CB_CODE_SYMBOLS; i++) {
        bool last = i == CB_CODE_SYMBOLS - 1;
        int value = last ? rest : random[i] % BASE;
        rest = (rest * BASE + value) % CHECK;
        if (i > 0 && i % GROUP == 0)
            out[at++] = '-';
        out[at++] = symbols[value];
    }
    out[at] = 0;
    cb_wipe(random, sizeof random);
}

cb_error cb_code_read(cb_bytes text, char out[CB_CODE_SYMBOLS])
{
    size_t count = 0;
    int rest = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];
        if (c == '-' || c == ' ')
            continue;
        bool last = count == CB_CODE_SYMBOLS - 1;
        int value = count < CB_CODE_SYMBOLS ? value_of(c, last ? CHECK : BASE) : -1;
        if (value < 0 || (last && value != rest))
            return CB_E_FORMAT;
        rest = (rest * BASE + value) % CHECK;
        out[count++] = symbols[value];
    }
    return count == CB_CODE_SYMBOLS ? CB_OK : CB_E_FORMAT;
}
