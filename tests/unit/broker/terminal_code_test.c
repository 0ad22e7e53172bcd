/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Activation by a one-time code and renewal of keys, at the broker: who gets in, and what is
 * noticed.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/core/state.h"
#include "tests/unit/broker/support.h"

static const cb_digest key = {{7}}, another = {{8}}, third = {{9}};

typedef struct stage {
    world w;
    cb_terminal terminal;
    char symbols[CB_CODE_SYMBOLS];
} stage;

static void begin(stage *s, int64_t seconds)
{
    cb_terminal_code code;
    world_begin(&s->w);
    assert_int_equal(cb_terminal_code_make(seconds, &code), CB_OK);
    cb_terminal_new new = {.name = "gate", .code = &code, .rate = 3};
    assert_int_equal(cb_terminal_add(s->w.store, "test", &new, &s->terminal), CB_OK);
    assert_int_equal(s->terminal.state, CB_TERMINAL_REGISTERED);
    assert_int_equal(cb_code_read(cb_bytes_str(code.text), s->symbols), CB_OK);
}

static cb_error try_code(stage *s, const char *name, const char *symbols, const cb_digest *k,
                         bool *done)
{
    cb_id terminal;
    return cb_terminal_code_try(s->w.store, name, symbols, k, &terminal, done);
}

static cb_error activate(stage *s, const cb_digest *k, int64_t expires)
{
    cb_terminal_activation a = {.terminal = s->terminal.id,
                                .code = s->symbols,
                                .key = *k,
                                .certificate = cb_bytes_str("certificate"),
                                .expires = expires};
    return cb_terminal_activate(s->w.store, &a);
}

static int64_t later(void) { return cb_clock_wall_us() + 3600 * CB_SECOND; }

static void wrong_code(const stage *s, char out[CB_CODE_SYMBOLS])
{
    memcpy(out, s->symbols, CB_CODE_SYMBOLS);
    out[0] = out[0] == '1' ? '2' : '1';
}

static void a_code_works_once_and_for_one_key(void **state)
{
    stage s;
    bool done = true;
    cb_terminal found;
    (void)state;
    begin(&s, 60);
    assert_int_equal(try_code(&s, "gate", s.symbols, &key, &done), CB_OK);
    assert_false(done);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    assert_int_equal(cb_terminal_find(s.w.store, &key, &found), CB_OK);
    assert_int_equal(found.state, CB_TERMINAL_ACTIVE);
    assert_int_equal(found.rate, 3);
    /* The answer was lost: the same again. */
    assert_int_equal(try_code(&s, "gate", s.symbols, &key, &done), CB_OK);
    assert_true(done);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    /* Another key has come too late. */
    assert_int_equal(try_code(&s, "gate", s.symbols, &another, &done), CB_E_ACTIVATION);
    assert_int_equal(activate(&s, &another, later()), CB_E_ACTIVATION);
    assert_int_equal(cb_terminal_find(s.w.store, &another, &found), CB_E_TERMINAL_UNKNOWN);
    world_close(&s.w);
    assert_int_equal(verify_file(&s.w, NULL), CB_OK);
    assert_int_equal(findings_of(NULL), 0);
    world_end(&s.w);
}

/* Nobody can make another code for a terminal that is active. */
static void a_code_that_is_over_answers_the_key_that_it_let_in_and_no_other(void **state)
{
    stage s;
    bool done = false;
    char wrong[CB_CODE_SYMBOLS];
    (void)state;
    begin(&s, 60);
    wrong_code(&s, wrong);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    for (int i = 0; i < CB_TERMINAL_CODE_TRIES + 1; i++)
        assert_int_equal(try_code(&s, "gate", wrong, &key, &done), CB_E_ACTIVATION);
    for (int over = 0; over < 2; over++) { /* used up; and late */
        assert_int_equal(try_code(&s, "gate", s.symbols, &key, &done), CB_OK);
        assert_true(done);
        assert_int_equal(try_code(&s, "gate", wrong, &key, &done), CB_E_ACTIVATION);
        assert_int_equal(try_code(&s, "gate", s.symbols, &another, &done), CB_E_ACTIVATION);
        /* Not among strangers, who may have used it up; and of two at a time neither is refused. */
        assert_int_equal(cb_terminal_code_known(s.w.store, "gate", s.symbols, &done), CB_OK);
        assert_true(done);
        assert_int_equal(cb_terminal_code_known(s.w.store, "gate", wrong, &done), CB_OK);
        assert_false(done);
        assert_int_equal(activate(&s, &key, later()), CB_OK);
        assert_int_equal(activate(&s, &another, later()), CB_E_ACTIVATION);
        world_close(&s.w);
        tamper(&s.w, "UPDATE terminal_code SET expires = 1");
        world_open(&s.w);
    }
    cb_affected affected = {0};
    assert_int_equal(cb_terminal_change(s.w.store, "test", &s.terminal.id, CB_TERMINAL_DEACTIVATE,
                                        NULL, &affected),
                     CB_OK);
    cb_affected_free(&affected);
    assert_int_equal(try_code(&s, "gate", s.symbols, &key, &done), CB_E_ACTIVATION);
    world_end(&s.w);
}

