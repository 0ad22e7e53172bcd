/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The terminal's own log: how entries are written, what a power cut leaves of them, and what
 * happens when there is no room.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"
#include "cardlink/terminal/spool.h"

static char folder[64], path[96];

static cb_spool *begin(void)
{
    cb_spool *spool = NULL;
    cb_spool_remove(path);
    assert_int_equal(cb_spool_open(path, &spool), CB_OK);
    return spool;
}

static cb_spool *again(cb_spool *spool)
{
    cb_spool_close(&spool);
    assert_int_equal(cb_spool_open(path, &spool), CB_OK);
    return spool;
}

static void add(cb_spool *spool, const char *text)
{
    assert_int_equal(cb_spool_add(spool, CB_JOURNAL_TAP_ENDED, text), CB_OK);
}

/* What waits, and its last head, made anew from the entries. */
static cb_journal_head waiting(cb_spool *spool, uint64_t *count)
{
    cb_journal_head before, after;
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    assert_int_equal(cb_spool_batch(spool, &before, &entries, &after), CB_OK);
    *count = after.number - before.number;
    if (*count > 0)
        assert_int_equal(cb_journal_follow(cb_buf_bytes(&entries), &before), CB_OK);
    assert_true(cb_journal_same(&before, &after));
    cb_buf_free(&entries);
    return after;
}

static void an_entry_reads_as_it_was_written(void **state)
{
    cb_journal_entry entry = {
        .time = 1700000000000000, .event = CB_JOURNAL_STARTED, .text = "a=1 b.c"};
    cb_journal_entry back;
    cb_journal_head head = {0}, same = {0};
    cb_buf out = CB_BUF(1000);
    (void)state;
    assert_int_equal(cb_journal_put(&entry, &out), CB_OK);
    cb_cursor from = cb_cursor_over(cb_buf_bytes(&out));
    assert_int_equal(cb_journal_take(&from, &back, &head), CB_OK);
    assert_true(cb_cursor_done(&from));
    assert_int_equal(back.time, entry.time);
    assert_int_equal(back.event, entry.event);
    assert_string_equal(back.text, entry.text);
    assert_int_equal(head.number, 1);
    for (size_t i = 0; i < out.len; i++) { /* each byte counts */
        cb_journal_head other = {0};
        out.data[i] ^= 1;
        from = cb_cursor_over(cb_buf_bytes(&out));
        if (cb_journal_take(&from, &back, &other) == CB_OK)
            assert_false(cb_journal_same(&other, &head));
        out.data[i] ^= 1;
    }
    for (size_t len = 0; len < out.len; len++) {
        from = cb_cursor_over(cb_bytes_make(out.data, len));
        assert_int_equal(cb_journal_take(&from, &back, &same), CB_E_FORMAT);
        assert_int_equal(same.number, 0);
    }
    entry.text[0] = '\n';
    assert_int_equal(cb_journal_put(&entry, &out), CB_E_ARGUMENT);
    entry.text[0] = 'a';
    entry.event = 99;
    assert_int_equal(cb_journal_put(&entry, &out), CB_E_ARGUMENT);
    cb_buf_free(&out);
}

