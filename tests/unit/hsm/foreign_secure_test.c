/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PIV cards with secure messaging, from their registration to the activation of a tap: what is
 * bound, that a card which is bound with it never signs without it, and that nothing else is taken
 * for it.
 */
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "base/tlv.h"
#include "cardlink/card/key.h"
#include "cardlink/piv/certificate.h"
#include "cardlink/piv/commands.h"
#include "cardlink/terminal/survey.h"
#include "fake.h"
#include "foreign_cards.h"
#include "hsm/activation.h"
#include "test.h"
#include "tests/support/secure_piv.h"

enum { DAY = 24 * 60 * 60, USES = 3 };

static world w;
static fake f;
static cb_lane lane;
static agency issuer;
static const cb_id holder = {{7}};
static cb_buf binding = {.max = CB_BINDING_MAX};

/* A card, and who signs the certificate of its key for secure messaging. */
static piv_card card;
static secure_piv far;
static cb_vcard_key signer;
static cb_buf signer_certificate = {.max = CB_ISSUE_X509_MAX};

/* ---- Making a card ---- */

static cb_error sign(const void *key, cb_bytes digest, cb_buf *der)
{
    return cb_vcard_key_sign(key, digest, der);
}

/* Appends a certificate of the signer's key by an agency, with an extended usage, or none. */
static void make_signer(const agency *by, const char *usage, int days, cb_buf *out)
{
    cb_buf extensions = CB_BUF(512), name = CB_BUF(128);
    cb_issue_key_usage(&extensions, 0x80);
    if (usage)
        cb_issue_extended_usage(&extensions, usage, true);
    good(cb_issue_name(cb_bytes_str("Content signer"), &name));
    const cb_issue_x509 what = {.subject = cb_buf_bytes(&name),
                                .key = &signer,
                                .extensions = cb_buf_bytes(&extensions),
                                .not_before = time(NULL) - DAY + days * DAY / 10,
                                .not_after = time(NULL) + 365 * DAY};
    good(cb_issue_x509_make(&what, &by->signer, out));
    cb_buf_free(&extensions);
    cb_buf_free(&name);
}

static cb_bytes guid_of(const piv_card *c)
{
    cb_bytes guid;
    assert_true(cb_tlv_find(cb_vpiv_object_get(&c->state, CB_VPIV_CHUID), 0x34, &guid));
    return guid;
}

static void certify(secure_piv *p, cb_bytes guid)
{
    cb_x509 of_signer;
    good(cb_x509_parse(cb_buf_bytes(&signer_certificate), &of_signer));
    cb_buf_reset(&p->certificate);
    secure_piv_certify(p, cb_bytes_make(of_signer.subject_key_id.data, 8), guid, sign, &signer,
                       &p->certificate);
}

static void show_signer(secure_piv *p)
{
    static const uint8_t plain[] = {0x00};
    cb_buf object = CB_BUF(CB_ANSWER_MAX);
    cb_tlv_put(&object, 0x70, cb_buf_bytes(&signer_certificate));
    cb_tlv_put(&object, 0x71, CB_BYTES_OF(plain));
    cb_tlv_put(&object, 0xFE, (cb_bytes){0});
    cb_buf_reset(&p->signer);
    cb_tlv_put(&p->signer, 0x53, cb_buf_bytes(&object));
    cb_buf_free(&object);
}

static void make_card(uint8_t kind)
{
    piv_card_make(&card, &issuer, kind, kind);
    secure_piv_make(&far, &card.io);
    certify(&far, guid_of(&card));
    show_signer(&far);
}

static void free_card(void)
{
    secure_piv_free(&far);
    piv_card_free(&card);
}

static int begin_test(void **state)
{
    (void)state;
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &signer));
    cb_buf_reset(&signer_certificate);
    make_signer(&issuer, "2.16.840.1.101.3.6.7", 0, &signer_certificate);
    make_card(CB_VCARD_EC_P256);
    lane.host->foreign[0].renewal = CB_X509_RENEWAL_NEVER;
    return 0;
}

