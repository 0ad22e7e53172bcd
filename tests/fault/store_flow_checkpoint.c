/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A checkpoint is made, and a start goes on from it; or not, for whatever failed: then everything is
 * read.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/store/txn.h"
#include "tests/fault/store_flows.h"

enum { PATIENCE = 100 };

static bool is_beside(const store_flows *s, const char *suffix)
{
    char name[160];
    snprintf(name, sizeof name, "%s%s", s->w.path, suffix);
    return access(name, F_OK) == 0;
}

void store_begin_with_checkpoints(void *context)
{
    store_flows *s = context;
    store_closed_calm(s);
    s->w.options.checkpoint = CB_CHECKPOINT_LEAST;
}

/* One is made as soon as the record was read. */
cb_error store_make_and_go_on(void *context)
{
    store_flows *s = context;
    cb_error error = CB_OK;
    for (int start = 0; !error && start < 2; start++) {
        error = cb_store_open(&s->w.options, &s->w.store);
        if (!error)
            error = cb_store_checked(s->w.store, cb_deadline_in(10 * CB_SECOND));
        for (int i = 0; !error && start == 0 && i < PATIENCE && !is_beside(s, "-checkpoint"); i++)
            usleep(1000);
        world_close(&s->w);
    }
    return error;
}

void store_starts_with_or_without(void *context, cb_error result, bool struck)
{
    store_flows *s = context;
    (void)result;
    (void)struck;
    world_open(&s->w);
    assert_int_equal(cb_store_checked(s->w.store, cb_deadline_in(10 * CB_SECOND)), CB_OK);
    store_wait_for_the_disk(s);
    store_wait_for_the_lane(s);
    assert_int_equal(tap_once(&s->w, NULL, NULL), CB_OK);
    store_closes_whole(s);
    s->w.options.checkpoint = 0;
}
