/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that nobody holds yet, and applications for cards.
 *
 * Serials come in files: a line a card, its serial first, then, after a comma, its identity where
 * the manufacturer says it. Empty lines and those that begin with "#" are passed over. A file is
 * handed on in steps; each may be repeated, so a command that was stopped is given again.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/ctl/application_many.h"
#include "broker/ctl/card.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/lines.h"
#include "broker/ctl/many.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

enum { FILE_MAX = 32 * 1024 * 1024, STEP = 1000, LINE_BITS = 21 };

static const cb_ctl_column stock_columns[] = {{"SERIAL", "serial"},     {"STATE", "state"},
                                              {"DELIVERY", "delivery"}, {"CARD", "card"},
                                              {"CHANGED", "changed"},   {0}};
static const cb_ctl_column mismatch_columns[] = {
    {"WHAT", "what"},     {"MANUFACTURER", "manufacturer"},
    {"SERIAL", "serial"}, {"DELIVERY", "delivery"},
    {"CARD", "card"},     {"BY", "actor"},
    {"TIME", "time"},     {0}};
static const cb_ctl_column application_columns[] = {{"APPLICATION", "id"},
                                                    {"HOLDER", "holder"},
                                                    {"REASON", "reason"},
                                                    {"STATE", "state"},
                                                    {"BY", "operator"},
                                                    {"DECIDED", "approver"},
                                                    {0}};
static const cb_ctl_column application_all[] = {{"application", "id"},
                                                {"holder", "holder"},
                                                {"profile", "profile"},
                                                {"reason", "reason"},
                                                {"state", "state"},
                                                {"entered by", "operator"},
                                                {"decided by", "approver"},
                                                {"card", "card"},
                                                {"created", "created"},
                                                {"changed", "changed"},
                                                {0}};

/* ---- Files of serials ---- */

typedef struct stock_file {
    cb_ctl *ctl;
    const cb_ctl_args *args;
    const char *path, *act; /* act NULL: a batch */
    cb_serial_lines file; /* its line behind a number for the file: the same line of another file is
                             another card */
    json_t *serials, *identities;
    int64_t first; /* place of the first serial of this step */
    int64_t done, mismatches;
} stock_file;

static cb_ctl_status add_serial(stock_file *f, const char *serial, const char *identity)
{
    if (json_array_append_new(f->serials, json_string(serial)) != 0 ||
        json_array_append_new(f->identities, json_string(identity)) != 0)
        return cb_ctl_fail_text(f->ctl, "a serial", serial);
    return CB_CTL_DONE;
}

/* Each line is its own serial's place: one that is passed over ends the step. */
static cb_ctl_status fill_step(stock_file *f)
{
    const char *serial, *identity;
    cb_ctl_status status = CB_CTL_DONE;
    json_array_clear(f->serials);
    json_array_clear(f->identities);
    while (!status && json_array_size(f->serials) < STEP &&
           cb_serial_lines_next(&f->file, &serial, &identity)) {
        if (!serial && json_array_size(f->serials) > 0)
            break;
        if (!serial)
            continue;
        if (json_array_size(f->serials) == 0)
            f->first = f->file.line;
        status = add_serial(f, serial, identity);
    }
    return status;
}

static json_t *step_body(const stock_file *f, bool last)
{
    const char *manufacturer = cb_ctl_arg(f->args, "manufacturer");
    if (!f->act)
        return json_pack("{ss,ss,sO,sO}", "manufacturer", manufacturer, "name",
                         cb_ctl_arg(f->args, "batch"), "serials", f->serials, "identities",
                         f->identities);
    return json_pack("{ss,ss,ss,sO,sI,sb}", "act", f->act, "manufacturer", manufacturer, "delivery",
                     cb_ctl_arg(f->args, "delivery"), "serials", f->serials, "first",
                     (json_int_t)f->first, "last", last);
}

