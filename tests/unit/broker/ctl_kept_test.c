/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows that a run keeps: what the next one finds of them, at whatever moment it ended.
 */
#include "broker/ctl/issue_progress.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "tests/unit/base/test.h"

#define HEADING "card,code\n"
#define ONE "0189f7c2-0000-7000-8000-000000000001,\"acme/1\",AAAA\n"
#define TWO "0189f7c2-0000-7000-8000-000000000002,\"\",BBBB\n"
#define THREE "0189f7c2-0000-7000-8000-000000000003,\"\",CCCC\n"

static char folder[64], file[96], codes[128];
static char *said;
static size_t said_len;
static cb_ctl ctl;
static cb_digest digest;
static cb_kept kept;
static cb_progress progress;

static int begin(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/cb-kept-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof file, "%s/cards.csv", folder);
    snprintf(codes, sizeof codes, "%s/codes.csv", folder);
    ctl = (cb_ctl){.err = open_memstream(&said, &said_len)};
    digest = (cb_digest){{7}};
    return ctl.err ? 0 : -1;
}

static void path_of(char out[160], const char *name) { snprintf(out, 160, "%s/%s", folder, name); }

static int end(void **state)
{
    static const char *const all[] = {"cards.csv.progress", "cards.csv.rejected", "codes.csv",
                                      "other.csv"};
    char path[160];
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        path_of(path, all[i]);
        unlink(path);
    }
    fclose(ctl.err);
    free(said);
    return rmdir(folder);
}

static cb_ctl_status open_with(const char *path, const char *report)
{
    kept = (cb_kept){.path = path, .option = "--codes", .heading = HEADING};
    progress = (cb_progress){.kept = path ? &kept : NULL};
    assert_int_equal(cb_progress_name(&ctl, file, report, &progress), CB_CTL_DONE);
    return cb_progress_open(&ctl, &digest, &progress);
}

static cb_ctl_status open_as(const char *path) { return open_with(path, NULL); }

static void close_all(void)
{
    cb_progress_close(&progress);
    cb_kept_close(&kept);
}

static void opened(void) { assert_int_equal(open_as(codes), CB_CTL_DONE); }

static void refused(const char *path, const char *why)
{
    assert_int_not_equal(open_as(path), CB_CTL_DONE);
    close_all();
    fflush(ctl.err);
    assert_non_null(strstr(said, why));
}

static void file_is(const char *wanted)
{
    cb_buf text = CB_BUF(4096);
    assert_int_equal(cb_file_read(codes, &text), CB_OK);
    assert_string_equal(cb_buf_cstr(&text), wanted);
    cb_buf_free(&text);
}

static void put(cb_bytes text, unsigned mode)
{
    assert_int_equal(cb_file_replace(codes, text, mode), CB_OK);
}

static bool claim(uint8_t last)
{
    cb_id id;
    char text[CB_ID_TEXT];
    bool mine = false;
    snprintf(text, sizeof text, "0189f7c2-0000-7000-8000-0000000000%02x", last);
    assert_int_equal(cb_id_parse(text, &id), CB_OK);
    assert_int_equal(cb_kept_claim(&kept, &id, &mine), CB_OK);
    return mine;
}

/* A run that got to line 2, with a row for each. */
static void run_to_two(void)
{
    opened();
    assert_true(cb_kept_add(&kept, cb_bytes_str(ONE)));
    assert_true(cb_kept_add(&kept, cb_bytes_str(TWO)));
    assert_true(cb_progress_mark(&progress, 2));
    close_all();
}

