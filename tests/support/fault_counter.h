/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Counts calls of one kind, in all threads and in processes that were forked since the program
 * began, and says which one is to fail. All zero is one that is not armed.
 */
#ifndef CB_TESTS_SUPPORT_FAULT_COUNTER_H
#define CB_TESTS_SUPPORT_FAULT_COUNTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { FAULT_FRAMES = 24, FAULT_STACKS = 1 << 16, FAULT_MAPPED = 1 << 20 };

typedef struct fault_map {
    atomic_uint_least64_t stack[FAULT_STACKS]; /* hashes, each near where it says; 0: none */
    atomic_bool known[FAULT_MAPPED];           /* by number: from a stack that was there before */
} fault_map;

typedef struct fault_state {
    atomic_bool armed, for_good, maps;
    atomic_uint counted, unlucky;
    void *volatile frame[FAULT_FRAMES]; /* who made the call that failed first */
    int frames;
    fault_map map;
} fault_state;

/* The state is in memory that forked processes share; it is made when the program begins. */
typedef struct fault_counter {
    fault_state *shared;
} fault_counter;

void fault_counter_make(fault_counter *counter);

void fault_counter_arm(fault_counter *counter, unsigned nth, bool lasting);
unsigned fault_counter_disarm(fault_counter *counter);

/* One more call: whether it is to fail. */
bool fault_counter_strikes(fault_counter *counter);

/* While it maps, a count that was armed remembers from which stacks calls come. */
void fault_counter_map(fault_counter *counter, bool maps);

/* Of the count that was mapped: no call before the nth came from the same stack. */
bool fault_counter_is_new(const fault_counter *counter, unsigned nth);

/* The stack of the call that failed, on standard error. */
void fault_counter_where(const fault_counter *counter);

#endif
