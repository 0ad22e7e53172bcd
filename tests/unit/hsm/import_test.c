/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Keys that others made, taken in on a real token. They are made and wrapped by OpenSSL, as an
 * administrator would.
 */
#include "hsm/sealed.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/config.h"
#include "base/secret.h"
#include "keyring_steps.h"

enum { OAEP = 384 };

static void put_file(const char *name, cb_bytes content)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", hsm.folder, name);
    assert_int_equal(cb_file_replace(path, content, 0600), CB_OK);
}

static cb_buf get_file(const char *name)
{
    char path[128];
    cb_buf content = CB_BUF(16 * 1024);
    snprintf(path, sizeof path, "%s/%s", hsm.folder, name);
    assert_int_equal(cb_file_read(path, &content), CB_OK);
    return content;
}

/* Runs a line of shell in the folder; whether it succeeded. */
static bool shell(const char *line)
{
    char command[1280];
    snprintf(command, sizeof command, "cd %s && { %s; } >out.txt 2>&1", hsm.folder, line);
    return system(command) == 0;
}

static int setup(void **state)
{
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    int failed = open_token(state);
    assert_int_equal(cb_keyring_public(keyring, CB_OWN_IMPORT, &spki), CB_OK);
    put_file("import.der", cb_buf_bytes(&spki));
    cb_buf_free(&spki);
    return failed;
}

/* Wraps key.bin as client.h says, with a transport key of that many bytes. */
static cb_buf wrapped_key(unsigned transport_bytes)
{
    char line[1024];
    unsigned bits = transport_bytes * 8;
    snprintf(
        line, sizeof line,
        "openssl rand -out t.bin %u && "
        "openssl pkeyutl -encrypt -pubin -keyform DER -inkey import.der -in t.bin -out oaep.bin"
        " -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 && "
        "openssl enc -id-aes%u-wrap-pad -K $(od -An -v -tx1 t.bin | tr -d ' \\n') -iv A65959A6"
        " -in key.bin -out kwp.bin && cat oaep.bin kwp.bin > wrapped.bin",
        transport_bytes, bits);
    assert_true(shell(line));
    return get_file("wrapped.bin");
}

static cb_error use(cb_bytes sealed, uint8_t operation, cb_bytes data, cb_buf *result)
{
    cb_open_key key;
    cb_error error = cb_sealed_open(keyring, sealed, &key);
    if (!error)
        error = cb_open_key_use(keyring, &key, operation, CB_HASH_SHA256, data, result);
    cb_open_key_close(keyring, &key);
    return error;
}

static bool openssl_verifies(const cb_digest *digest, const cb_buf *signature, bool ec)
{
    cb_buf der = CB_BUF(1024);
    if (ec)
        cb_ecdsa_to_der(cb_buf_bytes(signature), &der);
    else
        cb_buf_put(&der, cb_buf_bytes(signature));
    put_file("digest.bin", cb_digest_bytes(digest));
    put_file("signature.bin", cb_buf_bytes(&der));
    cb_buf_free(&der);
    return shell("openssl pkeyutl -verify -pubin -keyform DER -inkey public.der -in digest.bin"
                 " -sigfile signature.bin -pkeyopt digest:sha256");
}

