/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What hsmd's lanes do in taps of native cards beside a login, and for terminals and the log, while
 * each allocation and each call for a socket fails in turn, on whichever side it is made: PINs are
 * changed, unblocked, reset and wrong, a revoked card is ended, one is moved to the next key, the
 * feed goes on in a tap, a terminal gets its certificate. The answer is whole, or an error that is
 * no card's and no holder's; a PIN is one of two, and what was not done is done when it is asked
 * again.
 */
#include "tests/fault/lanes_world.h"

#include "base/clock.h"
#include "cardlink/x509/certificate.h"
#include "cardlink/x509/request.h"

#define FRESH "9876" /* as front.c has it */

static const front_wish plain = {.service = "tax", .level = CB_LEVEL_POSSESSION},
                        changes = {"", WORLD_PIN, CB_LEVEL_POSSESSION, CB_TAP_PIN_CHANGE},
                        unblocks = {"", WORLD_CODE, CB_LEVEL_POSSESSION, CB_TAP_PIN_UNBLOCK},
                        wrong = {.service = "tax", .pin = "0000", .level = CB_LEVEL_PIN},
                        with_fresh = {.service = "tax", .pin = FRESH, .level = CB_LEVEL_PIN};

static void lay_card(void *context)
{
    lanes *l = context;
    lanes_connect_anew(l);
    lanes_lay_card(l);
}

static cb_error activate(lanes *l, front_wish wish)
{
    front_tap tap = {0};
    return front_activate(&l->front, wish, &tap);
}

/* ---- A card that is moved ---- */

static cb_error move(void *context)
{
    lanes *l = context;
    cb_activation activation;
    cb_error error = lanes_tap(l, &activation);
    return lanes_judge(!error && activation.generation != 2 ? LANES_WRONG : error);
}

static void it_is_moved(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)result, (void)struck;
    lanes_are_alive(l);
    MUST(move(l));
    const cb_vcard_state *card = cb_vcard_state_of(l->w.card);
    assert_int_equal(card->kloc[card->kloc_count - 1].key_version, 2);
}

/* ---- PINs ---- */

static bool pin_is(const lanes *l, const char *digits)
{
    uint8_t padded[CB_PIN_MAX];
    cb_pin_pad(cb_bytes_str(digits), padded);
    return memcmp(cb_vcard_state_of(l->w.card)->pin, padded, sizeof padded) == 0;
}

/* It was set if that was told; asked again it is. Then it opens, and the other one does not. */
static void pin_is_set(lanes *l, cb_error result, cb_error (*again)(void *context))
{
    lanes_are_alive(l);
    assert_true(pin_is(l, FRESH) || (pin_is(l, WORLD_PIN) && result));
    if (!pin_is(l, FRESH))
        MUST(again(l));
    assert_true(pin_is(l, FRESH));
    MUST(activate(l, with_fresh));
    assert_int_equal(activate(l, lanes_wish), CB_E_PIN_WRONG);
}

static cb_error change_pin(void *context) { return lanes_judge(activate(context, changes)); }

static void pin_is_changed(void *context, cb_error result, bool struck)
{
    (void)struck;
    pin_is_set(context, result, change_pin);
}

static cb_error unblock(void *context) { return lanes_judge(activate(context, unblocks)); }

static void pin_is_unblocked(void *context, cb_error result, bool struck)
{
    (void)struck;
    pin_is_set(context, result, unblock);
}

static void permit(lanes *l)
{
    MUST(cb_hsm_pin_reset(l->front.hsm, &l->w.first.card, &l->front.terminal, 60));
}

static void permitted(void *context)
{
    lay_card(context);
    permit(context);
}

static cb_error encrypt(const cb_buf *answers, cb_buf *pin)
{
    cb_script read;
    uint8_t point[CB_P256_POINT];
    cb_error error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read);
    if (!error)
        error = cb_pin_card_key(&read, point);
    return error
               ? error
               : cb_pin_encrypt(CB_PIN_FORM_RESET, (cb_bytes){0}, cb_bytes_str(FRESH), point, pin);
}

