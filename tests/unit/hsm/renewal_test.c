/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * New certificates for a foreign card that is bound: which hsmd takes, what it remembers, and what
 * becomes of the keys of before.
 */
#include <time.h>

#include "cardlink/piv/commands.h"
#include "foreign_cards.h"
#include "hsm/activation.h"
#include "test.h"
#include "walk.h"

enum { KEYS = 2 };

static agency issuer;
static piv_card card;
static cb_id holder;
static cb_buf answers = {.max = CB_SCRIPT_BYTES_MAX};
static cb_foreign_trust *trust;

/* A binding, and the certificates in it. */
typedef struct state_of_card {
    cb_buf binding, certificate[KEYS], certificates;
} state_of_card;

static void make_card(void)
{
    piv_card_make(&card, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    cb_buf_reset(&answers);
    piv_card_answers(&card, &answers);
    holder = cb_id_new();
}

static int setup(void **state)
{
    agency_make(&issuer);
    int failed = walk_setup(state);
    trust = &manage.host->foreign[0];
    agency_trust(&issuer, CB_PROFILE_PIV, trust);
    return failed;
}

static int teardown(void **state)
{
    cb_buf_free(&answers);
    agency_free(&issuer);
    return walk_teardown(state);
}

static bool turned; /* the keys are read in the other order */

static int begin(void **state)
{
    (void)state;
    make_card();
    turned = false;
    trust->renewal = CB_X509_RENEWAL_SAME_SUBJECT;
    return 0;
}

static int end(void **state)
{
    (void)state;
    piv_card_free(&card);
    return 0;
}

/* ---- What a terminal reads ---- */

static void init(state_of_card *s)
{
    *s = (state_of_card){.binding = CB_BUF(CB_BINDING_MAX),
                         .certificates = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN)};
    for (unsigned i = 0; i < KEYS; i++)
        s->certificate[i] = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
}

static void finish(state_of_card *s)
{
    cb_buf_free(&s->binding);
    cb_buf_free(&s->certificates);
    for (unsigned i = 0; i < KEYS; i++)
        cb_buf_free(&s->certificate[i]);
}

static void show(state_of_card *s, unsigned i, cb_bytes certificate)
{
    cb_buf_reset(&s->certificate[i]);
    cb_buf_put(&s->certificate[i], certificate);
}

static void certify(state_of_card *s, unsigned i, const cb_vcard_key *key, const char *name,
                    int hours)
{
    cb_buf_reset(&s->certificate[i]);
    piv_card_certify(&card, &issuer, i, key, name, hours, &s->certificate[i]);
}

static void put_reading(cb_buf *body, const state_of_card *s)
{
    static const uint8_t uses[] = {CB_PIV_KEY_AUTHENTICATION, CB_PIV_KEY_CARD};
    cb_buf_put_u8(body, CB_PROFILE_PIV);
    cb_buf_put_var(body, cb_buf_bytes(&answers));
    cb_buf_put_u8(body, (s->certificate[0].len > 0) + (s->certificate[1].len > 0));
    for (unsigned n = 0; n < KEYS; n++) {
        unsigned i = turned ? KEYS - 1 - n : n;
        if (s->certificate[i].len == 0)
            continue;
        cb_buf_put_u8(body, uses[i]);
        cb_buf_put_var(body, cb_buf_bytes(&s->certificate[i]));
    }
}

static cb_error ask(uint16_t type, cb_buf *body, state_of_card *s)
{
    cb_error error = walk_ask(&manage, type, body, &s->binding);
    assert_true((error == CB_OK) == (s->binding.len > 0));
    cb_buf_free(body);
    cb_buf_reset(&s->certificates);
    for (unsigned i = 0; i < KEYS; i++)
        cb_buf_put(&s->certificates, cb_buf_bytes(&s->certificate[i]));
    return error;
}

static cb_error bind(state_of_card *s)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    put_reading(&body, s);
    cb_put_id(&body, &holder);
    cb_buf_put_u8(&body, CB_LEVEL_TERMINAL_PIN);
    cb_buf_put_u64(&body, 1);
    return ask(CB_HSM_BIND_FOREIGN, &body, s);
}

