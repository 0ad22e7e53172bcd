/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/lanes_world.h"

#include <execinfo.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { LANES = FAKE_WORKERS + 2, SETTLE_MS = 1000 };

const front_wish lanes_wish = {.service = "tax", .pin = WORLD_PIN, .level = CB_LEVEL_PIN};

/* ---- What is not tested here ---- */

/* The card in process ends the program when it has no memory. */
void __real_world_play(cb_vcard *card, const cb_buf *script, cb_buf *answers);
void __wrap_world_play(cb_vcard *card, const cb_buf *script, cb_buf *answers);

cb_error lanes_play(void (*play)(void *context, const cb_buf *script, cb_buf *answers),
                    void *context, const cb_buf *script, cb_buf *answers)
{
    alloc_faults_pause(true);
    cb_buf own = CB_BUF(CB_SCRIPT_BYTES_MAX);
    play(context, script, &own);
    alloc_faults_pause(false);
    cb_buf_reset(answers);
    cb_buf_put(answers, cb_buf_bytes(&own));
    alloc_faults_pause(true);
    cb_buf_free(&own);
    alloc_faults_pause(false);
    return cb_buf_error(answers);
}

static void play_card(void *card, const cb_buf *script, cb_buf *answers)
{
    __real_world_play(card, script, answers);
}

void __wrap_world_play(cb_vcard *card, const cb_buf *script, cb_buf *answers)
{
    lanes_play(play_card, card, script, answers);
}

/* ---- What lanes keep ---- */

/* In memory that all processes share: blocks, beside those of taps that nobody went on with. */
static atomic_long *held;
static const cb_lane *served; /* in the process of a lane */

cb_error __real_cb_lane_serve(cb_lane *lane, int listener, void (*reload)(cb_lane *lane));
cb_error __wrap_cb_lane_serve(cb_lane *lane, int listener, void (*reload)(cb_lane *lane));
int __real_epoll_pwait(int set, struct epoll_event *out, int most, int wait, const sigset_t *mask);
int __wrap_epoll_pwait(int set, struct epoll_event *out, int most, int wait, const sigset_t *mask);

cb_error __wrap_cb_lane_serve(cb_lane *lane, int listener, void (*reload)(cb_lane *lane))
{
    void *frame;
    backtrace(&frame, 1); /* loads what it needs the first time, which is kept */
    served = lane;
    return __real_cb_lane_serve(lane, listener, reload);
}

static long held_by_taps(const cb_taps *taps)
{
    long blocks = 0;
    for (size_t i = 0; taps && i < taps->setup.capacity; i++) {
        const cb_tap *tap = &taps->tap[i];
        blocks += (tap->profile_state != NULL) + (tap->sealed.data != NULL) +
                  (tap->registering != NULL) + (tap->renewing != NULL);
    }
    return blocks;
}

static unsigned place_of(const cb_lane *lane)
{
    return lane->kind == CB_LANE_USE   ? lane->index
           : lane->kind == CB_LANE_LOG ? FAKE_WORKERS
                                       : FAKE_WORKERS + 1;
}

/* Said whenever a lane begins to wait. */
int __wrap_epoll_pwait(int set, struct epoll_event *out, int most, int wait, const sigset_t *mask)
{
    if (served)
        atomic_store(&held[place_of(served)], alloc_faults_live() - held_by_taps(served->taps));
    return __real_epoll_pwait(set, out, most, wait, mask);
}

/* A lane that has answered may still be about to let go. */
static long kept_by_lanes(void)
{
    static long last = LONG_MAX;
    long kept = 0;
    for (int64_t until = cb_deadline_in(SETTLE_MS * CB_MILLISECOND);;) {
        kept = 0;
        for (unsigned i = 0; i < LANES; i++)
            kept += atomic_load(&held[i]);
        if (kept <= last || cb_deadline_left_ms(until) == 0)
            break;
        usleep(500);
    }
    last = kept;
    return kept;
}

/* ---- The world ---- */

static const lanes_program *tried;
static lanes shared;

