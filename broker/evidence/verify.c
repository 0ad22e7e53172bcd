/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The pass over leaves and heads. The tree is computed from the leaves' bytes, never from stored
 * hashes.
 */
#include "broker/evidence/verify.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "broker/evidence/check.h"
#include "broker/evidence/tree.h"

enum { PAGE = 500 };

typedef struct pass {
    cb_check check;
    cb_bytes log_point;
    const char *origin;
    cb_merkle_frontier tree;
    cb_digest hash[PAGE]; /* of the leaves of this page */
    unsigned hashes;
    uint64_t next_leaf; /* position that is expected next */
    cb_signed_head head[PAGE];
    unsigned heads, head_at;
    uint64_t head_from; /* size from which heads are to be read */
    bool heads_ended;
} pass;

void cb_check_finding(cb_check *check, uint64_t position, const char *what, const char *detail)
{
    cb_finding finding = {.position = position, .what = what};
    check->summary->findings++;
    snprintf(finding.detail, sizeof finding.detail, "%s", detail);
    if (check->report && check->report->finding)
        check->report->finding(check->report->context, &finding);
}

/* ---- Leaves ---- */

static cb_error take_leaf(void *context, const cb_log_leaf *leaf)
{
    pass *p = context;
    cb_check *check = &p->check;
    cb_leaf_fields fields;
    cb_digest hash = cb_merkle_leaf(leaf->data);
    /* A source that goes back, or beyond all numbers, would be read for ever. */
    if (p->hashes >= PAGE || leaf->position < p->next_leaf || leaf->position == UINT64_MAX)
        return CB_E_PROTOCOL;
    if (leaf->position != p->next_leaf)
        cb_check_finding(check, leaf->position, "leaf.gap", "Leaves before this one are missing.");
    if (memcmp(&hash, &leaf->hash, sizeof hash) != 0)
        cb_check_finding(check, leaf->position, "leaf.hash", "The leaf is not what was hashed.");
    p->hash[p->hashes++] = hash;
    p->next_leaf = leaf->position + 1;
    check->summary->leaves++;
    cb_check_checkpoint(check, leaf, &hash);
    if (cb_leaf_fields_read(leaf->data, &fields)) {
        cb_check_finding(check, leaf->position, "leaf.format", "The leaf is not well formed.");
        return check->error;
    }
    cb_check_receipts(check, leaf->position, &fields);
    cb_check_tap(check, leaf->position, &fields, leaf->data);
    cb_check_checkpoint_login(check, leaf->position, &fields);
    cb_check_feed(check, leaf->position, &fields);
    cb_check_state(check, leaf->position, &fields, leaf->data);
    cb_check_registration(check, leaf->position, &fields, leaf->data);
    cb_check_rows(check, leaf->position, &fields, leaf->data);
    cb_check_stock(check, leaf->position, &fields, leaf->data);
    cb_check_failures(check, leaf->position, &fields);
    cb_check_terminal(check, leaf->position, &fields, leaf->data);
    cb_check_terminal_log(check, leaf->position, &fields, leaf->data);
    return check->error;
}

/* ---- Heads ---- */

static cb_error take_head(void *context, const cb_signed_head *head)
{
    pass *p = context;
    if (p->heads >= PAGE || head->head.size < p->head_from || head->head.size == UINT64_MAX)
        return CB_E_PROTOCOL;
    p->head[p->heads++] = *head;
    return CB_OK;
}

/* The next head to come, reading another page when this one is used up; NULL when there is none. */
static cb_error next_head(pass *p, const cb_signed_head **out)
{
    *out = NULL;
    if (p->head_at == p->heads && !p->heads_ended) {
        p->heads = p->head_at = 0;
        cb_error error =
            p->check.source->heads(p->check.source->context, p->head_from, PAGE, take_head, p);
        if (error)
            return error;
        p->heads_ended = p->heads == 0;
        if (p->heads > 0)
            p->head_from = p->head[p->heads - 1].head.size + 1;
    }
    if (p->head_at < p->heads)
        *out = &p->head[p->head_at];
    return CB_OK;
}

