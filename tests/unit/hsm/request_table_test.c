/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Every request there is, well formed: at each lane, in each state of a tap, out of time, cut, and
 * changed in one byte.
 */
#include "cardlink/x509/request.h"
#include "hsm/durable.h"
#include "hsm/request.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cardlink/password/password.h"
#include "cardlink/terminal/play.h"
#include "foreign_cards.h"
#include "test.h"
#include "walk.h"

enum { USE = CB_LANE_USE, LOG = CB_LANE_LOG, MANAGE = CB_LANE_MANAGE };

typedef struct row {
    uint16_t type;
    uint8_t lanes;
    uint8_t state;   /* of the tap it is about; 0: of none */
    bool open_ended; /* the body ends where it ends: cut, it is another one */
} row;

static const row rows[] = {{CB_HSM_HELLO, USE | LOG | MANAGE, 0, false},
                           {CB_HSM_TAP_BEGIN, USE, 0, false},
                           {CB_HSM_TAP_CHALLENGE, USE, CB_TAP_BEGUN, false},
                           {CB_HSM_TAP_FINISH, USE, CB_TAP_CHALLENGED, false},
                           {CB_HSM_TAP_ACTIVATE, USE, CB_TAP_FINISHED, false},
                           {CB_HSM_TAP_OPEN_KEY, USE, CB_TAP_ACTIVE, false},
                           {CB_HSM_TAP_USE, USE, CB_TAP_OPEN, false},
                           {CB_HSM_TAP_END, USE, CB_TAP_OPEN, false},
                           {CB_HSM_FEED_STATE, USE, 0, false},
                           {CB_HSM_FEED_EXTEND, USE, 0, false},
                           {CB_HSM_LOG_SIGN, LOG, 0, false},
                           {CB_HSM_LOG_STATE, LOG, 0, false},
                           {CB_HSM_BIND, MANAGE, 0, false},
                           {CB_HSM_GENERATE, MANAGE, 0, false},
                           {CB_HSM_IMPORT, MANAGE, 0, false},
                           {CB_HSM_REWRAP, MANAGE, 0, true},
                           {CB_HSM_GENERATION, MANAGE, 0, false},
                           {CB_HSM_PUBLIC_KEY, LOG | MANAGE, 0, true},
                           {CB_HSM_RECEIPT_CHECK, MANAGE, 0, true},
                           {CB_HSM_STATUS, MANAGE, 0, false},
                           {CB_HSM_RESUME, MANAGE, 0, false},
                           {CB_HSM_BIND_FOREIGN, MANAGE, 0, false},
                           {CB_HSM_RENEW_FOREIGN, MANAGE, 0, false},
                           {CB_HSM_CERTIFY, USE, 0, false},
                           {CB_HSM_BIND_PASSWORD, MANAGE, 0, false},
                           {CB_HSM_PASSWORD_SALT, MANAGE, 0, false},
                           {CB_HSM_PASSWORD_FORGIVE, MANAGE, 0, false},
                           {CB_HSM_PIN_RESET, MANAGE, 0, false},
                           {CB_HSM_TAP_REGISTER, USE, CB_TAP_BEGUN, false},
                           {CB_HSM_TAP_BIND, USE, CB_TAP_FINISHED, false},
                           {CB_HSM_REGISTRATION_ALLOW, MANAGE, 0, false},
                           {CB_HSM_REGISTRATION_WITHDRAW, MANAGE, 0, false},
                           {CB_HSM_REGISTRATION_STATE, MANAGE, 0, false},
                           {CB_HSM_TAP_PASSWORD, USE, CB_TAP_FINISHED, false},
                           {CB_HSM_RETIRE_GENERATION, MANAGE, 0, false},
                           {CB_HSM_TAP_RENEW, USE, CB_TAP_BEGUN, false}};

enum { ROWS = sizeof rows / sizeof *rows };

