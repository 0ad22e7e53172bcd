/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The life of a terminal on its own disk: a key that is gone on with, a renewal that was
 * interrupted, and the end of it all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"
#include "cardlink/terminal/certify.h"
#include "cardlink/terminal/ending.h"
#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/pin_entry.h"

static char folder[64];

typedef struct place {
    char certificate[128], key[128], next_certificate[144], next_key[144], contact[128];
    cb_terminal_config config;
} place;

/* A terminal of that name with a certificate and key of its own. */
static void begin(place *p, const char *name)
{
    cb_identity identity;
    snprintf(p->certificate, sizeof p->certificate, "%s/%s.pem", folder, name);
    snprintf(p->key, sizeof p->key, "%s/%s.key", folder, name);
    snprintf(p->next_certificate, sizeof p->next_certificate, "%s.next", p->certificate);
    snprintf(p->next_key, sizeof p->next_key, "%s.next", p->key);
    snprintf(p->contact, sizeof p->contact, "%s/%s.contact", folder, name);
    p->config = (cb_terminal_config){
        .certificate = p->certificate, .key = p->key, .tamper = "", .text = "", .service = ""};
    assert_int_equal(cb_identity_make(name, p->certificate, p->key, &identity), CB_OK);
}

static void move(const char *from, const char *to) { assert_int_equal(rename(from, to), 0); }

static bool there(const char *path) { return access(path, F_OK) == 0; }

static cb_identity identity_of(const place *p)
{
    cb_identity identity;
    cb_buf why = CB_BUF(1024);
    assert_int_equal(cb_identity_check(p->certificate, p->key, &identity, &why), CB_OK);
    cb_buf_free(&why);
    return identity;
}

