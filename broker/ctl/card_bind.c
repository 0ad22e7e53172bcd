/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that are given to a holder. hsmd alone can bind a card to one; cardbrokerd alone can record
 * it.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/ctl/card.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"
#include "cardlink/native/cvc.h"

static cb_ctl_status highest(void *context, json_t *card)
{
    json_int_t *sequence = context;
    json_int_t of_card = json_integer_value(json_object_get(card, "sequence"));
    *sequence = of_card > *sequence ? of_card : *sequence;
    return CB_CTL_DONE;
}

/* Bindings of one holder are numbered, so that the record shows which came after which. */
cb_ctl_status cb_ctl_next_sequence(cb_ctl *ctl, const char *holder, uint64_t *sequence)
{
    char path[96];
    json_int_t last = 0;
    snprintf(path, sizeof path, "/v1/cards?holder=%s", holder);
    cb_ctl_status status = cb_ctl_walk(ctl, path, "cards", highest, &last);
    *sequence = (uint64_t)last + 1;
    return status;
}

cb_ctl_card cb_ctl_card_native(cb_bytes certificate)
{
    cb_cvc cvc;
    cb_ctl_card card = {.profile = CB_PROFILE_NATIVE};
    if (cb_cvc_parse(certificate, &cvc) == CB_OK && cvc.subject.len == CB_ID_SIZE)
        memcpy(card.id.bytes, cvc.subject.data, CB_ID_SIZE);
    return card;
}

cb_ctl_status cb_ctl_card_issuable(cb_ctl *ctl, const cb_ctl_card *card, const cb_id *holder,
                                   const char *holder_name, const cb_ctl_record *record)
{
    static const char *const taken[] = {"manufacturer", "serial", "application"};
    char text[CB_ID_TEXT];
    cb_id_text(holder, text);
    json_t *body = json_pack("{s:s, s:i}", "holder", text, "profile", (int)card->profile);
    cb_id_text(&card->id, text);
    cb_ctl_put_text(&body, "card", cb_id_is_zero(&card->id) ? NULL : text);
    cb_ctl_put_text(&body, "holder_name", holder_name);
    cb_ctl_put_text(&body, "replaces", record->replaces);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        cb_ctl_put_text(&body, taken[i],
                        json_string_value(json_object_get(record->fields, taken[i])));
    cb_ctl_answer answer = {0};
    cb_ctl_status status = body ? cb_ctl_ask(ctl, "POST", "/v1/cards/issuable", body, &answer)
                                : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    const char *code = answer.body ? cb_ctl_text_field(answer.body, "code") : "";
    bool there = answer.status == 409 && strcmp(code, "resource.exists") == 0;
    if (!status && !there && (answer.status < 200 || answer.status > 299))
        status = cb_ctl_problem(ctl, &answer);
    json_decref(body);
    cb_ctl_answer_free(&answer);
    return status;
}

cb_ctl_status cb_ctl_card_bind(cb_ctl *ctl, const cb_ctl_card *of, const cb_id *holder,
                               uint8_t level, cb_ctl_binder bind, const void *what,
                               cb_bytes certificates, const cb_ctl_record *record, json_t **card)
{
    char text[CB_ID_TEXT];
    uint64_t sequence = 0;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    json_t *body = NULL;
    cb_id_text(holder, text);
    /* hsmd would bind a card to anybody. */
    cb_ctl_status status = cb_ctl_card_issuable(ctl, of, holder, NULL, record);
    if (!status)
        status = cb_ctl_next_sequence(ctl, text, &sequence);
    if (status)
        goto out;
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = hsm ? bind(hsm, what, holder, level, sequence, &binding) : CB_E_MEMORY;
    if (error) {
        status = cb_ctl_fail_hsm(ctl, error, "hsmd did not bind the card; nothing was recorded");
        goto out;
    }
    body = json_pack("{s:o}", "binding", cb_ctl_hex(cb_buf_bytes(&binding)));
    bool made = body && (certificates.len == 0 ||
                         json_object_set_new(body, "certificates", cb_ctl_hex(certificates)) == 0);
    made = made && (!record->fields || json_object_update(body, record->fields) == 0);
    status = made ? cb_ctl_call(ctl, "POST", record->path, body, card)
                  : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
out:
    json_decref(body);
    cb_buf_free(&binding);
    return status;
}

static cb_error bind_native(cb_hsm *hsm, const void *what, const cb_id *holder, uint8_t level,
                            uint64_t sequence, cb_buf *binding)
{
    const cb_bytes *certificate = what;
    return cb_hsm_bind(hsm, *certificate, holder, level, sequence, binding);
}

cb_ctl_status cb_ctl_card_issue(cb_ctl *ctl, const cb_id *holder, cb_bytes certificate,
                                uint8_t level, const cb_ctl_record *record, json_t **card)
{
    const cb_ctl_card of = cb_ctl_card_native(certificate);
    return cb_ctl_card_bind(ctl, &of, holder, level, bind_native, &certificate, (cb_bytes){0},
                            record, card);
}

static void put_station(json_t **object, const cb_ctl_args *args)
{
    char name[65] = ""; /* as long as cardbrokerd takes one */
    const char *given = cb_ctl_arg(args, "station");
    if (!given && gethostname(name, sizeof name - 1) != 0)
        name[0] = 0;
    cb_ctl_put_text(object, "station", given ? given : name[0] ? name : NULL);
}

cb_ctl_status cb_ctl_issue_fields(cb_ctl *ctl, const cb_ctl_args *args, json_t **fields)
{
    const char *expires = cb_ctl_arg(args, "expires"), *serial = cb_ctl_arg(args, "serial");
    const char *slash = serial ? strchr(serial, '/') : NULL;
    if (serial && !slash)
        return cb_ctl_misuse(ctl, "--serial is MANUFACTURER/SERIAL");
    int64_t end = 0; /* cardbrokerd would refuse the day when hsmd has bound the card */
    if (expires && !cb_day_end(expires, &end))
        return cb_ctl_misuse(ctl, "--expires is a day after 1970, as 2031-03-31");
    *fields = json_object();
    put_station(fields, args);
    cb_ctl_put_text(fields, "expires", expires);
    cb_ctl_put_text(fields, "application", cb_ctl_arg(args, "application"));
    cb_ctl_put_text(fields, "serial", slash ? slash + 1 : NULL);
    cb_ctl_put_textn(fields, "manufacturer", slash ? serial : NULL,
                     slash ? (size_t)(slash - serial) : 0);
    return *fields ? CB_CTL_DONE : cb_ctl_fail_text(ctl, "--expires", expires);
}

cb_ctl_status cb_ctl_card_made(cb_ctl *ctl, const cb_ctl_args *args, json_t *card, const char *what)
{
    const char *id = cb_ctl_text_field(card, "id");
    bool activate = cb_ctl_arg(args, "activate") != NULL;
    if (activate) {
        cb_ctl_status status = cb_ctl_card_change(ctl, id, "activate", NULL);
        if (status) {
            cb_ctl_note(ctl, "The card %s was %s, but is not active yet: cardbrokerctl card activate %s",
                        id, what, id);
            return status;
        }
        json_object_set_new(card, "state", json_string("active"));
    }
    return cb_ctl_done(ctl, card, "card %s %s%s", id, what, activate ? " and active" : "");
}