static int end_test(void **state)
{
    (void)state;
    free_card();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    world_make(&w, false);
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 5, &lane);
    agency_make(&issuer);
    agency_trust(&issuer, CB_PROFILE_PIV, &lane.host->foreign[0]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cb_buf_free(&binding);
    cb_buf_free(&signer_certificate);
    agency_free(&issuer);
    fake_lane_free(&lane);
    fake_end(&f);
    world_free(&w);
    return 0;
}

/* ---- Registration ---- */

static bool card_itself; /* the card within is used as it is */

static cb_error transmit(void *of, cb_bytes command, cb_buf *answer)
{
    cb_vcard_process(of, command, answer);
    return cb_buf_error(answer);
}

static cb_card_io io_of(const char *pin)
{
    if (card_itself)
        return (cb_card_io){card.card, transmit, cb_bytes_str(pin)};
    return (cb_card_io){&far, secure_piv_transmit, cb_bytes_str(pin)};
}

/* What a terminal reads, in the form in which hsmd gets it. */
typedef struct reading {
    cb_foreign_reading card;
    cb_buf answers, der[USES];
} reading;

static void power(void)
{
    cb_vcard_reset(card.card);
    secure_piv_reset(&far);
}

static void take_hex(const json_t *text, cb_buf *out)
{
    size_t len = json_string_length(text) / 2;
    uint8_t *at = cb_buf_extend(out, len);
    assert_non_null(at);
    good(cb_unhex_exact(json_string_value(text), at, len));
}

static void read_card(reading *r)
{
    static const cb_profile_order order = {1, {&cb_profile_piv}};
    json_t *found = NULL;
    cb_card_io io = io_of("");
    power();
    good(cb_survey(&io, &order, &found));
    *r = (reading){.card = {.profile = CB_PROFILE_PIV}, .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    const json_t *answers = json_object_get(found, "answers");
    for (size_t i = 0; i < json_array_size(answers); i++) {
        cb_buf one = CB_BUF(CB_ANSWER_MAX);
        take_hex(json_array_get(answers, i), &one);
        cb_script_put(&r->answers, 0, cb_buf_bytes(&one));
        cb_buf_free(&one);
    }
    const json_t *list = json_object_get(found, "certificates");
    r->card.keys = json_array_size(list);
    assert_true(r->card.keys <= USES);
    for (size_t i = 0; i < r->card.keys; i++) {
        const json_t *one = json_array_get(list, i);
        r->der[i] = CB_BUF(CB_ANSWER_MAX);
        take_hex(json_object_get(one, "der"), &r->der[i]);
        r->card.key[i].use = (uint8_t)json_integer_value(json_object_get(one, "use"));
        r->card.key[i].certificate = cb_buf_bytes(&r->der[i]);
    }
    r->card.answers = cb_buf_bytes(&r->answers);
    json_decref(found);
}

static void forget(reading *r)
{
    cb_buf_free(&r->answers);
    for (size_t i = 0; i < USES; i++)
        cb_buf_free(&r->der[i]);
}

static cb_error check(const reading *r, cb_binding_info *info)
{
    *info = (cb_binding_info){.holder = holder, .level = CB_LEVEL_PIN, .sequence = 1};
    return cb_foreign_card_check(cb_host_foreign(lane.host, CB_PROFILE_PIV), &r->card,
                                 (int64_t)time(NULL), info);
}

static cb_error check_card(cb_binding_info *info)
{
    reading r;
    read_card(&r);
    cb_error error = check(&r, info);
    forget(&r);
    return error;
}

static void bind(cb_binding_info *info)
{
    good(check_card(info));
    cb_buf_reset(&binding);
    good(fake_vault.binding_make(NULL, info, &binding));
}

static void a_card_is_bound_with_its_key(void **state)
{
    (void)state;
    cb_binding_info info, back;
    bind(&info);
    assert_int_equal(info.keys.count, 3);
    const cb_card_key *key = cb_card_keys_find(&info.keys, CB_PIV_KEY_MESSAGING);
    assert_non_null(key);
    assert_int_equal(key->len, sizeof far.point);
    assert_memory_equal(key->data, far.point, sizeof far.point);
    cb_digest digest = cb_sha256(cb_buf_bytes(&signer_certificate));
    assert_memory_equal(&key->certificate, &digest, sizeof digest);
    good(fake_vault.binding_check(NULL, cb_buf_bytes(&binding), &back));
    assert_memory_equal(&back.keys, &info.keys, sizeof back.keys);
}

/* Without the signer's certificate nobody can tell whose key it is; and what refuses has none. */
static void a_card_that_does_not_have_all_of_it_is_bound_without(void **state)
{
    (void)state;
    cb_binding_info info;
    far.refuses = true;
    bind(&info);
    assert_int_equal(info.keys.count, 2);
    far.refuses = false;
    cb_buf_reset(&far.signer);
    bind(&info);
    assert_int_equal(info.keys.count, 2);
}

static void only_a_content_signer_of_the_agency_certifies(void **state)
{
    static const char *const usages[] = {NULL, "1.3.6.1.5.5.7.3.2", "2.16.840.1.101.3.6.8",
                                         "2.5.29.37.0"};
    (void)state;
    cb_binding_info info;
    agency stranger;
    for (size_t i = 0; i < sizeof usages / sizeof *usages; i++) {
        cb_buf_reset(&signer_certificate);
        make_signer(&issuer, usages[i], 0, &signer_certificate);
        show_signer(&far);
        expect(CB_E_CERTIFICATE_USAGE, check_card(&info));
    }
    agency_make(&stranger);
    cb_buf_reset(&signer_certificate);
    make_signer(&stranger, "2.16.840.1.101.3.6.7", 0, &signer_certificate);
    show_signer(&far);
    expect(CB_E_CARD_CERTIFICATE, check_card(&info));
    agency_free(&stranger);
    /* Of the agency and for that, but of another key than the one that signed. */
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &signer));
    cb_buf_reset(&signer_certificate);
    make_signer(&issuer, "2.16.840.1.101.3.6.7", 0, &signer_certificate);
    show_signer(&far);
    expect(CB_E_CARD_CERTIFICATE, check_card(&info));
}

