/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What tests of cards that somebody else issued do again and again, from the reading of a PIV card
 * to the activation of a tap of it: for one file that includes it.
 */
#ifndef CB_TESTS_HSM_FOREIGN_STEPS_H
#define CB_TESTS_HSM_FOREIGN_STEPS_H

#include <time.h>

#include "base/clock.h"
#include "cardlink/piv/commands.h"
#include "fake.h"
#include "foreign_cards.h"
#include "hsm/activation.h"
#include "hsm/foreign.h"
#include "test.h"

static world w;
static fake f;
static cb_lane lane;
static agency issuer;
static const cb_id holder = {{7}};
static cb_buf binding = {.max = CB_BINDING_MAX};

static inline int setup(void **state)
{
    (void)state;
    world_make(&w, false);
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 5, &lane);
    agency_make(&issuer);
    agency_trust(&issuer, CB_PROFILE_PIV, &lane.host->foreign[0]);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    cb_buf_free(&binding);
    agency_free(&issuer);
    fake_lane_free(&lane);
    fake_end(&f);
    world_free(&w);
    return 0;
}

/* ---- Steps ---- */

/* What an operator's terminal reads, in the form in which hsmd gets it. */
typedef struct reading {
    cb_foreign_reading card;
    cb_buf answers;
} reading;

static inline void read_card(piv_card *c, reading *r)
{
    cb_script script;
    cb_buf first = CB_BUF(CB_SCRIPT_BYTES_MAX);
    uint8_t state[1024] = {0};
    assert_true(cb_profile_piv.state_size <= sizeof state);
    *r = (reading){.card = {.profile = CB_PROFILE_PIV}, .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    good(cb_profile_piv.begin(state, NULL, &first));
    good(cb_script_read(cb_buf_bytes(&first), CB_COMMAND_MAX, &script));
    good(cb_play(&c->io, &script, &r->answers));
    r->card.answers = cb_buf_bytes(&r->answers);
    piv_card_show(c, &r->card);
    cb_buf_free(&first);
}

static inline cb_error check(const reading *r, cb_binding_info *info)
{
    *info = (cb_binding_info){.holder = holder, .level = CB_LEVEL_PIN, .sequence = 1};
    return cb_foreign_card_check(cb_host_foreign(lane.host, r->card.profile), &r->card,
                                 (int64_t)time(NULL), info);
}

/* The binding of the taps to come. */
static inline void bind_as(const cb_binding_info *info)
{
    cb_buf_reset(&binding);
    good(fake_vault.binding_make(NULL, info, &binding));
}

static inline void bind(piv_card *c, cb_binding_info *info)
{
    reading r;
    read_card(c, &r);
    good(check(&r, info));
    bind_as(info);
    cb_buf_free(&r.answers);
}

static inline void make_and_bind(piv_card *c, cb_binding_info *info)
{
    piv_card_make(c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    bind(c, info);
}

typedef struct tap {
    cb_tap_context context;
    cb_tap *tap;
    cb_buf script, answers;
    cb_card_claim claim;
    cb_activation activation;
} tap;

static inline void play(tap *t, const cb_card_io *io)
{
    cb_script script;
    cb_buf_reset(&t->answers);
    good(cb_script_read(cb_buf_bytes(&t->script), CB_COMMAND_MAX, &script));
    good(cb_play(io, &script, &t->answers));
    cb_buf_reset(&t->script);
}

static inline void begin(tap *t, piv_card *c, uint8_t level)
{
    *t = (tap){.script = CB_BUF(CB_SCRIPT_BYTES_MAX), .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    t->context = (cb_tap_context){.terminal = cb_id_new(),
                                  .profile = CB_PROFILE_PIV,
                                  .purpose = CB_TAP_AUTHENTICATE,
                                  .level = level,
                                  .service = "tax"};
    good(cb_tap_begin(lane.taps, lane.host, CB_PROFILE_PIV, &t->context.terminal, &t->context.tap,
                      &t->script));
    good(cb_taps_enter(lane.taps, &t->context.tap, CB_TAP_BEGUN, &t->tap));
    cb_vcard_reset(c->card);
    play(t, &c->io);
}

static inline cb_error ask(tap *t)
{
    return cb_tap_ask_card(lane.taps, t->tap, &t->context, cb_buf_bytes(&t->answers), (cb_bytes){0},
                           cb_buf_bytes(&binding), &t->script);
}

static inline cb_error activate(tap *t)
{
    cb_feed_head head = cb_feed_now(lane.feed);
    return cb_tap_activate(lane.taps, t->tap, cb_buf_bytes(&binding), &head, &t->activation);
}

static inline void end(tap *t)
{
    cb_taps_end(lane.taps, t->tap);
    cb_buf_free(&t->script);
    cb_buf_free(&t->answers);
}

/* A whole tap with the card that is bound; pin "": none. */
static inline cb_error tap_with(piv_card *c, uint8_t level, const char *pin, cb_activation *out,
                                cb_card_claim *claim)
{
    tap t;
    cb_card_io io = c->io;
    io.pin = cb_bytes_str(pin);
    begin(&t, c, level);
    cb_error error = ask(&t);
    if (!error) {
        play(&t, &io);
        error = cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim);
    }
    if (claim)
        *claim = t.claim;
    if (!error)
        error = activate(&t);
    if (out)
        *out = t.activation;
    end(&t);
    return error;
}

#endif
