/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What somebody can do who edits the database, or who has the token and the user's PIN but not the
 * officer's.
 */
#include "hsm/sealed.h"

#include "base/secret.h"
#include "hsm/record_codec.h"
#include "hsm/record_mac.h"
#include "hsm/sealed_parts.h"
#include "keyring_steps.h"

enum { MANY = 2000 };

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS private_class = CKO_PRIVATE_KEY, secret_class = CKO_SECRET_KEY;
static CK_KEY_TYPE ec = CKK_EC, generic = CKK_GENERIC_SECRET;
static CK_MECHANISM key_wrap = {CKM_AES_KEY_WRAP_PAD, NULL, 0};

static CK_FUNCTION_LIST *f(void) { return cb_keyring_token(keyring)->f; }

static CK_SESSION_HANDLE session(void) { return cb_keyring_token(keyring)->session; }

static size_t objects(bool persistent)
{
    size_t count = 0;
    assert_int_equal(cb_token_count(cb_keyring_token(keyring), persistent, &count), CB_OK);
    return count;
}

static cb_buf sealed_for(uint8_t holder, const char *service, uint8_t algorithm)
{
    cb_sealed_info info = {.holder = {{holder}}, .algorithm = algorithm, .uses = 1, .sequence = 1};
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    strcpy(info.service, service);
    assert_int_equal(cb_sealed_generate(keyring, &info, (cb_bytes){0}, &sealed, &spki, NULL),
                     CB_OK);
    cb_buf_free(&spki);
    return sealed;
}

static void take_apart(const cb_buf *sealed, cb_sealed_info *info, cb_bytes *public_key,
                       cb_bytes *wrapped, cb_bytes *mac)
{
    cb_record_parts parts;
    assert_int_equal(cb_record_split(cb_buf_bytes(sealed), CB_SEALED_MAX, &parts), CB_OK);
    assert_int_equal(cb_sealed_body_get(parts.body, info, public_key, wrapped), CB_OK);
    *mac = parts.mac;
}

static cb_error open_only(const cb_buf *sealed)
{
    cb_open_key key = {0};
    cb_error error = cb_sealed_open(keyring, cb_buf_bytes(sealed), &key);
    cb_open_key_close(keyring, &key);
    return error;
}

/* ---- The database is edited ---- */

typedef enum field {
    FIELD_NONE,
    FIELD_HOLDER,
    FIELD_SERVICE,
    FIELD_LEVEL,
    FIELD_USES,
    FIELD_GENERATION,
    FIELD_SEQUENCE,
    FIELD_KEY,
    FIELD_PUBLIC,
    FIELD_WRAPPED,
    FIELD_MAC,
    FIELD_COUNT
} field;

/* One's record with one field of the other's. */
static void records_of_two_holders_cannot_be_mixed(void **state)
{
    (void)state;
    cb_buf one = sealed_for(1, "tax", CB_KEY_EC_P256), two = sealed_for(2, "bank", CB_KEY_EC_P256);
    cb_sealed_info a, b;
    cb_bytes a_public, b_public, a_wrapped, b_wrapped, a_mac, b_mac;
    take_apart(&one, &a, &a_public, &a_wrapped, &a_mac);
    take_apart(&two, &b, &b_public, &b_wrapped, &b_mac);
    for (int swapped = FIELD_NONE; swapped < FIELD_COUNT; swapped++) {
        cb_sealed_info info = a;
        cb_buf mixed = CB_BUF(CB_SEALED_MAX);
        info.holder = swapped == FIELD_HOLDER ? b.holder : a.holder;
        info.key = swapped == FIELD_KEY ? b.key : a.key;
        if (swapped == FIELD_SERVICE)
            strcpy(info.service, b.service);
        info.level += swapped == FIELD_LEVEL;
        info.uses = (uint8_t)(info.uses + (swapped == FIELD_USES));
        info.generation += swapped == FIELD_GENERATION;
        info.sequence += swapped == FIELD_SEQUENCE;
        cb_sealed_body_put(&mixed, &info, swapped == FIELD_PUBLIC ? b_public : a_public,
                           swapped == FIELD_WRAPPED ? b_wrapped : a_wrapped);
        cb_buf_put(&mixed, swapped == FIELD_MAC ? b_mac : a_mac);
        assert_int_equal(open_only(&mixed), swapped == FIELD_NONE ? CB_OK : CB_E_HSM_RECORD);
        cb_buf_free(&mixed);
    }
    cb_buf_free(&one);
    cb_buf_free(&two);
}

/* Even under a right MAC, which only hsmd can make: the wrapping itself does not open under another
 * key. */
