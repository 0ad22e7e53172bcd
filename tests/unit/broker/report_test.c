/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reports by page: whoever goes on after a page's last row has each row once, whatever is added
 * meanwhile.
 */
#include "broker/core/report.h"

#include <stdio.h>

#include "broker/core/failures.h"
#include "tests/unit/broker/support.h"

enum { ROWS = 64 };

/* ---- Failures by day ---- */

typedef struct day_page {
    unsigned count;
    cb_failure_day row[ROWS];
} day_page;

static cb_error add_day(void *context, const cb_failure_day *day)
{
    day_page *page = context;
    assert_true(page->count < ROWS);
    page->row[page->count++] = *day;
    return CB_OK;
}

static cb_error run_count(cb_txn *txn, void *context)
{
    const cb_failure_day *day = context;
    return cb_row_failure_day(txn, day->of, &day->id, day->day, CB_FAILURE_PASSWORD, 1);
}

static void count_one(world *w, uint8_t of, uint8_t id, int64_t day)
{
    cb_failure_day row = {.of = of, .id = {{id}}, .day = day};
    cb_change change = {.run = run_count, .context = &row, .urgency = CB_WRITE_DUE};
    assert_int_equal(cb_store_write(w->store, &change), CB_OK);
}

static bool same_row(const cb_failure_day *a, const cb_failure_day *b)
{
    return a->of == b->of && a->day == b->day && cb_id_same(&a->id, &b->id);
}

static unsigned times_in(const day_page *page, const cb_failure_day *row)
{
    unsigned times = 0;
    for (unsigned i = 0; i < page->count; i++)
        times += same_row(&page->row[i], row);
    return times;
}

static void each_day_comes_once_while_others_are_counted(void **state)
{
    world w;
    day_page before = {0}, read = {0};
    cb_failure_query query = {.to = INT32_MAX, .least = 1, .limit = CB_PAGE_LIMIT};
    (void)state;
    world_begin(&w);
    for (uint8_t i = 0; i < 4; i++)
        for (int64_t day = 100; day < 103; day++) {
            count_one(&w, CB_OF_CARD, i, day); /* 0: names that there are not */
            count_one(&w, CB_OF_TERMINAL, i, day);
        }
    count_one(&w, CB_OF_HOLDER, 9, 101);
    assert_int_equal(cb_failures_report(w.store, &query, add_day, &before), CB_OK);
    assert_int_equal(before.count, 25);
    assert_int_equal(before.row[0].day, 102);
    assert_int_equal(before.row[24].day, 100);
    query.limit = 3;
    for (unsigned had = 1; had > 0;) {
        had = read.count;
        assert_int_equal(cb_failures_report(w.store, &query, add_day, &read), CB_OK);
        had = read.count - had;
        query.after = read.count > 0 ? &read.row[read.count - 1] : NULL;
        count_one(&w, CB_OF_CARD, (uint8_t)(100 + read.count),
                  200);                    /* a newer day, which comes first */
        count_one(&w, CB_OF_CARD, 1, 101); /* and one more, where there was one */
    }
    for (unsigned i = 0; i < before.count; i++)
        assert_int_equal(times_in(&read, &before.row[i]), 1);
    assert_int_equal(read.count, before.count);
    query = (cb_failure_query){.to = 101, .of = CB_OF_HOLDER, .after = &before.row[0], .limit = 3};
    assert_int_equal(cb_failures_report(w.store, &query, add_day, &read), CB_OK);
    assert_int_equal(read.count, before.count + 1);
    world_end(&w);
}

/* ---- Cards by day, operator and station ---- */

typedef struct issued_page {
    unsigned count, cards;
    cb_issue_row row[ROWS];
    uint64_t of[ROWS]; /* cards of each */
} issued_page;

static cb_error add_issued(void *context, const cb_issue_row *of, uint64_t cards)
{
    issued_page *page = context;
    assert_true(page->count < ROWS);
    page->of[page->count] = cards;
    page->row[page->count++] = *of;
    page->cards += (unsigned)cards;
    return CB_OK;
}

