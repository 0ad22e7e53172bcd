/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The status of certificates, with servers and a clock that are the test's.
 */
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
#include "base/config.h"
#include "broker/status/status.h"
#include "tests/support/pki.h"

#define expect(wanted, got) assert_string_equal(cb_error_code(got), cb_error_code(wanted))
#define LIST "http://127.0.0.1/issuer.crl"
#define RESPONDER "http://127.0.0.1/ocsp"

static cb_x509 issuing, root, card;
static char folder[] = "/tmp/cb-status-XXXXXX";

/* ---- the world ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *list_served, *answer_served; /* NULL: nobody answers */
static int64_t clock_now, slow;                 /* slow: microseconds that servers take */
static unsigned lists_asked, answers_asked;

static int64_t now(void)
{
    pthread_mutex_lock(&lock);
    int64_t t = clock_now;
    pthread_mutex_unlock(&lock);
    return t;
}

static void set(const char **what, const char *name)
{
    pthread_mutex_lock(&lock);
    *what = name;
    pthread_mutex_unlock(&lock);
}

static cb_error fetch(void *context, const cb_fetch *what, cb_buf *answer)
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

static void prepare(const char *list, const char *responder)
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

static cb_status *begin(void)
{
    cb_status *status = NULL;
    cb_buf why = CB_BUF(256);
    expect(CB_OK, cb_status_open(&config, &status, &why));
    cb_buf_free(&why);
    return status;
}

static cb_error ask(cb_status *status)
{
    cb_status_reason reason;
    cb_status_question question = cb_status_question_of(&card, &issuing);
    return cb_status_check(status, &question, &reason);
}

/* The first list comes in a moment. */
static cb_error ask_until(cb_status *status, cb_error wanted)
{
    cb_error error = ask(status);
    for (int i = 0; i < 2000 && error != wanted; i++) {
        usleep(5000);
        error = ask(status);
    }
    return error;
}

static cb_error ask_about(cb_status *status, uint8_t number)
{
    cb_status_reason reason;
    cb_status_question question = cb_status_question_of(&card, &issuing);
    question.serial = cb_bytes_make(&number, 1);
    return cb_status_check(status, &question, &reason);
}

/* ---- lists ---- */

static void a_fresh_list_says_what_is_good(void **state)
{
    (void)state;
    cb_status_list list;
    prepare("crl", NULL);
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    assert_true(cb_status_list_at(status, 0, &list));
    assert_true(list.fresh);
    assert_int_equal(list.entries, 499);
    assert_int_equal(list.until, pki_time(2026, 6, 8) + 300);
    assert_false(cb_status_list_at(status, 1, &list));
    cb_status_counts counts;
    cb_status_count(status, &counts);
    for (int i = 0; i < 2000 && counts.lists_fetched == 0; i++) { /* it counts before it is counted */
        usleep(5000);
        cb_status_count(status, &counts);
    }
    assert_int_equal(counts.good, 1);
    assert_int_equal(counts.lists_fetched, 1);
    cb_status_close(&status);
}

static void what_is_on_it_is_revoked_at_once(void **state)
{
    (void)state;
    static const char *const lists[] = {"crl-revoked", "crl-hold"};
    for (size_t i = 0; i < 2; i++) {
        prepare(lists[i], "ocsp");
        cb_status *status = begin();
        expect(CB_E_CERTIFICATE_REVOKED, ask_until(status, CB_E_CERTIFICATE_REVOKED));
        cb_status_reason reason;
        cb_status_question question = cb_status_question_of(&card, &issuing);
        expect(CB_E_CERTIFICATE_REVOKED, cb_status_check(status, &question, &reason));
        assert_int_equal(reason.reason, i == 0 ? 1 : 6);
        assert_non_null(strstr(reason.detail, "issuing"));
        cb_status_close(&status);
    }
}

