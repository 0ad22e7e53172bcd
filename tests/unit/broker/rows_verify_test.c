/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows that say who was entered, what was applied for, issued and in stock, what was allowed and
 * what is under way: whoever changes, removes or adds one is found by an audit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/core/maintenance.h"
#include "broker/core/software.h"
#include "broker/core/stock.h"
#include "tests/unit/broker/registration_stage.h"

static void on(world *w, unsigned act, const char *name, const char *const *serials, size_t count)
{
    cb_stock_outcome out;
    cb_stock_list list = {
        .manufacturer = "acme", .name = name, .serials = serials, .count = count, .first = 1};
    assert_int_equal(act ? cb_stock_act(w->store, "test", (cb_card_act)act, &list, &out)
                         : cb_stock_enter(w->store, "test", &list, &out),
                     CB_OK);
}

/* Of two cards there is one revoked, one destroyed, and one of which there were two. */
static void fill_stock(world *w)
{
    static const char *const all[] = {"s1", "s2", "s3", "s4", "s5", "s6"};
    static const char *const twice[] = {"s6", "s6"};
    on(w, 0, "b1", all, 5);
    on(w, 0, "b2", &all[5], 1);
    on(w, CB_CARD_SEND, "d1", all, 4);
    on(w, CB_CARD_SEND, "d2", &all[5], 1);
    on(w, CB_CARD_RECEIVE, "d1", all, 3);
    on(w, CB_CARD_RECEIVE, "d2", twice, 2);
    on(w, CB_CARD_REVOKE, "r1", &all[2], 1);
    on(w, CB_CARD_DESTROY, "r2", &all[3], 1);
}

static cb_application apply(world *w, bool approve)
{
    cb_application a, now;
    assert_int_equal(
        cb_application_add(w->store, "ann", &w->holder.id, CB_PROFILE_NATIVE, "first", &a), CB_OK);
    if (approve)
        assert_int_equal(cb_application_approve(w->store, "bob", &a.id, NULL, &now), CB_OK);
    return a;
}

static cb_error issue(world *w, const char *serial, const cb_id *application, cb_id *card)
{
    static const cb_card_rules asked_for = {.applications = true};
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    *card = cb_id_new();
    make_binding(card, &w->holder.id, &made);
    const cb_card_new fresh = {.binding = cb_buf_bytes(&made),
                               .rules = &asked_for,
                               .manufacturer = "acme",
                               .serial = serial,
                               .station = "desk-1",
                               .application = *application,
                               .activate = true};
    cb_error error = cb_card_issue(w->store, "carl", &fresh, NULL);
    cb_buf_free(&made);
    return error;
}

static void use_codes(world *w, const cb_id *old)
{
    cb_id id = cb_id_new();
    cb_registration_row row = row_of(w, 60), ended;
    row.replaces = *old;
    assert_int_equal(cb_registration_record(w->store, "manager", NULL, &row), CB_OK);
    assert_int_equal(use(w, &row.code, &id, NULL), CB_OK);
    row = row_of(w, 60);
    assert_int_equal(cb_registration_record(w->store, "manager", NULL, &row), CB_OK);
    assert_int_equal(cb_registration_end(w->store, "manager", &row.code, NULL, &ended), CB_OK);
    allow(w);
}

static void keep_house(world *w)
{
    cb_maintainer maintainer;
    cb_terminal_code code;
    cb_terminal kiosk;
    int64_t until;
    static const cb_digest program = {{1}};
    const cb_software_new listed = {.version = "1.0", .program = &program};
    cb_software_entry entry;
    assert_int_equal(cb_terminal_code_make(60, &code), CB_OK);
    const cb_terminal_new fresh = {.name = "kiosk", .code = &code};
    assert_int_equal(cb_terminal_add(w->store, "admin", &fresh, &kiosk), CB_OK);
    assert_int_equal(cb_maintainer_add(w->store, "admin", &w->holder.id, NULL, &maintainer), CB_OK);
    assert_int_equal(cb_software_add(w->store, "admin", &listed, &entry), CB_OK);
    cb_intent_request request = intent_of(w);
    request.context.purpose = CB_TAP_MAINTENANCE;
    request.context.service[0] = 0;
    request.reached = CB_LEVEL_PIN;
    assert_int_equal(cb_decide_maintenance(w->store, &request, "update", 60 * CB_SECOND, &until),
                     CB_OK);
    request = intent_of(w);
    request.context.purpose = CB_TAP_MAINTENANCE_END;
    request.context.service[0] = 0;
    request.reached = CB_LEVEL_PIN;
    assert_int_equal(cb_decide_maintenance(w->store, &request, "update", 60 * CB_SECOND, &until),
                     CB_OK);
}

