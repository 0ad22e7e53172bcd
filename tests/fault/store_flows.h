/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the store is asked to do, as flows that can be made to fail (tests/support/faults.h). Each
 * begins with a copy of the same database; after each, the same is done once more, on the store as
 * the fault left it, and the record verifies.
 */
#ifndef CB_TESTS_FAULT_STORE_FLOWS_H
#define CB_TESTS_FAULT_STORE_FLOWS_H

#include "tests/support/faults.h"
#include "tests/unit/broker/support.h"

typedef struct store_flows {
    world w;
    char calm[128];    /* a copy of the database with nothing open */
    char crashed[128]; /* one that a crash left with an intent and a session open */
    cb_tree_head remembered[2];
    cb_id tap, session; /* of this run */
    cb_id enrolment;
    uint32_t counter; /* that the card signed last; so that the tap is its first, and a mismatch */
    cb_error result_of_open;
    /* After a fault of the disk nobody knows whether what was refused is on it: it is there as a
     * whole, or not at all. */
    bool disk;
} store_flows;

void store_flows_make(store_flows *s);
void store_flows_end(store_flows *s);

extern const fault_flow store_flow[];
extern const unsigned store_flow_count;

/* For flows in files of their own: a fresh copy that is open, or closed; what holds after a fault. */
void store_begin_calm(void *context);
void store_closed_calm(void *context);
void store_wait_for_the_disk(store_flows *s);
void store_wait_for_the_lane(store_flows *s);
void store_closes_whole(store_flows *s);

/* store_flow_checkpoint.c */
void store_begin_with_checkpoints(void *context);
cb_error store_make_and_go_on(void *context);
void store_starts_with_or_without(void *context, cb_error result, bool struck);

/* store_flow_failures.c */
void store_begin_wrong_pins(void *context);
cb_error store_count_wrong_pin(void *context);
void store_it_is_counted_with_its_refusal(void *context, cb_error result, bool struck);

/* store_flow_acts.c */
void store_begin_holders(void *context);
cb_error store_do_holders(void *context);
void store_holders_are_done(void *context, cb_error result, bool struck);
void store_begin_terminals(void *context);
cb_error store_do_terminals(void *context);
void store_terminals_are_done(void *context, cb_error result, bool struck);
void store_begin_stock(void *context);
cb_error store_do_stock(void *context);
void store_stock_is_done(void *context, cb_error result, bool struck);

#endif
