/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal logged of itself: verified here, entry by entry, and shown.
 */
#include "base/clock.h"
#include "base/text.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"
#include "broker/ctl/terminal_log_record.h"
#include "cardlink/journal.h"

enum { LAST_DEFAULT = 100, LAST_MAX = 10000, FINDINGS_MAX = 100 };

static const cb_ctl_column columns[] = {{"PART", "part"},   {"NUMBER", "number"}, {"TIME", "time"},
                                        {"EVENT", "event"}, {"WHAT", "text"},     {0}};

typedef struct reading {
    cb_ctl *ctl;
    json_t *entries, *findings;
    json_t *batches; /* what is compared with the record; NULL: nothing is */
    size_t most;
    json_int_t part;
    cb_journal_head head;
    uint64_t count;
} reading;

static cb_ctl_status found(void *context, const json_t *at, const char *what)
{
    reading *r = context;
    json_t *finding =
        json_pack("{s:o,s:s}", "at", at ? json_deep_copy(at) : json_null(), "finding", what);
    if (json_array_size(r->findings) >= FINDINGS_MAX) {
        json_decref(finding);
        return CB_CTL_DONE;
    }
    return finding && json_array_append_new(r->findings, finding) == 0
               ? CB_CTL_DONE
               : cb_ctl_fail(r->ctl, CB_E_MEMORY, NULL);
}

static cb_ctl_status find(reading *r, const json_t *batch, const char *what)
{
    return found(r, json_object_get(batch, "at"), what);
}

static cb_ctl_status keep(reading *r, const cb_journal_entry *entry, const cb_journal_head *head)
{
    char time[CB_TIME_TEXT];
    cb_time_text(entry->time, time);
    json_t *row =
        json_pack("{s:I,s:I,s:s,s:s,s:s}", "part", r->part, "number", (json_int_t)head->number,
                  "time", time, "event", cb_journal_event_name(entry->event), "text", entry->text);
    r->count++;
    if (json_array_size(r->entries) >= r->most)
        json_array_remove(r->entries, 0);
    return row && json_array_append_new(r->entries, row) == 0
               ? CB_CTL_DONE
               : cb_ctl_fail(r->ctl, CB_E_MEMORY, NULL);
}

static bool bytes_of(const json_t *batch, const char *name, size_t least, size_t most, cb_buf *out)
{
    const json_t *text = json_object_get(batch, name);
    *out = CB_BUF(most);
    return json_is_string(text) &&
           cb_unhex(cb_bytes_make(json_string_value(text), json_string_length(text)), out) ==
               CB_OK &&
           out->len >= least;
}

static bool head_of(const json_t *batch, const char *number, const char *hash, cb_journal_head *out)
{
    cb_buf bytes;
    json_int_t value = json_integer_value(json_object_get(batch, number));
    bool good = bytes_of(batch, hash, CB_SHA256_SIZE, CB_SHA256_SIZE, &bytes) && value >= 0;
    out->number = (uint64_t)value;
    if (good)
        memcpy(out->hash.bytes, bytes.data, CB_SHA256_SIZE);
    cb_buf_free(&bytes);
    return good;
}

static cb_ctl_status read_entries(reading *r, json_t *batch, const cb_buf *entries,
                                  cb_journal_head *head)
{
    cb_cursor from = cb_cursor_over(cb_buf_bytes(entries));
    cb_journal_entry entry;
    cb_ctl_status status = CB_CTL_DONE;
    while (!status && from.rest.len > 0) {
        if (cb_journal_take(&from, &entry, head) != CB_OK)
            return find(r, batch, "entries cannot be read");
        status = keep(r, &entry, head);
    }
    return status;
}

static cb_ctl_status verify(reading *r, json_t *batch, const cb_journal_head *before,
                            const cb_journal_head *last, const cb_buf *entries, cb_bytes key,
                            cb_bytes signature)
{
    static const cb_journal_head none;
    json_int_t part = json_integer_value(json_object_get(batch, "part"));
    cb_journal_head head = *before;
    cb_ctl_status status = CB_CTL_DONE;
    bool begins = part > r->part;
    if (begins && r->part > 0)
        status = find(r, batch, "another part begins");
    if (begins ? part == 1 && !cb_journal_same(before, &none) : !cb_journal_same(before, &r->head))
        status = find(r, batch, "does not go on from the entry before");
    r->part = part;
    if (!status)
        status = read_entries(r, batch, entries, &head);
    if (!status && !cb_journal_same(&head, last))
        status = find(r, batch, "the entries do not have this hash");
    if (!status && cb_journal_check(last, key, signature) != CB_OK)
        status = find(r, batch, "the signature is wrong");
    r->head = *last;
    return status;
}