static void tap_for_good(world *w)
{
    char text[CB_CODE_TEXT];
    cb_id session = cb_id_new();
    cb_intent_grant grant;
    cb_intent_request request = intent_of(w);
    cb_result_request result = {.tap = request.context.tap, .session = session, .counter = 1};
    request.counter = 1;
    request.generation = 2;
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w->store, &request, &grant), CB_OK);
    cb_intent_grant_free(&grant);
    assert_int_equal(cb_decide_result(w->store, &result), CB_OK);
    assert_int_equal(cb_card_code_set(w->store, "test", &w->card, false, text), CB_OK);
    assert_int_equal(
        cb_card_recall(w->store, "test", &w->card, cb_clock_wall_us() + 60 * CB_SECOND, NULL),
        CB_OK);
}

static void live(world *w)
{
    cb_holder other;
    cb_id one, two;
    world_begin(w);
    assert_int_equal(cb_holder_add(w->store, "test", "Somebody else", &other), CB_OK);
    fill_stock(w);
    cb_application approved = apply(w, true);
    const cb_id none = {{0}};
    apply(w, false);
    assert_int_equal(issue(w, "s1", &approved.id, &one), CB_OK);
    assert_int_equal(issue(w, "s2", &none, &two), CB_E_APPLICATION_NONE); /* a mismatch */
    use_codes(w, &one);
    keep_house(w);
    tap_for_good(w);
    cb_intent_request request = intent_of(w);
    assert_int_equal(t1(w, &request), CB_OK); /* and there it stands */
    world_close(w);
}

#define CHANGED(table, column) "UPDATE " table " SET " column " = " column " + 1"

