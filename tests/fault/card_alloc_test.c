/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation of a tap fails in turn, on both sides of the card; and of the checks on which an
 * accept rests: whatever fails, nothing false is ever taken for genuine.
 */
#include "tests/support/alloc_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/secret.h"
#include "cardlink/card/native/application.h"
#include "world.h"

/* What the flows return when something false was accepted; it is no listed error. */
#define WRONG_ACCEPT CB_ERROR_COUNT

typedef struct flow_world {
    world w;
    cb_vcard *card;
    bool tampered; /* a bit of the proof */
    const char *pin;
    cb_card_claim claim;
    cb_buf forged; /* a card's certificate, changed */
} flow_world;

static void new_card(void *context)
{
    flow_world *f = context;
    assert_int_equal(cb_vcard_make(&f->w.first, NULL, &f->card), CB_OK);
}

/* As a terminal does: the first answer that is no success ends the script. */
static cb_error play(flow_world *f, const cb_buf *script, bool tamper, cb_buf *answers)
{
    cb_script commands;
    cb_buf_reset(answers);
    cb_error error = cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &commands);
    for (size_t i = 0; !error && i < commands.count; i++) {
        cb_buf answer = CB_BUF(CB_ANSWER_MAX);
        cb_vcard_process(f->card, commands.item[i].apdu, &answer);
        if (tamper && i + 1 == commands.count && answer.len > 12)
            answer.data[10] ^= 1;
        cb_script_put(answers, 0, cb_buf_bytes(&answer));
        bool go_on = cb_answer_status(cb_buf_bytes(&answer)) == CB_SW_OK ||
                     (commands.item[i].flags & CB_SCRIPT_GO_ON);
        cb_buf_free(&answer);
        if (!go_on)
            break;
    }
    return error ? error : cb_buf_error(answers);
}

static cb_error tap_with(flow_world *f, void *state, cb_buf *script, cb_buf *answers)
{
    cb_error error = world_begin(&f->w, state, script);
    if (!error)
        error = play(f, script, false, answers);
    if (!error)
        error = world_challenge(&f->w, state, answers, (typed){f->pin, NULL}, script);
    if (!error)
        error = play(f, script, f->tampered, answers);
    if (!error)
        error = world_finish(&f->w, state, answers, &f->claim);
    return error;
}