static void five_wrong_codes_end_it(void **state)
{
    stage s;
    bool done;
    char wrong[CB_CODE_SYMBOLS];
    cb_terminal_code fresh;
    (void)state;
    begin(&s, 60);
    wrong_code(&s, wrong);
    for (int i = 0; i < CB_TERMINAL_CODE_TRIES; i++)
        assert_int_equal(try_code(&s, "gate", wrong, &key, &done), CB_E_ACTIVATION);
    assert_int_equal(try_code(&s, "gate", s.symbols, &key, &done), CB_E_ACTIVATION);
    assert_int_equal(activate(&s, &key, later()), CB_E_ACTIVATION);
    assert_int_equal(cb_terminal_code_make(60, &fresh), CB_OK);
    assert_int_equal(cb_terminal_code_set(s.w.store, "test", &s.terminal.id, &fresh), CB_OK);
    assert_int_equal(try_code(&s, "gate", s.symbols, &key, &done), CB_E_ACTIVATION);
    assert_int_equal(cb_code_read(cb_bytes_str(fresh.text), s.symbols), CB_OK);
    assert_int_equal(try_code(&s, "gate", s.symbols, &key, &done), CB_OK);
    world_end(&s.w);
}

static void wrong_codes_at_nobody_or_at_another_terminal_open_nothing(void **state)
{
    stage s;
    bool done;
    (void)state;
    begin(&s, 60);
    assert_int_equal(try_code(&s, "nobody", s.symbols, &key, &done), CB_E_ACTIVATION);
    assert_int_equal(try_code(&s, "counter 1", s.symbols, &key, &done), CB_E_ACTIVATION);
    assert_int_equal(cb_terminal_code_make(0, &(cb_terminal_code){0}), CB_E_ARGUMENT);
    assert_int_equal(
        cb_terminal_code_make(CB_TERMINAL_CODE_SECONDS_MAX + 1, &(cb_terminal_code){0}),
        CB_E_ARGUMENT);
    cb_terminal_code code;
    assert_int_equal(cb_terminal_code_make(60, &code), CB_OK);
    assert_int_equal(cb_terminal_code_set(s.w.store, "test", &s.w.terminal.id, &code), CB_E_STATE);
    world_end(&s.w);
}

static void a_key_that_some_terminal_has_is_not_given_to_another(void **state)
{
    stage s;
    (void)state;
    begin(&s, 60);
    assert_int_equal(activate(&s, &s.w.terminal.key, later()), CB_E_EXISTS);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    world_end(&s.w);
}

/* Whoever writes the database cannot make himself a code, nor a terminal of one that was active. */
static void rows_that_were_written_by_hand_activate_nothing(void **state)
{
    static const char *const edits[] = {
        "UPDATE terminal_code SET expires = expires + 1000000",
        "UPDATE terminal SET rate = 0 WHERE name = 'gate'",
        "UPDATE terminal SET all_services = 0 WHERE name = 'gate'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        stage s;
        begin(&s, 60);
        world_close(&s.w);
        tamper(&s.w, edits[i]);
        world_open(&s.w);
        assert_int_equal(activate(&s, &key, later()), CB_E_HSM_RECORD);
        world_end(&s.w);
    }
    stage s;
    begin(&s, 60);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    world_close(&s.w);
    tamper(&s.w, "UPDATE terminal SET state = 'registered' WHERE name = 'gate'");
    world_open(&s.w);
    assert_int_equal(activate(&s, &another, later()), CB_E_HSM_RECORD);
    world_end(&s.w);
}

static void an_expired_certificate_is_refused(void **state)
{
    stage s;
    cb_terminal found;
    (void)state;
    begin(&s, 60);
    assert_int_equal(activate(&s, &key, cb_clock_wall_us()), CB_OK);
    assert_int_equal(cb_terminal_find(s.w.store, &key, &found), CB_E_TERMINAL_EXPIRED);
    s.w.terminal.id = s.terminal.id;
    assert_int_equal(tap_once(&s.w, NULL, NULL), CB_E_TERMINAL_EXPIRED);
    world_end(&s.w);
}

