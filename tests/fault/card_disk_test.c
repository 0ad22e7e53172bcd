/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card's state file while each call to the disk fails in turn, and while what stands in its place
 * is no state. Whatever fails: what the card said of a PIN or counted is in the file, the file is
 * whole, and no comparison is had for nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "cardlink/card/reader.h"
#include "tests/support/fault_counter.h"
#include "tests/support/faults.h"
#include "vpiv.h"
#include "world.h"

/* What the flow returns when the card said what is not in its file; no listed error. */
#define WRONG CB_ERROR_COUNT

static world w;
static char folder[] = "/tmp/cb-card-disk-XXXXXX";
static const char file[] = "card", beside[] = "card.new", lock[] = "card.lock";
static const char *typed_pin;
static cb_card_claim claim;
static bool told_wrong; /* the card told of a wrong PIN */

/* ---- A disk that fails ---- */

static fault_counter counter;
static int failure = EIO;

__attribute__((constructor)) static void make_counter(void) { fault_counter_make(&counter); }

static bool fails(void)
{
    bool unlucky = fault_counter_strikes(&counter);
    if (unlucky)
        errno = failure;
    return unlucky;
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    unsigned mode = flags & O_CREAT ? va_arg(rest, unsigned) : 0;
    va_end(rest);
    return fails() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

ssize_t read(int fd, void *data, size_t len)
{
    return fails() ? -1 : syscall(SYS_read, fd, data, len);
}

/* A disk that is full takes a part first. */
ssize_t write(int fd, const void *data, size_t len)
{
    if (!fails())
        return syscall(SYS_write, fd, data, len);
    if (syscall(SYS_write, fd, data, len / 2) < 0)
        return -1;
    errno = failure;
    return -1;
}

int fsync(int fd) { return fails() ? -1 : (int)syscall(SYS_fsync, fd); }

int rename(const char *from, const char *to)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    return fails() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static void arm(unsigned nth, bool lasting) { fault_counter_arm(&counter, nth, lasting); }
static unsigned disarm(void) { return fault_counter_disarm(&counter); }
static void where(void) { fault_counter_where(&counter); }
static const fault_kind disk_faults = {"disk", arm, disarm, where, false};

/* ---- Taps ---- */

static void fresh(void *context)
{
    (void)context;
    cb_vcard_close(&w.card);
    unlink(beside);
    assert_int_equal(world_state_write(file, &w.first), CB_OK);
}

static void look_for_wrong(const cb_buf *answers)
{
    cb_script read;
    assert_int_equal(cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read), CB_OK);
    for (size_t i = 0; i < read.count; i++)
        told_wrong = told_wrong || cb_answer_status(read.item[i].apdu) >> 4 == 0x63C;
}

static cb_error tap(void *state, cb_buf *script, cb_buf *answers)
{
    cb_error error = world_begin(&w, state, script);
    if (!error) {
        world_play(w.card, script, answers);
        error = world_challenge(&w, state, answers, (typed){typed_pin, NULL}, script);
    }
    if (!error) {
        world_play(w.card, script, answers);
        look_for_wrong(answers);
        error = world_finish(&w, state, answers, &claim);
    }
    return error;
}

static cb_error run(void *context)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    void *state = world_state();
    (void)context;
    told_wrong = false;
    claim = (cb_card_claim){0};
    cb_error error = cb_vcard_open(file, &w.card);
    if (!error) {
        error = tap(state, &script, &answers);
        cb_vcard_reset(w.card);
    }
    cb_profile_native.end(state);
    free(state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

/* What is durable is at least what was said. */
static void after(void *context, cb_error result, bool struck)
{
    cb_vcard_state now;
    uint8_t tries = w.first.pin_tries;
    bool right = strcmp(typed_pin, WORLD_PIN) == 0;
    (void)context, (void)struck;
    assert_int_equal(world_state_read(file, &now), CB_OK);
    assert_memory_equal(now.pin, w.first.pin, sizeof now.pin);
    assert_int_equal(now.life_cycle, w.first.life_cycle);
    assert_true(now.pin_tries == tries || now.pin_tries == tries - 1);
    assert_true(now.counter == w.first.counter || now.counter == w.first.counter + 1);
    if (told_wrong || claim.pin == CB_PIN_WRONG)
        assert_int_equal(now.pin_tries, tries - 1);
    if (result == CB_OK) {
        assert_int_equal(claim.pin, right ? CB_PIN_VERIFIED : CB_PIN_WRONG);
        assert_int_equal(now.counter, claim.counter);
    }
    /* With power again, the card knows what the file knows. */
    if (w.card)
        cb_vcard_reset(w.card);
    if (w.card)
        assert_int_equal(cb_vcard_state_of(w.card)->pin_tries, now.pin_tries);
    cb_vcard_close(&w.card);
    assert_int_equal(run(NULL), CB_OK);
    assert_true(access(beside, F_OK) != 0);
    cb_vcard_close(&w.card);
}

static void what_a_card_said_is_in_its_file_whatever_fails(void **state)
{
    static const fault_flow flow = {"a tap", fresh, run, after};
    static const char *const pins[] = {WORLD_PIN, "9999"};
    static const int failures[] = {EIO, ENOSPC, EROFS};
    (void)state;
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
            typed_pin = pins[p];
            failure = failures[i];
            fault_each(&disk_faults, &flow, NULL, 0);
        }
}

