/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows that no login believes, or not them alone, compared with what leaves say of them: who was
 * entered, what was applied for and issued, by whom; registration codes that are over, too; what
 * did not fit; what is under way. Of each row a few bytes are kept while the leaves are read, of
 * each of its parts 32 bits of a digest that nobody can know beforehand (see check_tap.c).
 */
#include <stdio.h>
#include <string.h>

#include "base/leaf.h"
#include "broker/evidence/check.h"
#include "broker/evidence/row_lines.h"

enum { LINES = 9, OF_BEFORE = 'C' };

/* The lines of a leaf that are a part of a row, in the order in which row_lines.c writes them. The
 * parts that a leaf has take the place of those before. */
static const struct act {
    const char *leaf; /* kind */
    char row;
    bool ends; /* the row is no more */
    const char *subject;
    const char *part[CB_ROW_PARTS][LINES];
} acts[] = {
    {"holder.added", 'h', false, "holder", {{"time"}}},
    {"card.added",
     'c',
     false,
     "card",
     {{"time", "actor", "station", "manufacturer", "serial", "replaces"},
      {"holder", "sequence", "binding_sha256"},
      {"time"}}},
    {"card.renewed", 'c', false, "card", {{0}, {"holder", "sequence", "binding_sha256"}, {"time"}}},
    {"card.activated", 'c', false, "card", {{0}, {0}, {"time"}}},
    {"card.suspended", 'c', false, "card", {{0}, {0}, {"time"}}},
    {"card.resumed", 'c', false, "card", {{0}, {0}, {"time"}}},
    {"card.revoked", 'c', false, "card", {{0}, {0}, {"time"}}},
    {"card.expired", 'c', false, "card", {{0}, {0}, {"time"}}},
    {"card.returned", 'c', false, "card", {{0}, {0}, {"time"}}},
    {"card.destroyed", 'c', false, "card", {{0}, {0}, {"time"}}},
    {"application.entered",
     'a',
     false,
     "application",
     {{"time", "holder", "profile", "for", "operator"}, {0}, {"kind", "time"}}},
    {"application.approved", 'a', false, "application", {{0}, {"actor"}, {"kind", "time"}}},
    {"application.refused", 'a', false, "application", {{0}, {"actor"}, {"kind", "time"}}},
    {"application.issued", 'a', false, "application", {{0}, {0}, {"kind", "time", "of_card"}}},
    {"registration.allowed",
     'g',
     false,
     "code",
     {{"time", "actor", "holder", "profiles", "level", "expires", "replaces"},
      {0},
      {"kind", "time"}}},
    {"registration.used", 'g', false, "code", {{0}, {0}, {"kind", "time", "card", "terminal"}}},
    {"registration.withdrawn", 'g', false, "code", {{0}, {0}, {"kind", "time"}}},
    {"registration.lapsed", 'g', false, "code", {{0}, {0}, {"kind", "time"}}},
    {"stock.mismatch",
     'm',
     false,
     NULL,
     {{"time", "actor", "what", "manufacturer", "serial", "delivery", "of_card", "application"}}},
    {"terminal.added", 't', false, "terminal", {{"time"}, {0}, {"time"}}},
    {"terminal.activated", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.described", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.confirmed", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.deactivated", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.reactivated", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.maintenance", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.maintained", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.revoked", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.disposed", 't', false, "terminal", {{0}, {0}, {"time"}}},
    {"terminal.code", 'o', false, "terminal", {{"code_sha256", "code_expires"}}},
    {"terminal.software", 'p', false, "terminal", {{"version", "program_sha256", "config_sha256"}}},
    {"terminal.maintenance",
     'u',
     false,
     "terminal",
     {{"time", "reason", "card", "holder", "maintenance_until"}}},
    {"tap.intent",
     'n',
     false,
     "tap",
     {{"time", "card", "holder", "terminal", "key", "service", "reached"}}},
    {"tap.result", 'n', true, "tap", {{0}}},
    {"tap.result",
     'v',
     false,
     "session",
     {{"time", "tap", "card", "holder", "terminal", "enrolment", "service"}}},
    {"tap.withheld", 'v', true, "session", {{0}}},
    {"session.ended", 'v', true, "session", {{0}}},
};