static cb_lane *const lanes[] = {&use, &log_lane, &manage};

/* ---- Making them ---- */

static void put_entry(cb_buf *body, uint64_t after, uint8_t kind, const cb_id *subject)
{
    cb_feed_entry entry = {cb_feed_now(use.feed).number + after, kind, *subject, 1};
    cb_put_feed_entry(body, &entry);
}

static void put_entries(cb_buf *body)
{
    cb_id one = cb_id_new(), two = cb_id_new();
    good(cb_feed_refresh(use.feed));
    cb_buf_put_u16(body, 2);
    put_entry(body, 1, CB_FEED_CARD_REVOKED, &one);
    put_entry(body, 2, CB_FEED_KEY_RETIRED, &two);
}

/* The next head of the log, which is taken for granted. */
static void put_next_head(cb_buf *body)
{
    cb_merkle_proof extends;
    cb_digest leaf = cb_merkle_leaf(cb_bytes_str("next"));
    cb_merkle_frontier before = evidence;
    cb_merkle_append(&evidence, &leaf);
    cb_merkle_consistency(&before, &leaf, 1, &extends);
    cb_tree_head head = {evidence.size, cb_merkle_root(&evidence)};
    cb_put_head(body, &head);
    cb_merkle_proof_put(body, &extends);
}

static void put_sealed_info(walk *t, bool import)
{
    cb_sealed_info info = {.holder = t->holder,
                           .service = "tax",
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_POSSESSION,
                           .uses = 1,
                           .sequence = 1};
    cb_put_sealed_info(&t->body, &info);
    if (!import)
        cb_buf_put_u8(&t->body, 1);
    cb_buf_put_var(&t->body, cb_bytes_str("subject, or wrapped key"));
}

static void put_certificate_request(cb_buf *body)
{
    cb_id terminal = cb_id_new();
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf request = CB_BUF(CB_X509_REQUEST_MAX);
    good(cb_p256_generate(scalar, point));
    good(cb_x509_request_make(scalar, "terminal", &request));
    cb_put_id(body, &terminal);
    cb_buf_put_var(body, cb_buf_bytes(&request));
    cb_buf_free(&request);
}

static void put_suspended_card(cb_buf *body)
{
    cb_id id = cb_id_new();
    cb_buf entries = CB_BUF(CB_MSG_BODY_MAX);
    good(cb_feed_refresh(use.feed));
    cb_buf_put_u16(&entries, 2);
    put_entry(&entries, 1, CB_FEED_CARD_SUSPENDED, &id);
    put_entry(&entries, 2, CB_FEED_CARD_RESUMED, &id);
    good(walk_ask(&use, CB_HSM_FEED_EXTEND, &entries, NULL));
    cb_buf_free(&entries);
    cb_put_id(body, &id);
}

/* A receipt of a whole tap. */
static void put_receipt(cb_buf *body)
{
    walk t;
    walk_go(&t, CB_TAP_OPEN, walk_nothing);
    good(walk_ask(&use, CB_HSM_TAP_USE, &t.body, &t.answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t.answer));
    cb_cursor_var(&in, CB_USE_RESULT_MAX);
    cb_buf_put(body, cb_cursor_var(&in, CB_RECEIPT_MAX));
    assert_true(cb_cursor_done(&in));
    walk_free(&t);
}

static void put_sealed(cb_buf *body)
{
    walk t;
    walk_go(&t, CB_TAP_BEGUN, walk_nothing);
    cb_buf_put(body, cb_buf_bytes(&t.sealed));
    walk_free(&t);
}

static void put_binding(walk *t)
{
    cb_buf_put_var(&t->body, cb_buf_bytes(&w.certificate));
    cb_put_id(&t->body, &t->holder);
    cb_buf_put_u8(&t->body, CB_LEVEL_PIN);
    cb_buf_put_u64(&t->body, 1);
}

static agency issuer;

