/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The client against lanes in processes of their own, over a vault in memory.
 */
#include "hsm/client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attacks.h"
#include "base/clock.h"
#include "base/msg.h"
#include "fake.h"
#include "front.h"

static world w;
static fake f;
static front front_end;

static int setup(void **state)
{
    world_make(&w, false);
    fake_make(&f, &w);
    fake_start(&f);
    attack_run = f.folder;
    if (front_make(&front_end, &w, f.folder) != CB_OK)
        return -1;
    *state = &front_end;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    front_free(&front_end);
    fake_end(&f);
    world_free(&w);
    return 0;
}

static const front_wish plain = {"tax", NULL, CB_LEVEL_POSSESSION, 0};

static void a_worker_that_dies_costs_its_taps_only(void **state)
{
    front *fe = *state;
    front_tap tap;
    front_key key;
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    good(front_key_make(fe, &fe->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 2, &key));
    good(front_open(fe, plain, &key, &tap));
    unsigned worker = tap.context.tap.bytes[0];
    fake_kill(&f, worker);
    fake_restart(&f, worker);
    expect(CB_E_HSM_ACTIVATION, front_sign(fe, &tap, &key, &receipt));
    for (int i = 0; i < 4; i++) {
        good(front_open(fe, plain, &key, &tap));
        good(front_sign(fe, &tap, &key, &receipt));
        cb_buf_reset(&receipt);
    }
    cb_buf_free(&receipt);
    front_key_free(&key);
}

/* Nobody answers on the socket of a worker that is down, but its connections wait: the client gives
 * up soon. */
static void calls_do_not_hang_on_a_worker_that_is_down(void **state)
{
    front *fe = *state;
    front_tap tap;
    front_key key;
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    good(front_key_make(fe, &fe->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 2, &key));
    good(front_open(fe, plain, &key, &tap));
    fake_kill(&f, 0);
    fake_kill(&f, 1);
    int64_t from = cb_clock_monotonic_us();
    expect(CB_E_HSM_DOWN, front_sign(fe, &tap, &key, &receipt));
    assert_true(cb_clock_monotonic_us() - from < 3 * CB_SECOND);
    expect(CB_E_HSM_DOWN, cb_hsm_ping(fe->hsm));
    fake_restart(&f, 0);
    fake_restart(&f, 1);
    good(cb_hsm_ping(fe->hsm));
    good(front_activate(fe, plain, &tap));
    cb_buf_free(&receipt);
    front_key_free(&key);
}

static void there_is_an_error_where_there_is_no_hsmd(void **state)
{
    cb_hsm *hsm;
    cb_id tap, terminal = cb_id_new();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_tree_head head;
    cb_hsm_state status;
    (void)state;
    good(cb_hsm_open("/nonexistent", &hsm));
    expect(CB_E_HSM_DOWN, cb_hsm_ping(hsm));
    expect(CB_E_HSM_DOWN, cb_hsm_tap_begin(hsm, CB_PROFILE_NATIVE, &terminal, &tap, &script));
    expect(CB_E_HSM_DOWN, cb_hsm_head_state(hsm, &head));
    expect(CB_E_HSM_DOWN, cb_hsm_status(hsm, &status));
    expect(CB_E_HSM_DOWN, cb_hsm_public_key(hsm, "log", &script));
    cb_hsm_close(&hsm);
}

static void a_full_worker_says_so(void **state)
{
    front *fe = *state;
    cb_id tap[3 * 64], none;
    size_t begun = 0;
    cb_error error = CB_OK;
    for (size_t i = 0; i < sizeof tap / sizeof *tap && !error; i++) {
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
        error = cb_hsm_tap_begin(fe->hsm, CB_PROFILE_NATIVE, &fe->terminal, &tap[begun], &script);
        begun += error == CB_OK;
        cb_buf_free(&script);
    }
    expect(CB_E_BUSY, error);
    assert_true(begun >= 100 && begun <= 128);
    for (size_t i = 0; i < begun; i++)
        cb_hsm_tap_end(fe->hsm, &tap[i]);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    expect(CB_E_ARGUMENT, cb_hsm_tap_begin(fe->hsm, 99, &fe->terminal, &none, &script));
    good(cb_hsm_tap_begin(fe->hsm, CB_PROFILE_NATIVE, &fe->terminal, &none, &script));
    cb_buf_free(&script);
}

