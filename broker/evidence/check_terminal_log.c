/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What terminals have logged of themselves: each batch that is kept is whole, and they are those of
 * which the leaves have the digests, all of them, in their order.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/leaf.h"
#include "base/text.h"
#include "broker/evidence/check.h"
#include "cardlink/x509/request.h"

/* A terminal's batches up to here, each hashed onto those before it, so that it takes no more
 * memory when they are many. */
typedef struct chain {
    uint64_t batches;
    cb_digest digest;
    uint64_t part; /* of the last one */
    cb_journal_head last;
} chain;

struct cb_logged {
    cb_id terminal;
    chain said, kept; /* by the leaves, in the table */
    bool has_row;
    bool resumed; /* an administrator has said that what comes next need not fit */
    bool lapsed;  /* no signed head covered that when it was found: the row may still have it */
};

/* What a leaf and a row both say of a batch. */
typedef struct batch_facts {
    uint64_t part, after, last;
    cb_digest entries, hash, key;
    int64_t received;
} batch_facts;

static void put_number(uint8_t out[8], uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (56 - 8 * i));
}

static void add(chain *c, const batch_facts *facts)
{
    uint8_t numbers[32];
    put_number(numbers, facts->part);
    put_number(numbers + 8, facts->after);
    put_number(numbers + 16, facts->last);
    put_number(numbers + 24, (uint64_t)facts->received);
    const cb_bytes parts[] = {cb_digest_bytes(&c->digest), CB_BYTES_OF(numbers),
                              cb_digest_bytes(&facts->entries), cb_digest_bytes(&facts->hash),
                              cb_digest_bytes(&facts->key)};
    c->digest = cb_sha256_parts(parts, sizeof parts / sizeof *parts);
    c->batches++;
    c->part = facts->part;
    c->last = (cb_journal_head){.number = facts->last, .hash = facts->hash};
}

/* NULL for want of memory, which is said. */
static struct cb_logged *logged(cb_check *check, const cb_id *terminal)
{
    const cb_id_entry *entry = cb_id_map_find(&check->logs, 'l', terminal);
    if (entry)
        return &check->logged[entry->value];
    struct cb_logged *grown = realloc(check->logged, (check->logged_count + 1) * sizeof *grown);
    if (grown)
        check->logged = grown;
    if (!grown || cb_id_map_set(&check->logs, 'l', terminal, check->logged_count)) {
        check->error = CB_E_MEMORY;
        return NULL;
    }
    check->logged[check->logged_count] = (struct cb_logged){.terminal = *terminal};
    return &check->logged[check->logged_count++];
}

/* ---- Leaves ---- */

static bool find_number(cb_bytes leaf, const char *name, uint64_t *out)
{
    char text[24], *end = NULL;
    if (cb_leaf_find_text(leaf, name, text, sizeof text) || text[0] < '0' || text[0] > '9')
        return false;
    *out = strtoull(text, &end, 10);
    return *end == 0;
}

/* That a terminal's log may go on with what does not fit, or that saying so counted for nothing. */
static void take_permission(cb_check *check, const cb_leaf_fields *leaf, cb_bytes data)
{
    char text[CB_ID_TEXT];
    cb_id terminal = leaf->terminal;
    bool given = strcmp(leaf->kind, "terminal.log_resumed") == 0;
    bool taken_back = strcmp(leaf->kind, "registry.unconfirmed") == 0 &&
                      cb_leaf_find_text(data, "log_of", text, sizeof text) == CB_OK &&
                      cb_id_parse(text, &terminal) == CB_OK;
    struct cb_logged *l = given || taken_back ? logged(check, &terminal) : NULL;
    if (!l)
        return;
    l->resumed = given;
    l->lapsed = taken_back;
}

/* Another part begins once for each time that an administrator has said so. */
static void check_part(cb_check *check, uint64_t position, struct cb_logged *l, uint64_t part)
{
    uint64_t before = l->said.batches > 0 ? l->said.part : 1;
    if (part != before && (part != before + 1 || !l->resumed))
        cb_check_finding(
            check, position, "terminal_log.record",
            "Another part of a terminal's log begins, which no administrator allowed.");
    l->resumed = l->lapsed = false;
}

static void take_said(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data)
{
    batch_facts facts = {.received = leaf->time};
    bool whole =
        !cb_id_is_zero(&leaf->terminal) && find_number(data, "part", &facts.part) &&
        find_number(data, "after", &facts.after) && find_number(data, "last", &facts.last) &&
        cb_leaf_find_digest(data, "entries_sha256", &facts.entries) &&
        cb_leaf_find_digest(data, "hash", &facts.hash) && cb_leaf_find_digest(data, "key_sha256", &facts.key);
    if (!whole) {
        cb_check_finding(check, position, "leaf.format", "The leaf does not say which batch.");
        return;
    }
    struct cb_logged *l = logged(check, &leaf->terminal);
    if (!l)
        return;
    if (!cb_check_terminal_had(check, &leaf->terminal, &facts.key))
        cb_check_finding(check, position, "terminal_log.record",
                         "The key that signed is none that the record has given this terminal.");
    check_part(check, position, l, facts.part);
    add(&l->said, &facts);
}

