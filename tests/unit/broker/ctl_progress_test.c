/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How far a run over a file came: what the next one finds of it, at whatever moment it ended.
 */
#include "broker/ctl/issue_progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "tests/unit/base/test.h"

static char folder[64], file[96];
static char *said;
static size_t said_len;
static cb_ctl ctl;
static cb_digest digest;

static char *in_folder(const char *end)
{
    static char path[160];
    snprintf(path, sizeof path, "%s%s", file, end);
    return path;
}

static int begin(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/cb-progress-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof file, "%s/cards.csv", folder);
    ctl = (cb_ctl){.err = open_memstream(&said, &said_len)};
    digest = (cb_digest){{7}};
    return ctl.err ? 0 : -1;
}

static int end(void **state)
{
    static const char *const all[] = {".progress", ".progress.new", ".rejected", ".rejected.new",
                                      ".other"};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        unlink(in_folder(all[i]));
        rmdir(in_folder(all[i]));
    }
    fclose(ctl.err);
    free(said);
    return rmdir(folder);
}

static cb_ctl_status open_with(const char *report, cb_progress *p)
{
    *p = (cb_progress){.settled = 0};
    assert_int_equal(cb_progress_name(&ctl, file, report, p), CB_CTL_DONE);
    return cb_progress_open(&ctl, &digest, p);
}

static void open_again(cb_progress *p) { assert_int_equal(open_with(NULL, p), CB_CTL_DONE); }

static void report_is(const char *wanted)
{
    cb_buf text = CB_BUF(4096);
    assert_int_equal(cb_file_read(in_folder(".rejected"), &text), CB_OK);
    assert_string_equal(cb_buf_cstr(&text), wanted);
    cb_buf_free(&text);
}

static void put_report(const char *text)
{
    assert_int_equal(cb_file_replace(in_folder(".rejected"), cb_bytes_str(text), 0600), CB_OK);
}

/* A run that got to line 9, with lines 2 and 8 bad. */
static void run_to_nine(void)
{
    cb_progress p;
    open_again(&p);
    assert_int_equal(p.settled, 0);
    cb_progress_reason(&p, 8, "no\nsuch \"holder\"\n");
    cb_progress_reason(&p, 2, "nonsense");
    assert_true(cb_progress_mark(&p, 9));
    cb_progress_close(&p);
}

#define TO_NINE "line,reason\n8,\"no such \"\"holder\"\"\"\n2,\"nonsense\"\n"

static void what_is_settled_is_on_the_disk_with_its_reasons(void **state)
{
    cb_progress p;
    (void)state;
    open_again(&p);
    cb_progress_reason(&p, 2, "nonsense");
    assert_true(cb_progress_mark(&p, 3));
    report_is("line,reason\n2,\"nonsense\"\n");
    cb_progress_close(&p);
}

/* As by a kill before it has settled anything. */
static void a_run_that_ends_at_once_takes_no_reason_with_it(void **state)
{
    cb_progress second, third;
    (void)state;
    run_to_nine();
    open_again(&second);
    assert_int_equal(second.settled, 9);
    assert_int_equal(second.bad, 2);
    report_is(TO_NINE);
    open_again(&third);
    assert_int_equal(third.bad, 2);
    cb_progress_reason(&third, 12, "late");
    assert_true(cb_progress_mark(&third, 12));
    report_is(TO_NINE "12,\"late\"\n");
    cb_progress_close(&second);
    cb_progress_close(&third);
}

static void lines_that_are_tried_again_and_half_lines_go(void **state)
{
    cb_progress p;
    (void)state;
    run_to_nine();
    put_report(TO_NINE "10,\"tried again\"\n1");
    open_again(&p);
    assert_int_equal(p.bad, 2);
    report_is(TO_NINE);
    cb_progress_close(&p);
}

static void without_the_report_of_the_runs_before_nothing_is_begun(void **state)
{
    cb_progress p;
    (void)state;
    run_to_nine();
    assert_int_equal(open_with(in_folder(".other"), &p), CB_CTL_FAILED);
    cb_progress_close(&p);
    assert_int_not_equal(access(in_folder(".other"), F_OK), 0);
    put_report("something else\n");
    assert_int_equal(open_with(NULL, &p), CB_CTL_FAILED);
    cb_progress_close(&p);
    report_is("something else\n");
    put_report("");
    assert_int_equal(open_with(NULL, &p), CB_CTL_FAILED);
    cb_progress_close(&p);
    unlink(in_folder(".rejected"));
    assert_int_equal(open_with(NULL, &p), CB_CTL_FAILED);
    cb_progress_close(&p);
    assert_int_equal(mkdir(in_folder(".rejected"), 0700), 0);
    assert_int_equal(open_with(NULL, &p), CB_CTL_FAILED);
    cb_progress_close(&p);
    fflush(ctl.err);
    assert_non_null(strstr(said, ".progress: then all lines are tried again"));
}

