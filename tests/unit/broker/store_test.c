/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store: what it opens and what it refuses to, groups, limits, urgency.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/store/migrate.h"
#include "tests/unit/broker/support.h"

static void copy_file(const char *from, const char *to)
{
    char buffer[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, in)) > 0;)
        assert_int_equal(fwrite(buffer, 1, got, out), got);
    fclose(in);
    fclose(out);
}

/* ---- Opening ---- */

static void its_files_are_the_owners_only(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    static const char *const names[] = {"broker.db", "broker.db-wal", "broker.db-shm",
                                        "broker.db-lock"};
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", w.folder, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    world_end(&w);
}

static void what_was_written_is_there_after_a_restart(void **state)
{
    world w;
    cb_holder holder;
    (void)state;
    world_begin(&w);
    cb_id holder_id = w.holder.id;
    world_close(&w);
    world_open(&w);
    assert_int_equal(cb_holder_get(w.store, &holder_id, &holder), CB_OK);
    assert_string_equal(holder.name, "Hanako");
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

static void a_second_broker_on_the_same_database_is_refused(void **state)
{
    world w;
    cb_store *second = NULL;
    (void)state;
    world_begin(&w);
    cb_store_options options = w.options;
    options.lock_wait = 50 * CB_MILLISECOND;
    assert_int_equal(cb_store_open(&options, &second), CB_E_STORE);
    assert_null(second);
    world_end(&w);
}

static void a_lock_held_by_somebody_else_is_waited_for_only_so_long(void **state)
{
    world w;
    sqlite3 *other = NULL;
    cb_holder holder;
    (void)state;
    world_begin(&w);
    world_close(&w);
    w.options.lock_wait = 100 * CB_MILLISECOND;
    world_open(&w);
    assert_int_equal(sqlite3_open(w.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    int64_t began = cb_clock_monotonic_us();
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_STORE);
    assert_true(cb_clock_monotonic_us() - began < 5 * CB_SECOND);
    sqlite3_close(other);
    assert_int_equal(error_without_fault(&w), CB_OK);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_OK);
    world_end(&w);
}

static void a_newer_or_altered_schema_is_refused(void **state)
{
    static const char *const edits[] = {
        "INSERT INTO schema_migration VALUES (99, 'later', zeroblob(32), 0)",
        "UPDATE schema_migration SET digest = zeroblob(32)",
        ("UPDATE schema_migration SET number = number + 1 WHERE number = (SELECT max(number) FROM "
         "schema_migration)"),
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        world w;
        world_begin(&w);
        world_close(&w);
        tamper(&w, edits[i]);
        assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_STORE_VERSION);
        world_end(&w);
    }
}

/* A statement of the first migration, with its comments, which the database keeps. */
static void put_first(cb_buf *back, const char *begins)
{
    const char *text = strstr(cb_migrations[0].sql, begins), *end = text;
    while (*end != ';')
        end = end[0] == '-' && end[1] == '-' ? strchr(end, '\n') : end + 1;
    cb_buf_put(back, cb_bytes_make(text, (size_t)(end + 1 - text)));
}

/* Gives a table the columns that it had at first, which are listed as they were. */
static void put_back(cb_buf *back, const char *table, const char *columns)
{
    char begins[64];
    snprintf(begins, sizeof begins, "CREATE TABLE %s (", table);
    cb_buf_printf(back, "ALTER TABLE %s RENAME TO v;", table);
    put_first(back, begins);
    cb_buf_printf(back, "INSERT INTO %s SELECT %s FROM v; DROP TABLE v;", table, columns);
}