static void without_a_list_that_counts_nothing_is_good(void **state)
{
    (void)state;
    static const char *const wrong[] = {"crl-impostor", "crl-root", "crl-other-shard",
                                        "crl-cas",      "card",     NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        prepare("crl", NULL);
        list_served = wrong[i];
        cb_status *status = begin();
        usleep(30000);
        expect(CB_E_CERTIFICATE_STATUS, ask(status));
        cb_status_close(&status);
    }
}

static void a_stale_list_counts_no_more(void **state)
{
    (void)state;
    prepare("crl", NULL);
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    set(&list_served, NULL);
    pthread_mutex_lock(&lock);
    clock_now = pki_time(2026, 6, 8) + 300;
    pthread_mutex_unlock(&lock);
    expect(CB_OK, ask(status));
    pthread_mutex_lock(&lock);
    clock_now++;
    pthread_mutex_unlock(&lock);
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
    /* Nor one that is older than we allow, whatever it says; nor one from the future. */
    prepare("crl", NULL);
    config.list_limits.age = 1800;
    status = begin();
    usleep(30000);
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
    prepare("crl", NULL);
    clock_now = pki_time(2026, 5, 31);
    status = begin();
    usleep(30000);
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
}

static void only_its_issuer_is_asked(void **state)
{
    (void)state;
    cb_x509 impostor;
    cb_status_reason reason;
    prepare("crl", NULL);
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    expect(CB_OK, cb_x509_parse(pki("impostor"), &impostor));
    cb_status_question question = cb_status_question_of(&card, &impostor);
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check(status, &question, &reason));
    question = cb_status_question_of(&issuing, &root);
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check(status, &question, &reason));
    cb_status_close(&status);
}

static void a_path_is_looked_up_up_to_its_anchor(void **state)
{
    (void)state;
    cb_status_reason reason;
    cb_x509_path path = {.certificates = {card, issuing, root}, .count = 3};
    cb_status_issuer both[2];
    prepare("crl", NULL);
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check_path(status, &path, &reason));
    path.count = 2; /* the issuer is the anchor */
    expect(CB_OK, cb_status_check_path(status, &path, &reason));
    path.count = 1;
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check_path(status, &path, &reason));
    cb_status_close(&status);
    both[0] = issuer;
    both[1] = (cb_status_issuer){
        .name = "root", .certificate = pki("root"), .lists = {LIST}, .list_count = 1};
    config.issuers = both;
    config.issuer_count = 2;
    set(&list_served, "crl-root");
    status = begin();
    path.count = 3;
    usleep(30000);
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check_path(status, &path, &reason));
    cb_x509_path above = {.certificates = {issuing, root}, .count = 2};
    expect(CB_OK, cb_status_check_path(status, &above, &reason));
    cb_status_close(&status);
}

static cb_error ask_with(cb_status *status, const char *certificate)
{
    cb_status_reason reason;
    return cb_status_check_certificate(status, pki(certificate), &reason);
}

static void a_certificate_alone_is_enough_in_a_tap(void **state)
{
    (void)state;
    cb_status_issuer both[2];
    prepare("crl", "ocsp");
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    expect(CB_OK, ask_with(status, "card"));
    expect(CB_E_CERTIFICATE_EXPIRED, ask_with(status, "card-expired"));
    expect(CB_E_CERTIFICATE_EARLY, ask_with(status, "card-early"));
    expect(CB_E_CERTIFICATE_STATUS, ask_with(status, "card-impostor"));
    expect(CB_E_CERTIFICATE_STATUS, ask_with(status, "card-by-card"));
    expect(CB_E_CERTIFICATE_STATUS, ask_with(status, "root"));
    expect(CB_E_CERTIFICATE_FORM, ask_with(status, "crl"));
    cb_status_close(&status);
    prepare("crl-revoked", NULL);
    status = begin();
    expect(CB_E_CERTIFICATE_REVOKED, ask_until(status, CB_E_CERTIFICATE_REVOKED));
    expect(CB_E_CERTIFICATE_REVOKED, ask_with(status, "card"));
    cb_status_close(&status);
    /* Where the CA above has a section, it has a word to say: here it has none, for the list that
     * is served is another's. */
    prepare("crl", NULL);
    both[0] = issuer;
    both[1] = (cb_status_issuer){
        .name = "root", .certificate = pki("root"), .lists = {LIST}, .list_count = 1};
    config.issuers = both;
    config.issuer_count = 2;
    status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    expect(CB_E_CERTIFICATE_STATUS, ask_with(status, "card"));
    cb_status_close(&status);
}

