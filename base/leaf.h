/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Evidence leaves: what the record says about one event, as bytes that are hashed and never change.
 *
 * A leaf is UTF-8 text of lines, each "name SP value LF", in the order in which they were written.
 * The first line is "cardbroker-evidence 1", then "kind …" and "time …" (RFC 3339, UTC,
 * microseconds). In values a backslash is written "\\" and a control character "\xHH"; names are
 * [a-z0-9_.]+. Anyone can read it without a tool, and there is one way to write each event.
 */
#ifndef CB_BASE_LEAF_H
#define CB_BASE_LEAF_H

#include "base/buf.h"
#include "base/id.h"

enum { CB_LEAF_MAX = 8192 };

/* Starts a leaf in an empty buffer. time is the wall clock in microseconds. */
void cb_leaf_begin(cb_buf *leaf, const char *kind, int64_t time);

void cb_leaf_text(cb_buf *leaf, const char *name, const char *value);
void cb_leaf_number(cb_buf *leaf, const char *name, uint64_t value);
void cb_leaf_id(cb_buf *leaf, const char *name, const cb_id *value);
void cb_leaf_hex(cb_buf *leaf, const char *name, cb_bytes value);

/* Looks a name up in a leaf and appends its value, escapes undone. CB_E_NOT_FOUND, CB_E_FORMAT. */
cb_error cb_leaf_find(cb_bytes leaf, const char *name, cb_buf *value);

/* The same into size bytes, with a zero at the end, for who must not depend on memory.
 * CB_E_TOO_LARGE: it does not fit; CB_E_FORMAT: it holds a zero. */
cb_error cb_leaf_find_text(cb_bytes leaf, const char *name, char *out, size_t size);

#endif
