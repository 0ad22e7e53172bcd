/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation of a PIV card fails in turn: whatever fails, a wrong PIN or management key is
 * never taken for right, a try that was compared is durable, a success carries its data, an error
 * in secure messaging ends the channel, and the card works again.
 */
#include "tests/support/alloc_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "vpiv_host.h"

/* What the flows return when the card said what it should not; no listed error. */
#define WRONG CB_ERROR_COUNT

static const uint8_t digest[32] = {7};

/* The card's memory is the test's, and does not fail. */
typedef struct memory {
    uint8_t pin_tries;
    cb_vcard_key key; /* of 9E */
} memory;

typedef struct bench {
    vpiv_card made;
    cb_buf state;
    cb_vcard *card;
    memory durable;
    cb_issue_signer signer;
} bench;

static cb_error save(void *context, const cb_vcard *card)
{
    memory *durable = context;
    const cb_vpiv_application *piv = cb_vcard_applet(card, &cb_applet_piv);
    durable->pin_tries = piv->state.pin_tries;
    durable->key = piv->state.key[3];
    return CB_OK;
}

static cb_error wake(bench *b)
{
    const cb_vcard_store store = {&b->durable, save};
    cb_card_content content = {0};
    cb_error error = cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vpiv_atr));
    if (!error)
        error = cb_card_content_add(&content, &cb_applet_piv, cb_buf_bytes(&b->state));
    return error ? error : cb_vcard_of(&content, &store, &b->card);
}

static void lay_down(void *context)
{
    bench *b = context;
    b->durable = (memory){CB_VPIV_PIN_TRIES, b->made.first.key[3]};
    assert_int_equal(wake(b), CB_OK);
}

static cb_error of(uint16_t status, uint16_t expected)
{
    return status == expected ? CB_OK : CB_E_CARD_STATUS;
}

/* The helpers' own buffers do not fail: only the card's do. */
static uint16_t say(bench *b, const void *bytes, size_t len, uint8_t *out, size_t *out_len)
{
    cb_buf answer = CB_BUF(512);
    cb_vcard_process(b->card, cb_bytes_make(bytes, len), &answer);
    uint16_t status = 0;
    if (answer.len >= 2)
        status = (uint16_t)(answer.data[answer.len - 2] << 8 | answer.data[answer.len - 1]);
    if (out && answer.len >= 2 && answer.len <= 258) {
        *out_len = answer.len - 2;
        memcpy(out, answer.data, *out_len);
    }
    cb_buf_free(&answer);
    return status;
}

static const uint8_t select_piv[] = {0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08};
static const uint8_t right_pin[] = {0x00, 0x20, 0x00, 0x80, 0x08, '1', '2',
                                    '3',  '4',  '5',  '6',  0xFF, 0xFF};
static const uint8_t wrong_pin[] = {0x00, 0x20, 0x00, 0x80, 0x08, '0', '0',
                                    '0',  '0',  '0',  '0',  0xFF, 0xFF};
static const uint8_t get_certificate[] = {0x00, 0xCB, 0x3F, 0xFF, 0x05, 0x5C,
                                          0x03, 0x5F, 0xC1, 0x05, 0x00};

#define SAY(b, bytes) say(b, bytes, sizeof bytes, NULL, NULL)

static cb_error waking(void *context)
{
    bench *b = context;
    cb_vcard_close(&b->card);
    return wake(b);
}

static cb_error reading(void *context)
{
    bench *b = context;
    cb_bytes stored = cb_vpiv_object_get(&b->made.first, CB_VPIV_AUTHENTICATION_CERTIFICATE);
    uint8_t answer[256] = {0};
    size_t len = 0;
    cb_error error = of(SAY(b, select_piv), CB_SW_OK);
    if (!error &&
        (say(b, get_certificate, sizeof get_certificate, answer, &len) & 0xFF00) != CB_SW_MORE)
        error = CB_E_CARD_STATUS;
    if (!error && (len != 256 || memcmp(&answer[4], stored.data, 252) != 0))
        error = WRONG;
    return error;
}

static size_t sign_command(uint8_t slot, uint8_t out[64])
{
    static const uint8_t head[] = {0x00, 0x87, 0x11, 0x00, 0x26, 0x7C,
                                   0x24, 0x82, 0x00, 0x81, 0x20};
    memcpy(out, head, sizeof head);
    out[3] = slot;
    memcpy(&out[sizeof head], digest, sizeof digest);
    return sizeof head + sizeof digest;
}