/* ---- on disk ---- */

static void a_kept_list_needs_no_network(void **state)
{
    (void)state;
    prepare("crl", NULL);
    config.folder = folder;
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    cb_status_close(&status);
    set(&list_served, NULL);
    status = begin();
    expect(CB_OK, ask(status)); /* at once */
    /* It is not taken for another issuer's, nor when it was changed. */
    cb_status_close(&status);
    issuer.certificate = pki("impostor");
    status = begin();
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
}

static void change_kept_lists(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = strstr(entry->d_name, ".crl") ? fopen(path, "r+b") : NULL;
        if (!file)
            continue;
        fseek(file, 100, SEEK_SET);
        fputc(0x55, file);
        fclose(file);
    }
    closedir(dir);
}

static void a_kept_list_that_was_changed_counts_nothing(void **state)
{
    (void)state;
    prepare("crl", NULL);
    config.folder = folder;
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    cb_status_close(&status);
    change_kept_lists();
    set(&list_served, NULL);
    status = begin();
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
}

static void an_older_list_replaces_none(void **state)
{
    (void)state;
    cb_status_list list;
    prepare("crl-newer", NULL);
    clock_now = pki_time(2026, 6, 2) + 3600;
    config.folder = folder;
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    cb_status_close(&status);
    set(&list_served, "crl");
    status = begin();
    usleep(50000);
    assert_true(cb_status_list_at(status, 0, &list));
    assert_int_equal(list.this_update, pki_time(2026, 6, 2));
    expect(CB_E_STATE, list.error);
    cb_status_close(&status);
}

/* Served, taken or not, by a broker that has what is kept. */
static cb_status *begin_with(const char *list, cb_error of_fetch)
{
    cb_status_list seen;
    set(&list_served, list);
    cb_status *status = begin();
    for (int i = 0; i < 2000; i++) {
        assert_true(cb_status_list_at(status, 0, &seen));
        cb_status_counts counts;
        cb_status_count(status, &counts);
        if (counts.lists_fetched + counts.list_failures > 0)
            break;
        usleep(5000);
    }
    assert_true(cb_status_list_at(status, 0, &seen));
    expect(of_fetch, seen.error);
    return status;
}

/* An issuer numbers the lists of each scope for itself, so a larger number is no newer list. */
static void a_list_about_other_certificates_replaces_none(void **state)
{
    (void)state;
    static const char *const others[] = {"crl-cas-newer", "crl-other-shard-newer", "crl-newer"};
    prepare("crl-users-revoked", "ocsp");
    clock_now = pki_time(2026, 6, 2) + 3600;
    config.folder = folder;
    cb_status *status = begin_with("crl-users-revoked", CB_OK);
    expect(CB_E_CERTIFICATE_REVOKED, ask(status));
    cb_status_close(&status);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        print_message("%s\n", others[i]);
        status = begin_with(others[i], CB_E_STATE);
        expect(CB_E_CERTIFICATE_REVOKED, ask(status));
        cb_status_close(&status);
    }
    /* Nor does it keep the next of the same scope away. */
    set(&answer_served, NULL);
    status = begin_with("crl-users-newer", CB_OK);
    expect(CB_OK, ask(status));
    cb_status_close(&status);
}