static cb_ctl_status send_step(stock_file *f, bool last, bool *more)
{
    json_t *body = step_body(f, last), *answer = NULL;
    cb_ctl_status status =
        body ? cb_ctl_call(f->ctl, "POST", f->act ? "/v1/stock" : "/v1/batches", body, &answer)
             : cb_ctl_fail_text(f->ctl, "a name", NULL);
    f->done += json_integer_value(json_object_get(answer, "done"));
    f->mismatches += json_integer_value(json_object_get(answer, "mismatches"));
    *more = json_is_true(json_object_get(answer, "more"));
    json_decref(body);
    json_decref(answer);
    return status;
}

static cb_ctl_status send_all(stock_file *f, bool complete)
{
    bool more = false;
    cb_ctl_status status = CB_CTL_DONE;
    while (!status && f->file.next && *f->file.next) {
        status = fill_step(f);
        if (!status && json_array_size(f->serials) > 0)
            status = send_step(f, false, &more);
    }
    json_array_clear(f->serials);
    f->first = 1;
    more = complete;
    while (!status && more)
        status = send_step(f, true, &more);
    return status;
}

static cb_ctl_status whole_file(cb_ctl *ctl, const cb_ctl_args *args, const char *act)
{
    cb_buf text = CB_BUF(FILE_MAX);
    stock_file f = {
        .ctl = ctl, .args = args, .act = act, .serials = json_array(), .identities = json_array()};
    cb_ctl_status status = cb_ctl_read_file(ctl, args->operand[0], &text);
    char *whole = NULL;
    if (!status) {
        const char *there = cb_buf_cstr(&text);
        whole = there ? strdup(there) : NULL;
        if (!whole || !f.serials || !f.identities)
            status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
        else if (strlen(whole) != text.len)
            status = cb_ctl_fail(ctl, CB_E_FORMAT, "the file is no text");
    }
    f.file.next = whole;
    cb_digest digest = cb_sha256(cb_buf_bytes(&text));
    f.file.line = (int64_t)((uint32_t)digest.bytes[0] << 23 | (uint32_t)digest.bytes[1] << 15 |
                       (uint32_t)digest.bytes[2] << 7 | digest.bytes[3] >> 1)
             << LINE_BITS;
    if (!status)
        status = send_all(&f, act && strcmp(act, "receive") == 0 && !cb_ctl_arg(args, "partly"));
    if (!status) {
        json_t *now = json_pack("{sI,sI}", "done", (json_int_t)f.done, "mismatches",
                                (json_int_t)f.mismatches);
        status = cb_ctl_done(ctl, now, "%lld cards; %lld mismatches", (long long)f.done,
                             (long long)f.mismatches);
        json_decref(now);
    }
    free(whole);
    json_decref(f.serials);
    json_decref(f.identities);
    cb_buf_free(&text);
    return status;
}

static cb_ctl_status enter(cb_ctl *ctl, const cb_ctl_args *args)
{
    return whole_file(ctl, args, NULL);
}

static cb_ctl_status send(cb_ctl *ctl, const cb_ctl_args *args)
{
    return whole_file(ctl, args, "send");
}

static cb_ctl_status receive(cb_ctl *ctl, const cb_ctl_args *args)
{
    return whole_file(ctl, args, "receive");
}

static cb_ctl_status revoke_stock(cb_ctl *ctl, const cb_ctl_args *args)
{
    return whole_file(ctl, args, "revoke");
}

static cb_ctl_status destroy_stock(cb_ctl *ctl, const cb_ctl_args *args)
{
    return whole_file(ctl, args, "destroy");
}

