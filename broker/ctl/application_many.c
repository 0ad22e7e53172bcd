/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Many applications. One operator enters them from a file of four columns without quotes:
 *
 *   reference , reason , profile , holder
 *
 * the administrator's own number of the application, by which it is known: the same one is never
 * entered twice, in whatever file it stands; first or replacement; the kind of card's number or
 * nothing; the holder's identifier, or the name of somebody who is entered with the application
 * (the rest of the line). What was entered is written into a file of rows,
 *
 *   application , holder , profile , reason , reference , name
 *
 * which another operator approves after he has looked at it: all that a row says must be what the
 * broker has, or he would approve something else than he has seen, and nobody else may write the
 * file, or rows could come to it after his look. The broker sees to it that he is
 * another.
 */
#include "broker/ctl/application_many.h"

#include <string.h>

#include "base/text.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/many.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

enum { REFERENCE_MAX = 64 };

#define COLUMNS "application,holder,profile,reason,reference,name"

/* What the broker has of an application, or is to have. */
typedef struct asked {
    char id[CB_ID_TEXT], holder[CB_ID_TEXT];
    const char *reason, *reference, *name; /* name NULL: the holder is there */
    uint64_t profile;
} asked;

static bool is_same(const asked *a, const json_t *there)
{
    return strcmp(cb_ctl_text_field(there, "holder"), a->holder) == 0 &&
           strcmp(cb_ctl_text_field(there, "reason"), a->reason) == 0 &&
           json_integer_value(json_object_get(there, "profile")) == (json_int_t)a->profile;
}

static cb_ctl_status look(cb_ctl *ctl, const asked *a, json_t **there)
{
    char path[96];
    snprintf(path, sizeof path, "/v1/applications/%s", a->id);
    return cb_ctl_call(ctl, "GET", path, NULL, there);
}

/* ---- Entering ---- */

/* It becomes part of a row, and of an identifier for good. */
static bool reference_ok(const char *text)
{
    size_t len = strlen(text);
    for (; *text; text++) {
        if (*text < 0x20 || *text > 0x7E)
            return false;
    }
    return len > 0 && len <= REFERENCE_MAX;
}

/* It is to be looked at in a row, on whatever screen. */
static bool name_shows(const char *text)
{
    size_t len;
    for (uint32_t c = 0; *text; text += len) {
        len = cb_utf8_read(text, &c);
        if (len == 0 || cb_utf8_acts(c))
            return false;
    }
    return true;
}

/* With the zero at its end, so that no name makes another reference of it. */
static cb_bytes reference_bytes(const char *reference)
{
    return cb_bytes_make(reference, strlen(reference) + 1);
}

static cb_id id_of(const char *reference)
{
    static const char purpose[] = "cardbroker application 1";
    return cb_ctl_made_id((cb_bytes[]){CB_BYTES_OF(purpose), reference_bytes(reference)}, 2);
}

static cb_id holder_of(const char *reference, const char *name)
{
    static const char purpose[] = "cardbroker holder of application 1";
    return cb_ctl_made_id(
        (cb_bytes[]){CB_BYTES_OF(purpose), reference_bytes(reference), cb_bytes_str(name)}, 3);
}

/* reference, reason and profile stand where a card's line has its certificate, serial and
 * application. */
static cb_ctl_status read_line(cb_ctl *ctl, cb_card_line *l, asked *a)
{
    cb_id holder;
    if (cb_card_line_split(l))
        return cb_ctl_misuse(ctl, "a line has four columns: reference, reason, profile, holder");
    if (!reference_ok(l->certificate))
        return cb_ctl_misuse(ctl, "the reference is 1 to 64 ASCII characters");
    if (strcmp(l->serial, "first") != 0 && strcmp(l->serial, "replacement") != 0)
        return cb_ctl_misuse(ctl, "the reason is first or replacement");
    *a = (asked){.profile = CB_PROFILE_NATIVE, .reference = l->certificate, .reason = l->serial};
    if (*l->application && cb_ctl_number(l->application, UINT8_MAX, &a->profile))
        return cb_ctl_misuse(ctl, "the profile is a number, or nothing");
    if (cb_id_parse(l->holder, &holder)) {
        if (!name_shows(l->holder))
            return cb_ctl_misuse(ctl, "the name has a character that acts on a screen instead of "
                                      "standing on it: leave it out, or add the holder by "
                                      "himself and put his identifier here");
        a->name = l->holder;
        holder = holder_of(a->reference, a->name);
    }
    cb_id id = id_of(a->reference);
    cb_id_text(&id, a->id);
    cb_id_text(&holder, a->holder);
    return CB_CTL_DONE;
}

