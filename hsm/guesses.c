/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/guesses.h"

#include "base/clock.h"
#include "base/cursor.h"

typedef struct guesses {
    cb_id subject;
    uint32_t wrong;
    int64_t last;
} guesses;

static cb_id place_of(const cb_id *password)
{
    return cb_memo_place("cardbroker password guesses 1", cb_id_bytes(password));
}

static cb_id place_of_change(const cb_id *password)
{
    return cb_memo_place("cardbroker password change 1", cb_id_bytes(password));
}

static guesses read_value(const cb_digest *value)
{
    guesses g = {0};
    cb_cursor in = cb_cursor_over(cb_digest_bytes(value));
    cb_cursor_copy(&in, g.subject.bytes, CB_ID_SIZE);
    g.wrong = cb_cursor_u32(&in);
    g.last = (int64_t)cb_cursor_u64(&in);
    return g;
}

static void write_value(const guesses *g, cb_digest *value)
{
    *value = (cb_digest){{0}};
    memcpy(value->bytes, g->subject.bytes, CB_ID_SIZE);
    for (unsigned i = 0; i < 4; i++)
        value->bytes[CB_ID_SIZE + i] = (uint8_t)(g->wrong >> (24 - 8 * i));
    for (unsigned i = 0; i < 8; i++)
        value->bytes[CB_ID_SIZE + 4 + i] = (uint8_t)((uint64_t)g->last >> (56 - 8 * i));
}

int64_t cb_guesses_delay(uint32_t wrong)
{
    int64_t seconds = CB_GUESSES_DELAY_S;
    if (wrong < CB_GUESSES_FREE)
        return 0;
    if (wrong >= CB_GUESSES_MOST)
        return -1;
    for (uint32_t i = CB_GUESSES_FREE; i < wrong && seconds < CB_GUESSES_DELAY_MAX_S; i++)
        seconds *= 2;
    return (seconds < CB_GUESSES_DELAY_MAX_S ? seconds : CB_GUESSES_DELAY_MAX_S) * CB_SECOND;
}

/* A clock that was put back must not keep anybody waiting for longer than the delay. */
static bool due(guesses *g, int64_t now)
{
    int64_t delay = cb_guesses_delay(g->wrong);
    if (g->last > now)
        g->last = now;
    return delay == 0 || (delay > 0 && now - g->last >= delay);
}

/* ---- Changes ---- */

typedef struct changed {
    cb_id from, to; /* zero: nothing was changed */
} changed;

static cb_error read_change(const cb_memo *memo, const cb_id *password, changed *out)
{
    cb_digest value = {{0}};
    cb_id place = place_of_change(password);
    cb_error error = cb_memo_get(memo, &place, &value);
    memcpy(out->from.bytes, value.bytes, CB_ID_SIZE);
    memcpy(out->to.bytes, value.bytes + CB_ID_SIZE, CB_ID_SIZE);
    return error == CB_E_NOT_FOUND ? CB_OK : error;
}

cb_error cb_guesses_change(cb_memo *memo, const cb_id *password, const cb_id *from, const cb_id *to)
{
    cb_digest value;
    cb_id count = place_of(password), place = place_of_change(password);
    cb_error error = cb_memo_get(memo, &count, &value);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_HSM_RECORD : error;
    guesses g = read_value(&value);
    if (!cb_id_same(&g.subject, from))
        return CB_E_HSM_RECORD;
    memcpy(value.bytes, from->bytes, CB_ID_SIZE);
    memcpy(value.bytes + CB_ID_SIZE, to->bytes, CB_ID_SIZE);
    return cb_memo_put(memo, &place, &value);
}

/* ---- Counting ---- */

typedef struct attempt {
    const cb_id *subject;
    changed change;
    int64_t now;
    bool old;
    bool allowed;
} attempt;

/* Whether the count is that of another binding. An entry of nobody's becomes the first one's. */
static bool of_another(guesses *g, const cb_id *subject, const changed *change)
{
    if (cb_id_is_zero(&g->subject))
        g->subject = *subject;
    bool changed_to = !cb_id_is_zero(&change->to) && cb_id_same(&g->subject, &change->from) &&
                      cb_id_same(subject, &change->to);
    return !changed_to && !cb_id_same(&g->subject, subject);
}

/* What is not allowed is written too: nobody is to see in the time that it takes which it was. */
static void count(void *context, cb_digest *value)
{
    attempt *a = context;
    guesses g = read_value(value);
    a->old = of_another(&g, a->subject, &a->change);
    a->allowed = !a->old && due(&g, a->now);
    if (a->allowed) {
        g.wrong++;
        g.last = a->now;
    }
    write_value(&g, value);
}

cb_error cb_guesses_take(cb_memo *memo, const cb_id *password, const cb_id *subject, int64_t now,
                         bool *allowed)
{
    attempt a = {.subject = subject, .now = now};
    cb_id place = place_of(password);
    cb_error error = read_change(memo, password, &a.change);
    if (!error)
        error = cb_memo_change(memo, &place, count, &a);
    *allowed = !error && a.allowed;
    return !error && a.old ? CB_E_HSM_RECORD : error;
}

static void end_count(void *context, cb_digest *value)
{
    const attempt *a = context;
    guesses g = read_value(value);
    if (!of_another(&g, a->subject, &a->change))
        write_value(&(guesses){.subject = *a->subject}, value);
}

cb_error cb_guesses_right(cb_memo *memo, const cb_id *password, const cb_id *subject)
{
    attempt a = {.subject = subject};
    cb_id place = place_of(password);
    cb_error error = read_change(memo, password, &a.change);
    return error ? error : cb_memo_change(memo, &place, end_count, &a);
}

static void begin_anew(void *context, cb_digest *value)
{
    const cb_id *subject = context;
    guesses g = read_value(value);
    if (!cb_id_same(&g.subject, subject))
        write_value(&(guesses){.subject = *subject}, value);
}

cb_error cb_guesses_begin(cb_memo *memo, const cb_id *password, const cb_id *subject)
{
    cb_id copy = *subject, place = place_of(password);
    return cb_memo_change(memo, &place, begin_anew, &copy);
}

static void forgive(void *context, cb_digest *value)
{
    guesses g = read_value(value);
    (void)context;
    write_value(&(guesses){.subject = g.subject}, value);
}

cb_error cb_guesses_forgive(cb_memo *memo, const cb_id *password)
{
    cb_digest value;
    cb_id place = place_of(password);
    cb_error error = cb_memo_get(memo, &place, &value);
    if (!error)
        error = cb_memo_change(memo, &place, forgive, NULL);
    return error == CB_E_NOT_FOUND ? CB_OK : error;
}
