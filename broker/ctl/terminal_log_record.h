/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal's log beside the record: each batch has a leaf with its digest, in the same order.
 * Tables can be changed by whoever writes the database; the record cannot, without its showing
 * (audit verify).
 */
#ifndef CB_BROKER_CTL_TERMINAL_LOG_RECORD_H
#define CB_BROKER_CTL_TERMINAL_LOG_RECORD_H

#include "broker/ctl/ctl.h"

/* One batch, as it is remembered until it is compared: an object with "part", "last", "hash" and
 * "entries_sha256", all texts, and "at". NULL: no memory. */
json_t *cb_ctl_log_batch(const json_t *batch, cb_bytes entries);

/* How many leaves the record has: to be asked before the batches are read. */
cb_ctl_status cb_ctl_log_leaves(cb_ctl *ctl, uint64_t *leaves);

/* Reads the whole record, and calls found for what is among its first leaves, so many, and not
 * among the batches, and for batches that it does not have. */
cb_ctl_status
cb_ctl_log_compare(cb_ctl *ctl, const char *terminal, uint64_t leaves, const json_t *batches,
                   cb_ctl_status (*found)(void *context, const json_t *at, const char *what),
                   void *context);

#endif
