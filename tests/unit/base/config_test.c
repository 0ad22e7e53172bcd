/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/base/test.h"

static char folder[] = "/tmp/cb-config-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void put(const char *text, unsigned mode)
{
    assert_int_equal(cb_file_replace(path, cb_bytes_str(text), mode), CB_OK);
}

static cb_error load(cfg_t **cfg, cb_buf *why)
{
    cfg_opt_t options[] = {CFG_INT("workers", 2, CFGF_NONE), CFG_STR("run", "/run", CFGF_NONE),
                           CFG_END()};
    return cb_config_load(path, options, cfg, why);
}

static void options_are_read(void **state)
{
    (void)state;
    cfg_t *cfg = NULL;
    cb_buf why = CB_BUF(1024);
    put("# comment\nworkers = 7\n", 0644);
    assert_int_equal(load(&cfg, &why), CB_OK);
    assert_int_equal(cfg_getint(cfg, "workers"), 7);
    assert_string_equal(cfg_getstr(cfg, "run"), "/run");
    cfg_free(cfg);
    cb_buf_free(&why);
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    static const char *const bad[] = {"\nworker = 1\n", "\nworkers = x\n", "\nrun = \"a\n",
                                      "\nrun = \"\"\"\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cfg_t *cfg = NULL;
        cb_buf why = CB_BUF(1024);
        put(bad[i], 0644);
        assert_int_equal(load(&cfg, &why), CB_E_CONFIG);
        assert_null(cfg);
        assert_non_null(strstr(cb_buf_cstr(&why), path));
        assert_non_null(strstr(cb_buf_cstr(&why), i < 2 ? ":2: " : ":"));
        cb_buf_free(&why);
    }
    cfg_t *cfg = NULL;
    cb_buf why = CB_BUF(1024);
    unlink(path);
    assert_int_equal(load(&cfg, &why), CB_E_CONFIG);
    assert_non_null(strstr(cb_buf_cstr(&why), path));
    cb_buf_free(&why);
}

static void a_secret_must_be_private(void **state)
{
    (void)state;
    cb_buf secret = CB_BUF(64), why = CB_BUF(256);
    put("1234\n", 0600);
    assert_int_equal(cb_config_secret(path, &secret, &why), CB_OK);
    assert_string_equal(cb_buf_cstr(&secret), "1234");
    cb_buf_reset(&secret);
    put("1234\n", 0604);
    chmod(path, 0604);
    assert_int_equal(cb_config_secret(path, &secret, &why), CB_E_CONFIG);
    assert_int_equal(secret.len, 0);
    assert_null(strstr(cb_buf_cstr(&why), "1234"));
    cb_buf_free(&secret);
    cb_buf_free(&why);
}

static void a_file_is_replaced_whole_with_its_mode(void **state)
{
    (void)state;
    struct stat about;
    cb_buf content = CB_BUF(16);
    put("old", 0600);
    put("new", 0640);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
    assert_int_equal(cb_file_read(path, &content), CB_OK);
    assert_string_equal(cb_buf_cstr(&content), "new");
    cb_buf_reset(&content);
    put("seventeen bytes !", 0600);
    assert_int_equal(cb_file_read(path, &content), CB_E_TOO_LARGE);
    cb_buf_free(&content);
    assert_int_equal(cb_file_read("/nonexistent/x", &content), CB_E_NOT_FOUND);
    assert_int_equal(cb_file_replace("/nonexistent/x", cb_bytes_str("a"), 0600), CB_E_IO);
}

/* A folder, a pipe to which nobody writes: what is in the way is an error, never a wait, and
 * nothing is left beside it. */
static void what_is_no_file_is_refused_at_once(void **state)
{
    (void)state;
    char beside[sizeof path + 8];
    struct stat about;
    cb_buf content = CB_BUF(16), why = CB_BUF(256);
    snprintf(beside, sizeof beside, "%s.new", path);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(cb_file_read(path, &content), CB_OK);
    assert_int_equal(content.len, 0);
    assert_int_equal(cb_config_secret(path, &content, &why), CB_E_CONFIG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(cb_file_read(path, &content), CB_E_IO);
    cb_buf_reset(&why);
    assert_int_equal(cb_config_secret(path, &content, &why), CB_E_CONFIG);
    assert_int_equal(cb_file_replace(path, cb_bytes_str("a"), 0600), CB_E_IO);
    assert_int_not_equal(lstat(beside, &about), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkdir(beside, 0700), 0);
    assert_int_equal(cb_file_replace(path, cb_bytes_str("a"), 0600), CB_E_IO);
    assert_int_not_equal(lstat(path, &about), 0);
    assert_int_equal(rmdir(beside), 0);
    cb_buf_free(&content);
    cb_buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(a_secret_must_be_private),
        cmocka_unit_test(a_file_is_replaced_whole_with_its_mode),
        cmocka_unit_test(what_is_no_file_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
