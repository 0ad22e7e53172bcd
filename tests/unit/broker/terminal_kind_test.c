/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where a terminal stands and whether it has a PIN pad, as an administrator says: which services
 * are given there, at T1 and still at T2.
 */
#include <string.h>

#include "base/leaf.h"
#include "tests/unit/broker/support.h"

static cb_error t2(world *w, const cb_intent_request *request)
{
    cb_result_request result = {
        .tap = request->context.tap, .pin_seen = request->pin_seen, .pad = request->pad};
    return cb_decide_result(w->store, &result);
}

/* The service "tax" is given at these kinds of terminals, and takes PINs from pads only. */
static void limit(world *w, uint8_t kinds, bool pad)
{
    cb_service_new service = {.name = "tax",
                              .title = "Tax office",
                              .connector = "mtls",
                              .config = "{\"url\":\"https://tax.example\"}",
                              .level = CB_LEVEL_POSSESSION,
                              .kind = 4,
                              .kinds = kinds,
                              .pad = pad};
    assert_int_equal(cb_service_update(w->store, "admin", &service), CB_OK);
}

static void is_of(world *w, uint8_t kind, bool pad)
{
    assert_int_equal(cb_terminal_describe(w->store, "admin", &w->terminal.id, kind, pad, "moved"),
                     CB_OK);
}

enum {
    DESK = 1 << CB_TERMINAL_ATTENDED,
    KIOSK = 1 << CB_TERMINAL_UNATTENDED,
    OWN = 1 << CB_TERMINAL_PERSONAL
};

