/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which passwords may be chosen. Length is what counts; there is no rule about kinds of characters
 * (NIST SP 800-63B-4, 3.1.1.2). Of the lists of passwords that are guessed first, few entries are as
 * long as that; what is guessed are pieces of them put together. So zxcvbn takes a password apart
 * (into commonly used passwords, words, names, rows of keys, runs, dates; Wheeler, "zxcvbn: Low-
 * Budget Password Strength Estimation", USENIX Security 2016), and says how many guesses it takes.
 * The login name, its pieces and the name of the product are words like any other there.
 */
#include <stdio.h>
#include <zxcvbn.h>

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/password/password.h"

/* A piece of so many bytes over and over. */
static bool repeats(cb_bytes text, size_t piece)
{
    size_t i = piece;
    while (i < text.len && text.data[i] == text.data[i - piece])
        i++;
    return i == text.len;
}

static bool has_pattern(cb_bytes text, const char *name)
{
    size_t up = 0, down = 0, of_name = strlen(name);
    for (size_t piece = 1; 2 * piece <= text.len + 1; piece++) {
        if (repeats(text, piece))
            return true;
    }
    for (size_t i = 1; i < text.len; i++) {
        up += text.data[i] == text.data[i - 1] + 1 ||
              (text.data[i] == '0' && text.data[i - 1] == '9');
        down += text.data[i] + 1 == text.data[i - 1] ||
                (text.data[i] == '9' && text.data[i - 1] == '0');
    }
    bool begins = text.len >= of_name && memcmp(text.data, name, of_name) == 0;
    return up >= text.len - 2 || down >= text.len - 2 || (begins && repeats(text, of_name));
}

enum { WORDS_MAX = 16, LEAST_BITS = 30 };

/* Whether it takes fewer than 2^30 guesses. */
static bool easy(const char *text, const char *name)
{
    char pieces[CB_PASSWORD_NAME_MAX + 1] = "", *rest = NULL;
    const char *words[WORDS_MAX + 1] = {"cardbroker", name};
    size_t count = 2;
    snprintf(pieces, sizeof pieces, "%s", name);
    for (char *piece = strtok_r(pieces, "._@+-", &rest); piece && count < WORDS_MAX;
         piece = strtok_r(NULL, "._@+-", &rest))
        words[count++] = piece;
    return ZxcvbnMatch(text, words, NULL) < LEAST_BITS;
}

static bool shown(const char *text, size_t *characters)
{
    uint32_t c;
    size_t len;
    for (*characters = 0; *text; text += len, (*characters)++) {
        len = cb_utf8_read(text, &c);
        if (len == 0 || cb_utf8_acts(c))
            return false;
    }
    return true;
}

cb_error cb_password_fit(cb_bytes password, const char *name)
{
    char text[CB_PASSWORD_MAX + 1];
    size_t characters = 0;
    if (password.len == 0 || password.len > CB_PASSWORD_MAX ||
        memchr(password.data, 0, password.len))
        return CB_E_PASSWORD_FORMAT;
    memcpy(text, password.data, password.len);
    text[password.len] = 0;
    bool good = shown(text, &characters) && characters >= CB_PASSWORD_CHARACTERS_MIN &&
                !has_pattern(password, name) && !easy(text, name);
    cb_wipe(text, sizeof text);
    return good ? CB_OK : CB_E_PASSWORD_FORMAT;
}