/* What somebody does who has the database, and how often that is found. */
static const struct {
    const char *sql;
    const char *what;
    unsigned findings;
} edits[] = {
    /* Holders, but for their names. */
    {"INSERT INTO holder VALUES (randomblob(16), 'Nobody', 1)", "table.extra", 1},
    {"DELETE FROM holder WHERE name = 'Somebody else'", "table.missing", 1},
    {"UPDATE holder SET created = created - 1 WHERE name = 'Somebody else'", "table.content", 1},
    /* Applications. */
    {"UPDATE application SET state = 'approved', approver = 'bob' WHERE state = 'entered'",
     "table.content", 1},
    {"UPDATE application SET approver = 'carl' WHERE state = 'issued'", "table.content", 1},
    {"UPDATE application SET operator = 'dan' WHERE state = 'issued'", "table.content", 1},
    {"UPDATE application SET holder = (SELECT id FROM holder WHERE name = 'Somebody else') "
     "WHERE state = 'issued'",
     "table.content", 1},
    {"UPDATE application SET reason = 'replacement' WHERE state = 'issued'", "table.content", 1},
    {"UPDATE application SET profile = 2 WHERE state = 'issued'", "table.content", 1},
    {"UPDATE application SET card = NULL WHERE state = 'issued'", "table.content", 1},
    {CHANGED("application", "changed"), "table.content", 2},
    {"DELETE FROM application", "table.missing", 2},
    {"INSERT INTO application SELECT randomblob(16), holder, profile, reason, 'approved', "
     "operator, "
     "'bob', NULL, created, changed FROM application WHERE state = 'entered'",
     "table.extra", 1},
    /* Who issued what. */
    {"UPDATE issue SET operator = 'dan' WHERE serial <> ''", "table.content", 1},
    {"UPDATE issue SET station = 'desk-2' WHERE serial <> ''", "table.content", 1},
    {"UPDATE issue SET day = day - 1 WHERE serial <> ''", "table.content", 1},
    {"UPDATE issue SET application = NULL WHERE serial <> ''", "table.content", 1},
    {"UPDATE issue SET replaces = NULL", "table.content", 1},
    {"DELETE FROM issue WHERE serial = '' AND replaces IS NULL", "table.content", 1},
    /* What did not fit: two of one serial number, and a card without an application. */
    {"DELETE FROM mismatch WHERE kind = 'double'", "table.missing", 1},
    {"DELETE FROM mismatch", "table.missing", 2},
    {"UPDATE mismatch SET actor = 'dan' WHERE kind = 'double'", "table.extra", 1},
    {"INSERT INTO mismatch SELECT randomblob(16), kind, manufacturer, serial, delivery, card, "
     "application, actor, time FROM mismatch WHERE kind = 'double'",
     "table.extra", 1},
    /* Stock. */
    {"UPDATE stock SET state = 'in-stock' WHERE state = 'issued'", "table.state", 1},
    {"UPDATE stock SET identity = randomblob(16) WHERE state = 'issued'", "table.state", 1},
    {"UPDATE stock SET state = 'issued' WHERE serial = 's2'", "table.state", 1},
    {"UPDATE stock SET state = 'in-stock' WHERE serial = 's6'", "table.state", 1},
    {"UPDATE stock SET state = 'in-stock' WHERE state = 'destroyed'", "stock.count", 1},
    {"INSERT INTO stock SELECT manufacturer, 's9', batch, state, NULL, '', 0, changed FROM stock "
     "WHERE serial = 's5'",
     "stock.count", 1},
    {"DELETE FROM stock WHERE serial = 's5'", "stock.count", 1},
    {"UPDATE stock SET delivery = 'd1' WHERE serial = 's5'", "stock.count", 1},
    {"UPDATE stock SET line = 9 WHERE serial = 's4'", "stock.count", 1},
    {"UPDATE batch SET name = 'b9' WHERE name = 'b2'", "stock.count", 2},
    {"DELETE FROM batch WHERE name = 'b2'", "stock.count", 2},
    /* Codes with which holders register cards, also such as are over. */
    {"UPDATE registration SET operator = 'dan' WHERE state = 'used'", "table.content", 1},
    {"UPDATE registration SET card = NULL WHERE state = 'used'", "table.content", 1},
    {"UPDATE registration SET state = 'open' WHERE state = 'withdrawn'", "table.content", 1},
    {"UPDATE registration SET state = 'lapsed' WHERE state = 'open'", "table.content", 1},
    {"DELETE FROM registration", "table.missing", 3},
    {"INSERT INTO registration SELECT randomblob(16), holder, profiles, level, operator, state, "
     "created, expires, changed, card, terminal, replaces FROM registration WHERE state = 'open'",
     "table.extra", 1},
    /* Cards. */
    {"UPDATE card SET changed = changed + 1 WHERE due > 0", "table.content", 1},
    {"UPDATE card SET sequence = sequence + 1 WHERE due > 0", "table.content", 1},
    {"UPDATE card SET binding = CAST(binding || x'00' AS BLOB) WHERE due > 0", "table.content", 1},
    {"UPDATE card SET holder = (SELECT id FROM holder WHERE name = 'Somebody else') WHERE due > 0",
     "table.content", 1},
    {"UPDATE card SET due = 0", "table.content", 1},
    {"UPDATE card SET generation = 1 WHERE generation = 2", "table.content", 1},
    {"DELETE FROM suspension_code", "table.missing", 1},
    {"INSERT INTO suspension_code SELECT id, randomblob(32) FROM card WHERE due = 0 LIMIT 1",
     "table.extra", 1},
    {"UPDATE card_proof SET first_use = first_use + 1 WHERE first_use > 0", "table.content", 1},
    {"UPDATE card_proof SET back = 1 WHERE first_use > 0", "table.extra", 1},
    /* Keys, beside what is sealed. */
    {CHANGED("enrolment_key", "sequence"), "table.content", 1},
    {"UPDATE enrolment_key SET certificate = x'00'", "table.content", 1},
    {"UPDATE enrolment_key SET enrolment = randomblob(16)", "table.content", 1},
    /* Terminals, services, software, maintainers. */
    {"UPDATE terminal SET changed = 1 WHERE name = 'kiosk'", "table.content", 1},
    {"UPDATE terminal_code SET hash = randomblob(32)", "table.content", 1},
    {CHANGED("terminal_code", "expires"), "table.content", 1},
    {"DELETE FROM terminal_code", "table.missing", 1},
    {"UPDATE terminal_maintenance SET reason = 'none'", "table.content", 1},
    {"DELETE FROM terminal_maintenance", "table.missing", 1},
    {"DELETE FROM maintainer", "table.missing", 1},
    {"DELETE FROM software", "table.missing", 1},
    {"DELETE FROM service", "table.missing", 1},
    /* What is under way. */
    {"DELETE FROM intent", "table.missing", 1},
    {"UPDATE intent SET reached = 3", "table.content", 1},
    {"UPDATE intent SET time = time + 1", "table.content", 1},
    {"INSERT INTO intent SELECT randomblob(16), leaf, card, holder, terminal, enrolment, key, "
     "service, reached, time FROM intent",
     "table.extra", 1},
    {"DELETE FROM session", "table.missing", 1},
    {"UPDATE session SET service = 'bank'", "table.content", 1},
    {"INSERT INTO session SELECT randomblob(16), tap, leaf, card, holder, terminal, enrolment, "
     "service, kind, opened, expires FROM session",
     "table.extra", 1},
};

