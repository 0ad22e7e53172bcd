/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What issuers say of their cards' certificates, by a list, by one that was kept over a restart,
 * and by a responder, while each allocation fails in turn. Nothing is good that is revoked, or of
 * which nothing is known that counts; nothing is revoked that is good. The next question of a
 * responder, and the next start, find what is so.
 */
#include "tests/unit/broker/status_stage.h"

#include "tests/support/alloc_faults.h"

/* What a flow returns when it was told something false; it is no listed error. */
#define WRONG CB_ERROR_COUNT

enum { RUNS = 12 };

typedef struct told {
    fault_flow flow;
    const char *list, *answer;
    bool kept; /* the list was, and its server is silent now */
    cb_error due;
} told;

static const told *at;
static cb_status *status;

static void end(void)
{
    cb_status_close(&status);
    status = NULL;
}

static void wait_for_list(void)
{
    cb_status_counts counts = {0};
    for (int i = 0; i < 20000 && counts.lists_fetched + counts.list_failures == 0; i++) {
        cb_status_count(status, &counts);
        usleep(500);
    }
}

/* What somebody is told by a broker that has just started. */
static cb_error start_and_ask(void)
{
    cb_buf why = CB_BUF(256);
    cb_error error = cb_status_open(&config, &status, &why);
    cb_buf_free(&why);
    if (error)
        status = NULL;
    if (!error && at->list)
        wait_for_list();
    return error ? error : ask(status);
}

static void before(void *context)
{
    (void)context;
    prepare(at->list, at->answer);
    config.wait = 30 * CB_SECOND; /* nobody is slow here */
    if (!at->kept)
        return;
    config.folder = folder;
    expect(at->due, start_and_ask());
    end();
    set(&list_served, NULL);
}

static cb_error run(void *context)
{
    cb_error error = start_and_ask();
    (void)context;
    if (error == at->due)
        return CB_OK;
    return error == CB_OK || error == CB_E_CERTIFICATE_REVOKED ? WRONG : error;
}

static void after(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    if (status && at->answer) {
        pthread_mutex_lock(&lock);
        clock_now += 3600; /* a server of which there was no answer is left in peace for a while */
        pthread_mutex_unlock(&lock);
        expect(at->due, ask(status));
    }
    end();
    expect(at->due, start_and_ask());
    end();
    remove_kept(context);
}

static const told flows[] = {
    {{"a list that says good", before, run, after}, "crl", NULL, false, CB_OK},
    {{"a list that says revoked", before, run, after},
     "crl-revoked",
     NULL,
     false,
     CB_E_CERTIFICATE_REVOKED},
    {{"a list of somebody else's", before, run, after},
     "crl-impostor",
     NULL,
     false,
     CB_E_CERTIFICATE_STATUS},
    {{"a kept list that says good", before, run, after}, "crl", NULL, true, CB_OK},
    {{"a kept list that says revoked", before, run, after},
     "crl-revoked",
     NULL,
     true,
     CB_E_CERTIFICATE_REVOKED},
    {{"an answer that says good", before, run, after}, NULL, "ocsp", false, CB_OK},
    {{"an answer that says revoked", before, run, after},
     NULL,
     "ocsp-revoked",
     false,
     CB_E_CERTIFICATE_REVOKED},
    {{"an answer of somebody else's", before, run, after},
     NULL,
     "ocsp-impostor",
     false,
     CB_E_CERTIFICATE_STATUS},
};

static void nothing_is_good_for_want_of_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        at = &flows[i];
        pki(at->list ? at->list : at->answer);
        fault_each(&alloc_faults, &at->flow, NULL, RUNS);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_is_good_for_want_of_memory, fault_said),
    };
    script = argc > 1 ? argv[1] : "tests/support/pki.py";
    fault_quiet();
    return cmocka_run_group_tests(tests, setup, teardown);
}
