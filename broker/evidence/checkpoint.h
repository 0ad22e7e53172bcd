/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checkpoints: what the leaves up to a position come to, so that a start need not read them first.
 *
 * A leaf "record.checkpoint" says what the leaves before a position lead to: the root of their
 * tree, the end of the revocation feed, and the words about rows (vouch.h), as a count and one
 * hash. What it says them of is kept in a file beside the database:
 *
 *   "cbcheckpoint\0\1\0\0"   16 bytes
 *   size u64, feed number u64, feed hash 32, rules 32, count of words u64
 *   the frontier of the tree over the first size leaves, largest subtree first, 32 bytes each
 *   the words: kind u8, id 16, value 8 bytes of a digest (zero for kinds that have none); in order
 * of kind and id, none twice
 *
 * The hash of the words is the root of a tree (RFC 9162, 2.1) whose leaves are blocks of 1,024 of
 * them as they stand in the file; the last may be shorter. "rules" is a hash over how words are
 * read from leaves: what a program with other rules wrote is not used.
 *
 * Nothing in the file is believed for itself: broker/store/recheck.c says when it is.
 */
#ifndef CB_BROKER_EVIDENCE_CHECKPOINT_H
#define CB_BROKER_EVIDENCE_CHECKPOINT_H

#include "base/merkle.h"
#include "broker/evidence/vouch.h"
#include "hsm/records.h"

enum {
    CB_WORD_SIZE = 25,
    CB_WORDS_BLOCK = 1024, /* words in a block */
    CB_CHECKPOINT_HEAD = 104,
    CB_CHECKPOINT_HEAD_MAX = CB_CHECKPOINT_HEAD + CB_MERKLE_DEPTH * CB_SHA256_SIZE,
    /* A leaf says nothing of a position more than so many leaves before its own: who checks it in
     * one pass keeps no more of them. */
    CB_CHECKPOINT_LAG = 1 << 18
};

typedef struct cb_checkpoint {
    cb_tree_head tree; /* over the leaves before it */
    cb_feed_head feed;
    uint64_t words;
    cb_digest words_root;
    cb_digest rules;
} cb_checkpoint;

bool cb_checkpoint_same(const cb_checkpoint *a, const cb_checkpoint *b);

/* ---- The leaf ---- */

/* Its lines after the beginning. */
void cb_checkpoint_put(cb_buf *leaf, const cb_checkpoint *checkpoint);

/* CB_E_NOT_FOUND: a leaf of another kind; CB_E_FORMAT: not written as above; CB_E_MEMORY. */
cb_error cb_checkpoint_read(cb_bytes leaf, cb_checkpoint *out);

/* Why a leaf "registry.unconfirmed" takes one back: a start found that no signed head covered it;
 * or a start went on from it, and what lies before it did not lead to what it says. */
#define CB_CHECKPOINT_TAKEN_BACK "checkpoint"
#define CB_CHECKPOINT_UNCONFIRMED "unconfirmed"
#define CB_CHECKPOINT_REFUTED "refuted"

/* Whether a leaf takes one back; out may be NULL. */
typedef struct cb_checkpoint_over {
    uint64_t position; /* of the leaf that is taken back */
    bool pardoned;     /* it never counted: CB_CHECKPOINT_UNCONFIRMED */
} cb_checkpoint_over;
bool cb_checkpoint_taken_back(cb_bytes leaf, cb_checkpoint_over *out);

/* Writes such a leaf. */
void cb_checkpoint_take_back(cb_buf *leaf, int64_t time, const cb_checkpoint_over *end);

/* ---- Words ---- */

/* Copies what is in a map; out has room for map->count. */
void cb_words_copy(const cb_id_map *map, cb_id_entry *out);

/* Brings them into their order. */
void cb_words_sort(cb_id_entry *words, size_t count);

/* Appends words as they are kept, at most a block of them, and takes them into the tree. */
void cb_words_put(cb_buf *block, const cb_id_entry *words, size_t count, cb_merkle_frontier *tree);

/* Count and root of a map. CB_E_MEMORY: for 32 bytes a word. */
cb_error cb_words_of(const cb_id_map *map, cb_checkpoint *out);

/* ---- The file ---- */

/* The head, with the frontier; root and words_root follow from what it says and are not in it. */
void cb_checkpoint_head_put(cb_buf *head, const cb_checkpoint *checkpoint,
                            const cb_merkle_frontier *tree);

/* How long a head is that begins so (CB_CHECKPOINT_HEAD bytes). CB_E_FORMAT: it is none. */
cb_error cb_checkpoint_head_size(cb_bytes beginning, size_t *size);

/* A whole head; out->words_root is zero. CB_E_FORMAT. */
cb_error cb_checkpoint_head_get(cb_bytes head, cb_checkpoint *out, cb_merkle_frontier *tree);

/* Words block by block. */
typedef struct cb_words_reader {
    cb_id_map map; /* the reader's, cb_id_map_free */
    cb_id_entry last;
    cb_merkle_frontier tree;
} cb_words_reader;

/* One block. CB_E_FORMAT: a kind that there is not, or out of order; CB_E_MEMORY. */
cb_error cb_words_take(cb_words_reader *reader, cb_bytes block);

#endif
