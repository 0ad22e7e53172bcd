/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/tlv.h"

static int setup(void **state)
{
    *state = malloc(sizeof(world));
    world_make(*state, false);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    free(*state);
    return 0;
}

static void what_is_made_is_read_again(void **state)
{
    world *w = *state;
    cb_cvc cvc;
    assert_int_equal(cb_cvc_parse(cb_buf_bytes(&w->certificate), &cvc), CB_OK);
    assert_true(cb_bytes_same(cvc.issuer, cb_bytes_str("test cards")));
    assert_true(cb_bytes_same(cvc.subject, cb_id_bytes(&w->first.card)));
    assert_int_equal(cvc.usage, CB_CVC_CARD_PROOF);
    assert_true(cb_bytes_same(cvc.point, CB_BYTES_OF(w->point)));
    assert_true(cb_cvc_verify(&cvc, CB_BYTES_OF(w->cards.anchor.point)));
    assert_false(cb_cvc_verify(&cvc, CB_BYTES_OF(w->brokers.anchor.point)));
    assert_true(w->certificate.len <= CB_NATIVE_CERTIFICATE_MAX);
}

static void any_change_is_noticed(void **state)
{
    world *w = *state;
    uint8_t point[CB_P256_POINT];
    cb_id card;
    for (size_t i = 0; i < w->certificate.len; i++) {
        w->certificate.data[i] ^= 0x01;
        assert_int_equal(cb_card_certificate_check(cb_buf_bytes(&w->certificate), &w->cards.anchor,
                                                   1, &card, point),
                         CB_E_CARD_CERTIFICATE);
        w->certificate.data[i] ^= 0x01;
        cb_cvc cvc;
        assert_int_equal(cb_cvc_parse(cb_bytes_make(w->certificate.data, i), &cvc), CB_E_FORMAT);
    }
    cb_cvc cvc;
    cb_buf_put_u8(&w->certificate, 0);
    assert_int_equal(cb_cvc_parse(cb_buf_bytes(&w->certificate), &cvc), CB_E_FORMAT);
}

static void a_certificate_serves_one_use_only(void **state)
{
    world *w = *state;
    uint8_t point[CB_P256_POINT];
    cb_batch_facts facts;
    cb_id card;
    cb_bytes batch = cb_bytes_make(w->batch.certificate, w->batch.certificate_len);
    cb_trust_anchor anchor;
    assert_int_equal(cb_card_certificate_check(batch, &w->cards.anchor, 1, &card, point),
                     CB_E_CARD_CERTIFICATE);
    assert_int_equal(
        cb_batch_certificate_check(cb_buf_bytes(&w->certificate), &w->cards.anchor, 1, &facts),
        CB_E_CARD_CERTIFICATE);
    assert_int_equal(cb_trust_anchor_parse(batch, &anchor), CB_E_FORMAT);
}

static void a_remembered_batch_is_checked_against_the_anchors_given(void **state)
{
    world *w = *state;
    cb_batch_facts facts;
    cb_bytes batch = cb_bytes_make(w->batch.certificate, w->batch.certificate_len);
    const cb_trust_anchor both[] = {w->brokers.anchor, w->cards.anchor};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cb_batch_certificate_check(batch, both, 2, &facts), CB_OK);
        assert_int_equal(cb_batch_certificate_check(batch, &w->brokers.anchor, 1, &facts),
                         CB_E_CARD_CERTIFICATE);
        assert_int_equal(cb_batch_certificate_check(batch, NULL, 0, &facts), CB_E_CARD_CERTIFICATE);
    }
    /* Same name, another key. */
    cb_trust_anchor impostor = w->cards.anchor;
    memcpy(impostor.point, w->brokers.anchor.point, CB_P256_POINT);
    assert_int_equal(cb_batch_certificate_check(batch, &impostor, 1, &facts),
                     CB_E_CARD_CERTIFICATE);
    /* More batches than are remembered. */
    for (int i = 0; i < 40; i++) {
        cb_issue_batch other;
        assert_int_equal(
            cb_issue_batch_make(&w->cards, cb_bytes_str("b"), cb_issue_days_from_today(1), &other),
            CB_OK);
        assert_int_equal(
            cb_batch_certificate_check(cb_bytes_make(other.certificate, other.certificate_len),
                                       both, 2, &facts),
            CB_OK);
    }
    assert_int_equal(cb_batch_certificate_check(batch, both, 2, &facts), CB_OK);
}

