/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Terminals' logs at the broker: what is taken, once, and what is a finding.
 */
#include <sqlite3.h>

#include "tests/unit/broker/terminal_log_stage.h"

/* The record is sound, and says that the table is not. */
static void end_altered(stage *s)
{
    cb_buf_free(&s->entries);
    world_close(&s->w);
    assert_int_equal(verify_file(&s->w, NULL), CB_E_EVIDENCE);
    assert_true(findings_of("table.content") > 0);
    assert_int_equal(findings_of(NULL), findings_of("table.content"));
    world_end(&s->w);
}

static void end(stage *s)
{
    cb_buf_free(&s->entries);
    world_close(&s->w);
    assert_int_equal(verify_file(&s->w, NULL), CB_OK);
    world_end(&s->w);
}

static void refused(stage *s, cb_error error)
{
    cb_journal_head now;
    cb_journal_row before, after;
    assert_int_equal(cb_terminal_log_get(s->w.store, &s->terminal.id, &before), CB_OK);
    assert_int_equal(bring(s, &now), error);
    assert_int_equal(cb_terminal_log_get(s->w.store, &s->terminal.id, &after), CB_OK);
    assert_true(cb_journal_same(&before.head, &after.head));
    assert_string_equal(after.finding, cb_error_code(error));
    assert_true(after.found > 0);
}

static cb_error count(void *context, const cb_journal_batch *batch)
{
    (void)batch;
    ++*(int *)context;
    return CB_OK;
}

static int batches(stage *s)
{
    int number = 0;
    assert_int_equal(cb_terminal_log_each(s->w.store, &s->terminal.id, 0, 0, 100, count, &number),
                     CB_OK);
    return number;
}

static uint64_t leaves(stage *s)
{
    cb_store_state now;
    assert_int_equal(cb_store_status(s->w.store, &now), CB_OK);
    return now.leaves;
}

static void a_log_is_taken_once_whatever_was_lost(void **state)
{
    stage s;
    (void)state;
    begin(&s);
    make(&s, 3);
    taken(&s);
    taken(&s); /* the answer was lost */
    assert_int_equal(batches(&s), 1);
    cb_journal_head three = s.head;
    make(&s, 2);
    taken(&s);
    assert_int_equal(batches(&s), 2);
    /* From before what the broker has, with more behind it: all of it is known but the end. */
    s.head = three;
    make(&s, 5);
    taken(&s);
    assert_int_equal(batches(&s), 3);
    assert_int_equal(s.head.number, 8);
    world_close(&s.w);
    world_open(&s.w);
    make(&s, 100);
    taken(&s);
    end(&s);
}

/* The agent and "cardlink erase" bring it at the same time: what comes last ends earlier. */
static void a_batch_that_ends_amid_another_is_known(void **state)
{
    stage s;
    (void)state;
    begin(&s);
    make(&s, 2);
    taken(&s);
    cb_journal_head two = s.head;
    make(&s, 9);
    taken(&s);
    for (int many = 1; many < 9; many++) {
        cb_journal_head now;
        s.head = two;
        make(&s, many);
        assert_int_equal(bring(&s, &now), CB_OK);
        assert_int_equal(now.number, 11);
        /* And on from there, as by who was told so. */
        make(&s, 1);
        assert_int_equal(bring(&s, &now), CB_OK);
    }
    assert_int_equal(batches(&s), 2);
    s.head = two;
    make(&s, 3);
    s.entries.data[7] ^= 1; /* the time of the first */
    s.head = two;
    assert_int_equal(cb_journal_follow(s.batch.entries, &s.head), CB_OK);
    sign(&s);
    refused(&s, CB_E_LOG_FORK);
    end(&s);
}

static void a_key_that_was_renewed_meanwhile_is_no_finding(void **state)
{
    stage s;
    cb_journal_head now;
    cb_journal_row row;
    (void)state;
    begin(&s);
    cb_digest old = s.shown;
    assert_int_equal(cb_p256_generate(s.scalar, s.point), CB_OK);
    make(&s, 1);
    /* The connection shows what signed, and is not the terminal's any more. */
    s.shown = key_of(s.point);
    assert_int_equal(bring(&s, &now), CB_E_TERMINAL_UNKNOWN);
    assert_int_equal(cb_terminal_log_get(s.w.store, &s.terminal.id, &row), CB_OK);
    assert_string_equal(row.finding, "");
    s.shown = old;
    refused(&s, CB_E_LOG_SIGNATURE);
    end(&s);
}

