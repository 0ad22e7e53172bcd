/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests about the lives of cards and terminals: stock, applications, codes, reports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/core/stock.h"
#include "broker/core/terminal_log.h"
#include "tests/fault/api_acts.h"

/* ---- Stock ---- */

static void make_batch(api_acts *a)
{
    const char *serials[] = {"1001", "1002", "1003"};
    cb_stock_outcome out;
    snprintf(a->batch, sizeof a->batch, "M%u", ++a->number);
    cb_stock_list list = {
        .manufacturer = a->batch, .name = "batch-1", .first = 1, .serials = serials, .count = 3};
    MUST(cb_stock_enter(a->w.api.store, "test", &list, &out));
}

static void move_batch(api_acts *a, cb_card_act act)
{
    const char *serials[] = {"1001", "1002", "1003"};
    cb_stock_outcome out;
    cb_stock_list list = {.manufacturer = a->batch,
                          .name = "delivery",
                          .first = 1,
                          .serials = serials,
                          .count = 3,
                          .last = true};
    MUST(cb_stock_act(a->w.api.store, "test", act, &list, &out));
}

static void enter_batch(api_acts *a)
{
    char identity[CB_ID_TEXT];
    cb_id id = cb_id_new();
    cb_id_text(&id, identity);
    act_request(a, "POST", "batches", NULL, NULL);
    act_body(a,
             "{\"manufacturer\":\"M%u\",\"name\":\"batch-1\",\"serials\":[\"1001\",\"1002\"],"
             "\"identities\":[\"\",\"%s\"]}",
             ++a->number, identity);
}

static void stock_body(api_acts *a, const char *act)
{
    act_request(a, "POST", "stock", NULL, NULL);
    act_body(a,
             "{\"act\":\"%s\",\"manufacturer\":\"%s\",\"delivery\":\"delivery\","
             "\"serials\":[\"1001\",\"1002\",\"1003\"],\"last\":true}",
             act, a->batch);
}

static void send_stock(api_acts *a)
{
    make_batch(a);
    stock_body(a, "send");
}

static void receive_stock(api_acts *a)
{
    make_batch(a);
    move_batch(a, CB_CARD_SEND);
    stock_body(a, "receive");
}

/* One of them was never sent: a mismatch. */
static void receive_unsent(api_acts *a)
{
    make_batch(a);
    stock_body(a, "receive");
}

static void ask_if_issuable(api_acts *a)
{
    char holder[CB_ID_TEXT];
    make_batch(a);
    move_batch(a, CB_CARD_SEND);
    move_batch(a, CB_CARD_RECEIVE);
    act_make_holder(a);
    cb_id_text(&a->holder, holder);
    act_request(a, "POST", "cards/issuable", NULL, NULL);
    act_body(a, "{\"holder\":\"%s\",\"profile\":1,\"manufacturer\":\"%s\",\"serial\":\"1002\"}",
             holder, a->batch);
}

static void list_stock(api_acts *a)
{
    make_batch(a);
    act_request(a, "GET", "stock?limit=2", NULL, NULL);
}

static void list_mismatches(api_acts *a)
{
    make_batch(a);
    move_batch(a, CB_CARD_RECEIVE);
    act_request(a, "GET", "mismatches?limit=2", NULL, NULL);
}

/* ---- Applications ---- */

static cb_id make_application(api_acts *a, const char *operator)
{
    cb_application application;
    act_make_holder(a);
    MUST(cb_application_add(a->w.api.store, operator, & a->holder, CB_PROFILE_NATIVE, "first",
                            &application));
    return application.id;
}

static void add_application(api_acts *a)
{
    char holder[CB_ID_TEXT];
    act_make_holder(a);
    cb_id_text(&a->holder, holder);
    act_request(a, "POST", "applications", NULL, NULL);
    act_body(a, "{\"holder\":\"%s\",\"reason\":\"first\"}", holder);
}

static void add_application_and_holder(api_acts *a)
{
    char id[CB_ID_TEXT], holder[CB_ID_TEXT];
    cb_id made = cb_id_new();
    cb_id_text(&made, id);
    made = cb_id_new();
    cb_id_text(&made, holder);
    act_request(a, "POST", "applications", NULL, NULL);
    act_body(a, "{\"id\":\"%s\",\"holder\":\"%s\",\"holder_name\":\"New\",\"reason\":\"first\"}", id,
             holder);
}

static void approve_application(api_acts *a)
{
    cb_id id = make_application(a, "another");
    act_request(a, "POST", "applications", &id, "approve");
}

static void refuse_application(api_acts *a)
{
    cb_id id = make_application(a, "another");
    act_request(a, "POST", "applications", &id, "refuse");
    act_body(a, "{\"reason\":\"unknown\"}");
}

static void read_application(api_acts *a)
{
    cb_id id = make_application(a, "another");
    act_request(a, "GET", "applications", &id, NULL);
}

static void list_applications(api_acts *a)
{
    make_application(a, "another");
    act_request(a, "GET", "applications?limit=1", NULL, NULL);
}

/* ---- Terminals ---- */

static void register_terminal(api_acts *a)
{
    act_request(a, "POST", "terminals", NULL, NULL);
    act_body(a, "{\"name\":\"%s\",\"valid\":600,\"services\":[\"tax\"],\"passwords\":true}",
             act_fresh_name(a));
}

