/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Token and keyring: making them, opening them, losing them.
 */
#include "hsm/token.h"

#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret.h"
#include "hsm/client.h"
#include "hsm/keyring_names.h"
#include "hsm/sealed.h"
#include "hsm/softhsm.h"
#include "hsm/token_parts.h"
#include "tests/support/softhsm.h"
#include "tests/unit/base/test.h"

enum { STARTS = 8, ROUNDS = 5 };

static softhsm hsm;
static cb_keyring *keyring;

static int make_token(void **state)
{
    (void)state;
    softhsm_make(&hsm);
    return 0;
}

static int remove_token(void **state)
{
    (void)state;
    softhsm_remove(&hsm);
    return 0;
}

static int open_keyring(void **state)
{
    (void)state;
    keyring = softhsm_open(&hsm);
    return 0;
}

static int close_keyring(void **state)
{
    (void)state;
    cb_keyring_close(&keyring);
    return 0;
}

static cb_token *token(void) { return cb_keyring_token(keyring); }

static cb_error open_with(cb_token_config config, const char *pin_text)
{
    cb_keyring *ring = NULL;
    cb_buf pin = CB_BUF(300);
    cb_buf_put_str(&pin, pin_text);
    cb_error error = cb_keyring_open(&config, &pin, &ring);
    assert_int_equal(pin.len, 0); /* wiped whatever came of it */
    assert_true(error ? ring == NULL : ring != NULL);
    cb_keyring_close(&ring);
    return error;
}

/* ---- Opening ---- */

static void what_cannot_be_opened_is_a_configuration_error(void **state)
{
    (void)state;
    cb_token_config right = softhsm_config(&hsm), wrong = right;
    assert_int_equal(open_with(right, "654321"), CB_E_CONFIG);
    assert_int_equal(open_with(right, ""), CB_E_CONFIG);
    wrong.label = "no such token";
    assert_int_equal(open_with(wrong, "123456"), CB_E_CONFIG);
    wrong.label = "a label that is longer than thirty-two bytes";
    assert_int_equal(open_with(wrong, "123456"), CB_E_CONFIG);
    wrong = right;
    wrong.module = "/no/such/module.so";
    assert_int_equal(open_with(wrong, "123456"), CB_E_CONFIG);
    wrong.module = "/lib/x86_64-linux-gnu/libc.so.6";
    assert_int_equal(open_with(wrong, "123456"), CB_E_CONFIG);
    wrong = right;
    wrong.lock = "/no/such/folder/lock"; /* a disk that may be mounted yet */
    assert_int_equal(open_with(wrong, "123456"), CB_E_IO);
    assert_int_equal(open_with(right, "123456"), CB_OK);
}

static int start_once(void);

static size_t read_file(const char *path, uint8_t *out, size_t most)
{
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(out, 1, most, file) : 0;
    if (file)
        fclose(file);
    return len;
}

static void write_file(const char *path, const uint8_t *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

/* The folder of the one token there is. */
static void token_path(const char *name, char path[256])
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/tokens/*-*", hsm.folder);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    snprintf(path, 256, "%s/%s", found.gl_pathv[0], name);
    globfree(&found);
}

/* SoftHSM writes this file anew at each login, in place: a process that is killed meanwhile leaves
 * it so, and without it all keys are lost. */
static void a_token_whose_file_was_cut_off_is_put_back(void **state)
{
    char path[256];
    uint8_t whole[4096], now[4096];
    static const uint8_t zeros[4096];
    cb_token_config config = softhsm_config(&hsm);
    (void)state;
    assert_int_equal(open_with(config, "123456"), CB_OK);
    token_path("token.object", path);
    size_t len = read_file(path, whole, sizeof whole);
    assert_in_range(len, 100, sizeof whole - 1);
    const size_t left[] = {0, 8, len / 2, len - 1};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        write_file(path, whole, left[i]);
        assert_int_equal(open_with(config, "123456"), CB_OK);
        assert_int_equal(start_once(), 0); /* with its keys */
    }
    write_file(path, zeros, len);
    assert_int_equal(open_with(config, "123456"), CB_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_with(config, "123456"), CB_OK);
    assert_int_equal(read_file(path, now, sizeof now), len);
    assert_memory_equal(now + 8, whole + 8, len - 8);
}

