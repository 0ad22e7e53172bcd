/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Generations of the authority above brokers, rolled on cards during taps, from both sides.
 */
#include "hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/card/native/application.h"
#include "cardlink/native/link.h"

enum { GENERATIONS = 5, KID = 0x20 };

/* An authority's key of one generation, and the broker's keys that it certified. */
typedef struct generation {
    cb_issue_authority authority;
    uint8_t agreement[CB_P256_SCALAR], signer[CB_P256_SCALAR];
    cb_buf agreement_certificate, signer_certificate, link;
} generation;

typedef struct fixture {
    world w;
    generation g[GENERATIONS + 1]; /* by number, from 1 */
    cb_host_older older[CB_HOST_OLDER_MAX];
} fixture;

static void good(cb_error error) { assert_int_equal(error, CB_OK); }

static cb_error agree(void *keys, const uint8_t peer[CB_P256_POINT], uint8_t shared[CB_P256_SCALAR])
{
    return cb_p256_agree(((generation *)keys)->agreement, cb_bytes_make(peer, CB_P256_POINT),
                         shared);
}

static cb_error sign(void *keys, const cb_digest *digest, uint8_t signature[CB_P256_SIGNATURE])
{
    return cb_p256_sign(((generation *)keys)->signer, digest, signature);
}

static void make_generation(generation *g, cb_issue_days days)
{
    uint8_t point[CB_P256_POINT];
    cb_buf own = CB_BUF(CB_CVC_MAX);
    cb_buf_init(&g->agreement_certificate, CB_CVC_MAX);
    cb_buf_init(&g->signer_certificate, CB_CVC_MAX);
    cb_buf_init(&g->link, CB_CVC_MAX);
    good(cb_issue_authority_make(cb_bytes_str("test brokers"), days, &g->authority, &own));
    good(cb_p256_generate(g->agreement, point));
    good(cb_issue_certificate(&g->authority, cb_bytes_str("broker"), CB_CVC_AGREEMENT,
                              CB_BYTES_OF(point), days, &g->agreement_certificate));
    good(cb_p256_generate(g->signer, point));
    good(cb_issue_certificate(&g->authority, cb_bytes_str("broker"), CB_CVC_BROKER_SIGNATURE,
                              CB_BYTES_OF(point), days, &g->signer_certificate));
    cb_buf_free(&own);
}

/* A link from one authority to another one's key. */
static void link_to(const cb_issue_authority *from, const cb_issue_authority *to, uint8_t key_id,
                    uint8_t previous, uint8_t version, cb_buf *out)
{
    good(cb_issue_link(from, &to->anchor, key_id, previous, version, cb_issue_days_from_today(5),
                       out));
}

/* The broker accepts the generations from..newest; of each there is a link to the next. */
static void accept(fixture *f, uint8_t from, uint8_t newest)
{
    cb_profile_host *host = &f->w.host;
    host->agree = agree;
    host->sign = sign;
    host->older = f->older;
    host->older_count = 0;
    for (uint8_t v = from; v < newest; v++)
        f->older[host->older_count++] =
            (cb_host_older){&f->g[v], v, cb_buf_bytes(&f->g[v].agreement_certificate),
                            cb_buf_bytes(&f->g[v].signer_certificate), cb_buf_bytes(&f->g[v].link)};
    host->keys = &f->g[newest];
    host->key_version = newest;
    host->agreement_certificate = cb_buf_bytes(&f->g[newest].agreement_certificate);
    host->signer_certificate = cb_buf_bytes(&f->g[newest].signer_certificate);
}

static cb_vcard_kloc kloc_of(const cb_issue_authority *authority, uint8_t key_id, uint8_t version)
{
    cb_vcard_kloc kloc = {
        .key_id = key_id, .key_version = version, .name_len = (uint8_t)authority->anchor.name_len};
    memcpy(kloc.name, authority->anchor.name, kloc.name_len);
    memcpy(kloc.point, authority->anchor.point, CB_P256_POINT);
    return kloc;
}

