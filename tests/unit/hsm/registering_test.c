/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A holder's card is bound by a one-time code, message by message; and what a front end that was
 * taken over, another holder, another card, or two terminals at a time can make of one.
 */
#include "hsm/registering.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "foreign_cards.h"
#include "hsm/registration.h"
#include "test.h"
#include "walk.h"

static agency issuer, strangers;
static const cb_id holder = {{7}}, somebody = {{8}};
static char symbols[CB_CODE_SYMBOLS]; /* of the code that was made last */
static cb_id code;

static int setup(void **state)
{
    int failed = walk_setup(state);
    agency_make(&issuer);
    agency_make(&strangers);
    agency_trust(&issuer, CB_PROFILE_PIV, &use.host->foreign[0]);
    return failed;
}

static int teardown(void **state)
{
    agency_free(&issuer);
    agency_free(&strangers);
    return walk_teardown(state);
}

/* ---- A manager ---- */

static void new_symbols(void)
{
    char text[CB_CODE_TEXT];
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_code_make(text);
    good(cb_code_read(cb_bytes_str(text), symbols));
    good(cb_registration_key(symbols, scalar, point));
    code = cb_registration_id(point);
}

static cb_error allow_as(cb_lane *lane, const cb_registration_grant *grant)
{
    cb_buf body = CB_BUF(64);
    cb_put_id(&body, &code);
    cb_put_registration(&body, grant);
    cb_error error = walk_ask(lane, CB_HSM_REGISTRATION_ALLOW, &body, NULL);
    cb_buf_free(&body);
    return error;
}

static cb_registration_grant grant_for(const cb_id *whom, uint8_t level)
{
    return (cb_registration_grant){.holder = *whom,
                                   .until = cb_clock_wall_us() + 60 * CB_SECOND,
                                   .profiles = 1 << CB_PROFILE_PIV,
                                   .level = level};
}

static void allow(const cb_id *whom, uint8_t level)
{
    cb_registration_grant grant = grant_for(whom, level);
    new_symbols();
    good(allow_as(&manage, &grant));
}

static cb_error withdraw(void)
{
    cb_buf body = CB_BUF(64);
    cb_put_id(&body, &code);
    cb_error error = walk_ask(&manage, CB_HSM_REGISTRATION_WITHDRAW, &body, NULL);
    cb_buf_free(&body);
    return error;
}

