/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Readers by PC/SC (libpcsclite). A context is made when it is needed and dropped when the service
 * does not know it any more, so that a restarted pcscd is met with a new one. The pseudo-reader of
 * the plug-and-play notification wakes a wait early; because it reports only what happens during
 * the wait, the list is compared before each wait and at least each second.
 */
#include "cardlink/terminal/reader.h"

#include <PCSC/reader.h>
#include <stdlib.h>
#include <winscard.h>

#include "base/clock.h"
#include "base/secret.h"
#include "cardlink/script.h"
#include "cardlink/terminal/pad.h"
#include "cardlink/terminal/play.h"

#define PNP_READER "\\\\?PnP?\\Notification"

enum { SLICE_MS = 1000, NAMES_MAX = CB_READERS_MAX * MAX_READERNAME };

typedef struct pcsc {
    bool exclusive;
    bool connected;
    bool known; /* the context is valid */
    SCARDCONTEXT context;
    SCARDHANDLE card;
    DWORD protocol;
    bool has_pad;
    uint32_t pad; /* the control code by which it verifies a PIN */
} pcsc;

static cb_error pcsc_open(const char *place, void **state)
{
    pcsc *own = calloc(1, sizeof *own);
    if (!own)
        return CB_E_MEMORY;
    own->exclusive = strcmp(place, "pcsc exclusive") == 0;
    *state = own;
    return CB_OK;
}

static void drop_context(pcsc *own)
{
    if (own->known)
        SCardReleaseContext(own->context);
    own->known = own->connected = false;
}

static void pcsc_close(void *state)
{
    drop_context(state);
    free(state);
}

static cb_error need_context(pcsc *own)
{
    if (!own->known)
        own->known =
            SCardEstablishContext(SCARD_SCOPE_SYSTEM, NULL, NULL, &own->context) == SCARD_S_SUCCESS;
    return own->known ? CB_OK : CB_E_READER_NONE;
}

/* What a return value means while no card is being talked to. */
static cb_error outcome(pcsc *own, LONG rv)
{
    switch (rv) {
    case SCARD_S_SUCCESS:
        return CB_OK;
    case SCARD_E_TIMEOUT:
        return CB_E_TIMEOUT;
    case SCARD_E_NO_READERS_AVAILABLE:
    case SCARD_E_UNKNOWN_READER:
    case SCARD_E_READER_UNAVAILABLE:
        return CB_E_READER_NONE;
    case SCARD_E_NO_SMARTCARD:
    case SCARD_W_REMOVED_CARD:
        return CB_E_CARD_ABSENT;
    case SCARD_W_UNRESPONSIVE_CARD:
    case SCARD_W_UNPOWERED_CARD:
    case SCARD_W_UNSUPPORTED_CARD:
    case SCARD_E_PROTO_MISMATCH:
        return CB_E_CARD_STATUS;
    case SCARD_E_SHARING_VIOLATION:
        return CB_E_READER_IN_USE;
    case SCARD_E_NO_MEMORY:
        return CB_E_MEMORY;
    case SCARD_E_NO_SERVICE:
    case SCARD_E_SERVICE_STOPPED:
    case SCARD_E_INVALID_HANDLE:
    case SCARD_F_COMM_ERROR:
    case SCARD_F_INTERNAL_ERROR:
        drop_context(own);
        return CB_E_READER_NONE;
    default:
        return CB_E_READER;
    }
}

static void info_from(const SCARD_READERSTATE *state, cb_reader_info *info)
{
    DWORD event = state->dwEventState;
    info->present = event & SCARD_STATE_PRESENT;
    info->mute = event & SCARD_STATE_MUTE;
    info->in_use = event & SCARD_STATE_EXCLUSIVE;
    info->changes = (uint32_t)(event >> 16);
    info->atr_len = state->cbAtr <= CB_ATR_MAX && info->present ? state->cbAtr : 0;
    memset(info->atr, 0, sizeof info->atr);
    memcpy(info->atr, state->rgbAtr, info->atr_len);
}

/* Fills in the state of the readers that are named in the list. */
static cb_error look(pcsc *own, cb_reader_list *list)
{
    SCARD_READERSTATE states[CB_READERS_MAX];
    memset(states, 0, sizeof states);
    for (size_t i = 0; i < list->count; i++)
        states[i].szReader = list->reader[i].name;
    cb_error error = outcome(own, SCardGetStatusChange(own->context, 0, states, list->count));
    for (size_t i = 0; i < list->count && !error; i++)
        info_from(&states[i], &list->reader[i]);
    return error == CB_E_TIMEOUT ? CB_OK : error;
}

