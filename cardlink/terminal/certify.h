/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates of the broker's terminal CA: the first one, for a one-time code, and the next ones.
 *
 * A key is on the disk, durably, before a certificate is asked for it, and the broker answers the
 * same for the same key: so whatever is lost or killed on the way, asking again goes on with it. A
 * new key and its certificate wait beside those in use, in files that end in CB_IDENTITY_NEXT;
 * first the certificate takes its place, then the key, and cb_certify_settle completes what was
 * interrupted there. The broker knows the old key until the new one is used.
 */
#ifndef CB_CARDLINK_TERMINAL_CERTIFY_H
#define CB_CARDLINK_TERMINAL_CERTIFY_H

#include "cardlink/terminal/config.h"
#include "cardlink/terminal/problem.h"

/* Makes the key, or takes the one that an activation which was interrupted left, and stores the
 * certificate. CB_E_EXISTS: there is a certificate already. Otherwise as relay.h. */
cb_error cb_certify_activate(const cb_terminal_config *config, const char *name, const char *code,
                             cb_problem *problem);

/* Makes a new key, or takes one that waits, and puts it and its certificate in the place of those
 * in use. CB_E_STATE: the broker's terminal CA made none for this terminal. */
cb_error cb_certify_renew(const cb_terminal_config *config, cb_problem *problem);

/* Before the files are used: completes a renewal that was interrupted while files were renamed. */
void cb_certify_settle(const cb_terminal_config *config);

/* When the certificate in use is to be renewed (two thirds of its time), in microseconds since
 * 1970; *every: how long to wait after an attempt that failed. INT64_MAX for a certificate that the
 * terminal made itself, or that cannot be read. */
int64_t cb_certify_due(const cb_terminal_config *config, int64_t *every);

#endif
