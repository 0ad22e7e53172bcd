/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making a token, completing one and adding a generation of key-encryption keys, while each call to
 * the token fails in turn. There is never a second token, no key takes another one's place, and the
 * act, done again, finishes what was begun.
 */
#include "tests/support/pkcs11_faults.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "hsm/config.h"
#include "hsm/sealed.h"
#include "hsm/vault_keyring.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/softhsm.h"

/* What a flow returns when it was given something false; it is no listed error. */
#define WRONG CB_ERROR_COUNT

typedef struct making {
    softhsm hsm;
    char so_pin[96];
    cb_hsmd_config config;
    cb_buf pin;
    cb_buf sealed, point; /* of a key that was made before */
    cb_digest log;        /* of the public half of the log's key then */
    size_t persistent;    /* objects then */
    cb_vault_keyring vault;
} making;

static making shared;

/* ---- The folder of tokens ---- */

static void shell(const making *m, const char *what)
{
    char command[256];
    snprintf(command, sizeof command, "cd %s && %s", m->hsm.folder, what);
    assert_int_equal(system(command), 0); // NOLINT
}

/* SoftHSM keeps each in a folder of its own. */
static unsigned tokens(const making *m)
{
    char path[96];
    unsigned count = 0;
    const struct dirent *entry;
    snprintf(path, sizeof path, "%s/tokens", m->hsm.folder);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while ((entry = readdir(folder)))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void no_token(void *context)
{
    making *m = context;
    cb_vault_keyring_close(&m->vault);
    shell(m, "rm -rf tokens && mkdir -m 700 tokens");
}

static void one_token(void *context)
{
    making *m = context;
    cb_vault_keyring_close(&m->vault);
    shell(m, "rm -rf tokens && cp -a made tokens");
}

/* ---- The acts ---- */

static cb_error initialise(const making *m, unsigned *made)
{
    cb_buf pin = softhsm_pin(), so_pin = softhsm_so_pin();
    cb_initialise_options options = {
        .token = softhsm_config(&m->hsm), .make_token = true, .so_pin = &so_pin, .pin = &pin};
    return cb_hsm_initialise(&options, made);
}

static cb_error make(void *context)
{
    unsigned made = 0;
    return initialise(context, &made);
}

static cb_error open_vault(making *m)
{
    return cb_vault_keyring_open(&m->config, &m->pin, &m->vault);
}

static void opened(void *context)
{
    one_token(context);
    assert_int_equal(open_vault(context), CB_OK);
}

static cb_error new_generation(void *context)
{
    making *m = context;
    uint32_t generation = 0;
    cb_error error = m->vault.vault.new_generation(&m->vault, &generation);
    return !error && generation < 2 ? WRONG : error;
}

/* ---- Afterwards ---- */

static cb_error make_key(making *m, cb_buf *sealed, cb_buf *key)
{
    cb_sealed_info info = {.holder = {{1}},
                           .service = "tax",
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_POSSESSION,
                           .uses = 1,
                           .sequence = 1};
    return m->vault.vault.generate(&m->vault, &info, (cb_bytes){0}, sealed, key, NULL);
}

static void signs(making *m, const cb_buf *sealed, const cb_buf *key)
{
    cb_digest digest = cb_sha256(cb_bytes_str("challenge"));
    cb_buf result = CB_BUF(CB_USE_RESULT_MAX);
    assert_int_equal(m->vault.vault.sealed_use(&m->vault, cb_buf_bytes(sealed), CB_USE_SIGN_DIGEST,
                                               CB_HASH_SHA256, cb_digest_bytes(&digest), &result),
                     CB_OK);
    cb_bytes point = cb_bytes_make(key->data + key->len - CB_P256_POINT, CB_P256_POINT);
    assert_true(cb_p256_verify(point, &digest, cb_buf_bytes(&result)));
    cb_buf_free(&result);
}

static cb_digest log_key(making *m)
{
    cb_buf key = CB_BUF(CB_PUBLIC_KEY_MAX);
    assert_int_equal(cb_keyring_public(m->vault.keyring, CB_OWN_LOG, &key), CB_OK);
    cb_digest digest = cb_sha256(cb_buf_bytes(&key));
    cb_buf_free(&key);
    return digest;
}

static size_t objects(making *m)
{
    size_t count = 0;
    assert_int_equal(cb_token_count(cb_keyring_token(m->vault.keyring), true, &count), CB_OK);
    return count;
}

/* Done again it is complete, and a third time there is nothing left to do. */
static void it_is_completed(making *m)
{
    unsigned made = 0;
    assert_int_equal(initialise(m, &made), CB_OK);
    assert_int_equal(initialise(m, &made), CB_OK);
    assert_int_equal(made, 0);
    assert_int_equal(tokens(m), 1);
    assert_int_equal(open_vault(m), CB_OK);
}

static void it_can_be_made(void *context, cb_error result, bool struck)
{
    making *m = context;
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), key = CB_BUF(CB_PUBLIC_KEY_MAX);
    (void)result, (void)struck;
    assert_true(tokens(m) <= 1);
    it_is_completed(m);
    assert_int_equal(make_key(m, &sealed, &key), CB_OK);
    signs(m, &sealed, &key);
    cb_buf_free(&sealed);
    cb_buf_free(&key);
    cb_vault_keyring_close(&m->vault);
}