static cb_error pcsc_list(void *state, cb_reader_list *out)
{
    pcsc *own = state;
    char names[NAMES_MAX + 1] = "";
    DWORD len = NAMES_MAX;
    memset(out, 0, sizeof *out);
    cb_error error = need_context(own);
    if (!error)
        error = outcome(own, SCardListReaders(own->context, NULL, names, &len));
    if (error)
        return error;
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(names, len));
    for (cb_reader_info *info = NULL; out->count < CB_READERS_MAX;) {
        size_t size = strnlen((const char *)cursor.rest.data, cursor.rest.len);
        if (size == 0 || size > CB_READER_NAME_MAX)
            break;
        info = &out->reader[out->count++];
        memcpy(info->name, cb_cursor_take(&cursor, size).data, size);
        cb_cursor_u8(&cursor);
    }
    return out->count == 0 ? CB_E_READER_NONE : look(own, out);
}

static bool same(const cb_reader_list *a, const cb_reader_list *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; i < a->count && same; i++) {
        const cb_reader_info *left = &a->reader[i];
        const cb_reader_info *right = &b->reader[i];
        same = strcmp(left->name, right->name) == 0 && left->present == right->present &&
               left->mute == right->mute && left->changes == right->changes;
    }
    return same;
}

/* What *known has become; a list of none where its readers or all readers are gone. */
static cb_error now(pcsc *own, const cb_reader_list *known, bool plug, cb_reader_list *list)
{
    cb_error error = need_context(own);
    *list = *known;
    if (!error && plug)
        error = pcsc_list(own, list);
    else if (!error)
        error = look(own, list);
    if (error == CB_E_READER_NONE && own->known) {
        list->count = 0;
        error = CB_OK;
    }
    return error;
}

static cb_error sleep_until_change(pcsc *own, cb_reader_list *list, bool plug, int left_ms)
{
    SCARD_READERSTATE states[CB_READERS_MAX + 1];
    DWORD count = 0;
    memset(states, 0, sizeof states);
    for (; count < list->count; count++) {
        const cb_reader_info *info = &list->reader[count];
        states[count].szReader = info->name;
        states[count].dwCurrentState = (DWORD)info->changes << 16 |
                                       (info->present ? SCARD_STATE_PRESENT : SCARD_STATE_EMPTY) |
                                       (info->mute ? SCARD_STATE_MUTE : 0);
    }
    if (plug || count == 0)
        states[count++].szReader = PNP_READER;
    DWORD ms = (DWORD)(left_ms < SLICE_MS ? left_ms : SLICE_MS);
    cb_error error = outcome(own, SCardGetStatusChange(own->context, ms, states, count));
    return error == CB_E_TIMEOUT || own->known ? CB_OK : error;
}

static cb_error pcsc_wait(void *state, cb_reader_list *known, bool plug, int64_t deadline)
{
    pcsc *own = state;
    for (;;) {
        cb_reader_list list;
        cb_error error = now(own, known, plug, &list);
        int left = cb_deadline_left_ms(deadline);
        if (!error && !same(&list, known)) {
            *known = list;
            return CB_OK;
        }
        if (!error && left == 0)
            error = CB_E_TIMEOUT;
        if (!error)
            error = sleep_until_change(own, &list, plug, left);
        if (error)
            return error;
    }
}

static void pcsc_disconnect(void *state)
{
    pcsc *own = state;
    if (!own->connected)
        return;
    SCardEndTransaction(own->card, SCARD_LEAVE_CARD);
    SCardDisconnect(own->card, SCARD_RESET_CARD);
    own->connected = false;
}

/* What the reader can do is asked when a card is taken: some say it only then. */
static void look_for_pad(pcsc *own)
{
    uint8_t features[CB_PAD_FEATURES_MAX];
    DWORD got = 0;
    own->has_pad = own->connected &&
                   SCardControl(own->card, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, features,
                                sizeof features, &got) == SCARD_S_SUCCESS &&
                   got <= sizeof features && cb_pad_find(cb_bytes_make(features, got), &own->pad);
}

