/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * New certificates that a foreign card brings in a tap of its own, message by message; and what a
 * front end that was taken over, or a terminal, can make of one.
 */
#include "hsm/renewing.h"

#include <time.h>

#include "binding_tap_steps.h"
#include "cardlink/piv/commands.h"

enum { KEYS = 2 };

static agency issuer;
static piv_card card;
static cb_foreign_trust *trust;
static const cb_id holder = {{7}};
static const uint8_t uses[KEYS] = {CB_PIV_KEY_AUTHENTICATION, CB_PIV_KEY_CARD};

/* What a card is bound with, or shows. */
typedef struct bound {
    cb_buf binding, certificate[KEYS], all;
} bound;

static void init(bound *b)
{
    *b = (bound){.binding = CB_BUF(CB_BINDING_MAX), .all = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN)};
    for (unsigned i = 0; i < KEYS; i++)
        b->certificate[i] = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
}

static void finish(bound *b)
{
    cb_buf_free(&b->binding);
    cb_buf_free(&b->all);
    for (unsigned i = 0; i < KEYS; i++)
        cb_buf_free(&b->certificate[i]);
}

static int setup(void **state)
{
    agency_make(&issuer);
    int failed = walk_setup(state);
    trust = &use.host->foreign[0];
    agency_trust(&issuer, CB_PROFILE_PIV, trust);
    agency_trust(&issuer, CB_PROFILE_PIV, &manage.host->foreign[0]);
    return failed;
}

static int teardown(void **state)
{
    agency_free(&issuer);
    return walk_teardown(state);
}

static int begin(void **state)
{
    (void)state;
    piv_card_make(&card, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    trust->renewal = CB_X509_RENEWAL_SAME_SUBJECT;
    trust->renewal_at_taps = true;
    return 0;
}

static int end(void **state)
{
    (void)state;
    piv_card_free(&card);
    return 0;
}

static void put_certificates(bound *b)
{
    cb_buf_reset(&b->all);
    for (unsigned i = 0; i < KEYS; i++)
        cb_buf_put(&b->all, cb_buf_bytes(&b->certificate[i]));
}

/* As a manager registers it, with the certificates that it was made with. */
static void bind_card(bound *b, uint8_t level)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_foreign_reading reading = {.profile = CB_PROFILE_PIV};
    init(b);
    piv_card_answers(&card, &answers);
    reading.answers = cb_buf_bytes(&answers);
    piv_card_show(&card, &reading);
    for (unsigned i = 0; i < KEYS; i++)
        cb_buf_put(&b->certificate[i], card.certificate[i]);
    cb_put_reading(&body, &reading);
    cb_put_id(&body, &holder);
    cb_buf_put_u8(&body, level);
    cb_buf_put_u64(&body, 1);
    good(walk_ask(&manage, CB_HSM_BIND_FOREIGN, &body, &b->binding));
    put_certificates(b);
    cb_buf_free(&body);
    cb_buf_free(&answers);
}

static void new_key(unsigned i, cb_vcard_key *key)
{
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, key));
    piv_card_exchange(&card, i, key);
}

static void certify(bound *b, unsigned i, const cb_vcard_key *key, const char *name, int hours)
{
    cb_buf_reset(&b->certificate[i]);
    piv_card_certify(&card, &issuer, i, key, name, hours, &b->certificate[i]);
}

/* ---- A tap ---- */

static void begin_renewal(attempt *a) { tap_begin(a, &card, CB_TAP_RENEW); }

static void put_shown(attempt *a, const bound *now)
{
    a->reading.keys = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        if (now->certificate[i].len == 0)
            continue;
        a->reading.key[a->reading.keys].use = uses[i];
        a->reading.key[a->reading.keys++].certificate = cb_buf_bytes(&now->certificate[i]);
    }
}

static cb_error ask_reading(attempt *a, const bound *old)
{
    cb_buf_reset(&a->body);
    cb_buf_reset(&a->script);
    cb_put_context(&a->body, &a->context);
    cb_put_reading(&a->body, &a->reading);
    cb_buf_put_var(&a->body, cb_buf_bytes(&old->binding));
    cb_buf_put_var(&a->body, cb_buf_bytes(&old->all));
    return walk_ask(&use, CB_HSM_TAP_RENEW, &a->body, &a->script);
}

static cb_error tap_ask(attempt *a, const bound *old, const bound *now)
{
    put_shown(a, now);
    return ask_reading(a, old);
}

