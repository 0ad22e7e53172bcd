/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The status of certificates by what responders answer: what counts of it and for how long, and how
 * long anybody waits for it.
 */
#include "status_stage.h"

static cb_error ask_about(cb_status *status, uint8_t number)
{
    cb_status_reason reason;
    cb_status_question question = cb_status_question_of(&card, &issuing);
    question.serial = cb_bytes_make(&number, 1);
    return cb_status_check(status, &question, &reason);
}

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
        cb_status *status = all[i].list ? begin_listed() : begin();
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
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
    };
    script = argc > 1 ? argv[1] : "tests/support/pki.py";
    return cmocka_run_group_tests(tests, setup, teardown);
}