static cb_ctl_status list_rows(cb_ctl *ctl, const char *path, const char *name,
                               const cb_ctl_column *columns)
{
    json_t *rows = NULL;
    cb_ctl_status status =
        path ? cb_ctl_collect(ctl, path, name, 0, &rows) : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

static cb_ctl_status list_stock(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_buf path = CB_BUF(CB_CTL_PATH_MAX);
    const char *state = cb_ctl_arg(args, "state"), *delivery = cb_ctl_arg(args, "delivery");
    cb_ctl_path(&path, "/v1/stock?manufacturer=%s", cb_ctl_arg(args, "manufacturer"));
    if (state)
        cb_ctl_path(&path, "&state=%s", state);
    if (delivery)
        cb_ctl_path(&path, "&delivery=%s", delivery);
    cb_ctl_status status = list_rows(ctl, cb_buf_cstr(&path), "stock", stock_columns);
    cb_buf_free(&path);
    return status;
}

static cb_ctl_status mismatches(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    return list_rows(ctl, "/v1/mismatches", "mismatches", mismatch_columns);
}

/* ---- Applications ---- */

static cb_ctl_status apply(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id holder;
    char text[CB_ID_TEXT];
    const char *profile = cb_ctl_arg(args, "profile");
    uint64_t number = CB_PROFILE_NATIVE;
    json_t *made = NULL;
    if (cb_ctl_number(profile, UINT8_MAX, &number))
        return cb_ctl_misuse(ctl, "\"%s\" is no profile's number", profile);
    cb_ctl_status status = cb_ctl_find_holder(ctl, cb_ctl_arg(args, "holder"), &holder);
    if (status)
        return status;
    cb_id_text(&holder, text);
    json_t *body = json_pack("{ss,ss,sI}", "holder", text, "reason", cb_ctl_arg(args, "reason"),
                             "profile", (json_int_t)number);
    status = body ? cb_ctl_call(ctl, "POST", "/v1/applications", body, &made)
                  : cb_ctl_fail_text(ctl, "--reason", cb_ctl_arg(args, "reason"));
    if (!status)
        status = cb_ctl_done(ctl, made, "application %s entered", cb_ctl_text_field(made, "id"));
    json_decref(body);
    json_decref(made);
    return status;
}

static cb_ctl_status of_application(cb_ctl *ctl, const cb_ctl_args *args, const char *act,
                                    json_t **application)
{
    cb_id id;
    const char *reason = *act ? cb_ctl_arg(args, "reason") : NULL;
    json_t *body = NULL;
    char text[CB_ID_TEXT], path[96];
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "an application", &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/applications/%s%s", text, act);
    if (!*act)
        return cb_ctl_call(ctl, "GET", path, NULL, application);
    body = json_object();
    cb_ctl_put_text(&body, "reason", reason);
    status = body ? cb_ctl_call(ctl, "POST", path, body, application)
                  : cb_ctl_fail_text(ctl, "--reason", reason);
    json_decref(body);
    return status;
}

static cb_ctl_status decide(cb_ctl *ctl, const cb_ctl_args *args, const char *act, const char *word)
{
    json_t *now = NULL;
    cb_ctl_status status = of_application(ctl, args, act, &now);
    if (!status)
        status = cb_ctl_done(ctl, now, "application %s %s", cb_ctl_text_field(now, "id"), word);
    json_decref(now);
    return status;
}

static cb_ctl_status approve(cb_ctl *ctl, const cb_ctl_args *args)
{
    return decide(ctl, args, "/approve", "approved");
}

static cb_ctl_status refuse(cb_ctl *ctl, const cb_ctl_args *args)
{
    return decide(ctl, args, "/refuse", "refused");
}

static cb_ctl_status show_application(cb_ctl *ctl, const cb_ctl_args *args)
{
    json_t *now = NULL;
    cb_ctl_status status = of_application(ctl, args, "", &now);
    if (!status)
        status = cb_ctl_object(ctl, now, application_all);
    json_decref(now);
    return status;
}

static cb_ctl_status list_applications(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT];
    const char *holder = cb_ctl_arg(args, "holder"), *state = cb_ctl_arg(args, "state");
    cb_buf path = CB_BUF(CB_CTL_PATH_MAX);
    cb_ctl_status status = holder ? cb_ctl_find_holder(ctl, holder, &id) : CB_CTL_DONE;
    cb_buf_put_str(&path, "/v1/applications");
    if (!status && holder) {
        cb_id_text(&id, text);
        cb_ctl_path(&path, "?holder=%s", text);
    }
    if (!status && state)
        cb_ctl_path(&path, holder ? "&state=%s" : "?state=%s", state);
    if (!status)
        status = list_rows(ctl, cb_buf_cstr(&path), "applications", application_columns);
    cb_buf_free(&path);
    return status;
}