static cb_registration_grant state_of(const cb_id *which)
{
    cb_registration_grant grant;
    cb_buf body = CB_BUF(64), answer = CB_BUF(64);
    cb_put_id(&body, which);
    good(walk_ask(&manage, CB_HSM_REGISTRATION_STATE, &body, &answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    cb_get_registration(&in, &grant);
    assert_true(cb_cursor_done(&in));
    cb_buf_free(&body);
    cb_buf_free(&answer);
    return grant;
}

/* ---- A tap ---- */

typedef struct attempt {
    cb_tap_context context;
    cb_foreign_reading reading;
    cb_registration_word word;
    cb_buf first, script, answers, body, binding;
} attempt;

static void play(const cb_card_io *io, const cb_buf *script, cb_buf *answers)
{
    cb_script read;
    cb_buf_reset(answers);
    good(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    good(cb_play(io, &read, answers));
}

/* Up to what the card says to everybody, and its certificates. */
static void begin(attempt *a, const piv_card *c)
{
    static const uint8_t uses[] = {CB_VPIV_AUTHENTICATION, CB_VPIV_CARD_AUTHENTICATION};
    *a = (attempt){
        .context = {.terminal = cb_id_new(), .profile = CB_PROFILE_PIV, .purpose = CB_TAP_REGISTER},
        .first = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .script = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .body = CB_BUF(CB_MSG_BODY_MAX),
        .binding = CB_BUF(CB_BINDING_MAX)};
    cb_buf answer = CB_BUF(CB_MSG_BODY_MAX);
    cb_buf_put_u8(&a->body, CB_PROFILE_PIV);
    cb_put_id(&a->body, &a->context.terminal);
    good(walk_ask(&use, CB_HSM_TAP_BEGIN, &a->body, &answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    a->context.tap = cb_get_id(&in);
    cb_buf_put(&a->script, cb_cursor_rest(&in));
    cb_buf_free(&answer);
    cb_vcard_reset(c->card);
    play(&c->io, &a->script, &a->first);
    a->reading =
        (cb_foreign_reading){.profile = CB_PROFILE_PIV, .answers = cb_buf_bytes(&a->first)};
    for (unsigned i = 0; i < 2; i++) {
        if (c->certificate[i].len == 0)
            continue;
        a->reading.key[a->reading.keys].use = uses[i];
        a->reading.key[a->reading.keys++].certificate = c->certificate[i];
    }
}

static void end(attempt *a)
{
    cb_buf_free(&a->first);
    cb_buf_free(&a->script);
    cb_buf_free(&a->answers);
    cb_buf_free(&a->body);
    cb_buf_free(&a->binding);
}

static void say(attempt *a)
{
    good(cb_registration_say(symbols, &a->context.tap, &a->reading, &a->word));
}

static cb_error ask(attempt *a)
{
    cb_buf_reset(&a->body);
    cb_buf_reset(&a->script);
    cb_put_context(&a->body, &a->context);
    cb_put_reading(&a->body, &a->reading);
    cb_buf_put(&a->body, CB_BYTES_OF(a->word.point));
    cb_buf_put(&a->body, CB_BYTES_OF(a->word.signature));
    return walk_ask(&use, CB_HSM_TAP_REGISTER, &a->body, &a->script);
}

static cb_error finish(attempt *a, const piv_card *c, const char *pin)
{
    cb_card_io io = c->io;
    io.pin = cb_bytes_str(pin);
    play(&io, &a->script, &a->answers);
    cb_buf_reset(&a->body);
    cb_put_id(&a->body, &a->context.tap);
    cb_buf_put_var(&a->body, cb_buf_bytes(&a->answers));
    return walk_ask(&use, CB_HSM_TAP_FINISH, &a->body, NULL);
}

static cb_error bind(attempt *a)
{
    cb_feed_head head = cb_feed_now(use.feed);
    cb_buf_reset(&a->body);
    cb_put_id(&a->body, &a->context.tap);
    cb_buf_put_u64(&a->body, 3);
    cb_put_feed_head(&a->body, &head);
    return walk_ask(&use, CB_HSM_TAP_BIND, &a->body, &a->binding);
}

/* A whole attempt with a card; out may be NULL. */
static cb_error attempt_with(const piv_card *c, const char *pin, cb_binding_info *out)
{
    attempt a;
    begin(&a, c);
    say(&a);
    cb_error error = ask(&a);
    if (!error)
        error = finish(&a, c, pin);
    if (!error)
        error = bind(&a);
    if (!error && out)
        good(fake_vault.binding_check(NULL, cb_buf_bytes(&a.binding), out));
    assert_int_equal(a.binding.len > 0, error == CB_OK);
    end(&a);
    return error;
}

static void make(piv_card *c) { piv_card_make(c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256); }

/* ---- ---- */

static void a_card_is_bound_to_the_holder_of_the_code(void **state)
{
    piv_card c;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    assert_true(cb_id_same(&info.holder, &holder));
    assert_int_equal(info.level, CB_LEVEL_TERMINAL_PIN);
    assert_int_equal(info.sequence, 3);
    assert_int_equal(info.keys.count, 2);
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_USED);
    piv_card_free(&c);
}

static void without_the_pin_only_what_needs_none(void **state)
{
    piv_card c;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_PIN_WRONG, attempt_with(&c, PIV_WRONG_PIN, NULL));
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    assert_int_equal(state_of(&code).wrong, 0);
    good(attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
    make(&c);
    allow(&holder, CB_LEVEL_POSSESSION);
    good(attempt_with(&c, "", &info));
    assert_int_equal(info.level, CB_LEVEL_POSSESSION);
    piv_card_free(&c);
    piv_card_make(&c, &issuer, 0, CB_VCARD_EC_P256);
    allow(&holder, CB_LEVEL_PIN);
    expect(CB_E_TAP_LEVEL, attempt_with(&c, "", NULL));
    piv_card_free(&c);
}

/* What a terminal makes of the order must not become the card's for good: an honest reading of its
 * newer certificates would then change the order, and retire what is bound. */
static void a_card_is_bound_in_one_order_whatever_a_terminal_brings(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    cb_foreign_reading was = a.reading;
    a.reading.key[0] = was.key[1];
    a.reading.key[1] = was.key[0];
    say(&a);
    expect(CB_E_ARGUMENT, ask(&a));
    assert_int_equal(a.script.len, 0);
    end(&a);
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    good(attempt_with(&c, PIV_PIN, &info));
    assert_int_equal(info.keys.key[0].use, CB_VPIV_AUTHENTICATION);
    assert_int_equal(info.keys.key[1].use, CB_VPIV_CARD_AUTHENTICATION);
    piv_card_free(&c);
}

static void a_code_is_for_one_card_which_may_come_again(void **state)
{
    piv_card c, second;
    cb_binding_info info, again;
    (void)state;
    make(&c);
    make(&second);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    expect(CB_E_REGISTRATION_USED, attempt_with(&second, PIV_PIN, NULL));
    good(attempt_with(&c, PIV_PIN, &again)); /* nothing of the first was recorded */
    cb_digest before = cb_binding_digest(&info), after = cb_binding_digest(&again);
    assert_memory_equal(&before, &after, sizeof before);
    allow(&holder, CB_LEVEL_TERMINAL_PIN); /* the second card was not harmed */
    good(attempt_with(&second, PIV_PIN, NULL));
    piv_card_free(&c);
    piv_card_free(&second);
}

/* Both have their scripts before one of them ends. */
static void of_two_terminals_at_a_time_one_has_it(void **state)
{
    piv_card c[2];
    attempt a[2];
    (void)state;
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    for (int i = 0; i < 2; i++) {
        make(&c[i]);
        begin(&a[i], &c[i]);
        say(&a[i]);
        good(ask(&a[i]));
        good(finish(&a[i], &c[i], PIV_PIN));
    }
    good(bind(&a[1]));
    expect(CB_E_REGISTRATION_USED, bind(&a[0]));
    for (int i = 0; i < 2; i++) {
        end(&a[i]);
        piv_card_free(&c[i]);
    }
}

/* Two holders, each with a code of his own, and one card. */
static void a_card_that_was_bound_meanwhile_costs_no_code(void **state)
{
    piv_card c;
    attempt a;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    cb_id first = code;
    begin(&a, &c);
    say(&a);
    good(ask(&a));
    good(finish(&a, &c, PIV_PIN));
    allow(&somebody, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, NULL));
    expect(CB_E_CARD_BOUND, bind(&a));
    assert_int_equal(state_of(&first).state, CB_REGISTRATION_OPEN);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_CARD_BOUND, attempt_with(&c, PIV_PIN, NULL)); /* and is seen before the PIN */
    end(&a);
    piv_card_free(&c);
}

/* Begun again within the code's time, and meanwhile a manager renewed the card. */
static void a_code_that_was_used_is_not_opened_by_a_second_attempt(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    cb_digest renewed = {{1}};
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    begin(&a, &c);
    say(&a);
    good(ask(&a));
    good(finish(&a, &c, PIV_PIN));
    good(cb_memo_put(use.taps->setup.bound, &info.card, &renewed));
    expect(CB_E_CARD_BOUND, bind(&a));
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_USED);
    end(&a);
    piv_card_free(&c);
}

static void a_wrong_code_names_nobodys(void **state)
{
    piv_card c;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    cb_id good_one = code;
    char kept[CB_CODE_SYMBOLS];
    memcpy(kept, symbols, sizeof kept);
    for (unsigned i = 0; i < 2 * CB_REGISTRATION_TRIES; i++) {
        new_symbols();
        expect(CB_E_REGISTRATION_CODE, attempt_with(&c, PIV_PIN, NULL));
    }
    assert_int_equal(state_of(&good_one).wrong, 0);
    memcpy(symbols, kept, sizeof kept);
    good(attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
}

static void wrong_codes_without_end_are_not_looked_at(void **state)
{
    piv_card c;
    attempt a;
    unsigned refused = 0;
    (void)state;
    make(&c);
    for (unsigned i = 0; i < 400 && refused == 0; i++) {
        begin(&a, &c);
        a.word = (cb_registration_word){.point = {4, (uint8_t)i}};
        refused += ask(&a) == CB_E_BUSY;
        end(&a);
    }
    assert_int_equal(refused, 1);
    use.taps->codes = (cb_brake){0};
    piv_card_free(&c);
}

/* What passes the front end is good for this card in this tap. */
static void a_front_end_can_put_no_card_of_its_own_in_its_place(void **state)
{
    piv_card c, own;
    attempt a, b;
    (void)state;
    make(&c);
    make(&own);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    say(&a);
    begin(&b, &own); /* another tap, another card, the holder's word */
    b.word = a.word;
    expect(CB_E_REGISTRATION_CODE, ask(&b));
    end(&b);
    begin(&b, &c); /* the same card, another tap: a replay */
    b.word = a.word;
    expect(CB_E_REGISTRATION_CODE, ask(&b));
    end(&b);
    begin(&b, &own); /* the holder's tap, the own card's answers and certificates */
    a.reading = b.reading;
    expect(CB_E_REGISTRATION_CODE, ask(&a));
    end(&b);
    end(&a);
    begin(&a, &c);
    say(&a);
    a.reading.key[0].certificate = own.certificate[0]; /* his card, the own certificate */
    expect(CB_E_REGISTRATION_CODE, ask(&a));
    assert_int_equal(state_of(&code).wrong, 4);
    end(&a);
    begin(&a, &c);
    say(&a);
    a.reading.keys = 1; /* one less */
    expect(CB_E_REGISTRATION_CODE, ask(&a));
    assert_int_equal(state_of(&code).wrong, CB_REGISTRATION_TRIES);
    end(&a);
    expect(CB_E_REGISTRATION_TRIED, attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
    piv_card_free(&own);
}

static void a_front_end_cannot_say_whose_or_how_far(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    say(&a);
    a.context.level = CB_LEVEL_NONE; /* the code's level is asked for all the same */
    a.context.text = (cb_digest){{1}};
    good(ask(&a));
    good(finish(&a, &c, PIV_PIN));
    good(bind(&a));
    good(fake_vault.binding_check(NULL, cb_buf_bytes(&a.binding), &info));
    assert_true(cb_id_same(&info.holder, &holder));
    assert_int_equal(info.level, CB_LEVEL_TERMINAL_PIN);
    end(&a);
    piv_card_free(&c);
}

static void another_card_cannot_sign_for_the_one_that_was_read(void **state)
{
    piv_card c, own;
    attempt a;
    (void)state;
    make(&c);
    make(&own);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    say(&a);
    good(ask(&a));
    cb_vcard_reset(own.card);
    cb_card_io io = own.io;
    cb_script select;
    cb_buf chosen = CB_BUF(64), answered = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script_put(&chosen, 0, cb_profile_piv.select);
    good(cb_script_read(cb_buf_bytes(&chosen), CB_COMMAND_MAX, &select));
    good(cb_play(&io, &select, &answered));
    good(finish(&a, &own, PIV_PIN));
    expect(CB_E_CARD_PROOF, bind(&a));
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    end(&a);
    cb_buf_free(&chosen);
    cb_buf_free(&answered);
    piv_card_free(&c);
    piv_card_free(&own);
}

/* A certificate that was renewed between two attempts with one code: other keys, another card. */
static void a_used_code_is_not_good_for_other_keys_on_the_card(void **state)
{
    piv_card c;
    attempt a;
    cb_vcard_key fresh;
    cb_buf certificate = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, NULL));
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &fresh));
    piv_card_certify(&c, &issuer, 0, &fresh, NULL, 1, &certificate);
    begin(&a, &c);
    a.reading.key[0].certificate = cb_buf_bytes(&certificate);
    say(&a);
    expect(CB_E_REGISTRATION_USED, ask(&a));
    end(&a);
    cb_buf_free(&certificate);
    piv_card_free(&c);
}