static void put_reading(const piv_card *c, cb_bytes certificate, cb_buf *body)
{
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    piv_card_answers(c, &answers);
    cb_buf_put_u8(body, CB_PROFILE_PIV);
    cb_buf_put_var(body, cb_buf_bytes(&answers));
    cb_buf_put_u8(body, 1);
    cb_buf_put_u8(body, CB_VPIV_AUTHENTICATION);
    cb_buf_put_var(body, certificate);
    cb_buf_free(&answers);
}

static void put_bound(const walk *t, const piv_card *c, cb_buf *body)
{
    put_reading(c, c->certificate[0], body);
    cb_put_id(body, &t->holder);
    cb_buf_put_u8(body, CB_LEVEL_TERMINAL_PIN);
    cb_buf_put_u64(body, 1);
}

/* A new card of an agency that hsmd trusts. */
static void put_foreign_binding(walk *t)
{
    piv_card c;
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, 0);
    put_bound(t, &c, &t->body);
    piv_card_free(&c);
}

/* One that is bound, with another certificate. */
static void put_password(walk *t)
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

static void put_renewal(walk *t)
{
    piv_card c;
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), binding = CB_BUF(CB_BINDING_MAX),
           certificate = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, 0);
    put_bound(t, &c, &body);
    good(walk_ask(&manage, CB_HSM_BIND_FOREIGN, &body, &binding));
    piv_card_certify(&c, &issuer, 0, NULL, NULL, 1, &certificate);
    put_reading(&c, cb_buf_bytes(&certificate), &t->body);
    cb_buf_put_var(&t->body, cb_buf_bytes(&binding));
    cb_buf_put_var(&t->body, c.certificate[0]);
    cb_buf_put_u64(&t->body, 2);
    piv_card_free(&c);
    cb_buf_free(&body);
    cb_buf_free(&binding);
    cb_buf_free(&certificate);
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

static void put_allowed_code(walk *t)
{
    cb_id code = cb_id_new();
    put_registration_of(t, &code);
    good(walk_ask(&manage, CB_HSM_REGISTRATION_ALLOW, &t->body, NULL));
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &code);
}

static void play_piv(walk *t, const piv_card *c, size_t skip)
{
    cb_script script;
    cb_buf_reset(&t->answers);
    good(cb_script_read(cb_bytes_make(t->answer.data + skip, t->answer.len - skip), CB_COMMAND_MAX,
                        &script));
    good(cb_play(&c->io, &script, &t->answers));
}

static void put_word(walk *t, const piv_card *c)
{
    char text[CB_CODE_TEXT], symbols[CB_CODE_SYMBOLS];
    cb_registration_word word;
    cb_foreign_reading reading = {.profile = CB_PROFILE_PIV,
                                  .answers = cb_buf_bytes(&t->answers),
                                  .keys = 1,
                                  .key = {{CB_VPIV_CARD_AUTHENTICATION, c->certificate[1]}}};
    cb_code_make(text);
    good(cb_code_read(cb_bytes_str(text), symbols));
    good(cb_registration_say(symbols, &t->context.tap, &reading, &word));
    cb_id code = cb_registration_id(word.point);
    cb_buf_reset(&t->body);
    put_registration_of(t, &code);
    good(walk_ask(&manage, CB_HSM_REGISTRATION_ALLOW, &t->body, NULL));
    cb_buf_reset(&t->body);
    cb_put_context(&t->body, &t->context);
    cb_put_reading(&t->body, &reading);
    cb_buf_put(&t->body, CB_BYTES_OF(word.point));
    cb_buf_put(&t->body, CB_BYTES_OF(word.signature));
}

