/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/config.h"

enum { FILES_MAX = 256, FILE_MAX = 1024 * 1024 };

static char folder[] = "/tmp/cb-pki-XXXXXX";
static struct {
    char name[64];
    cb_buf content;
} files[FILES_MAX];
static unsigned file_count;

/* PROGRAM FIRST SECOND; 0 when it went well. */
static int run(const char *program, const char *first, const char *second)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, first, second, (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

int pki_make(const char *script)
{
    return mkdtemp(folder) ? run("/usr/bin/python3", script, folder) : -1;
}

cb_bytes pki(const char *name)
{
    char path[128];
    for (unsigned i = 0; i < file_count; i++) {
        if (strcmp(files[i].name, name) == 0)
            return cb_buf_bytes(&files[i].content);
    }
    cb_buf *content = &files[file_count].content;
    snprintf(files[file_count].name, sizeof files[file_count].name, "%s", name);
    snprintf(path, sizeof path, "%s/%s.der", folder, name);
    *content = CB_BUF(FILE_MAX);
    if (file_count == FILES_MAX || cb_file_read(path, content) != CB_OK) {
        fprintf(stderr, "%s cannot be read\n", path);
        abort();
    }
    return cb_buf_bytes(&files[file_count++].content);
}

void pki_remove(void)
{
    while (file_count > 0)
        cb_buf_free(&files[--file_count].content);
    run("/bin/rm", "-rf", folder);
}

int64_t pki_time(int year, int month, int day)
{
    struct tm t = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    return timegm(&t);
}