static void the_manage_lane_answers(void **state)
{
    front *fe = *state;
    front_key key;
    cb_hsm_state status;
    uint32_t generation = 0;
    cb_buf out = CB_BUF(CB_SEALED_MAX), csr = CB_BUF(4096);
    good(cb_hsm_status(fe->hsm, &status));
    assert_int_equal(status.workers, FAKE_WORKERS);
    assert_int_equal(status.objects, 7);
    assert_int_equal(status.feed_number, fe->feed.number);
    assert_int_equal(status.log_size, fe->log.size);
    assert_false(status.separated);
    good(cb_hsm_new_generation(fe->hsm, &generation));
    assert_int_equal(generation, 2);
    good(front_key_make(fe, &fe->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    assert_false(cb_id_is_zero(&key.info.key));
    good(cb_hsm_rewrap(fe->hsm, cb_buf_bytes(&key.sealed), &out));
    expect(CB_E_HSM_RECORD, cb_hsm_rewrap(fe->hsm, (cb_bytes){0}, &out));
    cb_buf_reset(&key.sealed);
    cb_buf_reset(&key.public_key);
    good(cb_hsm_generate(fe->hsm, &key.info, cb_bytes_str("subject"), &key.sealed, &key.public_key,
                         &csr));
    assert_int_equal(csr.len, 7);
    good(cb_hsm_import(fe->hsm, &key.info, cb_bytes_str("wrapped"), &key.sealed, &key.public_key));
    key.info.service[0] = 'X';
    expect(CB_E_ARGUMENT, cb_hsm_import(fe->hsm, &key.info, cb_bytes_str("wrapped"), &key.sealed,
                                        &key.public_key));
    expect(CB_E_NOT_FOUND, cb_hsm_public_key(fe->hsm, "nonsense", &out));
    expect(CB_E_NOT_FOUND, cb_hsm_public_key(fe->hsm, "", &out));
    cb_buf_free(&out);
    cb_buf_free(&csr);
    front_key_free(&key);
}

static void connecting_where_nobody_accepts_ends(void **state)
{
    char path[128];
    int listener, s[300];
    unsigned count = 0;
    cb_error error = CB_OK;
    (void)state;
    snprintf(path, sizeof path, "%s/deaf.sock", f.folder);
    good(cb_msg_listen(path, 0600, &listener));
    int64_t from = cb_clock_monotonic_us();
    while (!error && count < sizeof s / sizeof *s) {
        error = cb_msg_connect(path, &s[count]);
        count += error == CB_OK;
    }
    expect(CB_E_CLOSED, error);
    assert_true(cb_clock_monotonic_us() - from < 5 * CB_SECOND);
    while (count > 0)
        close(s[--count]);
    close(listener);
    unlink(path);
}

/* Somebody in the log lane's place: greets, and says of all else that it has no memory; or does so
 * of the greeting as well. */
typedef struct poor_lane {
    int listener;
    bool greets;
} poor_lane;

static void *answer_poorly(void *context)
{
    const poor_lane *lane = context;
    cb_msg msg;
    int fd = accept(lane->listener, NULL, NULL);
    bool first = true;
    cb_msg_init(&msg, 0);
    while (fd >= 0 && cb_msg_receive(fd, &msg, cb_deadline_in(60 * CB_SECOND)) == CB_OK) {
        cb_buf_reset(&msg.body);
        msg.error = first && lane->greets ? CB_OK : CB_E_MEMORY;
        first = false;
        if (cb_msg_send(fd, &msg, cb_deadline_in(60 * CB_SECOND)) != CB_OK)
            break;
    }
    if (fd >= 0)
        close(fd);
    cb_msg_free(&msg);
    return NULL;
}

/* Whoever asks for a signature looks where memory is wanting by this. */
static void want_of_memory_in_the_log_lane_is_the_key_services(void **state)
{
    (void)state;
    for (int sign = 0; sign < 2; sign++) {
        for (int greets = 0; greets < 2; greets++) {
            char folder[] = "/tmp/poor-XXXXXX", path[64];
            poor_lane lane = {.greets = greets};
            pthread_t thread;
            cb_hsm *hsm;
            cb_tree_head head = {.size = 1}, remembered;
            cb_signed_head out;
            const cb_merkle_proof none = {.count = 0};
            assert_non_null(mkdtemp(folder));
            snprintf(path, sizeof path, "%s/log.sock", folder);
            good(cb_msg_listen(path, 0600, &lane.listener));
            assert_int_equal(pthread_create(&thread, NULL, answer_poorly, &lane), 0);
            good(cb_hsm_open(folder, &hsm));
            expect(CB_E_HSM_DOWN, sign ? cb_hsm_sign_head(hsm, &head, &none, &out, &remembered)
                                       : cb_hsm_head_state(hsm, &remembered));
            cb_hsm_close(&hsm);
            pthread_join(thread, NULL);
            close(lane.listener);
            unlink(path);
            assert_int_equal(rmdir(folder), 0);
        }
    }
}

enum { THREADS = 6, ROUNDS = 20 };

static void *begin_and_end(void *context)
{
    front *fe = context;
    for (int i = 0; i < ROUNDS; i++) {
        cb_id tap, terminal = cb_id_new();
        cb_feed_head head;
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
        cb_error error = cb_hsm_tap_begin(fe->hsm, CB_PROFILE_NATIVE, &terminal, &tap, &script);
        if (!error)
            error = cb_hsm_feed_state(fe->hsm, &tap, &head);
        cb_hsm_tap_end(fe->hsm, &tap);
        cb_buf_free(&script);
        if (error)
            return (void *)(uintptr_t)error;
    }
    return NULL;
}

static void many_threads_share_a_client(void **state)
{
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, begin_and_end, *state), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(thread[i], &result);
        assert_null(result);
    }
}

