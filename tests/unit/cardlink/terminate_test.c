/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card's end, by the broker's command: which card it ends, who can give it, and what is left.
 */
#include "hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/card/native/application.h"

static unsigned saves;
static cb_error save_error;
static cb_buf saved; /* the file, as far as it was written */

static cb_error keep(void *context, const cb_vcard *card)
{
    (void)context;
    saves++;
    if (save_error)
        return save_error;
    cb_buf_reset(&saved);
    cb_vcard_put(card, &saved);
    return cb_buf_error(&saved);
}

static int setup(void **state)
{
    static const cb_vcard_store store = {NULL, keep};
    world *w = malloc(sizeof(world));
    world_make(w, false);
    cb_vcard_close(&w->card);
    saves = 0;
    save_error = CB_OK;
    saved = CB_BUF(64 * 1024);
    *state = w;
    return cb_vcard_make(&w->first, &store, &w->card) == CB_OK ? 0 : -1;
}

static int teardown(void **state)
{
    world_free(*state);
    free(*state);
    cb_buf_free(&saved);
    return 0;
}

/* A whole tap that ends the card with this name. */
static cb_error end_card(world *w, const cb_id *card, cb_card_claim *claim)
{
    void *tap = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script read;
    cb_known_card known = {.card = *card};
    w->context.purpose = CB_TAP_CARD_END;
    w->context.service[0] = 0;
    *claim = (cb_card_claim){0};
    cb_error error = world_begin(w, tap, &script);
    if (!error) {
        world_play(w->card, &script, &answers);
        assert_int_equal(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read), CB_OK);
        cb_buf_reset(&script);
        error = cb_profile_native.challenge(tap, &w->host, &read, &w->context, &known, (cb_bytes){0},
                                            &script);
    }
    if (!error) {
        world_play(w->card, &script, &answers);
        error = world_finish(w, tap, &answers, claim);
    }
    cb_profile_native.end(tap);
    free(tap);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static uint16_t send_end(hand *h, const cb_id *card, const cb_digest *digest)
{
    uint8_t data[CB_PROOF_TERMINATION];
    memcpy(data, card->bytes, CB_ID_SIZE);
    assert_int_equal(h->w->host.sign(h->w, digest, &data[CB_ID_SIZE]), CB_OK);
    return hand_secure(h, CB_INS_TERMINATE, 0, 0, CB_BYTES_OF(data));
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

static void a_card_that_is_named_ends_and_says_so(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    const cb_card_keys keys = {.count = 1, .key = {cb_card_key_of_point(w->point)}};
    assert_int_equal(end_card(w, &w->first.card, &claim), CB_OK);
    assert_true(cb_id_same(&claim.card, &w->first.card));
    assert_int_equal(claim.counter, 1);
    assert_int_equal(claim.pin, CB_PIN_NOT_PRESENTED);
    assert_true(cb_profile_verify(&claim, &keys));
    claim.signature.digest[0] ^= 1;
    assert_false(cb_profile_verify(&claim, &keys));
    assert_int_equal(saves, 1);
}

static void nothing_is_left_of_a_card_that_ended(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    cb_vcard *again;
    assert_int_equal(end_card(w, &w->first.card, &claim), CB_OK);
    for (int reset = 0; reset < 2; reset++) {
        assert_int_equal(hand_select(w->card), CB_SW_TERMINATED);
        assert_int_equal(hand_plain(w->card,
                                    (cb_apdu){0x80, CB_INS_PSO, 1, 0x20,
                                              cb_buf_bytes(&w->agreement_certificate), false},
                                    NULL),
                         CB_SW_CONDITIONS);
        cb_vcard_reset(w->card);
    }
    w->context.purpose = CB_TAP_AUTHENTICATE;
    strcpy(w->context.service, "tax");
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_BLOCKED);
    const cb_vcard_state *left = cb_vcard_state_of(w->card);
    assert_true(all_zero(left->scalar, sizeof left->scalar));
    assert_true(all_zero(left->batch_scalar, sizeof left->batch_scalar));
    assert_true(all_zero(left->pin, sizeof left->pin));
    assert_true(all_zero(left->code, sizeof left->code));
    assert_null(memmem(saved.data, saved.len, w->first.scalar, sizeof w->first.scalar));
    assert_null(memmem(saved.data, saved.len, w->first.batch_scalar, sizeof w->first.batch_scalar));
    /* Nor after the power went. */
    assert_int_equal(cb_vcard_make(left, NULL, &again), CB_OK);
    assert_int_equal(hand_select(again), CB_SW_TERMINATED);
    cb_vcard_close(&again);
}

