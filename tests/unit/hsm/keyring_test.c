/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The keys on a token: their generations, what each of them is for, and losing them.
 */
#include "keyring_steps.h"

#include <sys/wait.h>
#include <unistd.h>

#include "hsm/client.h"
#include "hsm/keyring_names.h"

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
        cmocka_unit_test(a_damaged_generation_is_passed_over_and_never_destroyed),
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