static void a_wrapped_key_opens_under_its_own_generation_only(void **state)
{
    (void)state;
    uint32_t generation = 0;
    cb_sealed_info info;
    cb_bytes public_key, wrapped, mac;
    cb_keyring_close(&keyring);
    cb_buf pin = softhsm_pin(), so_pin = softhsm_so_pin();
    cb_initialise_options options = {.token = softhsm_config(&hsm), .so_pin = &so_pin, .pin = &pin};
    keyring = softhsm_open(&hsm);
    cb_buf old = sealed_for(1, "tax", CB_KEY_EC_P256);
    cb_keyring_close(&keyring);
    assert_int_equal(cb_hsm_add_generation(&options, &generation), CB_OK);
    keyring = softhsm_open(&hsm);
    take_apart(&old, &info, &public_key, &wrapped, &mac);
    static const struct {
        uint32_t generation;
        cb_error outcome;
    } cases[] = {
        {1, CB_OK}, {2, CB_E_HSM_RECORD}, {3, CB_E_HSM_RECORD}, {UINT32_MAX, CB_E_HSM_RECORD}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_buf body = CB_BUF(CB_SEALED_MAX), blob = CB_BUF(CB_SEALED_MAX);
        info.generation = cases[i].generation;
        cb_sealed_body_put(&body, &info, public_key, wrapped);
        assert_int_equal(cb_record_seal(keyring, CB_MAC_SEALED, &body, &blob), CB_OK);
        assert_int_equal(open_only(&blob), cases[i].outcome);
        cb_buf_free(&body);
        cb_buf_free(&blob);
    }
    cb_buf_free(&old);
}

/* ---- The token is asked directly, with the user's PIN ---- */

static CK_OBJECT_HANDLE kek(cb_kek kind, uint32_t generation)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    assert_int_equal(cb_keyring_kek(keyring, kind, generation, &handle), CB_OK);
    return handle;
}

static CK_RV unwrap(CK_OBJECT_HANDLE with, cb_bytes wrapped, CK_ATTRIBUTE *list, CK_ULONG count,
                    CK_OBJECT_HANDLE *out)
{
    uint8_t bytes[4096];
    memcpy(bytes, wrapped.data, wrapped.len);
    return f()->C_UnwrapKey(session(), &key_wrap, with, bytes, wrapped.len, list, count, out);
}

/* A key that is open for use. */
static void a_key_in_use_neither_leaves_nor_changes(void **state)
{
    (void)state;
    cb_buf sealed = sealed_for(1, "tax", CB_KEY_EC_P256);
    cb_open_key key = {0};
    assert_int_equal(cb_sealed_open(keyring, cb_buf_bytes(&sealed), &key), CB_OK);
    uint8_t bytes[4096];
    CK_ULONG len;
    CK_ATTRIBUTE value = {CKA_VALUE, bytes, sizeof bytes};
    assert_int_equal(f()->C_GetAttributeValue(session(), key.handle, &value, 1),
                     CKR_ATTRIBUTE_SENSITIVE);
    for (int kind = CB_KEK_USE; kind <= CB_KEK_RELEASE; kind++) {
        len = sizeof bytes;
        assert_int_not_equal(
            f()->C_WrapKey(session(), &key_wrap, kek((cb_kek)kind, 1), key.handle, bytes, &len),
            CKR_OK);
    }
    CK_ATTRIBUTE changes[] = {{CKA_EXTRACTABLE, &yes, sizeof yes}, {CKA_SENSITIVE, &no, sizeof no}};
    for (size_t i = 0; i < 2; i++) {
        CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
        assert_int_not_equal(f()->C_SetAttributeValue(session(), key.handle, &changes[i], 1),
                             CKR_OK);
        assert_int_not_equal(f()->C_CopyObject(session(), key.handle, &changes[i], 1, &copy),
                             CKR_OK);
    }
    cb_open_key_close(keyring, &key);
    cb_buf_free(&sealed);
}

/* What each key-encryption key demands of what it unwraps, left out or turned round, one attribute
 * at a time. */
