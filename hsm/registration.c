/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/registration.h"

#include "base/clock.h"
#include "base/cursor.h"

enum { MARK = 8 }; /* of the binding that a code was used for */

typedef struct entry {
    cb_registration_grant grant;
    uint8_t mark[MARK];
} entry;

static cb_id place_of(const cb_id *code)
{
    static const char domain[] =
        "cardbroker registration grant 1"; /* its final zero is part of it */
    const cb_bytes parts[] = {CB_BYTES_OF(domain), cb_id_bytes(code)};
    cb_digest digest = cb_sha256_parts(parts, sizeof parts / sizeof parts[0]);
    cb_id place;
    memcpy(place.bytes, digest.bytes, CB_ID_SIZE);
    return place;
}

static entry read_value(const cb_digest *value)
{
    entry e = {.mark = {0}};
    cb_cursor in = cb_cursor_over(cb_digest_bytes(value));
    cb_cursor_copy(&in, e.grant.holder.bytes, CB_ID_SIZE);
    e.grant.until = cb_cursor_u32(&in) * CB_SECOND;
    e.grant.profiles = cb_cursor_u8(&in);
    e.grant.level = cb_cursor_u8(&in);
    e.grant.state = cb_cursor_u8(&in);
    e.grant.wrong = cb_cursor_u8(&in);
    cb_cursor_copy(&in, e.mark, MARK);
    return e;
}

static void write_value(const entry *e, cb_digest *value)
{
    uint32_t until = (uint32_t)(e->grant.until / CB_SECOND);
    uint8_t *at = value->bytes;
    memcpy(at, e->grant.holder.bytes, CB_ID_SIZE);
    at += CB_ID_SIZE;
    for (unsigned i = 0; i < 4; i++)
        *at++ = (uint8_t)(until >> (24 - 8 * i));
    *at++ = e->grant.profiles;
    *at++ = e->grant.level;
    *at++ = e->grant.state;
    *at++ = e->grant.wrong;
    memcpy(at, e->mark, MARK);
}

/* A card's profiles, and a level that a card can have. */
static bool grant_ok(const cb_registration_grant *grant)
{
    int64_t seconds = grant->until / CB_SECOND;
    return !cb_id_is_zero(&grant->holder) && grant->profiles != 0 &&
           (grant->profiles & ~CB_REGISTRATION_PROFILES) == 0 &&
           cb_level_reaches(grant->level, CB_LEVEL_POSSESSION) && seconds > 0 &&
           seconds <= UINT32_MAX;
}

typedef struct change {
    const cb_registration_grant *grant; /* to begin with */
    const cb_digest *binding;
    int64_t now;
    cb_error error;
} change;

static void begin(void *context, cb_digest *value)
{
    change *c = context;
    entry e = read_value(value);
    c->error = e.grant.state == CB_REGISTRATION_NONE ? CB_OK : CB_E_EXISTS;
    if (c->error)
        return;
    e = (entry){.grant = *c->grant};
    e.grant.state = CB_REGISTRATION_OPEN;
    e.grant.wrong = 0;
    write_value(&e, value);
}

/* All changes but the first are of codes that are known: who asks for others adds nothing to the
 * file. */
static cb_error change_known(cb_memo *memo, const cb_id *code,
                             void (*how)(void *context, cb_digest *value), change *c)
{
    cb_id place = place_of(code);
    cb_digest value;
    cb_error error = cb_memo_get(memo, &place, &value);
    if (!error)
        error = cb_memo_change(memo, &place, how, c);
    return error ? error : c->error;
}

cb_error cb_registration_allow(cb_memo *memo, const cb_id *code, const cb_registration_grant *grant)
{
    cb_id place = place_of(code);
    change c = {.grant = grant};
    if (!grant_ok(grant))
        return CB_E_ARGUMENT;
    cb_error error = cb_memo_change(memo, &place, begin, &c);
    return error ? error : c.error;
}

