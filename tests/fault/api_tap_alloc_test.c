/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A tap over HTTP, with a real card and hsmd's lanes, while each allocation of the broker fails in
 * turn. The terminal gets the whole answer, or an error that is said to be the server's, or an end.
 * A tap that did not succeed has left no session and no intent open, and is not told as accepted;
 * the next tap works.
 */
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/text.h"
#include "broker/core/terminal_log.h"
#include "tests/support/alloc_faults.h"

enum { RUNS = 10, FEW = 8, ALL = 0 };

typedef struct taps {
    api_world w;
    const char *service;
    long proves; /* 1: the last step */
    api_tally before;
    size_t script; /* characters of its commands, in a run without faults */
} taps;

static cb_error judge_outcome(const taps *t)
{
    return api_judge_accept(&t->w, CB_LEVEL_POSSESSION, t->service, strcmp(t->service, "bus") == 0);
}

/* ---- The steps ---- */

static void open_again(void *context)
{
    taps *t = context;
    api_world_close(&t->w);
    assert_int_equal(api_world_open(&t->w), CB_OK);
    api_count(&t->w, &t->before);
}

static void dialled(void *context)
{
    taps *t = context;
    open_again(t);
    api_dial(&t->w);
}

static void started(void *context)
{
    taps *t = context;
    dialled(t);
    assert_int_equal(api_tap_start(&t->w), 201);
    assert_true(api_play(&t->w));
    api_dial(&t->w);
}

static void challenged(void *context)
{
    taps *t = context;
    started(t);
    assert_int_equal(api_tap_challenge(&t->w, t->service), 200);
    assert_true(api_play(&t->w));
    api_dial(&t->w);
}

static cb_error start(void *context)
{
    taps *t = context;
    api_tap_start(&t->w);
    return api_judge_script(&t->w, 201, &t->script);
}

static cb_error challenge(void *context)
{
    taps *t = context;
    api_tap_challenge(&t->w, t->service);
    return api_judge_script(&t->w, 200, &t->script);
}

static cb_error prove(void *context)
{
    taps *t = context;
    api_tap_proof(&t->w);
    return judge_outcome(t);
}

/* The answers are read before it is known whose they are. */
static cb_error prove_nothing(void *context)
{
    taps *t = context;
    cb_id nobodys = cb_id_new();
    cb_id_text(&nobodys, t->w.tap);
    strcpy(t->w.answers, "[\"01029000\",\"6985\"]");
    api_tap_proof(&t->w);
    return api_judge(&t->w, 404);
}

static cb_error dial_and_ask(void *context)
{
    taps *t = context;
    t->w.line = calm_dial(t->w.tls, t->w.port);
    if (!t->w.line)
        return CB_E_CLOSED;
    api_ask_dialled(&t->w, "GET", "/v1/services", NULL);
    cb_error error = api_judge(&t->w, 200);
    if (!error &&
        (!strstr(t->w.answer.body, "\"bus\"") || !strstr(t->w.answer.body, "\"gov\"") ||
         !strstr(t->w.answer.body, "{\"name\":\"tax\",\"title\":\"Office\",\"level\":1}")))
        error = api_wrong(&t->w, "not the whole list");
    return error;
}

/* ---- A tap that is not gone on with ---- */

static void ask_to_end(taps *t)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/taps/%s/end", t->w.tap);
    api_ask_dialled(&t->w, "POST", path, "{\"reason\":\"card.removed\"}");
}

static cb_error break_off(void *context)
{
    taps *t = context;
    ask_to_end(t);
    cb_error error = api_judge(&t->w, 200);
    return !error && !strstr(t->w.answer.body, "{\"outcome\":\"ended\"}")
               ? api_wrong(&t->w, "no end")
               : error;
}

/* ---- A terminal's log ---- */

/* The key of the terminal's certificate: SEC 1 (RFC 5915) has it in a fixed place. */
static void read_scalar(const taps *t, uint8_t scalar[CB_P256_SCALAR])
{
    char command[512], path[160];
    cb_buf der = CB_BUF(1024);
    snprintf(path, sizeof path, "%s/terminal.der", t->w.hsmd.folder);
    snprintf(command, sizeof command,
             "openssl ec -in %s/broker.key -outform DER -out %s 2> /dev/null", t->w.hsmd.folder,
             path);
    assert_int_equal(system(command), 0); // NOLINT
    assert_int_equal(cb_file_read(path, &der), CB_OK);
    assert_true(der.len > 7 + CB_P256_SCALAR && der.data[5] == 0x04);
    memcpy(scalar, der.data + 7, CB_P256_SCALAR);
    cb_buf_free(&der);
    unlink(path);
}

/* Two entries more than the broker has, and what signs them. */
static void logged(void *context)
{
    taps *t = context;
    uint8_t scalar[CB_P256_SCALAR], signature[CB_P256_SIGNATURE];
    char hex[3][512];
    cb_journal_entry entry = {.time = 7, .event = CB_JOURNAL_TAP_BEGUN};
    cb_journal_row row;
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    open_again(t);
    alloc_faults_pause(true);
    assert_int_equal(cb_terminal_log_get(t->w.api.store, &t->w.terminal, &row), CB_OK);
    cb_journal_head last = row.head;
    for (int i = 0; i < 2; i++)
        assert_int_equal(cb_journal_put(&entry, &entries), CB_OK);
    assert_int_equal(cb_journal_follow(cb_buf_bytes(&entries), &last), CB_OK);
    cb_digest digest = cb_journal_digest(&last);
    read_scalar(t, scalar);
    assert_int_equal(cb_p256_sign(scalar, &digest, signature), CB_OK);
    cb_hex(cb_digest_bytes(&row.head.hash), hex[0]);
    cb_hex(cb_buf_bytes(&entries), hex[1]);
    cb_hex(CB_BYTES_OF(signature), hex[2]);
    snprintf(t->w.answers, sizeof t->w.answers,
             "{\"after\":%llu,\"previous\":\"%s\",\"entries\":\"%s\",\"key\":\"%s\","
             "\"signature\":\"%s\"}",
             (unsigned long long)row.head.number, hex[0], hex[1],
             t->w.public_key + strlen(t->w.public_key) - 2 * (size_t)CB_P256_POINT, hex[2]);
    cb_buf_free(&entries);
    alloc_faults_pause(false);
    api_dial(&t->w);
}

