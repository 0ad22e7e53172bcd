/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A real cardbroker-hsmd, a SoftHSM token, and a card in process.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attacks.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/msg.h"
#include "front.h"
#include "hsmd_support.h"

enum { SKIPPED = 77 };

static world w;
static hsmd h;
static front f;
static const front_wish plain = {"tax", NULL, CB_LEVEL_POSSESSION, 0};

static void write_anchor(void)
{
    char path[128];
    cb_buf certificate = CB_BUF(CB_CVC_MAX);
    snprintf(path, sizeof path, "%s/anchor.cvc", h.folder);
    good(cb_issue_certificate(&w.cards, cb_bytes_make(w.cards.anchor.name, w.cards.anchor.name_len),
                              CB_CVC_AUTHORITY, CB_BYTES_OF(w.cards.anchor.point),
                              cb_issue_days_from_today(5), &certificate));
    good(cb_file_replace(path, cb_buf_bytes(&certificate), 0600));
    cb_buf_free(&certificate);
}

static int setup(void **state)
{
    world_make(&w, false);
    write_anchor();
    if (hsmd_run(&h, "--initialise") != 0)
        return -1;
    hsmd_start(&h);
    attack_run = h.run;
    *state = &f;
    cb_hsm *hsm;
    good(cb_hsm_open(h.run, &hsm));
    good(hsmd_wait(hsm, false));
    cb_hsm_close(&hsm);
    good(front_make(&f, &w, h.run));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    front_free(&f);
    world_free(&w);
    return 0;
}

static int fresh_card(void **state)
{
    (void)state;
    cb_vcard_close(&w.card);
    return cb_vcard_make(&w.first, NULL, &w.card) == CB_OK ? 0 : -1;
}

static void without_certificates_only_taps_are_missing(void **state)
{
    front *fe = *state;
    front_tap tap;
    cb_hsm_state status;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    expect(CB_E_HSM_DOWN, cb_hsm_ping(fe->hsm));
    expect(CB_E_HSM_DOWN, front_begin(fe, &tap, &script));
    good(cb_hsm_status(fe->hsm, &status));
    assert_int_equal(status.workers, 2);
    assert_int_equal(status.generation, 1);
    assert_true(status.objects > 0 && status.objects < 64);
    hsmd_certify(&h, fe->hsm, fe->w);
    kill(h.pid, SIGHUP);
    good(hsmd_wait(fe->hsm, true));
    usleep(100000); /* the other worker */
    good(front_begin(fe, &tap, &script));
    cb_buf_free(&script);
}

static cb_error sign(front *fe, const front_tap *tap, const front_key *key)
{
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    cb_error error = front_sign(fe, tap, key, &receipt);
    cb_buf_free(&receipt);
    return error;
}

static void reloading_drops_no_tap(void **state)
{
    front *fe = *state;
    front_key key;
    front_tap tap;
    good(front_key_make(fe, &fe->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 2, &key));
    good(front_open(fe, plain, &key, &tap));
    hsmd_certify(&h, fe->hsm, fe->w);
    kill(h.pid, SIGHUP);
    usleep(200000);
    good(sign(fe, &tap, &key));
    good(front_open(fe, plain, &key, &tap));
    good(sign(fe, &tap, &key));
    front_key_free(&key);
}

static void a_bad_certificate_leaves_the_old_one_in_use(void **state)
{
    char path[128];
    front *fe = *state;
    front_tap tap;
    snprintf(path, sizeof path, "%s/agreement.cvc", h.folder);
    good(cb_file_replace(path, cb_bytes_str("nonsense"), 0600));
    kill(h.pid, SIGHUP);
    usleep(200000);
    good(front_activate(fe, plain, &tap));
    hsmd_certify(&h, fe->hsm, fe->w);
}

static void a_killed_worker_is_back_within_a_second(void **state)
{
    front *fe = *state;
    front_key key;
    front_tap tap;
    good(front_key_make(fe, &fe->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 2, &key));
    good(front_open(fe, plain, &key, &tap));
    kill(hsmd_worker_pid(&h, 0), SIGKILL);
    kill(hsmd_worker_pid(&h, 1), SIGKILL);
    int64_t from = cb_clock_monotonic_us();
    cb_error error;
    do
        error = front_open(fe, plain, &key, &tap);
    while (error && cb_clock_monotonic_us() - from < 5 * CB_SECOND);
    good(error);
    print_message("a tap %lld ms after both workers were killed\n",
                  (long long)(cb_clock_monotonic_us() - from) / 1000);
    assert_true(cb_clock_monotonic_us() - from < 2 * CB_SECOND);
    good(sign(fe, &tap, &key));
    front_key_free(&key);
}

