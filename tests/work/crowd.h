/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * People, cards and terminals beside those whose taps are looked at: rows of every table that grows
 * with how many there are, and with what they have done.
 */
#ifndef CB_TESTS_WORK_CROWD_H
#define CB_TESTS_WORK_CROWD_H

#include "tests/fault/api_world.h"

/* Of all their cards that are in stock. */
#define CROWD_MAKER "Works"

/* From so many to so many, of which each fourth has a terminal as well. Nothing of theirs is due
 * within a year. */
void crowd_grow(const api_world *w, size_t from, size_t to);

#endif