/* A tap for the card of the front's binding, which hsmd has to know: up to the command. */
static cb_error ask_named(lanes *l, uint8_t purpose, front_tap *tap, cb_buf *script)
{
    front *f = &l->front;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_error error = front_begin(f, tap, script);
    if (!error) {
        tap->context.purpose = purpose;
        world_play(l->w.card, script, &answers);
        error = cb_buf_error(&answers);
    }
    if (!error && purpose == CB_TAP_PIN_RESET)
        error = encrypt(&answers, &pin);
    cb_buf_reset(script);
    if (!error)
        error = cb_hsm_tap_challenge(f->hsm, &tap->context, cb_buf_bytes(&answers),
                                     cb_buf_bytes(&pin), cb_buf_bytes(&f->binding), script);
    cb_buf_free(&answers);
    cb_buf_free(&pin);
    return error;
}

static cb_error tap_named(lanes *l, uint8_t purpose)
{
    front_tap tap = {0};
    front *f = &l->front;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = ask_named(l, purpose, &tap, &script);
    if (!error) {
        world_play(l->w.card, &script, &answers);
        error = cb_buf_error(&answers);
    }
    if (!error)
        error = cb_hsm_tap_finish(f->hsm, &tap.context.tap, cb_buf_bytes(&answers), &tap.claim);
    if (!error)
        error = cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &f->feed,
                                    &tap.activation);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static cb_error reset_pin(void *context)
{
    return lanes_judge(tap_named(context, CB_TAP_PIN_RESET));
}

static cb_error permit_and_reset(void *context)
{
    permit(context);
    return reset_pin(context);
}

/* A permission that was used up leaves none. */
static void pin_is_reset(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)struck;
    bool done = pin_is(l, FRESH);
    pin_is_set(l, result, permit_and_reset);
    if (done)
        assert_int_equal(tap_named(l, CB_TAP_PIN_RESET), CB_E_PIN_RESET_REFUSED);
}

static cb_error type_wrong(void *context)
{
    cb_error error = activate(context, wrong);
    return error == CB_E_PIN_WRONG ? CB_OK : error == CB_OK ? LANES_WRONG : lanes_judge(error);
}

static void the_right_one_is_right(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)result, (void)struck;
    lanes_are_alive(l);
    MUST(lanes_tap(l, NULL));
}

/* ---- The end of a card ---- */

static void lay_revoked(void *context)
{
    lanes *l = context;
    lanes_connect_anew(l);
    lanes_lay_another_card(l);
    lanes_feed(l, CB_FEED_CARD_REVOKED, &l->w.first.card);
}

static cb_error end_card(void *context) { return lanes_judge(tap_named(context, CB_TAP_CARD_END)); }

static void it_has_ended(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    const cb_vcard_state *card = cb_vcard_state_of(l->w.card);
    (void)struck;
    lanes_are_alive(l);
    assert_true(card->life_cycle == CB_LIFE_TERMINATED || result);
    if (card->life_cycle != CB_LIFE_TERMINATED)
        MUST(end_card(l));
    assert_int_equal(card->life_cycle, CB_LIFE_TERMINATED);
    assert_int_not_equal(activate(l, plain), CB_OK);
    lanes_lay_another_card(l);
    MUST(activate(l, plain));
}

/* ---- The feed, in a tap whose worker has not heard of its last entry ---- */

static cb_feed_entry entry;
static cb_feed_head ahead;

static void an_entry_ahead(void *context)
{
    lanes *l = context;
    const cb_feed_head *now = &l->front.feed;
    lay_card(l);
    entry = (cb_feed_entry){now->number + 1, CB_FEED_KEY_RETIRED, cb_id_new(), cb_clock_wall_us()};
    ahead = (cb_feed_head){entry.number, cb_feed_hash(&now->hash, &entry)};
}

static cb_error feed(void *context)
{
    lanes *l = context;
    front *f = &l->front;
    front_tap tap = {0};
    cb_error error = front_finish(f, lanes_wish, &tap);
    cb_bytes binding = cb_buf_bytes(&f->binding);
    if (error)
        return lanes_judge(error);
    error = cb_hsm_tap_activate(f->hsm, &tap.context.tap, binding, &ahead, &tap.activation);
    if (error != CB_E_HSM_FEED_BEHIND)
        return error ? lanes_judge(error) : LANES_WRONG;
    error = cb_hsm_feed_extend(f->hsm, &tap.context.tap, &entry, 1);
    if (!error)
        error = cb_hsm_tap_activate(f->hsm, &tap.context.tap, binding, &ahead, &tap.activation);
    return lanes_judge(error);
}

