/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checkpoints, and records with checkpoints, that somebody made up: who writes the database and its
 * folder while the broker is down, and a broker that was taken over, which writes leaves as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/evidence/tree.h"
#include "broker/store/txn.h"
#include "tests/unit/broker/checkpoint_support.h"

#define EVIL "{\"url\":\"https://evil.example\"}"

enum { USE_ONLY = 1 << 30 };

static const char evil_row[] = "UPDATE service SET config = '" EVIL "'";

/* ---- Leaves that were changed ---- */

#define COPY_OF_ANOTHER                                                                            \
    "UPDATE evidence_leaf SET data = (SELECT data FROM evidence_leaf WHERE position = 1), "        \
    "hash = (SELECT hash FROM evidence_leaf WHERE position = 1) WHERE position = "

/* The words come from the checkpoint: what is changed before it lets nobody do anything, and is
 * found a little later. */
static void an_old_leaf_that_was_changed_gives_nothing_and_closes_the_broker(void **state)
{
    world w;
    uint64_t from = 0;
    cb_holder holder;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    tamper(&w, evil_row);
    tamper(&w, COPY_OF_ANOTHER "2");
    world_open(&w);
    cb_error first = after_start(&w, &from);
    assert_true(first == CB_OK || first == CB_E_EVIDENCE); /* that may have been found meanwhile */
    assert_true(from > 0);
    cb_error tapped = tap_once(&w, NULL, NULL);
    assert_true(tapped == CB_E_HSM_RECORD || tapped == CB_E_EVIDENCE);
    assert_int_equal(after_reading(&w), CB_E_EVIDENCE);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_EVIDENCE);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_EVIDENCE);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_false(has_checkpoint(&w, false));
    world_close(&w);
    /* And there is nothing any more from which the next could go on. */
    world_open(&w);
    assert_int_equal(after_start(&w, &from), CB_E_EVIDENCE);
    assert_int_equal(from, 0);
    world_end(&w);
}

static void a_leaf_after_the_checkpoint_that_was_changed_lets_nobody_in(void **state)
{
    world w;
    char sql[512];
    (void)state;
    static const int back[] = {0, 1, 2}; /* from the last one */
    for (size_t i = 0; i < sizeof back / sizeof *back; i++) {
        world_with_checkpoint(&w);
        w.options.checkpoint = USE_ONLY;
        snprintf(sql, sizeof sql, COPY_OF_ANOTHER "(SELECT max(position) - %d FROM evidence_leaf)",
                 back[i]);
        tamper(&w, sql);
        cb_error error = cb_store_open(&w.options, &w.store);
        if (!error)
            error = after_start(&w, NULL);
        assert_true(error == CB_E_EVIDENCE || error == CB_E_HSM_ROLLED_BACK);
        world_end(&w);
    }
}

static void a_leaf_about_a_checkpoint_that_was_changed_lets_nobody_in(void **state)
{
    world w;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    tamper(&w, COPY_OF_ANOTHER "(SELECT max(position) FROM evidence_leaf WHERE instr(data, "
                               "CAST('kind record.checkpoint' AS BLOB)))");
    world_open(&w);
    assert_int_equal(after_start(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_EVIDENCE);
    world_end(&w);
}

/* ---- A checkpoint made up ---- */

/* Reads the file that there is, lets the service be where it is not, and writes it again. */
static void make_false(const world *w, cb_checkpoint *out)
{
    static uint8_t bytes[CHECKPOINT_FILE_MAX];
    char hex[65], lines[1024];
    cb_merkle_frontier tree;
    cb_words_reader reader = {0};
    size_t size = 0, len = read_checkpoint(w, false, bytes);
    assert_int_equal(cb_checkpoint_head_size(cb_bytes_make(bytes, CB_CHECKPOINT_HEAD), &size),
                     CB_OK);
    assert_int_equal(cb_checkpoint_head_get(cb_bytes_make(bytes, size), out, &tree), CB_OK);
    assert_int_equal(cb_words_take(&reader, cb_bytes_make(bytes + size, len - size)), CB_OK);
    cb_digest config = cb_sha256(cb_bytes_str(EVIL));
    for (size_t i = 0; i < sizeof config.bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", config.bytes[i]);
    snprintf(lines, sizeof lines,
             "service tax\ntitle Tax office\nconnector mtls\nlevel 1\ncertificate 0\nsession 4\n"
             "life 0\nidle 0\nconfig_sha256 %s\n",
             hex);
    cb_vouch word = {
        .kind = 's', .id = cb_vouch_service("tax"), .digest = cb_sha256(cb_bytes_str(lines))};
    assert_int_equal(cb_vouch_apply(&reader.map, &word), CB_OK);
    assert_int_equal(cb_words_of(&reader.map, out), CB_OK);
    cb_id_entry *words = calloc(reader.map.count, sizeof *words);
    cb_words_copy(&reader.map, words);
    cb_words_sort(words, reader.map.count);
    cb_merkle_frontier blocks = {0};
    cb_buf file = CB_BUF(CHECKPOINT_FILE_MAX);
    cb_checkpoint_head_put(&file, out, &tree);
    cb_words_put(&file, words, reader.map.count, &blocks);
    assert_int_equal(cb_buf_error(&file), CB_OK);
    write_checkpoint(w, false, file.data, file.len);
    cb_buf_free(&file);
    free(words);
    cb_id_map_free(&reader.map);
}

static cb_error put_leaf(cb_txn *txn, void *context)
{
    return cb_txn_leaf(txn, context, NULL);
}

/* As a broker that was taken over does: under a signed head. */
static void say_leaf(world *w, cb_buf *leaf)
{
    uint64_t every = w->options.checkpoint;
    w->options.checkpoint = CB_CHECKPOINT_NONE;
    world_open(w);
    assert_int_equal(cb_store_checked(w->store, cb_deadline_in(10 * CB_SECOND)), CB_OK);
    cb_change change = {.run = put_leaf, .context = leaf, .until = CB_UNTIL_STORED};
    assert_int_equal(cb_store_write(w->store, &change), CB_OK);
    world_close(w);
    w->options.checkpoint = every;
    cb_buf_free(leaf);
}

static void say(world *w, const cb_checkpoint *what)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "record.checkpoint", cb_clock_wall_us());
    cb_checkpoint_put(&leaf, what);
    say_leaf(w, &leaf);
}

