/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/marks.h"

#include "base/log.h"
#include "cardlink/x509/certificate.h"

enum { OF_KEY = 0, OF_NAME = 1 };

static void add(cb_marks *marks, uint8_t profile, uint8_t what, cb_bytes kind, cb_bytes bytes)
{
    static const char domain[] = "cardbroker bound mark 1"; /* its final zero is part of it */
    const uint8_t head[] = {profile, what};
    cb_digest digest =
        cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(domain), CB_BYTES_OF(head), kind, bytes}, 4);
    cb_id mark;
    memcpy(mark.bytes, digest.bytes, CB_ID_SIZE);
    for (size_t i = 0; i < marks->count; i++) {
        if (cb_id_same(&marks->mark[i], &mark))
            return;
    }
    if (marks->count < CB_MARKS_MAX)
        marks->mark[marks->count++] = mark;
}

/* What a certificate says, or that of the key which is attested. */
static cb_error add_names(const cb_card_profile *profile, const cb_script *answers, uint8_t use,
                          cb_bytes der, cb_marks *marks)
{
    cb_x509 certificate;
    cb_bytes name[CB_PROFILE_MARKS_MAX];
    bool attested = use == profile->attested;
    cb_error error = attested ? CB_OK : cb_x509_parse(der, &certificate);
    if (error)
        return error;
    size_t count = profile->marks(answers, attested ? NULL : &certificate, name);
    for (size_t i = 0; i < count; i++)
        add(marks, profile->id, OF_NAME, (cb_bytes){0}, name[i]);
    return CB_OK;
}

cb_error cb_marks_of(const cb_foreign_reading *card, const cb_binding_info *info, cb_marks *out)
{
    cb_script answers;
    const cb_card_profile *profile = cb_profile_find(card->profile);
    *out = (cb_marks){0};
    if (!profile->marks)
        return CB_OK;
    cb_error error = cb_script_read(card->answers, CB_ANSWER_MAX, &answers);
    for (size_t i = 0; !error && i < card->keys; i++)
        error = add_names(profile, &answers, card->key[i].use, card->key[i].certificate, out);
    for (size_t i = 0; !error && i < info->keys.count; i++) {
        const cb_card_key *key = &info->keys.key[i];
        add(out, profile->id, OF_KEY, cb_bytes_make(&key->kind, 1),
            cb_bytes_make(key->data, key->len));
    }
    return error;
}

static cb_digest value_for(const cb_id *card)
{
    cb_digest value = {{0}};
    memcpy(value.bytes, card->bytes, CB_ID_SIZE);
    return value;
}

static cb_error compare(const cb_id *card, const cb_digest *there)
{
    char now[CB_ID_TEXT], before[CB_ID_TEXT];
    cb_id other;
    cb_digest ours = value_for(card);
    if (memcmp(there, &ours, sizeof ours) == 0)
        return CB_OK;
    memcpy(other.bytes, there->bytes, CB_ID_SIZE);
    cb_id_text(card, now);
    cb_id_text(&other, before);
    cb_log(CB_LOG_WARNING, "card.other_name",
           "A card is to be bound whose keys or names were bound as another card's.", "card", now,
           "bound_as", before, NULL);
    return CB_E_CARD_BOUND;
}

cb_error cb_marks_free(const cb_memo *bound, const cb_id *card, const cb_marks *marks)
{
    for (size_t i = 0; i < marks->count; i++) {
        cb_digest there;
        cb_error error = cb_memo_get(bound, &marks->mark[i], &there);
        if (!error)
            error = compare(card, &there);
        if (error && error != CB_E_NOT_FOUND)
            return error;
    }
    return CB_OK;
}

typedef struct taking {
    const cb_id *card;
    cb_digest there;
} taking;

static void take(void *context, cb_digest *value)
{
    static const cb_digest none;
    taking *t = context;
    if (memcmp(value, &none, sizeof none) == 0)
        *value = value_for(t->card);
    t->there = *value;
}

/* All are looked at before any is taken: what is refused leaves nothing behind. One that is there
 * already is written again, for whoever wrote it may have ended before it was durable. */
cb_error cb_marks_take(cb_memo *bound, const cb_id *card, const cb_marks *marks)
{
    cb_error error = cb_marks_free(bound, card, marks);
    for (size_t i = 0; !error && i < marks->count; i++) {
        taking t = {.card = card};
        error = cb_memo_change(bound, &marks->mark[i], take, &t);
        if (!error)
            error = compare(card, &t.there);
    }
    return error;
}
