/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the row_*.c files share.
 */
#ifndef CB_BROKER_STORE_ROW_H
#define CB_BROKER_STORE_ROW_H

#include "broker/store/internal.h"
#include "broker/store/state_names.h"

enum { CB_PAGE_DEFAULT = 100 };

static inline int64_t cb_row_limit(unsigned limit)
{
    if (limit == 0)
        return CB_PAGE_DEFAULT;
    return limit > CB_PAGE_LIMIT ? CB_PAGE_LIMIT : limit;
}

/* No id is zero, so the zero id comes before all. */
static inline const cb_id *cb_row_after(const cb_id *after)
{
    static const cb_id zero;
    return after ? after : &zero;
}

/* Ends a query for one row. */
static inline cb_error cb_row_found(cb_query *query, bool found)
{
    cb_error error = cb_query_end(query);
    return !error && !found ? CB_E_NOT_FOUND : error;
}

/* Ends a query whose rows were visited; the visitor's error comes first. */
static inline cb_error cb_row_visited(cb_query *query, cb_error error)
{
    cb_error end = cb_query_end(query);
    return error ? error : end;
}

/* A column that holds the name of a state. */
static inline uint8_t cb_column_state(cb_query *query, int column, const char *const *names)
{
    char name[16];
    cb_column_text(query, column, name, sizeof name);
    return cb_state_number(names, name);
}

/* The name of a state that is one; an unknown number becomes NULL, which the schema refuses. */
static inline const char *cb_row_state(const char *const *names, uint8_t state)
{
    for (uint8_t i = 1; names[i]; i++) {
        if (i == state)
            return names[i];
    }
    return NULL;
}

#endif