static const struct {
    uint8_t algorithm;
    const char *make;
} pairs[] = {
    {CB_KEY_EC_P256, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"},
    {CB_KEY_EC_P384, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out key.pem"},
    {CB_KEY_RSA_2048, "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem"},
    {CB_KEY_RSA_3072, "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out key.pem"},
};

static void make_pkcs8(const char *how)
{
    assert_true(shell(how));
    assert_true(shell("openssl pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.bin && "
                      "openssl pkey -in key.pem -pubout -outform DER -out public.der"));
}

static void one_pair(uint8_t algorithm, bool ec)
{
    cb_sealed_info info = info_for(algorithm);
    cb_digest digest = cb_sha256(cb_bytes_str("to be signed"));
    cb_buf wrapped = wrapped_key(32), sealed = CB_BUF(CB_SEALED_MAX);
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX), signature = CB_BUF(1024),
           right = get_file("public.der");
    assert_int_equal(cb_sealed_import(keyring, &info, cb_buf_bytes(&wrapped), &sealed, &spki),
                     CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&spki), cb_buf_bytes(&right)));
    assert_int_equal(
        use(cb_buf_bytes(&sealed), CB_USE_SIGN_DIGEST, cb_digest_bytes(&digest), &signature),
        CB_OK);
    assert_true(openssl_verifies(&digest, &signature, ec));
    cb_buf_free(&wrapped);
    cb_buf_free(&sealed);
    cb_buf_free(&spki);
    cb_buf_free(&signature);
    cb_buf_free(&right);
}

static void an_imported_pair_signs_and_tells_its_own_public_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        bool ec = pairs[i].algorithm == CB_KEY_EC_P256 || pairs[i].algorithm == CB_KEY_EC_P384;
        /* of an EC key each sign of Y must come up */
        for (int n = 0; n < (ec ? 6 : 1); n++) {
            make_pkcs8(pairs[i].make);
            one_pair(pairs[i].algorithm, ec);
        }
    }
    assert_int_equal(session_objects(), 0);
}

static void a_key_that_is_not_what_it_is_said_to_be_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        make_pkcs8(pairs[i].make);
        cb_buf wrapped = wrapped_key(32);
        for (uint8_t said = CB_KEY_EC_P256; said <= CB_KEY_RSA_3072; said++) {
            cb_sealed_info info = info_for(said);
            cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(CB_PUBLIC_KEY_MAX);
            cb_error error =
                cb_sealed_import(keyring, &info, cb_buf_bytes(&wrapped), &sealed, &spki);
            assert_int_equal(error, said == pairs[i].algorithm ? CB_OK : CB_E_FORMAT);
            assert_int_equal(sealed.len > 0, error == CB_OK);
            cb_buf_free(&sealed);
            cb_buf_free(&spki);
        }
        cb_buf_free(&wrapped);
    }
    assert_int_equal(session_objects(), 0);
}

static cb_error import_secret(uint8_t algorithm, cb_bytes value, unsigned transport, cb_buf *sealed)
{
    cb_sealed_info info = info_for(algorithm);
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    put_file("key.bin", value);
    cb_buf wrapped = wrapped_key(transport);
    cb_error error = cb_sealed_import(keyring, &info, cb_buf_bytes(&wrapped), sealed, &spki);
    assert_int_equal(spki.len, 0);
    cb_buf_free(&wrapped);
    cb_buf_free(&spki);
    return error;
}

static void a_password_comes_out_as_it_went_in(void **state)
{
    (void)state;
    static const char *const passwords[] = {"p", "seven77", "eight888", "nine nine",
                                            "correct horse battery staple"};
    for (size_t i = 0; i < sizeof passwords / sizeof *passwords; i++) {
        cb_bytes password = cb_bytes_str(passwords[i]);
        cb_buf sealed = CB_BUF(CB_SEALED_MAX), out = CB_BUF(CB_USE_RESULT_MAX);
        assert_int_equal(import_secret(CB_KEY_SECRET, password, 32, &sealed), CB_OK);
        assert_int_equal(use(cb_buf_bytes(&sealed), CB_USE_MAC, password, &out),
                         CB_E_HSM_ALGORITHM);
        assert_int_equal(use(cb_buf_bytes(&sealed), CB_USE_SIGN_DIGEST, password, &out),
                         CB_E_HSM_ALGORITHM);
        assert_int_equal(use(cb_buf_bytes(&sealed), CB_USE_RELEASE, (cb_bytes){0}, &out), CB_OK);
        assert_true(cb_bytes_same(cb_buf_bytes(&out), password));
        cb_buf_free(&sealed);
        cb_buf_free(&out);
    }
    assert_int_equal(session_objects(), 0);
}

