/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Many cards from one file: the broker's own, or those that somebody else issued.
 *
 * A line a card, in four columns without quotes:
 *
 *   certificate , serial , application , holder
 *
 * the card's own certificate in hexadecimal, or the name of a file with what cardlink read printed
 * of a card of others; MANUFACTURER/SERIAL and the application or nothing; the holder's identifier,
 * or the name of somebody who is entered with the card (the rest of the line, commas and all). His
 * identifier is made from card and name, so that he is entered once however often the line is
 * tried.
 *
 * Suspension codes stand in a file of their own, if they are asked for (issue_code.h).
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "broker/ctl/card.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/issue_code.h"
#include "broker/ctl/many.h"
#include "broker/ctl/output.h"
#include "broker/ctl/reading.h"
#include "broker/ctl/resolve.h"
#include "broker/store/rows.h"

typedef cb_many_worker worker;

/* What the first column says. */
typedef struct subject {
    cb_ctl_card card;
    cb_buf certificate;     /* of a card of the broker's own issuers */
    cb_ctl_reading reading; /* of one of others, */
    cb_buf certificates;    /* and those of its keys, for the record */
} subject;

/* Of every card. */
typedef struct issue_many {
    json_t *fields;
    uint8_t level;
    bool activate;
    cb_ctl_status (*read)(worker *w, const char *column, subject *out);
    cb_error (*bind)(cb_hsm *hsm, const subject *of, const cb_id *holder, uint8_t level,
                     uint64_t sequence, cb_buf *binding);
    /* What the identifier of a holder who is entered with the card is made from, besides his name.
     */
    const char *purpose;
    cb_bytes (*identity)(const subject *of);
} issue_many;

/* A card that was issued by a line, or was there. */
typedef struct card_of_line {
    cb_id id, holder;
    bool already;
    char created[CB_TIME_TEXT]; /* if it was there */
} card_of_line;

static const issue_many *of_all(const worker *w) { return w->m->context; }

/* ---- Cards of the broker's own issuers ---- */

static cb_ctl_status read_native(worker *w, const char *column, subject *out)
{
    if (cb_unhex(cb_bytes_str(column), &out->certificate) || out->certificate.len == 0)
        return cb_ctl_fail(&w->ctl, CB_E_FORMAT, "the certificate is no hexadecimal");
    out->card = cb_ctl_card_native(cb_buf_bytes(&out->certificate));
    return CB_CTL_DONE;
}

static cb_error bind_native(cb_hsm *hsm, const subject *of, const cb_id *holder, uint8_t level,
                            uint64_t sequence, cb_buf *binding)
{
    return cb_hsm_bind(hsm, cb_buf_bytes(&of->certificate), holder, level, sequence, binding);
}

static cb_bytes native_identity(const subject *of) { return cb_buf_bytes(&of->certificate); }

/* ---- Cards of others ---- */

static cb_ctl_status read_foreign(worker *w, const char *column, subject *out)
{
    if (strcmp(column, "-") == 0)
        return cb_ctl_misuse(&w->ctl, "a reading is a file of its own");
    cb_ctl_status status = cb_ctl_reading_load(&w->ctl, column, &out->reading);
    if (!status)
        status = cb_ctl_reading_certificates(&w->ctl, &out->reading, &out->certificates);
    if (status)
        return status;
    out->card = cb_ctl_reading_card(&out->reading);
    return cb_id_is_zero(&out->card.id)
               ? cb_ctl_misuse(&w->ctl, "\"%s\" is not what cardlink read prints of a card", column)
               : CB_CTL_DONE;
}

static cb_error bind_foreign(cb_hsm *hsm, const subject *of, const cb_id *holder, uint8_t level,
                             uint64_t sequence, cb_buf *binding)
{
    return cb_hsm_bind_foreign(hsm, &of->reading.card, holder, level, sequence, binding);
}

/* Certificates may be renewed between two tries. */
static cb_bytes foreign_identity(const subject *of)
{
    return cb_bytes_make(of->card.id.bytes, sizeof of->card.id.bytes);
}

/* ---- One line ---- */

static void subject_init(subject *of)
{
    *of = (subject){.certificate = CB_BUF(CB_CARD_LINE_MAX / 2),
                    .certificates = CB_BUF(CB_CARD_CERTIFICATES_MAX)};
    cb_ctl_reading_init(&of->reading);
}

static void subject_free(subject *of)
{
    cb_buf_free(&of->certificate);
    cb_buf_free(&of->certificates);
    cb_ctl_reading_free(&of->reading);
}