/* ---- The database, to begin with it again ---- */

static cb_buf read_whole(const char *path)
{
    uint8_t part[4096];
    size_t count;
    cb_buf all = CB_BUF(8U << 20);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while ((count = fread(part, 1, sizeof part, file)) > 0)
        cb_buf_put(&all, cb_bytes_make(part, count));
    fclose(file);
    assert_int_equal(cb_buf_error(&all), CB_OK);
    return all;
}

static void write_whole(const char *path, cb_bytes all)
{
    char beside[128];
    snprintf(beside, sizeof beside, "%s-wal", path);
    unlink(beside);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(all.data, 1, all.len, file), all.len);
    assert_int_equal(fclose(file), 0);
}

static void each_row_that_was_changed_is_found_and_none_that_was_not(void **state)
{
    world w;
    unsigned wrong = 0;
    (void)state;
    live(&w);
    cb_buf sound = read_whole(w.path);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    assert_int_equal(findings_of(NULL), 0);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char sql[512];
        write_whole(w.path, cb_buf_bytes(&sound));
        snprintf(sql, sizeof sql, "PRAGMA foreign_keys = OFF; %s", edits[i].sql);
        tamper(&w, sql);
        cb_error error = verify_file(&w, NULL);
        if (error != CB_E_EVIDENCE || findings_of(edits[i].what) != edits[i].findings) {
            print_message("%u of %s, %u in all: %s\n", findings_of(edits[i].what), edits[i].what,
                          findings_of(NULL), edits[i].sql);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    write_whole(w.path, cb_buf_bytes(&sound));
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    cb_buf_free(&sound);
    world_end(&w);
}

/* Of cards from before the table there are no rows of how they were issued; all others have one. */
static void only_cards_from_before_have_no_row_of_how_they_were_issued(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w);
    tamper(&w, "DELETE FROM issue");
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("table.content"), 1);
    tamper(&w, "UPDATE schema_migration SET applied = 9000000000000000 WHERE number = 4");
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

/* The broker believes the row of the old card; what was done with it meanwhile is on record. */
static void a_code_that_was_used_though_its_card_had_been_stopped_is_found(void **state)
{
    static const cb_card_act stops[] = {CB_CARD_SUSPEND, CB_CARD_REVOKE, CB_CARD_RETURN};
    (void)state;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        world w;
        cb_id id = cb_id_new();
        world_begin(&w);
        cb_registration_row row = row_of(&w, 60);
        row.replaces = w.card;
        assert_int_equal(cb_registration_record(w.store, "manager", NULL, &row), CB_OK);
        assert_int_equal(cb_card_change(w.store, "test", &w.card, stops[i], "lost", NULL), CB_OK);
        assert_int_equal(use(&w, &row.code, &id, NULL), CB_E_REGISTRATION_STOPPED);
        meddle(&w, "UPDATE card SET state = 'active', changed = created");
        assert_int_equal(use(&w, &row.code, &id, NULL), CB_OK);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
        assert_int_equal(findings_of("registration.stopped"), 1);
        assert_int_equal(findings_of(NULL), 1);
        world_end(&w);
    }
}

/* Stopped before the code was made, or let go on since. */
static void one_that_may_be_used_is_none(void **state)
{
    world w;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    cb_registration_row row = row_of(&w, 60);
    row.replaces = w.card;
    assert_int_equal(cb_registration_record(w.store, "manager", NULL, &row), CB_OK);
    assert_int_equal(use(&w, &row.code, &id, NULL), CB_OK);
    row = row_of(&w, 60);
    row.replaces = id;
    assert_int_equal(cb_registration_record(w.store, "manager", NULL, &row), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &id, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &id, CB_CARD_RESUME, NULL, NULL), CB_OK);
    id = cb_id_new();
    assert_int_equal(use(&w, &row.code, &id, NULL), CB_OK);
    verify_and_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_that_was_changed_is_found_and_none_that_was_not),
        cmocka_unit_test(only_cards_from_before_have_no_row_of_how_they_were_issued),
        cmocka_unit_test(a_code_that_was_used_though_its_card_had_been_stopped_is_found),
        cmocka_unit_test(one_that_may_be_used_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
