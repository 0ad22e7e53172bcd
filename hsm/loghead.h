/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The log lane's memory of the last head it agreed to sign, so that the log can grow but never be
 * rewritten.
 *
 * The memory is made durable before the signature leaves: otherwise a power cut would let whoever
 * holds the database and the front end have a second history signed from an older point. It is
 * written in place (durable.h), so that a group of taps costs one flush of the device, about what
 * the database's own commit of that group costs.
 *
 * A memory that is ahead of the front end is harmless: heads are signed after the database
 * committed them, so the front end can always prove an extension of what is remembered
 * (CB_E_HSM_HEAD tells it from where).
 */
#ifndef CB_HSM_LOGHEAD_H
#define CB_HSM_LOGHEAD_H

#include "base/merkle.h"

typedef struct cb_loghead cb_loghead;

/* Opens the memory and keeps it locked against a second log lane. CB_E_BUSY when one runs;
 * CB_E_HSM_RECORD: the file is damaged; CB_E_IO, CB_E_MEMORY. */
cb_error cb_loghead_open(const char *path, cb_loghead **out);
void cb_loghead_close(cb_loghead **loghead);

/* The head remembered; the empty tree at first. */
cb_tree_head cb_loghead_now(const cb_loghead *loghead);

/* Remembers a head that extends the one remembered, or is the same (RFC 9162, 2.1.4.2); returns
 * after that is durable. CB_E_HSM_HEAD when it does not; CB_E_IO, CB_E_STORE_FULL. */
cb_error cb_loghead_extend(cb_loghead *loghead, const cb_tree_head *head,
                           const cb_merkle_proof *extends);

/* The size remembered in a file, for reports. */
cb_error cb_loghead_peek(const char *path, uint64_t *size);

#endif
