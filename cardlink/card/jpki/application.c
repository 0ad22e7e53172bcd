/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/jpki/application.h"

#include <stdlib.h>

#include "base/secret.h"
#include "base/tlv.h"

enum {
    FILE_SIGNER = 0x0001, /* the signature certificate, which its PIN protects */
    FILE_TOKEN = 0x0006,

    INS_VERIFY = 0x20,
    INS_CHANGE = 0x24,
    INS_SIGN = 0x2A,
    INS_SELECT = 0xA4,
    INS_READ = 0xB0,

    SW_NO_FILE = 0x6986,
    SW_OFFSET = 0x6B00,

    BY_FILE = 0x02,
    BY_NAME = 0x04,
    WITHOUT_TEMPLATE = 0x0C,
    REFERENCE = 0x80, /* P2 of VERIFY, CHANGE and COMPUTE DIGITAL SIGNATURE: of this file */
    CHANGE_NEW_ONLY = 0x01,
    READ_MAX = 256,
    PADDING_MIN = 11, /* bytes of a signature that the padding takes */
    SHORT_FILE = 0x80 /* P1 of READ BINARY: a short file identifier, which nothing has here */
};

const uint8_t cb_vjpki_atr[9] = {0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14};
const uint8_t cb_vjpki_token[32] = "JPKIAPICCTOKEN2                 ";
static const uint8_t aid[] = {CB_VJPKI_AID_BYTES};

typedef enum file_kind { FILE_DATA, FILE_KEY, FILE_PIN } file_kind;

static const struct file {
    uint16_t id;
    uint8_t kind;
    uint8_t use;
} files[] = {
    {FILE_TOKEN, FILE_DATA, CB_VJPKI_USES},       {0x000A, FILE_DATA, CB_VJPKI_AUTHENTICATION},
    {0x000B, FILE_DATA, CB_VJPKI_AUTHENTICATION}, {0x0017, FILE_KEY, CB_VJPKI_AUTHENTICATION},
    {0x0018, FILE_PIN, CB_VJPKI_AUTHENTICATION},  {0x0001, FILE_DATA, CB_VJPKI_SIGNATURE},
    {0x0002, FILE_DATA, CB_VJPKI_SIGNATURE},      {0x001A, FILE_KEY, CB_VJPKI_SIGNATURE},
    {0x001B, FILE_PIN, CB_VJPKI_SIGNATURE},
};

static const struct file *find(uint16_t id)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i].id == id)
            return &files[i];
    }
    return NULL;
}

/* The file that is selected, if it is of this kind. */
static const struct file *current(const cb_vjpki_application *jpki, file_kind kind)
{
    const struct file *file = find(jpki->file);
    return file && file->kind == kind ? file : NULL;
}

static void forget(cb_vjpki_application *jpki)
{
    jpki->selected = false;
    jpki->file = 0;
    memset(jpki->verified, 0, sizeof jpki->verified);
}

static uint16_t select_application(cb_vjpki_application *jpki, const cb_apdu *apdu, cb_buf *data)
{
    if (!cb_bytes_same(apdu->data, CB_BYTES_OF(aid)))
        return CB_SW_FILE_NOT_FOUND;
    forget(jpki);
    jpki->selected = true;
    if (apdu->p2 != WITHOUT_TEMPLATE) {
        cb_buf name = CB_BUF(32);
        cb_tlv_put(&name, 0x84, CB_BYTES_OF(aid));
        cb_tlv_put(data, 0x6F, cb_buf_bytes(&name));
        cb_buf_free(&name);
    }
    return CB_SW_OK;
}

static uint16_t select_file(cb_vjpki_application *jpki, const cb_apdu *apdu, cb_buf *data)
{
    if (apdu->p2 != 0x00 && apdu->p2 != WITHOUT_TEMPLATE)
        return CB_SW_PARAMETERS;
    if (apdu->p1 == BY_NAME)
        return select_application(jpki, apdu, data);
    if (apdu->p1 != BY_FILE)
        return CB_SW_PARAMETERS;
    if (!jpki->selected)
        return CB_SW_CONDITIONS;
    cb_cursor cursor = cb_cursor_over(apdu->data);
    uint16_t id = cb_cursor_u16(&cursor);
    if (!cb_cursor_done(&cursor))
        return CB_SW_LENGTH;
    if (!find(id))
        return CB_SW_FILE_NOT_FOUND;
    jpki->file = id;
    return CB_SW_OK;
}

