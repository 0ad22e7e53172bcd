/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bytes as text: hexadecimal, base64 (RFC 4648, 4 and 5), UTF-8 (RFC 3629).
 */
#ifndef CB_BASE_TEXT_H
#define CB_BASE_TEXT_H

#include "base/buf.h"

/* Lower-case hexadecimal; out needs 2 * bytes.len + 1 characters. */
void cb_hex(cb_bytes bytes, char *out);

/* Appends lower-case hexadecimal. */
void cb_buf_put_hex(cb_buf *buf, cb_bytes bytes);

/* Appends the bytes that hexadecimal text (either case, even length, nothing else) spells.
 * CB_E_FORMAT if it is not that, then nothing is appended. */
cb_error cb_unhex(cb_bytes text, cb_buf *out);

/* Exactly len bytes from 2 * len hexadecimal digits. */
cb_error cb_unhex_exact(const char *text, void *out, size_t len);

/* Appends base64, with padding, or base64url without it. */
void cb_buf_put_base64(cb_buf *buf, cb_bytes bytes);
void cb_buf_put_base64url(cb_buf *buf, cb_bytes bytes);

/* Appends what base64 (padded, no white space) or base64url (not padded) text stands for.
 * CB_E_FORMAT for anything else, non-zero spare bits included; then nothing is appended. */
cb_error cb_unbase64(cb_bytes text, cb_buf *out);
cb_error cb_unbase64url(cb_bytes text, cb_buf *out);

/* The first character of text that ends with a zero. Its length; 0 when the bytes are none,
 * overlong, a surrogate or too large. The final zero is a character. */
size_t cb_utf8_read(const char *text, uint32_t *out);

/* Whether a character acts on a screen instead of standing on it: controls, and what turns the
 * direction of writing, joins, hides or breaks lines. */
bool cb_utf8_acts(uint32_t character);

/* A copy with a zero behind it, to be freed; NULL without memory. */
char *cb_text_copy(cb_bytes text);

#endif
