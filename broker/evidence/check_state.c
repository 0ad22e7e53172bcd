/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The states to which the leaves lead, and the days of cards, compared with those in the tables.
 */
#include <stdio.h>
#include <string.h>

#include "base/leaf.h"
#include "broker/evidence/check.h"

/* States by number; a key is "live" until it is retired. 0 is one that there is not. */
static const char *const names[] = {"no state", "issued",  "active", "suspended", "revoked",
                                    "pending", "removed", "live",   "retired",
                                    "expired", "returned", "destroyed",
                                    "registered", "deactivated", "disposed", "maintenance"};

/* The lowest byte of a value is the state. Of a card the rest is the leaf that it is from; of a key
 * its upper half is a part of a digest of the certificate. Of 'u' and 'b' a value is a time. */
enum { STATE = 0xFF, LEAF = 8, CERTIFICATE = 32 };

/* Beside the value: of a card its generation, and whether there is a code to suspend it; of a key a
 * part of a digest of the enrolment and the number. */
enum { GENERATION = 0xFF, CODE = 0x100 };

static uint64_t number_of(const char *state)
{
    for (uint64_t i = 1; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], state) == 0)
            return i;
    }
    return 0;
}

static void put(cb_check *check, char kind, const cb_id *id, uint64_t value)
{
    if (!check->error && !cb_id_is_zero(id))
        check->error = cb_id_map_set(&check->states, kind, id, value);
}

static void set(cb_check *check, char kind, const cb_id *id, const char *state)
{
    put(check, kind, id, number_of(state));
}

/* What leaves a card as it was does not count as its beginning. */
static void set_card(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    const cb_id_entry *entry = cb_id_map_find(&check->states, 'c', &leaf->card);
    uint64_t state = number_of(leaf->state);
    if (strcmp(leaf->kind, "card.revoked") == 0) {
        check->revoked.id = leaf->card;
        check->revoked.was = entry ? entry->value : 0;
    }
    if (!entry || (entry->value & STATE) != state)
        put(check, 'c', &leaf->card, state | position << LEAF);
}

const char *cb_check_revoked_was(const cb_check *check, uint64_t *since)
{
    *since = check->revoked.was >> LEAF;
    return names[check->revoked.was & STATE];
}

static uint32_t part_of(const cb_check *check, cb_bytes what, uint64_t number)
{
    uint32_t part;
    const cb_bytes parts[] = {CB_BYTES_OF(check->salt), what,
                              {(const uint8_t *)&number, sizeof number}};
    cb_digest digest = cb_sha256_parts(parts, sizeof parts / sizeof *parts);
    memcpy(&part, digest.bytes, sizeof part);
    return part;
}

static void set_key(cb_check *check, const cb_leaf_fields *leaf)
{
    set(check, 'k', &leaf->key, "live");
    cb_id_entry *entry = cb_id_map_find(&check->states, 'k', &leaf->key);
    if (entry)
        entry->more = part_of(check, cb_id_bytes(&leaf->enrolment), leaf->sequence);
}

static uint64_t certificate_of(const cb_check *check, const cb_digest *certificate)
{
    static const cb_digest none;
    bool known = memcmp(certificate, &none, sizeof none) != 0;
    return known ? (uint64_t)part_of(check, cb_digest_bytes(certificate), 0) << CERTIFICATE : 0;
}

static void set_certificate(cb_check *check, const cb_leaf_fields *leaf, cb_bytes data)
{
    cb_digest certificate;
    cb_id_entry *entry = cb_id_map_find(&check->states, 'k', &leaf->key);
    if (entry && cb_leaf_find_digest(data, "certificate_sha256", &certificate))
        entry->value = (entry->value & STATE) | certificate_of(check, &certificate);
}

static void retire_key(cb_check *check, const cb_leaf_fields *leaf)
{
    const cb_id_entry *entry = cb_id_map_find(&check->states, 'k', &leaf->key);
    uint64_t rest = entry ? entry->value & ~(uint64_t)STATE : 0;
    put(check, 'k', &leaf->key, number_of("retired") | rest);
}

/* Beside the state of a card. */
static void set_beside(cb_check *check, const cb_leaf_fields *leaf)
{
    cb_id_entry *entry = cb_id_map_find(&check->states, 'c', &leaf->card);
    if (!entry)
        return;
    if (strcmp(leaf->kind, "card.generation") == 0)
        entry->more = (entry->more & ~(uint32_t)GENERATION) | (uint8_t)leaf->generation;
    else if (strcmp(leaf->kind, "card.suspension_code") == 0)
        entry->more |= CODE;
}

