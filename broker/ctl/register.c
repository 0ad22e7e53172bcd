/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardbrokerctl card register, card renew: a card that somebody else issued, as "cardlink read"
 * printed it (cardlink/terminal/survey.h).
 */
#include "base/text.h"
#include "broker/ctl/card.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"
#include "broker/store/rows.h"
#include "cardlink/x509/der.h"

typedef struct reading {
    cb_foreign_reading card;
    cb_buf answers;
    cb_buf certificate[CB_CARD_KEYS_MAX];
} reading;

static void reading_init(reading *r)
{
    *r = (reading){.answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    for (size_t i = 0; i < CB_CARD_KEYS_MAX; i++)
        r->certificate[i] = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
}

static void reading_free(reading *r)
{
    cb_buf_free(&r->answers);
    for (size_t i = 0; i < CB_CARD_KEYS_MAX; i++)
        cb_buf_free(&r->certificate[i]);
}

static cb_error unhex(const json_t *text, cb_buf *out)
{
    if (!json_is_string(text))
        return CB_E_FORMAT;
    return cb_unhex(cb_bytes_make(json_string_value(text), json_string_length(text)), out);
}

static cb_error read_answers(const json_t *list, reading *r)
{
    cb_error error = json_array_size(list) <= CB_SCRIPT_COMMANDS_MAX ? CB_OK : CB_E_FORMAT;
    cb_buf one = CB_BUF(CB_ANSWER_MAX);
    for (size_t i = 0; !error && i < json_array_size(list); i++) {
        cb_buf_reset(&one);
        error = unhex(json_array_get(list, i), &one);
        if (!error)
            cb_script_put(&r->answers, 0, cb_buf_bytes(&one));
    }
    cb_buf_free(&one);
    r->card.answers = cb_buf_bytes(&r->answers);
    return error ? error : cb_buf_error(&r->answers);
}

/* Of a profile whose cards have none, none. */
static cb_error read_certificates(const json_t *list, const cb_card_profile *profile, reading *r)
{
    size_t count = json_array_size(list);
    bool good = count <= CB_CARD_KEYS_MAX && (count > 0) == (profile->certificates > 0);
    cb_error error = good ? CB_OK : CB_E_FORMAT;
    for (size_t i = 0; !error && i < count; i++) {
        const json_t *one = json_array_get(list, i);
        json_int_t use = json_integer_value(json_object_get(one, "use"));
        error = use > 0 && use <= UINT8_MAX ? unhex(json_object_get(one, "der"), &r->certificate[i])
                                            : CB_E_FORMAT;
        r->card.key[i].use = (uint8_t)use;
        r->card.key[i].certificate = cb_buf_bytes(&r->certificate[i]);
        r->card.keys = i + 1;
    }
    return error;
}

static cb_ctl_status read_file(cb_ctl *ctl, const char *path, reading *r)
{
    json_t *object = NULL;
    cb_ctl_status status = cb_ctl_read_object(ctl, path, &object);
    if (status)
        return status;
    const char *name = json_string_value(json_object_get(object, "profile"));
    const cb_card_profile *profile = name ? cb_profile_named(name) : NULL;
    cb_error error = profile ? CB_OK : CB_E_FORMAT;
    if (!error)
        error = read_answers(json_object_get(object, "answers"), r);
    if (!error)
        error = read_certificates(json_object_get(object, "certificates"), profile, r);
    if (error == CB_E_MEMORY)
        status = cb_ctl_fail(ctl, error, NULL);
    else if (error)
        status = cb_ctl_misuse(ctl, "\"%s\" is not what cardlink read prints of a card", path);
    else
        r->card.profile = profile->id;
    json_decref(object);
    return status;
}

static cb_error bind_foreign(cb_hsm *hsm, const void *what, const cb_id *holder, uint8_t level,
                             uint64_t sequence, cb_buf *binding)
{
    return cb_hsm_bind_foreign(hsm, what, holder, level, sequence, binding);
}

/* As the record has them: those of X.509. What follows one is for hsmd alone. */
static cb_ctl_status all_certificates(cb_ctl *ctl, const reading *r, cb_buf *all)
{
    for (size_t i = 0; i < r->card.keys; i++) {
        cb_cursor read = cb_cursor_over(r->card.key[i].certificate);
        cb_bytes der = cb_der_whole(&read, CB_DER_SEQUENCE);
        cb_buf_put(all, cb_cursor_ok(&read) ? der : r->card.key[i].certificate);
    }
    return cb_buf_error(all) ? cb_ctl_fail(ctl, cb_buf_error(all), NULL) : CB_CTL_DONE;
}

cb_ctl_status cb_ctl_card_register(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id holder;
    reading r;
    uint8_t level = CB_LEVEL_PIN;
    json_t *card = NULL;
    cb_ctl_record record = {.path = "/v1/cards"};
    cb_buf all = CB_BUF(CB_CARD_CERTIFICATES_MAX);
    reading_init(&r);
    cb_ctl_status status = cb_ctl_level(ctl, cb_ctl_arg(args, "level"), &level);
    if (!status)
        status = read_file(ctl, cb_ctl_arg(args, "card"), &r);
    if (!status)
        status = cb_ctl_find_holder(ctl, cb_ctl_arg(args, "holder"), &holder);
    if (!status)
        status = all_certificates(ctl, &r, &all);
    if (!status)
        status = cb_ctl_issue_fields(ctl, args, &record.fields);
    if (!status)
        status = cb_ctl_card_bind(ctl, &holder, level, bind_foreign, &r.card, cb_buf_bytes(&all),
                                  &record, &card);
    if (!status)
        status = cb_ctl_card_made(ctl, args, card, "registered");
    json_decref(record.fields);
    json_decref(card);
    cb_buf_free(&all);
    reading_free(&r);
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
        error = unhex(json_object_get(answer, "binding"), &out->binding);
    if (!status && !error)
        error = unhex(json_object_get(answer, "certificates"), &out->certificates);
    if (error)
        status = cb_ctl_fail(ctl, error, "cardbrokerd's answer");
    if (!status)
        status = cb_ctl_next_sequence(ctl, cb_ctl_text_field(answer, "holder"), &out->sequence);
    json_decref(answer);
    return status;
}

static cb_ctl_status renew_bound(cb_ctl *ctl, const char *card, const reading *r, const bound *old,
                                 json_t **renewed)
{
    char path[64];
    json_t *body = NULL;
    cb_buf binding = CB_BUF(CB_BINDING_MAX), all = CB_BUF(CB_CARD_CERTIFICATES_MAX);
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_ctl_status status = all_certificates(ctl, r, &all);
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
    reading r;
    bound old = {.binding = CB_BUF(CB_BINDING_MAX),
                 .certificates = CB_BUF(CB_CARD_CERTIFICATES_MAX)};
    json_t *renewed = NULL;
    reading_init(&r);
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &id);
    if (!status) {
        cb_id_text(&id, card);
        status = read_file(ctl, cb_ctl_arg(args, "card"), &r);
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
    reading_free(&r);
    return status;
}
