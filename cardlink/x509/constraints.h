/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Name constraints along a path (RFC 5280, 4.2.1.10); path.c's only.
 */
#ifndef CB_CARDLINK_X509_CONSTRAINTS_H
#define CB_CARDLINK_X509_CONSTRAINTS_H

#include "cardlink/x509/path.h"

/* Whether each certificate's names are such as all CAs above it allow: directory names, mail
 * addresses, DNS names and URIs. A constraint on names of another kind ends the path if there is
 * such a name. Texts are compared as far as they are UTF-8, Printable or IA5 strings of printable
 * ASCII; a name that cannot be compared is outside of what is permitted, and inside of what is
 * excluded. Those that issued themselves are not looked at, but for the card's.
 * CB_E_CERTIFICATE_PATH. */
cb_error cb_x509_check_constraints(const cb_x509_path *path);

#endif
