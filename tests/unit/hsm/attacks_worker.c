/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A tap's genuine messages, brought to another worker than its own by a front end that opens
 * whichever socket it likes.
 */
#include "attacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"

enum {
    WORKERS = 2, /* of both hsmds that are attacked */
    TRIES = 4 * WORKERS
};

static const front_wish plain = {"tax", NULL, CB_LEVEL_POSSESSION, 0};

/* A folder in which each worker's socket has the other one's name: what the client sends to the
 * worker that a tap lives in comes to the other one, not changed in any byte. */
typedef struct crossing {
    char folder[64];
    cb_hsm *hsm;
} crossing;

static void name_socket(char out[128], const char *folder, unsigned worker)
{
    snprintf(out, 128, "%s/use-%u.sock", folder, worker);
}

static void cross(crossing *c)
{
    char from[128], to[128];
    snprintf(c->folder, sizeof c->folder, "/tmp/cardbroker-crossed-XXXXXX");
    assert_non_null(mkdtemp(c->folder));
    for (unsigned i = 0; i < WORKERS; i++) {
        name_socket(to, attack_run, (i + 1) % WORKERS);
        name_socket(from, c->folder, i);
        assert_int_equal(symlink(to, from), 0);
    }
    good(cb_hsm_open(c->folder, &c->hsm));
}

static void uncross(crossing *c)
{
    char path[128];
    cb_hsm_close(&c->hsm);
    for (unsigned i = 0; i < WORKERS; i++) {
        name_socket(path, c->folder, i);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(c->folder), 0);
}

/* That worker has one of its own that may use such a key now. */
static void open_in(front *f, unsigned worker, const front_key *key, front_tap *tap)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        good(front_open(f, plain, key, tap));
        if (tap->context.tap.bytes[0] == worker)
            return;
        cb_hsm_tap_end(f->hsm, &tap->context.tap);
    }
    fail_msg("no tap came to worker %u", worker);
}

static void proves_at_its_own_only(front *f, cb_hsm *crossed, front_tap *tap)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    *tap = (front_tap){.context = {.terminal = f->terminal,
                                   .profile = CB_PROFILE_NATIVE,
                                   .purpose = CB_TAP_AUTHENTICATE,
                                   .level = plain.level}};
    memcpy(tap->context.service, plain.service, strlen(plain.service));
    good(cb_hsm_tap_begin(f->hsm, CB_PROFILE_NATIVE, &f->terminal, &tap->context.tap, &script));
    cb_vcard_reset(f->w->card);
    world_play(f->w->card, &script, &answers);
    cb_buf_reset(&script);
    expect(CB_E_TAP_UNKNOWN, cb_hsm_tap_challenge(crossed, &tap->context, cb_buf_bytes(&answers),
                                                  (cb_bytes){0}, (cb_bytes){0}, &script));
    assert_int_equal(script.len, 0);
    good(cb_hsm_tap_challenge(f->hsm, &tap->context, cb_buf_bytes(&answers), (cb_bytes){0},
                              (cb_bytes){0}, &script));
    world_play(f->w->card, &script, &answers);
    expect(CB_E_TAP_UNKNOWN,
           cb_hsm_tap_finish(crossed, &tap->context.tap, cb_buf_bytes(&answers), &tap->claim));
    good(cb_hsm_tap_finish(f->hsm, &tap->context.tap, cb_buf_bytes(&answers), &tap->claim));
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

/* In any worker but this one. */
static void prove_elsewhere(front *f, cb_hsm *crossed, unsigned worker, front_tap *tap)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        proves_at_its_own_only(f, crossed, tap);
        if (tap->context.tap.bytes[0] != worker)
            return;
        cb_hsm_tap_end(f->hsm, &tap->context.tap);
    }
    fail_msg("all taps came to worker %u", worker);
}

static void opens_at_its_own_only(front *f, cb_hsm *crossed, const front_key *key, front_tap *tap)
{
    cb_intent_proof proof;
    const cb_id *id = &tap->context.tap;
    expect(CB_E_TAP_UNKNOWN,
           cb_hsm_tap_activate(crossed, id, cb_buf_bytes(&f->binding), &f->feed, &tap->activation));
    assert_true(cb_id_is_zero(&tap->activation.holder));
    good(cb_hsm_tap_activate(f->hsm, id, cb_buf_bytes(&f->binding), &f->feed, &tap->activation));
    cb_intent intent = front_intent(tap, &key->info.key);
    good(front_record(f, &intent, &proof));
    expect(CB_E_HSM_ACTIVATION,
           cb_hsm_tap_open_key(crossed, id, cb_buf_bytes(&key->sealed), &proof));
    good(cb_hsm_tap_open_key(f->hsm, id, cb_buf_bytes(&key->sealed), &proof));
}

static void is_used_at_its_own_only(front *f, cb_hsm *crossed, const front_key *key,
                                    const front_tap *tap)
{
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    front there = *f;
    there.hsm = crossed;
    for (int i = 0; i < 2; i++) {
        expect(CB_E_HSM_ACTIVATION, front_sign(&there, tap, key, &receipt));
        assert_int_equal(receipt.len, 0);
        cb_hsm_tap_end(crossed, &tap->context.tap); /* ends nothing */
        good(attack_sign(f, tap, key));
    }
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, tap, key));
    cb_buf_free(&receipt);
}

/* Each message is refused there, at its time, and is as good as ever where it belongs; a tap that
 * the other worker has of its own, of the same holder and with the same key, is not touched. */
static void genuine_messages_of_a_tap_do_nothing_at_another_worker(void **state)
{
    front *f = *state;
    front_key key;
    crossing c;
    cross(&c);
    good(front_key_make(f, &f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 2, &key));
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        front_tap there, tap;
        open_in(f, worker, &key, &there);
        prove_elsewhere(f, c.hsm, worker, &tap);
        opens_at_its_own_only(f, c.hsm, &key, &tap);
        is_used_at_its_own_only(f, c.hsm, &key, &tap);
        for (unsigned use = 0; use < key.info.uses; use++)
            good(attack_sign(f, &there, &key));
    }
    front_key_free(&key);
    uncross(&c);
}

const struct CMUnitTest attack_worker_tests[] = {
    cmocka_unit_test(genuine_messages_of_a_tap_do_nothing_at_another_worker),
};

const size_t attack_worker_count = sizeof attack_worker_tests / sizeof *attack_worker_tests;
