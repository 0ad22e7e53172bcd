/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/supervise.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/unit/base/test.h"

/* Shared with the workers. */
static struct shared {
    volatile int starts[2];
    volatile int pid[2];
} *shared;

static int map_shared(void **state)
{
    (void)state;
    cb_log_init("supervise_test", CB_LOG_ERROR);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : 0;
}

static int wait_forever(void *context, unsigned index)
{
    (void)context;
    shared->starts[index]++;
    shared->pid[index] = getpid();
    while (pause() == -1)
        continue;
    return 0;
}

static int give_up(void *context, unsigned index)
{
    (void)context;
    shared->starts[index]++;
    return CB_WORKER_EXIT_FATAL;
}

static pid_t supervise(cb_worker *workers, unsigned count)
{
    memset((void *)(uintptr_t)shared, 0, sizeof *shared);
    pid_t pid = fork();
    if (pid == 0)
        _exit(cb_supervise(workers, count, NULL, NULL) == CB_OK ? 0 : 3);
    return pid;
}

static bool until(volatile int *value, int wanted)
{
    for (int i = 0; i < 3000 && *value < wanted; i++)
        usleep(1000);
    return *value >= wanted;
}

static void a_killed_worker_is_started_again_and_the_other_left_alone(void **state)
{
    (void)state;
    cb_worker workers[] = {{.name = "a", .main = wait_forever, .index = 0},
                           {.name = "b", .main = wait_forever, .index = 1}};
    int status;
    pid_t pid = supervise(workers, 2);
    assert_true(until(&shared->starts[0], 1) && until(&shared->pid[1], 1));
    int other = shared->pid[1];
    int64_t begin = cb_clock_monotonic_us();
    kill(shared->pid[0], SIGKILL);
    assert_true(until(&shared->starts[0], 2));
    assert_true(cb_clock_monotonic_us() - begin < CB_SECOND);
    assert_int_equal(shared->pid[1], other);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(kill(other, 0), -1);
}

static void a_worker_that_gives_up_ends_everything(void **state)
{
    (void)state;
    cb_worker workers[] = {{.name = "a", .main = give_up, .index = 0},
                           {.name = "b", .main = wait_forever, .index = 1}};
    int status;
    pid_t pid = supervise(workers, 2);
    waitpid(pid, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_int_equal(shared->starts[0], 1);
}

static void workers_die_with_their_parent(void **state)
{
    (void)state;
    cb_worker workers[] = {{.name = "a", .main = wait_forever, .index = 0}};
    pid_t pid = supervise(workers, 1);
    assert_true(until(&shared->pid[0], 1));
    int child = shared->pid[0];
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (int i = 0; i < 3000 && kill(child, 0) == 0; i++)
        usleep(1000);
    /* Its new parent may not have collected it yet; then it is a zombie that runs nothing. */
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    FILE *stat = fopen(path, "r");
    if (stat) {
        assert_non_null(fgets(text, sizeof text, stat));
        assert_non_null(strstr(text, ") Z"));
        fclose(stat);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_worker_is_started_again_and_the_other_left_alone),
        cmocka_unit_test(a_worker_that_gives_up_ends_everything),
        cmocka_unit_test(workers_die_with_their_parent),
    };
    return cmocka_run_group_tests(tests, map_shared, NULL);
}
