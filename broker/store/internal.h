/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of the store share, and nobody else sees.
 *
 * Two threads. The writer (commit_group.c) takes changes from the queue and commits them in groups;
 * the signer (sign.c) has the head over what is committed signed, and hands it back to the writer
 * to be stored. A change goes through the stages below, carried by a cb_waiter on its caller's
 * stack.
 */
#ifndef CB_BROKER_STORE_INTERNAL_H
#define CB_BROKER_STORE_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include "broker/evidence/checkpoint.h"
#include "broker/evidence/tree.h"
#include "broker/store/sql.h"
#include "broker/store/txn.h"

enum { CB_GROUP_MAX = 256, CB_READERS_MAX = 32 };

/* One signed head and the leaves that it added: from it each caller makes the proof for its own
 * leaf, in its own thread. */
typedef struct cb_signed_batch {
    unsigned references; /* under the store's lock */
    cb_merkle_frontier before;
    cb_signed_head head;
    size_t count;
    cb_digest hash[];
} cb_signed_batch;

typedef enum cb_stage {
    CB_STAGE_QUEUED,
    CB_STAGE_COMMITTED, /* waits for the signature */
    CB_STAGE_SIGNED,    /* waits for the head to be stored */
    CB_STAGE_DONE
} cb_stage;

typedef struct cb_waiter {
    const cb_change *change;
    struct cb_waiter *next;
    pthread_cond_t wake;
    cb_stage stage;
    cb_until until;
    cb_error result;
    bool committed;
    bool has_leaf;
    uint64_t leaf; /* the last one */
    cb_signed_batch *batch;
} cb_waiter;

typedef struct cb_waiters {
    cb_waiter *first;
    cb_waiter *last;
} cb_waiters;

void cb_waiters_push(cb_waiters *list, cb_waiter *waiter);
cb_waiter *cb_waiters_pop(cb_waiters *list);
void cb_waiters_remove(cb_waiters *list, cb_waiter *waiter);

typedef struct cb_vouch_list {
    cb_vouch *item;
    size_t count, room;
} cb_vouch_list;

/* The state of a group, which a failed change takes back to where it was before. */
struct cb_txn {
    cb_store *store;
    cb_sql *sql;
    uint64_t position; /* of the next leaf */
    cb_feed_head feed;
    cb_log_tail leaves;  /* hashes appended by this group; base is not used */
    cb_vouch_list words; /* what its leaves say of rows */
    cb_until until;      /* of the change that runs */
    bool asked_again;    /* by a reader, who runs once more if it finds a row altered */
};

/* Which file a name stood for. */
typedef struct cb_file_place {
    dev_t device;
    ino_t number;
} cb_file_place;

enum { CB_STORE_FILES = 3 /* the database, its WAL, its index of that */, CB_OWED_MAX = 1024 };

/* A tap or session whose end could not be written. */
typedef struct cb_owed {
    cb_id id;
    bool session;
} cb_owed;

typedef struct cb_readers {
    pthread_mutex_t lock;
    pthread_cond_t back;
    cb_sql *idle[CB_READERS_MAX];
    unsigned idle_count;
    unsigned open;
} cb_readers;

struct cb_store {
    cb_store_options options;
    char *path;
    int lock_file;                       /* held while the store is open: one broker per database */
    cb_file_place place[CB_STORE_FILES]; /* as they were opened */
    cb_sql *writer;
    cb_txn group;           /* the writer's */
    int64_t schema_version; /* SQLite's own count of changes to the schema, when it was compared */
    cb_readers readers;
    pthread_t writer_thread, signer_thread;
    pthread_t check_thread;
    bool writer_runs, signer_runs, check_runs;
    cb_tree_head opened; /* the log as it was found at the start */
    cb_feed_head opened_feed;

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t work;  /* for the writer */
    pthread_cond_t sign;  /* for the signer */
    bool writer_stops, signer_stops;
    cb_error refused; /* with what changes are refused from now on: CB_OK while all is well */
    cb_error fault;   /* with what ordinary changes are refused until a trial write succeeds */
    int64_t trial_at, trial_wait;
    bool short_of_space;
    int64_t space_asked; /* when, monotonic */
    cb_error lane;       /* CB_OK, or why the signer did not sign last time */
    int64_t lane_retry;  /* after how long it is asked again */
    cb_waiters urgent, queue;
    unsigned queued;          /* in queue */
    cb_waiters unsigned_wait; /* stage COMMITTED */
    cb_waiters unstored;      /* stage SIGNED */

    cb_log_tail tail;  /* committed leaves after the last signed head */
    cb_feed_head feed; /* committed */
    bool has_head;     /* a signed head that is not stored yet */
    cb_signed_head head;
    cb_merkle_frontier head_frontier;
    int64_t head_since;
    uint64_t groups, changes;
    cb_owed owed[CB_OWED_MAX]; /* recover.c */
    size_t owed_count;

