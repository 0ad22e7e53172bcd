/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Maintainers: holders whose cards begin and end the maintenance of terminals.
 */
#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

static const cb_ctl_column columns[] = {{"MAINTAINER", "id"},
                                        {"HOLDER", "holder"},
                                        {"TERMINAL", "terminal"},
                                        {"SINCE", "created"},
                                        {0}};

static cb_ctl_status add(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char holder[CB_ID_TEXT], terminal[CB_ID_TEXT];
    const char *where = cb_ctl_arg(args, "terminal");
    json_t *made = NULL, *body = NULL;
    cb_ctl_status status = cb_ctl_find_holder(ctl, cb_ctl_arg(args, "holder"), &id);
    if (status)
        return status;
    cb_id_text(&id, holder);
    if (where)
        status = cb_ctl_find_terminal(ctl, where, &id);
    if (status)
        return status;
    cb_id_text(&id, terminal);
    body = json_pack("{s:s}", "holder", holder);
    cb_ctl_put_text(&body, "terminal", where ? terminal : NULL);
    status = body ? cb_ctl_call(ctl, "POST", "/v1/maintainers", body, &made)
                  : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status)
        status = cb_ctl_done(ctl, made, "maintainer %s added", cb_ctl_text_field(made, "id"));
    if (!status && !where)
        cb_ctl_note(ctl, "Of every terminal, for none was named (--terminal).");
    json_decref(body);
    json_decref(made);
    return status;
}

static cb_ctl_status drop(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[64];
    json_t *gone = NULL;
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a maintainer", &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/maintainers/%s", text);
    status = cb_ctl_call(ctl, "DELETE", path, NULL, &gone);
    if (!status)
        status = cb_ctl_done(ctl, gone, "maintainer %s removed", text);
    json_decref(gone);
    return status;
}

static cb_ctl_status list(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    json_t *rows = NULL;
    cb_ctl_status status = cb_ctl_collect(ctl, "/v1/maintainers", "maintainers", 0, &rows);
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

static const cb_ctl_option add_options[] = {
    {"holder", "HOLDER", "whose cards begin and end maintenance", true, false},
    {"terminal", "TERMINAL", "of this terminal alone (default: of every one)", false, false},
    {0}};

const cb_ctl_command cb_ctl_maintainer_commands[] = {
    {"maintainer", "add", "", 0, 0, add_options, "Make a holder a maintainer of terminals", add},
    {"maintainer", "remove", "MAINTAINER", 1, 1, NULL, "Let him begin and end no maintenance more",
     drop},
    {"maintainer", "list", "", 0, 0, NULL, "List maintainers", list},
    {0}};