/* With a tap and a session that a crash left open, in the tables that they had then. */
static void a_database_of_the_first_version_is_brought_up_to_date(void **state)
{
    world w;
    cb_intent_grant grant;
    cb_store_state now;
    cb_buf back = CB_BUF(64 * 1024);
    cb_id session = cb_id_new();
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_once(&w, NULL, &session), CB_OK);
    cb_intent_request request = intent_of(&w);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
    cb_intent_grant_free(&grant);
    world_close(&w);
    cb_buf_put_str(&back, "PRAGMA legacy_alter_table = ON;"
                          "DROP TABLE card_proof; DROP TABLE maintainer; DROP TABLE terminal_maintenance;"
                          "DROP TABLE registration; DROP TABLE software; DROP TABLE terminal_software;"
                          "DROP TABLE suspension_code; DROP TABLE terminal_log_batch; DROP TABLE terminal_log;"
                          "DROP TABLE failure; DROP TABLE failure_day; DROP TABLE failure_at;"
                          "DROP TABLE terminal_code; DROP TABLE issue; DROP TABLE stock;"
                          "DROP TABLE batch; DROP TABLE application; DROP TABLE mismatch;");
    put_back(&back, "service",
             "name, title, connector, config, level, kind, certificate, life, idle, created, "
             "changed");
    put_back(&back, "card",
             "id, holder, state, profile, level, sequence, binding, created, changed");
    put_back(&back, "terminal", "id, name, state, key, rate, all_services, created, changed");
    put_first(&back, "CREATE INDEX card_of_holder");
    put_first(&back, "CREATE UNIQUE INDEX terminal_name");
    cb_buf_put_str(
        &back,
        "ALTER TABLE intent RENAME TO i; ALTER TABLE session RENAME TO s;");
    cb_buf_put_str(&back, strstr(cb_migrations[0].sql, "CREATE TABLE intent"));
    cb_buf_put_str(&back, "INSERT INTO intent SELECT * FROM i; INSERT INTO session SELECT * FROM s;"
                          "DROP TABLE i; DROP TABLE s;"
                          "DELETE FROM schema_migration WHERE number > 1");
    tamper(&w, cb_buf_cstr(&back));
    cb_buf_free(&back);
    world_open(&w);
    assert_int_equal(cb_store_status(w.store, &now), CB_OK);
    assert_int_equal(now.open_intents, 0);
    assert_int_equal(now.open_sessions, 0);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void a_file_of_somebody_else_is_left_alone(void **state)
{
    world w;
    (void)state;
    world_make(&w);
    tamper(&w, "CREATE TABLE theirs (x)");
    assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_STORE);
    FILE *file = fopen(w.path, "wb");
    fputs("this is no database at all, but it is long enough to be looked at", file);
    fclose(file);
    assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_STORE_DAMAGED);
    w.options.path = "/nonexistent/folder/broker.db";
    assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_STORE);
    world_end(&w);
}

/* ---- The end of the log ---- */

static void a_database_rolled_back_past_a_signed_head_is_refused(void **state)
{
    world w;
    char old[128];
    (void)state;
    world_begin(&w);
    world_close(&w);
    snprintf(old, sizeof old, "%s/old.db", w.folder);
    copy_file(w.path, old);
    world_open(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL), CB_OK);
    world_close(&w);
    copy_file(old, w.path);
    assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_HSM_ROLLED_BACK);
    assert_null(w.store);
    world_end(&w);
}

/* The old copy is given new leaves until it is longer than what was signed: its size no longer
 * tells. */
static void a_rolled_back_database_that_grew_again_is_refused(void **state)
{
    world w;
    char old[128];
    soft_signer real;
    (void)state;
    world_begin(&w);
    world_close(&w);
    snprintf(old, sizeof old, "%s/old.db", w.folder);
    copy_file(w.path, old);
    world_open(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL), CB_OK);
    world_close(&w);
    real = *w.signer;
    copy_file(old, w.path);
    set_signer(&w.signer->fail,
               CB_E_HSM_DOWN); /* opened while hsmd was away, it takes revocations */
    world_open(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL), CB_OK);
    set_signer(&w.signer->fail, CB_OK); /* hsmd is back: now it shows */
    cb_store_state status;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(cb_store_status(w.store, &status), CB_OK);
        if (status.error)
            break;
        usleep(50000);
    }
    assert_int_equal(status.error, CB_E_HSM_ROLLED_BACK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_ROLLED_BACK);
    cb_feed_head head;
    assert_int_equal(cb_feed_head_now(w.store, &head), CB_E_HSM_ROLLED_BACK);
    world_close(&w);
    assert_memory_equal(&real.remembered, &w.signer->remembered, sizeof real.remembered);
    assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_HSM_ROLLED_BACK);
    world_end(&w);
}

