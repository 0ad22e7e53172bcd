/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/many.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"

enum { THREADS_MAX = 64, THREADS_USUAL = 16, BAR = 30 };
#define MARK_EVERY CB_SECOND
#define SHOW_EVERY (100 * CB_MILLISECOND)

cb_id cb_ctl_made_id(const cb_bytes *parts, size_t count)
{
    cb_id id;
    cb_digest digest = cb_sha256_parts(parts, count);
    memcpy(id.bytes, digest.bytes, CB_ID_SIZE);
    id.bytes[6] = (uint8_t)(0x80 | (id.bytes[6] & 0x0F)); /* made by a rule of one's own */
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3F));
    return id;
}

/* ---- How far it came ---- */

/* Lock held. */
static int64_t settled(const cb_many *m)
{
    int64_t least = m->file.line + 1;
    for (unsigned i = 0; i < m->count_of_workers; i++) {
        if (m->workers[i].line > 0 && m->workers[i].line < least)
            least = m->workers[i].line;
    }
    return least - 1;
}

/* Lock held. */
static void mark(cb_many *m)
{
    m->stop = !cb_progress_mark(&m->progress, settled(m)) || m->stop;
    m->marked = cb_clock_monotonic_us();
}

/* For a person; a program that reads JSON may read both from one place. */
static bool watched(const cb_many *m) { return !m->ctl->json && isatty(fileno(m->ctl->err)); }

static void show(cb_many *m)
{
    int64_t now = cb_clock_monotonic_us();
    if (!watched(m) || (now - m->shown < SHOW_EVERY && m->file.line < m->lines))
        return;
    m->shown = now;
    int64_t done = settled(m), since = done - m->progress.settled;
    int filled = m->lines ? (int)(done * BAR / m->lines) : BAR;
    double seconds = (double)(now - m->began) / CB_SECOND;
    fprintf(m->ctl->err, "\r[%.*s%*s] %lld of %lld, %.0f/s, %lld bad ", filled,
            "##############################", BAR - filled, "", (long long)done,
            (long long)m->lines, seconds > 0 ? (double)since / seconds : 0, (long long)m->bad);
    fflush(m->ctl->err);
}

/* ---- All of them ---- */

/* The next line; false at the end. Lock held. */
static bool take_line(cb_many *m, cb_many_worker *w, cb_card_line *l, bool *whole)
{
    bool taken = !m->stop && cb_card_lines_next(&m->file, m->progress.settled, l, whole);
    while (taken && m->heading && strcmp(l->text, m->heading) == 0)
        taken = cb_card_lines_next(&m->file, m->progress.settled, l, whole);
    w->line = taken ? m->file.line : 0;
    return taken;
}

/* Lock held. Where nobody answers, or says that it may do later, further lines would only fill the
 * report: it stops, and this line is not settled. */
static void note(cb_many *m, cb_many_worker *w, cb_ctl_status status, bool already)
{
    m->stop = m->stop || m->kept.unwritten; /* what cannot be written is said once, at the end */
    if (status && m->kept.unwritten)
        return;
    if (status == CB_CTL_UNREACHABLE || (status && w->ctl.for_now)) {
        if (!m->stop)
            fprintf(m->ctl->err, "\n%s", w->said ? w->said : "");
        m->stop = true;
        return;
    }
    if (status) {
        cb_progress_reason(&m->progress, w->line, w->said);
        m->bad++;
    } else {
        *(already ? &m->already : &m->did) += 1;
    }
    w->line = 0;
    if (cb_clock_monotonic_us() - m->marked > MARK_EVERY)
        mark(m);
    show(m);
}

static void *run_worker(void *context)
{
    cb_many_worker *w = context;
    cb_many *m = w->m;
    cb_card_line *l = malloc(sizeof *l);
    bool whole = true;
    pthread_mutex_lock(&m->lock);
    m->stop = m->stop || !l;
    while (l && take_line(m, w, l, &whole)) {
        pthread_mutex_unlock(&m->lock);
        bool already = false;
        rewind(w->ctl.err);
        w->ctl.for_now = false;
        cb_ctl_status status =
            whole ? m->each(w, l, &already)
                  : cb_ctl_fail(&w->ctl, CB_E_TOO_LARGE, "the line is too long, or no text");
        fputc(0, w->ctl.err);
        fflush(w->ctl.err);
        pthread_mutex_lock(&m->lock);
        note(m, w, status, already);
        if (m->stop)
            break;
    }
    pthread_mutex_unlock(&m->lock);
    free(l);
    return NULL;
}

static cb_ctl_status start_worker(cb_many *m, cb_many_worker *w)
{
    *w = (cb_many_worker){.m = m};
    w->ctl = (cb_ctl){.out = m->ctl->out, .run = m->ctl->run, .hsm = m->ctl->hsm};
    w->ctl.err = open_memstream(&w->said, &w->said_len);
    bool good = w->ctl.err && pthread_create(&w->thread, NULL, run_worker, w) == 0;
    if (!good && w->ctl.err)
        fclose(w->ctl.err);
    return good ? CB_CTL_DONE : cb_ctl_fail(m->ctl, CB_E_MEMORY, NULL);
}

