/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/api_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "broker/evidence/verify.h"

/* Sealed keys have their generation in the four bytes before the last eight of their fixed part,
 * behind a service's name of three letters. */
static const char question[] =
    "SELECT 'holder', count(*) FROM holder"
    " UNION ALL SELECT 'card '||state, count(*) FROM card GROUP BY 1"
    " UNION ALL SELECT 'terminal '||state||' '||all_services, count(*) FROM terminal GROUP BY 1"
    " UNION ALL SELECT 'terminal''s '||service, count(*) FROM terminal_service GROUP BY 1"
    " UNION ALL SELECT 'service '||title||' '||config, count(*) FROM service GROUP BY 1"
    " UNION ALL SELECT 'enrolment '||state||' '||data, count(*) FROM enrolment GROUP BY 1"
    " UNION ALL SELECT 'key '||state||' '||hex(substr(sealed, 45, 1))||' '"
    "||(length(certificate) > 0)||(length(chain) > 0), count(*) FROM enrolment_key GROUP BY 1"
    " UNION ALL SELECT 'stock '||state, count(*) FROM stock GROUP BY 1"
    " UNION ALL SELECT 'batch', count(*) FROM batch"
    " UNION ALL SELECT 'mismatch '||kind, count(*) FROM mismatch GROUP BY 1"
    " UNION ALL SELECT 'application '||state, count(*) FROM application GROUP BY 1"
    " UNION ALL SELECT 'code', count(*) FROM terminal_code"
    " UNION ALL SELECT 'registration '||state, count(*) FROM registration GROUP BY 1"
    " UNION ALL SELECT 'log '||resume, count(*) FROM terminal_log GROUP BY 1"
    " UNION ALL SELECT 'intent', count(*) FROM intent"
    " UNION ALL SELECT 'session', count(*) FROM session"
    " UNION ALL SELECT 'feed '||kind, count(*) FROM feed GROUP BY 1"
    " UNION ALL SELECT 'leaf '||substr(substr(text, 1, instr(text, char(10)) - 1), 1, 40)"
    "||CASE WHEN text LIKE 'tap.result%outcome accepted%' THEN ' accepted' ELSE '' END, count(*)"
    " FROM (SELECT substr(CAST(data AS TEXT), instr(CAST(data AS TEXT), 'kind ') + 5) AS text"
    " FROM evidence_leaf) GROUP BY 1 ORDER BY 1";

void api_count(const api_world *w, api_tally *out)
{
    char path[160];
    sqlite3 *db = NULL;
    sqlite3_stmt *rows = NULL;
    memset(out, 0, sizeof *out);
    snprintf(path, sizeof path, "%s/broker.db", w->hsmd.folder);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, question, -1, &rows, NULL), SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        assert_true(out->count < sizeof out->row / sizeof *out->row);
        snprintf(out->row[out->count].what, sizeof out->row[0].what, "%s",
                 (const char *)sqlite3_column_text(rows, 0));
        out->row[out->count++].number = (long)sqlite3_column_int64(rows, 1);
    }
    sqlite3_finalize(rows);
    sqlite3_close(db);
}

long api_number(const api_tally *tally, const char *what)
{
    for (unsigned i = 0; i < tally->count; i++)
        if (strcmp(tally->row[i].what, what) == 0)
            return tally->row[i].number;
    return 0;
}

static void add_row(api_tally *out, const char *what, long number)
{
    assert_true(out->count < sizeof out->row / sizeof *out->row);
    if (number == 0)
        return;
    snprintf(out->row[out->count].what, sizeof out->row[0].what, "%s", what);
    out->row[out->count++].number = number;
}

void api_added(const api_tally *before, const api_tally *after, api_tally *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < after->count; i++)
        add_row(out, after->row[i].what,
                after->row[i].number - api_number(before, after->row[i].what));
    for (unsigned i = 0; i < before->count; i++)
        if (api_number(after, before->row[i].what) == 0)
            add_row(out, before->row[i].what, -before->row[i].number);
}

bool api_same(const api_tally *a, const api_tally *b)
{
    bool same = a->count == b->count;
    for (unsigned i = 0; same && i < a->count; i++)
        same = api_number(b, a->row[i].what) == a->row[i].number;
    return same;
}

void api_say(const char *title, const api_tally *tally)
{
    fprintf(stderr, "%s:%s\n", title, tally->count ? "" : " nothing");
    for (unsigned i = 0; i < tally->count; i++)
        fprintf(stderr, "  %+ld %s\n", tally->row[i].number, tally->row[i].what);
}

static void tell(void *context, const cb_finding *finding)
{
    (void)context;
    fprintf(stderr, "%lld %s: %s\n", (long long)finding->position, finding->what, finding->detail);
}

void api_verify(const api_world *w)
{
    char path[160];
    uint8_t point[CB_P256_POINT];
    cb_evidence_file *file = NULL;
    cb_evidence_summary summary;
    cb_evidence_report report = {NULL, tell};
    snprintf(path, sizeof path, "%s/broker.db", w->hsmd.folder);
    fake_point(point);
    assert_int_equal(cb_evidence_file_open(path, &file), CB_OK);
    cb_evidence_source source = cb_evidence_file_source(file);
    assert_int_equal(
        cb_evidence_verify(&source, CB_BYTES_OF(point), w->hsmd.config.origin, &report, &summary),
        CB_OK);
    assert_int_equal(summary.leaves_unsigned, 0);
    cb_evidence_file_close(&file);
}