static void a_new_key_takes_the_place_of_the_old_when_it_is_used(void **state)
{
    stage s;
    cb_terminal found;
    int64_t expires;
    cb_buf certificate = CB_BUF(CB_TERMINAL_CERTIFICATE_SIZE);
    (void)state;
    begin(&s, 60);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    const cb_id *id = &s.terminal.id;
    cb_bytes first = cb_bytes_str("first"), second = cb_bytes_str("second");
    assert_int_equal(cb_terminal_certify(s.w.store, id, &third, first, later()), CB_OK);
    assert_int_equal(cb_terminal_certify(s.w.store, id, &another, second, later()), CB_OK);
    assert_int_equal(cb_terminal_certify(s.w.store, id, &key, first, later()), CB_E_EXISTS);
    /* The same request, twice at a time: nothing is stored anew. */
    assert_int_equal(cb_terminal_certify(s.w.store, id, &another, first, later()), CB_OK);
    assert_int_equal(cb_terminal_certificate(s.w.store, id, &another, &certificate, &expires),
                     CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&certificate), second));
    assert_int_equal(cb_terminal_certificate(s.w.store, id, &third, &certificate, &expires),
                     CB_E_NOT_FOUND);
    assert_int_equal(cb_terminal_find(s.w.store, &key, &found), CB_OK); /* until then */
    assert_int_equal(cb_terminal_find(s.w.store, &third, &found), CB_E_TERMINAL_UNKNOWN);
    assert_int_equal(cb_terminal_find(s.w.store, &another, &found), CB_OK);
    assert_memory_equal(&found.key, &another, sizeof another);
    assert_int_equal(found.next_expires, 0);
    assert_int_equal(cb_terminal_find(s.w.store, &key, &found), CB_E_TERMINAL_UNKNOWN);
    s.w.terminal.id = s.terminal.id;
    assert_int_equal(tap_once(&s.w, NULL, NULL), CB_OK);
    cb_buf_free(&certificate);
    world_close(&s.w);
    assert_int_equal(verify_file(&s.w, NULL), CB_OK);
    assert_int_equal(findings_of(NULL), 0);
    world_end(&s.w);
}

/* A start would take it back: whoever asks again is told no more than who asked first. */
static void a_certificate_is_given_out_under_a_signed_head_only(void **state)
{
    stage s;
    int64_t expires;
    cb_buf certificate = CB_BUF(CB_TERMINAL_CERTIFICATE_SIZE);
    (void)state;
    begin(&s, 60);
    const cb_id *id = &s.terminal.id;
    set_signer(&s.w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(activate(&s, &key, later()), CB_E_UNSIGNED);
    assert_int_equal(cb_terminal_certificate(s.w.store, id, &key, &certificate, &expires),
                     CB_E_HSM_DOWN);
    set_signer(&s.w.signer->fail, CB_OK);
    for (int i = 0; i < 500 && !cb_store_signs(s.w.store); i++)
        usleep(10000);
    cb_buf_reset(&certificate);
    assert_int_equal(cb_terminal_certificate(s.w.store, id, &key, &certificate, &expires), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&certificate), cb_bytes_str("certificate")));
    cb_buf_free(&certificate);
    world_end(&s.w);
}

static cb_error confirm(const stage *s, const cb_digest *of, const char *reason)
{
    const cb_terminal_new as = {.key = *of, .rate = 60};
    return cb_terminal_confirm(s->w.store, "admin", &s->terminal.id, &as, reason);
}