static void lapsed_withdrawn_and_foreign_codes_are_told_apart(void **state)
{
    piv_card c;
    cb_registration_grant grant = grant_for(&holder, CB_LEVEL_TERMINAL_PIN);
    (void)state;
    make(&c);
    new_symbols();
    grant.profiles = 1 << CB_PROFILE_JPKI;
    good(allow_as(&manage, &grant));
    expect(CB_E_REGISTRATION_PROFILE, attempt_with(&c, PIV_PIN, NULL));
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(withdraw());
    expect(CB_E_REGISTRATION_WITHDRAWN, attempt_with(&c, PIV_PIN, NULL));
    new_symbols();
    grant = grant_for(&holder, CB_LEVEL_TERMINAL_PIN);
    grant.until = cb_clock_wall_us() - CB_SECOND;
    good(cb_registration_allow(use.guesses, &code, &grant));
    expect(CB_E_REGISTRATION_LAPSED, attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
}

static void a_code_that_ends_meanwhile_binds_nothing(void **state)
{
    piv_card c;
    attempt a;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    say(&a);
    good(ask(&a));
    good(finish(&a, &c, PIV_PIN));
    good(withdraw());
    expect(CB_E_REGISTRATION_WITHDRAWN, bind(&a));
    assert_int_equal(a.binding.len, 0);
    end(&a);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, NULL)); /* it was not bound */
    piv_card_free(&c);
}

