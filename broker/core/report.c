/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/report.h"

typedef struct report {
    int64_t from, to;
    bool without_application;
    const char *state;
    const cb_id *after;
    unsigned limit;
    cb_issued_visitor issued;
    cb_issue_visitor issue;
    cb_card_visitor card;
    void *context;
} report;

static cb_error run_issued(cb_txn *txn, void *context)
{
    const report *r = context;
    return cb_row_issued_each(txn, r->from, r->to, r->after, r->limit, r->issued, r->context);
}

cb_error cb_report_issued(cb_store *store, int64_t from, int64_t to, const cb_id *after,
                          unsigned limit, cb_issued_visitor each, void *context)
{
    report r = {
        .from = from, .to = to, .after = after, .limit = limit, .issued = each, .context = context};
    return cb_store_read(store, run_issued, &r);
}

static cb_error run_issues(cb_txn *txn, void *context)
{
    const report *r = context;
    return cb_row_issue_each(txn, r->without_application, r->after, r->limit, r->issue, r->context);
}

cb_error cb_report_issues(cb_store *store, bool without_application, const cb_id *after,
                          unsigned limit, cb_issue_visitor each, void *context)
{
    report r = {.without_application = without_application,
                .after = after,
                .limit = limit,
                .issue = each,
                .context = context};
    return cb_store_read(store, run_issues, &r);
}

static cb_error run_outstanding(cb_txn *txn, void *context)
{
    const report *r = context;
    return cb_row_outstanding_each(txn, r->state, r->after, r->limit, r->card, r->context);
}

cb_error cb_report_outstanding(cb_store *store, const char *state, const cb_id *after,
                               unsigned limit, cb_card_visitor each, void *context)
{
    report r = {.state = state, .after = after, .limit = limit, .card = each, .context = context};
    return cb_store_read(store, run_outstanding, &r);
}
