/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The SCP03 application of the virtual card before a host that does right, and hosts that do not.
 */
#include "cardlink/card/scp03/application.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/card/card.h"
#include "cardlink/issuer/scp03.h"
#include "cardlink/scp03/presence.h"
#include "cardlink/script.h"

/* Both ends; the host's keys come from the master key, as in production. */
typedef struct ends {
    cb_scp03_plain_master plain;
    cb_scp03_master master;
    cb_vcard *card;
    cb_buf answer;
    bool disk_fails;
    unsigned saves;
    /* the host's */
    cb_scp03_update update;
    cb_scp03_session session;
    cb_sm_mark mark;
    cb_digest context;
} ends;

static cb_error save(void *context, const cb_vcard *card)
{
    ends *e = context;
    (void)card;
    e->saves++;
    return e->disk_fails ? CB_E_IO : CB_OK;
}

static void make_card(ends *e, const cb_vscp03_state *state)
{
    const cb_vcard_store store = {e, save};
    cb_card_content content = {0};
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX);
    cb_vscp03_state_put(&bytes, state);
    assert_int_equal(cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vscp03_atr)), CB_OK);
    assert_int_equal(cb_card_content_add(&content, &cb_applet_scp03, cb_buf_bytes(&bytes)), CB_OK);
    cb_vcard_close(&e->card);
    assert_int_equal(cb_vcard_of(&content, &store, &e->card), CB_OK);
    cb_buf_free(&bytes);
}

static void with_keys(ends *e, uint8_t key_len)
{
    cb_vscp03_state state;
    e->plain = (cb_scp03_plain_master){.len = key_len};
    memset(e->plain.key, 0x77, key_len);
    e->master = cb_scp03_master_of(&e->plain);
    assert_int_equal(cb_vscp03_make(&e->master, 0x30, NULL, &state), CB_OK);
    make_card(e, &state);
}

static int setup(void **state)
{
    ends *e = calloc(1, sizeof *e);
    e->answer = CB_BUF(512);
    e->context = cb_sha256(cb_bytes_str("a tap"));
    with_keys(e, 16);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    ends *e = *state;
    cb_vcard_close(&e->card);
    cb_buf_free(&e->answer);
    free(e);
    return 0;
}

static const cb_vscp03_state *now(const ends *e)
{
    return &((cb_vscp03_application *)cb_vcard_applet(e->card, &cb_applet_scp03))->state;
}

static uint16_t send(ends *e, cb_bytes command)
{
    cb_buf_reset(&e->answer);
    cb_vcard_process(e->card, command, &e->answer);
    return cb_answer_status(cb_buf_bytes(&e->answer));
}

static uint16_t send_hex(ends *e, const char *hex)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    assert_int_equal(cb_unhex(cb_bytes_str(hex), &command), CB_OK);
    uint16_t status = send(e, cb_buf_bytes(&command));
    cb_buf_free(&command);
    return status;
}

#define SELECT "00A404000CF04341524442524F4B45520300"

/* INITIALIZE UPDATE, and what the host makes of the answer. */
static uint16_t update(ends *e)
{
    static const uint8_t challenge[CB_SCP03_CHALLENGE] = {1, 2, 3, 4, 5, 6, 7, 8};
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    cb_scp03_keys keys;
    cb_scp03_update_command(0x30, challenge, &command);
    uint16_t status = send(e, cb_buf_bytes(&command));
    cb_buf_free(&command);
    if (status != CB_SW_OK)
        return status;
    assert_int_equal(cb_scp03_update_read(cb_answer_data(cb_buf_bytes(&e->answer)), &e->update),
                     CB_OK);
    assert_int_equal(cb_scp03_diversify(&e->master, e->update.kdd, &keys), CB_OK);
    assert_int_equal(cb_scp03_open(&keys, challenge, &e->update, &e->session), CB_OK);
    assert_int_equal(cb_scp03_sequence_check(&keys, &e->update, CB_BYTES_OF(cb_scp03_aid)), CB_OK);
    return status;
}

