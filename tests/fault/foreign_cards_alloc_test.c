/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation fails in turn while a card is put down, a JPKI card signs, an SCP03 card proves
 * its presence, and cards are made: nothing false comes out, and the card goes on afterwards.
 */
#include "tests/support/alloc_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/card/card.h"
#include "cardlink/card/jpki/application.h"
#include "cardlink/card/scp03/application.h"
#include "cardlink/issuer/jpki.h"
#include "cardlink/issuer/scp03.h"
#include "cardlink/scp03/presence.h"
#include "cardlink/script.h"

/* What the flows return when something false came out; it is no listed error. */
#define WRONG CB_ERROR_COUNT

typedef struct cards {
    cb_buf jpki, scp03; /* states */
    cb_card_content content;
    cb_scp03_plain_master plain;
    cb_vcard *card;
} cards;

static const cb_vjpki_secrets pins = {{"1234", "ABC123"}};
static cb_vjpki_state made;

static cb_error put_down(void *context)
{
    cards *c = context;
    return cb_vcard_of(&c->content, NULL, &c->card);
}

static void prepare(void *context) { assert_int_equal(put_down(context), CB_OK); }

static void send(cb_vcard *card, const char *hex, cb_buf *answer)
{
    uint8_t command[CB_COMMAND_MAX];
    size_t len = strlen(hex) / 2;
    if (cb_unhex_exact(hex, command, len))
        abort();
    cb_buf_reset(answer);
    cb_vcard_process(card, cb_bytes_make(command, len), answer);
}

/* An answer that could not be made is a failure of the reader's, too. */
static uint16_t status_of(const cb_buf *answer)
{
    return cb_buf_error(answer) ? CB_SW_FAULT : cb_answer_status(cb_buf_bytes(answer));
}

static cb_error sign_with(void *context, const char *pin)
{
    static const char *const before[] = {"00A4040C0AD392F000260100000001", "00A4020C020018"};
    cards *c = context;
    cb_buf answer = CB_BUF(512);
    for (size_t i = 0; i < 2; i++)
        send(c->card, before[i], &answer);
    send(c->card, pin, &answer);
    send(c->card, "00A4020C020017", &answer);
    send(c->card,
         "802A0080020102"
         "00",
         &answer);
    uint16_t status = status_of(&answer);
    cb_error error = status == CB_SW_OK ? CB_OK : CB_E_CARD_STATUS;
    if (!error && answer.len != CB_VCARD_RSA_SIZE + 2)
        error = WRONG;
    if (error == CB_E_CARD_STATUS && answer.len > 2)
        error = WRONG; /* a failure says nothing else */
    cb_buf_free(&answer);
    return error;
}

static cb_error sign(void *context) { return sign_with(context, "002000800431323334"); }

static cb_error sign_without_pin(void *context)
{
    return sign_with(context, "002000800430303030") == CB_E_CARD_STATUS ? CB_OK : WRONG;
}

static void signs_again(void *context, cb_error result, bool struck)
{
    cards *c = context;
    (void)result, (void)struck;
    cb_vcard_reset(c->card);
    assert_int_equal(sign(context), CB_OK);
    cb_vcard_close(&c->card);
}

static cb_error exchange(cards *c, cb_buf *command, cb_buf *answer)
{
    cb_buf_reset(answer);
    if (cb_buf_error(command))
        return cb_buf_error(command);
    cb_vcard_process(c->card, cb_buf_bytes(command), answer);
    cb_buf_reset(command);
    return status_of(answer) == CB_SW_OK ? CB_OK : CB_E_CARD_STATUS;
}