static void entries_stay_until_they_were_taken(void **state)
{
    uint64_t count;
    struct stat about;
    cb_spool *spool = begin();
    (void)state;
    assert_false(cb_spool_waits(spool));
    for (int i = 0; i < 150; i++)
        add(spool, "0190 accepted");
    spool = again(spool);
    assert_true(cb_spool_waits(spool));
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    cb_journal_head first = waiting(spool, &count);
    assert_int_equal(count, CB_JOURNAL_BATCH_ENTRIES);
    cb_journal_head wrong = first;
    wrong.hash.bytes[0] ^= 1;
    assert_int_equal(cb_spool_taken(spool, &wrong), CB_E_PROTOCOL);
    wrong = first;
    wrong.number = 1000;
    assert_int_equal(cb_spool_taken(spool, &wrong), CB_E_PROTOCOL);
    assert_int_equal(cb_spool_taken(spool, &first), CB_OK);
    assert_int_equal(cb_spool_taken(spool, &first), CB_OK);
    cb_journal_head last = waiting(spool, &count);
    assert_int_equal(count, 50);
    assert_int_equal(last.number, 150);
    assert_int_equal(cb_spool_taken(spool, &last), CB_OK);
    spool = again(spool);
    assert_false(cb_spool_waits(spool));
    add(spool, "next");
    last = waiting(spool, &count);
    assert_int_equal(last.number, 151);
    assert_int_equal(cb_spool_taken(spool, &first), CB_E_PROTOCOL); /* a broker that went back */
    cb_spool_close(&spool);
}

/* Every length at which power can be cut while the third entry is written. */
static void half_an_entry_at_the_end_is_cut_off(void **state)
{
    uint64_t count;
    cb_buf whole = CB_BUF(10000);
    cb_spool *spool = begin();
    (void)state;
    add(spool, "one");
    add(spool, "two");
    assert_int_equal(cb_file_read(path, &whole), CB_OK);
    size_t two = whole.len;
    cb_buf_reset(&whole);
    add(spool, "three");
    assert_int_equal(cb_file_read(path, &whole), CB_OK);
    for (size_t len = two; len < whole.len; len++) {
        assert_int_equal(cb_file_replace(path, cb_bytes_make(whole.data, len), 0600), CB_OK);
        spool = again(spool);
        waiting(spool, &count);
        assert_int_equal(count, 2);
        add(spool, "other");
        assert_int_equal(waiting(spool, &count).number, 3);
    }
    cb_buf_free(&whole);
    cb_spool_close(&spool);
}

static void what_was_changed_in_the_middle_is_no_log(void **state)
{
    cb_buf whole = CB_BUF(100000);
    cb_spool *spool = begin();
    (void)state;
    for (int i = 0; i < 20; i++)
        add(spool, "something that happened, in so many words");
    cb_spool_close(&spool);
    assert_int_equal(cb_file_read(path, &whole), CB_OK);
    for (size_t i = 0; i < whole.len - 400; i++) {
        if (i == 60) /* the end of the head's number and hash is looked at by the chain */
            i = 70;
        whole.data[i] ^= 1;
        assert_int_equal(cb_file_replace(path, cb_buf_bytes(&whole), 0600), CB_OK);
        assert_int_equal(cb_spool_open(path, &spool), CB_E_CONFIG);
        assert_null(spool);
        whole.data[i] ^= 1;
    }
    assert_int_equal(cb_file_replace(path, cb_bytes_make("", 0), 0600), CB_OK);
    assert_int_equal(cb_spool_open(path, &spool), CB_E_CONFIG);
    cb_buf_free(&whole);
}

/* Entries that were on the disk are not taken for one that was being written. */
static void entries_that_were_damaged_near_the_end_are_not_cut_off(void **state)
{
    cb_buf whole = CB_BUF(10000);
    cb_spool *spool = begin();
    (void)state;
    for (int i = 0; i < 5; i++)
        add(spool, "short");
    cb_spool_close(&spool);
    assert_int_equal(cb_file_read(path, &whole), CB_OK);
    size_t each = (whole.len - 48) / 5;
    for (size_t i = whole.len - 3 * each; i < whole.len - each; i++) {
        if (i == whole.len - 2 * each)
            continue; /* the first byte of a time can be what a cut left */
        whole.data[i] ^= 0x10;
        assert_int_equal(cb_file_replace(path, cb_buf_bytes(&whole), 0600), CB_OK);
        cb_error error = cb_spool_open(path, &spool);
        bool length = (whole.len - i) % each == each - 9;
        if (!length) /* a length that is wrong can be that of a long one, half written */
            assert_int_equal(error, CB_E_CONFIG);
        cb_spool_close(&spool);
        whole.data[i] ^= 0x10;
    }
    /* What a file system makes of the end of a file that was never written. */
    cb_buf_put(&whole, cb_bytes_make((uint8_t[100]){0}, 100));
    assert_int_equal(cb_file_replace(path, cb_buf_bytes(&whole), 0600), CB_OK);
    assert_int_equal(cb_spool_open(path, &spool), CB_OK);
    uint64_t count;
    assert_int_equal(waiting(spool, &count).number, 5);
    cb_spool_close(&spool);
    cb_buf_free(&whole);
}