/* until: its last moment, or 0. */
static cb_id issue(world *w, const char *who, const char *station, int64_t until)
{
    cb_id id = cb_id_new();
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    make_binding(&id, &w->holder.id, &binding);
    cb_card_new fresh = {.binding = cb_buf_bytes(&binding), .station = station, .expires = until};
    assert_int_equal(cb_card_issue(w->store, who, &fresh, NULL), CB_OK);
    cb_buf_free(&binding);
    return id;
}

static void issue_at(world *w, const char *station) { issue(w, "test", station, 0); }

static cb_error issued_after(world *w, const cb_id *after, unsigned limit, issued_page *page)
{
    return cb_report_issued(w->store, 0, INT32_MAX, after, limit, add_issued, page);
}

static void each_station_comes_once_while_cards_are_issued_at_others(void **state)
{
    world w;
    issued_page before = {0}, read = {0};
    cb_id after = {{0}}, nobody = cb_id_new();
    char station[8];
    (void)state;
    world_begin(&w);
    for (int i = 0; i < 12; i++) {
        snprintf(station, sizeof station, "desk-%c", 'a' + i % 6);
        issue_at(&w, station);
    }
    assert_int_equal(issued_after(&w, &after, CB_PAGE_LIMIT, &before), CB_OK);
    assert_true(before.count >= 6);
    for (unsigned had = 1; had > 0;) {
        had = read.count;
        assert_int_equal(issued_after(&w, &after, 2, &read), CB_OK);
        had = read.count - had;
        if (read.count > 0)
            after = read.row[read.count - 1].card;
        snprintf(station, sizeof station, "a-%u", read.count);
        issue_at(&w, station);
    }
    assert_int_equal(read.count, before.count);
    assert_int_equal(read.cards, before.cards);
    for (unsigned i = 0; i < before.count; i++)
        assert_string_equal(read.row[i].station, before.row[i].station);
    assert_int_equal(issued_after(&w, &nobody, 2, &read), CB_E_NOT_FOUND);
    world_end(&w);
}

/* All that was issued so far and has no day of these yet was issued on that day. */
static void was_on(world *w, int day)
{
    char sql[128];
    world_close(w);
    snprintf(sql, sizeof sql, "UPDATE issue SET day = %d WHERE day NOT IN (100, 101, 102)", day);
    tamper(w, sql);
    world_open(w);
}

static void each_operator_and_day_is_counted_by_itself_also_across_pages(void **state)
{
    /* By day, operator, station; the numbers are told apart by that alone. */
    static const struct {
        int day;
        const char *who, *station;
        unsigned cards;
    } issued[] = {{100, "hanako", "desk-1", 2}, {100, "hanako", "desk-2", 1},
                  {100, "taro", "desk-1", 3},   {101, "hanako", "desk-1", 1},
                  {101, "taro", "desk-1", 2},   {101, "taro", "desk-2", 4}};
    enum { COUNT = sizeof issued / sizeof *issued };
    world w;
    (void)state;
    world_begin(&w);
    was_on(&w, 102);
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned card = 0; card < issued[i].cards; card++)
            issue(&w, issued[i].who, issued[i].station, 0);
        if (i + 1 == COUNT || issued[i + 1].day != issued[i].day)
            was_on(&w, issued[i].day);
    }
    for (unsigned limit = 1; limit <= COUNT + 1; limit++) {
        issued_page page = {0};
        cb_id after = {{0}};
        for (unsigned had = 1; had > 0; had = page.count - had) {
            had = page.count;
            assert_int_equal(cb_report_issued(w.store, 100, 101, &after, limit, add_issued, &page),
                             CB_OK);
            assert_true(page.count - had <= limit);
            if (page.count > 0)
                after = page.row[page.count - 1].card;
        }
        assert_int_equal(page.count, COUNT);
        for (unsigned i = 0; i < COUNT; i++) {
            assert_int_equal(page.row[i].day, issued[i].day);
            assert_string_equal(page.row[i].operator, issued[i].who);
            assert_string_equal(page.row[i].station, issued[i].station);
            assert_int_equal(page.of[i], issued[i].cards);
        }
    }
    issued_page one = {0};
    cb_id none = {{0}};
    assert_int_equal(cb_report_issued(w.store, 101, 101, &none, ROWS, add_issued, &one), CB_OK);
    assert_int_equal(one.count, 3);
    assert_int_equal(one.cards, 7);
    world_end(&w);
}