/* over: of a batch whose last day is over. */
static cb_error dated(world *w, uint16_t usage, uint32_t first, uint32_t last, bool *over)
{
    uint8_t point[CB_P256_POINT];
    cb_batch_facts facts = {.over = false};
    cb_id card;
    cb_buf made = CB_BUF(CB_CVC_MAX);
    cb_error error =
        cb_issue_certificate(&w->cards, cb_id_bytes(&w->first.card), usage, CB_BYTES_OF(w->point),
                             (cb_issue_days){first, last}, &made);
    if (!error)
        error =
            usage == CB_CVC_AGREEMENT
                ? cb_batch_certificate_check(cb_buf_bytes(&made), &w->cards.anchor, 1, &facts)
                : cb_card_certificate_check(cb_buf_bytes(&made), &w->cards.anchor, 1, &card, point);
    *over = facts.over;
    assert_true(facts.first_day == (error || usage != CB_CVC_AGREEMENT ? 0 : first));
    cb_buf_free(&made);
    return error;
}

static void days_are_kept_to(void **state)
{
    world *w = *state;
    const uint16_t usages[] = {CB_CVC_AGREEMENT, CB_CVC_CARD_PROOF};
    uint32_t today = cb_cvc_day(cb_clock_wall_us());
    uint32_t yesterday = cb_cvc_day(cb_clock_wall_us() - 24 * 3600 * CB_SECOND);
    bool over;
    for (size_t i = 0; i < 2; i++) {
        bool batch = usages[i] == CB_CVC_AGREEMENT;
        cb_error of_before = batch ? CB_OK : CB_E_CARD_CERTIFICATE;
        assert_int_equal(dated(w, usages[i], today, today, &over), CB_OK);
        assert_false(over);
        assert_int_equal(dated(w, usages[i], 0x20200101, 0x20211231, &over), of_before);
        assert_true(over == batch);
        assert_int_equal(dated(w, usages[i], 0x20200101, yesterday, &over), of_before);
        assert_true(over == batch);
        assert_int_equal(dated(w, usages[i], 0x21200101, 0x21211231, &over), CB_E_CARD_CERTIFICATE);
        assert_int_equal(dated(w, usages[i], 0x20301301, 0x20311231, &over), CB_E_ARGUMENT);
        assert_int_equal(dated(w, usages[i], 0x20310101, 0x20300101, &over), CB_E_ARGUMENT);
        assert_int_equal(dated(w, usages[i], 0x2030010A, 0x20310101, &over), CB_E_ARGUMENT);
    }
    assert_int_equal(cb_cvc_day(0), 0x19700101);
    assert_int_equal(cb_cvc_day(INT64_C(1709164800) * CB_SECOND), 0x20240229);
}

/* A certificate with an optional object put in before its key, and signed again. */
static cb_error with_object(world *w, uint32_t tag, cb_bytes value)
{
    cb_cvc cvc;
    uint8_t signature[CB_P256_SIGNATURE];
    cb_buf body = CB_BUF(CB_CVC_MAX), whole = CB_BUF(CB_CVC_MAX);
    cb_cvc_parse(cb_buf_bytes(&w->certificate), &cvc);
    size_t key = 3 + 73 - 3; /* 7F49 46 { B0 41 point, F0 01 00 } */
    cb_buf_put(&body, cb_bytes_make(cvc.signed_bytes.data, cvc.signed_bytes.len - key));
    cb_tlv_put(&body, tag, value);
    cb_buf_put(&body, cb_bytes_make(&cvc.signed_bytes.data[cvc.signed_bytes.len - key], key));
    cb_digest digest = cb_sha256(cb_buf_bytes(&body));
    cb_p256_sign(w->cards.scalar, &digest, signature);
    cb_tlv_put(&body, 0x5F37, CB_BYTES_OF(signature));
    cb_tlv_put(&whole, 0x7F21, cb_buf_bytes(&body));
    cb_error error = cb_cvc_parse(cb_buf_bytes(&whole), &cvc);
    if (!error && !cb_cvc_verify(&cvc, CB_BYTES_OF(w->cards.anchor.point)))
        error = CB_E_CRYPTO;
    cb_buf_free(&body);
    cb_buf_free(&whole);
    return error;
}

