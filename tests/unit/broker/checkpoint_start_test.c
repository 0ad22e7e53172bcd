/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A start goes on from a checkpoint if it is the one of which the record speaks, and otherwise
 * reads everything: it never fails for want of one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/broker/checkpoint_support.h"

enum { USE_ONLY = 1 << 30 };

static void reads_everything(world *w)
{
    uint64_t from = 1;
    world_open(w);
    assert_int_equal(after_start(w, &from), CB_OK);
    assert_int_equal(from, 0);
    world_close(w);
}

static void goes_on(world *w)
{
    uint64_t from = 0;
    world_open(w);
    assert_int_equal(after_start(w, &from), CB_OK);
    assert_true(from > 0);
    assert_int_equal(after_reading(w), CB_OK);
    world_close(w);
}

static void a_start_goes_on_from_a_checkpoint_and_reads_the_rest_later(void **state)
{
    world w;
    uint64_t from = 0;
    cb_store_state status;
    cb_checkpoint said;
    cb_evidence_summary summary;
    (void)state;
    world_with_checkpoint(&w);
    assert_int_equal(verify_file(&w, &summary), CB_OK);
    assert_true(summary.checkpoints > 0);
    assert_int_equal(summary.checkpoints_other, 0);
    world_open(&w);
    assert_int_equal(after_start(&w, &from), CB_OK);
    assert_true(last_checkpoint(&w, &said) >= from);
    assert_int_equal(from, said.tree.size);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(after_reading(&w), CB_OK);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.leaves_checked, status.leaves_found);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    live_until_checkpoint(&w);
    live_until_checkpoint(&w);
    world_close(&w);
    goes_on(&w);
    assert_int_equal(verify_file(&w, &summary), CB_OK);
    assert_true(summary.checkpoints >= 3);
    world_end(&w);
}

