/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading the evidence log: its leaves (base/leaf.h) and the signed heads over them.
 */
#ifndef CB_BROKER_EVIDENCE_LOG_H
#define CB_BROKER_EVIDENCE_LOG_H

#include "broker/store/store.h"

typedef struct cb_log_leaf {
    uint64_t position; /* from 0, without gaps */
    cb_bytes data;     /* borrowed */
    cb_digest hash;    /* as stored */
} cb_log_leaf;

typedef cb_error (*cb_leaf_visitor)(void *context, const cb_log_leaf *leaf);
typedef cb_error (*cb_head_visitor)(void *context,
                                    const cb_signed_head *head); /* its mac is zero */

/* Leaves from a position on, at most count (0: 100, at most CB_PAGE_LIMIT), in order. */
cb_error cb_log_leaves(cb_store *store, uint64_t from, unsigned count, cb_leaf_visitor each,
                       void *context);

/* Stored heads over at least "from" leaves, at most count (as above), in order of size. */
cb_error cb_log_heads(cb_store *store, uint64_t from, unsigned count, cb_head_visitor each,
                      void *context);

#endif