static cb_error renew(const state_of_card *old, state_of_card *now, uint64_t sequence)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    put_reading(&body, now);
    cb_buf_put_var(&body, cb_buf_bytes(&old->binding));
    cb_buf_put_var(&body, cb_buf_bytes(&old->certificates));
    cb_buf_put_u64(&body, sequence);
    return ask(CB_HSM_RENEW_FOREIGN, &body, now);
}

/* Bound with the certificates that it was made with. */
static void bound(state_of_card *old, state_of_card *now)
{
    init(old);
    init(now);
    for (unsigned i = 0; i < KEYS; i++)
        show(old, i, card.certificate[i]);
    good(bind(old));
}

static cb_binding_info info_of(const state_of_card *s)
{
    cb_binding_info info;
    good(fake_vault.binding_check(NULL, cb_buf_bytes(&s->binding), &info));
    return info;
}

/* ---- ---- */

static void the_rule_decides(void **state)
{
    static const struct {
        bool other_key;
        const char *name;
        int later;
        bool by_key, by_subject;
    } cases[] = {{false, NULL, 1, true, true},     {true, NULL, 1, false, true},
                 {false, NULL, 0, false, false},   {false, NULL, -1, false, false},
                 {false, "Jiro", 1, false, false}, {true, "Jiro", 1, false, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned rule = 0; rule <= CB_X509_RENEWAL_SAME_SUBJECT; rule++) {
            state_of_card old, now;
            cb_vcard_key other;
            good(cb_vcard_key_generate(CB_VCARD_EC_P256, &other));
            bound(&old, &now);
            certify(&now, 0, cases[i].other_key ? &other : NULL, cases[i].name, cases[i].later);
            show(&now, 1, card.certificate[1]);
            trust->renewal = (cb_x509_renewal)rule;
            bool allowed = rule == CB_X509_RENEWAL_SAME_KEY
                               ? cases[i].by_key
                               : rule == CB_X509_RENEWAL_SAME_SUBJECT && cases[i].by_subject;
            expect(allowed ? CB_OK : CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, 2));
            finish(&old);
            finish(&now);
            end(NULL);
            make_card();
        }
    }
}

static void holder_and_level_stay(void **state)
{
    state_of_card old, now;
    (void)state;
    bound(&old, &now);
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    good(renew(&old, &now, 7));
    cb_binding_info info = info_of(&now);
    assert_true(cb_id_same(&info.holder, &holder));
    assert_int_equal(info.level, CB_LEVEL_TERMINAL_PIN);
    assert_int_equal(info.sequence, 7);
    for (unsigned i = 0; i < KEYS; i++) {
        cb_digest digest = cb_sha256(cb_buf_bytes(&now.certificate[i]));
        assert_memory_equal(&info.keys.key[i].certificate, &digest, sizeof digest);
    }
    finish(&old);
    finish(&now);
}

static void the_keys_have_one_order(void **state)
{
    state_of_card old, now;
    (void)state;
    bound(&old, &now);
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    turned = true;
    expect(CB_E_ARGUMENT, renew(&old, &now, 2));
    expect(CB_E_ARGUMENT, bind(&now));
    turned = false;
    good(renew(&old, &now, 2));
    cb_binding_info before = info_of(&old), info = info_of(&now);
    cb_id one = cb_binding_subject(&before), other = cb_binding_subject(&info);
    assert_true(cb_id_same(&one, &other));
    finish(&old);
    finish(&now);
}

static void there_is_a_certificate_for_each_key_and_one_is_new(void **state)
{
    state_of_card old, now, one;
    (void)state;
    bound(&old, &now);
    for (unsigned i = 0; i < KEYS; i++)
        show(&now, i, card.certificate[i]);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, 2));
    certify(&now, 1, NULL, NULL, 1);
    cb_buf_reset(&now.certificate[0]);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, 2));
    finish(&old);
    finish(&now);
    end(NULL);
    make_card();
    init(&one);
    init(&now);
    show(&one, 0, card.certificate[0]);
    good(bind(&one));
    certify(&now, 0, NULL, NULL, 1);
    certify(&now, 1, NULL, NULL, 1);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&one, &now, 2));
    cb_buf_reset(&now.certificate[0]);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&one, &now, 2));
    certify(&now, 0, NULL, NULL, 1);
    cb_buf_reset(&now.certificate[1]);
    good(renew(&one, &now, 2));
    finish(&one);
    finish(&now);
}

