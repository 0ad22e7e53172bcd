/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/journal.h"

#include <stdio.h>

static const char entry_domain[] = "cardbroker terminal log entry 1";
static const char head_domain[] = "cardbroker terminal log head 1";

static const char *const names[] = {
    [CB_JOURNAL_STARTED] = "started",
    [CB_JOURNAL_STOPPED] = "stopped",
    [CB_JOURNAL_TAP_BEGUN] = "tap.begun",
    [CB_JOURNAL_TAP_ENDED] = "tap.ended",
    [CB_JOURNAL_READER_FAILED] = "reader.failed",
    [CB_JOURNAL_BROKER_LOST] = "broker.lost",
    [CB_JOURNAL_BROKER_BACK] = "broker.back",
    [CB_JOURNAL_RENEWED] = "key.renewed",
    [CB_JOURNAL_RENEWAL_FAILED] = "key.not_renewed",
    [CB_JOURNAL_TAMPERED] = "tampered",
    [CB_JOURNAL_ERASED] = "erased",
    [CB_JOURNAL_MAINTENANCE] = "maintenance.begun",
    [CB_JOURNAL_MAINTAINED] = "maintenance.ended",
};

const char *cb_journal_event_name(uint8_t event)
{
    return event < sizeof names / sizeof *names ? names[event] : NULL;
}

void cb_journal_tap(const cb_id *tap, const char *code, char out[CB_JOURNAL_TEXT_MAX + 1])
{
    char id[CB_ID_TEXT] = "-";
    if (!cb_id_is_zero(tap))
        cb_id_text(tap, id);
    snprintf(out, CB_JOURNAL_TEXT_MAX + 1, "%s%s%.100s", id, *code ? " " : "", code);
}

bool cb_journal_char_ok(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr(" ._:=-", c));
}

static bool text_ok(cb_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!cb_journal_char_ok((char)text.data[i]))
            return false;
    }
    return text.len <= CB_JOURNAL_TEXT_MAX;
}

cb_error cb_journal_put(const cb_journal_entry *entry, cb_buf *out)
{
    cb_bytes text = cb_bytes_make(entry->text, strnlen(entry->text, sizeof entry->text));
    if (!cb_journal_event_name(entry->event) || !text_ok(text) || entry->time < 0)
        return CB_E_ARGUMENT;
    cb_buf_put_u64(out, (uint64_t)entry->time);
    cb_buf_put_u8(out, entry->event);
    cb_buf_put_u8(out, (uint8_t)text.len);
    cb_buf_put(out, text);
    return cb_buf_error(out);
}

static void extend(cb_journal_head *head, cb_bytes entry)
{
    uint8_t number[8];
    head->number++;
    for (int i = 0; i < 8; i++)
        number[i] = (uint8_t)(head->number >> (56 - 8 * i));
    head->hash =
        cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(entry_domain), cb_digest_bytes(&head->hash),
                                     CB_BYTES_OF(number), entry},
                        4);
}

cb_error cb_journal_take(cb_cursor *from, cb_journal_entry *out, cb_journal_head *head)
{
    cb_bytes all = from->rest;
    uint64_t time = cb_cursor_u64(from);
    uint8_t event = cb_cursor_u8(from);
    cb_bytes text = cb_cursor_take(from, cb_cursor_u8(from));
    bool good = cb_cursor_ok(from) && time <= INT64_MAX && cb_journal_event_name(event) &&
                text_ok(text) && head->number < INT64_MAX;
    if (!good) {
        cb_cursor_fail(from);
        return CB_E_FORMAT;
    }
    *out = (cb_journal_entry){.time = (int64_t)time, .event = event};
    if (text.len > 0)
        memcpy(out->text, text.data, text.len);
    extend(head, cb_bytes_make(all.data, all.len - from->rest.len));
    return CB_OK;
}

cb_error cb_journal_follow(cb_bytes entries, cb_journal_head *head)
{
    cb_cursor from = cb_cursor_over(entries);
    cb_journal_entry entry;
    cb_error error = entries.len > 0 ? CB_OK : CB_E_FORMAT;
    for (int i = 0; !error && from.rest.len > 0; i++)
        error = i < CB_JOURNAL_BATCH_ENTRIES ? cb_journal_take(&from, &entry, head) : CB_E_FORMAT;
    return error;
}

bool cb_journal_same(const cb_journal_head *a, const cb_journal_head *b)
{
    return a->number == b->number &&
           cb_bytes_same(cb_digest_bytes(&a->hash), cb_digest_bytes(&b->hash));
}

cb_digest cb_journal_digest(const cb_journal_head *head)
{
    uint8_t number[8];
    for (int i = 0; i < 8; i++)
        number[i] = (uint8_t)(head->number >> (56 - 8 * i));
    return cb_sha256_parts(
        (cb_bytes[]){CB_BYTES_OF(head_domain), CB_BYTES_OF(number), cb_digest_bytes(&head->hash)},
        3);
}

cb_error cb_journal_check(const cb_journal_head *head, cb_bytes point, cb_bytes signature)
{
    cb_digest digest = cb_journal_digest(head);
    if (signature.len != CB_P256_SIGNATURE || !cb_p256_is_point(point))
        return CB_E_CRYPTO;
    return cb_p256_check(point, &digest, signature);
}
