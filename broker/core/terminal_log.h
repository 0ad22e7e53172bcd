/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What terminals log of themselves (cardlink/journal.h), as they bring it.
 *
 * The broker keeps a head for each terminal, and takes only what goes on from it: no number is
 * missing, none comes twice, each hash fits, and the last one is signed by the key by which the
 * terminal is known now. What it has already is taken again without effect. What does not fit is a
 * finding: refused, written down with a leaf, and kept until the next one.
 */
#ifndef CB_BROKER_CORE_TERMINAL_LOG_H
#define CB_BROKER_CORE_TERMINAL_LOG_H

#include "broker/core/registry.h"
#include "broker/store/txn.h"

/* Takes a batch from who shows a key (its digest); its part, last and received are not read. *now
 * is the head afterwards. CB_E_FORMAT: no entries, or too many; CB_E_LOG_GAP, CB_E_LOG_FORK,
 * CB_E_LOG_SIGNATURE: a finding; CB_E_TERMINAL_UNKNOWN: the key that it shows was renewed
 * meanwhile; CB_E_HSM_RECORD: the terminal's row is not what the record says; and why the terminal
 * is served nothing. */
cb_error cb_terminal_log_take(cb_store *store, const cb_id *terminal, const cb_digest *shown,
                              const cb_journal_batch *batch, cb_journal_head *now);

/* An administrator says that a terminal's log may go on, once, with what does not fit: another part
 * begins. Where a database was restored, or a terminal's disk. It is for what comes next: a batch
 * that fits ends it as well. CB_E_NOT_FOUND, CB_E_ARGUMENT, CB_E_HSM_RECORD: the terminal's row is
 * not what the record says. */
cb_error cb_terminal_log_resume(cb_store *store, const char *actor, const cb_id *terminal,
                                const char *reason);

cb_error cb_terminal_log_get(cb_store *store, const cb_id *terminal, cb_journal_row *out);

/* The batches after number "after" of a part, in order. */
cb_error cb_terminal_log_each(cb_store *store, const cb_id *terminal, uint64_t part, uint64_t after,
                              unsigned limit, cb_journal_visitor each, void *context);

#endif
