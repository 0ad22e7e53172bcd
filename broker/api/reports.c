/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/report.h"

#include "base/clock.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"

#define DAY (24 * 3600 * CB_SECOND)

static json_t *day_json(int64_t day)
{
    char text[CB_TIME_TEXT];
    cb_time_text(day * DAY, text);
    return json_stringn(text, CB_DAY_TEXT);
}

static cb_error add_issued(void *page, const cb_issue_row *of, uint64_t cards)
{
    return cb_page_add(page, json_pack("{so, so, ss, ss, sI}", "first", cb_json_id(&of->card), "day",
                                       day_json(of->day), "operator", of->operator, "station",
                                       of->station, "cards", (json_int_t)cards));
}

cb_error cb_api_report_issued(cb_request *request, cb_reply *reply)
{
    cb_page page;
    const char *from = NULL, *to = NULL;
    int64_t begin = 0, end = 0;
    const cb_field own[] = {{"from", CB_FIELD_TEXT, false, CB_DAY_TEXT, &from},
                            {"to", CB_FIELD_TEXT, false, CB_DAY_TEXT, &to}};
    cb_error error = cb_page_read(request, reply, false, own, 2, &page);
    if (!error)
        error = cb_api_day(reply, from, &begin);
    if (!error)
        error = cb_api_day(reply, to, &end);
    if (!error)
        error = cb_report_issued(cb_api_of(request)->store, from ? begin / DAY - 1 : 0,
                                 to ? end / DAY - 1 : INT32_MAX, &page.after, (unsigned)page.limit,
                                 add_issued, &page);
    return cb_page_reply(reply, &page, "issued", "first", error);
}

static cb_error add_issue(void *page, const cb_issue_row *i)
{
    return cb_page_add(page,
                       json_pack("{so, so, ss, ss, ss, ss, so, so}", "card", cb_json_id(&i->card),
                                 "day", day_json(i->day), "operator", i->operator, "station",
                                 i->station, "manufacturer", i->manufacturer, "serial", i->serial,
                                 "application", cb_json_id_or_null(&i->application), "replaces",
                                 cb_json_id_or_null(&i->replaces)));
}

cb_error cb_api_report_issues(cb_request *request, cb_reply *reply)
{
    cb_page page;
    int64_t without = 0;
    const cb_field own[] = {{"without_application", CB_FIELD_NUMBER, false, 1, &without}};
    cb_error error = cb_page_read(request, reply, false, own, 1, &page);
    if (!error)
        error = cb_report_issues(cb_api_of(request)->store, without == 1, &page.after,
                                 (unsigned)page.limit, add_issue, &page);
    return cb_page_reply(reply, &page, "issues", "card", error);
}

static cb_error add_card(void *page, const cb_card *card)
{
    return cb_page_add(page, cb_json_card(card));
}

cb_error cb_api_report_outstanding(cb_request *request, cb_reply *reply)
{
    cb_page page;
    const char *state = NULL;
    const cb_field own[] = {{"state", CB_FIELD_TEXT, false, 16, &state}};
    cb_error error = cb_page_read(request, reply, false, own, 1, &page);
    if (!error)
        error = cb_report_outstanding(cb_api_of(request)->store, state, &page.after,
                                      (unsigned)page.limit, add_card, &page);
    return cb_page_reply(reply, &page, "cards", "id", error);
}
