/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The TLS context of a connection to a service: whom it trusts, and the holder's certificate whose
 * key is elsewhere.
 *
 * wolfSSL asks for each signature by public-key callbacks; no private key is loaded. A signature by
 * RSA is checked with the public key before it is sent: a faulty one would give the key away.
 */
#ifndef CB_CONNECTORS_HOST_TLS_H
#define CB_CONNECTORS_HOST_TLS_H

#include "connectors/host/login.h"

/* Sets up ctx (a WOLFSSL_CTX) for the request that login->http has prepared. CB_E_ARGUMENT when
 * certificates cannot be read. */
cb_error cb_tls_set_up(cardbroker_login *login, void *ctx);

#endif
