/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A PC/SC service in the program itself: one reader, which is the virtual card's socket of that
 * name. A program that links this calls nobody else; each call can be made to fail.
 */
#ifndef CB_TESTS_FAULT_FAKE_PCSC_H
#define CB_TESTS_FAULT_FAKE_PCSC_H

#include <winscard.h>

#include "tests/support/faults.h"

extern const fault_kind pcsc_faults;

/* The reader's name, and what a call that fails returns from now on. */
void fake_pcsc(const char *reader, LONG failure);

#endif