static void what_is_renewed_is_what_hsmd_has_made(void **state)
{
    state_of_card old, now;
    (void)state;
    bound(&old, &now);
    certify(&now, 0, NULL, NULL, 1);
    show(&now, 1, card.certificate[1]);
    for (size_t i = 0; i < old.binding.len; i += 11) {
        old.binding.data[i] ^= 1;
        expect(CB_E_HSM_RECORD, renew(&old, &now, 2));
        old.binding.data[i] ^= 1;
    }
    for (size_t i = 0; i < old.certificates.len; i += 37) {
        old.certificates.data[i] ^= 1;
        expect(CB_E_HSM_RECORD, renew(&old, &now, 2));
        old.certificates.data[i] ^= 1;
    }
    old.certificates.len--;
    expect(CB_E_HSM_RECORD, renew(&old, &now, 2));
    old.certificates.len++;
    cb_buf_put(&old.certificates, card.certificate[0]);
    expect(CB_E_HSM_RECORD, renew(&old, &now, 2));
    old.certificates.len -= card.certificate[0].len;
    expect(CB_E_ARGUMENT, renew(&old, &now, 1));
    good(renew(&old, &now, 2));
    finish(&old);
    finish(&now);
}

static void another_card_renews_nothing(void **state)
{
    state_of_card old, now;
    (void)state;
    bound(&old, &now);
    end(NULL);
    make_card();
    for (unsigned i = 0; i < KEYS; i++)
        certify(&now, i, NULL, NULL, 1);
    expect(CB_E_CERTIFICATE_RENEWAL, renew(&old, &now, 2));
    finish(&old);
    finish(&now);
}

/* Certificates are checked as at a registration: here, of an authority that is not trusted. */
static void a_stranger_renews_nothing(void **state)
{
    state_of_card old, now;
    agency stranger, own = issuer;
    (void)state;
    bound(&old, &now);
    show(&now, 1, card.certificate[1]);
    agency_make(&stranger);
    issuer = stranger;
    certify(&now, 0, NULL, NULL, 1);
    issuer = own;
    agency_free(&stranger);
    expect(CB_E_CARD_CERTIFICATE, renew(&old, &now, 2));
    finish(&old);
    finish(&now);
}

/* As after one that was made and never recorded. */
static void an_attempt_may_be_repeated_and_no_other_made(void **state)
{
    state_of_card old, now, third;
    cb_vcard_key key[2];
    (void)state;
    bound(&old, &now);
    init(&third);
    for (unsigned i = 0; i < 2; i++)
        good(cb_vcard_key_generate(CB_VCARD_EC_P256, &key[i]));
    certify(&now, 0, &key[0], NULL, 1);
    certify(&third, 0, &key[1], NULL, 2);
    show(&now, 1, card.certificate[1]);
    show(&third, 1, card.certificate[1]);
    good(renew(&old, &now, 2));
    good(renew(&old, &now, 2));
    good(renew(&old, &now, 5));
    expect(CB_E_CARD_BOUND, renew(&old, &third, 6));
    state_of_card again;
    init(&again);
    for (unsigned i = 0; i < KEYS; i++)
        show(&again, i, card.certificate[i]);
    expect(CB_E_CARD_BOUND, bind(&again));
    good(renew(&now, &third, 6));
    expect(CB_E_CARD_BOUND, renew(&old, &now, 7));
    finish(&again);
    finish(&old);
    finish(&now);
    finish(&third);
}

