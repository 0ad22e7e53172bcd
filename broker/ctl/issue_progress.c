/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/issue_progress.h"

#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/text.h"

cb_ctl_status cb_progress_name(cb_ctl *ctl, const char *file, const char *report, cb_progress *out)
{
    int mark_len = snprintf(out->mark_path, CB_PROGRESS_PATH, "%s.progress", file);
    int report_len = report ? snprintf(out->report_path, CB_PROGRESS_PATH, "%s", report)
                            : snprintf(out->report_path, CB_PROGRESS_PATH, "%s.rejected", file);
    bool fits = mark_len > 0 && mark_len < CB_PROGRESS_PATH && report_len > 0 &&
                report_len < CB_PROGRESS_PATH;
    return fits ? CB_CTL_DONE : cb_ctl_misuse(ctl, "the path is too long");
}

static int64_t read_mark(const cb_progress *p)
{
    char digest[2 * CB_SHA256_SIZE + 1] = "";
    long long line = 0;
    FILE *file = fopen(p->mark_path, "r");
    bool read = file && fscanf(file, "%64s %lld", digest, &line) == 2;
    if (file)
        fclose(file);
    return read && strcmp(digest, p->digest) == 0 && line > 0 ? line : 0;
}

/* Lines behind the mark are tried again, so what the report says of them goes. */
static cb_ctl_status open_report(cb_ctl *ctl, cb_progress *p)
{
    cb_buf old = CB_BUF(256 * 1024 * 1024);
    if (p->settled > 0 && cb_file_read(p->report_path, &old) != CB_OK)
        cb_buf_reset(&old);
    const char *text = cb_buf_cstr(&old);
    p->report = fopen(p->report_path, "w");
    if (p->report && !p->settled)
        fputs("line,reason\n", p->report);
    for (bool head = true; p->report && text && *text; head = false) {
        const char *end = strchr(text, '\n');
        size_t len = end ? (size_t)(end - text) + 1 : strlen(text);
        if (head || strtoll(text, NULL, 10) <= p->settled) {
            fwrite(text, 1, len, p->report);
            p->bad += !head;
        }
        text += len;
    }
    cb_buf_free(&old);
    return p->report ? CB_CTL_DONE : cb_ctl_fail(ctl, CB_E_IO, p->report_path);
}

cb_ctl_status cb_progress_open(cb_ctl *ctl, const cb_digest *digest, cb_progress *p)
{
    cb_hex(cb_digest_bytes(digest), p->digest);
    p->settled = read_mark(p);
    return open_report(ctl, p);
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
    char fresh[CB_PROGRESS_PATH + 8];
    p->unwritten = p->unwritten || fflush(p->report) != 0 || ferror(p->report);
    if (p->unwritten)
        return false;
    snprintf(fresh, sizeof fresh, "%s.new", p->mark_path);
    FILE *file = fopen(fresh, "w");
    if (!file)
        return true;
    bool good = fprintf(file, "%s %lld\n", p->digest, (long long)settled) > 0;
    good = fclose(file) == 0 && good;
    if (good)
        rename(fresh, p->mark_path);
    return true;
}
