/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/feed.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "hsm/durable.h"
#include "hsm/feed_set.h"
#include "test.h"

static char folder[64];
static char path[128];

static int fresh(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/cardbroker-feed-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/revocations", folder);
    good(cb_feed_make(path));
    return 0;
}

static int gone(void **state)
{
    (void)state;
    char beside[160];
    snprintf(beside, sizeof beside, "%s" CB_FEED_RESUMED, path);
    unlink(beside);
    unlink(path);
    return rmdir(folder);
}

/* Entries after a head; kinds go round, subjects are known by their number. */
static cb_feed_entry entry_of(uint64_t number)
{
    cb_feed_entry entry = {.number = number, .kind = CB_FEED_CARD_REVOKED, .time = 1000};
    for (unsigned i = 0; i < 8; i++)
        entry.subject.bytes[8 + i] = (uint8_t)(number >> (8 * i));
    return entry;
}

static void extend(cb_feed *feed, uint64_t from, size_t count)
{
    static cb_feed_entry entries[CB_FEED_EXTEND_MAX];
    for (size_t i = 0; i < count; i++)
        entries[i] = entry_of(from + i);
    good(cb_feed_extend(feed, entries, count));
}

static cb_id card(uint64_t number) { return entry_of(number).subject; }

static void what_was_told_outlives_the_process(void **state)
{
    cb_feed *feed;
    (void)state;
    good(cb_feed_open(path, &feed));
    assert_int_equal(cb_feed_now(feed).number, 0);
    extend(feed, 1, 3);
    cb_feed_head head = cb_feed_now(feed);
    assert_int_equal(head.number, 3);
    cb_feed_close(&feed);
    good(cb_feed_open(path, &feed));
    cb_feed_head again = cb_feed_now(feed);
    assert_memory_equal(&again.hash, &head.hash, sizeof head.hash);
    for (uint64_t i = 1; i <= 3; i++) {
        cb_id id = card(i);
        expect(CB_E_CARD_REVOKED, cb_feed_card(feed, &id));
        good(cb_feed_terminal(feed, &id));
        good(cb_feed_key(feed, &id));
    }
    cb_id id = card(4);
    good(cb_feed_card(feed, &id));
    cb_feed_close(&feed);
}

static void the_hash_chain_is_as_documented(void **state)
{
    cb_feed_entry entry = {
        .number = 0x0102030405060708, .kind = CB_FEED_KEY_RETIRED, .time = 0x1112131415161718};
    cb_digest previous;
    uint8_t text[18 + 32 + 8 + 1 + 16 + 8];
    (void)state;
    memset(&previous, 0xAA, sizeof previous);
    memset(&entry.subject, 0xBB, sizeof entry.subject);
    memcpy(text, "cardbroker feed 1", 18);
    memset(text + 18, 0xAA, 32);
    memcpy(text + 50, "\1\2\3\4\5\6\7\10\5", 9);
    memset(text + 59, 0xBB, 16);
    memcpy(text + 75, "\x11\x12\x13\x14\x15\x16\x17\x18", 8);
    cb_digest expected = cb_sha256(CB_BYTES_OF(text)), is = cb_feed_hash(&previous, &entry);
    assert_memory_equal(&is, &expected, sizeof is);
}

static void kinds_do_what_they_say(void **state)
{
    cb_feed *feed;
    cb_id id = cb_id_new();
    (void)state;
    good(cb_feed_open(path, &feed));
    static const uint8_t kinds[] = {
        CB_FEED_CARD_SUSPENDED, CB_FEED_CARD_RESUMED, CB_FEED_TERMINAL_REVOKED, CB_FEED_KEY_RETIRED,
        CB_FEED_CARD_SUSPENDED, CB_FEED_CARD_REVOKED, CB_FEED_CARD_RESUMED};
    static const cb_error cards[] = {
        CB_E_CARD_SUSPENDED, CB_OK, CB_OK, CB_OK, CB_E_CARD_SUSPENDED, CB_E_CARD_REVOKED,
        CB_E_CARD_REVOKED};
    static const cb_error resumed[] = {
        CB_E_HSM_FEED_BEHIND, CB_OK, CB_OK, CB_OK, CB_E_HSM_FEED_BEHIND, CB_E_CARD_REVOKED,
        CB_E_CARD_REVOKED};
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_feed_entry entry = {i + 1, kinds[i], id, 0};
        good(cb_feed_extend(feed, &entry, 1));
        expect(resumed[i], cb_feed_resume(feed, &id));
        expect(cards[i], cb_feed_card(feed, &id));
        expect(i >= 2 ? CB_E_TERMINAL_REVOKED : CB_OK, cb_feed_terminal(feed, &id));
        expect(i >= 3 ? CB_E_HSM_KEY_RETIRED : CB_OK, cb_feed_key(feed, &id));
    }
    cb_feed_close(&feed);
}