static void a_revoked_card_or_terminal_registers_nothing(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    say(&a);
    good(ask(&a));
    good(finish(&a, &c, PIV_PIN));
    walk_tell(CB_FEED_TERMINAL_REVOKED, &a.context.terminal);
    expect(CB_E_TERMINAL_REVOKED, bind(&a));
    end(&a);
    good(attempt_with(&c, PIV_PIN, &info));
    walk_tell(CB_FEED_CARD_REVOKED, &info.card);
    expect(CB_E_CARD_REVOKED, attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
}

/* Something between card and reader that changes the FASC-N, of which the certificates say nothing
 * here, where the card says it to everybody. */
static cb_error rename_card(void *card, cb_bytes command, cb_buf *answer)
{
    static const uint8_t fasc_n[] = {0x30, 0x19, 0xD4, 0xE7, 0x39};
    size_t before = answer->len;
    cb_vcard_process(card, command, answer);
    for (size_t i = before; i + sizeof fasc_n < answer->len && i < before + 8; i++) {
        if (memcmp(answer->data + i, fasc_n, sizeof fasc_n) == 0)
            answer->data[i + sizeof fasc_n + 10] ^= 1;
    }
    return cb_buf_error(answer);
}

static void a_card_does_not_come_back_under_another_name(void **state)
{
    piv_card c;
    cb_binding_info info;
    (void)state;
    for (int revoked = 0; revoked < 2; revoked++) {
        make(&c);
        const piv_card own = c;
        allow(&holder, CB_LEVEL_TERMINAL_PIN);
        c.certificate[1] = (cb_bytes){0}; /* by 9A alone */
        good(attempt_with(&c, PIV_PIN, &info));
        if (revoked)
            walk_tell(CB_FEED_CARD_REVOKED, &info.card);
        c.io.transmit = rename_card;
        allow(&holder, CB_LEVEL_TERMINAL_PIN);
        expect(CB_E_CARD_BOUND, attempt_with(&c, PIV_PIN, NULL));
        allow(&somebody, CB_LEVEL_POSSESSION);
        c.certificate[0] = (cb_bytes){0};
        c.certificate[1] = own.certificate[1]; /* by a key that was never bound */
        expect(CB_E_CARD_BOUND, attempt_with(&c, "", NULL));
        assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
        c = own;
        piv_card_free(&c);
    }
}

/* Its two names come at a time, each with a code. */
static void of_two_names_at_a_time_a_card_has_one(void **state)
{
    piv_card c, renamed;
    attempt a;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    cb_id first = code;
    begin(&a, &c);
    say(&a);
    good(ask(&a));
    good(finish(&a, &c, PIV_PIN));
    renamed = c;
    renamed.io.transmit = rename_card;
    allow(&somebody, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&renamed, PIV_PIN, NULL));
    expect(CB_E_CARD_BOUND, bind(&a));
    assert_int_equal(state_of(&first).state, CB_REGISTRATION_OPEN);
    end(&a);
    piv_card_free(&c);
}

