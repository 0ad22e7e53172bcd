/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * JSON Web Signatures in their compact form (RFC 7515, 7.1), signed by the holder's key through the
 * host.
 */
#ifndef CB_CONNECTORS_JWT_JWS_H
#define CB_CONNECTORS_JWT_JWS_H

#include <jansson.h>

#include "connectors/include/cardbroker/connector.h"

/* RFC 7518, 3.1. */
typedef struct cb_jws_algorithm {
    const char *name;
    cardbroker_scheme scheme;
    cardbroker_hash hash;
} cb_jws_algorithm;

extern const cb_jws_algorithm cb_jws_es256, cb_jws_es384, cb_jws_rs256, cb_jws_ps256;

/* header.claims.signature; the caller frees *out. One use of the key. */
cardbroker_status cb_jws_make(const cardbroker_host *host, cardbroker_login *login,
                              const cb_jws_algorithm *algorithm, const json_t *header,
                              const json_t *claims, char **out);

#endif