/* A tap that is to bind a new card: its second message, or the fourth. */
static void put_registering(walk *t, bool to_its_end)
{
    piv_card c;
    piv_card_make(&c, &issuer, 0, CB_VCARD_EC_P256);
    t->context.profile = CB_PROFILE_PIV;
    t->context.purpose = CB_TAP_REGISTER;
    t->context.level = CB_LEVEL_NONE;
    t->context.service[0] = 0;
    cb_buf_put_u8(&t->body, CB_PROFILE_PIV);
    cb_put_id(&t->body, &t->context.terminal);
    good(walk_ask(&use, CB_HSM_TAP_BEGIN, &t->body, &t->answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t->answer));
    t->context.tap = cb_get_id(&in);
    play_piv(t, &c, CB_ID_SIZE);
    put_word(t, &c);
    if (to_its_end) {
        good(walk_ask(&use, CB_HSM_TAP_REGISTER, &t->body, &t->answer));
        play_piv(t, &c, 0);
        cb_buf_reset(&t->body);
        cb_put_id(&t->body, &t->context.tap);
        cb_buf_put_var(&t->body, cb_buf_bytes(&t->answers));
        good(walk_ask(&use, CB_HSM_TAP_FINISH, &t->body, NULL));
        cb_feed_head head = cb_feed_now(use.feed);
        cb_buf_reset(&t->body);
        cb_put_id(&t->body, &t->context.tap);
        cb_buf_put_u64(&t->body, 1);
        cb_put_feed_head(&t->body, &head);
    }
    piv_card_free(&c);
}

/* The second message of a tap that renews what its card is bound with. */
static void put_renewing(walk *t)
{
    piv_card c;
    cb_id holder = cb_id_new();
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), binding = CB_BUF(CB_BINDING_MAX),
           new = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    piv_card_make(&c, &issuer, 0, CB_VCARD_EC_P256);
    piv_card_answers(&c, &answers);
    piv_card_certify(&c, &issuer, 1, NULL, NULL, 1, &new);
    cb_foreign_reading reading = {.profile = CB_PROFILE_PIV,
                                  .answers = cb_buf_bytes(&answers),
                                  .keys = 1,
                                  .key = {{CB_VPIV_CARD_AUTHENTICATION, c.certificate[1]}}};
    cb_put_reading(&t->body, &reading);
    cb_put_id(&t->body, &holder);
    cb_buf_put_u8(&t->body, CB_LEVEL_POSSESSION);
    cb_buf_put_u64(&t->body, 1);
    good(walk_ask(&manage, CB_HSM_BIND_FOREIGN, &t->body, &binding));
    cb_buf_reset(&t->body);
    t->context.profile = CB_PROFILE_PIV;
    t->context.purpose = CB_TAP_RENEW;
    t->context.service[0] = 0;
    cb_buf_put_u8(&t->body, CB_PROFILE_PIV);
    cb_put_id(&t->body, &t->context.terminal);
    good(walk_ask(&use, CB_HSM_TAP_BEGIN, &t->body, &t->answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t->answer));
    t->context.tap = cb_get_id(&in);
    cb_buf_reset(&t->body);
    cb_put_context(&t->body, &t->context);
    reading.key[0].certificate = cb_buf_bytes(&new);
    cb_put_reading(&t->body, &reading);
    cb_buf_put_var(&t->body, cb_buf_bytes(&binding));
    cb_buf_put_var(&t->body, c.certificate[1]);
    cb_buf_free(&answers);
    cb_buf_free(&binding);
    cb_buf_free(&new);
    piv_card_free(&c);
}

static int setup(void **state)
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

static int teardown(void **state)
{
    agency_free(&issuer);
    return walk_teardown(state);
}

static void play_password(walk *t, cb_soft_password *soft, size_t skip)
{
    cb_script script;
    const cb_card_io io = {.card = soft, .transmit = cb_soft_password_transmit};
    cb_buf_reset(&t->answers);
    good(cb_script_read(cb_bytes_make(t->answer.data + skip, t->answer.len - skip), CB_COMMAND_MAX,
                        &script));
    good(cb_play(&io, &script, &t->answers));
    cb_buf_reset(&t->body);
    cb_buf_reset(&t->answer);
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
    cb_buf_reset(&t->body);
}

