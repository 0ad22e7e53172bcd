/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a tap, an act or a look costs is the same beside any number of cards: each statement that is
 * run for it finds its rows by an index, and takes as many steps of SQLite's machine beside five
 * thousand cards as beside fifty. Time is not looked at. hsmd has no database; what it remembers is
 * in tables of its own (hsm/memo.h).
 *
 * CARDBROKER_WORK_SHOW=1 prints what was counted.
 */
#include "tests/fault/api_acts.h"
#include "tests/fault/api_foreign.h"
#include "tests/fault/api_judge.h"
#include "tests/fault/api_typist.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/core/maintenance.h"
#include "broker/core/registration.h"
#include "broker/core/software.h"
#include "broker/core/stock.h"
#include "broker/core/terminal_log.h"
#include "cardlink/x509/request.h"
#include "tests/support/faults.h"
#include "tests/support/statement_work.h"
#include "tests/work/crowd.h"

enum {
    FEW = 50,
    MANY = 5000,
    /* More steps than that in one run of a statement, and in all runs beyond twice what they were,
     * are not by chance: each card more, or each terminal, is one at least for whoever looks at
     * all. */
    MORE_IN_ONE = MANY / 25,
    MORE_IN_ALL = MANY / 5
};

#define HOUR (INT64_C(3600) * CB_SECOND)

typedef struct place {
    api_acts a;
    api_typist typist;
} place;

/* Statements whose work grows, and with what; a part of the text. */
static const struct {
    const char *text, *why;
} grows[] = {
    {" FROM intent WHERE", "taps under way: no more than taps that may be at a time"},
    {" FROM session WHERE", "relayed sessions that are open: no more than may be at a time"},
    {" FROM service WHERE name > ?", "services, all of them: they are few"},
    {"FROM feed WHERE number > ?", "entries that hsmd has not heard of yet, a page at a time"},
    {"GROUP BY generation, state", "a report that counts all cards, in an index"},
    {"GROUP BY day, operator, station", "a report that counts what was issued on some days"},
};

/* ---- What is done ---- */

static void accepted(const api_world *w)
{
    if (w->answer.status != 200 || !strstr(w->answer.body, "\"outcome\":\"accepted\""))
        fail_msg("not accepted: %s", w->answer.body);
}

static void prove(api_world *w, const char *service)
{
    api_step(w, "challenge", ",\"service\":\"%s\"", service);
    if (w->answer.status != 200)
        fail_msg("no challenge for %s: %s", service, w->answer.body);
    api_come_to_proof(w);
    api_bring_proof(w);
}

static void tap_native(api_world *w, const char *service)
{
    w->play = NULL;
    api_begin(w, "native");
    prove(w, service);
    accepted(w);
}

static void native_cards_tap(place *p)
{
    api_world *w = &p->a.w;
    tap_native(w, "tax");
    tap_native(w, "bus");
    cb_sessions_cut(w->api.sessions, NULL, "stopped");
    api_sessions_are_over(w);
}

/* Left in the middle. */
static void a_tap_is_broken_off(place *p)
{
    api_world *w = &p->a.w;
    w->play = NULL;
    api_begin(w, "native");
    api_step(w, "challenge", ",\"service\":\"tax\"");
    assert_int_equal(w->answer.status, 200);
    api_dial(w);
    char path[128];
    snprintf(path, sizeof path, "/v1/taps/%s/end", w->tap);
    api_ask_dialled(w, "POST", path, "{\"reason\":\"card.removed\"}");
    assert_int_equal(w->answer.status, 200);
}

static void cards_of_others_tap(place *p)
{
    api_world *w = &p->a.w;
    for (size_t i = 0; i < API_FOREIGN_CARDS; i++) {
        api_foreign_lay_down(w, &api_foreign_cards[i]);
        api_foreign_begin(w);
        prove(w, api_foreign_cards[i].service);
        accepted(w);
        api_dial(w);
        api_bring_proof(w);
        accepted(w);
    }
}

static void type(place *p, unsigned password)
{
    api_world *w = &p->a.w;
    p->typist.typed = password;
    api_typist_sit_down(w, &p->typist);
    api_begin(w, "password");
    prove(w, p->typist.service);
}

static void passwords_are_typed(place *p)
{
    type(p, 1);
    accepted(&p->a.w);
    type(p, 2);
    assert_int_equal(p->a.w.answer.status, 422);
    type(p, 1);
    accepted(&p->a.w);
}

