/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/act.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_text.h"

enum { ACTOR_MAX = 128, REASON_MAX = 32 };

static bool actor_ok(const char *actor)
{
    size_t len = actor ? strlen(actor) : 0;
    if (len == 0 || len > ACTOR_MAX)
        return false;
    for (; *actor; actor++) {
        if (*actor < 0x20 || *actor > 0x7E)
            return false;
    }
    return true;
}

static bool reason_ok(const char *reason)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    return !reason || (strlen(reason) <= REASON_MAX && strspn(reason, allowed) == strlen(reason));
}

cb_error cb_act_check(const char *actor, const char *reason)
{
    return actor_ok(actor) && reason_ok(reason) ? CB_OK : CB_E_ARGUMENT;
}

void cb_act_leaf(cb_buf *leaf, const char *kind, const cb_act *act)
{
    cb_leaf_begin(leaf, kind, act->time);
    cb_leaf_text(leaf, "actor", act->actor);
    if (act->reason && act->reason[0])
        cb_leaf_text(leaf, "reason", act->reason);
}

cb_error cb_act_result(cb_error error, bool committed)
{
    bool lost = error == CB_E_STORE_MOVED || error == CB_E_STORE_DAMAGED ||
                error == CB_E_EVIDENCE || error == CB_E_HSM_ROLLED_BACK;
    return error && committed && !lost ? CB_E_UNSIGNED : error;
}

cb_error cb_act_write(cb_store *store, cb_txn_function run, void *context, cb_urgency urgency)
{
    /* What lets somebody do more is decided by what the log says, which has to have been read again
     * since the start, and counts only under a signed head (store/recheck.c), so it is not
     * acknowledged before. What ends something is never kept waiting. */
    bool committed = false;
    if (urgency == CB_WRITE_ORDINARY) {
        cb_error unread = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
        if (unread)
            return unread;
    }
    cb_change change = {.run = run,
                        .context = context,
                        .urgency = urgency,
                        .until =
                            urgency == CB_WRITE_ORDINARY ? CB_UNTIL_SIGNED : CB_UNTIL_COMMITTED,
                        .committed = &committed};
    cb_error error = cb_store_write(store, &change);
    return cb_act_result(error, committed);
}

void cb_affected_free(cb_affected *affected)
{
    free(affected->taps);
    free(affected->sessions);
    *affected = (cb_affected){0};
}

static cb_error add_id(cb_id **list, size_t *count, const cb_id *id)
{
    /* Grows by powers of two: the size is known from the count. */
    if ((*count & (*count - 1)) == 0) {
        cb_id *grown = realloc(*list, (*count ? 2 * *count : 1) * sizeof **list);
        if (!grown)
            return CB_E_MEMORY;
        *list = grown;
    }
    (*list)[(*count)++] = *id;
    return CB_OK;
}

static cb_error add_tap(void *context, const cb_intent_row *intent)
{
    cb_affected *affected = context;
    return add_id(&affected->taps, &affected->tap_count, &intent->tap);
}

static cb_error add_session(void *context, const cb_session_row *session)
{
    cb_affected *affected = context;
    return add_id(&affected->sessions, &affected->session_count, &session->id);
}

cb_error cb_act_affected(cb_txn *txn, const cb_tap_match *match, cb_affected *affected)
{
    if (!affected)
        return CB_OK;
    cb_affected_free(affected);
    cb_error error = cb_row_intent_each(txn, match, add_tap, affected);
    return error ? error : cb_row_session_each(txn, match, add_session, affected);
}

bool cb_name_ok(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len == 0 || len > CB_NAME_MAX)
        return false;
    for (; *name; name++) {
        if ((unsigned char)*name < 0x20 || *name == 0x7F)
            return false;
    }
    return true;
}

cb_error cb_json_object_check(const char *text, size_t max)
{
    if (strlen(text) > max)
        return CB_E_ARGUMENT;
    json_t *json = cb_json_load(cb_bytes_str(text), JSON_REJECT_DUPLICATES, NULL);
    if (!json && errno == ENOMEM)
        return CB_E_MEMORY;
    bool good = json_is_object(json);
    json_decref(json);
    return good ? CB_OK : CB_E_ARGUMENT;
}
