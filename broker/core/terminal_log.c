/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/terminal_log.h"

#include <stdio.h>

#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/said.h"
#include "broker/core/software.h"
#include "broker/core/state.h"
#include "cardlink/x509/request.h"

typedef struct take {
    const cb_id *id;
    const cb_digest *shown;
    cb_journal_batch batch; /* part, last and received filled in here */
    cb_digest key;          /* by which a terminal with that point is known */
    cb_error signature;
    cb_journal_head now;
    cb_error finding;
} take;

/* ---- What fits ---- */

/* Cuts off what is known already: entries up to a head, whose hash has to be the one that they
 * make. */
static cb_error skip(cb_journal_batch *batch, const cb_journal_head *head)
{
    cb_journal_entry entry;
    cb_cursor from = cb_cursor_over(batch->entries);
    while (batch->before.number < head->number) {
        if (cb_journal_take(&from, &entry, &batch->before) != CB_OK)
            return CB_E_FORMAT;
    }
    batch->entries = from.rest;
    return cb_journal_same(&batch->before, head) ? CB_OK : CB_E_LOG_FORK;
}

typedef struct search {
    const cb_journal_head *head;
    uint64_t part;
    bool found;
} search;

static cb_error look_in(void *context, const cb_journal_batch *batch)
{
    search *s = context;
    cb_journal_entry entry;
    cb_journal_head at = batch->before;
    cb_cursor from = cb_cursor_over(batch->entries);
    if (batch->part != s->part || at.number > s->head->number)
        return CB_OK;
    while (at.number < s->head->number) {
        if (cb_journal_take(&from, &entry, &at) != CB_OK)
            return CB_E_STORE_DAMAGED;
    }
    s->found = cb_journal_same(&at, s->head);
    return CB_OK;
}

/* Whether a head is one of what is there: of any entry, for a terminal whose programs bring their
 * log at the same time ends its batches where it happens to. CB_E_NOT_FOUND. */
static cb_error known(cb_txn *txn, const cb_id *id, uint64_t part, const cb_journal_head *head)
{
    search s = {.head = head, .part = part};
    uint64_t below = head->number > 0 ? head->number - 1 : 0;
    cb_error error = cb_row_journal_batch_each(txn, id, part, below, 1, look_in, &s);
    return error ? error : s.found ? CB_OK : CB_E_NOT_FOUND;
}

/* CB_OK with entries left, or without: they are all known. */
static cb_error fit(cb_txn *txn, const cb_id *id, const cb_journal_row *row,
                    cb_journal_batch *batch)
{
    const cb_journal_head *before = &batch->before;
    if (before->number > row->head.number)
        return CB_E_LOG_GAP;
    cb_error error = cb_journal_same(before, &row->head) ? CB_OK : CB_E_LOG_FORK;
    if (error && before->number < row->head.number)
        error = known(txn, id, row->part, before);
    if (!error && batch->last.number > row->head.number)
        return skip(batch, &row->head);
    if (!error) {
        error = known(txn, id, row->part, &batch->last);
        batch->entries = (cb_bytes){0};
    }
    return error == CB_E_NOT_FOUND ? CB_E_LOG_FORK : error;
}

/* ---- What is written ---- */

static cb_error write_finding(cb_txn *txn, take *t, cb_journal_row *row)
{
    uint64_t after = t->batch.before.number;
    const char *code = cb_error_code(t->finding);
    if (strcmp(row->finding, code) == 0 && row->after == after)
        return CB_OK; /* said already */
    cb_act act = {.actor = "terminal", .time = t->batch.received};
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "terminal.log_refused", &act);
    cb_leaf_id(&leaf, "terminal", t->id);
    cb_leaf_text(&leaf, "code", code);
    cb_leaf_number(&leaf, "after", after);
    cb_leaf_number(&leaf, "known", row->head.number);
    snprintf(row->finding, sizeof row->finding, "%s", code);
    row->after = after;
    row->found = t->batch.received;
    cb_error error = cb_row_journal_set(txn, t->id, row);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error write_batch(cb_txn *txn, const take *t, cb_journal_row *row,
                            cb_journal_batch *batch)
{
    cb_act act = {.actor = "terminal", .time = batch->received};
    cb_digest digest = cb_sha256(batch->entries);
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "terminal.log", &act);
    cb_leaf_id(&leaf, "terminal", t->id);
    cb_leaf_number(&leaf, "part", row->part);
    cb_leaf_number(&leaf, "after", batch->before.number);
    cb_leaf_number(&leaf, "last", batch->last.number);
    cb_leaf_hex(&leaf, "entries_sha256", cb_digest_bytes(&digest));
    cb_leaf_hex(&leaf, "hash", cb_digest_bytes(&batch->last.hash));
    cb_leaf_hex(&leaf, "key_sha256", cb_digest_bytes(&t->key));
    batch->part = row->part;
    row->head = batch->last;
    row->resume = false; /* used, or not needed: it is none for what comes later */
    cb_error error = cb_row_journal_batch_put(txn, t->id, batch);
    if (!error)
        error = cb_row_journal_set(txn, t->id, row);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error)
        error = cb_software_said(txn, t->id, batch->entries, batch->received);
    cb_buf_free(&leaf);
    return error;
}

static bool same_key(const cb_digest *a, const cb_digest *b)
{
    return cb_bytes_same(cb_digest_bytes(a), cb_digest_bytes(b));
}

