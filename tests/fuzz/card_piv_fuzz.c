/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Commands to the PIV application, and its state.
 *
 * An input is u8 what, then commands, each: u8 length, bytes. "what": 01 the PIN was verified, 02
 * the management key was shown, 04 the application was selected, 08 a channel of secure messaging
 * is open, 10 one is, and each command (INS, P1, P2, data) comes inside of it, 20 the card is on
 * its contactless interface. With 80 the rest is a state, as a card's file has it.
 */
#include <stdlib.h>

#include "vpiv_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    VERIFIED = 0x01,
    MANAGED = 0x02,
    SELECTED = 0x04,
    CHANNEL = 0x08,
    INSIDE = 0x10,
    CONTACTLESS = 0x20,
    STATE = 0x80,
    COMMANDS_MAX = 32
};

static vpiv_card made;
static cb_buf state;

static void clean_up(void)
{
    vpiv_card_free(&made);
    cb_buf_free(&state);
}

static void prepare(void)
{
    static const uint8_t algorithms[CB_VPIV_SLOTS] = {CB_VCARD_EC_P256, CB_VCARD_EC_P256,
                                                      CB_VCARD_EC_P256, CB_VCARD_RSA_2048};
    static bool done;
    if (done)
        return;
    done = true;
    vpiv_card_make_secured(&made, algorithms, CB_VPIV_AES_128);
    cb_vpiv_pin_pad(cb_bytes_str("48151623"), made.first.pin); /* which no input has */
    cb_vpiv_pin_pad(cb_bytes_str("42342081"), made.first.puk);
    if (cb_issue_piv_pairing(cb_bytes_str("90817263"), &made.first))
        abort();
    cb_buf_init(&state, CB_CARD_STATE_MAX);
    cb_vpiv_state_put(&state, &made.first);
    atexit(clean_up);
}

static cb_error keep_nothing(void *context, const cb_vcard *card)
{
    (void)context, (void)card;
    return CB_OK;
}

static cb_vcard *new_card(void)
{
    const cb_vcard_store store = {NULL, keep_nothing};
    cb_card_content content = {0};
    cb_vcard *card = NULL;
    if (cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vpiv_atr)) ||
        cb_card_content_add(&content, &cb_applet_piv, cb_buf_bytes(&state)) ||
        cb_vcard_of(&content, &store, &card))
        abort();
    return card;
}

/* A key of 2048 bits takes longer than all the rest of a run. */
static bool asks_for_rsa(cb_bytes command)
{
    return command.len > 2 && command.data[1] == 0x47 &&
           memchr(command.data, CB_VCARD_RSA_2048, command.len);
}

static void send(cb_vcard *card, cb_bytes command)
{
    cb_buf answer = CB_BUF(512);
    if (!asks_for_rsa(command)) {
        cb_vcard_process(card, command, &answer);
        if (cb_buf_error(&answer) || answer.len < 2 || answer.len > 258)
            abort();
    }
    cb_buf_free(&answer);
}

/* What the card answers is right, or the reading of it aborts. */
static void send_inside(vpiv_host *host, cb_bytes command)
{
    cb_cursor cursor = cb_cursor_over(command);
    uint8_t ins = cb_cursor_u8(&cursor), p1 = cb_cursor_u8(&cursor), p2 = cb_cursor_u8(&cursor);
    const cb_vpiv_application *piv = cb_vcard_applet(host->card, &cb_applet_piv);
    bool open = piv->session.channel.open;
    uint64_t counter = piv->session.channel.counter;
    uint16_t status = vpiv_host_send(host, ins, p1, p2, cb_cursor_rest(&cursor), NULL);
    if (piv->session.channel.open != (open && status != CB_VPIV_SW_NOT_SECURED) ||
        (piv->session.channel.open && piv->session.channel.counter != counter + 1))
        abort();
}

static void must_be_same(const cb_vpiv_state *now)
{
    const cb_vpiv_state *first = &made.first;
    if (memcmp(now->key, first->key, sizeof now->key) != 0 ||
        now->object_count != first->object_count)
        abort();
    for (size_t i = 0; i < now->object_count; i++) {
        if (now->object[i].tag != first->object[i].tag ||
            !cb_bytes_same(cb_buf_bytes(&now->object[i].content),
                           cb_buf_bytes(&first->object[i].content)))
            abort();
    }
}

static void commands(uint8_t what, cb_cursor *cursor)
{
    cb_vcard *card = new_card();
    cb_vpiv_application *piv = cb_vcard_applet(card, &cb_applet_piv);
    cb_vcard_set_contactless(card, what & CONTACTLESS);
    piv->session.selected = what & SELECTED;
    piv->session.pin_verified = piv->session.pin_fresh = what & VERIFIED;
    piv->session.managed = what & MANAGED;
    if (what & (CHANNEL | INSIDE))
        piv->session.channel = (cb_vpiv_channel){.open = true, .counter = 1};
    vpiv_host host = {.card = card, .keys = {.counter = 1}};
    for (int i = 0; i < COMMANDS_MAX && cursor->rest.len > 0; i++) {
        size_t len = cb_cursor_u8(cursor);
        cb_bytes command = cb_cursor_take(cursor, len < cursor->rest.len ? len : cursor->rest.len);
        if (what & INSIDE)
            send_inside(&host, command);
        else
            send(card, command);
    }
    /* Who does not have a channel's keys says nothing inside. */
    if (!(what & INSIDE) && piv->session.channel.counter > 1)
        abort();
    /* Who does not know PIN, PUK and management key gets in nowhere and changes nothing. */
    if (memcmp(piv->state.pin, made.first.pin, CB_VPIV_PIN) != 0 ||
        memcmp(piv->state.puk, made.first.puk, CB_VPIV_PIN) != 0 ||
        (piv->session.pin_verified && !(what & VERIFIED)) ||
        (piv->session.managed && !(what & MANAGED)))
        abort();
    if (piv->session.paired || (what & CONTACTLESS && piv->state.pin_tries != made.first.pin_tries))
        abort();
    if (!(what & MANAGED) || what & CONTACTLESS)
        must_be_same(&piv->state);
    cb_vcard_close(&card);
}

static void parse(cb_bytes bytes)
{
    cb_vpiv_state read;
    cb_buf again = CB_BUF(CB_CARD_STATE_MAX);
    if (cb_vpiv_state_parse(bytes, &read) == CB_OK) {
        cb_vpiv_state_put(&again, &read);
        if (cb_buf_error(&again))
            abort();
        cb_vpiv_state_free(&read);
    }
    cb_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(data, size));
    prepare();
    uint8_t what = cb_cursor_u8(&cursor);
    if (what & STATE)
        parse(cb_cursor_rest(&cursor));
    else
        commands(what, &cursor);
    return 0;
}