/* What is whole is never exchanged for the copy, and the copy follows it. */
static void a_token_that_was_changed_is_left_as_it_is(void **state)
{
    char path[256], copy[256];
    uint8_t whole[4096], now[4096];
    cb_token_config config = softhsm_config(&hsm);
    (void)state;
    assert_int_equal(open_with(config, "123456"), CB_OK);
    token_path("token.object", path);
    token_path("token.object.kept", copy);
    size_t len = read_file(path, whole, sizeof whole);
    write_file(copy, whole, len - 40); /* as of a token that was less then */
    assert_int_equal(open_with(config, "123456"), CB_OK);
    assert_int_equal(read_file(path, now, sizeof now), len);
    assert_memory_equal(now + 8, whole + 8, len - 8);
    assert_int_equal(read_file(copy, now, sizeof now), len);
    assert_memory_equal(now + 8, whole + 8, len - 8);
    enum { LAST = 24 + 72 }; /* the user's PIN: a token that was initialised anew has none yet */
    write_file(path, whole, len - LAST);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(read_file(path, now, sizeof now), len - LAST);
    write_file(path, whole, len - LAST - 1);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(read_file(path, now, sizeof now), len);
    write_file(copy, whole, 3); /* and one that is none counts for nothing */
    assert_int_equal(open_with(config, "123456"), CB_OK);
    assert_int_equal(read_file(copy, now, sizeof now), len);
}

/* Before anybody has opened it. */
static void a_new_token_has_its_copy_from_the_beginning(void **state)
{
    char path[256], copy[256];
    uint8_t whole[4096], kept[4096];
    (void)state;
    token_path("token.object", path);
    token_path("token.object.kept", copy);
    size_t len = read_file(path, whole, sizeof whole);
    assert_in_range(len, 100, sizeof whole - 1);
    assert_int_equal(read_file(copy, kept, sizeof kept), len);
    assert_memory_equal(kept + 8, whole + 8, len - 8);
}

/* Made by an installation that kept none, or put here from a backup; others' are not ours to copy.
 */
static void a_token_without_a_copy_has_one_before_its_first_login(void **state)
{
    char path[256], copy[256];
    uint8_t whole[4096], now[4096];
    (void)state;
    token_path("token.object", path);
    token_path("token.object.kept", copy);
    size_t len = read_file(path, whole, sizeof whole);
    assert_int_equal(unlink(copy), 0);
    cb_softhsm_mend("another");
    assert_int_equal(access(copy, F_OK), -1);
    cb_softhsm_mend("cardbroker");
    write_file(path, whole, len / 2);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(read_file(path, now, sizeof now), len);
    assert_memory_equal(now, whole, len);
    /* Of a file that is damaged none is made. */
    assert_int_equal(unlink(copy), 0);
    write_file(path, whole, len / 2);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(access(copy, F_OK), -1);
    write_file(path, whole, len);
    cb_softhsm_mend("cardbroker");
    assert_int_equal(access(copy, F_OK), 0);
}

static void nobody_waits_for_a_pipe_in_the_place_of_the_copy(void **state)
{
    char copy[256];
    uint8_t now[4096];
    (void)state;
    token_path("token.object.kept", copy);
    assert_int_equal(unlink(copy), 0);
    assert_int_equal(mkfifo(copy, 0600), 0);
    alarm(20);
    cb_softhsm_mend("cardbroker");
    alarm(0);
    assert_in_range(read_file(copy, now, sizeof now), 100, sizeof now - 1);
}

int __real_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **out);
int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **out);
static bool here_at_home; /* the home of the user that runs the test is the token's folder */

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **out)
{
    int result = __real_getpwuid_r(uid, entry, buffer, size, out);
    if (result == 0 && *out && here_at_home)
        entry->pw_dir = hsm.folder;
    return result;
}

/* Where SoftHSM itself looks: in HOME, and without one in the user's home as the system knows it.
 */
static void the_token_is_found_where_softhsm_finds_it(void **state)
{
    char path[256], command[512], home[256];
    uint8_t whole[4096], now[4096];
    (void)state;
    token_path("token.object", path);
    size_t len = read_file(path, whole, sizeof whole);
    snprintf(command, sizeof command,
             "cd %s && mkdir -p .config/softhsm2 && cp softhsm2.conf .config/softhsm2", hsm.folder);
    assert_int_equal(system(command), 0); // NOLINT
    snprintf(home, sizeof home, "%s", getenv("HOME") ? getenv("HOME") : "");
    unsetenv("SOFTHSM2_CONF");
    const char *const homes[] = {hsm.folder, "", NULL};
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        here_at_home = homes[i] != hsm.folder;
        homes[i] ? setenv("HOME", homes[i], 1) : unsetenv("HOME");
        write_file(path, whole, 8);
        cb_softhsm_mend("cardbroker");
        assert_int_equal(read_file(path, now, sizeof now), len);
    }
    here_at_home = false;
    setenv("HOME", home, 1);
    snprintf(path, sizeof path, "%s/softhsm2.conf", hsm.folder);
    setenv("SOFTHSM2_CONF", path, 1);
}

