/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Records as bytes: bodies, each followed by a MAC of 32 bytes over all that stands before it.
 * There is one way to write each record; what is written any other way is refused. Inside hsm/
 * only.
 */
#ifndef CB_HSM_RECORD_CODEC_H
#define CB_HSM_RECORD_CODEC_H

#include "base/buf.h"
#include "hsm/records.h"

enum { CB_RECORD_VERSION = 1, CB_BINDING_VERSION = 2, CB_DATED_VERSION = 3, CB_ONCE_VERSION = 4, CB_RECORD_MAC = CB_SHA256_SIZE, CB_WRAPPED_MAX = 4096 };

/* Bindings: version 1 is a native card's, 2 another's, 3 a native card's whose last day is known, 4 a password's, or of a
 * card that others issued, that has an end. */

/* The two parts of a blob, borrowed. */
typedef struct cb_record_parts {
    cb_bytes body;
    cb_bytes mac;
} cb_record_parts;

/* CB_E_FORMAT when the blob is larger than max or too small to hold a MAC. */
cb_error cb_record_split(cb_bytes blob, size_t max, cb_record_parts *out);

/* Reading bodies: CB_E_FORMAT unless every byte is accounted for and every field is possible. */
cb_error cb_sealed_body_get(cb_bytes body, cb_sealed_info *info, cb_bytes *public_key,
                            cb_bytes *wrapped);
cb_error cb_binding_body_get(cb_bytes body, cb_binding_info *info);
cb_error cb_receipt_body_get(cb_bytes body, cb_receipt_info *info);

/* Writing them. */
void cb_sealed_body_put(cb_buf *buf, const cb_sealed_info *info, cb_bytes public_key,
                        cb_bytes wrapped);
void cb_binding_body_put(cb_buf *buf, const cb_binding_info *info);
void cb_receipt_body_put(cb_buf *buf, const cb_receipt_info *info);

/* Whether the fields that do not come from hsmd itself are possible; key and generation are not
 * looked at. */
bool cb_sealed_info_ok(const cb_sealed_info *info);
bool cb_binding_info_ok(const cb_binding_info *info);

#endif
