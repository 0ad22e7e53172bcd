/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/crypto.h"

#include "base/text.h"
#include "tests/unit/base/test.h"

static void expect_hex(const uint8_t *bytes, size_t len, const char *hex)
{
    char text[256];
    cb_hex(cb_bytes_make(bytes, len), text);
    assert_string_equal(text, hex);
}

/* FIPS 180-2, B.1; RFC 4231, 4.3. */
static void hashes_and_macs_known_answers(void **state)
{
    (void)state;
    cb_digest digest = cb_sha256_parts((cb_bytes[]){cb_bytes_str("a"), {0}, cb_bytes_str("bc")}, 3);
    expect_hex(digest.bytes, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(cb_hmac_sha256(cb_bytes_str("Jefe"),
                                    cb_bytes_str("what do ya want for nothing?"), &digest),
                     CB_OK);
    expect_hex(digest.bytes, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/* RFC 4493, 4: examples 1 and 3. NIST SP 800-38A, F.2.1. */
static void aes_known_answers(void **state)
{
    (void)state;
    uint8_t key[16], iv[16], text[48], out[48];
    cb_unhex_exact("2b7e151628aed2a6abf7158809cf4f3c", key, 16);
    assert_int_equal(cb_aes_cmac(CB_BYTES_OF(key), NULL, 0, out), CB_OK);
    expect_hex(out, 16, "bb1d6929e95937287fa37d129b756746");
    cb_unhex_exact("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                   "30c81c46a35ce411e5fbc1191a0a52ef",
                   text, 48);
    cb_bytes parts[] = {{text, 16}, {text + 16, 24}};
    assert_int_equal(cb_aes_cmac(CB_BYTES_OF(key), parts, 2, out), CB_OK);
    expect_hex(out, 16, "dfa66747de9ae63030ca32611497c827");
    cb_unhex_exact("000102030405060708090a0b0c0d0e0f", iv, 16);
    assert_int_equal(cb_aes_cbc_encrypt(CB_BYTES_OF(key), iv, cb_bytes_make(text, 32), out), CB_OK);
    expect_hex(out, 32, "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2");
    assert_int_equal(cb_aes_cbc_decrypt(CB_BYTES_OF(key), iv, cb_bytes_make(out, 32), out), CB_OK);
    assert_memory_equal(out, text, 32);
    assert_int_equal(cb_aes_block(CB_BYTES_OF(key), text, out), CB_OK);
    expect_hex(out, 16, "3ad77bb40d7a3660a89ecaf32466ef97");
    assert_int_equal(cb_aes_cbc_encrypt(CB_BYTES_OF(key), iv, cb_bytes_make(text, 17), out),
                     CB_E_CRYPTO);
}

/* NIST CAVS ECC CDH, P-256, count 0. */
static void agreement_known_answer(void **state)
{
    (void)state;
    uint8_t scalar[32], peer[65] = {4}, shared[32];
    cb_unhex_exact("7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534", scalar, 32);
    cb_unhex_exact("700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287"
                   "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
                   peer + 1, 64);
    assert_int_equal(cb_p256_agree(scalar, CB_BYTES_OF(peer), shared), CB_OK);
    expect_hex(shared, 32, "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b");
    peer[64] ^= 1;
    assert_int_equal(cb_p256_agree(scalar, CB_BYTES_OF(peer), shared), CB_E_CRYPTO);
    assert_false(cb_p256_is_point(CB_BYTES_OF(peer)));
    assert_false(cb_p256_is_point(cb_bytes_make(peer, 64)));
}

static void a_signature_verifies_only_as_it_was_made(void **state)
{
    (void)state;
    uint8_t scalar[32], point[65], again[65], signature[64];
    cb_digest digest = cb_sha256(cb_bytes_str("text"));
    assert_int_equal(cb_p256_generate(scalar, point), CB_OK);
    assert_int_equal(cb_p256_public(scalar, again), CB_OK);
    assert_memory_equal(point, again, 65);
    assert_int_equal(cb_p256_sign(scalar, &digest, signature), CB_OK);
    assert_true(cb_p256_verify(CB_BYTES_OF(point), &digest, CB_BYTES_OF(signature)));
    for (size_t i = 0; i < sizeof signature; i++) {
        signature[i] ^= 1;
        assert_false(cb_p256_verify(CB_BYTES_OF(point), &digest, CB_BYTES_OF(signature)));
        signature[i] ^= 1;
    }
    digest.bytes[0] ^= 1;
    assert_false(cb_p256_verify(CB_BYTES_OF(point), &digest, CB_BYTES_OF(signature)));
    assert_false(cb_p256_verify(CB_BYTES_OF(point), &digest, cb_bytes_make(signature, 63)));
    memset(signature, 0, sizeof signature);
    assert_false(cb_p256_verify(CB_BYTES_OF(point), &digest, CB_BYTES_OF(signature)));
}

static void signatures_go_to_der_and_back(void **state)
{
    (void)state;
    uint8_t raw[64] = {0}, back[64];
    raw[31] = 1;
    raw[32] = 0x80;
    cb_buf der = CB_BUF(200);
    cb_ecdsa_to_der(CB_BYTES_OF(raw), &der);
    assert_int_equal(cb_buf_error(&der), CB_OK);
    assert_int_equal(der.len, 2 + 3 + 2 + 33);
    assert_int_equal(cb_ecdsa_from_der(cb_buf_bytes(&der), back, 32), CB_OK);
    assert_memory_equal(raw, back, 64);
    assert_int_equal(cb_ecdsa_from_der(cb_bytes_make(der.data, der.len - 1), back, 32), CB_E_FORMAT);
    cb_buf_free(&der);
}

/* NIST CAVS ANSI X9.63 KDF, SHA-256, 128-bit key, no shared info, count 0. */
static void derivation_known_answer(void **state)
{
    (void)state;
    uint8_t z[24], key[16];
    cb_unhex_exact("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08", z, 24);
    assert_int_equal(cb_kdf_x963(CB_BYTES_OF(z), (cb_bytes){0}, key, 16), CB_OK);
    expect_hex(key, 16, "443024c3dae66b95e6f5670601558f71");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_and_macs_known_answers),
        cmocka_unit_test(aes_known_answers),
        cmocka_unit_test(agreement_known_answer),
        cmocka_unit_test(a_signature_verifies_only_as_it_was_made),
        cmocka_unit_test(signatures_go_to_der_and_back),
        cmocka_unit_test(derivation_known_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
