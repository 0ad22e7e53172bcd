/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The fields of a leaf that a check looks at, read in one pass.
 */
#ifndef CB_BROKER_EVIDENCE_LEAF_FIELDS_H
#define CB_BROKER_EVIDENCE_LEAF_FIELDS_H

#include "base/crypto.h"
#include "base/id.h"
#include "base/buf.h"

enum { CB_LEAF_KIND_MAX = 40, CB_LEAF_WORD_MAX = 40, CB_LEAF_RECEIPTS = 16 };

typedef struct cb_leaf_fields {
    char kind[CB_LEAF_KIND_MAX];
    int64_t time;
    cb_id tap, card, holder, terminal, enrolment, key; /* zero: not there */
    cb_bytes service;                                  /* borrowed; empty: not there */
    char state[CB_LEAF_WORD_MAX];                      /* "": not there */
    char outcome[CB_LEAF_WORD_MAX];
    char failure[CB_LEAF_WORD_MAX];
    uint64_t failures, failed_at, reached, expires, own_expires, due, generation, sequence, cards;
                                                      /* 0: not there */
    bool has_intent, has_feed;
    uint64_t intent, feed;
    cb_digest feed_hash;
    cb_bytes receipt[CB_LEAF_RECEIPTS]; /* hexadecimal, borrowed */
    unsigned receipts;
    bool repeated; /* of a tap's intent or result: another line than "receipt" comes twice */
} cb_leaf_fields;

/* CB_E_FORMAT when it is not a leaf as base/leaf.h describes it. */
cb_error cb_leaf_fields_read(cb_bytes leaf, cb_leaf_fields *out);

/* The SHA-256 (hexadecimal) in a line of that name; false when there is none, or something else. */
bool cb_leaf_find_digest(cb_bytes leaf, const char *name, cb_digest *out);

#endif
