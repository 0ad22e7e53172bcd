/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/bound.h"

cb_error cb_bound_still_good(cb_feed *feed, const cb_binding_info *info)
{
    cb_id subject = cb_binding_subject(info);
    cb_error error = cb_feed_refresh(feed);
    if (!error && cb_feed_card(feed, &info->card) == CB_E_CARD_REVOKED)
        error = CB_E_CARD_REVOKED;
    return error ? error : cb_feed_key(feed, &subject);
}

cb_error cb_bound_free(const cb_memo *bound, const cb_binding_info *info)
{
    cb_digest there, now = cb_binding_digest(info);
    cb_error error = cb_memo_get(bound, &info->card, &there);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_OK : error;
    return memcmp(&there, &now, sizeof now) == 0 ? CB_OK : CB_E_CARD_BOUND;
}

typedef struct taking {
    cb_digest now;
    bool taken;
} taking;

static void take(void *context, cb_digest *value)
{
    static const cb_digest none;
    taking *t = context;
    if (memcmp(value, &none, sizeof none) == 0)
        *value = t->now;
    t->taken = memcmp(value, &t->now, sizeof t->now) == 0;
}

/* What is there already is written again: whoever wrote it may have ended before it was durable, or
 * his disk may have failed. */
cb_error cb_bound_take(cb_memo *bound, const cb_binding_info *info)
{
    taking t = {.now = cb_binding_digest(info)};
    cb_error error = cb_bound_free(bound, info);
    if (!error)
        error = cb_memo_change(bound, &info->card, take, &t);
    return error ? error : t.taken ? CB_OK : CB_E_CARD_BOUND;
}

typedef struct renewing {
    cb_digest before, now;
    bool other;
} renewing;

/* What is there may be the new one, of an attempt that was not recorded. Only one of the two can be
 * recorded as the card's; the feed then retires the other. */
static void put_new(void *context, cb_digest *value)
{
    renewing *r = context;
    static const cb_digest none;
    r->other = memcmp(value, &none, sizeof none) != 0 &&
               memcmp(value, &r->before, sizeof r->before) != 0 &&
               memcmp(value, &r->now, sizeof r->now) != 0;
    if (!r->other)
        *value = r->now;
}

cb_error cb_bound_renewable(const cb_memo *bound, const cb_binding_info *before,
                            const cb_binding_info *info)
{
    cb_digest there;
    renewing r = {.before = cb_binding_digest(before), .now = cb_binding_digest(info)};
    cb_error error = cb_memo_get(bound, &info->card, &there);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_OK : error;
    put_new(&r, &there);
    return r.other ? CB_E_CARD_BOUND : CB_OK;
}

cb_error cb_bound_renew(cb_memo *bound, const cb_binding_info *before, const cb_binding_info *info)
{
    renewing r = {.before = cb_binding_digest(before), .now = cb_binding_digest(info)};
    cb_error error = cb_memo_change(bound, &info->card, put_new, &r);
    return error ? error : r.other ? CB_E_CARD_BOUND : CB_OK;
}
