/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sealed keys, bindings and receipts as bytes, and whether they are believed.
 */
#include "hsm/records.h"

#include "base/secret.h"
#include "hsm/binding.h"
#include "hsm/receipt.h"
#include "hsm/record_codec.h"
#include "hsm/record_mac.h"
#include "keyring_steps.h"

static cb_sealed_info a_sealed(void)
{
    return (cb_sealed_info){.key = {{1}},
                            .holder = {{2}},
                            .service = "tax-office",
                            .algorithm = CB_KEY_EC_P256,
                            .level = CB_LEVEL_PIN,
                            .uses = 16,
                            .generation = 7,
                            .sequence = UINT64_MAX};
}

static cb_binding_info a_binding(void)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_binding_info info = {.card = {{1}},
                            .holder = {{2}},
                            .profile = CB_PROFILE_NATIVE,
                            .level = CB_LEVEL_PIN,
                            .sequence = 3};
    assert_int_equal(cb_p256_generate(scalar, point), CB_OK);
    info.keys = (cb_card_keys){.count = 1, .key = {cb_card_key_of_point(point)}};
    return info;
}

static cb_receipt_info a_receipt(void)
{
    return (cb_receipt_info){.boot = {{1}},
                             .worker = 2,
                             .counter = 3,
                             .time = -4,
                             .tap = {{5}},
                             .card = {{6}},
                             .key = {{7}},
                             .operation = CB_USE_MAC,
                             .context = {{8}},
                             .data = {{9}}};
}

/* ---- Names ---- */

static void algorithms_have_names(void **state)
{
    (void)state;
    uint8_t algorithm = 0;
    for (uint8_t i = CB_KEY_EC_P256; i <= CB_KEY_SECRET; i++) {
        assert_int_equal(cb_key_algorithm_parse(cb_key_algorithm_name(i), &algorithm), CB_OK);
        assert_int_equal(algorithm, i);
    }
    assert_null(cb_key_algorithm_name(0));
    assert_null(cb_key_algorithm_name(CB_KEY_SECRET + 1));
    assert_null(cb_key_algorithm_name(255));
    assert_int_equal(cb_key_algorithm_parse("", &algorithm), CB_E_HSM_ALGORITHM);
    assert_int_equal(cb_key_algorithm_parse("EC-P256", &algorithm), CB_E_HSM_ALGORITHM);
    assert_int_equal(cb_key_algorithm_parse("ed25519", &algorithm), CB_E_HSM_ALGORITHM);
}

/* ---- There and back ---- */

static cb_buf sealed_body(const cb_sealed_info *info)
{
    cb_buf body = CB_BUF(CB_SEALED_MAX);
    cb_sealed_body_put(&body, info, cb_bytes_str("public"), cb_bytes_str("wrapped"));
    assert_int_equal(cb_buf_error(&body), CB_OK);
    return body;
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    cb_sealed_info sealed = a_sealed(), sealed_again;
    cb_binding_info binding = a_binding(), binding_again;
    cb_receipt_info receipt = a_receipt(), receipt_again;
    cb_bytes public_key, wrapped;
    cb_buf body = sealed_body(&sealed);
    assert_int_equal(cb_sealed_body_get(cb_buf_bytes(&body), &sealed_again, &public_key, &wrapped),
                     CB_OK);
    assert_true(cb_id_same(&sealed.key, &sealed_again.key));
    assert_true(cb_id_same(&sealed.holder, &sealed_again.holder));
    assert_string_equal(sealed.service, sealed_again.service);
    assert_int_equal(sealed.uses, sealed_again.uses);
    assert_int_equal(sealed.generation, sealed_again.generation);
    assert_true(sealed.sequence == sealed_again.sequence);
    assert_true(cb_bytes_same(public_key, cb_bytes_str("public")));
    assert_true(cb_bytes_same(wrapped, cb_bytes_str("wrapped")));
    cb_buf_reset(&body);
    cb_binding_body_put(&body, &binding);
    assert_int_equal(cb_binding_body_get(cb_buf_bytes(&body), &binding_again), CB_OK);
    assert_memory_equal(&binding.keys, &binding_again.keys, sizeof binding.keys);
    assert_true(binding.sequence == binding_again.sequence);
    assert_true(binding_again.expires == 0);
    binding.expires = 1900000000000000;
    cb_buf_reset(&body);
    cb_binding_body_put(&body, &binding);
    assert_int_equal(cb_binding_body_get(cb_buf_bytes(&body), &binding_again), CB_OK);
    assert_true(binding_again.expires == binding.expires);
    assert_memory_equal(&binding.keys, &binding_again.keys, sizeof binding.keys);
    cb_digest plain = cb_binding_digest(&binding);
    binding.expires = 0; /* the same card to hsmd, whatever its day */
    cb_digest dated = cb_binding_digest(&binding_again);
    assert_memory_equal(&plain, &dated, sizeof plain);
    cb_buf_reset(&body);
    cb_receipt_body_put(&body, &receipt);
    assert_int_equal(cb_receipt_body_get(cb_buf_bytes(&body), &receipt_again), CB_OK);
    assert_true(receipt.time == receipt_again.time && receipt.counter == receipt_again.counter);
    assert_memory_equal(&receipt.data, &receipt_again.data, sizeof receipt.data);
    cb_buf_free(&body);
}