static unsigned asked_for_lists(void)
{
    pthread_mutex_lock(&lock);
    unsigned count = lists_asked;
    pthread_mutex_unlock(&lock);
    return count;
}

static void a_clock_that_is_set_back_holds_nothing_up(void **state)
{
    (void)state;
    cb_status_reason reason;
    static const uint8_t serial[] = {1, 2, 3};
    prepare("crl", "ocsp");
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    for (int i = 0; i < 400 && asked_for_lists() < 1; i++)
        usleep(5000);
    usleep(20000);
    pthread_mutex_lock(&lock);
    clock_now -= 3000;
    pthread_mutex_unlock(&lock);
    cb_status_question question = cb_status_question_of(&card, &issuing);
    question.serial = CB_BYTES_OF(serial);
    cb_status_check(status, &question, &reason); /* its answer wakes who looks at the clock */
    for (int i = 0; i < 400 && asked_for_lists() < 2; i++)
        usleep(5000);
    assert_int_equal(asked_for_lists(), 2);
    cb_status_close(&status);
}

/* ---- responders ---- */

static void a_responder_is_waited_for_once(void **state)
{
    (void)state;
    prepare(NULL, "ocsp");
    slow = 20000;
    cb_status *status = begin();
    expect(CB_OK, ask(status));
    for (int i = 0; i < 100; i++)
        expect(CB_OK, ask(status));
    assert_int_equal(answers_asked, 1);
    cb_status_counts counts;
    cb_status_count(status, &counts);
    assert_int_equal(counts.waited, 1);
    assert_int_equal(counts.good, 101);
    cb_status_close(&status);
}

static void what_a_responder_says_counts(void **state)
{
    (void)state;
    static const struct {
        const char *list, *answer;
        cb_error error;
    } all[] = {
        {NULL, "ocsp-delegated", CB_OK},
        {NULL, "ocsp-revoked", CB_E_CERTIFICATE_REVOKED},
        {NULL, "ocsp-unknown", CB_E_CERTIFICATE_STATUS},
        {"crl", "ocsp-revoked", CB_E_CERTIFICATE_REVOKED},
        {"crl", "ocsp-unknown", CB_E_CERTIFICATE_STATUS},
        {NULL, "ocsp-impostor", CB_E_CERTIFICATE_STATUS},
        {NULL, "ocsp-another", CB_E_CERTIFICATE_STATUS},
        {"crl", "ocsp-impostor", CB_OK}, /* the list will do */
        {NULL, "ocsp-checked", CB_E_CERTIFICATE_STATUS},
        {"crl", "ocsp-checked", CB_OK},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        print_message("%s %s\n", all[i].list ? all[i].list : "-", all[i].answer);
        prepare(all[i].list, all[i].answer);
        cb_status *status = begin();
        usleep(30000);
        expect(all[i].error, ask(status));
        cb_status_close(&status);
    }
}

static void an_answer_gets_stale(void **state)
{
    (void)state;
    prepare(NULL, "ocsp");
    cb_status *status = begin();
    expect(CB_OK, ask(status));
    pthread_mutex_lock(&lock);
    clock_now = pki_time(2026, 6, 1) + 43200 + 301;
    pthread_mutex_unlock(&lock);
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    assert_int_equal(answers_asked, 2);
    cb_status_close(&status);
    prepare(NULL, "ocsp-no-next");
    config.answer_limits.age = 1800;
    status = begin();
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
}

static void later(int64_t seconds)
{
    pthread_mutex_lock(&lock);
    clock_now += seconds;
    pthread_mutex_unlock(&lock);
}

