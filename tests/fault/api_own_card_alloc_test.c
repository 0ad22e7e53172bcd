/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A holder registers a PIV card of his own with a one-time code, and brings its new certificates,
 * over HTTP, while each allocation of the broker fails in turn. The terminal gets the whole answer,
 * or an error that is said to be the server's, or an end. It is done or not, never half: rows, code
 * and record say the same, and what hsmd remembers goes with it. Asked again it is done, once; the
 * code is good for no other card.
 */
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/code.h"
#include "base/text.h"
#include "broker/core/registration.h"
#include "foreign_cards.h"
#include "tests/support/alloc_faults.h"

enum { RUNS = 6, KEYS = 2, HOURS = 1 };

static const uint8_t uses[KEYS] = {CB_VPIV_AUTHENTICATION, CB_VPIV_CARD_AUTHENTICATION};
static agency issuer;

typedef struct own_cards {
    api_world w;
    piv_card card;            /* the one that lies there, */
    cb_buf certificate[KEYS]; /* and what it shows */
    piv_card stranger;        /* one that is registered for nobody */
    bool lies;                /* that one lies there instead */
    cb_id holder;
    char symbols[CB_CODE_SYMBOLS]; /* of his code */
    api_tally before;
    size_t script;
} own_cards;

/* ---- Cards and codes ---- */

static void trust(cb_host *host)
{
    agency_trust(&issuer, CB_PROFILE_PIV, &host->foreign[0]);
    host->foreign[0].renewal = CB_X509_RENEWAL_SAME_SUBJECT;
    host->foreign[0].renewal_at_taps = true;
}

static cb_error counts(void *context, cb_bytes certificate)
{
    (void)context, (void)certificate;
    return CB_OK;
}

