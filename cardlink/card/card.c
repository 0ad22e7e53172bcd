/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/card.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/config.h"
#include "base/secret.h"
#include "cardlink/card/native/application.h"
#include "cardlink/card/transport.h"

const uint8_t cb_vcard_atr[14] = {0x3B, 0x89, 0x80, 0x01, 0x80, 0x57, 0x43,
                                  0x42, 0x43, 0x41, 0x52, 0x44, 0x31, 0xFB};

typedef struct slot {
    const cb_applet *applet;
    void *self;
} slot;

struct cb_vcard {
    uint8_t atr[CB_CARD_ATR_MAX];
    size_t atr_len;
    slot slot[CB_CARD_APPLETS_MAX];
    size_t count;
    size_t selected;
    cb_transport transport;
    bool contactless;
    bool mute; /* the memory failed: nothing until the next reset */
    cb_vcard_store store;
    char *path; /* of the file; NULL: none */
    int lock;
};

static void put_parts(const cb_vcard *card, cb_buf states[CB_CARD_APPLETS_MAX], cb_buf *file)
{
    cb_card_content content = {.atr_len = card->atr_len, .count = card->count};
    memcpy(content.atr, card->atr, card->atr_len);
    for (size_t i = 0; i < card->count; i++) {
        card->slot[i].applet->save(card->slot[i].self, &states[i]);
        content.part[i] = (cb_card_part){card->slot[i].applet, cb_buf_bytes(&states[i])};
        if (cb_buf_error(&states[i]) && !file->error)
            file->error = cb_buf_error(&states[i]);
    }
    cb_card_content_put(file, &content);
}

void cb_vcard_put(const cb_vcard *card, cb_buf *file)
{
    cb_buf states[CB_CARD_APPLETS_MAX];
    for (size_t i = 0; i < CB_CARD_APPLETS_MAX; i++)
        cb_buf_init(&states[i], CB_CARD_STATE_MAX);
    put_parts(card, states, file);
    for (size_t i = 0; i < CB_CARD_APPLETS_MAX; i++)
        cb_buf_free(&states[i]);
}

bool cb_vcard_save(cb_vcard *card)
{
    if (card->store.save && card->store.save(card->store.context, card) != CB_OK)
        card->mute = true;
    return !card->mute;
}

static bool means(const cb_applet *applet, cb_bytes name)
{
    return name.len >= applet->aid_min && name.len <= applet->aid.len &&
           cb_bytes_same(name, cb_bytes_make(applet->aid.data, name.len));
}

/* SELECT by AID: another application may take over. */
static void select_by_name(cb_vcard *card, const cb_apdu *apdu)
{
    for (size_t i = 0; i < card->count; i++) {
        if (!means(card->slot[i].applet, apdu->data))
            continue;
        if (i != card->selected) {
            slot *before = &card->slot[card->selected];
            before->applet->reset(before->self);
            cb_transport_reset(&card->transport);
        }
        card->selected = i;
        return;
    }
}

static void cut(cb_buf *answer, size_t expected)
{
    enum { STATUS_LEN = 2 };
    if (expected == 0 || answer->len <= expected + STATUS_LEN)
        return;
    memmove(&answer->data[expected], &answer->data[answer->len - STATUS_LEN], STATUS_LEN);
    answer->len = expected + STATUS_LEN;
}

static void run(cb_vcard *card, const cb_apdu *apdu, size_t expected, cb_buf *answer)
{
    if (apdu->cla == 0x00 && apdu->ins == CB_INS_SELECT && apdu->p1 == 0x04)
        select_by_name(card, apdu);
    slot *now = &card->slot[card->selected];
    if (now->applet->command_max > 0)
        cb_transport_process(&card->transport, now->applet, now->self, apdu, expected, answer);
    else
        now->applet->process(now->self, apdu, answer);
    if (now->applet->cuts)
        cut(answer, expected);
}

void cb_vcard_process(cb_vcard *card, cb_bytes command, cb_buf *answer)
{
    cb_apdu apdu;
    if (card->mute) {
        cb_buf_put_u16(answer, CB_SW_MEMORY);
    } else if (cb_apdu_read(command, &apdu)) {
        slot *now = &card->slot[card->selected];
        cb_cursor cursor = cb_cursor_over(command);
        cb_transport_reset(&card->transport);
        cb_buf_put_u16(answer, now->applet->malformed
                                   ? now->applet->malformed(now->self, cb_cursor_u8(&cursor))
                                   : CB_SW_LENGTH);
    } else {
        run(card, &apdu, cb_apdu_expected(command), answer);
    }
}

static void free_slots(cb_vcard *card)
{
    for (size_t i = 0; i < card->count; i++)
        card->slot[i].applet->free(card->slot[i].self);
    card->count = 0;
}