static void say(cb_feed *feed, uint8_t kind, const cb_id *subject)
{
    cb_feed_entry entry = {cb_feed_now(feed).number + 1, kind, *subject, 0};
    good(cb_feed_extend(feed, &entry, 1));
}

/* What one process sees, another that was there before, and one that comes after. */
static void all_say(cb_error error, cb_feed *feed, cb_feed *other, const cb_id *id)
{
    cb_feed *later;
    expect(error, cb_feed_card(feed, id));
    good(cb_feed_refresh(other));
    expect(error, cb_feed_card(other, id));
    good(cb_feed_open(path, &later));
    expect(error, cb_feed_card(later, id));
    cb_feed_close(&later);
}

static void only_a_manager_resumes_a_card_and_only_what_was_suspended_before(void **state)
{
    cb_feed *feed, *other;
    cb_id id = cb_id_new(), second = cb_id_new();
    (void)state;
    good(cb_feed_open(path, &feed));
    good(cb_feed_open(path, &other));
    expect(CB_E_HSM_FEED_BEHIND, cb_feed_resume(feed, &id));
    say(feed, CB_FEED_CARD_RESUMED, &id);
    expect(CB_E_HSM_FEED_BEHIND, cb_feed_resume(feed, &id));
    all_say(CB_OK, feed, other, &id);
    say(feed, CB_FEED_CARD_SUSPENDED, &id);
    say(feed, CB_FEED_CARD_SUSPENDED, &second);
    expect(CB_E_HSM_FEED_BEHIND, cb_feed_resume(feed, &id));
    for (int i = 0; i < 3; i++)
        say(feed, CB_FEED_CARD_RESUMED, &id);
    say(feed, CB_FEED_CARD_RESUMED, &second);
    all_say(CB_E_CARD_SUSPENDED, feed, other, &id);
    good(cb_feed_resume(feed, &id));
    good(cb_feed_resume(feed, &id));
    all_say(CB_OK, feed, other, &id);
    all_say(CB_E_CARD_SUSPENDED, feed, other, &second);
    /* What lifted one suspension does not lift the next. */
    say(feed, CB_FEED_CARD_SUSPENDED, &id);
    all_say(CB_E_CARD_SUSPENDED, feed, other, &id);
    say(feed, CB_FEED_CARD_RESUMED, &id);
    all_say(CB_E_CARD_SUSPENDED, feed, other, &id);
    good(cb_feed_resume(feed, &id));
    all_say(CB_OK, feed, other, &id);
    say(feed, CB_FEED_CARD_REVOKED, &id);
    expect(CB_E_CARD_REVOKED, cb_feed_resume(feed, &id));
    all_say(CB_E_CARD_REVOKED, feed, other, &id);
    cb_feed_close(&other);
    cb_feed_close(&feed);
}

