/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The wall between the lanes: hsmd started as root, with a user for itself, one for the front end
 * and one for managers. Only root can test it.
 */
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "hsmd_support.h"
#include "test.h"

#define OWN "daemon"
#define FRONT_END "nobody"
#define MANAGER "games"
#define STRANGER "bin"

enum { SKIPPED = 77 };

static hsmd h;

/* Does something as another user; the error comes back as the process's status. */
static cb_error as(const char *user, cb_error (*what)(cb_hsm *hsm))
{
    const struct passwd *entry = getpwnam(user);
    int status;
    cb_hsm *hsm;
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0 ||
            cb_hsm_open(h.run, &hsm) != CB_OK)
            _exit(255);
        _exit((int)what(hsm));
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
    return (cb_error)WEXITSTATUS(status);
}

static cb_error use(cb_hsm *hsm)
{
    cb_feed_head head;
    return cb_hsm_feed_state_any(hsm, &head);
}

static cb_error sign(cb_hsm *hsm)
{
    cb_tree_head head;
    return cb_hsm_head_state(hsm, &head);
}

static cb_error manage(cb_hsm *hsm)
{
    cb_hsm_state status;
    cb_error error = cb_hsm_status(hsm, &status);
    return error ? error : status.separated ? CB_OK : CB_E_INTERNAL;
}

static void each_user_reaches_its_own_lanes_only(void **state)
{
    (void)state;
    int64_t deadline = cb_deadline_in(10 * CB_SECOND);
    while (as(FRONT_END, use) != CB_OK && cb_deadline_left_ms(deadline) > 0)
        usleep(20000);
    good(as(FRONT_END, use));
    good(as(FRONT_END, sign));
    good(as(MANAGER, manage));
    good(as("root", manage));
    expect(CB_E_HSM_DOWN, as(FRONT_END, manage));
    expect(CB_E_DENIED, as(MANAGER, use));
    expect(CB_E_DENIED, as(MANAGER, sign));
    expect(CB_E_DENIED, as(STRANGER, use));
    expect(CB_E_HSM_DOWN, as(STRANGER, manage));
}

/* A field of /proc/PID/status. */
static long field(pid_t pid, const char *name)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            value = strtol(line + strlen(name) + 1, NULL, 10);
    }
    fclose(file);
    return value;
}

static void workers_have_given_up_their_rights(void **state)
{
    (void)state;
    const struct passwd *own = getpwnam(OWN);
    assert_int_equal(field(h.pid, "Uid"), own->pw_uid);
    for (unsigned i = 0; i < 4; i++) {
        pid_t pid = hsmd_worker_pid(&h, i);
        assert_int_equal(field(pid, "Uid"), own->pw_uid);
        assert_int_equal(field(pid, "Gid"), own->pw_gid);
        assert_int_equal(field(pid, "NoNewPrivs"), 1);
        assert_int_equal(field(pid, "Seccomp"), 2);
    }
}

/* Connects as a user who may not, as fast as it goes, until it is killed. */
static pid_t flood(const char *user)
{
    char path[128];
    const struct passwd *entry = getpwnam(user);
    snprintf(path, sizeof path, "%s/manage.sock", h.run);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0)
        _exit(1);
    for (;;) {
        int s;
        if (cb_msg_connect(path, &s) == CB_OK)
            close(s);
    }
}

static void a_crowd_at_the_manage_socket_keeps_no_manager_out(void **state)
{
    enum { CROWD = 6, ASKED = 40 };
    pid_t pid[CROWD];
    (void)state;
    for (int i = 0; i < CROWD; i++)
        pid[i] = flood(i % 2 ? STRANGER : FRONT_END);
    int64_t from = cb_clock_monotonic_us();
    cb_error error = CB_OK;
    for (int i = 0; i < ASKED && !error; i++)
        error = as(MANAGER, manage);
    int64_t spent = cb_clock_monotonic_us() - from;
    for (int i = 0; i < CROWD; i++) {
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
    }
    print_message("%d questions of a manager in %lld ms, among %d who flood\n", ASKED,
                  (long long)spent / 1000, CROWD);
    good(error);
    /* Lines do not grow with those who were sent away: twenty, and one a second. */
    assert_true(hsmd_logged(&h, "connection.refused") <= 60 + 2 * (unsigned)(spent / CB_SECOND));
}

/* A line of hsmd.conf that is read after the first ones, so the later value counts. */
static void put_state(const char *path)
{
    FILE *file = fopen(h.config, "a");
    assert_non_null(file);
    fprintf(file, "state = \"%s\"\n", path);
    assert_int_equal(fclose(file), 0);
}

/* Whoever owns, or may write, a folder above hsmd's memory can put an empty one in its place. */
static void a_memory_that_others_can_replace_is_not_used(void **state)
{
    char above[128], inside[160];
    const uid_t own = getpwnam(OWN)->pw_uid, front_end = getpwnam(FRONT_END)->pw_uid;
    const struct {
        uid_t uid;
        mode_t mode;
        int status;
    } row[] = {{0, 0755, 0},    {own, 0700, 0}, {front_end, 0755, 78},
               {own, 0777, 78}, {0, 0775, 78},  {0, 01777, 0}};
    (void)state;
    snprintf(above, sizeof above, "%s/above", h.folder);
    snprintf(inside, sizeof inside, "%s/state", above);
    assert_int_equal(mkdir(above, 0755), 0);
    put_state(inside);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(chown(above, row[i].uid, (gid_t)-1), 0);
        assert_int_equal(chmod(above, row[i].mode), 0);
        assert_int_equal(hsmd_run(&h, "--initialise"), row[i].status);
    }
    /* The folder itself: hsmd's own, and nobody else writes it. */
    assert_int_equal(chmod(inside, 0770), 0);
    assert_int_equal(hsmd_run(&h, "--initialise"), 78);
}

static int setup(void **state)
{
    char path[128];
    const struct passwd *own = getpwnam(OWN);
    (void)state;
    assert_int_equal(chmod(h.folder, 0711), 0);
    snprintf(path, sizeof path, "%s/softhsm2.conf", h.folder);
    assert_int_equal(chmod(path, 0644), 0);
    snprintf(path, sizeof path, "%s/tokens", h.folder);
    assert_int_equal(chown(path, own->pw_uid, own->pw_gid), 0);
    assert_int_equal(hsmd_run(&h, "--initialise"), 0);
    hsmd_start(&h);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_user_reaches_its_own_lanes_only),
        cmocka_unit_test(workers_have_given_up_their_rights),
        cmocka_unit_test(a_crowd_at_the_manage_socket_keeps_no_manager_out),
        cmocka_unit_test(
            a_memory_that_others_can_replace_is_not_used), /* last: it changes hsmd.conf */
    };
    const char *program = getenv("CB_HSMD");
    bool users = getpwnam(OWN) && getpwnam(FRONT_END) && getpwnam(MANAGER) && getpwnam(STRANGER);
    if (geteuid() != 0 || !users || !program ||
        !hsmd_make(&h, program,
                   "user = \"" OWN "\"\nfront-end-user = \"" FRONT_END
                   "\"\nmanager-users = {\"" MANAGER "\"}\n")) {
        fputs("skipped: needs root and SoftHSM\n", stderr);
        return SKIPPED;
    }
    int failed = cmocka_run_group_tests_name("hsmd's users", tests, setup, NULL);
    if (!hsmd_end(&h)) {
        fputs("cardbroker-hsmd did not end well\n", stderr);
        failed++;
    }
    return failed;
}
