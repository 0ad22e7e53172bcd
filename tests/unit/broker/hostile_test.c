/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Somebody else writes the database: its schema, its pages, values that no column of ours holds.
 * Whatever is in the file, it is refused or not believed, and nothing is run.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/broker/support.h"

static const char *const schemas[] = {
    "CREATE TRIGGER quick AFTER INSERT ON intent BEGIN UPDATE card SET state = 'active'; END",
    "CREATE TRIGGER late AFTER UPDATE ON tree_frontier BEGIN DELETE FROM session; END",
    "CREATE VIEW cards AS SELECT * FROM card",
    "ALTER TABLE card RENAME TO cards; CREATE VIEW card AS SELECT * FROM cards",
    "CREATE TABLE more (x)",
    "ALTER TABLE card ADD COLUMN more TEXT",
    "DROP INDEX card_of_holder",
    "DROP INDEX enrolment_live; CREATE INDEX enrolment_live ON enrolment (holder, service)",
    "DROP TRIGGER evidence_leaf_kept",
    "ANALYZE",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (level "
    "BETWEEN 1 AND 255)', '') "
    "WHERE name = 'service'",
};
enum { SCHEMAS = sizeof schemas / sizeof *schemas };

static void a_schema_that_is_not_ours_is_refused_at_the_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCHEMAS; i++) {
        world w;
        cb_evidence_file *file = NULL;
        world_begin(&w);
        world_close(&w);
        meddle(&w, schemas[i]);
        print_message("%s\n", schemas[i]);
        assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_STORE_VERSION);
        assert_int_equal(cb_evidence_file_open(w.path, &file), CB_E_STORE_VERSION);
        world_end(&w);
    }
}

/* The last one changes text that SQLite does not read again: it has no effect, and counts as none
 * until the next start. */
static void a_schema_that_changes_while_the_broker_runs_stops_it(void **state)
{
    cb_holder holder;
    (void)state;
    for (size_t i = 0; i + 1 < SCHEMAS; i++) {
        world w;
        world_begin(&w);
        meddle(&w, schemas[i]);
        print_message("%s\n", schemas[i]);
        assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_EVIDENCE);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_EVIDENCE);
        world_end(&w);
    }
}

static void a_log_or_feed_with_another_end_stops_a_running_broker(void **state)
{
    static const char *const edits[] = {
        ("DROP TRIGGER evidence_leaf_kept; PRAGMA foreign_keys = OFF;"
         "DELETE FROM evidence_leaf WHERE position = (SELECT max(position) FROM evidence_leaf)"),
        "INSERT INTO evidence_leaf SELECT max(position) + 1, data, hash FROM evidence_leaf",
        "INSERT INTO evidence_leaf SELECT max(position) + 5, data, hash FROM evidence_leaf",
        "INSERT INTO feed VALUES (1, 3, randomblob(16), 1, randomblob(32), 0)",
    };
    cb_holder holder;
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        world w;
        world_begin(&w);
        meddle(&w, edits[i]);
        print_message("%s\n", edits[i]);
        assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_EVIDENCE);
        assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL),
                         CB_E_EVIDENCE);
        world_end(&w);
    }
}

static void what_others_only_read_stops_nobody(void **state)
{
    world w;
    cb_holder holder;
    (void)state;
    world_begin(&w);
    meddle(&w,
           "SELECT count(*) FROM card; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA integrity_check");
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

/* ---- Values ---- */

#define HUGE "CAST(replace(hex(zeroblob(400000)), '00', 'x') AS TEXT)"
#define LONG "CAST(replace(hex(zeroblob(20000)), '00', 'x') AS TEXT)"

static cb_error read_holder(world *w)
{
    cb_holder holder;
    return cb_holder_get(w->store, &w->holder.id, &holder);
}

static cb_error read_card(world *w)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error = cb_card_get(w->store, &w->card, &card);
    cb_card_free(&card);
    return error;
}

static cb_error read_service(world *w)
{
    cb_service service;
    cb_service_init(&service);
    cb_error error = cb_service_get(w->store, "tax", &service);
    cb_service_free(&service);
    return error;
}

static cb_error read_terminal(world *w)
{
    cb_terminal terminal;
    return cb_terminal_get(w->store, &w->terminal.id, &terminal);
}

static cb_error read_enrolment(world *w)
{
    cb_enrolment enrolment;
    cb_enrolment_init(&enrolment);
    cb_error error = cb_enrolment_get(w->store, &w->enrolment.id, &enrolment);
    cb_enrolment_free(&enrolment);
    return error;
}