/* A tap in which a password is changed: its last message. */
static void put_password_change(walk *t)
{
    static int names;
    char name[32];
    snprintf(name, sizeof name, "walker-%d", names++);
    cb_soft_password soft = {.id = cb_password_id(name),
                             .password = cb_bytes_str("correct horse battery"),
                             .next = cb_bytes_str("another long password")};
    t->context.profile = CB_PROFILE_PASSWORD;
    t->context.purpose = CB_TAP_PASSWORD_CHANGE;
    t->context.level = CB_LEVEL_PASSWORD;
    t->context.service[0] = 0;
    t->context.text = (cb_digest){{0}};
    set_password(t, &soft);
    cb_buf_put_u8(&t->body, CB_PROFILE_PASSWORD);
    cb_put_id(&t->body, &t->context.terminal);
    good(walk_ask(&use, CB_HSM_TAP_BEGIN, &t->body, &t->answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t->answer));
    t->context.tap = cb_get_id(&in);
    soft.context = t->context;
    play_password(t, &soft, CB_ID_SIZE);
    cb_put_context(&t->body, &t->context);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->answers));
    cb_buf_put_var(&t->body, (cb_bytes){0});
    cb_buf_put_var(&t->body, (cb_bytes){0});
    good(walk_ask(&use, CB_HSM_TAP_CHALLENGE, &t->body, &t->answer));
    play_password(t, &soft, 0);
    cb_put_id(&t->body, &t->context.tap);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->answers));
    good(walk_ask(&use, CB_HSM_TAP_FINISH, &t->body, NULL));
    cb_feed_head head = cb_feed_now(use.feed);
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &t->context.tap);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->binding));
    cb_put_feed_head(&t->body, &head);
}

/* Makes a walk whose next message is this one. */
static void remember_in(const char *path)
{
    cb_memo_close(&manage.guesses);
    good(cb_memo_open(path, &manage.guesses));
}

/* A generation that is retired stays so, and the cards here have no other: it is remembered in a
 * file that nobody else looks at. */
static void put_retirement(cb_buf *body)
{
    char path[600];
    snprintf(path, sizeof path, "%s.retired", manage.config->guesses_path);
    good(cb_durable_make(path));
    remember_in(path);
    unlink(path);
    manage.host->profile.key_version = 2;
    cb_buf_put_u8(body, 1);
    cb_buf_put_u8(body, 0);
}

