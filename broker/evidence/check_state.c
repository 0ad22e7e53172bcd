/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The states to which the leaves lead, and the days of cards, compared with those in the tables.
 */
#include <stdio.h>

#include "broker/evidence/check.h"

/* States by number; a key is "live" until it is retired. 0 is one that there is not. */
static const char *const names[] = {"no state", "issued",  "active", "suspended", "revoked",
                                    "pending", "removed", "live",   "retired",
                                    "expired", "returned", "destroyed",
                                    "registered", "deactivated", "disposed", "maintenance", "used"};

static uint64_t number_of(const char *state)
{
    for (uint64_t i = 1; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], state) == 0)
            return i;
    }
    return 0;
}

static void set(cb_check *check, char kind, const cb_id *id, const char *state)
{
    if (!check->error && !cb_id_is_zero(id))
        check->error = cb_id_map_set(&check->states, kind, id, number_of(state));
}

static void set_day(cb_check *check, char kind, const cb_id *card, uint64_t day)
{
    cb_id_entry *entry = cb_id_map_find(&check->days, kind, card);
    if (entry)
        entry->value = day;
    else if (day > 0 && !check->error)
        check->error = cb_id_map_set(&check->days, kind, card, day);
}

static uint64_t day_of(const cb_check *check, char kind, const cb_id *card)
{
    const cb_id_entry *entry = cb_id_map_find(&check->days, kind, card);
    return entry ? entry->value : 0;
}

/* A card is used for the first time once. */
static void set_used(cb_check *check, uint64_t position, const cb_id *card)
{
    if (cb_id_map_find(&check->states, 'u', card))
        cb_check_finding(check, position, "card.first_use",
                         "This card was used for the first time before.");
    set(check, 'u', card, "used");
}

static bool begins(const char *kind, const char *prefix)
{
    return strncmp(kind, prefix, strlen(prefix)) == 0;
}

/* Leaves that say again what a terminal is while it is in use, or out of it for a while: they change
 * no state. */
static bool changes_state(const char *kind)
{
    static const char *const others[] = {"terminal.certified", "terminal.renewed",
                                         "terminal.described", "terminal.confirmed"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(kind, others[i]) == 0)
            return false;
    }
    return true;
}

/* A renewal says the state of the card, which it takes from the row. */
static void check_renewal(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    const cb_id_entry *entry = cb_id_map_find(&check->states, 'c', &leaf->card);
    const uint64_t now = number_of(leaf->state);
    if (entry && entry->value != now &&
        !(entry->value == number_of("expired") && now == number_of("suspended")))
        cb_check_finding(check, position, "card.state",
                         "This card was in another state when it was renewed.");
}

void cb_check_state(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    const char *kind = leaf->kind;
    if (strcmp(kind, "card.renewed") == 0)
        check_renewal(check, position, leaf);
    if (begins(kind, "card.") && leaf->state[0])
        set(check, 'c', &leaf->card, leaf->state);
    if (strcmp(kind, "card.added") == 0 || strcmp(kind, "card.renewed") == 0) {
        set_day(check, 'x', &leaf->card, leaf->expires);
        set_day(check, 'o', &leaf->card, leaf->own_expires);
    }
    if (begins(kind, "terminal.") && leaf->state[0] && changes_state(kind))
        set(check, 't', &leaf->terminal, leaf->state);
    else if (begins(kind, "enrolment.") && leaf->state[0])
        set(check, 'e', &leaf->enrolment, leaf->state);
    if (strcmp(kind, "enrolment.added") == 0 || strcmp(kind, "enrolment.renewed") == 0)
        set(check, 'k', &leaf->key, "live");
    else if (strcmp(kind, "enrolment.key_retired") == 0)
        set(check, 'k', &leaf->key, "retired");
    else if (strcmp(kind, "card.first_use") == 0)
        set_used(check, position, &leaf->card);
}

static const char *thing(char kind)
{
    switch (kind) {
    case 'c':
        return "card";
    case 't':
        return "terminal";
    case 'e':
        return "enrolment";
    case 'u':
        return "first use of card";
    default:
        return "key";
    }
}

static void report(cb_check *check, const char *what, char kind, const cb_id *id,
                   const char *problem)
{
    char detail[160], text[CB_ID_TEXT];
    cb_id_text(id, text);
    snprintf(detail, sizeof detail, "%s %s %s.", thing(kind), text, problem);
    cb_check_finding(check, UINT64_MAX, what, detail);
}

static cb_error check_row(void *context, const cb_table_row *row)
{
    cb_check *check = context;
    char problem[80];
    cb_id_entry *entry = cb_id_map_find(&check->states, row->kind, &row->id);
    if (!entry) {
        report(check, "table.extra", row->kind, &row->id, "is in the table, but not in the log");
        return CB_OK;
    }
    entry->marked = true;
    if (entry->value == 0 || entry->value != number_of(row->state)) {
        snprintf(problem, sizeof problem, "is %.20s in the table, but %s in the log", row->state,
                 names[entry->value]);
        report(check, "table.state", row->kind, &row->id, problem);
    }
    if (row->kind == 'c' && (row->expires != day_of(check, 'x', &row->id) ||
                             row->own_expires != day_of(check, 'o', &row->id)))
        report(check, "table.content", row->kind, &row->id,
               "ends on another day in the table than in the log");
    return CB_OK;
}

void cb_check_states_end(cb_check *check)
{
    const cb_evidence_source *source = check->source;
    if (!source->rows || check->error)
        return;
    check->error = source->rows(source->context, check_row, check);
    for (size_t i = 0; !check->error && i < check->states.room; i++) {
        const cb_id_entry *entry = &check->states.place[i];
        if (entry->kind && !entry->marked)
            report(check, "table.missing", entry->kind, &entry->id,
                   "is in the log, but not in the table");
    }
}
