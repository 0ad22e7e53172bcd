/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names of states as the database keeps them, by number from 1, ended by NULL.
 */
#ifndef CB_BROKER_STORE_STATE_NAMES_H
#define CB_BROKER_STORE_STATE_NAMES_H

#include <stdint.h>

extern const char *const cb_card_states[];
extern const char *const cb_terminal_states[];
extern const char *const cb_enrolment_states[];

/* 0 when it is none of them. */
uint8_t cb_state_number(const char *const *names, const char *name);

#endif