static void make(walk *t, const row *r)
{
    remember_in(manage.config->guesses_path);
    if (r->type == CB_HSM_TAP_REGISTER || r->type == CB_HSM_TAP_BIND) {
        walk_make(t);
        put_registering(t, r->type == CB_HSM_TAP_BIND);
        return;
    }
    if (r->type == CB_HSM_TAP_RENEW) {
        walk_make(t);
        put_renewing(t);
        return;
    }
    if (r->type == CB_HSM_TAP_PASSWORD) {
        walk_make(t);
        put_password_change(t);
        return;
    }
    if (r->state) {
        walk_go(t, r->state, walk_nothing);
        if (r->type == CB_HSM_TAP_END) {
            cb_buf_reset(&t->body);
            cb_put_id(&t->body, &t->context.tap);
        }
        return;
    }
    walk_make(t);
    switch (r->type) {
    case CB_HSM_TAP_BEGIN:
        cb_buf_put_u8(&t->body, CB_PROFILE_NATIVE);
        cb_put_id(&t->body, &t->context.terminal);
        break;
    case CB_HSM_FEED_EXTEND:
        put_entries(&t->body);
        break;
    case CB_HSM_LOG_SIGN:
        put_next_head(&t->body);
        break;
    case CB_HSM_BIND:
        put_binding(t);
        break;
    case CB_HSM_BIND_FOREIGN:
        put_foreign_binding(t);
        break;
    case CB_HSM_RENEW_FOREIGN:
        put_renewal(t);
        break;
    case CB_HSM_CERTIFY:
        put_certificate_request(&t->body);
        break;
    case CB_HSM_BIND_PASSWORD:
        put_password(t);
        break;
    case CB_HSM_PASSWORD_SALT:
    case CB_HSM_PASSWORD_FORGIVE:
        cb_put_id(&t->body, &t->holder);
        break;
    case CB_HSM_PIN_RESET:
        cb_put_id(&t->body, &t->holder);
        cb_put_id(&t->body, &t->context.terminal);
        cb_buf_put_u16(&t->body, 600);
        break;
    case CB_HSM_REGISTRATION_ALLOW: {
        cb_id code = cb_id_new();
        put_registration_of(t, &code);
        break;
    }
    case CB_HSM_REGISTRATION_WITHDRAW:
    case CB_HSM_REGISTRATION_STATE:
        put_allowed_code(t);
        break;
    case CB_HSM_RETIRE_GENERATION:
        put_retirement(&t->body);
        break;
    case CB_HSM_GENERATE:
    case CB_HSM_IMPORT:
        put_sealed_info(t, r->type == CB_HSM_IMPORT);
        break;
    case CB_HSM_REWRAP:
        put_sealed(&t->body);
        break;
    case CB_HSM_PUBLIC_KEY:
        cb_buf_put_str(&t->body, "log");
        break;
    case CB_HSM_RECEIPT_CHECK:
        put_receipt(&t->body);
        break;
    case CB_HSM_RESUME:
        put_suspended_card(&t->body);
        break;
    default: /* no body */
        break;
    }
}

static cb_lane *own_lane(const row *r)
{
    return r->lanes & USE ? &use : r->lanes & LOG ? &log_lane : &manage;
}

static void is_illegal(cb_lane *lane, uint16_t type, cb_bytes body)
{
    bool kept;
    cb_buf answer = CB_BUF(CB_MSG_BODY_MAX);
    expect(CB_E_HSM_ILLEGAL, walk_ask_len(lane, type, body, &answer, &kept));
    assert_false(kept);
    assert_int_equal(answer.len, 0);
    cb_buf_free(&answer);
}

static void end_all_taps(void)
{
    for (size_t i = 0; i < use.taps->setup.capacity; i++)
        cb_taps_end(use.taps, &use.taps->tap[i]);
}

/* ---- ---- */

static void the_table_is_complete(void **state)
{
    bool seen[CB_HSM_MESSAGES] = {false};
    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        seen[rows[i].type] = true;
    for (unsigned type = 1; type < CB_HSM_MESSAGES; type++)
        assert_true(seen[type]);
}

/* A message that its own lane would have served does nothing at another one. */
static void each_lane_serves_its_own_requests_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        walk t;
        make(&t, &rows[i]);
        for (unsigned lane = 0; lane < 3; lane++) {
            if (!(rows[i].lanes & lanes[lane]->kind))
                is_illegal(lanes[lane], rows[i].type, cb_buf_bytes(&t.body));
        }
        for (unsigned lane = 0; lane < 3; lane++) {
            if (rows[i].lanes & lanes[lane]->kind)
                good(walk_ask(lanes[lane], rows[i].type, &t.body, NULL));
        }
        walk_free(&t);
        end_all_taps();
    }
}

