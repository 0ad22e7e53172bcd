/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PC/SC's calls with which a program begins and ends with the service and with a card, all of which
 * succeed; what a reader with a PIN pad says that it can. The other calls are each program's own.
 */
#ifndef CB_TESTS_SUPPORT_PCSC_CALLS_H
#define CB_TESTS_SUPPORT_PCSC_CALLS_H

#include <winscard.h>

#include <PCSC/reader.h>

/* The pad's code for SCardControl, and its entry in the list of features. */
enum { PAD_CODE = 0x42330006 };
#define PAD_FEATURE                                                                                \
    FEATURE_VERIFY_PIN_DIRECT, 4, PAD_CODE >> 24, PAD_CODE >> 16 & 0xFF, PAD_CODE >> 8 & 0xFF,     \
        PAD_CODE & 0xFF

#endif
