/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { GRACE_SECONDS = 20 };
#define QUICK_END (10 * CB_SECOND)
#define FIRST_DELAY (10 * CB_MILLISECOND)
#define LONGEST_DELAY (5 * CB_SECOND)

static void watched_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

static void run_child(cb_worker *worker, const sigset_t *before, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(1);
    sigprocmask(SIG_SETMASK, before, NULL);
    exit(worker->main(worker->context, worker->index));
}

static void start(cb_worker *worker, const sigset_t *before)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    worker->started = cb_clock_monotonic_us();
    if (pid == 0)
        run_child(worker, before, parent);
    if (pid < 0)
        worker->restart_at = worker->started + CB_SECOND;
    worker->pid = pid > 0 ? pid : 0;
}

static int64_t delay_after(unsigned failures)
{
    int64_t delay = FIRST_DELAY;
    for (unsigned i = 1; i < failures && delay < LONGEST_DELAY; i++)
        delay *= 2;
    return delay < LONGEST_DELAY ? delay : LONGEST_DELAY;
}

static void note_end(cb_worker *worker, int status)
{
    char how[64];
    int64_t now = cb_clock_monotonic_us();
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "status %d", WEXITSTATUS(status));
    worker->failures = now - worker->started < QUICK_END ? worker->failures + 1 : 1;
    worker->restart_at = now + delay_after(worker->failures);
    worker->pid = 0;
    cb_log(CB_LOG_WARNING, "worker.ended", "A worker ended; it is started again.", "worker",
           worker->name, "how", how, NULL);
}

/* Collects ended children. Returns true if one of them says that going on is no use. */
static bool collect(cb_worker *workers, unsigned count)
{
    int status;
    bool fatal = false;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (unsigned i = 0; i < count; i++) {
            if (workers[i].pid != pid)
                continue;
            note_end(&workers[i], status);
            fatal |= WIFEXITED(status) && WEXITSTATUS(status) == CB_WORKER_EXIT_FATAL;
        }
    }
    return fatal;
}

static void signal_all(cb_worker *workers, unsigned count, int number)
{
    for (unsigned i = 0; i < count; i++) {
        if (workers[i].pid > 0)
            kill(workers[i].pid, number);
    }
}

static bool any_running(const cb_worker *workers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (workers[i].pid > 0)
            return true;
    }
    return false;
}

static void collect_quietly(cb_worker *workers, unsigned count)
{
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
        for (unsigned i = 0; i < count; i++) {
            if (workers[i].pid == pid)
                workers[i].pid = 0;
        }
    }
}

static void end_all(cb_worker *workers, unsigned count)
{
    int64_t deadline = cb_deadline_in(GRACE_SECONDS * CB_SECOND);
    signal_all(workers, count, SIGTERM);
    for (;;) {
        collect_quietly(workers, count);
        if (!any_running(workers, count))
            return;
        if (cb_deadline_left_ms(deadline) == 0)
            signal_all(workers, count, SIGKILL);
        usleep(5000);
    }
}

/* Starts what is due and returns how long to wait for the next. */
static int64_t start_due(cb_worker *workers, unsigned count, const sigset_t *before)
{
    int64_t wait = 3600 * CB_SECOND;
    for (unsigned i = 0; i < count; i++) {
        int64_t left = workers[i].restart_at - cb_clock_monotonic_us();
        if (workers[i].pid == 0 && left <= 0)
            start(&workers[i], before);
        if (workers[i].pid == 0 && left < wait)
            wait = left > FIRST_DELAY ? left : FIRST_DELAY;
    }
    return wait;
}

static void hang_up(const cb_worker *workers, unsigned count)
{
    bool heard = false;
    for (unsigned i = 0; i < count; i++) {
        if (workers[i].deaf)
            continue;
        heard = true;
        if (workers[i].pid > 0)
            kill(workers[i].pid, SIGHUP);
    }
    if (!heard)
        cb_log(CB_LOG_WARNING, "hangup.ignored",
               "SIGHUP changes nothing: start the program anew to have its configuration read.",
               NULL);
}

cb_error cb_supervise(cb_worker *workers, unsigned count, void (*ready)(void *), void *context)
{
    sigset_t watched, before;
    cb_error error = CB_OK;
    watched_signals(&watched);
    sigprocmask(SIG_BLOCK, &watched, &before);
    int64_t wait = start_due(workers, count, &before);
    if (ready)
        ready(context);
    for (;;) {
        struct timespec t = {wait / CB_SECOND, wait % CB_SECOND * 1000};
        int number = sigtimedwait(&watched, NULL, &t);
        if (number == SIGTERM || number == SIGINT)
            break;
        if (number == SIGHUP)
            hang_up(workers, count);
        if (collect(workers, count)) {
            error = CB_E_CONFIG;
            break;
        }
        wait = start_due(workers, count, &before);
    }
    end_all(workers, count);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}
