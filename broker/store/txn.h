/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A transaction of the store, as broker/core/ sees it: rows, leaves and the feed; no SQL.
 *
 * A change is a function that reads and writes through its cb_txn. It runs in the writer's thread,
 * alone; when it returns an error, nothing that it wrote remains. It may be run more than once
 * (when the transaction that it shared had to be given up), so it begins by resetting what it hands
 * out, and has no effects of its own. It must not call the store otherwise, nor wait.
 */
#ifndef CB_BROKER_STORE_TXN_H
#define CB_BROKER_STORE_TXN_H

#include "broker/evidence/log.h"
#include "broker/evidence/vouch.h"
#include "broker/store/rows.h"
#include "broker/store/store.h"

typedef struct cb_txn cb_txn;

typedef cb_error (*cb_txn_function)(cb_txn *txn, void *context);

/* Whether an error is the database's own, and says nothing about what was asked. */
static inline bool cb_store_failed(cb_error error)
{
    return error == CB_E_STORE || error == CB_E_STORE_FULL || error == CB_E_STORE_DAMAGED ||
           error == CB_E_STORE_MOVED;
}

typedef enum cb_urgency {
    CB_WRITE_ORDINARY, /* CB_E_BUSY when too many wait; CB_E_HSM_DOWN while the log lane does not
                          answer */
    CB_WRITE_REFUSAL, /* says that somebody was refused: as CB_WRITE_DUE, but not in the last of the
                         disk, which those who are refused must not use up: CB_E_STORE_FULL */
    CB_WRITE_DUE, /* ends or records what has happened: in turn, never refused for these two reasons
                   */
    CB_WRITE_URGENT /* a revocation: before all others, likewise never refused */
} cb_urgency;

typedef enum cb_until {
    CB_UNTIL_COMMITTED, /* durable */
    CB_UNTIL_SIGNED, /* and under a signed head; what had no leaf of its own to write, with all that
                        was written before it */
    CB_UNTIL_STORED     /* and that head is durable too */
} cb_until;

/* Proof that a leaf is in the log. */
typedef struct cb_inclusion {
    uint64_t index;
    cb_signed_head head;
    cb_merkle_proof path;
} cb_inclusion;

typedef struct cb_change {
    cb_txn_function run;
    void *context;
    cb_urgency urgency;
    cb_until until;
    cb_inclusion *inclusion; /* of the last leaf, filled in with CB_UNTIL_SIGNED; or NULL */
    bool *committed;         /* set when the change is durable, whatever is returned; or NULL */
} cb_change;

/* Makes a change and waits as it asks. Returns run's error, or why it could not be committed (then
 * it was not, but for CB_E_STORE_MOVED and when the disk failed while it was: see *committed, and
 * what a start finds), or CB_E_HSM_DOWN when it is committed but its head was not signed (or
 * stored) in time; or, then, what changes are refused with since, for nobody will sign it. */
cb_error cb_store_write(cb_store *store, const cb_change *change);

/* Reads on a snapshot. run must not write. */
cb_error cb_store_read(cb_store *store, cb_txn_function run, void *context);

/* The same for what compares rows with the log (said.h). The rows are those of one moment and the
 * log's words those of another while somebody changes both: so a row that seems altered
 * (CB_E_HSM_RECORD) is looked at once more in turn with what is written, and that counts. run may
 * run twice. */
cb_error cb_store_read_said(cb_store *store, cb_txn_function run, void *context);

/* Whether what is found altered now is looked at once more, and not to be told yet. */
bool cb_txn_is_asked_again(const cb_txn *txn);

/* The head of the feed as it is committed; what changes are refused with, if they are. */
cb_error cb_store_feed_head(cb_store *store, cb_feed_head *out);

/* Whether the log lane answered when it was last asked. */
bool cb_store_signs(cb_store *store);

/* Whether the record was read again since the start and is the one that was signed; waits for it
 * until the deadline (cb_deadline_in). CB_E_BUSY: not read to its end yet; CB_E_EVIDENCE: it is
 * not; CB_E_HSM_DOWN: the key service has not said yet what it remembers. */