/* Whether the record speaks of another by now. */
static bool last_made_since(world *w, const cb_checkpoint *before, cb_checkpoint *out)
{
    last_checkpoint(w, out);
    return !cb_checkpoint_same(before, out);
}

/* As somebody does who only has the database: with the hash that it needs, under no head. */
static void forge(world *w, cb_buf *leaf)
{
    char sql[8192], hex[65];
    cb_digest hash = cb_merkle_leaf(cb_buf_bytes(leaf));
    size_t at =
        (size_t)snprintf(sql, sizeof sql, "INSERT INTO evidence_leaf SELECT max(position) + 1, x'");
    for (size_t i = 0; i < leaf->len; i++)
        at += (size_t)snprintf(sql + at, sizeof sql - at, "%02x", leaf->data[i]);
    for (size_t i = 0; i < sizeof hash.bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash.bytes[i]);
    snprintf(sql + at, sizeof sql - at, "', x'%s' FROM evidence_leaf", hex);
    tamper(w, sql);
    cb_buf_free(leaf);
}

static void forge_checkpoint(world *w, const cb_checkpoint *what)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "record.checkpoint", cb_clock_wall_us());
    cb_checkpoint_put(&leaf, what);
    forge(w, &leaf);
}

static void a_made_up_checkpoint_without_a_leaf_is_not_used(void **state)
{
    world w;
    cb_checkpoint made;
    uint64_t from = 1;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    make_false(&w, &made);
    tamper(&w, evil_row);
    world_open(&w);
    assert_int_equal(after_start(&w, &from), CB_OK);
    assert_int_equal(from, 0);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&w);
}

/* Nor later, when the leaf has come under a head with all that was found. */
static void nor_is_one_whose_leaf_nobody_signed(void **state)
{
    static uint8_t bytes[CHECKPOINT_FILE_MAX];
    world w;
    cb_checkpoint made, last;
    uint64_t from = 1;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    make_false(&w, &made);
    size_t len = read_checkpoint(&w, false, bytes);
    tamper(&w, evil_row);
    forge_checkpoint(&w, &made);
    for (int starts = 0; starts < 3; starts++) {
        world_open(&w);
        assert_int_equal(after_start(&w, &from), CB_OK);
        assert_int_equal(from, 0);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
        world_close(&w);
        /* The record shows what happened, and that the row is still there. */
        cb_evidence_summary summary;
        assert_int_equal(verify_file(&w, &summary), CB_E_EVIDENCE);
        assert_int_equal(summary.findings, findings_of("table.content"));
        write_checkpoint(&w, false, bytes, len);
    }
    /* One that the broker makes takes its place at once. */
    w.options.checkpoint = 16;
    world_open(&w);
    for (int i = 0; i < 3000 && !last_made_since(&w, &made, &last); i++)
        usleep(1000);
    world_close(&w);
    world_open(&w);
    assert_int_equal(after_start(&w, &from), CB_OK);
    assert_int_equal(from, last.tree.size);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&w);
}

typedef struct refutation {
    uint64_t leaf, next;
    bool found;
} refutation;

