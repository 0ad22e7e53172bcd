/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sealed keys on a real token.
 */
#include "hsm/sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/signature.h>

#include "base/secret.h"
#include "hsm/binding.h"
#include "hsm/client.h"
#include "hsm/receipt.h"
#include "hsm/record_codec.h"
#include "keyring_steps.h"

static void destroy_session_objects(void)
{
    cb_token *token = cb_keyring_token(keyring);
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE wanted = {CKA_TOKEN, &no, sizeof no};
    CK_OBJECT_HANDLE found[16];
    CK_ULONG count = 0;
    assert_int_equal(token->f->C_FindObjectsInit(token->session, &wanted, 1), CKR_OK);
    assert_int_equal(token->f->C_FindObjects(token->session, found, 16, &count), CKR_OK);
    assert_int_equal(token->f->C_FindObjectsFinal(token->session), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++)
        cb_token_destroy(token, &found[i]);
}

static size_t persistent_objects(void)
{
    size_t count = 0;
    assert_int_equal(cb_token_count(cb_keyring_token(keyring), true, &count), CB_OK);
    return count;
}

typedef struct made {
    cb_sealed_info info;
    cb_buf sealed, public_key;
} made;

static made make(uint8_t algorithm)
{
    made m = {info_for(algorithm), CB_BUF(CB_SEALED_MAX), CB_BUF(CB_PUBLIC_KEY_MAX)};
    assert_int_equal(
        cb_sealed_generate(keyring, &m.info, (cb_bytes){0}, &m.sealed, &m.public_key, NULL), CB_OK);
    return m;
}

static void unmake(made *m)
{
    cb_buf_free(&m->sealed);
    cb_buf_free(&m->public_key);
}

static cb_error use(cb_bytes sealed, uint8_t operation, uint8_t hash, cb_bytes data, cb_buf *result)
{
    cb_open_key key;
    cb_error error = cb_sealed_open(keyring, sealed, &key);
    if (!error)
        error = cb_open_key_use(keyring, &key, operation, hash, data, result);
    cb_open_key_close(keyring, &key);
    return error;
}

/* ---- Verification by somebody else ---- */

static bool verify_ec(const cb_buf *spki, cb_bytes digest, const cb_buf *raw)
{
    ecc_key key;
    word32 index = 0;
    int good = 0;
    cb_buf der = CB_BUF(256);
    cb_ecdsa_to_der(cb_buf_bytes(raw), &der);
    assert_int_equal(wc_ecc_init(&key), 0);
    assert_int_equal(wc_EccPublicKeyDecode(spki->data, &index, &key, (word32)spki->len), 0);
    int status = wc_ecc_verify_hash(der.data, (word32)der.len, digest.data, (word32)digest.len, &good, &key);
    wc_ecc_free(&key);
    cb_buf_free(&der);
    return status == 0 && good == 1;
}

static bool verify_rsa(const cb_buf *spki, cb_bytes digest, const cb_buf *signature, bool pss)
{
    RsaKey key;
    word32 index = 0;
    uint8_t out[512];
    assert_int_equal(wc_InitRsaKey(&key, NULL), 0);
    assert_int_equal(wc_RsaPublicKeyDecode(spki->data, &index, &key, (word32)spki->len), 0);
    int status;
    if (pss) {
        status = wc_RsaPSS_VerifyCheck(signature->data, (word32)signature->len, out, sizeof out, digest.data,
                                       (word32)digest.len, WC_HASH_TYPE_SHA256, WC_MGF1SHA256, &key);
    } else {
        status = wc_RsaSSL_Verify(signature->data, (word32)signature->len, out, sizeof out, &key);
        if (status > 0)
            status = status == 51 && memcmp(out + 19, digest.data, 32) == 0 ? 1 : -1;
    }
    wc_FreeRsaKey(&key);
    return status > 0;
}