static cb_error tap(void *context)
{
    flow_world *f = context;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    void *state = calloc(1, cb_profile_native.state_size);
    f->claim = (cb_card_claim){0};
    cb_error error = state ? tap_with(f, state, &script, &answers) : CB_E_MEMORY;
    if (state)
        cb_profile_native.end(state);
    free(state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static void the_card_still_works(void *context, cb_error result, bool struck)
{
    flow_world *f = context;
    (void)struck;
    if (result == CB_OK)
        assert_true(f->claim.pin == CB_PIN_VERIFIED || f->claim.pin == CB_PIN_NOT_PRESENTED);
    cb_vcard_reset(f->card);
    f->pin = WORLD_PIN;
    assert_int_equal(tap(f), CB_OK);
    cb_vcard_close(&f->card);
}

/* A tap that must be refused: succeeds in that. */
static cb_error refused_tap(void *context)
{
    return tap(context) == CB_OK ? WRONG_ACCEPT : CB_OK;
}

static cb_error tap_with_wrong_pin(void *context)
{
    flow_world *f = context;
    f->pin = "9999";
    cb_error error = tap(f);
    return error == CB_OK && f->claim.pin == CB_PIN_VERIFIED ? WRONG_ACCEPT : CB_OK;
}

static void new_card_tampered(void *context)
{
    ((flow_world *)context)->tampered = true;
    new_card(context);
}

static void after_refusal(void *context, cb_error result, bool struck)
{
    flow_world *f = context;
    (void)result;
    f->tampered = false;
    f->pin = WORLD_PIN;
    the_card_still_works(context, CB_E_CARD_PROOF, struck);
}

/* ---- Certificates and signatures ---- */

static cb_error genuine_certificate(void *context)
{
    flow_world *f = context;
    cb_id card;
    uint8_t point[CB_P256_POINT];
    return cb_card_certificate_check(cb_buf_bytes(&f->w.certificate), &f->w.cards.anchor, 1, &card,
                                     point);
}

static cb_error forged_certificate(void *context)
{
    flow_world *f = context;
    cb_id card;
    uint8_t point[CB_P256_POINT];
    cb_trust_anchor anchor;
    if (!cb_card_certificate_check(cb_buf_bytes(&f->forged), &f->w.cards.anchor, 1, &card, point))
        return WRONG_ACCEPT;
    /* Of an issuer that is not trusted, and for another use. */
    if (!cb_card_certificate_check(cb_buf_bytes(&f->w.certificate), &f->w.brokers.anchor, 1, &card,
                                   point))
        return WRONG_ACCEPT;
    if (!cb_card_certificate_check(cb_buf_bytes(&f->w.signer_certificate), &f->w.brokers.anchor, 1,
                                   &card, point))
        return WRONG_ACCEPT;
    return cb_trust_anchor_parse(cb_buf_bytes(&f->w.certificate), &anchor) ? CB_OK : WRONG_ACCEPT;
}

static cb_error forged_signature(void *context)
{
    flow_world *f = context;
    cb_digest digest = cb_sha256(cb_bytes_str("text"));
    uint8_t signature[CB_P256_SIGNATURE], shared[CB_P256_SCALAR], point[CB_P256_POINT];
    if (cb_p256_sign(f->w.cards.scalar, &digest, signature))
        memset(signature, 1, sizeof signature);
    digest.bytes[0] ^= 1;
    if (cb_p256_verify(CB_BYTES_OF(f->w.cards.anchor.point), &digest, CB_BYTES_OF(signature)))
        return WRONG_ACCEPT;
    memset(signature, 0, sizeof signature);
    if (cb_p256_verify(CB_BYTES_OF(f->w.cards.anchor.point), &digest, CB_BYTES_OF(signature)))
        return WRONG_ACCEPT;
    memcpy(point, f->w.cards.anchor.point, sizeof point);
    point[40] ^= 1;
    if (cb_p256_is_point(CB_BYTES_OF(point)) ||
        cb_p256_agree(f->w.agreement, CB_BYTES_OF(point), shared) == CB_OK)
        return WRONG_ACCEPT;
    return CB_OK;
}

static void forge(void *context)
{
    flow_world *f = context;
    cb_buf_init(&f->forged, CB_CVC_MAX);
    cb_buf_put(&f->forged, cb_buf_bytes(&f->w.certificate));
    f->forged.data[f->forged.len - 10] ^= 1;
}

static void forget(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    cb_buf_free(&((flow_world *)context)->forged);
}

static void accepted_again(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    assert_int_equal(genuine_certificate(context), CB_OK);
}

/* ---- Making cards ---- */

static cb_error issue(void *context)
{
    flow_world *f = context;
    cb_issue_days days = cb_issue_days_from_today(5);
    cb_issue_batch batch;
    cb_vcard_state state;
    cb_buf certificate = CB_BUF(CB_CVC_MAX);
    cb_issue_order order = {&f->w.kloc, 1,    cb_bytes_str(WORLD_PIN), cb_bytes_str(WORLD_CODE),
                            false,      days};
    cb_error error = cb_issue_batch_make(&f->w.cards, cb_bytes_str("batch 2"), days, &batch);
    if (!error)
        error = cb_issue_card(&f->w.cards, &batch, &order, &state, &certificate);
    cb_id card;
    uint8_t point[CB_P256_POINT];
    /* What was issued without an error is whole. */
    if (!error && f->tampered &&
        cb_card_certificate_check(cb_buf_bytes(&certificate), &f->w.cards.anchor, 1, &card, point))
        error = WRONG_ACCEPT;
    cb_buf_free(&certificate);
    cb_wipe(&state, sizeof state);
    cb_wipe(&batch, sizeof batch);
    return error;
}

static void issued_again(void *context, cb_error result, bool struck)
{
    flow_world *f = context;
    (void)result, (void)struck;
    f->tampered = true;
    assert_int_equal(issue(context), CB_OK);
    f->tampered = false;
}

static const fault_flow flow[] = {
    {"a tap", new_card, tap, the_card_still_works},
    {"a tap with a wrong PIN", new_card, tap_with_wrong_pin, after_refusal},
    {"a tap with a changed proof", new_card_tampered, refused_tap, after_refusal},
    {"a certificate", NULL, genuine_certificate, accepted_again},
    {"a forged certificate", forge, forged_certificate, forget},
    {"a forged signature", NULL, forged_signature, accepted_again},
    {"issuing", NULL, issue, issued_again},
};

static void each_flow_survives_each_failure(void **state)
{
    static flow_world f;
    (void)state;
    world_make(&f.w, false);
    f.pin = WORLD_PIN;
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(&alloc_faults, &flow[i], &f, 100);
    world_free(&f.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_flow_survives_each_failure, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
