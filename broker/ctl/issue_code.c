/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/issue_code.h"

#include <stdio.h>
#include <string.h>

#include "base/code.h"
#include "base/secret.h"
#include "broker/ctl/http.h"
#include "broker/ctl/resolve.h"

static cb_ctl_status judge(cb_ctl *ctl, const cb_ctl_answer *answer)
{
    const char *code = answer->body ? cb_ctl_text_field(answer->body, "code") : "";
    if (answer->status == 409 && strcmp(code, "resource.exists") == 0)
        return cb_ctl_fail(ctl, CB_E_EXISTS,
                           "the card has a code already, of another run, and keeps it");
    return answer->status >= 200 && answer->status <= 299 ? CB_CTL_DONE
                                                          : cb_ctl_problem(ctl, answer);
}

/* The answer is wiped; what libcurl had of it is not ours. */
static cb_ctl_status ask(cb_ctl *ctl, const char *card, bool first, char code[CB_CODE_TEXT])
{
    char path[96], symbols[CB_CODE_SYMBOLS];
    cb_ctl_answer answer = {0};
    json_t *body = first ? json_pack("{s:b}", "first", 1) : json_object();
    snprintf(path, sizeof path, "/v1/cards/%s/suspension-code", card);
    cb_ctl_status status =
        body ? cb_ctl_ask(ctl, "POST", path, body, &answer) : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status)
        status = judge(ctl, &answer);
    const char *text = status ? "" : cb_ctl_text_field(answer.body, "suspension_code");
    if (!status && (strlen(text) != CB_CODE_TEXT - 1 || cb_code_read(cb_bytes_str(text), symbols)))
        status = cb_ctl_fail(ctl, CB_E_PROTOCOL, "cardbrokerd's answer is no suspension code");
    if (!status)
        memcpy(code, text, CB_CODE_TEXT);
    cb_wipe((void *)(uintptr_t)text, strlen(text));
    cb_wipe(symbols, sizeof symbols);
    cb_ctl_answer_free(&answer);
    json_decref(body);
    return status;
}

static bool add(const cb_issue_code *of, const char *card, const char *code)
{
    char holder[CB_ID_TEXT];
    cb_buf row = CB_BUF(CB_KEPT_ROW_MAX);
    cb_id_text(&of->holder, holder);
    cb_buf_printf(&row, "%s,%s,", card, holder);
    cb_kept_quoted(&row, of->serial);
    cb_buf_put_u8(&row, ',');
    cb_buf_put_str(&row, code);
    cb_buf_put_u8(&row, '\n');
    pthread_mutex_lock(of->lock);
    bool good = cb_buf_error(&row) == CB_OK && cb_kept_add(of->codes, cb_buf_bytes(&row));
    of->codes->unwritten = !good;
    pthread_mutex_unlock(of->lock);
    cb_buf_free(&row);
    return good;
}

static cb_ctl_status make(cb_ctl *ctl, const cb_issue_code *of)
{
    char card[CB_ID_TEXT], code[CB_CODE_TEXT] = "";
    cb_id_text(&of->card, card);
    /* Both as cb_time_text writes them, of which the order is that of the times. */
    bool before = of->created && strcmp(of->created, of->begun) < 0;
    bool first = !of->created || !of->goes_on;
    cb_ctl_status status =
        before ? cb_ctl_fail(
                     ctl, CB_E_EXISTS,
                     "the card was issued before this run, and keeps the code that it may have")
               : ask(ctl, card, first, code);
    if (!status && !add(of, card, code))
        status = cb_ctl_fail(ctl, CB_E_IO, of->codes->path);
    else if (status)
        cb_ctl_note(ctl,
                    "The card is there; another code for it: cardbrokerctl card suspension-code %s",
                    card);
    cb_wipe(code, sizeof code);
    return status;
}

cb_ctl_status cb_ctl_issue_code(cb_ctl *ctl, const cb_issue_code *of)
{
    bool mine = false;
    pthread_mutex_lock(of->lock);
    cb_error error = cb_kept_claim(of->codes, &of->card, &mine);
    pthread_mutex_unlock(of->lock);
    if (error)
        return cb_ctl_fail(ctl, error, NULL);
    cb_ctl_status status = mine ? make(ctl, of) : CB_CTL_DONE;
    if (status) {
        pthread_mutex_lock(of->lock);
        cb_kept_release(of->codes, &of->card);
        pthread_mutex_unlock(of->lock);
    }
    return status;
}