/* The first time that a card's number did not follow. */
static void set_back(cb_check *check, const cb_leaf_fields *leaf, cb_bytes data)
{
    char text[CB_ID_TEXT];
    cb_id card;
    if (cb_leaf_find_text(data, "what", text, sizeof text) == CB_OK &&
        strcmp(text, "counter-back") == 0 &&
        cb_leaf_find_text(data, "of_card", text, sizeof text) == CB_OK &&
        cb_id_parse(text, &card) == CB_OK && !cb_id_map_find(&check->states, 'b', &card))
        put(check, 'b', &card, (uint64_t)leaf->time);
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
static void set_used(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    if (cb_id_map_find(&check->states, 'u', &leaf->card))
        cb_check_finding(check, position, "card.first_use",
                         "This card was used for the first time before.");
    put(check, 'u', &leaf->card, (uint64_t)leaf->time);
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
    const uint64_t before = entry ? entry->value & STATE : now;
    if (before != now &&
        !(before == number_of("expired") && now == number_of("suspended")))
        cb_check_finding(check, position, "card.state",
                         "This card was in another state when it was renewed.");
}

void cb_check_state(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data)
{
    const char *kind = leaf->kind;
    if (strcmp(kind, "card.renewed") == 0)
        check_renewal(check, position, leaf);
    if (begins(kind, "card.") && leaf->state[0])
        set_card(check, position, leaf);
    else if (begins(kind, "card."))
        set_beside(check, leaf);
    if (strcmp(kind, "card.added") == 0 || strcmp(kind, "card.renewed") == 0) {
        set_day(check, 'x', &leaf->card, leaf->expires);
        set_day(check, 'o', &leaf->card, leaf->own_expires);
    } else if (strcmp(kind, "card.recalled") == 0) {
        set_day(check, 'd', &leaf->card, leaf->due);
    }
    if (begins(kind, "terminal.") && leaf->state[0] && changes_state(kind))
        set(check, 't', &leaf->terminal, leaf->state);
    else if (begins(kind, "enrolment.") && leaf->state[0])
        set(check, 'e', &leaf->enrolment, leaf->state);
    if (strcmp(kind, "enrolment.added") == 0 || strcmp(kind, "enrolment.renewed") == 0)
        set_key(check, leaf);
    else if (strcmp(kind, "enrolment.certified") == 0)
        set_certificate(check, leaf, data);
    else if (strcmp(kind, "enrolment.key_retired") == 0)
        retire_key(check, leaf);
    else if (strcmp(kind, "card.first_use") == 0)
        set_used(check, position, leaf);
    else if (strcmp(kind, "stock.mismatch") == 0)
        set_back(check, leaf, data);
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
    case 'b':
        return "proof number that went back, of card";
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

static void check_card(cb_check *check, const cb_table_row *row, const cb_id_entry *entry)
{
    if (row->number[CB_TABLE_EXPIRES] != day_of(check, 'x', &row->id) ||
        row->number[CB_TABLE_OWN_EXPIRES] != day_of(check, 'o', &row->id))
        report(check, "table.content", row->kind, &row->id,
               "ends on another day in the table than in the log");
    if (row->number[CB_TABLE_DUE] != day_of(check, 'd', &row->id))
        report(check, "table.content", row->kind, &row->id,
               "is to be given back by another day in the table than in the log");
    if (row->number[CB_TABLE_GENERATION] != (entry->more & GENERATION))
        report(check, "table.content", row->kind, &row->id,
               "has another generation in the table than in the log");
    if ((row->number[CB_TABLE_CODE] != 0) != ((entry->more & CODE) != 0))
        report(check, row->number[CB_TABLE_CODE] ? "table.extra" : "table.missing", row->kind,
               &row->id,
               row->number[CB_TABLE_CODE] ? "has a suspension code in the table, but not in the log"
                                          : "has a suspension code in the log, but not in the table");
}

static void check_key(cb_check *check, const cb_table_row *row, const cb_id_entry *entry)
{
    uint64_t certificate = entry->value >> CERTIFICATE << CERTIFICATE;
    if (entry->more != part_of(check, cb_id_bytes(&row->of), row->number[CB_TABLE_SEQUENCE]))
        report(check, "table.content", row->kind, &row->id,
               "has another enrolment or number in the table than in the log");
    if (certificate != certificate_of(check, &row->certificate))
        report(check, "table.content", row->kind, &row->id,
               "has another certificate in the table than in the log");
}

static void check_known(cb_check *check, const cb_table_row *row, const cb_id_entry *entry)
{
    char problem[80];
    if (row->kind == 'u' || row->kind == 'b') {
        if (entry->value != row->number[CB_TABLE_TIME])
            report(check, "table.content", row->kind, &row->id,
                   "was at another time in the table than in the log");
        return;
    }
    if ((entry->value & STATE) == 0 || (entry->value & STATE) != number_of(row->state)) {
        snprintf(problem, sizeof problem, "is %.20s in the table, but %s in the log", row->state,
                 names[entry->value & STATE]);
        report(check, "table.state", row->kind, &row->id, problem);
    }
    if (row->kind == 'c')
        check_card(check, row, entry);
    else if (row->kind == 'k')
        check_key(check, row, entry);
}

static cb_error check_row(void *context, const cb_table_row *row)
{
    cb_check *check = context;
    cb_id_entry *entry = cb_id_map_find(&check->states, row->kind, &row->id);
    if (!entry) {
        report(check, "table.extra", row->kind, &row->id, "is in the table, but not in the log");
        return CB_OK;
    }
    entry->marked = true;
    check_known(check, row, entry);
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