/* Rows are judged by words that came from the file, as by those that came from leaves. */
static void words_from_a_checkpoint_are_those_of_the_record(void **state)
{
    world w;
    (void)state;
    world_with_checkpoint(&w);
    tamper(&w, "UPDATE service SET config = '{\"url\":\"https://evil.example\"}'");
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_close(&w);
    tamper(&w, "UPDATE service SET config = '{\"url\":\"https://tax.example\"}'");
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    cb_id issued = add_card(&w, false), active = w.card;
    assert_int_equal(cb_card_change(w.store, "test", &active, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &active, CB_CARD_RESUME, NULL, NULL), CB_OK);
    live_until_checkpoint(&w);
    world_close(&w);
    tamper(&w, "UPDATE card SET state = 'active'");
    world_open(&w);
    w.card = issued;
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    w.card = active;
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

static void a_checkpoint_of_which_a_byte_was_changed_is_not_used(void **state)
{
    static uint8_t bytes[CHECKPOINT_FILE_MAX];
    world w;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    size_t len = read_checkpoint(&w, false, bytes);
    /* Each of the head and of the first words; of the others, which are alike, every seventh. */
    for (size_t at = 0; at < len; at += at < 250 ? 1 : 7) {
        bytes[at] ^= 1;
        write_checkpoint(&w, false, bytes, len);
        reads_everything(&w);
        bytes[at] ^= 1;
    }
    write_checkpoint(&w, false, bytes, len);
    goes_on(&w);
    world_end(&w);
}

static void a_checkpoint_that_is_cut_or_longer_is_not_used(void **state)
{
    static uint8_t bytes[CHECKPOINT_FILE_MAX];
    world w;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    size_t len = read_checkpoint(&w, false, bytes);
    for (size_t cut = 0; cut < len; cut += cut < 200 ? 7 : 25) {
        write_checkpoint(&w, false, bytes, cut);
        reads_everything(&w);
    }
    memset(bytes + len, 'w', 25);
    for (size_t more = 1; more <= 25; more += 24) {
        write_checkpoint(&w, false, bytes, len + more);
        reads_everything(&w);
    }
    write_checkpoint(&w, false, bytes, len);
    goes_on(&w);
    world_end(&w);
}

static void what_is_no_file_is_not_read(void **state)
{
    world w;
    char name[160], other[192];
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    checkpoint_name(&w, false, name);
    snprintf(other, sizeof other, "%s.other", name);
    assert_int_equal(rename(name, other), 0);
    reads_everything(&w);
    assert_int_equal(mkfifo(name, 0600), 0);
    reads_everything(&w);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(mkdir(name, 0700), 0);
    reads_everything(&w);
    assert_int_equal(rmdir(name), 0);
    assert_int_equal(symlink(other, name), 0);
    reads_everything(&w);
    assert_int_equal(rename(other, name), 0);
    goes_on(&w);
    world_end(&w);
}

static void a_checkpoint_of_another_database_is_not_used(void **state)
{
    static uint8_t bytes[CHECKPOINT_FILE_MAX];
    world w, other;
    (void)state;
    world_with_checkpoint(&w);
    world_with_checkpoint(&other);
    w.options.checkpoint = other.options.checkpoint = USE_ONLY;
    size_t len = read_checkpoint(&other, false, bytes);
    write_checkpoint(&w, false, bytes, len);
    reads_everything(&w);
    goes_on(&other);
    world_end(&w);
    world_end(&other);
}

static void copy_to(const world *w, const char *name, bool back)
{
    char command[400];
    if (back)
        snprintf(command, sizeof command, "cp %s/%s %s", w->folder, name, w->path);
    else
        snprintf(command, sizeof command, "cp %s %s/%s", w->path, w->folder, name);
    assert_int_equal(system(command), 0);
}

/* Only the last one of which the record speaks counts. */
static void an_older_checkpoint_is_not_used_and_a_newer_one_than_the_database_neither(void **state)
{
    static uint8_t old[CHECKPOINT_FILE_MAX], new[CHECKPOINT_FILE_MAX];
    world w;
    (void)state;
    world_with_checkpoint(&w);
    size_t old_len = read_checkpoint(&w, false, old);
    copy_to(&w, "older.db", false);
    cb_tree_head remembered = w.signer->remembered;
    world_open(&w);
    live_until_checkpoint(&w);
    world_close(&w);
    w.options.checkpoint = USE_ONLY;
    size_t new_len = read_checkpoint(&w, false, new);
    write_checkpoint(&w, false, old, old_len);
    reads_everything(&w);
    copy_to(&w, "older.db", true);
    assert_int_equal(cb_store_open(&w.options, &w.store), CB_E_HSM_ROLLED_BACK);
    w.signer->remembered = remembered; /* as if it had been put back, too */
    goes_on(&w);
    write_checkpoint(&w, false, new, new_len);
    reads_everything(&w);
    world_end(&w);
}

static void one_that_waited_for_its_place_is_found(void **state)
{
    world w;
    char kept[160], next[160];
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    checkpoint_name(&w, false, kept);
    checkpoint_name(&w, true, next);
    assert_int_equal(rename(kept, next), 0);
    goes_on(&w);
    assert_true(has_checkpoint(&w, false) && !has_checkpoint(&w, true));
    write_checkpoint(&w, true, (const uint8_t *)"half", 4); /* of a crash while it was written */
    goes_on(&w);
    world_end(&w);
}

/* Where nobody remembers anything, nothing covers a leaf about a checkpoint. */
static void after_a_key_service_was_set_up_anew_everything_is_read(void **state)
{
    world w;
    (void)state;
    world_with_checkpoint(&w);
    w.options.checkpoint = USE_ONLY;
    w.signer->remembered = (cb_tree_head){0, cb_sha256((cb_bytes){0})};
    reads_everything(&w);
    reads_everything(&w);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK); /* now it remembers a head */
    world_close(&w);
    goes_on(&w);
    world_end(&w);
}