static void nothing_of_it_is_left_when_it_is_removed(void **state)
{
    char beside[128];
    cb_spool *spool = begin();
    (void)state;
    cb_spool_close(&spool);
    snprintf(beside, sizeof beside, "%s.new", path); /* left by who was killed */
    assert_int_equal(cb_file_replace(beside, cb_bytes_str("x"), 0600), CB_OK);
    cb_spool_remove(path);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(beside, F_OK), -1);
}

static void a_full_log_takes_no_tap_and_then_nothing(void **state)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    cb_buf file = CB_BUF(CB_SPOOL_MAX * 2), filled = CB_BUF(CB_SPOOL_MAX * 2);
    cb_journal_head head = {0};
    struct stat about;
    uint64_t count;
    cb_spool *spool = begin();
    (void)state;
    assert_int_equal(cb_spool_room(spool), CB_OK);
    cb_spool_close(&spool);
    /* As adding one by one would have left it, without the waiting for the disk. */
    assert_int_equal(cb_file_read(path, &file), CB_OK);
    cb_journal_entry entry = {.time = 1, .event = CB_JOURNAL_TAP_ENDED}, back;
    memset(entry.text, 'x', CB_JOURNAL_TEXT_MAX);
    while (file.len + CB_JOURNAL_ENTRY_MAX + 8 <= CB_SPOOL_MAX - CB_SPOOL_RESERVE) {
        cb_buf_reset(&filled);
        assert_int_equal(cb_journal_put(&entry, &filled), CB_OK);
        cb_cursor from = cb_cursor_over(cb_buf_bytes(&filled));
        assert_int_equal(cb_journal_take(&from, &back, &head), CB_OK);
        cb_buf_put(&file, cb_buf_bytes(&filled));
        cb_buf_put(&file, cb_bytes_make(head.hash.bytes, 8));
    }
    assert_int_equal(cb_file_replace(path, cb_buf_bytes(&file), 0600), CB_OK);
    assert_int_equal(cb_spool_open(path, &spool), CB_OK);
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(cb_spool_add(spool, CB_JOURNAL_TAP_BEGUN, text), CB_E_TERMINAL_LOG);
    const cb_id tap = cb_id_new();
    char of_tap[CB_JOURNAL_TEXT_MAX + 1];
    cb_journal_tap(&tap, "", of_tap);
    while (cb_spool_room(spool) == CB_OK) /* who asks for room is told what adding finds */
        assert_int_equal(cb_spool_add(spool, CB_JOURNAL_TAP_BEGUN, of_tap), CB_OK);
    assert_int_equal(cb_spool_room(spool), CB_E_TERMINAL_LOG);
    assert_int_equal(cb_spool_add(spool, CB_JOURNAL_TAP_BEGUN, of_tap), CB_E_TERMINAL_LOG);
    cb_error error;
    int more = 0;
    while ((error = cb_spool_add(spool, CB_JOURNAL_TAP_ENDED, text)) == CB_OK)
        more++;
    assert_int_equal(error, CB_E_TERMINAL_LOG);
    assert_in_range(more, 200, 400);
    assert_int_equal(stat(path, &about), 0);
    assert_in_range(about.st_size, 1, CB_SPOOL_MAX);
    spool = again(spool); /* and nothing is lost */
    cb_journal_head taken = waiting(spool, &count);
    assert_int_equal(cb_spool_taken(spool, &taken), CB_OK);
    assert_int_equal(cb_spool_add(spool, CB_JOURNAL_TAP_ENDED, text), CB_OK);
    cb_buf_free(&file);
    cb_buf_free(&filled);
    cb_spool_close(&spool);
}

