/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/piv/application.h"

#include <stdlib.h>

#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/card/piv/interface.h"
#include "cardlink/card/transport.h"
#include "cardlink/native/native.h"

const uint8_t cb_vpiv_aid[11] = {0xA0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00};

const uint8_t cb_vpiv_atr[12] = {0x3B, 0x87, 0x80, 0x01, 0x43, 0x42,
                                 0x50, 0x49, 0x56, 0x30, 0x31, 0x49};

/* What may be opened with the secure messaging key (part 2, table 5). */
static void put_cipher_suite(cb_buf *out)
{
    static const uint8_t suites[] = {0x80, 0x01, CB_VPIV_CIPHER_SUITE_2, 0x06, 0x01, 0x00};
    cb_tlv_put(out, 0xAC, CB_BYTES_OF(suites));
}

static uint16_t select_application(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    static const uint8_t registered[] = {0xA0, 0x00, 0x00, 0x03, 0x08};
    static const uint8_t version[] = {0x00, 0x00, 0x10, 0x00, 0x01, 0x00};
    if (apdu->p1 != 0x04 || (apdu->p2 != 0x00 && apdu->p2 != 0x0C))
        return CB_SW_PARAMETERS;
    if (apdu->data.len < sizeof registered || apdu->data.len > sizeof cb_vpiv_aid ||
        !cb_bytes_same(apdu->data, cb_bytes_make(cb_vpiv_aid, apdu->data.len)))
        return CB_SW_FILE_NOT_FOUND;
    piv->session.selected = true; /* and nothing else changes if it was (part 2, 3.1.1) */
    if (apdu->p2 == 0x0C)
        return CB_SW_OK;
    cb_buf authority = CB_BUF(16), body = CB_BUF(64);
    cb_tlv_put(&authority, 0x4F, CB_BYTES_OF(registered));
    cb_tlv_put(&body, 0x4F, CB_BYTES_OF(version));
    cb_tlv_put(&body, 0x79, cb_buf_bytes(&authority));
    if (piv->state.channel_key.algorithm != CB_VCARD_NO_KEY)
        put_cipher_suite(&body);
    bool whole = !cb_buf_error(&authority) && !cb_buf_error(&body);
    cb_tlv_put(data, 0x61, cb_buf_bytes(&body));
    cb_buf_free(&authority);
    cb_buf_free(&body);
    return whole ? CB_SW_OK : CB_SW_FAULT;
}

static const struct row {
    uint8_t ins;
    bool contactless; /* whether it is there on that interface (part 2, table 2) */
    cb_vpiv_command command;
} table[] = {{CB_INS_SELECT, true, select_application},
             {CB_VPIV_INS_GET_DATA, true, cb_vpiv_get_data},
             {CB_VPIV_INS_PUT_DATA, false, cb_vpiv_put_data},
             {CB_INS_VERIFY, true, cb_vpiv_verify},
             {CB_INS_CHANGE, true, cb_vpiv_change},
             {CB_INS_UNBLOCK, false, cb_vpiv_unblock},
             {CB_VPIV_INS_AUTHENTICATE, true, cb_vpiv_authenticate},
             {CB_VPIV_INS_GENERATE, false, cb_vpiv_generate}};

uint16_t cb_vpiv_run(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    if (apdu->ins != CB_VPIV_INS_AUTHENTICATE)
        piv->session.pending = CB_VPIV_NOTHING;
    if (apdu->cla != 0x00)
        return CB_SW_CLA;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].ins != apdu->ins)
            continue;
        if (!piv->session.selected && apdu->ins != CB_INS_SELECT)
            return CB_SW_CONDITIONS;
        if (!table[i].contactless && !cb_vpiv_at_contacts(piv))
            return CB_VPIV_SW_NOT_SUPPORTED;
        return table[i].command(piv, apdu, data);
    }
    return CB_SW_INS;
}

static void process(void *self, const cb_apdu *apdu, cb_buf *answer)
{
    bool secured = apdu->cla == CB_VPIV_CLA_SECURED;
    cb_applet_answer(answer, secured ? cb_vpiv_secured(self, apdu, answer)
                                     : cb_vpiv_run(self, apdu, answer));
}

static void reset(void *self)
{
    cb_vpiv_application *piv = self;
    cb_wipe(&piv->session, sizeof piv->session);
}

static uint16_t malformed(void *self, uint8_t cla)
{
    ((cb_vpiv_application *)self)->session.pending = CB_VPIV_NOTHING;
    if ((cla & ~CB_CLA_CHAIN) == CB_VPIV_CLA_SECURED)
        cb_vpiv_secured_failed(self);
    return CB_SW_LENGTH;
}

static void end(void *self)
{
    cb_vpiv_application *piv = self;
    cb_vpiv_state_free(&piv->state);
    cb_wipe(piv, sizeof *piv);
    free(piv);
}

static cb_error load(cb_vcard *card, cb_bytes content, void **out)
{
    cb_vpiv_application *piv = calloc(1, sizeof *piv);
    if (!piv)
        return CB_E_MEMORY;
    piv->card = card;
    cb_error error = cb_vpiv_state_parse(content, &piv->state);
    if (error)
        end(piv);
    else
        *out = piv;
    return error;
}

static void save(const void *self, cb_buf *out)
{
    cb_vpiv_state_put(out, &((const cb_vpiv_application *)self)->state);
}

/* The GUID of the CHUID (part 1, 3.1.2). */
static bool identity(const void *self, cb_id *out)
{
    const cb_vpiv_application *piv = self;
    cb_bytes guid;
    if (!cb_tlv_find(cb_vpiv_object_get(&piv->state, CB_VPIV_CHUID), 0x34, &guid) ||
        guid.len != CB_ID_SIZE)
        return false;
    memcpy(out->bytes, guid.data, CB_ID_SIZE);
    return true;
}

static void show(const void *self, cb_buf *text)
{
    const cb_vpiv_application *piv = self;
    char id_text[CB_ID_TEXT] = "-";
    cb_id id;
    if (identity(self, &id))
        cb_id_text(&id, id_text);
    cb_buf_printf(text, "PIV card %s\nPIV PIN tries left %u\nPIV PUK tries left %u\n", id_text,
                  piv->state.pin_tries, piv->state.puk_tries);
    for (int i = 0; i < CB_VPIV_SLOTS; i++) {
        uint8_t algorithm = piv->state.key[i].algorithm;
        if (algorithm != CB_VCARD_NO_KEY)
            cb_buf_printf(text, "PIV key %02X %s\n", cb_vpiv_reference(i),
                          algorithm == CB_VCARD_RSA_2048  ? "rsa-2048"
                          : algorithm == CB_VCARD_EC_P256 ? "ec-p256"
                                                          : "ec-p384");
    }
    if (piv->state.channel_key.algorithm != CB_VCARD_NO_KEY)
        cb_buf_put_str(text, "PIV secure messaging: cipher suite 2\n");
    if (cb_vpiv_pairing_code(&piv->state).len > 0)
        cb_buf_put_str(text, "PIV virtual contact interface: with a pairing code\n");
}

const cb_applet cb_applet_piv = {
    .name = "piv",
    .aid = {cb_vpiv_aid, sizeof cb_vpiv_aid},
    .aid_min = 5,
    .command_max = CB_VPIV_COMMAND_MAX,
    .load = load,
    .save = save,
    .reset = reset,
    .process = process,
    .malformed = malformed,
    .identity = identity,
    .show = show,
    .free = end,
};