/* What a terminal does by itself, in the moment in which the broker ends: nobody has to go there. */
static void what_no_signed_head_covered_is_confirmed_by_an_administrator(void **state)
{
    enum { ACTIVATED, CERTIFIED, RENEWED, CASES };
    (void)state;
    for (int i = 0; i < CASES; i++) {
        stage s;
        cb_terminal found;
        begin(&s, 60);
        const cb_id *id = &s.terminal.id;
        const cb_digest *now = i == RENEWED ? &another : &key;
        if (i != ACTIVATED)
            assert_int_equal(activate(&s, &key, later()), CB_OK);
        if (i == RENEWED)
            assert_int_equal(
                cb_terminal_certify(s.w.store, id, &another, cb_bytes_str("c"), later()), CB_OK);
        set_signer(&s.w.signer->fail, CB_E_HSM_DOWN);
        assert_int_equal(
            i == ACTIVATED ? activate(&s, &key, later())
            : i == CERTIFIED
                ? cb_terminal_certify(s.w.store, id, &another, cb_bytes_str("c"), later())
                : cb_terminal_find(s.w.store, &another, &found),
            CB_E_UNSIGNED);
        world_close(&s.w);
        set_signer(&s.w.signer->fail, CB_OK);
        world_open(&s.w);
        s.w.terminal.id = *id;
        assert_int_equal(tap_once(&s.w, NULL, NULL), CB_E_HSM_RECORD);
        assert_int_equal(confirm(&s, &third, NULL),
                         CB_E_HSM_RECORD);
        assert_int_equal(confirm(&s, now, "crash"), CB_OK);
        assert_int_equal(tap_once(&s.w, NULL, NULL), CB_OK);
        assert_int_equal(cb_terminal_find(s.w.store, now, &found), CB_OK);
        assert_int_equal(confirm(&s, now, NULL), CB_E_STATE);
        /* And it is renewed as before. */
        assert_int_equal(cb_terminal_certify(s.w.store, id, &third, cb_bytes_str("c"), later()),
                         CB_OK);
        assert_int_equal(cb_terminal_find(s.w.store, &third, &found), CB_OK);
        assert_int_equal(tap_once(&s.w, NULL, NULL), CB_OK);
        world_close(&s.w);
        assert_int_equal(verify_file(&s.w, NULL), CB_OK);
        world_end(&s.w);
    }
}

