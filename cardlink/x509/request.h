/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests for certificates (PKCS#10, RFC 2986) of P-256 keys, as terminals make them: the key
 * signs that it asks. Of what else such a request says (subject, attributes) nothing is believed.
 */
#ifndef CB_CARDLINK_X509_REQUEST_H
#define CB_CARDLINK_X509_REQUEST_H

#include "base/crypto.h"
#include "cardlink/x509/der.h"

enum { CB_X509_REQUEST_MAX = 2048 };

/* The SubjectPublicKeyInfo (borrowed) of a DER request that is version 0 and signed by that very
 * key with ECDSA and SHA-256. CB_E_FORMAT (not such a request), CB_E_CRYPTO (signed by another
 * key), CB_E_MEMORY. */
cb_error cb_x509_request_read(cb_bytes der, cb_bytes *public_key);

/* Appends a request by a P-256 key, with a subject of one common name of 1 to 63 bytes. */
cb_error cb_x509_request_make(const uint8_t scalar[CB_P256_SCALAR], const char *name, cb_buf *out);

/* Appends SubjectPublicKeyInfo (RFC 5480) of a P-256 point; and a Name of one common name. */
void cb_x509_put_key(cb_buf *out, const uint8_t point[CB_P256_POINT]);
void cb_x509_put_name(cb_buf *out, const char *common_name);

/* Completes what is to be signed with AlgorithmIdentifier (ecdsa-with-SHA256) and signature: a
 * certificate or a request, appended. signature: r ‖ s. */
void cb_x509_put_signed(cb_buf *out, cb_bytes to_be_signed,
                        const uint8_t signature[CB_P256_SIGNATURE]);

/* The AlgorithmIdentifier of that, whole. */
extern const cb_bytes cb_x509_ecdsa_sha256;

#endif