static cb_ctl_status holder_row(cb_ctl *ctl, const asked *a, json_t **holder)
{
    char path[96];
    snprintf(path, sizeof path, "/v1/holders/%s", a->holder);
    return cb_ctl_call(ctl, "GET", path, NULL, holder);
}

/* Of that reference: by an earlier try of this line, or for something else. */
static cb_ctl_status is_there(cb_ctl *ctl, const asked *a)
{
    json_t *there = NULL;
    cb_ctl_status status = look(ctl, a, &there);
    if (!status && !is_same(a, there))
        status = cb_ctl_fail(ctl, CB_E_EXISTS, "another application has this reference");
    json_decref(there);
    return status;
}

static cb_ctl_status enter(cb_ctl *ctl, const asked *a, bool *already)
{
    cb_ctl_answer answer = {0};
    json_t *body = json_pack("{ss,ss,ss,sI}", "id", a->id, "holder", a->holder, "reason", a->reason,
                             "profile", (json_int_t)a->profile);
    cb_ctl_put_text(&body, "holder_name", a->name);
    if (!body)
        return cb_ctl_fail_text(ctl, "the holder's name", a->name);
    cb_ctl_status status = cb_ctl_ask(ctl, "POST", "/v1/applications", body, &answer);
    const char *code = answer.body ? cb_ctl_text_field(answer.body, "code") : "";
    *already = answer.status == 409 && strcmp(code, "resource.exists") == 0;
    if (!status && *already)
        status = is_there(ctl, a);
    else if (!status && (answer.status < 200 || answer.status > 299))
        status = cb_ctl_problem(ctl, &answer);
    json_decref(body);
    cb_ctl_answer_free(&answer);
    return status;
}

/* The row of an application that the file has not, with the name made harmless. */
static cb_ctl_status keep(cb_many_worker *w, const asked *a, const char *name)
{
    cb_many *m = w->m;
    cb_id id;
    bool mine = false;
    cb_buf row = CB_BUF(CB_KEPT_ROW_MAX);
    cb_buf_printf(&row, "%s,%s,%u,%s,", a->id, a->holder, (unsigned)a->profile, a->reason);
    cb_kept_quoted(&row, a->reference);
    cb_buf_put_u8(&row, ',');
    cb_buf plain = CB_BUF(CB_KEPT_ROW_MAX);
    cb_ctl_plain(&plain, name);
    cb_kept_quoted(&row, cb_buf_cstr(&plain) ? cb_buf_cstr(&plain) : "");
    cb_buf_put_u8(&row, '\n');
    cb_error error = cb_buf_error(&plain) ? cb_buf_error(&plain) : cb_buf_error(&row);
    cb_buf_free(&plain);
    if (!error)
        error = cb_id_parse(a->id, &id);
    pthread_mutex_lock(&m->lock);
    if (!error)
        error = cb_kept_claim(&m->kept, &id, &mine);
    if (!error && mine && !cb_kept_add(&m->kept, cb_buf_bytes(&row)))
        error = CB_E_IO;
    pthread_mutex_unlock(&m->lock);
    cb_buf_free(&row);
    return error ? cb_ctl_fail(&w->ctl, error, m->kept.path) : CB_CTL_DONE;
}

static cb_ctl_status add_one(cb_many_worker *w, cb_card_line *l, bool *already)
{
    asked a;
    json_t *holder = NULL;
    cb_ctl_status status = read_line(&w->ctl, l, &a);
    if (!status)
        status = enter(&w->ctl, &a, already);
    if (!status && !a.name)
        status = holder_row(&w->ctl, &a, &holder);
    if (!status)
        status = keep(w, &a, a.name ? a.name : cb_ctl_text_field(holder, "name"));
    json_decref(holder);
    return status;
}

