/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/unit/base/test.h"

static char line[9000];

/* What one call writes to standard error. */
#define CAPTURE(call)                                                                              \
    do {                                                                                           \
        FILE *to = tmpfile();                                                                      \
        int saved = dup(STDERR_FILENO);                                                            \
        assert_non_null(to);                                                                       \
        dup2(fileno(to), STDERR_FILENO);                                                           \
        call;                                                                                      \
        dup2(saved, STDERR_FILENO);                                                                \
        close(saved);                                                                              \
        rewind(to);                                                                                \
        line[fread(line, 1, sizeof line - 1, to)] = 0;                                             \
        fclose(to);                                                                                \
    } while (0)

static void a_line_is_one_json_object_with_the_request(void **state)
{
    (void)state;
    cb_id request;
    assert_int_equal(cb_id_parse("0189f7c2-0000-7000-8000-00000000000a", &request), CB_OK);
    cb_log_init("prog", CB_LOG_INFO);
    cb_log_set_request(&request);
    CAPTURE(cb_log(CB_LOG_INFO, "card.seen", "A card.", "card", "x", "none", (char *)NULL, "n", "1",
                   NULL));
    cb_log_set_request(NULL);
    assert_non_null(strstr(line, "\"program\":\"prog\""));
    assert_non_null(strstr(line, "\"request\":\"0189f7c2-0000-7000-8000-00000000000a\""));
    assert_non_null(strstr(line, "\"event\":\"card.seen\",\"message\":\"A card.\",\"card\":\"x\","
                                 "\"n\":\"1\"}\n"));
    assert_null(strstr(line, "none"));
}

static void values_cannot_forge_a_line(void **state)
{
    (void)state;
    CAPTURE(cb_log(CB_LOG_ERROR, "e", "m", "v", "a\"}\n{\"b\\\x7f", NULL));
    assert_non_null(strstr(line, "\"v\":\"a\\\"}\\u000a{\\\"b\\\\\\u007f\"}\n"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    cb_log_init("prog", CB_LOG_WARNING);
    CAPTURE(cb_log(CB_LOG_INFO, "e", "m", NULL));
    assert_string_equal(line, "");
    cb_log_init("prog", CB_LOG_INFO);
}

static void a_failure_names_its_code(void **state)
{
    (void)state;
    CAPTURE(assert_int_equal(cb_log_failure("tap.failed", CB_E_CARD_PROOF, NULL), CB_E_CARD_PROOF));
    assert_non_null(strstr(line, "\"error\":\"card.proof\""));
}

static void a_very_long_value_is_cut(void **state)
{
    (void)state;
    char *long_text = malloc(100001);
    assert_non_null(long_text);
    memset(long_text, 'x', 100000);
    long_text[100000] = 0;
    CAPTURE(cb_log(CB_LOG_INFO, "e", "m", "v", long_text, NULL));
    assert_int_equal(line[strlen(line) - 2], '}');
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_one_json_object_with_the_request),
        cmocka_unit_test(values_cannot_forge_a_line),
        cmocka_unit_test(what_is_below_the_level_is_not_written),
        cmocka_unit_test(a_failure_names_its_code),
        cmocka_unit_test(a_very_long_value_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
