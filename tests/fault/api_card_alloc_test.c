/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taps of a native card that are for something else than a login, while each allocation of the
 * broker fails in turn: a maintainer begins and ends maintenance, a revoked card is ended, and a
 * card is moved to the authority's next key. The terminal gets the whole answer, or an error that
 * is said to be the server's, or an end; what it was told is what the record says, and the next tap
 * makes good what was not done.
 */
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "broker/core/maintenance.h"
#include "tests/support/alloc_faults.h"

enum { RUNS = 4 };

typedef struct cards {
    api_world w;
    const char *purpose; /* of the tap; NULL: a login */
    bool maintained;     /* the terminal is under maintenance when the tap begins */
    cb_id card;
    char refused[CB_ID_TEXT]; /* the tap, because its card is revoked */
    size_t script;            /* whole, as api_judge_script has it */
    api_tally before;
} cards;

/* Cards are made under the authority's key of before. */
static world_next newer;

static void take_next_generation(world *card) { world_next_make(&newer, card); }

static void lay_fresh_card(cards *c)
{
    world *w = &c->w.card;
    cb_issue_order order = {&w->kloc,
                            1,
                            cb_bytes_str(WORLD_PIN),
                            cb_bytes_str(WORLD_CODE),
                            false,
                            cb_issue_days_from_today(5)};
    alloc_faults_pause(true); /* it stays there when the run is over */
    cb_buf_reset(&w->certificate);
    MUST(cb_issue_card(&w->cards, &w->batch, &order, &w->first, &w->certificate));
    cb_vcard_close(&w->card);
    MUST(cb_vcard_make(&w->first, NULL, &w->card));
    alloc_faults_pause(false);
    api_add_card(&c->w, &c->card);
}

/* ---- The terminal's three requests ---- */

static void begin(cards *c)
{
    api_ask_dialled(&c->w, "POST", "/v1/taps", c->maintained ? "{\"maintenance\":true}" : NULL);
}

/* The PIN is the terminal's work, and encrypted anew each time. */
static void encrypt_pin(const cards *c, char out[2 * CB_PIN_CIPHERTEXT_MAX + 1])
{
    cb_script read;
    uint8_t point[CB_P256_POINT];
    alloc_faults_pause(true);
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    api_answers(&c->w, &answers);
    MUST(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read));
    MUST(cb_pin_card_key(&read, point));
    MUST(cb_pin_encrypt(CB_PIN_FORM_VERIFY, cb_bytes_str(WORLD_PIN), (cb_bytes){0}, point, &pin));
    cb_hex(cb_buf_bytes(&pin), out);
    cb_buf_free(&answers);
    cb_buf_free(&pin);
    alloc_faults_pause(false);
}

static void ask(cards *c)
{
    char pin[2 * CB_PIN_CIPHERTEXT_MAX + 1];
    if (!c->purpose) {
        api_step(&c->w, "challenge", ",\"service\":\"tax\"");
    } else if (strcmp(c->purpose, "card_end") == 0) {
        api_step(&c->w, "challenge", ",\"purpose\":\"card_end\",\"after\":\"%s\"", c->refused);
    } else {
        encrypt_pin(c, pin);
        api_step(&c->w, "challenge", ",\"purpose\":\"%s\",\"text\":\"new-reader\",\"pin\":\"%s\"",
                 c->purpose, pin);
    }
}

/* ---- What is there before ---- */

static void begun_as(cards *c, const char *purpose)
{
    c->purpose = purpose;
    api_dial(&c->w);
    begin(c);
    assert_int_equal(c->w.answer.status, 201);
    assert_true(api_play(&c->w));
    api_dial(&c->w);
}

static void challenged_as(cards *c, const char *purpose)
{
    begun_as(c, purpose);
    ask(c);
    api_come_to_proof(&c->w);
}

static void maintain(cards *c, const char *purpose)
{
    c->maintained = strcmp(purpose, "maintenance_end") == 0;
    challenged_as(c, purpose);
    api_bring_proof(&c->w);
    assert_int_equal(c->w.answer.status, 200);
}

static void asks_to_maintain(void *context)
{
    cards *c = context;
    api_open_again(&c->w, &c->before);
    c->maintained = false;
    begun_as(c, "maintenance");
}

static void will_maintain(void *context)
{
    cards *c = context;
    api_open_again(&c->w, &c->before);
    c->maintained = false;
    challenged_as(c, "maintenance");
}

static void will_end_maintenance(void *context)
{
    cards *c = context;
    api_open_again(&c->w, &c->before);
    maintain(c, "maintenance");
    api_count(&c->w, &c->before);
    c->maintained = true;
    challenged_as(c, "maintenance_end");
}

static void with_fresh_card(cards *c)
{
    api_open_again(&c->w, &c->before);
    c->maintained = false;
    lay_fresh_card(c);
    api_count(&c->w, &c->before);
}