static void where_it_is_not_found_that_is_said_once(void **state)
{
    char path[256], log[256];
    uint8_t text[4096];
    (void)state;
    snprintf(path, sizeof path, "%s", getenv("SOFTHSM2_CONF"));
    snprintf(log, sizeof log, "%s/said", hsm.folder);
    CK_TOKEN_INFO info = {.manufacturerID = "SoftHSM project", .serialNumber = "0123456789abcde"};
    int before = dup(2), file = open(log, O_RDWR | O_CREAT, 0600);
    assert_true(file >= 0 && dup2(file, 2) == 2);
    setenv("SOFTHSM2_CONF", "/no/such/file", 1);
    cb_softhsm_keep(&info);
    size_t once = read_file(log, text, sizeof text);
    cb_softhsm_keep(&info);
    size_t twice = read_file(log, text, sizeof text - 1);
    setenv("SOFTHSM2_CONF", path, 1);
    dup2(before, 2);
    close(before);
    close(file);
    text[twice] = 0;
    assert_non_null(strstr((const char *)text, "token.not_kept"));
    assert_int_equal(once, twice);
}

/* In a child: opens, makes one MAC. */
static int start_once(void)
{
    cb_digest mac;
    cb_keyring *ring = NULL;
    cb_token_config config = softhsm_config(&hsm);
    cb_buf pin = softhsm_pin();
    cb_error error = cb_keyring_open(&config, &pin, &ring);
    if (!error)
        error = cb_keyring_mac(ring, CB_MAC_MEMORY, NULL, 0, &mac);
    cb_keyring_close(&ring);
    return error ? 1 : 0;
}

static void processes_that_start_together_all_get_in(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[STARTS];
        for (int i = 0; i < STARTS; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0)
                _exit(start_once());
        }
        for (int i = 0; i < STARTS; i++) {
            int status = 0;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        }
    }
    assert_int_equal(failed, 0);
}

/* ---- Initialising ---- */

static cb_error initialise(unsigned *made, const char *so_text)
{
    cb_buf pin = softhsm_pin(), so_pin = CB_BUF(64);
    cb_buf_put_str(&so_pin, so_text);
    cb_initialise_options options = {
        .token = softhsm_config(&hsm), .make_token = true, .so_pin = &so_pin, .pin = &pin};
    cb_error error = cb_hsm_initialise(&options, made);
    assert_int_equal(pin.len + so_pin.len, 0);
    return error;
}

static void initialising_again_changes_nothing(void **state)
{
    (void)state;
    unsigned made = 99;
    cb_buf before = CB_BUF(1024), after = CB_BUF(1024);
    cb_digest mac, again;
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_keyring_public(keyring, CB_OWN_LOG, &before), CB_OK);
    assert_int_equal(cb_keyring_mac(keyring, CB_MAC_MEMORY, NULL, 0, &mac), CB_OK);
    cb_keyring_close(&keyring);
    assert_int_equal(initialise(&made, "87654321"), CB_OK);
    assert_int_equal(made, 0);
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_keyring_public(keyring, CB_OWN_LOG, &after), CB_OK);
    assert_int_equal(cb_keyring_mac(keyring, CB_MAC_MEMORY, NULL, 0, &again), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&before), cb_buf_bytes(&after)));
    assert_memory_equal(&mac, &again, sizeof mac);
    cb_keyring_close(&keyring);
    cb_buf_free(&before);
    cb_buf_free(&after);
}

/* Destroys one key-encryption key behind the program's back. */
static void damage(cb_kek kind, uint32_t generation)
{
    cb_token_key key = cb_token_key_named(CKO_SECRET_KEY, cb_kek_label(kind));
    CK_OBJECT_HANDLE handle;
    cb_generation_id(generation, key.id);
    key.id_len = sizeof key.id;
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_token_find(token(), &key, &handle), CB_OK);
    cb_token_destroy(token(), &handle);
    cb_keyring_close(&keyring);
}

