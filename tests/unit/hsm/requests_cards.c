/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Those requests by which cards and passwords are bound, renewed and registered.
 */
#include "requests.h"

#include <stdio.h>

#include "base/clock.h"
#include "cardlink/password/password.h"
#include "cardlink/terminal/play.h"
#include "foreign_cards.h"
#include "test.h"

static agency issuer;

int requests_setup(void **state)
{
    agency_make(&issuer);
    int failed = walk_setup(state);
    if (!failed)
        agency_trust(&issuer, CB_PROFILE_PIV, &manage.host->foreign[0]);
    if (!failed)
        agency_trust(&issuer, CB_PROFILE_PIV, &use.host->foreign[0]);
    manage.host->foreign[0].renewal = CB_X509_RENEWAL_SAME_KEY;
    use.host->foreign[0].renewal = CB_X509_RENEWAL_SAME_KEY;
    use.host->foreign[0].renewal_at_taps = true;
    return failed;
}

int requests_teardown(void **state)
{
    agency_free(&issuer);
    return walk_teardown(state);
}

/* ---- A tap, of whatever is bound or changed by it ---- */

static void begin_tap(walk *t, uint8_t profile, uint8_t purpose)
{
    t->context.profile = profile;
    t->context.purpose = purpose;
    t->context.service[0] = 0;
    cb_buf_reset(&t->body);
    cb_buf_put_u8(&t->body, profile);
    cb_put_id(&t->body, &t->context.terminal);
    good(walk_ask(&use, CB_HSM_TAP_BEGIN, &t->body, &t->answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t->answer));
    t->context.tap = cb_get_id(&in);
    cb_buf_reset(&t->body);
}

/* The script in hsmd's answer, behind what is to be skipped. */
static void play(walk *t, const cb_card_io *io, size_t skip)
{
    cb_script script;
    cb_buf_reset(&t->answers);
    good(cb_script_read(cb_bytes_make(t->answer.data + skip, t->answer.len - skip), CB_COMMAND_MAX,
                        &script));
    good(cb_play(io, &script, &t->answers));
    cb_buf_reset(&t->body);
}

/* What was played is brought; the message after it, as far as all of these are alike. */
static void finish_tap(walk *t)
{
    cb_put_id(&t->body, &t->context.tap);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->answers));
    good(walk_ask(&use, CB_HSM_TAP_FINISH, &t->body, NULL));
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &t->context.tap);
}

static void put_head(cb_buf *body)
{
    cb_feed_head head = cb_feed_now(use.feed);
    cb_put_feed_head(body, &head);
}

/* ---- Bindings ---- */

void request_binding(walk *t)
{
    cb_buf_put_var(&t->body, cb_buf_bytes(&w.certificate));
    cb_put_id(&t->body, &t->holder);
    cb_buf_put_u8(&t->body, CB_LEVEL_PIN);
    cb_buf_put_u64(&t->body, 1);
}

/* A card with one key, as it is read; with a newer certificate of it, or its own (NULL). */
static void put_reading(const piv_card *c, const cb_buf *newer, cb_buf *body)
{
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_foreign_reading reading = {.profile = CB_PROFILE_PIV};
    piv_card_answers(c, &answers);
    piv_card_show(c, &reading);
    reading.answers = cb_buf_bytes(&answers);
    if (newer)
        reading.key[0].certificate = cb_buf_bytes(newer);
    cb_put_reading(body, &reading);
    cb_buf_free(&answers);
}

static void put_bound(const walk *t, const piv_card *c, uint8_t level, cb_buf *body)
{
    put_reading(c, NULL, body);
    cb_put_id(body, &t->holder);
    cb_buf_put_u8(body, level);
    cb_buf_put_u64(body, 1);
}

/* Binds it; what it is bound with, and a newer certificate of the same key. */
static void bind(const walk *t, const piv_card *c, unsigned i, uint8_t level, cb_buf *binding,
                 cb_buf *newer)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    put_bound(t, c, level, &body);
    good(walk_ask(&manage, CB_HSM_BIND_FOREIGN, &body, binding));
    piv_card_certify(c, &issuer, i, NULL, NULL, 1, newer);
    cb_buf_free(&body);
}

void request_foreign_binding(walk *t)
{
    piv_card c;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, 0);
    put_bound(t, &c, CB_LEVEL_TERMINAL_PIN, &t->body);
    piv_card_free(&c);
}

void request_renewal(walk *t)
{
    piv_card c;
    cb_buf binding = CB_BUF(CB_BINDING_MAX), newer = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, 0);
    bind(t, &c, 0, CB_LEVEL_TERMINAL_PIN, &binding, &newer);
    put_reading(&c, &newer, &t->body);
    cb_buf_put_var(&t->body, cb_buf_bytes(&binding));
    cb_buf_put_var(&t->body, c.certificate[0]);
    cb_buf_put_u64(&t->body, 2);
    piv_card_free(&c);
    cb_buf_free(&binding);
    cb_buf_free(&newer);
}

/* ---- Registration by a code ---- */

static void put_registration_of(walk *t, cb_id *code)
{
    cb_registration_grant grant = {.holder = t->holder,
                                   .until = cb_clock_wall_us() + 60 * CB_SECOND,
                                   .profiles = 1 << CB_PROFILE_PIV,
                                   .level = CB_LEVEL_POSSESSION};
    cb_put_id(&t->body, code);
    cb_put_registration(&t->body, &grant);
}