static void was_revoked(void *context)
{
    cards *c = context;
    with_fresh_card(c);
    challenged_as(c, NULL);
    MUST(cb_card_change(c->w.api.store, "test", &c->card, CB_CARD_REVOKE, NULL, NULL));
    api_count(&c->w, &c->before);
}

/* By the tap that is named when the next one ends the card. */
static void was_refused(cards *c)
{
    api_bring_proof(&c->w);
    assert_int_equal(c->w.answer.status, 422);
    memcpy(c->refused, c->w.tap, sizeof c->refused);
    api_count(&c->w, &c->before);
}

static void asks_to_end(void *context)
{
    cards *c = context;
    was_revoked(c);
    was_refused(c);
    begun_as(c, "card_end");
}

static void will_be_ended(void *context)
{
    cards *c = context;
    was_revoked(c);
    was_refused(c);
    challenged_as(c, "card_end");
}

static void will_be_moved(void *context)
{
    cards *c = context;
    with_fresh_card(c);
    c->purpose = NULL;
    api_dial(&c->w);
}

static void was_moved(void *context)
{
    cards *c = context;
    with_fresh_card(c);
    challenged_as(c, NULL);
}

/* ---- The step that fails ---- */

static cb_error run_begin(void *context)
{
    cards *c = context;
    begin(c);
    return api_judge_script(&c->w, 201, &c->script);
}

static cb_error run_ask(void *context)
{
    cards *c = context;
    ask(c);
    return api_judge_script(&c->w, 200, &c->script);
}

static cb_error run_prove(cards *c, int status, const char *const *parts)
{
    api_bring_proof(&c->w);
    return api_judge_parts(&c->w, status, parts);
}

static cb_error run_refused(void *context)
{
    static const char *const parts[] = {"\"code\":\"card.revoked\"", "\"may_end\":true", NULL};
    return run_prove(context, 422, parts);
}

static cb_error run_ended(void *context)
{
    static const char *const parts[] = {"\"outcome\":\"card_ended\"", "\"card\":\"", NULL};
    return run_prove(context, 200, parts);
}

static cb_error run_maintain(void *context)
{
    static const char *const parts[] = {"\"outcome\":\"accepted\"", "\"level\":2", "\"until\":\"",
                                        NULL};
    return run_prove(context, 200, parts);
}

static cb_error run_maintained(void *context)
{
    static const char *const parts[] = {"\"outcome\":\"accepted\"", "\"level\":2", NULL};
    return run_prove(context, 200, parts);
}

static cb_error run_login(void *context)
{
    static const char *const parts[] = {"\"outcome\":\"accepted\"",
                                        "\"token\":{\"access_token\":\"let me in\"}", NULL};
    return run_prove(context, 200, parts);
}

/* ---- Afterwards ---- */

static void fail_with(const api_tally *is, cb_error result, const char *why)
{
    api_say("is", is);
    fail_msg("%s: %s", why, cb_error_code(result));
}

/* Nobody was logged in but by a login, and nothing is open. */
static void look(cards *c, cb_error result, api_tally *is)
{
    api_settled(&c->w, &c->before, is);
    if (api_number(is, "intent") != 0 || api_number(is, "session") != 0 ||
        api_number(is, "leaf tap.result accepted") > (c->purpose ? 0 : 1))
        fail_with(is, result, "something is open");
}

static void open_again(cards *c)
{
    api_tally now;
    api_wait_signed(&c->w);
    api_open_again(&c->w, &now);
}

/* By row and leaf alike; a refusal in the record says that nothing was done. */
static void maintenance_is_whole_or_not(cards *c, cb_error result, const char *leaf, long active)
{
    api_tally is;
    look(c, result, &is);
    long done = api_number(&is, leaf);
    if (done > 1 || done + api_number(&is, "leaf tap.refused") > 1 ||
        api_number(&is, "terminal active 1") != done * active ||
        api_number(&is, "terminal maintenance 1") != -done * active ||
        (result == CB_OK && done != 1))
        fail_with(&is, result, "maintenance is half done, or told as it is not");
    open_again(c);
    if (!done)
        maintain(c, active < 0 ? "maintenance" : "maintenance_end");
}

static void maintenance_can_begin(void *context, cb_error result, bool struck)
{
    cards *c = context;
    api_tally is;
    (void)struck;
    look(c, result, &is);
    assert_int_equal(api_number(&is, "leaf terminal.maintenance"), 0);
    open_again(c);
    maintain(c, "maintenance");
    maintain(c, "maintenance_end");
    api_world_close(&c->w);
}

static void maintenance_has_begun(void *context, cb_error result, bool struck)
{
    cards *c = context;
    (void)struck;
    maintenance_is_whole_or_not(c, result, "leaf terminal.maintenance", -1);
    maintain(c, "maintenance_end");
    api_world_close(&c->w);
}

