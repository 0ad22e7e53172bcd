/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The token: making it, finding it, opening it, and the copy that is kept of it.
 */
#include "keyring_steps.h"

#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "hsm/softhsm.h"

enum { STARTS = 8, ROUNDS = 5 };

static int start_once(void);

static cb_error open_with(cb_token_config config, const char *pin_text)
{
    cb_keyring *ring = NULL;
    cb_buf pin = CB_BUF(300);
    cb_buf_put_str(&pin, pin_text);
    cb_error error = cb_keyring_open(&config, &pin, &ring);
    assert_int_equal(pin.len, 0); /* wiped whatever came of it */
    assert_true(error ? ring == NULL : ring != NULL);
    cb_keyring_close(&ring);
    return error;
}

/* ---- Opening ---- */

static void what_cannot_be_opened_is_a_configuration_error(void **state)
{
    (void)state;
    cb_token_config right = softhsm_config(&hsm), wrong = right;
    assert_int_equal(open_with(right, "654321"), CB_E_CONFIG);
    assert_int_equal(open_with(right, ""), CB_E_CONFIG);
    wrong.label = "no such token";
    assert_int_equal(open_with(wrong, "123456"), CB_E_CONFIG);
    wrong.label = "a label that is longer than thirty-two bytes";
    assert_int_equal(open_with(wrong, "123456"), CB_E_CONFIG);
    wrong = right;
    wrong.module = "/no/such/module.so";
    assert_int_equal(open_with(wrong, "123456"), CB_E_CONFIG);
    wrong.module = "/lib/x86_64-linux-gnu/libc.so.6";
    assert_int_equal(open_with(wrong, "123456"), CB_E_CONFIG);
    wrong = right;
    wrong.lock = "/no/such/folder/lock"; /* a disk that may be mounted yet */
    assert_int_equal(open_with(wrong, "123456"), CB_E_IO);
    assert_int_equal(open_with(right, "123456"), CB_OK);
}

static size_t read_file(const char *path, uint8_t *out, size_t most)
{
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(out, 1, most, file) : 0;
    if (file)
        fclose(file);
    return len;
}

static void write_file(const char *path, const uint8_t *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

/* The folder of the one token there is. */
static void token_path(const char *name, char path[256])
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/tokens/*-*", hsm.folder);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    snprintf(path, 256, "%s/%s", found.gl_pathv[0], name);
    globfree(&found);
}

/* SoftHSM writes this file anew at each login, in place: a process that is killed meanwhile leaves
 * it so, and without it all keys are lost. */
static void a_token_whose_file_was_cut_off_is_put_back(void **state)
{
    char path[256];
    uint8_t whole[4096], now[4096];
    static const uint8_t zeros[4096];
    cb_token_config config = softhsm_config(&hsm);
    (void)state;
    assert_int_equal(open_with(config, "123456"), CB_OK);
    token_path("token.object", path);
    size_t len = read_file(path, whole, sizeof whole);
    assert_in_range(len, 100, sizeof whole - 1);
    const size_t left[] = {0, 8, len / 2, len - 1};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        write_file(path, whole, left[i]);
        assert_int_equal(open_with(config, "123456"), CB_OK);
        assert_int_equal(start_once(), 0); /* with its keys */
    }
    write_file(path, zeros, len);
    assert_int_equal(open_with(config, "123456"), CB_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_with(config, "123456"), CB_OK);
    assert_int_equal(read_file(path, now, sizeof now), len);
    assert_memory_equal(now + 8, whole + 8, len - 8);
}

/* What is whole is never exchanged for the copy, and the copy follows it. */
static void a_token_that_was_changed_is_left_as_it_is(void **state)
{
    char path[256], copy[256];
    uint8_t whole[4096], now[4096];
    cb_token_config config = softhsm_config(&hsm);
    (void)state;
    assert_int_equal(open_with(config, "123456"), CB_OK);
    token_path("token.object", path);
    token_path("token.object.kept", copy);
    size_t len = read_file(path, whole, sizeof whole);
    write_file(copy, whole, len - 40); /* as of a token that was less then */
    assert_int_equal(open_with(config, "123456"), CB_OK);
    assert_int_equal(read_file(path, now, sizeof now), len);
    assert_memory_equal(now + 8, whole + 8, len - 8);
    assert_int_equal(read_file(copy, now, sizeof now), len);
    assert_memory_equal(now + 8, whole + 8, len - 8);
    enum { LAST = 24 + 72 }; /* the user's PIN: a token that was initialised anew has none yet */
    write_file(path, whole, len - LAST);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(read_file(path, now, sizeof now), len - LAST);
    write_file(path, whole, len - LAST - 1);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(read_file(path, now, sizeof now), len);
    write_file(copy, whole, 3); /* and one that is none counts for nothing */
    assert_int_equal(open_with(config, "123456"), CB_OK);
    assert_int_equal(read_file(copy, now, sizeof now), len);
}

