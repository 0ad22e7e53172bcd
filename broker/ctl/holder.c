/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Holders: the people who carry cards.
 */
#include "broker/ctl/commands.h"
#include "broker/ctl/holder.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

static const cb_ctl_column columns[] = {
    {"HOLDER", "id"}, {"NAME", "name"}, {"SINCE", "created"}, {0}};

static const cb_ctl_column all_columns[] = {
    {"holder", "id"}, {"name", "name"}, {"since", "created"}, CB_CTL_FAILURES, {0}};

static cb_ctl_status add(cb_ctl *ctl, const cb_ctl_args *args)
{
    json_t *made = NULL, *body = json_pack("{s:s}", "name", cb_ctl_arg(args, "name"));
    if (!body)
        return cb_ctl_fail_text(ctl, "the name", cb_ctl_arg(args, "name"));
    cb_ctl_status status = cb_ctl_call(ctl, "POST", "/v1/holders", body, &made);
    if (!status)
        status = cb_ctl_done(ctl, made, "holder %s added", cb_ctl_text_field(made, "id"));
    json_decref(body);
    json_decref(made);
    return status;
}

static cb_ctl_status show(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[64];
    json_t *holder = NULL;
    cb_ctl_status status = cb_ctl_find_holder(ctl, args->operand[0], &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/holders/%s", text);
    status = cb_ctl_call(ctl, "GET", path, NULL, &holder);
    if (!status)
        status = cb_ctl_object(ctl, holder, all_columns);
    json_decref(holder);
    return status;
}

static cb_ctl_status list(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    json_t *rows = NULL;
    cb_ctl_status status = cb_ctl_collect(ctl, "/v1/holders", "holders", 0, &rows);
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

static const cb_ctl_option add_options[] = {
    {"name", "NAME", "the name by which operators know the holder", true, false}, {0}};

static const cb_ctl_option code_options[] = {
    {"profile", "NAME", "kind of card that it is for: piv, jpki, scp03", true, true},
    {"level", "LEVEL", "highest level that the card may reach (default: terminal-pin)", false,
     false},
    {"valid", "TIME", "how long the code is good, at most 30d (default: 7d)", false, false},
    {"in-place-of", "CARD", "the holder's card that is revoked when he registers the other one",
     false, false},
    {"reason", "WORD", "why, in a word", false, false},
    {0}};
static const cb_ctl_option reason_options[] = {
    {"reason", "WORD", "why, in a word", false, false}, {0}};

const cb_ctl_command cb_ctl_holder_commands[] = {
    {"holder", "add", "", 0, 0, add_options, "Register a holder", add},
    {"holder", "show", "HOLDER", 1, 1, NULL, "Show one holder, by identifier or exact name", show},
    {"holder", "list", "", 0, 0, NULL, "List the holders", list},
    {"holder", "code", "HOLDER", 1, 1, code_options,
     "Make a code with which the holder registers a card of his own", cb_ctl_holder_code},
    {"holder", "codes", "[HOLDER]", 0, 1, NULL, "List such codes, and what became of them",
     cb_ctl_holder_codes},
    {"holder", "withdraw", "CODE", 1, 1, reason_options, "Withdraw a code that was not used",
     cb_ctl_holder_withdraw},
    {0}};