#define MANUFACTURER                                                                               \
    {                                                                                              \
        "manufacturer", "NAME", "who made the cards", true, false                                  \
    }
#define DELIVERY                                                                                   \
    {                                                                                              \
        "delivery", "NAME", "of which delivery", true, false                                       \
    }

static const cb_ctl_option enter_options[] = {
    MANUFACTURER, {"batch", "NAME", "the manufacturer's name of the batch", true, false}, {0}};
static const cb_ctl_option send_options[] = {MANUFACTURER, DELIVERY, {0}};
static const cb_ctl_option receive_options[] = {
    MANUFACTURER,
    DELIVERY,
    {"partly", NULL, "more of this delivery follows: what did not come is not missing yet", false,
     false},
    {0}};
static const cb_ctl_option end_options[] = {
    MANUFACTURER, {"delivery", "WORD", "a word for the record", true, false}, {0}};
static const cb_ctl_option stock_options[] = {
    MANUFACTURER,
    {"state", "STATE", "manufactured, in-transit, in-stock, issued, revoked or destroyed", false,
     false},
    {"delivery", "NAME", "of one delivery only", false, false},
    {0}};
static const cb_ctl_option apply_options[] = {
    {"holder", "HOLDER", "for whom: identifier or exact name", true, false},
    {"reason", "REASON", "first or replacement", true, false},
    {"profile", "NUMBER", "the kind of card (default: 1, native)", false, false},
    {0}};
static const cb_ctl_option add_many_options[] = {
    {"entered", "FILE", "where each application is written (default: FILE.entered)", false, false},
    CB_CTL_MANY_OPTIONS,
    {0}};
static const cb_ctl_option approve_many_options[] = {
    {"reason", "WORD", "a short word for the record", false, false}, CB_CTL_MANY_OPTIONS, {0}};
static const cb_ctl_option decide_options[] = {
    {"reason", "WORD", "a short word for the record", false, false}, {0}};
static const cb_ctl_option applications_options[] = {
    {"holder", "HOLDER", "of one holder only: identifier or exact name", false, false},
    {"state", "STATE", "entered, approved, issued or refused", false, false},
    {0}};

const cb_ctl_command cb_ctl_stock_commands[] = {
    {"stock", "enter", "FILE", 1, 1, enter_options,
     "Enter the serials that a manufacturer says he has made", enter},
    {"stock", "send", "FILE", 1, 1, send_options, "Record which cards were sent off, as a delivery",
     send},
    {"stock", "receive", "FILE", 1, 1, receive_options,
     "Compare what has arrived with what was sent", receive},
    {"stock", "revoke", "FILE", 1, 1, end_options, "Bar cards that nobody holds", revoke_stock},
    {"stock", "destroy", "FILE", 1, 1, end_options,
     "Record that cards that nobody holds were destroyed", destroy_stock},
    {"stock", "list", "", 0, 0, stock_options, "List a manufacturer's cards", list_stock},
    {"stock", "mismatches", "", 0, 0, NULL,
     "List what did not fit: unknown, missing and double cards, and cards that were not issued",
     mismatches},
    {"application", "add", "", 0, 0, apply_options, "Enter that somebody asks for a card", apply},
    {"application", "add-many", "FILE", 1, 1, add_many_options,
     "Enter an application for each line of a file; may be stopped and run again",
     cb_ctl_application_add_many},
    {"application", "approve", "APPLICATION", 1, 1, decide_options,
     "Agree to an application that another operator entered", approve},
    {"application", "approve-many", "FILE", 1, 1, approve_many_options,
     "Agree to all applications of a file that application add-many wrote for another operator",
     cb_ctl_application_approve_many},
    {"application", "refuse", "APPLICATION", 1, 1, decide_options, "End an application", refuse},
    {"application", "list", "", 0, 0, applications_options, "List applications", list_applications},
    {"application", "show", "APPLICATION", 1, 1, NULL, "Show one application", show_application},
    {0}};
