/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Allocations that fail. A program that links this has its malloc, calloc, realloc and their kin
 * replaced, also for the libraries that it uses; they come from libc (or the sanitizer) unless
 * one is to fail. All threads count.
 */
#ifndef CB_TESTS_SUPPORT_ALLOC_FAULTS_H
#define CB_TESTS_SUPPORT_ALLOC_FAULTS_H

#include "tests/support/faults.h"

extern const fault_kind alloc_faults;

/* While paused, this thread's allocations are neither counted nor made to fail, nor is what it
 * frees: in code that is not ours. */
void alloc_faults_pause(bool paused);

/* Blocks that were allocated and not freed. */
long alloc_faults_live(void);

/* While it maps, a count remembers from which stacks allocations come; and whether the nth of that
 * count was the first from its stack. */
void alloc_faults_map(bool maps);
bool alloc_faults_is_new(unsigned nth);

#endif
