/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/crypto.h"
#include "base/text.h"
#include "base/tlv.h"
#include "broker/ctl/pem.h"
#include "broker/ctl/wrap.h"

static cb_buf unhex(const char *text)
{
    cb_buf out = CB_BUF(8192);
    assert_int_equal(cb_unhex(cb_bytes_str(text), &out), CB_OK);
    return out;
}

static void assert_hex(const cb_buf *buf, const char *hex)
{
    cb_buf spelled = CB_BUF(16384);
    cb_buf_put_hex(&spelled, cb_buf_bytes(buf));
    assert_string_equal(cb_buf_cstr(&spelled), hex);
    cb_buf_free(&spelled);
}

/* RFC 5649, 6 */
static void wraps_as_the_rfc_does(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *wrapped;
    } cases[] = {{"c37b7e6492584340bed12207808941155068f738",
                  "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
                 {"466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"}};
    cb_buf key = unhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8");
    for (size_t i = 0; i < 2; i++) {
        cb_buf plain = unhex(cases[i].plain), out = CB_BUF(64);
        assert_int_equal(cb_ctl_kwp(cb_buf_bytes(&key), cb_buf_bytes(&plain), &out), CB_OK);
        assert_hex(&out, cases[i].wrapped);
        cb_buf_free(&plain);
        cb_buf_free(&out);
    }
    cb_buf_free(&key);
}

static void nothing_and_too_much_are_refused(void **state)
{
    (void)state;
    static uint8_t big[CB_CTL_KEY_MAX + 1];
    uint8_t key[32] = {0};
    cb_buf out = CB_BUF(CB_CTL_WRAPPED_MAX);
    assert_int_equal(cb_ctl_kwp(CB_BYTES_OF(key), (cb_bytes){0}, &out), CB_E_ARGUMENT);
    assert_int_equal(cb_ctl_kwp(CB_BYTES_OF(key), CB_BYTES_OF(big), &out), CB_E_ARGUMENT);
    assert_int_equal(out.len, 0);
    cb_buf_free(&out);
}

static void make_rsa(RsaKey *key, WC_RNG *rng, int bits, cb_buf *spki)
{
    assert_int_equal(wc_InitRng(rng), 0);
    assert_int_equal(wc_InitRsaKey(key, NULL), 0);
    assert_int_equal(wc_MakeRsaKey(key, bits, WC_RSA_EXPONENT, rng), 0);
    assert_int_equal(wc_RsaSetRNG(key, rng), 0);
    uint8_t *room = cb_buf_extend(spki, 1024);
    int len = wc_RsaKeyToPublicDer(key, room, 1024);
    assert_true(len > 0);
    spki->len = (size_t)len;
}

static void only_the_import_key_opens_it(void **state)
{
    (void)state;
    WC_RNG rng;
    RsaKey key;
    cb_buf spki = CB_BUF(2048), wrapped = CB_BUF(CB_CTL_WRAPPED_MAX), again = CB_BUF(256);
    uint8_t aes[256];
    make_rsa(&key, &rng, 2048, &spki);
    cb_bytes secret = cb_bytes_str("correct horse battery");
    assert_int_equal(cb_ctl_wrap(cb_buf_bytes(&spki), secret, &wrapped), CB_OK);
    assert_int_equal(wrapped.len, 256 + 32);
    int len = wc_RsaPrivateDecrypt_ex(wrapped.data, 256, aes, sizeof aes, &key, WC_RSA_OAEP_PAD,
                                      WC_HASH_TYPE_SHA, WC_MGF1SHA1, NULL, 0);
    assert_int_equal(len, 32);
    assert_int_equal(cb_ctl_kwp(cb_bytes_make(aes, 32), secret, &again), CB_OK);
    assert_memory_equal(again.data, wrapped.data + 256, 32);
    /* each time another key */
    cb_buf second = CB_BUF(CB_CTL_WRAPPED_MAX);
    assert_int_equal(cb_ctl_wrap(cb_buf_bytes(&spki), secret, &second), CB_OK);
    assert_memory_not_equal(second.data + 256, wrapped.data + 256, 32);
    cb_buf_free(&second);
    cb_buf_free(&spki);
    cb_buf_free(&wrapped);
    cb_buf_free(&again);
    wc_FreeRsaKey(&key);
    wc_FreeRng(&rng);
}

static void weak_and_broken_import_keys_are_refused(void **state)
{
    (void)state;
    WC_RNG rng;
    RsaKey key;
    cb_buf spki = CB_BUF(2048), out = CB_BUF(CB_CTL_WRAPPED_MAX);
    make_rsa(&key, &rng, 1024, &spki);
    assert_int_equal(cb_ctl_wrap(cb_buf_bytes(&spki), cb_bytes_str("x"), &out), CB_E_ARGUMENT);
    cb_buf_put_u8(&spki, 0);
    assert_int_equal(cb_ctl_wrap(cb_buf_bytes(&spki), cb_bytes_str("x"), &out), CB_E_ARGUMENT);
    assert_int_equal(cb_ctl_wrap(cb_bytes_str("junk"), cb_bytes_str("x"), &out), CB_E_ARGUMENT);
    assert_int_equal(out.len, 0);
    cb_buf_free(&spki);
    wc_FreeRsaKey(&key);
    wc_FreeRng(&rng);
}