#define CB_CHECK_WAIT (2 * CB_SECOND) /* how long taps and acts wait */
cb_error cb_store_checked(cb_store *store, int64_t deadline);

/* Whether the last word of the log about a row is this one (digest NULL: whether there is one). */
bool cb_txn_vouched(cb_txn *txn, char kind, const cb_id *id, const cb_digest *digest);

/* As the store was opened: cb_software_policy. */
uint8_t cb_txn_software_policy(const cb_txn *txn);

/* The end of a tap or session could not be written: it is closed as interrupted when the database
 * can be written again, or at the next start. */
void cb_store_owe(cb_store *store, const cb_id *id, bool session);

/* Waits no longer than for COMMIT after all: for a result that turned out not to be an accept. */
void cb_txn_commit_only(cb_txn *txn);

/* ---- Evidence ---- */

/* Appends a leaf; leaf's own error is returned. *position may be NULL. */
cb_error cb_txn_leaf(cb_txn *txn, const cb_buf *leaf, uint64_t *position);

/* Makes the next entry of the feed and appends the leaf, completed with "feed" and "feed_hash".
 * *number may be NULL. */
cb_error cb_txn_feed(cb_txn *txn, uint8_t kind, const cb_id *subject, int64_t time, cb_buf *leaf,
                     uint64_t *number);

cb_error cb_row_leaves(cb_txn *txn, uint64_t from, unsigned count, cb_leaf_visitor each,
                       void *context);
cb_error cb_row_heads(cb_txn *txn, uint64_t from, unsigned count, cb_head_visitor each,
                      void *context);

typedef cb_error (*cb_feed_visitor)(void *context, const cb_feed_entry *entry,
                                    const cb_digest *hash, uint64_t leaf);
cb_error cb_row_feed(cb_txn *txn, uint64_t after, size_t max, cb_feed_visitor each, void *context);

/* ---- Rows. "put" adds (CB_E_EXISTS), "get" finds by key (CB_E_NOT_FOUND), "each" visits in order
 * of keys. ---- */

typedef cb_error (*cb_holder_visitor)(void *context, const cb_holder *holder);
cb_error cb_row_holder_put(cb_txn *txn, const cb_holder *holder);
cb_error cb_row_holder_get(cb_txn *txn, const cb_id *id, cb_holder *out);
cb_error cb_row_holder_each(cb_txn *txn, const cb_id *after, unsigned limit, cb_holder_visitor each,
                            void *context);

typedef cb_error (*cb_card_visitor)(void *context, const cb_card *card);
cb_error cb_row_card_put(cb_txn *txn, const cb_card *card);
cb_error cb_row_card_get(cb_txn *txn, const cb_id *id, cb_card *out);
/* Replaces binding, sequence, certificates, state and its days. */
cb_error cb_row_card_renew(cb_txn *txn, const cb_card *card);
cb_error cb_row_card_state(cb_txn *txn, const cb_id *id, uint8_t state, int64_t changed);
cb_error cb_row_card_generation(cb_txn *txn, const cb_id *id, uint8_t generation);
/* How many native cards there are by generation and state, of those that may still be used one day.
 */
typedef cb_error (*cb_generation_visitor)(void *context, uint8_t generation, uint8_t state,
                                          uint64_t cards);
cb_error cb_row_generation_each(cb_txn *txn, cb_generation_visitor each, void *context);
cb_error cb_row_card_due(cb_txn *txn, const cb_id *id, int64_t due);

/* The hash of the code with which its holder suspends a card; CB_E_NOT_FOUND: no card's. */
cb_error cb_row_suspension_code_set(cb_txn *txn, const cb_id *card, const cb_digest *hash);
cb_error cb_row_suspension_code_card(cb_txn *txn, const cb_digest *hash, cb_id *card);
cb_error cb_row_suspension_code_known(cb_txn *txn, const cb_id *card, bool *known);
/* Cards that expired, or that were to be given back, by then: their ids, at most so many. */
cb_error cb_row_card_over(cb_txn *txn, bool due, int64_t by, cb_id *out, size_t most, size_t *count);
cb_error cb_row_issue_put(cb_txn *txn, const cb_issue_row *issue);
/* Counts by day, operator and station, of days from..to; in of also the first of these cards. after: any card of the last
 * count before (CB_E_NOT_FOUND if it was never issued), or zero. */
