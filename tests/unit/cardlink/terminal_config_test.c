/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A wrong configuration is refused with a reason; an identity is made once, kept to its owner, and checked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "cardlink/terminal/config.h"
#include "cardlink/terminal/identity.h"

#define GOOD "broker = \"https://b.example:8443\"\nca = \"/c.pem\"\n"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cardlink-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"conf", "t.pem", "t.key", "u.pem", "u.key"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static const char *in_folder(const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", folder, name);
    return out;
}

static cb_error load(const char *text, cb_terminal_config *config, cb_buf *why)
{
    char path[128];
    assert_int_equal(cb_file_replace(in_folder("conf", path), cb_bytes_str(text), 0600), CB_OK);
    return cb_terminal_config_load(path, config, why);
}

static void a_good_configuration_is_read(void **state)
{
    (void)state;
    cb_terminal_config config;
    cb_buf why = CB_BUF(1024);
    assert_int_equal(load(GOOD "service = \"tax\"\ntimeout = 3\nreader \"Gate\" { service = \"bus\" }\n"
                               "reader \"Gate 2\" { text = \"x\" }\n",
                          &config, &why),
                     CB_OK);
    assert_string_equal(config.broker, "https://b.example:8443");
    assert_int_equal(config.timeout, 3 * CB_SECOND);
    assert_true(config.prefetch);
    assert_ptr_equal(config.kind, &cb_reader_pcsc);
    assert_string_equal(cb_terminal_config_reader(&config, "Other").service, "tax");
    assert_string_equal(cb_terminal_config_reader(&config, "Gate 1").service, "bus");
    assert_string_equal(cb_terminal_config_reader(&config, "Gate 2 00").service, "tax");
    assert_string_equal(cb_terminal_config_reader(&config, "Gate 2 00").text, "x");
    cb_terminal_config_free(&config);
    cb_buf_free(&why);
}

static void each_mistake_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "broker"},
        {"broker = \"http://b\"\nca = \"/c\"", "broker"},
        {"broker = \"https://\"\nca = \"/c\"", "broker"},
        {"broker = \"https://b/v1\"\nca = \"/c\"", "broker"},
        {"broker = \"https://user@b\"\nca = \"/c\"", "broker"},
        {"broker = \"https://b\"", "ca:"},
        {"broker = \"https://b\"\nca = \"c.pem\"", "ca:"},
        {GOOD "key = \"k\"", "key"},
        {GOOD "readers = \"usb\"", "readers"},
        {GOOD "service = \"Tax\"", "service"},
        {GOOD "reader \"x\" { service = \"-\" }", "service"},
        {GOOD "timeout = 0", "timeout"},
        {GOOD "card_timeout = 1000", "card_timeout"},
        {GOOD "prefetch_for = -1", "prefetch_for"},
        {GOOD "log_level = \"loud\"", "log_level"},
        {GOOD "pin = \"1234\"", ":3:"},
        {GOOD "atr \"3b\" { profile = \"native\" }", "atr, number 1: give an ATR of 2 to 33 bytes"},
        {GOOD "atr \"3b:80\" { profile = \"native\" }", "in hexadecimal"},
        {GOOD
         "atr \"3b80\" { profile = \"native\" }\natr \"3b81\" { mask = \"ff\" profile = native }",
         "atr, number 2: mask: give as many bytes as the ATR has"},
        {GOOD "atr \"3b80\" { mask = \"0000\" profile = native }", "not all of them zero"},
        {GOOD "atr \"3b80\" { }", "profile: give one that is named in profiles"},
        {GOOD "atr \"3b80\" { profile = \"piv\" }", "profile: give one that is named in profiles"},
        {GOOD "atr \"3b80\" { profile = \"password\" }", "profile: give one"},
        {GOOD "atr \"3b80\" { first = \"native\" }", ":3:"},
        {GOOD "atr \"3b80\" { profile = native }\natr \"3b80\" { profile = native }", ":4:"},
        {GOOD "profiles = {native, piv, native}", "profiles"},
        {GOOD "profiles = {}", "profiles"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_terminal_config config;
        cb_buf why = CB_BUF(1024);
        assert_int_equal(load(cases[i].text, &config, &why), CB_E_CONFIG);
        assert_non_null(strstr(cb_buf_cstr(&why), cases[i].reason));
        assert_null(config.cfg);
        cb_buf_free(&why);
    }
}

