/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checking the whole record without trusting whoever kept it (cardbrokerctl audit verify).
 *
 * Leaves and heads come from a source: a database file, or pages fetched over the administrators'
 * interface. One pass over the leaves. Memory does not grow with their number: some 100 bytes for
 * each card, terminal, enrolment and key, for each revocation, and for each word about a row that a
 * checkpoint holds; and what the last CB_CHECKPOINT_LAG leaves say, some 35 MB. Of a database some
 * 50 bytes more for each card, holder, application, registration code and mismatch.
 *
 *   leaves    well formed, no gaps, each stored hash right
 *   heads     each signature by the log's key; each root that of the leaves below it, so each head
 *             extends the one before
 *   feed      numbers without gaps, the chain of hashes right, each revoking leaf with its entry
 *   taps      every result has its intent, no two results of an intent, which intents are open
 *   receipts  each of the tap, card and key of the result it stands in, for what its intent says
 *             (cb_tap_context_digest), none twice; the counters of each worker's boot have no
 *             more gaps than taps ended without an accept (a use whose answer was lost leaves one
 *             gap and one such result)
 *   checkpoints  each says what the leaves before it lead to: tree, revocations, words about rows
 *             (broker/evidence/checkpoint.h)
 *
 * And of a database only:
 *
 *   tables    cards, terminals, enrolments and keys are in the state to which the leaves lead,
 *             cards end on the days that the leaves say, and are whose and of which binding and
 *             generation they say; keys are of the enrolment and have the certificate;
 *             services, terminals, enrolments, software and maintainers are what the last leaf about
 *             each says, unless a start took its word back (what hsmd seals it checks itself)
 *   rows      holders (but for their names), applications, how cards were issued, registration
 *             codes, what did not fit, codes and maintenance of terminals, intents and sessions are
 *             what the leaves say, and all there (check_rows.c)
 *   stock     as many cards are in each batch and delivery as the leaves say, and those are issued
 *             of which they say it (check_stock.c)
 *   failures  failed proofs, wrong PINs and wrong passwords are counted as the leaves say
 *   logs      what terminals logged of themselves is chained and signed, and is what the leaves have
 *             the digests of
 */
#ifndef CB_BROKER_EVIDENCE_VERIFY_H
#define CB_BROKER_EVIDENCE_VERIFY_H

#include "broker/evidence/log.h"
#include "broker/evidence/row_lines.h"
#include "broker/evidence/said.h"
#include "broker/store/row_failure.h"

/* Numbers in a row. */
enum {
    CB_TABLE_EXPIRES, /* of a card, as the next two; 0: no such day */
    CB_TABLE_OWN_EXPIRES,
    CB_TABLE_DUE,
    CB_TABLE_GENERATION, /* 0: not heard yet */
    CB_TABLE_CODE,       /* 1: its holder has a code to suspend it with */
    CB_TABLE_NUMBERS,
    CB_TABLE_SEQUENCE = 0, /* of a key */
    CB_TABLE_TIME = 0      /* of a first use, and of a number that went back */
};

typedef struct cb_table_row {
    char kind; /* 'c' card, 't' terminal, 'e' enrolment, 'k' key, 'u' a card's first use, 'b' that
                  the number of its proofs went back */
    cb_id id;
    const char *state; /* "revoked" …; of a key "live" or "retired" */
    uint64_t number[CB_TABLE_NUMBERS];
    cb_id of;              /* a key's enrolment */
    cb_digest certificate; /* a key's, SHA-256; zero: it has none */
} cb_table_row;

typedef struct cb_evidence_source {
    void *context;
    cb_error (*leaves)(void *context, uint64_t from, unsigned count, cb_leaf_visitor each,
                       void *each_context);
    cb_error (*heads)(void *context, uint64_t from, unsigned count, cb_head_visitor each,
                      void *each_context);
    /* These may be NULL: then only what leaves and heads say is checked. */
    cb_error (*feed)(void *context, uint64_t after, cb_feed_entry *entries, cb_digest *hashes,
                     uint64_t *leaves, size_t max, size_t *count);
    cb_error (*rows)(void *context, cb_error (*each)(void *each_context, const cb_table_row *row),
                     void *each_context);
    cb_error (*failures)(void *context, cb_failure_row_visitor each, void *each_context);
    /* Terminals' logs: the batches of each in their order, and how far the broker has it. */
    cb_error (*batches)(void *context, cb_journal_batch_visitor each, void *each_context);
    cb_error (*logs)(void *context, cb_journal_row_visitor each, void *each_context);
    cb_error (*said)(void *context, cb_said_visitor each, void *each_context);
    /* All three or none. */
    cb_error (*lines)(void *context, cb_row_lines_visitor each, void *each_context);
    cb_error (*issues_since)(void *context, int64_t *out);
    cb_error (*stock)(void *context, cb_stock_lines_visitor each, void *each_context,
                      uint64_t *issued);
} cb_evidence_source;

typedef struct cb_finding {
    uint64_t position; /* of the leaf, or size of the head; UINT64_MAX: of the record as a whole */
    const char
        *what; /* stable: "leaf.hash", "leaf.gap", "leaf.format", "head.signature", "head.root",
                  "head.order", "head.beyond", "feed.chain", "feed.leaf", "feed.missing",
                  "tap.intent", "tap.result", "receipt.gap", "receipt.format", "receipt.tap",
                  "receipt.twice", "table.state", "table.missing", "table.extra",
                  "table.content",
                  "failures.count", "failures.format", "terminal_log.batch",
                  "terminal_log.record", "terminal_log.head", "checkpoint.format",
                  "checkpoint.record", "checkpoint.words", "card.first_use", "card.state",
                  "stock.count", "registration.stopped", "terminal.key" */
    char detail[160]; /* a sentence */
} cb_finding;

typedef struct cb_evidence_summary {
    uint64_t leaves;
    uint64_t heads;
    uint64_t
        leaves_unsigned; /* after the last head: no finding, revocations may wait for a signature */
    uint64_t findings;
    uint64_t open_intents; /* no finding while the broker runs */
    uint64_t receipts;
    uint64_t receipts_lost; /* gaps; a finding only when they are too many */
    uint64_t accepted_without_receipt; /* no key was used: hsmd has attested nothing of them */
    uint64_t feed_number;
    uint64_t checkpoints;
    uint64_t checkpoints_other; /* of them, by another version of the broker: its words about rows
                                   could not be compared, for it read them otherwise */
    cb_tree_head last; /* the last head that verified */
} cb_evidence_summary;

typedef struct cb_evidence_report {
    void *context;
    void (*finding)(void *context, const cb_finding *finding); /* may be NULL */
} cb_evidence_report;

/* log_point is the log's public key (P-256, 65 bytes), origin hsmd's configured name of the log.
 * CB_OK: verified; CB_E_EVIDENCE: there are findings, all reported; other errors: the source
 * failed, and nothing can be said. */
cb_error cb_evidence_verify(const cb_evidence_source *source, cb_bytes log_point,
                            const char *origin, const cb_evidence_report *report,
                            cb_evidence_summary *summary);

/* A source over a database file, opened read-only. CB_E_STORE, CB_E_STORE_VERSION. */
typedef struct cb_evidence_file cb_evidence_file;
cb_error cb_evidence_file_open(const char *path, cb_evidence_file **out);
cb_evidence_source cb_evidence_file_source(cb_evidence_file *file);
void cb_evidence_file_close(cb_evidence_file **file);

#endif