/* Of a holder who is entered with the card. */
static void make_id(const worker *w, const cb_card_line *l, const subject *of, cb_id *id)
{
    const cb_bytes parts[] = {cb_bytes_make(of_all(w)->purpose, strlen(of_all(w)->purpose) + 1),
                              of_all(w)->identity(of), cb_bytes_str(l->holder)};
    *id = cb_ctl_made_id(parts, 3);
}

static cb_ctl_status find_holder(worker *w, const cb_card_line *l, const subject *of, cb_id *id,
                                 uint64_t *sequence, bool *known)
{
    char text[CB_ID_TEXT], path[96];
    *sequence = 1;
    *known = cb_id_parse(l->holder, id) == CB_OK;
    if (!*known) {
        make_id(w, l, of, id);
        return CB_CTL_DONE;
    }
    cb_id_text(id, text);
    snprintf(path, sizeof path, "/v1/holders/%s", text);
    cb_ctl_status status = cb_ctl_call(&w->ctl, "GET", path, NULL, NULL);
    return status ? status : cb_ctl_next_sequence(&w->ctl, text, sequence);
}

/* What the line says of the card. */
static json_t *line_fields(const cb_card_line *l)
{
    const char *slash = strchr(l->serial, '/');
    json_t *fields = json_object();
    cb_ctl_put_text(&fields, "application", *l->application ? l->application : NULL);
    cb_ctl_put_text(&fields, "serial", slash ? slash + 1 : NULL);
    cb_ctl_put_textn(&fields, "manufacturer", slash ? l->serial : NULL,
                     slash ? (size_t)(slash - l->serial) : 0);
    return fields;
}

