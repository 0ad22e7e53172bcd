/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/memo.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hsm/durable.h"
#include "test.h"

/* More than the first two segments hold. */
enum { MANY = 4000 };

static char folder[64];
static char path[128];

static int fresh(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/cardbroker-memo-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/memo", folder);
    good(cb_durable_make(path));
    return 0;
}

static int gone(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static cb_id id_of(uint32_t number)
{
    cb_digest digest = cb_sha256(cb_bytes_make(&number, sizeof number));
    cb_id id;
    memcpy(id.bytes, digest.bytes, CB_ID_SIZE);
    return id;
}

static cb_digest value_of(uint32_t number)
{
    number ^= 0x80000000;
    return cb_sha256(cb_bytes_make(&number, sizeof number));
}

static void put(cb_memo *memo, uint32_t number, uint32_t value)
{
    cb_id id = id_of(number);
    cb_digest digest = value_of(value);
    good(cb_memo_put(memo, &id, &digest));
}

static void is(const cb_memo *memo, uint32_t number, uint32_t value)
{
    cb_id id = id_of(number);
    cb_digest seen, wanted = value_of(value);
    good(cb_memo_get(memo, &id, &seen));
    assert_memory_equal(&seen, &wanted, sizeof seen);
}

static cb_error get(const cb_memo *memo, uint32_t number)
{
    cb_id id = id_of(number);
    cb_digest seen;
    return cb_memo_get(memo, &id, &seen);
}

static void everything_is_found_again_and_nothing_else(void **state)
{
    cb_memo *memo;
    struct stat about;
    (void)state;
    good(cb_memo_open(path, &memo));
    expect(CB_E_NOT_FOUND, get(memo, 0));
    for (uint32_t i = 0; i < MANY; i++)
        put(memo, i, i);
    cb_memo_close(&memo);
    good(cb_memo_open(path, &memo));
    for (uint32_t i = 0; i < MANY; i++) {
        is(memo, i, i);
        expect(CB_E_NOT_FOUND, get(memo, MANY + i));
    }
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    /* Beyond the first two segments, and not more than the first four. */
    assert_true(about.st_size > (off_t)3 * CB_MEMO_FIRST_PAGES * CB_MEMO_PAGE);
    assert_true(about.st_size <= (off_t)15 * CB_MEMO_FIRST_PAGES * CB_MEMO_PAGE);
    cb_memo_close(&memo);
}

static void a_value_is_replaced_in_its_place(void **state)
{
    cb_memo *memo, *other;
    struct stat before, after;
    (void)state;
    good(cb_memo_open(path, &memo));
    good(cb_memo_open(path, &other));
    for (uint32_t i = 0; i < 100; i++)
        put(memo, i, i);
    assert_int_equal(stat(path, &before), 0);
    for (uint32_t i = 0; i < 100; i++)
        put(other, i, i + 7);
    for (uint32_t i = 0; i < 100; i++)
        is(memo, i, i + 7);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    cb_memo_close(&memo);
    cb_memo_close(&other);
}

static void a_damaged_entry_is_not_believed(void **state)
{
    cb_memo *memo;
    struct stat about;
    cb_id id = id_of(1);
    cb_digest value = value_of(2);
    (void)state;
    good(cb_memo_open(path, &memo));
    put(memo, 1, 1);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &about) == 0);
    for (off_t at = about.st_size - CB_MEMO_ENTRY; at < about.st_size; at++) {
        uint8_t byte, bad;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        bad = byte ^ 0x40;
        assert_int_equal(pwrite(fd, &bad, 1, at), 1);
        bool in_id = at < about.st_size - CB_MEMO_ENTRY + CB_ID_SIZE;
        expect(in_id ? CB_E_NOT_FOUND : CB_E_HSM_RECORD, get(memo, 1));
        if (!in_id)
            expect(CB_E_HSM_RECORD, cb_memo_put(memo, &id, &value));
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        is(memo, 1, 1);
    }
    close(fd);
    cb_memo_close(&memo);
}

/* A crash may leave any beginning of an entry: it is in nobody's way. */
static void what_a_crash_left_is_in_nobodys_way(void **state)
{
    cb_memo *memo;
    struct stat about;
    (void)state;
    for (off_t cut = 1; cut < CB_MEMO_ENTRY; cut++) {
        good(cb_durable_make(path));
        good(cb_memo_open(path, &memo));
        put(memo, 5, 5);
        assert_int_equal(stat(path, &about), 0);
        assert_int_equal(truncate(path, about.st_size - cut), 0);
        expect(cut > CB_MEMO_ENTRY - CB_ID_SIZE ? CB_E_NOT_FOUND : CB_E_HSM_RECORD, get(memo, 5));
        put(memo, 6, 6);
        is(memo, 6, 6);
        cb_memo_close(&memo);
        unlink(path);
    }
}

static void nobody_has_no_entry(void **state)
{
    cb_memo *memo;
    cb_id zero = {{0}};
    cb_digest value = value_of(1);
    (void)state;
    good(cb_memo_open(path, &memo));
    expect(CB_E_ARGUMENT, cb_memo_put(memo, &zero, &value));
    expect(CB_E_ARGUMENT, cb_memo_get(memo, &zero, &value));
    cb_memo_close(&memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_is_found_again_and_nothing_else, fresh, gone),
        cmocka_unit_test_setup_teardown(a_value_is_replaced_in_its_place, fresh, gone),
        cmocka_unit_test_setup_teardown(a_damaged_entry_is_not_believed, fresh, gone),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_in_nobodys_way, fresh, gone),
        cmocka_unit_test_setup_teardown(nobody_has_no_entry, fresh, gone),
    };
    return cmocka_run_group_tests_name("memo", tests, NULL, NULL);
}
