/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/api_acts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/core/registration.h"

/* ---- What is made before ---- */

const char *act_fresh_name(api_acts *a)
{
    static char name[32];
    snprintf(name, sizeof name, "number %u", ++a->number);
    return name;
}

void act_make_holder(api_acts *a)
{
    cb_holder holder;
    MUST(cb_holder_add(a->w.api.store, "test", act_fresh_name(a), &holder));
    a->holder = holder.id;
}

void act_make_card(api_acts *a)
{
    char hex[2 * CB_BINDING_MAX + 1];
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    act_make_holder(a);
    a->card = cb_id_new();
    api_binding(&a->card, &a->holder, hex);
    MUST(cb_unhex(cb_bytes_str(hex), &binding));
    MUST(cb_card_add(a->w.api.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, NULL));
    cb_buf_free(&binding);
}

void act_change_card(api_acts *a, cb_card_act act)
{
    MUST(cb_card_change(a->w.api.store, "test", &a->card, act, NULL, NULL));
}

void act_make_terminal(api_acts *a)
{
    cb_terminal terminal;
    cb_terminal_new fresh = {.name = act_fresh_name(a)};
    fresh.key = cb_sha256(cb_bytes_str(fresh.name));
    MUST(cb_terminal_add(a->w.api.store, "test", &fresh, &terminal));
    a->terminal = terminal.id;
}

/* Three characters, one of them a digit. */
static void name_service(api_acts *a)
{
    unsigned n = ++a->number;
    snprintf(a->service, sizeof a->service, "%c%c%c", 'a' + n / 260 % 26, '0' + n / 26 % 10,
             'a' + n % 26);
}

static void make_service(api_acts *a)
{
    name_service(a);
    cb_service_new fresh = {
        .name = a->service, .title = "Old", .connector = "gives", .config = "{}", .level = 1};
    MUST(cb_service_add(a->w.api.store, "test", &fresh));
}

static void make_enrolment(api_acts *a, const char *service)
{
    char hex[2 * CB_SEALED_MAX + 1];
    cb_enrolment made;
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), public_key = CB_BUF(CB_PUBLIC_KEY_MAX);
    a->key = cb_id_new();
    api_sealed(&a->key, &a->holder, service, 1, 1, hex);
    MUST(cb_unhex(cb_bytes_str(hex), &sealed));
    MUST(cb_unhex(cb_bytes_str(a->w.public_key), &public_key));
    cb_enrolment_new fresh = {.holder = a->holder,
                              .service = service,
                              .sealed = cb_buf_bytes(&sealed),
                              .public_key = cb_buf_bytes(&public_key)};
    cb_enrolment_init(&made);
    MUST(cb_enrolment_add(a->w.api.store, "test", &fresh, &made));
    a->enrolment = made.id;
    cb_enrolment_free(&made);
    cb_buf_free(&sealed);
    cb_buf_free(&public_key);
}

/* A session that the card, which is active, has opened at a terminal. */
static void make_session(api_acts *a)
{
    cb_intent_grant grant;
    cb_intent_request request = {.context = {.tap = cb_id_random(),
                                             .terminal = a->terminal,
                                             .profile = CB_PROFILE_NATIVE,
                                             .purpose = CB_TAP_AUTHENTICATE,
                                             .level = CB_LEVEL_POSSESSION,
                                             .service = "tax"},
                                 .card = a->card,
                                 .holder = a->holder,
                                 .reached = CB_LEVEL_PIN};
    cb_intent_grant_init(&grant);
    MUST(cb_decide_intent(a->w.api.store, &request, &grant));
    cb_intent_grant_free(&grant);
    cb_result_request result = {.tap = request.context.tap, .session = cb_id_new()};
    MUST(cb_decide_result(a->w.api.store, &result));
}

void act_make_user(api_acts *a)
{
    act_make_card(a);
    act_change_card(a, CB_CARD_ACTIVATE);
    make_enrolment(a, "tax");
    act_make_terminal(a);
    make_session(a);
}

/* ---- Requests ---- */

void act_request(api_acts *a, const char *method, const char *kind, const cb_id *id,
                    const char *act)
{
    char text[CB_ID_TEXT] = "";
    if (id)
        cb_id_text(id, text);
    a->method = method;
    snprintf(a->path, sizeof a->path, "/v1/%s%s%s%s%s", kind, id ? "/" : "", text, act ? "/" : "",
             act ? act : "");
    a->body[0] = 0;
}