static void a_gap_is_a_finding_and_said_once(void **state)
{
    stage s;
    (void)state;
    begin(&s);
    make(&s, 3);
    taken(&s);
    make(&s, 1);
    cb_journal_batch lost = s.batch;
    (void)lost;
    make(&s, 1);
    uint64_t before = leaves(&s);
    refused(&s, CB_E_LOG_GAP);
    uint64_t after = leaves(&s);
    assert_true(after > before);
    refused(&s, CB_E_LOG_GAP);
    assert_int_equal(leaves(&s), after);
    assert_int_equal(batches(&s), 1);
    end(&s);
}

/* From the beginning. */
static void tell_otherwise(stage *s, int many)
{
    s->head = (cb_journal_head){0};
    make(s, many);
    s->entries.data[0] ^= 1;
    s->head = s->batch.before;
    assert_int_equal(cb_journal_follow(s->batch.entries, &s->head), CB_OK);
    sign(s);
}

static void a_fork_is_a_finding(void **state)
{
    stage s;
    (void)state;
    begin(&s);
    make(&s, 3);
    taken(&s);
    cb_journal_head good = s.head;
    for (int many = 2; many <= 5; many += 3) { /* the beginning, told in another way */
        tell_otherwise(&s, many);
        refused(&s, CB_E_LOG_FORK);
    }
    s.head = good;
    s.head.hash.bytes[3] ^= 1;
    make(&s, 1);
    refused(&s, CB_E_LOG_FORK);
    s.head = good;
    make(&s, 1);
    taken(&s);
    end(&s);
}

static void only_the_terminals_own_key_signs(void **state)
{
    stage s;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    (void)state;
    begin(&s);
    make(&s, 2);
    s.signature[5] ^= 1;
    refused(&s, CB_E_LOG_SIGNATURE);
    s.signature[5] ^= 1;
    s.entries.data[7] ^= 1; /* the time of the first */
    refused(&s, CB_E_LOG_SIGNATURE);
    s.entries.data[7] ^= 1;
    memcpy(scalar, s.scalar, sizeof scalar);
    memcpy(point, s.point, sizeof point);
    assert_int_equal(cb_p256_generate(s.scalar, s.point), CB_OK);
    sign(&s);
    refused(&s, CB_E_LOG_SIGNATURE);
    s.point[0] = 5;
    refused(&s, CB_E_LOG_SIGNATURE);
    memcpy(s.scalar, scalar, sizeof scalar);
    memcpy(s.point, point, sizeof point);
    sign(&s);
    taken(&s);
    end(&s);
}

static void what_is_no_entry_is_refused_without_a_finding(void **state)
{
    stage s;
    cb_journal_head now;
    cb_journal_row row;
    (void)state;
    begin(&s);
    make(&s, 2);
    cb_bytes whole = s.batch.entries;
    for (size_t len = 0; len < whole.len; len++) {
        s.batch.entries.len = len;
        if (len != whole.len / 2)
            assert_int_equal(bring(&s, &now), CB_E_FORMAT);
    }
    s.batch.entries = whole;
    s.batch.before.number = UINT64_MAX;
    assert_int_equal(bring(&s, &now), CB_E_FORMAT);
    assert_int_equal(cb_terminal_log_get(s.w.store, &s.terminal.id, &row), CB_OK);
    assert_string_equal(row.finding, "");
    end(&s);
}

static void a_terminal_that_is_over_brings_nothing(void **state)
{
    stage s;
    cb_journal_head now;
    (void)state;
    begin(&s);
    make(&s, 2);
    assert_int_equal(cb_terminal_revoke(s.w.store, "test", &s.terminal.id, NULL, NULL), CB_OK);
    assert_int_equal(bring(&s, &now), CB_E_TERMINAL_REVOKED);
    assert_int_equal(batches(&s), 0);
    end(&s);
}

static void an_administrator_lets_it_go_on_once(void **state)
{
    stage s;
    cb_journal_row row;
    (void)state;
    begin(&s);
    make(&s, 3);
    taken(&s);
    assert_int_equal(cb_terminal_log_resume(s.w.store, "admin", &s.terminal.id, "restored"), CB_OK);
    make(&s, 4);
    make(&s, 1);
    taken(&s);
    assert_int_equal(cb_terminal_log_get(s.w.store, &s.terminal.id, &row), CB_OK);
    assert_int_equal(row.part, 2);
    assert_false(row.resume);
    s.head = (cb_journal_head){0};
    make(&s, 2);
    refused(&s, CB_E_LOG_FORK);
    cb_id nobody = cb_id_new();
    assert_int_equal(cb_terminal_log_resume(s.w.store, "admin", &nobody, NULL), CB_E_NOT_FOUND);
    end(&s);
}