/* Cut anywhere, or longer, it does nothing; and whole, it is served afterwards. */
static void every_request_is_served_whole_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        walk t;
        bool kept;
        make(&t, &rows[i]);
        cb_lane *lane = own_lane(&rows[i]);
        for (size_t len = 0; len < t.body.len; len++) {
            cb_bytes cut = cb_bytes_make(t.body.data, len);
            if (!rows[i].open_ended || len == 0)
                is_illegal(lane, rows[i].type, cut);
            else
                assert_int_not_equal(walk_ask_len(lane, rows[i].type, cut, NULL, &kept), CB_OK);
        }
        cb_buf_put_u8(&t.body, 0);
        if (!rows[i].open_ended)
            is_illegal(lane, rows[i].type, cb_buf_bytes(&t.body));
        else
            assert_int_not_equal(walk_ask(lane, rows[i].type, &t.body, NULL), CB_OK);
        t.body.len--;
        good(walk_ask(lane, rows[i].type, &t.body, NULL));
        walk_free(&t);
        end_all_taps();
    }
}

/* The largest body that a packet carries, and one that lies about its lengths in every place. */
static void lengths_that_lie_are_believed_nowhere(void **state)
{
    static uint8_t large[CB_MSG_BODY_MAX];
    static const uint8_t lies[][4] = {
        {0xFF, 0xFF, 0xFF, 0xFF}, {0x7F, 0xFF, 0xFF, 0xFF}, {0, 1, 0, 0}};
    (void)state;
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    put_receipt(&receipt); /* so that the log is not empty: an empty one goes on in any way */
    cb_buf_free(&receipt);
    for (size_t i = 0; i < ROWS; i++) {
        walk t;
        bool kept;
        make(&t, &rows[i]);
        cb_lane *lane = own_lane(&rows[i]);
        memset(large, 0, sizeof large);
        if (t.body.len > 0)
            memcpy(large, t.body.data, t.body.len);
        is_illegal(lane, rows[i].type, CB_BYTES_OF(large));
        for (size_t at = 0; at + 4 <= t.body.len && !rows[i].open_ended; at++) {
            for (size_t lie = 0; lie < 3; lie++) {
                memcpy(large, t.body.data, t.body.len);
                memcpy(large + at, lies[lie], 4);
                walk_ask_len(lane, rows[i].type, cb_bytes_make(large, t.body.len), NULL, &kept);
            }
        }
        assert_true(cb_taps_live(use.taps) <= f.config.taps);
        if (rows[i].type == CB_HSM_LOG_SIGN)
            good(walk_ask(lane, rows[i].type, &t.body, NULL));
        walk_free(&t);
        end_all_taps();
    }
}

/* In these, every byte counts: whatever is changed in them, they do not succeed. */
static void no_byte_of_what_opens_a_key_can_be_changed(void **state)
{
    static const uint16_t types[] = {CB_HSM_TAP_ACTIVATE, CB_HSM_TAP_OPEN_KEY};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const row *r = &rows[types[i] - 1];
        assert_int_equal(r->type, types[i]);
        size_t longest = 1; /* a proof is as long as the log's size makes it */
        for (size_t at = 0; at < longest; at++) {
            walk t;
            bool kept;
            make(&t, r);
            longest = t.body.len > longest ? t.body.len : longest;
            if (at < t.body.len) {
                t.body.data[at] ^= (uint8_t)(1 << at % 8);
                assert_int_not_equal(
                    walk_ask_len(&use, r->type, cb_buf_bytes(&t.body), NULL, &kept), CB_OK);
            }
            walk_free(&t);
            end_all_taps();
        }
    }
}

/* What is not about a tap leaves it as it is, in each of its states; so does what is illegal. */
static void a_tap_goes_on_whatever_else_is_asked(void **state)
{
    (void)state;
    for (unsigned at = CB_TAP_BEGUN; at <= CB_TAP_OPEN; at <<= 1) {
        for (size_t i = 0; i < ROWS; i++) {
            walk t, other;
            const row *own = NULL;
            for (size_t j = 0; j < ROWS && !own; j++)
                own = rows[j].state == at ? &rows[j] : NULL;
            /* An entry of the feed, made meanwhile, is for the front end to look up again; and the
             * log moves on. */
            bool moves_on = rows[i].type == CB_HSM_FEED_EXTEND || rows[i].type == CB_HSM_RESUME ||
                            rows[i].type == CB_HSM_RECEIPT_CHECK || rows[i].type == CB_HSM_REWRAP;
            if (rows[i].state || moves_on)
                continue;
            make(&t, own);
            make(&other, &rows[i]);
            good(walk_ask(own_lane(&rows[i]), rows[i].type, &other.body, NULL));
            is_illegal(&use, rows[i].type, cb_bytes_make(t.sealed.data, 3));
            good(walk_ask(&use, own->type, &t.body, NULL));
            walk_free(&other);
            walk_free(&t);
            end_all_taps();
        }
    }
}

