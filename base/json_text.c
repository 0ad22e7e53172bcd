/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/json_text.h"

#include <errno.h>
#include <stdlib.h>

static _Thread_local bool lost;
static json_malloc_t take_under = malloc;
static json_free_t give_under = free;

static void *take_noted(size_t size)
{
    void *block = take_under(size);
    lost = lost || !block;
    return block;
}

void cb_json_allocate(json_malloc_t take, json_free_t give)
{
    take_under = take;
    give_under = give;
    json_set_alloc_funcs(take_noted, give);
}

__attribute__((constructor)) static void note_from_the_start(void)
{
    cb_json_allocate(malloc, free);
}

json_t *cb_json_load(cb_bytes text, size_t flags, json_error_t *why)
{
    lost = false;
    json_t *value = json_loadb((const char *)text.data, text.len, flags, why);
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
