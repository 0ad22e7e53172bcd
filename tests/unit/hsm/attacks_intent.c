/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Using a key for something that was not recorded, or recorded otherwise.
 */
#include "attacks.h"

#include "base/clock.h"

static const front_wish plain = {"tax", NULL, CB_LEVEL_POSSESSION, 0};

/* ---- Other intents: each differs from what the tap is in one field ---- */

#define INTENT(name, change)                                                                       \
    static void name(cb_intent *intent) { change; }

INTENT(nothing, (void)intent)
INTENT(other_card, intent->card = cb_id_new())
INTENT(other_holder, intent->holder = cb_id_new())
INTENT(other_key, intent->key = cb_id_new())
INTENT(other_tap, intent->context.tap = cb_id_new())
INTENT(tap_elsewhere, intent->context.tap.bytes[0] ^= 1)
INTENT(other_terminal, intent->context.terminal = cb_id_new())
INTENT(other_profile, intent->context.profile++)
INTENT(other_purpose, intent->context.purpose = CB_TAP_PIN_CHANGE)
INTENT(higher_level, intent->context.level++)
INTENT(lower_level, intent->context.level--)
INTENT(other_service, memcpy(intent->context.service, "bank", 5))
INTENT(longer_service, memcpy(intent->context.service, "tax-2", 6))
INTENT(shorter_service, memcpy(intent->context.service, "ta", 3))
INTENT(other_text, intent->context.text.bytes[31] ^= 1)
INTENT(more_reached, intent->reached++)
INTENT(less_reached, intent->reached--)
INTENT(past, intent->time -= 6 * 60 * CB_SECOND)
INTENT(future, intent->time += 6 * 60 * CB_SECOND)

static void (*const other_intents[])(cb_intent *) = {
    other_card,    other_holder, other_key,    other_tap,     tap_elsewhere,  other_terminal,
    other_profile, higher_level, lower_level,  other_service, longer_service, shorter_service,
    other_text,    more_reached, less_reached, past,          future,         other_purpose};

/* ---- Other proofs: of the right intent; earlier is a genuine proof of another one ---- */

#define PROOF(name, change)                                                                        \
    static void name(cb_intent_proof *proof, const cb_intent_proof *earlier)                       \
    {                                                                                              \
        (void)earlier;                                                                             \
        change;                                                                                    \
    }

PROOF(other_time, proof->intent.time++)
PROOF(next_place, proof->index++)
PROOF(place_before, proof->index--)
PROOF(place_outside, proof->index = proof->head.size)
PROOF(place_far_outside, proof->index = UINT64_MAX)
PROOF(other_root, proof->head.root.bytes[5] ^= 1)
PROOF(other_size, proof->head.size++)
PROOF(largest_size, proof->head.size = UINT64_MAX)
PROOF(empty_log, proof->head = (cb_tree_head){0})
PROOF(no_mac, memset(&proof->head_mac, 0, sizeof proof->head_mac))
PROOF(mac_of_another_head, proof->head_mac = earlier->head_mac)
PROOF(edited_mac, proof->head_mac.bytes[31] ^= 0x80)
PROOF(no_path, proof->path.count = 0)
PROOF(shorter_path, proof->path.count--)
PROOF(longer_path, proof->path.hash[proof->path.count++] = proof->head.root)
PROOF(longest_path, proof->path.count = CB_MERKLE_PROOF_MAX)
PROOF(edited_path, proof->path.hash[0].bytes[0] ^= 1)
PROOF(edited_end_of_path, proof->path.hash[proof->path.count - 1].bytes[31] ^= 1)
PROOF(head_before_it, proof->head = earlier->head; proof->head_mac = earlier->head_mac)
PROOF(proof_of_another_leaf, *proof = *earlier)
PROOF(nothing_at_all, *proof = (cb_intent_proof){0})

/* A log that holds just the intent, with a head that hsmd never signed and the MAC of another. */
static void log_of_its_own(cb_intent_proof *proof, const cb_intent_proof *earlier)
{
    cb_buf leaf = CB_BUF(8192);
    (void)earlier;
    cb_intent_leaf(&proof->intent, &leaf);
    proof->head = (cb_tree_head){1, cb_merkle_leaf(cb_buf_bytes(&leaf))};
    proof->index = 0;
    proof->path.count = 0;
    cb_buf_free(&leaf);
}

static void (*const other_proofs[])(cb_intent_proof *, const cb_intent_proof *) = {
    other_time,         next_place,
    place_before,       place_outside,
    place_far_outside,  other_root,
    other_size,         largest_size,
    empty_log,          no_mac,
    edited_mac,         no_path,
    shorter_path,       mac_of_another_head,
    longer_path,        longest_path,
    edited_path,        head_before_it,
    edited_end_of_path, log_of_its_own,
    nothing_at_all,     proof_of_another_leaf};

/* ---- */

