/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Public keys of cards and their signatures, over keys that the virtual card makes.
 */
#include "cardlink/card_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "cardlink/card/key.h"

static const uint8_t kinds[][2] = {{CB_VCARD_EC_P256, CB_CARD_KEY_P256},
                                   {CB_VCARD_EC_P384, CB_CARD_KEY_P384},
                                   {CB_VCARD_RSA_2048, CB_CARD_KEY_RSA_2048}};

enum { KINDS = sizeof kinds / sizeof *kinds };

static cb_vcard_key private_key[KINDS];
static cb_buf spki[KINDS];

static int setup(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        cb_buf_init(&spki[i], 400);
        if (cb_vcard_key_generate(kinds[i][0], &private_key[i]) ||
            cb_vcard_key_spki(&private_key[i], &spki[i]))
            return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++)
        cb_buf_free(&spki[i]);
    return 0;
}

static void sign(unsigned i, const char *message, cb_card_signature *out)
{
    cb_buf der = CB_BUF(300);
    memset(out, 0, sizeof *out);
    assert_int_equal(cb_card_digest(kinds[i][1], cb_bytes_str(message), out), CB_OK);
    if (kinds[i][0] == CB_VCARD_RSA_2048) {
        uint8_t block[CB_VCARD_RSA_SIZE];
        memset(block, 0xFF, sizeof block);
        block[0] = 0;
        block[1] = 1;
        block[sizeof block - CB_DIGEST_INFO - 1] = 0;
        cb_digest_info(out->digest, block + sizeof block - CB_DIGEST_INFO);
        assert_int_equal(cb_vcard_key_rsa(&private_key[i], CB_BYTES_OF(block), &der), CB_OK);
        memcpy(out->bytes, der.data, der.len);
        out->len = der.len;
    } else {
        assert_int_equal(
            cb_vcard_key_sign(&private_key[i], cb_bytes_make(out->digest, out->digest_len), &der),
            CB_OK);
        assert_int_equal(cb_card_signature_ecdsa(cb_buf_bytes(&der), out), CB_OK);
        for (size_t cut = 0; cut < der.len; cut++)
            assert_int_equal(cb_card_signature_ecdsa(cb_bytes_make(der.data, cut), out),
                             CB_E_FORMAT);
        assert_int_equal(cb_card_signature_ecdsa(cb_buf_bytes(&der), out), CB_OK);
    }
    cb_buf_free(&der);
}

static void a_signature_is_its_keys_over_its_digest_for_its_use(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        cb_card_key key, other;
        cb_card_signature s;
        assert_int_equal(cb_card_key_of_spki(cb_buf_bytes(&spki[i]), &key), CB_OK);
        assert_int_equal(key.kind, kinds[i][1]);
        for (int turn = 0; turn < 20; turn++) {
            sign(i, "what a card signs", &s);
            assert_true(cb_card_key_verify(&key, &s));
        }
        s.use = 1;
        assert_false(cb_card_key_verify(&key, &s));
        s.use = 0;
        for (size_t at = 0; at < s.len; at += 5) {
            s.bytes[at] ^= 1;
            assert_false(cb_card_key_verify(&key, &s));
            s.bytes[at] ^= 1;
        }
        for (size_t at = 0; at < s.digest_len; at++) {
            s.digest[at] ^= 1;
            assert_false(cb_card_key_verify(&key, &s));
            s.digest[at] ^= 1;
        }
        s.len--;
        assert_false(cb_card_key_verify(&key, &s));
        s.len++;
        s.digest_len--;
        assert_false(cb_card_key_verify(&key, &s));
        s.digest_len++;
        assert_true(cb_card_key_verify(&key, &s));
        assert_int_equal(cb_card_key_of_spki(cb_buf_bytes(&spki[(i + 1) % KINDS]), &other), CB_OK);
        assert_false(cb_card_key_verify(&other, &s));
    }
}

static void a_key_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        cb_card_key key;
        cb_bytes whole = cb_buf_bytes(&spki[i]);
        for (size_t cut = 0; cut < whole.len; cut++) {
            assert_int_equal(cb_card_key_of_spki(cb_bytes_make(whole.data, cut), &key),
                             CB_E_FORMAT);
            assert_int_equal(key.len, 0);
        }
        /* A change anywhere makes another key or none; a point leaves its curve. */
        for (size_t at = 0; at < whole.len; at++) {
            spki[i].data[at] ^= 1;
            cb_error error = cb_card_key_of_spki(whole, &key);
            assert_true(error == CB_E_FORMAT || (kinds[i][0] == CB_VCARD_RSA_2048 && !error));
            spki[i].data[at] ^= 1;
        }
        assert_int_equal(cb_card_key_of_spki(whole, &key), CB_OK);
        assert_true(cb_card_key_ok(&key));
        key.len--;
        assert_false(cb_card_key_ok(&key));
    }
}

/* An exponent of 3, an even modulus, one of fewer bits. */
static void weak_rsa_keys_are_none(void **state)
{
    cb_card_key key;
    (void)state;
    assert_int_equal(cb_card_key_of_spki(cb_buf_bytes(&spki[2]), &key), CB_OK);
    cb_card_key weak = key;
    weak.data[weak.len - 1] = 2; /* of the exponent 010001 */
    assert_false(cb_card_key_ok(&weak));
    weak = key;
    weak.data[weak.len - 3] = 0; /* not its shortest form */
    assert_false(cb_card_key_ok(&weak));
    weak = key;
    weak.data[weak.len - 6] &= 0xFE; /* the modulus's last byte */
    assert_false(cb_card_key_ok(&weak));
    weak = key;
    weak.kind = CB_CARD_KEY_P256;
    assert_false(cb_card_key_ok(&weak));
    weak.kind = 9;
    assert_false(cb_card_key_ok(&weak));
}

static void keys_are_found_by_their_use(void **state)
{
    cb_card_keys keys = {.count = 2, .key = {{.use = 0x9A}, {.use = 0x9E}}};
    (void)state;
    assert_ptr_equal(cb_card_keys_find(&keys, 0x9A), &keys.key[0]);
    assert_ptr_equal(cb_card_keys_find(&keys, 0x9E), &keys.key[1]);
    assert_null(cb_card_keys_find(&keys, 0));
    keys.count = 1;
    assert_null(cb_card_keys_find(&keys, 0x9E));
    keys.count = 200;
    assert_null(cb_card_keys_find(&keys, 0x9C));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_its_keys_over_its_digest_for_its_use),
        cmocka_unit_test(a_key_is_read_whole_or_not_at_all),
        cmocka_unit_test(weak_rsa_keys_are_none),
        cmocka_unit_test(keys_are_found_by_their_use),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