typedef cb_error (*cb_issued_visitor)(void *context, const cb_issue_row *of, uint64_t cards);
cb_error cb_row_issued_each(cb_txn *txn, int64_t from, int64_t to, const cb_id *after,
                            unsigned limit, cb_issued_visitor each, void *context);
typedef cb_error (*cb_issue_visitor)(void *context, const cb_issue_row *issue);
cb_error cb_row_issue_each(cb_txn *txn, bool without_application, const cb_id *after,
                           unsigned limit, cb_issue_visitor each, void *context);
/* Cards that were neither given back nor destroyed; state NULL: any such. */
cb_error cb_row_outstanding_each(cb_txn *txn, const char *state, const cb_id *after, unsigned limit,
                                 cb_card_visitor each, void *context);
cb_error cb_row_card_each(cb_txn *txn, const cb_id *holder, const cb_id *after, unsigned limit,
                          cb_card_visitor each, void *context);

/* A terminal's own log. Of one that brought nothing yet: part 1, all else zero. */
cb_error cb_row_journal_get(cb_txn *txn, const cb_id *terminal, cb_journal_row *out);
cb_error cb_row_journal_set(cb_txn *txn, const cb_id *terminal, const cb_journal_row *row);
cb_error cb_row_journal_batch_put(cb_txn *txn, const cb_id *terminal,
                                  const cb_journal_batch *batch);
typedef cb_error (*cb_journal_visitor)(void *context, const cb_journal_batch *batch);
cb_error cb_row_journal_batch_each(cb_txn *txn, const cb_id *terminal, uint64_t part,
                                   uint64_t after, unsigned limit, cb_journal_visitor each,
                                   void *context);

/* Of all terminals, for a check. */
typedef cb_error (*cb_journal_batch_visitor)(void *context, const cb_id *terminal,
                                             const cb_journal_batch *batch);
cb_error cb_row_journal_batch_all(cb_txn *txn, cb_journal_batch_visitor each, void *context);
typedef cb_error (*cb_journal_row_visitor)(void *context, const cb_id *terminal,
                                           const cb_journal_row *row);
cb_error cb_row_journal_all(cb_txn *txn, cb_journal_row_visitor each, void *context);

typedef cb_error (*cb_terminal_visitor)(void *context, const cb_terminal *terminal);
cb_error cb_row_terminal_put(cb_txn *txn, const cb_terminal *terminal);
cb_error cb_row_terminal_get(cb_txn *txn, const cb_id *id, cb_terminal *out);
/* By its key, or by the one that is to take its place. */
cb_error cb_row_terminal_find(cb_txn *txn, const cb_digest *key, cb_terminal *out);
/* The one of that name that is not revoked. */
cb_error cb_row_terminal_named(cb_txn *txn, const char *name, cb_terminal *out);
/* Replaces key and certificate, or those that are to take their place; CB_E_EXISTS when the key is
 * some terminal's already. */
cb_error cb_row_terminal_key(cb_txn *txn, const cb_terminal *terminal, cb_bytes certificate);
cb_error cb_row_terminal_next_key(cb_txn *txn, const cb_terminal *terminal, cb_bytes certificate);
/* The next key and certificate take the place of the others. */
cb_error cb_row_terminal_promote(cb_txn *txn, const cb_id *id);
/* What it may do, without a next key. */
cb_error cb_row_terminal_allow(cb_txn *txn, const cb_terminal *terminal);
/* Appends a certificate: of the key, or the next one. */
cb_error cb_row_terminal_certificate(cb_txn *txn, const cb_id *id, bool next, cb_buf *out);
/* Adds or replaces; finds. */
cb_error cb_row_code_set(cb_txn *txn, const cb_id *terminal, const cb_terminal_code_row *code);
cb_error cb_row_code_get(cb_txn *txn, const cb_id *terminal, cb_terminal_code_row *out);
cb_error cb_row_terminal_state(cb_txn *txn, const cb_id *id, uint8_t state, int64_t changed);
/* Replaces kind and PIN pad. */
cb_error cb_row_terminal_describe(cb_txn *txn, const cb_terminal *terminal);
cb_error cb_row_terminal_each(cb_txn *txn, const cb_id *after, unsigned limit,
                              cb_terminal_visitor each, void *context);

