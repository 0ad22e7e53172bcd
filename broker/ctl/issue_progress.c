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
#include "broker/ctl/names_apart.h"

static const char heading[] = "line,reason\n";

cb_ctl_status cb_progress_name(cb_ctl *ctl, const char *file, const char *report, cb_progress *out)
{
    int mark_len = snprintf(out->mark_path, CB_PROGRESS_PATH, "%s.progress", file);
    int report_len = report ? snprintf(out->report_path, CB_PROGRESS_PATH, "%s", report)
                            : snprintf(out->report_path, CB_PROGRESS_PATH, "%s.rejected", file);
    out->file = file;
    out->named = report != NULL;
    bool fits = mark_len > 0 && mark_len < CB_PROGRESS_PATH && report_len > 0 &&
                report_len < CB_PROGRESS_PATH;
    return fits ? CB_CTL_DONE : cb_ctl_misuse(ctl, "the path is too long");
}

/* What is made anew (the mark, and the report of a run that goes on) is made beside first. */
static cb_ctl_status names_apart(cb_ctl *ctl, const cb_progress *p)
{
    char mark_new[CB_PROGRESS_PATH + 8], place[PATH_MAX], report_new[PATH_MAX + 8];
    bool known = cb_run_place(p->report_path, place);
    snprintf(mark_new, sizeof mark_new, "%s.new", p->mark_path);
    snprintf(report_new, sizeof report_new, "%s.new", known ? place : p->report_path);
    const cb_run_name names[] = {
        {p->file, "the file that is read", NULL},
        {p->mark_path, "the mark of how far the run came", NULL},
        {mark_new, "where that mark is made", NULL},
        {p->report_path, "the report", "--report"},
        {report_new, "where the report is made anew", "--report"},
        {p->kept ? p->kept->path : NULL, "what else is written", p->kept ? p->kept->option : NULL},
    };
    return cb_run_names_apart(ctl, names, sizeof names / sizeof *names - !p->kept);
}

/* What a mark says of the rows that are kept. */
typedef struct kept_mark {
    char place[PATH_MAX]; /* "": none are */
    long long size;       /* that was on the disk */
} kept_mark;

/* The rest of a mark's first line, where rows are kept: when the first run began, their size, and
 * how long the place of the report is, after which theirs stands. */
static bool read_kept(cb_progress *p, const char *rest, char place[PATH_MAX], kept_mark *kept)
{
    size_t len = 0;
    if (strcmp(rest, "\n") == 0)
        return true;
    if (sscanf(rest, " %27s %lld %zu", p->begun, &kept->size, &len) != 3 || kept->size <= 0 ||
        len >= strlen(place) || place[len] != '\n')
        return false;
    place[len] = 0;
    snprintf(kept->place, sizeof kept->place, "%s", place + len + 1);
    return kept->place[0] != 0;
}

/* A mark is two lines, "<digest> <line>" and where its report is; where rows are kept the first says
 * more, and a third where they are. What is no mark of this file settles nothing: its lines are
 * tried again, which changes nothing. */
static int64_t read_mark(cb_progress *p, char place[PATH_MAX], kept_mark *kept)
{
    char digest[2 * CB_SHA256_SIZE + 1] = "", rest[128] = "", *text = malloc(2 * PATH_MAX);
    long long line = -1;
    size_t len = 0;
    FILE *file = text ? fopen(p->mark_path, "r") : NULL;
    bool read = file && fscanf(file, "%64s %lld", digest, &line) == 2 && line >= 0 &&
                fgets(rest, sizeof rest, file) && strchr(rest, '\n');
    if (read)
        len = fread(text, 1, 2 * PATH_MAX - 1, file);
    read = read && len > 1 && len < 2 * PATH_MAX - 1 && text[len - 1] == '\n' &&
           strcmp(digest, p->digest) == 0;
    if (read) {
        text[len - 1] = 0;
        read = read_kept(p, rest, text, kept) && strlen(text) < PATH_MAX;
    }
    snprintf(place, PATH_MAX, "%s", read ? text : "");
    if (!read)
        *kept = (kept_mark){.size = 0};
    if (file)
        fclose(file);
    free(text);
    /* Without a report on a disk nothing is settled. */
    return *place ? line : 0;
}

/* ---- Rows that are kept ---- */

/* The codes of lines that are settled stand in one file, or nowhere. */
static cb_ctl_status same_rows(cb_ctl *ctl, const cb_progress *p, const kept_mark *before)
{
    if (before->place[0] && !p->kept) {
        cb_ctl_misuse(ctl, "the run that is to go on writes rows into %s: name that file as before", before->place);
        return CB_CTL_USAGE;
    }
    if (before->place[0] || !p->kept || p->settled == 0)
        return CB_CTL_DONE;
    cb_ctl_misuse(ctl, "lines up to %lld were settled without %s: go on without it, or remove %s",
                  (long long)p->settled, p->kept->option, p->mark_path);
    return CB_CTL_USAGE;
}