void cb_check_terminal_log(cb_check *check, uint64_t position, const cb_leaf_fields *leaf,
                           cb_bytes data)
{
    if (check->error)
        return;
    if (strcmp(leaf->kind, "terminal.log") == 0)
        take_said(check, position, leaf, data);
    else
        take_permission(check, leaf, data);
}

/* ---- Rows ---- */

static void report(cb_check *check, const char *what, const cb_id *terminal, const char *problem)
{
    char detail[160], text[CB_ID_TEXT];
    cb_id_text(terminal, text);
    snprintf(detail, sizeof detail, "terminal %s: %s", text, problem);
    cb_check_finding(check, UINT64_MAX, what, detail);
}

/* Whether it is by itself what a terminal has signed, and goes on from the one before it. */
static void check_batch(cb_check *check, const cb_id *terminal, const cb_journal_batch *batch,
                        const chain *before)
{
    char problem[80];
    cb_journal_head at = batch->before;
    bool goes_on = before->batches == 0 || before->part != batch->part ||
                   cb_journal_same(&before->last, &batch->before);
    bool whole = goes_on && cb_journal_follow(batch->entries, &at) == CB_OK &&
                 cb_journal_same(&at, &batch->last);
    cb_error error = whole ? cb_journal_check(&at, batch->key, batch->signature) : CB_OK;
    if (error && error != CB_E_CRYPTO)
        check->error = error;
    if (whole && !error)
        return;
    snprintf(problem, sizeof problem, "the batch up to entry %llu of part %llu %s.",
             (unsigned long long)batch->last.number, (unsigned long long)batch->part,
             whole ? "is not signed by its key" : "does not fit together");
    report(check, "terminal_log.batch", terminal, problem);
}

static cb_error take_batch(void *context, const cb_id *terminal, const cb_journal_batch *batch)
{
    cb_check *check = context;
    cb_buf key = CB_BUF(256);
    struct cb_logged *l = logged(check, terminal);
    if (!l)
        return check->error;
    if (batch->key.len == CB_P256_POINT)
        cb_x509_put_key(&key, batch->key.data);
    const batch_facts facts = {.part = batch->part,
                               .after = batch->before.number,
                               .last = batch->last.number,
                               .entries = cb_sha256(batch->entries),
                               .hash = batch->last.hash,
                               .key = cb_sha256(cb_buf_bytes(&key)),
                               .received = batch->received};
    if (cb_buf_error(&key))
        check->error = cb_buf_error(&key);
    check_batch(check, terminal, batch, &l->kept);
    add(&l->kept, &facts);
    cb_buf_free(&key);
    return check->error;
}

/* How far the broker has it: a row set back would let the terminal tell it in another way. */
static cb_error take_head(void *context, const cb_id *terminal, const cb_journal_row *row)
{
    cb_check *check = context;
    struct cb_logged *l = logged(check, terminal);
    if (!l)
        return check->error;
    l->has_row = true;
    uint64_t part = l->said.batches > 0 ? l->said.part : 1;
    if (row->part != part || !cb_journal_same(&row->head, &l->said.last))
        report(check, "terminal_log.head", terminal,
               "the table has it up to another entry than the record.");
    if (row->resume != l->resumed && !(row->resume && l->lapsed))
        report(check, "terminal_log.head", terminal,
               "the table has it otherwise than the record whether the log may go on with what "
               "does not fit.");
    return CB_OK;
}

static void compare(cb_check *check, const struct cb_logged *l)
{
    char problem[80];
    if (!l->has_row)
        report(check, "terminal_log.head", &l->terminal, "the table has forgotten how far it is.");
    if (l->said.batches == l->kept.batches &&
        memcmp(&l->said.digest, &l->kept.digest, sizeof l->said.digest) == 0)
        return;
    snprintf(problem, sizeof problem, "%llu batches are in the table, %llu in the record%s.",
             (unsigned long long)l->kept.batches, (unsigned long long)l->said.batches,
             l->said.batches == l->kept.batches ? ", and they are others" : "");
    report(check, "terminal_log.record", &l->terminal, problem);
}

void cb_check_terminal_logs_end(cb_check *check)
{
    const cb_evidence_source *source = check->source;
    if (!source->batches || !source->logs || check->error)
        return;
    cb_error error = source->batches(source->context, take_batch, check);
    if (!error)
        error = source->logs(source->context, take_head, check);
    for (size_t i = 0; !error && i < check->logged_count; i++)
        compare(check, &check->logged[i]);
    check->error = check->error ? check->error : error;
}

void cb_check_terminal_logs_free(cb_check *check)
{
    free(check->logged);
    cb_id_map_free(&check->logs);
}
