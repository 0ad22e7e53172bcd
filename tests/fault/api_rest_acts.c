/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests about what holders do themselves, about what terminals run and who maintains them, about
 * generations, and about how the broker is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "base/text.h"
#include "broker/core/generation.h"
#include "broker/core/maintenance.h"
#include "broker/core/registration.h"
#include "broker/core/software.h"
#include "broker/store/txn.h"
#include "tests/fault/api_acts.h"

/* ---- Codes ---- */

static void make_suspension_code(api_acts *a)
{
    act_make_card(a);
    act_change_card(a, CB_CARD_ACTIVATE);
    act_request(a, "POST", "cards", &a->card, "suspension-code");
    act_body(a, "{}");
}

static void suspend_by_code(api_acts *a)
{
    char code[CB_CODE_TEXT];
    act_make_user(a);
    MUST(cb_card_code_set(a->w.api.store, "test", &a->card, false, code));
    act_request(a, "POST", "suspensions", NULL, NULL);
    act_body(a, "{\"code\":\"%s\"}", code);
}

static cb_id allow_registration(api_acts *a)
{
    act_make_holder(a);
    cb_registration_row row = {.code = cb_id_random(),
                               .holder = a->holder,
                               .profiles = 1U << CB_PROFILE_PIV,
                               .level = CB_LEVEL_POSSESSION,
                               .expires = ((int64_t)time(NULL) + 600) * 1000000};
    MUST(cb_registration_record(a->w.api.store, "test", NULL, &row));
    return row.code;
}

static void record_registration(api_acts *a)
{
    char holder[CB_ID_TEXT], text[CB_ID_TEXT];
    cb_id code = cb_id_random();
    act_make_holder(a);
    cb_id_text(&a->holder, holder);
    cb_id_text(&code, text);
    act_request(a, "POST", "registrations", NULL, NULL);
    act_body(a, "{\"code\":\"%s\",\"holder\":\"%s\",\"profiles\":[\"piv\",\"jpki\"],\"until\":%lld}", text,
             holder, (long long)time(NULL) + 600);
}

static void withdraw_registration(api_acts *a)
{
    cb_id code = allow_registration(a);
    act_request(a, "POST", "registrations", &code, "withdraw");
    act_body(a, "{\"reason\":\"lost\"}");
}

static void read_registration(api_acts *a)
{
    cb_id code = allow_registration(a);
    act_request(a, "GET", "registrations", &code, NULL);
}

static void list_registrations(api_acts *a)
{
    allow_registration(a);
    act_request(a, "GET", "registrations?limit=1", NULL, NULL);
}

/* ---- Terminals ---- */

static void describe_terminal(api_acts *a)
{
    act_make_terminal(a);
    act_request(a, "POST", "terminals", &a->terminal, "describe");
    act_body(a, "{\"kind\":\"personal\",\"pin_pad\":true,\"reason\":\"moved\"}");
}

static void ask_to_confirm(api_acts *a, const char *services)
{
    char key[2 * CB_SHA256_SIZE + 1];
    cb_terminal terminal;
    MUST(cb_terminal_get(a->w.api.store, &a->terminal, &terminal));
    cb_hex(cb_digest_bytes(&terminal.key), key);
    act_request(a, "POST", "terminals", &a->terminal, "confirm");
    act_body(a,
             "{\"key\":\"%s\",%s,\"rate\":7,\"kind\":\"attended\",\"pin_pad\":true,"
             "\"reason\":\"seen\"}",
             key, services);
}

bool api_acts_confirm(api_acts *a)
{
    char path[sizeof a->path], body[sizeof a->body];
    if (!strstr(a->path, "/describe"))
        return false;
    memcpy(path, a->path, sizeof path);
    memcpy(body, a->body, sizeof body);
    ask_to_confirm(a, "\"all_services\":true");
    api_acts_ask(a);
    assert_int_equal(a->w.answer.status, 200);
    memcpy(a->path, path, sizeof path);
    memcpy(a->body, body, sizeof body);
    return true;
}

static cb_error put_taken_back(cb_txn *txn, void *context)
{
    const api_acts *a = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "registry.unconfirmed", cb_clock_wall_us());
    cb_leaf_number(&leaf, "leaf", 1);
    cb_leaf_id(&leaf, "terminal", &a->terminal);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

/* As a start does with what no signed head covers. */
static void confirm_terminal(api_acts *a)
{
    act_make_terminal(a);
    cb_change change = {
        .run = put_taken_back, .context = a, .urgency = CB_WRITE_DUE, .until = CB_UNTIL_STORED};
    MUST(cb_store_write(a->w.api.store, &change));
    ask_to_confirm(a, "\"services\":[\"tax\",\"bus\"]");
}