/* It says again what was said and not signed: of a row that somebody changed, nothing. */
static void a_row_that_was_written_by_hand_is_not_confirmed(void **state)
{
    stage s;
    (void)state;
    begin(&s, 60);
    const cb_id *id = &s.terminal.id;
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    world_close(&s.w);
    tamper(&s.w, "UPDATE terminal SET passwords = 1, rate = 0 WHERE name = 'gate'");
    world_open(&s.w);
    assert_int_equal(confirm(&s, &key, NULL), CB_E_STATE);
    s.w.terminal.id = *id;
    assert_int_equal(tap_once(&s.w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&s.w);
}

/* Whoever writes the database can have a word taken back, by a leaf of his own; what he wrote beside
 * it is gone when an administrator says what the terminal may do. */
static void what_is_confirmed_is_what_the_administrator_says(void **state)
{
    static const char *const only[] = {"tax"};
    stage s;
    cb_terminal found;
    (void)state;
    begin(&s, 60);
    const cb_id *id = &s.terminal.id;
    set_signer(&s.w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(activate(&s, &key, later()), CB_E_UNSIGNED);
    world_close(&s.w);
    set_signer(&s.w.signer->fail, CB_OK);
    tamper(&s.w, "UPDATE terminal SET passwords = 1, rate = 0, pad = 1, kind = 1, all_services = 1 "
                 "WHERE name = 'gate'");
    tamper(&s.w, "INSERT INTO terminal_service SELECT id, 'bank' FROM terminal WHERE name = 'gate'");
    world_open(&s.w);
    const cb_terminal_new as = {
        .key = key, .services = only, .service_count = 1, .rate = 7, .kind = CB_TERMINAL_PERSONAL};
    assert_int_equal(cb_terminal_confirm(s.w.store, "admin", id, &as, "crash"), CB_OK);
    assert_int_equal(cb_terminal_find(s.w.store, &key, &found), CB_OK);
    assert_int_equal(found.service_count, 1);
    assert_string_equal(found.services[0], "tax");
    assert_false(found.all_services || found.passwords || found.pad);
    assert_int_equal(found.rate, 7);
    assert_int_equal(found.kind, CB_TERMINAL_PERSONAL);
    assert_int_equal(cb_terminal_get_vouched(s.w.store, id, &found), CB_OK);
    world_close(&s.w);
    assert_int_equal(verify_file(&s.w, NULL), CB_OK);
    world_end(&s.w);
}

static void dawdle(void *context, const char *step)
{
    if (strcmp(step, "signed") == 0 && __atomic_load_n((int *)context, __ATOMIC_SEQ_CST))
        usleep(300 * 1000);
}

/* The same request twice: the second finds it done, and not yet signed. */
static void what_is_done_already_is_said_under_a_signed_head_only(void **state)
{
    stage s;
    int slow = 0;
    cb_store_state now;
    (void)state;
    begin(&s, 60);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    world_close(&s.w);
    s.w.options.probe = dawdle;
    s.w.options.probe_context = &slow;
    world_open(&s.w);
    __atomic_store_n(&slow, 1, __ATOMIC_SEQ_CST);
    assert_int_equal(cb_card_change(s.w.store, "test", &s.w.card, CB_CARD_SUSPEND, NULL, NULL),
                     CB_OK); /* acknowledged at once */
    assert_int_equal(cb_store_status(s.w.store, &now), CB_OK);
    assert_int_not_equal(now.leaves_unsigned, 0);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    assert_int_equal(cb_store_status(s.w.store, &now), CB_OK);
    assert_int_equal(now.leaves_unsigned, 0);
    __atomic_store_n(&slow, 0, __ATOMIC_SEQ_CST);
    world_end(&s.w);
}

static void a_next_key_that_was_written_by_hand_is_not_taken(void **state)
{
    stage s;
    cb_terminal found;
    (void)state;
    begin(&s, 60);
    assert_int_equal(activate(&s, &key, later()), CB_OK);
    assert_int_equal(
        cb_terminal_certify(s.w.store, &s.terminal.id, &another, cb_bytes_str("c"), later()),
        CB_OK);
    world_close(&s.w);
    tamper(&s.w, "UPDATE terminal SET next_key = "
                 "x'0900000000000000000000000000000000000000000000000000000000000000' "
                 "WHERE name = 'gate'");
    world_open(&s.w);
    assert_int_equal(cb_terminal_find(s.w.store, &third, &found), CB_E_HSM_RECORD);
    world_end(&s.w);
}

/* Of a terminal that is in the middle of nothing, with a certificate of its own or of the CA's. */
static void nor_is_one_beside_which_nothing_is_said(void **state)
{
    static const char *const edits[] = {
        "UPDATE terminal SET next_key = "
        "x'0900000000000000000000000000000000000000000000000000000000000000' WHERE name = 'gate'",
        "UPDATE terminal SET next_key = "
        "x'0900000000000000000000000000000000000000000000000000000000000000' "
        "WHERE name = 'counter 1'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        stage s;
        cb_terminal found;
        begin(&s, 60);
        assert_int_equal(activate(&s, &key, later()), CB_OK);
        world_close(&s.w);
        tamper(&s.w, edits[i]);
        world_open(&s.w);
        assert_int_equal(cb_terminal_find(s.w.store, &third, &found), CB_E_HSM_RECORD);
        const cb_digest *old = i == 0 ? &key : &s.w.terminal.key;
        assert_int_equal(cb_terminal_find(s.w.store, old, &found), CB_OK);
        assert_memory_equal(&found.key, old, sizeof *old);
        world_close(&s.w);
        assert_int_equal(verify_file(&s.w, NULL), CB_E_EVIDENCE); /* the record is as it was */
        assert_int_equal(findings_of("table.content"), 1);
        assert_int_equal(findings_of(NULL), 1);
        world_end(&s.w);
    }
}

static void a_terminal_with_a_certificate_of_its_own_is_not_renewed(void **state)
{
    stage s;
    (void)state;
    begin(&s, 60);
    assert_int_equal(
        cb_terminal_certify(s.w.store, &s.w.terminal.id, &key, cb_bytes_str("c"), later()),
        CB_E_STATE);
    assert_int_equal(
        cb_terminal_certify(s.w.store, &s.terminal.id, &key, cb_bytes_str("c"), later()),
        CB_E_TERMINAL_REGISTERED);
    world_end(&s.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_works_once_and_for_one_key),
        cmocka_unit_test(a_code_that_is_over_answers_the_key_that_it_let_in_and_no_other),
        cmocka_unit_test(five_wrong_codes_end_it),
        cmocka_unit_test(wrong_codes_at_nobody_or_at_another_terminal_open_nothing),
        cmocka_unit_test(a_key_that_some_terminal_has_is_not_given_to_another),
        cmocka_unit_test(rows_that_were_written_by_hand_activate_nothing),
        cmocka_unit_test(an_expired_certificate_is_refused),
        cmocka_unit_test(a_new_key_takes_the_place_of_the_old_when_it_is_used),
        cmocka_unit_test(a_certificate_is_given_out_under_a_signed_head_only),
        cmocka_unit_test(what_no_signed_head_covered_is_confirmed_by_an_administrator),
        cmocka_unit_test(a_row_that_was_written_by_hand_is_not_confirmed),
        cmocka_unit_test(what_is_confirmed_is_what_the_administrator_says),
        cmocka_unit_test(what_is_done_already_is_said_under_a_signed_head_only),
        cmocka_unit_test(a_next_key_that_was_written_by_hand_is_not_taken),
        cmocka_unit_test(nor_is_one_beside_which_nothing_is_said),
        cmocka_unit_test(a_terminal_with_a_certificate_of_its_own_is_not_renewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