static cb_error signing(void *context)
{
    bench *b = context;
    uint8_t command[64], answer[256] = {0};
    size_t len = 0;
    size_t command_len = sign_command(CB_VPIV_AUTHENTICATION, command);
    cb_error error = of(SAY(b, select_piv), CB_SW_OK);
    if (!error && say(b, command, command_len, NULL, NULL) == CB_SW_OK)
        error = WRONG; /* before the PIN */
    if (!error)
        error = of(SAY(b, right_pin), CB_SW_OK);
    if (!error)
        error = of(say(b, command, command_len, answer, &len), CB_SW_OK);
    if (!error && (len < 70 || answer[0] != 0x7C))
        error = WRONG;
    return error;
}

static cb_error guessing(void *context)
{
    bench *b = context;
    uint8_t command[64];
    size_t command_len = sign_command(CB_VPIV_AUTHENTICATION, command);
    cb_error error = of(SAY(b, select_piv), CB_SW_OK);
    uint16_t status = error ? CB_SW_FAULT : SAY(b, wrong_pin);
    if (status == CB_SW_OK || ((status & 0xFFF0) == 0x63C0 && b->durable.pin_tries == 3))
        return WRONG;
    if (say(b, command, command_len, NULL, NULL) == CB_SW_OK)
        return WRONG;
    return CB_OK;
}

/* A new key, by somebody without the management key: it stays the old one. */
static cb_error intruding(void *context)
{
    static const uint8_t ask[] = {0x00, 0x87, 0x08, 0x9B, 0x04, 0x7C, 0x02, 0x81, 0x00, 0x00};
    static const uint8_t make[] = {0x00, 0x47, 0x00, 0x9E, 0x05, 0xAC,
                                   0x03, 0x80, 0x01, 0x11, 0x00};
    static const uint8_t answer[] = {0x00, 0x87, 0x08, 0x9B, 0x14, 0x7C, 0x12, 0x82, 0x10,
                                     1,    2,    3,    4,    5,    6,    7,    8,    9,
                                     10,   11,   12,   13,   14,   15,   16};
    bench *b = context;
    if (SAY(b, select_piv) != CB_SW_OK)
        return CB_OK;
    SAY(b, ask);
    if (SAY(b, answer) == CB_SW_OK || SAY(b, make) == CB_SW_OK)
        return WRONG;
    return CB_OK;
}

static cb_error changing(void *context)
{
    static const uint8_t make[] = {0x00, 0x47, 0x00, 0x9E, 0x05, 0xAC,
                                   0x03, 0x80, 0x01, 0x11, 0x00};
    bench *b = context;
    uint8_t answer[256];
    size_t len = 0;
    cb_error error = of(SAY(b, select_piv), CB_SW_OK);
    ((cb_vpiv_application *)cb_vcard_applet(b->card, &cb_applet_piv))->session.managed = true;
    if (!error)
        error = of(say(b, make, sizeof make, answer, &len), CB_SW_OK);
    bool changed = memcmp(&b->durable.key, &b->made.first.key[3], sizeof b->durable.key) != 0;
    if (error ? false : !changed || len != 70)
        error = WRONG;
    return error;
}

static cb_vpiv_application *application(const bench *b)
{
    return cb_vcard_applet(b->card, &cb_applet_piv);
}

/* Key establishment, with P-256's base point as the host's. */
static cb_error agreeing(void *context)
{
    static const uint8_t establish[] = {
        0x00, 0x87, 0x27, 0x04, 0x50, 0x7C, 0x4E, 0x81, 0x4A, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x04, 0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6,
        0xE5, 0x63, 0xA4, 0x40, 0xF2, 0x77, 0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1,
        0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96, 0x4F, 0xE3, 0x42, 0xE2, 0xFE, 0x1A, 0x7F, 0x9B, 0x8E,
        0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16, 0x2B, 0xCE, 0x33, 0x57, 0x6B, 0x31, 0x5E, 0xCE,
        0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5, 0x82, 0x00, 0x00};
    bench *b = context;
    uint8_t answer[256];
    size_t len = 0;
    cb_error error = of(SAY(b, select_piv), CB_SW_OK);
    if (!error)
        error = of(say(b, establish, sizeof establish, answer, &len), CB_SW_OK);
    if (!error && (len < 200 || !application(b)->session.channel.open))
        error = WRONG;
    return error;
}