static void it_is_made_for_its_owner_alone_and_marked_before_anything_is_done(void **state)
{
    struct stat about;
    char mark[160];
    (void)state;
    mode_t before = umask(0);
    opened();
    umask(before);
    assert_int_equal(stat(codes, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    path_of(mark, "cards.csv.progress");
    assert_int_equal(access(mark, F_OK), 0);
    close_all();
    file_is(HEADING);
}

static void a_run_that_goes_on_adds_to_it_and_knows_who_has_a_row(void **state)
{
    (void)state;
    run_to_two();
    opened();
    assert_int_equal(progress.settled, 2);
    assert_int_equal(kept.rows, 2);
    assert_false(claim(1));
    assert_false(claim(2));
    assert_true(claim(3));
    assert_false(claim(3));
    assert_true(cb_kept_add(&kept, cb_bytes_str(THREE)));
    close_all();
    file_is(HEADING ONE TWO THREE);
}

static void write_plainly(const char *path, const char *text, size_t len)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

/* A kill leaves what was written, a power cut anything after the last mark: zeros too, where the
 * length was on the disk before the content. */
static void after_a_cut_anywhere_whole_rows_stay_and_the_rest_is_made_again(void **state)
{
    static const char whole[] = HEADING ONE TWO THREE;
    const size_t sure = strlen(HEADING ONE), two = strlen(HEADING ONE TWO);
    const size_t cut[] = {sure, sure + 1, sure + 36,         sure + 37,    two - 1,
                          two,  two + 1,  strlen(whole) - 1, strlen(whole)};
    char mark[160];
    cb_buf marked = CB_BUF(4096);
    (void)state;
    opened();
    assert_true(cb_kept_add(&kept, cb_bytes_str(ONE)));
    assert_true(cb_progress_mark(&progress, 1));
    close_all();
    path_of(mark, "cards.csv.progress");
    assert_int_equal(cb_file_read(mark, &marked), CB_OK);
    for (size_t i = 0; i < 2 * sizeof cut / sizeof *cut; i++) {
        size_t len = cut[i / 2], rows = 1 + (len >= two) + (len == strlen(whole));
        char text[sizeof whole + 8] = {0};
        memcpy(text, whole, len);
        write_plainly(codes, text, len + (i % 2 ? 8 : 0));
        write_plainly(mark, (const char *)marked.data, marked.len);
        opened();
        assert_int_equal(kept.rows, rows);
        assert_int_equal(claim(2), rows < 2);
        assert_int_equal(claim(3), rows < 3);
        close_all();
        file_is(rows == 3 ? whole : rows == 2 ? HEADING ONE TWO : HEADING ONE);
    }
    cb_buf_free(&marked);
}

static void a_run_that_ended_as_it_made_the_file_is_begun_again(void **state)
{
    (void)state;
    for (size_t len = 0; len <= strlen(HEADING); len++) {
        char mark[160];
        put(cb_bytes_make(HEADING, len), 0600);
        opened();
        close_all();
        file_is(HEADING);
        path_of(mark, "cards.csv.progress");
        unlink(mark);
    }
}

static void a_file_of_another_run_or_of_somebody_is_left_alone(void **state)
{
    static const char *const strange[] = {HEADING ONE, "something else\n", "c", "card,cod0"};
    (void)state;
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        put(cb_bytes_str(strange[i]), 0600);
        if (strncmp(HEADING, strange[i], strlen(strange[i])) == 0)
            continue;
        refused(codes, "is there already");
        file_is(strange[i]);
    }
    put(cb_bytes_str(HEADING), 0640);
    refused(codes, "others than its owner");
    put(cb_bytes_str(HEADING), 0600);
    char other[160];
    path_of(other, "other.csv");
    assert_int_equal(link(codes, other), 0);
    refused(codes, "no file of its own");
    unlink(other);
    assert_int_equal(symlink(codes, other), 0);
    refused(other, "symbolic link");
    refused("/dev/full", "no file of its own");
    refused("/nowhere/at/all", "No such file");
    if (geteuid() == 0) {
        unlink(other);
        put(cb_bytes_str(HEADING), 0600);
        assert_int_equal(chown(codes, 65534, 65534), 0);
        refused(codes, "somebody else's");
    }
}

static void without_the_rows_of_the_runs_before_nothing_is_begun(void **state)
{
    char other[160];
    (void)state;
    run_to_two();
    path_of(other, "other.csv");
    refused(other, "No such file");
    assert_int_not_equal(access(other, F_OK), 0);
    refused(NULL, "codes.csv");
    put(cb_bytes_str(HEADING ONE), 0600);
    refused(codes, "rows are missing");
    put(cb_bytes_str(HEADING ONE "x" TWO), 0600);
    refused(codes, "rows are missing");
    put(cb_bytes_str(HEADING ONE TWO), 0644);
    refused(codes, "others than its owner");
    put(cb_bytes_str(HEADING ONE TWO), 0600);
    assert_int_equal(rename(codes, other), 0);
    refused(other, "not the one of the run");
    refused(codes, "No such file");
    assert_int_equal(rename(other, codes), 0);
    opened();
    assert_int_equal(kept.rows, 2);
    close_all();
}

/* Another file of that name may not write the rows of this one. */
static void a_run_that_is_refused_leaves_the_bad_lines_of_the_one_before(void **state)
{
    (void)state;
    opened();
    cb_progress_reason(&progress, 1, "nonsense");
    cb_progress_reason(&progress, 2, "nonsense");
    assert_true(cb_progress_mark(&progress, 2));
    assert_true(cb_kept_add(&kept, cb_bytes_str(ONE)));
    close_all();
    digest.bytes[0]++;
    refused(codes, "is there already");
    digest.bytes[0]--;
    opened();
    assert_int_equal(progress.settled, 2);
    assert_int_equal(progress.bad, 2);
    close_all();
}

static void a_report_that_is_the_file_of_rows_is_not_written_over_it(void **state)
{
    (void)state;
    assert_int_equal(open_with(codes, codes), CB_CTL_USAGE);
    close_all();
    opened();
    assert_true(cb_kept_add(&kept, cb_bytes_str(ONE)));
    close_all();
    assert_int_equal(open_with(codes, codes), CB_CTL_USAGE);
    close_all();
    file_is(HEADING ONE);
    opened();
    assert_int_equal(kept.rows, 1);
    close_all();
}

static void lines_that_were_settled_without_rows_do_not_get_them_unnoticed(void **state)
{
    (void)state;
    assert_int_equal(open_as(NULL), CB_CTL_DONE);
    assert_true(cb_progress_mark(&progress, 5));
    close_all();
    refused(codes, "lines up to 5 were settled without --codes");
    assert_int_not_equal(access(codes, F_OK), 0);
}

static void two_runs_do_not_write_one_file(void **state)
{
    (void)state;
    opened();
    cb_kept first = kept;
    cb_progress_close(&progress);
    refused(codes, "another run");
    cb_kept_close(&first);
    opened();
    close_all();
}

static void
a_row_that_does_not_fit_on_the_disk_is_not_there_in_part_and_settles_nothing(void **state)
{
    struct rlimit before, small = {.rlim_cur = strlen(HEADING ONE) + 20};
    (void)state;
    opened();
    assert_true(cb_kept_add(&kept, cb_bytes_str(ONE)));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool added = cb_kept_add(&kept, cb_bytes_str(TWO));
    bool marked = cb_progress_mark(&progress, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(added);
    assert_false(marked);
    assert_false(cb_kept_add(&kept, cb_bytes_str(TWO)));
    close_all();
    file_is(HEADING ONE);
    opened();
    assert_int_equal(progress.settled, 0);
    assert_false(claim(1));
    assert_true(claim(2));
    close_all();
}

static void what_is_no_row_is_not_added(void **state)
{
    static const char *const none[] = {"", "\n", "x,y\n", "0189f7c2-0000-7000-8000-000000000001,a",
                                       "0189f7c2-0000-7000-8000-000000000001,a\nb\n"};
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        opened();
        assert_false(cb_kept_add(&kept, cb_bytes_str(none[i])));
        close_all();
    }
    file_is(HEADING);
    cb_buf text = CB_BUF(64);
    cb_kept_quoted(&text, "a\"b,c");
    assert_string_equal(cb_buf_cstr(&text), "\"a\"\"b,c\"");
    cb_buf_free(&text);
}

static void who_could_not_make_a_row_lets_another_try(void **state)
{
    cb_id id;
    (void)state;
    opened();
    assert_true(claim(1));
    assert_int_equal(cb_id_parse("0189f7c2-0000-7000-8000-000000000001", &id), CB_OK);
    cb_kept_release(&kept, &id);
    assert_true(claim(1));
    close_all();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(it_is_made_for_its_owner_alone_and_marked_before_anything_is_done),
        T(a_run_that_goes_on_adds_to_it_and_knows_who_has_a_row),
        T(after_a_cut_anywhere_whole_rows_stay_and_the_rest_is_made_again),
        T(a_run_that_ended_as_it_made_the_file_is_begun_again),
        T(a_file_of_another_run_or_of_somebody_is_left_alone),
        T(without_the_rows_of_the_runs_before_nothing_is_begun),
        T(a_run_that_is_refused_leaves_the_bad_lines_of_the_one_before),
        T(a_report_that_is_the_file_of_rows_is_not_written_over_it),
        T(lines_that_were_settled_without_rows_do_not_get_them_unnoticed),
        T(two_runs_do_not_write_one_file),
        T(a_row_that_does_not_fit_on_the_disk_is_not_there_in_part_and_settles_nothing),
        T(what_is_no_row_is_not_added),
        T(who_could_not_make_a_row_lets_another_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