void act_body(api_acts *a, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int len = vsnprintf(a->body, sizeof a->body, format, list);
    va_end(list);
    assert_true(len > 0 && (size_t)len < sizeof a->body);
}

static void add_holder(api_acts *a)
{
    act_request(a, "POST", "holders", NULL, NULL);
    act_body(a, "{\"name\":\"Taro\"}");
}

static void add_card(api_acts *a)
{
    char hex[2 * CB_BINDING_MAX + 1];
    act_make_holder(a);
    a->card = cb_id_new();
    api_binding(&a->card, &a->holder, hex);
    act_request(a, "POST", "cards", NULL, NULL);
    act_body(a, "{\"binding\":\"%s\"}", hex);
}

/* Its key is another, so that the feed gets an entry. */
static void renew_card(api_acts *a)
{
    static const uint8_t certificate[] = {0x30, 0x00};
    char hex[2 * CB_BINDING_MAX + 1];
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    act_make_holder(a);
    a->card = cb_id_new();
    api_foreign_binding(&a->card, &a->holder, 1, hex);
    MUST(cb_unhex(cb_bytes_str(hex), &binding));
    MUST(cb_card_add(a->w.api.store, "test", cb_buf_bytes(&binding), CB_BYTES_OF(certificate),
                     NULL));
    cb_buf_free(&binding);
    api_foreign_binding(&a->card, &a->holder, 2, hex);
    act_request(a, "POST", "cards", &a->card, "renew");
    act_body(a, "{\"binding\":\"%s\",\"certificates\":\"3000\"}", hex);
}

static void read_binding(api_acts *a)
{
    act_make_card(a);
    act_request(a, "GET", "cards", &a->card, "binding");
}

static void activate_card(api_acts *a)
{
    act_make_card(a);
    act_request(a, "POST", "cards", &a->card, "activate");
}

static void suspend_card(api_acts *a)
{
    act_make_user(a);
    act_request(a, "POST", "cards", &a->card, "suspend");
    act_body(a, "{\"reason\":\"mislaid\"}");
}

static void resume_card(api_acts *a)
{
    act_make_card(a);
    act_change_card(a, CB_CARD_ACTIVATE);
    act_change_card(a, CB_CARD_SUSPEND);
    act_request(a, "POST", "cards", &a->card, "resume");
}

static void revoke_card(api_acts *a)
{
    act_make_user(a);
    act_request(a, "POST", "cards", &a->card, "revoke");
    act_body(a, "{\"reason\":\"lost\"}");
}

static void return_card(api_acts *a)
{
    act_make_user(a);
    act_request(a, "POST", "cards", &a->card, "return");
}

static void destroy_card(api_acts *a)
{
    act_make_card(a);
    act_change_card(a, CB_CARD_REVOKE);
    act_make_holder(a); /* is under a signed head when it returns, and so is the revocation before it */
    act_request(a, "POST", "cards", &a->card, "destroy");
}

static void recall_card(api_acts *a)
{
    act_make_card(a);
    act_request(a, "POST", "cards", &a->card, "recall");
    act_body(a, "{\"by\":\"2999-12-31\",\"reason\":\"moved\"}");
}

static void unblock_card(api_acts *a)
{
    char id[CB_ID_TEXT];
    act_make_card(a);
    act_change_card(a, CB_CARD_ACTIVATE);
    act_make_terminal(a);
    cb_id_text(&a->terminal, id);
    act_request(a, "POST", "cards", &a->card, "unblock");
    act_body(a, "{\"terminal\":\"%s\",\"reason\":\"forgotten\"}", id);
}

static void replace_card(api_acts *a)
{
    char hex[2 * CB_BINDING_MAX + 1];
    cb_id fresh = cb_id_new();
    act_make_user(a);
    api_binding(&fresh, &a->holder, hex);
    act_request(a, "POST", "cards", &a->card, "replace");
    act_body(a, "{\"binding\":\"%s\",\"station\":\"desk-1\",\"reason\":\"damaged\"}", hex);
}