static uint16_t authenticate(ends *e)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    assert_int_equal(cb_scp03_authenticate_put(&e->session, &command), CB_OK);
    uint16_t status = send(e, cb_buf_bytes(&command));
    cb_buf_free(&command);
    return status;
}

static uint16_t presence(ends *e)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    assert_int_equal(cb_scp03_presence_put(&e->session.sm, &e->context, &command, &e->mark), CB_OK);
    uint16_t status = send(e, cb_buf_bytes(&command));
    cb_buf_free(&command);
    return status;
}

static uint32_t proven(ends *e)
{
    uint32_t counter;
    assert_int_equal(cb_scp03_presence_open(&e->session.sm, &e->mark, cb_buf_bytes(&e->answer),
                                            &e->context, &counter),
                     CB_OK);
    return counter;
}

static void begin(ends *e)
{
    assert_int_equal(send_hex(e, SELECT), 0x9000);
    assert_int_equal(update(e), 0x9000);
}

static void open_channel(ends *e)
{
    begin(e);
    assert_int_equal(authenticate(e), 0x9000);
}

static void a_card_proves_that_it_is_present(void **state)
{
    ends *e = *state;
    for (uint8_t len = 16; len <= 32; len += 8) {
        with_keys(e, len);
        for (uint32_t tap = 1; tap <= 3; tap++) {
            open_channel(e);
            assert_int_equal(e->update.sequence, tap);
            assert_int_equal(presence(e), 0x9000);
            assert_int_equal(proven(e), tap);
        }
        assert_int_equal(now(e)->counter, 3);
        assert_int_equal(now(e)->sequence, 3);
    }
}

static void a_card_without_a_sequence_counter_draws_its_challenges(void **state)
{
    ends *e = *state;
    cb_vscp03_state other = *now(e);
    uint8_t before[CB_SCP03_CHALLENGE];
    other.i = 0x60;
    make_card(e, &other);
    open_channel(e);
    assert_int_equal(e->answer.len, 2);
    memcpy(before, e->update.challenge, sizeof before);
    assert_int_equal(presence(e), 0x9000);
    assert_int_equal(proven(e), 1);
    begin(e);
    assert_memory_not_equal(before, e->update.challenge, sizeof before);
    assert_int_equal(now(e)->sequence, 0);
}

static void the_same_challenge_never_comes_again(void **state)
{
    ends *e = *state;
    uint8_t before[CB_SCP03_CHALLENGE];
    begin(e);
    memcpy(before, e->update.challenge, sizeof before);
    cb_vcard_reset(e->card);
    begin(e);
    assert_memory_not_equal(before, e->update.challenge, sizeof before);
    assert_int_equal(e->update.sequence, 2);
}

static void commands_come_in_one_order(void **state)
{
    ends *e = *state;
    assert_int_equal(update(e), 0x6985); /* not selected */
    begin(e);
    cb_scp03_session session = e->session;
    assert_int_equal(presence(e), 0x6982); /* no channel yet; and it closes what was begun */
    e->session = session;
    assert_int_equal(authenticate(e), 0x6985);
    begin(e);
    assert_int_equal(send_hex(e, SELECT), 0x9000); /* selected anew */
    assert_int_equal(authenticate(e), 0x6985);
    open_channel(e);
    assert_int_equal(authenticate(e), 0x6985); /* again */
    assert_int_equal(presence(e), 0x6982);
    open_channel(e);
    assert_int_equal(presence(e), 0x9000);
    assert_int_equal(presence(e), 0x6982); /* one proof a channel */
    open_channel(e);
    cb_vcard_reset(e->card);
    assert_int_equal(presence(e), 0x6982);
    assert_int_equal(send_hex(e, "8082330010000000000000000000000000000000"), 0x6700);
    assert_int_equal(now(e)->counter, 1);
    assert_int_equal(now(e)->failures, 0);
}