/* Everything right but the intent that is recorded, or the proof that is shown. */
static cb_error open_with(front *f, const front_key *key, void (*record)(cb_intent *),
                          void (*show)(cb_intent_proof *, const cb_intent_proof *))
{
    front_tap tap;
    cb_intent_proof proof, earlier;
    cb_intent other = {.time = cb_clock_wall_us(), .card = cb_id_new()};
    good(front_activate(f, plain, &tap));
    cb_intent intent = front_intent(&tap, &key->info.key);
    record(&intent);
    good(front_record(f, &other, &earlier));
    good(front_record(f, &intent, &proof));
    if (show)
        show(&proof, &earlier);
    cb_error error =
        cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key->sealed), &proof);
    /* A proof that was refused ends the tap, so a better one comes too late. */
    if (error && error != CB_E_HSM_DOWN) {
        assert_int_not_equal(attack_sign(f, &tap, key), CB_OK);
        good(front_record(f, &intent, &proof));
        expect(CB_E_HSM_ACTIVATION,
               cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key->sealed), &proof));
    } else {
        good(attack_sign(f, &tap, key));
    }
    return error;
}

static void a_key_opens_for_its_recorded_intent_only(void **state)
{
    front *f = *state;
    front_key key;
    good(front_key_make(f, &f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    good(open_with(f, &key, nothing, NULL));
    for (size_t i = 0; i < sizeof other_intents / sizeof *other_intents; i++)
        expect(CB_E_HSM_INTENT, open_with(f, &key, other_intents[i], NULL));
    front_key_free(&key);
}

static void a_key_opens_with_the_proof_of_its_intent_only(void **state)
{
    front *f = *state;
    front_key key;
    good(front_key_make(f, &f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    for (size_t i = 0; i < sizeof other_proofs / sizeof *other_proofs; i++)
        expect(CB_E_HSM_INTENT, open_with(f, &key, nothing, other_proofs[i]));
    good(open_with(f, &key, nothing, NULL));
    front_key_free(&key);
}

/* The MACs that a front end gets to see are for one thing each. */
static void no_other_mac_stands_for_that_of_a_head(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    cb_intent_proof proof;
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    good(front_key_make(f, &f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    good(front_open(f, plain, &key, &tap));
    good(front_sign(f, &tap, &key, &receipt));
    const cb_buf *records[] = {&receipt, &key.sealed, &f->binding};
    for (size_t i = 0; i < 3; i++) {
        good(front_activate(f, plain, &tap));
        cb_intent intent = front_intent(&tap, &key.info.key);
        good(front_record(f, &intent, &proof));
        memcpy(proof.head_mac.bytes, records[i]->data + records[i]->len - CB_SHA256_SIZE,
               CB_SHA256_SIZE);
        expect(CB_E_HSM_INTENT,
               cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key.sealed), &proof));
    }
    cb_buf_free(&receipt);
    front_key_free(&key);
}

static void an_intent_serves_no_second_tap(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap, second;
    cb_intent_proof proof;
    good(front_key_make(f, &f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    good(front_activate(f, plain, &tap));
    cb_intent intent = front_intent(&tap, &key.info.key);
    good(front_record(f, &intent, &proof));
    good(cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key.sealed), &proof));
    good(attack_sign(f, &tap, &key));
    good(front_activate(f, plain, &second));
    expect(CB_E_HSM_INTENT,
           cb_hsm_tap_open_key(f->hsm, &second.context.tap, cb_buf_bytes(&key.sealed), &proof));
    front_key_free(&key);
}

/* Whatever the front end puts into the log: what the card has signed is for the terminal. */
static void a_proof_for_maintenance_takes_the_pin_and_opens_no_key(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    cb_intent_proof proof;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(front_key_make(f, &f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    for (uint8_t purpose = CB_TAP_MAINTENANCE; purpose <= CB_TAP_MAINTENANCE_END; purpose++) {
        expect(CB_E_ARGUMENT, front_challenge(f, (front_wish){"", NULL, CB_LEVEL_POSSESSION, purpose},
                                              &tap, &script));
        expect(CB_E_ARGUMENT, front_challenge(f, (front_wish){"tax", WORLD_PIN, CB_LEVEL_PIN, purpose},
                                              &tap, &script));
        expect(CB_E_PIN_REQUIRED,
               front_activate(f, (front_wish){"", NULL, CB_LEVEL_PIN, purpose}, &tap));
        good(front_activate(f, (front_wish){"", WORLD_PIN, CB_LEVEL_PIN, purpose}, &tap));
        cb_intent intent = front_intent(&tap, &key.info.key);
        good(front_record(f, &intent, &proof));
        expect(CB_E_HSM_ACTIVATION,
               cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key.sealed), &proof));
        cb_buf_reset(&script);
    }
    cb_buf_free(&script);
    front_key_free(&key);
}

const struct CMUnitTest attack_intent_tests[] = {
    cmocka_unit_test(a_key_opens_for_its_recorded_intent_only),
    cmocka_unit_test(a_key_opens_with_the_proof_of_its_intent_only),
    cmocka_unit_test(no_other_mac_stands_for_that_of_a_head),
    cmocka_unit_test(an_intent_serves_no_second_tap),
    cmocka_unit_test(a_proof_for_maintenance_takes_the_pin_and_opens_no_key),
};
const size_t attack_intent_count = sizeof attack_intent_tests / sizeof *attack_intent_tests;
