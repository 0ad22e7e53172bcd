/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the processes behind fetch.h give up; theirs only.
 */
#ifndef CB_BROKER_STATUS_FETCH_RIGHTS_H
#define CB_BROKER_STATUS_FETCH_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* All but a connection and a pipe, which get other numbers; memory for an answer of most bytes.
 * Without sandbox system calls stay as they are. */
cb_error cb_fetch_confine(int *connection, int *out, size_t most, bool sandbox);

/* What is not needed to look up names, to connect, and to make processes that do. */
cb_error cb_fetch_confine_keeper(void);

#endif