static void no_attribute_of_the_templates_can_be_left_out_or_turned(void **state)
{
    (void)state;
    cb_buf sealed = sealed_for(1, "tax", CB_KEY_EC_P256);
    cb_sealed_info info;
    cb_bytes public_key, wrapped, mac;
    take_apart(&sealed, &info, &public_key, &wrapped, &mac);
    CK_ATTRIBUTE for_use[] = {{CKA_CLASS, &private_class, sizeof private_class},
                              {CKA_KEY_TYPE, &ec, sizeof ec},
                              {CKA_TOKEN, &no, sizeof no},
                              {CKA_PRIVATE, &yes, sizeof yes},
                              {CKA_SENSITIVE, &yes, sizeof yes},
                              {CKA_EXTRACTABLE, &no, sizeof no},
                              {CKA_SIGN, &yes, sizeof yes},
                              {CKA_DERIVE, &no, sizeof no},
                              {CKA_UNWRAP, &no, sizeof no},
                              {CKA_DECRYPT, &no, sizeof no}};
    CK_ATTRIBUTE for_rewrap[] = {{CKA_CLASS, &private_class, sizeof private_class},
                                 {CKA_KEY_TYPE, &ec, sizeof ec},
                                 {CKA_TOKEN, &no, sizeof no},
                                 {CKA_PRIVATE, &yes, sizeof yes},
                                 {CKA_SENSITIVE, &yes, sizeof yes},
                                 {CKA_EXTRACTABLE, &yes, sizeof yes},
                                 {CKA_SIGN, &no, sizeof no},
                                 {CKA_WRAP_WITH_TRUSTED, &yes, sizeof yes},
                                 {CKA_DERIVE, &no, sizeof no},
                                 {CKA_UNWRAP, &no, sizeof no},
                                 {CKA_DECRYPT, &no, sizeof no}};
    static const CK_ATTRIBUTE_TYPE matter[] = {CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_SIGN,
                                               CKA_WRAP_WITH_TRUSTED, CKA_TOKEN};
    for (int way = 0; way < 2; way++) {
        CK_ATTRIBUTE *list = way ? for_rewrap : for_use;
        CK_ULONG count = way ? 11 : 10;
        CK_OBJECT_HANDLE with = kek(way ? CB_KEK_REWRAP : CB_KEK_USE, info.generation), out;
        assert_int_equal(unwrap(with, wrapped, list, count, &out), CKR_OK);
        assert_int_equal(f()->C_DestroyObject(session(), out), CKR_OK);
        for (CK_ULONG i = 2; i < count; i++) {
            bool matters = false;
            for (size_t m = 0; m < sizeof matter / sizeof *matter; m++)
                matters = matters || matter[m] == list[i].type;
            if (!matters)
                continue;
            CK_ATTRIBUTE kept = list[i];
            list[i].pValue = kept.pValue == &yes ? &no : &yes;
            assert_int_not_equal(unwrap(with, wrapped, list, count, &out), CKR_OK);
            list[i] = list[count - 1];
            if (kept.type != CKA_TOKEN) /* whose default is what is demanded */
                assert_int_not_equal(unwrap(with, wrapped, list, count - 1, &out), CKR_OK);
            list[i] = kept;
        }
    }
    cb_buf_free(&sealed);
    assert_int_equal(objects(false), 0);
}

/* Through the key-encryption key of secrets, whatever it wraps would come out readable: so it must
 * not wrap keys. */
static void a_key_does_not_leave_as_if_it_were_a_secret(void **state)
{
    (void)state;
    cb_buf sealed = sealed_for(1, "tax", CB_KEY_EC_P256);
    cb_sealed_info info;
    cb_bytes public_key, wrapped, mac;
    take_apart(&sealed, &info, &public_key, &wrapped, &mac);
    CK_ATTRIBUTE list[] = {{CKA_CLASS, &private_class, sizeof private_class},
                           {CKA_KEY_TYPE, &ec, sizeof ec},
                           {CKA_TOKEN, &no, sizeof no},
                           {CKA_PRIVATE, &yes, sizeof yes},
                           {CKA_SENSITIVE, &yes, sizeof yes},
                           {CKA_EXTRACTABLE, &yes, sizeof yes},
                           {CKA_SIGN, &no, sizeof no},
                           {CKA_WRAP_WITH_TRUSTED, &yes, sizeof yes},
                           {CKA_DERIVE, &no, sizeof no},
                           {CKA_UNWRAP, &no, sizeof no},
                           {CKA_DECRYPT, &no, sizeof no}};
    CK_OBJECT_HANDLE out, copy = CK_INVALID_HANDLE;
    uint8_t bytes[4096];
    CK_ULONG len = sizeof bytes;
    assert_int_equal(unwrap(kek(CB_KEK_REWRAP, info.generation), wrapped, list, 11, &out), CKR_OK);
    assert_int_equal(f()->C_WrapKey(session(), &key_wrap, kek(CB_KEK_RELEASE, info.generation), out,
                                    bytes, &len),
                     CKR_KEY_NOT_WRAPPABLE);
    CK_ATTRIBUTE lift = {CKA_WRAP_WITH_TRUSTED, &no, sizeof no};
    CK_ATTRIBUTE show = {CKA_SENSITIVE, &no, sizeof no};
    assert_int_not_equal(f()->C_SetAttributeValue(session(), out, &lift, 1), CKR_OK);
    assert_int_not_equal(f()->C_CopyObject(session(), out, &lift, 1, &copy), CKR_OK);
    assert_int_not_equal(f()->C_CopyObject(session(), out, &show, 1, &copy), CKR_OK);
    assert_int_equal(f()->C_DestroyObject(session(), out), CKR_OK);
    /* nor does a secret's wrapping open under the keys for use, or a key's under that for secrets
     */
    CK_ATTRIBUTE as_secret[] = {{CKA_CLASS, &secret_class, sizeof secret_class},
                                {CKA_KEY_TYPE, &generic, sizeof generic},
                                {CKA_TOKEN, &no, sizeof no},
                                {CKA_PRIVATE, &yes, sizeof yes},
                                {CKA_SENSITIVE, &no, sizeof no},
                                {CKA_EXTRACTABLE, &yes, sizeof yes}};
    for (int kind = CB_KEK_USE; kind <= CB_KEK_RELEASE; kind++)
        assert_int_not_equal(
            unwrap(kek((cb_kek)kind, info.generation), wrapped, as_secret, 6, &out), CKR_OK);
    cb_buf_free(&sealed);
}