static void check_head(pass *p, const cb_signed_head *head)
{
    cb_check *check = &p->check;
    cb_tree_head own = cb_frontier_head(&p->tree);
    bool good = true;
    if (memcmp(&own.root, &head->head.root, sizeof own.root) != 0) {
        good = false;
        cb_check_finding(check, head->head.size, "head.root",
                         "The leaves below this head are not the ones that were signed.");
    }
    cb_error error = cb_signed_head_check(p->origin, head, p->log_point);
    if (error && error != CB_E_CRYPTO)
        check->error = error;
    else if (error == CB_E_CRYPTO)
        cb_check_finding(check, head->head.size, "head.signature",
                         "The signature is not by the log's key.");
    if (good && !error)
        check->summary->last = head->head;
    check->summary->heads++;
    cb_check_checkpoint_head(check, head->head.size);
}

/* Heads over the tree as it is now. One that says fewer leaves has been passed already: out of
 * order. */
static cb_error check_heads(pass *p)
{
    const cb_signed_head *head;
    cb_error error;
    while (!(error = next_head(p, &head)) && head && head->head.size <= p->tree.size) {
        if (head->head.size == p->tree.size)
            check_head(p, head);
        else
            cb_check_finding(&p->check, head->head.size, "head.order", "Heads are out of order.");
        p->head_at++;
        if (p->check.error)
            return p->check.error;
    }
    return error;
}

static cb_error heads_beyond(pass *p)
{
    const cb_signed_head *head;
    cb_error error;
    while (!(error = next_head(p, &head)) && head) {
        cb_check_finding(&p->check, head->head.size, "head.beyond",
                         "Leaves that were signed are missing at the end.");
        p->check.summary->heads++;
        p->head_at++;
    }
    return error;
}

/* ---- The pass ---- */

static cb_error one_page(pass *p)
{
    p->hashes = 0;
    cb_error error =
        p->check.source->leaves(p->check.source->context, p->next_leaf, PAGE, take_leaf, p);
    for (unsigned i = 0; !error && i < p->hashes; i++) {
        cb_merkle_append(&p->tree, &p->hash[i]);
        error = check_heads(p);
    }
    return error;
}

static cb_error run(pass *p)
{
    cb_error error;
    do {
        error = one_page(p);
    } while (!error && p->hashes > 0);
    if (!error)
        error = heads_beyond(p);
    if (error)
        return error;
    cb_check *check = &p->check;
    check->summary->leaves_unsigned = p->tree.size - check->summary->last.size;
    cb_check_checkpoints_end(check);
    cb_check_words_end(check);
    cb_check_receipts_end(check);
    cb_check_feed_end(check);
    cb_check_states_end(check);
    cb_check_rows_end(check);
    cb_check_stock_end(check);
    cb_check_failures_end(check);
    cb_check_terminal_logs_end(check);
    return check->error;
}

cb_error cb_evidence_verify(const cb_evidence_source *source, cb_bytes log_point,
                            const char *origin, const cb_evidence_report *report,
                            cb_evidence_summary *summary)
{
    *summary = (cb_evidence_summary){0};
    pass *p = calloc(1, sizeof *p);
    if (!p)
        return CB_E_MEMORY;
    p->check = (cb_check){.source = source, .report = report, .summary = summary};
    cb_random(p->check.salt, sizeof p->check.salt);
    p->log_point = log_point;
    p->origin = origin;
    p->head_from = 1;
    cb_error error = run(p);
    if (!error && summary->findings > 0)
        error = CB_E_EVIDENCE;
    cb_id_map_free(&p->check.open);
    cb_id_map_free(&p->check.states);
    cb_id_map_free(&p->check.days);
    cb_id_map_free(&p->check.rows);
    cb_id_map_free(&p->check.stock);
    cb_id_map_free(&p->check.failures);
    cb_id_map_free(&p->check.keys);
    cb_check_checkpoint_free(&p->check);
    cb_check_receipts_free(&p->check);
    cb_check_feed_free(&p->check);
    cb_check_terminal_logs_free(&p->check);
    free(p);
    return error;
}