static void an_order_and_what_atrs_say_of_it_are_read(void **state)
{
    (void)state;
    cb_terminal_config config;
    cb_profile_order order;
    cb_buf why = CB_BUF(1024);
    cb_reader_info card = {.atr = {0x3B, 0x80, 0x12}, .atr_len = 3};
    assert_int_equal(load("atr \"3B8000\" { mask = \"FFFF00\" profile = \"native\" }\n"
                          "profiles = {piv, native}\n" GOOD,
                          &config, &why),
                     CB_OK);
    cb_terminal_config_order(&config, &card, &order);
    assert_ptr_equal(order.profile[0], &cb_profile_native);
    assert_ptr_equal(order.profile[1], &cb_profile_piv);
    card.atr_len = 0;
    cb_terminal_config_order(&config, &card, &order);
    assert_ptr_equal(order.profile[0], &cb_profile_piv);
    assert_int_equal(order.count, 2);
    cb_terminal_config_free(&config);
    cb_buf_free(&why);
}

static void there_are_only_so_many_atrs(void **state)
{
    (void)state;
    cb_terminal_config config;
    cb_buf text = CB_BUF(65536), why = CB_BUF(1024);
    cb_buf_put_str(&text, GOOD);
    for (unsigned i = 0; i < CB_ATR_HINTS_MAX; i++)
        cb_buf_printf(&text, "atr \"3b%02x\" { profile = native }\n", i);
    assert_int_equal(load(cb_buf_cstr(&text), &config, &why), CB_OK);
    cb_terminal_config_free(&config);
    cb_buf_put_str(&text, "atr \"3bff\" { profile = native }\n");
    assert_int_equal(load(cb_buf_cstr(&text), &config, &why), CB_E_CONFIG);
    assert_non_null(strstr(cb_buf_cstr(&why), "atr: at most 64 of them"));
    cb_buf_free(&text);
    cb_buf_free(&why);
}

static void an_identity_is_made_once_and_belongs_to_its_owner(void **state)
{
    (void)state;
    char certificate[128], key[128];
    struct stat about;
    cb_identity made, checked;
    cb_buf why = CB_BUF(1024);
    in_folder("t.pem", certificate);
    in_folder("t.key", key);
    assert_int_equal(cb_identity_make("gate 1", certificate, key, &made), CB_OK);
    assert_int_equal(stat(key, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(cb_identity_check(certificate, key, &checked, &why), CB_OK);
    assert_memory_equal(&made, &checked, sizeof made);
    assert_int_equal(cb_identity_make("gate 1", certificate, key, &made), CB_E_EXISTS);
    assert_int_equal(chmod(key, 0644), 0);
    assert_int_equal(cb_identity_check(certificate, key, &checked, &why), CB_E_CONFIG);
    assert_non_null(strstr(cb_buf_cstr(&why), "chmod"));
    assert_int_equal(chmod(key, 0600), 0);
    cb_buf_free(&why);
}

static void halves_of_two_identities_do_not_go_together(void **state)
{
    (void)state;
    char certificate[128], key[128], other[128];
    cb_identity identity;
    cb_buf why = CB_BUF(1024);
    assert_int_equal(cb_identity_make("u", in_folder("u.pem", other), in_folder("u.key", key),
                                      &identity),
                     CB_OK);
    assert_int_equal(cb_identity_check(in_folder("t.pem", certificate), key, &identity, &why),
                     CB_E_CONFIG);
    cb_buf_reset(&why);
    assert_int_equal(cb_identity_check("/nonexistent", key, &identity, &why), CB_E_CONFIG);
    assert_non_null(strstr(cb_buf_cstr(&why), "enrol"));
    cb_buf_free(&why);
}

static void names_are_short_and_printable(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "a\nb", "0123456789012345678901234567890123456789012345678901234567890123"};
    cb_identity identity;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cb_identity_make(bad[i], "/nonexistent/c", "/nonexistent/k", &identity),
                         CB_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_configuration_is_read),
        cmocka_unit_test(each_mistake_is_named),
        cmocka_unit_test(an_order_and_what_atrs_say_of_it_are_read),
        cmocka_unit_test(there_are_only_so_many_atrs),
        cmocka_unit_test(an_identity_is_made_once_and_belongs_to_its_owner),
        cmocka_unit_test(halves_of_two_identities_do_not_go_together),
        cmocka_unit_test(names_are_short_and_printable),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