static cb_ctl_status visit(void *context, json_t *batch)
{
    reading *r = context;
    cb_journal_head before, last;
    cb_buf entries = CB_BUF(0), key = CB_BUF(0), signature = CB_BUF(0);
    cb_ctl_status status;
    if (head_of(batch, "after", "previous", &before) && head_of(batch, "last", "hash", &last) &&
        bytes_of(batch, "entries", 1, CB_JOURNAL_BATCH_MAX, &entries) &&
        bytes_of(batch, "key", CB_P256_POINT, CB_P256_POINT, &key) &&
        bytes_of(batch, "signature", CB_P256_SIGNATURE, CB_P256_SIGNATURE, &signature))
        status = verify(r, batch, &before, &last, &entries, cb_buf_bytes(&key),
                        cb_buf_bytes(&signature));
    else
        status = cb_ctl_fail(r->ctl, CB_E_PROTOCOL, "a part of the log cannot be read");
    if (!status && r->batches &&
        json_array_append_new(r->batches, cb_ctl_log_batch(batch, cb_buf_bytes(&entries))) != 0)
        status = cb_ctl_fail(r->ctl, CB_E_MEMORY, NULL);
    cb_buf_free(&entries);
    cb_buf_free(&key);
    cb_buf_free(&signature);
    return status;
}

/* Compares with what the broker said that it has before it was read, and says what it refused. */
static cb_ctl_status compare(reading *r, const json_t *terminal)
{
    json_int_t part = json_integer_value(json_object_get(json_object_get(terminal, "log"), "part"));
    json_t *log = json_object_get(terminal, "log");
    cb_journal_head said;
    const char *refused = json_string_value(json_object_get(log, "finding"));
    cb_ctl_status status = CB_CTL_DONE;
    if (!head_of(log, "number", "hash", &said))
        return cb_ctl_fail(r->ctl, CB_E_PROTOCOL, "the terminal's log has no head");
    bool other = said.number == r->head.number && !cb_journal_same(&said, &r->head);
    bool empty = r->count == 0 && part == 1;
    if (said.number > 0 &&
        (empty || part > r->part || (part == r->part && (said.number > r->head.number || other))))
        status = find(r, log, "the broker's head is not that of its entries");
    if (!status && refused)
        cb_ctl_note(r->ctl, "The broker refused a part of this log: %s, at %s.", refused,
                    cb_ctl_text_field(log, "found"));
    return status;
}

static cb_ctl_status show(reading *r)
{
    size_t found = json_array_size(r->findings), index;
    json_t *finding;
    cb_ctl_status status;
    if (r->ctl->json) {
        json_t *all =
            json_pack("{s:b,s:I,s:O,s:O}", "verified", (int)(found == 0), "count",
                      (json_int_t)r->count, "entries", r->entries, "findings", r->findings);
        status = all ? cb_ctl_json(r->ctl, all) : cb_ctl_fail(r->ctl, CB_E_MEMORY, NULL);
        json_decref(all);
    } else {
        status = cb_ctl_table(r->ctl, r->entries, columns);
        json_array_foreach(r->findings, index, finding)
            cb_ctl_note(r->ctl, "finding: %s (%s)", cb_ctl_text_field(finding, "finding"),
                        cb_ctl_text_field(finding, "at"));
        if (!status)
            cb_ctl_note(r->ctl, "%llu entries, %s", (unsigned long long)r->count,
                        found ? "with findings" : "verified");
    }
    return status ? status : found ? CB_CTL_FAILED : CB_CTL_DONE;
}

cb_ctl_status cb_ctl_terminal_log(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    uint64_t most = LAST_DEFAULT;
    char text[CB_ID_TEXT], path[80];
    json_t *terminal = NULL;
    const char *last = cb_ctl_arg(args, "last");
    if (last && (cb_ctl_number(last, LAST_MAX, &most) || most == 0))
        return cb_ctl_misuse(ctl, "--last is a number of entries, at most 10000");
    reading r = {
        .ctl = ctl, .most = (size_t)most, .entries = json_array(), .findings = json_array()};
    uint64_t leaves = 0;
    bool record = cb_ctl_arg(args, "record") != NULL;
    r.batches = record ? json_array() : NULL;
    cb_ctl_status status = r.entries && r.findings && (r.batches || !record)
                               ? cb_ctl_find_terminal(ctl, args->operand[0], &id)
                               : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status && record)
        status = cb_ctl_log_leaves(ctl, &leaves);
    if (!status) {
        cb_id_text(&id, text);
        snprintf(path, sizeof path, "/v1/terminals/%s", text);
        status = cb_ctl_call(ctl, "GET", path, NULL, &terminal);
    }
    if (!status) {
        snprintf(path, sizeof path, "/v1/terminals/%s/log", text);
        status = cb_ctl_walk(ctl, path, "batches", visit, &r);
    }
    if (!status)
        status = compare(&r, terminal);
    if (!status && r.batches)
        status = cb_ctl_log_compare(ctl, text, leaves, r.batches, found, &r);
    if (!status)
        status = show(&r);
    json_decref(terminal);
    json_decref(r.entries);
    json_decref(r.findings);
    json_decref(r.batches);
    return status;
}

cb_ctl_status cb_ctl_terminal_log_resume(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[80];
    json_t *now = NULL;
    const char *reason = cb_ctl_arg(args, "reason");
    cb_ctl_status status = cb_ctl_find_terminal(ctl, args->operand[0], &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/terminals/%s/log", text);
    json_t *body = reason ? json_pack("{s:s}", "reason", reason) : json_object();
    status = body ? cb_ctl_call(ctl, "POST", path, body, &now)
                  : cb_ctl_fail_text(ctl, "the reason", reason);
    if (!status)
        status = cb_ctl_done(ctl, now, "terminal %s: its log may go on once with what does not fit",
                             text);
    json_decref(body);
    json_decref(now);
    return status;
}
