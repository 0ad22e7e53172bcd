/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake_pcsc.h"

#include <string.h>
#include <unistd.h>

#include "cardlink/script.h"
#include "cardlink/terminal/reader.h"
#include "tests/support/fault_counter.h"

enum { CONTEXT = 7, CARD = 8, PAUSE_US = 2000 };

const SCARD_IO_REQUEST g_rgSCardT0Pci, g_rgSCardT1Pci;

static const char *name;
static LONG failure = SCARD_E_NO_SERVICE;
static void *card; /* cb_reader_virtual's */
static fault_counter counter;

__attribute__((constructor)) static void make_counter(void) { fault_counter_make(&counter); }

static bool fails(void) { return fault_counter_strikes(&counter); }

void fake_pcsc(const char *reader, LONG code)
{
    name = reader;
    failure = code;
}

LONG SCardEstablishContext(DWORD scope, LPCVOID reserved, LPCVOID reserved_too, LPSCARDCONTEXT out)
{
    (void)scope, (void)reserved, (void)reserved_too;
    *out = CONTEXT;
    return fails() ? failure : SCARD_S_SUCCESS;
}

LONG SCardReleaseContext(SCARDCONTEXT context)
{
    (void)context;
    return fails() ? failure : SCARD_S_SUCCESS;
}

LONG SCardListReaders(SCARDCONTEXT context, LPCSTR groups, LPSTR names, LPDWORD len)
{
    size_t size = strlen(name) + 1;
    (void)context, (void)groups;
    if (fails())
        return failure;
    if (size + 1 > *len)
        return SCARD_E_INSUFFICIENT_BUFFER;
    memcpy(names, name, size);
    names[size] = 0;
    *len = size + 1;
    return SCARD_S_SUCCESS;
}

static bool card_is_there(void) { return access(name, F_OK) == 0; }

LONG SCardGetStatusChange(SCARDCONTEXT context, DWORD wait, SCARD_READERSTATE *states, DWORD count)
{
    (void)context;
    if (fails())
        return failure;
    for (DWORD i = 0; i < count; i++)
        if (strcmp(states[i].szReader, name) == 0)
            states[i].dwEventState =
                (1U << 16) | (card_is_there() ? SCARD_STATE_PRESENT : SCARD_STATE_EMPTY);
    if (wait > 0)
        usleep(PAUSE_US);
    return wait > 0 ? SCARD_E_TIMEOUT : SCARD_S_SUCCESS;
}

LONG SCardConnect(SCARDCONTEXT context, LPCSTR reader, DWORD share, DWORD protocols,
                  LPSCARDHANDLE out, LPDWORD protocol)
{
    (void)context, (void)share, (void)protocols;
    if (fails())
        return failure;
    if (card)
        cb_reader_virtual.close(card);
    card = NULL;
    if (cb_reader_virtual.open(name, &card) != CB_OK)
        return SCARD_E_NO_MEMORY;
    *out = CARD;
    *protocol = SCARD_PROTOCOL_T1;
    return cb_reader_virtual.connect(card, reader) == CB_OK ? SCARD_S_SUCCESS
                                                            : SCARD_E_NO_SMARTCARD;
}

LONG SCardReconnect(SCARDHANDLE handle, DWORD share, DWORD protocols, DWORD how, LPDWORD protocol)
{
    (void)handle, (void)share, (void)protocols, (void)how;
    *protocol = SCARD_PROTOCOL_T1;
    return fails() ? failure : SCARD_S_SUCCESS;
}

LONG SCardBeginTransaction(SCARDHANDLE handle)
{
    (void)handle;
    return fails() ? failure : SCARD_S_SUCCESS;
}

LONG SCardEndTransaction(SCARDHANDLE handle, DWORD how)
{
    (void)handle, (void)how;
    return fails() ? failure : SCARD_S_SUCCESS;
}

LONG SCardDisconnect(SCARDHANDLE handle, DWORD how)
{
    (void)handle, (void)how;
    if (card)
        cb_reader_virtual.close(card);
    card = NULL;
    return fails() ? failure : SCARD_S_SUCCESS;
}

LONG SCardTransmit(SCARDHANDLE handle, const SCARD_IO_REQUEST *send, LPCBYTE command, DWORD len,
                   SCARD_IO_REQUEST *receive, LPBYTE answer, LPDWORD answer_len)
{
    cb_buf out = CB_BUF(CB_ANSWER_MAX);
    (void)handle, (void)send, (void)receive;
    if (fails())
        return failure;
    if (!card || cb_reader_virtual.transmit(card, cb_bytes_make(command, len), &out) != CB_OK ||
        out.len > *answer_len) {
        cb_buf_free(&out);
        return SCARD_W_REMOVED_CARD;
    }
    memcpy(answer, out.data, out.len);
    *answer_len = out.len;
    cb_buf_free(&out);
    return SCARD_S_SUCCESS;
}

LONG SCardControl(SCARDHANDLE handle, DWORD code, LPCVOID send, DWORD len, LPVOID answer,
                  DWORD room, LPDWORD answer_len)
{
    (void)handle, (void)code, (void)send, (void)len, (void)answer, (void)room;
    *answer_len = 0;
    return SCARD_E_UNSUPPORTED_FEATURE;
}

static void arm(unsigned nth, bool lasting) { fault_counter_arm(&counter, nth, lasting); }

static unsigned disarm(void) { return fault_counter_disarm(&counter); }

static void where(void) { fault_counter_where(&counter); }

const fault_kind pcsc_faults = {"PC/SC call", arm, disarm, where, false};
