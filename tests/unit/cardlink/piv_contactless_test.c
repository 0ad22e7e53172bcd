/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A virtual PIV card on its contactless interface: what it does there for anybody, what only after
 * the pairing code inside a channel, and what never (NIST SP 800-73-4, part 1, tables 2, 4a and 4b;
 * part 2, table 2).
 */
#include "vpiv_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/tlv.h"
#include "cardlink/card/piv/interface.h"

#define BYTES(text) cb_bytes_make(text, sizeof(text) - 1)
#define CODE "48151623"

static int make(void **state, bool paired, bool contactless)
{
    static const uint8_t algorithms[CB_VPIV_SLOTS] = {CB_VCARD_EC_P256, CB_VCARD_EC_P256,
                                                      CB_VCARD_EC_P256, CB_VCARD_EC_P256};
    vpiv_card *p = calloc(1, sizeof *p);
    vpiv_card_make_secured(p, algorithms, CB_VPIV_AES_128);
    cb_vpiv_application *piv = cb_vcard_applet(p->card, &cb_applet_piv);
    if (paired && cb_issue_piv_pairing(BYTES(CODE), &piv->state))
        return -1;
    cb_vcard_set_contactless(p->card, contactless);
    *state = p;
    return vpiv_select(p->card) == CB_SW_OK ? 0 : -1;
}

static int setup(void **state) { return make(state, true, true); }

static int setup_without_code(void **state) { return make(state, false, true); }

static int setup_contact(void **state) { return make(state, true, false); }

static int teardown(void **state)
{
    vpiv_card_free(*state);
    free(*state);
    return 0;
}

static cb_vpiv_application *application(const vpiv_card *p)
{
    return cb_vcard_applet(p->card, &cb_applet_piv);
}

/* A command, inside a channel or not. */
typedef struct way {
    vpiv_host *host; /* NULL: in clear */
    cb_vcard *card;
} way;

static uint16_t send(way by, uint8_t ins, uint8_t p1, uint8_t p2, cb_bytes data, cb_buf *out)
{
    return by.host ? vpiv_host_send(by.host, ins, p1, p2, data, out)
                   : vpiv_send(by.card, ins, p1, p2, data, out);
}

static uint16_t read_object(way by, uint32_t tag)
{
    const uint8_t list[] = {0x5C, 0x03, (uint8_t)(tag >> 16), (uint8_t)(tag >> 8), (uint8_t)tag};
    return tag == CB_VPIV_DISCOVERY ? send(by, VPIV_GET, 0x3F, 0xFF, BYTES("\x5C\x01\x7E"), NULL)
                                    : send(by, VPIV_GET, 0x3F, 0xFF, CB_BYTES_OF(list), NULL);
}

static uint16_t sign(way by, uint8_t slot)
{
    static const uint8_t digest[32] = {1};
    cb_buf body = CB_BUF(64), request = CB_BUF(64);
    cb_tlv_put(&body, 0x82, (cb_bytes){0});
    cb_tlv_put(&body, 0x81, CB_BYTES_OF(digest));
    cb_tlv_put(&request, 0x7C, cb_buf_bytes(&body));
    uint16_t status = send(by, VPIV_USE, CB_VCARD_EC_P256, slot, cb_buf_bytes(&request), NULL);
    cb_buf_free(&body);
    cb_buf_free(&request);
    return status;
}

static uint16_t pair(way by, const char *code)
{
    return send(by, 0x20, 0x00, 0x98, cb_bytes_str(code), NULL);
}

static uint16_t verify(way by, const char *digits)
{
    uint8_t block[CB_VPIV_PIN];
    assert_true(cb_vpiv_pin_pad(cb_bytes_str(digits), block));
    return send(by, 0x20, 0x00, 0x80, CB_BYTES_OF(block), NULL);
}

/* What is there for anybody, and nothing else. */
static void expect_only_the_free(const vpiv_card *p, way by)
{
    static const uint32_t kept[] = {0x5FC105, 0x5FC10A, 0x5FC10B, 0x5FC107,
                                    0x5FC123, 0x5FC106, 0x5FC109, 0x5FC103};
    static const uint32_t free_ones[] = {0x7E, 0x5FC101, 0x5FC102, 0x5FC122};
    for (size_t i = 0; i < sizeof free_ones / sizeof free_ones[0]; i++)
        assert_int_equal(read_object(by, free_ones[i]), CB_SW_OK);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        assert_int_equal(read_object(by, kept[i]), CB_SW_SECURITY);
    assert_int_equal(sign(by, 0x9E), CB_SW_OK);
    assert_int_equal(sign(by, 0x9A), CB_SW_SECURITY);
    assert_int_equal(verify(by, VPIV_CARD_PIN), CB_SW_SECURITY);
    assert_int_equal(verify(by, "999999"), CB_SW_SECURITY);
    assert_int_equal(send(by, 0x20, 0x00, 0x80, (cb_bytes){0}, NULL), CB_SW_SECURITY);
    assert_int_equal(send(by, 0x20, 0xFF, 0x80, (cb_bytes){0}, NULL), CB_SW_SECURITY);
    assert_int_equal(send(by, 0x24, 0x00, 0x80,
                          BYTES("123456\xFF\xFF"
                                "654321\xFF\xFF"),
                          NULL),
                     CB_SW_SECURITY);
    assert_int_equal(application(p)->state.pin_tries, CB_VPIV_PIN_TRIES);
}

