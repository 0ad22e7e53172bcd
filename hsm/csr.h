/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests for certificates (PKCS#10, RFC 2986) of keys that were just made.
 *
 * A request is the one thing a service key signs without a tap, so hsmd builds it itself, down to
 * the last byte: version 0, the subject, the key's own SubjectPublicKeyInfo, no attributes. Signed
 * with SHA-256 (P-384: SHA-384).
 */
#ifndef CB_HSM_CSR_H
#define CB_HSM_CSR_H

#include "hsm/records.h"
#include "hsm/token.h"

enum { CB_SUBJECT_MAX = 512, CB_CSR_MAX = 4096 };

/* Whether bytes are a DER Name of 1 to 16 relative names, each a set of 1 to 4 pairs of an OID and
 * a non-empty string, of at most CB_SUBJECT_MAX bytes. CB_E_ARGUMENT. */
cb_error cb_csr_subject_check(cb_bytes subject);

/* Appends the request. key is the private session object; algorithm is a cb_key_algorithm with a
 * public half (CB_E_HSM_ALGORITHM otherwise). */
cb_error cb_csr_make(cb_token *token, CK_OBJECT_HANDLE key, uint8_t algorithm, cb_bytes subject,
                     cb_bytes public_key, cb_buf *out);

#endif