/* Whoever cuts the responder off does not bring back what it had said. */
static void what_a_responder_said_is_revoked_stays_so_when_it_is_silent(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        cb_error error;
    } all[] = {{"ocsp-revoked", CB_E_CERTIFICATE_REVOKED},
               {"ocsp-unknown", CB_E_CERTIFICATE_STATUS}};
    for (size_t i = 0; i < 2; i++) {
        print_message("%s\n", all[i].answer);
        prepare("crl", all[i].answer);
        cb_status *status = begin_with("crl", CB_OK);
        expect(all[i].error, ask(status));
        set(&answer_served, NULL);
        later(12 * 3600); /* the answer is stale, the list is not */
        expect(all[i].error, ask(status));
        expect(CB_OK, ask_about(status, 200));
        later(3);
        expect(all[i].error, ask(status));
        /* Until it says otherwise: a suspension was lifted. */
        set(&answer_served, "ocsp");
        later(3);
        expect(all[i].error, ask(status)); /* that is no newer */
        set(&answer_served, "ocsp-later");
        later(600);
        expect(CB_OK, ask(status));
        cb_status_close(&status);
    }
}

static void what_is_revoked_is_remembered_longest(void **state)
{
    (void)state;
    prepare("crl", "ocsp-revoked");
    config.answers = 8;
    cb_status *status = begin_with("crl", CB_OK);
    expect(CB_E_CERTIFICATE_REVOKED, ask(status));
    set(&answer_served, NULL);
    for (uint8_t i = 1; i < 100; i++)
        ask_about(status, i);
    expect(CB_E_CERTIFICATE_REVOKED, ask(status));
    cb_status_close(&status);
}

static void a_hanging_responder_costs_no_more_than_the_wait(void **state)
{
    (void)state;
    prepare(NULL, "ocsp");
    config.wait = 50 * CB_MILLISECOND;
    slow = 1500000;
    cb_status *status = begin();
    int64_t before = cb_clock_monotonic_us();
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    assert_in_range(cb_clock_monotonic_us() - before, 40000, 1300000);
    /* Its answer counts when it comes. */
    expect(CB_OK, ask_until(status, CB_OK));
    assert_int_equal(answers_asked, 1);
    cb_status_close(&status);
}

/* One tap waits, those after it do not: for two seconds. */
static void a_hanging_responder_is_waited_for_by_few(void **state)
{
    (void)state;
    cb_status_counts counts;
    prepare("crl", "ocsp");
    config.wait = 50 * CB_MILLISECOND;
    slow = 1500000;
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    for (uint8_t i = 1; i < 100; i++)
        ask_about(status, i);
    cb_status_count(status, &counts);
    assert_in_range(counts.waited, 1, 3);
    cb_status_close(&status);
}

static void a_responder_that_failed_is_left_alone_for_a_moment(void **state)
{
    (void)state;
    prepare("crl", "ocsp");
    answer_served = NULL;
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    for (int i = 0; i < 50; i++)
        expect(CB_OK, ask(status));
    assert_int_equal(answers_asked, 1);
    set(&answer_served, "ocsp-revoked");
    pthread_mutex_lock(&lock);
    clock_now += 3;
    pthread_mutex_unlock(&lock);
    expect(CB_E_CERTIFICATE_REVOKED, ask(status));
    cb_status_close(&status);
}

static void a_nonce_is_asked_for(void **state)
{
    (void)state;
    prepare(NULL, "ocsp");
    config.nonce = true;
    cb_status *status = begin();
    expect(CB_E_CERTIFICATE_STATUS, ask(status)); /* the answer has none */
    cb_status_close(&status);
}

static void places_are_limited(void **state)
{
    (void)state;
    cb_status_reason reason;
    prepare(NULL, "ocsp");
    config.answers = 8;
    cb_status *status = begin();
    expect(CB_OK, ask(status));
    for (uint32_t i = 0; i < 100; i++) {
        uint8_t serial[] = {1, (uint8_t)i};
        cb_status_question question = cb_status_question_of(&card, &issuing);
        question.serial = CB_BYTES_OF(serial);
        expect(CB_E_CERTIFICATE_STATUS, cb_status_check(status, &question, &reason));
    }
    expect(CB_OK, ask(status));
    assert_int_equal(answers_asked, 102);
    cb_status_close(&status);
}

