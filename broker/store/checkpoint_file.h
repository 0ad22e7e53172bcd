/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where checkpoints are kept (broker/evidence/checkpoint.h): two files beside the database.
 *
 * NAME-checkpoint is one whose leaf was seen under a signed head; NAME-checkpoint.next is being
 * written, or waits for that. Each is written under the second name, synced, and renamed, so there
 * is a whole one at any time. Whoever loses them waits longer at the next start, and no more.
 */
#ifndef CB_BROKER_STORE_CHECKPOINT_FILE_H
#define CB_BROKER_STORE_CHECKPOINT_FILE_H

#include "broker/evidence/checkpoint.h"
#include "broker/store/internal.h"

typedef enum cb_checkpoint_which {
    CB_CHECKPOINT_KEPT,
    CB_CHECKPOINT_NEXT,
    CB_CHECKPOINT_FILES
} cb_checkpoint_which;

/* Writes the next one, words in their order; fills in words_root. CB_E_STORE_FULL: that would take
 * of what is kept free for revocations; CB_E_STORE, CB_E_STOPPING, CB_E_MEMORY: there is none then.
 */
cb_error cb_checkpoint_write(cb_store *store, cb_checkpoint *checkpoint,
                             const cb_merkle_frontier *tree, const cb_id_entry *words);

/* The next one takes the other's place. CB_E_STORE. */
cb_error cb_checkpoint_keep(cb_store *store);

/* Removes both; false when one that is there cannot be. */
bool cb_checkpoint_forget(cb_store *store);

/* Reads one; words are the caller's (cb_id_map_free), whatever is returned. CB_E_NOT_FOUND: there
 * is none; CB_E_FORMAT: damaged, or of another version; CB_E_STORE, CB_E_STOPPING, CB_E_MEMORY. */
cb_error cb_checkpoint_load(cb_store *store, cb_checkpoint_which which, cb_checkpoint *out,
                            cb_merkle_frontier *tree, cb_id_map *words);

#endif
