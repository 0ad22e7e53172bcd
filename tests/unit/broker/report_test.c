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
} issued_page;

static cb_error add_issued(void *context, const cb_issue_row *of, uint64_t cards)
{
    issued_page *page = context;
    assert_true(page->count < ROWS);
    page->row[page->count++] = *of;
    page->cards += (unsigned)cards;
    return CB_OK;
}

static void issue_at(world *w, const char *station)
{
    cb_id id = cb_id_new();
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    make_binding(&id, &w->holder.id, &binding);
    cb_card_new fresh = {.binding = cb_buf_bytes(&binding), .station = station};
    assert_int_equal(cb_card_issue(w->store, "test", &fresh, NULL), CB_OK);
    cb_buf_free(&binding);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_day_comes_once_while_others_are_counted),
        cmocka_unit_test(each_station_comes_once_while_cards_are_issued_at_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