/* A card made under the first generation lies there. */
static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    cb_issue_days days = cb_issue_days_from_today(5);
    assert_non_null(f);
    world_make(&f->w, false);
    for (unsigned v = 1; v <= GENERATIONS; v++)
        make_generation(&f->g[v], days);
    for (uint8_t v = 1; v < GENERATIONS; v++)
        link_to(&f->g[v].authority, &f->g[v + 1].authority, KID, v, (uint8_t)(v + 1),
                &f->g[v].link);
    f->w.first.kloc[0] = kloc_of(&f->g[1].authority, KID, 1);
    cb_vcard_close(&f->w.card);
    good(cb_vcard_make(&f->w.first, NULL, &f->w.card));
    accept(f, 1, 2);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    world_free(&f->w);
    for (unsigned v = 1; v <= GENERATIONS; v++) {
        cb_buf_free(&f->g[v].agreement_certificate);
        cb_buf_free(&f->g[v].signer_certificate);
        cb_buf_free(&f->g[v].link);
    }
    free(f);
    return 0;
}

/* One tap; what the card says of its generation. */
static uint8_t tap(fixture *f)
{
    cb_card_claim claim;
    good(world_tap(&f->w, (typed){WORLD_PIN, NULL}, &claim));
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
    return claim.generation;
}

static cb_error refused(fixture *f)
{
    cb_card_claim claim;
    return world_tap(&f->w, (typed){0}, &claim);
}

/* The key versions that the card has, as digits in their order: 12 for 1 and 2. */
static unsigned holds(const fixture *f)
{
    unsigned all = 0;
    const cb_vcard_state *state = cb_vcard_state_of(f->w.card);
    for (size_t i = 0; i < state->kloc_count; i++)
        all = all * 10 + state->kloc[i].key_version;
    return all;
}

/* How many commands of the first script this card is played. */
static size_t first_commands(fixture *f)
{
    cb_script read;
    void *state = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_vcard_reset(f->w.card);
    good(world_begin(&f->w, state, &script));
    world_play(f->w.card, &script, &answers);
    good(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read));
    cb_profile_native.end(state);
    free(state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return read.count;
}

static void a_card_is_rolled_during_a_tap_and_signs_that_it_was(void **state)
{
    fixture *f = *state;
    assert_int_equal(tap(f), 2);
    assert_int_equal(holds(f), 12);
    assert_int_equal(tap(f), 2);
    assert_int_equal(holds(f), 2);
    accept(f, 2, 2);
    assert_int_equal(tap(f), 2);
}

static void a_roll_costs_one_command_and_none_when_none_is_due(void **state)
{
    fixture *f = *state;
    accept(f, 1, 1);
    assert_int_equal(first_commands(f), 4);
    accept(f, 1, 2);
    assert_int_equal(first_commands(f), 5);
    assert_int_equal(first_commands(f), 4);
    accept(f, 1, 4);
    assert_int_equal(first_commands(f), 5);
}

static void who_was_away_for_long_is_rolled_a_step_a_tap(void **state)
{
    fixture *f = *state;
    accept(f, 1, 4);
    for (uint8_t v = 2; v <= 4; v++) {
        assert_int_equal(tap(f), v);
        assert_true(cb_vcard_state_of(f->w.card)->kloc_count <= 2);
    }
    assert_int_equal(tap(f), 4);
    assert_int_equal(holds(f), 4);
}

static void a_generation_is_skipped_where_there_is_a_link_over_it(void **state)
{
    fixture *f = *state;
    cb_buf_reset(&f->g[1].link);
    link_to(&f->g[1].authority, &f->g[3].authority, KID, 1, 3, &f->g[1].link);
    accept(f, 1, 3);
    assert_int_equal(tap(f), 3);
    assert_int_equal(holds(f), 13);
    assert_int_equal(tap(f), 3);
    assert_int_equal(holds(f), 3);
}

static void a_card_from_before_works_as_before_and_is_not_rolled(void **state)
{
    fixture *f = *state;
    f->w.first.version = CB_VCARD_SILENT;
    cb_vcard_close(&f->w.card);
    good(cb_vcard_make(&f->w.first, NULL, &f->w.card));
    assert_int_equal(first_commands(f), 4);
    assert_int_equal(tap(f), 1);
    assert_int_equal(tap(f), 1);
    assert_int_equal(holds(f), 1);
    f->w.host.retired = 1;
    assert_int_equal(refused(f), CB_E_CARD_GENERATION);
}