static void a_key_service_with_older_memory_is_proven_the_way_from_there(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w); /* so that nothing is being signed */
    cb_tree_head older = w.signer->remembered;
    world_open(&w);
    for (int i = 0; i < 5; i++)
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_close(&w);
    w.signer->remembered = older;
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    w.signer->remembered = (cb_tree_head){0, cb_sha256((cb_bytes){0})};
    cb_error error = CB_E_HSM_DOWN;
    for (int i = 0; i < 50 && error; i++) {
        error = tap_once(&w, NULL, NULL);
        usleep(error ? 50000 : 0);
    }
    assert_int_equal(error, CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void an_edited_end_of_the_log_is_refused(void **state)
{
    static const char *const edits[] = {
        "UPDATE tree_head SET root = zeroblob(32) WHERE size = (SELECT max(size) FROM tree_head)",
        "PRAGMA foreign_keys = OFF; DELETE FROM evidence_leaf WHERE position = "
        "(SELECT max(position) FROM evidence_leaf)",
        "INSERT INTO evidence_leaf (position, data, hash) SELECT position + 2, data, hash "
        "FROM evidence_leaf ORDER BY position DESC LIMIT 1",
        "INSERT INTO evidence_leaf (position, data, hash) SELECT position + 1, data, zeroblob(32) "
        "FROM evidence_leaf ORDER BY position DESC LIMIT 1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        world w;
        world_begin(&w);
        world_close(&w);
        tamper(&w, edits[i]);
        assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_EVIDENCE);
        world_end(&w);
    }
}

static void a_lost_frontier_is_computed_again(void **state)
{
    static const char *const edits[] = {"DELETE FROM tree_frontier",
                                        "UPDATE tree_frontier SET nodes = zeroblob(length(nodes))"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        world w;
        world_begin(&w);
        world_close(&w);
        tamper(&w, edits[i]);
        world_open(&w);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        world_end(&w);
    }
}

/* After ten milliseconds, twenty, and so on: six times in less than the three seconds after which
 * it would have been, were it asked each half of a second. */
static void a_key_service_that_went_is_asked_again_at_once(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    int64_t began = cb_clock_monotonic_us();
    unsigned before = __atomic_load_n(&w.signer->asked, __ATOMIC_SEQ_CST), asked = 0;
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_DOWN);
    while (asked < 6 && cb_clock_monotonic_us() < began + 2500 * CB_MILLISECOND) {
        usleep(5000);
        asked = __atomic_load_n(&w.signer->asked, __ATOMIC_SEQ_CST) - before;
    }
    assert_in_range(asked, 6, 60); /* nor all the time */
    set_signer(&w.signer->fail, CB_OK);
    world_end(&w);
}

/* Nor without a pause where it was away from the beginning. */
static void a_key_service_that_was_never_there_is_not_asked_all_the_time(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    int64_t began = cb_clock_monotonic_us();
    unsigned before = __atomic_load_n(&w.signer->asked, __ATOMIC_SEQ_CST);
    world_open(&w);
    usleep(400000);
    unsigned asked = __atomic_load_n(&w.signer->asked, __ATOMIC_SEQ_CST) - before;
    int64_t lasted = cb_clock_monotonic_us() - began;
    assert_in_range(asked, 1, 20 + lasted / (400 * CB_MILLISECOND));
    set_signer(&w.signer->fail, CB_OK);
    world_end(&w);
}

static void it_starts_and_revokes_while_the_key_service_is_away(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_DOWN);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL), CB_OK);
    world_close(&w);
    set_signer(&w.signer->fail, CB_OK);
    world_open(&w);
    world_close(&w);
    cb_evidence_summary summary;
    assert_int_equal(verify_file(&w, &summary), CB_OK);
    assert_int_equal(summary.leaves_unsigned, 0);
    world_end(&w);
}

/* ---- Groups, queue, space ---- */

static cb_error half_done(cb_txn *txn, void *context)
{
    cb_holder holder = {.id = cb_id_new(), .name = "half", .created = 1};
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_id subject = cb_id_new();
    cb_leaf_begin(&leaf, "card.revoked", 1);
    assert_int_equal(cb_row_holder_put(txn, &holder), CB_OK);
    assert_int_equal(cb_txn_feed(txn, CB_FEED_CARD_REVOKED, &subject, 1, &leaf, NULL), CB_OK);
    cb_buf_free(&leaf);
    *(cb_id *)context = holder.id;
    return CB_E_STATE;
}

static void a_change_that_fails_leaves_nothing_behind(void **state)
{
    world w;
    cb_id id;
    cb_holder holder;
    cb_store_state before, after;
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_store_status(w.store, &before), CB_OK);
    cb_change change = {.run = half_done, .context = &id};
    assert_int_equal(cb_store_write(w.store, &change), CB_E_STATE);
    assert_int_equal(cb_holder_get(w.store, &id, &holder), CB_E_NOT_FOUND);
    assert_int_equal(cb_store_status(w.store, &after), CB_OK);
    assert_int_equal(after.leaves, before.leaves);
    assert_int_equal(after.feed_number, before.feed_number);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