static void what_the_certificates_do_not_vouch_for_is_not_bound(void **state)
{
    piv_card c;
    attempt a;
    cb_buf certificate = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX), extensions = CB_BUF(512);
    cb_buf subject = CB_BUF(128);
    (void)state;
    piv_card_make(&c, &strangers, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_CARD_CERTIFICATE, attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
    make(&c); /* one that says of no card that it is its own */
    cb_issue_key_usage(&extensions, 0x80);
    good(cb_issue_name(cb_bytes_str("Taro"), &subject));
    const cb_issue_x509 what = {.subject = cb_buf_bytes(&subject),
                                .key = &c.state.key[cb_vpiv_slot(CB_VPIV_AUTHENTICATION)],
                                .extensions = cb_buf_bytes(&extensions),
                                .not_before = cb_clock_wall_us() / CB_SECOND - 3600,
                                .not_after = cb_clock_wall_us() / CB_SECOND + 3600};
    good(cb_issue_x509_make(&what, &issuer.signer, &certificate));
    begin(&a, &c);
    a.reading.key[0].certificate = cb_buf_bytes(&certificate);
    say(&a);
    expect(CB_E_CARD_NAMELESS, ask(&a));
    end(&a);
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    cb_buf_free(&certificate);
    cb_buf_free(&extensions);
    cb_buf_free(&subject);
    piv_card_free(&c);
}

