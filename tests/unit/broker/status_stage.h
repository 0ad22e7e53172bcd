/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Servers of lists and of answers and a clock that are the test's, for one file that includes it.
 */
#ifndef CB_TESTS_UNIT_BROKER_STATUS_STAGE_H
#define CB_TESTS_UNIT_BROKER_STATUS_STAGE_H

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "broker/status/status.h"
#include "tests/support/pki.h"

#define expect(wanted, got) assert_string_equal(cb_error_code(got), cb_error_code(wanted))
#define LIST "http://127.0.0.1/issuer.crl"
#define RESPONDER "http://127.0.0.1/ocsp"

static cb_x509 issuing, root, card;
static char folder[] = "/tmp/cb-status-XXXXXX";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *list_served, *answer_served; /* NULL: nobody answers */
static int64_t clock_now, slow;                 /* slow: microseconds that servers take */
static unsigned lists_asked, answers_asked;

static inline int64_t now(void)
{
    pthread_mutex_lock(&lock);
    int64_t t = clock_now;
    pthread_mutex_unlock(&lock);
    return t;
}

static inline void set(const char **what, const char *name)
{
    pthread_mutex_lock(&lock);
    *what = name;
    pthread_mutex_unlock(&lock);
}

static inline cb_error fetch(void *context, const cb_fetch *what, cb_buf *answer)
{
    (void)context;
    pthread_mutex_lock(&lock);
    bool list = strcmp(what->url, LIST) == 0;
    const char *name = list ? list_served : answer_served;
    int64_t time = slow;
    lists_asked += list;
    answers_asked += !list;
    cb_bytes served = name ? pki(name) : (cb_bytes){0};
    pthread_mutex_unlock(&lock);
    assert_int_equal(list, what->question.len == 0);
    if (time > 0)
        usleep((useconds_t)time);
    cb_buf_put(answer, served);
    return name ? cb_buf_error(answer) : CB_E_SERVICE_DOWN;
}

static cb_status_issuer issuer;
static cb_status_config config;

static inline void prepare(const char *list, const char *responder)
{
    issuer = (cb_status_issuer){.name = "issuing", .certificate = pki("issuing")};
    issuer.lists[0] = LIST;
    issuer.list_count = list != NULL;
    issuer.responder = responder ? RESPONDER : NULL;
    config = (cb_status_config){.issuers = &issuer,
                                .issuer_count = 1,
                                .list_limits = {300, 30 * 86400},
                                .answer_limits = {300, 86400},
                                .refresh = 3600,
                                .wait = 2 * CB_SECOND,
                                .fetch_time = 5 * CB_SECOND,
                                .list_size = 1 << 20,
                                .answers = 64,
                                .connections = 2,
                                .fetch = fetch,
                                .now = now};
    list_served = list;
    answer_served = responder;
    clock_now = pki_time(2026, 6, 1) + 3600;
    slow = 0;
    lists_asked = answers_asked = 0;
}

static inline cb_status *begin(void)
{
    cb_status *status = NULL;
    cb_buf why = CB_BUF(256);
    expect(CB_OK, cb_status_open(&config, &status, &why));
    cb_buf_free(&why);
    return status;
}

static inline cb_error ask(cb_status *status)
{
    cb_status_reason reason;
    cb_status_question question = cb_status_question_of(&card, &issuing);
    return cb_status_check(status, &question, &reason);
}

/* The first list comes in a moment. */
static inline cb_error ask_until(cb_status *status, cb_error wanted)
{
    cb_error error = ask(status);
    for (int i = 0; i < 2000 && error != wanted; i++) {
        usleep(5000);
        error = ask(status);
    }
    return error;
}

/* When the first list was there, taken or not. */
static inline cb_status *begin_listed(void)
{
    cb_status *status = begin();
    for (int i = 0; i < 2000; i++) {
        cb_status_counts counts;
        cb_status_count(status, &counts);
        if (counts.lists_fetched + counts.list_failures > 0)
            break;
        usleep(5000);
    }
    return status;
}

/* Served, taken or not, by a broker that has what is kept. */
static inline cb_status *begin_with(const char *list, cb_error of_fetch)
{
    cb_status_list seen;
    set(&list_served, list);
    cb_status *status = begin_listed();
    assert_true(cb_status_list_at(status, 0, &seen));
    expect(of_fetch, seen.error);
    return status;
}

/* ---- its beginning and its end ---- */

static const char *script;

static inline int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || pki_make(script) != 0)
        return -1;
    return cb_x509_parse(pki("issuing"), &issuing) || cb_x509_parse(pki("root"), &root) ||
           cb_x509_parse(pki("card"), &card);
}

static inline int remove_kept(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(dir);
    return 0;
}

static inline int teardown(void **state)
{
    remove_kept(state);
    rmdir(folder);
    pki_remove();
    return 0;
}

#endif