static cb_bytes content(const cb_vjpki_application *jpki, const struct file *file)
{
    const cb_vjpki_credential *of = jpki->state.of;
    switch (file->id) {
    case 0x000A:
        return cb_vjpki_blob_bytes(&of[CB_VJPKI_AUTHENTICATION].certificate);
    case 0x000B:
        return cb_vjpki_blob_bytes(&of[CB_VJPKI_AUTHENTICATION].authority);
    case FILE_SIGNER:
        return cb_vjpki_blob_bytes(&of[CB_VJPKI_SIGNATURE].certificate);
    case 0x0002:
        return cb_vjpki_blob_bytes(&of[CB_VJPKI_SIGNATURE].authority);
    default:
        return CB_BYTES_OF(cb_vjpki_token);
    }
}

static uint16_t read_binary(cb_vjpki_application *jpki, const cb_apdu *apdu, cb_buf *data)
{
    const struct file *file = current(jpki, FILE_DATA);
    if (!file)
        return SW_NO_FILE;
    if (apdu->p1 & SHORT_FILE)
        return CB_SW_PARAMETERS;
    if (apdu->data.len > 0)
        return CB_SW_LENGTH;
    if (file->id == FILE_SIGNER && !jpki->verified[CB_VJPKI_SIGNATURE])
        return CB_SW_SECURITY;
    cb_cursor cursor = cb_cursor_over(content(jpki, file));
    size_t offset = (size_t)(apdu->p1 << 8 | apdu->p2);
    if (offset >= cursor.rest.len)
        return SW_OFFSET;
    cb_cursor_take(&cursor, offset);
    size_t len = cursor.rest.len < READ_MAX ? cursor.rest.len : READ_MAX;
    cb_buf_put(data, cb_cursor_take(&cursor, len));
    return CB_SW_OK;
}

static bool is_pin(const cb_vjpki_credential *credential, cb_bytes sent)
{
    uint8_t padded[1 + CB_VJPKI_PIN_MAX] = {(uint8_t)sent.len};
    uint8_t stored[1 + CB_VJPKI_PIN_MAX] = {credential->pin_len};
    memcpy(&padded[1], sent.data, sent.len);
    memcpy(&stored[1], credential->pin, CB_VJPKI_PIN_MAX);
    bool same = cb_equal(CB_BYTES_OF(padded), CB_BYTES_OF(stored));
    cb_wipe(padded, sizeof padded);
    cb_wipe(stored, sizeof stored);
    return same;
}

/* The try is taken away, durably, before anything can be known of its result. */
static uint16_t verify(cb_vjpki_application *jpki, const cb_apdu *apdu, cb_buf *data)
{
    const struct file *file = current(jpki, FILE_PIN);
    (void)data;
    if (apdu->p1 != 0x00 || apdu->p2 != REFERENCE)
        return CB_SW_PARAMETERS;
    if (!file)
        return SW_NO_FILE;
    cb_vjpki_credential *credential = &jpki->state.of[file->use];
    const cb_vjpki_pin_rule *rule = &cb_vjpki_pin_rules[file->use];
    if (apdu->data.len == 0)
        return (uint16_t)(CB_SW_TRIES_LEFT | credential->tries);
    jpki->verified[file->use] = false;
    if (apdu->data.len < rule->least || apdu->data.len > rule->most)
        return CB_SW_LENGTH;
    if (credential->tries == 0)
        return CB_SW_BLOCKED;
    credential->tries--;
    if (!cb_vcard_save(jpki->card))
        return CB_SW_MEMORY;
    if (!is_pin(credential, apdu->data))
        return (uint16_t)(CB_SW_TRIES_LEFT | credential->tries);
    credential->tries = rule->tries;
    if (!cb_vcard_save(jpki->card))
        return CB_SW_MEMORY;
    jpki->verified[file->use] = true;
    return CB_SW_OK;
}