static void maintenance_has_ended(void *context, cb_error result, bool struck)
{
    cards *c = context;
    (void)struck;
    maintenance_is_whole_or_not(c, result, "leaf terminal.maintained", 1);
    api_world_close(&c->w);
}

static uint8_t life_of(const cards *c) { return cb_vcard_state_of(c->w.card.card)->life_cycle; }

/* It does nothing any more. */
static void it_is_dead(cards *c)
{
    assert_int_equal(life_of(c), CB_LIFE_TERMINATED);
    open_again(c);
    begun_as(c, NULL);
    ask(c);
    assert_int_equal(c->w.answer.status, 422);
    api_world_close(&c->w);
}

/* Ended at its next contact, if it was not given the command in this one. */
static void it_can_be_ended(void *context, cb_error result, bool struck)
{
    cards *c = context;
    api_tally is;
    (void)struck;
    look(c, result, &is);
    if (api_number(&is, "leaf tap.intent") || api_number(&is, "leaf tap.card_ended"))
        fail_with(&is, result, "a revoked card was believed");
    if (life_of(c) == CB_LIFE_TERMINATED) {
        it_is_dead(c);
        return;
    }
    open_again(c);
    challenged_as(c, NULL);
    was_refused(c);
    challenged_as(c, "card_end");
    MUST(run_ended(c));
    assert_int_equal(life_of(c), CB_LIFE_TERMINATED);
    look(c, result, &is);
    assert_int_equal(api_number(&is, "leaf tap.card_ended"), 1);
    api_world_close(&c->w);
}

/* What the card did cannot be undone. */
static void it_has_ended(void *context, cb_error result, bool struck)
{
    cards *c = context;
    api_tally is;
    (void)struck;
    look(c, result, &is);
    long ended = api_number(&is, "leaf tap.card_ended");
    if (ended > 1 || (result == CB_OK && ended != 1) ||
        (ended && api_number(&is, "leaf tap.refused")))
        fail_with(&is, result, "it is not told as it was");
    it_is_dead(c);
}

static uint8_t generation_of(const cards *c)
{
    cb_card card;
    cb_card_init(&card);
    MUST(cb_card_get(c->w.api.store, &c->card, &card));
    uint8_t generation = card.generation;
    cb_card_free(&card);
    return generation;
}

/* Written down once, with the first tap of it that came to an intent. */
static void it_is_known_as_moved(void *context, cb_error result, bool struck)
{
    cards *c = context;
    api_tally is;
    (void)struck;
    look(c, result, &is);
    long intents = api_number(&is, "leaf tap.intent"),
         moved = api_number(&is, "leaf card.generation");
    if (moved != intents || intents > 1)
        fail_with(&is, result, "the move is not recorded with its tap");
    open_again(c);
    challenged_as(c, NULL);
    MUST(run_login(c));
    api_settled(&c->w, &c->before, &is);
    if (api_number(&is, "leaf card.generation") != 1 || generation_of(c) != 2)
        fail_with(&is, result, "the move is not recorded once");
    api_world_close(&c->w);
}

static const fault_flow flow[] = {
    {"maintenance asked for", asks_to_maintain, run_ask, maintenance_can_begin},
    {"maintenance begun", will_maintain, run_maintain, maintenance_has_begun},
    {"maintenance ended", will_end_maintenance, run_maintained, maintenance_has_ended},
    {"a revoked card refused", was_revoked, run_refused, it_can_be_ended},
    {"the end of a card asked for", asks_to_end, run_ask, it_can_be_ended},
    {"a card ended", will_be_ended, run_ended, it_has_ended},
    {"a card given the link to the next key", will_be_moved, run_begin, it_is_known_as_moved},
    {"a proof of a card that was moved", was_moved, run_login, it_is_known_as_moved},
};

static void make(cards *c)
{
    api_world_make_with(&c->w, take_next_generation);
    MUST(api_world_open(&c->w));
    MUST(cb_maintainer_add(c->w.api.store, "test", &c->w.holder, NULL, NULL));
    maintain(c, "maintenance"); /* the card is moved, and says as much each time from now on */
    maintain(c, "maintenance_end");
    api_world_close(&c->w);
}

static void end(cards *c)
{
    api_world_over(&c->w);
    world_next_free(&newer);
}

static void make_anew(void *context)
{
    end(context);
    make(context);
}

static void what_a_tap_is_for_is_done_or_not(void **state)
{
    static cards c;
    (void)state;
    make(&c);
    fault_anew(make_anew);
    fault_theirs(FAULT_THEIRS_HTTP);
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++) {
        c.script = 0;
        fault_each(&alloc_faults, &flow[i], &c, RUNS);
    }
    end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_a_tap_is_for_is_done_or_not, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