static void a_body_that_is_cut_or_too_long_is_refused(void **state)
{
    (void)state;
    cb_sealed_info info = a_sealed(), out;
    cb_bytes public_key, wrapped;
    cb_buf body = sealed_body(&info);
    for (size_t len = 0; len < body.len; len++)
        assert_int_equal(
            cb_sealed_body_get(cb_bytes_make(body.data, len), &out, &public_key, &wrapped),
            CB_E_FORMAT);
    cb_buf_put_u8(&body, 0);
    assert_int_equal(cb_sealed_body_get(cb_buf_bytes(&body), &out, &public_key, &wrapped),
                     CB_E_FORMAT);
    cb_buf_free(&body);
}

static void impossible_fields_are_refused(void **state)
{
    (void)state;
    cb_sealed_info good = a_sealed();
    assert_true(cb_sealed_info_ok(&good));
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        cb_sealed_info info = a_sealed(), out;                                                     \
        cb_bytes public_key, wrapped;                                                              \
        change;                                                                                    \
        cb_buf body = sealed_body(&info);                                                          \
        assert_int_equal(cb_sealed_body_get(cb_buf_bytes(&body), &out, &public_key, &wrapped),     \
                         CB_E_FORMAT);                                                             \
        cb_buf_free(&body);                                                                        \
    } while (0)
    REFUSED(info.key = (cb_id){{0}});
    REFUSED(info.holder = (cb_id){{0}});
    REFUSED(info.service[0] = 0);
    REFUSED(info.service[0] = 'T');
    REFUSED(info.service[3] = '\n');
    REFUSED(info.algorithm = 0);
    REFUSED(info.algorithm = CB_KEY_SECRET + 1);
    REFUSED(info.level = CB_LEVEL_PASSWORD + 1);
    REFUSED(info.uses = 0);
    REFUSED(info.uses = 17);
    REFUSED(info.generation = 0);
#undef REFUSED
    memset(good.service, 'a', sizeof good.service); /* no end */
    assert_false(cb_sealed_info_ok(&good));
}

/* There is one way to write a name. */
static void a_name_with_a_zero_byte_is_refused(void **state)
{
    enum { SERVICE = 2 + 2 * CB_ID_SIZE + 1 };
    (void)state;
    cb_sealed_info info = a_sealed(), out;
    cb_bytes public_key, wrapped;
    cb_buf body = sealed_body(&info);
    assert_int_equal(body.data[SERVICE], 't');
    for (size_t at = 1; at < strlen(info.service); at++) {
        uint8_t letter = body.data[SERVICE + at];
        body.data[SERVICE + at] = 0;
        assert_int_equal(cb_sealed_body_get(cb_buf_bytes(&body), &out, &public_key, &wrapped),
                         CB_E_FORMAT);
        body.data[SERVICE + at] = letter;
    }
    assert_int_equal(cb_sealed_body_get(cb_buf_bytes(&body), &out, &public_key, &wrapped), CB_OK);
    cb_buf_free(&body);
}

static void sizes_are_limited(void **state)
{
    (void)state;
    static uint8_t large[CB_SEALED_MAX + 1];
    cb_sealed_info sealed;
    cb_binding_info binding;
    cb_receipt_info receipt;
    cb_record_parts parts;
    assert_int_equal(cb_sealed_info_read(CB_BYTES_OF(large), &sealed), CB_E_FORMAT);
    assert_int_equal(cb_binding_info_read(cb_bytes_make(large, CB_BINDING_MAX + 1), &binding),
                     CB_E_FORMAT);
    assert_int_equal(cb_receipt_info_read(cb_bytes_make(large, CB_RECEIPT_MAX + 1), &receipt),
                     CB_E_FORMAT);
    assert_int_equal(cb_record_split(cb_bytes_make(large, CB_RECORD_MAC), 100, &parts),
                     CB_E_FORMAT);
    assert_int_equal(cb_record_split((cb_bytes){0}, 100, &parts), CB_E_FORMAT);
    assert_int_equal(cb_record_split(cb_bytes_make(large, 33), 100, &parts), CB_OK);
    assert_int_equal(parts.body.len, 1);
}

/* ---- Believing ---- */

