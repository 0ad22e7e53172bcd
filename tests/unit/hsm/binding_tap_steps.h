/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A tap by which a card of others is bound, message by message: the steps that a registration by a
 * code and a renewal at a tap have in common; for one file that includes it.
 */
#ifndef CB_TESTS_HSM_BINDING_TAP_STEPS_H
#define CB_TESTS_HSM_BINDING_TAP_STEPS_H

#include "foreign_cards.h"
#include "hsm/registration.h"
#include "test.h"
#include "walk.h"

typedef struct attempt {
    cb_tap_context context;
    cb_foreign_reading reading;
    cb_registration_word word; /* of a registration */
    cb_buf first, script, answers, body, binding;
} attempt;

static inline cb_error tap_try(const cb_card_io *card, const char *pin, const cb_buf *script,
                               cb_buf *answers)
{
    cb_script read;
    cb_card_io io = *card;
    io.pin = cb_bytes_str(pin);
    cb_buf_reset(answers);
    good(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    return cb_play(&io, &read, answers);
}

static inline void tap_play(const piv_card *c, const char *pin, const cb_buf *script,
                            cb_buf *answers)
{
    good(tap_try(&c->io, pin, script, answers));
}

/* Up to the script for what the card says to everybody. */
static inline void tap_open(attempt *a, uint8_t profile, cb_tap_purpose purpose)
{
    *a = (attempt){
        .context = {.terminal = cb_id_new(), .profile = profile, .purpose = purpose},
        .first = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .script = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .body = CB_BUF(CB_MSG_BODY_MAX),
        .binding = CB_BUF(CB_BINDING_MAX)};
    cb_buf answer = CB_BUF(CB_MSG_BODY_MAX);
    cb_buf_put_u8(&a->body, profile);
    cb_put_id(&a->body, &a->context.terminal);
    good(walk_ask(&use, CB_HSM_TAP_BEGIN, &a->body, &answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    a->context.tap = cb_get_id(&in);
    cb_buf_put(&a->script, cb_cursor_rest(&in));
    cb_buf_free(&answer);
}

/* Up to what a PIV card says to everybody. */
static inline void tap_begin(attempt *a, const piv_card *c, cb_tap_purpose purpose)
{
    tap_open(a, CB_PROFILE_PIV, purpose);
    cb_vcard_reset(c->card);
    tap_play(c, "", &a->script, &a->first);
    a->reading =
        (cb_foreign_reading){.profile = CB_PROFILE_PIV, .answers = cb_buf_bytes(&a->first)};
}

static inline void tap_free(attempt *a)
{
    cb_buf_free(&a->first);
    cb_buf_free(&a->script);
    cb_buf_free(&a->answers);
    cb_buf_free(&a->body);
    cb_buf_free(&a->binding);
}

/* What the card said to the second script. */
static inline cb_error tap_tell(attempt *a)
{
    cb_buf_reset(&a->body);
    cb_put_id(&a->body, &a->context.tap);
    cb_buf_put_var(&a->body, cb_buf_bytes(&a->answers));
    return walk_ask(&use, CB_HSM_TAP_FINISH, &a->body, NULL);
}

static inline cb_error tap_finish(attempt *a, const piv_card *c, const char *pin)
{
    tap_play(c, pin, &a->script, &a->answers);
    return tap_tell(a);
}

static inline cb_error tap_bind_after(attempt *a, uint64_t sequence, const cb_feed_head *head)
{
    cb_buf_reset(&a->body);
    cb_put_id(&a->body, &a->context.tap);
    cb_buf_put_u64(&a->body, sequence);
    cb_put_feed_head(&a->body, head);
    return walk_ask(&use, CB_HSM_TAP_BIND, &a->body, &a->binding);
}

static inline cb_error tap_bind(attempt *a, uint64_t sequence)
{
    good(cb_feed_refresh(use.feed));
    cb_feed_head head = cb_feed_now(use.feed);
    return tap_bind_after(a, sequence, &head);
}

#endif
