/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Secrets that an administrator gives: from a file descriptor, or typed without echo. Never from
 * the command line or the environment, where others can read them.
 */
#ifndef CB_BROKER_CTL_SECRET_IN_H
#define CB_BROKER_CTL_SECRET_IN_H

#include "broker/ctl/ctl.h"

/* Reads descriptor number fd_text to its end (one newline at the end is not part of the secret),
 * or, when fd_text is NULL, asks twice at the terminal. What is read goes into out only. */
cb_ctl_status cb_ctl_secret(cb_ctl *ctl, const char *fd_text, cb_buf *out);

/* The same for a password, which whoever it is of types. */
cb_ctl_status cb_ctl_password(cb_ctl *ctl, const char *fd_text, cb_buf *out);

#endif
