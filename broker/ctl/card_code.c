/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * card suspension-code: for the letter that comes with a card.
 */
#include <stdio.h>

#include "broker/ctl/card.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

cb_ctl_status cb_ctl_card_code(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id card;
    char text[CB_ID_TEXT], path[96];
    json_t *made = NULL, *body = NULL;
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &card);
    if (status)
        return status;
    cb_id_text(&card, text);
    snprintf(path, sizeof path, "/v1/cards/%s/suspension-code", text);
    body = json_object();
    status = body ? cb_ctl_call(ctl, "POST", path, body, &made) : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status)
        status = cb_ctl_done(ctl, made, "card %s\nsuspension code: %s", text,
                             cb_ctl_text_field(made, "suspension_code"));
    if (!status)
        cb_ctl_note(ctl, "Nobody can show the code again. The holder says it with: cardlink suspend");
    json_decref(made);
    json_decref(body);
    return status;
}