static cb_error look_for_refutation(void *context, const cb_log_leaf *leaf)
{
    refutation *r = context;
    cb_checkpoint_over end;
    if (cb_checkpoint_taken_back(leaf->data, &end) && !end.pardoned) {
        r->found = true;
        r->leaf = end.position;
    }
    r->next = leaf->position + 1;
    return CB_OK;
}

/* The position that a leaf takes back; fails when there is none in time. */
static uint64_t refuted(world *w)
{
    refutation r = {0};
    for (int i = 0; i < 3000 && !r.found; i++) {
        uint64_t before = r.next;
        assert_int_equal(cb_log_leaves(w->store, r.next, 100, look_for_refutation, &r), CB_OK);
        if (r.next == before)
            usleep(1000);
    }
    assert_true(r.found);
    return r.leaf;
}

/* It wrote what it liked while it was there. Afterwards its checkpoint gives the time until the
 * rest is read, once, and is found by everyone who looks. */
static void a_false_one_of_a_broker_that_was_taken_over_is_found(void **state)
{
    static uint8_t bytes[CHECKPOINT_FILE_MAX];
    world w;
    cb_checkpoint made, last;
    uint64_t from = 0;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    make_false(&w, &made);
    size_t len = read_checkpoint(&w, false, bytes);
    say(&w, &made);
    tamper(&w, evil_row);
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("checkpoint.words"), 1);
    assert_int_equal(findings_of("table.content"), 1);
    assert_int_equal(findings_of(NULL), 2);
    world_open(&w);
    after_start(&w, &from);
    assert_int_equal(from, made.tree.size);
    assert_int_equal(after_reading(&w), CB_E_EVIDENCE);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_EVIDENCE);
    assert_false(has_checkpoint(&w, false));
    uint64_t at = last_checkpoint(&w, &last);
    assert_true(cb_checkpoint_same(&made, &last));
    assert_int_equal(refuted(&w), at);
    world_close(&w);
    /* The next start reads everything, though somebody has put the file back at once. */
    for (int starts = 0; starts < 2; starts++) {
        write_checkpoint(&w, false, bytes, len);
        world_open(&w);
        assert_int_equal(after_start(&w, &from), CB_OK);
        assert_int_equal(from, 0);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
        world_close(&w);
    }
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE); /* it did count, once */
    assert_int_equal(findings_of("checkpoint.words"), 1);
    assert_int_equal(findings_of("table.content"), 1);
    assert_int_equal(findings_of(NULL), 2);
    /* And makes one of its own. */
    w.options.checkpoint = 16;
    world_open(&w);
    assert_int_equal(after_start(&w, &from), CB_OK);
    assert_int_equal(from, 0);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    for (int i = 0; i < 3000 && (!has_checkpoint(&w, false) || has_checkpoint(&w, true)); i++)
        usleep(1000);
    world_close(&w);
    assert_true(has_checkpoint(&w, false));
    /* From then on the false one is an old one: to put it back gives nothing. */
    write_checkpoint(&w, false, bytes, len);
    world_open(&w);
    assert_int_equal(after_start(&w, &from), CB_OK);
    assert_int_equal(from, 0);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&w);
}

/* Nor when the leaves before it were changed as well, so that nobody can say whether it was false.
 */
static void a_false_one_beside_changed_leaves_counts_no_second_time(void **state)
{
    static uint8_t bytes[CHECKPOINT_FILE_MAX];
    world w;
    cb_checkpoint made;
    uint64_t from = 0;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    make_false(&w, &made);
    size_t len = read_checkpoint(&w, false, bytes);
    say(&w, &made);
    tamper(&w, evil_row);
    tamper(&w, COPY_OF_ANOTHER "2");
    world_open(&w);
    after_start(&w, &from);
    assert_int_equal(from, made.tree.size);
    assert_int_equal(after_reading(&w), CB_E_EVIDENCE);
    refuted(&w);
    world_close(&w);
    write_checkpoint(&w, false, bytes, len);
    world_open(&w);
    assert_int_equal(after_start(&w, &from), CB_E_EVIDENCE);
    assert_int_equal(from, 0);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_EVIDENCE);
    world_end(&w);
}

/* The leaf that says so may have come under no head before the broker ended. */
static void what_was_refuted_stays_so_without_a_head(void **state)
{
    world w;
    cb_checkpoint made, last;
    uint64_t from = 1;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    (void)state;
    world_with_checkpoint(&w);
    make_false(&w, &made);
    say(&w, &made);
    tamper(&w, evil_row);
    w.options.checkpoint = CB_CHECKPOINT_NONE;
    world_open(&w);
    cb_checkpoint_over over = {.position = last_checkpoint(&w, &last)};
    world_close(&w);
    w.options.checkpoint = USE_ONLY;
    cb_checkpoint_take_back(&leaf, cb_clock_wall_us(), &over);
    forge(&w, &leaf);
    world_open(&w);
    assert_int_equal(after_start(&w, &from), CB_OK);
    assert_int_equal(from, 0);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&w);
}

