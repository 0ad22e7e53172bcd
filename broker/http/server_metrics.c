/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "broker/http/call.h"

enum { LABELS = 160 };

static const struct {
    cb_crew crew;
    const char *label;
} crews[] = {
    {CB_CREW_COMMON, "crew=\"common\""},
    {CB_CREW_ADMINISTRATORS, "crew=\"administrators\""},
    {CB_CREW_RESERVED, "crew=\"reserved\""},
    {CB_CREW_HEALTH, "crew=\"health\""},
};

static void name_series(const cb_server *server, size_t i, char labels[LABELS])
{
    const cb_server_config *config = &server->config;
    if (i < config->route_count)
        snprintf(labels, LABELS, "method=\"%s\",route=\"%s\",role=\"%s\"", config->routes[i].method,
                 config->routes[i].pattern,
                 config->routes[i].role == CB_ROLE_TERMINAL        ? "terminal"
                 : config->routes[i].role == CB_ROLE_ADMINISTRATOR ? "administrator"
                                                                   : "anybody");
    else
        snprintf(labels, LABELS, "method=\"\",route=\"%s\",role=\"\"",
                 i == config->route_count ? "none" : "stream");
}

static bool was_used(cb_series *series)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < CB_STATUS_CLASSES; i++)
        all += atomic_load(&series->requests[i]);
    return all > 0;
}

static void put_requests(cb_server *server, cb_buf *out)
{
    char labels[LABELS];
    char with_status[LABELS + 32];
    cb_metric_begin(out, "cardbroker_http_requests_total", "counter",
                    "Requests answered, by route and class of status.");
    for (size_t i = 0; i < server->config.route_count + 2; i++) {
        name_series(server, i, labels);
        for (unsigned digit = 1; digit < CB_STATUS_CLASSES; digit++) {
            uint64_t count = atomic_load(&server->series[i].requests[digit]);
            snprintf(with_status, sizeof with_status, "%s,status=\"%uxx\"", labels, digit);
            if (count)
                cb_metric_value(out, "cardbroker_http_requests_total", with_status, count);
        }
    }
}

static void put_durations(cb_server *server, cb_buf *out)
{
    char labels[LABELS];
    cb_metric_begin(out, "cardbroker_http_duration_seconds", "histogram",
                    "From the complete request to its written answer, by route.");
    for (size_t i = 0; i < server->config.route_count + 2; i++) {
        name_series(server, i, labels);
        if (was_used(&server->series[i]))
            cb_metric_histogram(out, "cardbroker_http_duration_seconds", labels,
                                &server->series[i].durations);
    }
}

void cb_server_metrics(cb_server *server, cb_buf *out)
{
    pthread_mutex_lock(&server->lock);
    unsigned streams = server->stream_count;
    pthread_mutex_unlock(&server->lock);
    put_requests(server, out);
    put_durations(server, out);
    cb_metric_begin(out, "cardbroker_http_busy", "gauge", "Requests under way.");
    cb_metric_value(out, "cardbroker_http_busy", "", cb_server_busy(server));
    cb_metric_begin(out, "cardbroker_http_queue", "gauge", "Requests that wait for a worker.");
    for (size_t i = 0; i < sizeof crews / sizeof *crews; i++)
        cb_metric_value(out, "cardbroker_http_queue", crews[i].label,
                        cb_workers_waiting(server->crews[crews[i].crew]));
    cb_metric_begin(out, "cardbroker_http_refused_total", "counter",
                    "Requests refused because the queue was full.");
    cb_metric_value(out, "cardbroker_http_refused_total", "", atomic_load(&server->refused_busy));
    cb_metric_begin(out, "cardbroker_http_streams", "gauge", "Relayed requests under way.");
    cb_metric_value(out, "cardbroker_http_streams", "", streams);
}