/* Holds the writer inside a change until it is let go. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t turn;
    bool inside, open;
} gate;

static cb_error stand_in_gate(cb_txn *txn, void *context)
{
    gate *g = context;
    (void)txn;
    pthread_mutex_lock(&g->lock);
    g->inside = true;
    pthread_cond_broadcast(&g->turn);
    while (!g->open)
        pthread_cond_wait(&g->turn, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return CB_OK;
}

typedef struct job {
    world *w;
    gate *gate;
    pthread_t thread;
    cb_error error;
    int order;
} job;

static int finished;

static void *gate_thread(void *context)
{
    job *j = context;
    cb_change change = {.run = stand_in_gate, .context = j->gate, .urgency = CB_WRITE_DUE};
    j->error = cb_store_write(j->w->store, &change);
    return NULL;
}

static cb_error note_order(cb_txn *txn, void *context)
{
    (void)txn;
    ((job *)context)->order = ++finished;
    return CB_OK;
}

static void *ordinary_thread(void *context)
{
    job *j = context;
    cb_change change = {.run = note_order, .context = j};
    j->error = cb_store_write(j->w->store, &change);
    return NULL;
}

static void *urgent_thread(void *context)
{
    job *j = context;
    cb_change change = {.run = note_order, .context = j, .urgency = CB_WRITE_URGENT};
    j->error = cb_store_write(j->w->store, &change);
    return NULL;
}

static void wait_queued(world *w, unsigned count)
{
    cb_store_state status = {0};
    for (int i = 0; i < 500 && status.queued < count; i++) {
        usleep(2000);
        assert_int_equal(cb_store_status(w->store, &status), CB_OK);
    }
    assert_int_equal(status.queued, count);
}

static void a_full_queue_is_said_and_revocations_go_first(void **state)
{
    world w;
    enum { QUEUE = 4 };
    gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    (void)state;
    world_begin(&w);
    world_close(&w);
    w.options.queue = QUEUE;
    world_open(&w);
    finished = 0;
    job holder = {.w = &w, .gate = &g}, urgent = {.w = &w}, waiting[QUEUE], late = {.w = &w};
    pthread_create(&holder.thread, NULL, gate_thread, &holder);
    pthread_mutex_lock(&g.lock);
    while (!g.inside)
        pthread_cond_wait(&g.turn, &g.lock);
    pthread_mutex_unlock(&g.lock);
    for (unsigned i = 0; i < QUEUE; i++) {
        waiting[i] = (job){.w = &w};
        pthread_create(&waiting[i].thread, NULL, ordinary_thread, &waiting[i]);
        wait_queued(&w, i + 1);
    }
    ordinary_thread(&late);
    assert_int_equal(late.error, CB_E_BUSY);
    pthread_create(&urgent.thread, NULL, urgent_thread, &urgent);
    usleep(50000);
    pthread_mutex_lock(&g.lock);
    g.open = true;
    pthread_cond_broadcast(&g.turn);
    pthread_mutex_unlock(&g.lock);
    pthread_join(holder.thread, NULL);
    pthread_join(urgent.thread, NULL);
    assert_int_equal(urgent.error, CB_OK);
    assert_int_equal(urgent.order, 1);
    for (unsigned i = 0; i < QUEUE; i++) {
        pthread_join(waiting[i].thread, NULL);
        assert_int_equal(waiting[i].error, CB_OK);
        assert_int_equal(waiting[i].order, i + 2);
    }
    world_end(&w);
}

static void a_full_disk_is_said_and_nothing_is_half_done(void **state)
{
    world w;
    cb_error error = CB_OK;
    cb_holder holder;
    cb_store_state status;
    (void)state;
    world_begin(&w);
    world_close(&w);
    w.options.max_bytes = 512 * 1024;
    world_open(&w);
    int taps = 0;
    for (; !error && taps < 5000; taps++)
        error = tap_once(&w, NULL, NULL);
    assert_int_equal(error, CB_E_STORE_FULL);
    error = CB_OK; /* a smaller change may still have found room */
    for (int i = 0; !error && i < 200; i++)
        error = cb_holder_add(w.store, "test", "Taro", &holder);
    assert_int_equal(error, CB_E_STORE_FULL);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.error, CB_OK);
    world_close(&w);
    w.options.max_bytes = 0;
    world_open(&w); /* more space: it goes on, and closes what was left open */
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_close(&w);
    cb_evidence_summary summary;
    assert_int_equal(verify_file(&w, &summary), CB_OK);
    assert_int_equal(summary.open_intents, 0);
    world_end(&w);
}

