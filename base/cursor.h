/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading outside data without pointer arithmetic.
 *
 * A cursor walks over borrowed bytes. A read past the end returns zero or no bytes and marks the
 * cursor as failed; everything read after that is zero or empty too. The reader checks once, at
 * the end, with cb_cursor_done (all was there and nothing is left over) or cb_cursor_ok.
 *
 * Integers are read most significant byte first.
 */
#ifndef CB_BASE_CURSOR_H
#define CB_BASE_CURSOR_H

#include "base/bytes.h"
#include "base/error.h"

typedef struct cb_cursor {
    cb_bytes rest;
    bool failed;
} cb_cursor;

static inline cb_cursor cb_cursor_over(cb_bytes bytes)
{
    return (cb_cursor){.rest = bytes};
}

uint8_t cb_cursor_u8(cb_cursor *cursor);
uint16_t cb_cursor_u16(cb_cursor *cursor);
uint32_t cb_cursor_u32(cb_cursor *cursor);
uint64_t cb_cursor_u64(cb_cursor *cursor);

/* The next len bytes, borrowed from what the cursor walks over. */
cb_bytes cb_cursor_take(cb_cursor *cursor, size_t len);

/* Copies exactly len bytes to out, or zeroes out and fails. */
void cb_cursor_copy(cb_cursor *cursor, void *out, size_t len);

/* A 32-bit length of at most max, then that many bytes. */
cb_bytes cb_cursor_var(cb_cursor *cursor, size_t max);

/* Everything that is left. */
cb_bytes cb_cursor_rest(cb_cursor *cursor);

/* Marks the data as wrong for a reason of the reader's own. */
static inline void cb_cursor_fail(cb_cursor *cursor)
{
    cursor->failed = true;
    cursor->rest = (cb_bytes){0};
}

static inline bool cb_cursor_ok(const cb_cursor *cursor)
{
    return !cursor->failed;
}

/* Nothing failed and nothing is left. */
static inline bool cb_cursor_done(const cb_cursor *cursor)
{
    return !cursor->failed && cursor->rest.len == 0;
}

#endif