cb_ctl_status cb_ctl_application_add_many(cb_ctl *ctl, const cb_ctl_args *args)
{
    char beside[CB_PROGRESS_PATH];
    const char *entered = cb_ctl_arg(args, "entered");
    int len = snprintf(beside, sizeof beside, "%s.entered", args->operand[0]);
    if (len < 0 || (size_t)len >= sizeof beside)
        return cb_ctl_misuse(ctl, "the path is too long");
    cb_many m = {.ctl = ctl,
                 .args = args,
                 .done = "entered",
                 .rows = "entered_file",
                 .count = "applications",
                 .kept = {.path = entered ? entered : beside,
                          .option = "--entered",
                          .heading = COLUMNS "\n"},
                 .each = add_one};
    return cb_ctl_many(&m);
}

/* ---- Approving ---- */

static bool parted(cb_card_line *l, asked *a)
{
    cb_id id, holder;
    if (cb_card_line_split(l) || cb_id_parse(l->certificate, &id) ||
        cb_id_parse(l->serial, &holder) || !*l->application)
        return false;
    char *at = strchr(l->holder, ',');
    if (!at)
        return false;
    *at++ = 0;
    a->reason = l->holder;
    a->reference = cb_quoted_next(&at);
    a->name = a->reference ? cb_quoted_next(&at) : NULL;
    cb_id_text(&id, a->id);
    cb_id_text(&holder, a->holder);
    return a->name && !*at && cb_ctl_number(l->application, UINT8_MAX, &a->profile) == CB_OK;
}

static bool is_name(const char *there, const char *row)
{
    cb_buf plain = CB_BUF(CB_KEPT_ROW_MAX);
    cb_ctl_plain(&plain, there);
    const char *text = cb_buf_cstr(&plain);
    bool same = cb_buf_error(&plain) == CB_OK && text && strcmp(text, row) == 0;
    cb_buf_free(&plain);
    return same;
}

/* All of the row is what the broker has. */
static cb_ctl_status check(cb_ctl *ctl, const asked *a, json_t **there)
{
    json_t *holder = NULL;
    char id[CB_ID_TEXT];
    cb_ctl_status status = look(ctl, a, there);
    if (!status)
        status = holder_row(ctl, a, &holder);
    cb_id made = id_of(a->reference);
    cb_id_text(&made, id);
    if (!status && (!is_same(a, *there) || strcmp(id, a->id) != 0 ||
                    !is_name(cb_ctl_text_field(holder, "name"), a->name)))
        status = cb_ctl_fail(ctl, CB_E_ARGUMENT,
                             "the row is not what the broker has: look who changed it");
    json_decref(holder);
    return status;
}

/* One that is approved is asked for too: what the record does not know as approved may be again. */
static cb_ctl_status approve(cb_many_worker *w, const asked *a, bool *already)
{
    char path[96];
    const char *reason = cb_ctl_arg(w->m->args, "reason");
    cb_ctl_answer answer = {0};
    json_t *body = json_object();
    snprintf(path, sizeof path, "/v1/applications/%s/approve", a->id);
    cb_ctl_put_text(&body, "reason", reason);
    cb_ctl_status status = body ? cb_ctl_ask(&w->ctl, "POST", path, body, &answer)
                                : cb_ctl_fail_text(&w->ctl, "--reason", reason);
    const char *code = answer.body ? cb_ctl_text_field(answer.body, "code") : "";
    *already = *already && answer.status == 409 && strcmp(code, "resource.state") == 0;
    if (!status && !*already && (answer.status < 200 || answer.status > 299))
        status = cb_ctl_problem(&w->ctl, &answer);
    json_decref(body);
    cb_ctl_answer_free(&answer);
    return status;
}

static cb_ctl_status approve_one(cb_many_worker *w, cb_card_line *l, bool *already)
{
    asked a;
    json_t *there = NULL;
    cb_ctl_status status =
        parted(l, &a)
            ? check(&w->ctl, &a, &there)
            : cb_ctl_misuse(&w->ctl, "a line is a row that application add-many wrote: " COLUMNS);
    const char *state = cb_ctl_text_field(there, "state");
    *already = strcmp(state, "approved") == 0 || strcmp(state, "issued") == 0;
    if (!status)
        status = approve(w, &a, already);
    json_decref(there);
    return status;
}

cb_ctl_status cb_ctl_application_approve_many(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_many m = {.ctl = ctl,
                 .args = args,
                 .done = "approved",
                 .heading = COLUMNS,
                 .looked_at = true,
                 .each = approve_one};
    return cb_ctl_many(&m);
}