static void proofs_fail(place *p)
{
    const api_world *w = &p->a.w;
    static const cb_error errors[] = {CB_E_CARD_PROOF, CB_E_PIN_WRONG};
    act_make_user(&p->a);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        cb_failure_effect effect = {0};
        const cb_refusal refusal = {.tap = cb_id_random(),
                                    .card = p->a.card,
                                    .holder = p->a.holder,
                                    .terminal = p->a.terminal,
                                    .profile = CB_PROFILE_NATIVE,
                                    .error = errors[i],
                                    .wrong_pins = errors[i] == CB_E_PIN_WRONG,
                                    .limits = &cb_failure_limits_default};
        MUST(cb_decide_refused(w->api.store, &refusal, &effect));
        cb_failure_effect_free(&effect);
    }
}

/* ---- Of terminals ---- */

static cb_digest key_of(const uint8_t *point)
{
    cb_buf key = CB_BUF(256);
    cb_x509_put_key(&key, point);
    cb_digest digest = cb_sha256(cb_buf_bytes(&key));
    cb_buf_free(&key);
    return digest;
}

static void activate(place *p, const uint8_t *point, cb_id *id)
{
    cb_store *store = p->a.w.api.store;
    char symbols[CB_CODE_SYMBOLS];
    cb_terminal terminal;
    cb_terminal_code code;
    bool done;
    MUST(cb_terminal_code_make(600, &code));
    cb_terminal_new fresh = {.name = act_fresh_name(&p->a), .code = &code};
    MUST(cb_terminal_add(store, "test", &fresh, &terminal));
    MUST(cb_code_read(cb_bytes_str(code.text), symbols));
    const cb_terminal_activation activation = {.terminal = terminal.id,
                                               .code = symbols,
                                               .key = key_of(point),
                                               .certificate = cb_bytes_str("a certificate"),
                                               .expires = cb_clock_wall_us() + HOUR};
    MUST(cb_terminal_code_try(store, fresh.name, symbols, &activation.key, id, &done));
    MUST(cb_terminal_activate(store, &activation));
    *id = terminal.id;
}

static void a_terminal_is_renewed(place *p)
{
    cb_store *store = p->a.w.api.store;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    int64_t expires = cb_clock_wall_us() + HOUR;
    cb_id id;
    cb_terminal terminal;
    cb_buf certificate = CB_BUF(CB_TERMINAL_CERTIFICATE_SIZE);
    MUST(cb_p256_generate(scalar, point));
    activate(p, point, &id);
    MUST(cb_p256_generate(scalar, point));
    cb_digest next = key_of(point);
    MUST(cb_terminal_certify(store, &id, &next, cb_bytes_str("the next"), expires));
    MUST(cb_terminal_certificate(store, &id, &next, &certificate, &expires));
    MUST(cb_terminal_find(store, &next, &terminal));
    assert_true(cb_id_same(&terminal.id, &id));
    cb_buf_free(&certificate);
}

static void a_terminal_brings_its_log(place *p)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT], signature[CB_P256_SIGNATURE];
    cb_journal_entry entry = {.time = 7, .event = CB_JOURNAL_STARTED};
    const cb_software runs = {.version = "1.0", .program = cb_sha256(cb_bytes_str("program"))};
    cb_terminal_software said;
    uint8_t standing;
    cb_id id;
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    cb_journal_head head = {0}, now;
    MUST(cb_p256_generate(scalar, point));
    activate(p, point, &id);
    cb_digest shown = key_of(point);
    cb_software_write(&runs, entry.text);
    for (int i = 0; i < 3; i++) {
        cb_journal_batch batch = {.before = head, .key = CB_BYTES_OF(point)};
        cb_buf_reset(&entries);
        MUST(cb_journal_put(&entry, &entries));
        batch.entries = cb_buf_bytes(&entries);
        MUST(cb_journal_follow(batch.entries, &head));
        cb_digest digest = cb_journal_digest(&head);
        MUST(cb_p256_sign(scalar, &digest, signature));
        batch.signature = CB_BYTES_OF(signature);
        MUST(cb_terminal_log_take(p->a.w.api.store, &id, &shown, &batch, &now));
    }
    MUST(cb_software_of(p->a.w.api.store, &id, &said, &standing));
    assert_int_equal(standing, CB_SOFTWARE_UNLISTED);
    cb_buf_free(&entries);
}

static void a_terminal_is_maintained(place *p)
{
    static const uint8_t purposes[] = {CB_TAP_MAINTENANCE, CB_TAP_MAINTENANCE_END};
    cb_store *store = p->a.w.api.store;
    cb_maintainer maintainer;
    act_make_user(&p->a);
    MUST(cb_maintainer_add(store, "test", &p->a.holder, &p->a.terminal, &maintainer));
    for (size_t i = 0; i < sizeof purposes; i++) {
        int64_t until;
        const cb_intent_request request = {.context = {.tap = cb_id_random(),
                                                       .terminal = p->a.terminal,
                                                       .profile = CB_PROFILE_NATIVE,
                                                       .purpose = purposes[i],
                                                       .level = CB_LEVEL_PIN},
                                           .card = p->a.card,
                                           .holder = p->a.holder,
                                           .reached = CB_LEVEL_PIN};
        MUST(cb_decide_maintenance(store, &request, "update", HOUR, &until));
    }
}

