/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that nobody holds. A leaf about them is about many, and has of their serial numbers only a
 * digest over all that were named, in an order that no row has: so the rows are counted. Which of
 * them was issued, and of which there were two, the record says.
 */
#include <stdio.h>
#include <string.h>

#include "base/leaf.h"
#include "broker/evidence/check.h"
#include "broker/evidence/row_lines.h"

/* Kinds of entries. The value is how many the leaves say, less those that the table has; beside it
 * is the last of these leaves. */
enum {
    OF_BATCH = 'b',
    SENT = 's',
    RECEIVED = 'r',
    DESTROYED = 'd',
    REVOKED = 'v',
    DOUBLES = 'w', /* how many were said to be there twice, each of which may have been barred */
    DOUBLE = 'x',  /* a serial number of which there were two */
    BATCH = 'i',   /* a row of a batch, by its identifier; its value leads to its name */
};

static cb_id name_of(const cb_check *check, const char *manufacturer, const char *name)
{
    cb_id id = {{0}};
    const cb_bytes parts[] = {CB_BYTES_OF(check->salt),
                              {(const uint8_t *)manufacturer, strlen(manufacturer) + 1},
                              cb_bytes_str(name)};
    cb_digest digest = cb_sha256_parts(parts, sizeof parts / sizeof *parts);
    memcpy(id.bytes, digest.bytes, sizeof(uint64_t)); /* as much as a value holds */
    return id;
}

static cb_id name_in(uint64_t value)
{
    cb_id id = {{0}};
    memcpy(id.bytes, &value, sizeof value);
    return id;
}

static cb_id_entry *entry_of(cb_check *check, char kind, const cb_id *id)
{
    cb_id_entry *entry = cb_id_map_find(&check->stock, kind, id);
    if (!entry && !check->error) {
        check->error = cb_id_map_set(&check->stock, kind, id, 0);
        entry = check->error ? NULL : cb_id_map_find(&check->stock, kind, id);
    }
    return entry;
}

static void add(cb_check *check, char kind, const cb_id *id, uint64_t count, uint64_t position)
{
    cb_id_entry *entry = entry_of(check, kind, id);
    if (!entry)
        return;
    entry->value += count;
    entry->more = (uint32_t)position;
}

/* ---- Leaves ---- */

static bool text_of(cb_bytes leaf, const char *name, char out[CB_STOCK_TEXT])
{
    return cb_leaf_find_text(leaf, name, out, CB_STOCK_TEXT) == CB_OK;
}

static void take_mismatch(cb_check *check, uint64_t position, cb_bytes leaf)
{
    char what[CB_STOCK_TEXT], manufacturer[CB_STOCK_TEXT], serial[CB_STOCK_TEXT];
    if (!text_of(leaf, "what", what) || strcmp(what, "double") != 0 ||
        !text_of(leaf, "manufacturer", manufacturer) || !text_of(leaf, "serial", serial))
        return;
    cb_id card = name_of(check, manufacturer, serial), all = name_of(check, manufacturer, "");
    add(check, DOUBLE, &card, 1, position);
    add(check, DOUBLES, &all, 1, position);
}

void cb_check_stock(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data)
{
    static const struct {
        const char *leaf, *of;
        char kind;
    } acts[] = {{"stock.entered", "batch", OF_BATCH},
                {"stock.sent", "delivery", SENT},
                {"stock.received", "delivery", RECEIVED},
                {"stock.revoked", NULL, REVOKED},
                {"stock.destroyed", NULL, DESTROYED}};
    char manufacturer[CB_STOCK_TEXT], name[CB_STOCK_TEXT] = "";
    if (!check->source->stock || check->error)
        return;
    if (strcmp(leaf->kind, "stock.mismatch") == 0)
        take_mismatch(check, position, data);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (strcmp(acts[i].leaf, leaf->kind) != 0 || !text_of(data, "manufacturer", manufacturer) ||
            (acts[i].of && !text_of(data, acts[i].of, name)))
            continue;
        cb_id id = name_of(check, manufacturer, name);
        add(check, acts[i].kind, &id, leaf->cards, position);
    }
}

/* ---- Rows ---- */

static void report(cb_check *check, const char *what, const cb_stock_lines *row,
                   const char *problem)
{
    char detail[160];
    snprintf(detail, sizeof detail, "Card %.40s of %.40s in stock: %s.", row->name,
             row->manufacturer, problem);
    cb_check_finding(check, UINT64_MAX, what, detail);
}

static void take_away(cb_check *check, char kind, const char *manufacturer, const char *name)
{
    cb_id id = name_of(check, manufacturer, name);
    cb_id_entry *entry = entry_of(check, kind, &id);
    if (entry)
        entry->value--;
}

