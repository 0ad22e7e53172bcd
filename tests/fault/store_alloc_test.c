/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation that the store makes fails in turn: SQLite's, the threads' and its own.
 */
#include "tests/fault/store_flows.h"

#include "base/leaf.h"
#include "broker/core/said.h"
#include "broker/evidence/vouch.h"
#include "broker/store/sql.h"
#include "tests/support/alloc_faults.h"

static void each_flow_survives_each_failure(void **state)
{
    store_flows s;
    (void)state;
    store_flows_make(&s);
    for (unsigned i = 0; i < store_flow_count; i++)
        fault_each(&alloc_faults, &store_flow[i], &s, 10);
    store_flows_end(&s);
}

/* Who reads the record passes over what says nothing; what takes a right away must not look so. */
static void a_word_is_heard_without_memory(void **state)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_id card = cb_id_new();
    cb_vouch word;
    (void)state;
    cb_leaf_begin(&leaf, "card.revoked", 1);
    cb_leaf_id(&leaf, "card", &card);
    assert_int_equal(cb_buf_error(&leaf), CB_OK);
    alloc_faults.arm(1, true);
    bool heard = cb_vouch_read(cb_buf_bytes(&leaf), &word);
    alloc_faults.disarm();
    assert_true(heard);
    assert_int_equal(word.kind, 'i');
    assert_memory_equal(&word.id, &card, sizeof card);
    cb_buf_free(&leaf);
}

static cb_error look_without_memory(cb_txn *txn, void *context)
{
    cb_service service;
    cb_error *said = context;
    cb_service_init(&service);
    cb_error error = cb_row_service_get(txn, "tax", &service);
    if (!error)
        *said = cb_said_of_service(txn, &service);
    alloc_faults.arm(1, true);
    if (!error)
        *(said + 1) = cb_said_of_service(txn, &service);
    alloc_faults.disarm();
    cb_service_free(&service);
    return error;
}

/* Nobody is accused of having changed a row because there was no memory to look at it. */
static void a_row_is_not_called_altered_without_memory(void **state)
{
    world w;
    cb_error said[2] = {CB_E_STORE, CB_E_STORE};
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_store_read(w.store, look_without_memory, said), CB_OK);
    assert_int_equal(said[0], CB_OK);
    assert_int_equal(said[1], CB_E_MEMORY);
    world_end(&w);
}

/* Nor is the file called damaged: the store would take nothing more before it was looked through. */
static void a_column_is_not_called_damaged_without_memory(void **state)
{
    char text[16];
    cb_sql *sql = NULL;
    (void)state;
    assert_int_equal(cb_sql_open(":memory:", CB_SQL_READ, 0, &sql), CB_OK);
    assert_int_equal(sqlite3_db_config(sql->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0), SQLITE_OK);
    cb_query q = cb_query_begin(sql, "SELECT 12345");
    assert_true(cb_query_next(&q));
    alloc_faults.arm(1, true);
    cb_column_text(&q, 0, text, sizeof text);
    assert_true(alloc_faults.disarm() > 0);
    assert_int_equal(cb_query_end(&q), CB_E_MEMORY);
    cb_sql_close(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_flow_survives_each_failure, fault_said),
        cmocka_unit_test(a_word_is_heard_without_memory),
        cmocka_unit_test(a_row_is_not_called_altered_without_memory),
        cmocka_unit_test(a_column_is_not_called_damaged_without_memory),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
