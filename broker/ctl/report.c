/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reports, as a table, as CSV (RFC 4180) or as JSON.
 */
#include <string.h>

#include "broker/ctl/commands.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"

static const cb_ctl_column issued_columns[] = {
    {"DAY", "day"}, {"OPERATOR", "operator"}, {"STATION", "station"}, {"CARDS", "cards"}, {0}};
static const cb_ctl_column issue_columns[] = {{"CARD", "card"},
                                              {"DAY", "day"},
                                              {"OPERATOR", "operator"},
                                              {"STATION", "station"},
                                              {"MANUFACTURER", "manufacturer"},
                                              {"SERIAL", "serial"},
                                              {"APPLICATION", "application"},
                                              {"REPLACES", "replaces"},
                                              {0}};
static const cb_ctl_column card_columns[] = {{"CARD", "id"},
                                             {"HOLDER", "holder"},
                                             {"STATE", "state"},
                                             {"CREATED", "created"},
                                             {"EXPIRES", "expires"},
                                             {"DUE", "due"},
                                             {0}};
static const cb_ctl_column failure_columns[] = {{"DAY", "day"},
                                                {"KIND", "kind"},
                                                {"ID", "id"},
                                                {"WRONG PINS", "wrong_pins"},
                                                {"FAILED PROOFS", "failed_proofs"},
                                                {"TOLD PINS", "told_wrong_pins"},
                                                {"PASSWORDS", "wrong_passwords"},
                                                {0}};
static const cb_ctl_column generation_columns[] = {
    {"GENERATION", "generation"}, {"STATE", "state"}, {"CARDS", "cards"}, {0}};
static const cb_ctl_column mismatch_columns[] = {{"WHAT", "what"},
                                                 {"MANUFACTURER", "manufacturer"},
                                                 {"SERIAL", "serial"},
                                                 {"DELIVERY", "delivery"},
                                                 {"CARD", "card"},
                                                 {"APPLICATION", "application"},
                                                 {"OPERATOR", "actor"},
                                                 {"TIME", "time"},
                                                 {0}};

/* A spreadsheet takes a cell that begins like a formula for one; a quote before it does not hurt.
 */
