/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The entry of the revocation feed that a leaf tells of.
 */
#ifndef CB_BROKER_EVIDENCE_LEAF_FEED_H
#define CB_BROKER_EVIDENCE_LEAF_FEED_H

#include "broker/evidence/leaf_fields.h"
#include "hsm/records.h"

/* Whether leaves of this kind carry an entry; its kind and whom it is about (its number and time
 * are not touched). */
bool cb_leaf_revokes(const cb_leaf_fields *leaf, cb_feed_entry *entry);

/* The whole entry of a leaf that carries one; false for all others. */
bool cb_leaf_feed(cb_bytes leaf, cb_feed_entry *entry);

#endif