static void add_terminal(api_acts *a)
{
    char certificate[API_PEM];
    api_certificate(&a->w, ++a->number, certificate);
    act_request(a, "POST", "terminals", NULL, NULL);
    act_body(a, "{\"name\":\"%s\",\"certificate\":\"%s\",\"services\":[\"tax\",\"bus\"],\"rate\":7}",
         act_fresh_name(a), certificate);
}

static void revoke_terminal(api_acts *a)
{
    act_make_user(a);
    act_request(a, "POST", "terminals", &a->terminal, "revoke");
    act_body(a, "{\"reason\":\"stolen\"}");
}

#define SERVICE                                                                                    \
    "\"title\":\"New\",\"connector\":\"relays\",\"config\":{\"a\":[1,{\"b\":\"c\"}]},"             \
    "\"level\":2,\"certificate\":true,\"session\":{\"kind\":\"relayed\",\"life\":60,\"idle\":9}}"

static void add_service(api_acts *a)
{
    name_service(a);
    act_request(a, "POST", "services", NULL, NULL);
    act_body(a, "{\"name\":\"%s\"," SERVICE, a->service);
}

static void update_service(api_acts *a)
{
    make_service(a);
    act_request(a, "PUT", "services", NULL, a->service);
    act_body(a, "{" SERVICE);
}

static void add_enrolment(api_acts *a)
{
    char hex[2 * CB_SEALED_MAX + 1], holder[CB_ID_TEXT];
    act_make_holder(a);
    a->key = cb_id_new();
    api_sealed(&a->key, &a->holder, "tax", 1, 1, hex);
    cb_id_text(&a->holder, holder);
    act_request(a, "POST", "enrolments", NULL, NULL);
    act_body(a,
         "{\"holder\":\"%s\",\"service\":\"tax\",\"sealed\":\"%s\",\"public_key\":\"%s\","
         "\"data\":{\"subject\":\"taro\"}}",
         holder, hex, a->w.public_key);
}

static void certify_enrolment(api_acts *a)
{
    char certificate[API_PEM];
    api_certificate(&a->w, 0, certificate);
    act_make_holder(a);
    make_enrolment(a, "gov");
    act_request(a, "POST", "enrolments", &a->enrolment, "certificate");
    act_body(a, "{\"certificate\":\"%s%s\"}", certificate, certificate);
}

static void renew_enrolment(api_acts *a)
{
    cb_id key = cb_id_new();
    char hex[2 * CB_SEALED_MAX + 1];
    act_make_holder(a);
    make_enrolment(a, "tax");
    api_sealed(&key, &a->holder, "tax", 2, 1, hex);
    act_request(a, "POST", "enrolments", &a->enrolment, "renew");
    act_body(a, "{\"sealed\":\"%s\",\"public_key\":\"%s\"}", hex, a->w.public_key);
}

static void rewrap_enrolment(api_acts *a)
{
    char hex[2 * CB_SEALED_MAX + 1];
    act_make_holder(a);
    make_enrolment(a, "tax");
    api_sealed(&a->key, &a->holder, "tax", 1, 2, hex);
    act_request(a, "POST", "enrolments", &a->enrolment, "rewrap");
    act_body(a, "{\"sealed\":\"%s\"}", hex);
}

static void remove_enrolment(api_acts *a)
{
    act_make_user(a);
    act_request(a, "DELETE", "enrolments", &a->enrolment, NULL);
}

/* ---- Reading ---- */

#define LIST(what, where)                                                                          \
    static void list_##what(api_acts *a) { act_request(a, "GET", where, NULL, NULL); }

LIST(holders, "holders?limit=2")
LIST(cards, "cards?limit=2")
LIST(terminals, "terminals?limit=2")
LIST(services, "services?limit=2&after=bus")
LIST(enrolments, "enrolments?limit=2&service=tax")
LIST(leaves, "audit/leaves?from=1&count=3")
LIST(heads, "audit/heads?count=3")
LIST(status, "status")

static void read_metrics(api_acts *a)
{
    act_request(a, "GET", "", NULL, NULL);
    strcpy(a->path, "/metrics");
}

static void read_sealed(api_acts *a)
{
    act_make_holder(a);
    make_enrolment(a, "tax");
    act_request(a, "GET", "enrolments", &a->enrolment, "sealed");
}

