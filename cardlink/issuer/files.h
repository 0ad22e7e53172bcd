/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The card issuer's files.
 *
 *   an authority's folder   authority.key (64 hexadecimal digits, mode 0600), authority.cvc
 * (self-signed) a batch's folder        batch.key (likewise), batch.cvc, batch.count ("issued
 * limit"; decimal)
 *
 * Nothing that exists is ever written over (CB_E_EXISTS), except the count. Functions write what is
 * wrong, with the file's name, to why (no final newline).
 */
#ifndef CB_CARDLINK_ISSUER_FILES_H
#define CB_CARDLINK_ISSUER_FILES_H

#include "cardlink/issuer/issue.h"

enum { CB_BATCH_LIMIT_MAX = 1000000 };

/* Folders are made if they are not there (mode 0700). */
cb_error cb_authority_save(const char *folder, const cb_issue_authority *authority,
                           cb_bytes certificate, cb_buf *why);
cb_error cb_authority_load(const char *folder, cb_issue_authority *out, cb_buf *why);
cb_error cb_batch_save(const char *folder, const cb_issue_batch *batch, unsigned limit,
                       cb_buf *why);
cb_error cb_batch_load(const char *folder, cb_issue_batch *out, cb_buf *why);

/* Counts one more card in a batch, before it is made. CB_E_STATE when the batch is full. Two
 * programs never get the same place. */
cb_error cb_batch_take(const char *folder, cb_buf *why);

/* Somebody's P-256 point from a file: 65 bytes, DER SubjectPublicKeyInfo, or either as hexadecimal
 * digits. */
cb_error cb_point_read(const char *path, uint8_t point[CB_P256_POINT], cb_buf *why);

/* "FILE:KID:KVN" with the certificate of an authority above brokers, KID and KVN in hexadecimal. */
cb_error cb_kloc_read(const char *text, cb_vcard_kloc *out, cb_buf *why);

/* Writes a new file. */
cb_error cb_file_new(const char *path, cb_bytes content, unsigned mode, cb_buf *why);

#endif