static void another_cards_certificate_is_refused(void **state)
{
    static const uint8_t other[16] = {1};
    (void)state;
    cb_binding_info info;
    certify(&far, CB_BYTES_OF(other));
    expect(CB_E_CARD_ANSWER, check_card(&info));
}

static void what_was_read_is_bound_whole_or_not(void **state)
{
    (void)state;
    reading r;
    cb_script answers;
    cb_binding_info info;
    read_card(&r);
    assert_int_equal(r.card.keys, 3);
    good(check(&r, &info));
    /* Nothing can be proven by the key that agrees alone. */
    cb_foreign_reading all = r.card;
    r.card.key[0] = all.key[2];
    r.card.keys = 1;
    expect(CB_E_ARGUMENT, check(&r, &info));
    r.card = all;
    /* The answer to the offer is not there. */
    cb_buf two = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(cb_script_read(cb_buf_bytes(&r.answers), CB_ANSWER_MAX, &answers));
    for (size_t i = 0; i < 2; i++)
        cb_script_put(&two, 0, answers.item[i].apdu);
    r.card.answers = cb_buf_bytes(&two);
    expect(CB_E_CARD_ANSWER, check(&r, &info));
    r.card.answers = all.answers;
    /* Something behind the signer's certificate that is no certificate. */
    cb_buf_put_u8(&r.der[2], 0);
    r.card.key[2].certificate = cb_buf_bytes(&r.der[2]);
    expect(CB_E_CERTIFICATE_FORM, check(&r, &info));
    cb_buf_free(&two);
    forget(&r);
}

static void a_key_does_not_stand_for_two(void **state)
{
    (void)state;
    cb_binding_info info;
    const cb_vcard_key *key = &card.state.key[cb_vpiv_slot(CB_VPIV_CARD_AUTHENTICATION)];
    memcpy(far.scalar, key->secret, sizeof far.scalar);
    good(cb_p256_public(far.scalar, far.point));
    certify(&far, guid_of(&card));
    expect(CB_E_ARGUMENT, check_card(&info));
}

