/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Faults that pass: while they last nothing is acknowledged that could be lost, and the store
 * serves again by itself.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/broker/support.h"

static const char *const files[] = {"", "-wal", "-shm"};

static void name_of(const world *w, const char *suffix, const char *more, char out[192])
{
    snprintf(out, 192, "%s%s%s", w->path, suffix, more);
}

static void move_file(const world *w, const char *suffix, const char *from, const char *to)
{
    char before[192], after[192];
    name_of(w, suffix, from, before);
    name_of(w, suffix, to, after);
    assert_int_equal(rename(before, after), 0);
}

static cb_error state_of(const world *w)
{
    cb_store_state status;
    assert_int_equal(cb_store_status(w->store, &status), CB_OK);
    return status.error;
}

static void verifies(world *w)
{
    cb_evidence_summary summary;
    world_close(w);
    assert_int_equal(verify_file(w, &summary), CB_OK);
    assert_int_equal(summary.leaves_unsigned + summary.open_intents, 0);
}

static void a_file_that_was_moved_away_stops_everything_until_it_is_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        world w;
        cb_holder holder;
        cb_feed_head feed;
        world_begin(&w);
        move_file(&w, files[i], "", ".away");
        assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_STORE_MOVED);
        assert_int_equal(state_of(&w), CB_E_STORE_MOVED);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_STORE_MOVED);
        assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL),
                         CB_E_STORE_MOVED);
        move_file(&w, files[i], ".away", "");
        assert_int_equal(error_without_fault(&w), CB_OK);
        assert_int_equal(cb_feed_head_now(w.store, &feed), CB_OK);
        assert_int_equal(feed.number, 0);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        verifies(&w);
        world_end(&w);
    }
}

/* As a restore would that forgets to stop the broker first. */
static void another_database_in_its_place_is_neither_read_nor_written(void **state)
{
    world w, other;
    char here[192], there[192];
    cb_holder holder;
    (void)state;
    world_begin(&other);
    world_close(&other);
    world_begin(&w);
    name_of(&w, "", "", here);
    name_of(&other, "", "", there);
    move_file(&w, "", "", ".away");
    assert_int_equal(rename(there, here), 0);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_STORE_MOVED);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_STORE_MOVED);
    assert_int_equal(rename(here, there), 0);
    assert_int_equal(verify_file(&other, NULL), CB_OK);
    move_file(&w, "", ".away", "");
    assert_int_equal(error_without_fault(&w), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    verifies(&w);
    world_end(&w);
    world_end(&other);
}

typedef struct mover {
    world *w;
    const char *suffix;
    bool done;
} mover;

/* Just before COMMIT returns to those who wait for it. */
static void move_at_commit(void *context, const char *step)
{
    mover *m = context;
    if (strcmp(step, "commit") != 0 || !m->suffix)
        return;
    move_file(m->w, m->suffix, "", ".away");
    m->suffix = NULL;
    m->done = true;
}

static void what_was_committed_to_a_file_without_a_name_is_not_acknowledged(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        world w;
        cb_holder holder;
        mover m = {.w = &w};
        world_begin(&w);
        world_close(&w);
        w.options.probe = move_at_commit;
        w.options.probe_context = &m;
        world_open(&w);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        m.suffix = files[i];
        assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_STORE_MOVED);
        assert_true(m.done);
        move_file(&w, files[i], ".away", "");
        assert_int_equal(error_without_fault(&w), CB_OK);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        verifies(&w);
        world_end(&w);
    }
}

/* What the WAL held is in the database after an orderly end: who has it open still has it. */
static void a_wal_that_was_deleted_loses_nothing_when_the_broker_is_stopped(void **state)
{
    world w;
    char name[192];
    cb_id session = cb_id_new();
    cb_holder holder;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_once(&w, NULL, &session), CB_OK);
    name_of(&w, "-wal", "", name);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_STORE_MOVED);
    world_close(&w);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    verifies(&w);
    world_end(&w);
}

static void while_somebody_holds_the_lock_the_store_says_so_and_then_goes_on(void **state)
{
    world w;
    sqlite3 *other = NULL;
    (void)state;
    world_begin(&w);
    world_close(&w);
    w.options.lock_wait = 20 * CB_MILLISECOND;
    world_open(&w);
    assert_int_equal(sqlite3_open(w.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_STORE);
    assert_int_equal(state_of(&w), CB_E_STORE);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL),
                     CB_E_STORE);
    sqlite3_close(other);
    assert_int_equal(error_without_fault(&w), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    verifies(&w);
    world_end(&w);
}

/* In a process of its own, whose files may not grow for a while. */
static void meet_io_errors(world *w)
{
    struct rlimit limit, small;
    cb_id session = cb_id_new();
    cb_error error = CB_OK;
    cb_intent_grant grant;
    world_open(w);
    signal(SIGXFSZ, SIG_IGN);
    cb_intent_request request = intent_of(w);
    cb_intent_grant_init(&grant);
    assert_int_equal(tap_once(w, NULL, &session), CB_OK);
    assert_int_equal(cb_decide_intent(w->store, &request, &grant), CB_OK);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = (struct rlimit){8192, limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    cb_result_request result = {.tap = request.context.tap};
    assert_int_equal(cb_decide_result(w->store, &result), CB_E_STORE);
    assert_int_equal(end_session(w->store, &session, "ended"), CB_E_STORE);
    error = tap_once(w, NULL, NULL);
    assert_int_equal(error, CB_E_STORE);
    cb_store_settle(w->store);
    usleep(100000); /* trials fail as well */
    assert_int_equal(state_of(w), CB_E_STORE);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(error_without_fault(w), CB_OK);
    assert_int_equal(tap_once(w, NULL, NULL), CB_OK);
    cb_store_state status;
    cb_store_settle(w->store);
    cb_store_settle(w->store);
    assert_int_equal(cb_store_status(w->store, &status), CB_OK);
    assert_int_equal(status.open_intents + status.open_sessions, 0);
    cb_intent_grant_free(&grant);
    world_close(w);
    _exit(0);
}

static void after_a_disk_that_failed_for_a_while_what_was_left_open_is_closed(void **state)
{
    world w;
    int status = 0;
    (void)state;
    world_begin(&w);
    world_close(&w);
    pid_t child = fork();
    if (child == 0)
        meet_io_errors(&w);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    verifies(&w);
    world_end(&w);
}

/* A page in the middle, under a store that runs: what needs it is refused, and nothing is written
 * that rests on it. */
static void a_damaged_page_is_called_so(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w);
    FILE *file = fopen(w.path, "r+b");
    assert_non_null(file);
    for (long page = 2; page < 8; page++) {
        assert_int_equal(fseek(file, page * 4096, SEEK_SET), 0);
        for (int i = 0; i < 4096; i++)
            fputc(0xA5, file);
    }
    fclose(file);
    assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_STORE_DAMAGED);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_was_moved_away_stops_everything_until_it_is_back),
        cmocka_unit_test(another_database_in_its_place_is_neither_read_nor_written),
        cmocka_unit_test(what_was_committed_to_a_file_without_a_name_is_not_acknowledged),
        cmocka_unit_test(a_wal_that_was_deleted_loses_nothing_when_the_broker_is_stopped),
        cmocka_unit_test(while_somebody_holds_the_lock_the_store_says_so_and_then_goes_on),
        cmocka_unit_test(after_a_disk_that_failed_for_a_while_what_was_left_open_is_closed),
        cmocka_unit_test(a_damaged_page_is_called_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
