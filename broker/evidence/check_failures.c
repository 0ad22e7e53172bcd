/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What failed, counted again from the leaves, and compared with what the database counts.
 */
#include <stdio.h>

#include "broker/evidence/check.h"
#include "broker/store/row_failure.h"
#include "cardlink/level.h"

/* An entry of the map holds how many there were ever in its lower half, and how many in a row in
 * its upper one. Its kind is whose they are, and which: */
enum { FIRST = 'A', LEVELS = CB_FAILURE_KINDS };

#define ROW(value) ((value) >> 32)
#define EVER(value) ((value)&UINT32_MAX)

static char kind_of(uint8_t of, uint8_t kind) { return (char)(FIRST + of * LEVELS + kind); }

static uint64_t value_of(const cb_check *check, uint8_t of, uint8_t kind, const cb_id *id)
{
    const cb_id_entry *entry = cb_id_map_find(&check->failures, kind_of(of, kind), id);
    return entry ? entry->value : 0;
}

static void set(cb_check *check, uint8_t of, uint8_t kind, const cb_id *id, uint64_t value)
{
    if (!check->error)
        check->error = cb_id_map_set(&check->failures, kind_of(of, kind), id, value);
}

/* ---- Leaves ---- */

static void add(cb_check *check, uint8_t of, uint8_t kind, const cb_id *id, uint64_t count)
{
    bool has_row = kind == CB_FAILURE_WRONG_PIN || kind == CB_FAILURE_PROOF;
    if (cb_id_is_zero(id) && kind != CB_FAILURE_PASSWORD)
        return;
    uint64_t value = value_of(check, of, kind, id);
    set(check, of, kind, id, value + count + (has_row ? count << 32 : 0));
}

static void end_row(cb_check *check, uint8_t of, uint8_t kind, const cb_id *id)
{
    uint64_t value = value_of(check, of, kind, id);
    if (ROW(value) > 0)
        set(check, of, kind, id, EVER(value));
}

static void end_rows(cb_check *check, uint8_t of, const cb_id *id, bool with_pin)
{
    end_row(check, of, CB_FAILURE_PROOF, id);
    if (with_pin)
        end_row(check, of, CB_FAILURE_WRONG_PIN, id);
}

static void end_of(cb_check *check, const cb_leaf_fields *leaf, bool with_pin)
{
    end_rows(check, CB_OF_CARD, &leaf->card, with_pin);
    end_rows(check, CB_OF_HOLDER, &leaf->holder, with_pin);
    end_rows(check, CB_OF_TERMINAL, &leaf->terminal, with_pin);
}

/* The level that was reached stands in the intent. */
static void accepted(cb_check *check, const cb_leaf_fields *leaf)
{
    cb_id_entry *intent = cb_id_map_find(&check->open, 'r', &leaf->tap);
    if (strcmp(leaf->outcome, "accepted") == 0)
        end_of(check, leaf, intent && cb_level_needs_pin((uint8_t)intent->value));
    if (intent)
        cb_id_map_remove(&check->open, intent);
}

void cb_check_failures(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    uint8_t kind = leaf->failure[0] ? cb_failure_named(leaf->failure) : 0;
    if (leaf->failure[0] && (kind == 0 || leaf->failures == 0 || leaf->failures > UINT16_MAX)) {
        cb_check_finding(check, position, "failures.format",
                         "The leaf counts what is not counted.");
    } else if (kind) {
        add(check, CB_OF_CARD, kind, &leaf->card, leaf->failures);
        add(check, CB_OF_HOLDER, kind, &leaf->holder, leaf->failures);
        add(check, CB_OF_TERMINAL, kind, &leaf->terminal, leaf->failures);
    } else if (strcmp(leaf->kind, "tap.intent") == 0 && !check->error) {
        check->error = cb_id_map_set(&check->open, 'r', &leaf->tap, leaf->reached);
    } else if (strcmp(leaf->kind, "tap.result") == 0) {
        accepted(check, leaf);
    } else if (strcmp(leaf->kind, "tap.pin") == 0 && strcmp(leaf->outcome, "done") == 0) {
        end_of(check, leaf, true);
    } else if (strcmp(leaf->kind, "card.resumed") == 0) {
        end_rows(check, CB_OF_CARD, &leaf->card, true);
    } else if (strcmp(leaf->kind, "terminal.reactivated") == 0) {
        end_rows(check, CB_OF_TERMINAL, &leaf->terminal, true);
    }
}

/* ---- Rows ---- */

static void report(cb_check *check, uint8_t of, const cb_id *id, const char *problem)
{
    char detail[160], text[CB_ID_TEXT];
    cb_id_text(id, text);
    snprintf(detail, sizeof detail, "%s %s: %s", cb_failing_name(of), text, problem);
    cb_check_finding(check, UINT64_MAX, "failures.count", detail);
}

/* Sums wrap as they do in the map; the halves do not meet before 2^32 of one kind. */
static bool same(cb_check *check, uint8_t of, const cb_id *id, const cb_failure_row *row)
{
    bool all = true;
    for (uint8_t kind = 1; kind < CB_FAILURE_KINDS; kind++) {
        cb_id_entry *entry = cb_id_map_find(&check->failures, kind_of(of, kind), id);
        uint64_t value = entry ? entry->value : 0;
        uint64_t in_row = kind == CB_FAILURE_WRONG_PIN ? row->pins_row
                          : kind == CB_FAILURE_PROOF   ? row->proofs_row
                                                       : 0;
        all = all && EVER(value) == row->count[kind] && ROW(value) == in_row;
        if (entry)
            entry->marked = true;
    }
    return all;
}

static bool days_fit(const cb_failure_row *row, const uint64_t *days, unsigned count)
{
    for (unsigned kind = 1; kind < CB_FAILURE_KINDS; kind++) {
        if (days[kind] > row->count[kind] ||
            (days[kind] < row->count[kind] && count < CB_FAILURE_DAYS))
            return false;
    }
    return true;
}

static cb_error check_row(void *context, uint8_t of, const cb_id *id, const cb_failure_row *row,
                          const uint64_t *days, unsigned count)
{
    cb_check *check = context;
    if (!same(check, of, id, row))
        report(check, of, id, "what failed is counted otherwise in the table than in the log.");
    else if (!days_fit(row, days, count))
        report(check, of, id, "the days do not add up to what failed.");
    return CB_OK;
}

void cb_check_failures_end(cb_check *check)
{
    const cb_evidence_source *source = check->source;
    if (!source->failures || check->error)
        return;
    check->error = source->failures(source->context, check_row, check);
    for (size_t i = 0; !check->error && i < check->failures.room; i++) {
        const cb_id_entry *entry = &check->failures.place[i];
        if (entry->kind && !entry->marked)
            report(check, (uint8_t)((entry->kind - FIRST) / LEVELS), &entry->id,
                   "what failed is in the log, but not in the table.");
    }
}
