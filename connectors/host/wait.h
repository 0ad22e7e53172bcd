/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Waiting, for processes whose end would end everybody's logins.
 */
#ifndef CB_CONNECTORS_HOST_WAIT_H
#define CB_CONNECTORS_HOST_WAIT_H

#include <poll.h>
#include <stdbool.h>

/* poll(2), but that an interruption, or the kernel's want of memory (after a moment), leaves
 * nothing ready. False when it cannot be waited for. */
bool cb_wait(struct pollfd *polled, nfds_t count, int timeout_ms);

#endif