static void in_clear_it_is_a_card_to_be_recognised(void **state)
{
    vpiv_card *p = *state;
    way clear = {NULL, p->card};
    expect_only_the_free(p, clear);
    bool has = cb_vpiv_pairing_code(&application(p)->state).len > 0;
    assert_int_equal(pair(clear, CODE), has ? CB_SW_SECURITY : CB_SW_NOT_FOUND);
}

static void what_is_the_administrators_wants_contacts(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    way ways[] = {{NULL, p->card}, {&host, p->card}};
    assert_int_equal(pair(ways[1], CODE), CB_SW_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            send(ways[i], VPIV_USE, CB_VPIV_AES_128, 0x9B, BYTES("\x7C\x02\x81\x00"), NULL),
            CB_SW_SECURITY);
        assert_int_equal(send(ways[i], 0x24, 0x00, 0x81, BYTES("8765432112345678"), NULL),
                         CB_SW_SECURITY);
    }
    assert_int_equal(send(ways[0], 0x2C, 0x00, 0x80, BYTES("87654321123456\xFF\xFF"), NULL),
                     CB_VPIV_SW_NOT_SUPPORTED);
    application(p)->session.managed = true;
    assert_int_equal(send(ways[0], 0xDB, 0x3F, 0xFF, BYTES("\x5C\x03\x5F\xC1\x06\x53\x00"), NULL),
                     CB_VPIV_SW_NOT_SUPPORTED);
    assert_int_equal(send(ways[0], 0x47, 0x00, 0x9A, BYTES("\xAC\x03\x80\x01\x11"), NULL),
                     CB_VPIV_SW_NOT_SUPPORTED);
    assert_int_equal(application(p)->state.puk_tries, CB_VPIV_PUK_TRIES);
}

