/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/json_text.h"

#include <errno.h>
#include <stdlib.h>

enum { RESERVE_MORE = 64 };

static _Thread_local bool lost;
/* What is being read. Without room for the last character of a token, jansson 2.14 reads on past the
 * end of its memory, or aborts. So the first allocation to fail gets what was put aside, enough for
 * the longest token; then the text seems to end. */
static _Thread_local struct {
    bool now;
    cb_bytes text;
    size_t at;
    void *reserve;
    size_t size;
} reading;
static json_malloc_t take_under = malloc;
static json_free_t give_under = free;

static void *take_noted(size_t size)
{
    void *block = take_under(size);
    if (!block && size <= reading.size) {
        block = reading.reserve;
        reading.reserve = NULL;
        reading.size = 0;
    }
    lost = lost || !block || (reading.now && !reading.reserve);
    return block;
}

static size_t give_character(void *out, size_t size, void *unused)
{
    (void)unused;
    if (lost || size == 0 || reading.at >= reading.text.len)
        return 0;
    *(uint8_t *)out = reading.text.data[reading.at++];
    return 1;
}

void cb_json_allocate(json_malloc_t take, json_free_t give)
{
    take_under = take;
    give_under = give;
    json_set_alloc_funcs(take_noted, give);
}

__attribute__((constructor)) static void note_from_the_start(void)
{
    /* Over whoever notes already: a plug-in that has this file as well, and the program. */
    json_malloc_t take = malloc;
    json_free_t give = free;
    json_get_alloc_funcs(&take, &give);
    cb_json_allocate(take, give);
}

json_t *cb_json_load(cb_bytes text, size_t flags, json_error_t *why)
{
    lost = false;
    reading.size = 2 * text.len + RESERVE_MORE;
    reading.reserve = take_under(reading.size);
    reading.text = text;
    reading.at = 0;
    reading.now = reading.reserve;
    json_t *value = reading.now ? json_load_callback(give_character, NULL, flags, why) : NULL;
    lost = lost || !reading.now;
    reading.now = false;
    reading.size = 0;
    give_under(reading.reserve);
    reading.reserve = NULL;
    errno = lost ? ENOMEM : 0;
    if (!lost)
        return value;
    json_decref(value);
    errno = ENOMEM;
    return NULL;
}

char *cb_json_dumps(const json_t *value, size_t flags)
{
    lost = false;
    char *text = json_dumps(value, flags);
    if (!lost)
        return text;
    give_under(text);
    return NULL;
}