/* A trusted copy with other attributes would undo all of this. */
static void key_encryption_keys_cannot_be_copied_into_weaker_ones(void **state)
{
    (void)state;
    CK_ATTRIBUTE list[] = {{CKA_UNWRAP_TEMPLATE, NULL, 0},      {CKA_DECRYPT, &yes, sizeof yes},
                           {CKA_EXTRACTABLE, &yes, sizeof yes}, {CKA_SENSITIVE, &no, sizeof no},
                           {CKA_TRUSTED, &yes, sizeof yes},     {CKA_MODIFIABLE, &yes, sizeof yes}};
    for (int kind = CB_KEK_USE; kind <= CB_KEK_RELEASE; kind++) {
        for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
            CK_OBJECT_HANDLE from = kek((cb_kek)kind, 1), copy = CK_INVALID_HANDLE;
            assert_int_not_equal(f()->C_CopyObject(session(), from, &list[i], 1, &copy), CKR_OK);
            assert_int_not_equal(f()->C_SetAttributeValue(session(), from, &list[i], 1), CKR_OK);
        }
    }
}

/* ---- Nothing stays behind ---- */

static void thousands_of_operations_leave_no_object(void **state)
{
    (void)state;
    size_t persistent = objects(true);
    cb_buf keys[] = {sealed_for(1, "tax", CB_KEY_EC_P256), sealed_for(1, "tax", CB_KEY_HMAC_SHA256),
                     sealed_for(1, "tax", CB_KEY_SECRET)};
    cb_digest digest = {{1}};
    size_t before = objects(false);
    for (unsigned i = 0; i < MANY; i++) {
        cb_open_key key = {0};
        cb_buf out = CB_BUF(i % 7 == 0 ? 8 : CB_USE_RESULT_MAX); /* too small now and then */
        cb_bytes data = i % 5 == 0 ? (cb_bytes){0} : cb_digest_bytes(&digest);
        assert_int_equal(cb_sealed_open(keyring, cb_buf_bytes(&keys[i % 3]), &key), CB_OK);
        cb_open_key_use(keyring, &key, (uint8_t)(i % 6), (uint8_t)(i % 5), data, &out);
        cb_open_key_close(keyring, &key);
        cb_buf_free(&out);
    }
    assert_int_equal(objects(false), before);
    assert_int_equal(before, 0);
    assert_int_equal(objects(true), persistent);
    for (size_t i = 0; i < 3; i++)
        cb_buf_free(&keys[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_two_holders_cannot_be_mixed),
        cmocka_unit_test(a_wrapped_key_opens_under_its_own_generation_only),
        cmocka_unit_test(a_key_in_use_neither_leaves_nor_changes),
        cmocka_unit_test(no_attribute_of_the_templates_can_be_left_out_or_turned),
        cmocka_unit_test(a_key_does_not_leave_as_if_it_were_a_secret),
        cmocka_unit_test(key_encryption_keys_cannot_be_copied_into_weaker_ones),
        cmocka_unit_test(thousands_of_operations_leave_no_object),
    };
    return cmocka_run_group_tests(tests, open_token, close_token);
}
