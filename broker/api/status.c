/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "broker/api/api.h"
#include "broker/api/issuers.h"
#include "broker/api/ready.h"
#include "broker/api/rows.h"
#include "broker/http/metrics.h"

cb_error cb_api_live(cb_request *request, cb_reply *reply)
{
    (void)request;
    return cb_reply_json(reply, 200, json_pack("{sb}", "live", 1));
}

/* What a tap would fail with now. */
static cb_error readiness(cb_api *api, cb_store_state *store, cb_watch_view *view)
{
    cb_watch_see(api->watch, view);
    cb_error error = cb_store_status(api->store, store);
    if (error && !store->error) /* what is open could not be read, the rest is known */
        store->error = error;
    return cb_api_readiness(store, view);
}

cb_error cb_api_ready(cb_request *request, cb_reply *reply)
{
    cb_store_state store;
    cb_watch_view view;
    cb_error error = readiness(cb_api_of(request), &store, &view);
    return error ? error : cb_reply_json(reply, 200, json_pack("{sb}", "ready", 1));
}

static json_t *store_json(const cb_store_state *store)
{
    return json_pack(
        "{ss, ss, sI, sI, sI, sI, sI, sI, si, sI, sI, sI, sI}", "state",
        cb_error_code(store->error), "signer", cb_error_code(store->signer), "leaves",
        (json_int_t)store->leaves, "leaves_unsigned", (json_int_t)store->leaves_unsigned,
        "leaves_found", (json_int_t)store->leaves_found, "leaves_checkpoint",
        (json_int_t)store->leaves_checkpoint, "leaves_checked", (json_int_t)store->leaves_checked,
        "feed_number", (json_int_t)store->feed_number, "queued", (int)store->queued, "groups",
        (json_int_t)store->groups, "changes", (json_int_t)store->changes, "open_intents",
        (json_int_t)store->open_intents, "open_sessions", (json_int_t)store->open_sessions);
}

/* What more there is to say of the key service only managers may ask, at manage.sock. */
static json_t *hsm_json(const cb_watch_view *view)
{
    return json_pack("{ss, ss}", "state", cb_error_code(view->hsm), "feed",
                     cb_error_code(view->feed));
}

static json_t *http_json(cb_api *api)
{
    cb_acceptor_state state = {0};
    cb_acceptor_status(api->acceptor, &state);
    return json_pack("{si, si, sI, sI, si}", "connections", (int)state.connections, "handshakes",
                     (int)state.handshakes, "accepted", (json_int_t)state.accepted, "refused",
                     (json_int_t)state.refused, "requests", (int)cb_server_busy(api->server));
}

/* In the words of the configuration. */
static json_t *rules_json(const cb_card_rules *rules)
{
    static const char *const stock[] = {[CB_STOCK_NOT_DEMANDED] = "optional",
                                        [CB_STOCK_OF_NATIVE] = "native",
                                        [CB_STOCK_OF_ALL] = "required"};
    return json_pack("{ss, ss}", "applications", rules->applications ? "required" : "optional",
                     "stock", stock[rules->stock]);
}

cb_error cb_api_status(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    cb_store_state store;
    cb_watch_view view;
    cb_error error = readiness(api, &store, &view);
    if (store.error == CB_E_MEMORY) /* rather no numbers than wrong ones */
        return store.error;
    return cb_reply_json(
        reply, 200,
        json_pack("{sb, ss, ss, so, so, so, so, s{ss}, so, so, si, si}", "ready", !error, "state",
                  cb_error_code(error), "version", CB_VERSION, "started",
                  cb_json_time(api->started), "card_rules", rules_json(&api->rules), "store",
                  store_json(&store), "hsm", hsm_json(&view), "connectors", "state",
                  cb_error_code(view.connectors), "issuer_lists", cb_issuers_json(api->status),
                  "http", http_json(api), "taps", (int)cb_taps_count(api->taps), "sessions",
                  (int)cb_sessions_count(api->sessions)));
}

/* ---- Metrics ---- */

static void put_taps(cb_api *api, cb_buf *out)
{
    char label[96];
    cb_metric_begin(out, "cardbroker_taps_total", "counter",
                    "Taps that ended, by outcome: ok is an accept, the rest are error codes.");
    for (unsigned i = 0; i < CB_ERROR_COUNT; i++) {
        uint64_t count = atomic_load(&api->outcomes[i]);
        snprintf(label, sizeof label, "outcome=\"%s\"", cb_error_code((cb_error)i));
        if (count || i == CB_OK)
            cb_metric_value(out, "cardbroker_taps_total", label, count);
    }
    cb_metric_gauge(out, "cardbroker_taps", "Taps under way.", cb_taps_count(api->taps));
    cb_metric_gauge(out, "cardbroker_sessions", "Sessions that the broker can cut.",
                    cb_sessions_count(api->sessions));
}

static void put_store(const cb_store_state *store, cb_buf *out)
{
    cb_metric_gauge(out, "cardbroker_store_up", "1 when the database takes changes.",
                    store->error == CB_OK);
    cb_metric_gauge(out, "cardbroker_store_queued", "Changes that wait.", store->queued);
    cb_metric_counter(out, "cardbroker_store_groups_total", "Transactions committed.",
                      store->groups);
    cb_metric_counter(out, "cardbroker_store_changes_total", "Changes in them.", store->changes);
    cb_metric_counter(out, "cardbroker_evidence_leaves_total", "Leaves of the evidence log.",
                      store->leaves);
    cb_metric_gauge(out, "cardbroker_evidence_unsigned",
                    "Leaves that are not under a signed head yet.", store->leaves_unsigned);
    cb_metric_gauge(out, "cardbroker_evidence_unread",
                    "Leaves that were there at the start and were not read again yet.",
                    store->leaves_found - store->leaves_checked);
    cb_metric_counter(out, "cardbroker_revocations_total", "Entries of the revocation feed.",
                      store->feed_number);
}

static void put_connections(cb_api *api, cb_buf *out)
{
    cb_acceptor_state state;
    cb_acceptor_status(api->acceptor, &state);
    cb_metric_gauge(out, "cardbroker_connections", "TLS connections open.", state.connections);
    cb_metric_gauge(out, "cardbroker_handshakes", "TLS handshakes under way.", state.handshakes);
    cb_metric_counter(out, "cardbroker_connections_total", "Connections accepted.", state.accepted);
    cb_metric_counter(out, "cardbroker_connections_refused_total", "Connections over a limit.",
                      state.refused);
    cb_metric_counter(out, "cardbroker_handshakes_total", "TLS handshakes done.",
                      state.handshakes_done);
    cb_metric_counter(out, "cardbroker_handshakes_failed_total", "TLS handshakes that failed.",
                      state.handshakes_failed);
}

cb_error cb_api_metrics(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    cb_store_state store;
    cb_watch_view view;
    cb_buf *out = &reply->body;
    cb_error error = readiness(api, &store, &view);
    cb_metric_gauge(out, "cardbroker_ready", "1 when taps can succeed.", error == CB_OK);
    cb_metric_gauge(out, "cardbroker_hsm_up", "1 when the key service answers.", view.hsm == CB_OK);
    cb_metric_gauge(out, "cardbroker_connectors_up", "1 when the connectors answer.",
                    view.connectors == CB_OK);
    put_taps(api, out);
    cb_failures_metrics(api->taps, out);
    put_store(&store, out);
    put_connections(api, out);
    cb_issuers_metrics(api->status, out);
    cb_server_metrics(api->server, out);
    reply->type = "text/plain; version=0.0.4; charset=utf-8";
    return cb_buf_error(out);
}