static void what_was_let_go_on_is_over_when_it_fits(void **state)
{
    stage s;
    cb_journal_row row;
    (void)state;
    begin(&s);
    make(&s, 3);
    taken(&s);
    assert_int_equal(cb_terminal_log_resume(s.w.store, "admin", &s.terminal.id, NULL), CB_OK);
    assert_int_equal(cb_terminal_log_get(s.w.store, &s.terminal.id, &row), CB_OK);
    assert_true(row.resume);
    make(&s, 1);
    taken(&s);
    assert_int_equal(cb_terminal_log_get(s.w.store, &s.terminal.id, &row), CB_OK);
    assert_false(row.resume);
    tell_otherwise(&s, 2); /* months later */
    refused(&s, CB_E_LOG_FORK);
    end(&s);
}

/* Nobody but an administrator lets it go on, and what he said counts under a signed head. */
static void writing_the_database_lets_no_log_go_on(void **state)
{
    (void)state;
    for (int crash = 0; crash < 2; crash++) {
        stage s;
        begin(&s);
        make(&s, 3);
        taken(&s);
        if (crash) {
            set_signer(&s.w.signer->fail, CB_E_HSM_DOWN);
            assert_int_equal(cb_terminal_log_resume(s.w.store, "admin", &s.terminal.id, NULL),
                             CB_E_UNSIGNED);
        }
        world_close(&s.w);
        set_signer(&s.w.signer->fail, CB_OK);
        if (!crash)
            tamper(&s.w, "UPDATE terminal_log SET resume = 1");
        world_open(&s.w);
        tell_otherwise(&s, 2);
        refused(&s, CB_E_LOG_FORK);
        cb_buf_free(&s.entries);
        world_close(&s.w);
        assert_int_equal(verify_file(&s.w, NULL), crash ? CB_OK : CB_E_EVIDENCE);
        assert_int_equal(findings_of("terminal_log.head"), crash ? 0 : 1);
        world_end(&s.w);
    }
}

/* Who writes the database and has no terminal's key says nothing in its name. */
static void a_key_that_was_written_by_hand_signs_nothing(void **state)
{
    stage s;
    cb_journal_head now;
    cb_buf sql = CB_BUF(1024);
    (void)state;
    begin(&s);
    make(&s, 1);
    taken(&s);
    world_close(&s.w);
    assert_int_equal(cb_p256_generate(s.scalar, s.point), CB_OK);
    s.shown = key_of(s.point);
    cb_buf_put_str(&sql, "UPDATE terminal SET key = x'");
    for (size_t i = 0; i < sizeof s.shown.bytes; i++)
        cb_buf_printf(&sql, "%02x", s.shown.bytes[i]);
    cb_buf_put_str(&sql, "' WHERE name = 'logging'");
    tamper(&s.w, cb_buf_cstr(&sql));
    world_open(&s.w);
    make(&s, 2);
    uint64_t before = leaves(&s);
    assert_int_equal(bring(&s, &now), CB_E_HSM_RECORD);
    assert_int_equal(cb_terminal_log_resume(s.w.store, "admin", &s.terminal.id, NULL),
                     CB_E_HSM_RECORD);
    assert_int_equal(leaves(&s), before);
    assert_int_equal(batches(&s), 1);
    cb_buf_free(&sql);
    end_altered(&s);
}

static void what_is_stored_stays(void **state)
{
    stage s;
    (void)state;
    begin(&s);
    make(&s, 3);
    taken(&s);
    world_close(&s.w);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(s.w.path, &db), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "DELETE FROM terminal_log_batch", NULL, NULL, NULL),
                         SQLITE_OK);
    assert_int_not_equal(
        sqlite3_exec(db, "UPDATE terminal_log_batch SET received = 1", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    world_open(&s.w);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_is_taken_once_whatever_was_lost),
        cmocka_unit_test(a_batch_that_ends_amid_another_is_known),
        cmocka_unit_test(a_key_that_was_renewed_meanwhile_is_no_finding),
        cmocka_unit_test(a_gap_is_a_finding_and_said_once),
        cmocka_unit_test(a_fork_is_a_finding),
        cmocka_unit_test(only_the_terminals_own_key_signs),
        cmocka_unit_test(what_is_no_entry_is_refused_without_a_finding),
        cmocka_unit_test(a_terminal_that_is_over_brings_nothing),
        cmocka_unit_test(an_administrator_lets_it_go_on_once),
        cmocka_unit_test(what_was_let_go_on_is_over_when_it_fits),
        cmocka_unit_test(writing_the_database_lets_no_log_go_on),
        cmocka_unit_test(a_key_that_was_written_by_hand_signs_nothing),
        cmocka_unit_test(what_is_stored_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
