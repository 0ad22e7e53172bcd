/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading trust anchors and the broker's certificates from their files.
 */
#ifndef CB_HSM_HOST_LOAD_H
#define CB_HSM_HOST_LOAD_H

#include "hsm/config.h"
#include "hsm/host.h"
#include "hsm/keyring.h"

/* Makes a host from what the configuration names. A certificate that is not installed yet is no
 * error: the host is then not ready, and the log says so. CB_E_CONFIG, with the file and the reason
 * in why, for a file that cannot be used, or a certificate that is not of the keyring's key. */
cb_error cb_host_load(const cb_hsmd_config *config, cb_keyring *keyring, cb_host **out,
                      cb_buf *why);

#endif