static cb_error bring_log(void *context)
{
    taps *t = context;
    api_ask_dialled(&t->w, "POST", "/v1/log", t->w.answers);
    cb_error error = api_judge(&t->w, 200);
    return !error && !strstr(t->w.answer.body, "\"hash\":\"") ? api_wrong(&t->w, "no head") : error;
}

/* ---- Afterwards ---- */

static void tap_whole(taps *t)
{
    challenged(t);
    assert_int_equal(prove(t), CB_OK);
}

/* Whoever was told that it failed may still have succeeded: then as a whole. */
static void told_as_it_was(void *context, cb_error result, bool struck)
{
    taps *t = context;
    api_tally is;
    (void)struck;
    api_settled(&t->w, &t->before, &is);
    long accepted = api_number(&is, "leaf tap.result accepted"),
         withheld = api_number(&is, "leaf tap.withheld"),
         results = accepted + api_number(&is, "leaf tap.result"),
         sessions = api_number(&is, "session");
    bool good = accepted <= 1 && results == api_number(&is, "leaf tap.intent") &&
                api_number(&is, "intent") == 0 &&
                (result || (accepted == t->proves && withheld == 0)) &&
                sessions == (strcmp(t->service, "bus") == 0 ? accepted - withheld : 0);
    if (!good) {
        api_say("is", &is);
        fail_msg("it is not told as it was: %s", cb_error_code(result));
    }
    tap_whole(t);
    api_world_close(&t->w);
}

static void nothing_is_told(void *context, cb_error result, bool struck)
{
    taps *t = context;
    api_tally is;
    (void)result, (void)struck;
    api_settled(&t->w, &t->before, &is);
    assert_int_equal(is.count, 0);
    api_world_close(&t->w);
}

/* Said of a tap once, as the terminal's word, and the card's answer comes too late for it: a tap of
 * which the end was not heard may be ended again. */
static void ended_once(void *context, cb_error result, bool struck)
{
    taps *t = context;
    api_tally is;
    api_dial(&t->w);
    ask_to_end(t);
    assert_true(t->w.answer.status == 404 || (t->w.answer.status == 200 && result));
    api_dial(&t->w);
    assert_int_equal(api_tap_proof(&t->w), 404);
    api_settled(&t->w, &t->before, &is);
    long leaves = api_number(&is, "leaf tap.refused");
    assert_true(leaves <= 1 &&
                (leaves == 1 || struck)); /* what could not be recorded is in the broker's log */
    assert_int_equal(api_number(&is, "leaf tap.intent"), 0);
    tap_whole(t);
    api_world_close(&t->w);
}

/* There with its leaf or not at all; brought again, it is there once. */
static void log_is_there_once(void *context, cb_error result, bool struck)
{
    taps *t = context;
    api_tally is;
    (void)struck;
    api_settled(&t->w, &t->before, &is);
    long leaves = api_number(&is, "leaf terminal.log");
    assert_true(leaves == 0 || leaves == 1);
    if (result == CB_OK)
        assert_int_equal(leaves, 1);
    api_world_close(&t->w);
    assert_int_equal(api_world_open(&t->w), CB_OK);
    api_dial(&t->w);
    assert_int_equal(bring_log(t), CB_OK);
    api_settled(&t->w, &t->before, &is);
    assert_int_equal(api_number(&is, "leaf terminal.log"), 1);
    api_world_close(&t->w);
}

static const fault_flow flow[] = {
    {"a tap begun", dialled, start, told_as_it_was},
    {"a challenge", started, challenge, told_as_it_was},
    {"a proof, for a token", challenged, prove, told_as_it_was},
    {"a proof, for a relayed session", challenged, prove, told_as_it_was},
    {"a tap that is not gone on with", challenged, break_off, ended_once},
    {"a terminal's log", logged, bring_log, log_is_there_once},
    {"a proof of no tap", dialled, prove_nothing, nothing_is_told},
    {"what a terminal may ask for, from the handshake", open_again, dial_and_ask, told_as_it_was},
};

static void make_anew(void *context)
{
    taps *t = context;
    api_world_over(&t->w);
    api_world_make(&t->w);
}

static void a_tap_succeeds_or_has_not_been(void **state)
{
    static taps t;
    (void)state;
    api_world_make(&t.w);
    fault_anew(make_anew);
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++) {
        t.service = strstr(flow[i].name, "relayed") ? "bus" : "tax";
        t.proves = flow[i].run == prove;
        t.script = 0;
        fault_theirs(flow[i].run == dial_and_ask ? FAULT_THEIRS_TLS : FAULT_THEIRS_HTTP);
        fault_each(&alloc_faults, &flow[i], &t,
                   flow[i].run == prove_nothing ? ALL
                   : flow[i].run == bring_log   ? FEW
                                                : RUNS);
    }
    api_world_over(&t.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_tap_succeeds_or_has_not_been, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