static void a_card_in_transit_can_be_ended(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    w->first.life_cycle = CB_LIFE_PERSONALISED;
    cb_vcard_close(&w->card);
    assert_int_equal(cb_vcard_make(&w->first, NULL, &w->card), CB_OK);
    assert_int_equal(end_card(w, &w->first.card, &claim), CB_OK);
    assert_int_equal(hand_select(w->card), CB_SW_TERMINATED);
}

static void the_command_for_another_card_does_nothing_to_this_one(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    for (size_t i = 0; i < CB_ID_SIZE; i++) {
        cb_id other = w->first.card;
        other.bytes[i] ^= 1;
        assert_int_equal(end_card(w, &other, &claim), CB_E_CARD_STATUS);
        assert_true(cb_id_is_zero(&claim.card));
    }
    assert_int_equal(saves, 0);
    assert_int_equal(cb_vcard_state_of(w->card)->life_cycle, CB_LIFE_ACTIVE);
    w->context.purpose = CB_TAP_AUTHENTICATE;
    strcpy(w->context.service, "tax");
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
}

/* Whoever has a batch's key and the channel, and any signature of the broker's but the one over these
 * words, this session and this card. */
static void only_the_brokers_signature_over_this_session_and_card_ends_it(void **state)
{
    world *w = *state;
    hand h;
    cb_id mine = w->first.card, other = {{1}};
    hand_authenticate(&h, w);
    cb_digest earlier = cb_proof_termination_digest(&h.request, &mine);
    for (int i = 0; i < 6; i++) {
        hand_authenticate(&h, w);
        cb_digest digest = cb_proof_termination_digest(&h.request, &mine);
        cb_proof_request another = h.request;
        switch (i) {
        case 0: /* what was signed to ask for the proof */
            digest = cb_proof_request_digest(&h.request);
            break;
        case 1: /* of another session */
            digest = earlier;
            break;
        case 2: /* for another card */
            digest = cb_proof_termination_digest(&h.request, &other);
            break;
        case 3:
            another.nonce[0] ^= 1;
            digest = cb_proof_termination_digest(&another, &mine);
            break;
        case 4:
            another.context.bytes[0] ^= 1;
            digest = cb_proof_termination_digest(&another, &mine);
            break;
        default:
            digest.bytes[31] ^= 1;
        }
        assert_int_equal(send_end(&h, &mine, &digest), CB_SW_SECURITY);
        /* The channel is closed, and the right one comes too late. */
        digest = cb_proof_termination_digest(&h.request, &mine);
        assert_int_equal(send_end(&h, &mine, &digest), CB_SW_SECURITY);
    }
    assert_int_equal(saves, 0);
    hand_authenticate(&h, w);
    cb_digest digest = cb_proof_termination_digest(&h.request, &mine);
    assert_int_equal(send_end(&h, &mine, &digest), CB_SW_OK);
    assert_int_equal(saves, 1);
}

