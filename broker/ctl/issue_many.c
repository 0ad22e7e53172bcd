/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Many cards from one file.
 *
 * A line a card, in four columns without quotes:
 *
 *   certificate , serial , application , holder
 *
 * the card's own certificate in hexadecimal; MANUFACTURER/SERIAL and the application or nothing;
 * the holder's identifier, or the name of somebody who is entered with the card (the rest of the
 * line, commas and all). His identifier is made from card and name, so that he is entered once
 * however often the line is tried.
 *
 * Each line is done or not, whatever becomes of the others, and doing one again changes nothing: so
 * a run that was killed is started again. How far it came stands in a file beside (lines before
 * that are not looked at again); lines that could not be done stand in a report, with the reason.
 * Suspension codes stand in a file of their own, if they are asked for (issue_code.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/ctl/card.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/issue_code.h"
#include "broker/ctl/issue_progress.h"
#include "broker/ctl/lines.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

enum { THREADS_MAX = 64, THREADS_USUAL = 16, BAR = 30 };
#define MARK_EVERY CB_SECOND
#define SHOW_EVERY (100 * CB_MILLISECOND)

typedef struct worker worker;

typedef struct many {
    cb_ctl *ctl;
    const cb_ctl_args *args;
    json_t *fields; /* of every card */
    uint8_t level;
    pthread_mutex_t lock; /* of what follows */
    cb_progress progress;
    cb_kept codes; /* if they are asked for */
    cb_card_lines file;
    int open;             /* the file, locked */
    int64_t lines;        /* in all */
    int64_t issued, already, bad;
    int64_t began, shown, marked;
    bool stop;
    unsigned count;
    worker *workers;
} many;

struct worker {
    many *m;
    pthread_t thread;
    cb_ctl ctl; /* a connection of its own */
    char *said; /* what went wrong */
    size_t said_len;
    int64_t line; /* in hand; 0: none */
};

/* A card that was issued by a line, or was there. */
typedef struct card_of_line {
    cb_id id, holder;
    bool already;
    char created[CB_TIME_TEXT]; /* if it was there */
} card_of_line;

/* ---- How far it came ---- */

/* Lock held. */
static int64_t settled(const many *m)
{
    int64_t least = m->file.line + 1;
    for (unsigned i = 0; i < m->count; i++) {
        if (m->workers[i].line > 0 && m->workers[i].line < least)
            least = m->workers[i].line;
    }
    return least - 1;
}

/* Lock held. */
static void mark(many *m)
{
    m->stop = !cb_progress_mark(&m->progress, settled(m)) || m->stop;
    m->marked = cb_clock_monotonic_us();
}

/* For a person; a program that reads JSON may read both from one place. */
static bool watched(const many *m) { return !m->ctl->json && isatty(fileno(m->ctl->err)); }

static void show(many *m)
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

/* ---- One line ---- */

/* Of a holder who is entered with the card. */
static void make_id(const cb_card_line *l, cb_bytes certificate, cb_id *id)
{
    static const char purpose[] = "cardbroker holder of card 1";
    cb_digest digest = cb_sha256_parts(
        (cb_bytes[]){CB_BYTES_OF(purpose), certificate, cb_bytes_str(l->holder)}, 3);
    memcpy(id->bytes, digest.bytes, CB_ID_SIZE);
    id->bytes[6] =
        (uint8_t)(0x80 | (id->bytes[6] & 0x0F)); /* RFC 9562: made by a rule of one's own */
    id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3F));
}

static cb_ctl_status find_holder(worker *w, const cb_card_line *l, cb_bytes certificate, cb_id *id,
                                 uint64_t *sequence, bool *known)
{
    char text[CB_ID_TEXT], path[96];
    *sequence = 1;
    *known = cb_id_parse(l->holder, id) == CB_OK;
    if (!*known) {
        make_id(l, certificate, id);
        return CB_CTL_DONE;
    }
    cb_id_text(id, text);
    snprintf(path, sizeof path, "/v1/holders/%s", text);
    cb_ctl_status status = cb_ctl_call(&w->ctl, "GET", path, NULL, NULL);
    return status ? status : cb_ctl_next_sequence(&w->ctl, text, sequence);
}

