/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static const int64_t bounds_us[CB_METRIC_BUCKETS] = {
    500,    1000,   2500,   5000,    10000,   25000,   50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

void cb_histogram_add(cb_histogram *histogram, int64_t us)
{
    unsigned i = 0;
    while (i < CB_METRIC_BUCKETS && us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, (uint64_t)(us > 0 ? us : 0), memory_order_relaxed);
}

void cb_metric_begin(cb_buf *out, const char *name, const char *type, const char *help)
{
    cb_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void cb_metric_value(cb_buf *out, const char *name, const char *labels, uint64_t value)
{
    if (labels[0])
        cb_buf_printf(out, "%s{%s} %" PRIu64 "\n", name, labels, value);
    else
        cb_buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

void cb_metric_counter(cb_buf *out, const char *name, const char *help, uint64_t value)
{
    cb_metric_begin(out, name, "counter", help);
    cb_metric_value(out, name, "", value);
}

void cb_metric_gauge(cb_buf *out, const char *name, const char *help, uint64_t value)
{
    cb_metric_begin(out, name, "gauge", help);
    cb_metric_value(out, name, "", value);
}

static void put_bucket(cb_buf *out, const char *name, const char *labels, const char *bound,
                       uint64_t value)
{
    cb_buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, labels[0] ? "," : "",
                  bound, value);
}

static void put_seconds(cb_buf *out, const char *name, const char *labels, uint64_t us)
{
    const char *open = labels[0] ? "{" : "";
    const char *shut = labels[0] ? "}" : "";
    cb_buf_printf(out, "%s_sum%s%s%s %" PRIu64 ".%06" PRIu64 "\n", name, open, labels, shut,
                  us / 1000000, us % 1000000);
}

void cb_metric_histogram(cb_buf *out, const char *name, const char *labels, cb_histogram *histogram)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < CB_METRIC_BUCKETS; i++) {
        char bound[32];
        snprintf(bound, sizeof bound, "%" PRId64 ".%04" PRId64, bounds_us[i] / 1000000,
                 bounds_us[i] % 1000000 / 100);
        total += atomic_load(&histogram->buckets[i]);
        put_bucket(out, name, labels, bound, total);
    }
    total += atomic_load(&histogram->buckets[CB_METRIC_BUCKETS]);
    put_bucket(out, name, labels, "+Inf", total);
    put_seconds(out, name, labels, atomic_load(&histogram->sum));
    cb_buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, labels[0] ? "{" : "", labels,
                  labels[0] ? "}" : "", total);
}