static void keys_survive_new_generations_and_rewrapping(void **state)
{
    front *fe = *state;
    front_key key;
    front_tap tap;
    uint32_t generation = 0;
    good(front_key_make(fe, &fe->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    good(cb_hsm_new_generation(fe->hsm, &generation));
    assert_int_equal(generation, 2);
    good(front_open(fe, plain, &key, &tap));
    good(sign(fe, &tap, &key));
    cb_buf again = CB_BUF(CB_SEALED_MAX);
    good(cb_hsm_rewrap(fe->hsm, cb_buf_bytes(&key.sealed), &again));
    cb_sealed_info info;
    good(cb_sealed_info_read(cb_buf_bytes(&again), &info));
    assert_int_equal(info.generation, 2);
    cb_buf old = key.sealed;
    key.sealed = again;
    good(front_open(fe, plain, &key, &tap));
    good(sign(fe, &tap, &key));
    front_key_free(&key);
    cb_buf_free(&old);
}

/* The token library complains through the system's log then, which a worker cannot reach: it must not die of it. */
static void an_import_that_does_not_decrypt_is_an_error_and_nothing_else(void **state)
{
    front *fe = *state;
    uint8_t wrapped[424];
    pid_t before[4];
    for (unsigned i = 0; i < 4; i++)
        before[i] = hsmd_worker_pid(&h, i);
    cb_sealed_info info = {.holder = fe->holder,
                           .service = "tax",
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_POSSESSION,
                           .uses = 1,
                           .sequence = 1};
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), public_key = CB_BUF(CB_PUBLIC_KEY_MAX);
    for (int i = 0; i < 4; i++) {
        memset(wrapped, i, sizeof wrapped);
        expect(CB_E_FORMAT, cb_hsm_import(fe->hsm, &info, CB_BYTES_OF(wrapped), &sealed, &public_key));
    }
    assert_int_equal(sealed.len + public_key.len, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(hsmd_worker_pid(&h, i), before[i]);
}

static void every_algorithm_works_through_a_tap(void **state)
{
    static const struct {
        uint8_t algorithm, operation, hash;
        size_t data, result;
    } row[] = {{CB_KEY_EC_P384, CB_USE_SIGN_DIGEST, CB_HASH_SHA384, 48, 96},
               {CB_KEY_RSA_2048, CB_USE_SIGN_DIGEST, CB_HASH_SHA256, 32, 256},
               {CB_KEY_RSA_2048, CB_USE_SIGN_PSS, CB_HASH_SHA256, 32, 256},
               {CB_KEY_HMAC_SHA256, CB_USE_MAC, 0, 100, 32},
               {CB_KEY_SECRET, CB_USE_RELEASE, 0, 0, 0}};
    static const uint8_t data[128] = {1};
    front *fe = *state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        front_key key;
        front_tap tap;
        cb_buf result = CB_BUF(CB_USE_RESULT_MAX), receipt = CB_BUF(CB_RECEIPT_MAX);
        good(
            front_key_make(fe, &fe->holder, "tax", row[i].algorithm, CB_LEVEL_POSSESSION, 1, &key));
        good(front_open(fe, plain, &key, &tap));
        good(cb_hsm_use(fe->hsm, &tap.context.tap, row[i].operation, row[i].hash,
                        cb_bytes_make(data, row[i].data), &result, &receipt));
        if (row[i].result)
            assert_int_equal(result.len, row[i].result);
        else
            assert_true(result.len > 0);
        good(cb_hsm_receipt_check(fe->hsm, cb_buf_bytes(&receipt)));
        /* The wrong operation for the key: refused, and the tap is over. */
        good(front_open(fe, plain, &key, &tap));
        expect(CB_E_HSM_ALGORITHM,
               cb_hsm_use(fe->hsm, &tap.context.tap,
                          row[i].operation == CB_USE_MAC ? CB_USE_RELEASE : CB_USE_MAC, 0,
                          (cb_bytes){0}, &result, &receipt));
        cb_buf_free(&result);
        cb_buf_free(&receipt);
        front_key_free(&key);
    }
}

static void restart(front *fe)
{
    hsmd_kill(&h, 4);
    hsmd_start(&h);
    good(hsmd_wait(fe->hsm, true));
    usleep(100000); /* the other worker */
}

/* Whatever was under way is gone, and whatever was seen stays seen: a front end cannot begin again
 * from an earlier point. */
static void a_restart_forgets_taps_and_nothing_else(void **state)
{
    front *fe = *state;
    front_key key;
    front_tap open, active, finished, later;
    cb_intent_proof proof;
    cb_signed_head head;
    cb_merkle_proof none = {0};
    const cb_id *card = &fe->w->first.card;
    cb_id somebody = cb_id_new();
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    good(front_key_make(fe, &fe->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 2, &key));
    good(front_open(fe, plain, &key, &open));
    good(sign(fe, &open, &key));
    good(front_activate(fe, plain, &active));
    cb_intent intent = front_intent(&active, &key.info.key);
    good(front_record(fe, &intent, &proof));
    good(front_finish(fe, plain, &finished));
    cb_feed_head before = fe->feed;
    good(front_revoke(fe, CB_FEED_CARD_SUSPENDED, card));
    good(front_revoke(fe, CB_FEED_CARD_RESUMED, card));
    restart(fe);

    expect(CB_E_HSM_ACTIVATION, sign(fe, &open, &key));
    expect(CB_E_HSM_ACTIVATION,
           cb_hsm_tap_open_key(fe->hsm, &active.context.tap, cb_buf_bytes(&key.sealed), &proof));
    expect(CB_E_TAP_UNKNOWN,
           cb_hsm_tap_activate(fe->hsm, &finished.context.tap, cb_buf_bytes(&fe->binding),
                               &fe->feed, &finished.activation));
    expect(CB_E_CARD_SUSPENDED, front_activate(fe, plain, &later));
    good(cb_hsm_resume(fe->hsm, card));
    restart(fe);

    good(front_activate(fe, plain, &later));
    expect(CB_E_HSM_INTENT,
           cb_hsm_tap_open_key(fe->hsm, &later.context.tap, cb_buf_bytes(&key.sealed), &proof));
    good(front_finish(fe, plain, &later));
    expect(CB_E_HSM_ROLLED_BACK,
           cb_hsm_tap_activate(fe->hsm, &later.context.tap, cb_buf_bytes(&fe->binding), &before,
                               &later.activation));
    expect(CB_E_CARD_BOUND, cb_hsm_bind(fe->hsm, cb_buf_bytes(&fe->w->certificate), &somebody,
                                        CB_LEVEL_PIN, 2, &binding));
    cb_tree_head shorter = {fe->log.size - 1, cb_merkle_root(&fe->log)};
    expect(CB_E_HSM_HEAD, cb_hsm_sign_head(fe->hsm, &shorter, &none, &head, NULL));
    good(front_open(fe, plain, &key, &later));
    good(sign(fe, &later, &key));
    cb_buf_free(&binding);
    front_key_free(&key);
}

static unsigned connect_many(const char *lane, int *out, unsigned count)
{
    char path[128];
    unsigned made = 0;
    snprintf(path, sizeof path, "%s/%s.sock", h.run, lane);
    for (unsigned i = 0; i < count; i++)
        made += cb_msg_connect(path, &out[made]) == CB_OK;
    return made;
}

/* Connections that say nothing, half of a message, or nothing that can be understood. */
static void connections_that_say_nothing_keep_nobody_waiting(void **state)
{
    enum { MANY = 600, FEW = 100 };
    static int s[MANY + 2 * FEW];
    front *fe = *state;
    front_key key;
    front_tap tap;
    cb_hsm_state status;
    cb_tree_head head;
    uint8_t half[CB_MSG_HEADER - 1] = {0};
    struct rlimit files = {2048, 4096};
    setrlimit(RLIMIT_NOFILE, &files);
    good(front_key_make(fe, &fe->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    unsigned count = connect_many("use-0", s, MANY);
    count += connect_many("log", s + count, FEW);
    count += connect_many("use-1", s + count, FEW);
    for (unsigned i = 0; i < count; i += 2)
        (void)send(s[i], half, 1 + i % sizeof half, MSG_NOSIGNAL | MSG_DONTWAIT);
    int64_t from = cb_clock_monotonic_us();
    for (int i = 0; i < 20; i++) {
        good(cb_hsm_status(fe->hsm, &status));
        good(cb_hsm_head_state(fe->hsm, &head));
        good(front_open(fe, plain, &key, &tap)); /* in whichever worker */
        good(sign(fe, &tap, &key));
    }
    print_message("%u idle connections; 20 taps in %lld ms\n", count,
                  (long long)(cb_clock_monotonic_us() - from) / 1000);
    while (count > 0)
        close(s[--count]);
    good(front_open(fe, plain, &key, &tap));
    assert_true(hsmd_logged(&h, "request.malformed") <= 2 * 20 + 20);
    front_key_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_certificates_only_taps_are_missing),
        cmocka_unit_test_setup(reloading_drops_no_tap, fresh_card),
        cmocka_unit_test_setup(a_bad_certificate_leaves_the_old_one_in_use, fresh_card),
        cmocka_unit_test_setup(a_killed_worker_is_back_within_a_second, fresh_card),
        cmocka_unit_test_setup(keys_survive_new_generations_and_rewrapping, fresh_card),
        cmocka_unit_test_setup(an_import_that_does_not_decrypt_is_an_error_and_nothing_else,
                               fresh_card),
        cmocka_unit_test_setup(every_algorithm_works_through_a_tap, fresh_card),
        cmocka_unit_test_setup(a_restart_forgets_taps_and_nothing_else, fresh_card),
        cmocka_unit_test_setup(connections_that_say_nothing_keep_nobody_waiting, fresh_card),
    };
    struct CMUnitTest all[2 * ATTACKS_MAX];
    size_t count = 0;
    const char *program = getenv("CB_HSMD");
    if (!program || !hsmd_make(&h, program, "workers = 2\n")) {
        fputs("skipped: CB_HSMD is not set, or there is no SoftHSM\n", stderr);
        return SKIPPED;
    }
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        all[count++] = tests[i];
    struct CMUnitTest attacks[ATTACKS_MAX];
    size_t attack_count = attack_list(attacks);
    for (size_t i = 0; i < attack_count; i++)
        all[count++] = attacks[i];
    int failed = _cmocka_run_group_tests("hsmd", all, count, setup, teardown);
    if (!hsmd_end(&h)) {
        fputs("cardbroker-hsmd did not end well\n", stderr);
        failed++;
    }
    return failed;
}
