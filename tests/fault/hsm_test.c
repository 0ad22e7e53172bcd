/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What hsmd does with its token, on a real one: each call to it fails in turn, and each allocation.
 * Nothing is left behind in the token, no record comes out half made, and the next request finds
 * all well.
 */
#include "tests/support/pkcs11_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/config.h"
#include "base/secret.h"
#include "hsm/binding.h"
#include "hsm/config.h"
#include "hsm/csr.h"
#include "hsm/receipt.h"
#include "hsm/sealed.h"
#include "hsm/vault_keyring.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/softhsm.h"

/* What a flow returns when it was given something false; it is no listed error. */
#define WRONG CB_ERROR_COUNT

enum { KINDS = CB_KEY_SECRET + 1 };

typedef struct hsm_flows {
    softhsm hsm;
    cb_hsmd_config config;
    cb_buf pin;
    cb_vault_keyring vault;
    cb_buf sealed[KINDS], public_key[KINDS]; /* one key of each algorithm */
    cb_buf binding, receipt;
    cb_buf wrapped;    /* a P-256 key that somebody else made, for import */
    size_t persistent; /* objects in the token */
} hsm_flows;

static cb_sealed_info info_for(uint8_t algorithm)
{
    return (cb_sealed_info){.holder = {{1}},
                            .service = "tax",
                            .algorithm = algorithm,
                            .level = CB_LEVEL_POSSESSION,
                            .uses = 1,
                            .sequence = 1};
}

static cb_token *token_of(hsm_flows *h) { return cb_keyring_token(h->vault.keyring); }

/* ---- Before and after ---- */

static void make_keys(hsm_flows *h)
{
    for (uint8_t a = CB_KEY_EC_P256; a <= CB_KEY_SECRET; a++) {
        cb_sealed_info info = info_for(a);
        cb_buf_init(&h->sealed[a], CB_SEALED_MAX);
        cb_buf_init(&h->public_key[a], CB_PUBLIC_KEY_MAX);
        assert_int_equal(h->vault.vault.generate(&h->vault, &info, (cb_bytes){0}, &h->sealed[a],
                                                 &h->public_key[a], NULL),
                         CB_OK);
    }
}

static cb_binding_info binding_info(void)
{
    static cb_binding_info info = {.card = {{1}},
                                   .holder = {{2}},
                                   .profile = CB_PROFILE_NATIVE,
                                   .level = CB_LEVEL_PIN,
                                   .sequence = 1};
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    if (info.keys.count == 0) {
        assert_int_equal(cb_p256_generate(scalar, point), CB_OK);
        info.keys = (cb_card_keys){.count = 1, .key = {cb_card_key_of_point(point)}};
    }
    return info;
}

/* As an administrator wraps a key with OpenSSL. */
static void wrap_a_key(hsm_flows *h)
{
    char path[128], command[1024];
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    assert_int_equal(cb_keyring_public(h->vault.keyring, CB_OWN_IMPORT, &spki), CB_OK);
    snprintf(path, sizeof path, "%s/import.der", h->hsm.folder);
    assert_int_equal(cb_file_replace(path, cb_buf_bytes(&spki), 0600), CB_OK);
    snprintf(command, sizeof command,
             "cd %s && openssl rand -out t.bin 32 && "
             "openssl pkeyutl -encrypt -pubin -keyform DER -inkey import.der -in t.bin -out w.bin"
             " -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 && "
             "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER |"
             " openssl pkcs8 -topk8 -nocrypt -inform DER -outform DER -out key.bin && "
             "openssl enc -id-aes256-wrap-pad -K $(od -An -v -tx1 t.bin | tr -d ' \\n')"
             " -iv A65959A6 -in key.bin >> w.bin",
             h->hsm.folder);
    assert_int_equal(system(command), 0); // NOLINT
    snprintf(path, sizeof path, "%s/w.bin", h->hsm.folder);
    h->wrapped = CB_BUF(4096);
    assert_int_equal(cb_file_read(path, &h->wrapped), CB_OK);
    cb_buf_free(&spki);
}