static void it_comes_after_the_brokers_signature_and_not_in_the_clear(void **state)
{
    world *w = *state;
    hand h;
    cb_id mine = w->first.card;
    for (int steps = 0; steps < 2; steps++) {
        hand_open(&h, w);
        if (steps > 0)
            assert_int_equal(hand_signer(&h), CB_SW_OK);
        cb_digest digest = cb_proof_termination_digest(&h.request, &mine);
        assert_int_equal(send_end(&h, &mine, &digest), CB_SW_CONDITIONS);
    }
    hand_authenticate(&h, w);
    uint8_t data[CB_PROOF_TERMINATION] = {0};
    memcpy(data, mine.bytes, CB_ID_SIZE);
    cb_digest digest = cb_proof_termination_digest(&h.request, &mine);
    assert_int_equal(w->host.sign(w, &digest, &data[CB_ID_SIZE]), CB_OK);
    assert_int_equal(hand_plain(w->card, (cb_apdu){0x80, CB_INS_TERMINATE, 0, 0, CB_BYTES_OF(data), false}, NULL),
                     CB_SW_INS);
    assert_int_equal(saves, 0);
}

static void what_is_not_the_command_is_refused(void **state)
{
    world *w = *state;
    hand h;
    uint8_t data[CB_PROOF_TERMINATION + 1] = {0};
    static const size_t lengths[] = {0, 1, CB_ID_SIZE, CB_PROOF_TERMINATION - 1,
                                     CB_PROOF_TERMINATION + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        hand_authenticate(&h, w);
        assert_int_equal(hand_secure(&h, CB_INS_TERMINATE, 0, 0, cb_bytes_make(data, lengths[i])),
                         CB_SW_DATA);
    }
    hand_authenticate(&h, w);
    assert_int_equal(hand_secure(&h, CB_INS_TERMINATE, 1, 0, cb_bytes_make(data, 80)),
                     CB_SW_PARAMETERS);
    hand_authenticate(&h, w);
    assert_int_equal(hand_secure(&h, CB_INS_TERMINATE, 0, 1, cb_bytes_make(data, 80)),
                     CB_SW_PARAMETERS);
    hand_authenticate(&h, w);
    assert_int_equal(hand_secure(&h, CB_INS_TERMINATE, 0, 0, cb_bytes_make(data, 80)),
                     CB_SW_NOT_FOUND);
    assert_int_equal(saves, 0);
}

static void a_card_whose_memory_fails_has_not_said_that_it_ended(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    save_error = CB_E_IO;
    assert_int_equal(end_card(w, &w->first.card, &claim), CB_E_CARD_STATUS);
    assert_int_equal(saves, 1);
    assert_int_equal(saved.len, 0);
    assert_int_equal(hand_select(w->card), CB_SW_MEMORY); /* until the power goes */
}

static void a_proof_that_says_less_is_no_end(void **state)
{
    world *w = *state;
    void *tap = world_state();
    cb_known_card known = {.card = w->first.card};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script none = {.count = 0};
    /* Named without the purpose, or the purpose without a name. */
    w->context.purpose = CB_TAP_CARD_END;
    assert_int_equal(world_begin(w, tap, &script), CB_OK);
    assert_int_not_equal(cb_profile_native.challenge(tap, &w->host, &none, &w->context, NULL,
                                                     (cb_bytes){0}, &script),
                         CB_OK);
    cb_profile_native.end(tap);
    memset(tap, 0, cb_profile_native.state_size);
    w->context.purpose = CB_TAP_AUTHENTICATE;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script read;
    assert_int_equal(world_begin(w, tap, &script), CB_OK);
    world_play(w->card, &script, &answers);
    assert_int_equal(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read), CB_OK);
    assert_int_equal(cb_profile_native.challenge(tap, &w->host, &read, &w->context, &known,
                                                 (cb_bytes){0}, &script),
                     CB_E_ARGUMENT);
    cb_profile_native.end(tap);
    free(tap);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_card_that_is_named_ends_and_says_so),
        T(nothing_is_left_of_a_card_that_ended),
        T(a_card_in_transit_can_be_ended),
        T(the_command_for_another_card_does_nothing_to_this_one),
        T(only_the_brokers_signature_over_this_session_and_card_ends_it),
        T(it_comes_after_the_brokers_signature_and_not_in_the_clear),
        T(what_is_not_the_command_is_refused),
        T(a_card_whose_memory_fails_has_not_said_that_it_ended),
        T(a_proof_that_says_less_is_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