static void every_algorithm_signs_what_its_public_key_verifies(void **state)
{
    (void)state;
    static const uint8_t algorithms[] = {CB_KEY_EC_P256, CB_KEY_EC_P384, CB_KEY_RSA_2048,
                                         CB_KEY_RSA_3072};
    cb_digest digest = cb_sha256(cb_bytes_str("challenge"));
    for (size_t i = 0; i < sizeof algorithms; i++) {
        made m = make(algorithms[i]);
        bool rsa = algorithms[i] >= CB_KEY_RSA_2048;
        cb_buf signature = CB_BUF(1024);
        assert_int_equal(use(cb_buf_bytes(&m.sealed), CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                             cb_digest_bytes(&digest), &signature),
                         CB_OK);
        assert_true(rsa ? verify_rsa(&m.public_key, cb_digest_bytes(&digest), &signature, false)
                        : verify_ec(&m.public_key, cb_digest_bytes(&digest), &signature));
        cb_buf_reset(&signature);
        assert_int_equal(use(cb_buf_bytes(&m.sealed), CB_USE_SIGN_PSS, CB_HASH_SHA256,
                             cb_digest_bytes(&digest), &signature),
                         rsa ? CB_OK : CB_E_HSM_ALGORITHM);
        if (rsa)
            assert_true(verify_rsa(&m.public_key, cb_digest_bytes(&digest), &signature, true));
        assert_int_equal(use(cb_buf_bytes(&m.sealed), CB_USE_MAC, 0, cb_digest_bytes(&digest),
                             &signature),
                         CB_E_HSM_ALGORITHM);
        assert_int_equal(use(cb_buf_bytes(&m.sealed), CB_USE_RELEASE, 0, (cb_bytes){0}, &signature),
                         CB_E_HSM_ALGORITHM);
        assert_int_equal(use(cb_buf_bytes(&m.sealed), CB_USE_SIGN_DIGEST, CB_HASH_SHA384,
                             cb_digest_bytes(&digest), &signature),
                         CB_E_ARGUMENT);
        cb_buf_free(&signature);
        unmake(&m);
    }
    assert_int_equal(session_objects(), 0);
}

static void a_secret_makes_macs_or_is_given_out_but_not_both(void **state)
{
    (void)state;
    made mac = make(CB_KEY_HMAC_SHA256), secret = make(CB_KEY_SECRET);
    cb_buf first = CB_BUF(256), second = CB_BUF(256);
    assert_int_equal(use(cb_buf_bytes(&mac.sealed), CB_USE_MAC, 0, cb_bytes_str("m"), &first), CB_OK);
    assert_int_equal(use(cb_buf_bytes(&mac.sealed), CB_USE_MAC, 0, cb_bytes_str("m"), &second), CB_OK);
    assert_int_equal(first.len, 32);
    assert_true(cb_bytes_same(cb_buf_bytes(&first), cb_buf_bytes(&second)));
    assert_int_equal(use(cb_buf_bytes(&mac.sealed), CB_USE_RELEASE, 0, (cb_bytes){0}, &first),
                     CB_E_HSM_ALGORITHM);
    cb_buf_reset(&first);
    cb_buf_reset(&second);
    assert_int_equal(use(cb_buf_bytes(&secret.sealed), CB_USE_RELEASE, 0, (cb_bytes){0}, &first), CB_OK);
    assert_int_equal(use(cb_buf_bytes(&secret.sealed), CB_USE_RELEASE, 0, (cb_bytes){0}, &second), CB_OK);
    assert_int_equal(first.len, 32);
    assert_true(cb_bytes_same(cb_buf_bytes(&first), cb_buf_bytes(&second)));
    assert_int_equal(use(cb_buf_bytes(&secret.sealed), CB_USE_MAC, 0, cb_bytes_str("m"), &first),
                     CB_E_HSM_ALGORITHM);
    cb_buf_free(&first);
    cb_buf_free(&second);
    unmake(&mac);
    unmake(&secret);
    assert_int_equal(session_objects(), 0);
}

