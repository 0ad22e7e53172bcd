/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A service's configuration and an enrolment's data, read by the table of fields that the connector
 * declares.
 *
 * Both are JSON objects. A name that is not in the table is an error; files are read here, before
 * the process gives up opening files; URLs give the list of origins to which connections may be
 * made.
 */
#ifndef CB_CONNECTORS_HOST_FIELDS_H
#define CB_CONNECTORS_HOST_FIELDS_H

#include "base/buf.h"
#include "connectors/include/cardbroker/connector.h"

enum { CB_FIELDS_MAX = 64, CB_FILE_MAX = 1024 * 1024, CB_ORIGINS_MAX = 8, CB_HOST_MAX = 253 };

/* Where a connection may go: https only. */
typedef struct cb_origin {
    char host[CB_HOST_MAX + 1]; /* lower case; an IPv6 address without brackets */
    uint16_t port;
} cb_origin;

typedef struct cb_field_value {
    bool set;
    cb_buf text; /* as given, or the file's content */
    int64_t number;
} cb_field_value;

typedef struct cb_fields {
    const cardbroker_description *about;
    cb_field_value values[CB_FIELDS_MAX];
    cb_origin origins[CB_ORIGINS_MAX];
    size_t origin_count;
} cb_fields;

/* The origin of "https://host[:port][/…]" and, if path is not NULL, where its path starts ("" if
 * there is none). User names and fragments are refused. CB_E_FORMAT. */
cb_error cb_origin_of(const char *url, cb_origin *out, const char **path);

bool cb_origin_same(const cb_origin *a, const cb_origin *b);

/* Whether text is plain enough for a line of an HTTP header: no control characters. */
bool cb_is_header_text(const char *text);

/* Reads both. enrolment NULL: only the service's part is there (a check). CB_E_ARGUMENT with a
 * sentence in why. */
cb_error cb_fields_read(cb_fields *fields, const cardbroker_description *about, const char *config,
                        const char *enrolment, cb_buf *why);

/* NULL for a field that has no value or is not in the table. */
const cb_field_value *cb_fields_find(const cb_fields *fields, const char *name);

void cb_fields_free(cb_fields *fields);

#endif