/* ---- The same of a card of several applications, in the other format ---- */

static vpiv_card staff;

static void lay_staff_card(void *context)
{
    (void)context;
    cb_vcard_close(&w.card);
    unlink(beside);
    assert_int_equal(cb_file_replace(file, cb_buf_bytes(&staff.memory.durable), 0600), CB_OK);
}

/* A card that cannot write says so, and a terminal then has no success. */
static cb_error verify_pin(void *context)
{
    (void)context;
    told_wrong = false;
    cb_error error = cb_vcard_open(file, &w.card);
    uint16_t status = error ? CB_SW_MEMORY : vpiv_select(w.card);
    if (!error && status == CB_SW_OK)
        status = vpiv_verify(w.card, typed_pin);
    told_wrong = status == 0x63C2;
    return error ? error : status == CB_SW_OK || told_wrong ? CB_OK : CB_E_CARD_STATUS;
}

static uint8_t tries_in_file(void)
{
    cb_buf content = CB_BUF(CB_CARD_FILE_MAX);
    cb_card_content read;
    cb_vcard *card;
    assert_int_equal(cb_card_file_read(file, &content), CB_OK);
    assert_int_equal(cb_card_content_parse(cb_buf_bytes(&content), &read), CB_OK);
    assert_int_equal(cb_vcard_of(&read, NULL, &card), CB_OK);
    const cb_vpiv_application *piv = cb_vcard_applet(card, &cb_applet_piv);
    uint8_t tries = piv->state.pin_tries;
    assert_memory_equal(piv->state.key, staff.first.key, sizeof staff.first.key);
    cb_vcard_close(&card);
    cb_buf_free(&content);
    return tries;
}

static void tries_are_what_was_said(void *context, cb_error result, bool struck)
{
    uint8_t tries = tries_in_file();
    (void)context, (void)struck;
    assert_true(tries == CB_VPIV_PIN_TRIES || tries == CB_VPIV_PIN_TRIES - 1);
    if (told_wrong)
        assert_int_equal(tries, CB_VPIV_PIN_TRIES - 1);
    else if (result == CB_OK)
        assert_int_equal(tries, CB_VPIV_PIN_TRIES);
    if (w.card) {
        cb_vcard_reset(w.card); /* and the card knows what the file knows */
        assert_int_equal(vpiv_select(w.card), CB_SW_OK);
        assert_int_equal(vpiv_verify(w.card, "111111"), 0x63C0 | (tries - 1));
    }
    cb_vcard_close(&w.card);
}

static void a_try_is_in_the_file_before_anything_is_said_of_it(void **state)
{
    static const fault_flow flow = {"a PIV PIN", lay_staff_card, verify_pin,
                                    tries_are_what_was_said};
    static const char *const pins[] = {VPIV_CARD_PIN, "999999"};
    (void)state;
    vpiv_card_make(&staff, (const uint8_t[CB_VPIV_SLOTS]){CB_VCARD_EC_P256}, CB_VPIV_3DES);
    for (size_t p = 0; p < 2; p++) {
        typed_pin = pins[p];
        failure = ENOSPC;
        fault_each(&disk_faults, &flow, NULL, 0);
    }
    vpiv_card_free(&staff);
}

/* ---- What is no state ---- */

static void refused(cb_error expected)
{
    cb_vcard *card = NULL;
    assert_int_equal(cb_vcard_open(file, &card), expected);
    assert_null(card);
    assert_true(access(lock, F_OK) != 0);
}

