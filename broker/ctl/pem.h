/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PEM (RFC 7468): base64 between a BEGIN and an END line, anything around them being a remark.
 */
#ifndef CB_BROKER_CTL_PEM_H
#define CB_BROKER_CTL_PEM_H

#include "base/buf.h"
#include "base/cursor.h"

enum { CB_PEM_LABEL_MAX = 40 };

/* The next block: its label ("CERTIFICATE") and content, appended to der. False at the end of the
 * text and on malformed text; the two are told apart by cb_cursor_ok. Blocks with headers (RFC
 * 1421, keys encrypted the old way) are malformed. What is decoded rests in der only, so that it
 * may be a secret. */
bool cb_pem_next(cb_cursor *text, char label[CB_PEM_LABEL_MAX], cb_buf *der);

/* Appends one block, 64 characters a line. */
void cb_pem_put(cb_buf *out, const char *label, cb_bytes der);

#endif