static void a_service_is_given_at_the_kinds_that_it_names(void **state)
{
    static const struct {
        uint8_t kinds, kind;
        cb_error error;
    } cases[] = {
        {0, CB_TERMINAL_UNSTATED, CB_OK},
        {0, CB_TERMINAL_PERSONAL, CB_OK},
        {DESK, CB_TERMINAL_UNSTATED, CB_E_TERMINAL_KIND},
        {DESK, CB_TERMINAL_ATTENDED, CB_OK},
        {DESK, CB_TERMINAL_UNATTENDED, CB_E_TERMINAL_KIND},
        {DESK | KIOSK, CB_TERMINAL_UNATTENDED, CB_OK},
        {DESK | KIOSK, CB_TERMINAL_PERSONAL, CB_E_TERMINAL_KIND},
        {OWN, CB_TERMINAL_PERSONAL, CB_OK},
    };
    world w;
    (void)state;
    world_begin(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        limit(&w, cases[i].kinds, false);
        is_of(&w, cases[i].kind, false);
        cb_intent_request tap = intent_of(&w);
        assert_int_equal(t1(&w, &tap), cases[i].error);
        if (!cases[i].error)
            assert_int_equal(t2(&w, &tap), CB_OK);
    }
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void a_pin_that_a_terminal_saw_is_not_taken_where_a_pad_is_asked_for(void **state)
{
    static const struct {
        bool needed, there, said;
        uint8_t reached;
        cb_error error;
        bool seen; /* with a card that is bound at a level below */
    } cases[] = {
        {true, false, false, CB_LEVEL_POSSESSION, CB_E_PIN_PAD, true},
        {true, true, false, CB_LEVEL_POSSESSION, CB_E_PIN_PAD, true},
        {true, true, true, CB_LEVEL_POSSESSION, CB_OK, true},
        {false, false, false, CB_LEVEL_POSSESSION, CB_OK, true},
        {true, true, true, CB_LEVEL_TERMINAL_PIN, CB_OK, false},
        {true, true, false, CB_LEVEL_TERMINAL_PIN, CB_E_PIN_PAD, false},
        {true, false, true, CB_LEVEL_TERMINAL_PIN, CB_E_PIN_PAD, false}, /* its word alone is none */
        {true, false, false, CB_LEVEL_PIN, CB_OK, false},
        {true, false, false, CB_LEVEL_POSSESSION, CB_OK, false}, /* there was no PIN */
        {false, false, false, CB_LEVEL_TERMINAL_PIN, CB_OK, false},
    };
    world w;
    (void)state;
    world_begin(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        limit(&w, 0, cases[i].needed);
        is_of(&w, CB_TERMINAL_ATTENDED, cases[i].there);
        cb_intent_request tap = intent_of(&w);
        tap.reached = cases[i].reached;
        tap.pad = cases[i].said;
        tap.pin_seen = cases[i].seen;
        assert_int_equal(t1(&w, &tap), cases[i].error);
        if (!cases[i].error)
            assert_int_equal(t2(&w, &tap), CB_OK);
    }
    world_end(&w);
}

static void what_changes_between_t1_and_t2_withdraws_the_tap(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (int i = 0; i < 8; i++) {
        int turn = i % 4;
        limit(&w, DESK, true);
        is_of(&w, CB_TERMINAL_ATTENDED, true);
        cb_intent_request tap = intent_of(&w);
        tap.reached = i < 4 ? CB_LEVEL_TERMINAL_PIN : CB_LEVEL_POSSESSION;
        tap.pin_seen = true;
        tap.pad = true;
        assert_int_equal(t1(&w, &tap), CB_OK);
        if (turn == 0)
            is_of(&w, CB_TERMINAL_UNATTENDED, true);
        else if (turn == 1)
            is_of(&w, CB_TERMINAL_ATTENDED, false);
        else if (turn == 2)
            limit(&w, KIOSK, true);
        assert_int_equal(t2(&w, &tap), turn < 3 ? CB_E_TAP_WITHDRAWN : CB_OK);
    }
    world_end(&w);
}

typedef struct result {
    char kind[8], pad[16];
} result;

static cb_error note(void *context, const cb_log_leaf *leaf)
{
    char what[64];
    result *r = context;
    if (cb_leaf_find_text(leaf->data, "kind", what, sizeof what) || strcmp(what, "tap.result"))
        return CB_OK;
    if (cb_leaf_find_text(leaf->data, "terminal_kind", r->kind, sizeof r->kind))
        strcpy(r->kind, "-");
    if (cb_leaf_find_text(leaf->data, "pin_entry", r->pad, sizeof r->pad))
        strcpy(r->pad, "-");
    return CB_OK;
}

static result last_result(world *w)
{
    result r = {"", ""};
    assert_int_equal(cb_log_leaves(w->store, 0, 1000, note, &r), CB_OK);
    return r;
}

static void the_record_has_kind_and_pad_and_says_no_more_than_is_known(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request tap = intent_of(&w);
    assert_int_equal(t1(&w, &tap), CB_OK);
    assert_int_equal(t2(&w, &tap), CB_OK);
    assert_string_equal(last_result(&w).kind, "-");
    is_of(&w, CB_TERMINAL_UNATTENDED, true);
    tap = intent_of(&w);
    tap.pad = true; /* but there was no PIN in the clear */
    assert_int_equal(t1(&w, &tap), CB_OK);
    assert_int_equal(t2(&w, &tap), CB_OK);
    assert_string_equal(last_result(&w).kind, "2");
    assert_string_equal(last_result(&w).pad, "-");
    tap = intent_of(&w);
    tap.pad = true;
    tap.reached = CB_LEVEL_TERMINAL_PIN;
    assert_int_equal(t1(&w, &tap), CB_OK);
    assert_int_equal(t2(&w, &tap), CB_OK);
    assert_string_equal(last_result(&w).pad, "pad");
    tap = intent_of(&w);
    tap.pin_seen = true; /* with a card that is bound at possession */
    tap.reached = CB_LEVEL_POSSESSION;
    assert_int_equal(t1(&w, &tap), CB_OK);
    assert_int_equal(t2(&w, &tap), CB_OK);
    assert_string_equal(last_result(&w).pad, "terminal");
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

/* Those of which nobody has said where they stand: all of before, and most that are new. */
static void a_service_of_some_kinds_cannot_be_opened_to_the_unstated(void **state)
{
    static const char *const edits[] = {"UPDATE service SET kinds = kinds | 1",
                                        "PRAGMA ignore_check_constraints = ON; "
                                        "UPDATE service SET kinds = kinds | 17"};
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        world w;
        world_begin(&w);
        limit(&w, DESK, false);
        world_close(&w);
        tamper(&w, edits[i]);
        world_open(&w);
        cb_intent_request tap = intent_of(&w);
        assert_int_equal(t1(&w, &tap), CB_E_HSM_RECORD);
        world_end(&w);
    }
    const cb_service service = {.kinds = DESK | 1};
    const cb_terminal terminal = {.kind = CB_TERMINAL_UNSTATED};
    assert_int_equal(cb_service_takes(&service, &terminal), CB_E_TERMINAL_KIND);
}

static void only_an_administrator_describes_a_terminal(void **state)
{
    world w;
    cb_terminal now;
    cb_id nobody = cb_id_new();
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_terminal_describe(w.store, "admin", &nobody, 1, false, NULL),
                     CB_E_NOT_FOUND);
    assert_int_equal(cb_terminal_describe(w.store, "admin", &w.terminal.id, 4, false, NULL),
                     CB_E_ARGUMENT);
    assert_int_equal(cb_terminal_describe(w.store, "", &w.terminal.id, 1, false, NULL),
                     CB_E_ARGUMENT);
    limit(&w, DESK, false);
    world_close(&w);
    tamper(&w, "UPDATE terminal SET kind = 1");
    world_open(&w);
    cb_intent_request tap = intent_of(&w);
    assert_int_equal(t1(&w, &tap), CB_E_HSM_RECORD);
    assert_int_equal(cb_terminal_describe(w.store, "admin", &w.terminal.id, 1, true, NULL),
                     CB_E_HSM_RECORD);
    world_close(&w);
    tamper(&w, "UPDATE terminal SET kind = 0; UPDATE service SET kinds = 0");
    world_open(&w);
    assert_int_equal(t1(&w, &tap), CB_E_HSM_RECORD);
    world_close(&w);
    tamper(&w, "UPDATE service SET kinds = 2");
    world_open(&w);
    is_of(&w, CB_TERMINAL_ATTENDED, true);
    assert_int_equal(cb_terminal_get(w.store, &w.terminal.id, &now), CB_OK);
    assert_true(now.kind == CB_TERMINAL_ATTENDED && now.pad);
    assert_int_equal(t1(&w, &tap), CB_OK);
    assert_int_equal(t2(&w, &tap), CB_OK);
    assert_int_equal(cb_terminal_revoke(w.store, "admin", &w.terminal.id, NULL, NULL), CB_OK);
    assert_int_equal(cb_terminal_describe(w.store, "admin", &w.terminal.id, 1, false, NULL),
                     CB_E_STATE);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_is_given_at_the_kinds_that_it_names),
        cmocka_unit_test(a_pin_that_a_terminal_saw_is_not_taken_where_a_pad_is_asked_for),
        cmocka_unit_test(what_changes_between_t1_and_t2_withdraws_the_tap),
        cmocka_unit_test(the_record_has_kind_and_pad_and_says_no_more_than_is_known),
        cmocka_unit_test(a_service_of_some_kinds_cannot_be_opened_to_the_unstated),
        cmocka_unit_test(only_an_administrator_describes_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