static void make_all(hsm_flows *h)
{
    cb_binding_info binding = binding_info();
    cb_receipt_info receipt = {.boot = {{1}}, .counter = 1, .tap = {{2}}, .operation = 1};
    softhsm_make(&h->hsm);
    h->config = (cb_hsmd_config){.token = softhsm_config(&h->hsm)};
    h->pin = softhsm_pin();
    assert_int_equal(cb_vault_keyring_open(&h->config, &h->pin, &h->vault), CB_OK);
    make_keys(h);
    h->binding = CB_BUF(CB_BINDING_MAX);
    h->receipt = CB_BUF(CB_RECEIPT_MAX);
    assert_int_equal(cb_binding_make(h->vault.keyring, &binding, &h->binding), CB_OK);
    assert_int_equal(cb_receipt_make(h->vault.keyring, &receipt, &h->receipt), CB_OK);
    wrap_a_key(h);
    assert_int_equal(cb_token_count(token_of(h), true, &h->persistent), CB_OK);
}

static void end_all(hsm_flows *h)
{
    for (unsigned a = 0; a < KINDS; a++) {
        cb_buf_free(&h->sealed[a]);
        cb_buf_free(&h->public_key[a]);
    }
    cb_buf_free(&h->binding);
    cb_buf_free(&h->receipt);
    cb_buf_free(&h->wrapped);
    cb_buf_free(&h->pin);
    cb_vault_keyring_close(&h->vault);
    softhsm_remove(&h->hsm);
}

static cb_error use_key(hsm_flows *h, uint8_t algorithm, cb_buf *result)
{
    static const uint8_t operations[KINDS] = {
        [CB_KEY_EC_P256] = CB_USE_SIGN_DIGEST,  [CB_KEY_EC_P384] = CB_USE_SIGN_DIGEST,
        [CB_KEY_RSA_2048] = CB_USE_SIGN_DIGEST, [CB_KEY_RSA_3072] = CB_USE_SIGN_PSS,
        [CB_KEY_HMAC_SHA256] = CB_USE_MAC,      [CB_KEY_SECRET] = CB_USE_RELEASE};
    cb_digest digest = cb_sha256(cb_bytes_str("challenge"));
    cb_bytes data = algorithm == CB_KEY_SECRET ? (cb_bytes){0} : cb_digest_bytes(&digest);
    return h->vault.vault.sealed_use(&h->vault, cb_buf_bytes(&h->sealed[algorithm]),
                                     operations[algorithm], CB_HASH_SHA256, data, result);
}

/* The next request finds all well, and nothing is left in the token once it is done. */
static void all_is_well(void *context, cb_error result, bool struck)
{
    hsm_flows *h = context;
    cb_buf signature = CB_BUF(CB_USE_RESULT_MAX);
    size_t left = 0, persistent = 0;
    (void)result, (void)struck;
    assert_int_equal(use_key(h, CB_KEY_EC_P256, &signature), CB_OK);
    assert_int_equal(signature.len, 64);
    assert_int_equal(cb_token_count(token_of(h), false, &left), CB_OK);
    assert_int_equal(left, 0);
    assert_int_equal(cb_token_count(token_of(h), true, &persistent), CB_OK);
    assert_int_equal(persistent, h->persistent);
    cb_buf_free(&signature);
}

/* ---- The flows ---- */

static cb_error use_each(void *context)
{
    hsm_flows *h = context;
    cb_error error = CB_OK;
    for (uint8_t a = CB_KEY_EC_P256; !error && a <= CB_KEY_SECRET; a++) {
        cb_buf result = CB_BUF(CB_USE_RESULT_MAX);
        error = use_key(h, a, &result);
        if (!error && result.len < 32)
            error = WRONG;
        cb_buf_free(&result);
    }
    return error;
}

static cb_error generate(hsm_flows *h, uint8_t algorithm, cb_bytes subject)
{
    cb_sealed_info info = info_for(algorithm);
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), key = CB_BUF(CB_PUBLIC_KEY_MAX),
           csr = CB_BUF(CB_CSR_MAX);
    cb_error error = h->vault.vault.generate(&h->vault, &info, subject, &sealed, &key,
                                             subject.len > 0 ? &csr : NULL);
    if (!error && (sealed.len == 0 || (subject.len > 0 && csr.len == 0)))
        error = WRONG;
    cb_buf_free(&sealed);
    cb_buf_free(&key);
    cb_buf_free(&csr);
    return error;
}

