/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What hsmd does to SoftHSM's files while it is confined to its system calls: the worker of the
 * manage lane opens the token anew around each new generation. Where SOFTHSM2_CONF does not say it,
 * SoftHSM looks for its configuration itself.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "hsmd_support.h"
#include "test.h"

enum { SKIPPED = 77, MANAGE = 2 /* of the workers: after the one for uses and the log's */ };

static hsmd h;
static cb_hsm *hsm;

static void write_so_pin(const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/so-pin", h.folder);
    good(cb_file_replace(path, cb_bytes_str(text), 0600));
}

/* The configuration where SoftHSM looks for it last but one. */
static void in_the_home(void)
{
    char from[128], to[192], folder[128];
    snprintf(from, sizeof from, "%s/softhsm2.conf", h.folder);
    snprintf(folder, sizeof folder, "%s/.config", h.folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(folder, sizeof folder, "%s/.config/softhsm2", h.folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(to, sizeof to, "%s/softhsm2.conf", folder);
    assert_int_equal(rename(from, to), 0);
    unsetenv("SOFTHSM2_CONF");
    setenv("HOME", h.folder, 1);
}

static void wait_for_manager(void)
{
    cb_hsm_state status;
    int64_t deadline = cb_deadline_in(10 * CB_SECOND);
    while (cb_hsm_status(hsm, &status) != CB_OK && cb_deadline_left_ms(deadline) > 0)
        usleep(20000);
}

static int setup(void **state)
{
    (void)state;
    in_the_home();
    if (hsmd_run(&h, "--initialise") != 0)
        return -1;
    hsmd_start(&h);
    good(cb_hsm_open(h.run, &hsm));
    wait_for_manager();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cb_hsm_close(&hsm);
    return 0;
}

static void token_file(const char *name, char path[256])
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/tokens/*-*", h.folder);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    snprintf(path, 256, "%s/%s", found.gl_pathv[0], name);
    globfree(&found);
}

static void a_generation_is_made(void **state)
{
    uint32_t generation = 0;
    cb_hsm_state status;
    (void)state;
    pid_t worker = hsmd_worker_pid(&h, MANAGE);
    good(cb_hsm_new_generation(hsm, &generation));
    assert_int_equal(generation, 2);
    good(cb_hsm_status(hsm, &status));
    assert_int_equal(status.generation, 2);
    assert_int_equal(hsmd_worker_pid(&h, MANAGE), worker);
}

/* SoftHSM marks its file then, so that the copy is made anew at the user's next login. */
static void a_wrong_pin_of_the_officer_is_refused_and_the_worker_lives(void **state)
{
    uint32_t generation = 0;
    cb_hsm_state status;
    (void)state;
    pid_t worker = hsmd_worker_pid(&h, MANAGE);
    write_so_pin("not the officer's\n");
    expect(CB_E_CONFIG, cb_hsm_new_generation(hsm, &generation));
    good(cb_hsm_status(hsm, &status));
    assert_int_equal(hsmd_worker_pid(&h, MANAGE), worker);
    assert_int_equal(hsmd_logged(&h, "worker.ended"), 0);
    write_so_pin("87654321\n");
    good(cb_hsm_new_generation(hsm, &generation));
    assert_int_equal(hsmd_worker_pid(&h, MANAGE), worker);
}

/* Another worker was killed while it logged in. */
static void a_token_that_was_cut_off_meanwhile_is_put_back_and_the_worker_lives(void **state)
{
    char path[256];
    uint32_t generation = 0;
    (void)state;
    pid_t worker = hsmd_worker_pid(&h, MANAGE);
    token_file("token.object", path);
    assert_int_equal(truncate(path, 100), 0);
    good(cb_hsm_new_generation(hsm, &generation));
    assert_int_equal(hsmd_worker_pid(&h, MANAGE), worker);
    assert_int_equal(hsmd_logged(&h, "token.mended"), 1);
}

/* What the kernel said last is about something else. */
static void a_run_folder_that_is_too_long_for_a_socket_is_called_that(void **state)
{
    cb_buf text = CB_BUF(8192);
    hsmd other = h;
    (void)state;
    snprintf(other.config, sizeof other.config, "%s/other.conf", h.folder);
    snprintf(other.log, sizeof other.log, "%s/other-log", h.folder);
    good(cb_file_read(h.config, &text));
    cb_buf_printf(&text, "\nrun = \"%s/%0100d\"\n", h.folder, 0);
    good(cb_file_replace(other.config, cb_buf_bytes(&text), 0600));
    assert_int_equal(hsmd_run(&other, NULL), 78);
    assert_int_equal(hsmd_logged(&other, "manage.sock: is too long for a socket"), 1);
    cb_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_generation_is_made),
        cmocka_unit_test(a_wrong_pin_of_the_officer_is_refused_and_the_worker_lives),
        cmocka_unit_test(a_token_that_was_cut_off_meanwhile_is_put_back_and_the_worker_lives),
        cmocka_unit_test(a_run_folder_that_is_too_long_for_a_socket_is_called_that),
    };
    const char *program = getenv("CB_HSMD");
    if (!program || !hsmd_make(&h, program, "workers = 1\n")) {
        fputs("skipped: CB_HSMD is not set, or there is no SoftHSM\n", stderr);
        return SKIPPED;
    }
    int failed = cmocka_run_group_tests_name("hsmd's token", tests, setup, teardown);
    if (!hsmd_end(&h)) {
        fputs("cardbroker-hsmd did not end well\n", stderr);
        failed++;
    }
    return failed;
}