static void it_is_what_it_was(void *context, cb_error result, bool struck)
{
    making *m = context;
    (void)result, (void)struck;
    it_is_completed(m);
    cb_digest log = log_key(m);
    assert_memory_equal(&log, &m->log, sizeof log);
    assert_int_equal(objects(m), m->persistent);
    signs(m, &m->sealed, &m->point);
    cb_vault_keyring_close(&m->vault);
}

static void old_keys_are_sealed_anew(void *context, cb_error result, bool struck)
{
    making *m = context;
    uint32_t generation = 0;
    cb_sealed_info info;
    cb_buf anew = CB_BUF(CB_SEALED_MAX);
    const cb_vault *v = &m->vault.vault;
    (void)result, (void)struck;
    signs(m, &m->sealed, &m->point);
    assert_int_equal(v->new_generation(v->context, &generation), CB_OK);
    assert_int_equal(v->rewrap(v->context, cb_buf_bytes(&m->sealed), &anew), CB_OK);
    assert_int_equal(v->sealed_check(v->context, cb_buf_bytes(&anew), &info), CB_OK);
    assert_int_equal(info.generation, generation);
    signs(m, &anew, &m->point);
    signs(m, &m->sealed, &m->point);
    cb_digest log = log_key(m);
    assert_memory_equal(&log, &m->log, sizeof log);
    cb_buf_free(&anew);
    cb_vault_keyring_close(&m->vault);
}

static const fault_flow flow[] = {
    {"making", no_token, make, it_can_be_made},
    {"completing what is complete", one_token, make, it_is_what_it_was},
    {"a new generation", opened, new_generation, old_keys_are_sealed_anew},
};

static int make_token(void **state)
{
    making *m = &shared;
    (void)state;
    softhsm_make(&m->hsm);
    fault_quiet();
    snprintf(m->so_pin, sizeof m->so_pin, "%.64s/so-pin", m->hsm.folder);
    if (cb_file_replace(m->so_pin, cb_bytes_str("87654321\n"), 0600))
        return -1;
    m->config = (cb_hsmd_config){.token = softhsm_config(&m->hsm), .so_pin_file = m->so_pin};
    m->pin = softhsm_pin();
    m->sealed = CB_BUF(CB_SEALED_MAX);
    m->point = CB_BUF(CB_PUBLIC_KEY_MAX);
    if (open_vault(m) || make_key(m, &m->sealed, &m->point))
        return -1;
    m->log = log_key(m);
    m->persistent = objects(m);
    cb_vault_keyring_close(&m->vault);
    shell(m, "cp -a tokens made");
    return 0;
}

static int end_token(void **state)
{
    making *m = &shared;
    (void)state;
    cb_vault_keyring_close(&m->vault);
    cb_buf_free(&m->sealed);
    cb_buf_free(&m->point);
    cb_buf_free(&m->pin);
    softhsm_remove(&m->hsm);
    return 0;
}

static void each_flow(const fault_kind *kind)
{
    /* The RSA key of a new token takes its time. */
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(kind, &flow[i], &shared,
                   flow[i].before == no_token    ? 3
                   : flow[i].before == one_token ? 24
                                                 : 8);
}

static void a_device_error_can_be_mended(void **state)
{
    (void)state;
    each_flow(&pkcs11_device_faults);
}

static void a_removed_device_can_be_mended(void **state)
{
    (void)state;
    each_flow(&pkcs11_removed_faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_device_error_can_be_mended, fault_said),
        cmocka_unit_test_teardown(a_removed_device_can_be_mended, fault_said),
    };
    return cmocka_run_group_tests(tests, make_token, end_token);
}
