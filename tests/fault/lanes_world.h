/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * hsmd's lanes in processes of their own, and a front end and a manager in this one, to be made to
 * fail on whichever side a call is made. Programs that use it link with lanes_wraps (meson.build).
 */
#ifndef CB_TESTS_FAULT_LANES_WORLD_H
#define CB_TESTS_FAULT_LANES_WORLD_H

#include "front.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/socket_faults.h"

#define MUST(call) assert_int_equal(call, CB_OK)

/* What a flow returns when it was given what it must not be; it is no listed error. */
#define LANES_WRONG CB_ERROR_COUNT

typedef struct lanes {
    world w;
    world_next next;
    bool moves; /* cards are made under the authority's key of before, and moved */
    fake hsmd;
    front front;
    front_key key;
    cb_memo *bound, *guesses; /* hsmd's memory, as its lanes have it */
} lanes;

extern const front_wish lanes_wish; /* the highest level, with the PIN */

/* A front end that has not connected to any lane yet. */
void lanes_connect_anew(lanes *l);

/* No lane has ended, and none is still about to do what nobody waits for any more. */
void lanes_are_alive(const lanes *l);

/* The world's card as it was made, or another one of its issuer, which is bound then. */
void lanes_lay_card(lanes *l);
void lanes_lay_another_card(lanes *l);

/* What answers a script, and is not what is tested here: it is struck by no fault; what it has said
 * is put into answers, in the place of what is there, where one may strike. */
cb_error lanes_play(void (*play)(void *context, const cb_buf *script, cb_buf *answers),
                    void *context, const cb_buf *script, cb_buf *answers);

/* A whole tap, from its begin to the use of the key; activation may be NULL. */
cb_error lanes_tap(lanes *l, cb_activation *activation);

/* The intent of a tap put into the log. A head whose signature was lost may be remembered or not:
 * without faults it is asked, as the store does. */
cb_error lanes_record(lanes *l, const cb_intent *intent, cb_intent_proof *proof);

/* One more entry of the feed, without faults. */
void lanes_feed(lanes *l, uint8_t kind, const cb_id *subject);

/* CB_OK, and errors that are the product's and not of who asked, as they are; of all others
 * LANES_WRONG, after saying so. */
cb_error lanes_judge(cb_error error);

/* That, and what was made is a binding for this holder, with this number. */
cb_error lanes_judge_binding(cb_error error, const cb_buf *made, const cb_id *holder,
                             uint64_t sequence);

/* What a program of these tests tries. */
typedef struct lanes_program {
    const fault_flow *flow; /* their context: the lanes */
    size_t count;
    unsigned runs; /* of each flow with each kind of fault, about */
    bool moves;
    void (*trust)(cb_host *host); /* as in fake.h */
    void (*made)(lanes *l);       /* what else is there, or NULL; and what becomes of it */
    void (*gone)(lanes *l);
} lanes_program;

/* For main. Lanes keep no memory of what failed. */
int lanes_main(const lanes_program *program);

#endif
