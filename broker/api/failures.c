/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What failed: of one card, holder or terminal, by day, and as metrics.
 */
#include "broker/core/failures.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"
#include "broker/http/metrics.h"

#define DAY (24 * 3600 * CB_SECOND)

enum { KEY_MAX = 80 };

static const char *const fields[CB_FAILURE_KINDS] = {NULL, "wrong_pins", "failed_proofs",
                                                     "told_wrong_pins", "wrong_passwords"};

static int set_counts(json_t *json, const uint64_t count[CB_FAILURE_KINDS])
{
    int failed = json ? 0 : -1;
    for (int i = 1; i < CB_FAILURE_KINDS && !failed; i++)
        failed = json_object_set_new(json, fields[i], json_integer((json_int_t)count[i]));
    return failed;
}

static json_t *row_json(const cb_api *api, uint8_t of, const cb_failure_row *row)
{
    cb_failure_limits limits = cb_taps_limits(api->taps);
    bool slow = of == CB_OF_TERMINAL && cb_failures_slow(row, &limits, cb_clock_wall_us());
    json_t *json = json_pack("{sI, sI, so, sb}", "wrong_pins_in_a_row", (json_int_t)row->pins_row,
                             "failed_proofs_in_a_row", (json_int_t)row->proofs_row, "last",
                             row->last ? cb_json_time(row->last) : json_null(), "slowed", slow);
    if (set_counts(json, row->count) != 0) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

cb_error cb_api_reply_failing(cb_request *request, cb_reply *reply, json_t *json, uint8_t of,
                              const cb_id *id)
{
    cb_failure_row row;
    const cb_api *api = cb_api_of(request);
    cb_error error = json ? cb_failures_get(api->store, of, id, &row) : CB_E_MEMORY;
    if (!error && json_object_set_new(json, "failures", row_json(api, of, &row)) != 0)
        error = CB_E_MEMORY;
    if (error) {
        json_decref(json);
        return error;
    }
    return cb_reply_json(reply, 200, json);
}

/* ---- By day ---- */

/* Of a row, for the page after it: "<day since 1970>.<kind>.<id>". */
static void put_key(char key[KEY_MAX], const cb_failure_day *day)
{
    char id[CB_ID_TEXT];
    cb_id_text(&day->id, id);
    snprintf(key, KEY_MAX, "%lld.%s.%s", (long long)day->day, cb_failing_name(day->of), id);
}

static cb_error read_key(cb_reply *reply, const char *key, cb_failure_day *out)
{
    char kind[KEY_MAX], *rest;
    errno = 0;
    out->day = strtoll(key, &rest, 10);
    bool good = isdigit((unsigned char)*key) && errno == 0 && *rest == '.';
    size_t len = good ? strcspn(++rest, ".") : 0;
    good = good && len < sizeof kind && rest[len] == '.' &&
           cb_id_parse(rest + len + 1, &out->id) == CB_OK;
    if (good) {
        memcpy(kind, rest, len);
        kind[len] = 0;
        out->of = cb_failing_named(kind);
    }
    return good && out->of ? CB_OK
                           : cb_reply_fail(reply, CB_E_ARGUMENT, "after must be the key of a row.");
}

static cb_error add_day(void *page, const cb_failure_day *day)
{
    char key[KEY_MAX], text[CB_TIME_TEXT];
    put_key(key, day);
    cb_time_text(day->day * DAY, text);
    json_t *json =
        json_pack("{ss, ss%, ss, so}", "key", key, "day", text, (size_t)CB_DAY_TEXT, "kind",
                  cb_failing_name(day->of), "id", cb_json_id(&day->id));
    if (set_counts(json, day->count) != 0) {
        json_decref(json);
        json = NULL;
    }
    return cb_page_add(page, json);
}

cb_error cb_api_report_failures(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_failure_day after = {.of = 0};
    const char *kind = NULL, *from = NULL, *to = NULL;
    int64_t begin = 0, end = 0, least = 1;
    const cb_field own[] = {{"kind", CB_FIELD_TEXT, false, 16, &kind},
                            {"from", CB_FIELD_TEXT, false, CB_DAY_TEXT, &from},
                            {"to", CB_FIELD_TEXT, false, CB_DAY_TEXT, &to},
                            {"least", CB_FIELD_NUMBER, false, INT32_MAX, &least}};
    cb_error error = cb_page_read(request, reply, true, own, 4, &page);
    if (!error)
        error = cb_api_day(reply, from, &begin);
    if (!error)
        error = cb_api_day(reply, to, &end);
    uint8_t of = kind ? cb_failing_named(kind) : 0;
    if (!error && kind && of == 0)
        error = cb_reply_fail(reply, CB_E_ARGUMENT, "kind must be card, holder or terminal.");
    if (!error && *page.name)
        error = read_key(reply, page.name, &after);
    cb_failure_query query = {.of = of,
                              .from = from ? begin / DAY - 1 : 0,
                              .to = to ? end / DAY - 1 : INT32_MAX,
                              .least = (uint64_t)least,
                              .after = after.of ? &after : NULL,
                              .limit = (unsigned)page.limit};
    if (!error)
        error = cb_failures_report(cb_api_of(request)->store, &query, add_day, &page);
    return cb_page_reply(reply, &page, "failures", "key", error);
}

/* ---- Metrics ---- */

void cb_failures_metrics(cb_taps *taps, cb_buf *out)
{
    char label[48];
    cb_taps_failures all = cb_taps_failed(taps);
    cb_metric_begin(out, "cardbroker_failures_total", "counter",
                    "What failed: wrong_pin as cards have signed it, told_pin as terminals say.");
    for (uint8_t i = 1; i < CB_FAILURE_KINDS; i++) {
        snprintf(label, sizeof label, "kind=\"%s\"", cb_failure_name(i));
        cb_metric_value(out, "cardbroker_failures_total", label, all.failed[i]);
    }
    cb_metric_counter(out, "cardbroker_cards_suspended_total",
                      "Cards that were suspended after too many wrong PINs, or for a copy.",
                      all.suspended);
    cb_metric_counter(out, "cardbroker_terminals_slowed_total",
                      "How often a terminal was slowed down, for too much failed there.",
                      all.slowed);
    cb_metric_counter(out, "cardbroker_terminals_stopped_total",
                      "Terminals that were de-activated after too many failed proofs.",
                      all.stopped);
    cb_metric_counter(out, "cardbroker_failures_noted_total",
                      "How often much was claimed of a card or holder in a day.", all.noted);
}