static cb_error generate_some(void *context)
{
    /* CN=x */
    static const uint8_t subject[] = {0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06,
                                      0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, 'x'};
    cb_error error = generate(context, CB_KEY_EC_P256, CB_BYTES_OF(subject));
    if (!error)
        error = generate(context, CB_KEY_EC_P384, (cb_bytes){0});
    if (!error)
        error = generate(context, CB_KEY_HMAC_SHA256, (cb_bytes){0});
    return error ? error : generate(context, CB_KEY_SECRET, (cb_bytes){0});
}

static cb_error generate_rsa(void *context)
{
    return generate(context, CB_KEY_RSA_2048, (cb_bytes){0});
}

/* What comes out is whole: it is used at once. */
static cb_error use_of(hsm_flows *h, const cb_buf *sealed)
{
    const cb_vault *v = &h->vault.vault;
    cb_digest digest = cb_sha256(cb_bytes_str("challenge"));
    cb_buf result = CB_BUF(CB_USE_RESULT_MAX);
    cb_error error = v->sealed_use(v->context, cb_buf_bytes(sealed), CB_USE_SIGN_DIGEST,
                                   CB_HASH_SHA256, cb_digest_bytes(&digest), &result);
    if (!error && result.len != CB_P256_SIGNATURE)
        error = WRONG;
    cb_buf_free(&result);
    return error;
}

static cb_error import_one(void *context)
{
    hsm_flows *h = context;
    const cb_vault *v = &h->vault.vault;
    cb_sealed_info info = info_for(CB_KEY_EC_P256);
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), key = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_error error = v->import(v->context, &info, cb_buf_bytes(&h->wrapped), &sealed, &key);
    if (!error && key.len == 0)
        error = WRONG;
    if (!error)
        error = use_of(h, &sealed);
    cb_buf_free(&sealed);
    cb_buf_free(&key);
    return error;
}

static cb_error wrap_anew(void *context)
{
    hsm_flows *h = context;
    const cb_vault *v = &h->vault.vault;
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    cb_error error = v->rewrap(v->context, cb_buf_bytes(&h->sealed[CB_KEY_EC_P256]), &sealed);
    if (!error)
        error = use_of(h, &sealed);
    cb_buf_free(&sealed);
    return error;
}

static cb_error records(void *context)
{
    hsm_flows *h = context;
    cb_binding_info binding = binding_info();
    cb_receipt_info receipt = {.boot = {{1}}, .counter = 1, .tap = {{2}}, .operation = 1};
    cb_tree_head head = {1, cb_sha256(cb_bytes_str("root"))};
    cb_digest mac;
    uint8_t signature[CB_P256_SIGNATURE];
    const cb_vault *v = &h->vault.vault;
    cb_buf out = CB_BUF(CB_BINDING_MAX), other = CB_BUF(CB_RECEIPT_MAX);
    cb_error error = v->binding_make(v->context, &binding, &out);
    if (!error)
        error = v->binding_check(v->context, cb_buf_bytes(&out), &binding);
    if (!error)
        error = v->receipt_make(v->context, &receipt, &other);
    if (!error)
        error = v->receipt_check(v->context, cb_buf_bytes(&other));
    if (!error)
        error = v->head_mac(v->context, &head, &mac);
    if (!error)
        error = v->head_check(v->context, &head, &mac);
    if (!error)
        error = v->log_sign(v->context, &mac, signature);
    cb_buf_free(&out);
    cb_buf_free(&other);
    return error;
}

/* What is not genuine stays so, whatever fails while it is looked at. */
static cb_error false_records(void *context)
{
    hsm_flows *h = context;
    const cb_vault *v = &h->vault.vault;
    cb_binding_info binding;
    cb_sealed_info sealed;
    cb_tree_head head = {1, cb_sha256(cb_bytes_str("root"))};
    cb_digest mac = {{0}};
    cb_bytes one = cb_buf_bytes(&h->binding), key = cb_buf_bytes(&h->sealed[CB_KEY_EC_P256]);
    h->binding.data[20] ^= 1;
    h->receipt.data[20] ^= 1;
    h->sealed[CB_KEY_EC_P256].data[20] ^= 1;
    bool accepted = !v->binding_check(v->context, one, &binding) ||
                    !v->sealed_check(v->context, key, &sealed) ||
                    !v->sealed_check(v->context, one, &sealed) ||
                    !v->receipt_check(v->context, cb_buf_bytes(&h->receipt)) ||
                    !v->head_check(v->context, &head, &mac);
    h->binding.data[20] ^= 1;
    h->receipt.data[20] ^= 1;
    h->sealed[CB_KEY_EC_P256].data[20] ^= 1;
    return accepted ? WRONG : CB_OK;
}