static void no_byte_of_a_record_can_be_changed(void **state)
{
    (void)state;
    made m = make(CB_KEY_EC_P256);
    cb_sealed_info info;
    for (size_t i = 0; i < m.sealed.len; i++) {
        m.sealed.data[i] ^= 1;
        assert_int_equal(cb_sealed_check(keyring, cb_buf_bytes(&m.sealed), &info), CB_E_HSM_RECORD);
        m.sealed.data[i] ^= 1;
        assert_int_equal(cb_sealed_check(keyring, cb_bytes_make(m.sealed.data, i), &info),
                         CB_E_HSM_RECORD);
    }
    assert_int_equal(cb_sealed_check(keyring, cb_buf_bytes(&m.sealed), &info), CB_OK);
    assert_int_equal(info.holder.bytes[0], 1);
    unmake(&m);
}

static void one_kind_of_record_does_not_stand_for_another(void **state)
{
    (void)state;
    made m = make(CB_KEY_EC_P256);
    cb_binding_info binding = {.card = {{1}},
                               .holder = {{2}},
                               .profile = CB_PROFILE_NATIVE,
                               .level = CB_LEVEL_PIN,
                               .sequence = 1};
    cb_receipt_info receipt;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf blob = CB_BUF(CB_BINDING_MAX);
    assert_int_equal(cb_p256_generate(scalar, point), CB_OK);
    binding.keys = (cb_card_keys){.count = 1, .key = {cb_card_key_of_point(point)}};
    assert_int_equal(cb_binding_make(keyring, &binding, &blob), CB_OK);
    assert_int_equal(cb_binding_check(keyring, cb_buf_bytes(&blob), &binding), CB_OK);
    assert_int_equal(cb_binding_check(keyring, cb_buf_bytes(&m.sealed), &binding), CB_E_HSM_RECORD);
    assert_int_equal(cb_sealed_check(keyring, cb_buf_bytes(&blob), &m.info), CB_E_HSM_RECORD);
    assert_int_equal(cb_receipt_check(keyring, cb_buf_bytes(&blob), &receipt), CB_E_HSM_RECORD);
    for (size_t i = 0; i < blob.len; i++) {
        blob.data[i] ^= 0x80;
        assert_int_equal(cb_binding_check(keyring, cb_buf_bytes(&blob), &binding), CB_E_HSM_RECORD);
        blob.data[i] ^= 0x80;
    }
    cb_buf_free(&blob);
    unmake(&m);
}