/* ---- Cards that have not come back ---- */

typedef struct card_page {
    unsigned count;
    cb_id id[ROWS];
    uint8_t state[ROWS];
} card_page;

static cb_error add_card_row(void *context, const cb_card *card)
{
    card_page *page = context;
    assert_true(page->count < ROWS);
    page->id[page->count] = card->id;
    page->state[page->count++] = card->state;
    return CB_OK;
}

static void a_card_is_outstanding_until_it_was_given_back_or_destroyed(void **state)
{
    static const struct {
        const char *name;
        uint8_t state;
        cb_card_act acts[3];
        bool outstanding;
    } cases[] = {
        {"issued", CB_CARD_ISSUED, {0}, true},
        {"active", CB_CARD_ACTIVE, {CB_CARD_ACTIVATE}, true},
        {"suspended", CB_CARD_SUSPENDED, {CB_CARD_ACTIVATE, CB_CARD_SUSPEND}, true},
        {"expired", CB_CARD_EXPIRED, {CB_CARD_EXPIRE}, true},
        {"revoked", CB_CARD_REVOKED, {CB_CARD_ACTIVATE, CB_CARD_REVOKE}, true},
        {"returned", CB_CARD_RETURNED, {CB_CARD_REVOKE, CB_CARD_RETURN}, false},
        {"destroyed", CB_CARD_DESTROYED, {CB_CARD_REVOKE, CB_CARD_RETURN, CB_CARD_DESTROY}, false},
    };
    enum { COUNT = sizeof cases / sizeof *cases };
    world w;
    cb_id card[COUNT], none = {{0}};
    card_page all = {0};
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_RETURN, NULL, NULL), CB_OK);
    for (unsigned i = 0; i < COUNT; i++) {
        card[i] = issue(&w, "test", "desk", cases[i].state == CB_CARD_EXPIRED ? 1 : 0);
        for (unsigned a = 0; a < 3 && cases[i].acts[a]; a++)
            assert_int_equal(
                cb_card_change(w.store, "test", &card[i], cases[i].acts[a], NULL, NULL), CB_OK);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        card_page page = {0};
        assert_int_equal(
            cb_report_outstanding(w.store, cases[i].name, &none, ROWS, add_card_row, &page), CB_OK);
        assert_int_equal(page.count, cases[i].outstanding);
        if (page.count > 0) {
            assert_true(cb_id_same(&page.id[0], &card[i]));
            assert_int_equal(page.state[0], cases[i].state);
        }
    }
    for (unsigned had = 1; had > 0; had = all.count - had) {
        had = all.count;
        assert_int_equal(cb_report_outstanding(w.store, NULL,
                                               all.count > 0 ? &all.id[all.count - 1] : &none, 2,
                                               add_card_row, &all),
                         CB_OK);
    }
    assert_int_equal(all.count, 5);
    for (unsigned i = 1; i < all.count; i++)
        assert_true(memcmp(&all.id[i - 1], &all.id[i], sizeof all.id[i]) < 0);
    for (unsigned i = 0; i < COUNT; i++) { /* identifiers of one millisecond are in any order */
        unsigned found = 0;
        for (unsigned k = 0; k < all.count; k++)
            found += cb_id_same(&all.id[k], &card[i]);
        assert_int_equal(found, cases[i].outstanding);
    }
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_day_comes_once_while_others_are_counted),
        cmocka_unit_test(each_station_comes_once_while_cards_are_issued_at_others),
        cmocka_unit_test(each_operator_and_day_is_counted_by_itself_also_across_pages),
        cmocka_unit_test(a_card_is_outstanding_until_it_was_given_back_or_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