static void who_never_came_is_refused_once_his_generation_is_retired(void **state)
{
    fixture *f = *state;
    f->w.host.retired = 1;
    assert_int_equal(refused(f), CB_E_CARD_GENERATION);
    accept(f, 2, 3);
    assert_int_equal(refused(f), CB_E_CARD_GENERATION);
    accept(f, 2, 2);
    assert_int_equal(refused(f), CB_E_CARD_GENERATION);
    assert_int_equal(holds(f), 1);
}

static void what_is_retired_during_a_tap_ends_it(void **state)
{
    fixture *f = *state;
    void *tap_state = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(world_begin(&f->w, tap_state, &script));
    world_play(f->w.card, &script, &answers);
    f->w.host.retired = 1;
    assert_int_equal(world_challenge(&f->w, tap_state, &answers, (typed){0}, &script),
                     CB_E_CARD_GENERATION);
    cb_profile_native.end(tap_state);
    free(tap_state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    f->w.host.retired = 2;
    assert_int_equal(refused(f), CB_E_HSM_DOWN);
}

static void a_card_ahead_of_this_broker_is_no_card_of_its(void **state)
{
    fixture *f = *state;
    tap(f);
    tap(f);
    accept(f, 1, 1);
    assert_int_equal(refused(f), CB_E_CARD_FOREIGN);
}

/* ---- Links that are not ---- */

static uint16_t send_link(fixture *f, uint8_t key_id, uint8_t version, const cb_buf *link)
{
    assert_int_equal(hand_select(f->w.card), CB_SW_OK);
    return hand_plain(f->w.card,
                      (cb_apdu){0x80, CB_INS_PSO, version, key_id | CB_NATIVE_PSO_LINK,
                                cb_buf_bytes(link), false},
                      NULL);
}

static void a_link_counts_only_from_the_newest_key_to_a_newer_one(void **state)
{
    fixture *f = *state;
    cb_buf link = CB_BUF(CB_CVC_MAX);
    const cb_issue_authority *own = &f->g[1].authority, *other = &f->g[5].authority;
    /* Another broker's authority, of the same name and numbers. */
    link_to(other, &f->g[2].authority, KID, 1, 2, &link);
    assert_int_equal(send_link(f, KID, 1, &link), CB_SW_SECURITY);
    /* Signed as if from a version that the card does not have, and sent as such. */
    assert_int_equal(send_link(f, KID, 2, &link), CB_SW_NOT_FOUND);
    assert_int_equal(send_link(f, 0x21, 1, &link), CB_SW_NOT_FOUND);
    /* The right key, for another authority's number or another predecessor. */
    cb_buf_reset(&link);
    link_to(own, &f->g[2].authority, 0x21, 1, 2, &link);
    assert_int_equal(send_link(f, KID, 1, &link), CB_SW_SECURITY);
    cb_buf_reset(&link);
    link_to(own, &f->g[3].authority, KID, 2, 3, &link);
    assert_int_equal(send_link(f, KID, 1, &link), CB_SW_SECURITY);
    /* Something else that the authority has signed. */
    assert_int_equal(send_link(f, KID, 1, &f->g[1].agreement_certificate), CB_SW_DATA);
    assert_int_equal(holds(f), 1);
    /* Once it was taken it is not taken again, nor another by the key that was replaced. */
    assert_int_equal(send_link(f, KID, 1, &f->g[1].link), CB_SW_OK);
    assert_int_equal(holds(f), 12);
    assert_int_equal(send_link(f, KID, 1, &f->g[1].link), CB_SW_CONDITIONS);
    cb_buf_reset(&link);
    link_to(own, &f->g[3].authority, KID, 1, 3, &link);
    assert_int_equal(send_link(f, KID, 1, &link), CB_SW_CONDITIONS);
    assert_int_equal(holds(f), 12);
    cb_buf_free(&link);
}

static void one_changed_bit_makes_a_link_worthless(void **state)
{
    fixture *f = *state;
    for (size_t at = 0; at < f->g[1].link.len; at++) {
        f->g[1].link.data[at] ^= 0x01;
        assert_int_not_equal(send_link(f, KID, 1, &f->g[1].link), CB_SW_OK);
        f->g[1].link.data[at] ^= 0x01;
    }
    assert_int_equal(holds(f), 1);
}

static void a_link_never_goes_back(void **state)
{
    fixture *f = *state;
    cb_buf link = CB_BUF(CB_CVC_MAX);
    const cb_issue_authority *a = &f->g[2].authority, *b = &f->g[1].authority;
    cb_issue_days days = cb_issue_days_from_today(5);
    assert_int_equal(cb_issue_link(a, &b->anchor, KID, 2, 1, days, &link), CB_E_ARGUMENT);
    assert_int_equal(cb_issue_link(a, &b->anchor, KID, 2, 2, days, &link), CB_E_ARGUMENT);
    assert_int_equal(cb_issue_link(a, &b->anchor, KID, 0, 2, days, &link), CB_E_ARGUMENT);
    assert_int_equal(cb_issue_link(a, &b->anchor, KID, 2, 0x80, days, &link), CB_E_ARGUMENT);
    assert_int_equal(cb_issue_link(a, &b->anchor, 0x11, 1, 2, days, &link), CB_E_ARGUMENT);
    cb_buf_free(&link);
}

static void other_brokers_keys_are_never_driven_out(void **state)
{
    fixture *f = *state;
    for (uint8_t i = 1; i < 4; i++)
        f->w.first.kloc[i] = kloc_of(&f->g[5].authority, KID + i, 1);
    f->w.first.kloc_count = 4;
    cb_vcard_close(&f->w.card);
    good(cb_vcard_make(&f->w.first, NULL, &f->w.card));
    assert_int_equal(send_link(f, KID, 1, &f->g[1].link), CB_SW_FULL);
    assert_int_equal(holds(f), 1111);
    assert_int_equal(tap(f), 1); /* and the tap goes on */
}

/* ---- Terminals and power ---- */

/* A terminal that answers in the card's place to the link, or hides what the card says. */
static cb_error tap_without_link(fixture *f, cb_card_claim *claim)
{
    cb_script commands;
    void *tap_state = world_state();
    static const uint8_t nothing[] = {0x6F, 0x00};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf first = CB_BUF(CB_ANSWER_MAX), answer = CB_BUF(CB_ANSWER_MAX);
    cb_vcard_reset(f->w.card);
    good(world_begin(&f->w, tap_state, &script));
    good(cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &commands));
    for (size_t i = 0; i < commands.count; i++) {
        const cb_script_item *item = &commands.item[i];
        if (!cb_script_plays(item, cb_buf_bytes(&first)))
            continue;
        cb_buf_reset(&answer);
        if (item->flags & CB_SCRIPT_GO_ON)
            cb_buf_put(&answer, CB_BYTES_OF(nothing));
        else
            cb_vcard_process(f->w.card, item->apdu, &answer);
        cb_script_put(&answers, 0, cb_buf_bytes(&answer));
        if (i == 0)
            cb_buf_put(&first, cb_buf_bytes(&answer));
    }
    cb_error error = world_challenge(&f->w, tap_state, &answers, (typed){0}, &script);
    if (!error) {
        world_play(f->w.card, &script, &answers);
        error = world_finish(&f->w, tap_state, &answers, claim);
    }
    cb_profile_native.end(tap_state);
    free(tap_state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    cb_buf_free(&first);
    cb_buf_free(&answer);
    return error;
}

static void a_terminal_that_drops_the_link_gains_nothing_and_it_is_tried_again(void **state)
{
    fixture *f = *state;
    cb_card_claim claim;
    good(tap_without_link(f, &claim));
    assert_int_equal(claim.generation, 1);
    assert_int_equal(holds(f), 1);
    assert_int_equal(tap(f), 2);
}

/* A terminal that says that the card is of another generation than it is. */
static void what_a_terminal_says_of_a_generation_is_believed_by_nobody(void **state)
{
    fixture *f = *state;
    static const uint8_t claims[] = {0, 2, 3, 0x7F};
    for (size_t c = 0; c < sizeof claims; c++) {
        cb_script commands;
        void *tap_state = world_state();
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
        cb_buf first = CB_BUF(CB_ANSWER_MAX), answer = CB_BUF(CB_ANSWER_MAX);
        cb_vcard_reset(f->w.card);
        good(world_begin(&f->w, tap_state, &script));
        good(cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &commands));
        bool on = true;
        for (size_t i = 0; on && i < commands.count; i++) {
            if (!cb_script_plays(&commands.item[i], cb_buf_bytes(&first)))
                continue;
            cb_buf_reset(&answer);
            cb_vcard_process(f->w.card, commands.item[i].apdu, &answer);
            if (i == 0) {
                answer.data[answer.len - 3] = claims[c];
                cb_buf_put(&first, cb_buf_bytes(&answer));
            }
            cb_script_put(&answers, 0, cb_buf_bytes(&answer));
            on = cb_answer_status(cb_buf_bytes(&answer)) == CB_SW_OK;
        }
        assert_int_not_equal(world_challenge(&f->w, tap_state, &answers, (typed){0}, &script),
                             CB_OK);
        cb_profile_native.end(tap_state);
        free(tap_state);
        cb_buf_free(&script);
        cb_buf_free(&answers);
        cb_buf_free(&first);
        cb_buf_free(&answer);
    }
    assert_int_equal(tap(f), 2);
}