    /* recheck.c */
    pthread_cond_t checking; /* any of these changed */
    bool contact;            /* the key service has said once what it remembers: */
    cb_tree_head remembered;
    cb_error check;   /* CB_E_BUSY while the record is read again; then CB_OK, or why it is not
                         believed: nobody is logged in then */
    uint64_t checked; /* leaves that were read again so far */
    cb_checkpoint gone_on; /* from which the start went on; its tree of size 0: none */
    uint64_t gone_on_leaf; /* that says so */
    bool settled;     /* what was found unsigned was dealt with: heads may be signed */
    cb_id_map vouches;
    cb_vouch_list since; /* said since the start, while check is CB_E_BUSY */

    /* checkpoint.c */
    struct {
        uint64_t every; /* leaves; 0: none is made or used */
        uint64_t size;  /* of the tree of the newest one */
        uint64_t tried; /* the same of one that could not be made */
        bool sound;     /* the whole record was read again: what is known of it comes from leaves */
        bool waits;     /* for its leaf, which is: */
        uint64_t leaf;
    } checkpoint;
};

/* recheck.c */
void *cb_check_main(void *store);

/* reread.c: whether the whole record is known to be sound. */
bool cb_reread(cb_store *store);

/* checkpoint.c: makes checkpoints until the store is closed. */
void cb_checkpoint_main(cb_store *store);
/* Whether there is something for it to do. Lock held. */
bool cb_checkpoint_due(const cb_store *store);
/* Once no thread runs any more: the newest takes its place, if its leaf is under a head. */
void cb_checkpoint_end(cb_store *store);

/* words.c */
void cb_vouch_list_free(cb_vouch_list *list);
cb_error cb_vouch_list_reserve(cb_vouch_list *list, size_t more);
/* Lock held, both. Room is made before COMMIT, so that nothing can fail after it. */
cb_error cb_store_room_for_words(cb_store *store, size_t count);
void cb_store_take_words(cb_store *store, const cb_vouch_list *words);

/* space.c: whether only what must be recorded may still be written. Asks the file system once a
 * second. Lock held. */
bool cb_store_short_of_space(cb_store *store);
/* Whether there is room for so many bytes besides what is kept free. */
bool cb_store_has_room(const cb_store *store, uint64_t bytes);

/* A condition whose timed waits use the monotonic clock. */
cb_error cb_cond_init(pthread_cond_t *cond);

/* Wakes a waiter for good. Lock held. */
void cb_waiter_done(cb_waiter *waiter, cb_error result);

/* Ends all in a list whose leaf is below size. Lock held. */
void cb_waiters_done(cb_waiters *list, uint64_t size, cb_error result);

void cb_probe(cb_store *store, const char *step);

/* Refuses all changes from now on. Lock held. */
void cb_store_refuse(cb_store *store, cb_error error, const char *why);

/* What whoever waits for a signature in vain is told: CB_E_HSM_DOWN, for it will follow, unless
 * changes are refused, for then nobody signs any more. Lock held. */
cb_error cb_store_unsigned(const cb_store *store);

/* fault.c: faults that may pass. */
cb_error cb_store_note_place(cb_store *store); /* after the files were opened and written to */
cb_error
cb_store_in_place(const cb_store *store); /* CB_E_STORE_MOVED when a name stands for another */
/* Of a group that failed: what follows from it for those that come. */
void cb_store_note_fault(cb_store *store, cb_error error);
void cb_store_faulty(cb_store *store, cb_error error); /* Lock held, both. */
void cb_store_sound(cb_store *store);
cb_error cb_store_trial(cb_txn *txn); /* writes, and changes nothing */

void *cb_writer_main(void *store);
void *cb_signer_main(void *store);

/* Compares what the signer remembers with this log, before the threads start. CB_OK,
 * CB_E_HSM_ROLLED_BACK, or the signer's error. */
cb_error cb_signer_check(cb_store *store);

/* row_log.c: the end of the log. */
cb_error cb_row_head_put(cb_sql *sql, const cb_signed_head *head,
                         const cb_merkle_frontier *frontier);
cb_error cb_row_tail_load(cb_sql *sql, cb_log_tail *tail); /* CB_E_EVIDENCE */
cb_error cb_row_feed_head(cb_sql *sql, cb_feed_head *out);

/* The tree over the first size leaves, read from the start. CB_E_EVIDENCE when there are fewer. */
cb_error cb_row_frontier_at(cb_sql *sql, uint64_t size, cb_merkle_frontier *out);
/* One leaf's text, appended. CB_E_NOT_FOUND. */
cb_error cb_row_leaf_get(cb_txn *txn, uint64_t position, cb_buf *out);

/* Appends the hashes of leaves from..to-1. */
cb_error cb_row_hashes(cb_sql *sql, uint64_t from, uint64_t to, cb_log_tail *out);

/* read.c */
cb_error cb_readers_init(cb_store *store);
void cb_readers_end(cb_store *store);
cb_error cb_reader_take(cb_store *store, cb_sql **out);
void cb_reader_give(cb_store *store, cb_sql **reader);

/* recover.c: closes what a crash left open. */
cb_error cb_store_recover(cb_store *store);

#endif