static cb_error load(cb_vcard *card, const cb_card_content *content)
{
    cb_error error = content->count > 0 ? CB_OK : CB_E_FORMAT;
    for (size_t i = 0; !error && i < content->count; i++) {
        void *self = NULL;
        error = content->part[i].applet->load(card, content->part[i].state, &self);
        if (!error)
            card->slot[card->count++] = (slot){content->part[i].applet, self};
    }
    memcpy(card->atr, content->atr, sizeof card->atr);
    card->atr_len = content->atr_len;
    if (error)
        free_slots(card);
    return error;
}

static cb_error load_file(cb_vcard *card, const char *path)
{
    cb_card_content content;
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX);
    cb_error error = cb_card_file_read(path, &file);
    if (!error)
        error = cb_card_content_parse(cb_buf_bytes(&file), &content);
    if (!error)
        error = load(card, &content);
    cb_buf_free(&file);
    return error;
}

static cb_error blank(const cb_vcard_store *store, cb_vcard **out)
{
    cb_vcard *card = calloc(1, sizeof *card);
    *out = card;
    if (!card)
        return CB_E_MEMORY;
    card->lock = -1;
    if (store)
        card->store = *store;
    return CB_OK;
}

cb_error cb_vcard_of(const cb_card_content *content, const cb_vcard_store *store, cb_vcard **out)
{
    cb_error error = blank(store, out);
    if (!error)
        error = load(*out, content);
    if (error)
        cb_vcard_close(out);
    return error;
}

cb_error cb_vcard_make(const cb_vcard_state *state, const cb_vcard_store *store, cb_vcard **out)
{
    cb_error error = blank(store, out);
    if (error)
        return error;
    cb_vcard *card = *out;
    void *self = cb_native_new(card, state);
    if (!self) {
        cb_vcard_close(out);
        return CB_E_MEMORY;
    }
    card->slot[card->count++] = (slot){&cb_applet_native, self};
    card->atr_len = sizeof cb_vcard_atr;
    memcpy(card->atr, cb_vcard_atr, sizeof cb_vcard_atr);
    return CB_OK;
}

static cb_error save_file(void *context, const cb_vcard *card)
{
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX);
    cb_vcard_put(card, &file);
    cb_error error = cb_buf_error(&file);
    if (!error)
        error = cb_file_replace(context, cb_buf_bytes(&file), 0600);
    cb_buf_free(&file);
    return error;
}

cb_error cb_vcard_open(const char *path, cb_vcard **out)
{
    cb_error error = blank(NULL, out);
    if (error)
        return error;
    cb_vcard *card = *out;
    error = load_file(card, path); /* leaves no lock beside what is no card */
    if (!error) {
        free_slots(card);
        error = cb_card_file_lock(path, &card->lock);
    }
    if (!error)
        error = load_file(card, path);
    if (!error && !(card->path = strdup(path)))
        error = CB_E_MEMORY;
    card->store = (cb_vcard_store){card->path, save_file};
    if (error)
        cb_vcard_close(out);
    return error;
}

void cb_vcard_close(cb_vcard **card)
{
    if (!*card)
        return;
    free_slots(*card);
    cb_transport_reset(&(*card)->transport);
    if ((*card)->lock >= 0)
        close((*card)->lock);
    free((*card)->path);
    cb_wipe(*card, sizeof **card);
    free(*card);
    *card = NULL;
}

/* After a failed write only the file knows what is durable. */
static bool load_again(cb_vcard *card)
{
    cb_vcard before = *card;
    card->count = 0;
    if (load_file(card, card->path)) {
        memcpy(card->slot, before.slot, sizeof card->slot);
        card->count = before.count;
        return false;
    }
    free_slots(&before);
    return true;
}

void cb_vcard_set_contactless(cb_vcard *card, bool contactless) { card->contactless = contactless; }

bool cb_vcard_is_contactless(const cb_vcard *card) { return card->contactless; }

void cb_vcard_reset(cb_vcard *card)
{
    for (size_t i = 0; i < card->count; i++)
        card->slot[i].applet->reset(card->slot[i].self);
    cb_transport_reset(&card->transport);
    card->selected = 0;
    card->mute = card->mute && card->path && !load_again(card);
}

cb_bytes cb_vcard_atr_of(const cb_vcard *card) { return cb_bytes_make(card->atr, card->atr_len); }

bool cb_vcard_identity(const cb_vcard *card, cb_id *out)
{
    for (size_t i = 0; i < card->count; i++) {
        const slot *at = &card->slot[i];
        if (at->applet->identity && at->applet->identity(at->self, out))
            return true;
    }
    return false;
}

void cb_vcard_show(const cb_vcard *card, cb_buf *text)
{
    for (size_t i = 0; i < card->count; i++)
        card->slot[i].applet->show(card->slot[i].self, text);
}

void *cb_vcard_applet(const cb_vcard *card, const cb_applet *applet)
{
    for (size_t i = 0; i < card->count; i++) {
        if (card->slot[i].applet == applet)
            return card->slot[i].self;
    }
    return NULL;
}

const cb_vcard_state *cb_vcard_state_of(const cb_vcard *card)
{
    cb_native_application *native = cb_vcard_applet(card, &cb_applet_native);
    return native ? &native->state : NULL;
}