static void a_full_disk_is_said_and_leaves_no_half_entry(void **state)
{
    struct stat about;
    struct rlimit limit, old;
    uint64_t count;
    cb_spool *spool = begin();
    (void)state;
    add(spool, "one");
    assert_int_equal(stat(path, &about), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){(rlim_t)about.st_size + 5, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cb_error error = cb_spool_add(spool, CB_JOURNAL_TAP_ENDED, "two");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(error, CB_E_STORE_FULL);
    add(spool, "two again");
    assert_int_equal(waiting(spool, &count).number, 2);
    cb_spool_close(&spool);
}

static void a_log_that_was_erased_is_not_made_again(void **state)
{
    cb_spool *spool = begin();
    (void)state;
    add(spool, "one");
    cb_spool_remove(path);
    assert_int_equal(cb_spool_add(spool, CB_JOURNAL_STOPPED, ""), CB_E_IO);
    assert_false(cb_spool_waits(spool));
    assert_int_equal(access(path, F_OK), -1);
    cb_spool_close(&spool);
}

static void two_programs_take_turns(void **state)
{
    uint64_t count;
    cb_spool *one = begin(), *two = NULL;
    (void)state;
    assert_int_equal(cb_spool_open(path, &two), CB_OK);
    for (int i = 0; i < 10; i++) {
        add(one, "one");
        add(two, "two");
    }
    cb_journal_head last = waiting(one, &count);
    assert_int_equal(count, 20);
    assert_int_equal(cb_spool_taken(two, &last), CB_OK);
    assert_false(cb_spool_waits(one));
    add(one, "after");
    assert_int_equal(waiting(two, &count).number, 21);
    cb_spool_close(&one);
    cb_spool_close(&two);
}

static void what_must_not_stand_in_a_text_does_not(void **state)
{
    char long_text[300];
    cb_journal_entry entry;
    cb_journal_head before, after;
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    cb_spool *spool = begin();
    (void)state;
    add(spool, "a\nb\x1b[c\xff");
    memset(long_text, 'z', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    add(spool, long_text);
    assert_int_equal(cb_spool_batch(spool, &before, &entries, &after), CB_OK);
    cb_cursor from = cb_cursor_over(cb_buf_bytes(&entries));
    assert_int_equal(cb_journal_take(&from, &entry, &before), CB_OK);
    assert_string_equal(entry.text, "a-b--c-");
    assert_int_equal(cb_journal_take(&from, &entry, &before), CB_OK);
    assert_int_equal(strlen(entry.text), CB_JOURNAL_TEXT_MAX);
    cb_buf_free(&entries);
    cb_spool_close(&spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_reads_as_it_was_written),
        cmocka_unit_test(entries_stay_until_they_were_taken),
        cmocka_unit_test(half_an_entry_at_the_end_is_cut_off),
        cmocka_unit_test(what_was_changed_in_the_middle_is_no_log),
        cmocka_unit_test(entries_that_were_damaged_near_the_end_are_not_cut_off),
        cmocka_unit_test(nothing_of_it_is_left_when_it_is_removed),
        cmocka_unit_test(a_full_log_takes_no_tap_and_then_nothing),
        cmocka_unit_test(a_full_disk_is_said_and_leaves_no_half_entry),
        cmocka_unit_test(a_log_that_was_erased_is_not_made_again),
        cmocka_unit_test(two_programs_take_turns),
        cmocka_unit_test(what_must_not_stand_in_a_text_does_not),
    };
    snprintf(folder, sizeof folder, "%s/spool-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/t.log", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cb_spool_remove(path);
    rmdir(folder);
    return failed;
}
