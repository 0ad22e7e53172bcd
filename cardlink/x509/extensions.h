/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The extensions of a certificate; certificate.c's only.
 */
#ifndef CB_CARDLINK_X509_EXTENSIONS_H
#define CB_CARDLINK_X509_EXTENSIONS_H

#include "cardlink/x509/certificate.h"

/* From the content of [3]. False when they are malformed. */
bool cb_x509_read_extensions(cb_bytes explicit, cb_x509 *out);

#endif