static cb_error card_keys(void *context)
{
    hsm_flows *h = context;
    cb_binding_info info = binding_info();
    uint8_t shared[CB_P256_SCALAR], signature[CB_P256_SIGNATURE], point[CB_P256_POINT];
    cb_digest digest = cb_sha256(cb_bytes_str("transcript"));
    cb_keyring *keyring = h->vault.keyring;
    cb_buf key = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_error error = cb_keyring_host_agree(keyring, info.keys.key[0].data, shared);
    if (!error)
        error = cb_keyring_host_sign(keyring, &digest, signature);
    if (!error)
        error = cb_keyring_point(keyring, CB_OWN_CARD_SIGNATURE, point);
    if (!error)
        error = cb_p256_check(CB_BYTES_OF(point), &digest, CB_BYTES_OF(signature));
    if (error == CB_E_CRYPTO)
        error = WRONG;
    if (!error)
        error = cb_keyring_public(keyring, CB_OWN_IMPORT, &key);
    cb_buf_free(&key);
    return error;
}

static void close_it(void *context) { cb_vault_keyring_close(&((hsm_flows *)context)->vault); }

static cb_error open_it(void *context)
{
    hsm_flows *h = context;
    return cb_vault_keyring_open(&h->config, &h->pin, &h->vault);
}

static void opens_again(void *context, cb_error result, bool struck)
{
    hsm_flows *h = context;
    if (result)
        assert_int_equal(open_it(h), CB_OK);
    all_is_well(context, result, struck);
}

static const fault_flow flow[] = {
    {"using each kind of key", NULL, use_each, all_is_well},
    {"generating", NULL, generate_some, all_is_well},
    {"generating RSA", NULL, generate_rsa, all_is_well},
    {"importing", NULL, import_one, all_is_well},
    {"wrapping anew", NULL, wrap_anew, all_is_well},
    {"records", NULL, records, all_is_well},
    {"false records", NULL, false_records, all_is_well},
    {"the card's session", NULL, card_keys, all_is_well},
    {"opening", close_it, open_it, opens_again},
};

static hsm_flows shared;

static void each_flow(const fault_kind *kind, unsigned runs)
{
    /* An RSA key takes its time. */
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(kind, &flow[i], &shared, flow[i].run == generate_rsa ? 3 : runs);
}

static int make_token(void **state)
{
    (void)state;
    make_all(&shared);
    fault_quiet();
    return 0;
}

static int end_token(void **state)
{
    (void)state;
    end_all(&shared);
    return 0;
}

static void a_device_error_leaves_nothing_behind(void **state)
{
    (void)state;
    each_flow(&pkcs11_device_faults, 10);
}

static void a_module_without_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    each_flow(&pkcs11_memory_faults, 10);
}

static void a_lost_session_leaves_nothing_behind(void **state)
{
    (void)state;
    each_flow(&pkcs11_session_faults, 10);
}

static void a_lost_login_leaves_nothing_behind(void **state)
{
    (void)state;
    each_flow(&pkcs11_login_faults, 10);
}

static void a_removed_device_leaves_nothing_behind(void **state)
{
    (void)state;
    each_flow(&pkcs11_removed_faults, 10);
}

static void a_failed_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    each_flow(&alloc_faults, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_device_error_leaves_nothing_behind, fault_said),
        cmocka_unit_test_teardown(a_module_without_memory_leaves_nothing_behind, fault_said),
        cmocka_unit_test_teardown(a_lost_session_leaves_nothing_behind, fault_said),
        cmocka_unit_test_teardown(a_lost_login_leaves_nothing_behind, fault_said),
        cmocka_unit_test_teardown(a_removed_device_leaves_nothing_behind, fault_said),
        cmocka_unit_test_teardown(a_failed_allocation_leaves_nothing_behind, fault_said),
    };
    return cmocka_run_group_tests(tests, make_token, end_token);
}