/* What a command inside a channel came to; WRONG for what the standard does not have. */
static cb_error judge(bench *b, vpiv_host *host, uint16_t status, cb_bytes answer)
{
    const cb_vpiv_session *session = &application(b)->session;
    if (status == 0)
        return CB_E_MEMORY; /* it was the test's own memory */
    if (session->channel.open != (status == CB_SW_OK))
        return WRONG;
    if (status != CB_SW_OK)
        return CB_E_CARD_STATUS;
    alloc_faults_pause(true);
    uint16_t inside = vpiv_host_read(host, answer, NULL); /* aborts if the MAC is wrong */
    alloc_faults_pause(false);
    return session->pin_verified != (inside == CB_SW_OK) ? WRONG : of(inside, CB_SW_OK);
}

/* The PIN, inside a channel whose keys are zeros. */
static cb_error talking(void *context)
{
    bench *b = context;
    uint8_t answer[256];
    size_t len = 0;
    vpiv_host host = {.card = b->card, .keys = {.counter = 1}};
    cb_buf field = CB_BUF(64), command = CB_BUF(128);
    cb_error error = of(SAY(b, select_piv), CB_SW_OK);
    application(b)->session.channel = (cb_vpiv_channel){.open = true, .counter = 1};
    alloc_faults_pause(true);
    vpiv_host_wrap(
        &host, &(cb_apdu){0x00, 0x20, 0x00, 0x80, cb_bytes_make(&right_pin[5], 8), false}, &field);
    cb_apdu_put(&command, &(cb_apdu){0x0C, 0x20, 0x00, 0x80, cb_buf_bytes(&field), true});
    alloc_faults_pause(false);
    if (!error) {
        uint16_t status = say(b, command.data, command.len, answer, &len);
        error = judge(b, &host, status, cb_bytes_make(answer, len));
    }
    alloc_faults_pause(true);
    cb_buf_free(&field);
    cb_buf_free(&command);
    alloc_faults_pause(false);
    return error;
}

static void it_works_again(void *context, cb_error result, bool struck)
{
    bench *b = context;
    (void)struck;
    assert_int_not_equal(result, WRONG);
    if (!b->card)
        assert_int_equal(wake(b), CB_OK);
    cb_vcard_reset(b->card);
    assert_int_equal(signing(b), CB_OK);
    cb_vcard_close(&b->card);
}

static cb_error making(void *context)
{
    const bench *b = context;
    const cb_issue_piv_order order = {.algorithm = {CB_VCARD_EC_P256},
                                      .content_signer = &b->signer,
                                      .pairing_code = cb_bytes_str("48151623"),
                                      .name = cb_bytes_str("Hanako"),
                                      .pin = cb_bytes_str("123456"),
                                      .puk = cb_bytes_str("12345678"),
                                      .management_algorithm = CB_VPIV_AES_128,
                                      .not_before = 1780000000,
                                      .not_after = 1880000000};
    cb_vpiv_state state;
    cb_id card;
    cb_error error = cb_issue_piv(&order, &state, &card);
    if (!error && (state.object_count != 5 || state.cvc_len < 180 ||
                   cb_issue_piv_certificate(&state, 0).len < 300))
        error = WRONG;
    cb_vpiv_state_free(&state);
    return error;
}

static void made_again(void *context, cb_error result, bool struck)
{
    (void)struck;
    assert_int_not_equal(result, WRONG);
    assert_int_equal(making(context), CB_OK);
}

static const fault_flow flow[] = {
    {"waking", lay_down, waking, it_works_again},
    {"reading", lay_down, reading, it_works_again},
    {"signing", lay_down, signing, it_works_again},
    {"guessing", lay_down, guessing, it_works_again},
    {"intruding", lay_down, intruding, it_works_again},
    {"changing", lay_down, changing, it_works_again},
    {"agreeing", lay_down, agreeing, it_works_again},
    {"talking", lay_down, talking, it_works_again},
    {"making a card", NULL, making, made_again},
};

static void each_flow_survives_each_failure(void **state)
{
    static const uint8_t algorithms[CB_VPIV_SLOTS] = {CB_VCARD_EC_P256, 0, 0, CB_VCARD_EC_P256};
    static bench b;
    (void)state;
    vpiv_signer_make(&b.signer);
    vpiv_card_make_with(&b.made, algorithms, CB_VPIV_AES_128, &b.signer);
    cb_buf_init(&b.state, CB_CARD_STATE_MAX);
    cb_vpiv_state_put(&b.state, &b.made.first);
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(&alloc_faults, &flow[i], &b, 100);
    cb_buf_free(&b.state);
    vpiv_card_free(&b.made);
    cb_issue_signer_end(&b.signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_flow_survives_each_failure, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