/* A whole tap of the card; now gets the binding. */
static cb_error renew(const bound *old, bound *now, const char *pin, uint64_t sequence)
{
    attempt a;
    begin_renewal(&a);
    cb_error error = tap_ask(&a, old, now);
    if (!error)
        error = tap_finish(&a, &card, pin);
    if (!error)
        error = tap_bind(&a, sequence);
    assert_true((error == CB_OK) == (a.binding.len > 0));
    cb_buf_reset(&now->binding);
    cb_buf_put(&now->binding, cb_buf_bytes(&a.binding));
    put_certificates(now);
    tap_free(&a);
    return error;
}

static cb_binding_info info_of(const bound *b)
{
    cb_binding_info info;
    good(fake_vault.binding_check(NULL, cb_buf_bytes(&b->binding), &info));
    return info;
}

static void retire(const bound *b)
{
    cb_binding_info info = info_of(b);
    cb_id subject = cb_binding_subject(&info);
    walk_tell(CB_FEED_KEY_RETIRED, &subject);
}

/* The two that are there in the other order. */
static void turn_round(cb_foreign_reading *reading)
{
    assert_int_equal(reading->keys, KEYS);
    cb_foreign_reading was = *reading;
    reading->key[0] = was.key[1];
    reading->key[1] = was.key[0];
}

static cb_error ask_turned(attempt *a, const bound *old, const bound *now)
{
    put_shown(a, now);
    turn_round(&a->reading);
    return ask_reading(a, old);
}

/* ---- ---- */

static void the_same_keys_are_renewed_without_a_pin(void **state)
{
    bound old, now;
    (void)state;
    trust->renewal = CB_X509_RENEWAL_SAME_KEY;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    good(renew(&old, &now, "", 2));
    cb_binding_info info = info_of(&now), before = info_of(&old);
    cb_id one = cb_binding_subject(&before), other = cb_binding_subject(&info);
    assert_true(cb_id_same(&one, &other));
    assert_true(cb_id_same(&info.holder, &holder));
    assert_int_equal(info.level, CB_LEVEL_TERMINAL_PIN);
    assert_int_equal(info.sequence, 2);
    cb_digest digest = cb_sha256(cb_buf_bytes(&now.certificate[1]));
    assert_memory_equal(&info.keys.key[1].certificate, &digest, sizeof digest);
    finish(&old);
    finish(&now);
}

/* In another order the same keys would be another binding, whose record retires that of before:
 * each later reading would then show keys that are retired. The holder's PIN was there for it. */
static void keys_in_another_order_are_not_taken_for_other_keys(void **state)
{
    bound old, now;
    attempt a;
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    begin_renewal(&a);
    expect(CB_E_ARGUMENT, ask_turned(&a, &old, &now));
    assert_int_equal(a.script.len, 0);
    tap_free(&a);
    good(renew(&old, &now, "", 2));
    cb_binding_info info = info_of(&now), before = info_of(&old);
    cb_id one = cb_binding_subject(&before), other = cb_binding_subject(&info);
    assert_true(cb_id_same(&one, &other));
    finish(&old);
    finish(&now);
}

/* The default; a manager may all the same. */
static void nothing_is_renewed_at_taps_unless_that_is_configured(void **state)
{
    bound old, now;
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    trust->renewal_at_taps = false;
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, PIV_PIN, 2));
    trust->renewal_at_taps = true;
    trust->renewal = CB_X509_RENEWAL_NEVER;
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, PIV_PIN, 2));
    finish(&old);
    finish(&now);
}

static void the_rule_decides(void **state)
{
    bound old, now;
    cb_vcard_key key;
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    cb_buf_put(&now.certificate[1], card.certificate[1]);
    certify(&now, 0, NULL, NULL, 0); /* no later */
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, PIV_PIN, 2));
    certify(&now, 0, NULL, "Jiro", 1);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, PIV_PIN, 2));
    cb_buf_reset(&now.certificate[0]); /* nothing new */
    cb_buf_put(&now.certificate[0], card.certificate[0]);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, PIV_PIN, 2));
    new_key(0, &key);
    certify(&now, 0, &key, NULL, 1);
    trust->renewal = CB_X509_RENEWAL_SAME_KEY;
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, PIV_PIN, 2));
    finish(&old);
    finish(&now);
}

