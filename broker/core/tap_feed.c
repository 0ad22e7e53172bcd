/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Revocations that a tap's worker in hsmd has not heard of yet.
 */
#include <stdlib.h>

#include "broker/core/tap_parts.h"

enum { FEED_BATCH = 500, FEED_ROUNDS = 64, FEED_LOOKS = 8 };

cb_error cb_tap_pass_feed_on(cb_taps *taps, const cb_id *tap)
{
    cb_feed_head known;
    cb_feed_entry *entries = calloc(FEED_BATCH, sizeof *entries);
    if (!entries)
        return CB_E_MEMORY;
    cb_error error = CB_OK;
    for (unsigned round = 0; !error && round < FEED_ROUNDS; round++) {
        size_t count = 0;
        error = cb_hsm_feed_state(taps->parts.hsm, tap, &known);
        if (!error)
            error = cb_feed_since(taps->parts.store, known.number, entries, FEED_BATCH, &count);
        if (error || count == 0)
            break;
        error = cb_hsm_feed_extend(taps->parts.hsm, tap, entries, count);
    }
    free(entries);
    return error;
}

/* A revocation of somebody else may come between reading the head and hsmd's look at it; then hsmd
 * knows more than the head that was read. Looking again tells this from a database that was really
 * rolled back. */
static bool look_again(cb_error error)
{
    return error == CB_E_HSM_FEED_BEHIND || error == CB_E_HSM_ROLLED_BACK;
}

cb_error cb_tap_with_head(cb_taps *taps, const cb_id *tap,
                          cb_error (*run)(void *context, const cb_feed_head *head), void *context)
{
    cb_error error = CB_E_HSM_FEED_BEHIND;
    for (unsigned round = 0; look_again(error) && round < FEED_LOOKS; round++) {
        cb_feed_head head;
        error = round > 0 && error == CB_E_HSM_FEED_BEHIND ? cb_tap_pass_feed_on(taps, tap) : CB_OK;
        if (!error)
            error = cb_feed_head_now(taps->parts.store, &head);
        if (!error)
            error = run(context, &head);
    }
    return error;
}