static void put(cb_bytes content, mode_t mode)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_int_equal(write(fd, content.data, content.len), content.len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void a_damaged_file_is_refused_and_stays_as_it_is(void **state)
{
    cb_buf good = CB_BUF(CB_VCARD_STATE_MAX), now = CB_BUF(CB_VCARD_STATE_MAX);
    (void)state;
    unlink(lock);
    cb_vcard_state_put(&good, &w.first);
    for (size_t i = 0; i < good.len; i++) {
        good.data[i] ^= (uint8_t)(1U << (i % 8));
        put(cb_buf_bytes(&good), 0600);
        refused(CB_E_FORMAT);
        cb_buf_reset(&now);
        assert_int_equal(cb_file_read(file, &now), CB_OK);
        assert_true(cb_bytes_same(cb_buf_bytes(&now), cb_buf_bytes(&good)));
        good.data[i] ^= (uint8_t)(1U << (i % 8));
        put(cb_bytes_make(good.data, i), 0600);
        refused(CB_E_FORMAT);
    }
    /* Two files that were torn into one. */
    cb_vcard_state other = w.first;
    cb_buf spent = CB_BUF(CB_VCARD_STATE_MAX);
    other.pin_tries = 0;
    cb_vcard_state_put(&spent, &other);
    for (size_t i = 1; i < good.len; i += 7) {
        cb_buf_reset(&now);
        cb_buf_put(&now, cb_bytes_make(spent.data, i));
        cb_buf_put(&now, cb_bytes_make(good.data + i, good.len - i));
        bool whole = cb_bytes_same(cb_buf_bytes(&now), cb_buf_bytes(&spent)) ||
                     cb_bytes_same(cb_buf_bytes(&now), cb_buf_bytes(&good));
        put(cb_buf_bytes(&now), 0600);
        if (!whole)
            refused(CB_E_FORMAT);
    }
    static const uint8_t much[CB_CARD_FILE_MAX + 1];
    put(CB_BYTES_OF(much), 0600);
    refused(CB_E_TOO_LARGE);
    cb_buf_free(&good);
    cb_buf_free(&spent);
    cb_buf_free(&now);
}

static void only_a_file_of_one_name_and_owner_is_a_card(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cb_buf good = CB_BUF(CB_VCARD_STATE_MAX);
    (void)state;
    cb_vcard_state_put(&good, &w.first);
    unlink(file);
    refused(CB_E_NOT_FOUND);
    assert_int_equal(mkdir(file, 0700), 0);
    refused(CB_E_DENIED);
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    refused(CB_E_DENIED);
    unlink(file);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, file, sizeof file);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    refused(CB_E_DENIED);
    close(fd);
    unlink(file);
    for (mode_t mode = 0640; mode; mode = mode == 0640 ? 0604 : mode == 0604 ? 0620 : 0) {
        put(cb_buf_bytes(&good), mode);
        refused(CB_E_DENIED);
    }
    put(cb_buf_bytes(&good), 0600);
    assert_int_equal(link(file, "second"), 0);
    refused(CB_E_DENIED);
    unlink(file);
    assert_int_equal(symlink("second", file), 0);
    refused(CB_E_DENIED);
    unlink(file);
    unlink("second");
    assert_int_equal(symlink("nowhere", file), 0);
    refused(CB_E_DENIED);
    unlink(file);
    cb_buf_free(&good);
}

/* The place of a socket is not to take a file away. */
static void nothing_but_a_socket_makes_way_for_one(void **state)
{
    (void)state;
    put(cb_bytes_str("precious"), 0600);
    assert_false(cb_vcard_make_way(file));
    assert_int_equal(access(file, F_OK), 0);
    unlink(file);
    assert_true(cb_vcard_make_way(file));
}

static int begin(void **state)
{
    (void)state;
    world_make(&w, false);
    cb_vcard_close(&w.card);
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    world_free(&w);
    unlink(file);
    unlink(beside);
    unlink(lock);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_a_card_said_is_in_its_file_whatever_fails, fault_said),
        cmocka_unit_test_teardown(a_try_is_in_the_file_before_anything_is_said_of_it, fault_said),
        cmocka_unit_test(a_damaged_file_is_refused_and_stays_as_it_is),
        cmocka_unit_test(only_a_file_of_one_name_and_owner_is_a_card),
        cmocka_unit_test(nothing_but_a_socket_makes_way_for_one),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, begin, end);
}
