/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The card application by itself: what it takes and remembers, its file, nonsense.
 * card_states_test.c has every command in every state.
 */
#include "hand.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"

static int setup(void **state)
{
    *state = malloc(sizeof(world));
    world_make(*state, false);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    free(*state);
    return 0;
}

static void the_atr_has_a_good_check_byte(void **state)
{
    uint8_t check = 0;
    (void)state;
    for (size_t i = 1; i < sizeof cb_vcard_atr; i++)
        check ^= cb_vcard_atr[i];
    assert_int_equal(check, 0);
    assert_int_equal(cb_vcard_atr[1] & 0x0F, sizeof cb_vcard_atr - 5);
}

/* Who knows a batch key, and so can open a channel, spends nobody's tries. */
static void no_pin_is_compared_before_the_broker_has_signed(void **state)
{
    static const uint8_t ins[] = {CB_INS_VERIFY, CB_INS_CHANGE, CB_INS_UNBLOCK};
    static const cb_pin_form forms[] = {CB_PIN_FORM_VERIFY, CB_PIN_FORM_CHANGE,
                                        CB_PIN_FORM_UNBLOCK};
    world *w = *state;
    for (size_t i = 0; i < sizeof ins; i++) {
        const char *fresh = forms[i] == CB_PIN_FORM_VERIFY ? NULL : "9999";
        const char *secret = forms[i] == CB_PIN_FORM_UNBLOCK ? "00000000" : "0000";
        hand h;
        hand_open(&h, w);
        assert_int_equal(hand_pin(&h, ins[i], forms[i], secret, fresh), CB_SW_CONDITIONS);
        hand_open(&h, w);
        assert_int_equal(hand_signer(&h), CB_SW_OK);
        assert_int_equal(hand_pin(&h, ins[i], forms[i], secret, fresh), CB_SW_CONDITIONS);
        hand_open(&h, w);
        assert_int_equal(hand_signer(&h), CB_SW_OK);
        h.request.transcript.bytes[0] ^= 1; /* a signature of another session */
        assert_int_equal(hand_request(&h), CB_SW_SECURITY);
        assert_int_equal(hand_pin(&h, ins[i], forms[i], secret, fresh), CB_SW_SECURITY);
    }
    assert_memory_equal(cb_vcard_state_of(w->card), &w->first,
                        offsetof(cb_vcard_state, remembered));
    assert_int_equal(cb_vcard_state_of(w->card)->pin_tries, 3);
    assert_int_equal(cb_vcard_state_of(w->card)->code_tries, 10);
    assert_int_equal(cb_vcard_state_of(w->card)->failures, 0);
}

static void one_pin_command_a_session(void **state)
{
    world *w = *state;
    hand h;
    hand_authenticate(&h, w);
    assert_int_equal(hand_verify(&h, "0000"), 0x63C2);
    assert_int_equal(hand_verify(&h, WORLD_PIN), CB_SW_CONDITIONS);
    assert_int_equal(cb_vcard_state_of(w->card)->pin_tries, 2);
    assert_int_equal(hand_prove(&h), CB_SW_OK);
}

static void a_pin_block_is_for_its_command(void **state)
{
    world *w = *state;
    hand h;
    hand_authenticate(&h, w);
    assert_int_equal(hand_pin(&h, CB_INS_VERIFY, CB_PIN_FORM_CHANGE, WORLD_PIN, "9999"),
                     CB_SW_DATA);
    hand_authenticate(&h, w);
    assert_int_equal(hand_pin(&h, CB_INS_UNBLOCK, CB_PIN_FORM_CHANGE, WORLD_PIN, "9999"),
                     CB_SW_DATA);
    assert_int_equal(cb_vcard_state_of(w->card)->pin_tries, 3);
    assert_int_equal(cb_vcard_state_of(w->card)->code_tries, 10);
}

static void a_request_for_another_transcript_or_context_is_refused(void **state)
{
    world *w = *state;
    for (int part = 0; part < 4; part++) {
        hand h;
        hand_open(&h, w);
        assert_int_equal(hand_signer(&h), CB_SW_OK);
        uint8_t *field[] = {h.request.transcript.bytes, h.request.signer_certificate.bytes,
                            h.request.nonce, h.request.context.bytes};
        field[part][0] ^= 1; /* signed so, but the command carries zeros */
        assert_int_equal(hand_request(&h), CB_SW_SECURITY);
    }
    assert_int_equal(cb_vcard_state_of(w->card)->counter, 0);
}

