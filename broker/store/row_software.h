/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows about software: which is allowed on terminals, and what each terminal said last.
 */
#ifndef CB_BROKER_STORE_ROW_SOFTWARE_H
#define CB_BROKER_STORE_ROW_SOFTWARE_H

#include "broker/store/txn.h"
#include "cardlink/software.h"

typedef struct cb_software_entry {
    cb_id id;
    cb_software what;
    bool any_config; /* what.config is not looked at */
    char note[CB_NAME_MAX + 1];
    int64_t since; /* allowed from then on; 0: at once */
    int64_t until; /* and not from then on; 0: for good */
    int64_t created;
} cb_software_entry;

typedef struct cb_terminal_software {
    cb_software what; /* version "": it has said nothing */
    int64_t started;  /* by the terminal's clock */
    int64_t received;
    char finding[16]; /* how it was found to stand last; "": never looked */
} cb_terminal_software;

typedef cb_error (*cb_software_visitor)(void *context, const cb_software_entry *entry);

cb_error cb_row_software_put(cb_txn *txn, const cb_software_entry *entry);
cb_error cb_row_software_remove(cb_txn *txn, const cb_id *id);
cb_error cb_row_software_each(cb_txn *txn, const cb_id *after, unsigned limit,
                              cb_software_visitor each, void *context);
/* Those of a version and program, for that configuration or for any: a few at most. */
cb_error cb_row_software_match(cb_txn *txn, const cb_software *what, cb_software_visitor each,
                               void *context);

/* Of one that has said nothing: all zero. */
cb_error cb_row_terminal_software_get(cb_txn *txn, const cb_id *terminal,
                                      cb_terminal_software *out);
cb_error cb_row_terminal_software_set(cb_txn *txn, const cb_id *terminal,
                                      const cb_terminal_software *software);

#endif