/* What the line says of the card. */
static json_t *line_fields(const cb_card_line *l)
{
    const char *slash = strchr(l->serial, '/');
    json_t *fields = json_object();
    cb_ctl_put_text(&fields, "application", *l->application ? l->application : NULL);
    cb_ctl_put_text(&fields, "serial", slash ? slash + 1 : NULL);
    cb_ctl_put_textn(&fields, "manufacturer", slash ? l->serial : NULL,
                     slash ? (size_t)(slash - l->serial) : 0);
    return fields;
}

static json_t *card_body(const worker *w, const cb_card_line *l, cb_bytes binding, bool known)
{
    bool activate = cb_ctl_arg(w->m->args, "activate") != NULL;
    json_t *body = line_fields(l);
    cb_ctl_put_text(&body, "holder_name", known ? NULL : l->holder);
    if (body && (json_object_set_new(body, "binding", cb_ctl_hex(binding)) != 0 ||
                 json_object_set_new(body, "activate", json_boolean(activate)) != 0 ||
                 json_object_update(body, w->m->fields) != 0)) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

/* A card that is there: by an earlier try of this line, or somebody else's. */
static cb_ctl_status is_there(worker *w, card_of_line *card)
{
    char path[96], text[CB_ID_TEXT];
    cb_id of;
    bool activate = cb_ctl_arg(w->m->args, "activate") != NULL;
    json_t *there = NULL;
    cb_id_text(&card->id, text);
    snprintf(path, sizeof path, "/v1/cards/%s", text);
    cb_ctl_status status = cb_ctl_call(&w->ctl, "GET", path, NULL, &there);
    if (!status)
        status = cb_ctl_id_field(&w->ctl, there, "holder", &of);
    if (!status && !cb_id_same(&of, &card->holder))
        status = cb_ctl_fail(&w->ctl, CB_E_CARD_BOUND, NULL);
    snprintf(card->created, sizeof card->created, "%s", cb_ctl_text_field(there, "created"));
    activate = activate && strcmp(cb_ctl_text_field(there, "state"), "issued") == 0;
    json_decref(there);
    return status || !activate ? status : cb_ctl_card_change(&w->ctl, text, "activate", NULL);
}

/* Done, or it is there already, or it cannot be. */
static cb_ctl_status answered(worker *w, const cb_ctl_answer *answer, card_of_line *card)
{
    const char *code = answer->body ? cb_ctl_text_field(answer->body, "code") : "";
    card->already = answer->status == 409 && strcmp(code, "resource.exists") == 0;
    if (card->already)
        return is_there(w, card);
    return answer->status >= 200 && answer->status <= 299 ? CB_CTL_DONE
                                                          : cb_ctl_problem(&w->ctl, answer);
}

static cb_ctl_status record(worker *w, const cb_card_line *l, cb_bytes binding, bool known,
                            card_of_line *card)
{
    cb_binding_info info;
    cb_ctl_answer answer = {0};
    json_t *body = card_body(w, l, binding, known);
    if (!body)
        return cb_ctl_fail_text(&w->ctl, "the line", l->serial);
    cb_ctl_status status = cb_binding_info_read(binding, &info)
                               ? cb_ctl_fail(&w->ctl, CB_E_PROTOCOL, NULL)
                               : cb_ctl_ask(&w->ctl, "POST", "/v1/cards", body, &answer);
    if (!status) {
        card->id = info.card;
        status = answered(w, &answer, card);
    }
    json_decref(body);
    cb_ctl_answer_free(&answer);
    return status;
}

/* Before the card is bound, which is for good. */
static cb_ctl_status look_first(worker *w, const cb_card_line *l, const cb_id *holder,
                                cb_bytes certificate, bool known)
{
    const cb_ctl_card card = cb_ctl_card_native(certificate);
    const cb_ctl_record record = {.fields = line_fields(l)};
    cb_ctl_status status =
        record.fields
            ? cb_ctl_card_issuable(&w->ctl, &card, holder, known ? NULL : l->holder, &record)
            : cb_ctl_fail_text(&w->ctl, "the line", l->serial);
    json_decref(record.fields);
    return status;
}

static cb_ctl_status code_for(worker *w, const cb_card_line *l, const card_of_line *card)
{
    many *m = w->m;
    const cb_issue_code of = {.codes = &m->codes,
                              .lock = &m->lock,
                              .begun = m->progress.begun,
                              .card = card->id,
                              .holder = card->holder,
                              .serial = l->serial,
                              .created = card->already ? card->created : NULL};
    return m->progress.kept ? cb_ctl_issue_code(&w->ctl, &of) : CB_CTL_DONE;
}

static cb_ctl_status one_card(worker *w, cb_card_line *l, bool *already)
{
    card_of_line card = {.already = false};
    uint64_t sequence = 0;
    bool known = false;
    cb_buf certificate = CB_BUF(CB_CARD_LINE_MAX / 2), binding = CB_BUF(CB_BINDING_MAX);
    const char *wrong = cb_card_line_split(l);
    cb_ctl_status status = wrong ? cb_ctl_misuse(&w->ctl, "%s", wrong) : CB_CTL_DONE;
    if (!status && *l->serial && !strchr(l->serial, '/'))
        status = cb_ctl_misuse(&w->ctl, "the serial is MANUFACTURER/SERIAL");
    if (!status && (cb_unhex(cb_bytes_str(l->certificate), &certificate) || certificate.len == 0))
        status = cb_ctl_fail(&w->ctl, CB_E_FORMAT, "the certificate is no hexadecimal");
    if (!status)
        status = find_holder(w, l, cb_buf_bytes(&certificate), &card.holder, &sequence, &known);
    if (!status)
        status = look_first(w, l, &card.holder, cb_buf_bytes(&certificate), known);
    if (!status) {
        cb_error error = cb_hsm_bind(w->ctl.hsm, cb_buf_bytes(&certificate), &card.holder, w->m->level,
                                     sequence, &binding);
        if (error)
            status = cb_ctl_fail_hsm(&w->ctl, error, NULL);
    }
    if (!status)
        status = record(w, l, cb_buf_bytes(&binding), known, &card);
    if (!status)
        status = code_for(w, l, &card);
    *already = card.already;
    cb_buf_free(&certificate);
    cb_buf_free(&binding);
    return status;
}

/* ---- All of them ---- */

/* The next line; false at the end. Lock held. */
static bool take_line(many *m, worker *w, cb_card_line *l, bool *whole)
{
    bool taken = !m->stop && cb_card_lines_next(&m->file, m->progress.settled, l, whole);
    w->line = taken ? m->file.line : 0;
    return taken;
}

/* Lock held. Where nobody answers, or says that it may do later, further lines would only fill the report: it stops,
 * and this line is not settled. */
static void note(many *m, worker *w, cb_ctl_status status, bool already)
{
    m->stop = m->stop || m->codes.unwritten; /* what cannot be written is said once, at the end */
    if (status && m->codes.unwritten)
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
        *(already ? &m->already : &m->issued) += 1;
    }
    w->line = 0;
    if (cb_clock_monotonic_us() - m->marked > MARK_EVERY)
        mark(m);
    show(m);
}

