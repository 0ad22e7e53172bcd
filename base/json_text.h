/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * JSON, read and written whole or not at all. jansson 2.14 does not always look whether there was
 * room: reading, it leaves out characters of a text, or reads past its end; writing, the name of a
 * member; and what it returns looks as if it were all.
 */
#ifndef CB_BASE_JSON_TEXT_H
#define CB_BASE_JSON_TEXT_H

#include <jansson.h>

#include "base/bytes.h"

/* As json_loadb. NULL with errno ENOMEM: no memory; with another: it is no JSON. why may be NULL. */
json_t *cb_json_load(cb_bytes text, size_t flags, json_error_t *why);

/* As json_dumps (the caller frees it likewise). NULL: no memory, or it is no JSON. */
char *cb_json_dumps(const json_t *value, size_t flags);

/* As json_set_alloc_funcs, which must not be called itself: it would not be noticed what is lost. */
void cb_json_allocate(json_malloc_t take, json_free_t give);

#endif