/* Whatever the front end, or a row of the database, says of that day. */
static void a_card_whose_last_day_is_over_opens_nothing(void **state)
{
    front *at = *state;
    front_tap tap;
    cb_binding_info info;
    cb_buf whole = at->binding, old = CB_BUF(CB_BINDING_MAX);
    good(cb_binding_info_read(cb_buf_bytes(&at->binding), &info));
    assert_true(info.expires > cb_clock_wall_us()); /* its certificate's last day */
    info.expires = cb_clock_wall_us() - 1;
    good(fake_make_binding(&info, &old));
    at->binding = old;
    expect(CB_E_CARD_EXPIRED, front_activate(at, plain, &tap));
    for (size_t i = 0; i < 8; i++) { /* a later day in it is not what hsmd wrote */
        at->binding.data[2 + 2 * CB_ID_SIZE + 2 + 8 + i] ^= 0x40;
        expect(CB_E_HSM_RECORD, front_activate(at, plain, &tap));
        at->binding.data[2 + 2 * CB_ID_SIZE + 2 + 8 + i] ^= 0x40;
    }
    at->binding = whole;
    good(front_activate(at, plain, &tap));
    cb_buf_free(&old);
}

/* Though its own would be good for longer, and it lags too far behind to say so itself. */
static void a_card_whose_batch_is_over_opens_nothing(void **state)
{
    front *at = *state;
    front_tap tap;
    const front_wish pin = {"tax", WORLD_PIN, CB_LEVEL_PIN, 0};
    const front_wish change = {"", WORLD_PIN, CB_LEVEL_POSSESSION, CB_TAP_PIN_CHANGE};
    const cb_vcard_state first = at->w->first;
    world_redate(at->w, (cb_issue_days){0x20200101, 0x20211231}, 0x20200102);
    good(front_finish(at, plain, &tap)); /* it is known whose it is, and no more */
    assert_true(cb_id_same(&tap.claim.card, &first.card));
    expect(CB_E_CARD_EXPIRED, front_activate(at, plain, &tap));
    expect(CB_E_CARD_EXPIRED, front_activate(at, pin, &tap));
    assert_int_equal(tap.claim.pin, CB_PIN_NOT_PRESENTED);
    expect(CB_E_CARD_EXPIRED, front_finish(at, change, &tap));
    at->w->first = first;
    cb_vcard_close(&at->w->card);
    good(cb_vcard_make(&first, NULL, &at->w->card));
    good(front_activate(at, plain, &tap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manage_lane_answers),
        cmocka_unit_test(a_worker_that_dies_costs_its_taps_only),
        cmocka_unit_test(calls_do_not_hang_on_a_worker_that_is_down),
        cmocka_unit_test(there_is_an_error_where_there_is_no_hsmd),
        cmocka_unit_test(a_full_worker_says_so),
        cmocka_unit_test(connecting_where_nobody_accepts_ends),
        cmocka_unit_test(want_of_memory_in_the_log_lane_is_the_key_services),
        cmocka_unit_test(many_threads_share_a_client),
        cmocka_unit_test(a_card_whose_last_day_is_over_opens_nothing),
        cmocka_unit_test(a_card_whose_batch_is_over_opens_nothing),
    };
    int failed = cmocka_run_group_tests_name("client", tests, setup, teardown);
    struct CMUnitTest attacks[ATTACKS_MAX];
    failed += _cmocka_run_group_tests("attacks from the front end's place", attacks,
                                      attack_list(attacks), setup, teardown);
    return failed;
}
