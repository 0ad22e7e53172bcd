/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Text from outside, parted at a byte.
 */
#ifndef CB_BASE_SPLIT_H
#define CB_BASE_SPLIT_H

#include "base/cursor.h"

/* Up to the byte, which is taken too; everything when it is not there. Never fails. */
cb_bytes cb_take_until(cb_cursor *cursor, char stop);

#endif