static void make_registered(api_acts *a)
{
    cb_terminal terminal;
    cb_terminal_code code;
    MUST(cb_terminal_code_make(600, &code));
    cb_terminal_new fresh = {.name = act_fresh_name(a), .code = &code};
    MUST(cb_terminal_add(a->w.api.store, "test", &fresh, &terminal));
    a->terminal = terminal.id;
}

static void another_code(api_acts *a)
{
    make_registered(a);
    act_request(a, "POST", "terminals", &a->terminal, "code");
}

static void terminal_act(api_acts *a, const char *act)
{
    act_make_user(a);
    act_request(a, "POST", "terminals", &a->terminal, act);
    act_body(a, "{\"reason\":\"moved\"}");
}

static void deactivate_terminal(api_acts *a) { terminal_act(a, "deactivate"); }
static void dispose_terminal(api_acts *a) { terminal_act(a, "dispose"); }
static void resume_log(api_acts *a) { terminal_act(a, "log"); }

static void reactivate_terminal(api_acts *a)
{
    act_make_terminal(a);
    MUST(cb_terminal_change(a->w.api.store, "test", &a->terminal, CB_TERMINAL_DEACTIVATE, NULL,
                            NULL));
    act_make_holder(a); /* is under a signed head when it returns, and so is what was before it */
    act_request(a, "POST", "terminals", &a->terminal, "activate");
}

static void read_terminal(api_acts *a)
{
    act_make_terminal(a);
    act_request(a, "GET", "terminals", &a->terminal, NULL);
}

/* A batch that does not fit, so that there is a finding to show. */
static void read_refused_log(api_acts *a)
{
    static const uint8_t nothing[CB_P256_SIGNATURE], point[CB_P256_POINT] = {4};
    cb_journal_entry entry = {.time = 7, .event = CB_JOURNAL_TAP_BEGUN};
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    cb_journal_batch batch = {.key = CB_BYTES_OF(point), .signature = CB_BYTES_OF(nothing)};
    cb_digest shown = {{0}};
    cb_journal_head now;
    act_make_terminal(a);
    MUST(cb_journal_put(&entry, &entries));
    batch.entries = cb_buf_bytes(&entries);
    assert_int_equal(cb_terminal_log_take(a->w.api.store, &a->terminal, &shown, &batch, &now),
                     CB_E_LOG_SIGNATURE);
    cb_buf_free(&entries);
    act_request(a, "GET", "terminals", &a->terminal, NULL);
}

static void read_log(api_acts *a)
{
    act_make_terminal(a);
    act_request(a, "GET", "terminals", &a->terminal, "log");
}

/* ---- What failed, and reports ---- */

static void fail_once(api_acts *a)
{
    act_make_user(a);
    cb_refusal refusal = {.tap = cb_id_random(),
                          .card = a->card,
                          .holder = a->holder,
                          .terminal = a->terminal,
                          .profile = CB_PROFILE_NATIVE,
                          .error = CB_E_PIN_WRONG,
                          .wrong_pins = 1};
    MUST(cb_decide_refused(a->w.api.store, &refusal, NULL));
}

static void read_card(api_acts *a)
{
    fail_once(a);
    act_request(a, "GET", "cards", &a->card, NULL);
}

static void read_holder(api_acts *a)
{
    fail_once(a);
    act_request(a, "GET", "holders", &a->holder, NULL);
}

static void report_failures(api_acts *a)
{
    fail_once(a);
    act_request(a, "GET", "reports/failures?limit=1&least=1", NULL, NULL);
}

static void report(api_acts *a, const char *which)
{
    act_make_card(a);
    act_request(a, "GET", which, NULL, NULL);
}

static void report_issued(api_acts *a) { report(a, "reports/issued?from=2020-01-01"); }
static void report_issues(api_acts *a) { report(a, "reports/issues?limit=1"); }
static void report_outstanding(api_acts *a) { report(a, "reports/outstanding?limit=1"); }

enum { ACT = 7, READING = 4 };

const api_act api_life_table[] = {
    {"a list of cards entered", enter_batch, 200, ACT},
    {"cards sent", send_stock, 200, ACT},
    {"cards received", receive_stock, 200, ACT},
    {"cards received that were not sent", receive_unsent, 200, ACT},
    {"whether a card would be recorded", ask_if_issuable, 200, READING},
    {"stock", list_stock, 200, READING},
    {"mismatches", list_mismatches, 200, READING},
    {"an application entered", add_application, 201, ACT},
    {"an application entered with its holder", add_application_and_holder, 201, ACT},
    {"an application approved", approve_application, 200, ACT},
    {"an application refused", refuse_application, 200, ACT},
    {"an application", read_application, 200, READING},
    {"applications", list_applications, 200, READING},
    {"a terminal registered", register_terminal, 201, ACT},
    {"a terminal's code made anew", another_code, 200, ACT},
    {"a terminal de-activated", deactivate_terminal, 200, ACT},
    {"a terminal activated again", reactivate_terminal, 200, ACT},
    {"a terminal disposed of", dispose_terminal, 200, ACT},
    {"a terminal's log let go on", resume_log, 200, ACT},
    {"a terminal", read_terminal, 200, READING},
    {"a terminal whose log was refused", read_refused_log, 200, READING},
    {"a terminal's log", read_log, 200, READING},
    {"a card with what failed", read_card, 200, READING},
    {"a holder with what failed", read_holder, 200, READING},
    {"a report of what failed", report_failures, 200, READING},
    {"a report of what was issued", report_issued, 200, READING},
    {"a report of how it was issued", report_issues, 200, READING},
    {"a report of what is outstanding", report_outstanding, 200, READING},
    {NULL, NULL, 0, 0},
};