static void another_file_of_that_name_begins_anew(void **state)
{
    cb_progress p;
    (void)state;
    run_to_nine();
    digest.bytes[0]++;
    open_again(&p);
    assert_int_equal(p.settled, 0);
    assert_int_equal(p.bad, 0);
    assert_true(cb_progress_mark(&p, 0));
    report_is("line,reason\n");
    cb_progress_close(&p);
}

/* As by a kill before its first mark: its report is begun, and the mark of the other file stood. */
static void a_file_that_comes_back_is_done_again_when_its_report_is_gone(void **state)
{
    cb_progress p;
    (void)state;
    run_to_nine();
    digest.bytes[0]++;
    open_again(&p);
    cb_progress_close(&p);
    assert_int_not_equal(access(in_folder(".progress"), F_OK), 0);
    digest.bytes[0]--;
    open_again(&p);
    assert_int_equal(p.settled, 0);
    cb_progress_close(&p);
}

static void a_mark_that_cannot_go_keeps_its_report(void **state)
{
    cb_progress p;
    (void)state;
    assert_int_equal(mkdir(in_folder(".progress"), 0700), 0);
    put_report(TO_NINE);
    assert_int_equal(open_with(NULL, &p), CB_CTL_FAILED);
    cb_progress_close(&p);
    report_is(TO_NINE);
}

static void other_is(const char *wanted)
{
    cb_buf text = CB_BUF(4096);
    assert_int_equal(cb_file_read(in_folder(".other"), &text), CB_OK);
    assert_string_equal(cb_buf_cstr(&text), wanted);
    cb_buf_free(&text);
}

static void put_other_with_link(const char *name)
{
    char other[160];
    snprintf(other, sizeof other, "%s", in_folder(".other"));
    assert_int_equal(cb_file_replace(other, cb_bytes_str("precious\n"), 0600), CB_OK);
    assert_int_equal(symlink(other, in_folder(name)), 0);
}

/* In a folder of somebody else, who would have another's file written over. */
static void a_link_where_the_report_would_be_is_not_written_through(void **state)
{
    cb_progress p;
    (void)state;
    put_other_with_link(".rejected");
    assert_int_equal(open_with(NULL, &p), CB_CTL_FAILED);
    cb_progress_close(&p);
    other_is("precious\n");
    assert_int_equal(open_with(in_folder(".rejected"), &p), CB_CTL_DONE);
    cb_progress_close(&p);
    other_is("line,reason\n");
}

static void a_link_where_the_new_report_is_made_is_not_written_through(void **state)
{
    cb_progress p;
    (void)state;
    run_to_nine();
    put_other_with_link(".rejected.new");
    open_again(&p);
    cb_progress_close(&p);
    other_is("precious\n");
    report_is(TO_NINE);
}

static void a_run_that_was_stopped_before_its_first_line_takes_nothing_back(void **state)
{
    cb_progress p;
    (void)state;
    run_to_nine();
    open_again(&p);
    assert_true(cb_progress_mark(&p, 0));
    cb_progress_close(&p);
    open_again(&p);
    assert_int_equal(p.settled, 9);
    cb_progress_close(&p);
}

static void a_mark_that_is_none_settles_nothing(void **state)
{
    static const char *const marks[] = {"", "9", "\n", "zz 9\nx\n"};
    cb_progress p;
    (void)state;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        assert_int_equal(cb_file_replace(in_folder(".progress"), cb_bytes_str(marks[i]), 0600),
                         CB_OK);
        open_again(&p);
        assert_int_equal(p.settled, 0);
        cb_progress_close(&p);
    }
}

static void what_cannot_be_reported_is_not_settled(void **state)
{
    cb_progress p;
    (void)state;
    assert_int_equal(open_with("/dev/full", &p), CB_CTL_DONE);
    cb_progress_reason(&p, 1, "nonsense");
    assert_false(cb_progress_mark(&p, 1));
    assert_false(cb_progress_mark(&p, 1));
    assert_int_not_equal(access(in_folder(".progress"), F_OK), 0);
    cb_progress_close(&p);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(what_is_settled_is_on_the_disk_with_its_reasons),
        T(a_run_that_ends_at_once_takes_no_reason_with_it),
        T(lines_that_are_tried_again_and_half_lines_go),
        T(without_the_report_of_the_runs_before_nothing_is_begun),
        T(another_file_of_that_name_begins_anew),
        T(a_file_that_comes_back_is_done_again_when_its_report_is_gone),
        T(a_mark_that_cannot_go_keeps_its_report),
        T(a_link_where_the_report_would_be_is_not_written_through),
        T(a_link_where_the_new_report_is_made_is_not_written_through),
        T(a_run_that_was_stopped_before_its_first_line_takes_nothing_back),
        T(a_mark_that_is_none_settles_nothing),
        T(what_cannot_be_reported_is_not_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