static const struct {
    const char *table;
    cb_error (*read)(world *w);
    const char *columns[8];
} rows[] = {
    {"holder", read_holder, {"name"}},
    {"card", read_card, {"binding"}},
    {"service", read_service, {"title", "connector", "config"}},
    {"terminal", read_terminal, {"name", "key"}},
    {"enrolment", read_enrolment, {"data"}},
    {"enrolment_key", read_enrolment, {"sealed", "public_key", "certificate", "chain"}},
};

static void refuse_value(size_t row, const char *column, const char *value)
{
    world w;
    char sql[512];
    world_begin(&w);
    assert_int_equal(rows[row].read(&w), CB_OK);
    world_close(&w);
    bool blob = strcmp(rows[row].table, "enrolment_key") == 0 || strcmp(column, "binding") == 0 ||
                strcmp(column, "key") == 0;
    snprintf(sql, sizeof sql, "UPDATE %s SET %s = CAST(%s AS %s)", rows[row].table, column, value,
             blob ? "BLOB" : "TEXT");
    print_message("%s.%s\n", rows[row].table, column);
    tamper(&w, sql);
    world_open(&w);
    cb_error error = rows[row].read(&w);
    if (error != CB_E_STORE && error != CB_E_TOO_LARGE)
        fail_msg("%s: %s", sql, cb_error_code(error));
    if (rows[row].read != read_holder) /* a login needs no name */
        assert_int_not_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

static void values_larger_than_any_of_ours_are_not_read(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        for (size_t i = 0; rows[row].columns[i]; i++)
            refuse_value(row, rows[row].columns[i], HUGE);
    }
}

static const struct {
    size_t row;
    const char *sql;
} odd[] = {
    {0, "UPDATE holder SET name = " LONG},
    {0, "UPDATE holder SET name = 'Hanako' || char(0) || 'x'"},
    {1, "UPDATE card SET level = 258"},
    {1, "UPDATE card SET profile = -1"},
    {1, "UPDATE card SET holder = x'00'"},
    {1, "UPDATE card SET binding = CAST(" LONG " AS BLOB)"},
    {2, "UPDATE service SET title = 'Tax' || char(0)"},
    {2, "UPDATE service SET level = 257"},
    {2, "UPDATE service SET kind = 260"},
    {2, "UPDATE service SET config = " LONG},
    {3, "UPDATE terminal SET key = x'0102'"},
    {4, "UPDATE enrolment SET data = " LONG},
    {4, "UPDATE enrolment_key SET sealed = CAST(" LONG " AS BLOB)"},
    {4, "UPDATE enrolment_key SET algorithm = 257"},
};

static void values_of_a_wrong_size_or_range_are_not_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        world w;
        world_begin(&w);
        world_close(&w);
        tamper(&w, odd[i].sql);
        world_open(&w);
        print_message("%s\n", odd[i].sql);
        cb_error error = rows[odd[i].row].read(&w);
        if (error != CB_E_STORE && error != CB_E_TOO_LARGE)
            fail_msg("%s: %s", odd[i].sql, cb_error_code(error));
        world_end(&w);
    }
}

/* Evidence is shown as it is found, so that its check can name it. */
static void evidence_of_a_wrong_size_is_named(void **state)
{
    static const struct {
        const char *sql, *what;
    } edits[] = {
        {"UPDATE evidence_leaf SET data = CAST(" LONG " AS BLOB) WHERE position = 3",
         "leaf.format"},
        {"UPDATE evidence_leaf SET hash = x'01' WHERE position = 3", "leaf.hash"},
        {"UPDATE evidence_leaf SET data = x'' WHERE position = 3", "leaf.format"},
        {"UPDATE evidence_leaf SET data = CAST(data || x'00' AS BLOB) WHERE position = 3",
         "leaf.format"},
        {"UPDATE tree_head SET root = x'' WHERE size = 4", "head.root"},
        {"UPDATE tree_head SET signature = zeroblob(2000) WHERE size = 4", "head.signature"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        world w;
        world_begin(&w);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        tamper(&w, "INSERT INTO tree_head SELECT 4, root, time, signature FROM tree_head LIMIT 1 "
                   "ON CONFLICT DO NOTHING");
        tamper(&w, edits[i].sql);
        print_message("%s\n", edits[i].sql);
        assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
        assert_true(findings_of(edits[i].what) > 0);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_schema_that_is_not_ours_is_refused_at_the_start),
        cmocka_unit_test(a_schema_that_changes_while_the_broker_runs_stops_it),
        cmocka_unit_test(a_log_or_feed_with_another_end_stops_a_running_broker),
        cmocka_unit_test(what_others_only_read_stops_nobody),
        cmocka_unit_test(values_larger_than_any_of_ours_are_not_read),
        cmocka_unit_test(values_of_a_wrong_size_or_range_are_not_read),
        cmocka_unit_test(evidence_of_a_wrong_size_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
