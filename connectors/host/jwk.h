/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A public key as a JSON Web Key (RFC 7517, RFC 7518 6.2 and 6.3), named by its thumbprint (RFC
 * 7638).
 */
#ifndef CB_CONNECTORS_HOST_JWK_H
#define CB_CONNECTORS_HOST_JWK_H

#include "base/buf.h"

/* Appends {"kty":…,"kid":…} for a DER SubjectPublicKeyInfo: EC P-256, P-384 or RSA. CB_E_FORMAT for
 * anything else. */
cb_error cb_jwk_of(cb_bytes public_key, cb_buf *json);

#endif
