/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Somebody who writes the database changes what terminals have logged of themselves: audit verify
 * finds it.
 */
#include "base/leaf.h"
#include "tests/unit/broker/terminal_log_stage.h"

/* Three batches of one part, one of another, and one of another terminal's. */
static void live_a_little(stage *s)
{
    stage other;
    begin(s);
    for (int i = 0; i < 3; i++) {
        make(s, 2);
        taken(s);
    }
    assert_int_equal(cb_terminal_log_resume(s->w.store, "admin", &s->terminal.id, NULL), CB_OK);
    make(s, 1);
    make(s, 2);
    taken(s);
    other = *s;
    other.entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    other.head = (cb_journal_head){0};
    assert_int_equal(cb_p256_generate(other.scalar, other.point), CB_OK);
    other.shown = key_of(other.point);
    cb_terminal_new new = {.name = "logging too", .key = other.shown};
    assert_int_equal(cb_terminal_add(s->w.store, "test", &new, &other.terminal), CB_OK);
    make(&other, 2);
    taken(&other);
    cb_buf_free(&other.entries);
    world_close(&s->w);
}

static void end_tampered(stage *s)
{
    cb_buf_free(&s->entries);
    world_end(&s->w);
}

static void each_edit_of_what_is_kept_is_found(void **state)
{
    static const struct {
        const char *sql, *what;
    } edits[] = {
        {"UPDATE terminal_log_batch SET entries = CAST(substr(entries, 1, length(entries) - 1) || "
         "x'41' "
         "AS BLOB) WHERE last = 4",
         "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET entries = substr(entries, 1, length(entries) / 2) "
         "WHERE last = 4",
         "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET entries = x'' WHERE last = 2", "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET entries = CAST(entries || entries AS BLOB) WHERE last = 4",
         "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET signature = zeroblob(64) WHERE last = 4",
         "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET signature = x'' WHERE last = 4", "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET key = zeroblob(65) WHERE last = 4", "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET previous = zeroblob(32) WHERE last = 4",
         "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET hash = zeroblob(31) WHERE last = 4", "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET after = after - 1 WHERE last = 6", "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET received = received + 1 WHERE last = 4",
         "terminal_log.record"},
        {"UPDATE terminal_log_batch SET part = 3 WHERE part = 2", "terminal_log.record"},
        {"DELETE FROM terminal_log_batch WHERE part = 2", "terminal_log.record"},
        {"DELETE FROM terminal_log_batch WHERE last = 2", "terminal_log.record"},
        {"DELETE FROM terminal_log_batch WHERE last = 4", "terminal_log.batch"},
        {"DELETE FROM terminal_log_batch; DELETE FROM terminal_log", "terminal_log.record"},
        {"UPDATE terminal_log_batch SET last = 99 WHERE part = 1 AND last = 4;"
         "UPDATE terminal_log_batch SET last = 4 WHERE part = 1 AND last = 6;"
         "UPDATE terminal_log_batch SET last = 6 WHERE last = 99",
         "terminal_log.batch"},
        {"UPDATE terminal_log_batch SET terminal = (SELECT id FROM terminal WHERE name = "
         "'counter 1') WHERE part = 2",
         "terminal_log.record"},
        {"INSERT INTO terminal_log_batch SELECT (SELECT id FROM terminal WHERE name = 'counter "
         "1'), "
         "part, last, after, previous, hash, key, signature, received, entries "
         "FROM terminal_log_batch WHERE last = 2 LIMIT 1",
         "terminal_log.record"},
        {"UPDATE terminal_log SET number = number - 2", "terminal_log.head"},
        {"UPDATE terminal_log SET hash = zeroblob(32)", "terminal_log.head"},
        {"UPDATE terminal_log SET part = 1", "terminal_log.head"},
        {"DELETE FROM terminal_log", "terminal_log.head"},
        {"UPDATE terminal_log SET resume = 1", "terminal_log.head"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        stage s;
        live_a_little(&s);
        if (i == 0)
            assert_int_equal(verify_file(&s.w, NULL), CB_OK);
        tamper(&s.w, edits[i].sql);
        if (verify_file(&s.w, NULL) != CB_E_EVIDENCE || findings_of(edits[i].what) == 0)
            fail_msg("not found as %s: %s", edits[i].what, edits[i].sql);
        end_tampered(&s);
    }
}

static void put_blob(cb_buf *sql, const char *column, cb_bytes value)
{
    cb_buf_printf(sql, ", %s = x'", column);
    for (size_t i = 0; i < value.len; i++)
        cb_buf_printf(sql, "%02x", value.data[i]);
    cb_buf_put_str(sql, "'");
}

/* Whole by itself, chained, and signed by a key that fits: but not what the terminal brought. */
static void a_batch_that_was_made_up_whole_is_found(void **state)
{
    stage s;
    cb_buf sql = CB_BUF(64 * 1024);
    (void)state;
    begin(&s);
    make(&s, 2);
    taken(&s);
    world_close(&s.w);
    assert_int_equal(cb_p256_generate(s.scalar, s.point), CB_OK);
    s.head = (cb_journal_head){0};
    make(&s, 2);
    s.entries.data[3] ^= 1;
    s.head = (cb_journal_head){0};
    assert_int_equal(cb_journal_follow(s.batch.entries, &s.head), CB_OK);
    sign(&s);
    cb_buf_put_str(&sql, "UPDATE terminal_log_batch SET part = 1");
    put_blob(&sql, "entries", s.batch.entries);
    put_blob(&sql, "hash", cb_digest_bytes(&s.head.hash));
    put_blob(&sql, "key", s.batch.key);
    put_blob(&sql, "signature", s.batch.signature);
    cb_buf_put_str(&sql, "; UPDATE terminal_log SET part = 1");
    put_blob(&sql, "hash", cb_digest_bytes(&s.head.hash));
    tamper(&s.w, cb_buf_cstr(&sql));
    assert_int_equal(verify_file(&s.w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("terminal_log.batch"), 0);
    assert_int_equal(findings_of("terminal_log.record"), 1);
    assert_int_equal(findings_of("terminal_log.head"), 1);
    cb_buf_free(&sql);
    end_tampered(&s);
}

/* ---- What nobody but a broker that believed the wrong rows has written ---- */

static cb_error write_keys(cb_txn *txn, void *context)
{
    const stage *s = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "terminal.renewed", 1);
    cb_leaf_text(&leaf, "actor", "terminal");
    cb_leaf_id(&leaf, "terminal", &s->terminal.id);
    cb_leaf_hex(&leaf, "key_sha256", cb_digest_bytes(&s->shown));
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error write_batch(cb_txn *txn, void *context)
{
    const stage *s = context;
    cb_journal_batch batch = s->batch;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    batch.last = s->head;
    batch.received = 1;
    cb_digest digest = cb_sha256(batch.entries), key = key_of(s->point);
    const cb_journal_row row = {.part = batch.part, .head = s->head};
    cb_leaf_begin(&leaf, "terminal.log", batch.received);
    cb_leaf_text(&leaf, "actor", "terminal");
    cb_leaf_id(&leaf, "terminal", &s->terminal.id);
    cb_leaf_number(&leaf, "part", batch.part);
    cb_leaf_number(&leaf, "after", batch.before.number);
    cb_leaf_number(&leaf, "last", batch.last.number);
    cb_leaf_hex(&leaf, "entries_sha256", cb_digest_bytes(&digest));
    cb_leaf_hex(&leaf, "hash", cb_digest_bytes(&batch.last.hash));
    cb_leaf_hex(&leaf, "key_sha256", cb_digest_bytes(&key));
    cb_error error = cb_row_journal_batch_put(txn, &s->terminal.id, &batch);
    if (!error)
        error = cb_row_journal_set(txn, &s->terminal.id, &row);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static void write_with(stage *s, cb_txn_function run)
{
    const cb_change change = {
        .run = run, .context = s, .urgency = CB_WRITE_ORDINARY, .until = CB_UNTIL_STORED};
    assert_int_equal(cb_store_write(s->w.store, &change), CB_OK);
}

static void a_log_by_a_key_that_the_record_never_gave_is_found(void **state)
{
    (void)state;
    for (int foreign = 0; foreign < 2; foreign++) {
        stage s;
        begin(&s);
        if (foreign)
            assert_int_equal(cb_p256_generate(s.scalar, s.point), CB_OK);
        make(&s, 2);
        s.batch.part = 1;
        write_with(&s, write_batch);
        world_close(&s.w);
        assert_int_equal(verify_file(&s.w, NULL), foreign ? CB_E_EVIDENCE : CB_OK);
        assert_int_equal(findings_of("terminal_log.record"), foreign);
        end_tampered(&s);
    }
}

static void a_part_that_nobody_allowed_is_found(void **state)
{
    (void)state;
    for (int allowed = 0; allowed < 2; allowed++) {
        stage s;
        begin(&s);
        make(&s, 2);
        taken(&s);
        if (allowed)
            assert_int_equal(cb_terminal_log_resume(s.w.store, "admin", &s.terminal.id, NULL),
                             CB_OK);
        s.head = (cb_journal_head){0};
        make(&s, 3);
        s.batch.part = 2;
        write_with(&s, write_batch);
        world_close(&s.w);
        assert_int_equal(verify_file(&s.w, NULL), allowed ? CB_OK : CB_E_EVIDENCE);
        assert_int_equal(findings_of("terminal_log.record"), !allowed);
        end_tampered(&s);
    }
}

static void a_key_that_was_never_certified_is_found(void **state)
{
    (void)state;
    for (int certified = 0; certified < 2; certified++) {
        stage s;
        begin(&s);
        if (!certified)
            s.shown.bytes[0] ^= 1;
        write_with(&s, write_keys);
        world_close(&s.w);
        /* Beside what the table has, which knows of neither leaf. */
        assert_int_equal(verify_file(&s.w, NULL), CB_E_EVIDENCE);
        assert_int_equal(findings_of("terminal.key"), !certified);
        assert_int_equal(findings_of(NULL) - findings_of("table.content"), !certified);
        end_tampered(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_edit_of_what_is_kept_is_found),
        cmocka_unit_test(a_batch_that_was_made_up_whole_is_found),
        cmocka_unit_test(a_log_by_a_key_that_the_record_never_gave_is_found),
        cmocka_unit_test(a_part_that_nobody_allowed_is_found),
        cmocka_unit_test(a_key_that_was_never_certified_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