static cb_id list_program(api_acts *a)
{
    cb_software_entry entry;
    cb_digest program = cb_sha256(cb_bytes_str(act_fresh_name(a)));
    cb_software_new fresh = {.version = "1.0", .program = &program};
    MUST(cb_software_add(a->w.api.store, "test", &fresh, &entry));
    return entry.id;
}

static void add_software(api_acts *a)
{
    act_request(a, "POST", "software", NULL, NULL);
    act_body(a,
             "{\"version\":\"1.1\",\"program\":\"%064x\",\"note\":\"as built\","
             "\"from\":\"2026-01-01\"}",
             ++a->number);
}

static void remove_software(api_acts *a)
{
    cb_id id = list_program(a);
    act_request(a, "DELETE", "software", &id, NULL);
}

static void list_software(api_acts *a)
{
    list_program(a);
    act_request(a, "GET", "software?limit=1", NULL, NULL);
}

static cb_id make_maintainer(api_acts *a)
{
    cb_maintainer maintainer;
    act_make_holder(a);
    MUST(cb_maintainer_add(a->w.api.store, "test", &a->holder, NULL, &maintainer));
    return maintainer.id;
}

static void add_maintainer(api_acts *a)
{
    char holder[CB_ID_TEXT], terminal[CB_ID_TEXT];
    act_make_holder(a);
    act_make_terminal(a);
    cb_id_text(&a->holder, holder);
    cb_id_text(&a->terminal, terminal);
    act_request(a, "POST", "maintainers", NULL, NULL);
    act_body(a, "{\"holder\":\"%s\",\"terminal\":\"%s\"}", holder, terminal);
}

static void remove_maintainer(api_acts *a)
{
    cb_id id = make_maintainer(a);
    act_request(a, "DELETE", "maintainers", &id, NULL);
}

static void list_maintainers(api_acts *a)
{
    make_maintainer(a);
    act_request(a, "GET", "maintainers?limit=1", NULL, NULL);
}

/* ---- Generations, enrolments, health ---- */

static cb_error add_up(void *context, uint8_t generation, uint8_t state, uint64_t cards)
{
    uint64_t *lose = context;
    (void)generation, (void)state;
    *lose += cards;
    return CB_OK;
}

/* None of the cards was heard of yet, so all of them may be lost. */
static void retire_generation(api_acts *a)
{
    uint64_t lose = 0;
    act_make_card(a);
    MUST(cb_generation_list(a->w.api.store, add_up, &lose));
    act_request(a, "POST", "generations/retire", NULL, NULL);
    act_body(a, "{\"generation\":1,\"lose\":%llu,\"reason\":\"broken\"}", (unsigned long long)lose);
}

static void read_enrolment(api_acts *a)
{
    act_make_user(a);
    act_request(a, "GET", "enrolments", &a->enrolment, NULL);
}

static void ask_if_live(api_acts *a) { act_request(a, "GET", "live", NULL, NULL); }
static void ask_if_ready(api_acts *a) { act_request(a, "GET", "ready", NULL, NULL); }

static void report_generations(api_acts *a)
{
    act_make_card(a);
    act_request(a, "GET", "reports/generations", NULL, NULL);
}

enum { ACT = 7, READING = 4 };

const api_act api_rest_table[] = {
    {"a code with which a holder suspends his card", make_suspension_code, 200, ACT},
    {"a card suspended with its code", suspend_by_code, 200, ACT},
    {"a code for a card of the holder's own recorded", record_registration, 201, ACT},
    {"such a code withdrawn", withdraw_registration, 200, ACT},
    {"such a code", read_registration, 200, READING},
    {"such codes", list_registrations, 200, READING},
    {"a terminal described", describe_terminal, 200, ACT},
    {"a terminal said once more", confirm_terminal, 200, ACT},
    {"a program allowed", add_software, 201, ACT},
    {"a program off the list", remove_software, 200, ACT},
    {"the list of programs", list_software, 200, READING},
    {"a maintainer made", add_maintainer, 201, ACT},
    {"a maintainer removed", remove_maintainer, 200, ACT},
    {"maintainers", list_maintainers, 200, READING},
    {"a generation retired", retire_generation, 200, ACT},
    {"a report of generations", report_generations, 200, READING},
    {"an enrolment", read_enrolment, 200, READING},
    {"whether the broker lives", ask_if_live, 200, READING},
    {"whether it is ready", ask_if_ready, 200, READING},
    {NULL, NULL, 0, 0},
};