static void it_is_heard(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    cb_feed_head now;
    (void)struck;
    lanes_are_alive(l);
    MUST(cb_hsm_feed_state_any(l->front.hsm, &now));
    assert_true(now.number == ahead.number || (now.number + 1 == ahead.number && result));
    MUST(cb_hsm_feed_extend_any(l->front.hsm, &entry, 1));
    l->front.feed = ahead;
    MUST(lanes_tap(l, NULL));
}

/* ---- Terminals ---- */

static uint8_t point[CB_P256_POINT];
static cb_buf request;

static void a_request(void *context)
{
    uint8_t scalar[CB_P256_SCALAR];
    lanes_connect_anew(context);
    request = CB_BUF(CB_X509_REQUEST_MAX);
    MUST(cb_p256_generate(scalar, point));
    MUST(cb_x509_request_make(scalar, "any name", &request));
}

static bool is_certificate(const cb_buf *der)
{
    cb_x509 read;
    return cb_x509_parse(cb_buf_bytes(der), &read) == CB_OK &&
           memmem(read.public_key.data, read.public_key.len, point, sizeof point);
}

static cb_error certify(void *context)
{
    lanes *l = context;
    cb_buf der = CB_BUF(CB_X509_REQUEST_MAX);
    cb_error error =
        cb_hsm_certify_terminal(l->front.hsm, &l->front.terminal, cb_buf_bytes(&request), &der);
    alloc_faults_pause(true);
    if (!error && !is_certificate(&der))
        error = LANES_WRONG;
    alloc_faults_pause(false);
    cb_buf_free(&der);
    return lanes_judge(error);
}

static void it_is_certified(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)result, (void)struck;
    lanes_are_alive(l);
    MUST(certify(l));
    cb_buf_free(&request);
}

/* ---- The log ---- */

static cb_error write_log(void *context)
{
    lanes *l = context;
    cb_intent_proof proof;
    cb_tree_head head;
    front_tap nothing = {.context = {.tap = cb_id_random(), .service = "tax"}};
    cb_intent intent = front_intent(&nothing, &l->key.info.key);
    cb_error error = lanes_record(l, &intent, &proof);
    if (!error)
        error = cb_hsm_head_state(l->front.hsm, &head);
    if (!error && (head.size != l->front.log.size ||
                   memcmp(&head.root, &proof.head.root, sizeof head.root) != 0))
        error = LANES_WRONG;
    if (!error)
        error = cb_hsm_ping(l->front.hsm);
    return lanes_judge(error);
}

static void the_log_goes_on(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    lanes_are_alive(context);
    MUST(write_log(context));
}

/* ---- ---- */

static cb_error give_up(void *context)
{
    lanes *l = context;
    front_tap tap = {0};
    cb_card_claim claim;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = front_challenge(&l->front, plain, &tap, &script);
    if (!error) {
        cb_hsm_tap_end(l->front.hsm, &tap.context.tap);
        if (cb_hsm_tap_finish(l->front.hsm, &tap.context.tap, (cb_bytes){0}, &claim) == CB_OK)
            error = LANES_WRONG;
    }
    cb_buf_free(&script);
    return lanes_judge(error);
}

static const fault_flow flow[] = {
    {"a card moved to the next key", lay_card, move, it_is_moved},
    {"a PIN changed", lay_card, change_pin, pin_is_changed},
    {"a PIN unblocked", lay_card, unblock, pin_is_unblocked},
    {"a PIN reset", permitted, reset_pin, pin_is_reset},
    {"a wrong PIN", lay_card, type_wrong, the_right_one_is_right},
    {"a card ended", lay_revoked, end_card, it_has_ended},
    {"the feed told in a tap", an_entry_ahead, feed, it_is_heard},
    {"a terminal's certificate", a_request, certify, it_is_certified},
    {"a head of the log", lay_card, write_log, the_log_goes_on},
    {"a tap given up", lay_card, give_up, the_right_one_is_right},
};

int main(void)
{
    return lanes_main(&(lanes_program){
        .flow = flow, .count = sizeof flow / sizeof *flow, .runs = 12, .moves = true});
}