static bool write_mark(const cb_progress *p, int64_t settled)
{
    cb_buf text = CB_BUF(2 * PATH_MAX + 256);
    cb_buf_printf(&text, "%s %lld", p->digest, (long long)settled);
    if (p->kept)
        cb_buf_printf(&text, " %s %lld %zu", p->begun, (long long)p->kept->size, strlen(p->place));
    cb_buf_printf(&text, "\n%s\n", p->place);
    if (p->kept)
        cb_buf_printf(&text, "%s\n", p->kept->place);
    bool good = cb_buf_error(&text) == CB_OK &&
                cb_file_replace(p->mark_path, cb_buf_bytes(&text), 0644) == CB_OK;
    cb_buf_free(&text);
    return good;
}

/* Before the report is touched: rows that this run may not write are a reason to leave all as it
 * is. */
static cb_ctl_status open_rows(cb_ctl *ctl, const kept_mark *before, cb_progress *p)
{
    struct stat rows;
    p->goes_on = before->place[0] != 0;
    if (!p->goes_on)
        cb_time_text(cb_clock_wall_us(), p->begun);
    cb_ctl_status status =
        cb_kept_open(ctl, p->kept, p->goes_on ? before->place : NULL, before->size);
    if (!status && (fstat(p->kept->fd, &rows) != 0 || rows.st_nlink != 1))
        status = cb_ctl_fail(ctl, CB_E_IO, p->kept->path);
    return status;
}

/* A mark of another file names a report that this run is about to begin anew: were that file to come
 * back, its bad lines would count as settled and stand nowhere. */
static bool remove_mark(const cb_progress *p)
{
    char path[CB_PROGRESS_PATH + 2];
    struct stat about;
    if (lstat(p->mark_path, &about) != 0)
        return errno == ENOENT;
    snprintf(path, sizeof path, "%s%s", strchr(p->mark_path, '/') ? "" : "./", p->mark_path);
    return unlink(path) == 0 && cb_kept_sync_name(path);
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

/* flags: how it may be there already. */
static FILE *open_report(const char *path, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | flags, 0666);
    FILE *report = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!report && fd >= 0)
        close(fd);
    return report;
}

/* The old report stays until the new one is on the disk, with all that is kept of it. */
static const char *replace_report(cb_progress *p, FILE *old, mode_t mode)
{
    char fresh[PATH_MAX + 8];
    snprintf(fresh, sizeof fresh, "%s.new", p->place);
    /* What a crash left there goes; what somebody put there is not written through. */
    if (unlink(fresh) == 0 || errno == ENOENT)
        p->report = open_report(fresh, O_EXCL | O_NOFOLLOW);
    if (!p->report)
        return strerror(errno);
    const char *wrong = keep_reasons(p, old, p->report);
    if (!wrong && (fchmod(fileno(p->report), mode & 0777) != 0 || !sync_report(p->report) ||
                   rename(fresh, p->place) != 0))
        wrong = strerror(errno);
    if (wrong)
        unlink(fresh);
    else if (!cb_kept_sync_name(p->place))
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

static cb_ctl_status begin(cb_ctl *ctl, const kept_mark *before, cb_progress *p)
{
    /* One that names rows is of this file, and settles nothing: they are found by it. */
    if (!before->place[0] && !remove_mark(p))
        return cb_ctl_fail(ctl, CB_E_IO, p->mark_path);
    /* The folder of FILE may be another's, who can put a link there; a name that was given may be one. */
    p->report = open_report(p->report_path, O_TRUNC | (p->named ? 0 : O_NOFOLLOW));
    if (!p->report)
        return cb_ctl_fail(ctl, CB_E_IO, p->report_path);
    fputs(heading, p->report);
    /* A terminal or a pipe is nowhere, and no other run goes on with it. */
    if (!realpath(p->report_path, p->place))
        p->place[0] = 0;
    return cb_kept_sync_name(p->place) ? CB_CTL_DONE : cb_ctl_fail(ctl, CB_E_IO, p->report_path);
}

/* ---- This run ---- */

cb_ctl_status cb_progress_open(cb_ctl *ctl, const cb_digest *digest, cb_progress *p)
{
    char before[PATH_MAX];
    kept_mark rows = {.size = 0};
    cb_ctl_status status = names_apart(ctl, p);
    if (status)
        return status;
    cb_hex(cb_digest_bytes(digest), p->digest);
    p->settled = read_mark(p, before, &rows);
    status = same_rows(ctl, p, &rows);
    if (!status && p->kept)
        status = open_rows(ctl, &rows, p);
    if (!status)
        status = p->settled > 0 ? go_on(ctl, before, p) : begin(ctl, &rows, p);
    /* Before anything is done: whatever becomes of this run, the next finds the rows. */
    if (!status && p->kept && !write_mark(p, p->settled))
        status = cb_ctl_fail(ctl, CB_E_IO, p->mark_path);
    return status;
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
    p->unwritten = p->unwritten || !sync_report(p->report) || (p->kept && !cb_kept_sync(p->kept));
    /* A run that was stopped before it got to its first line takes nothing back. Where no mark can be
     * written the one before stands. */
    if (!p->unwritten)
        (void)write_mark(p, settled > p->settled ? settled : p->settled);
    return !p->unwritten;
}
