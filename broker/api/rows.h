/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The registry's rows as JSON, and pages of them. Functions that make JSON return NULL for want of
 * memory; the caller owns what they return.
 */
#ifndef CB_BROKER_API_ROWS_H
#define CB_BROKER_API_ROWS_H

#include "broker/http/request.h"
#include "broker/store/rows.h"

json_t *cb_json_id(const cb_id *id);
json_t *cb_json_id_or_null(const cb_id *id); /* null for an identifier that is zero */
json_t *cb_json_time(int64_t wall_us);
json_t *cb_json_hex(cb_bytes bytes);

/* A last day "2031-03-31" of a request as the moment after it (UTC); NULL gives 0. CB_E_ARGUMENT, said in the reply. */
cb_error cb_api_day(cb_reply *reply, const char *day, int64_t *end);

json_t *cb_json_holder(const cb_holder *holder);
json_t *cb_json_card(const cb_card *card);
json_t *cb_json_terminal(const cb_terminal *terminal);
json_t *cb_json_terminal_log(const cb_journal_row *row);
json_t *cb_json_service(const cb_service *service);
json_t *cb_json_enrolment(const cb_enrolment *enrolment);

/* "token", "url", "cookies", "relayed"; NULL for 0. And back; CB_E_ARGUMENT. */
const char *cb_session_kind_name(uint8_t kind);
cb_error cb_session_kind_parse(const char *name, uint8_t *out);

/* A page of a list: visitors append rows to it. */
typedef struct cb_page {
    json_t *rows;
    cb_id after;      /* from the query; zero: from the start */
    const char *name; /* the same for lists ordered by name; "" */
    int64_t limit;    /* from the query; 1 to CB_PAGE_LIMIT */
} cb_page;

/* Reads "after" and "limit" and the list's own parameters (at most 4) from the query. by_name:
 * after is a name. */
cb_error cb_page_read(cb_request *request, cb_reply *reply, bool by_name, const cb_field *own,
                      size_t own_count, cb_page *page);

/* For visitors: takes the row's JSON over. CB_E_MEMORY. */
cb_error cb_page_add(cb_page *page, json_t *row);

/* Answers {"<what>": rows, "next": key of the last row if there may be more}, unless error says
 * otherwise. Ends the page. */
cb_error cb_page_reply(cb_reply *reply, cb_page *page, const char *what, const char *key,
                       cb_error error);

#endif