static void a_key_that_is_there_is_taken_again(void **state)
{
    char path[128];
    uint8_t first[CB_P256_SCALAR], second[CB_P256_SCALAR];
    struct stat about;
    cb_buf why = CB_BUF(1024);
    (void)state;
    snprintf(path, sizeof path, "%s/alone.key", folder);
    assert_int_equal(cb_identity_key(path, first, &why), CB_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(cb_identity_key(path, second, &why), CB_OK);
    assert_memory_equal(first, second, sizeof first);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(cb_identity_key(path, second, &why), CB_E_CONFIG);
    assert_int_equal(cb_file_replace(path, cb_bytes_str("no key"), 0600), CB_OK);
    cb_buf_reset(&why);
    assert_int_equal(cb_identity_key(path, second, &why), CB_E_CONFIG);
    assert_true(why.len > 0);
    cb_buf_free(&why);
}

/* Whether both, the certificate alone, or none of the two files had been renamed. */
static void a_renewal_is_completed_where_it_was_killed(void **state)
{
    (void)state;
    for (int renamed = 0; renamed < 2; renamed++) {
        place old, fresh;
        begin(&old, renamed ? "after" : "before");
        begin(&fresh, renamed ? "after2" : "before2");
        cb_identity wanted = identity_of(&fresh);
        move(fresh.key, old.next_key);
        move(fresh.certificate, renamed ? old.certificate : old.next_certificate);
        cb_certify_settle(&old.config);
        cb_identity now = identity_of(&old);
        assert_memory_equal(&now, &wanted, sizeof wanted);
        assert_false(there(old.next_key));
        assert_false(there(old.next_certificate));
        cb_certify_settle(&old.config);
    }
}

static void what_does_not_belong_together_takes_no_place(void **state)
{
    place p, other;
    (void)state;
    begin(&p, "keeps");
    begin(&other, "stray");
    cb_identity before = identity_of(&p);
    move(other.key, p.next_key); /* its certificate was not there yet */
    cb_certify_settle(&p.config);
    cb_identity now = identity_of(&p);
    assert_memory_equal(&now, &before, sizeof before);
    assert_int_equal(cb_file_replace(p.next_certificate, cb_bytes_str("half a cert"), 0644), CB_OK);
    cb_certify_settle(&p.config);
    now = identity_of(&p);
    assert_memory_equal(&now, &before, sizeof before);
    assert_true(there(p.next_key)); /* is gone on with */
}

static void a_certificate_of_its_own_is_never_due(void **state)
{
    place p;
    int64_t every;
    (void)state;
    begin(&p, "own");
    assert_int_equal(cb_certify_due(&p.config, &every), INT64_MAX);
    unlink(p.certificate);
    assert_int_equal(cb_certify_due(&p.config, &every), INT64_MAX);
    assert_true(every > 0);
}

/* Whoever has the file open, or another name of it, finds nothing in it. */
static void erasing_overwrites_what_it_removes(void **state)
{
    place p;
    char other[160], temporary[160];
    uint8_t content[4096] = {1};
    (void)state;
    begin(&p, "erased");
    snprintf(other, sizeof other, "%s/another-name", folder);
    snprintf(temporary, sizeof temporary, "%s.new", p.next_key);
    assert_int_equal(link(p.key, other), 0);
    assert_int_equal(cb_file_replace(p.next_key, cb_bytes_str("secret"), 0600), CB_OK);
    assert_int_equal(cb_file_replace(temporary, cb_bytes_str("secret"), 0600), CB_OK);
    assert_int_equal(cb_identity_erase(p.certificate, p.key), CB_OK);
    assert_false(there(p.key) || there(p.certificate) || there(p.next_key) || there(temporary));
    FILE *file = fopen(other, "rb");
    assert_non_null(file);
    size_t len = fread(content, 1, sizeof content, file);
    fclose(file);
    assert_true(len > 0);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(content[i], 0);
    assert_int_equal(cb_identity_erase(p.certificate, p.key), CB_OK); /* nothing to do */
    assert_int_equal(mkdir(p.key, 0700), 0);
    assert_int_equal(cb_identity_erase(p.certificate, p.key), CB_E_IO);
    rmdir(p.key);
    unlink(other);
}

static void something_at_the_contacts_place_means_an_opened_housing(void **state)
{
    place p;
    (void)state;
    begin(&p, "housing");
    assert_false(cb_ending_tampered(&p.config));
    p.config.tamper = p.contact;
    assert_false(cb_ending_tampered(&p.config));
    assert_int_equal(symlink("nowhere", p.contact), 0);
    assert_true(cb_ending_tampered(&p.config));
    unlink(p.contact);
    assert_false(cb_ending_tampered(&p.config));
    p.config.tamper = p.certificate;
    assert_true(cb_ending_tampered(&p.config));
    char beneath[160]; /* a file in the place of a folder */
    snprintf(beneath, sizeof beneath, "%s/contact", p.certificate);
    p.config.tamper = beneath;
    assert_true(cb_ending_tampered(&p.config));
}

static cb_error line(const char *text, char *out, size_t size)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), (ssize_t)strlen(text));
    close(fds[1]);
    cb_error error = cb_line_ask("", fds[0], out, size);
    close(fds[0]);
    return error;
}

static void a_line_is_taken_whole_or_not_at_all(void **state)
{
    char out[8];
    (void)state;
    assert_int_equal(line("1234567\nmore", out, sizeof out), CB_OK);
    assert_string_equal(out, "1234567");
    assert_int_equal(line("ab", out, sizeof out), CB_OK);
    assert_string_equal(out, "ab");
    assert_int_equal(line("12345678\n", out, sizeof out), CB_E_FORMAT);
    assert_int_equal(out[0], 0);
    assert_int_equal(line("\n", out, sizeof out), CB_E_FORMAT);
    assert_int_equal(line("", out, sizeof out), CB_E_FORMAT);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cardbroker-life-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_there_is_taken_again),
        cmocka_unit_test(a_renewal_is_completed_where_it_was_killed),
        cmocka_unit_test(what_does_not_belong_together_takes_no_place),
        cmocka_unit_test(a_certificate_of_its_own_is_never_due),
        cmocka_unit_test(erasing_overwrites_what_it_removes),
        cmocka_unit_test(something_at_the_contacts_place_means_an_opened_housing),
        cmocka_unit_test(a_line_is_taken_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