/* That it never counted is believed of one only that no head covered: else who wrote it would say so
 * when it has done its work. The heads between can be left out; the logins need them. */
static void an_audit_pardons_none_that_was_signed(void **state)
{
    (void)state;
    for (int heads = 0; heads < 2; heads++) {
        world w;
        cb_checkpoint made, last;
        char sql[128];
        cb_buf leaf = CB_BUF(CB_LEAF_MAX);
        world_with_checkpoint(&w);
        w.options.checkpoint = CB_CHECKPOINT_NONE;
        make_false(&w, &made);
        say(&w, &made);
        world_open(&w);
        cb_checkpoint_over over = {.position = last_checkpoint(&w, &last), .pardoned = true};
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        world_close(&w);
        cb_checkpoint_take_back(&leaf, cb_clock_wall_us(), &over);
        say_leaf(&w, &leaf);
        snprintf(sql, sizeof sql,
                 "DELETE FROM tree_head WHERE size > %llu AND size < (SELECT max(size) "
                 "FROM tree_head)",
                 (unsigned long long)over.position);
        if (heads == 0)
            tamper(&w, sql);
        assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
        assert_int_equal(findings_of("checkpoint.words"), 1);
        assert_int_equal(findings_of(NULL), 1);
        world_end(&w);
    }
}

/* Without a login: what is left is a head. */
static void nor_one_that_a_head_covers(void **state)
{
    world w;
    cb_checkpoint made, last;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = CB_CHECKPOINT_NONE;
    make_false(&w, &made);
    say(&w, &made);
    world_open(&w);
    cb_checkpoint_over over = {.position = last_checkpoint(&w, &last), .pardoned = true};
    world_close(&w);
    cb_checkpoint_take_back(&leaf, cb_clock_wall_us(), &over);
    say_leaf(&w, &leaf);
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("checkpoint.words"), 1);
    world_end(&w);
}

static void an_audit_finds_what_is_wrong_in_a_leaf_about_a_checkpoint(void **state)
{
    static const char *const whats[] = {
        "checkpoint.format", "checkpoint.format", "checkpoint.record", "checkpoint.record",
        "checkpoint.record", "checkpoint.words",  "checkpoint.words",  NULL,
    };
    (void)state;
    for (size_t i = 0; i < sizeof whats / sizeof *whats; i++) {
        world w;
        cb_checkpoint said;
        cb_evidence_summary summary;
        world_with_checkpoint(&w);
        w.options.checkpoint = CB_CHECKPOINT_NONE;
        world_open(&w);
        last_checkpoint(&w, &said);
        world_close(&w);
        if (i == 0)
            said.tree.size -= 1; /* before the last one's */
        else if (i == 1)
            said.tree.size += 1000;
        else if (i == 2)
            said.tree.root.bytes[0] ^= 1;
        else if (i == 3)
            said.feed.number++;
        else if (i == 4)
            said.feed.hash.bytes[31] ^= 1;
        else if (i == 5)
            said.words++;
        else if (i == 6)
            said.words_root.bytes[9] ^= 1;
        else
            said.rules.bytes[0] ^= 1; /* of another version: nobody can tell */
        say(&w, &said);
        assert_int_equal(verify_file(&w, &summary), whats[i] ? CB_E_EVIDENCE : CB_OK);
        assert_int_equal(findings_of(NULL), whats[i] ? 1 : 0);
        assert_int_equal(whats[i] ? findings_of(whats[i]) : 1, 1);
        assert_int_equal(summary.checkpoints_other, whats[i] ? 0 : 1);
        /* And a start reads everything: the record's last word is not that of the file. */
        w.options.checkpoint = USE_ONLY;
        uint64_t from = 1;
        world_open(&w);
        assert_int_equal(after_start(&w, &from), CB_OK);
        assert_int_equal(from, 0);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_leaf_that_was_changed_gives_nothing_and_closes_the_broker),
        cmocka_unit_test(a_leaf_after_the_checkpoint_that_was_changed_lets_nobody_in),
        cmocka_unit_test(a_leaf_about_a_checkpoint_that_was_changed_lets_nobody_in),
        cmocka_unit_test(a_made_up_checkpoint_without_a_leaf_is_not_used),
        cmocka_unit_test(nor_is_one_whose_leaf_nobody_signed),
        cmocka_unit_test(a_false_one_of_a_broker_that_was_taken_over_is_found),
        cmocka_unit_test(a_false_one_beside_changed_leaves_counts_no_second_time),
        cmocka_unit_test(what_was_refuted_stays_so_without_a_head),
        cmocka_unit_test(an_audit_pardons_none_that_was_signed),
        cmocka_unit_test(nor_one_that_a_head_covers),
        cmocka_unit_test(an_audit_finds_what_is_wrong_in_a_leaf_about_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
