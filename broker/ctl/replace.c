/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A replacement card carries on where the old one was: keys are the holder's, not the card's.
 *
 * One act of cardbrokerd's: the new card becomes active and the old one dies in the same transaction.
 * Where the old card is out of its holder's hands it is revoked before that, and stays so whatever
 * happens next. Whatever is done is said, and what remains to be done.
 */
#include <string.h>

#include "broker/ctl/card.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "broker/ctl/reading.h"
#include "broker/ctl/resolve.h"

/* The new card, in one of the two forms. */
typedef struct candidate {
    cb_buf certificate;     /* of a card of this broker's issuers */
    cb_ctl_reading reading; /* of somebody else's */
    bool foreign;
} candidate;

typedef struct replacement {
    char old_id[CB_ID_TEXT];
    char new_id[CB_ID_TEXT];
    bool revoked, issued;
} replacement;

static bool out_of_hand(const char *reason)
{
    return strcmp(reason, "lost") == 0 || strcmp(reason, "stolen") == 0;
}

static bool is_dead(const char *state)
{
    return strcmp(state, "revoked") == 0 || strcmp(state, "returned") == 0 ||
           strcmp(state, "destroyed") == 0;
}

static cb_ctl_status revoke_old(cb_ctl *ctl, replacement *r, const char *reason)
{
    cb_ctl_status status =
        r->revoked ? CB_CTL_DONE : cb_ctl_card_change(ctl, r->old_id, "revoke", reason);
    r->revoked = r->revoked || !status;
    return status;
}

static cb_ctl_status read_new(cb_ctl *ctl, const cb_ctl_args *args, candidate *new)
{
    const char *reading = cb_ctl_arg(args, "card");
    new->foreign = reading != NULL;
    return reading ? cb_ctl_reading_load(ctl, reading, &new->reading)
                   : cb_ctl_read_cvc(ctl, cb_ctl_arg(args, "certificate"), &new->certificate);
}

static cb_ctl_status issue_new(cb_ctl *ctl, const cb_ctl_args *args, replacement *r,
                               const cb_id *holder, const candidate *new, uint8_t level,
                               const char *reason)
{
    char path[96];
    json_t *card = NULL;
    cb_ctl_record record = {.path = path, .replaces = r->old_id};
    snprintf(path, sizeof path, "/v1/cards/%s/replace", r->old_id);
    cb_ctl_status status = cb_ctl_issue_fields(ctl, args, &record.fields);
    if (!status && json_object_set_new(record.fields, "reason", json_string(reason)) != 0)
        status = cb_ctl_fail_text(ctl, "the reason", reason);
    if (!status)
        status = new->foreign
                     ? cb_ctl_reading_bind(ctl, &new->reading, holder, level, &record, &card)
                     : cb_ctl_card_issue(ctl, holder, cb_buf_bytes(&new->certificate), level,
                                         &record, &card);
    if (!status) {
        r->issued = r->revoked = true;
        snprintf(r->new_id, sizeof r->new_id, "%s", cb_ctl_text_field(card, "id"));
    }
    json_decref(record.fields);
    json_decref(card);
    return status;
}

static void say_what_remains(cb_ctl *ctl, const replacement *r)
{
    cb_ctl_note(ctl, "No new card was issued.");
    if (r->revoked)
        cb_ctl_note(ctl, "The old card %s is revoked.", r->old_id);
    else
        cb_ctl_note(ctl, "The old card %s is NOT revoked: cardbrokerctl card revoke %s", r->old_id,
                    r->old_id);
}

static cb_ctl_status report(cb_ctl *ctl, const replacement *r, cb_ctl_status status)
{
    json_t *now = json_pack("{s:{s:s,s:b},s:{s:s?,s:b,s:b}}", "old", "id", r->old_id, "revoked",
                            r->revoked, "new", "id", r->issued ? r->new_id : NULL, "issued",
                            r->issued, "active", r->issued);
    if (status && ctl->json)
        cb_ctl_json(ctl, now);
    if (status)
        say_what_remains(ctl, r);
    else
        status = cb_ctl_done(ctl, now, "card %s issued and active; card %s revoked", r->new_id,
                             r->old_id);
    json_decref(now);
    return status;
}

/* The old card's holder, level and whether it is revoked already. */
static cb_ctl_status look_up(cb_ctl *ctl, const char *operand, replacement *r, cb_id *holder,
                             uint8_t *level)
{
    cb_id id;
    char path[64];
    json_t *card = NULL;
    cb_ctl_status status = cb_ctl_need_id(ctl, operand, "a card", &id);
    if (status)
        return status;
    cb_id_text(&id, r->old_id);
    snprintf(path, sizeof path, "/v1/cards/%s", r->old_id);
    status = cb_ctl_call(ctl, "GET", path, NULL, &card);
    if (!status)
        status = cb_ctl_id_field(ctl, card, "holder", holder);
    r->revoked = is_dead(cb_ctl_text_field(card, "state"));
    json_int_t of_card = json_integer_value(json_object_get(card, "level"));
    if (of_card > 0 && of_card <= UINT8_MAX && cb_level_ok((uint8_t)of_card))
        *level = (uint8_t)of_card;
    json_decref(card);
    return status;
}

cb_ctl_status cb_ctl_card_replace(cb_ctl *ctl, const cb_ctl_args *args)
{
    const char *given = cb_ctl_arg(args, "reason"), *reason = given ? given : "replaced";
    replacement r = {0};
    cb_id holder;
    uint8_t level = CB_LEVEL_PIN;
    candidate new = {.certificate = CB_BUF(4096)};
    if (!cb_ctl_arg(args, "card") == !cb_ctl_arg(args, "certificate"))
        return cb_ctl_misuse(ctl, "name the new card: --certificate of one of your issuers', --card of "
                                  "somebody else's");
    cb_ctl_reading_init(&new.reading);
    cb_ctl_status status = look_up(ctl, args->operand[0], &r, &holder, &level);
    if (!status)
        status = cb_ctl_level(ctl, cb_ctl_arg(args, "level"), &level);
    if (status)
        goto out;
    /* A lost card is dead at once, even if there is something wrong with the new one. */
    if (out_of_hand(reason))
        status = revoke_old(ctl, &r, reason);
    if (!status)
        status = read_new(ctl, args, &new);
    if (!status)
        status = issue_new(ctl, args, &r, &holder, &new, level, reason);
    status = report(ctl, &r, status);
out:
    cb_ctl_reading_free(&new.reading);
    cb_buf_free(&new.certificate);
    return status;
}
