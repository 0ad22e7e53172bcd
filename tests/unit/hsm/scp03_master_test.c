/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A master key of SCP03 cards on a real token, as hsmd's keyring finds it: the keys that cards
 * derive from it are the published ones (GlobalPlatformPro, TestSCP03.java and
 * TestPlaintextCardKeys.java), and one that could come out, or can do nothing, is refused.
 */
#include "cardlink/scp03/keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "hsm/keyring_names.h"
#include "hsm/token_parts.h"
#include "tests/support/softhsm.h"
#include "tests/unit/base/test.h"

#define MASTER_128 "404142434445464748494A4B4C4D4E4F"
#define MASTER_192 "404142434445464748494A4B4C4D4E4F5051525354555657"
#define MASTER_256 "8C72C72CF908411653018807950D82FBAD947562F0828A0B10B8B9606ABF3BCD"

static softhsm hsm;
static cb_keyring *keyring;

static int setup(void **state)
{
    (void)state;
    softhsm_make(&hsm);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    softhsm_remove(&hsm);
    return 0;
}

/* What somebody puts on the token under that name. */
typedef struct object {
    const char *hex;
    CK_KEY_TYPE type;
    CK_BBOOL sensitive, extractable, signs;
} object;

static const object good_key = {MASTER_256, CKK_AES, CK_TRUE, CK_FALSE, CK_TRUE};

/* A token is opened once in a process: by who puts keys there, then by hsmd's keyring. */
static cb_token *open_token(void)
{
    cb_token *token = NULL;
    cb_buf pin = softhsm_pin();
    cb_token_config config = softhsm_config(&hsm);
    assert_int_equal(cb_token_open(&config, &pin, &token), CB_OK);
    return token;
}

static void install(const object *what)
{
    cb_token *token = open_token();
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_BBOOL yes = CK_TRUE;
    object o = *what;
    char label[] = CB_LABEL_SCP03;
    uint8_t value[CB_SM_KEY_MAX];
    CK_ULONG len = strlen(o.hex) / 2;
    assert_int_equal(cb_unhex_exact(o.hex, value, len), CB_OK);
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &class, sizeof class},
                                 {CKA_KEY_TYPE, &o.type, sizeof o.type},
                                 {CKA_LABEL, label, sizeof label - 1},
                                 {CKA_TOKEN, &yes, sizeof yes},
                                 {CKA_PRIVATE, &yes, sizeof yes},
                                 {CKA_SENSITIVE, &o.sensitive, sizeof o.sensitive},
                                 {CKA_EXTRACTABLE, &o.extractable, sizeof o.extractable},
                                 {CKA_SIGN, &o.signs, sizeof o.signs},
                                 {CKA_VALUE, value, len}};
    assert_int_equal(token->f->C_CreateObject(token->session, attributes,
                                              sizeof attributes / sizeof *attributes, &made),
                     CKR_OK);
    cb_token_close(&token);
}

