/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The PKI that pki.py makes, in a folder of its own that goes with the program.
 */
#ifndef CB_TESTS_SUPPORT_PKI_H
#define CB_TESTS_SUPPORT_PKI_H

#include "base/buf.h"

/* Makes it with the script at a path. 0, or -1. */
int pki_make(const char *script);

/* NAME.der; read once and kept until pki_remove. Ends the program when there is none. */
cb_bytes pki(const char *name);

void pki_remove(void);

/* Seconds since 1970 of the first moment of a day. */
int64_t pki_time(int year, int month, int day);

#endif