void request_new_code(walk *t)
{
    cb_id code = cb_id_new();
    put_registration_of(t, &code);
}

void request_allowed_code(walk *t)
{
    cb_id code = cb_id_new();
    put_registration_of(t, &code);
    good(walk_ask(&manage, CB_HSM_REGISTRATION_ALLOW, &t->body, NULL));
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &code);
}

static void put_word(walk *t, const piv_card *c)
{
    char text[CB_CODE_TEXT], symbols[CB_CODE_SYMBOLS];
    cb_registration_word word;
    cb_foreign_reading reading = {.profile = CB_PROFILE_PIV, .answers = cb_buf_bytes(&t->answers)};
    piv_card_show(c, &reading);
    cb_code_make(text);
    good(cb_code_read(cb_bytes_str(text), symbols));
    good(cb_registration_say(symbols, &t->context.tap, &reading, &word));
    cb_id code = cb_registration_id(word.point);
    put_registration_of(t, &code);
    good(walk_ask(&manage, CB_HSM_REGISTRATION_ALLOW, &t->body, NULL));
    cb_buf_reset(&t->body);
    cb_put_context(&t->body, &t->context);
    cb_put_reading(&t->body, &reading);
    cb_buf_put(&t->body, CB_BYTES_OF(word.point));
    cb_buf_put(&t->body, CB_BYTES_OF(word.signature));
}

void request_registering(walk *t, bool to_its_end)
{
    piv_card c;
    piv_card_make(&c, &issuer, 0, CB_VCARD_EC_P256);
    t->context.level = CB_LEVEL_NONE;
    begin_tap(t, CB_PROFILE_PIV, CB_TAP_REGISTER);
    play(t, &c.io, CB_ID_SIZE);
    put_word(t, &c);
    if (to_its_end) {
        good(walk_ask(&use, CB_HSM_TAP_REGISTER, &t->body, &t->answer));
        play(t, &c.io, 0);
        finish_tap(t);
        cb_buf_put_u64(&t->body, 1);
        put_head(&t->body);
    }
    piv_card_free(&c);
}

void request_renewing(walk *t)
{
    piv_card c;
    cb_buf binding = CB_BUF(CB_BINDING_MAX), newer = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    piv_card_make(&c, &issuer, 0, CB_VCARD_EC_P256);
    bind(t, &c, 1, CB_LEVEL_POSSESSION, &binding, &newer);
    begin_tap(t, CB_PROFILE_PIV, CB_TAP_RENEW);
    cb_put_context(&t->body, &t->context);
    put_reading(&c, &newer, &t->body);
    cb_buf_put_var(&t->body, cb_buf_bytes(&binding));
    cb_buf_put_var(&t->body, c.certificate[1]);
    cb_buf_free(&binding);
    cb_buf_free(&newer);
    piv_card_free(&c);
}

/* ---- Passwords ---- */

void request_password(walk *t)
{
    uint8_t point[CB_P256_POINT];
    cb_id password = cb_id_new();
    fake_point(point);
    cb_put_id(&t->body, &password);
    cb_buf_put(&t->body, CB_BYTES_OF(point));
    cb_put_id(&t->body, &t->holder);
    cb_buf_put_u64(&t->body, 1);
    cb_buf_put_u64(&t->body, 0);
    cb_buf_put_var(&t->body, (cb_bytes){0});
}

/* A password for the holder, in t->binding. */
static void set_password(walk *t, const cb_soft_password *soft)
{
    uint8_t salt[CB_PASSWORD_SALT], scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    good(fake_vault.password_salt(NULL, &soft->id, salt));
    good(cb_password_key(soft->password, salt, &soft->id, scalar));
    good(cb_p256_public(scalar, point));
    cb_put_id(&t->body, &soft->id);
    cb_buf_put(&t->body, CB_BYTES_OF(point));
    cb_put_id(&t->body, &t->holder);
    cb_buf_put_u64(&t->body, 1);
    cb_buf_put_u64(&t->body, 0);
    cb_buf_put_var(&t->body, (cb_bytes){0});
    cb_buf_reset(&t->binding);
    good(walk_ask(&manage, CB_HSM_BIND_PASSWORD, &t->body, &t->binding));
}

void request_password_change(walk *t)
{
    static int names;
    char name[32];
    snprintf(name, sizeof name, "walker-%d", names++);
    cb_soft_password soft = {.id = cb_password_id(name),
                             .password = cb_bytes_str("correct horse battery"),
                             .next = cb_bytes_str("another long password")};
    const cb_card_io io = {.card = &soft, .transmit = cb_soft_password_transmit};
    t->context.level = CB_LEVEL_PASSWORD;
    t->context.text = (cb_digest){{0}};
    set_password(t, &soft);
    begin_tap(t, CB_PROFILE_PASSWORD, CB_TAP_PASSWORD_CHANGE);
    soft.context = t->context;
    play(t, &io, CB_ID_SIZE);
    cb_put_context(&t->body, &t->context);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->answers));
    cb_buf_put_var(&t->body, (cb_bytes){0});
    cb_buf_put_var(&t->body, (cb_bytes){0});
    good(walk_ask(&use, CB_HSM_TAP_CHALLENGE, &t->body, &t->answer));
    play(t, &io, 0);
    finish_tap(t);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->binding));
    put_head(&t->body);
}