static json_t *card_body(const worker *w, const cb_card_line *l, const subject *of,
                         cb_bytes binding, bool known)
{
    json_t *body = line_fields(l);
    cb_ctl_put_text(&body, "holder_name", known ? NULL : l->holder);
    if (body && of->certificates.len > 0 &&
        json_object_set_new(body, "certificates", cb_ctl_hex(cb_buf_bytes(&of->certificates))) !=
            0) {
        json_decref(body);
        body = NULL;
    }
    if (body && (json_object_set_new(body, "binding", cb_ctl_hex(binding)) != 0 ||
                 json_object_set_new(body, "activate", json_boolean(of_all(w)->activate)) != 0 ||
                 json_object_update(body, of_all(w)->fields) != 0)) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

/* A card that is there: by an earlier try of this line, or somebody else's. */
static cb_ctl_status is_there(worker *w, card_of_line *card)
{
    char path[96], text[CB_ID_TEXT];
    cb_id of;
    bool activate = of_all(w)->activate;
    json_t *there = NULL;
    cb_id_text(&card->id, text);
    snprintf(path, sizeof path, "/v1/cards/%s", text);
    cb_ctl_status status = cb_ctl_call(&w->ctl, "GET", path, NULL, &there);
    if (!status)
        status = cb_ctl_id_field(&w->ctl, there, "holder", &of);
    if (!status && !cb_id_same(&of, &card->holder))
        status = cb_ctl_fail(&w->ctl, CB_E_CARD_BOUND, NULL);
    snprintf(card->created, sizeof card->created, "%s", cb_ctl_text_field(there, "created"));
    activate = activate && strcmp(cb_ctl_text_field(there, "state"), "issued") == 0;
    json_decref(there);
    return status || !activate ? status : cb_ctl_card_change(&w->ctl, text, "activate", NULL);
}

/* Done, or it is there already, or it cannot be. */
static cb_ctl_status answered(worker *w, const cb_ctl_answer *answer, card_of_line *card)
{
    const char *code = answer->body ? cb_ctl_text_field(answer->body, "code") : "";
    card->already = answer->status == 409 && strcmp(code, "resource.exists") == 0;
    if (card->already)
        return is_there(w, card);
    return answer->status >= 200 && answer->status <= 299 ? CB_CTL_DONE
                                                          : cb_ctl_problem(&w->ctl, answer);
}

static cb_ctl_status record(worker *w, const cb_card_line *l, const subject *of, cb_bytes binding,
                            bool known, card_of_line *card)
{
    cb_binding_info info;
    cb_ctl_answer answer = {0};
    json_t *body = card_body(w, l, of, binding, known);
    if (!body)
        return cb_ctl_fail_text(&w->ctl, "the line", l->serial);
    cb_ctl_status status = cb_binding_info_read(binding, &info)
                               ? cb_ctl_fail(&w->ctl, CB_E_PROTOCOL, NULL)
                               : cb_ctl_ask(&w->ctl, "POST", "/v1/cards", body, &answer);
    if (!status) {
        card->id = info.card;
        status = answered(w, &answer, card);
    }
    json_decref(body);
    cb_ctl_answer_free(&answer);
    return status;
}

/* Before the card is bound, which is for good. */
static cb_ctl_status look_first(worker *w, const cb_card_line *l, const subject *of,
                                const cb_id *holder, bool known)
{
    const cb_ctl_record record = {.fields = line_fields(l)};
    cb_ctl_status status = record.fields ? cb_ctl_card_issuable(&w->ctl, &of->card, holder,
                                                                known ? NULL : l->holder, &record)
                                         : cb_ctl_fail_text(&w->ctl, "the line", l->serial);
    json_decref(record.fields);
    return status;
}

static cb_ctl_status code_for(worker *w, const cb_card_line *l, const card_of_line *card)
{
    cb_many *m = w->m;
    const cb_issue_code of = {.codes = &m->kept,
                              .lock = &m->lock,
                              .begun = m->progress.begun,
                              .card = card->id,
                              .holder = card->holder,
                              .serial = l->serial,
                              .created = card->already ? card->created : NULL,
                              .goes_on = m->progress.goes_on};
    return m->progress.kept ? cb_ctl_issue_code(&w->ctl, &of) : CB_CTL_DONE;
}

static cb_ctl_status one_card(worker *w, cb_card_line *l, bool *already)
{
    subject of;
    card_of_line card = {.already = false};
    uint64_t sequence = 0;
    bool known = false;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    subject_init(&of);
    const char *wrong = cb_card_line_split(l);
    cb_ctl_status status = wrong ? cb_ctl_misuse(&w->ctl, "%s", wrong) : CB_CTL_DONE;
    if (!status && *l->serial && !strchr(l->serial, '/'))
        status = cb_ctl_misuse(&w->ctl, "the serial is MANUFACTURER/SERIAL");
    if (!status)
        status = of_all(w)->read(w, l->certificate, &of);
    if (!status)
        status = find_holder(w, l, &of, &card.holder, &sequence, &known);
    if (!status)
        status = look_first(w, l, &of, &card.holder, known);
    if (!status) {
        cb_error error =
            of_all(w)->bind(w->ctl.hsm, &of, &card.holder, of_all(w)->level, sequence, &binding);
        if (error)
            status = cb_ctl_fail_hsm(&w->ctl, error, NULL);
    }
    if (!status)
        status = record(w, l, &of, cb_buf_bytes(&binding), known, &card);
    if (!status)
        status = code_for(w, l, &card);
    *already = card.already;
    cb_buf_free(&binding);
    subject_free(&of);
    return status;
}

static cb_ctl_status all_cards(cb_ctl *ctl, const cb_ctl_args *args, const char *done,
                               issue_many of)
{
    of.level = CB_LEVEL_PIN;
    of.activate = cb_ctl_arg(args, "activate") != NULL;
    cb_many m = {.ctl = ctl,
                 .args = args,
                 .context = &of,
                 .done = done,
                 .rows = "suspension_codes",
                 .count = "codes",
                 .kept = {.path = cb_ctl_arg(args, "suspension-codes"),
                          .option = "--suspension-codes",
                          .heading = CB_ISSUE_CODE_HEADING},
                 .needs_hsm = true,
                 .each = one_card};
    cb_ctl_status status = cb_ctl_level(ctl, cb_ctl_arg(args, "level"), &of.level);
    if (!status)
        status = cb_ctl_issue_fields(ctl, args, &of.fields);
    if (!status)
        status = cb_ctl_many(&m);
    json_decref(of.fields);
    return status;
}

cb_ctl_status cb_ctl_card_issue_many(cb_ctl *ctl, const cb_ctl_args *args)
{
    return all_cards(ctl, args, "issued",
                     (issue_many){.read = read_native,
                                  .bind = bind_native,
                                  .purpose = "cardbroker holder of card 1",
                                  .identity = native_identity});
}

cb_ctl_status cb_ctl_card_register_many(cb_ctl *ctl, const cb_ctl_args *args)
{
    return all_cards(ctl, args, "registered",
                     (issue_many){.read = read_foreign,
                                  .bind = bind_foreign,
                                  .purpose = "cardbroker holder of foreign card 1",
                                  .identity = foreign_identity});
}
