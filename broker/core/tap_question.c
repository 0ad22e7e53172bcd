/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the second requests of a tap have in common, whatever they ask for: a tap that has begun is
 * taken, and goes back as it was, or is over, or has been challenged.
 */
#include "base/clock.h"
#include "broker/core/tap_parts.h"

/* As hsmd keeps it, hsm/client.h: a tap that has expired here has expired there. */
enum { CHALLENGED_SECONDS = 60 };

/* So that the terminal can put them right while the card stays. */
bool cb_tap_may_ask_again(cb_error error)
{
    switch (error) {
    case CB_E_PIN_REQUIRED:
    case CB_E_SERVICE_UNKNOWN:
    case CB_E_SERVICE_BUSY:
    case CB_E_TERMINAL_SERVICE:
    case CB_E_TERMINAL_KIND:
    case CB_E_PIN_PAD:
    case CB_E_TERMINAL_RATE:
    case CB_E_ARGUMENT:
    case CB_E_TOO_LARGE:
        return true;
    default:
        return false;
    }
}

cb_error cb_tap_put_question(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                             const cb_tap_asking *asking, cb_buf *script, unsigned *expires_in)
{
    cb_tap_entry *entry;
    cb_error error = cb_tap_table_take(taps->table, tap, terminal, CB_TAP_BEGUN, &entry);
    if (error) {
        cb_tap_drop(taps, entry);
        return error;
    }
    const cb_tap_context begun = entry->context;
    error = asking->admit(taps, entry, asking->question);
    if (error && cb_tap_may_ask_again(error)) {
        entry->context = begun;
        cb_tap_table_put(taps->table, entry);
        return error;
    }
    if (error)
        cb_tap_refuse_early(taps, &entry->context, error);
    else
        error = asking->ask(taps, entry, asking->question, script);
    if (error) {
        cb_tap_drop(taps, entry);
        return error;
    }
    entry->stage = CB_TAP_CHALLENGED;
    entry->expires = cb_deadline_in(CHALLENGED_SECONDS * CB_SECOND);
    cb_tap_table_put(taps->table, entry);
    *expires_in = CHALLENGED_SECONDS;
    return CB_OK;
}