static void a_resumption_that_was_damaged_or_lost_lifts_nothing(void **state)
{
    char beside[160];
    cb_feed *feed;
    cb_id id = cb_id_new();
    struct stat about;
    (void)state;
    snprintf(beside, sizeof beside, "%s" CB_FEED_RESUMED, path);
    good(cb_feed_open(path, &feed));
    say(feed, CB_FEED_CARD_SUSPENDED, &id);
    say(feed, CB_FEED_CARD_RESUMED, &id);
    good(cb_feed_resume(feed, &id));
    int fd = open(beside, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &about) == 0 && about.st_size >= 64);
    for (off_t at = about.st_size - 64; at < about.st_size; at++) {
        uint8_t byte;
        good(cb_feed_card(feed, &id));
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        expect(CB_E_CARD_SUSPENDED, cb_feed_card(feed, &id));
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    assert_int_equal(ftruncate(fd, 0), 0);
    expect(CB_E_CARD_SUSPENDED, cb_feed_card(feed, &id));
    close(fd);
    cb_feed_close(&feed);
}

static void no_more_is_remembered_than_the_limit(void **state)
{
    static cb_feed_entry more[8];
    cb_feed *feed;
    struct stat about;
    (void)state;
    good(cb_feed_open(path, &feed));
    cb_feed_limit(feed, 12);
    extend(feed, 1, 10);
    for (size_t i = 0; i < 8; i++)
        more[i] = entry_of(9 + i);
    expect(CB_E_STORE_FULL, cb_feed_extend(feed, more, 8));
    assert_int_equal(cb_feed_now(feed).number, 10);
    good(cb_feed_extend(feed, more, 4));
    expect(CB_E_STORE_FULL, cb_feed_extend(feed, more, 5));
    good(cb_feed_extend(feed, more, 4)); /* known ones again */
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, CB_DURABLE_SIZE + 12 * CB_FEED_RECORD);
    /* A limit that was lowered forgets nothing. */
    cb_feed_limit(feed, 5);
    cb_id id = card(12);
    good(cb_feed_refresh(feed));
    expect(CB_E_CARD_REVOKED, cb_feed_card(feed, &id));
    expect(CB_E_STORE_FULL, cb_feed_extend(feed, more, 5));
    cb_feed_close(&feed);
}

static void another_history_is_refused(void **state)
{
    cb_feed *feed;
    (void)state;
    good(cb_feed_open(path, &feed));
    extend(feed, 1, 10);
    cb_feed_head head = cb_feed_now(feed), other = head;
    good(cb_feed_compare(feed, &head));
    other.number++;
    expect(CB_E_HSM_FEED_BEHIND, cb_feed_compare(feed, &other));
    other.number -= 2;
    expect(CB_E_HSM_ROLLED_BACK, cb_feed_compare(feed, &other));
    other = head;
    other.hash.bytes[31] ^= 1;
    expect(CB_E_HSM_ROLLED_BACK, cb_feed_compare(feed, &other));

    /* The same entries again, and some more: no harm. */
    extend(feed, 1, 10);
    extend(feed, 6, 7);
    assert_int_equal(cb_feed_now(feed).number, 12);
    cb_feed_entry forged = entry_of(12);
    forged.kind = CB_FEED_CARD_RESUMED;
    expect(CB_E_HSM_ROLLED_BACK, cb_feed_extend(feed, &forged, 1));
    forged = entry_of(14);
    expect(CB_E_HSM_FEED_BEHIND, cb_feed_extend(feed, &forged, 1));
    forged = entry_of(0);
    expect(CB_E_ARGUMENT, cb_feed_extend(feed, &forged, 1));
    forged = entry_of(13);
    forged.kind = 6;
    expect(CB_E_ARGUMENT, cb_feed_extend(feed, &forged, 1));
    cb_feed_entry gap[2] = {entry_of(13), entry_of(15)};
    expect(CB_E_ARGUMENT, cb_feed_extend(feed, gap, 2));
    assert_int_equal(cb_feed_now(feed).number, 12);
    good(cb_feed_extend(feed, NULL, 0));
    cb_feed_close(&feed);
}

static void one_worker_hears_what_another_was_told(void **state)
{
    cb_feed *one, *two;
    (void)state;
    good(cb_feed_open(path, &one));
    good(cb_feed_open(path, &two));
    extend(one, 1, 5);
    cb_id id = card(5);
    good(cb_feed_card(two, &id));
    good(cb_feed_refresh(two));
    expect(CB_E_CARD_REVOKED, cb_feed_card(two, &id));
    /* Both tell the next ones. */
    extend(two, 6, 1);
    extend(one, 6, 2);
    good(cb_feed_refresh(two));
    assert_int_equal(cb_feed_now(two).number, 7);
    cb_feed_close(&one);
    cb_feed_close(&two);
}