static void a_terminal_asks(place *p)
{
    api_dial(&p->a.w);
    api_ask_dialled(&p->a.w, "GET", "/v1/services", NULL);
    assert_int_equal(p->a.w.answer.status, 200);
}

/* ---- What is done every few seconds ---- */

static void days_end(place *p)
{
    cb_store *store = p->a.w.api.store;
    int64_t now = cb_clock_wall_us();
    size_t done, all = 0;
    for (int due = 0; due < 2; due++) {
        char hex[2 * CB_BINDING_MAX + 1];
        cb_buf binding = CB_BUF(CB_BINDING_MAX);
        act_make_holder(&p->a);
        p->a.card = cb_id_new();
        api_binding(&p->a.card, &p->a.holder, hex);
        MUST(cb_unhex(cb_bytes_str(hex), &binding));
        const cb_card_new fresh = {
            .binding = cb_buf_bytes(&binding), .expires = due ? 0 : now + HOUR, .activate = true};
        MUST(cb_card_issue(store, "test", &fresh, NULL));
        if (due)
            MUST(cb_card_recall(store, "test", &p->a.card, now + HOUR, "moved"));
        cb_buf_free(&binding);
    }
    const cb_card_sweep sweep = {.now = now + 2 * HOUR};
    do {
        MUST(cb_card_sweep_step(store, &sweep, &done));
        all += done;
    } while (done > 0);
    assert_int_equal(all, 2);
}

static void codes_lapse(place *p)
{
    cb_store *store = p->a.w.api.store;
    int64_t now = cb_clock_wall_us();
    size_t done, all = 0;
    act_make_holder(&p->a);
    cb_registration_row row = {.code = cb_id_new(),
                               .holder = p->a.holder,
                               .profiles = 1 << CB_PROFILE_PIV,
                               .level = CB_LEVEL_TERMINAL_PIN,
                               .expires = now + 24 * HOUR};
    MUST(cb_registration_record(store, "test", NULL, &row));
    do {
        MUST(cb_registration_sweep_step(store, now + 25 * HOUR, &done));
        all += done;
    } while (done > 0);
    assert_true(all > 0);
    cb_store_settle(store);
}

/* ---- What administrators do ---- */

static void acts_of(place *p, const api_act *act)
{
    for (; act->name; act++) {
        /* The one counts all cards, once in their lives, and takes these with it; the other looks
         * at what the state does, and with so many routes asked is longer than who asks here reads.
         */
        if (strcmp(act->name, "a generation retired") == 0 || strcmp(act->name, "metrics") == 0)
            continue;
        act->prepare(&p->a);
        api_acts_ask(&p->a);
        if (p->a.w.answer.status != act->status)
            fail_msg("%s: %.500s", act->name, p->a.w.answer.body);
    }
}

static void administrators_act(place *p)
{
    acts_of(p, api_act_table);
    acts_of(p, api_life_table);
    acts_of(p, api_rest_table);
}

static void look_up(place *p, const char *path)
{
    act_request(&p->a, "GET", "", NULL, NULL);
    snprintf(p->a.path, sizeof p->a.path, "/v1/%s", path);
    api_acts_ask(&p->a);
    assert_int_equal(p->a.w.answer.status, 200);
}

/* Of somebody, or of a kind of which there are hardly any. */
static void what_is_rare_is_looked_up(place *p)
{
    static const char *const kinds[] = {"cards", "enrolments", "registrations", "applications"};
    char id[CB_ID_TEXT], path[128];
    act_make_user(&p->a);
    cb_id_text(&p->a.holder, id);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(path, sizeof path, "%s?holder=%s", kinds[i], id);
        look_up(p, path);
    }
    look_up(p, "enrolments?service=vip");
    snprintf(path, sizeof path, "enrolments?service=tax&holder=%s", id);
    look_up(p, path);
    cb_id_text(&p->a.enrolment, id);
    assert_non_null(strstr(p->a.w.answer.body, id));
    look_up(p, "reports/outstanding?state=expired");
}

/* One card of it is missing, among those of a maker of whom there are many. */
static void a_delivery_is_received(place *p)
{
    char text[3][16], delivery[16];
    const char *serials[3] = {text[0], text[1], text[2]};
    cb_store *store = p->a.w.api.store;
    cb_stock_outcome out;
    snprintf(delivery, sizeof delivery, "D%u", ++p->a.number);
    for (int i = 0; i < 3; i++)
        snprintf(text[i], sizeof text[i], "T%u-%d", p->a.number, i);
    cb_stock_list list = {
        .manufacturer = CROWD_MAKER, .name = "few", .first = 1, .serials = serials, .count = 3};
    MUST(cb_stock_enter(store, "test", &list, &out));
    list.name = delivery;
    MUST(cb_stock_act(store, "test", CB_CARD_SEND, &list, &out));
    list.count = 2;
    list.last = true;
    MUST(cb_stock_act(store, "test", CB_CARD_RECEIVE, &list, &out));
    assert_int_equal(out.mismatches, 1);
}