/* A memory that fails at one write, which is then not there; the power goes. */
typedef struct memory {
    int left;
    cb_vcard_state kept;
} memory;

static cb_error keep(void *context, const cb_vcard *card)
{
    memory *m = context;
    if (m->left-- == 0)
        return CB_E_IO;
    m->kept = *cb_vcard_state_of(card);
    return CB_OK;
}

static void power_lost_at_any_write_leaves_a_card_that_works_and_is_rolled(void **state)
{
    fixture *f = *state;
    for (int at = 0; at < 8; at++) {
        cb_card_claim claim;
        memory m = {.left = at, .kept = f->w.first};
        cb_vcard_store store = {&m, keep};
        cb_vcard_close(&f->w.card);
        good(cb_vcard_make(&f->w.first, &store, &f->w.card));
        for (int tap_number = 0; tap_number < 3; tap_number++)
            world_tap(&f->w, (typed){WORLD_PIN, NULL}, &claim);
        assert_true(m.left < 0);
        /* What is in the memory, with power again. */
        uint8_t newest = cb_native_newest(&m.kept, KID);
        assert_true(newest == 1 || newest == 2);
        assert_true(cb_native_kloc(&m.kept, KID, newest) != NULL);
        cb_vcard_close(&f->w.card);
        good(cb_vcard_make(&m.kept, NULL, &f->w.card));
        assert_int_equal(tap(f), 2);
        assert_int_equal(tap(f), 2);
        assert_int_equal(holds(f), 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(a_card_is_rolled_during_a_tap_and_signs_that_it_was),
        CASE(a_roll_costs_one_command_and_none_when_none_is_due),
        CASE(who_was_away_for_long_is_rolled_a_step_a_tap),
        CASE(a_generation_is_skipped_where_there_is_a_link_over_it),
        CASE(a_card_from_before_works_as_before_and_is_not_rolled),
        CASE(who_never_came_is_refused_once_his_generation_is_retired),
        CASE(what_is_retired_during_a_tap_ends_it),
        CASE(a_card_ahead_of_this_broker_is_no_card_of_its),
        CASE(a_link_counts_only_from_the_newest_key_to_a_newer_one),
        CASE(one_changed_bit_makes_a_link_worthless),
        CASE(a_link_never_goes_back),
        CASE(other_brokers_keys_are_never_driven_out),
        CASE(a_terminal_that_drops_the_link_gains_nothing_and_it_is_tried_again),
        CASE(what_a_terminal_says_of_a_generation_is_believed_by_nobody),
        CASE(power_lost_at_any_write_leaves_a_card_that_works_and_is_rolled),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