static void out_of_time_nothing_of_a_tap_is_left_in_any_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        walk t;
        cb_tap *tap;
        if (!rows[i].state)
            continue;
        make(&t, &rows[i]);
        good(cb_taps_enter(use.taps, &t.context.tap, rows[i].state, &tap));
        tap->begun -= rows[i].state == CB_TAP_BEGUN ? f.config.prefetch_us : f.config.lifetime_us;
        for (int again = 0; again < 2; again++)
            expect(CB_E_TAP_EXPIRED, walk_ask(&use, rows[i].type, &t.body, &t.answer));
        assert_int_equal(cb_taps_live(use.taps), 0);
        assert_null(tap->profile_state);
        walk_free(&t);
        end_all_taps();
    }
}

/* More entries than the rate are not taken, and not forgotten either: they are told so. */
static void a_flood_of_entries_is_braked(void **state)
{
    walk t;
    static const row extend = {CB_HSM_FEED_EXTEND, USE, 0, false};
    (void)state;
    make(&t, &extend);
    uint64_t before = cb_feed_now(use.feed).number;
    int64_t full = CB_LANE_FEED_RATE.each_us * CB_LANE_FEED_RATE.burst;
    /* As if the clock stood still after as many as may come at once. */
    use.entries.due = cb_clock_monotonic_us() + full + CB_SECOND;
    for (int i = 0; i < 3; i++)
        expect(CB_E_BUSY, walk_ask(&use, CB_HSM_FEED_EXTEND, &t.body, &t.answer));
    assert_int_equal(t.answer.len, 0);
    assert_int_equal(cb_feed_now(use.feed).number, before);
    use.entries = (cb_brake){0};
    good(walk_ask(&use, CB_HSM_FEED_EXTEND, &t.body, NULL));
    assert_int_equal(cb_feed_now(use.feed).number, before + 2);
    walk_free(&t);
}

/* What does not fit is refused, and said: the operator alone can make room. */
static void a_feed_that_is_full_is_refused(void **state)
{
    walk t;
    static const row extend = {CB_HSM_FEED_EXTEND, USE, 0, false};
    (void)state;
    make(&t, &extend);
    uint64_t before = cb_feed_now(use.feed).number;
    cb_feed_limit(use.feed, (uint32_t)before + 1);
    expect(CB_E_STORE_FULL, walk_ask(&use, CB_HSM_FEED_EXTEND, &t.body, &t.answer));
    assert_int_equal(t.answer.len, 0);
    assert_true(use.complaints[CB_COMPLAINT_FEED].due > 0);
    assert_int_equal(cb_feed_now(use.feed).number, before);
    cb_feed_limit(use.feed, (uint32_t)before + 2);
    good(walk_ask(&use, CB_HSM_FEED_EXTEND, &t.body, NULL));
    walk_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_complete),
        cmocka_unit_test_setup_teardown(each_lane_serves_its_own_requests_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(every_request_is_served_whole_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(lengths_that_lie_are_believed_nowhere, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(no_byte_of_what_opens_a_key_can_be_changed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_tap_goes_on_whatever_else_is_asked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(out_of_time_nothing_of_a_tap_is_left_in_any_state,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_entries_is_braked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_feed_that_is_full_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests_name("request table", tests, NULL, NULL);
}
