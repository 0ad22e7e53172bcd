/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "connectors/host/fields.h"

static const cardbroker_field fields[] = {
    {.name = "url", .type = CARDBROKER_URL, .flags = CARDBROKER_REQUIRED, .help = ""},
    {.name = "more", .type = CARDBROKER_URL, .help = ""},
    {.name = "count",
     .type = CARDBROKER_INTEGER,
     .fallback = "5",
     .least = 1,
     .most = 10,
     .help = ""},
    {.name = "flag", .type = CARDBROKER_BOOLEAN, .fallback = "true", .help = ""},
    {.name = "way", .type = CARDBROKER_CHOICE, .choices = "one|three", .help = ""},
    {.name = "file", .type = CARDBROKER_FILE, .help = ""},
    {.name = "who",
     .type = CARDBROKER_STRING,
     .flags = CARDBROKER_REQUIRED | CARDBROKER_OF_ENROLMENT,
     .help = ""}};
static const cardbroker_description about = {
    .size = sizeof about, .fields = fields, .field_count = sizeof fields / sizeof *fields};

static cb_error read_both(const char *config, const char *enrolment, cb_fields *out)
{
    cb_buf why = CB_BUF(4096);
    cb_error error = cb_fields_read(out, &about, config, enrolment, &why);
    assert_true((error == CB_OK) == (why.len == 0));
    cb_buf_free(&why);
    return error;
}

static void assert_refused(const char *config, const char *enrolment)
{
    cb_fields out;
    assert_int_equal(read_both(config, enrolment, &out), CB_E_ARGUMENT);
    cb_fields_free(&out);
}

static void values_and_fallbacks_are_read(void **state)
{
    cb_fields out;
    (void)state;
    assert_int_equal(read_both("{\"url\":\"https://a.test/x\",\"way\":\"three\",\"count\":10}",
                               "{\"who\":\"me\"}", &out),
                     CB_OK);
    assert_int_equal(cb_fields_find(&out, "count")->number, 10);
    assert_int_equal(cb_fields_find(&out, "flag")->number, 1);
    assert_true(
        cb_bytes_same(cb_buf_bytes(&cb_fields_find(&out, "who")->text), cb_bytes_str("me")));
    assert_null(cb_fields_find(&out, "file"));
    assert_null(cb_fields_find(&out, "nothing"));
    cb_fields_free(&out);
    assert_int_equal(read_both("{\"url\":\"https://a.test/x\"}", NULL, &out), CB_OK);
    cb_fields_free(&out);
}

static void what_the_table_does_not_allow_is_refused(void **state)
{
    (void)state;
    assert_refused("", NULL);
    assert_refused("[]", NULL);
    assert_refused("{}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"url\":\"https://b/\"}", NULL);
    assert_refused("{\"url\":\"http://a/\"}", NULL);
    assert_refused("{\"url\":1}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"other\":1}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"who\":\"me\"}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"count\":0}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"count\":11}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"count\":\"5\"}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"flag\":1}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"way\":\"on\"}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"way\":\"\"}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"way\":\"one|three\"}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"file\":\"relative\"}", NULL);
    assert_refused("{\"url\":\"https://a/\",\"file\":\"/does/not/exist\"}", NULL);
    assert_refused("{\"url\":\"https://a/\"}", "{}");
    assert_refused("{\"url\":\"https://a/\"}", "{\"who\":\"me\",\"url\":\"https://b/\"}");
}

static void a_file_gives_its_content(void **state)
{
    char path[] = "/tmp/cb-fields-XXXXXX", config[128];
    int fd = mkstemp(path);
    cb_fields out;
    (void)state;
    assert_int_equal(write(fd, "content", 7), 7);
    close(fd);
    snprintf(config, sizeof config, "{\"url\":\"https://a/\",\"file\":\"%s\"}", path);
    assert_int_equal(read_both(config, NULL, &out), CB_OK);
    assert_true(
        cb_bytes_same(cb_buf_bytes(&cb_fields_find(&out, "file")->text), cb_bytes_str("content")));
    cb_fields_free(&out);
    unlink(path);
}

static void origins_are_gathered_once(void **state)
{
    cb_fields out;
    (void)state;
    assert_int_equal(
        read_both("{\"url\":\"https://A.test/x\",\"more\":\"https://a.test:443/y\"}", NULL, &out),
        CB_OK);
    assert_int_equal(out.origin_count, 1);
    cb_fields_free(&out);
    assert_int_equal(
        read_both("{\"url\":\"https://a.test/\",\"more\":\"https://a.test:444/\"}", NULL, &out),
        CB_OK);
    assert_int_equal(out.origin_count, 2);
    assert_int_equal(out.origins[1].port, 444);
    cb_fields_free(&out);
}

static void an_origin_is_host_and_port_of_https(void **state)
{
    static const char *const bad[] = {"",
                                      "https://",
                                      "https:///x",
                                      "http://a/",
                                      "ftp://a/",
                                      "https://a:0/",
                                      "https://a:65536/",
                                      "https://a:/",
                                      "https://a:1x/",
                                      "https://user@a/",
                                      "https://a\\@b/",
                                      "https://a/ b",
                                      "https://a/\n",
                                      "https://[::1/",
                                      "https://[x]/",
                                      "https://a#b",
                                      "//a/",
                                      "https://a:99999999999999999999/"};
    cb_origin origin;
    const char *path;
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cb_origin_of(bad[i], &origin, NULL), CB_E_FORMAT);
    assert_int_equal(cb_origin_of("HTTPS://Ex-A_1.test:8443/p?q", &origin, &path), CB_OK);
    assert_string_equal(origin.host, "ex-a_1.test");
    assert_int_equal(origin.port, 8443);
    assert_string_equal(path, "/p?q");
    assert_int_equal(cb_origin_of("https://[::1]", &origin, &path), CB_OK);
    assert_string_equal(origin.host, "::1");
    assert_string_equal(path, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_and_fallbacks_are_read),
                                       cmocka_unit_test(what_the_table_does_not_allow_is_refused),
                                       cmocka_unit_test(a_file_gives_its_content),
                                       cmocka_unit_test(origins_are_gathered_once),
                                       cmocka_unit_test(an_origin_is_host_and_port_of_https)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