static cb_error run_take(cb_txn *txn, void *context)
{
    take *t = context;
    cb_terminal terminal;
    cb_journal_row row;
    cb_journal_batch batch = t->batch;
    t->finding = CB_OK;
    cb_error error = cb_row_terminal_get(txn, t->id, &terminal);
    if (!error)
        error = cb_terminal_refusal(terminal.state);
    if (!error) /* its key above all: the record says what the terminal has said */
        error = cb_said_of_terminal(txn, &terminal);
    if (!error)
        error = cb_row_journal_get(txn, t->id, &row);
    if (error)
        return error;
    if (!same_key(&t->key, &terminal.key) && same_key(&t->key, t->shown))
        return CB_E_TERMINAL_UNKNOWN;
    error = same_key(&t->key, &terminal.key) ? t->signature : CB_E_LOG_SIGNATURE;
    if (!error)
        error = fit(txn, t->id, &row, &batch);
    if (row.resume && (error == CB_E_LOG_GAP || error == CB_E_LOG_FORK) &&
        cb_said_of_resume(txn, t->id) == CB_OK) {
        batch = t->batch;
        row.part++;
        error = CB_OK;
    }
    if (error == CB_E_LOG_GAP || error == CB_E_LOG_FORK || error == CB_E_LOG_SIGNATURE) {
        t->finding = error;
        return write_finding(txn, t, &row);
    }
    if (!error && batch.entries.len > 0)
        error = write_batch(txn, t, &row, &batch);
    else if (!error && cb_journal_same(&t->batch.last, &row.head))
        /* Brought again, for nobody has said that it is kept: what it says of the program may have
         * been taken back at a start in between. */
        error = cb_software_said(txn, t->id, t->batch.entries, t->batch.received);
    t->now = row.head;
    return error;
}

cb_error cb_terminal_log_take(cb_store *store, const cb_id *terminal, const cb_digest *shown,
                              const cb_journal_batch *batch, cb_journal_head *now)
{
    take t = {.id = terminal, .shown = shown, .batch = *batch};
    cb_buf key = CB_BUF(256);
    if (batch->key.len != CB_P256_POINT || batch->before.number >= INT64_MAX / 2)
        return CB_E_FORMAT;
    t.batch.received = cb_clock_wall_us();
    t.batch.last = batch->before;
    cb_x509_put_key(&key, batch->key.data);
    t.key = cb_sha256(cb_buf_bytes(&key));
    cb_error error = cb_buf_error(&key);
    cb_buf_free(&key);
    if (!error)
        error = cb_journal_follow(batch->entries, &t.batch.last);
    if (!error)
        t.signature = cb_journal_check(&t.batch.last, batch->key, batch->signature);
    if (t.signature == CB_E_CRYPTO)
        t.signature = CB_E_LOG_SIGNATURE;
    if (!error)
        error = cb_act_write(store, run_take, &t, CB_WRITE_ORDINARY);
    if (!error && !t.finding)
        cb_software_admit(store, terminal); /* for the record: the log is taken whatever it says */
    *now = t.now;
    return error ? error : t.finding;
}

/* ---- Going on after what does not fit ---- */

typedef struct resume {
    cb_act act;
    const cb_id *id;
} resume;

static cb_error run_resume(cb_txn *txn, void *context)
{
    const resume *r = context;
    cb_terminal terminal;
    cb_journal_row row;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "terminal.log_resumed", &r->act);
    cb_said_resume(&leaf, r->id);
    cb_error error = cb_row_terminal_get(txn, r->id, &terminal);
    /* Whoever wrote into the database meanwhile is not helped by an administrator. */
    if (!error && cb_terminal_refusal(terminal.state) == CB_OK)
        error = cb_said_of_terminal(txn, &terminal);
    if (!error)
        error = cb_row_journal_get(txn, r->id, &row);
    row.resume = true;
    if (!error)
        error = cb_row_journal_set(txn, r->id, &row);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_terminal_log_resume(cb_store *store, const char *actor, const cb_id *terminal,
                                const char *reason)
{
    resume r = {.act = {.actor = actor, .reason = reason, .time = cb_clock_wall_us()},
                .id = terminal};
    if (cb_act_check(actor, reason))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_resume, &r, CB_WRITE_ORDINARY);
}

/* ---- Reading ---- */

typedef struct read_log {
    const cb_id *id;
    cb_journal_row *row; /* NULL: the batches */
    uint64_t part, after;
    unsigned limit;
    cb_journal_visitor each;
    void *context;
} read_log;

static cb_error run_read(cb_txn *txn, void *context)
{
    const read_log *r = context;
    return r->row ? cb_row_journal_get(txn, r->id, r->row)
                  : cb_row_journal_batch_each(txn, r->id, r->part, r->after, r->limit, r->each,
                                              r->context);
}

cb_error cb_terminal_log_get(cb_store *store, const cb_id *terminal, cb_journal_row *out)
{
    read_log r = {.id = terminal, .row = out};
    return cb_store_read(store, run_read, &r);
}

cb_error cb_terminal_log_each(cb_store *store, const cb_id *terminal, uint64_t part, uint64_t after,
                              unsigned limit, cb_journal_visitor each, void *context)
{
    read_log r = {.id = terminal,
                  .part = part,
                  .after = after,
                  .limit = limit,
                  .each = each,
                  .context = context};
    return cb_store_read(store, run_read, &r);
}
