/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/registration.h"

#include "base/clock.h"
#include "base/cursor.h"

static cb_id place_of(const cb_id *code)
{
    return cb_memo_place("cardbroker registration grant 1", cb_id_bytes(code));
}

static cb_id place_of_use(const cb_id *code)
{
    return cb_memo_place("cardbroker registration use 1", cb_id_bytes(code));
}

static cb_registration_grant read_value(const cb_digest *value)
{
    cb_registration_grant grant = {.holder = {{0}}};
    cb_cursor in = cb_cursor_over(cb_digest_bytes(value));
    cb_cursor_copy(&in, grant.holder.bytes, CB_ID_SIZE);
    grant.until = cb_cursor_u32(&in) * CB_SECOND;
    grant.profiles = cb_cursor_u8(&in);
    grant.level = cb_cursor_u8(&in);
    grant.state = cb_cursor_u8(&in);
    grant.wrong = cb_cursor_u8(&in);
    return grant;
}

static void write_value(const cb_registration_grant *grant, cb_digest *value)
{
    uint32_t until = (uint32_t)(grant->until / CB_SECOND);
    *value = (cb_digest){{0}};
    uint8_t *at = value->bytes;
    memcpy(at, grant->holder.bytes, CB_ID_SIZE);
    at += CB_ID_SIZE;
    for (unsigned i = 0; i < 4; i++)
        *at++ = (uint8_t)(until >> (24 - 8 * i));
    *at++ = grant->profiles;
    *at++ = grant->level;
    *at++ = grant->state;
    *at++ = grant->wrong;
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
    const cb_digest *use;
    int64_t now;
    cb_error error;
} change;

static void begin(void *context, cb_digest *value)
{
    change *c = context;
    cb_registration_grant grant = read_value(value);
    c->error = grant.state == CB_REGISTRATION_NONE ? CB_OK : CB_E_EXISTS;
    if (c->error)
        return;
    grant = *c->grant;
    grant.state = CB_REGISTRATION_OPEN;
    grant.wrong = 0;
    write_value(&grant, value);
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
    *out = read_value(&value);
    return out->state == CB_REGISTRATION_NONE ? CB_E_NOT_FOUND : CB_OK;
}

static bool is_set(const cb_digest *digest)
{
    static const cb_digest none;
    return memcmp(digest, &none, sizeof none) != 0;
}

/* The binding that the code is for, from its first use on; zero before that. */
static cb_error read_use(const cb_memo *memo, const cb_id *code, cb_digest *use)
{
    cb_id place = place_of_use(code);
    cb_error error = cb_memo_get(memo, &place, use);
    if (error == CB_E_NOT_FOUND)
        *use = (cb_digest){{0}};
    return error == CB_E_NOT_FOUND ? CB_OK : error;
}

/* One whose end is farther off than any is given was made before the clock was put back: it counts
 * for nothing. */
static cb_error judge(const cb_registration_grant *grant, int64_t now, const cb_digest *use,
                      const cb_digest *binding)
{
    bool used = grant->state == CB_REGISTRATION_USED || is_set(use);
    if (grant->state == CB_REGISTRATION_NONE)
        return CB_E_REGISTRATION_CODE;
    if (grant->state == CB_REGISTRATION_WITHDRAWN)
        return CB_E_REGISTRATION_WITHDRAWN;
    if (used && memcmp(use, binding, sizeof *use) != 0)
        return CB_E_REGISTRATION_USED;
    if (now >= grant->until || grant->until - now > (int64_t)CB_REGISTRATION_MOST_S * CB_SECOND)
        return CB_E_REGISTRATION_LAPSED;
    return grant->wrong >= CB_REGISTRATION_TRIES ? CB_E_REGISTRATION_TRIED : CB_OK;
}

cb_error cb_registration_look(const cb_memo *memo, const cb_id *code, int64_t now,
                              const cb_digest *binding, cb_registration_grant *out)
{
    cb_id place = place_of(code);
    cb_digest value, use;
    cb_error error = cb_memo_get(memo, &place, &value);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_REGISTRATION_CODE : error;
    *out = read_value(&value);
    error = read_use(memo, code, &use);
    return error ? error : judge(out, now, &use, binding);
}

/* Of several that come at a time the first has the code. */
static void claim(void *context, cb_digest *use)
{
    change *c = context;
    if (!is_set(use))
        *use = *c->binding;
    c->error = memcmp(use, c->binding, sizeof *use) == 0 ? CB_OK : CB_E_REGISTRATION_USED;
}

/* It may have been withdrawn meanwhile. */
static void mark_used(void *context, cb_digest *value)
{
    change *c = context;
    cb_registration_grant grant = read_value(value);
    c->error = judge(&grant, c->now, c->use, c->binding);
    if (c->error)
        return;
    grant.state = CB_REGISTRATION_USED;
    write_value(&grant, value);
}

cb_error cb_registration_take(cb_memo *memo, const cb_id *code, int64_t now,
                              const cb_digest *binding)
{
    cb_registration_grant grant;
    cb_id use = place_of_use(code);
    change c = {.binding = binding, .use = binding, .now = now};
    cb_error error =
        is_set(binding) ? cb_registration_look(memo, code, now, binding, &grant) : CB_E_ARGUMENT;
    if (!error)
        error = cb_memo_change(memo, &use, claim, &c);
    if (!error)
        error = c.error;
    return error ? error : change_known(memo, code, mark_used, &c);
}

static void count(void *context, cb_digest *value)
{
    cb_registration_grant grant = read_value(value);
    (void)context;
    if (grant.wrong < CB_REGISTRATION_TRIES)
        grant.wrong++;
    write_value(&grant, value);
}

cb_error cb_registration_wrong(cb_memo *memo, const cb_id *code)
{
    change c = {.error = CB_OK};
    return change_known(memo, code, count, &c);
}

static void withdraw(void *context, cb_digest *value)
{
    change *c = context;
    cb_registration_grant grant = read_value(value);
    c->error = grant.state == CB_REGISTRATION_USED ? CB_E_STATE : CB_OK;
    if (c->error)
        return;
    grant.state = CB_REGISTRATION_WITHDRAWN;
    write_value(&grant, value);
}

cb_error cb_registration_withdraw(cb_memo *memo, const cb_id *code)
{
    change c = {.error = CB_OK};
    return change_known(memo, code, withdraw, &c);
}