/* How rows are called, and their parts. */
static const struct {
    char kind;
    bool counted_elsewhere; /* that it is there at all, check_state.c compares */
    const char *name;
    const char *part[CB_ROW_PARTS];
} things[] = {
    {'h', false, "holder", {"when the holder was entered"}},
    {'c', true, "card", {"how it was issued", "its holder or binding", "when its state changed"}},
    {'a', false, "application", {"what was applied for", "who decided", "what became of it"}},
    {'g', false, "registration code", {"what was allowed", "", "what became of it"}},
    {'t', true, "terminal", {"when it was added", "", "when it changed"}},
    {'o', false, "activation code of terminal", {"it"}},
    {'p', false, "software of terminal", {"it"}},
    {'u', false, "maintenance of terminal", {"it"}},
    {'n', false, "intent of tap", {"it"}},
    {'v', false, "session", {"it"}},
};

enum { ACTS = sizeof acts / sizeof *acts, THINGS = sizeof things / sizeof *things };

/* ---- Parts ---- */

/* 0: nothing. */
static uint32_t number_of(const cb_check *check, char kind, unsigned part, const cb_id *id,
                          cb_bytes lines)
{
    uint32_t number;
    const uint8_t which[] = {(uint8_t)kind, (uint8_t)part};
    const cb_bytes parts[] = {CB_BYTES_OF(check->salt), CB_BYTES_OF(which), cb_id_bytes(id), lines};
    if (lines.len == 0)
        return 0;
    cb_digest digest = cb_sha256_parts(parts, sizeof parts / sizeof *parts);
    memcpy(&number, digest.bytes, sizeof number);
    return number ? number : 1;
}

static uint32_t part_of(const cb_id_entry *entry, unsigned part)
{
    return part == 2 ? entry->more : (uint32_t)(entry->value >> 32 * part);
}

static void set_part(cb_id_entry *entry, unsigned part, uint32_t number)
{
    if (part == 2) {
        entry->more = number;
        return;
    }
    uint64_t mask = (uint64_t)UINT32_MAX << 32 * part;
    entry->value = (entry->value & ~mask) | (uint64_t)number << 32 * part;
}

/* ---- Leaves ---- */

/* The first line of that name, as it stands there; one that says nothing is none. */
static cb_bytes line_of(cb_bytes leaf, const char *name)
{
    size_t len = strlen(name);
    cb_cursor rest = cb_cursor_over(leaf);
    while (rest.rest.len > 0) {
        const uint8_t *end = memchr(rest.rest.data, '\n', rest.rest.len);
        cb_bytes line =
            cb_cursor_take(&rest, end ? (size_t)(end - rest.rest.data) + 1 : rest.rest.len);
        if (line.len > len && line.data[len] == ' ' && memcmp(line.data, name, len) == 0)
            return line.len > len + 2 ? line : (cb_bytes){0};
    }
    return (cb_bytes){0};
}

static void take_lines(cb_bytes leaf, const char *const names[LINES], cb_buf *out)
{
    for (size_t i = 0; i < LINES && names[i]; i++)
        cb_buf_put(out, line_of(leaf, names[i]));
}

/* The identifier in a line of that name; false when there is none. */
static bool find_id(cb_bytes leaf, const char *name, cb_id *out)
{
    char text[CB_ID_TEXT];
    return cb_leaf_find_text(leaf, name, text, sizeof text) == CB_OK &&
           cb_id_parse(text, out) == CB_OK;
}

/* A card was issued for an application: its own leaf comes next, and does not say for which. */
static void note_issued(cb_check *check, const cb_id *application, cb_bytes leaf)
{
    check->issued_for = *application;
    if (!find_id(leaf, "of_card", &check->issued))
        check->issued = (cb_id){{0}};
}

static void add_application(const cb_check *check, const cb_id *card, cb_buf *lines)
{
    if (!cb_id_is_zero(&check->issued) && cb_id_same(&check->issued, card))
        cb_leaf_id(lines, "application", &check->issued_for);
}