static void a_plain_command_closes_the_channel(void **state)
{
    static const char *const plain[] = {"80880000",
                                        "00B0000000",
                                        "80500000",
                                        "0084",
                                        SELECT,
                                        "80CA006600",
                                        "00A404000CF04341524442524F4B45520400",
                                        "00A4040C00",
                                        "80A40000"};
    ends *e = *state;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        open_channel(e);
        send_hex(e, plain[i]);
        assert_int_equal(presence(e), 0x6982);
    }
    assert_int_equal(now(e)->counter, 0);
}

static void parameters_are_checked(void **state)
{
    static const struct {
        const char *command;
        uint16_t status;
    } row[] = {{"80503000080102030405060708", 0x9000},
               {"80500000080102030405060708", 0x9000},
               {"80503100080102030405060708", 0x6A88},
               {"80503001080102030405060708", 0x6A86},
               {"805030000701020304050607", 0x6700},
               {"8050300009010203040506070809", 0x6700},
               {"80503000", 0x6700},
               {"00503000080102030405060708", 0x6E00},
               {"80CA006600", 0x6D00},
               {"00A4040C0CF04341524442524F4B455203", 0x6A86},
               {"00A404000CF04341524442524F4B455204", 0x6A82},
               {"80A4040000", 0x6E00}};
    ends *e = *state;
    assert_int_equal(send_hex(e, SELECT), 0x9000);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        if (send_hex(e, row[i].command) != row[i].status)
            fail_msg("%s: %04X", row[i].command, cb_answer_status(cb_buf_bytes(&e->answer)));
    }
}

static void only_level_33_opens_a_channel(void **state)
{
    ends *e = *state;
    for (unsigned level = 0; level < 0x100; level++) {
        cb_buf command = CB_BUF(CB_COMMAND_MAX);
        begin(e);
        assert_int_equal(
            cb_sm_mac_command(&e->session.sm,
                              &(cb_apdu){0x80, CB_SCP03_INS_AUTHENTICATE, (uint8_t)level, 0x00,
                                         CB_BYTES_OF(e->session.host_cryptogram), false},
                              &command),
            CB_OK);
        assert_int_equal(send(e, cb_buf_bytes(&command)), level == 0x33 ? 0x9000 : 0x6A86);
        cb_buf_free(&command);
    }
    assert_int_equal(now(e)->failures, 0);
}

static uint16_t authenticate_wrongly(ends *e, size_t place)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    begin(e);
    assert_int_equal(cb_scp03_authenticate_put(&e->session, &command), CB_OK);
    command.data[place] ^= 0x01;
    uint16_t status = send(e, cb_buf_bytes(&command));
    cb_buf_free(&command);
    return status;
}

static void a_host_without_the_keys_is_refused_and_counted(void **state)
{
    ends *e = *state;
    for (size_t place = 5; place < 21; place++) { /* each byte of cryptogram and MAC */
        assert_int_equal(authenticate_wrongly(e, place), 0x6300);
        assert_int_equal(now(e)->failures, place - 4);
        assert_int_equal(presence(e), 0x6982);
    }
    open_channel(e); /* one that has them */
    assert_int_equal(now(e)->failures, 0);
}

static void a_right_cryptogram_under_a_wrong_mac_opens_nothing(void **state)
{
    ends *e = *state;
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    begin(e);
    e->session.host_cryptogram[0] ^= 1; /* and a right MAC over a wrong cryptogram, either */
    assert_int_equal(cb_scp03_authenticate_put(&e->session, &command), CB_OK);
    assert_int_equal(send(e, cb_buf_bytes(&command)), 0x6300);
    cb_buf_free(&command);
}