typedef struct crowd {
    cb_status *status;
    unsigned good;
} crowd;

static void *ask_often(void *argument)
{
    crowd *c = argument;
    for (int i = 0; i < 200; i++)
        c->good += ask(c->status) == CB_OK;
    return NULL;
}

static void many_ask_at_once(void **state)
{
    (void)state;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    crowd crowds[THREADS];
    prepare("crl", "ocsp");
    slow = 10000;
    cb_status *status = begin();
    for (unsigned i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){status, 0};
        pthread_create(&threads[i], NULL, ask_often, &crowds[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crowds[i].good, 200);
    }
    assert_int_equal(answers_asked, 1);
    cb_status_close(&status);
}

static void wrong_issuers_are_named(void **state)
{
    (void)state;
    cb_status *status = NULL;
    cb_buf why = CB_BUF(256);
    prepare("crl", NULL);
    issuer.certificate = pki("card");
    expect(CB_E_CONFIG, cb_status_open(&config, &status, &why));
    assert_string_equal(cb_buf_cstr(&why), "card-issuer issuing: certificate: is not that of a CA");
    assert_null(status);
    prepare("crl", NULL);
    issuer.lists[0] = "ldap://x/";
    cb_buf_reset(&why);
    expect(CB_E_CONFIG, cb_status_open(&config, &status, &why));
    prepare(NULL, NULL);
    cb_buf_reset(&why);
    expect(CB_E_CONFIG, cb_status_open(&config, &status, &why));
    cb_buf_free(&why);
}

static const char *script;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || pki_make(script) != 0)
        return -1;
    return cb_x509_parse(pki("issuing"), &issuing) || cb_x509_parse(pki("root"), &root) ||
           cb_x509_parse(pki("card"), &card);
}

static int remove_kept(void **state)
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

static int teardown(void **state)
{
    remove_kept(state);
    rmdir(folder);
    pki_remove();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_list_says_what_is_good),
        cmocka_unit_test(what_is_on_it_is_revoked_at_once),
        cmocka_unit_test(without_a_list_that_counts_nothing_is_good),
        cmocka_unit_test(a_stale_list_counts_no_more),
        cmocka_unit_test(only_its_issuer_is_asked),
        cmocka_unit_test(a_path_is_looked_up_up_to_its_anchor),
        cmocka_unit_test(a_certificate_alone_is_enough_in_a_tap),
        cmocka_unit_test_teardown(a_kept_list_needs_no_network, remove_kept),
        cmocka_unit_test_teardown(a_kept_list_that_was_changed_counts_nothing, remove_kept),
        cmocka_unit_test_teardown(an_older_list_replaces_none, remove_kept),
        cmocka_unit_test_teardown(a_list_about_other_certificates_replaces_none, remove_kept),
        cmocka_unit_test(a_clock_that_is_set_back_holds_nothing_up),
        cmocka_unit_test(a_responder_is_waited_for_once),
        cmocka_unit_test(what_a_responder_says_counts),
        cmocka_unit_test(an_answer_gets_stale),
        cmocka_unit_test(what_a_responder_said_is_revoked_stays_so_when_it_is_silent),
        cmocka_unit_test(what_is_revoked_is_remembered_longest),
        cmocka_unit_test(a_hanging_responder_costs_no_more_than_the_wait),
        cmocka_unit_test(a_hanging_responder_is_waited_for_by_few),
        cmocka_unit_test(a_responder_that_failed_is_left_alone_for_a_moment),
        cmocka_unit_test(a_nonce_is_asked_for),
        cmocka_unit_test(places_are_limited),
        cmocka_unit_test(many_ask_at_once),
        cmocka_unit_test(wrong_issuers_are_named),
    };
    script = argc > 1 ? argv[1] : "tests/support/pki.py";
    return cmocka_run_group_tests(tests, setup, teardown);
}