static void the_pairing_code_inside_a_channel_makes_it_a_card_with_contacts(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    way inside = {&host, p->card}, clear = {NULL, p->card};
    expect_only_the_free(p, inside);
    assert_int_equal(send(inside, 0x20, 0x00, 0x98, (cb_bytes){0}, NULL), CB_VPIV_SW_FAILED);
    assert_int_equal(pair(inside, CODE), CB_SW_OK);
    assert_int_equal(send(inside, 0x20, 0x00, 0x98, (cb_bytes){0}, NULL), CB_SW_OK);
    assert_int_equal(read_object(inside, 0x5FC105), CB_SW_OK);
    assert_int_equal(read_object(inside, 0x5FC106), CB_SW_FILE_NOT_FOUND);
    assert_int_equal(read_object(inside, 0x5FC123), CB_SW_SECURITY); /* and the PIN */
    assert_int_equal(sign(inside, 0x9A), CB_SW_SECURITY);
    assert_int_equal(verify(inside, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(sign(inside, 0x9A), CB_SW_OK);
    assert_int_equal(sign(inside, 0x9C), CB_SW_OK);
    assert_int_equal(read_object(inside, 0x5FC123), CB_SW_OK);
    expect_only_the_free(p, clear); /* for that is no channel */
    assert_int_equal(send(inside, 0x24, 0x00, 0x80,
                          BYTES("123456\xFF\xFF"
                                "654321\xFF\xFF"),
                          NULL),
                     CB_SW_OK);
    assert_int_equal(verify(inside, "654321"), CB_SW_OK);
    assert_int_equal(send(inside, 0x20, 0xFF, 0x98, (cb_bytes){0}, NULL), CB_SW_OK);
    assert_int_equal(sign(inside, 0x9A), CB_SW_SECURITY);
    assert_int_equal(read_object(inside, 0x5FC105), CB_SW_SECURITY);
}

static void another_code_is_not_the_pairing_code(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    way inside = {&host, p->card};
    for (int i = 0; i < 20; i++) /* nothing counts them */
        assert_int_equal(pair(inside, "48151624"), CB_VPIV_SW_FAILED);
    assert_int_equal(pair(inside, CODE), CB_SW_OK);
    assert_int_equal(pair(inside, "4815162"), CB_SW_DATA);
    assert_int_equal(pair(inside, "4815162A"), CB_SW_DATA);
    assert_int_equal(read_object(inside, 0x5FC105), CB_SW_OK);
    assert_int_equal(send(inside, 0x20, 0x01, 0x98, BYTES(CODE), NULL), CB_SW_PARAMETERS);
    assert_int_equal(pair(inside, "48151624"), CB_VPIV_SW_FAILED);
    assert_int_equal(read_object(inside, 0x5FC105), CB_SW_SECURITY);
}

static void nobody_blocks_the_pin_from_afar(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    way inside = {&host, p->card}, clear = {NULL, p->card};
    assert_int_equal(pair(inside, CODE), CB_SW_OK);
    assert_int_equal(verify(inside, "999999"), 0x63C2);
    assert_int_equal(verify(inside, "999999"), 0x63C1);
    assert_int_equal(verify(inside, "999999"), CB_SW_BLOCKED);
    assert_int_equal(verify(inside, VPIV_CARD_PIN), CB_SW_BLOCKED);
    assert_int_equal(send(inside, 0x24, 0x00, 0x80,
                          BYTES("999999\xFF\xFF"
                                "654321\xFF\xFF"),
                          NULL),
                     CB_SW_BLOCKED);
    assert_int_equal(send(inside, 0x20, 0x00, 0x80, (cb_bytes){0}, NULL), 0x63C1);
    cb_vcard_reset(p->card);
    cb_vcard_set_contactless(p->card, false);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    assert_int_equal(verify(clear, VPIV_CARD_PIN), CB_SW_OK); /* there was one left */
}

static void pairing_ends_with_the_session(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    way inside = {&host, p->card};
    assert_int_equal(pair(inside, CODE), CB_SW_OK);
    host = vpiv_host_opened(p); /* another channel of the same session */
    assert_int_equal(read_object(inside, 0x5FC105), CB_SW_OK);
    cb_vcard_reset(p->card);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    host = vpiv_host_opened(p);
    assert_int_equal(read_object(inside, 0x5FC105), CB_SW_SECURITY);
}

static void without_a_code_there_is_no_virtual_contact_interface(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    way inside = {&host, p->card};
    assert_int_equal(pair(inside, CODE), CB_SW_NOT_FOUND);
    expect_only_the_free(p, inside);
    application(p)->session.paired = true;
    expect_only_the_free(p, inside);
}

static void contacts_need_no_pairing(void **state)
{
    vpiv_card *p = *state;
    way clear = {NULL, p->card};
    assert_int_equal(read_object(clear, 0x5FC105), CB_SW_OK);
    assert_int_equal(read_object(clear, 0x5FC123), CB_SW_SECURITY);
    assert_int_equal(verify(clear, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(read_object(clear, 0x5FC123), CB_SW_OK);
    assert_int_equal(sign(clear, 0x9A), CB_SW_OK);
    assert_int_equal(pair(clear, CODE), CB_SW_OK);
    for (int i = 0; i < 2; i++)
        verify(clear, "999999");
    assert_int_equal(verify(clear, "999999"), CB_SW_BLOCKED);
}

static void the_discovery_object_says_it(void **state)
{
    vpiv_card *p = *state;
    cb_buf answer = CB_BUF(64);
    cb_bytes body, policy;
    bool has = cb_vpiv_pairing_code(&application(p)->state).len > 0;
    assert_int_equal(vpiv_send(p->card, VPIV_GET, 0x3F, 0xFF, BYTES("\x5C\x01\x7E"), &answer),
                     CB_SW_OK);
    assert_true(cb_tlv_find(cb_buf_bytes(&answer), 0x7E, &body));
    assert_true(cb_tlv_find(body, 0x5F2F, &policy));
    assert_true(cb_bytes_same(policy, has ? BYTES("\x48\x00") : BYTES("\x40\x00")));
    cb_buf_free(&answer);
}

static void what_is_no_code_is_not_issued(void **state)
{
    static const char *const wrong[] = {"", "1234567", "123456789", "1234567a"};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(cb_issue_piv_pairing(cb_bytes_str(wrong[i]), &application(p)->state),
                         CB_E_ARGUMENT);
    application(p)->state.channel_key.algorithm = CB_VCARD_NO_KEY;
    assert_int_equal(cb_issue_piv_pairing(BYTES(CODE), &application(p)->state), CB_E_ARGUMENT);
}

#define WITH(test, how) cmocka_unit_test_setup_teardown(test, how, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(in_clear_it_is_a_card_to_be_recognised, setup),
        WITH(in_clear_it_is_a_card_to_be_recognised, setup_without_code),
        WITH(what_is_the_administrators_wants_contacts, setup),
        WITH(the_pairing_code_inside_a_channel_makes_it_a_card_with_contacts, setup),
        WITH(another_code_is_not_the_pairing_code, setup),
        WITH(nobody_blocks_the_pin_from_afar, setup),
        WITH(pairing_ends_with_the_session, setup),
        WITH(without_a_code_there_is_no_virtual_contact_interface, setup_without_code),
        WITH(contacts_need_no_pairing, setup_contact),
        WITH(the_discovery_object_says_it, setup),
        WITH(the_discovery_object_says_it, setup_without_code),
        WITH(what_is_no_code_is_not_issued, setup_contact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
