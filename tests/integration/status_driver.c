/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The status of certificates behind a pipe, for status_test.py: status_driver FOLDER ISSUER.der
 * LIST-URL|- RESPONDER-URL|- [NAME=VALUE…]. Commands, one a line: "check CARD.der", "list",
 * "counts", "get URL MOST MILLISECONDS", "keeper". One line answers each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/sandbox.h"
#include "broker/status/status.h"

enum { LINE = 1024 };

static cb_fetcher *fetcher;
static cb_status *status;
static cb_x509 issuer;
static bool sandbox = true;
static cb_status_issuer about = {.name = "issuer"};
static cb_status_config config = {.issuers = &about,
                                  .issuer_count = 1,
                                  .list_limits = {300, 7 * 86400},
                                  .answer_limits = {300, 86400},
                                  .refresh = 3600,
                                  .wait = CB_SECOND,
                                  .fetch_time = 5 * CB_SECOND,
                                  .list_size = 1 << 20,
                                  .answers = 64,
                                  .connections = 2};

static cb_error fetch(void *context, const cb_fetch *what, cb_buf *answer)
{
    (void)context;
    return cb_fetcher_get(fetcher, what, answer);
}

static void check(const char *path)
{
    cb_buf der = CB_BUF(CB_X509_MAX);
    cb_x509 card;
    cb_status_reason reason;
    cb_error error = cb_file_read(path, &der);
    if (!error)
        error = cb_x509_parse(cb_buf_bytes(&der), &card);
    int64_t before = cb_clock_monotonic_us();
    if (!error) {
        cb_status_question question = cb_status_question_of(&card, &issuer);
        error = cb_status_check(status, &question, &reason);
    }
    printf("%s %d\n", cb_error_code(error), (int)((cb_clock_monotonic_us() - before) / 1000));
    cb_buf_free(&der);
}

static void get(const char *url, size_t most, int milliseconds)
{
    cb_buf answer = CB_BUF(most);
    const cb_fetch what = {.url = url, .deadline = cb_deadline_in(milliseconds * CB_MILLISECOND)};
    cb_error error = cb_fetcher_get(fetcher, &what, &answer);
    printf("%s %zu\n", cb_error_code(error), answer.len);
    cb_buf_free(&answer);
}

static void follow(char *line)
{
    char word[LINE];
    unsigned most;
    int milliseconds;
    cb_status_list list;
    cb_status_counts counts;
    if (sscanf(line, "check %1023s", word) == 1) {
        check(word);
    } else if (sscanf(line, "get %1023s %u %d", word, &most, &milliseconds) == 3) {
        get(word, most, milliseconds);
    } else if (strcmp(line, "keeper\n") == 0) {
        printf("%d\n", cb_fetcher_process(fetcher));
    } else if (strcmp(line, "list\n") == 0 && cb_status_list_at(status, 0, &list)) {
        printf("%d %zu %s\n", list.fresh, list.entries, cb_error_code(list.error));
    } else {
        cb_status_count(status, &counts);
        printf("%d %d %d\n", (int)counts.lists_fetched, (int)counts.list_failures,
               (int)counts.answers_fetched);
    }
    fflush(stdout);
}

static void set(const char *text)
{
    long value = strtol(strchr(text, '=') + 1, NULL, 10);
    if (strncmp(text, "wait", 4) == 0)
        config.wait = value * CB_MILLISECOND;
    if (strncmp(text, "fetch", 5) == 0)
        config.fetch_time = value * CB_MILLISECOND;
    if (strncmp(text, "size", 4) == 0)
        config.list_size = (size_t)value;
    if (strncmp(text, "nonce", 5) == 0)
        config.nonce = value;
    if (strncmp(text, "age", 3) == 0)
        config.answer_limits.age = value;
    if (strncmp(text, "box", 3) == 0)
        sandbox = value;
    if (strncmp(text, "skew", 4) == 0)
        config.answer_limits.skew = config.list_limits.skew = value;
}

static int serve(void)
{
    cb_buf why = CB_BUF(1024);
    char line[LINE];
    cb_error error = cb_status_open(&config, &status, &why);
    if (error)
        fprintf(stderr, "%s\n", cb_buf_cstr(&why));
    while (!error && fgets(line, sizeof line, stdin))
        follow(line);
    cb_buf_free(&why);
    cb_fetcher_stop(fetcher);
    cb_status_close(&status);
    cb_fetcher_close(&fetcher);
    return error ? 1 : 0;
}

int main(int argc, char **argv)
{
    cb_buf der = CB_BUF(CB_X509_MAX);
    if (argc < 5 || cb_sandbox_no_dumps() != CB_OK || cb_file_read(argv[2], &der) != CB_OK ||
        cb_x509_parse(cb_buf_bytes(&der), &issuer) != CB_OK)
        return 2;
    config.folder = argv[1];
    about.certificate = cb_buf_bytes(&der);
    about.lists[0] = argv[3];
    about.list_count = strcmp(argv[3], "-") != 0;
    about.responder = strcmp(argv[4], "-") != 0 ? argv[4] : NULL;
    for (int i = 5; i < argc; i++)
        set(argv[i]);
    config.fetch = fetch;
    if (cb_fetcher_open(NULL, sandbox, &fetcher) != CB_OK)
        return 1;
    int result = serve();
    cb_buf_free(&der);
    return result;
}
