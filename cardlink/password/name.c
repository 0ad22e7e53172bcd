/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/foreign.h"
#include "cardlink/password/password.h"

static bool letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

cb_error cb_password_name(const char *text, char out[CB_PASSWORD_NAME_MAX + 1])
{
    size_t len = 0;
    for (; text[len] && len < CB_PASSWORD_NAME_MAX; len++) {
        char c = text[len];
        out[len] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        if (!letter_or_digit(out[len]) && (len == 0 || !strchr("._@+-", c)))
            return CB_E_ARGUMENT;
    }
    out[len] = 0;
    return len > 0 && !text[len] ? CB_OK : CB_E_ARGUMENT;
}

cb_id cb_password_id(const char *name)
{
    return cb_foreign_card_id(CB_PROFILE_PASSWORD, cb_bytes_str(name));
}