static void recorded_answers_of_a_host_are_worth_nothing_later(void **state)
{
    ends *e = *state;
    cb_buf recorded = CB_BUF(CB_COMMAND_MAX);
    begin(e);
    assert_int_equal(cb_scp03_authenticate_put(&e->session, &recorded), CB_OK);
    assert_int_equal(send(e, cb_buf_bytes(&recorded)), 0x9000);
    begin(e); /* with the same challenge of the host's */
    assert_int_equal(send(e, cb_buf_bytes(&recorded)), 0x6300);
    cb_buf_free(&recorded);
}

static void guessing_blocks_the_application_for_good(void **state)
{
    ends *e = *state;
    for (int i = 0; i < CB_VSCP03_FAILURES_MAX; i++)
        assert_int_equal(authenticate_wrongly(e, 5), 0x6300);
    assert_int_equal(send_hex(e, SELECT), 0x9000);
    assert_int_equal(update(e), 0x6983);
    cb_vcard_reset(e->card);
    assert_int_equal(send_hex(e, SELECT), 0x9000);
    assert_int_equal(update(e), 0x6983);
    assert_int_equal(now(e)->sequence, CB_VSCP03_FAILURES_MAX);
}

static void what_counts_is_durable_before_it_shows(void **state)
{
    ends *e = *state;
    assert_int_equal(send_hex(e, SELECT), 0x9000);
    e->disk_fails = true;
    assert_int_equal(update(e), 0x6581);
    assert_int_equal(send_hex(e, SELECT), 0x6581); /* mute */
    e->disk_fails = false;
    cb_vcard_reset(e->card);
    begin(e);
    e->disk_fails = true;
    e->saves = 0;
    assert_int_equal(authenticate(e), 0x6581);
    assert_int_equal(e->saves, 1);
    assert_int_equal(now(e)->failures, 1); /* a right one, but it was not compared yet */
    e->disk_fails = false;
    cb_vcard_reset(e->card);
    open_channel(e);
    e->disk_fails = true;
    assert_int_equal(presence(e), 0x6581);
    assert_int_equal(e->answer.len, 2);
}

static void changed_commands_inside_the_channel_prove_nothing(void **state)
{
    ends *e = *state;
    for (size_t place = 0; place < 5 + 48 + 8; place++) {
        cb_buf command = CB_BUF(CB_COMMAND_MAX);
        open_channel(e);
        assert_int_equal(cb_scp03_presence_put(&e->session.sm, &e->context, &command, &e->mark),
                         CB_OK);
        assert_int_equal(command.len, 5 + 48 + 8 + 1);
        command.data[place] ^= 0x01;
        assert_int_not_equal(send(e, cb_buf_bytes(&command)), 0x9000);
        assert_int_equal(e->answer.len, 2);
        assert_int_equal(presence(e), 0x6982); /* the channel is closed */
        cb_buf_free(&command);
    }
    assert_int_equal(now(e)->counter, 0);
}

/* Commands that a host with the keys could send, and that are none. */
static void strange_commands_inside_the_channel_are_refused(void **state)
{
    static const struct {
        uint8_t ins, p1, p2, len;
        uint16_t status;
    } row[] = {{0x88, 0, 0, 31, 0x6700}, {0x88, 0, 0, 33, 0x6700}, {0x88, 0, 0, 0, 0x6700},
               {0x88, 1, 0, 32, 0x6A86}, {0x88, 0, 1, 32, 0x6A86}, {0xCA, 0, 0, 32, 0x6D00}};
    ends *e = *state;
    uint8_t data[33] = {0};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        cb_buf command = CB_BUF(CB_COMMAND_MAX);
        open_channel(e);
        assert_int_equal(cb_sm_wrap_command(&e->session.sm,
                                            &(cb_apdu){0x80, row[i].ins, row[i].p1, row[i].p2,
                                                       cb_bytes_make(data, row[i].len), true},
                                            &command, &e->mark),
                         CB_OK);
        assert_int_equal(send(e, cb_buf_bytes(&command)), row[i].status);
        assert_int_equal(presence(e), 0x6982);
        cb_buf_free(&command);
    }
    assert_int_equal(now(e)->counter, 0);
}

