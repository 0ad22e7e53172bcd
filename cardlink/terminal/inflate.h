/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates that a card keeps compressed (NIST SP 800-73-4, part 1, appendix A: CertInfo).
 *
 * They are made whole beside the card, by the terminal, and go on as DER: neither the broker nor
 * hsmd reads a compressed one.
 */
#ifndef CB_CARDLINK_TERMINAL_INFLATE_H
#define CB_CARDLINK_TERMINAL_INFLATE_H

#include "base/buf.h"

/* Whether it begins as gzip does (RFC 1952, 2.3.1), which no DER of a certificate does. */
bool cb_is_deflated(cb_bytes certificate);

/* Appends what one member of gzip holds, at most as much as out may, and then what follows the
 * member as it is. CB_E_CARD_ANSWER (not gzip, cut off, a wrong check value), CB_E_TOO_LARGE,
 * CB_E_MEMORY. */
cb_error cb_inflate(cb_bytes in, cb_buf *out);

#endif
