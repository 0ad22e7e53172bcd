/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/metrics.h"

#include <string.h>

#include "tests/unit/base/test.h"

static void a_histogram_is_cumulative(void **state)
{
    (void)state;
    static cb_histogram histogram;
    cb_buf out = CB_BUF(8192);
    cb_histogram_add(&histogram, 500);
    cb_histogram_add(&histogram, 501);
    cb_histogram_add(&histogram, 20000000);
    cb_histogram_add(&histogram, -5);
    cb_metric_histogram(&out, "d", "route=\"/a\"", &histogram);
    const char *text = cb_buf_cstr(&out);
    assert_non_null(strstr(text, "d_bucket{route=\"/a\",le=\"0.0005\"} 2\n"));
    assert_non_null(strstr(text, "d_bucket{route=\"/a\",le=\"0.0010\"} 3\n"));
    assert_non_null(strstr(text, "d_bucket{route=\"/a\",le=\"10.0000\"} 3\n"));
    assert_non_null(strstr(text, "d_bucket{route=\"/a\",le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(text, "d_sum{route=\"/a\"} 20.001001\n"));
    assert_non_null(strstr(text, "d_count{route=\"/a\"} 4\n"));
    cb_buf_free(&out);
}

static void values_are_written_with_and_without_labels(void **state)
{
    (void)state;
    cb_buf out = CB_BUF(8192);
    cb_metric_begin(&out, "n", "gauge", "What it is.");
    cb_metric_value(&out, "n", "", 1);
    cb_metric_value(&out, "n", "a=\"b\"", UINT64_MAX);
    assert_string_equal(cb_buf_cstr(&out), "# HELP n What it is.\n# TYPE n gauge\nn 1\n"
                                           "n{a=\"b\"} 18446744073709551615\n");
    cb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_histogram_is_cumulative),
        cmocka_unit_test(values_are_written_with_and_without_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
