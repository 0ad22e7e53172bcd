/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/broker/checkpoint_support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/store/txn.h"

enum { EVERY = 16, STEPS = 3000, PAGES = 100 };

void checkpoint_name(const world *w, bool next, char out[160])
{
    snprintf(out, 160, "%s-checkpoint%s", w->path, next ? ".next" : "");
}

bool has_checkpoint(const world *w, bool next)
{
    char name[160];
    checkpoint_name(w, next, name);
    return access(name, F_OK) == 0;
}

size_t read_checkpoint(const world *w, bool next, uint8_t out[CHECKPOINT_FILE_MAX])
{
    char name[160];
    checkpoint_name(w, next, name);
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    size_t len = fread(out, 1, CHECKPOINT_FILE_MAX, file);
    fclose(file);
    return len;
}

void write_checkpoint(const world *w, bool next, const uint8_t *bytes, size_t len)
{
    char name[160];
    checkpoint_name(w, next, name);
    unlink(name);
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

typedef struct search {
    uint64_t position;
    cb_checkpoint last;
    bool found;
    uint64_t next;
} search;

static cb_error look(void *context, const cb_log_leaf *leaf)
{
    search *s = context;
    cb_checkpoint one;
    if (cb_checkpoint_read(leaf->data, &one) == CB_OK) {
        s->found = true;
        s->position = leaf->position;
        s->last = one;
    }
    s->next = leaf->position + 1;
    return CB_OK;
}

static bool find(world *w, search *s)
{
    for (uint64_t before = UINT64_MAX; s->next != before;) {
        before = s->next;
        assert_int_equal(cb_log_leaves(w->store, s->next, PAGES, look, s), CB_OK);
    }
    return s->found;
}

uint64_t last_checkpoint(world *w, cb_checkpoint *out)
{
    search s = {0};
    assert_true(find(w, &s));
    *out = s.last;
    return s.position;
}

/* A file takes its place some time after its leaf was signed. */
static void wait_for_place(world *w)
{
    for (int i = 0; i < STEPS && has_checkpoint(w, true); i++)
        usleep(1000);
    assert_true(has_checkpoint(w, false) && !has_checkpoint(w, true));
}

void live_until_checkpoint(world *w)
{
    search before = {0}, now = {0};
    find(w, &before);
    for (int i = 0; i < STEPS && now.position <= before.position; i++) {
        assert_int_equal(tap_once(w, NULL, NULL), CB_OK);
        usleep(1000);
        now = (search){0};
        find(w, &now);
    }
    assert_true(now.found);
    wait_for_place(w);
}

void world_with_checkpoint(world *w)
{
    world_begin(w);
    world_close(w);
    w->options.checkpoint = EVERY;
    world_open(w);
    live_until_checkpoint(w);
    assert_int_equal(tap_once(w, NULL, NULL), CB_OK);
    world_close(w);
}

cb_error after_start(world *w, uint64_t *from)
{
    cb_store_state state;
    cb_error error = cb_store_checked(w->store, cb_deadline_in(10 * CB_SECOND));
    assert_int_equal(cb_store_status(w->store, &state), CB_OK);
    if (from)
        *from = state.leaves_checkpoint;
    return error;
}

cb_error after_reading(world *w)
{
    cb_store_state state = {0};
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(cb_store_status(w->store, &state), CB_OK);
        if (state.error && state.error != CB_E_BUSY)
            break;
        if (!state.error && state.leaves_checked == state.leaves_found) {
            usleep(20000); /* to compare what was read */
            assert_int_equal(cb_store_status(w->store, &state), CB_OK);
            break;
        }
        usleep(1000);
    }
    return state.error;
}
