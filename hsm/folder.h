/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a folder is safe to keep memory or sockets in: whoever may write one of the folders above
 * it can put another in its place, and hsmd would start with nothing remembered, or a client would
 * talk to somebody else.
 */
#ifndef CB_HSM_FOLDER_H
#define CB_HSM_FOLDER_H

#include <sys/types.h>

#include "base/buf.h"

/* Whether this folder and each one above it, up to the root of the file system and with links
 * followed, belong to root or to own, and nobody else may write them (those above may be like /tmp:
 * sticky). CB_E_CONFIG, with the folder and what is wrong with it in why. */
cb_error cb_folder_check(const char *path, uid_t own, cb_buf *why);

#endif