static void used_up_counters_are_the_end(void **state)
{
    ends *e = *state;
    cb_vscp03_state last = *now(e);
    last.sequence = CB_SCP03_SEQUENCE_MAX - 1;
    last.counter = UINT32_MAX - 1;
    make_card(e, &last);
    open_channel(e);
    assert_int_equal(presence(e), 0x9000);
    assert_int_equal(proven(e), UINT32_MAX);
    assert_int_equal(update(e), 0x6985);
    last.sequence = 0;
    last.counter = UINT32_MAX;
    make_card(e, &last);
    open_channel(e);
    assert_int_equal(presence(e), 0x6985);
}

static void a_state_is_read_as_it_was_written(void **state)
{
    ends *e = *state;
    for (uint8_t len = 16; len <= 32; len += 8) {
        with_keys(e, len);
        cb_buf bytes = CB_BUF(256), again = CB_BUF(256);
        cb_vscp03_state read;
        cb_vscp03_state_put(&bytes, now(e));
        assert_int_equal(cb_vscp03_state_parse(cb_buf_bytes(&bytes), &read), CB_OK);
        cb_vscp03_state_put(&again, &read);
        assert_true(cb_bytes_same(cb_buf_bytes(&bytes), cb_buf_bytes(&again)));
        for (size_t cut = 0; cut < bytes.len; cut++)
            assert_int_equal(cb_vscp03_state_parse(cb_bytes_make(bytes.data, cut), &read),
                             CB_E_FORMAT);
        bytes.data[bytes.len - 1] = CB_VSCP03_FAILURES_MAX + 1;
        assert_int_equal(cb_vscp03_state_parse(cb_buf_bytes(&bytes), &read), CB_E_FORMAT);
        cb_buf_free(&bytes);
        cb_buf_free(&again);
    }
}

static void cards_have_keys_of_their_own(void **state)
{
    static const uint8_t kdd[CB_SCP03_KDD] = {9, 8, 7};
    ends *e = *state;
    cb_vscp03_state one, other, same;
    assert_int_equal(cb_vscp03_make(&e->master, 1, NULL, &one), CB_OK);
    assert_int_equal(cb_vscp03_make(&e->master, 1, NULL, &other), CB_OK);
    assert_memory_not_equal(one.kdd, other.kdd, sizeof one.kdd);
    assert_memory_not_equal(one.keys.enc, other.keys.enc, 16);
    assert_memory_not_equal(one.keys.enc, one.keys.mac, 16);
    assert_int_equal(cb_vscp03_make(&e->master, 1, kdd, &one), CB_OK);
    assert_int_equal(cb_vscp03_make(&e->master, 1, kdd, &same), CB_OK);
    assert_memory_equal(&one.keys, &same.keys, sizeof one.keys);
    assert_int_equal(cb_vscp03_make(&e->master, 0, NULL, &one), CB_E_ARGUMENT);
    assert_int_equal(cb_vscp03_make(&e->master, 0x80, NULL, &one), CB_E_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_card_proves_that_it_is_present),
        TEST(a_card_without_a_sequence_counter_draws_its_challenges),
        TEST(the_same_challenge_never_comes_again),
        TEST(commands_come_in_one_order),
        TEST(a_plain_command_closes_the_channel),
        TEST(parameters_are_checked),
        TEST(only_level_33_opens_a_channel),
        TEST(a_host_without_the_keys_is_refused_and_counted),
        TEST(a_right_cryptogram_under_a_wrong_mac_opens_nothing),
        TEST(recorded_answers_of_a_host_are_worth_nothing_later),
        TEST(guessing_blocks_the_application_for_good),
        TEST(what_counts_is_durable_before_it_shows),
        TEST(changed_commands_inside_the_channel_prove_nothing),
        TEST(strange_commands_inside_the_channel_are_refused),
        TEST(used_up_counters_are_the_end),
        TEST(a_state_is_read_as_it_was_written),
        TEST(cards_have_keys_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
