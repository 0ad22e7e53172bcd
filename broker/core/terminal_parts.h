/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files about terminals share.
 */
#ifndef CB_BROKER_CORE_TERMINAL_PARTS_H
#define CB_BROKER_CORE_TERMINAL_PARTS_H

#include "broker/core/act.h"

/* Writes a code's hash for a terminal, with its leaf. */
cb_error cb_terminal_code_write(cb_txn *txn, const cb_act *act, const cb_id *terminal,
                                const cb_terminal_code *code);

/* What an administrator lets a terminal do, into its row. CB_E_ARGUMENT. */
cb_error cb_terminal_allow(const cb_terminal_new *from, cb_terminal *to);

/* Lets the next key of a terminal, which was used, take the place of the one of before, unless that
 * has happened meanwhile. *terminal is as it is afterwards. */
cb_error cb_terminal_promote(cb_store *store, const cb_digest *key, cb_terminal *terminal);

#endif
