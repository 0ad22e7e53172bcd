/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/reading.h"

#include "base/text.h"
#include "broker/ctl/files.h"
#include "broker/ctl/output.h"
#include "broker/store/rows.h"
#include "cardlink/x509/der.h"

void cb_ctl_reading_init(cb_ctl_reading *r)
{
    *r = (cb_ctl_reading){.answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    for (size_t i = 0; i < CB_CARD_KEYS_MAX; i++)
        r->certificate[i] = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
}

void cb_ctl_reading_free(cb_ctl_reading *r)
{
    cb_buf_free(&r->answers);
    for (size_t i = 0; i < CB_CARD_KEYS_MAX; i++)
        cb_buf_free(&r->certificate[i]);
}

cb_error cb_ctl_unhex(const json_t *text, cb_buf *out)
{
    if (!json_is_string(text))
        return CB_E_FORMAT;
    return cb_unhex(cb_bytes_make(json_string_value(text), json_string_length(text)), out);
}

static cb_error read_answers(const json_t *list, cb_ctl_reading *r)
{
    cb_error error = json_array_size(list) <= CB_SCRIPT_COMMANDS_MAX ? CB_OK : CB_E_FORMAT;
    cb_buf one = CB_BUF(CB_ANSWER_MAX);
    for (size_t i = 0; !error && i < json_array_size(list); i++) {
        cb_buf_reset(&one);
        error = cb_ctl_unhex(json_array_get(list, i), &one);
        if (!error)
            cb_script_put(&r->answers, 0, cb_buf_bytes(&one));
    }
    cb_buf_free(&one);
    r->card.answers = cb_buf_bytes(&r->answers);
    return error ? error : cb_buf_error(&r->answers);
}

/* Of a profile whose cards have none, none. */
static cb_error read_certificates(const json_t *list, const cb_card_profile *profile, cb_ctl_reading *r)
{
    size_t count = json_array_size(list);
    bool good = count <= CB_CARD_KEYS_MAX && (count > 0) == (profile->certificates > 0);
    cb_error error = good ? CB_OK : CB_E_FORMAT;
    for (size_t i = 0; !error && i < count; i++) {
        const json_t *one = json_array_get(list, i);
        json_int_t use = json_integer_value(json_object_get(one, "use"));
        error = use > 0 && use <= UINT8_MAX ? cb_ctl_unhex(json_object_get(one, "der"), &r->certificate[i])
                                            : CB_E_FORMAT;
        r->card.key[i].use = (uint8_t)use;
        r->card.key[i].certificate = cb_buf_bytes(&r->certificate[i]);
        r->card.keys = i + 1;
    }
    return error;
}

cb_ctl_status cb_ctl_reading_load(cb_ctl *ctl, const char *path, cb_ctl_reading *r)
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

cb_ctl_status cb_ctl_reading_certificates(cb_ctl *ctl, const cb_ctl_reading *r, cb_buf *all)
{
    for (size_t i = 0; i < r->card.keys; i++) {
        cb_cursor read = cb_cursor_over(r->card.key[i].certificate);
        cb_bytes der = cb_der_whole(&read, CB_DER_SEQUENCE);
        cb_buf_put(all, cb_cursor_ok(&read) ? der : r->card.key[i].certificate);
    }
    return cb_buf_error(all) ? cb_ctl_fail(ctl, cb_buf_error(all), NULL) : CB_CTL_DONE;
}

cb_ctl_card cb_ctl_reading_card(const cb_ctl_reading *r)
{
    const cb_card_profile *profile = cb_profile_find(r->card.profile);
    cb_ctl_card card = {.profile = r->card.profile};
    cb_script answers;
    if (!profile || !profile->recognise || cb_script_read(r->card.answers, CB_ANSWER_MAX, &answers) ||
        profile->recognise(&answers, &card.id))
        card.id = (cb_id){{0}};
    return card;
}

cb_ctl_status cb_ctl_reading_bind(cb_ctl *ctl, const cb_ctl_reading *r, const cb_id *holder,
                                  uint8_t level, const cb_ctl_record *record, json_t **card)
{
    cb_buf all = CB_BUF(CB_CARD_CERTIFICATES_MAX);
    const cb_ctl_card of = cb_ctl_reading_card(r);
    cb_ctl_status status = cb_ctl_reading_certificates(ctl, r, &all);
    if (!status)
        status = cb_ctl_card_bind(ctl, &of, holder, level, bind_foreign, &r->card,
                                  cb_buf_bytes(&all), record, card);
    cb_buf_free(&all);
    return status;
}
