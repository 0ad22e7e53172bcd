/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Receipts: hsmd's word on each use of a key, for the evidence log.
 *
 *   blob = u8 'R', u8 version 1, boot id, u32 worker, u64 counter, i64 time, tap, card, key, u8
 * operation, context digest (32), data digest (32), MAC (32)
 */
#ifndef CB_HSM_RECEIPT_H
#define CB_HSM_RECEIPT_H

#include "hsm/keyring.h"
#include "hsm/records.h"

/* Appends the blob. */
cb_error cb_receipt_make(cb_keyring *keyring, const cb_receipt_info *info, cb_buf *out);

/* Whether it is genuine; its fields. CB_E_HSM_RECORD, also when it is not a receipt at all. */
cb_error cb_receipt_check(cb_keyring *keyring, cb_bytes receipt, cb_receipt_info *out);

#endif
