/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardbrokerctl card register, card renew: a card that somebody else issued.
 */
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "broker/ctl/reading.h"
#include "broker/ctl/resolve.h"
#include "broker/store/rows.h"

cb_ctl_status cb_ctl_card_register(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id holder;
    cb_ctl_reading r;
    uint8_t level = CB_LEVEL_PIN;
    json_t *card = NULL;
    cb_ctl_record record = {.path = "/v1/cards"};
    cb_ctl_reading_init(&r);
    cb_ctl_status status = cb_ctl_level(ctl, cb_ctl_arg(args, "level"), &level);
    if (!status)
        status = cb_ctl_reading_load(ctl, cb_ctl_arg(args, "card"), &r);
    if (!status)
        status = cb_ctl_find_holder(ctl, cb_ctl_arg(args, "holder"), &holder);
    if (!status)
        status = cb_ctl_issue_fields(ctl, args, &record.fields);
    if (!status)
        status = cb_ctl_reading_bind(ctl, &r, &holder, level, &record, &card);
    if (!status)
        status = cb_ctl_card_made(ctl, args, card, "registered");
    json_decref(record.fields);
    json_decref(card);
    cb_ctl_reading_free(&r);
    return status;
}

/* ---- Renewal ---- */

/* What the card is bound by now. */
typedef struct bound {
    cb_buf binding, certificates;
    uint64_t sequence; /* of the next one */
} bound;

static cb_ctl_status read_bound(cb_ctl *ctl, const char *card, bound *out)
{
    char path[64];
    json_t *answer = NULL;
    snprintf(path, sizeof path, "/v1/cards/%s/binding", card);
    cb_ctl_status status = cb_ctl_call(ctl, "GET", path, NULL, &answer);
    cb_error error = CB_OK;
    if (!status)
        error = cb_ctl_unhex(json_object_get(answer, "binding"), &out->binding);
    if (!status && !error)
        error = cb_ctl_unhex(json_object_get(answer, "certificates"), &out->certificates);
    if (error)
        status = cb_ctl_fail(ctl, error, "cardbrokerd's answer");
    if (!status)
        status = cb_ctl_next_sequence(ctl, cb_ctl_text_field(answer, "holder"), &out->sequence);
    json_decref(answer);
    return status;
}

static cb_ctl_status renew_bound(cb_ctl *ctl, const char *card, const cb_ctl_reading *r, const bound *old,
                                 json_t **renewed)
{
    char path[64];
    json_t *body = NULL;
    cb_buf binding = CB_BUF(CB_BINDING_MAX), all = CB_BUF(CB_CARD_CERTIFICATES_MAX);
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_ctl_status status = cb_ctl_reading_certificates(ctl, r, &all);
    if (status)
        goto out;
    cb_error error =
        hsm ? cb_hsm_renew_foreign(hsm, &r->card, cb_buf_bytes(&old->binding),
                                   cb_buf_bytes(&old->certificates), old->sequence, &binding)
            : CB_E_MEMORY;
    if (error) {
        status = cb_ctl_fail_hsm(ctl, error, "hsmd did not renew the card; nothing was recorded");
        goto out;
    }
    snprintf(path, sizeof path, "/v1/cards/%s/renew", card);
    body = json_pack("{s:o,s:o}", "binding", cb_ctl_hex(cb_buf_bytes(&binding)), "certificates",
                     cb_ctl_hex(cb_buf_bytes(&all)));
    status =
        body ? cb_ctl_call(ctl, "POST", path, body, renewed) : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
out:
    json_decref(body);
    cb_buf_free(&binding);
    cb_buf_free(&all);
    return status;
}

cb_ctl_status cb_ctl_card_renew(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char card[CB_ID_TEXT];
    cb_ctl_reading r;
    bound old = {.binding = CB_BUF(CB_BINDING_MAX),
                 .certificates = CB_BUF(CB_CARD_CERTIFICATES_MAX)};
    json_t *renewed = NULL;
    cb_ctl_reading_init(&r);
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &id);
    if (!status) {
        cb_id_text(&id, card);
        status = cb_ctl_reading_load(ctl, cb_ctl_arg(args, "card"), &r);
    }
    if (!status)
        status = read_bound(ctl, card, &old);
    if (!status)
        status = renew_bound(ctl, card, &r, &old, &renewed);
    if (!status)
        status = cb_ctl_done(ctl, renewed, "card %s renewed", card);
    json_decref(renewed);
    cb_buf_free(&old.binding);
    cb_buf_free(&old.certificates);
    cb_ctl_reading_free(&r);
    return status;
}