/* Of cards from before there was a table for it there is no row of how they were issued. */
static void note_added(cb_check *check, const cb_leaf_fields *leaf, const cb_id *card)
{
    check->issued = (cb_id){{0}};
    if (leaf->time < check->issues_since && !check->error)
        check->error = cb_id_map_set(&check->rows, OF_BEFORE, card, 0);
}

static bool same_line(cb_bytes leaf, const char *a, const char *b)
{
    cb_bytes first = line_of(leaf, a), second = line_of(leaf, b);
    return first.len > 0 && second.len > 0 &&
           cb_bytes_same(cb_bytes_make(first.data + strlen(a), first.len - strlen(a)),
                         cb_bytes_make(second.data + strlen(b), second.len - strlen(b)));
}

static void lines_of(const cb_check *check, const struct act *act, unsigned part, uint64_t position,
                     const cb_id *id, cb_bytes data, cb_buf *lines)
{
    cb_buf_reset(lines);
    /* Who entered it and takes it back has approved nothing. */
    if (act->row == 'a' && part == 1 && same_line(data, "actor", "operator"))
        return;
    take_lines(data, act->part[part], lines);
    if (act->row == 'c' && part == 0)
        add_application(check, id, lines);
    if (act->row == 'n' || act->row == 'v')
        cb_leaf_number(lines, "leaf", position);
}

static bool has_part(const struct act *act, unsigned part) { return act->part[part][0] != NULL; }

static void remember(cb_check *check, const struct act *act, uint64_t position, const cb_id *id,
                     cb_bytes data, cb_buf *lines)
{
    cb_id_entry *entry = cb_id_map_find(&check->rows, act->row, id);
    if (!entry) {
        check->error = cb_id_map_set(&check->rows, act->row, id, 0);
        entry = check->error ? NULL : cb_id_map_find(&check->rows, act->row, id);
    }
    for (unsigned part = 0; entry && part < CB_ROW_PARTS; part++) {
        if (!has_part(act, part))
            continue;
        lines_of(check, act, part, position, id, data, lines);
        if (cb_buf_error(lines) == CB_E_MEMORY)
            check->error = CB_E_MEMORY;
        set_part(entry, part, number_of(check, act->row, part, id, cb_buf_bytes(lines)));
    }
}

/* No leaf says the identifier of a row of these: it is known by all that it says, and counted. */
static cb_id name_of_mismatch(const cb_check *check, cb_bytes lines)
{
    cb_id id;
    const cb_bytes parts[] = {CB_BYTES_OF(check->salt), lines};
    cb_digest digest = cb_sha256_parts(parts, sizeof parts / sizeof *parts);
    memcpy(id.bytes, digest.bytes, sizeof id.bytes);
    return id;
}

static void count_mismatch(cb_check *check, const struct act *act, uint64_t position, cb_bytes data,
                           cb_buf *lines)
{
    cb_buf_reset(lines);
    take_lines(data, act->part[0], lines);
    if (cb_buf_error(lines) == CB_E_MEMORY) {
        check->error = CB_E_MEMORY;
        return;
    }
    cb_id id = name_of_mismatch(check, cb_buf_bytes(lines));
    const cb_id_entry *there = cb_id_map_find(&check->rows, 'm', &id);
    check->error = cb_id_map_set(&check->rows, 'm', &id, there ? there->value + 1 : 1);
    cb_id_entry *entry = check->error ? NULL : cb_id_map_find(&check->rows, 'm', &id);
    if (entry)
        entry->more = (uint32_t)position;
}

static void take_act(cb_check *check, const struct act *act, uint64_t position,
                     const cb_leaf_fields *leaf, cb_bytes data, cb_buf *lines)
{
    cb_id id;
    if (!act->subject) {
        count_mismatch(check, act, position, data, lines);
        return;
    }
    if (!find_id(data, act->subject, &id)) /* a tap without a session, or what is no leaf of ours */
        return;
    if (act->ends) {
        cb_id_entry *entry = cb_id_map_find(&check->rows, act->row, &id);
        if (entry)
            cb_id_map_remove(&check->rows, entry);
        return;
    }
    remember(check, act, position, &id, data, lines);
    if (strcmp(act->leaf, "application.issued") == 0)
        note_issued(check, &id, data);
    else if (strcmp(act->leaf, "card.added") == 0)
        note_added(check, leaf, &id);
}