static void a_damaged_generation_is_passed_over_and_never_destroyed(void **state)
{
    (void)state;
    uint32_t generation = 0;
    size_t before, after;
    cb_buf pin = softhsm_pin(), so_pin = softhsm_so_pin();
    cb_initialise_options options = {.token = softhsm_config(&hsm), .so_pin = &so_pin, .pin = &pin};
    assert_int_equal(cb_hsm_add_generation(&options, &generation), CB_OK);
    assert_int_equal(generation, 2);
    damage(CB_KEK_RELEASE, 2);
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_keyring_generation(keyring), 1);
    assert_int_equal(cb_token_count(token(), true, &before), CB_OK);
    cb_keyring_close(&keyring);
    pin = softhsm_pin();
    so_pin = softhsm_so_pin();
    assert_int_equal(cb_hsm_add_generation(&options, &generation), CB_OK);
    assert_int_equal(generation, 3);
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_keyring_generation(keyring), 3);
    assert_int_equal(cb_token_count(token(), true, &after), CB_OK);
    assert_int_equal(after, before + CB_KEK_KINDS);
    CK_OBJECT_HANDLE handle;
    assert_int_equal(cb_keyring_kek(keyring, CB_KEK_USE, 2, &handle), CB_E_HSM_RECORD);
    assert_int_equal(cb_keyring_kek(keyring, CB_KEK_USE, 0, &handle), CB_E_HSM_RECORD);
    assert_int_equal(cb_keyring_kek(keyring, CB_KEK_USE, UINT32_MAX, &handle), CB_E_HSM_RECORD);
    assert_int_equal(cb_keyring_kek(keyring, CB_KEK_USE, 1, &handle), CB_OK);
    cb_keyring_close(&keyring);
}

static void a_wrong_officer_adds_nothing(void **state)
{
    (void)state;
    uint32_t generation = 0;
    size_t before, after;
    cb_buf pin = softhsm_pin(), so_pin = CB_BUF(64);
    cb_buf_put_str(&so_pin, "not the officer");
    cb_initialise_options options = {.token = softhsm_config(&hsm), .so_pin = &so_pin, .pin = &pin};
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_token_count(token(), true, &before), CB_OK);
    cb_keyring_close(&keyring);
    assert_int_equal(cb_hsm_add_generation(&options, &generation), CB_E_CONFIG);
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_token_count(token(), true, &after), CB_OK);
    assert_int_equal(after, before);
    cb_keyring_close(&keyring);
}

static int add_generation_in_child(void)
{
    uint32_t generation = 0;
    cb_buf pin = softhsm_pin(), so_pin = softhsm_so_pin();
    cb_initialise_options options = {.token = softhsm_config(&hsm), .so_pin = &so_pin, .pin = &pin};
    return cb_hsm_add_generation(&options, &generation) ? 1 : 0;
}

