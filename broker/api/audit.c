/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/api.h"
#include "broker/api/rows.h"
#include "broker/evidence/log.h"

struct range {
    json_t *rows;
    int64_t from, count;
};

static cb_error read_range(cb_request *request, cb_reply *reply, struct range *range)
{
    *range = (struct range){.count = 100};
    const cb_field fields[] = {
        {"from", CB_FIELD_NUMBER, false, INT64_MAX, &range->from},
        {"count", CB_FIELD_NUMBER, false, CB_PAGE_LIMIT, &range->count},
    };
    cb_error error = cb_request_query(request, reply, fields, 2);
    if (!error && range->count == 0)
        error = cb_reply_fail(reply, CB_E_ARGUMENT, "count must be at least 1.");
    if (!error && !(range->rows = json_array()))
        error = CB_E_MEMORY;
    return error;
}

static cb_error add(struct range *range, json_t *row)
{
    return row && json_array_append_new(range->rows, row) == 0 ? CB_OK : CB_E_MEMORY;
}

static cb_error answer(cb_reply *reply, struct range *range, const char *what, cb_error error)
{
    if (!error)
        error = cb_reply_json(reply, 200, json_pack("{sO}", what, range->rows));
    json_decref(range->rows);
    return error;
}

static cb_error add_leaf(void *range, const cb_log_leaf *leaf)
{
    return add(range, json_pack("{sI, so, so}", "position", (json_int_t)leaf->position, "data",
                                cb_json_hex(leaf->data), "hash",
                                cb_json_hex(cb_digest_bytes(&leaf->hash))));
}

cb_error cb_api_audit_leaves(cb_request *request, cb_reply *reply)
{
    struct range range;
    cb_error error = read_range(request, reply, &range);
    if (!error)
        error = cb_log_leaves(cb_api_of(request)->store, (uint64_t)range.from,
                              (unsigned)range.count, add_leaf, &range);
    return answer(reply, &range, "leaves", error);
}

static cb_error add_head(void *range, const cb_signed_head *head)
{
    return add(range,
               json_pack("{sI, so, so, sI, so}", "size", (json_int_t)head->head.size, "root",
                         cb_json_hex(cb_digest_bytes(&head->head.root)), "time",
                         cb_json_time(head->time), "time_us", (json_int_t)head->time, "signature",
                         cb_json_hex(cb_bytes_make(head->signature, sizeof head->signature))));
}

cb_error cb_api_audit_heads(cb_request *request, cb_reply *reply)
{
    struct range range;
    cb_error error = read_range(request, reply, &range);
    if (!error)
        error = cb_log_heads(cb_api_of(request)->store, (uint64_t)range.from, (unsigned)range.count,
                             add_head, &range);
    return answer(reply, &range, "heads", error);
}