void cb_check_rows(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data)
{
    const cb_evidence_source *source = check->source;
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    if (!source->lines || check->error)
        return;
    if (position == 0)
        check->error = source->issues_since(source->context, &check->issues_since);
    for (size_t i = 0; i < ACTS && !check->error; i++) {
        if (strcmp(acts[i].leaf, leaf->kind) == 0)
            take_act(check, &acts[i], position, leaf, data, &lines);
    }
    cb_buf_free(&lines);
}

/* ---- Rows ---- */

static size_t thing_of(char kind)
{
    size_t i = 0;
    while (i < THINGS && things[i].kind != kind)
        i++;
    return i;
}

static void report(cb_check *check, const char *what, size_t thing, const cb_id *id,
                   const char *problem)
{
    char detail[160], text[CB_ID_TEXT];
    cb_id_text(id, text);
    snprintf(detail, sizeof detail, "%s %s: %s.", things[thing].name, text, problem);
    cb_check_finding(check, UINT64_MAX, what, detail);
}

static void check_mismatch(cb_check *check, const cb_row_lines *row)
{
    cb_id id = name_of_mismatch(check, row->part[0]);
    cb_id_entry *entry = cb_id_map_find(&check->rows, 'm', &id);
    if (entry && entry->value > 0) {
        entry->value--;
        return;
    }
    char serial[80] = "";
    char detail[160];
    cb_leaf_find_text(row->part[0], "serial", serial, sizeof serial);
    snprintf(detail, sizeof detail,
             "A mismatch (serial number \"%s\") is in the table, but not in the log.", serial);
    cb_check_finding(check, UINT64_MAX, "table.extra", detail);
}

static bool is_of_before(const cb_check *check, const cb_row_lines *row, unsigned part)
{
    return row->kind == 'c' && part == 0 && cb_id_map_find(&check->rows, OF_BEFORE, &row->id);
}

static cb_error check_row(void *context, const cb_row_lines *row)
{
    cb_check *check = context;
    size_t thing = thing_of(row->kind);
    char problem[100];
    if (thing == THINGS) {
        check_mismatch(check, row);
        return CB_OK;
    }
    cb_id_entry *entry = cb_id_map_find(&check->rows, row->kind, &row->id);
    if (!entry && !things[thing].counted_elsewhere)
        report(check, "table.extra", thing, &row->id, "it is in the table, but not in the log");
    if (!entry)
        return CB_OK;
    entry->marked = true;
    for (unsigned part = 0; part < CB_ROW_PARTS; part++) {
        uint32_t here = number_of(check, row->kind, part, &row->id, row->part[part]);
        if (part_of(entry, part) == here || (here == 0 && is_of_before(check, row, part)))
            continue;
        snprintf(problem, sizeof problem, "%s is otherwise in the table than in the log",
                 things[thing].part[part]);
        report(check, "table.content", thing, &row->id, problem);
        break; /* one finding for one row */
    }
    return CB_OK;
}

static void check_missing(cb_check *check, const cb_id_entry *entry)
{
    size_t thing = thing_of(entry->kind);
    if (entry->kind == 'm' && entry->value > 0)
        cb_check_finding(check, entry->more, "table.missing",
                         "A mismatch is in the log, but not in the table.");
    else if (thing < THINGS && !entry->marked && !things[thing].counted_elsewhere)
        report(check, "table.missing", thing, &entry->id, "it is in the log, but not in the table");
}

void cb_check_rows_end(cb_check *check)
{
    const cb_evidence_source *source = check->source;
    if (!source->lines || check->error)
        return;
    check->error = source->lines(source->context, check_row, check);
    for (size_t i = 0; !check->error && i < check->rows.room; i++) {
        if (check->rows.place[i].kind)
            check_missing(check, &check->rows.place[i]);
    }
}