cb_error cb_registration_get(const cb_memo *memo, const cb_id *code, cb_registration_grant *out)
{
    cb_id place = place_of(code);
    cb_digest value;
    cb_error error = cb_memo_get(memo, &place, &value);
    if (error)
        return error;
    *out = read_value(&value).grant;
    return out->state == CB_REGISTRATION_NONE ? CB_E_NOT_FOUND : CB_OK;
}

/* Which binding it was used for, if it was. One whose end is farther off than any is given was made
 * before the clock was put back: it counts for nothing. */
static cb_error judge(const entry *e, int64_t now, const cb_digest *binding)
{
    const cb_registration_grant *grant = &e->grant;
    if (grant->state == CB_REGISTRATION_NONE)
        return CB_E_REGISTRATION_CODE;
    if (grant->state == CB_REGISTRATION_WITHDRAWN)
        return CB_E_REGISTRATION_WITHDRAWN;
    if (grant->state == CB_REGISTRATION_USED && memcmp(e->mark, binding->bytes, MARK) != 0)
        return CB_E_REGISTRATION_USED;
    if (now >= grant->until || grant->until - now > (int64_t)CB_REGISTRATION_MOST_S * CB_SECOND)
        return CB_E_REGISTRATION_LAPSED;
    return grant->wrong >= CB_REGISTRATION_TRIES ? CB_E_REGISTRATION_TRIED : CB_OK;
}

cb_error cb_registration_look(const cb_memo *memo, const cb_id *code, int64_t now,
                              const cb_digest *binding, cb_registration_grant *out)
{
    cb_id place = place_of(code);
    cb_digest value;
    cb_error error = cb_memo_get(memo, &place, &value);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_REGISTRATION_CODE : error;
    entry e = read_value(&value);
    *out = e.grant;
    return judge(&e, now, binding);
}

static void take(void *context, cb_digest *value)
{
    change *c = context;
    entry e = read_value(value);
    c->error = judge(&e, c->now, c->binding);
    if (c->error)
        return;
    e.grant.state = CB_REGISTRATION_USED;
    memcpy(e.mark, c->binding->bytes, MARK);
    write_value(&e, value);
}

cb_error cb_registration_take(cb_memo *memo, const cb_id *code, int64_t now,
                              const cb_digest *binding)
{
    change c = {.binding = binding, .now = now};
    cb_error error = change_known(memo, code, take, &c);
    return error == CB_E_NOT_FOUND ? CB_E_REGISTRATION_CODE : error;
}

static void give_back(void *context, cb_digest *value)
{
    change *c = context;
    entry e = read_value(value);
    if (e.grant.state != CB_REGISTRATION_USED || memcmp(e.mark, c->binding->bytes, MARK) != 0)
        return;
    e.grant.state = CB_REGISTRATION_OPEN;
    memset(e.mark, 0, MARK);
    write_value(&e, value);
}

cb_error cb_registration_give_back(cb_memo *memo, const cb_id *code, const cb_digest *binding)
{
    change c = {.binding = binding};
    return change_known(memo, code, give_back, &c);
}

static void count(void *context, cb_digest *value)
{
    entry e = read_value(value);
    (void)context;
    if (e.grant.wrong < CB_REGISTRATION_TRIES)
        e.grant.wrong++;
    write_value(&e, value);
}

cb_error cb_registration_wrong(cb_memo *memo, const cb_id *code)
{
    change c = {.error = CB_OK};
    return change_known(memo, code, count, &c);
}

static void withdraw(void *context, cb_digest *value)
{
    change *c = context;
    entry e = read_value(value);
    c->error = e.grant.state == CB_REGISTRATION_USED ? CB_E_STATE : CB_OK;
    if (c->error)
        return;
    e.grant.state = CB_REGISTRATION_WITHDRAWN;
    write_value(&e, value);
}

cb_error cb_registration_withdraw(cb_memo *memo, const cb_id *code)
{
    change c = {.error = CB_OK};
    return change_known(memo, code, withdraw, &c);
}
