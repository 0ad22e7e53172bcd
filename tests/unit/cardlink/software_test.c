/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal says that it runs: written and read again, and nothing else taken for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cardlink/software.h"

#define HEX64 "0101010101010101010101010101010101010101010101010101010101010101"

static cb_software some(void)
{
    cb_software software = {.version = "0.1.0"};
    memset(software.program.bytes, 1, sizeof software.program.bytes);
    memset(software.config.bytes, 0xAB, sizeof software.config.bytes);
    return software;
}

static void what_is_written_is_read_again(void **state)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    cb_software read, software = some();
    (void)state;
    memset(software.version, 'v', CB_SOFTWARE_VERSION_MAX);
    cb_software_write(&software, text);
    assert_true(strlen(text) < CB_JOURNAL_TEXT_MAX);
    for (size_t i = 0; text[i]; i++)
        assert_true(cb_journal_char_ok(text[i]));
    assert_int_equal(cb_software_read(text, &read), CB_OK);
    assert_string_equal(read.version, software.version);
    assert_memory_equal(&read.program, &software.program, sizeof read.program);
    assert_memory_equal(&read.config, &software.config, sizeof read.config);
}

static void a_program_that_could_not_be_read_is_said_so(void **state)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    cb_software read, software = some();
    (void)state;
    software.program = (cb_digest){{0}};
    cb_software_write(&software, text);
    assert_non_null(strstr(text, "program=unreadable "));
    assert_int_equal(cb_software_read(text, &read), CB_OK);
    assert_memory_equal(&read.program, &software.program, sizeof read.program);
}

static void a_version_that_cannot_stand_there_is_unknown(void **state)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    cb_software software = some();
    (void)state;
    strcpy(software.version, "1 program=x");
    cb_software_write(&software, text);
    assert_int_equal(strncmp(text, "version=unknown program=", 24), 0);
    assert_false(cb_software_version_ok(""));
    assert_false(cb_software_version_ok("a=b"));
    assert_false(cb_software_version_ok("123456789012345678901234567890123"));
    assert_true(cb_software_version_ok("1.2-rc3"));
}

static void what_is_no_such_text_is_on_no_list(void **state)
{
    static const char *const texts[] = {
        "",
        "version=1",
        "version=1 program=" HEX64,
        "version= program=" HEX64 " config=" HEX64,
        "program=" HEX64 " version=1 config=" HEX64,
        "version=1 program=" HEX64 " config=" HEX64 " more=1",
        "version=1 program=" HEX64 "01 config=" HEX64,
        "version=1 program=" HEX64 " config=unreadable",
        "version=1 program=zz" HEX64 " config=" HEX64,
        "version=123456789012345678901234567890123 program=" HEX64 " config=" HEX64,
        "version=1  program=" HEX64 " config=" HEX64,
    };
    static const cb_digest zero;
    cb_software read;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        read = some();
        assert_int_equal(cb_software_read(texts[i], &read), CB_E_FORMAT);
        assert_memory_equal(&read.program, &zero, sizeof zero);
        assert_string_equal(read.version, "unknown");
    }
    assert_int_equal(cb_software_read("version=1 program=" HEX64 " config=" HEX64, &read), CB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_program_that_could_not_be_read_is_said_so),
        cmocka_unit_test(a_version_that_cannot_stand_there_is_unknown),
        cmocka_unit_test(what_is_no_such_text_is_on_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