static void put_cell(FILE *out, const char *text, bool last)
{
    fputc('"', out);
    if (*text && strchr("=+-@", *text) && text[1])
        fputc('\'', out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputs(last ? "\"\r\n" : "\",", out);
}

static cb_ctl_status print_csv(cb_ctl *ctl, const json_t *rows, const cb_ctl_column *columns)
{
    size_t index;
    json_t *row;
    cb_buf cell = CB_BUF(8192);
    cb_ctl_status status = CB_CTL_DONE;
    for (const cb_ctl_column *c = columns; c->title; c++)
        put_cell(ctl->out, c->path, !c[1].title);
    json_array_foreach(rows, index, row)
    {
        for (const cb_ctl_column *c = columns; c->title && !status; c++) {
            cb_buf_reset(&cell);
            cb_ctl_field(&cell, row, c->path);
            const char *text = cb_buf_cstr(&cell);
            if (text)
                put_cell(ctl->out, text, !c[1].title);
            else
                status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
        }
    }
    cb_buf_free(&cell);
    return status;
}

static cb_ctl_status print(cb_ctl *ctl, const cb_ctl_args *args, const char *path, const char *list,
                           const cb_ctl_column *columns)
{
    json_t *rows = NULL;
    cb_ctl_status status =
        path ? cb_ctl_collect(ctl, path, list, 0, &rows) : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status)
        status = cb_ctl_arg(args, "csv") ? print_csv(ctl, rows, columns)
                                         : cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

/* One parameter of the query, if it was given. */
static void put_parameter(cb_buf *path, const cb_ctl_args *args, const char *name, char *before)
{
    const char *value = cb_ctl_arg(args, name);
    if (!value)
        return;
    cb_buf_printf(path, "%c%s=", *before, name);
    cb_ctl_path(path, "%s", value);
    *before = '&';
}

static cb_ctl_status issued(cb_ctl *ctl, const cb_ctl_args *args)
{
    char before = '?';
    cb_buf path = CB_BUF(CB_CTL_PATH_MAX);
    cb_buf_put_str(&path, "/v1/reports/issued");
    put_parameter(&path, args, "from", &before);
    put_parameter(&path, args, "to", &before);
    cb_ctl_status status = print(ctl, args, cb_buf_cstr(&path), "issued", issued_columns);
    cb_buf_free(&path);
    return status;
}

static cb_ctl_status failures(cb_ctl *ctl, const cb_ctl_args *args)
{
    static const char *const names[] = {"kind", "least", "from", "to"};
    char before = '?';
    cb_buf path = CB_BUF(CB_CTL_PATH_MAX);
    cb_buf_put_str(&path, "/v1/reports/failures");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put_parameter(&path, args, names[i], &before);
    cb_ctl_status status = print(ctl, args, cb_buf_cstr(&path), "failures", failure_columns);
    cb_buf_free(&path);
    return status;
}

static cb_ctl_status issues(cb_ctl *ctl, const cb_ctl_args *args)
{
    bool without = cb_ctl_arg(args, "without-application") != NULL;
    return print(ctl, args,
                 without ? "/v1/reports/issues?without_application=1" : "/v1/reports/issues",
                 "issues", issue_columns);
}

static cb_ctl_status outstanding(cb_ctl *ctl, const cb_ctl_args *args)
{
    const char *state = cb_ctl_arg(args, "state");
    cb_buf path = CB_BUF(CB_CTL_PATH_MAX);
    cb_buf_put_str(&path, "/v1/reports/outstanding");
    if (state)
        cb_ctl_path(&path, "?state=%s", state);
    cb_ctl_status status = print(ctl, args, cb_buf_cstr(&path), "cards", card_columns);
    cb_buf_free(&path);
    return status;
}

static cb_ctl_status mismatches(cb_ctl *ctl, const cb_ctl_args *args)
{
    return print(ctl, args, "/v1/mismatches", "mismatches", mismatch_columns);
}

static cb_ctl_status generations(cb_ctl *ctl, const cb_ctl_args *args)
{
    return print(ctl, args, "/v1/reports/generations", "generations", generation_columns);
}

#define CSV                                                                                        \
    {                                                                                              \
        "csv", NULL, "print CSV", false, false                                                     \
    }

static const cb_ctl_option issued_options[] = {
    {"from", "DAY", "the first day, as 2031-03-31", false, false},
    {"to", "DAY", "the last day", false, false},
    CSV,
    {0}};
static const cb_ctl_option issues_options[] = {
    {"without-application", NULL, "only those that were issued for no application", false, false},
    CSV,
    {0}};
static const cb_ctl_option outstanding_options[] = {
    {"state", "STATE", "issued, active, suspended, expired or revoked only", false, false},
    CSV,
    {0}};
static const cb_ctl_option failure_options[] = {
    {"kind", "KIND", "card, holder or terminal only", false, false},
    {"least", "NUMBER", "only days on which it was that much (default: 1)", false, false},
    {"from", "DAY", "the first day, as 2031-03-31", false, false},
    {"to", "DAY", "the last day", false, false},
    CSV,
    {0}};
static const cb_ctl_option csv_options[] = {CSV, {0}};

const cb_ctl_command cb_ctl_report_commands[] = {
    {"report", "issued", "", 0, 0, issued_options,
     "Count the cards that were issued, by day, operator and machine", issued},
    {"report", "issues", "", 0, 0, issues_options, "List how each card was issued", issues},
    {"report", "outstanding", "", 0, 0, outstanding_options,
     "List cards that were neither given back nor destroyed", outstanding},
    {"report", "failures", "", 0, 0, failure_options,
     "Count failed proofs, wrong PINs and wrong passwords, by day, card, holder and terminal",
     failures},
    {"report", "generations", "", 0, 0, csv_options,
     "Count cards by the generation of the authority above this broker that they have",
     generations},
    {"report", "mismatches", "", 0, 0, csv_options,
     "List what did not fit the lists, deliveries and applications", mismatches},
    {0}};