static void play(void *context, const cb_buf *script, cb_buf *answers)
{
    const own_cards *c = context;
    cb_script read;
    cb_card_io io = c->lies ? c->stranger.io : c->card.io;
    io.pin = cb_bytes_str(PIV_PIN);
    MUST(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    MUST(cb_play(&io, &read, answers));
}

/* Nothing of a card is the broker's memory. */
static void new_card(own_cards *c)
{
    alloc_faults_pause(true);
    if (c->card.card)
        piv_card_free(&c->card);
    piv_card_make(&c->card, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    for (size_t i = 0; i < KEYS; i++) {
        cb_buf_free(&c->certificate[i]);
        cb_buf_init(&c->certificate[i], CB_FOREIGN_CERTIFICATE_MAX);
        cb_buf_put(&c->certificate[i], c->card.certificate[i]);
        MUST(cb_buf_error(&c->certificate[i]));
    }
    alloc_faults_pause(false);
}

/* Key 9A is another one from now on, and both certificates are newer. */
static void renew_certificates(own_cards *c)
{
    cb_vcard_key key;
    alloc_faults_pause(true);
    MUST(cb_vcard_key_generate(CB_VCARD_EC_P256, &key));
    piv_card_exchange(&c->card, 0, &key);
    for (unsigned i = 0; i < KEYS; i++) {
        cb_buf_reset(&c->certificate[i]);
        piv_card_certify(&c->card, &issuer, i, i == 0 ? &key : NULL, NULL, HOURS,
                         &c->certificate[i]);
        MUST(cb_buf_error(&c->certificate[i]));
    }
    alloc_faults_pause(false);
}

static void new_holder(own_cards *c)
{
    cb_holder holder;
    MUST(cb_holder_add(c->w.api.store, "test", "Taro", &holder));
    c->holder = holder.id;
}

/* As a manager allows it, first on record and then in hsmd. */
static void new_code(own_cards *c)
{
    char text[CB_CODE_TEXT];
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_code_make(text);
    MUST(cb_code_read(cb_bytes_str(text), c->symbols));
    MUST(cb_registration_key(c->symbols, scalar, point));
    int64_t until = (cb_clock_wall_us() / CB_SECOND + 600) * CB_SECOND;
    cb_registration_row row = {.code = cb_registration_id(point),
                               .holder = c->holder,
                               .profiles = 1 << CB_PROFILE_PIV,
                               .level = CB_LEVEL_TERMINAL_PIN,
                               .expires = until};
    const cb_registration_grant grant = {.holder = c->holder,
                                         .until = until,
                                         .profiles = 1 << CB_PROFILE_PIV,
                                         .level = CB_LEVEL_TERMINAL_PIN};
    MUST(cb_registration_record(c->w.api.store, "test", NULL, &row));
    MUST(cb_hsm_registration_allow(c->w.api.hsm, &row.code, &grant));
}

static cb_foreign_reading reading_of(const own_cards *c, const cb_buf *answers)
{
    cb_foreign_reading reading = {
        .profile = CB_PROFILE_PIV, .answers = cb_buf_bytes(answers), .keys = KEYS};
    for (size_t i = 0; i < KEYS; i++) {
        reading.key[i].use = uses[i];
        reading.key[i].certificate =
            c->lies ? c->stranger.certificate[i] : cb_buf_bytes(&c->certificate[i]);
    }
    return reading;
}

/* As a manager registers it. */
static void register_card(own_cards *c)
{
    cb_card card;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), binding = CB_BUF(CB_BINDING_MAX),
           all = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
    piv_card_answers(&c->card, &answers);
    cb_foreign_reading reading = reading_of(c, &answers);
    for (size_t i = 0; i < KEYS; i++)
        cb_buf_put(&all, cb_buf_bytes(&c->certificate[i]));
    MUST(cb_hsm_bind_foreign(c->w.api.hsm, &reading, &c->holder, CB_LEVEL_TERMINAL_PIN, 1,
                             &binding));
    cb_card_init(&card);
    MUST(cb_card_add(c->w.api.store, "test", cb_buf_bytes(&binding), cb_buf_bytes(&all), &card));
    MUST(cb_card_change(c->w.api.store, "test", &card.id, CB_CARD_ACTIVATE, NULL, NULL));
    cb_card_free(&card);
    cb_buf_free(&answers);
    cb_buf_free(&binding);
    cb_buf_free(&all);
}

/* ---- The steps ---- */

static void begin(own_cards *c)
{
    cb_vcard_reset(c->lies ? c->stranger.card : c->card.card);
    api_begin(&c->w, "piv");
}

/* code: it is registered with its holder's code; otherwise renewed. */
static void bring(own_cards *c, bool code)
{
    static char certificates[API_BODY];
    char point[2 * CB_P256_POINT + 1], signature[2 * CB_P256_SIGNATURE + 1];
    cb_id tap;
    size_t at = 0;
    cb_registration_word word;
    alloc_faults_pause(true);
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    api_answers(&c->w, &answers);
    cb_foreign_reading reading = reading_of(c, &answers);
    for (size_t i = 0; i < KEYS; i++) {
        char der[2 * CB_FOREIGN_CERTIFICATE_MAX + 1];
        cb_hex(reading.key[i].certificate, der);
        at += (size_t)snprintf(certificates + at, sizeof certificates - at,
                               "%s{\"use\":%u,\"der\":\"%s\"}", i ? "," : "", uses[i], der);
    }
    MUST(cb_id_parse(c->w.tap, &tap));
    MUST(cb_registration_say(c->symbols, &tap, &reading, &word));
    cb_hex(CB_BYTES_OF(word.point), point);
    cb_hex(CB_BYTES_OF(word.signature), signature);
    cb_buf_free(&answers);
    alloc_faults_pause(false);
    if (code)
        api_step(&c->w, "registration",
                 ",\"certificates\":[%s],\"point\":\"%s\",\"signature\":\"%s\"", certificates,
                 point, signature);
    else
        api_step(&c->w, "renewal", ",\"certificates\":[%s]", certificates);
}

/* Up to the proof, which is at hand. */
static void come_to_proof(own_cards *c, bool code)
{
    begin(c);
    bring(c, code);
    api_come_to_proof(&c->w);
}

static void with_code(void *context)
{
    own_cards *c = context;
    new_card(c);
    api_open_again(&c->w, &c->before);
    new_holder(c);
    new_code(c);
    api_count(&c->w, &c->before);
}

static void brought_with_code(void *context)
{
    with_code(context);
    begin(context);
}

static void challenged_with_code(void *context)
{
    with_code(context);
    come_to_proof(context, true);
}

static void with_new_certificates(void *context)
{
    own_cards *c = context;
    new_card(c);
    api_open_again(&c->w, &c->before);
    new_holder(c);
    register_card(c);
    renew_certificates(c);
    api_count(&c->w, &c->before);
}

static void brought_renewed(void *context)
{
    with_new_certificates(context);
    begin(context);
}

static void challenged_renewed(void *context)
{
    with_new_certificates(context);
    come_to_proof(context, false);
}

static cb_error bring_with_code(void *context)
{
    own_cards *c = context;
    bring(c, true);
    return api_judge_script(&c->w, 200, &c->script);
}

static cb_error bring_renewed(void *context)
{
    own_cards *c = context;
    bring(c, false);
    return api_judge_script(&c->w, 200, &c->script);
}

static cb_error judge(const own_cards *c, bool code)
{
    char holder[CB_ID_TEXT];
    const char *const parts[] = {code ? "\"outcome\":\"registered\"" : "\"outcome\":\"renewed\"",
                                 "\"card\":\"", "\"level\":3", holder, NULL};
    cb_id_text(&c->holder, holder);
    return api_judge_parts(&c->w, 200, parts);
}

static cb_error prove_with_code(void *context)
{
    own_cards *c = context;
    api_bring_proof(&c->w);
    return judge(c, true);
}

static cb_error prove_renewed(void *context)
{
    own_cards *c = context;
    api_bring_proof(&c->w);
    return judge(c, false);
}

/* ---- Afterwards ---- */

/* Whether it is registered, or renewed: as a whole or not at all. */
static long done(own_cards *c, bool code)
{
    api_tally is;
    api_settled(&c->w, &c->before, &is);
    long did = api_number(&is, code ? "leaf registration.used" : "leaf card.renewed");
    bool good = did >= 0 && did <= 1 && api_number(&is, "leaf tap.intent") == 0;
    if (code)
        good = good && api_number(&is, "leaf card.added") == did &&
               api_number(&is, "leaf card.activated") == did &&
               api_number(&is, "card active") == did && api_number(&is, "card issued") == 0 &&
               api_number(&is, "registration used") == did &&
               api_number(&is, "registration open") == -did;
    else
        good = good && api_number(&is, "leaf card.keys_retired") == did &&
               api_number(&is, "card active") == 0;
    if (!good) {
        api_say("is", &is);
        fail_msg("half done");
    }
    return did;
}

/* Its answers in a tap lead to its holder: hsmd and the record mean the same card. */
static void card_is_known(own_cards *c)
{
    begin(c);
    api_step(&c->w, "challenge", ",\"service\":\"tax\"");
    api_come_to_proof(&c->w);
    api_bring_proof(&c->w);
    assert_int_equal(c->w.answer.status, 422);
    assert_non_null(strstr(c->w.answer.body, "\"code\":\"enrolment.none\""));
}

/* The terminal brings the same answers of the card once more. */
static void bring_again(own_cards *c, bool code)
{
    bool told = api_bring_again(&c->w);
    assert_true(done(c, code) == 1 || !told);
}

static void do_it(own_cards *c, bool code)
{
    come_to_proof(c, code);
    api_bring_proof(&c->w);
    MUST(judge(c, code));
    assert_int_equal(done(c, code), 1);
}

/* Another card gets nothing by the code, now or later. */
static void code_is_used(own_cards *c)
{
    c->lies = true;
    begin(c);
    bring(c, true);
    c->lies = false;
    assert_int_equal(c->w.answer.status, 422);
    assert_non_null(strstr(c->w.answer.body, "\"code\":\"registration.used\""));
    assert_int_equal(done(c, true), 1);
}

static void nothing_is_registered_yet(void *context, cb_error result, bool struck)
{
    own_cards *c = context;
    (void)result, (void)struck;
    assert_int_equal(done(c, true), 0);
    api_let_it_sign(&c->w);
    do_it(c, true);
    api_world_close(&c->w);
}

/* With the code once more, as often as it is good: the same card, and nothing else. */
static void registered_once(void *context, cb_error result, bool struck)
{
    own_cards *c = context;
    (void)struck;
    assert_true(done(c, true) == 1 || result != CB_OK);
    bring_again(c, true);
    api_let_it_sign(&c->w);
    do_it(c, true);
    card_is_known(c);
    code_is_used(c);
    api_world_close(&c->w);
}

static void nothing_is_renewed_yet(void *context, cb_error result, bool struck)
{
    own_cards *c = context;
    (void)result, (void)struck;
    assert_int_equal(done(c, false), 0);
    api_let_it_sign(&c->w);
    card_is_known(c);
    do_it(c, false);
    api_world_close(&c->w);
}

static void renewed_once(void *context, cb_error result, bool struck)
{
    own_cards *c = context;
    (void)struck;
    assert_true(done(c, false) == 1 || result != CB_OK);
    bring_again(c, false);
    api_let_it_sign(&c->w);
    card_is_known(c);
    if (done(c, false) == 0)
        do_it(c, false);
    begin(c);
    bring(c, false);
    assert_int_equal(c->w.answer.status, 422);
    assert_non_null(strstr(c->w.answer.body, "\"code\":\"certificate.not_renewed\""));
    card_is_known(c);
    assert_int_equal(done(c, false), 1);
    api_world_close(&c->w);
}

static const fault_flow flows[] = {
    {"a card brought with a code", brought_with_code, bring_with_code, nothing_is_registered_yet},
    {"a card registered with a code", challenged_with_code, prove_with_code, registered_once},
    {"new certificates brought", brought_renewed, bring_renewed, nothing_is_renewed_yet},
    {"new certificates bound", challenged_renewed, prove_renewed, renewed_once},
};

/* ---- ---- */

static void make(own_cards *c)
{
    api_world_make_trusting(&c->w, trust);
    c->w.status = counts;
    c->w.play = play;
    c->w.player = c;
}

static void make_anew(void *context)
{
    own_cards *c = context;
    api_world_over(&c->w);
    make(c);
}

static void a_card_is_registered_or_renewed_or_it_is_not(void **state)
{
    static own_cards c;
    (void)state;
    agency_make(&issuer);
    make(&c);
    fault_anew(make_anew);
    alloc_faults_pause(true);
    piv_card_make(&c.stranger, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    alloc_faults_pause(false);
    fault_theirs(FAULT_THEIRS_HTTP);
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        c.script = 0;
        fault_each(&alloc_faults, &flows[i], &c, RUNS);
    }
    api_world_over(&c.w);
    piv_card_free(&c.stranger);
    piv_card_free(&c.card);
    for (size_t i = 0; i < KEYS; i++)
        cb_buf_free(&c.certificate[i]);
    agency_free(&issuer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_card_is_registered_or_renewed_or_it_is_not, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