static void a_new_key_is_bound_that_the_card_has_and_with_its_pin(void **state)
{
    bound old, now;
    cb_vcard_key key, elsewhere;
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    cb_buf_put(&now.certificate[1], card.certificate[1]);
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &elsewhere));
    certify(&now, 0, &elsewhere, NULL, 1); /* the issuer's word, and not the card's */
    expect(CB_E_CARD_PROOF, renew(&old, &now, PIV_PIN, 2));
    new_key(0, &key);
    certify(&now, 0, &key, NULL, 1);
    expect(CB_E_PIN_WRONG, renew(&old, &now, PIV_WRONG_PIN, 2));
    good(renew(&old, &now, PIV_PIN, 2)); /* nothing of the others was remembered */
    cb_binding_info info = info_of(&now), before = info_of(&old);
    assert_int_equal(info.level, before.level);
    assert_memory_not_equal(info.keys.key[0].data, before.keys.key[0].data, CB_P256_POINT);
    finish(&old);
    finish(&now);
}

/* Refused before the card, or anybody for its PIN, is asked. */
static void expect_at_once(cb_error wanted, const bound *old, const bound *now)
{
    attempt a;
    begin_renewal(&a);
    expect(wanted, tap_ask(&a, old, now));
    assert_int_equal(a.script.len, 0);
    tap_free(&a);
}

/* One tap has one signature. Where no PIN can be had, nobody but the terminal says whose card it
 * is. */
static void keys_that_the_tap_does_not_prove_are_a_managers(void **state)
{
    bound old, now;
    cb_vcard_key key[KEYS];
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    for (unsigned i = 0; i < KEYS; i++) {
        new_key(i, &key[i]);
        certify(&now, i, &key[i], NULL, 1);
    }
    expect_at_once(CB_E_CERTIFICATE_RENEWAL, &old, &now);
    cb_buf_reset(&now.certificate[0]);
    cb_buf_put(&now.certificate[0], card.certificate[0]); /* 9A does not sign as before */
    expect(CB_E_CARD_PROOF, renew(&old, &now, PIV_PIN, 2));
    finish(&old);
    finish(&now);
    end(NULL);
    begin(NULL);
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    cb_buf_put(&now.certificate[0], card.certificate[0]);
    new_key(1, &key[1]);
    certify(&now, 1, &key[1], NULL, 1);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, PIV_PIN, 2)); /* signed by 9A alone */
    finish(&old);
    finish(&now);
    end(NULL);
    begin(NULL);
    bind_card(&old, CB_LEVEL_POSSESSION);
    init(&now);
    cb_buf_put(&now.certificate[1], card.certificate[1]);
    new_key(0, &key[0]);
    certify(&now, 0, &key[0], NULL, 1);
    expect_at_once(CB_E_CERTIFICATE_RENEWAL, &old, &now);
    finish(&old);
    finish(&now);
}

/* A front end that goes on with what a card of before, or of somebody else, has shown or signed. */
static void a_reading_of_another_card_or_an_earlier_signature_renews_nothing(void **state)
{
    bound old, now, other;
    attempt first, second;
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    begin_renewal(&first);
    good(tap_ask(&first, &old, &now));
    good(tap_finish(&first, &card, ""));
    begin_renewal(&second); /* and the answers of the first */
    good(tap_ask(&second, &old, &now));
    cb_buf_reset(&second.body);
    cb_put_id(&second.body, &second.context.tap);
    cb_buf_put_var(&second.body, cb_buf_bytes(&first.answers));
    good(walk_ask(&use, CB_HSM_TAP_FINISH, &second.body, NULL));
    expect(CB_E_CARD_PROOF, tap_bind(&second, 2));
    tap_free(&second);
    begin_renewal(&second); /* signed for a log in */
    good(tap_ask(&second, &old, &now));
    cb_buf_reset(&second.body);
    good(tap_finish(&second, &card, ""));
    cb_feed_head head = cb_feed_now(use.feed);
    cb_buf_reset(&second.body);
    cb_put_id(&second.body, &second.context.tap);
    cb_buf_put_var(&second.body, cb_buf_bytes(&old.binding));
    cb_put_feed_head(&second.body, &head);
    expect(CB_E_TAP_ORDER, walk_ask(&use, CB_HSM_TAP_ACTIVATE, &second.body, NULL));
    tap_free(&second);
    tap_free(&first);
    piv_card mine = card;
    begin(NULL);
    bind_card(&other, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &other, PIV_PIN, 2));
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, PIV_PIN, 2));
    end(NULL);
    card = mine;
    finish(&old);
    finish(&now);
    finish(&other);
}