enum { DOINGS = 14, TAPS = 4 /* of them, which come first */ };

static void (*const all[DOINGS])(place *p) = {
    native_cards_tap,
    a_tap_is_broken_off,
    cards_of_others_tap,
    passwords_are_typed,
    proofs_fail,
    a_terminal_is_renewed,
    a_terminal_brings_its_log,
    a_terminal_is_maintained,
    a_terminal_asks,
    days_end,
    codes_lapse,
    administrators_act,
    what_is_rare_is_looked_up,
    a_delivery_is_received,
};

static void do_some(place *p, size_t count, work *counted)
{
    api_wait_signed(&p->a.w);
    work_begin(counted);
    for (size_t i = 0; i < count; i++)
        all[i](p);
    api_wait_signed(&p->a.w);
    work_end();
}

/* ---- Judging ---- */

static const char *why_it_grows(const char *text)
{
    for (size_t i = 0; i < sizeof grows / sizeof *grows; i++)
        if (strstr(text, grows[i].text))
            return grows[i].why;
    return NULL;
}

static const char *fault_of(const work_statement *few, const work_statement *many)
{
    if (many->scanned > 0)
        return "goes through a table";
    if (many->indexed > 0)
        return "makes an index of its own";
    if (many->most > (few ? few->most : 0) + MORE_IN_ONE)
        return "takes more steps in one run";
    if (many->steps > (few ? 2 * few->steps : 0) + MORE_IN_ALL)
        return "takes more steps, or runs more often";
    return NULL;
}

static void say(const char *what, const work_statement *before, const work_statement *now)
{
    fprintf(stderr,
            "%s: %s\n  %" PRIu64 " -> %" PRIu64 " runs, %" PRIu64 " -> %" PRIu64
            " steps in one, %" PRIu64 " -> %" PRIu64 " in all, %" PRIu64 " scanned, %" PRIu64
            " sorted\n",
            what, now->text, before->runs, now->runs, before->most, now->most, before->steps,
            now->steps, now->scanned, now->sorted);
}

static unsigned faults_of(const work *few, const work *many, bool expected)
{
    static const work_statement none;
    bool show = getenv("CARDBROKER_WORK_SHOW") != NULL;
    unsigned faults = 0;
    for (size_t i = 0; i < many->count; i++) {
        const work_statement *now = &many->statement[i], *before = work_of(few, now->text);
        const char *fault = why_it_grows(now->text) ? NULL : fault_of(before, now);
        if (show || (fault && !expected))
            say(fault ? fault : "as it was", before ? before : &none, now);
        faults += fault != NULL;
    }
    return faults;
}

/* ---- ---- */

static void begin(place *p)
{
    api_foreign_make();
    api_foreign_world(&p->a.w);
    api_serve(&p->a.w, "net", "gives", CB_LEVEL_PASSWORD);
    p->typist.service = "net";
    api_typist_bind(&p->a.w, &p->typist, "hanako", 1);
}

static void end(place *p)
{
    api_world_end(&p->a.w);
    api_foreign_free();
}

/* As if no migration had made it. */
static void lose_index(const place *p, const char *name)
{
    char path[160], text[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/broker.db", p->a.w.hsmd.folder);
    snprintf(text, sizeof text, "DROP INDEX %s", name);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 60000);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* By the key of its connection a terminal is looked for, at every request. The broker takes no
 * change any more from a database that somebody else changed, but still reads. */
static void a_lost_index_is_seen(place *p, const work *few)
{
    static work without;
    lose_index(p, "terminal_next_key");
    work_begin(&without);
    a_terminal_asks(p);
    work_end();
    assert_int_equal(faults_of(few, &without, true), 1);
}

static void no_statement_takes_more_work_when_there_are_more_cards(void **state)
{
    static place p;
    static work few, many;
    (void)state;
    begin(&p);
    do_some(&p, TAPS, NULL); /* what is done once in the life of a card is over */
    crowd_grow(&p.a.w, 0, FEW);
    do_some(&p, DOINGS, &few);
    crowd_grow(&p.a.w, FEW, MANY);
    do_some(&p, DOINGS, &many);
    assert_true(many.count > 100);
    assert_int_equal(faults_of(&few, &many, false), 0);
    a_lost_index_is_seen(&p, &few);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_statement_takes_more_work_when_there_are_more_cards),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