static void *run_worker(void *context)
{
    worker *w = context;
    many *m = w->m;
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
            whole ? one_card(w, l, &already)
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

static cb_ctl_status start_worker(many *m, worker *w)
{
    *w = (worker){.m = m};
    w->ctl = (cb_ctl){.out = m->ctl->out, .run = m->ctl->run, .hsm = m->ctl->hsm};
    w->ctl.err = open_memstream(&w->said, &w->said_len);
    bool good = w->ctl.err && pthread_create(&w->thread, NULL, run_worker, w) == 0;
    if (!good && w->ctl.err)
        fclose(w->ctl.err);
    return good ? CB_CTL_DONE : cb_ctl_fail(m->ctl, CB_E_MEMORY, NULL);
}

static cb_ctl_status run_all(many *m, unsigned threads)
{
    cb_ctl_status status = CB_CTL_DONE;
    m->workers = calloc(threads, sizeof *m->workers);
    if (!m->workers || !cb_ctl_hsm(m->ctl))
        return cb_ctl_fail(m->ctl, CB_E_MEMORY, NULL);
    m->began = m->marked = cb_clock_monotonic_us();
    unsigned started = 0;
    pthread_mutex_lock(&m->lock); /* until all are there to be asked how far they are */
    for (; !status && started < threads; started++) {
        status = start_worker(m, &m->workers[started]);
        if (status)
            break;
    }
    m->count = started;
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
    if (m->codes.unwritten)
        return cb_ctl_fail(m->ctl, CB_E_IO, m->codes.path);
    if (m->progress.unwritten)
        return cb_ctl_fail(m->ctl, CB_E_IO, m->progress.report_path);
    return status ? status : m->stop ? CB_CTL_UNREACHABLE : CB_CTL_DONE;
}

static cb_ctl_status map_file(many *m, const char *path, cb_digest *digest)
{
    struct stat about;
    m->open = open(path, O_RDONLY | O_CLOEXEC);
    bool good = m->open >= 0 && fstat(m->open, &about) == 0 && S_ISREG(about.st_mode);
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

static cb_ctl_status say(many *m, cb_ctl_status status)
{
    json_t *now = json_pack("{sI,sI,sI,sb,ss,ss*,sI}", "issued", (json_int_t)m->issued, "already",
                            (json_int_t)m->already, "bad", (json_int_t)m->bad, "complete",
                            status == CB_CTL_DONE, "report", m->progress.report_path,
                            "suspension_codes", m->codes.path, "codes", (json_int_t)m->codes.rows);
    if (watched(m))
        fputc('\n', m->ctl->err);
    cb_ctl_status said =
        cb_ctl_done(m->ctl, now, "%lld issued, %lld were there already, %lld bad lines (%s)",
                    (long long)m->issued, (long long)m->already, (long long)m->bad, m->progress.report_path);
    json_decref(now);
    if (m->codes.path)
        cb_ctl_note(m->ctl, "%lld suspension codes are in %s, and nowhere else.", (long long)m->codes.rows, m->codes.path);
    if (status)
        cb_ctl_note(m->ctl, "It stopped half-way: run the same command again.");
    return status ? status : said ? said : m->bad > 0 ? CB_CTL_FAILED : CB_CTL_DONE;
}

cb_ctl_status cb_ctl_card_issue_many(cb_ctl *ctl, const cb_ctl_args *args)
{
    uint64_t threads = THREADS_USUAL;
    cb_digest digest;
    many m = {.ctl = ctl, .args = args, .level = CB_LEVEL_PIN, .open = -1};
    m.codes = (cb_kept){.path = cb_ctl_arg(args, "suspension-codes"),
                        .option = "--suspension-codes",
                        .heading = CB_ISSUE_CODE_HEADING};
    m.progress.kept = m.codes.path ? &m.codes : NULL;
    if (cb_ctl_number(cb_ctl_arg(args, "threads"), THREADS_MAX, &threads) || threads == 0)
        return cb_ctl_misuse(ctl, "--threads is a number from 1 to 64");
    pthread_mutex_init(&m.lock, NULL);
    cb_ctl_status status = cb_ctl_level(ctl, cb_ctl_arg(args, "level"), &m.level);
    if (!status)
        status = cb_progress_name(ctl, args->operand[0], cb_ctl_arg(args, "report"), &m.progress);
    if (!status)
        status = cb_ctl_issue_fields(ctl, args, &m.fields);
    if (!status)
        status = map_file(&m, args->operand[0], &digest);
    if (!status)
        status = cb_progress_open(ctl, &digest, &m.progress);
    m.bad = m.progress.bad;
    if (!status)
        status = say(&m, run_all(&m, (unsigned)threads));
    cb_progress_close(&m.progress);
    cb_kept_close(&m.codes);
    if (m.file.text)
        munmap((void *)(uintptr_t)m.file.text, m.file.size);
    if (m.open >= 0)
        close(m.open);
    free(m.workers);
    json_decref(m.fields);
    pthread_mutex_destroy(&m.lock);
    return status;
}