static void codes_are_managers_and_taps_are_the_front_ends(void **state)
{
    cb_registration_grant grant = grant_for(&holder, CB_LEVEL_PIN);
    (void)state;
    new_symbols();
    expect(CB_E_HSM_ILLEGAL, allow_as(&use, &grant));
    expect(CB_E_HSM_ILLEGAL, allow_as(&log_lane, &grant));
    grant.until = cb_clock_wall_us() + (CB_REGISTRATION_MOST_S + INT64_C(5)) * CB_SECOND;
    expect(CB_E_ARGUMENT, allow_as(&manage, &grant));
    grant.until = cb_clock_wall_us() - CB_SECOND;
    expect(CB_E_ARGUMENT, allow_as(&manage, &grant));
    grant = grant_for(&holder, CB_LEVEL_PIN);
    grant.state = CB_REGISTRATION_USED;
    expect(CB_E_ARGUMENT, allow_as(&manage, &grant));
}

/* No step of the one kind of tap is one of the other. */
static void a_registration_opens_no_key_and_a_login_binds_no_card(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    good(fake_vault.binding_make(NULL, &info, &made));
    begin(&a, &c);
    say(&a);
    good(ask(&a));
    good(finish(&a, &c, PIV_PIN));
    cb_feed_head head = cb_feed_now(use.feed);
    cb_buf_reset(&a.body);
    cb_put_id(&a.body, &a.context.tap);
    cb_buf_put_var(&a.body, cb_buf_bytes(&made));
    cb_put_feed_head(&a.body, &head);
    expect(CB_E_TAP_ORDER, walk_ask(&use, CB_HSM_TAP_ACTIVATE, &a.body, NULL));
    end(&a);
    begin(&a, &c); /* a login, to its proof */
    a.context.purpose = CB_TAP_AUTHENTICATE;
    strcpy(a.context.service, "tax");
    a.context.level = CB_LEVEL_POSSESSION;
    cb_buf_reset(&a.body);
    cb_buf_reset(&a.script);
    cb_put_context(&a.body, &a.context);
    cb_buf_put_var(&a.body, cb_buf_bytes(&a.first));
    cb_buf_put_var(&a.body, (cb_bytes){0});
    cb_buf_put_var(&a.body, cb_buf_bytes(&made));
    good(walk_ask(&use, CB_HSM_TAP_CHALLENGE, &a.body, &a.script));
    good(finish(&a, &c, ""));
    expect(CB_E_TAP_ORDER, bind(&a));
    end(&a);
    begin(&a, &c); /* a challenge of the other kind names no card */
    cb_buf_reset(&a.body);
    cb_put_context(&a.body, &a.context);
    cb_buf_put_var(&a.body, cb_buf_bytes(&a.first));
    cb_buf_put_var(&a.body, (cb_bytes){0});
    cb_buf_put_var(&a.body, cb_buf_bytes(&made));
    expect(CB_E_ARGUMENT, walk_ask(&use, CB_HSM_TAP_CHALLENGE, &a.body, NULL));
    end(&a);
    cb_buf_free(&made);
    piv_card_free(&c);
}

/* Takes the last entry off hsmd's file, or puts it back. */
static void shorten_feed(uint8_t entry[CB_FEED_RECORD], bool back)
{
    struct stat about;
    int fd = open(f.config.feed_path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &about) == 0);
    off_t at = about.st_size - (back ? 0 : CB_FEED_RECORD);
    if (back)
        assert_int_equal(pwrite(fd, entry, CB_FEED_RECORD, at), CB_FEED_RECORD);
    else
        assert_true(pread(fd, entry, CB_FEED_RECORD, at) == CB_FEED_RECORD &&
                    ftruncate(fd, at) == 0);
    close(fd);
}

