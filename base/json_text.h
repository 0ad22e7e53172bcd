/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * JSON as text, whole or not at all. jansson 2.14 does not look whether a name in an object found
 * room in the text that it makes: without memory it leaves the name out, and the rest is returned
 * as if it were all.
 */
#ifndef CB_BASE_JSON_TEXT_H
#define CB_BASE_JSON_TEXT_H

#include <errno.h>
#include <jansson.h>
#include <stddef.h>

/* As json_dumps (the caller frees it likewise). NULL: no memory, or it is no JSON. */
static inline char *cb_json_dumps(const json_t *value, size_t flags)
{
    json_free_t release = NULL;
    errno = 0;
    char *text = json_dumps(value, flags);
    if (text && errno == ENOMEM) {
        json_get_alloc_funcs(NULL, &release);
        release(text);
        text = NULL;
    }
    return text;
}

#endif
