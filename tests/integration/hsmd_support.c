/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsmd_support.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void write_file(const char *folder, const char *name, cb_bytes content)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    MUST(cb_file_replace(path, content, 0600) == CB_OK);
}

bool hsmd_make(hsmd *h, const char *program, const char *more)
{
    char path[256];
    cb_buf text = CB_BUF(8192);
    *h = (hsmd){.program = program};
    if (access(MODULE, R_OK) != 0)
        return false;
    snprintf(h->folder, sizeof h->folder, "/tmp/cardbroker-hsmd-test-XXXXXX");
    MUST(mkdtemp(h->folder));
    snprintf(h->run, sizeof h->run, "%s/run", h->folder);
    snprintf(h->config, sizeof h->config, "%s/hsmd.conf", h->folder);
    snprintf(h->log, sizeof h->log, "%s/log", h->folder);
    snprintf(path, sizeof path, "%s/tokens", h->folder);
    MUST(mkdir(path, 0700) == 0);
    cb_buf_printf(
        &text, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", path);
    write_file(h->folder, "softhsm2.conf", cb_buf_bytes(&text));
    snprintf(path, sizeof path, "%s/softhsm2.conf", h->folder);
    setenv("SOFTHSM2_CONF", path, 1);
    write_file(h->folder, "pin", cb_bytes_str("12345678\n"));
    write_file(h->folder, "so-pin", cb_bytes_str("87654321\n"));
    cb_buf_reset(&text);
    cb_buf_printf(&text,
                  "module = \"" MODULE "\"\ntoken-label = \"test\"\n"
                  "pin-file = \"%s/pin\"\nso-pin-file = \"%s/so-pin\"\n"
                  "run = \"%s\"\nstate = \"%s/state\"\norigin = \"test/log\"\n"
                  "trust-anchors = {\"%s/anchor.cvc\"}\n"
                  "certificates { key-id = 0x20 key-version = 1\n"
                  "  agreement = \"%s/agreement.cvc\"\n  signer = \"%s/signer.cvc\" }\n%s",
                  h->folder, h->folder, h->run, h->folder, h->folder, h->folder, h->folder, more);
    write_file(h->folder, "hsmd.conf", cb_buf_bytes(&text));
    cb_buf_free(&text);
    return true;
}

static pid_t spawn(const hsmd *h, const char *option, bool quiet)
{
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0); /* a test that fails leaves nothing running */
    int null = open("/dev/null", O_WRONLY);
    int log = open(h->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (quiet)
        dup2(null, 1);
    if (!getenv("CB_TEST_LOG"))
        dup2(log, 2);
    execl(h->program, h->program, "--config", h->config, option, (char *)NULL);
    _exit(127);
}

int hsmd_run(const hsmd *h, const char *option)
{
    int status;
    waitpid(spawn(h, option, true), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void hsmd_start(hsmd *h) { h->pid = spawn(h, NULL, false); }

/* Whether a process has ended and closed its files, be it reaped or not. */
static bool has_ended(pid_t pid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return true;
    int got = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return got != 1 || state == 'Z' || state == 'X';
}

void hsmd_kill(hsmd *h, unsigned workers)
{
    pid_t worker[64];
    MUST(workers <= 64);
    for (unsigned i = 0; i < workers; i++)
        worker[i] = hsmd_worker_pid(h, i);
    kill(h->pid, SIGKILL);
    waitpid(h->pid, NULL, 0);
    h->pid = 0;
    /* They end with their parent, but in their own time. */
    for (unsigned i = 0; i < workers; i++) {
        while (!has_ended(worker[i]))
            usleep(1000);
    }
}

unsigned hsmd_logged(const hsmd *h, const char *word)
{
    char line[4096];
    unsigned count = 0;
    FILE *file = fopen(h->log, "r");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, word) != NULL;
    if (file)
        fclose(file);
    return count;
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *at)
{
    (void)about, (void)type, (void)at;
    return remove(path);
}

bool hsmd_end(hsmd *h)
{
    int status = 0;
    if (h->pid > 0) {
        kill(h->pid, SIGTERM);
        waitpid(h->pid, &status, 0);
    }
    nftw(h->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

cb_error hsmd_wait(cb_hsm *hsm, bool for_taps)
{
    cb_error error = CB_E_HSM_DOWN;
    int64_t deadline = cb_deadline_in(10 * CB_SECOND);
    while (error && cb_deadline_left_ms(deadline) > 0) {
        cb_tree_head head;
        error = for_taps ? cb_hsm_ping(hsm) : cb_hsm_head_state(hsm, &head);
        if (error)
            usleep(5000);
    }
    return error;
}

static void certify(const hsmd *h, cb_hsm *hsm, const world *w, const char *key, uint16_t usage,
                    const char *file)
{
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX), certificate = CB_BUF(CB_CVC_MAX);
    MUST(cb_hsm_public_key(hsm, key, &spki) == CB_OK);
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&spki));
    cb_cursor_take(&in, spki.len - CB_P256_POINT);
    MUST(cb_issue_certificate(&w->brokers, cb_bytes_str("broker"), usage, cb_cursor_rest(&in),
                              cb_issue_days_from_today(5), &certificate) == CB_OK);
    write_file(h->folder, file, cb_buf_bytes(&certificate));
    cb_buf_free(&spki);
    cb_buf_free(&certificate);
}

void hsmd_certify(const hsmd *h, cb_hsm *hsm, world *w)
{
    certify(h, hsm, w, "card-agreement", CB_CVC_AGREEMENT, "agreement.cvc");
    certify(h, hsm, w, "card-signature", CB_CVC_BROKER_SIGNATURE, "signer.cvc");
}

pid_t hsmd_worker_pid(const hsmd *h, unsigned n)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)h->pid, (int)h->pid);
    FILE *file = fopen(path, "r");
    MUST(file);
    for (unsigned i = 0; i <= n; i++)
        MUST(fscanf(file, "%d", &pid) == 1);
    fclose(file);
    return pid;
}
