/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How a holder suspends his card himself: an administrator makes a code for his letter, and whoever
 * has it may say it.
 */
#include "base/log.h"
#include "base/secret.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"

enum { CODE_TEXT_MAX = 64 };

cb_error cb_api_card_code(cb_request *request, cb_reply *reply)
{
    char code[CB_CODE_TEXT];
    bool first = false;
    const cb_field fields[] = {{"first", CB_FIELD_TRUTH, false, 0, &first}};
    const cb_id *id = &request->match.parameters[0].id;
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = cb_card_code_set(cb_api_of(request)->store, request->actor, id, first, code);
    if (!error)
        error = cb_reply_json(
            reply, 200, json_pack("{so, ss}", "id", cb_json_id(id), "suspension_code", code));
    cb_wipe(code, sizeof code);
    return error;
}

/* What became of the card, and of the codes by which another was to take its place. */
static cb_error reply_state(cb_reply *reply, uint8_t state, size_t codes)
{
    const char *name = cb_card_state_name(state);
    return cb_reply_json(
        reply, 200,
        codes > 0 ? json_pack("{ss, sI}", "state", name, "codes_withdrawn", (json_int_t)codes)
                  : json_pack("{ss}", "state", name));
}

/* What was open is cut before the answer. */
static cb_error suspend(cb_request *request, cb_reply *reply, const char symbols[CB_CODE_SYMBOLS])
{
    cb_api *api = cb_api_of(request);
    cb_affected affected = {0};
    uint8_t state = 0;
    cb_id card;
    cb_error error = cb_card_suspend_by_code(api->store, symbols, &card, &state, &affected);
    if (!error && affected.feed_number > 0) {
        cb_session_match match = {.card = card};
        cb_api_cut(api, &affected, &match, "revoked");
    }
    if (!error)
        error = reply_state(reply, state, affected.code_count);
    if (error == CB_E_SUSPENSION)
        cb_log(CB_LOG_WARNING, "card.code_wrong", "A suspension code that is no card's was tried.",
               "address", request->peer.address, NULL);
    cb_affected_free(&affected);
    return error;
}

cb_error cb_api_suspension(cb_request *request, cb_reply *reply)
{
    const char *code = NULL;
    char symbols[CB_CODE_SYMBOLS];
    const cb_field fields[] = {{"code", CB_FIELD_TEXT, true, CODE_TEXT_MAX, &code}};
    cb_error error = cb_api_stranger(request, "suspension");
    if (error == CB_E_TERMINAL_RATE)
        error = CB_E_SUSPENSION_RATE;
    if (!error)
        error = cb_request_fields(request, reply, fields, 1);
    if (!error && cb_code_read(cb_bytes_str(code), symbols) != CB_OK)
        error =
            cb_reply_fail(reply, CB_E_ARGUMENT, "code is mistyped: its check symbol does not fit.");
    if (!error)
        error = suspend(request, reply, symbols);
    cb_wipe(symbols, sizeof symbols);
    return error;
}