/* ---- Taps ---- */

typedef struct tap {
    cb_tap_context context;
    cb_tap *tap;
    cb_buf script, answers;
    cb_card_claim claim;
    cb_activation activation;
} tap;

static void play(tap *t, const char *pin)
{
    cb_script script;
    cb_card_io io = io_of(pin);
    cb_buf_reset(&t->answers);
    good(cb_script_read(cb_buf_bytes(&t->script), CB_COMMAND_MAX, &script));
    good(cb_play(&io, &script, &t->answers));
    cb_buf_reset(&t->script);
}

static void begin(tap *t, uint8_t level)
{
    *t = (tap){.script = CB_BUF(CB_SCRIPT_BYTES_MAX), .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    t->context = (cb_tap_context){.terminal = cb_id_new(),
                                  .profile = CB_PROFILE_PIV,
                                  .purpose = CB_TAP_AUTHENTICATE,
                                  .level = level,
                                  .service = "tax"};
    good(cb_tap_begin(lane.taps, lane.host, CB_PROFILE_PIV, &t->context.terminal, &t->context.tap,
                      &t->script));
    good(cb_taps_enter(lane.taps, &t->context.tap, CB_TAP_BEGUN, &t->tap));
    power();
    far.inside = far.outside = 0;
    play(t, "");
}

static cb_error ask(tap *t)
{
    return cb_tap_ask_card(lane.taps, t->tap, &t->context, cb_buf_bytes(&t->answers), (cb_bytes){0},
                           cb_buf_bytes(&binding), &t->script);
}

static cb_error conclude(tap *t)
{
    cb_feed_head head = cb_feed_now(lane.feed);
    cb_error error = cb_tap_finish(t->tap, cb_buf_bytes(&t->answers), &t->claim);
    return error
               ? error
               : cb_tap_activate(lane.taps, t->tap, cb_buf_bytes(&binding), &head, &t->activation);
}

static void end(tap *t)
{
    cb_taps_end(lane.taps, t->tap);
    cb_buf_free(&t->script);
    cb_buf_free(&t->answers);
}

static cb_error tap_with(uint8_t level, const char *pin, cb_activation *out, cb_card_claim *claim)
{
    tap t;
    begin(&t, level);
    cb_error error = ask(&t);
    if (!error) {
        play(&t, pin);
        error = conclude(&t);
    }
    if (out)
        *out = t.activation;
    if (claim)
        *claim = t.claim;
    end(&t);
    return error;
}

static void every_kind_of_key_signs_inside(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_binding_info info;
        cb_activation activation;
        free_card();
        make_card(kinds[i]);
        bind(&info);
        good(tap_with(CB_LEVEL_POSSESSION, "", &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_POSSESSION);
        assert_true(far.inside == 1 && far.outside == 0);
        good(tap_with(CB_LEVEL_TERMINAL_PIN, PIV_PIN, &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_TERMINAL_PIN);
        assert_true(far.inside == 1 && far.outside == 0);
        assert_true(cb_id_same(&activation.holder, &holder));
    }
}

/* The terminal puts it in, and has no part in the session; so it proves no more than without. */
static void the_pin_goes_outside(void **state)
{
    (void)state;
    cb_binding_info info;
    tap t;
    cb_script script;
    bind(&info);
    begin(&t, CB_LEVEL_TERMINAL_PIN);
    good(ask(&t));
    good(cb_script_read(cb_buf_bytes(&t.script), CB_COMMAND_MAX, &script));
    assert_int_equal(script.count, 2);
    assert_int_equal(script.item[0].flags, CB_SCRIPT_PIN_PADDED);
    assert_int_equal(script.item[0].apdu.data[0], 0x00);
    assert_int_equal(script.item[1].apdu.data[0], 0x0C);
    end(&t);
    expect(CB_E_TAP_LEVEL, tap_with(CB_LEVEL_PIN, PIV_PIN, NULL, NULL));
}

static void a_wrong_pin_is_said_with_its_tries(void **state)
{
    (void)state;
    cb_binding_info info;
    cb_card_claim claim;
    bind(&info);
    expect(CB_E_PIN_WRONG, tap_with(CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, &claim));
    assert_int_equal(claim.pin_tries_left, 2);
    assert_true(far.inside == 0 && far.outside == 0);
}

static void a_card_that_is_bound_with_it_never_does_without(void **state)
{
    static const uint8_t ok[] = {0x90, 0x00};
    (void)state;
    cb_binding_info info;
    tap t;
    bind(&info);
    far.refuses = true;
    begin(&t, CB_LEVEL_POSSESSION);
    expect(CB_E_CARD_STATUS, ask(&t));
    assert_int_equal(t.script.len, 0);
    end(&t);
    far.refuses = false;
    /* The terminal does not offer it, or says that nothing was answered. */
    for (int with = 0; with < 2; with++) {
        cb_script answers;
        cb_buf kept = CB_BUF(CB_SCRIPT_BYTES_MAX);
        begin(&t, CB_LEVEL_POSSESSION);
        good(cb_script_read(cb_buf_bytes(&t.answers), CB_ANSWER_MAX, &answers));
        for (size_t i = 0; i < 2; i++)
            cb_script_put(&kept, 0, answers.item[i].apdu);
        if (with)
            cb_script_put(&kept, 0, CB_BYTES_OF(ok));
        cb_buf_reset(&t.answers);
        cb_buf_put(&t.answers, cb_buf_bytes(&kept));
        expect(with ? CB_E_CARD_ANSWER : CB_E_CARD_REMOVED, ask(&t));
        assert_int_equal(t.script.len, 0);
        cb_buf_free(&kept);
        end(&t);
    }
}

/* Somebody with a card of the agency, whose certificate is as good, says that it is the other. */
static void another_card_opens_no_session(void **state)
{
    (void)state;
    cb_binding_info info;
    tap t;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    bind(&info);
    memcpy(scalar, far.scalar, sizeof scalar);
    memcpy(point, far.point, sizeof point);
    good(cb_p256_generate(far.scalar, far.point));
    certify(&far, guid_of(&card));
    begin(&t, CB_LEVEL_POSSESSION);
    expect(CB_E_CARD_PROOF, ask(&t));
    end(&t);
    /* With the certificate of the right key, and without its secret. */
    memcpy(far.point, point, sizeof point);
    certify(&far, guid_of(&card));
    begin(&t, CB_LEVEL_POSSESSION);
    expect(CB_E_CARD_PROOF, ask(&t));
    end(&t);
    memcpy(far.scalar, scalar, sizeof scalar);
    good(tap_with(CB_LEVEL_POSSESSION, "", NULL, NULL));
}

/* The certificate on the card may be made anew for the same key: the key is what is bound. */
static void a_card_that_is_bound_without_signs_outside(void **state)
{
    (void)state;
    cb_binding_info info;
    far.refuses = true;
    bind(&info);
    far.refuses = false;
    good(tap_with(CB_LEVEL_POSSESSION, "", NULL, NULL));
    assert_true(far.inside == 0 && far.outside == 1);
}

/* ---- The virtual card ---- */

/* In place of the one that this test makes up: with what it has of its own for secure messaging. */
static void use_virtual_card(uint8_t kind)
{
    cb_x509 of_signer;
    cb_issue_signer content = {.key = signer,
                               .name = CB_BUF(128),
                               .key_id = CB_BUF(32),
                               .certificate = CB_BUF(CB_ISSUE_X509_MAX)};
    good(cb_x509_parse(cb_buf_bytes(&signer_certificate), &of_signer));
    cb_buf_put(&content.name, of_signer.subject);
    cb_buf_put(&content.key_id, of_signer.subject_key_id);
    cb_buf_put(&content.certificate, cb_buf_bytes(&signer_certificate));
    free_card();
    piv_card_make_secured(&card, &issuer, kind, kind, &content);
    secure_piv_make(&far, &card.io);
    cb_issue_signer_end(&content);
}

static void the_virtual_card_does_the_same(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_binding_info info;
        cb_activation activation;
        cb_card_claim claim;
        use_virtual_card(kinds[i]);
        card_itself = true;
        bind(&info);
        assert_int_equal(info.keys.count, 3);
        good(tap_with(CB_LEVEL_POSSESSION, "", &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_POSSESSION);
        good(tap_with(CB_LEVEL_TERMINAL_PIN, PIV_PIN, &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_TERMINAL_PIN);
        expect(CB_E_PIN_WRONG, tap_with(CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, &claim));
        assert_int_equal(claim.pin_tries_left, 2);
        card_itself = false;
    }
}

/* ---- A terminal that does wrong ---- */

static void no_changed_answer_is_believed(void **state)
{
    enum { FLAGS = 1 };
    (void)state;
    cb_binding_info info;
    bind(&info);
    bool more = true;
    for (size_t i = 0; more; i++) {
        tap t;
        begin(&t, CB_LEVEL_POSSESSION);
        good(ask(&t));
        play(&t, "");
        more = i + 1 < t.answers.len;
        if (i != FLAGS && i < t.answers.len) {
            t.answers.data[i] ^= 1 << (i % 8);
            if (conclude(&t) == CB_OK)
                fail_msg("byte %zu of %zu", i, t.answers.len);
        }
        end(&t);
    }
    good(tap_with(CB_LEVEL_POSSESSION, "", NULL, NULL));
}

/* The card notices, and says so in the clear. */
static void no_changed_command_is_carried_out(void **state)
{
    (void)state;
    cb_binding_info info;
    size_t len = 0;
    bind(&info);
    for (size_t at = 1; at == 1 || at < len; at++) {
        tap t;
        cb_script script;
        uint8_t command[CB_COMMAND_MAX];
        begin(&t, CB_LEVEL_POSSESSION);
        good(ask(&t));
        good(cb_script_read(cb_buf_bytes(&t.script), CB_COMMAND_MAX, &script));
        len = script.item[0].apdu.len - 1; /* the last byte is Le, which is the transport's */
        memcpy(command, script.item[0].apdu.data, len + 1);
        cb_buf_reset(&t.script);
        if (at != 4) { /* the length of all */
            command[at] ^= 1;
            cb_script_put(&t.script, 0, cb_bytes_make(command, len + 1));
            play(&t, "");
            assert_int_equal(far.inside, 0);
            expect(CB_E_CARD_STATUS, conclude(&t));
        }
        end(&t);
    }
}

static void nothing_is_good_for_another_tap(void **state)
{
    (void)state;
    cb_binding_info info;
    tap first, second;
    bind(&info);
    begin(&first, CB_LEVEL_POSSESSION);
    good(ask(&first));
    play(&first, "");
    begin(&second, CB_LEVEL_POSSESSION);
    good(ask(&second));
    cb_buf_put(&second.answers, (cb_bytes){0});
    cb_buf_reset(&second.answers);
    cb_buf_put(&second.answers, cb_buf_bytes(&first.answers));
    expect(CB_E_CARD_ANSWER, conclude(&second));
    end(&first);
    end(&second);
    /* Nor is the answer to an offer. */
    begin(&first, CB_LEVEL_POSSESSION);
    begin(&second, CB_LEVEL_POSSESSION);
    cb_buf_reset(&second.answers);
    cb_buf_put(&second.answers, cb_buf_bytes(&first.answers));
    expect(CB_E_CARD_PROOF, ask(&second));
    end(&first);
    end(&second);
}

/* ---- Renewal ---- */

typedef struct renewal {
    bool other_key, other_signer;
    int days; /* by which the signer's certificate began later, in tenths */
    bool by_key, by_subject;
} renewal;

static void renew(const renewal *what, bool rule_keys, cb_error wanted)
{
    cb_binding_info before, now;
    cb_foreign_trust *trust = &lane.host->foreign[0];
    reading old, new;
    bind(&before);
    read_card(&old);
    if (what->other_signer) {
        cb_buf_reset(&signer_certificate);
        make_signer(&issuer, "2.16.840.1.101.3.6.7", what->days, &signer_certificate);
    }
    if (what->other_key)
        good(cb_p256_generate(far.scalar, far.point));
    certify(&far, guid_of(&card));
    show_signer(&far);
    read_card(&new);
    good(check(&new, &now));
    cb_buf certificates = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
    for (size_t i = 0; i < USES; i++)
        cb_buf_put(&certificates, cb_buf_bytes(&old.der[i]));
    trust->renewal = CB_X509_RENEWAL_NEVER;
    expect(CB_E_CERTIFICATE_RENEWAL,
           cb_foreign_card_renews(trust, &before, cb_buf_bytes(&certificates), &new.card, &now));
    trust->renewal = rule_keys ? CB_X509_RENEWAL_SAME_SUBJECT : CB_X509_RENEWAL_SAME_KEY;
    expect(wanted,
           cb_foreign_card_renews(trust, &before, cb_buf_bytes(&certificates), &new.card, &now));
    cb_buf_free(&certificates);
    forget(&old);
    forget(&new);
}

static void a_new_key_or_signer_renews_by_the_rule(void **state)
{
    static const renewal cases[] = {
        {false, false, 0, false, false}, {true, false, 0, false, true},
        {false, true, 1, true, true},    {true, true, 1, false, true},
        {false, true, -1, false, false}, {true, true, -1, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int keys = 0; keys < 2; keys++) {
            bool allowed = keys ? cases[i].by_subject : cases[i].by_key;
            renew(&cases[i], keys, allowed ? CB_OK : CB_E_CERTIFICATE_RENEWAL);
            end_test(state);
            begin_test(state);
        }
    }
}

/* A card that has lost it, or has it only now, is to be registered anew. */
static void it_neither_comes_nor_goes_by_renewal(void **state)
{
    (void)state;
    cb_foreign_trust *trust = &lane.host->foreign[0];
    trust->renewal = CB_X509_RENEWAL_SAME_SUBJECT;
    for (int gone = 0; gone < 2; gone++) {
        cb_binding_info before, now;
        reading old, new;
        cb_buf certificates = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
        far.refuses = !gone;
        read_card(&old);
        good(check(&old, &before));
        far.refuses = gone;
        read_card(&new);
        good(check(&new, &now));
        for (size_t i = 0; i < old.card.keys; i++)
            cb_buf_put(&certificates, cb_buf_bytes(&old.der[i]));
        expect(
            CB_E_CERTIFICATE_RENEWAL,
            cb_foreign_card_renews(trust, &before, cb_buf_bytes(&certificates), &new.card, &now));
        cb_buf_free(&certificates);
        forget(&old);
        forget(&new);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)
    const struct CMUnitTest tests[] = {
        TEST(a_card_is_bound_with_its_key),
        TEST(a_card_that_does_not_have_all_of_it_is_bound_without),
        TEST(only_a_content_signer_of_the_agency_certifies),
        TEST(another_cards_certificate_is_refused),
        TEST(what_was_read_is_bound_whole_or_not),
        TEST(a_key_does_not_stand_for_two),
        TEST(every_kind_of_key_signs_inside),
        TEST(the_pin_goes_outside),
        TEST(a_wrong_pin_is_said_with_its_tries),
        TEST(a_card_that_is_bound_with_it_never_does_without),
        TEST(another_card_opens_no_session),
        TEST(a_card_that_is_bound_without_signs_outside),
        TEST(the_virtual_card_does_the_same),
        TEST(no_changed_answer_is_believed),
        TEST(no_changed_command_is_carried_out),
        TEST(nothing_is_good_for_another_tap),
        TEST(a_new_key_or_signer_renews_by_the_rule),
        TEST(it_neither_comes_nor_goes_by_renewal),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
