/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A new PIN for a card whose holder knows neither PIN nor unblocking code, as an act on record.
 */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/decide.h"
#include "broker/core/still.h"
#include "hsm/records.h"

typedef struct allow {
    cb_act act;
    const cb_id *id;
    const cb_id *terminal;
} allow;

/* Of a card that could be used now, and sets its PIN by itself. */
static cb_error check_card(cb_txn *txn, const cb_id *id)
{
    cb_card card;
    cb_binding_info binding;
    cb_card_init(&card);
    cb_error error = cb_row_card_get(txn, id, &card);
    if (!error)
        error = cb_card_refusal(&card);
    if (!error)
        error = cb_binding_info_read(cb_buf_bytes(&card.binding), &binding);
    if (!error && binding.profile != CB_PROFILE_NATIVE)
        error = CB_E_CARD_FOREIGN;
    cb_card_free(&card);
    return error;
}

static cb_error run_allow(cb_txn *txn, void *context)
{
    const allow *a = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_error error = check_card(txn, a->id);
    if (!error)
        error = cb_still_terminal(txn, a->terminal, NULL, 0);
    if (error)
        return error;
    cb_act_leaf(&leaf, "card.pin_reset_allowed", &a->act);
    cb_leaf_id(&leaf, "card", a->id);
    cb_leaf_id(&leaf, "terminal", a->terminal);
    error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_card_pin_reset(cb_store *store, const char *actor, const cb_id *id,
                           const cb_id *terminal, const char *reason)
{
    allow a = {{.actor = actor, .reason = reason, .time = cb_clock_wall_us()}, id, terminal};
    if (cb_act_check(actor, reason) || !reason || !reason[0])
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_allow, &a, CB_WRITE_ORDINARY);
}