static void the_last_of_the_disk_is_kept_for_revocations(void **state)
{
    world w;
    cb_holder holder;
    cb_refusal refusal = {.tap = cb_id_random(), .error = CB_E_CARD_UNKNOWN};
    (void)state;
    world_begin(&w);
    world_close(&w);
    w.options.reserve = INT64_MAX;
    world_open(&w);
    refusal.terminal = w.terminal.id;
    assert_int_equal(cb_decide_refused(w.store, &refusal, NULL), CB_E_STORE_FULL);
    refusal.card = w.card;
    refusal.error = CB_E_PIN_WRONG;
    refusal.wrong_pins = 1; /* what no later tap would tell */
    assert_int_equal(cb_decide_refused(w.store, &refusal, NULL), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_STORE_FULL);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_STORE_FULL);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL), CB_OK);
    world_end(&w);
}

/* In a process of its own, whose files may not grow: every write beyond is an I/O error. */
static void meet_io_errors(world *w, volatile unsigned *accepted)
{
    struct rlimit limit = {768 * 1024, 768 * 1024};
    cb_store_state status;
    cb_error error = CB_OK;
    world_open(w);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 5000 && !error; i++) {
        error = tap_once(w, NULL, NULL);
        *accepted += error == CB_OK;
    }
    cb_error revoked = cb_card_change(w->store, "test", &w->card, CB_CARD_REVOKE, NULL, NULL);
    cb_store_status(w->store, &status);
    world_close(w);
    _exit(error == CB_E_STORE && revoked == CB_E_STORE && status.error == CB_E_STORE ? 0 : 1);
}

static cb_error count_accepts(void *context, const cb_log_leaf *leaf)
{
    cb_buf outcome = CB_BUF(128);
    *(unsigned *)context += cb_leaf_find(leaf->data, "outcome", &outcome) == CB_OK &&
                            strcmp(cb_buf_cstr(&outcome), "accepted") == 0;
    cb_buf_free(&outcome);
    return CB_OK;
}

static void after_an_io_error_nothing_is_taken_and_nothing_is_lost(void **state)
{
    world w;
    int status = 0;
    unsigned found = 0;
    (void)state;
    unsigned *accepted =
        mmap(NULL, sizeof *accepted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    world_begin(&w);
    world_close(&w);
    pid_t child = fork();
    if (child == 0)
        meet_io_errors(&w, accepted);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_open(&w);
    cb_store_state s;
    assert_int_equal(cb_store_status(w.store, &s), CB_OK);
    for (uint64_t from = 0; from < s.leaves; from += 1000)
        assert_int_equal(cb_log_leaves(w.store, from, 1000, count_accepts, &found), CB_OK);
    assert_true(*accepted > 0);
    assert_true(found >= *accepted);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    munmap(accepted, sizeof *accepted);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_files_are_the_owners_only),
        cmocka_unit_test(what_was_written_is_there_after_a_restart),
        cmocka_unit_test(a_second_broker_on_the_same_database_is_refused),
        cmocka_unit_test(a_lock_held_by_somebody_else_is_waited_for_only_so_long),
        cmocka_unit_test(a_newer_or_altered_schema_is_refused),
        cmocka_unit_test(a_database_of_the_first_version_is_brought_up_to_date),
        cmocka_unit_test(a_file_of_somebody_else_is_left_alone),
        cmocka_unit_test(a_database_rolled_back_past_a_signed_head_is_refused),
        cmocka_unit_test(a_rolled_back_database_that_grew_again_is_refused),
        cmocka_unit_test(a_key_service_with_older_memory_is_proven_the_way_from_there),
        cmocka_unit_test(an_edited_end_of_the_log_is_refused),
        cmocka_unit_test(a_lost_frontier_is_computed_again),
        cmocka_unit_test(a_key_service_that_went_is_asked_again_at_once),
        cmocka_unit_test(a_key_service_that_was_never_there_is_not_asked_all_the_time),
        cmocka_unit_test(it_starts_and_revokes_while_the_key_service_is_away),
        cmocka_unit_test(a_change_that_fails_leaves_nothing_behind),
        cmocka_unit_test(a_full_queue_is_said_and_revocations_go_first),
        cmocka_unit_test(a_full_disk_is_said_and_nothing_is_half_done),
        cmocka_unit_test(the_last_of_the_disk_is_kept_for_revocations),
        cmocka_unit_test(after_an_io_error_nothing_is_taken_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
