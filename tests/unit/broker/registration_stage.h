/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One-time codes with which holders register cards of their own, recorded and used: for one file
 * that includes it.
 */
#ifndef CB_TESTS_UNIT_BROKER_REGISTRATION_STAGE_H
#define CB_TESTS_UNIT_BROKER_REGISTRATION_STAGE_H

#include "tests/unit/broker/support.h"

#include <unistd.h>

#include "base/clock.h"
#include "broker/core/registration.h"
#include "hsm/client.h"

static inline cb_registration_row row_of(const world *w, int64_t seconds)
{
    return (cb_registration_row){.code = cb_id_new(),
                                 .holder = w->holder.id,
                                 .profiles = 1 << CB_PROFILE_SCP03,
                                 .level = CB_LEVEL_POSSESSION,
                                 .expires = cb_clock_wall_us() + seconds * CB_SECOND};
}

static inline cb_registration_row allow(world *w)
{
    cb_registration_row row = row_of(w, 60);
    assert_int_equal(cb_registration_record(w->store, "manager", NULL, &row), CB_OK);
    return row;
}

/* A binding of a card without certificates. */
static inline void bind(const cb_id *card, const cb_id *holder, uint8_t level, uint64_t sequence,
                        cb_buf *out)
{
    cb_binding_info info = {.card = *card,
                            .holder = *holder,
                            .profile = CB_PROFILE_SCP03,
                            .level = level,
                            .sequence = sequence};
    cb_buf_init(out, CB_BINDING_MAX);
    make_binding_of(&info, out);
}

static uint32_t counter; /* of the card, as hsmd believed it */
static cb_id replaced;   /* by the last use */
static size_t cut;       /* sessions that were the old card's */
static cb_card_rules rules;

static inline cb_error use_as(world *w, const cb_id *code, const cb_id *card, const cb_id *holder,
                              uint8_t level, cb_card *out)
{
    cb_buf binding;
    cb_card made;
    uint64_t sequence = 0;
    cb_card_init(&made);
    cb_error error = cb_registration_sequence(w->store, code, &sequence);
    bind(card, holder, level, sequence, &binding);
    cb_registration_use use = {.code = *code,
                               .tap = cb_id_new(),
                               .terminal = w->terminal.id,
                               .counter = counter,
                               .rules = &rules,
                               .binding = cb_buf_bytes(&binding)};
    cb_registration_replaced other = {.card = {{0}}};
    if (!error)
        error = cb_registration_use_code(w->store, &use, out ? out : &made, &other);
    replaced = other.card;
    cut = other.affected.session_count;
    cb_affected_free(&other.affected);
    cb_buf_free(&binding);
    cb_card_free(&made);
    return error;
}

static inline cb_error use(world *w, const cb_id *code, const cb_id *card, cb_card *out)
{
    return use_as(w, code, card, &w->holder.id, CB_LEVEL_POSSESSION, out);
}

static inline uint8_t state_of(world *w, const cb_id *code)
{
    cb_registration_row row;
    assert_int_equal(cb_registration_find(w->store, code, &row), CB_OK);
    return row.state;
}

static inline uint64_t size_of_log(world *w)
{
    cb_tree_head head;
    assert_int_equal(w->signer != NULL, 1);
    head = w->signer->remembered;
    return head.size;
}

static inline cb_error open_for(const world *w, const cb_id *code, const cb_id *card)
{
    return cb_registration_open(w->store, code, card, CB_PROFILE_PIV, NULL);
}

/* As a holder does who is told to try again in a moment. */
static inline cb_error use_until_signed(world *w, const cb_id *code, const cb_id *card)
{
    cb_error error = CB_E_HSM_DOWN;
    for (int i = 0; i < 1000 && (error == CB_E_HSM_DOWN || error == CB_E_UNSIGNED); i++) {
        error = use(w, code, card, NULL);
        usleep(10000);
    }
    return error;
}

#endif