/* ---- PEM ---- */

static void pem_comes_back(void **state)
{
    (void)state;
    uint8_t data[200];
    char label[CB_PEM_LABEL_MAX];
    for (size_t len = 1; len <= sizeof data; len++) {
        cb_buf pem = CB_BUF(1024), der = CB_BUF(1024);
        memset(data, (int)len, len);
        cb_pem_put(&pem, "SOME THING", cb_bytes_make(data, len));
        cb_cursor text = cb_cursor_over(cb_buf_bytes(&pem));
        assert_true(cb_pem_next(&text, label, &der));
        assert_string_equal(label, "SOME THING");
        assert_true(cb_bytes_same(cb_buf_bytes(&der), cb_bytes_make(data, len)));
        assert_false(cb_pem_next(&text, label, &der));
        assert_true(cb_cursor_ok(&text));
        cb_buf_free(&pem);
        cb_buf_free(&der);
    }
}

static bool pem_reads(const char *pem, bool *ok)
{
    char label[CB_PEM_LABEL_MAX];
    cb_buf der = CB_BUF(1024);
    cb_cursor text = cb_cursor_over(cb_bytes_str(pem));
    bool found = cb_pem_next(&text, label, &der);
    *ok = cb_cursor_ok(&text);
    cb_buf_free(&der);
    return found;
}

static void broken_pem_is_told_from_none(void **state)
{
    (void)state;
    bool ok;
    static const char *const good[] = {"remark\r\n-----BEGIN A-----\r\nAAAA\r\n-----END A-----\r\n",
                                       "-----BEGIN A-----\nAAAA\n-----END A-----"};
    static const char *const none[] = {"", "text", "-----BEGIN A----\nAAAA\n-----END A-----\n",
                                       "-----END A-----"};
    static const char *const bad[] = {
        "-----BEGIN A-----\nAAAA\n",
        "-----BEGIN A-----\nAAAA\n-----END B-----\n",
        "-----BEGIN A-----\n-----END A-----",
        "-----BEGIN A-----\nAA A\n-----END A-----\n",
        "-----BEGIN A-----\nAAA\n-----END A-----\n",
        "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END A-----\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(pem_reads(good[i], &ok) && ok);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_true(!pem_reads(none[i], &ok) && ok);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(!pem_reads(bad[i], &ok) && !ok);
}

/* ---- Private keys ---- */

static void assert_not_a_key(cb_bytes file)
{
    cb_buf out = CB_BUF(CB_CTL_KEY_MAX);
    assert_int_not_equal(cb_ctl_private_key(file, &out), CB_OK);
    cb_buf_free(&out);
}

static void what_is_no_private_key_is_refused(void **state)
{
    (void)state;
    static const uint8_t ec_without_curve[] = {0x30, 0x06, 0x02, 0x01, 0x01, 0x04, 0x01, 0x07};
    static const uint8_t version_2[] = {0x30, 0x06, 0x02, 0x01, 0x02, 0x04, 0x01, 0x07};
    static const uint8_t left_over[] = {0x30, 0x05, 0x02, 0x01, 0x00, 0x30, 0x00, 0x00};
    static const uint8_t cut[] = {0x30, 0x82, 0x01, 0x00, 0x02};
    assert_not_a_key((cb_bytes){0});
    assert_not_a_key(cb_bytes_str("secret"));
    assert_not_a_key(CB_BYTES_OF(ec_without_curve));
    assert_not_a_key(CB_BYTES_OF(version_2));
    assert_not_a_key(CB_BYTES_OF(left_over));
    assert_not_a_key(CB_BYTES_OF(cut));
    assert_not_a_key(
        cb_bytes_str("-----BEGIN CERTIFICATE-----\nMAUCAQAwAA==\n-----END CERTIFICATE-----\n"));
    assert_not_a_key(cb_bytes_str("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAUCAQAwAA==\n-----END "
                                  "ENCRYPTED PRIVATE KEY-----\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wraps_as_the_rfc_does),
        cmocka_unit_test(nothing_and_too_much_are_refused),
        cmocka_unit_test(only_the_import_key_opens_it),
        cmocka_unit_test(weak_and_broken_import_keys_are_refused),
        cmocka_unit_test(pem_comes_back),
        cmocka_unit_test(broken_pem_is_told_from_none),
        cmocka_unit_test(what_is_no_private_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