static void make(lanes *l)
{
    *l = (lanes){.moves = tried->moves};
    world_make(&l->w, false);
    if (l->moves)
        world_next_make(&l->next, &l->w);
    fake_make(&l->hsmd, &l->w);
    l->hsmd.config.taps = 4096; /* many are begun and left */
    l->hsmd.trust = tried->trust;
    held =
        mmap(NULL, LANES * sizeof *held, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(held != MAP_FAILED);
    fake_start(&l->hsmd);
    MUST(front_make(&l->front, &l->w, l->hsmd.folder));
    MUST(front_key_make(&l->front, &l->front.holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1,
                        &l->key));
    MUST(cb_memo_open(l->hsmd.config.bound_path, &l->bound));
    MUST(cb_memo_open(l->hsmd.config.guesses_path, &l->guesses));
}

static void unmake(lanes *l)
{
    cb_memo_close(&l->bound);
    cb_memo_close(&l->guesses);
    front_key_free(&l->key);
    front_free(&l->front);
    fake_end(&l->hsmd);
    munmap(held, LANES * sizeof *held);
    if (l->moves)
        world_next_free(&l->next);
    world_free(&l->w);
}

void lanes_connect_anew(lanes *l)
{
    cb_hsm_close(&l->front.hsm);
    MUST(cb_hsm_open(l->hsmd.folder, &l->front.hsm));
    /* What hsmd remembers of the log is what this front end goes on from. */
    cb_tree_head head;
    MUST(cb_hsm_head_state(l->front.hsm, &head));
    assert_int_equal(head.size, l->front.log.size);
    cb_hsm_close(&l->front.hsm);
    MUST(cb_hsm_open(l->hsmd.folder, &l->front.hsm));
}

void lanes_are_alive(const lanes *l)
{
    for (unsigned i = 0; i < LANES; i++)
        assert_int_equal(waitpid(l->hsmd.pid[i], NULL, WNOHANG), 0);
    /* Each lane answers one after the other. */
    cb_tree_head head;
    cb_hsm_state state;
    for (uint8_t worker = 0; worker < FAKE_WORKERS; worker++) {
        cb_feed_head feed;
        MUST(cb_hsm_feed_state(l->front.hsm, &(cb_id){{worker}}, &feed));
    }
    MUST(cb_hsm_head_state(l->front.hsm, &head));
    MUST(cb_hsm_status(l->front.hsm, &state));
}

void lanes_lay_card(lanes *l)
{
    alloc_faults_pause(true); /* it stays there when the run is over */
    cb_vcard_close(&l->w.card);
    MUST(cb_vcard_make(&l->w.first, NULL, &l->w.card));
    alloc_faults_pause(false);
}

void lanes_lay_another_card(lanes *l)
{
    world *w = &l->w;
    front *f = &l->front;
    cb_issue_order order = {&w->kloc,
                            1,
                            cb_bytes_str(WORLD_PIN),
                            cb_bytes_str(WORLD_CODE),
                            false,
                            cb_issue_days_from_today(5)};
    cb_buf_reset(&w->certificate);
    MUST(cb_issue_card(&w->cards, &w->batch, &order, &w->first, &w->certificate));
    lanes_lay_card(l);
    cb_buf_reset(&f->binding);
    MUST(cb_hsm_bind(f->hsm, cb_buf_bytes(&w->certificate), &f->holder, CB_LEVEL_PIN, 1,
                     &f->binding));
}

/* ---- Steps ---- */

static void disarm(void)
{
    alloc_faults.disarm();
    socket_faults.disarm();
    interrupt_faults.disarm();
}

cb_error lanes_record(lanes *l, const cb_intent *intent, cb_intent_proof *proof)
{
    cb_tree_head head;
    cb_merkle_frontier before = l->front.log;
    cb_error error = front_record(&l->front, intent, proof);
    if (error && l->front.log.size > before.size) {
        disarm();
        MUST(cb_hsm_head_state(l->front.hsm, &head));
        if (head.size == before.size)
            l->front.log = before;
    }
    return error;
}

cb_error lanes_tap(lanes *l, cb_activation *activation)
{
    front_tap tap = {0};
    cb_intent_proof proof;
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    front *f = &l->front;
    cb_error error = front_activate(f, lanes_wish, &tap);
    cb_intent intent = front_intent(&tap, &l->key.info.key);
    if (!error)
        error = lanes_record(l, &intent, &proof);
    if (!error)
        error = cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&l->key.sealed), &proof);
    if (!error)
        error = front_sign(f, &tap, &l->key, &receipt);
    if (!error && receipt.len == 0)
        error = LANES_WRONG;
    if (activation)
        *activation = tap.activation;
    cb_buf_free(&receipt);
    return error;
}

void lanes_feed(lanes *l, uint8_t kind, const cb_id *subject)
{
    MUST(front_revoke(&l->front, kind, subject));
}

cb_error lanes_judge(cb_error error)
{
    switch (cb_error_class_of(error)) {
    case CB_CLASS_OK:
    case CB_CLASS_UPSTREAM:
    case CB_CLASS_UNAVAILABLE:
    case CB_CLASS_TIMEOUT:
    case CB_CLASS_INTERNAL:
        return error;
    default:
        if (error != LANES_WRONG)
            fprintf(stderr, "a fault of ours is said to be another's: %s\n", cb_error_code(error));
        return LANES_WRONG;
    }
}

cb_error lanes_judge_binding(cb_error error, const cb_buf *made, const cb_id *holder,
                             uint64_t sequence)
{
    cb_binding_info info = {.level = 0};
    alloc_faults_pause(true);
    if (!error &&
        (fake_vault.binding_check(NULL, cb_buf_bytes(made), &info) ||
         !cb_id_same(&info.holder, holder) || info.sequence != sequence || info.keys.count == 0))
        error = LANES_WRONG;
    alloc_faults_pause(false);
    return error;
}

/* ---- The program ---- */

static int setup(void **state)
{
    (void)state;
    make(&shared);
    if (tried->made)
        tried->made(&shared);
    fault_also(kept_by_lanes);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fault_also(NULL);
    if (tried->gone)
        tried->gone(&shared);
    unmake(&shared);
    return 0;
}

static void each_flow(const fault_kind *kind)
{
    for (size_t i = 0; i < tried->count; i++)
        fault_each(kind, &tried->flow[i], &shared, tried->runs);
}

static void a_failed_allocation_ends_nothing_but_its_request(void **state)
{
    (void)state;
    each_flow(&alloc_faults);
}

static void a_broken_connection_ends_nothing_but_its_request(void **state)
{
    (void)state;
    each_flow(&socket_faults);
}

static void an_interruption_ends_nothing(void **state)
{
    (void)state;
    each_flow(&interrupt_faults);
}

int lanes_main(const lanes_program *program)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_failed_allocation_ends_nothing_but_its_request, fault_said),
        cmocka_unit_test_teardown(a_broken_connection_ends_nothing_but_its_request, fault_said),
        cmocka_unit_test_teardown(an_interruption_ends_nothing, fault_said),
    };
    tried = program;
    fault_quiet();
    return cmocka_run_group_tests(tests, setup, teardown);
}