static void zeros_at_the_end_of_a_secret_belong_to_it(void **state)
{
    (void)state;
    static const uint8_t value[23] = {1, 2, 3};
    for (size_t len = 4; len <= sizeof value; len++) {
        cb_buf sealed = CB_BUF(CB_SEALED_MAX), out = CB_BUF(CB_USE_RESULT_MAX);
        assert_int_equal(import_secret(CB_KEY_SECRET, cb_bytes_make(value, len), 32, &sealed),
                         CB_OK);
        assert_int_equal(use(cb_buf_bytes(&sealed), CB_USE_RELEASE, (cb_bytes){0}, &out), CB_OK);
        assert_true(cb_bytes_same(cb_buf_bytes(&out), cb_bytes_make(value, len)));
        cb_buf_free(&sealed);
        cb_buf_free(&out);
    }
}

static void an_imported_secret_makes_the_macs_it_should(void **state)
{
    (void)state;
    uint8_t value[CB_SECRET_MAX + 8];
    cb_random(value, sizeof value);
    static const size_t sizes[] = {CB_HMAC_SECRET_MIN, 33, 63, 64, 72, 200, CB_SECRET_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cb_digest right;
        cb_bytes key = cb_bytes_make(value, sizes[i]), message = cb_bytes_str("message");
        cb_buf sealed = CB_BUF(CB_SEALED_MAX), out = CB_BUF(CB_USE_RESULT_MAX);
        assert_int_equal(import_secret(CB_KEY_HMAC_SHA256, key, 32, &sealed), CB_OK);
        assert_int_equal(use(cb_buf_bytes(&sealed), CB_USE_MAC, message, &out), CB_OK);
        assert_int_equal(cb_hmac_sha256(key, message, &right), CB_OK);
        assert_true(cb_bytes_same(cb_buf_bytes(&out), cb_digest_bytes(&right)));
        assert_int_equal(use(cb_buf_bytes(&sealed), CB_USE_RELEASE, (cb_bytes){0}, &out),
                         CB_E_HSM_ALGORITHM);
        cb_buf_free(&sealed);
        cb_buf_free(&out);
    }
    assert_int_equal(session_objects(), 0);
}

static void secrets_of_a_wrong_size_are_refused(void **state)
{
    (void)state;
    uint8_t value[CB_SECRET_MAX + 8];
    cb_random(value, sizeof value);
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    assert_int_equal(import_secret(CB_KEY_HMAC_SHA256, cb_bytes_make(value, CB_HMAC_SECRET_MIN - 1),
                                   32, &sealed),
                     CB_E_FORMAT);
    assert_int_equal(import_secret(CB_KEY_HMAC_SHA256, CB_BYTES_OF(value), 32, &sealed),
                     CB_E_FORMAT);
    /* SoftHSM would fill it up and make other MACs. */
    assert_int_equal(import_secret(CB_KEY_HMAC_SHA256, cb_bytes_make(value, 65), 32, &sealed),
                     CB_E_FORMAT);
    assert_int_equal(import_secret(CB_KEY_SECRET, CB_BYTES_OF(value), 32, &sealed), CB_E_FORMAT);
    assert_int_equal(sealed.len, 0);
    cb_buf_free(&sealed);
    assert_int_equal(session_objects(), 0);
}