/* Before anybody has opened it. */
static void a_new_token_has_its_copy_from_the_beginning(void **state)
{
    char path[256], copy[256];
    uint8_t whole[4096], kept[4096];
    (void)state;
    token_path("token.object", path);
    token_path("token.object.kept", copy);
    size_t len = read_file(path, whole, sizeof whole);
    assert_in_range(len, 100, sizeof whole - 1);
    assert_int_equal(read_file(copy, kept, sizeof kept), len);
    assert_memory_equal(kept + 8, whole + 8, len - 8);
}

/* Made by an installation that kept none, or put here from a backup; others' are not ours to copy.
 */
static void a_token_without_a_copy_has_one_before_its_first_login(void **state)
{
    char path[256], copy[256];
    uint8_t whole[4096], now[4096];
    (void)state;
    token_path("token.object", path);
    token_path("token.object.kept", copy);
    size_t len = read_file(path, whole, sizeof whole);
    assert_int_equal(unlink(copy), 0);
    cb_softhsm_mend("another");
    assert_int_equal(access(copy, F_OK), -1);
    cb_softhsm_mend("cardbroker");
    write_file(path, whole, len / 2);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(read_file(path, now, sizeof now), len);
    assert_memory_equal(now, whole, len);
    /* Of a file that is damaged none is made. */
    assert_int_equal(unlink(copy), 0);
    write_file(path, whole, len / 2);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(access(copy, F_OK), -1);
    write_file(path, whole, len);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(access(copy, F_OK), 0);
}

static void nobody_waits_for_a_pipe_in_the_place_of_the_copy(void **state)
{
    char copy[256];
    uint8_t now[4096];
    (void)state;
    token_path("token.object.kept", copy);
    assert_int_equal(unlink(copy), 0);
    assert_int_equal(mkfifo(copy, 0600), 0);
    alarm(20);
    cb_softhsm_mend("cardbroker");
    alarm(0);
    assert_in_range(read_file(copy, now, sizeof now), 100, sizeof now - 1);
}

int __real_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **out);
int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **out);
static bool here_at_home; /* the home of the user that runs the test is the token's folder */

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **out)
{
    int result = __real_getpwuid_r(uid, entry, buffer, size, out);
    if (result == 0 && *out && here_at_home)
        entry->pw_dir = hsm.folder;
    return result;
}

/* Where SoftHSM itself looks: in HOME, and without one in the user's home as the system knows it.
 */
static void the_token_is_found_where_softhsm_finds_it(void **state)
{
    char path[256], command[512], home[256];
    uint8_t whole[4096], now[4096];
    (void)state;
    token_path("token.object", path);
    size_t len = read_file(path, whole, sizeof whole);
    snprintf(command, sizeof command,
             "cd %s && mkdir -p .config/softhsm2 && cp softhsm2.conf .config/softhsm2", hsm.folder);
    assert_int_equal(system(command), 0); // NOLINT
    snprintf(home, sizeof home, "%s", getenv("HOME") ? getenv("HOME") : "");
    unsetenv("SOFTHSM2_CONF");
    const char *const homes[] = {hsm.folder, "", NULL};
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        here_at_home = homes[i] != hsm.folder;
        homes[i] ? setenv("HOME", homes[i], 1) : unsetenv("HOME");
        write_file(path, whole, 8);
        cb_softhsm_mend("cardbroker");
        assert_int_equal(read_file(path, now, sizeof now), len);
    }
    here_at_home = false;
    setenv("HOME", home, 1);
    snprintf(path, sizeof path, "%s/softhsm2.conf", hsm.folder);
    setenv("SOFTHSM2_CONF", path, 1);
}