/* Whoever has the login PIN but not this program: what can they get out of the token with a sealed key at hand? */
static void the_login_pin_does_not_read_keys(void **state)
{
    (void)state;
    made m = make(CB_KEY_EC_P256);
    cb_token *token = cb_keyring_token(keyring);
    cb_sealed_info info;
    cb_bytes public_key, wrapped;
    cb_record_parts parts;
    CK_OBJECT_HANDLE kek[3], out = CK_INVALID_HANDLE;
    CK_OBJECT_CLASS private_class = CKO_PRIVATE_KEY, secret_class = CKO_SECRET_KEY;
    CK_KEY_TYPE ec = CKK_EC, generic = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_MECHANISM wrap = {CKM_AES_KEY_WRAP_PAD, NULL, 0};
    assert_int_equal(cb_record_split(cb_buf_bytes(&m.sealed), CB_SEALED_MAX, &parts), CB_OK);
    assert_int_equal(cb_sealed_body_get(parts.body, &info, &public_key, &wrapped), CB_OK);
    for (int kind = CB_KEK_USE; kind <= CB_KEK_RELEASE; kind++)
        assert_int_equal(cb_keyring_kek(keyring, (cb_kek)kind, 1, &kek[kind]), CB_OK);
    uint8_t bytes[4096];
    memcpy(bytes, wrapped.data, wrapped.len);
    CK_ATTRIBUTE readable[] = {{CKA_CLASS, &private_class, sizeof private_class},
                               {CKA_KEY_TYPE, &ec, sizeof ec},
                               {CKA_TOKEN, &no, sizeof no},
                               {CKA_SENSITIVE, &no, sizeof no},
                               {CKA_EXTRACTABLE, &yes, sizeof yes}};
    CK_ATTRIBUTE as_secret[] = {{CKA_CLASS, &secret_class, sizeof secret_class},
                                {CKA_KEY_TYPE, &generic, sizeof generic},
                                {CKA_TOKEN, &no, sizeof no},
                                {CKA_SENSITIVE, &no, sizeof no},
                                {CKA_EXTRACTABLE, &yes, sizeof yes}};
    for (int kind = CB_KEK_USE; kind <= CB_KEK_REWRAP; kind++) {
        assert_int_not_equal(token->f->C_UnwrapKey(token->session, &wrap, kek[kind], bytes,
                                                   wrapped.len, readable, 5, &out),
                             CKR_OK);
        assert_int_not_equal(token->f->C_UnwrapKey(token->session, &wrap, kek[kind], bytes,
                                                   wrapped.len, as_secret, 5, &out),
                             CKR_OK);
    }
    /* The key-encryption key for secrets is another one: it does not open keys. */
    assert_int_not_equal(token->f->C_UnwrapKey(token->session, &wrap, kek[CB_KEK_RELEASE], bytes,
                                               wrapped.len, as_secret, 5, &out),
                         CKR_OK);
    /* The key-encryption keys themselves: not readable, not wrappable, not changeable. */
    CK_ATTRIBUTE any[] = {{CKA_VALUE_LEN, &(CK_ULONG){32}, sizeof(CK_ULONG)},
                          {CKA_TOKEN, &no, sizeof no},
                          {CKA_WRAP, &yes, sizeof yes},
                          {CKA_DECRYPT, &yes, sizeof yes},
                          {CKA_EXTRACTABLE, &yes, sizeof yes}};
    CK_OBJECT_HANDLE own;
    CK_MECHANISM generator = {CKM_AES_KEY_GEN, NULL, 0};
    assert_int_equal(token->f->C_GenerateKey(token->session, &generator, any, 5, &own), CKR_OK);
    for (int kind = CB_KEK_USE; kind <= CB_KEK_RELEASE; kind++) {
        uint8_t value[4096];
        CK_ULONG len = sizeof value;
        CK_ATTRIBUTE get = {CKA_VALUE, value, sizeof value};
        CK_ATTRIBUTE set[] = {{CKA_DECRYPT, &yes, sizeof yes}};
        assert_int_equal(token->f->C_GetAttributeValue(token->session, kek[kind], &get, 1),
                         CKR_ATTRIBUTE_SENSITIVE);
        assert_int_not_equal(
            token->f->C_WrapKey(token->session, &wrap, own, kek[kind], value, &len), CKR_OK);
        assert_int_not_equal(token->f->C_SetAttributeValue(token->session, kek[kind], set, 1),
                             CKR_OK);
        CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
        assert_int_not_equal(token->f->C_DecryptInit(token->session, &ecb, kek[kind]), CKR_OK);
    }
    /* A key that was opened for rewrapping can be wrapped by the trusted key only. */
    CK_ATTRIBUTE rewrap[] = {{CKA_CLASS, &private_class, sizeof private_class},
                             {CKA_KEY_TYPE, &ec, sizeof ec},
                             {CKA_TOKEN, &no, sizeof no},
                             {CKA_PRIVATE, &yes, sizeof yes},
                             {CKA_SENSITIVE, &yes, sizeof yes},
                             {CKA_EXTRACTABLE, &yes, sizeof yes},
                             {CKA_WRAP_WITH_TRUSTED, &yes, sizeof yes},
                             {CKA_DERIVE, &no, sizeof no},
                             {CKA_UNWRAP, &no, sizeof no},
                             {CKA_DECRYPT, &no, sizeof no},
                             {CKA_SIGN, &no, sizeof no}};
    uint8_t again[4096];
    CK_ULONG len = sizeof again;
    assert_int_equal(token->f->C_UnwrapKey(token->session, &wrap, kek[CB_KEK_REWRAP], bytes,
                                           wrapped.len, rewrap, 11, &out),
                     CKR_OK);
    assert_int_equal(token->f->C_WrapKey(token->session, &wrap, own, out, again, &len),
                     CKR_KEY_NOT_WRAPPABLE);
    cb_token_destroy(token, &out);
    /* Nor can the user make a trusted key. */
    CK_ATTRIBUTE trusted[] = {{CKA_VALUE_LEN, &(CK_ULONG){32}, sizeof(CK_ULONG)},
                              {CKA_TOKEN, &no, sizeof no},
                              {CKA_WRAP, &yes, sizeof yes},
                              {CKA_TRUSTED, &yes, sizeof yes}};
    assert_int_not_equal(token->f->C_GenerateKey(token->session, &generator, trusted, 4, &out),
                         CKR_OK);
    cb_token_destroy(token, &own);
    unmake(&m);
    destroy_session_objects(); /* SoftHSM keeps the key it made before it refused CKA_TRUSTED */
}

