/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A real token on a disk whose power goes: of each object's file there is what was synced of it
 * last, and nothing of one that never was. Where a sync fails, what was written before it is still
 * read, and no later sync writes it (Linux reports the error once, and takes the pages for
 * written).
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "hsm/card_pair.h"
#include "hsm/sealed.h"
#include "tests/support/softhsm.h"
#include "tests/unit/base/test.h"

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_usleep(useconds_t time);
int __wrap_usleep(useconds_t time);

enum { FILES = 128, SIZE = 4096, PATH = 256 };

typedef struct copy {
    char path[PATH];
    uint8_t data[SIZE]; /* of a file: what is on the disk */
    size_t size;
    struct stat lost; /* what failed to be synced, and was not written since */
} copy;

static struct {
    copy copy[FILES];
    unsigned copies;
    unsigned syncs;
    unsigned fails; /* the sync of that number; 0: none */
    const char *fails_at; /* each sync of that file; NULL: none */
    bool asleep;    /* nothing is synced, and nobody told: who made it was killed before */
} disk;

static softhsm hsm;

static copy *copy_of(const char *path)
{
    for (unsigned i = 0; i < disk.copies; i++) {
        if (strcmp(disk.copy[i].path, path) == 0)
            return &disk.copy[i];
    }
    return NULL;
}

static copy *new_copy(const char *path)
{
    assert_true(disk.copies < FILES);
    copy *one = &disk.copy[disk.copies++];
    memset(one, 0, sizeof *one);
    snprintf(one->path, PATH, "%s", path);
    return one;
}

