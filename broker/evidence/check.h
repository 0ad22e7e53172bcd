/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The state of one verification, shared by the files that check one thing each.
 */
#ifndef CB_BROKER_EVIDENCE_CHECK_H
#define CB_BROKER_EVIDENCE_CHECK_H

#include "broker/evidence/id_map.h"
#include "broker/evidence/leaf_fields.h"
#include "broker/evidence/verify.h"

typedef struct cb_check {
    const cb_evidence_source *source;
    const cb_evidence_report *report;
    cb_evidence_summary *summary;
    cb_error error; /* of ours, not of the record */

    uint8_t salt[CB_ID_SIZE]; /* of this verification: see check_tap.c */
    cb_id_map open;      /* taps with an intent: 'i', its position; 'p', who takes part; 'd', what
                            for; 'r', the level reached; see check_registration.c, too */
    cb_id_map failures;  /* see check_failures.c */

    struct cb_logged *logged; /* terminals' logs */
    size_t logged_count;
    cb_id_map logs; /* 'l': its place there */
    cb_id_map keys; /* 'k': a terminal and a key, see check_terminal.c */
    cb_id_map states;    /* kinds of cb_table_row; value: see check_state.c */
    cb_id_map days;      /* of cards, those that are not 0: 'x', when each expires; 'o', its own day;
                            'd', by when it is to be given back */
    struct {             /* the last card that was revoked, and what it was before */
        cb_id id;
        uint64_t was; /* as in states */
    } revoked;

    cb_id_map rows;            /* see check_rows.c */
    int64_t issues_since;      /* since when there are rows of how cards were issued */
    cb_id issued, issued_for;  /* the card, and the application, until the card's own leaf comes */
    cb_id_map stock;           /* see check_stock.c */
    uint64_t from_stock;       /* cards in stock that were issued */
    uint64_t unfinished; /* results that are not accepts */

    struct cb_feed_seen *feed; /* entries that leaves tell of, in order */
    size_t feed_count;
    cb_digest feed_hash;

    struct cb_boot *boots;
    size_t boot_count;

    struct cb_lag *lag; /* check_checkpoint.c */
} cb_check;

/* Reports; detail is a sentence. */
void cb_check_finding(cb_check *check, uint64_t position, const char *what, const char *detail);

/* Each leaf, in the order in which they come. */
void cb_check_checkpoint(cb_check *check, const cb_log_leaf *leaf, const cb_digest *hash);

/* Each head, in order of their sizes, after the leaves that it covers. */
void cb_check_checkpoint_head(cb_check *check, uint64_t size);

/* One leaf that is well formed; its receipts before the tap, for they are compared with the intent,
 * which is forgotten with the result. */
void cb_check_receipts(cb_check *check, uint64_t position, const cb_leaf_fields *leaf);
void cb_check_tap(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data);
void cb_check_checkpoint_login(cb_check *check, uint64_t position, const cb_leaf_fields *leaf);
void cb_check_feed(cb_check *check, uint64_t position, const cb_leaf_fields *leaf);
void cb_check_state(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data);
void cb_check_failures(cb_check *check, uint64_t position, const cb_leaf_fields *leaf);
void cb_check_registration(cb_check *check, uint64_t position, const cb_leaf_fields *leaf,
                           cb_bytes data);
void cb_check_rows(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data);
void cb_check_stock(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data);

/* data: the leaf itself, for fields that are of this kind alone. */
void cb_check_terminal(cb_check *check, uint64_t position, const cb_leaf_fields *leaf,
                       cb_bytes data);
void cb_check_terminal_log(cb_check *check, uint64_t position, const cb_leaf_fields *leaf,
                           cb_bytes data);

/* What the last card that was revoked was before; since: the leaf. */
const char *cb_check_revoked_was(const cb_check *check, uint64_t *since);

/* Whether that key was in use by the terminal at some time. */
bool cb_check_terminal_had(const cb_check *check, const cb_id *terminal, const cb_digest *key);

/* After the last leaf. */
void cb_check_receipts_end(cb_check *check);
void cb_check_feed_end(cb_check *check);
void cb_check_states_end(cb_check *check);
void cb_check_rows_end(cb_check *check);
void cb_check_stock_end(cb_check *check);
void cb_check_failures_end(cb_check *check);
void cb_check_terminal_logs_end(cb_check *check);
void cb_check_checkpoints_end(cb_check *check);
void cb_check_words_end(cb_check *check); /* takes in all that the last leaves say */

void cb_check_checkpoint_free(cb_check *check);
void cb_check_receipts_free(cb_check *check);
void cb_check_feed_free(cb_check *check);
void cb_check_terminal_logs_free(cb_check *check);

#endif
