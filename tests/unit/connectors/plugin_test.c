/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "connectors/host/plugin.h"

static cardbroker_field field;
static cardbroker_description about;
static cardbroker_connector table;

static const cardbroker_description *describe(void) { return &about; }

static cardbroker_status authenticate(const cardbroker_host *host, cardbroker_login *login)
{
    (void)host, (void)login;
    return CARDBROKER_OK;
}

static int make_good(void **state)
{
    (void)state;
    field = (cardbroker_field){.name = "url", .type = CARDBROKER_URL, .help = "An address."};
    about = (cardbroker_description){.size = sizeof about,
                                     .name = "x-1",
                                     .title = "X",
                                     .version = "1",
                                     .kinds = CARDBROKER_TOKEN,
                                     .algorithms = CARDBROKER_USES(CARDBROKER_SECRET),
                                     .fields = &field,
                                     .field_count = 1};
    table = (cardbroker_connector){.abi = CARDBROKER_CONNECTOR_ABI,
                                   .size = sizeof table,
                                   .describe = describe,
                                   .authenticate = authenticate};
    return 0;
}

static cb_error check(void)
{
    cb_plugin plugin;
    cb_buf why = CB_BUF(1024);
    cb_error error = cb_plugin_check(&plugin, "x-1", &table, &why);
    assert_true((error == CB_OK) == (why.len == 0));
    cb_buf_free(&why);
    return error;
}

static void assert_refused(void)
{
    assert_int_equal(check(), CB_E_CONFIG);
    make_good(NULL);
    assert_int_equal(check(), CB_OK);
}

static void only_a_complete_table_of_this_version_is_taken(void **state)
{
    (void)state;
    assert_int_equal(check(), CB_OK);
    table.abi++;
    assert_refused();
    table.abi = 0;
    assert_refused();
    table.size--;
    assert_refused();
    table.size = 1 << 20;
    assert_refused();
    table.describe = NULL;
    assert_refused();
    table.authenticate = NULL;
    assert_refused();
}

static void a_description_must_be_whole(void **state)
{
    (void)state;
    about.size--;
    assert_refused();
    about.name = "X";
    assert_refused();
    about.name = "y";
    assert_refused();
    about.name = NULL;
    assert_refused();
    about.title = NULL;
    assert_refused();
    about.kinds = 0;
    assert_refused();
    about.kinds = 16;
    assert_refused();
    about.algorithms = 1;
    assert_refused();
    about.algorithms = 1u << 31;
    assert_refused();
    about.fields = NULL;
    assert_refused();
    about.field_count = 65;
    assert_refused();
    field.name = "";
    assert_refused();
    field.help = NULL;
    assert_refused();
    field.type = CARDBROKER_CHOICE;
    assert_refused();
    field.type = (cardbroker_type)7;
    assert_refused();
    field.flags = CARDBROKER_OF_ENROLMENT;
    assert_refused();
    field.flags = 4;
    assert_refused();
}

static void a_file_without_the_symbol_is_refused(void **state)
{
    cb_plugin plugin;
    cb_buf why = CB_BUF(1024);
    (void)state;
    assert_int_equal(cb_plugin_load(&plugin, "x", "relative.so", &why), CB_E_CONFIG);
    assert_int_equal(cb_plugin_load(&plugin, "x", "/does/not/exist.so", &why), CB_E_CONFIG);
    assert_int_equal(cb_plugin_load(&plugin, "x", "/lib/x86_64-linux-gnu/libm.so.6", &why),
                     CB_E_CONFIG);
    cb_buf_free(&why);
}

static void a_description_becomes_json(void **state)
{
    cb_plugin plugin;
    cb_buf why = CB_BUF(1024), json = CB_BUF(4096);
    (void)state;
    assert_int_equal(cb_plugin_check(&plugin, "x-1", &table, &why), CB_OK);
    assert_int_equal(cb_plugin_describe(&plugin, &json), CB_OK);
    assert_string_equal(
        cb_buf_cstr(&json),
        "{\"name\":\"x-1\",\"title\":\"X\",\"version\":\"1\",\"kinds\":[\"token\"],"
        "\"algorithms\":[\"secret\"],\"fields\":[{\"name\":\"url\",\"type\":\"url\","
        "\"required\":false,\"of\":\"service\",\"help\":\"An address.\"}]}");
    cb_buf_free(&why);
    cb_buf_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_a_complete_table_of_this_version_is_taken, make_good),
        cmocka_unit_test_setup(a_description_must_be_whole, make_good),
        cmocka_unit_test(a_file_without_the_symbol_is_refused),
        cmocka_unit_test_setup(a_description_becomes_json, make_good)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