static void write_out(copy *one, const struct stat *about)
{
    memset(&one->lost, 0, sizeof one->lost);
    if (!S_ISREG(about->st_mode))
        return;
    assert_true(about->st_size <= SIZE);
    int fd = open(one->path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = read(fd, one->data, SIZE);
    assert_int_equal(got, about->st_size);
    one->size = (size_t)got;
    close(fd);
}

static bool is_lost(const copy *one, const struct stat *about)
{
    return one->lost.st_ino == about->st_ino && one->lost.st_mtim.tv_sec == about->st_mtim.tv_sec &&
           one->lost.st_mtim.tv_nsec == about->st_mtim.tv_nsec;
}

int __wrap_fsync(int fd)
{
    struct stat about;
    char link[64], path[PATH] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    assert_true(readlink(link, path, sizeof path - 1) > 0);
    assert_int_equal(fstat(fd, &about), 0);
    if (disk.asleep || strncmp(path, hsm.folder, strlen(hsm.folder)) != 0)
        return 0;
    copy *one = copy_of(path);
    if (!one)
        one = new_copy(path);
    if (++disk.syncs == disk.fails || (disk.fails_at && strcmp(path, disk.fails_at) == 0)) {
        one->lost = about;
        errno = EIO;
        return -1;
    }
    if (!is_lost(one, &about))
        write_out(one, &about);
    return 0;
}

static void each_object(void (*act)(const char *path))
{
    char pattern[PATH];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/tokens/*/*.object", hsm.folder);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        act(found.gl_pathv[i]);
    globfree(&found);
}

static void take_as_synced(const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    __wrap_fsync(fd);
    close(fd);
}

/* All that is there is on the disk. */
static void begin(void)
{
    memset(&disk, 0, sizeof disk);
    each_object(take_as_synced);
    disk.syncs = 0;
}

static void cut(const char *path)
{
    const copy *one = copy_of(path);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    if (one)
        assert_true(write(fd, one->data, one->size) == (ssize_t)one->size);
    close(fd);
}

static void power_goes(void) { each_object(cut); }

/* Of folders: since begin(). */
static bool was_synced(const char *pattern)
{
    glob_t found;
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", hsm.folder, pattern);
    assert_int_equal(glob(path, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    bool synced = copy_of(found.gl_pathv[0]) != NULL;
    globfree(&found);
    return synced;
}

static void is_on_the_disk(const char *path)
{
    uint8_t now[SIZE];
    const copy *one = copy_of(path);
    assert_non_null(one);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, now, SIZE) == (ssize_t)one->size);
    assert_memory_equal(now, one->data, one->size);
    close(fd);
}

static void everything_is_on_the_disk(void)
{
    each_object(is_on_the_disk);
    assert_true(was_synced("tokens/*-*"));
    assert_true(was_synced("tokens"));
}

/* ---- What is done with it ---- */

static cb_initialise_options options(cb_buf *so_pin, cb_buf *pin)
{
    *so_pin = softhsm_so_pin();
    *pin = softhsm_pin();
    return (cb_initialise_options){.token = softhsm_config(&hsm), .so_pin = so_pin, .pin = pin};
}

static cb_error add_generation(uint32_t *generation)
{
    cb_buf so_pin, pin;
    cb_initialise_options o = options(&so_pin, &pin);
    return cb_hsm_add_generation(&o, generation);
}

static cb_error make_key(cb_buf *sealed)
{
    cb_sealed_info info = {.holder = {{1}},
                           .service = "tax",
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_POSSESSION,
                           .uses = 1,
                           .sequence = 1};
    cb_buf public_key = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_keyring *keyring = softhsm_open(&hsm);
    cb_error error = cb_sealed_generate(keyring, &info, (cb_bytes){0}, sealed, &public_key, NULL);
    cb_keyring_close(&keyring);
    cb_buf_free(&public_key);
    return error;
}

/* Sealed anew in place, as its row in the database is. */
static cb_error rewrap(cb_buf *sealed)
{
    cb_buf anew = CB_BUF(CB_SEALED_MAX);
    cb_keyring *keyring = softhsm_open(&hsm);
    cb_error error = cb_sealed_rewrap(keyring, cb_buf_bytes(sealed), &anew);
    cb_keyring_close(&keyring);
    if (!error) {
        cb_buf_reset(sealed);
        cb_buf_put(sealed, cb_buf_bytes(&anew));
    }
    cb_buf_free(&anew);
    return error;
}

static void opens(const cb_buf *sealed, uint32_t generation)
{
    cb_open_key key = {0};
    cb_sealed_info info;
    cb_keyring *keyring = softhsm_open(&hsm);
    assert_int_equal(cb_sealed_check(keyring, cb_buf_bytes(sealed), &info), CB_OK);
    assert_int_equal(info.generation, generation);
    assert_int_equal(cb_sealed_open_believed(keyring, cb_buf_bytes(sealed), &key), CB_OK);
    cb_open_key_close(keyring, &key);
    cb_keyring_close(&keyring);
}

/* ---- The tests ---- */

static int make(void **state)
{
    (void)state;
    softhsm_make(&hsm);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    memset(&disk, 0, sizeof disk);
    softhsm_remove(&hsm);
    return 0;
}

static void a_new_token_is_on_the_disk_before_it_is_said_to_be_made(void **state)
{
    (void)state; /* made by the group's setup */
    everything_is_on_the_disk();
    power_goes();
    cb_keyring *keyring = softhsm_open(&hsm);
    assert_int_equal(cb_keyring_generation(keyring), 1);
    cb_keyring_close(&keyring);
}

static void what_was_sealed_under_a_new_generation_opens_after_the_power_went(void **state)
{
    uint32_t generation = 0;
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    (void)state;
    assert_int_equal(make_key(&sealed), CB_OK);
    begin();
    assert_int_equal(add_generation(&generation), CB_OK);
    everything_is_on_the_disk();
    assert_int_equal(rewrap(&sealed), CB_OK);
    power_goes();
    opens(&sealed, generation);
    cb_buf_free(&sealed);
}

static void so_it_does_where_who_made_the_generation_was_killed_before_it_was_synced(void **state)
{
    uint32_t generation = 0;
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    (void)state;
    assert_int_equal(make_key(&sealed), CB_OK);
    begin();
    disk.asleep = true;
    assert_int_equal(add_generation(&generation), CB_OK);
    disk.asleep = false;
    assert_int_equal(rewrap(&sealed), CB_OK);
    power_goes();
    opens(&sealed, generation);
    cb_buf_free(&sealed);
}

static void new_keys_towards_cards_are_on_the_disk_before_they_are_said_to_be_made(void **state)
{
    unsigned number = 0;
    cb_card_pair pair;
    cb_buf so_pin, pin;
    (void)state;
    begin();
    cb_initialise_options o = options(&so_pin, &pin);
    assert_int_equal(cb_hsm_add_card_pair(&o, &number), CB_OK);
    everything_is_on_the_disk();
    power_goes();
    cb_keyring *keyring = softhsm_open(&hsm);
    assert_int_equal(cb_card_pair_find(keyring, number, &pair), CB_OK);
    cb_keyring_close(&keyring);
}

static void shell(const char *what)
{
    char command[PATH];
    snprintf(command, sizeof command, "cd %s && %s", hsm.folder, what);
    assert_int_equal(system(command), 0); // NOLINT
}

/* Each of them in turn: the objects', the two folders'. */
static void a_sync_that_fails_is_an_error_and_nothing_is_sealed_before_one_succeeds(void **state)
{
    (void)state;
    cb_buf first = CB_BUF(CB_SEALED_MAX);
    cb_log_init("test", CB_LOG_ERROR + 1);
    assert_int_equal(make_key(&first), CB_OK);
    shell("cp -a tokens made");
    unsigned syncs = 1;
    for (unsigned fails = 1; fails <= syncs; fails++) {
        uint32_t generation = 0;
        cb_buf sealed = CB_BUF(CB_SEALED_MAX);
        cb_buf_put(&sealed, cb_buf_bytes(&first));
        shell("rm -rf tokens && cp -a made tokens");
        begin();
        disk.fails = fails;
        assert_int_equal(add_generation(&generation), CB_E_IO);
        syncs = disk.syncs > syncs ? disk.syncs : syncs;
        disk.fails = disk.syncs + 1; /* the next one, too */
        assert_int_equal(rewrap(&sealed), CB_E_IO);
        assert_int_equal(rewrap(&sealed), CB_OK);
        power_goes();
        opens(&sealed, generation);
        cb_buf_free(&sealed);
    }
    assert_in_range(syncs, 10, 60);
    shell("rm -rf made");
    cb_buf_free(&first);
    cb_log_init("test", CB_LOG_WARNING);
}

/* ---- Somebody else's tool that writes an object ---- */

static struct {
    pid_t process; /* that has it locked, and half of it written; 0: none */
    int go_on;     /* a pipe: what it waits for */
} writer;

static void write_half_and_wait(const char *path, const uint8_t *content, size_t size, int ready,
                                int go_on)
{
    char byte = 0;
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_WRONLY);
    bool good = fd >= 0 && fcntl(fd, F_SETLK, &all) == 0 && ftruncate(fd, 0) == 0 &&
                write(fd, content, size / 2) == (ssize_t)(size / 2) && write(ready, "", 1) == 1 &&
                read(go_on, &byte, 1) >= 0 &&
                write(fd, content + size / 2, size - size / 2) == (ssize_t)(size - size / 2);
    _exit(good ? 0 : 1);
}

static void begin_writing(const char *path, const uint8_t *content, size_t size)
{
    char byte;
    int ready[2], go_on[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go_on), 0);
    writer.process = fork();
    assert_true(writer.process >= 0);
    if (writer.process == 0) {
        close(go_on[1]);
        write_half_and_wait(path, content, size, ready[1], go_on[0]);
    }
    close(ready[1]);
    close(go_on[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    writer.go_on = go_on[1];
}

static void let_it_end(void)
{
    int status = 1;
    if (writer.process == 0)
        return;
    close(writer.go_on);
    assert_int_equal(waitpid(writer.process, &status, 0), writer.process);
    assert_int_equal(status, 0);
    writer.process = 0;
}

/* Whoever waits for the lock gets it at once. */
int __wrap_usleep(useconds_t time)
{
    if (writer.process == 0)
        return __real_usleep(time);
    let_it_end();
    return 0;
}

static char an_object[PATH];

static void note_object(const char *path)
{
    if (!strstr(path, "/token.object"))
        snprintf(an_object, sizeof an_object, "%s", path);
}

static void an_object_that_somebody_writes_meanwhile_is_made_anew_as_a_whole(void **state)
{
    uint8_t content[SIZE], now[SIZE];
    (void)state;
    cb_keyring *keyring = softhsm_open(&hsm);
    cb_log_init("test", CB_LOG_ERROR + 1);
    each_object(note_object);
    int fd = open(an_object, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size = read(fd, content, SIZE);
    close(fd);
    assert_true(size > 0 && size < SIZE);
    begin();
    begin_writing(an_object, content, (size_t)size);
    disk.fails_at = an_object;
    assert_int_equal(cb_token_sync(cb_keyring_token(keyring)), CB_E_IO);
    let_it_end();
    fd = open(an_object, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, now, SIZE), size);
    assert_memory_equal(now, content, (size_t)size);
    close(fd);
    disk.fails_at = NULL;
    assert_int_equal(cb_token_sync(cb_keyring_token(keyring)), CB_OK);
    is_on_the_disk(an_object);
    cb_log_init("test", CB_LOG_WARNING);
    cb_keyring_close(&keyring);
}

static void where_the_folder_is_not_found_nothing_is_believed_to_be_on_the_disk(void **state)
{
    char path[PATH];
    (void)state;
    cb_keyring *keyring = softhsm_open(&hsm);
    snprintf(path, sizeof path, "%s", getenv("SOFTHSM2_CONF"));
    cb_log_init("test", CB_LOG_ERROR + 1);
    setenv("SOFTHSM2_CONF", "/no/such/file", 1);
    assert_int_equal(cb_token_sync(cb_keyring_token(keyring)), CB_E_IO);
    setenv("SOFTHSM2_CONF", path, 1);
    assert_int_equal(cb_token_sync(cb_keyring_token(keyring)), CB_OK);
    cb_log_init("test", CB_LOG_WARNING);
    cb_keyring_close(&keyring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_token_is_on_the_disk_before_it_is_said_to_be_made),
        cmocka_unit_test(what_was_sealed_under_a_new_generation_opens_after_the_power_went),
        cmocka_unit_test(so_it_does_where_who_made_the_generation_was_killed_before_it_was_synced),
        cmocka_unit_test(new_keys_towards_cards_are_on_the_disk_before_they_are_said_to_be_made),
        cmocka_unit_test(a_sync_that_fails_is_an_error_and_nothing_is_sealed_before_one_succeeds),
        cmocka_unit_test(an_object_that_somebody_writes_meanwhile_is_made_anew_as_a_whole),
        cmocka_unit_test(where_the_folder_is_not_found_nothing_is_believed_to_be_on_the_disk),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