static void what_was_changed_or_cut_on_the_way_is_refused_and_leaves_nothing(void **state)
{
    (void)state;
    make_pkcs8(pairs[0].make);
    cb_buf wrapped = wrapped_key(32), sealed = CB_BUF(CB_SEALED_MAX),
           spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_sealed_info info = info_for(CB_KEY_EC_P256);
    for (size_t i = 0; i < wrapped.len; i += i < OAEP ? 37 : 1) {
        wrapped.data[i] ^= 1;
        assert_int_equal(cb_sealed_import(keyring, &info, cb_buf_bytes(&wrapped), &sealed, &spki),
                         CB_E_FORMAT);
        wrapped.data[i] ^= 1;
    }
    for (size_t len = 0; len < wrapped.len; len += len < OAEP - 8 ? 61 : 1)
        assert_int_equal(
            cb_sealed_import(keyring, &info, cb_bytes_make(wrapped.data, len), &sealed, &spki),
            CB_E_FORMAT);
    assert_int_equal(sealed.len + spki.len, 0);
    assert_int_equal(session_objects(), 0);
    assert_int_equal(cb_sealed_import(keyring, &info, cb_buf_bytes(&wrapped), &sealed, &spki),
                     CB_OK);
    cb_buf_free(&wrapped);
    cb_buf_free(&sealed);
    cb_buf_free(&spki);
}

static void what_is_no_key_inside_a_genuine_wrapping_is_refused_and_leaves_nothing(void **state)
{
    (void)state;
    uint8_t noise[138];
    cb_random(noise, sizeof noise);
    put_file("key.bin", CB_BYTES_OF(noise));
    cb_buf wrapped = wrapped_key(32), sealed = CB_BUF(CB_SEALED_MAX),
           spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    for (uint8_t algorithm = CB_KEY_EC_P256; algorithm <= CB_KEY_RSA_3072; algorithm++) {
        cb_sealed_info info = info_for(algorithm);
        assert_int_equal(cb_sealed_import(keyring, &info, cb_buf_bytes(&wrapped), &sealed, &spki),
                         CB_E_FORMAT);
    }
    assert_int_equal(sealed.len + spki.len, 0);
    assert_int_equal(session_objects(), 0);
    cb_buf_free(&wrapped);
    cb_buf_free(&sealed);
    cb_buf_free(&spki);
}

static void a_password_is_the_same_after_rewrapping(void **state)
{
    (void)state;
    uint32_t generation = 0;
    cb_bytes password = cb_bytes_str("thirteen char");
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), again = CB_BUF(CB_SEALED_MAX),
           out = CB_BUF(CB_USE_RESULT_MAX);
    cb_buf pin = softhsm_pin(), so_pin = softhsm_so_pin();
    cb_initialise_options options = {.token = softhsm_config(&hsm), .so_pin = &so_pin, .pin = &pin};
    assert_int_equal(import_secret(CB_KEY_SECRET, password, 32, &sealed), CB_OK);
    cb_keyring_close(&keyring);
    assert_int_equal(cb_hsm_add_generation(&options, &generation), CB_OK);
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_sealed_rewrap(keyring, cb_buf_bytes(&sealed), &again), CB_OK);
    assert_false(cb_bytes_same(cb_buf_bytes(&sealed), cb_buf_bytes(&again)));
    assert_int_equal(use(cb_buf_bytes(&again), CB_USE_RELEASE, (cb_bytes){0}, &out), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&out), password));
    cb_buf_free(&sealed);
    cb_buf_free(&again);
    cb_buf_free(&out);
    assert_int_equal(session_objects(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_imported_pair_signs_and_tells_its_own_public_key),
        cmocka_unit_test(a_key_that_is_not_what_it_is_said_to_be_is_refused),
        cmocka_unit_test(a_password_comes_out_as_it_went_in),
        cmocka_unit_test(zeros_at_the_end_of_a_secret_belong_to_it),
        cmocka_unit_test(an_imported_secret_makes_the_macs_it_should),
        cmocka_unit_test(secrets_of_a_wrong_size_are_refused),
        cmocka_unit_test(what_was_changed_or_cut_on_the_way_is_refused_and_leaves_nothing),
        cmocka_unit_test(what_is_no_key_inside_a_genuine_wrapping_is_refused_and_leaves_nothing),
        cmocka_unit_test(a_password_is_the_same_after_rewrapping),
    };
    return cmocka_run_group_tests(tests, setup, close_token);
}
