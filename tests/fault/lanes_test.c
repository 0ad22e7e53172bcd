/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * hsmd's lanes and its client, each in a process of its own as they are: each allocation, and each
 * call for a socket, fails in turn, on whichever side it is made. No lane ends by it, no key is
 * used for it, and the next tap finds all well. Here are a login, the making of a key, and a
 * revocation; lanes_taps_test.c, lanes_own_cards_test.c, lanes_passwords_test.c and
 * lanes_manage_test.c have the rest.
 */
#include "tests/fault/lanes_world.h"

#include "base/clock.h"

static void prepare(void *context) { lanes_connect_anew(context); }

static cb_error whole_tap(void *context) { return lanes_judge(lanes_tap(context, NULL)); }

static void the_next_tap_works(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)result, (void)struck;
    lanes_are_alive(l);
    assert_int_equal(lanes_tap(l, NULL), CB_OK);
}

static cb_error administer(void *context)
{
    lanes *l = context;
    front_key key;
    cb_buf again = CB_BUF(CB_SEALED_MAX), point = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_error error = front_key_make(&l->front, &l->front.holder, "bank", CB_KEY_EC_P256,
                                    CB_LEVEL_POSSESSION, 1, &key);
    if (!error)
        error = cb_hsm_rewrap(l->front.hsm, cb_buf_bytes(&key.sealed), &again);
    if (!error && again.len != key.sealed.len)
        error = LANES_WRONG;
    if (!error)
        error = cb_hsm_public_key(l->front.hsm, "log", &point);
    front_key_free(&key);
    cb_buf_free(&again);
    cb_buf_free(&point);
    return lanes_judge(error);
}

static cb_feed_entry entry;

static void next_entry(void *context)
{
    lanes *l = context;
    lanes_connect_anew(l);
    entry = (cb_feed_entry){l->front.feed.number + 1, CB_FEED_KEY_RETIRED, cb_id_new(),
                            cb_clock_wall_us()};
}

static cb_error retire(void *context)
{
    lanes *l = context;
    return lanes_judge(cb_hsm_feed_extend_any(l->front.hsm, &entry, 1));
}

/* Said again, as the broker does until it is heard. */
static void it_is_retired(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    assert_int_equal(retire(context), CB_OK);
    l->front.feed = (cb_feed_head){entry.number, cb_feed_hash(&l->front.feed.hash, &entry)};
    the_next_tap_works(context, result, struck);
}

static const fault_flow flow[] = {
    {"a whole tap", prepare, whole_tap, the_next_tap_works},
    {"administration", prepare, administer, the_next_tap_works},
    {"a revocation", next_entry, retire, it_is_retired},
};

int main(void)
{
    return lanes_main(
        &(lanes_program){.flow = flow, .count = sizeof flow / sizeof *flow, .runs = 60});
}
