/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What failed, counted again from the leaves, and compared with what the database counts.
 */
#include <stdio.h>

#include "base/clock.h"
#include "broker/evidence/check.h"
#include "broker/store/row_failure.h"
#include "cardlink/level.h"

/* An entry of the map holds how many there were ever in its lower half, and how many in a row in
 * its upper one. Its kind is whose they are, and which; beside the kinds of failures there are
 * three of each subject: what counts on a day (the day in the upper half), of wrong PINs and of
 * claims, and the time of the last. */
enum { PINS_TODAY = CB_FAILURE_KINDS, CLAIMS_TODAY, LAST, LEVELS, FIRST = 'A' };

#define DAY (24 * 3600 * CB_SECOND)
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

/* What counts on the day of a leaf; another day, also one of before, begins anew. */
static void add_today(cb_check *check, uint8_t of, uint8_t kind, const cb_id *id,
                      const cb_leaf_fields *leaf)
{
    uint64_t day = (uint64_t)(leaf->time / DAY) & UINT32_MAX;
    bool is_pin = kind == CB_FAILURE_WRONG_PIN;
    for (uint8_t slot = PINS_TODAY; slot <= CLAIMS_TODAY; slot++) {
        uint64_t value = value_of(check, of, slot, id);
        uint64_t count = ROW(value) == day ? EVER(value) : 0;
        if (is_pin == (slot == PINS_TODAY))
            count += leaf->failures;
        set(check, of, slot, id, day << 32 | EVER(count));
    }
    set(check, of, LAST, id, (uint64_t)leaf->time);
}

static void add(cb_check *check, uint8_t of, uint8_t kind, const cb_id *id,
                const cb_leaf_fields *leaf)
{
    uint64_t count = leaf->failures;
    bool has_row = kind == CB_FAILURE_WRONG_PIN || kind == CB_FAILURE_PROOF;
    if (cb_id_is_zero(id) && kind != CB_FAILURE_PASSWORD)
        return;
    uint64_t value = value_of(check, of, kind, id);
    set(check, of, kind, id, value + count + (has_row ? count << 32 : 0));
    add_today(check, of, kind, id, leaf);
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

/* Who may decide has looked at it. */
static void forgive(cb_check *check, uint8_t of, const cb_id *id)
{
    end_rows(check, of, id, true);
    for (uint8_t slot = PINS_TODAY; slot <= CLAIMS_TODAY; slot++) {
        uint64_t value = value_of(check, of, slot, id);
        if (EVER(value) > 0)
            set(check, of, slot, id, value - EVER(value));
    }
}

static void end_of(cb_check *check, const cb_leaf_fields *leaf, bool with_pin)
{
    end_rows(check, CB_OF_CARD, &leaf->card, with_pin);
    end_rows(check, CB_OF_HOLDER, &leaf->holder, with_pin);
    end_rows(check, CB_OF_TERMINAL, &leaf->terminal, with_pin);
}

/* A renewal of the card has shown why a proof of it failed. False: there was none. */
static bool take_back(cb_check *check, uint8_t of, const cb_id *id, const cb_leaf_fields *leaf)
{
    uint64_t value = value_of(check, of, CB_FAILURE_PROOF, id);
    uint64_t today = value_of(check, of, CLAIMS_TODAY, id);
    uint64_t day = leaf->failed_at / DAY & UINT32_MAX;
    if (EVER(value) == 0)
        return false;
    set(check, of, CB_FAILURE_PROOF, id, value - 1 - (ROW(value) > 0 ? UINT64_C(1) << 32 : 0));
    if (ROW(today) == day && EVER(today) > 0)
        set(check, of, CLAIMS_TODAY, id, today - 1);
    return true;
}

static void explained(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    bool counted = take_back(check, CB_OF_CARD, &leaf->card, leaf);
    counted = take_back(check, CB_OF_HOLDER, &leaf->holder, leaf) && counted;
    counted = take_back(check, CB_OF_TERMINAL, &leaf->terminal, leaf) && counted;
    if (!counted)
        cb_check_finding(check, position, "failures.format",
                         "The leaf takes back what was not counted.");
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
        add(check, CB_OF_CARD, kind, &leaf->card, leaf);
        add(check, CB_OF_HOLDER, kind, &leaf->holder, leaf);
        add(check, CB_OF_TERMINAL, kind, &leaf->terminal, leaf);
    } else if (strcmp(leaf->kind, "tap.intent") == 0 && !check->error) {
        check->error = cb_id_map_set(&check->open, 'r', &leaf->tap, leaf->reached);
    } else if (strcmp(leaf->kind, "tap.result") == 0) {
        accepted(check, leaf);
    } else if (strcmp(leaf->kind, "tap.pin") == 0 && strcmp(leaf->outcome, "done") == 0) {
        end_of(check, leaf, true);
    } else if (strcmp(leaf->kind, "failures.explained") == 0) {
        explained(check, position, leaf);
    } else if (strcmp(leaf->kind, "card.resumed") == 0) {
        forgive(check, CB_OF_CARD, &leaf->card);
    } else if (strcmp(leaf->kind, "terminal.reactivated") == 0) {
        forgive(check, CB_OF_TERMINAL, &leaf->terminal);
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

static uint64_t take(cb_check *check, uint8_t of, uint8_t kind, const cb_id *id)
{
    cb_id_entry *entry = cb_id_map_find(&check->failures, kind_of(of, kind), id);
    if (entry)
        entry->marked = true;
    return entry ? entry->value : 0;
}

/* What a day's limits go by. A window's is not compared: how long one is, and which of a terminal's
 * claims counted in it, no leaf says. */
static bool same_today(cb_check *check, uint8_t of, const cb_id *id, const cb_failure_row *row)
{
    uint64_t pins = take(check, of, PINS_TODAY, id), claims = take(check, of, CLAIMS_TODAY, id);
    uint64_t last = take(check, of, LAST, id);
    return EVER(pins) == row->pins_today && EVER(claims) == row->claims_today &&
           ROW(pins) == ((uint64_t)row->day & UINT32_MAX) && last == (uint64_t)row->last;
}

/* Sums wrap as they do in the map; the halves do not meet before 2^32 of one kind. */
static bool same(cb_check *check, uint8_t of, const cb_id *id, const cb_failure_row *row)
{
    bool all = true;
    for (uint8_t kind = 1; kind < CB_FAILURE_KINDS; kind++) {
        uint64_t value = take(check, of, kind, id);
        uint64_t in_row = kind == CB_FAILURE_WRONG_PIN ? row->pins_row
                          : kind == CB_FAILURE_PROOF   ? row->proofs_row
                                                       : 0;
        all = all && EVER(value) == row->count[kind] && ROW(value) == in_row;
    }
    return same_today(check, of, id, row) && all;
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
