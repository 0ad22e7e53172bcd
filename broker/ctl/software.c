/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which software terminals may run, and which of them say that they run another.
 */
#include <string.h>

#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

static const cb_ctl_column columns[] = {
    {"SOFTWARE", "id"}, {"VERSION", "version"}, {"PROGRAM", "program"}, {"CONFIGURATION", "config"},
    {"FROM", "from"},   {"UNTIL", "until"},     {"NOTE", "note"},       {0}};
static const cb_ctl_column report_columns[] = {{"TERMINAL", "id"},
                                               {"NAME", "name"},
                                               {"STATE", "state"},
                                               {"SOFTWARE", "software.status"},
                                               {"VERSION", "software.version"},
                                               {"PROGRAM", "software.program"},
                                               {"SINCE", "software.started"},
                                               {0}};

static cb_ctl_status add(cb_ctl *ctl, const cb_ctl_args *args)
{
    json_t *made = NULL;
    json_t *body = json_pack("{s:s,s:s}", "version", cb_ctl_arg(args, "version"), "program",
                             cb_ctl_arg(args, "program"));
    cb_ctl_put_text(&body, "config", cb_ctl_arg(args, "configuration"));
    cb_ctl_put_text(&body, "note", cb_ctl_arg(args, "note"));
    cb_ctl_put_text(&body, "from", cb_ctl_arg(args, "from"));
    cb_ctl_put_text(&body, "until", cb_ctl_arg(args, "until"));
    if (!body)
        return cb_ctl_fail_text(ctl, "the note", cb_ctl_arg(args, "note"));
    cb_ctl_status status = cb_ctl_call(ctl, "POST", "/v1/software", body, &made);
    if (!status)
        status = cb_ctl_done(ctl, made, "software %s listed", cb_ctl_text_field(made, "id"));
    json_decref(body);
    json_decref(made);
    return status;
}

static cb_ctl_status drop(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[64];
    json_t *gone = NULL;
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "software", &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/software/%s", text);
    status = cb_ctl_call(ctl, "DELETE", path, NULL, &gone);
    if (!status)
        status = cb_ctl_done(ctl, gone, "software %s removed from the list", text);
    json_decref(gone);
    return status;
}

static cb_ctl_status list(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    json_t *rows = NULL;
    cb_ctl_status status = cb_ctl_collect(ctl, "/v1/software", "software", 0, &rows);
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

/* One that could be used, and does not run what the list has. */
static bool is_found(const json_t *terminal)
{
    const json_t *software = json_object_get(terminal, "software");
    const char *status = cb_ctl_text_field(software, "status");
    const char *state = cb_ctl_text_field(terminal, "state");
    bool over = strcmp(state, "revoked") == 0 || strcmp(state, "disposed") == 0;
    return !over && strcmp(state, "registered") != 0 && strcmp(status, "listed") != 0;
}

static cb_ctl_status report(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    json_t *rows = NULL;
    cb_ctl_status status = cb_ctl_collect(ctl, "/v1/terminals", "terminals", 0, &rows);
    for (size_t i = json_array_size(rows); !status && i-- > 0;) {
        if (!is_found(json_array_get(rows, i)))
            json_array_remove(rows, i);
    }
    if (!status)
        status = cb_ctl_table(ctl, rows, report_columns);
    json_decref(rows);
    return status;
}

static const cb_ctl_option add_options[] = {
    {"version", "TEXT", "as cardlink --version says it", true, false},
    {"program", "HEX", "SHA-256 of the program, as sha256sum prints it", true, false},
    {"configuration", "HEX", "SHA-256 of the configuration (default: any)", false, false},
    {"note", "TEXT", "what it is, for those who read the list", false, false},
    {"from", "DAY", "the first day on which it may run, as 2031-03-31 (default: at once)", false,
     false},
    {"until", "DAY", "the last day (default: none)", false, false},
    {0}};

const cb_ctl_command cb_ctl_software_commands[] = {
    {"software", "add", "", 0, 0, add_options, "Allow a program to run on terminals", add},
    {"software", "remove", "SOFTWARE", 1, 1, NULL, "Allow it no more, at once", drop},
    {"software", "list", "", 0, 0, NULL, "List the software that terminals may run", list},
    {"software", "report", "", 0, 0, NULL,
     "List the terminals that run something else, or have never said what they run", report},
    {0}};