static void what_the_feed_ended_is_not_renewed(void **state)
{
    state_of_card old, now;
    cb_vcard_key key;
    (void)state;
    bound(&old, &now);
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &key));
    certify(&now, 0, &key, NULL, 1);
    show(&now, 1, card.certificate[1]);
    good(renew(&old, &now, 2));
    cb_binding_info before = info_of(&old), info = info_of(&now);
    cb_id subject = cb_binding_subject(&before), other = cb_binding_subject(&info);
    assert_false(cb_id_same(&subject, &other));
    walk_tell(CB_FEED_KEY_RETIRED, &subject);
    state_of_card back;
    init(&back);
    certify(&back, 0, &key, NULL, 2);
    show(&back, 1, card.certificate[1]);
    expect(CB_E_HSM_KEY_RETIRED, renew(&old, &back, 3));
    certify(&back, 0, NULL, NULL, 3);
    show(&back, 1, card.certificate[1]);
    expect(CB_E_HSM_KEY_RETIRED, renew(&now, &back, 3));
    expect(CB_E_HSM_KEY_RETIRED, bind(&back));
    certify(&back, 0, &key, NULL, 2);
    walk_tell(CB_FEED_CARD_REVOKED, &info.card);
    expect(CB_E_CARD_REVOKED, renew(&now, &back, 4));
    finish(&back);
    finish(&old);
    finish(&now);
}

/* ---- Other names of a card ---- */

/* What the card says to everybody, with another FASC-N; certificates of the issuer's say the UUID
 * alone. Once more: as it was. */
static void rename_card(void)
{
    static const uint8_t fasc_n[] = {0x30, 0x19};
    uint8_t *at = memmem(answers.data, answers.len, fasc_n, sizeof fasc_n);
    assert_non_null(at);
    at[20] ^= 1;
}

static void a_card_that_was_renewed_has_no_other_name(void **state)
{
    state_of_card old, now, again;
    cb_vcard_key key;
    (void)state;
    bound(&old, &now);
    init(&again);
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &key));
    certify(&now, 0, &key, NULL, 1);
    show(&now, 1, card.certificate[1]);
    good(renew(&old, &now, 2));
    rename_card();
    for (unsigned i = 0; i < KEYS; i++)
        show(&again, i, card.certificate[i]);
    expect(CB_E_CARD_BOUND, bind(&again));
    show(&again, 0, cb_buf_bytes(&now.certificate[0]));
    expect(CB_E_CARD_BOUND, bind(&again));
    rename_card();
    good(renew(&old, &now, 3));
    certify(&again, 0, &key, NULL, 2);
    show(&again, 1, card.certificate[1]);
    good(renew(&now, &again, 4));
    finish(&again);
    finish(&old);
    finish(&now);
}

/* That of a card which was bound, of whichever holder, is no other card's. */
static void no_card_renews_to_a_key_of_another(void **state)
{
    state_of_card first, old, now;
    (void)state;
    bound(&first, &now);
    cb_vcard_key key = card.state.key[cb_vpiv_slot(CB_VPIV_AUTHENTICATION)];
    finish(&now);
    end(NULL);
    make_card();
    bound(&old, &now);
    certify(&now, 0, &key, NULL, 1);
    show(&now, 1, card.certificate[1]);
    expect(CB_E_CARD_BOUND, renew(&old, &now, 2));
    certify(&now, 0, NULL, NULL, 1);
    good(renew(&old, &now, 2)); /* nothing of it was remembered */
    finish(&first);
    finish(&old);
    finish(&now);
}

/* Of a certificate that names no card. A manager says what it is of. */
static void certify_nameless(state_of_card *s, const cb_vcard_key *key)
{
    cb_buf extensions = CB_BUF(512), subject = CB_BUF(128);
    int64_t now = time(NULL);
    cb_issue_key_usage(&extensions, 0x80);
    good(cb_issue_name(cb_bytes_str("Taro"), &subject));
    const cb_issue_x509 what = {.subject = cb_buf_bytes(&subject),
                                .key = key,
                                .extensions = cb_buf_bytes(&extensions),
                                .not_before = now - 3600,
                                .not_after = now + 3600};
    cb_buf_reset(&s->certificate[0]);
    good(cb_issue_x509_make(&what, &issuer.signer, &s->certificate[0]));
    cb_buf_free(&extensions);
    cb_buf_free(&subject);
}

static void a_key_whose_certificate_names_no_card_is_one_cards(void **state)
{
    state_of_card s;
    cb_vcard_key other;
    (void)state;
    init(&s);
    certify_nameless(&s, &card.state.key[cb_vpiv_slot(CB_VPIV_AUTHENTICATION)]);
    good(bind(&s));
    good(bind(&s));
    rename_card();
    expect(CB_E_CARD_BOUND, bind(&s));
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &other));
    certify_nameless(&s, &other);
    good(bind(&s));
    finish(&s);
}