static void a_binding_is_believed_as_it_was_made_only(void **state)
{
    (void)state;
    cb_binding_info info = a_binding(), out;
    cb_buf blob = CB_BUF(CB_BINDING_MAX);
    assert_int_equal(cb_binding_make(keyring, &info, &blob), CB_OK);
    assert_int_equal(cb_binding_check(keyring, cb_buf_bytes(&blob), &out), CB_OK);
    assert_true(cb_id_same(&out.holder, &info.holder));
    for (size_t i = 0; i < blob.len; i++) {
        assert_int_equal(cb_binding_check(keyring, cb_bytes_make(blob.data, i), &out),
                         CB_E_HSM_RECORD);
        for (uint8_t bit = 1; bit != 0; bit = (uint8_t)(bit << 1)) {
            blob.data[i] ^= bit;
            assert_int_equal(cb_binding_check(keyring, cb_buf_bytes(&blob), &out), CB_E_HSM_RECORD);
            blob.data[i] ^= bit;
        }
    }
    cb_buf_free(&blob);
}

static void a_binding_of_nothing_is_not_made(void **state)
{
    (void)state;
    cb_buf blob = CB_BUF(CB_BINDING_MAX);
    cb_binding_info info = a_binding();
    info.card = (cb_id){{0}};
    assert_int_equal(cb_binding_make(keyring, &info, &blob), CB_E_ARGUMENT);
    info = a_binding();
    info.holder = (cb_id){{0}};
    assert_int_equal(cb_binding_make(keyring, &info, &blob), CB_E_ARGUMENT);
    info = a_binding();
    info.level = CB_LEVEL_NONE;
    assert_int_equal(cb_binding_make(keyring, &info, &blob), CB_E_ARGUMENT);
    info = a_binding();
    info.level = CB_LEVEL_TERMINAL_PIN + 1;
    assert_int_equal(cb_binding_make(keyring, &info, &blob), CB_E_ARGUMENT);
    info = a_binding();
    info.keys.key[0].data[64] ^= 1;
    assert_int_equal(cb_binding_make(keyring, &info, &blob), CB_E_ARGUMENT);
    assert_int_equal(blob.len, 0);
    cb_buf_free(&blob);
}

static void a_receipt_is_believed_as_it_was_made_only(void **state)
{
    (void)state;
    cb_receipt_info info = a_receipt(), out;
    cb_buf blob = CB_BUF(CB_RECEIPT_MAX);
    assert_int_equal(cb_receipt_make(keyring, &info, &blob), CB_OK);
    assert_int_equal(cb_receipt_check(keyring, cb_buf_bytes(&blob), &out), CB_OK);
    assert_true(out.counter == 3 && out.time == -4);
    for (size_t i = 0; i < blob.len; i++) {
        blob.data[i] ^= 0x20;
        assert_int_equal(cb_receipt_check(keyring, cb_buf_bytes(&blob), &out), CB_E_HSM_RECORD);
        blob.data[i] ^= 0x20;
        assert_int_equal(cb_receipt_check(keyring, cb_bytes_make(blob.data, i), &out),
                         CB_E_HSM_RECORD);
    }
    cb_buf_free(&blob);
}

/* A body of one kind under the MAC of another: only hsmd itself could make such a thing. */
static void a_genuine_mac_does_not_make_a_record_of_another_kind(void **state)
{
    (void)state;
    cb_binding_info binding = a_binding();
    cb_receipt_info receipt;
    cb_sealed_info sealed;
    cb_buf body = CB_BUF(CB_BINDING_MAX), blob = CB_BUF(CB_BINDING_MAX);
    cb_binding_body_put(&body, &binding);
    assert_int_equal(cb_record_seal(keyring, CB_MAC_RECEIPT, &body, &blob), CB_OK);
    assert_int_equal(cb_receipt_check(keyring, cb_buf_bytes(&blob), &receipt), CB_E_HSM_RECORD);
    assert_int_equal(cb_binding_check(keyring, cb_buf_bytes(&blob), &binding), CB_E_HSM_RECORD);
    cb_buf_reset(&blob);
    assert_int_equal(cb_record_seal(keyring, CB_MAC_SEALED, &body, &blob), CB_OK);
    assert_int_equal(cb_sealed_check(keyring, cb_buf_bytes(&blob), &sealed), CB_E_HSM_RECORD);
    cb_buf_free(&body);
    cb_buf_free(&blob);
}

static void a_buffer_that_is_too_small_fails(void **state)
{
    (void)state;
    cb_binding_info info = a_binding();
    cb_buf blob = CB_BUF(20);
    assert_int_equal(cb_binding_make(keyring, &info, &blob), CB_E_TOO_LARGE);
    cb_buf_free(&blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(algorithms_have_names),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_body_that_is_cut_or_too_long_is_refused),
        cmocka_unit_test(impossible_fields_are_refused),
        cmocka_unit_test(a_name_with_a_zero_byte_is_refused),
        cmocka_unit_test(sizes_are_limited),
        cmocka_unit_test(a_binding_is_believed_as_it_was_made_only),
        cmocka_unit_test(a_binding_of_nothing_is_not_made),
        cmocka_unit_test(a_receipt_is_believed_as_it_was_made_only),
        cmocka_unit_test(a_genuine_mac_does_not_make_a_record_of_another_kind),
        cmocka_unit_test(a_buffer_that_is_too_small_fails),
    };
    return cmocka_run_group_tests(tests, open_token, close_token);
}
