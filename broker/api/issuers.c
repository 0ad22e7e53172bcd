/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/issuers.h"

#include "broker/api/rows.h"
#include "broker/http/metrics.h"

static json_t *list_json(const cb_status_list *list)
{
    json_t *until = list->known ? cb_json_time(list->until * 1000000) : json_null();
    return json_pack("{ss, ss, sb, sb, so, sI, ss}", "issuer", list->issuer, "url", list->url,
                     "known", (int)list->known, "fresh", (int)list->fresh, "until", until,
                     "entries", (json_int_t)list->entries, "state", cb_error_code(list->error));
}

json_t *cb_issuers_json(cb_status *status)
{
    cb_status_list list;
    json_t *all = json_array();
    for (size_t i = 0; all && status && cb_status_list_at(status, i, &list); i++) {
        if (json_array_append_new(all, list_json(&list)) != 0) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}

static void put_outcomes(const char *name, const char *help, uint64_t good, uint64_t failed,
                         cb_buf *out)
{
    cb_metric_begin(out, name, "counter", help);
    cb_metric_value(out, name, "outcome=\"ok\"", good);
    cb_metric_value(out, name, "outcome=\"failed\"", failed);
}

static void put_lists(cb_status *status, cb_buf *out)
{
    static const char name[] = "cardbroker_issuer_lists";
    cb_status_list list;
    uint64_t fresh = 0, all = 0;
    for (; cb_status_list_at(status, all, &list); all++)
        fresh += list.fresh;
    cb_metric_begin(out, name, "gauge", "Revocation lists of issuers, by whether they count now.");
    cb_metric_value(out, name, "fresh=\"yes\"", fresh);
    cb_metric_value(out, name, "fresh=\"no\"", all - fresh);
}

void cb_issuers_metrics(cb_status *status, cb_buf *out)
{
    static const char questions[] = "cardbroker_issuer_questions_total";
    static const char waits[] = "cardbroker_issuer_waits_total";
    cb_status_counts counts;
    if (!status)
        return;
    cb_status_count(status, &counts);
    cb_metric_begin(out, questions, "counter",
                    "Questions whether an issuer has revoked a certificate, by answer.");
    cb_metric_value(out, questions, "answer=\"good\"", counts.good);
    cb_metric_value(out, questions, "answer=\"revoked\"", counts.revoked);
    cb_metric_value(out, questions, "answer=\"unknown\"", counts.unknown);
    cb_metric_counter(out, waits, "Of these, those that waited for a responder.", counts.waited);
    put_outcomes("cardbroker_issuer_list_fetches_total", "Fetches of lists, by outcome.",
                 counts.lists_fetched, counts.list_failures, out);
    put_outcomes("cardbroker_issuer_answer_fetches_total", "Questions to responders, by outcome.",
                 counts.answers_fetched, counts.answer_failures, out);
    put_lists(status, out);
}