static void none_is_made_or_used_where_none_is_wanted(void **state)
{
    world w;
    cb_evidence_summary before, after;
    (void)state;
    world_with_checkpoint(&w);
    assert_int_equal(verify_file(&w, &before), CB_OK);
    w.options.checkpoint = CB_CHECKPOINT_NONE;
    reads_everything(&w);
    world_open(&w);
    for (int i = 0; i < 20; i++)
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, &after), CB_OK);
    assert_int_equal(after.checkpoints, before.checkpoints);
    world_end(&w);
}

static void a_lost_one_is_replaced_at_the_next_start(void **state)
{
    world w;
    char name[160];
    (void)state;
    world_with_checkpoint(&w);
    checkpoint_name(&w, false, name);
    assert_int_equal(unlink(name), 0);
    world_open(&w);
    live_until_checkpoint(&w);
    world_close(&w);
    goes_on(&w);
    world_end(&w);
}

static void where_none_can_be_written_everything_else_goes_on(void **state)
{
    world w;
    char next[160];
    (void)state;
    world_with_checkpoint(&w);
    checkpoint_name(&w, true, next);
    assert_int_equal(mkdir(next, 0700), 0);
    world_open(&w);
    for (int i = 0; i < 40; i++)
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    goes_on(&w);
    assert_int_equal(rmdir(next), 0);
    world_open(&w);
    live_until_checkpoint(&w);
    world_close(&w);
    goes_on(&w);
    world_end(&w);
}

/* ---- A crash while the next one is made ---- */

typedef struct step {
    const char *name;
} step;

static void die(void *context, const char *name)
{
    const step *at = context;
    if (strcmp(name, at->name) == 0)
        kill(getpid(), SIGKILL);
}

static void live_until_killed(world *w, step *at)
{
    w->options.probe = die;
    w->options.probe_context = at;
    world_open(w);
    for (int i = 0; i < 3000; i++) {
        tap_once(w, NULL, NULL);
        usleep(1000);
    }
    _exit(1);
}

static void there_is_one_at_any_time(void **state)
{
    static const char *const steps[] = {"checkpoint.sorted", "checkpoint.written",
                                        "checkpoint.said", "checkpoint.kept"};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        world w;
        step at = {steps[i]};
        int status = 0;
        uint64_t from = 0;
        cb_checkpoint before, last;
        world_with_checkpoint(&w);
        world_open(&w);
        last_checkpoint(&w, &before);
        world_close(&w);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            live_until_killed(&w, &at);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        world_open(&w);
        assert_int_equal(after_start(&w, &from), CB_OK);
        last_checkpoint(&w, &last);
        assert_true(from == before.tree.size || from == last.tree.size);
        assert_int_equal(after_reading(&w), CB_OK);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_goes_on_from_a_checkpoint_and_reads_the_rest_later),
        cmocka_unit_test(words_from_a_checkpoint_are_those_of_the_record),
        cmocka_unit_test(a_checkpoint_of_which_a_byte_was_changed_is_not_used),
        cmocka_unit_test(a_checkpoint_that_is_cut_or_longer_is_not_used),
        cmocka_unit_test(what_is_no_file_is_not_read),
        cmocka_unit_test(a_checkpoint_of_another_database_is_not_used),
        cmocka_unit_test(an_older_checkpoint_is_not_used_and_a_newer_one_than_the_database_neither),
        cmocka_unit_test(one_that_waited_for_its_place_is_found),
        cmocka_unit_test(after_a_key_service_was_set_up_anew_everything_is_read),
        cmocka_unit_test(none_is_made_or_used_where_none_is_wanted),
        cmocka_unit_test(a_lost_one_is_replaced_at_the_next_start),
        cmocka_unit_test(where_none_can_be_written_everything_else_goes_on),
        cmocka_unit_test(there_is_one_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
