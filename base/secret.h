/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Secrets: wiping them, comparing them, drawing random ones.
 *
 * A wipe is never optimised away. A comparison takes the same time wherever the values differ.
 */
#ifndef CB_BASE_SECRET_H
#define CB_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/* Overwrites len bytes with zero. data may be NULL when len is 0. */
void cb_wipe(void *data, size_t len);

/* Whether two values are equal, in time that depends on the lengths only. */
bool cb_equal(cb_bytes a, cb_bytes b);

/* Fills out with len bytes from the kernel's generator. Never fails: a process that can get no
 * randomness must not go on, so it aborts. */
void cb_random(void *out, size_t len);

#endif