static void limits_that_are_not_known_are_not_ignored(void **state)
{
    world *w = *state;
    assert_int_equal(with_object(w, 0x53, cb_bytes_str("x")), CB_OK);
    assert_int_equal(with_object(w, 0x53, cb_bytes_str("more than sixteen")), CB_E_FORMAT);
    assert_int_equal(with_object(w, 0xBF20, (cb_bytes){0}), CB_OK);
    assert_int_equal(with_object(w, 0xBF20, cb_bytes_str("x")), CB_E_FORMAT);
    assert_int_equal(with_object(w, 0x99, cb_bytes_str("x")), CB_E_FORMAT);
}

static void files_are_read_and_checked(void **state)
{
    world *w = *state;
    char path[] = "/tmp/cardlink-cvc-XXXXXX";
    uint8_t point[CB_P256_POINT];
    cb_issue_authority other;
    cb_trust_anchor anchor;
    cb_buf root = CB_BUF(CB_CVC_MAX), read = CB_BUF(1024);
    close(mkstemp(path));
    assert_int_equal(
        cb_issue_authority_make(cb_bytes_str("root"), cb_issue_days_from_today(1), &other, &root),
        CB_OK);
    assert_int_equal(cb_file_replace(path, cb_buf_bytes(&root), 0644), CB_OK);
    assert_int_equal(cb_trust_anchor_read(path, &anchor), CB_OK);
    assert_memory_equal(anchor.point, other.anchor.point, CB_P256_POINT);
    assert_int_equal(cb_broker_certificate_read(path, CB_CVC_AGREEMENT, &read, point), CB_E_FORMAT);

    assert_int_equal(cb_file_replace(path, cb_buf_bytes(&w->signer_certificate), 0644), CB_OK);
    assert_int_equal(cb_trust_anchor_read(path, &anchor), CB_E_FORMAT);
    assert_int_equal(cb_broker_certificate_read(path, CB_CVC_AGREEMENT, &read, NULL), CB_E_FORMAT);
    assert_int_equal(cb_broker_certificate_read(path, CB_CVC_BROKER_SIGNATURE, &read, point),
                     CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&read), cb_buf_bytes(&w->signer_certificate)));
    unlink(path);
    assert_int_equal(cb_trust_anchor_read(path, &anchor), CB_E_NOT_FOUND);
    cb_buf_free(&root);
    cb_buf_free(&read);
}

static void a_root_signs_itself(void **state)
{
    world *w = *state;
    cb_trust_anchor anchor;
    cb_buf made = CB_BUF(CB_CVC_MAX);
    /* An authority certified by another is no root; nor is one whose signature was changed. */
    assert_int_equal(cb_issue_certificate(&w->cards, cb_bytes_str("sub"), CB_CVC_AUTHORITY,
                                          CB_BYTES_OF(w->brokers.anchor.point),
                                          cb_issue_days_from_today(1), &made),
                     CB_OK);
    assert_int_equal(cb_trust_anchor_parse(cb_buf_bytes(&made), &anchor), CB_E_FORMAT);
    cb_buf_reset(&made);
    assert_int_equal(cb_issue_certificate(&w->cards, cb_bytes_str("test cards"), CB_CVC_AUTHORITY,
                                          CB_BYTES_OF(w->brokers.anchor.point),
                                          cb_issue_days_from_today(1), &made),
                     CB_OK);
    assert_int_equal(cb_trust_anchor_parse(cb_buf_bytes(&made), &anchor), CB_E_FORMAT);
    cb_buf_free(&made);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_made_is_read_again),
        TEST(any_change_is_noticed),
        TEST(a_certificate_serves_one_use_only),
        TEST(a_remembered_batch_is_checked_against_the_anchors_given),
        TEST(days_are_kept_to),
        TEST(limits_that_are_not_known_are_not_ignored),
        TEST(files_are_read_and_checked),
        TEST(a_root_signs_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
