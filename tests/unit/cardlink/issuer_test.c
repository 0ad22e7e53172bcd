/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The issuer's files.
 */
#include "cardlink/issuer/files.h"
#include "cardlink/issuer/secrets.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"
#include "base/text.h"

static char folder[] = "/tmp/cardlink-issuer-XXXXXX";
static cb_issue_authority authority;
static cb_buf certificate = {.max = CB_CVC_MAX};
static cb_buf why = {.max = 4096};

static const char *in(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) &&
                   cb_issue_authority_make(cb_bytes_str("issuer"), cb_issue_days_from_today(1),
                                           &authority, &certificate) == CB_OK
               ? 0
               : -1;
}

static void remove_all(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char below[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (unlink(below) != 0)
            remove_all(below);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static int teardown(void **state)
{
    (void)state;
    remove_all(folder);
    cb_buf_free(&certificate);
    cb_buf_free(&why);
    return 0;
}

static unsigned mode_of(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 ? about.st_mode & 0777 : 0;
}

static void an_authority_is_kept(void **state)
{
    cb_issue_authority read;
    (void)state;
    const char *path = in("authority");
    assert_int_equal(cb_authority_save(path, &authority, cb_buf_bytes(&certificate), &why), CB_OK);
    assert_int_equal(mode_of(in("authority/authority.key")), 0600);
    assert_int_equal(cb_authority_load(path, &read, &why), CB_OK);
    assert_memory_equal(read.scalar, authority.scalar, sizeof read.scalar);
    assert_memory_equal(&read.anchor, &authority.anchor, sizeof read.anchor);
    assert_int_equal(cb_authority_save(path, &authority, cb_buf_bytes(&certificate), &why),
                     CB_E_EXISTS);
    assert_true(why.len > 0);
    cb_buf_reset(&why);
}

static void a_key_that_others_can_read_is_not_used(void **state)
{
    cb_issue_authority read;
    (void)state;
    const char *path = in("open");
    assert_int_equal(cb_authority_save(path, &authority, cb_buf_bytes(&certificate), &why), CB_OK);
    assert_int_equal(chmod(in("open/authority.key"), 0644), 0);
    assert_int_not_equal(cb_authority_load(path, &read, &why), CB_OK);
    cb_buf_reset(&why);
}

static void a_key_and_its_certificate_belong_together(void **state)
{
    cb_issue_authority other = authority, read;
    uint8_t point[CB_P256_POINT];
    (void)state;
    cb_p256_generate(other.scalar, point);
    const char *path = in("mixed");
    assert_int_equal(cb_authority_save(path, &other, cb_buf_bytes(&certificate), &why), CB_OK);
    assert_int_equal(cb_authority_load(path, &read, &why), CB_E_FORMAT);
    cb_buf_reset(&why);
}

static void a_batch_has_a_limit(void **state)
{
    cb_issue_batch batch, read;
    (void)state;
    const char *path = in("batch");
    assert_int_equal(
        cb_issue_batch_make(&authority, cb_bytes_str("b"), cb_issue_days_from_today(1), &batch),
        CB_OK);
    assert_int_equal(cb_batch_save(path, &batch, 3, &why), CB_OK);
    assert_int_equal(cb_batch_load(path, &read, &why), CB_OK);
    assert_memory_equal(&read, &batch, sizeof read);
    for (int i = 0; i < 3; i++)
        assert_int_equal(cb_batch_take(path, &why), CB_OK);
    assert_int_equal(cb_batch_take(path, &why), CB_E_STATE);
    assert_int_equal(cb_batch_take(path, &why), CB_E_STATE);
    cb_buf_reset(&why);
}

static void a_public_key_comes_in_four_forms(void **state)
{
    static const char head[] = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    uint8_t point[CB_P256_POINT];
    cb_buf form[4] = {CB_BUF(512), CB_BUF(512), CB_BUF(512), CB_BUF(512)};
    (void)state;
    cb_buf_put(&form[0], CB_BYTES_OF(authority.anchor.point));
    cb_buf_put_hex(&form[1], cb_buf_bytes(&form[0]));
    cb_buf_put_str(&form[1], "\n");
    cb_unhex(cb_bytes_str(head), &form[2]);
    cb_buf_put(&form[2], cb_buf_bytes(&form[0]));
    cb_buf_put_hex(&form[3], cb_buf_bytes(&form[2]));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(cb_file_replace(in("key"), cb_buf_bytes(&form[i]), 0600), CB_OK);
        assert_int_equal(cb_point_read(in("key"), point, &why), CB_OK);
        assert_memory_equal(point, authority.anchor.point, sizeof point);
        form[i].data[i % 2 ? 3 : 2] ^= 1;
        assert_int_equal(cb_file_replace(in("key"), cb_buf_bytes(&form[i]), 0600), CB_OK);
        assert_int_not_equal(cb_point_read(in("key"), point, &why), CB_OK);
        cb_buf_free(&form[i]);
    }
    cb_buf_reset(&why);
}

static void the_brokers_key_is_named_by_numbers(void **state)
{
    static const char *const bad[] = {"",       ":20:01", "x:2:01",  "x:30:01",
                                      "x:20:1", "x:20",   "x:20:0g", "x20:01"};
    cb_vcard_kloc kloc;
    char text[160];
    (void)state;
    assert_int_equal(cb_file_replace(in("root.cvc"), cb_buf_bytes(&certificate), 0644), CB_OK);
    snprintf(text, sizeof text, "%s:2F:0a", in("root.cvc"));
    assert_int_equal(cb_kloc_read(text, &kloc, &why), CB_OK);
    assert_int_equal(kloc.key_id, 0x2F);
    assert_int_equal(kloc.key_version, 0x0A);
    assert_memory_equal(kloc.point, authority.anchor.point, sizeof kloc.point);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_not_equal(cb_kloc_read(bad[i], &kloc, &why), CB_OK);
    cb_buf_reset(&why);
}

static cb_error secrets_from(const char *text, cb_card_secrets *out)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    close(ends[1]);
    cb_error error = cb_secrets_read(ends[0], out);
    close(ends[0]);
    return error;
}