typedef cb_error (*cb_service_visitor)(void *context, const cb_service *service);
cb_error cb_row_service_put(cb_txn *txn, const cb_service *service);
cb_error cb_row_service_replace(cb_txn *txn, const cb_service *service); /* all but created */
cb_error cb_row_service_get(cb_txn *txn, const char *name, cb_service *out);
cb_error cb_row_service_each(cb_txn *txn, const char *after, unsigned limit,
                             cb_service_visitor each, void *context);

typedef cb_error (*cb_enrolment_visitor)(void *context, const cb_enrolment *enrolment);
cb_error cb_row_enrolment_put(cb_txn *txn, const cb_enrolment *enrolment); /* without its keys */
cb_error cb_row_enrolment_get(cb_txn *txn, const cb_id *id, cb_enrolment *out);
/* The one that is not removed. */
cb_error cb_row_enrolment_find(cb_txn *txn, const cb_id *holder, const char *service,
                               cb_enrolment *out);
cb_error cb_row_enrolment_state(cb_txn *txn, const cb_id *id, uint8_t state, int64_t changed);
cb_error cb_row_enrolment_each(cb_txn *txn, const cb_id *holder, const char *service,
                               const cb_id *after, unsigned limit, cb_enrolment_visitor each,
                               void *context);

/* Keys of an enrolment: next → current → retired (erased). */
cb_error cb_row_key_put(cb_txn *txn, const cb_id *enrolment, bool current,
                        const cb_enrolment_key *key);
cb_error cb_row_key_certificate(cb_txn *txn, const cb_id *key, cb_bytes certificate,
                                cb_bytes chain);
cb_error cb_row_key_sealed(cb_txn *txn, const cb_id *key, cb_bytes sealed);
cb_error cb_row_key_promote(cb_txn *txn, const cb_id *key);
cb_error cb_row_key_retire(cb_txn *txn, const cb_id *key);

/* Intents between T1 and T2, and sessions between T2 and their end (cb_session_row: rows.h). */
typedef cb_error (*cb_session_visitor)(void *context, const cb_session_row *session);

typedef struct cb_intent_row {
    cb_id tap;
    uint64_t leaf;
    cb_id card, holder, terminal, enrolment, key;
    char service[CB_SERVICE_NAME_MAX + 1];
    uint8_t reached;
    int64_t time;
} cb_intent_row;

/* What to look for: the fields that are not NULL; all of them when all are NULL. */
typedef struct cb_tap_match {
    const cb_id *card;
    const cb_id *terminal;
    const cb_id *enrolment;
} cb_tap_match;

cb_error cb_row_intent_put(cb_txn *txn, const cb_intent_row *intent);
cb_error cb_row_intent_get(cb_txn *txn, const cb_id *tap, cb_intent_row *out);
cb_error cb_row_intent_end(cb_txn *txn, const cb_id *tap);
cb_error cb_row_intent_each(cb_txn *txn, const cb_tap_match *match,
                            cb_error (*each)(void *context, const cb_intent_row *intent),
                            void *context);

cb_error cb_row_session_put(cb_txn *txn, const cb_session_row *session);
cb_error cb_row_session_get(cb_txn *txn, const cb_id *id, cb_session_row *out);
cb_error cb_row_session_end(cb_txn *txn, const cb_id *id);
cb_error cb_row_session_each(cb_txn *txn, const cb_tap_match *match, cb_session_visitor each,
                             void *context);

#endif