static uint16_t change(cb_vjpki_application *jpki, const cb_apdu *apdu, cb_buf *data)
{
    const struct file *file = current(jpki, FILE_PIN);
    (void)data;
    if (apdu->p1 != CHANGE_NEW_ONLY || apdu->p2 != REFERENCE)
        return CB_SW_PARAMETERS;
    if (!file)
        return SW_NO_FILE;
    if (!jpki->verified[file->use])
        return CB_SW_SECURITY;
    if (!cb_vjpki_pin_ok((cb_vjpki_use)file->use, apdu->data))
        return CB_SW_DATA;
    cb_vjpki_pin_set(&jpki->state.of[file->use], apdu->data);
    return cb_vcard_save(jpki->card) ? CB_SW_OK : CB_SW_MEMORY;
}

/* EMSA-PKCS1-v1_5 (RFC 8017, 9.2) with what came in place of the DigestInfo, which is not looked
 * at. */
static uint16_t sign(cb_vjpki_application *jpki, const cb_apdu *apdu, cb_buf *data)
{
    const struct file *file = current(jpki, FILE_KEY);
    uint8_t padded[CB_VCARD_RSA_SIZE];
    if (apdu->p1 != 0x00 || apdu->p2 != REFERENCE)
        return CB_SW_PARAMETERS;
    if (!file)
        return SW_NO_FILE;
    if (!jpki->verified[file->use])
        return CB_SW_SECURITY;
    if (apdu->data.len == 0 || apdu->data.len > sizeof padded - PADDING_MIN)
        return CB_SW_LENGTH;
    size_t start = sizeof padded - apdu->data.len;
    memset(padded, 0xFF, start);
    padded[0] = 0x00;
    padded[1] = 0x01;
    padded[start - 1] = 0x00;
    memcpy(&padded[start], apdu->data.data, apdu->data.len);
    if (cb_vcard_key_rsa(&jpki->state.of[file->use].key, CB_BYTES_OF(padded), data))
        return CB_SW_FAULT;
    return CB_SW_OK;
}

static const struct row {
    uint8_t cla, ins;
    bool selected; /* legal only once the application is selected */
    uint16_t (*command)(cb_vjpki_application *jpki, const cb_apdu *apdu, cb_buf *data);
} table[] = {
    {0x00, INS_SELECT, false, select_file}, {0x00, INS_READ, true, read_binary},
    {0x00, INS_VERIFY, true, verify},       {0x00, INS_CHANGE, true, change},
    {0x80, INS_SIGN, true, sign},
};

static uint16_t run(cb_vjpki_application *jpki, const cb_apdu *apdu, cb_buf *data)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].ins != apdu->ins)
            continue;
        if (table[i].cla != apdu->cla)
            return CB_SW_CLA;
        if (table[i].selected && !jpki->selected)
            return CB_SW_CONDITIONS;
        return table[i].command(jpki, apdu, data);
    }
    return CB_SW_INS;
}

static void process(void *self, const cb_apdu *apdu, cb_buf *answer)
{
    cb_applet_answer(answer, run(self, apdu, answer));
}

static void reset(void *self) { forget(self); }

static cb_error load(struct cb_vcard *card, cb_bytes state, void **out)
{
    cb_vjpki_application *jpki = calloc(1, sizeof *jpki);
    if (!jpki)
        return CB_E_MEMORY;
    jpki->card = card;
    cb_error error = cb_vjpki_state_parse(state, &jpki->state);
    if (!error)
        *out = jpki;
    else
        free(jpki);
    return error;
}

static void save(const void *self, cb_buf *out)
{
    const cb_vjpki_application *jpki = self;
    cb_vjpki_state_put(out, &jpki->state);
}

static void show(const void *self, cb_buf *text)
{
    const cb_vjpki_application *jpki = self;
    cb_buf_printf(text, "JPKI authentication PIN tries left %u\nJPKI signature PIN tries left %u\n",
                  jpki->state.of[CB_VJPKI_AUTHENTICATION].tries,
                  jpki->state.of[CB_VJPKI_SIGNATURE].tries);
}

static void release(void *self)
{
    cb_wipe(self, sizeof(cb_vjpki_application));
    free(self);
}

const cb_applet cb_applet_jpki = {.name = "jpki",
                                  .aid = {aid, sizeof aid},
                                  .aid_min = sizeof aid,
                                  .cuts = true,
                                  .load = load,
                                  .save = save,
                                  .reset = reset,
                                  .process = process,
                                  .show = show,
                                  .free = release};
