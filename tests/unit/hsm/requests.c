/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "requests.h"

#include <stdio.h>
#include <unistd.h>

#include "cardlink/x509/request.h"
#include "hsm/durable.h"
#include "test.h"

const request_row requests[] = {
    {CB_HSM_HELLO, USE | LOG | MANAGE, 0, false},
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
    {CB_HSM_TAP_RENEW, USE, CB_TAP_BEGUN, false},
};

const size_t requests_count = sizeof requests / sizeof *requests;

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
void request_receipt(cb_buf *body)
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

void request_make(walk *t, const request_row *r)
{
    remember_in(manage.config->guesses_path);
    if (r->type == CB_HSM_TAP_REGISTER || r->type == CB_HSM_TAP_BIND) {
        walk_make(t);
        request_registering(t, r->type == CB_HSM_TAP_BIND);
        return;
    }
    if (r->type == CB_HSM_TAP_RENEW) {
        walk_make(t);
        request_renewing(t);
        return;
    }
    if (r->type == CB_HSM_TAP_PASSWORD) {
        walk_make(t);
        request_password_change(t);
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
        request_binding(t);
        break;
    case CB_HSM_BIND_FOREIGN:
        request_foreign_binding(t);
        break;
    case CB_HSM_RENEW_FOREIGN:
        request_renewal(t);
        break;
    case CB_HSM_CERTIFY:
        put_certificate_request(&t->body);
        break;
    case CB_HSM_BIND_PASSWORD:
        request_password(t);
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
    case CB_HSM_REGISTRATION_ALLOW:
        request_new_code(t);
        break;
    case CB_HSM_REGISTRATION_WITHDRAW:
    case CB_HSM_REGISTRATION_STATE:
        request_allowed_code(t);
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
        request_receipt(&t->body);
        break;
    case CB_HSM_RESUME:
        put_suspended_card(&t->body);
        break;
    default: /* no body */
        break;
    }
}