static cb_error pcsc_connect(void *state, const char *reader)
{
    pcsc *own = state;
    cb_error error = need_context(own);
    if (error)
        return error;
    pcsc_disconnect(own);
    error = outcome(own, SCardConnect(own->context, reader,
                                      own->exclusive ? SCARD_SHARE_EXCLUSIVE : SCARD_SHARE_SHARED,
                                      SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &own->card,
                                      &own->protocol));
    if (error)
        return error;
    /* Another program may have reset the card since; our channel is not open yet, so that does not
     * matter. */
    LONG rv = SCardBeginTransaction(own->card);
    if (rv == SCARD_W_RESET_CARD &&
        SCardReconnect(own->card, own->exclusive ? SCARD_SHARE_EXCLUSIVE : SCARD_SHARE_SHARED,
                       SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, SCARD_LEAVE_CARD,
                       &own->protocol) == SCARD_S_SUCCESS)
        rv = SCardBeginTransaction(own->card);
    own->connected = rv == SCARD_S_SUCCESS;
    look_for_pad(own);
    if (!own->connected)
        SCardDisconnect(own->card, SCARD_LEAVE_CARD);
    return outcome(own, rv);
}

/* While a card is being talked to, whatever puts it out of reach is its removal. */
static cb_error transmit_outcome(pcsc *own, LONG rv)
{
    if (rv == SCARD_S_SUCCESS)
        return CB_OK;
    if (rv == SCARD_E_INSUFFICIENT_BUFFER)
        return CB_E_TOO_LARGE;
    if (rv == SCARD_W_RESET_CARD)
        return CB_E_CARD_REMOVED;
    /* What pcscd says of a transmission that failed half-way: as a rule because the card left. */
    if (rv == SCARD_E_NOT_TRANSACTED)
        return CB_E_CARD_REMOVED;
    cb_error error = outcome(own, rv);
    return error == CB_E_CARD_ABSENT || error == CB_E_READER_NONE || error == CB_E_CARD_STATUS
               ? CB_E_CARD_REMOVED
               : error;
}

static cb_error pcsc_transmit(void *state, cb_bytes command, cb_buf *answer)
{
    pcsc *own = state;
    uint8_t sent[CB_COMMAND_MAX];
    uint8_t received[MAX_BUFFER_SIZE];
    size_t len = command.len;
    DWORD got = sizeof received;
    bool t0 = own->protocol == SCARD_PROTOCOL_T0;
    if (!own->connected)
        return CB_E_CARD_REMOVED;
    if (t0)
        len = cb_command_for_t0(command, sent);
    else
        memcpy(sent, command.data, len);
    LONG rv =
        SCardTransmit(own->card, t0 ? SCARD_PCI_T0 : SCARD_PCI_T1, sent, len, NULL, received, &got);
    cb_error error = transmit_outcome(own, rv);
    if (!error && got == 0)
        error = CB_E_CARD_REMOVED; /* some drivers report a card that left during the exchange as an
                                      empty answer */
    if (!error)
        cb_buf_put(answer, cb_bytes_make(received, got));
    cb_wipe(sent, sizeof sent);
    cb_wipe(received, sizeof received);
    return error ? error : cb_buf_error(answer);
}

static bool pcsc_has_pad(void *state) { return ((pcsc *)state)->has_pad; }

static cb_error pcsc_verify(void *state, cb_bytes header, bool padded, cb_buf *answer)
{
    pcsc *own = state;
    uint8_t received[CB_PAD_BLOCK_MAX];
    DWORD got = 0;
    cb_buf block = CB_BUF(CB_PAD_BLOCK_MAX);
    cb_error error = own->connected && own->has_pad ? CB_OK : CB_E_PIN_PAD;
    if (!error)
        error = cb_pad_block(header, padded, &block);
    if (!error) {
        LONG rv = SCardControl(own->card, own->pad, block.data, block.len, received,
                               sizeof received, &got);
        bool nobody = rv == SCARD_E_TIMEOUT || rv == SCARD_W_CANCELLED_BY_USER;
        error = nobody ? CB_E_PIN_CANCELLED : transmit_outcome(own, rv);
    }
    if (!error && got > sizeof received)
        error = CB_E_READER;
    if (!error)
        error = cb_pad_outcome(cb_bytes_make(received, got));
    if (!error)
        cb_buf_put(answer, cb_bytes_make(received, got));
    cb_buf_free(&block);
    return error ? error : cb_buf_error(answer);
}

const cb_reader_kind cb_reader_pcsc = {
    .name = "pcsc",
    .open = pcsc_open,
    .close = pcsc_close,
    .list = pcsc_list,
    .wait = pcsc_wait,
    .connect = pcsc_connect,
    .transmit = pcsc_transmit,
    .disconnect = pcsc_disconnect,
    .has_pad = pcsc_has_pad,
    .verify = pcsc_verify,
};