static void nothing_is_left_behind(void **state)
{
    (void)state;
    size_t before = persistent_objects();
    cb_digest digest = cb_sha256(cb_bytes_str("x"));
    for (int i = 0; i < 200; i++) {
        made m = make(i % 2 ? CB_KEY_EC_P256 : CB_KEY_HMAC_SHA256);
        cb_buf result = CB_BUF(1024);
        use(cb_buf_bytes(&m.sealed), (uint8_t)(i % 6), (uint8_t)(i % 5), cb_digest_bytes(&digest),
            &result);
        m.sealed.data[i % m.sealed.len] ^= 1;
        assert_int_equal(use(cb_buf_bytes(&m.sealed), CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                             cb_digest_bytes(&digest), &result),
                         CB_E_HSM_RECORD);
        cb_buf_free(&result);
        unmake(&m);
    }
    assert_int_equal(session_objects(), 0);
    assert_int_equal(persistent_objects(), before);
}

static void a_new_generation_takes_over_and_the_old_one_still_opens(void **state)
{
    (void)state;
    cb_digest digest = cb_sha256(cb_bytes_str("x"));
    static const uint8_t algorithms[] = {CB_KEY_EC_P256, CB_KEY_RSA_2048, CB_KEY_HMAC_SHA256,
                                         CB_KEY_SECRET};
    made old[4];
    uint32_t generation = 0;
    for (int i = 0; i < 4; i++)
        old[i] = make(algorithms[i]);
    cb_keyring_close(&keyring);
    cb_buf pin = softhsm_pin(), so_pin = softhsm_so_pin();
    cb_initialise_options options = {.token = softhsm_config(&hsm), .so_pin = &so_pin, .pin = &pin};
    assert_int_equal(cb_hsm_add_generation(&options, &generation), CB_OK);
    assert_int_equal(generation, 2);
    keyring = softhsm_open(&hsm);
    assert_int_equal(cb_keyring_generation(keyring), 2);
    for (int i = 0; i < 4; i++) {
        cb_buf again = CB_BUF(CB_SEALED_MAX), first = CB_BUF(1024), second = CB_BUF(1024);
        cb_sealed_info info;
        uint8_t operation = algorithms[i] == CB_KEY_SECRET        ? CB_USE_RELEASE
                            : algorithms[i] == CB_KEY_HMAC_SHA256 ? CB_USE_MAC
                                                                  : CB_USE_SIGN_DIGEST;
        cb_bytes data = operation == CB_USE_RELEASE ? (cb_bytes){0} : cb_digest_bytes(&digest);
        assert_int_equal(use(cb_buf_bytes(&old[i].sealed), operation, CB_HASH_SHA256, data, &first), CB_OK);
        assert_int_equal(cb_sealed_rewrap(keyring, cb_buf_bytes(&old[i].sealed), &again), CB_OK);
        assert_int_equal(cb_sealed_check(keyring, cb_buf_bytes(&again), &info), CB_OK);
        assert_int_equal(info.generation, 2);
        assert_true(cb_id_same(&info.key, &old[i].info.key));
        assert_int_equal(use(cb_buf_bytes(&again), operation, CB_HASH_SHA256, data, &second), CB_OK);
        if (algorithms[i] != CB_KEY_EC_P256)
            assert_true(cb_bytes_same(cb_buf_bytes(&first), cb_buf_bytes(&second)));
        else
            assert_true(verify_ec(&old[i].public_key, data, &second));
        cb_buf_free(&again);
        cb_buf_free(&first);
        cb_buf_free(&second);
        unmake(&old[i]);
    }
    assert_int_equal(session_objects(), 0);
}