static void where_it_is_not_found_that_is_said_once(void **state)
{
    char path[256], log[256];
    uint8_t text[4096];
    (void)state;
    snprintf(path, sizeof path, "%s", getenv("SOFTHSM2_CONF"));
    snprintf(log, sizeof log, "%s/said", hsm.folder);
    CK_TOKEN_INFO info = {.manufacturerID = "SoftHSM project", .serialNumber = "0123456789abcde"};
    int before = dup(2), file = open(log, O_RDWR | O_CREAT, 0600);
    assert_true(file >= 0 && dup2(file, 2) == 2);
    setenv("SOFTHSM2_CONF", "/no/such/file", 1);
    cb_softhsm_keep(&info);
    size_t once = read_file(log, text, sizeof text);
    cb_softhsm_keep(&info);
    size_t twice = read_file(log, text, sizeof text - 1);
    setenv("SOFTHSM2_CONF", path, 1);
    dup2(before, 2);
    close(before);
    close(file);
    text[twice] = 0;
    assert_non_null(strstr((const char *)text, "token.not_kept"));
    assert_int_equal(once, twice);
}

/* In a child: opens, makes one MAC. */
static int start_once(void)
{
    cb_digest mac;
    cb_keyring *ring = NULL;
    cb_token_config config = softhsm_config(&hsm);
    cb_buf pin = softhsm_pin();
    cb_error error = cb_keyring_open(&config, &pin, &ring);
    if (!error)
        error = cb_keyring_mac(ring, CB_MAC_MEMORY, NULL, 0, &mac);
    cb_keyring_close(&ring);
    return error ? 1 : 0;
}

static void processes_that_start_together_all_get_in(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[STARTS];
        for (int i = 0; i < STARTS; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0)
                _exit(start_once());
        }
        for (int i = 0; i < STARTS; i++) {
            int status = 0;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        }
    }
    assert_int_equal(failed, 0);
}

/* ---- Initialising ---- */

static cb_error initialise(unsigned *made, const char *so_text)
{
    cb_buf pin = softhsm_pin(), so_pin = CB_BUF(64);
    cb_buf_put_str(&so_pin, so_text);
    cb_initialise_options options = {
        .token = softhsm_config(&hsm), .make_token = true, .so_pin = &so_pin, .pin = &pin};
    cb_error error = cb_hsm_initialise(&options, made);
    assert_int_equal(pin.len + so_pin.len, 0);
    return error;
}

static void initialising_again_changes_nothing(void **state)
{
    (void)state;
    unsigned made = 99;
    cb_buf before = CB_BUF(1024), after = CB_BUF(1024);
    cb_digest mac, again;
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_keyring_public(keyring, CB_OWN_LOG, &before), CB_OK);
    assert_int_equal(cb_keyring_mac(keyring, CB_MAC_MEMORY, NULL, 0, &mac), CB_OK);
    cb_keyring_close(&keyring);
    assert_int_equal(initialise(&made, "87654321"), CB_OK);
    assert_int_equal(made, 0);
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_keyring_public(keyring, CB_OWN_LOG, &after), CB_OK);
    assert_int_equal(cb_keyring_mac(keyring, CB_MAC_MEMORY, NULL, 0, &again), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&before), cb_buf_bytes(&after)));
    assert_memory_equal(&mac, &again, sizeof mac);
    cb_keyring_close(&keyring);
    cb_buf_free(&before);
    cb_buf_free(&after);
}

static void a_wrong_officer_adds_nothing(void **state)
{
    (void)state;
    uint32_t generation = 0;
    size_t before, after;
    cb_buf pin = softhsm_pin(), so_pin = CB_BUF(64);
    cb_buf_put_str(&so_pin, "not the officer");
    cb_initialise_options options = {.token = softhsm_config(&hsm), .so_pin = &so_pin, .pin = &pin};
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_token_count(token(), true, &before), CB_OK);
    cb_keyring_close(&keyring);
    assert_int_equal(cb_hsm_add_generation(&options, &generation), CB_E_CONFIG);
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_token_count(token(), true, &after), CB_OK);
    assert_int_equal(after, before);
    cb_keyring_close(&keyring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_token_has_its_copy_from_the_beginning),
        cmocka_unit_test(what_cannot_be_opened_is_a_configuration_error),
        cmocka_unit_test(a_token_whose_file_was_cut_off_is_put_back),
        cmocka_unit_test(a_token_that_was_changed_is_left_as_it_is),
        cmocka_unit_test(a_token_without_a_copy_has_one_before_its_first_login),
        cmocka_unit_test(nobody_waits_for_a_pipe_in_the_place_of_the_copy),
        cmocka_unit_test(the_token_is_found_where_softhsm_finds_it),
        cmocka_unit_test(where_it_is_not_found_that_is_said_once),
        cmocka_unit_test(processes_that_start_together_all_get_in),
        cmocka_unit_test(initialising_again_changes_nothing),
        cmocka_unit_test(a_wrong_officer_adds_nothing),
    };
    return cmocka_run_group_tests(tests, make_token, remove_token);
}
