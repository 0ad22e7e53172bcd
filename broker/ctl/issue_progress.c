/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/issue_progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/text.h"

static const char heading[] = "line,reason\n";

cb_ctl_status cb_progress_name(cb_ctl *ctl, const char *file, const char *report, cb_progress *out)
{
    int mark_len = snprintf(out->mark_path, CB_PROGRESS_PATH, "%s.progress", file);
    int report_len = report ? snprintf(out->report_path, CB_PROGRESS_PATH, "%s", report)
                            : snprintf(out->report_path, CB_PROGRESS_PATH, "%s.rejected", file);
    bool fits = mark_len > 0 && mark_len < CB_PROGRESS_PATH && report_len > 0 &&
                report_len < CB_PROGRESS_PATH;
    return fits ? CB_CTL_DONE : cb_ctl_misuse(ctl, "the path is too long");
}

/* A mark is two lines, "<digest> <line>" and where its report is. What is no mark of this file
 * settles nothing: its lines are tried again, which changes nothing. */
static int64_t read_mark(const cb_progress *p, char place[PATH_MAX])
{
    char digest[2 * CB_SHA256_SIZE + 1] = "";
    long long line = 0;
    size_t len = 0;
    FILE *file = fopen(p->mark_path, "r");
    bool read = file && fscanf(file, "%64s %lld", digest, &line) == 2 && fgetc(file) == '\n';
    if (read)
        len = fread(place, 1, PATH_MAX, file);
    read = read && len > 1 && place[len - 1] == '\n';
    place[read ? len - 1 : 0] = 0;
    if (file)
        fclose(file);
    return read && strcmp(digest, p->digest) == 0 && line > 0 ? line : 0;
}

/* ---- The report of the runs before ---- */

static cb_ctl_status no_report(cb_ctl *ctl, const cb_progress *p, const char *before,
                               const char *why)
{
    char text[CB_PROGRESS_PATH + 128];
    snprintf(text, sizeof text, "%s: %s", p->report_path, why);
    cb_ctl_status status = cb_ctl_fail(ctl, CB_E_IO, text);
    cb_ctl_note(ctl, "Lines up to %lld are settled; those that could not be done stand in %s.",
                (long long)p->settled, before);
    cb_ctl_note(ctl,
                "Name that report, or remove %s: then all lines are tried again, and nothing is "
                "done twice.",
                p->mark_path);
    return status;
}

/* Lines behind the mark are tried again, so what the report says of them goes; so does a last one
 * that was cut off, for what the mark settled was on the disk before it. NULL, or what is wrong. */
static const char *keep_reasons(cb_progress *p, FILE *from, FILE *to)
{
    char *text = NULL;
    size_t size = 0;
    ssize_t len = getline(&text, &size, from);
    bool good = len > 0 && strcmp(text, heading) == 0 && fputs(heading, to) >= 0;
    const char *wrong = good ? NULL : "it is not the report of the run that is to go on";
    while (!wrong && (len = getline(&text, &size, from)) > 0) {
        char *end;
        long long line = strtoll(text, &end, 10);
        if (line <= 0 || line > p->settled || *end != ',' || text[len - 1] != '\n')
            continue;
        p->bad++;
        if (fwrite(text, 1, (size_t)len, to) != (size_t)len)
            wrong = strerror(errno);
    }
    if (!wrong && !feof(from))
        wrong = "it cannot be read to its end";
    free(text);
    return wrong;
}

static bool sync_report(FILE *report)
{
    /* What is no file on a disk, as a terminal, cannot be synced. */
    return fflush(report) == 0 && !ferror(report) &&
           (fsync(fileno(report)) == 0 || errno == EINVAL || errno == ENOTSUP);
}

static bool sync_folder(const char *place)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", place);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return true;
    slash[slash == folder] = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);
    if (fd >= 0)
        close(fd);
    return good;
}

/* The old report stays until the new one is on the disk, with all that is kept of it. */
static const char *replace_report(cb_progress *p, FILE *old, mode_t mode)
{
    char fresh[PATH_MAX + 8];
    snprintf(fresh, sizeof fresh, "%s.new", p->place);
    p->report = fopen(fresh, "w");
    if (!p->report)
        return strerror(errno);
    const char *wrong = keep_reasons(p, old, p->report);
    if (!wrong && (fchmod(fileno(p->report), mode & 0777) != 0 || !sync_report(p->report) ||
                   rename(fresh, p->place) != 0))
        wrong = strerror(errno);
    if (wrong)
        unlink(fresh);
    else if (!sync_folder(p->place))
        wrong = strerror(errno);
    return wrong;
}

static cb_ctl_status go_on(cb_ctl *ctl, const char *before, cb_progress *p)
{
    struct stat about;
    const char *wrong = NULL;
    FILE *old = NULL;
    if (!realpath(p->report_path, p->place) || stat(p->place, &about) != 0)
        wrong = strerror(errno);
    else if (strcmp(p->place, before) != 0 || !S_ISREG(about.st_mode))
        wrong = "it is not the report of the run that is to go on";
    else if (!(old = fopen(p->place, "r")))
        wrong = strerror(errno);
    if (!wrong)
        wrong = replace_report(p, old, about.st_mode);
    if (old)
        fclose(old);
    return wrong ? no_report(ctl, p, before, wrong) : CB_CTL_DONE;
}

static cb_ctl_status begin(cb_ctl *ctl, cb_progress *p)
{
    p->report = fopen(p->report_path, "w");
    if (!p->report)
        return cb_ctl_fail(ctl, CB_E_IO, p->report_path);
    fputs(heading, p->report);
    /* A terminal or a pipe is nowhere, and no other run goes on with it. */
    if (!realpath(p->report_path, p->place))
        p->place[0] = 0;
    return sync_folder(p->place) ? CB_CTL_DONE : cb_ctl_fail(ctl, CB_E_IO, p->report_path);
}

/* ---- This run ---- */

cb_ctl_status cb_progress_open(cb_ctl *ctl, const cb_digest *digest, cb_progress *p)
{
    char before[PATH_MAX];
    cb_hex(cb_digest_bytes(digest), p->digest);
    p->settled = read_mark(p, before);
    return p->settled > 0 ? go_on(ctl, before, p) : begin(ctl, p);
}

void cb_progress_close(cb_progress *p)
{
    if (p->report)
        fclose(p->report);
    p->report = NULL;
}

void cb_progress_reason(cb_progress *p, int64_t line, const char *reason)
{
    fprintf(p->report, "%lld,\"", (long long)line);
    for (const char *c = reason; c && *c; c++) {
        if (*c == '"')
            fputc('"', p->report);
        if (*c != '\n')
            fputc(*c, p->report);
        else if (c[1])
            fputc(' ', p->report);
    }
    fputs("\"\n", p->report);
}

bool cb_progress_mark(cb_progress *p, int64_t settled)
{
    cb_buf text = CB_BUF(PATH_MAX + 256);
    p->unwritten = p->unwritten || !sync_report(p->report);
    if (p->unwritten)
        return false;
    /* A run that was stopped before it got to its first line takes nothing back. */
    cb_buf_printf(&text, "%s %lld\n%s\n", p->digest,
                  (long long)(settled > p->settled ? settled : p->settled), p->place);
    if (cb_buf_error(&text) == CB_OK)
        (void)cb_file_replace(p->mark_path, cb_buf_bytes(&text), 0644);
    cb_buf_free(&text);
    return true;
}