/* ---- Requests for certificates ---- */

/* CN=Alice */
static const uint8_t subject[] = {0x30, 0x10, 0x31, 0x0E, 0x30, 0x0C, 0x06, 0x03, 0x55,
                                  0x04, 0x03, 0x0C, 0x05, 'A',  'l',  'i',  'c',  'e'};

static void a_request_is_one_that_openssl_believes(void **state)
{
    (void)state;
    static const uint8_t algorithms[] = {CB_KEY_EC_P256, CB_KEY_EC_P384, CB_KEY_RSA_2048};
    for (size_t i = 0; i < sizeof algorithms; i++) {
        cb_sealed_info info = info_for(algorithms[i]);
        cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(CB_PUBLIC_KEY_MAX), csr = CB_BUF(4096);
        char line[256] = "";
        assert_int_equal(
            cb_sealed_generate(keyring, &info, CB_BYTES_OF(subject), &sealed, &spki, &csr), CB_OK);
        char path[96], command[256];
        snprintf(path, sizeof path, "%s/request.der", hsm.folder);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(csr.data, 1, csr.len, file), csr.len);
        fclose(file);
        snprintf(command, sizeof command, "openssl req -inform DER -in %s -noout -verify -subject 2>&1", path);
        FILE *openssl = popen(command, "r");
        assert_non_null(openssl);
        size_t got = fread(line, 1, sizeof line - 1, openssl);
        line[got] = 0;
        assert_int_equal(pclose(openssl), 0);
        assert_non_null(strstr(line, "verify OK"));
        assert_non_null(strstr(line, "CN = Alice"));
        cb_buf_free(&sealed);
        cb_buf_free(&spki);
        cb_buf_free(&csr);
    }
}

static void a_subject_that_is_none_is_refused(void **state)
{
    (void)state;
    uint8_t bad[sizeof subject];
    unsigned refused = 0;
    for (size_t i = 0; i < sizeof subject; i++) {
        cb_sealed_info info = info_for(CB_KEY_EC_P256);
        cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(CB_PUBLIC_KEY_MAX), csr = CB_BUF(4096);
        assert_int_equal(cb_sealed_generate(keyring, &info, cb_bytes_make(subject, i), &sealed, &spki, &csr),
                         CB_E_ARGUMENT);
        assert_int_equal(sealed.len + spki.len + csr.len, 0);
        memcpy(bad, subject, sizeof bad);
        bad[i] ^= 0x40;
        refused += cb_sealed_generate(keyring, &info, CB_BYTES_OF(bad), &sealed, &spki, &csr) ==
                   CB_E_ARGUMENT;
        cb_buf_free(&sealed);
        cb_buf_free(&spki);
        cb_buf_free(&csr);
    }
    assert_true(refused >= 10); /* every tag and length; not the letters and the OID */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_signs_what_its_public_key_verifies),
        cmocka_unit_test(a_secret_makes_macs_or_is_given_out_but_not_both),
        cmocka_unit_test(no_byte_of_a_record_can_be_changed),
        cmocka_unit_test(one_kind_of_record_does_not_stand_for_another),
        cmocka_unit_test(the_login_pin_does_not_read_keys),
        cmocka_unit_test(nothing_is_left_behind),
        cmocka_unit_test(a_new_generation_takes_over_and_the_old_one_still_opens),
        cmocka_unit_test(a_request_is_one_that_openssl_believes),
        cmocka_unit_test(a_subject_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, open_token, close_token);
}
