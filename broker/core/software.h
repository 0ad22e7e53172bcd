/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which software terminals may run, and which they say that they run.
 *
 * An administrator keeps the list. A terminal says what it runs in its log (the entry "started"),
 * which it can bring whatever it is refused otherwise. How it stands is looked up anew at each tap,
 * in the list as it is then; what changed of it is written down once (a leaf
 * "terminal.software_found"). With CB_SOFTWARE_ENFORCE a terminal that is not on the list gets no
 * tap: at its start, at its challenge, at T1 and at T2.
 *
 * What a terminal says of itself is its word. One that was taken over says what the list has; what
 * this finds is what was forgotten, not updated, or set up by hand.
 */
#ifndef CB_BROKER_CORE_SOFTWARE_H
#define CB_BROKER_CORE_SOFTWARE_H

#include "broker/store/row_software.h"

typedef enum cb_software_standing {
    CB_SOFTWARE_LISTED = 1,
    CB_SOFTWARE_UNLISTED = 2,
    CB_SOFTWARE_UNSAID = 3, /* it has never said what it runs */
    CB_SOFTWARE_ALTERED = 4 /* the row is not what the log says that the terminal said */
} cb_software_standing;

/* "listed", "unlisted", "unsaid", "altered". */
const char *cb_software_standing_name(uint8_t standing);

typedef struct cb_software_new {
    const char *version; /* cb_software_version_ok */
    const cb_digest *program;
    const cb_digest *config; /* NULL: any */
    const char *note;        /* as a name; NULL: none */
    int64_t since, until;    /* wall clock; 0: at once, for good */
} cb_software_new;

/* CB_E_ARGUMENT; CB_E_EXISTS: the same version, program and configuration are there. */
cb_error cb_software_add(cb_store *store, const char *actor, const cb_software_new *fresh,
                         cb_software_entry *out);
/* CB_E_NOT_FOUND. */
cb_error cb_software_remove(cb_store *store, const char *actor, const cb_id *id,
                            const char *reason);
cb_error cb_software_list(cb_store *store, const cb_id *after, unsigned limit,
                          cb_software_visitor each, void *context);

/* What a terminal said last (version "": nothing yet), and how that stands now; 0: not known before
 * the record was read again. */
cb_error cb_software_of(cb_store *store, const cb_id *terminal, cb_terminal_software *out,
                        uint8_t *standing);

/* Whether a terminal gets a tap: CB_OK, or CB_E_TERMINAL_SOFTWARE where that is enforced. Writes
 * down and logs what is new about how it stands; that this could not be done is no refusal. */
cb_error cb_software_admit(cb_store *store, const cb_id *terminal);

/* The same at T1 and T2, which writes nothing. */
cb_error cb_still_software(cb_txn *txn, const cb_id *terminal);

/* Of entries that were taken: keeps what the last "started" among them says. */
cb_error cb_software_said(cb_txn *txn, const cb_id *terminal, cb_bytes entries, int64_t now);

#endif
