/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pcsc_calls.h"

const SCARD_IO_REQUEST g_rgSCardT0Pci, g_rgSCardT1Pci;

LONG SCardEstablishContext(DWORD scope, LPCVOID reserved, LPCVOID reserved_too, LPSCARDCONTEXT out)
{
    (void)scope, (void)reserved, (void)reserved_too;
    *out = 7;
    return SCARD_S_SUCCESS;
}

LONG SCardReleaseContext(SCARDCONTEXT context)
{
    (void)context;
    return SCARD_S_SUCCESS;
}

LONG SCardBeginTransaction(SCARDHANDLE card)
{
    (void)card;
    return SCARD_S_SUCCESS;
}

LONG SCardEndTransaction(SCARDHANDLE card, DWORD how)
{
    (void)card, (void)how;
    return SCARD_S_SUCCESS;
}