static cb_ctl_status run_all(cb_many *m, unsigned threads)
{
    cb_ctl_status status = CB_CTL_DONE;
    m->workers = calloc(threads, sizeof *m->workers);
    if (!m->workers || (m->needs_hsm && !cb_ctl_hsm(m->ctl)))
        return cb_ctl_fail(m->ctl, CB_E_MEMORY, NULL);
    m->began = m->marked = cb_clock_monotonic_us();
    unsigned started = 0;
    pthread_mutex_lock(&m->lock); /* until all are there to be asked how far they are */
    for (; !status && started < threads; started++) {
        status = start_worker(m, &m->workers[started]);
        if (status)
            break;
    }
    m->count_of_workers = started;
    m->stop = status != CB_CTL_DONE;
    pthread_mutex_unlock(&m->lock);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(m->workers[i].thread, NULL);
        cb_ctl_http_close(&m->workers[i].ctl.http);
        fclose(m->workers[i].ctl.err);
        free(m->workers[i].said);
    }
    mark(m);
    show(m);
    if (m->kept.unwritten)
        return cb_ctl_fail(m->ctl, CB_E_IO, m->kept.path);
    if (m->progress.unwritten)
        return cb_ctl_fail(m->ctl, CB_E_IO, m->progress.report_path);
    return status ? status : m->stop ? CB_CTL_UNREACHABLE : CB_CTL_DONE;
}

/* Somebody else could add to it between the look and the run. The file that is open is asked: one
 * that comes to its name later is not read. */
static bool only_ours(const struct stat *about)
{
    return about->st_uid == geteuid() && !(about->st_mode & (S_IWGRP | S_IWOTH));
}

/* By whatever name: the report is begun with nothing in it. Before anything is opened for writing. */
static bool is_report(const cb_many *m, const struct stat *about)
{
    struct stat report;
    return stat(m->progress.report_path, &report) == 0 && report.st_dev == about->st_dev &&
           report.st_ino == about->st_ino;
}

static cb_ctl_status map_file(cb_many *m, const char *path, cb_digest *digest)
{
    struct stat about;
    m->open = open(path, O_RDONLY | O_CLOEXEC);
    bool good = m->open >= 0 && fstat(m->open, &about) == 0 && S_ISREG(about.st_mode);
    if (good && m->looked_at && !only_ours(&about))
        return cb_ctl_misuse(m->ctl,
                             "somebody else may write %s: make a copy of your own first, that only "
                             "you may write, and look at that one",
                             path);
    if (good && is_report(m, &about))
        return cb_ctl_misuse(
            m->ctl, "the report would be written over %s: name another file with --report", path);
    /* Two would take each other's reasons out of the report. */
    if (good && flock(m->open, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return cb_ctl_misuse(m->ctl, "another run over %s is under way", path);
    size_t size = good ? (size_t)about.st_size : 0;
    void *map = size > 0 ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, m->open, 0) : NULL;
    if (!good || map == MAP_FAILED)
        return cb_ctl_fail(m->ctl, CB_E_IO, path);
    m->file = (cb_card_lines){.text = map, .size = size};
    m->lines = cb_card_lines_count(map, size);
    *digest = cb_sha256(cb_bytes_make(map, size));
    return CB_CTL_DONE;
}

static cb_ctl_status say(cb_many *m, cb_ctl_status status)
{
    json_t *now = json_pack("{sI,sI,sI,sb,ss}", m->done, (json_int_t)m->did, "already",
                            (json_int_t)m->already, "bad", (json_int_t)m->bad, "complete",
                            status == CB_CTL_DONE, "report", m->progress.report_path);
    if (now && m->kept.path) {
        json_object_set_new(now, m->rows, json_string(m->kept.path));
        json_object_set_new(now, m->count, json_integer((json_int_t)m->kept.rows));
    }
    if (watched(m))
        fputc('\n', m->ctl->err);
    cb_ctl_status said = cb_ctl_done(
        m->ctl, now, "%lld %s, %lld were there already, %lld bad lines (%s)", (long long)m->did,
        m->done, (long long)m->already, (long long)m->bad, m->progress.report_path);
    json_decref(now);
    if (m->kept.path)
        cb_ctl_note(m->ctl, "%lld %s are in %s.", (long long)m->kept.rows, m->count, m->kept.path);
    if (status)
        cb_ctl_note(m->ctl, "It stopped half-way: run the same command again.");
    return status ? status : said ? said : m->bad > 0 ? CB_CTL_FAILED : CB_CTL_DONE;
}

cb_ctl_status cb_ctl_many(cb_many *m)
{
    uint64_t threads = THREADS_USUAL;
    cb_digest digest;
    m->open = -1;
    if (cb_ctl_number(cb_ctl_arg(m->args, "threads"), THREADS_MAX, &threads) || threads == 0)
        return cb_ctl_misuse(m->ctl, "--threads is a number from 1 to 64");
    pthread_mutex_init(&m->lock, NULL);
    m->progress.kept = m->kept.path ? &m->kept : NULL;
    cb_ctl_status status =
        cb_progress_name(m->ctl, m->args->operand[0], cb_ctl_arg(m->args, "report"), &m->progress);
    if (!status)
        status = map_file(m, m->args->operand[0], &digest);
    if (!status)
        status = cb_progress_open(m->ctl, &digest, &m->progress);
    m->bad = m->progress.bad;
    if (!status)
        status = say(m, run_all(m, (unsigned)threads));
    cb_progress_close(&m->progress);
    cb_kept_close(&m->kept);
    if (m->file.text)
        munmap((void *)(uintptr_t)m->file.text, m->file.size);
    if (m->open >= 0)
        close(m->open);
    free(m->workers);
    pthread_mutex_destroy(&m->lock);
    return status;
}
