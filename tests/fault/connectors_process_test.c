/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A login's process is not made, or cannot give up its rights: then nothing runs in it, and the
 * broker has an error. A zygote that could not begin as it should ends, or refuses its logins,
 * until it is begun anew; one that takes orders has all that it needs.
 */
#include "connectors_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/fault_counter.h"
#include "tests/support/socket_faults.h"

static connectors_world shared;
static pid_t test; /* whose own processes are made without faults */

/* ---- What a process needs the kernel for ---- */

static fault_counter counter;

static bool breaks(int number)
{
    bool unlucky = getpid() != test && fault_counter_strikes(&counter);
    if (unlucky)
        errno = number;
    return unlucky;
}

#define WRAP(type, name, parameters, arguments, condition, number)                                 \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return (condition) && breaks(number) ? -1 : __real_##name arguments;                       \
    }

WRAP(pid_t, fork, (void), (), true, EAGAIN)
WRAP(int, fcntl64, (int fd, int what, int least), (fd, what, least), what == F_DUPFD_CLOEXEC,
     EMFILE)
WRAP(int, dup2, (int from, int to), (from, to), true, EBUSY)
WRAP(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags), true,
     ENOMEM)
WRAP(int, setrlimit64, (int what, const struct rlimit *limit), (what, limit), true, EPERM)
WRAP(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), true, EMFILE)
/* That a process ends with its parent is also seen by the descriptors of both. */
WRAP(int, prctl, (int what, unsigned long a, unsigned long b, unsigned long c, unsigned long d),
     (what, a, b, c, d), what != PR_SET_PDEATHSIG, EINVAL)
WRAP(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context),
     (thread, attributes, run, context), true, EAGAIN)

static void arm(unsigned nth, bool lasting) { fault_counter_arm(&counter, nth, lasting); }

static unsigned disarm(void) { return fault_counter_disarm(&counter); }

static void where(void) { fault_counter_where(&counter); }

static const fault_kind process_faults = {"process", arm, disarm, where, true};

/* The system's authorities are the service's. */
cb_error __real_cb_file_read(const char *path, cb_buf *out);
cb_error __wrap_cb_file_read(const char *path, cb_buf *out);

cb_error __wrap_cb_file_read(const char *path, cb_buf *out)
{
    char own[2 * PATH_SIZE];
    snprintf(own, sizeof own, "%s/server-ca.pem", shared.b.service);
    return __real_cb_file_read(strncmp(path, "/etc/ssl/", 9) == 0 ? own : path, out);
}

/* ---- The flows ---- */

static cb_error log_in_here(void *context)
{
    char config[2 * PATH_SIZE];
    cb_login_result result;
    cb_session *session = NULL;
    (void)context;
    snprintf(config, sizeof config,
             "{\"url\":\"https://127.0.0.1:%d/login?who=me\",\"server_name\":\"localhost\","
             "\"connect_timeout_ms\":30000,\"timeout_ms\":30000}",
             shared.port);
    cb_error error = world_log_in(&shared, &shared.holder, "mtls", config, "{}", &result, &session);
    cb_session_end(&session);
    cb_login_result_free(&result);
    return error;
}

static void it_is_refused(void *context, cb_error result, bool struck)
{
    if (struck && !result)
        fail_msg("a login in a process that is not as it should be");
    connectors_world_is_well(&shared);
    assert_int_equal(log_in_here(context), CB_OK);
    look_at_requests(&shared);
}

static cb_error begin(void *context)
{
    (void)context;
    connectors_world_start(&shared, MTLS);
    return connectors_world_await(&shared, MTLS) ? CB_OK : CB_E_CONNECTOR_DOWN;
}

static void who_takes_orders_has_all(void *context, cb_error result, bool struck)
{
    (void)struck;
    if (result)
        assert_int_equal(begin(context), CB_OK);
    assert_int_equal(log_in_here(context), CB_OK);
    connectors_world_is_well(&shared);
    look_at_requests(&shared);
}

/* The opener makes a thread for an address that it does not know. */
static void fresh_opener(void *context)
{
    (void)context;
    connectors_world_start(&shared, OPENER);
    assert_true(connectors_world_await(&shared, OPENER));
}

static const fault_flow a_login = {"a login's process", fresh_opener, log_in_here, it_is_refused};
static const fault_flow a_zygote = {"a zygote", NULL, begin, who_takes_orders_has_all};

static int setup(void **state)
{
    (void)state;
    test = getpid();
    fault_counter_make(&counter);
    fault_quiet();
    connectors_world_make(&shared);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    connectors_world_end(&shared);
    return 0;
}

static void a_login_runs_in_a_whole_process_or_not_at_all(void **state)
{
    (void)state;
    fault_also(connectors_world_kept);
    fault_each(&process_faults, &a_login, &shared, 0);
    fault_also(NULL);
}

static void a_zygote_begins_whole_or_not_at_all(void **state)
{
    (void)state;
    fault_each(&process_faults, &a_zygote, &shared, 0);
    fault_each(&socket_faults, &a_zygote, &shared, 0);
    fault_each(&alloc_faults, &a_zygote, &shared, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_login_runs_in_a_whole_process_or_not_at_all, fault_said),
        cmocka_unit_test_teardown(a_zygote_begins_whole_or_not_at_all, fault_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
