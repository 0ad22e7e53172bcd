/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Counters and durations, and their text form for Prometheus (exposition format 0.0.4).
 *
 * Counting is a few atomic additions. Names and label values are the program's own, never a
 * client's: so the number of series is fixed.
 */
#ifndef CB_BROKER_HTTP_METRICS_H
#define CB_BROKER_HTTP_METRICS_H

#include "base/buf.h"

enum { CB_METRIC_BUCKETS = 14 };

/* Durations in buckets with fixed upper bounds, 500 µs to 10 s. Zero it before use. */
typedef struct cb_histogram {
    _Atomic uint64_t buckets[CB_METRIC_BUCKETS + 1];
    _Atomic uint64_t sum; /* microseconds */
} cb_histogram;

void cb_histogram_add(cb_histogram *histogram, int64_t us);

/* One family: begin writes its HELP and TYPE ("counter", "gauge", "histogram"), then come its
 * values. labels is "" or like route="/v1/taps",status="200" (no braces). */
void cb_metric_begin(cb_buf *out, const char *name, const char *type, const char *help);
void cb_metric_value(cb_buf *out, const char *name, const char *labels, uint64_t value);

/* A whole family of one value without labels. */
void cb_metric_counter(cb_buf *out, const char *name, const char *help, uint64_t value);
void cb_metric_gauge(cb_buf *out, const char *name, const char *help, uint64_t value);

void cb_metric_histogram(cb_buf *out, const char *name, const char *labels,
                         cb_histogram *histogram);

#endif