/* ---- Taps ---- */

/* asked_with: at the challenge; with: when its proof is brought. */
static cb_error tap_with(const state_of_card *asked_with, const state_of_card *with)
{
    cb_script script;
    cb_tap *found;
    cb_tap_context context = {.terminal = cb_id_new(),
                              .profile = CB_PROFILE_PIV,
                              .purpose = CB_TAP_AUTHENTICATE,
                              .level = CB_LEVEL_POSSESSION,
                              .service = "tax"};
    cb_buf asked = CB_BUF(CB_SCRIPT_BYTES_MAX), said = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_card_claim claim;
    cb_activation activation;
    good(cb_tap_begin(use.taps, use.host, CB_PROFILE_PIV, &context.terminal, &context.tap, &asked));
    good(cb_taps_enter(use.taps, &context.tap, CB_TAP_BEGUN, &found));
    cb_vcard_reset(card.card);
    good(cb_script_read(cb_buf_bytes(&asked), CB_COMMAND_MAX, &script));
    good(cb_play(&card.io, &script, &said));
    cb_buf_reset(&asked);
    cb_error error = cb_tap_ask_card(use.taps, found, &context, cb_buf_bytes(&said), (cb_bytes){0},
                                     cb_buf_bytes(&asked_with->binding), &asked);
    if (!error) {
        good(cb_script_read(cb_buf_bytes(&asked), CB_COMMAND_MAX, &script));
        cb_buf_reset(&said);
        good(cb_play(&card.io, &script, &said));
        good(cb_tap_finish(found, cb_buf_bytes(&said), &claim));
        good(cb_feed_refresh(use.feed));
        cb_feed_head head = cb_feed_now(use.feed);
        error = cb_tap_activate(use.taps, found, cb_buf_bytes(&with->binding), &head, &activation);
    }
    cb_taps_end(use.taps, found);
    cb_buf_free(&asked);
    cb_buf_free(&said);
    return error;
}

static cb_error tap(const state_of_card *with) { return tap_with(with, with); }

/* The card with the old key, and a front end that kept its record. */
static void keys_that_were_renewed_prove_nothing(void **state)
{
    state_of_card old, same, now;
    cb_vcard_key key;
    (void)state;
    bound(&old, &same);
    init(&now);
    good(tap(&old));
    for (unsigned i = 0; i < KEYS; i++)
        certify(&same, i, NULL, NULL, 1);
    good(renew(&old, &same, 2));
    good(tap(&same));
    good(tap(&old));
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &key));
    certify(&now, 0, &key, NULL, 2);
    certify(&now, 1, NULL, NULL, 2);
    good(tap_with(&old, &same)); /* the same keys */
    good(renew(&same, &now, 3));
    expect(CB_E_HSM_RECORD, tap_with(&same, &now));
    cb_binding_info before = info_of(&same);
    cb_id subject = cb_binding_subject(&before);
    walk_tell(CB_FEED_KEY_RETIRED, &subject);
    expect(CB_E_HSM_RECORD, tap(&same));
    expect(CB_E_HSM_RECORD, tap(&old));
    expect(CB_E_HSM_RECORD, tap_with(&same, &now));
    good(tap(&now)); /* by 9E, whose key is the same */
    finish(&old);
    finish(&same);
    finish(&now);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(the_rule_decides),
        TEST(holder_and_level_stay),
        TEST(the_keys_have_one_order),
        TEST(there_is_a_certificate_for_each_key_and_one_is_new),
        TEST(what_is_renewed_is_what_hsmd_has_made),
        TEST(another_card_renews_nothing),
        TEST(a_stranger_renews_nothing),
        TEST(an_attempt_may_be_repeated_and_no_other_made),
        TEST(what_the_feed_ended_is_not_renewed),
        TEST(a_card_that_was_renewed_has_no_other_name),
        TEST(no_card_renews_to_a_key_of_another),
        TEST(a_key_whose_certificate_names_no_card_is_one_cards),
        TEST(keys_that_were_renewed_prove_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
