/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/generation.h"

#include "broker/api/api.h"
#include "broker/api/rows.h"
#include "broker/core/state.h"
#include "cardlink/native/native.h"

static cb_error add(void *page, uint8_t generation, uint8_t state, uint64_t cards)
{
    return cb_page_add(page, json_pack("{si, ss, sI}", "generation", (int)generation, "state",
                                       cb_card_state_name(state), "cards", (json_int_t)cards));
}

/* All of it at once: there are few. */
cb_error cb_api_report_generations(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_error error = cb_page_read(request, reply, false, NULL, 0, &page);
    if (!error)
        error = cb_generation_list(cb_api_of(request)->store, add, &page);
    if (!error)
        error = cb_reply_json(reply, 200, json_pack("{sO}", "generations", page.rows));
    json_decref(page.rows);
    return error;
}

cb_error cb_api_generation_retire(cb_request *request, cb_reply *reply)
{
    int64_t version = 0, lose = 0;
    const char *reason = NULL;
    cb_generation_loss loss;
    const cb_field fields[] = {
        {"generation", CB_FIELD_NUMBER, true, CB_NATIVE_VERSION_MAX, &version},
        {"lose", CB_FIELD_NUMBER, false, INT32_MAX, &lose},
        {"reason", CB_FIELD_TEXT, true, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 3);
    if (error)
        return error;
    error = cb_generation_retire(cb_api_of(request)->store, request->actor, (uint8_t)version,
                                 (uint64_t)lose, reason, &loss);
    if (error == CB_E_GENERATION_CARDS)
        return cb_reply_fail(reply, error,
                             "%llu cards have no newer generation, and %llu were not heard of yet: "
                             "they would be lost. Say so (%llu) if they may be.",
                             (unsigned long long)loss.cards, (unsigned long long)loss.unseen,
                             (unsigned long long)(loss.cards + loss.unseen));
    if (error)
        return error;
    return cb_reply_json(reply, 200,
                         json_pack("{sI, sI, sI}", "generation", (json_int_t)version, "cards",
                                   (json_int_t)loss.cards, "unseen", (json_int_t)loss.unseen));
}
