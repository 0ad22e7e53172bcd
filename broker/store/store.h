/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store: the one place where the broker's state and its evidence rest.
 *
 * All changes go through one writer, which serialises them: what one change has read is still so
 * when it is committed. Changes that arrive together are committed together (one fsync for many),
 * yet each in a savepoint of its own, so that one that fails leaves no trace and does not touch the
 * others. Revocations jump the queue. Reads run beside the writer on a snapshot of what is
 * committed.
 *
 * Each change writes its evidence leaves in its own transaction. After COMMIT the new head of the
 * log is signed by the key service's log lane; how long a caller waits for that is its urgency
 * (txn.h).
 *
 * Registry (broker/core/registry.h) and decide (broker/core/decide.h) are built on this; nothing
 * else writes.
 */
#ifndef CB_BROKER_STORE_STORE_H
#define CB_BROKER_STORE_STORE_H

#include "hsm/client.h"

typedef struct cb_store cb_store;

/* Who signs heads of the log: cb_hsm_sign_head and cb_hsm_head_state, or software in tests. Called
 * by one thread at a time; may block (the store's callers give up before that, see
 * CB_STORE_SIGN_WAIT). */
typedef struct cb_head_signer {
    void *context;
    cb_error (*sign)(void *context, const cb_tree_head *head, const cb_merkle_proof *extends,
                     cb_signed_head *out, cb_tree_head *remembered);
    cb_error (*state)(void *context, cb_tree_head *remembered);
} cb_head_signer;

/* The signer that asks hsmd. */
cb_head_signer cb_head_signer_hsm(cb_hsm *hsm);

/* Longest time that a change waits for the signature of its head before CB_E_HSM_DOWN,
 * microseconds. */
#define CB_STORE_SIGN_WAIT (INT64_C(5) * 1000000)

/* How many leaves come between two checkpoints (broker/evidence/checkpoint.h). */
enum { CB_CHECKPOINT_LEAVES = 1 << 18, CB_CHECKPOINT_LEAST = 16 };
#define CB_CHECKPOINT_NONE UINT64_MAX

typedef struct cb_store_options {
    const char *path; /* database file; made (0600) when it is missing, its folder must exist */
    cb_head_signer signer;
    unsigned queue;    /* changes that may wait at a time, revocations not counted; 0: 1024 */
    int64_t lock_wait; /* microseconds to wait for a lock that another process holds; 0: 2 s */
    int64_t max_bytes; /* the database may not grow beyond; 0: no limit of our own */
    int64_t
        reserve; /* bytes of the file system kept for revocations and results; 0: 16 MB, -1: none */
    uint8_t software; /* what becomes of terminals whose software is not listed: cb_software_policy */
    int64_t trial; /* microseconds from a fault to the first trial write, later ones up to eight
                      times as far apart; 0: half a second */
    uint64_t checkpoint; /* leaves from one checkpoint to the next, or one for every eight words
                            about rows if that is more; 0: 2^18, CB_CHECKPOINT_NONE: none at all */
    /* For tests: called at each step by the thread that has come to it: "begin", "ran", "commit",
     * "committed" (writer), "signed" (signer), "released" (caller), "checkpoint.sorted",
     * ".written", ".said", ".kept" (the thread that makes checkpoints). */
    void (*probe)(void *context, const char *step);
    void *probe_context;
} cb_store_options;

typedef enum cb_software_policy {
    CB_SOFTWARE_OFF = 0,    /* nothing is looked at */
    CB_SOFTWARE_REPORT = 1, /* it is written down and logged */
    CB_SOFTWARE_ENFORCE = 2 /* and they get no tap */
} cb_software_policy;

/* As the store was opened. */
uint8_t cb_store_software_policy(const cb_store *store);

/* Opens the database, brings its schema up to date, checks the log's end against the last stored
 * head and against what the signer remembers, closes the intents and sessions that a crash left
 * open (outcome "interrupted"), starts the threads.
 *
 * CB_E_STORE            unusable: no access, locked by another process, not a database of ours
 * CB_E_STORE_DAMAGED    SQLite cannot read it
 * CB_E_STORE_VERSION    made by a newer program, or by a migration that is not ours
 * CB_E_STORE_FULL       no space
 * CB_E_EVIDENCE         the leaves do not lead to the last stored head
 * CB_E_HSM_ROLLED_BACK  the key service has signed a head that this database does not extend
 *
 * A signer that does not answer is no error: the store opens, takes revocations, refuses the rest
 * with CB_E_HSM_DOWN and keeps asking. */
cb_error cb_store_open(const cb_store_options *options, cb_store **out);

/* Finishes what is queued, signs and stores the last head if the signer answers, ends the threads.
 */
void cb_store_close(cb_store **store);

typedef struct cb_store_state {
    cb_error
        error; /* CB_OK: takes changes; otherwise what they, or logins only, are refused with */
    cb_error signer;          /* CB_OK, or why the last head could not be signed */
    uint64_t leaves;          /* committed */
    uint64_t leaves_unsigned; /* of them, not under a signed head yet */
    uint64_t leaves_found;    /* at the start */
    uint64_t leaves_checkpoint; /* of these, before the checkpoint from which the start went on */
    uint64_t leaves_checked; /* of these, read again since; error is CB_E_BUSY until all but those
                                before the checkpoint are */
    uint64_t feed_number;
    unsigned queued;  /* changes that wait now */
    uint64_t groups;  /* transactions committed since the start */
    uint64_t changes; /* changes in them */
    uint64_t open_intents;
    uint64_t open_sessions;
} cb_store_state;

cb_error cb_store_status(cb_store *store, cb_store_state *out);

/* Closes as interrupted what could not be closed before (cb_store_owe). Called every few seconds.
 */
void cb_store_settle(cb_store *store);

#endif