/* How many there were. */
static size_t destroy_in(cb_token *token)
{
    CK_OBJECT_HANDLE found[4];
    size_t count = 0;
    assert_int_equal(cb_token_list(token, CKO_SECRET_KEY, CB_LABEL_SCP03, found, 4, &count), CB_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(token->f->C_DestroyObject(token->session, found[i]), CKR_OK);
    return count;
}

static void destroy(void)
{
    cb_token *token = open_token();
    assert_int_equal(destroy_in(token), 1);
    cb_token_close(&token);
}

static cb_error open_keyring(void)
{
    cb_buf pin = softhsm_pin();
    cb_token_config config = softhsm_config(&hsm);
    return cb_keyring_open(&config, &pin, &keyring);
}

static void begin(const object *what)
{
    install(what);
    assert_int_equal(open_keyring(), CB_OK);
}

static void end(void)
{
    cb_keyring_close(&keyring);
    destroy();
}

static cb_error derive(const uint8_t kdd[CB_SCP03_KDD], cb_scp03_keys *keys)
{
    const cb_scp03_master master = {cb_keyring_host_cmac, keyring, cb_keyring_scp03_len(keyring)};
    return cb_scp03_diversify(&master, kdd, keys);
}

static void the_tokens_master_key_gives_the_published_keys(void **state)
{
    uint8_t kdd[CB_SCP03_KDD], expected[32];
    cb_scp03_keys keys;
    (void)state;
    begin(&good_key);
    assert_int_equal(cb_keyring_scp03_len(keyring), 32);
    cb_unhex_exact("D9B1DE5D0362DEDCE4FB", kdd, sizeof kdd);
    cb_unhex_exact("9AAC5D0B3601F89438A0D9D0B6B256CFB47E6462DFA5228D3420C4AC7C224781", expected,
                   32);
    assert_int_equal(derive(kdd, &keys), CB_OK);
    assert_int_equal(keys.len, 32);
    assert_memory_equal(keys.enc, expected, 32);
    end();
}

/* The first three bytes of AES(key, 16 times 01), of ENC and MAC. */
static void so_do_shorter_ones(void **state)
{
    static const struct {
        const char *master, *check[2];
    } row[] = {{MASTER_128, {"e79c05", "d1bd77"}}, {MASTER_192, {"1de8ea", "47c00c"}}};
    static const uint8_t kdd[CB_SCP03_KDD] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    uint8_t ones[CB_AES_BLOCK], check[CB_AES_BLOCK];
    char text[7];
    (void)state;
    memset(ones, 1, sizeof ones);
    for (size_t i = 0; i < 2; i++) {
        object what = good_key;
        cb_scp03_keys keys;
        what.hex = row[i].master;
        begin(&what);
        assert_int_equal(cb_keyring_scp03_len(keyring), strlen(row[i].master) / 2);
        assert_int_equal(derive(kdd, &keys), CB_OK);
        for (int which = 0; which < 2; which++) {
            const uint8_t *derived = which ? keys.mac : keys.enc;
            assert_int_equal(cb_aes_block(cb_bytes_make(derived, keys.len), ones, check), CB_OK);
            cb_hex(cb_bytes_make(check, 3), text);
            assert_string_equal(text, row[i].check[which]);
        }
        end();
    }
}

static void a_master_key_that_could_come_out_or_can_do_nothing_is_refused(void **state)
{
    static const object wrong[] = {
        {MASTER_256, CKK_AES, CK_FALSE, CK_FALSE, CK_TRUE}, /* readable */
        {MASTER_256, CKK_AES, CK_TRUE, CK_TRUE, CK_TRUE},   /* can be wrapped and carried off */
        {MASTER_256, CKK_AES, CK_FALSE, CK_TRUE, CK_TRUE},
        {MASTER_256, CKK_AES, CK_TRUE, CK_FALSE, CK_FALSE},
        {MASTER_128 "50515253", CKK_AES, CK_TRUE, CK_FALSE, CK_TRUE}, /* which SoftHSM keeps */
        {MASTER_256, CKK_GENERIC_SECRET, CK_TRUE, CK_FALSE, CK_TRUE},
        {MASTER_128, CKK_GENERIC_SECRET, CK_TRUE, CK_FALSE, CK_TRUE},
        {MASTER_128 "50515253", CKK_GENERIC_SECRET, CK_TRUE, CK_FALSE, CK_TRUE},
        {"404142434445464748494A4B4C4D", CKK_GENERIC_SECRET, CK_TRUE, CK_FALSE, CK_TRUE}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        print_message("%zu\n", i);
        install(&wrong[i]);
        assert_int_equal(open_keyring(), CB_E_CONFIG);
        assert_null(keyring);
        destroy();
    }
}

/* Which of them a card was issued from nobody could tell. */
static void two_of_the_name_are_refused(void **state)
{
    (void)state;
    install(&good_key);
    install(&good_key);
    assert_int_equal(open_keyring(), CB_E_CONFIG);
    cb_token *token = open_token();
    assert_int_equal(destroy_in(token), 2);
    cb_token_close(&token);
}

static void without_one_the_keyring_is_whole_and_such_cards_get_nothing(void **state)
{
    uint8_t mac[CB_AES_BLOCK];
    (void)state;
    assert_int_equal(open_keyring(), CB_OK);
    assert_int_equal(cb_keyring_scp03_len(keyring), 0);
    assert_int_equal(cb_keyring_host_cmac(keyring, cb_bytes_str("data"), mac), CB_E_CONFIG);
    cb_keyring_close(&keyring);
}

static void a_key_that_is_gone_derives_nothing(void **state)
{
    static const uint8_t kdd[CB_SCP03_KDD] = {0};
    static const cb_scp03_keys none;
    cb_scp03_keys keys;
    (void)state;
    begin(&good_key);
    assert_int_equal(destroy_in(cb_keyring_token(keyring)), 1);
    cb_error error = derive(kdd, &keys);
    assert_true(error == CB_E_HSM_TOKEN || error == CB_E_NOT_FOUND);
    assert_memory_equal(&keys, &none, sizeof keys);
    cb_keyring_close(&keyring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tokens_master_key_gives_the_published_keys),
        cmocka_unit_test(so_do_shorter_ones),
        cmocka_unit_test(a_master_key_that_could_come_out_or_can_do_nothing_is_refused),
        cmocka_unit_test(two_of_the_name_are_refused),
        cmocka_unit_test(without_one_the_keyring_is_whole_and_such_cards_get_nothing),
        cmocka_unit_test(a_key_that_is_gone_derives_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
