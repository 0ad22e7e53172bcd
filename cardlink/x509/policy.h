/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificate policies along a path; path.c's only.
 */
#ifndef CB_CARDLINK_X509_POLICY_H
#define CB_CARDLINK_X509_POLICY_H

#include "cardlink/x509/path.h"

/* Whether the card's certificate and all CAs below the anchor carry a policy that will do, where
 * the rules, or a CA on the path (requireExplicitPolicy), ask for one. CB_E_CERTIFICATE_POLICY. */
cb_error cb_x509_check_policies(const cb_x509_path *path, const cb_x509_rules *rules);

#endif