/* softhsm_open would inherit a token that is open: the child is forked before. */
static void a_generation_made_elsewhere_is_found_while_serving(void **state)
{
    (void)state;
    int go[2], status = 0;
    char byte = 0;
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(read(go[0], &byte, 1) == 1 ? add_generation_in_child() : 2);
    keyring = softhsm_open(&hsm);
    uint32_t first = cb_keyring_generation(keyring);
    assert_int_equal(write(go[1], "g", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(cb_keyring_generation(keyring), first);
    CK_OBJECT_HANDLE handle;
    assert_int_equal(cb_keyring_kek(keyring, CB_KEK_USE, first + 1, &handle), CB_OK);
    assert_int_equal(cb_keyring_generation(keyring), first + 1);
    cb_keyring_close(&keyring);
    close(go[0]);
    close(go[1]);
}

/* ---- The broker's own keys ---- */

static void macs_are_of_their_purpose_only(void **state)
{
    (void)state;
    cb_digest macs[CB_MAC_MEMORY + 1], joined;
    cb_bytes parts[] = {cb_bytes_str("one"), cb_bytes_str("two")}, whole = cb_bytes_str("onetwo");
    for (unsigned i = CB_MAC_SEALED; i <= CB_MAC_MEMORY; i++) {
        assert_int_equal(cb_keyring_mac(keyring, (cb_mac_purpose)i, parts, 2, &macs[i]), CB_OK);
        for (unsigned j = CB_MAC_SEALED; j < i; j++)
            assert_memory_not_equal(&macs[i], &macs[j], sizeof macs[i]);
        for (unsigned j = CB_MAC_SEALED; j <= CB_MAC_MEMORY; j++)
            assert_int_equal(cb_keyring_mac_check(keyring, (cb_mac_purpose)j, parts, 2,
                                                  cb_digest_bytes(&macs[i])),
                             j == i ? CB_OK : CB_E_HSM_RECORD);
    }
    assert_int_equal(cb_keyring_mac(keyring, CB_MAC_SEALED, &whole, 1, &joined), CB_OK);
    assert_memory_equal(&joined, &macs[CB_MAC_SEALED], sizeof joined);
}

static void a_mac_that_is_cut_or_changed_does_not_do(void **state)
{
    (void)state;
    cb_digest mac;
    cb_bytes part = cb_bytes_str("record");
    cb_bytes many[17] = {{0}};
    assert_int_equal(cb_keyring_mac(keyring, CB_MAC_SEALED, &part, 1, &mac), CB_OK);
    for (size_t len = 0; len < sizeof mac; len++) {
        assert_int_equal(
            cb_keyring_mac_check(keyring, CB_MAC_SEALED, &part, 1, cb_bytes_make(mac.bytes, len)),
            CB_E_HSM_RECORD);
        mac.bytes[len] ^= 1;
        assert_int_equal(
            cb_keyring_mac_check(keyring, CB_MAC_SEALED, &part, 1, cb_digest_bytes(&mac)),
            CB_E_HSM_RECORD);
        mac.bytes[len] ^= 1;
    }
    assert_int_equal(cb_keyring_mac(keyring, (cb_mac_purpose)0, &part, 1, &mac), CB_E_ARGUMENT);
    assert_int_equal(cb_keyring_mac(keyring, CB_MAC_SEALED, many, 17, &mac), CB_E_ARGUMENT);
}

static void the_broker_agrees_and_signs_as_its_public_keys_say(void **state)
{
    (void)state;
    uint8_t scalar[CB_P256_SCALAR], peer[CB_P256_POINT], own[CB_P256_POINT];
    uint8_t ours[CB_P256_SCALAR], theirs[CB_P256_SCALAR], signature[CB_P256_SIGNATURE];
    cb_digest digest = cb_sha256(cb_bytes_str("transcript"));
    assert_int_equal(cb_p256_generate(scalar, peer), CB_OK);
    assert_int_equal(cb_keyring_point(keyring, CB_OWN_CARD_AGREEMENT, own), CB_OK);
    assert_int_equal(cb_keyring_host_agree(keyring, peer, ours), CB_OK);
    assert_int_equal(cb_p256_agree(scalar, CB_BYTES_OF(own), theirs), CB_OK);
    assert_memory_equal(ours, theirs, sizeof ours);
    assert_int_equal(cb_keyring_host_sign(keyring, &digest, signature), CB_OK);
    assert_int_equal(cb_keyring_point(keyring, CB_OWN_CARD_SIGNATURE, own), CB_OK);
    assert_true(cb_p256_verify(CB_BYTES_OF(own), &digest, CB_BYTES_OF(signature)));
    assert_int_equal(cb_keyring_sign(keyring, CB_OWN_LOG, &digest, signature), CB_OK);
    assert_false(cb_p256_verify(CB_BYTES_OF(own), &digest, CB_BYTES_OF(signature)));
    assert_int_equal(cb_keyring_point(keyring, CB_OWN_LOG, own), CB_OK);
    assert_true(cb_p256_verify(CB_BYTES_OF(own), &digest, CB_BYTES_OF(signature)));
}

static void each_key_does_its_own_work_only(void **state)
{
    (void)state;
    uint8_t out[CB_P256_SIGNATURE], point[CB_P256_POINT];
    cb_digest digest = {{1}};
    assert_int_equal(cb_keyring_sign(keyring, CB_OWN_CARD_AGREEMENT, &digest, out), CB_E_ARGUMENT);
    assert_int_equal(cb_keyring_sign(keyring, CB_OWN_IMPORT, &digest, out), CB_E_ARGUMENT);
    assert_int_equal(cb_keyring_point(keyring, CB_OWN_IMPORT, point), CB_E_ARGUMENT);
    /* not even when the token is asked directly */
    const CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0}, rsa = {CKM_RSA_PKCS, NULL, 0};
    cb_bytes part = cb_digest_bytes(&digest);
    for (unsigned i = 0; i < CB_OWN_KEY_COUNT; i++) {
        char label[48];
        cb_buf signature = CB_BUF(1024);
        cb_own_key_label((cb_own_key)i, label);
        cb_token_key key = cb_token_key_named(CKO_PRIVATE_KEY, label);
        bool signs = i == CB_OWN_CARD_SIGNATURE || i == CB_OWN_LOG || i == CB_OWN_TERMINALS;
        assert_int_equal(cb_token_sign_with(token(), &key, i == CB_OWN_IMPORT ? &rsa : &ecdsa,
                                            &part, 1, &signature),
                         signs ? CB_OK : CB_E_HSM_TOKEN);
        cb_buf_free(&signature);
    }
}

static void a_peer_that_is_not_on_the_curve_is_refused(void **state)
{
    (void)state;
    uint8_t scalar[CB_P256_SCALAR], peer[CB_P256_POINT], shared[CB_P256_SCALAR];
    assert_int_equal(cb_p256_generate(scalar, peer), CB_OK);
    peer[64] ^= 1;
    assert_int_equal(cb_keyring_host_agree(keyring, peer, shared), CB_E_CARD_ANSWER);
    memset(peer, 0, sizeof peer);
    assert_int_equal(cb_keyring_host_agree(keyring, peer, shared), CB_E_CARD_ANSWER);
}

static void own_keys_have_names(void **state)
{
    (void)state;
    cb_own_key key;
    for (unsigned i = 0; i < CB_OWN_KEY_COUNT; i++) {
        assert_int_equal(cb_own_key_parse(cb_own_key_name((cb_own_key)i), &key), CB_OK);
        assert_int_equal(key, i);
        cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
        assert_int_equal(cb_keyring_public(keyring, key, &spki), CB_OK);
        assert_int_equal(spki.len, i == CB_OWN_IMPORT ? 422 : 91);
        cb_buf_free(&spki);
    }
    assert_null(cb_own_key_name(CB_OWN_KEY_COUNT));
    assert_int_equal(cb_own_key_parse("records", &key), CB_E_NOT_FOUND);
}

/* ---- Losing the token ---- */

static void lose_session(void)
{
    assert_int_equal(token()->f->C_CloseAllSessions(token()->slot), CKR_OK);
}

static void lose_login(void) { assert_int_equal(token()->f->C_Logout(token()->session), CKR_OK); }

static cb_error try_everything(void)
{
    static const uint8_t algorithms[] = {CB_KEY_EC_P256, CB_KEY_HMAC_SHA256, CB_KEY_SECRET};
    cb_error error = CB_OK;
    for (size_t i = 0; i < sizeof algorithms && !error; i++) {
        cb_sealed_info info = {
            .holder = {{1}}, .service = "tax", .algorithm = algorithms[i], .uses = 1};
        cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(CB_PUBLIC_KEY_MAX);
        error = cb_sealed_generate(keyring, &info, (cb_bytes){0}, &sealed, &spki, NULL);
        cb_buf_free(&sealed);
        cb_buf_free(&spki);
    }
    return error;
}

static void a_lost_session_is_taken_up_again(void **state)
{
    (void)state;
    void (*const losses[])(void) = {lose_session, lose_login};
    for (size_t i = 0; i < 2; i++) {
        cb_digest before, after;
        uint8_t scalar[CB_P256_SCALAR], peer[CB_P256_POINT], shared[CB_P256_SCALAR];
        uint8_t signature[CB_P256_SIGNATURE];
        cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
        assert_int_equal(cb_p256_generate(scalar, peer), CB_OK);
        assert_int_equal(cb_keyring_mac(keyring, CB_MAC_MEMORY, NULL, 0, &before), CB_OK);
        losses[i]();
        assert_int_equal(cb_keyring_mac(keyring, CB_MAC_MEMORY, NULL, 0, &after), CB_OK);
        assert_memory_equal(&before, &after, sizeof before);
        losses[i]();
        assert_int_equal(cb_keyring_sign(keyring, CB_OWN_LOG, &before, signature), CB_OK);
        losses[i]();
        assert_int_equal(cb_keyring_host_agree(keyring, peer, shared), CB_OK);
        losses[i]();
        assert_int_equal(cb_keyring_public(keyring, CB_OWN_IMPORT, &spki), CB_OK);
        losses[i]();
        assert_int_equal(try_everything(), CB_OK);
        cb_buf_free(&spki);
    }
}

static void an_open_key_does_not_outlive_its_login(void **state)
{
    (void)state;
    cb_sealed_info info = {
        .holder = {{1}}, .service = "tax", .algorithm = CB_KEY_EC_P256, .uses = 1};
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(CB_PUBLIC_KEY_MAX), out = CB_BUF(1024);
    cb_open_key key = {0};
    cb_digest digest = {{1}}, mac;
    size_t count = 99;
    assert_int_equal(cb_sealed_generate(keyring, &info, (cb_bytes){0}, &sealed, &spki, NULL),
                     CB_OK);
    assert_int_equal(cb_sealed_open(keyring, cb_buf_bytes(&sealed), &key), CB_OK);
    lose_session();
    assert_int_equal(cb_keyring_mac(keyring, CB_MAC_MEMORY, NULL, 0, &mac), CB_OK);
    assert_int_equal(cb_open_key_use(keyring, &key, CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                                     cb_digest_bytes(&digest), &out),
                     CB_E_HSM_TOKEN);
    assert_int_equal(out.len, 0);
    cb_open_key_close(keyring, &key);
    assert_int_equal(cb_sealed_open(keyring, cb_buf_bytes(&sealed), &key), CB_OK);
    assert_int_equal(cb_open_key_use(keyring, &key, CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                                     cb_digest_bytes(&digest), &out),
                     CB_OK);
    cb_open_key_close(keyring, &key);
    assert_int_equal(cb_open_key_use(keyring, &key, CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                                     cb_digest_bytes(&digest), &out),
                     CB_E_HSM_TOKEN);
    /* A record that was checked before opens in a new login as well; cut, it is none. */
    lose_session();
    assert_int_equal(cb_sealed_open_believed(keyring, cb_buf_bytes(&sealed), &key), CB_OK);
    assert_int_equal(cb_open_key_use(keyring, &key, CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                                     cb_digest_bytes(&digest), &out),
                     CB_OK);
    cb_open_key_close(keyring, &key);
    for (size_t len = 0; len < sealed.len; len++) {
        assert_int_equal(cb_sealed_open_believed(keyring, cb_bytes_make(sealed.data, len), &key),
                         CB_E_HSM_RECORD);
        cb_open_key_close(keyring, &key);
    }
    assert_int_equal(cb_token_count(token(), false, &count), CB_OK);
    assert_int_equal(count, 0);
    cb_buf_free(&sealed);
    cb_buf_free(&spki);
    cb_buf_free(&out);
}

#define WITH_KEYRING(test) cmocka_unit_test_setup_teardown(test, open_keyring, close_keyring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_token_has_its_copy_from_the_beginning),
        cmocka_unit_test(what_cannot_be_opened_is_a_configuration_error),
        cmocka_unit_test(a_token_whose_file_was_cut_off_is_put_back),
        cmocka_unit_test(a_token_that_was_changed_is_left_as_it_is),
        cmocka_unit_test(a_token_without_a_copy_has_one_before_its_first_login),
        cmocka_unit_test(nobody_waits_for_a_pipe_in_the_place_of_the_copy),
        cmocka_unit_test(the_token_is_found_where_softhsm_finds_it),
        cmocka_unit_test(where_it_is_not_found_that_is_said_once),
        cmocka_unit_test(processes_that_start_together_all_get_in),
        cmocka_unit_test(initialising_again_changes_nothing),
        cmocka_unit_test(a_damaged_generation_is_passed_over_and_never_destroyed),
        cmocka_unit_test(a_wrong_officer_adds_nothing),
        cmocka_unit_test(a_generation_made_elsewhere_is_found_while_serving),
        WITH_KEYRING(macs_are_of_their_purpose_only),
        WITH_KEYRING(a_mac_that_is_cut_or_changed_does_not_do),
        WITH_KEYRING(the_broker_agrees_and_signs_as_its_public_keys_say),
        WITH_KEYRING(each_key_does_its_own_work_only),
        WITH_KEYRING(a_peer_that_is_not_on_the_curve_is_refused),
        WITH_KEYRING(own_keys_have_names),
        WITH_KEYRING(a_lost_session_is_taken_up_again),
        WITH_KEYRING(an_open_key_does_not_outlive_its_login),
    };
    return cmocka_run_group_tests(tests, make_token, remove_token);
}