static void pin_and_code_come_as_two_lines(void **state)
{
    cb_card_secrets secrets;
    (void)state;
    assert_int_equal(secrets_from("123456789012\n12345678\n", &secrets), CB_OK);
    assert_string_equal(secrets.pin, "123456789012");
    assert_string_equal(secrets.code, "12345678");
    static const char *const bad[] = {"",
                                      "1234\n",
                                      "1234\n1234567\n",
                                      "123\n12345678\n",
                                      "1234567890123\n12345678\n",
                                      "1234\n123456789\n",
                                      "12a4\n12345678\n",
                                      "1234\n12345678"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(secrets_from(bad[i], &secrets), CB_E_PIN_FORMAT);
}

static void a_letter_is_for_its_owner(void **state)
{
    cb_card_secrets secrets;
    cb_id card = cb_id_random();
    (void)state;
    assert_int_equal(cb_secrets_draw(3, &secrets), CB_E_PIN_FORMAT);
    assert_int_equal(cb_secrets_draw(6, &secrets), CB_OK);
    assert_int_equal(strlen(secrets.pin), 6);
    assert_true(cb_pin_ok(cb_bytes_str(secrets.pin)) &&
                cb_unblock_code_ok(cb_bytes_str(secrets.code)));
    assert_int_equal(cb_secrets_letter(in("letter"), &card, &secrets, &why), CB_OK);
    assert_int_equal(mode_of(in("letter")), 0600);
    assert_int_equal(cb_secrets_letter(in("letter"), &card, &secrets, &why), CB_E_EXISTS);
    cb_buf_reset(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_authority_is_kept),
        cmocka_unit_test(a_key_that_others_can_read_is_not_used),
        cmocka_unit_test(a_key_and_its_certificate_belong_together),
        cmocka_unit_test(a_batch_has_a_limit),
        cmocka_unit_test(a_public_key_comes_in_four_forms),
        cmocka_unit_test(the_brokers_key_is_named_by_numbers),
        cmocka_unit_test(pin_and_code_come_as_two_lines),
        cmocka_unit_test(a_letter_is_for_its_owner),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
