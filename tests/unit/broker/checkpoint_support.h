/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A world with a checkpoint: made every few leaves, its files as whoever writes to the folder sees
 * them.
 */
#ifndef CB_TESTS_UNIT_BROKER_CHECKPOINT_SUPPORT_H
#define CB_TESTS_UNIT_BROKER_CHECKPOINT_SUPPORT_H

#include "broker/evidence/checkpoint.h"
#include "tests/unit/broker/support.h"

enum { CHECKPOINT_FILE_MAX = 65536 };

/* The name of the file, or of the one that is to take its place; and whether it is there. */
void checkpoint_name(const world *w, bool next, char out[160]);
bool has_checkpoint(const world *w, bool next);
size_t read_checkpoint(const world *w, bool next, uint8_t out[CHECKPOINT_FILE_MAX]);
void write_checkpoint(const world *w, bool next, const uint8_t *bytes, size_t len);

/* Taps until a checkpoint was made after those that there were, and is kept. */
void live_until_checkpoint(world *w);

/* Opens a world with these options, closed: with a checkpoint, and some leaves after it. */
void world_with_checkpoint(world *w);

/* Once logins are let through or refused for good: what they are refused with; from where the start
 * went on (0: it read everything). */
cb_error after_start(world *w, uint64_t *from);

/* And once what lies before the checkpoint was read, or found wrong, too. */
cb_error after_reading(world *w);

/* The highest position of a leaf about a checkpoint, and what it says; a test fails without one. */
uint64_t last_checkpoint(world *w, cb_checkpoint *out);

#endif