static bool is(const cb_stock_lines *row, const char *state)
{
    return strcmp(row->state, state) == 0;
}

static void take_batch(cb_check *check, const cb_stock_lines *row)
{
    uint64_t value;
    cb_id name = name_of(check, row->manufacturer, row->name);
    memcpy(&value, name.bytes, sizeof value);
    cb_id_entry *entry = entry_of(check, BATCH, &row->batch);
    if (entry)
        entry->value = value;
    entry = cb_id_map_find(&check->stock, OF_BATCH, &name);
    if (entry)
        entry->marked = true;
}

static void take_from_batch(cb_check *check, const cb_stock_lines *row)
{
    const cb_id_entry *batch = cb_id_map_find(&check->stock, BATCH, &row->batch);
    cb_id name = name_in(batch ? batch->value : 0);
    cb_id_entry *entry = entry_of(check, OF_BATCH, &name);
    if (entry)
        entry->value--;
}

static cb_error check_row(void *context, const cb_stock_lines *row)
{
    cb_check *check = context;
    if (row->is_batch) {
        take_batch(check, row);
        return check->error;
    }
    cb_id card = name_of(check, row->manufacturer, row->name);
    take_from_batch(check, row);
    if (row->delivery[0])
        take_away(check, SENT, row->manufacturer, row->delivery);
    if (row->received)
        take_away(check, RECEIVED, row->manufacturer, row->delivery);
    if (is(row, "destroyed"))
        take_away(check, DESTROYED, row->manufacturer, "");
    if (is(row, "revoked"))
        take_away(check, REVOKED, row->manufacturer, "");
    if (is(row, "issued") != row->issued)
        report(check, "table.state", row,
               row->issued ? "it was issued" : "it was not issued, or not to that card");
    check->from_stock += row->issued ? 1 : 0;
    if (!is(row, "revoked") && !is(row, "destroyed") && !is(row, "issued") &&
        cb_id_map_find(&check->stock, DOUBLE, &card))
        report(check, "table.state", row, "there were two of it, and neither is good");
    return check->error;
}

/* ---- Counts ---- */

static void report_count(cb_check *check, const cb_id_entry *entry, const char *which)
{
    char detail[160];
    int64_t more = (int64_t)entry->value;
    snprintf(detail, sizeof detail, "%s: %llu %s in the table than in the log.", which,
             (unsigned long long)(more < 0 ? -more : more), more < 0 ? "more" : "fewer");
    cb_check_finding(check, entry->more ? entry->more : UINT64_MAX, "stock.count", detail);
}

static uint64_t value_of(const cb_check *check, char kind, const cb_id *id)
{
    const cb_id_entry *entry = cb_id_map_find(&check->stock, kind, id);
    return entry ? entry->value : 0;
}

/* One that was barred as a double was revoked without a leaf that counts it; one that was revoked
 * may have been destroyed since. */
static void check_revoked(cb_check *check, const cb_id_entry *entry)
{
    int64_t fewer = (int64_t)entry->value;
    int64_t doubles = (int64_t)value_of(check, DOUBLES, &entry->id);
    const cb_id_entry *destroyed = cb_id_map_find(&check->stock, DESTROYED, &entry->id);
    if (fewer < -doubles || (fewer > 0 && !destroyed))
        report_count(check, entry, "Revoked cards of this manufacturer");
}

static void check_count(cb_check *check, const cb_id_entry *entry)
{
    switch (entry->kind) {
    case OF_BATCH:
        if (entry->value != 0)
            report_count(check, entry, "Cards of this batch");
        else if (entry->more && !entry->marked)
            cb_check_finding(check, entry->more, "table.missing",
                             "This batch is not in the table.");
        break;
    case SENT:
        if (entry->value != 0)
            report_count(check, entry, "Cards of this delivery that were sent");
        break;
    case RECEIVED:
        if (entry->value != 0)
            report_count(check, entry, "Cards of this delivery that were received");
        break;
    case DESTROYED:
        if (entry->value != 0)
            report_count(check, entry, "Destroyed cards of this manufacturer");
        break;
    case REVOKED:
        check_revoked(check, entry);
        break;
    default:
        break;
    }
}

void cb_check_stock_end(cb_check *check)
{
    const cb_evidence_source *source = check->source;
    uint64_t issued = 0;
    if (!source->stock || check->error)
        return;
    cb_error error = source->stock(source->context, check_row, check, &issued);
    check->error = check->error ? check->error : error;
    for (size_t i = 0; !check->error && i < check->stock.room; i++) {
        if (check->stock.place[i].kind)
            check_count(check, &check->stock.place[i]);
    }
    if (!check->error && issued != check->from_stock)
        cb_check_finding(check, UINT64_MAX, "stock.count",
                         "Cards that were issued from stock are not there as issued.");
}