static void read_for_service(api_acts *a)
{
    act_make_holder(a);
    make_enrolment(a, "tax");
    act_request(a, "GET", "enrolments", &a->enrolment, "for-service");
}

static void read_service(api_acts *a)
{
    make_service(a);
    act_request(a, "GET", "services", NULL, a->service);
}

enum { ACT = 8, READING = 5 };

/* Codes with which holders register cards of their own. */
static void record_code(api_acts *a)
{
    char code[CB_ID_TEXT], holder[CB_ID_TEXT];
    act_make_holder(a);
    a->key = cb_id_new();
    cb_id_text(&a->key, code);
    cb_id_text(&a->holder, holder);
    act_request(a, "POST", "registrations", NULL, NULL);
    act_body(a, "{\"code\":\"%s\",\"holder\":\"%s\",\"profiles\":[\"piv\"],\"level\":3,\"until\":%lld}",
         code, holder, (long long)(cb_clock_wall_us() / CB_SECOND + 3600));
}

static void make_code(api_acts *a)
{
    act_make_holder(a);
    cb_registration_row row = {.code = cb_id_new(),
                               .holder = a->holder,
                               .profiles = 1 << CB_PROFILE_PIV,
                               .level = CB_LEVEL_TERMINAL_PIN,
                               .expires = cb_clock_wall_us() + 3600 * CB_SECOND};
    MUST(cb_registration_record(a->w.api.store, "test", NULL, &row));
    a->key = row.code;
}

static void withdraw_code(api_acts *a)
{
    make_code(a);
    act_request(a, "POST", "registrations", &a->key, "withdraw");
    act_body(a, "{\"reason\":\"mistake\"}");
}

static void list_codes(api_acts *a)
{
    char holder[CB_ID_TEXT];
    make_code(a);
    cb_id_text(&a->holder, holder);
    act_request(a, "GET", "registrations", NULL, NULL);
    snprintf(a->path, sizeof a->path, "/v1/registrations?holder=%s", holder);
}

const api_act api_act_table[] = {
    {"a holder added", add_holder, 201, ACT},
    {"a card added", add_card, 201, ACT},
    {"a card renewed", renew_card, 200, ACT},
    {"a card activated", activate_card, 200, ACT},
    {"a card suspended", suspend_card, 200, ACT},
    {"a card resumed", resume_card, 200, ACT},
    {"a card revoked", revoke_card, 200, ACT},
    {"a card returned", return_card, 200, ACT},
    {"a card destroyed", destroy_card, 200, ACT},
    {"a card recalled", recall_card, 200, ACT},
    {"a card unblocked", unblock_card, 200, ACT},
    {"a card replaced", replace_card, 201, ACT},
    {"a terminal added", add_terminal, 201, ACT},
    {"a terminal revoked", revoke_terminal, 200, ACT},
    {"a service added", add_service, 201, ACT},
    {"a service changed", update_service, 200, ACT},
    {"an enrolment added", add_enrolment, 201, ACT},
    {"an enrolment certified", certify_enrolment, 200, ACT},
    {"an enrolment renewed", renew_enrolment, 200, ACT},
    {"a key sealed anew", rewrap_enrolment, 200, ACT},
    {"an enrolment removed", remove_enrolment, 200, ACT},
    {"a code recorded", record_code, 201, ACT},
    {"a code withdrawn", withdraw_code, 200, ACT},
    {"codes", list_codes, 200, READING},
    {"holders", list_holders, 200, READING},
    {"cards", list_cards, 200, READING},
    {"a card's binding", read_binding, 200, READING},
    {"terminals", list_terminals, 200, READING},
    {"services", list_services, 200, READING},
    {"enrolments", list_enrolments, 200, READING},
    {"leaves", list_leaves, 200, READING},
    {"heads", list_heads, 200, READING},
    {"the state", list_status, 200, READING},
    {"metrics", read_metrics, 200, READING},
    {"sealed keys", read_sealed, 200, READING},
    {"what a service is given", read_for_service, 200, READING},
    {"a service", read_service, 200, READING},
    {NULL, NULL, 0, 0},
};

void api_acts_make(api_acts *a) { api_world_make(&a->w); }

void api_acts_ask(api_acts *a) { api_ask(&a->w, a->method, a->path, a->body[0] ? a->body : NULL); }