/* The tap stays for another question, but not for the end of the first one. */
static void what_was_asked_in_vain_is_not_bound(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    cb_id nobody = cb_id_new();
    uint8_t entry[CB_FEED_RECORD];
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    good(fake_vault.binding_make(NULL, &info, &made));
    walk_tell(CB_FEED_CARD_REVOKED, &nobody);
    begin(&a, &c);
    say(&a);
    shorten_feed(entry, false);
    expect(CB_E_HSM_ROLLED_BACK, ask(&a));
    expect(CB_E_HSM_ROLLED_BACK, ask(&a));
    shorten_feed(entry, true);
    a.context.purpose = CB_TAP_AUTHENTICATE;
    strcpy(a.context.service, "tax");
    a.context.level = CB_LEVEL_POSSESSION;
    cb_buf_reset(&a.body);
    cb_buf_reset(&a.script);
    cb_put_context(&a.body, &a.context);
    cb_buf_put_var(&a.body, cb_buf_bytes(&a.first));
    cb_buf_put_var(&a.body, (cb_bytes){0});
    cb_buf_put_var(&a.body, cb_buf_bytes(&made));
    good(walk_ask(&use, CB_HSM_TAP_CHALLENGE, &a.body, &a.script));
    good(finish(&a, &c, ""));
    expect(CB_E_TAP_ORDER, bind(&a));
    end(&a);
    cb_buf_free(&made);
    piv_card_free(&c);
}

static void a_head_that_is_behind_leaves_the_tap_as_it_was(void **state)
{
    piv_card c;
    attempt a;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    say(&a);
    good(ask(&a));
    good(finish(&a, &c, PIV_PIN));
    cb_feed_head head = cb_feed_now(use.feed);
    head.number++;
    cb_buf_reset(&a.body);
    cb_put_id(&a.body, &a.context.tap);
    cb_buf_put_u64(&a.body, 1);
    cb_put_feed_head(&a.body, &head);
    expect(CB_E_HSM_FEED_BEHIND, walk_ask(&use, CB_HSM_TAP_BIND, &a.body, NULL));
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    good(bind(&a));
    expect(CB_E_TAP_UNKNOWN, bind(&a)); /* once */
    end(&a);
    piv_card_free(&c);
}

static void without_its_memory_nothing_is_bound(void **state)
{
    piv_card c;
    cb_memo *bound = use.taps->setup.bound, *codes = use.taps->setup.guesses;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    use.taps->setup.bound = NULL;
    expect(CB_E_IO, attempt_with(&c, PIV_PIN, NULL));
    use.taps->setup.bound = bound;
    use.taps->setup.guesses = NULL;
    expect(CB_E_IO, attempt_with(&c, PIV_PIN, NULL));
    use.taps->setup.guesses = codes;
    good(attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_is_bound_to_the_holder_of_the_code),
        cmocka_unit_test(without_the_pin_only_what_needs_none),
        cmocka_unit_test(a_card_is_bound_in_one_order_whatever_a_terminal_brings),
        cmocka_unit_test(a_code_is_for_one_card_which_may_come_again),
        cmocka_unit_test(of_two_terminals_at_a_time_one_has_it),
        cmocka_unit_test(a_card_that_was_bound_meanwhile_costs_no_code),
        cmocka_unit_test(a_code_that_was_used_is_not_opened_by_a_second_attempt),
        cmocka_unit_test(a_wrong_code_names_nobodys),
        cmocka_unit_test(wrong_codes_without_end_are_not_looked_at),
        cmocka_unit_test(a_front_end_can_put_no_card_of_its_own_in_its_place),
        cmocka_unit_test(a_front_end_cannot_say_whose_or_how_far),
        cmocka_unit_test(another_card_cannot_sign_for_the_one_that_was_read),
        cmocka_unit_test(a_used_code_is_not_good_for_other_keys_on_the_card),
        cmocka_unit_test(lapsed_withdrawn_and_foreign_codes_are_told_apart),
        cmocka_unit_test(a_code_that_ends_meanwhile_binds_nothing),
        cmocka_unit_test(a_revoked_card_or_terminal_registers_nothing),
        cmocka_unit_test(a_card_does_not_come_back_under_another_name),
        cmocka_unit_test(of_two_names_at_a_time_a_card_has_one),
        cmocka_unit_test(what_the_certificates_do_not_vouch_for_is_not_bound),
        cmocka_unit_test(codes_are_managers_and_taps_are_the_front_ends),
        cmocka_unit_test(a_registration_opens_no_key_and_a_login_binds_no_card),
        cmocka_unit_test(what_was_asked_in_vain_is_not_bound),
        cmocka_unit_test(a_head_that_is_behind_leaves_the_tap_as_it_was),
        cmocka_unit_test(without_its_memory_nothing_is_bound),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