static cb_error prove_with(cards *c, cb_buf *command, cb_buf *answer)
{
    static const uint8_t challenge[CB_SCP03_CHALLENGE] = {1};
    static const cb_digest context = {{2}};
    cb_scp03_master master = cb_scp03_master_of(&c->plain);
    cb_scp03_session session = {0};
    cb_scp03_update update;
    cb_scp03_keys keys;
    cb_sm_mark mark;
    uint32_t counter;
    cb_apdu_put(command, &(cb_apdu){0, 0xA4, 4, 0, CB_BYTES_OF(cb_scp03_aid), false});
    cb_error error = exchange(c, command, answer);
    cb_scp03_update_command(0x30, challenge, command);
    if (!error)
        error = exchange(c, command, answer);
    if (!error)
        error = cb_scp03_update_read(cb_answer_data(cb_buf_bytes(answer)), &update);
    if (!error)
        error = cb_scp03_diversify(&master, update.kdd, &keys);
    if (!error)
        error = cb_scp03_open(&keys, challenge, &update, &session);
    if (!error)
        error = cb_scp03_authenticate_put(&session, command);
    if (!error)
        error = exchange(c, command, answer);
    if (!error)
        error = cb_scp03_presence_put(&session.sm, &context, command, &mark);
    if (!error)
        error = exchange(c, command, answer);
    if (!error)
        error =
            cb_scp03_presence_open(&session.sm, &mark, cb_buf_bytes(answer), &context, &counter);
    return error;
}

static cb_error prove(void *context)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX), answer = CB_BUF(512);
    cb_error error = prove_with(context, &command, &answer);
    cb_buf_free(&command);
    cb_buf_free(&answer);
    return error;
}

static void proves_again(void *context, cb_error result, bool struck)
{
    cards *c = context;
    (void)result, (void)struck;
    cb_vcard_reset(c->card);
    assert_int_equal(prove(context), CB_OK);
    cb_vcard_close(&c->card);
}

static void lies_there(void *context, cb_error result, bool struck)
{
    cards *c = context;
    (void)struck;
    assert_true(result != CB_E_FORMAT); /* nothing is wrong with the state */
    assert_true(result == CB_OK || !c->card);
    cb_vcard_close(&c->card);
}

static cb_error make(void *context)
{
    static cb_vjpki_state state;
    cb_error error = cb_vjpki_make(NULL, "Hanako", 1, &pins, &state);
    (void)context;
    if (!error && (state.of[0].certificate.len == 0 || state.of[1].key.len == 0))
        error = WRONG;
    cb_wipe(&state, sizeof state);
    return error;
}

static void nothing(void *context, cb_error result, bool struck)
{
    (void)context, (void)result, (void)struck;
}

static const fault_flow flow[] = {
    {"putting a card down", NULL, put_down, lies_there},
    {"a signature", prepare, sign, signs_again},
    {"a signature without the PIN", prepare, sign_without_pin, signs_again},
    {"a proof of presence", prepare, prove, proves_again},
};
static const fault_flow making = {"making a card", NULL, make, nothing};

static void each_flow_survives_each_failure(void **state)
{
    static cards c;
    cb_vscp03_state scp03;
    (void)state;
    c.plain = (cb_scp03_plain_master){.len = 32};
    cb_scp03_master master = cb_scp03_master_of(&c.plain);
    assert_int_equal(cb_vjpki_make(NULL, "Hanako", 1, &pins, &made), CB_OK);
    assert_int_equal(cb_vscp03_make(&master, 0x30, NULL, &scp03), CB_OK);
    cb_buf_init(&c.jpki, CB_CARD_STATE_MAX);
    cb_buf_init(&c.scp03, CB_CARD_STATE_MAX);
    cb_vjpki_state_put(&c.jpki, &made);
    cb_vscp03_state_put(&c.scp03, &scp03);
    assert_int_equal(cb_card_content_set_atr(&c.content, CB_BYTES_OF(cb_vjpki_atr)), CB_OK);
    assert_int_equal(cb_card_content_add(&c.content, &cb_applet_jpki, cb_buf_bytes(&c.jpki)),
                     CB_OK);
    assert_int_equal(cb_card_content_add(&c.content, &cb_applet_scp03, cb_buf_bytes(&c.scp03)),
                     CB_OK);
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(&alloc_faults, &flow[i], &c, 100);
    fault_each(&alloc_faults, &making, &c, 20);
    cb_buf_free(&c.jpki);
    cb_buf_free(&c.scp03);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_flow_survives_each_failure, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
