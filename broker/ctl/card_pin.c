/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * card unblock: recorded first, then told to hsmd, which does not take the front end's word for it.
 */
#include <stdio.h>

#include "broker/ctl/card.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"
#include "hsm/pin_reset.h"

enum { DEFAULT_S = 600 };

static cb_ctl_status record(cb_ctl *ctl, const char *card, const char *terminal, const char *reason)
{
    char path[96];
    json_t *body = json_pack("{s:s,s:s}", "terminal", terminal, "reason", reason);
    snprintf(path, sizeof path, "/v1/cards/%s/unblock", card);
    cb_ctl_status status = body ? cb_ctl_call(ctl, "POST", path, body, NULL)
                                : cb_ctl_fail_text(ctl, "--reason", reason);
    json_decref(body);
    return status;
}

static cb_ctl_status read_time(cb_ctl *ctl, const char *text, uint64_t *seconds)
{
    *seconds = DEFAULT_S;
    if (!text)
        return CB_CTL_DONE;
    if (cb_ctl_duration(text, seconds) || *seconds < CB_PIN_RESET_LEAST_S ||
        *seconds > CB_PIN_RESET_MOST_S)
        return cb_ctl_misuse(ctl, "--valid is a time such as 90s or 15m, at most an hour");
    return CB_CTL_DONE;
}

static cb_ctl_status tell_hsmd(cb_ctl *ctl, const cb_id *card, const cb_id *terminal,
                               uint64_t seconds)
{
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = hsm ? cb_hsm_pin_reset(hsm, card, terminal, (uint16_t)seconds) : CB_E_MEMORY;
    return error ? cb_ctl_fail_hsm(
                       ctl, error,
                       "it is on record, but hsmd does not allow it yet: run this command again")
                 : CB_CTL_DONE;
}

cb_ctl_status cb_ctl_card_unblock(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id card, terminal;
    uint64_t seconds;
    char text[CB_ID_TEXT], at[CB_ID_TEXT];
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &card);
    if (!status)
        status = read_time(ctl, cb_ctl_arg(args, "valid"), &seconds);
    if (!status)
        status = cb_ctl_find_terminal(ctl, cb_ctl_arg(args, "terminal"), &terminal);
    if (status)
        return status;
    cb_id_text(&card, text);
    cb_id_text(&terminal, at);
    status = record(ctl, text, at, cb_ctl_arg(args, "reason"));
    if (!status)
        status = tell_hsmd(ctl, &card, &terminal, seconds);
    if (status)
        return status;
    json_t *said =
        json_pack("{s:s,s:s,s:I}", "id", text, "terminal", at, "seconds", (json_int_t)seconds);
    status = cb_ctl_done(
        ctl, said,
        "card %s takes one new PIN at terminal %s, within %u s: cardlink --card %s pin reset", text,
        at, (unsigned)seconds, text);
    json_decref(said);
    return status;
}
