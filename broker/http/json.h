/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * JSON from outside: well-formed UTF-8, no name twice, limited in size and depth; and reading an
 * object's fields by a table, so that every handler says in one place what it takes.
 */
#ifndef CB_BROKER_HTTP_JSON_H
#define CB_BROKER_HTTP_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "base/id.h"

enum { CB_JSON_DEPTH = 16 };

/* From now on whatever jansson frees is wiped first: requests and answers hold PINs and tokens.
 * Call before the first use. */
void cb_json_wipe_always(void);

/* An object; *out is the caller's (json_decref). CB_E_FORMAT with the reason in why, CB_E_MEMORY. */
cb_error cb_json_read(cb_bytes text, json_t **out, cb_buf *why);

typedef enum cb_field_kind {
    CB_FIELD_TEXT,   /* const char **: borrowed from the object; max: bytes, at least one */
    CB_FIELD_ID,     /* cb_id * */
    CB_FIELD_HEX,    /* cb_buf *: appended; max: bytes */
    CB_FIELD_NUMBER, /* int64_t *: 0 to max */
    CB_FIELD_TRUTH,  /* bool * */
    CB_FIELD_OBJECT, /* json_t **: borrowed */
    CB_FIELD_LIST    /* json_t **: borrowed; max: elements */
} cb_field_kind;

typedef struct cb_field {
    const char *name;
    cb_field_kind kind;
    bool required;
    size_t max;
    void *out; /* left as it is when the field is missing */
} cb_field;

/* Reads the fields of an object. CB_E_UNKNOWN_FIELD, CB_E_ARGUMENT, with a sentence that names the
 * field in why. */
cb_error cb_fields_read(const json_t *object, const cb_field *fields, size_t count, cb_buf *why);

/* An object as compact text; NULL: no memory. The caller ends it with cb_json_text_free, which
 * takes NULL. */
char *cb_json_text(const json_t *object);
void cb_json_text_free(char **text);

#endif
