/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"
#include "broker/core/terminal_log.h"

/* A finding counts as so many batches more: each is a leaf for good. */
enum { BATCHES_A_MINUTE = 60, FINDING_COST = 4, BATCHES_A_PAGE = 100, PLACE_TEXT = 48 };

static json_t *json_head(const cb_journal_head *head)
{
    return json_pack("{sI, so}", "number", (json_int_t)head->number, "hash",
                     cb_json_hex(cb_digest_bytes(&head->hash)));
}

static bool is_finding(cb_error error)
{
    return error == CB_E_LOG_GAP || error == CB_E_LOG_FORK || error == CB_E_LOG_SIGNATURE;
}

cb_error cb_api_log(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    int64_t after = 0;
    cb_journal_batch batch = {0};
    cb_journal_head now;
    cb_buf previous = CB_BUF(CB_SHA256_SIZE), entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    cb_buf key = CB_BUF(CB_P256_POINT), signature = CB_BUF(CB_P256_SIGNATURE);
    const cb_field fields[] = {
        {"after", CB_FIELD_NUMBER, true, INT64_MAX, &after},
        {"previous", CB_FIELD_HEX, true, CB_SHA256_SIZE, &previous},
        {"entries", CB_FIELD_HEX, true, CB_JOURNAL_BATCH_MAX, &entries},
        {"key", CB_FIELD_HEX, true, CB_P256_POINT, &key},
        {"signature", CB_FIELD_HEX, true, CB_P256_SIGNATURE, &signature},
    };
    cb_error error = cb_rate_take(api->logs, &request->terminal, BATCHES_A_MINUTE);
    if (!error)
        error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error && (previous.len != CB_SHA256_SIZE || key.len != CB_P256_POINT ||
                   signature.len != CB_P256_SIGNATURE))
        error = cb_reply_fail(reply, CB_E_ARGUMENT,
                              "previous, key and signature have 32, 65 and 64 bytes.");
    if (!error) {
        batch.before.number = (uint64_t)after;
        memcpy(batch.before.hash.bytes, previous.data, CB_SHA256_SIZE);
        batch.entries = cb_buf_bytes(&entries);
        batch.key = cb_buf_bytes(&key);
        batch.signature = cb_buf_bytes(&signature);
        /* Whether it is stored or not: what is sent again and again would be looked up as often. */
        error = cb_allowance_take(api->log_bytes, &request->terminal,
                                  CB_ALLOWANCE_BATCH + (int64_t)entries.len,
                                  cb_clock_monotonic_us());
    }
    if (!error) {
        error =
            cb_terminal_log_take(api->store, &request->terminal, &request->peer.key, &batch, &now);
        for (int i = 0; is_finding(error) && i < FINDING_COST; i++)
            cb_rate_take(api->logs, &request->terminal, BATCHES_A_MINUTE);
        if (error == CB_E_FORMAT)
            error =
                cb_reply_fail(reply, CB_E_ARGUMENT, "entries must be 1 to 100 entries of a log.");
    }
    if (!error)
        error = cb_reply_json(reply, 200, json_head(&now));
    cb_buf_free(&previous);
    cb_buf_free(&entries);
    cb_buf_free(&key);
    cb_buf_free(&signature);
    return error;
}

json_t *cb_json_terminal_log(const cb_journal_row *row)
{
    json_t *json =
        json_pack("{sI, sI, so, sb}", "part", (json_int_t)row->part, "number",
                  (json_int_t)row->head.number, "hash", cb_json_hex(cb_digest_bytes(&row->head.hash)),
                  "resume", (int)row->resume);
    /* Not as optional values of json_pack: what it has no memory for it leaves out. */
    if (json && row->found &&
        (json_object_set_new(json, "finding", json_string(row->finding)) != 0 ||
         json_object_set_new(json, "found", cb_json_time(row->found)) != 0)) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

static cb_error add_batch(void *page, const cb_journal_batch *batch)
{
    char at[PLACE_TEXT];
    snprintf(at, sizeof at, "%llu.%llu", (unsigned long long)batch->part,
             (unsigned long long)batch->last.number);
    return cb_page_add(
        page,
        json_pack("{ss, sI, sI, so, sI, so, so, so, so, so}", "at", at, "part",
                  (json_int_t)batch->part, "after", (json_int_t)batch->before.number, "previous",
                  cb_json_hex(cb_digest_bytes(&batch->before.hash)), "last",
                  (json_int_t)batch->last.number, "hash",
                  cb_json_hex(cb_digest_bytes(&batch->last.hash)), "key", cb_json_hex(batch->key),
                  "signature", cb_json_hex(batch->signature), "received",
                  cb_json_time(batch->received), "entries", cb_json_hex(batch->entries)));
}

/* "1.250": a part, and a number in it. */
static bool read_place(const char *text, uint64_t *part, uint64_t *number)
{
    size_t digits = strspn(text, "0123456789");
    *part = *number = 0;
    if (!*text)
        return true;
    size_t more = text[digits] == '.' ? strspn(text + digits + 1, "0123456789") : 0;
    if (digits < 1 || digits > 18 || more < 1 || more > 18 || text[digits + 1 + more])
        return false;
    *part = strtoull(text, NULL, 10);
    *number = strtoull(text + digits + 1, NULL, 10);
    return true;
}

cb_error cb_api_terminal_log(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_terminal terminal;
    uint64_t part = 0, after = 0;
    const cb_id *id = &request->match.parameters[0].id;
    cb_error error = cb_page_read(request, reply, true, NULL, 0, &page);
    page.limit = page.limit > BATCHES_A_PAGE ? BATCHES_A_PAGE : page.limit;
    if (!error && !read_place(page.name, &part, &after))
        error = cb_reply_fail(reply, CB_E_ARGUMENT, "after is a place in the log, such as 1.250.");
    if (!error)
        error = cb_terminal_get(cb_api_of(request)->store, id, &terminal);
    if (!error)
        error = cb_terminal_log_each(cb_api_of(request)->store, id, part, after,
                                     (unsigned)page.limit, add_batch, &page);
    return cb_page_reply(reply, &page, "batches", "at", error);
}

cb_error cb_api_terminal_log_resume(cb_request *request, cb_reply *reply)
{
    cb_journal_row row;
    const char *reason = NULL;
    const cb_id *id = &request->match.parameters[0].id;
    const cb_field fields[] = {{"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = cb_terminal_log_resume(cb_api_of(request)->store, request->actor, id, reason);
    if (!error)
        error = cb_terminal_log_get(cb_api_of(request)->store, id, &row);
    return error ? error : cb_reply_json(reply, 200, cb_json_terminal_log(&row));
}