/* Writes a state in a process that is ended at a boundary of its system calls. False: it had come
 * to its end before. */
static bool write_killed_at(const char *path, const cb_vcard_state *next_state, int boundary)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(2);
        raise(SIGSTOP);
        _exit(world_state_write(path, next_state) ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    for (int i = 0; i < boundary && WIFSTOPPED(status); i++) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    if (!WIFSTOPPED(status)) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
            skip(); /* nobody may be traced here */
        assert_int_equal(status, 0);
        return false;
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    return true;
}

static void a_write_that_is_cut_anywhere_leaves_the_state_before_or_after(void **state)
{
    world *w = *state;
    char path[] = "/tmp/cardlink-card-XXXXXX", beside[64];
    cb_vcard_state after = w->first, now;
    int boundary = 1, old = 0;
    after.pin_tries = 1;
    close(mkstemp(path));
    snprintf(beside, sizeof beside, "%s.new", path);
    for (;; boundary++) {
        assert_int_equal(world_state_write(path, &w->first), CB_OK); /* past what lies beside */
        bool cut = write_killed_at(path, &after, boundary);
        assert_int_equal(world_state_read(path, &now), CB_OK);
        assert_true(now.pin_tries == 1 || (cut && now.pin_tries == 3));
        old += now.pin_tries == 3;
        if (!cut)
            break;
    }
    assert_true(old > 5 && old < boundary - 1); /* it was cut on both sides of the change */
    unlink(beside);
    unlink(path);
}

static cb_error save_nothing(void *context, const cb_vcard *card)
{
    int *left = context;
    (void)card;
    return (*left)-- > 0 ? CB_OK : CB_E_IO;
}

static void memory_that_fails_silences_the_card(void **state)
{
    world *w = *state;
    for (int writes = 0; writes < 3; writes++) {
        int left = writes;
        cb_card_claim claim;
        cb_vcard_store store = {&left, save_nothing};
        cb_vcard_close(&w->card);
        assert_int_equal(cb_vcard_make(&w->first, &store, &w->card), CB_OK);
        assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_E_CARD_STATUS);
        assert_int_equal(hand_select(w->card), CB_SW_MEMORY);
        cb_vcard_reset(w->card);
        assert_int_equal(hand_select(w->card), CB_SW_OK);
    }
}

static void a_state_file_belongs_to_one_program(void **state)
{
    world *w = *state;
    char path[] = "/tmp/cardlink-card-XXXXXX", lock[64];
    cb_vcard *one, *two;
    cb_card_claim claim;
    close(mkstemp(path));
    snprintf(lock, sizeof lock, "%s.lock", path);
    assert_int_equal(world_state_write(path, &w->first), CB_OK);
    assert_int_equal(cb_vcard_open(path, &one), CB_OK);
    assert_int_equal(cb_vcard_open(path, &two), CB_E_BUSY);
    assert_null(two);
    cb_vcard_close(&w->card);
    w->card = one;
    for (int i = 0; i < 3; i++)
        assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    cb_vcard_close(&w->card);
    assert_int_equal(cb_vcard_open(path, &w->card), CB_OK);
    assert_int_equal(cb_vcard_state_of(w->card)->counter, 3);
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_OK);
    assert_int_equal(claim.counter, 4);
    assert_int_equal(cb_vcard_open("/nonexistent/card", &two), CB_E_NOT_FOUND);
    unlink(path);
    unlink(lock);
}

static void a_damaged_state_is_refused(void **state)
{
    world *w = *state;
    cb_buf file = CB_BUF(CB_VCARD_STATE_MAX);
    cb_vcard_state read;
    cb_vcard_state_put(&file, &w->first);
    assert_int_equal(cb_buf_error(&file), CB_OK);
    assert_int_equal(cb_vcard_state_parse(cb_buf_bytes(&file), &read), CB_OK);
    assert_memory_equal(&read.card, &w->first.card, sizeof read.card);
    assert_memory_equal(read.kloc, w->first.kloc, sizeof read.kloc);
    for (size_t i = 0; i < file.len; i++) {
        file.data[i] ^= 0x10;
        assert_int_equal(cb_vcard_state_parse(cb_buf_bytes(&file), &read), CB_E_FORMAT);
        file.data[i] ^= 0x10;
        assert_int_equal(cb_vcard_state_parse(cb_bytes_make(file.data, i), &read), CB_E_FORMAT);
    }
    cb_buf_free(&file);
}

