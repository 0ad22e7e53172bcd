/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates of terminals, by the terminal CA: a key of the broker's on the token that signs
 * nothing else.
 *
 * hsmd builds a certificate itself, down to the last byte, whatever the front end asks: the subject
 * is the terminal's identifier, the key the one that signed the request, the usage that of a TLS
 * client, the beginning now, the end what hsmd.conf says. So a front end that was taken over can
 * name no other authority, server or person, and nothing that outlives the configured time.
 */
#ifndef CB_HSM_TERMINAL_CERTIFICATE_H
#define CB_HSM_TERMINAL_CERTIFICATE_H

#include "hsm/vault.h"

enum { CB_TERMINAL_CERTIFICATE_MAX = 2048, CB_TERMINAL_SECONDS_MAX = 825 * 86400 };

/* Appends the certificate (DER, X.509 v3, RFC 5280) for a request (cb_x509_request_read). now in
 * seconds since 1970. CB_E_FORMAT, CB_E_CRYPTO (the request), CB_E_CONFIG (the token has no
 * terminal CA yet), CB_E_HSM_TOKEN, CB_E_MEMORY. */
cb_error cb_terminal_certificate_make(const cb_vault *vault, const cb_id *terminal,
                                      cb_bytes request, int64_t now, uint32_t seconds, cb_buf *out);

/* Appends the certificate of the terminal CA itself, for whoever is to verify the others: the same
 * name and key at each call, another serial number; it ends CB_TERMINAL_CA_YEARS from now. */
enum { CB_TERMINAL_CA_YEARS = 20 };
cb_error cb_terminal_ca_make(const cb_vault *vault, int64_t now, cb_buf *out);

#endif
