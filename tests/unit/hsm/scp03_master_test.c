/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A master key of SCP03 cards in a real token: it does not come out, and the keys that cards derive
 * from it are the published ones (GlobalPlatformPro, TestSCP03.java and
 * TestPlaintextCardKeys.java).
 */
#include "cardlink/scp03/keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "hsm/token_parts.h"
#include "tests/support/softhsm.h"
#include "tests/unit/base/test.h"

static softhsm hsm;
static cb_keyring *keyring;

static int setup(void **state)
{
    (void)state;
    softhsm_make(&hsm);
    keyring = softhsm_open(&hsm);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cb_keyring_close(&keyring);
    softhsm_remove(&hsm);
    return 0;
}

static cb_token *token(void) { return cb_keyring_token(keyring); }

static CK_OBJECT_HANDLE import(const char *hex)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    uint8_t value[CB_SM_KEY_MAX];
    CK_ULONG len = strlen(hex) / 2;
    assert_int_equal(cb_unhex_exact(hex, value, len), CB_OK);
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &yes, sizeof yes},     {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_SIGN, &yes, sizeof yes},      {CKA_VALUE, value, len}};
    CK_OBJECT_HANDLE out = CK_INVALID_HANDLE;
    assert_int_equal(token()->f->C_CreateObject(token()->session, attributes, 8, &out), CKR_OK);
    return out;
}

static cb_error token_cmac(void *context, cb_bytes data, uint8_t out[CB_AES_BLOCK])
{
    const CK_OBJECT_HANDLE *key = context;
    const CK_MECHANISM mechanism = {CKM_AES_CMAC, NULL, 0};
    cb_buf mac = CB_BUF(CB_AES_BLOCK);
    cb_error error = cb_token_sign(token(), *key, &mechanism, &data, 1, &mac);
    if (!error && mac.len != CB_AES_BLOCK)
        error = CB_E_HSM_TOKEN;
    if (!error)
        memcpy(out, mac.data, CB_AES_BLOCK);
    cb_buf_free(&mac);
    return error;
}

static void the_tokens_master_key_gives_the_published_keys(void **state)
{
    CK_OBJECT_HANDLE key =
        import("8C72C72CF908411653018807950D82FBAD947562F0828A0B10B8B9606ABF3BCD");
    const cb_scp03_master master = {token_cmac, &key, 32};
    uint8_t kdd[CB_SCP03_KDD], expected[32];
    cb_scp03_keys keys;
    (void)state;
    cb_unhex_exact("D9B1DE5D0362DEDCE4FB", kdd, sizeof kdd);
    cb_unhex_exact("9AAC5D0B3601F89438A0D9D0B6B256CFB47E6462DFA5228D3420C4AC7C224781", expected,
                   32);
    assert_int_equal(cb_scp03_diversify(&master, kdd, &keys), CB_OK);
    assert_memory_equal(keys.enc, expected, 32);
}

/* The first three bytes of AES(key, 16 times 01), of ENC and MAC. */
static void so_do_shorter_ones(void **state)
{
    static const struct {
        const char *master, *check[2];
    } row[] = {{"404142434445464748494A4B4C4D4E4F", {"e79c05", "d1bd77"}},
               {"404142434445464748494A4B4C4D4E4F5051525354555657", {"1de8ea", "47c00c"}}};
    static const uint8_t kdd[CB_SCP03_KDD] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    uint8_t ones[CB_AES_BLOCK], check[CB_AES_BLOCK];
    char text[7];
    (void)state;
    memset(ones, 1, sizeof ones);
    for (size_t i = 0; i < 2; i++) {
        CK_OBJECT_HANDLE key = import(row[i].master);
        const cb_scp03_master master = {token_cmac, &key, (uint8_t)(strlen(row[i].master) / 2)};
        cb_scp03_keys keys;
        assert_int_equal(cb_scp03_diversify(&master, kdd, &keys), CB_OK);
        for (int which = 0; which < 2; which++) {
            const uint8_t *derived = which ? keys.mac : keys.enc;
            assert_int_equal(cb_aes_block(cb_bytes_make(derived, keys.len), ones, check), CB_OK);
            cb_hex(cb_bytes_make(check, 3), text);
            assert_string_equal(text, row[i].check[which]);
        }
    }
}

static void the_master_key_does_not_come_out(void **state)
{
    CK_OBJECT_HANDLE key = import("404142434445464748494A4B4C4D4E4F");
    uint8_t value[CB_SM_KEY_MAX];
    CK_ATTRIBUTE attribute = {CKA_VALUE, value, sizeof value};
    (void)state;
    assert_int_equal(token()->f->C_GetAttributeValue(token()->session, key, &attribute, 1),
                     CKR_ATTRIBUTE_SENSITIVE);
}

static void a_key_that_is_gone_derives_nothing(void **state)
{
    static const uint8_t kdd[CB_SCP03_KDD] = {0};
    static const cb_scp03_keys none;
    CK_OBJECT_HANDLE key = import("404142434445464748494A4B4C4D4E4F");
    const cb_scp03_master master = {token_cmac, &key, 16};
    cb_scp03_keys keys;
    (void)state;
    assert_int_equal(token()->f->C_DestroyObject(token()->session, key), CKR_OK);
    assert_int_equal(cb_scp03_diversify(&master, kdd, &keys), CB_E_HSM_TOKEN);
    assert_memory_equal(&keys, &none, sizeof keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tokens_master_key_gives_the_published_keys),
        cmocka_unit_test(so_do_shorter_ones),
        cmocka_unit_test(the_master_key_does_not_come_out),
        cmocka_unit_test(a_key_that_is_gone_derives_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