static void verified_certificates_are_remembered_with_the_next_proof(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_OK);
    cb_digest signer = cb_sha256(cb_buf_bytes(&w->signer_certificate));
    const cb_vcard_state *now = cb_vcard_state_of(w->card);
    assert_memory_equal(now->remembered[CB_VCARD_SLOT_SIGNER].digest.bytes, signer.bytes, 32);
    /* What is remembered for one use is not taken for the other. */
    w->host.agreement_certificate = cb_buf_bytes(&w->signer_certificate);
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_FOREIGN);
}

/* A small generator that gives the same numbers every time. */
static uint32_t next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

static void nonsense_is_answered_and_does_no_harm(void **state)
{
    static const uint8_t known[] = {CB_INS_SELECT, CB_INS_GET_DATA, CB_INS_PSO,     CB_INS_MUTUAL,
                                    CB_INS_VERIFY, CB_INS_CHANGE,   CB_INS_UNBLOCK, CB_INS_PROVE};
    world *w = *state;
    uint32_t seed = 2463534242u;
    for (int i = 0; i < 30000; i++) {
        uint8_t command[300];
        size_t len = next(&seed) % (i % 4 ? 40 : sizeof command);
        cb_buf answer = CB_BUF(512);
        for (size_t j = 0; j < len; j++)
            command[j] = (uint8_t)next(&seed);
        if (len > 5 && i % 3) {
            command[0] = (uint8_t[]){0x00, 0x80, 0x84}[next(&seed) % 3];
            command[1] = known[next(&seed) % sizeof known];
            command[4] = (uint8_t)(len - 5);
        }
        if (i % 64 == 0)
            hand_select(w->card);
        cb_vcard_process(w->card, cb_bytes_make(command, len), &answer);
        assert_int_equal(cb_buf_error(&answer), CB_OK);
        assert_true(answer.len >= 2 && answer.len <= 258);
        cb_buf_free(&answer);
    }
    assert_int_equal(cb_vcard_state_of(w->card)->counter, 0);
    assert_int_equal(cb_vcard_state_of(w->card)->pin_tries, 3);
    cb_card_claim claim;
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
}

static void nonsense_inside_the_channel_does_no_harm(void **state)
{
    world *w = *state;
    uint32_t seed = 88172645u;
    for (int i = 0; i < 300; i++) {
        hand h;
        uint8_t data[CB_SM_PLAIN_MAX];
        hand_open(&h, w);
        if (i % 3)
            assert_int_equal(hand_signer(&h), CB_SW_OK);
        if (i % 3 == 2)
            assert_int_equal(hand_request(&h), CB_SW_OK);
        for (size_t j = 0; j < sizeof data; j++)
            data[j] = (uint8_t)next(&seed);
        static const uint8_t ins[] = {CB_INS_PSO,     CB_INS_REQUEST, CB_INS_VERIFY, CB_INS_CHANGE,
                                      CB_INS_UNBLOCK, CB_INS_PROVE,   0x00,          0xFF};
        uint8_t p2 = i % 4 ? 0x80 : 0x20;
        hand_secure(&h, ins[next(&seed) % sizeof ins], i % 5 == 0, p2,
                    cb_bytes_make(data, 1 + next(&seed) % (sizeof data - 1)));
    }
    assert_int_equal(cb_vcard_state_of(w->card)->counter, 0);
    assert_int_equal(cb_vcard_state_of(w->card)->pin_tries, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_atr_has_a_good_check_byte),
        TEST(no_pin_is_compared_before_the_broker_has_signed),
        TEST(one_pin_command_a_session),
        TEST(a_pin_block_is_for_its_command),
        TEST(a_request_for_another_transcript_or_context_is_refused),
        TEST(a_write_that_is_cut_anywhere_leaves_the_state_before_or_after),
        TEST(memory_that_fails_silences_the_card),
        TEST(a_state_file_belongs_to_one_program),
        TEST(a_damaged_state_is_refused),
        TEST(verified_certificates_are_remembered_with_the_next_proof),
        TEST(nonsense_is_answered_and_does_no_harm),
        TEST(nonsense_inside_the_channel_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