static void what_was_revoked_suspended_or_retired_is_not_renewed(void **state)
{
    bound old, now, back;
    cb_vcard_key key;
    attempt a;
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    init(&back);
    new_key(0, &key);
    certify(&now, 0, &key, NULL, 1);
    cb_buf_put(&now.certificate[1], card.certificate[1]);
    good(renew(&old, &now, PIV_PIN, 2));
    retire(&old);
    certify(&back, 0, &key, NULL, 2); /* from the binding of before */
    cb_buf_put(&back.certificate[1], card.certificate[1]);
    expect(CB_E_HSM_KEY_RETIRED, renew(&old, &back, PIV_PIN, 3));
    good(renew(&now, &back, PIV_PIN, 3));
    begin_renewal(&a); /* between script and proof */
    certify(&now, 0, &key, NULL, 3);
    good(tap_ask(&a, &back, &now));
    good(tap_finish(&a, &card, ""));
    cb_binding_info info = info_of(&back);
    walk_tell(CB_FEED_CARD_SUSPENDED, &info.card);
    expect(CB_E_CARD_SUSPENDED, tap_bind(&a, 4));
    tap_free(&a);
    expect_at_once(CB_E_CARD_SUSPENDED, &back, &now);
    walk_tell(CB_FEED_CARD_REVOKED, &info.card);
    expect_at_once(CB_E_CARD_REVOKED, &back, &now);
    finish(&old);
    finish(&now);
    finish(&back);
}

/* Back to a key that was renewed, which the card has again. */
static void a_key_that_was_retired_does_not_come_back(void **state)
{
    bound old, now, back;
    cb_vcard_key key, first = card.state.key[cb_vpiv_slot(CB_VPIV_AUTHENTICATION)];
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    init(&back);
    new_key(0, &key);
    certify(&now, 0, &key, NULL, 1);
    cb_buf_put(&now.certificate[1], card.certificate[1]);
    good(renew(&old, &now, PIV_PIN, 2));
    retire(&old);
    piv_card_exchange(&card, 0, &first);
    certify(&back, 0, &first, NULL, 2);
    cb_buf_put(&back.certificate[1], card.certificate[1]);
    expect_at_once(CB_E_HSM_KEY_RETIRED, &now, &back);
    finish(&old);
    finish(&now);
    finish(&back);
}

static void of_two_taps_at_a_time_one_set_of_keys_is_remembered(void **state)
{
    bound old, now[2];
    attempt a[2];
    cb_vcard_key key[2];
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    for (int i = 0; i < 2; i++) {
        init(&now[i]);
        new_key(0, &key[i]);
        certify(&now[i], 0, &key[i], NULL, 1 + i);
        cb_buf_put(&now[i].certificate[1], card.certificate[1]);
        begin_renewal(&a[i]);
        good(tap_ask(&a[i], &old, &now[i]));
        good(tap_finish(&a[i], &card, PIV_PIN));
    }
    good(tap_bind(&a[1], 2));
    expect(CB_E_CARD_BOUND, tap_bind(&a[0], 2));
    for (int i = 0; i < 2; i++)
        tap_free(&a[i]);
    good(renew(&old, &now[1], PIV_PIN, 2)); /* it was not recorded: once more */
    for (int i = 0; i < 2; i++)
        finish(&now[i]);
    finish(&old);
}

static void the_binding_must_be_hsmds_and_the_certificates_its_own(void **state)
{
    bound old, now;
    (void)state;
    bind_card(&old, CB_LEVEL_TERMINAL_PIN);
    init(&now);
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    old.binding.data[40] ^= 1;
    expect(CB_E_HSM_RECORD, renew(&old, &now, "", 2));
    old.binding.data[40] ^= 1;
    old.all.data[99] ^= 1;
    expect(CB_E_HSM_RECORD, renew(&old, &now, "", 2));
    old.all.data[99] ^= 1;
    expect(CB_E_ARGUMENT, renew(&old, &now, "", 1)); /* not later */
    good(renew(&old, &now, "", 2));
    finish(&old);
    finish(&now);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(the_same_keys_are_renewed_without_a_pin),
        TEST(keys_in_another_order_are_not_taken_for_other_keys),
        TEST(nothing_is_renewed_at_taps_unless_that_is_configured),
        TEST(the_rule_decides),
        TEST(a_new_key_is_bound_that_the_card_has_and_with_its_pin),
        TEST(keys_that_the_tap_does_not_prove_are_a_managers),
        TEST(a_reading_of_another_card_or_an_earlier_signature_renews_nothing),
        TEST(what_was_revoked_suspended_or_retired_is_not_renewed),
        TEST(a_key_that_was_retired_does_not_come_back),
        TEST(of_two_taps_at_a_time_one_set_of_keys_is_remembered),
        TEST(the_binding_must_be_hsmds_and_the_certificates_its_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