static void processes_may_tell_at_the_same_time(void **state)
{
    enum { CHILDREN = 4, ENTRIES = 60 };
    pid_t pid[CHILDREN];
    cb_feed *feed;
    uint64_t number = 0;
    (void)state;
    for (int c = 0; c < CHILDREN; c++) {
        pid[c] = fork();
        if (pid[c] > 0)
            continue;
        if (cb_feed_open(path, &feed))
            _exit(1);
        for (uint64_t i = 1; i <= ENTRIES; i++) {
            cb_feed_entry entry = entry_of(i);
            if (cb_feed_extend(feed, &entry, 1))
                _exit(2);
        }
        cb_feed_close(&feed);
        _exit(0);
    }
    for (int c = 0; c < CHILDREN; c++) {
        int status;
        waitpid(pid[c], &status, 0);
        assert_int_equal(status, 0);
    }
    good(cb_feed_open(path, &feed));
    assert_int_equal(cb_feed_now(feed).number, ENTRIES);
    cb_feed_close(&feed);
    good(cb_feed_peek(path, &number));
    assert_int_equal(number, ENTRIES);
}

static void append_bytes(const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static void what_a_crash_left_is_cut_off(void **state)
{
    static const uint8_t garbage[200] = {1, 2, 3};
    cb_feed *feed, *other;
    struct stat about;
    (void)state;
    for (size_t len = 1; len < sizeof garbage; len += 33) {
        good(cb_feed_open(path, &feed));
        uint64_t number = cb_feed_now(feed).number;
        extend(feed, number + 1, 2);
        good(cb_feed_open(path, &other));
        cb_feed_close(&feed);
        append_bytes(garbage, len);
        /* A worker that runs on, and one that starts. */
        good(cb_feed_refresh(other));
        assert_int_equal(cb_feed_now(other).number, number + 2);
        append_bytes(garbage, len);
        good(cb_feed_open(path, &feed));
        assert_int_equal(cb_feed_now(feed).number, number + 2);
        assert_int_equal(stat(path, &about), 0);
        assert_int_equal(about.st_size, CB_DURABLE_SIZE + (number + 2) * CB_FEED_RECORD);
        extend(feed, number + 3, 1);
        cb_feed_close(&feed);
        cb_feed_close(&other);
    }
}

static void flip(off_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void what_was_edited_is_refused(void **state)
{
    cb_feed *feed;
    (void)state;
    good(cb_feed_open(path, &feed));
    extend(feed, 1, 3);
    extend(feed, 4, 1);
    cb_feed_close(&feed);
    for (off_t at = 0; at < 4 * CB_FEED_RECORD; at += 7) {
        flip(CB_DURABLE_SIZE + at);
        expect(CB_E_HSM_RECORD, cb_feed_open(path, &feed));
        assert_null(feed);
        flip(CB_DURABLE_SIZE + at);
    }
    /* The newer page is lost: the head before is believed, which covers less. */
    flip(20);
    good(cb_feed_open(path, &feed));
    assert_int_equal(cb_feed_now(feed).number, 3);
    cb_feed_close(&feed);
    flip(CB_DURABLE_PAGE + 20); /* the other one was written again */
    good(cb_feed_open(path, &feed));
    assert_int_equal(cb_feed_now(feed).number, 3);
    cb_feed_close(&feed);
    flip(20);
    flip(CB_DURABLE_PAGE + 20);
    expect(CB_E_HSM_RECORD, cb_feed_open(path, &feed));
}

/* What would be written after it would not count, and a revocation be acknowledged and lost. */
static void nothing_is_remembered_once_the_sequence_is_used_up(void **state)
{
    cb_feed *feed;
    cb_durable last = {.sequence = UINT64_MAX - 2};
    cb_digest none = {{0}};
    cb_feed_entry entry = entry_of(1);
    int fd;
    (void)state;
    good(cb_feed_make(path));
    good(cb_durable_open(path, &fd));
    good(cb_durable_write(fd, &last, 0, &none));
    expect(CB_E_HSM_RECORD, cb_durable_write(fd, &last, 0, &none));
    close(fd);
    expect(CB_E_HSM_RECORD, cb_feed_open(path, &feed));
    unlink(path);
    last = (cb_durable){.sequence = UINT64_MAX - 3};
    good(cb_feed_make(path));
    good(cb_durable_open(path, &fd));
    good(cb_durable_write(fd, &last, 0, &none));
    close(fd);
    good(cb_feed_open(path, &feed)); /* which writes it once more */
    expect(CB_E_HSM_RECORD, cb_feed_extend(feed, &entry, 1));
    assert_int_equal(cb_feed_now(feed).number, 0);
    cb_feed_close(&feed);
}

static void a_file_that_shrank_or_went_is_refused(void **state)
{
    cb_feed *feed;
    (void)state;
    good(cb_feed_open(path, &feed));
    extend(feed, 1, 3);
    assert_int_equal(truncate(path, CB_DURABLE_SIZE + CB_FEED_RECORD), 0);
    expect(CB_E_HSM_ROLLED_BACK, cb_feed_refresh(feed));
    cb_feed_close(&feed);
    expect(CB_E_HSM_RECORD, cb_feed_open(path, &feed));
    unlink(path);
    good(cb_feed_make(path));
    good(cb_feed_open(path, &feed));
    extend(feed, 1, 3);
    unlink(path);
    expect(CB_E_HSM_ROLLED_BACK, cb_feed_refresh(feed));
    cb_feed_close(&feed);
    expect(CB_E_IO, cb_feed_open(path, &feed)); /* nobody makes one without being told */
}

static void a_set_holds_what_was_marked(void **state)
{
    enum { MANY = 200000 };
    cb_feed_set set;
    (void)state;
    cb_feed_set_init(&set);
    cb_id id = card(1);
    assert_int_equal(cb_feed_set_marks(&set, &id, NULL), 0);
    for (uint64_t i = 0; i < MANY; i++) {
        id = card(i);
        good(cb_feed_set_reserve(&set, 1));
        cb_feed_set_mark(&set, &id, (uint8_t)(1 << i % 4), 0);
    }
    assert_int_equal(set.count, MANY);
    for (uint64_t i = 0; i < 2 * MANY; i++) {
        id = card(i);
        assert_int_equal(cb_feed_set_marks(&set, &id, NULL), i < MANY ? 1 << i % 4 : 0);
    }
    cb_feed_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_told_outlives_the_process, fresh, gone),
        cmocka_unit_test(the_hash_chain_is_as_documented),
        cmocka_unit_test_setup_teardown(kinds_do_what_they_say, fresh, gone),
        cmocka_unit_test_setup_teardown(
            only_a_manager_resumes_a_card_and_only_what_was_suspended_before, fresh, gone),
        cmocka_unit_test_setup_teardown(a_resumption_that_was_damaged_or_lost_lifts_nothing, fresh,
                                        gone),
        cmocka_unit_test_setup_teardown(no_more_is_remembered_than_the_limit, fresh, gone),
        cmocka_unit_test_setup_teardown(another_history_is_refused, fresh, gone),
        cmocka_unit_test_setup_teardown(one_worker_hears_what_another_was_told, fresh, gone),
        cmocka_unit_test_setup_teardown(processes_may_tell_at_the_same_time, fresh, gone),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_cut_off, fresh, gone),
        cmocka_unit_test_setup_teardown(what_was_edited_is_refused, fresh, gone),
        cmocka_unit_test_setup_teardown(nothing_is_remembered_once_the_sequence_is_used_up, fresh,
                                        gone),
        cmocka_unit_test_setup_teardown(a_file_that_shrank_or_went_is_refused, fresh, gone),
        cmocka_unit_test(a_set_holds_what_was_marked),
    };
    return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
