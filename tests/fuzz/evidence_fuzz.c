/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A record that somebody hands to an auditor.
 *
 * An input is a list of leaves and heads in the order in which they are served, each: u8 kind, u8
 * how, u8 a, u8 b, u64 number; a leaf as text has u16 length and the text behind that.
 *
 * The verification ends; it says that the record is good if, and only if, it has no finding; and
 * then each hash is its leaf's, each head that of the leaves below it, and nothing is left out.
 */
#include <stdlib.h>

#include "base/leaf.h"
#include "broker/evidence/verify.h"
#include "hsm/record_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LEAVES_MAX = 24, HEADS_MAX = 4, TEXT = 0, INTENT, RESULT, CARD, REVOKED, HEAD, KINDS };
enum { OTHER_PLACE = 1, OTHER_HASH = 2, OTHER_ROOT = 4, OTHER_SIGNATURE = 8 };

typedef struct record {
    cb_log_leaf leaf[LEAVES_MAX];
    cb_buf text[LEAVES_MAX];
    cb_signed_head head[HEADS_MAX];
    size_t leaves, heads, asked;
    uint64_t next;
    cb_merkle_frontier tree;
    cb_feed_head feed;
    bool wrong; /* anything was made otherwise than it should be */
} record;

static const uint8_t scalar[CB_P256_SCALAR] = {[31] = 7};
static uint8_t point[CB_P256_POINT];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static cb_id id_of(uint8_t number) { return (cb_id){{number}}; }

/* ---- Making the record ---- */

/* Whose taps all are, and what for. */
static cb_intent intent_of(uint8_t tap)
{
    return (cb_intent){.time = 1700000000000000,
                       .context = {.tap = id_of(tap),
                                   .terminal = id_of(100),
                                   .profile = CB_PROFILE_NATIVE,
                                   .purpose = CB_TAP_AUTHENTICATE,
                                   .level = CB_LEVEL_POSSESSION,
                                   .service = "tax"},
                       .card = id_of(101),
                       .holder = id_of(102),
                       .key = id_of(103),
                       .reached = CB_LEVEL_PIN};
}

static void receipt(cb_buf *leaf, uint8_t boot, const cb_intent *intent, uint64_t counter)
{
    static const uint8_t mac[CB_RECORD_MAC];
    cb_receipt_info info = {.boot = id_of(boot),
                            .tap = intent->context.tap,
                            .card = intent->card,
                            .key = intent->key,
                            .context = cb_tap_context_digest(&intent->context),
                            .counter = counter};
    cb_buf blob = CB_BUF(CB_RECEIPT_MAX);
    cb_receipt_body_put(&blob, &info);
    cb_buf_put(&blob, CB_BYTES_OF(mac));
    cb_leaf_hex(leaf, "receipt", cb_buf_bytes(&blob));
    cb_buf_free(&blob);
}

/* Bits of b: accepted; a receipt; of another card; of another service. */
static void result(record *r, cb_buf *leaf, const cb_intent *intent, uint8_t b, uint64_t number)
{
    cb_intent used = *intent;
    cb_leaf_id(leaf, "tap", &intent->context.tap);
    cb_leaf_number(leaf, "intent", number & 0xFF);
    cb_leaf_text(leaf, "outcome", b & 1 ? "accepted" : "service.down");
    cb_leaf_id(leaf, "card", &intent->card);
    cb_leaf_id(leaf, "holder", &intent->holder);
    cb_leaf_id(leaf, "terminal", &intent->context.terminal);
    cb_leaf_text(leaf, "service", intent->context.service);
    cb_leaf_id(leaf, "key", &intent->key);
    if (!(b & 2))
        return;
    if (b & 16)
        used.card = id_of(104);
    if (b & 32)
        used.context.service[0] = 'w';
    r->wrong = r->wrong || b & 48;
    receipt(leaf, b, &used, number >> 8);
}

static void revocation(record *r, cb_buf *leaf, const cb_id *card, int64_t time)
{
    cb_feed_entry entry = {r->feed.number + 1, CB_FEED_CARD_REVOKED, *card, time};
    r->feed = (cb_feed_head){entry.number, cb_feed_hash(&r->feed.hash, &entry)};
    cb_leaf_id(leaf, "card", card);
    cb_leaf_text(leaf, "state", "revoked");
    cb_leaf_number(leaf, "feed", entry.number);
    cb_leaf_hex(leaf, "feed_hash", cb_digest_bytes(&r->feed.hash));
}

static void write_leaf(record *r, uint8_t kind, uint8_t a, uint8_t b, uint64_t number, cb_buf *leaf)
{
    static const char *const names[] = {NULL, NULL, "tap.result", "card.issued",
                                        "card.revoked"};
    const int64_t time = 1700000000000000;
    cb_id id = id_of(a);
    cb_intent intent = intent_of(a);
    if (kind == INTENT) {
        cb_intent_leaf(&intent, leaf);
        return;
    }
    cb_leaf_begin(leaf, names[kind], time);
    if (kind == RESULT) {
        result(r, leaf, &intent, b, number);
    } else if (kind == CARD) {
        cb_leaf_id(leaf, "card", &id);
        cb_leaf_text(leaf, "state", "issued");
    } else if (kind == REVOKED) {
        revocation(r, leaf, &id, time);
    }
}

static void add_leaf(record *r, uint8_t how, uint64_t number, cb_buf *text)
{
    cb_log_leaf *leaf = &r->leaf[r->leaves];
    r->text[r->leaves++] = *text;
    leaf->position = how & OTHER_PLACE ? number : r->next;
    r->wrong = r->wrong || leaf->position != r->next;
    r->next = leaf->position + 1;
    leaf->data = cb_buf_bytes(text);
    leaf->hash = cb_merkle_leaf(leaf->data);
    cb_merkle_append(&r->tree, &leaf->hash);
    if (how & OTHER_HASH)
        leaf->hash.bytes[0] ^= 1;
    r->wrong = r->wrong || how & OTHER_HASH;
}

static void add_head(record *r, uint8_t how, uint64_t number)
{
    cb_signed_head *head = &r->head[r->heads++];
    cb_buf text = CB_BUF(1024);
    head->head =
        (cb_tree_head){how & OTHER_PLACE ? number : r->tree.size, cb_merkle_root(&r->tree)};
    if (how & OTHER_ROOT)
        head->head.root.bytes[0] ^= 1;
    cb_signed_head_text("test/log", head, &text);
    cb_digest digest = cb_sha256(cb_buf_bytes(&text));
    must(cb_p256_sign(scalar, &digest, head->signature) == CB_OK);
    if (how & OTHER_SIGNATURE)
        head->signature[40] ^= 1;
    bool out_of_place = head->head.size != r->tree.size;
    r->wrong = r->wrong || how & (OTHER_ROOT | OTHER_SIGNATURE) || out_of_place;
    cb_buf_free(&text);
}

static void make(record *r, cb_cursor *in)
{
    while (in->rest.len >= 12) {
        uint8_t kind = cb_cursor_u8(in) % KINDS, how = cb_cursor_u8(in);
        uint8_t a = cb_cursor_u8(in), b = cb_cursor_u8(in);
        uint64_t number = cb_cursor_u64(in);
        cb_buf leaf = CB_BUF(2 * CB_LEAF_MAX);
        if (kind == HEAD) {
            /* There is no head over nothing: nobody asks for it. */
            if (r->heads < HEADS_MAX && (how & OTHER_PLACE ? number : r->tree.size) > 0)
                add_head(r, how, number);
            continue;
        }
        if (r->leaves >= LEAVES_MAX)
            return;
        size_t len = kind == TEXT ? cb_cursor_u16(in) : 0;
        if (kind == TEXT)
            cb_buf_put(&leaf, cb_cursor_take(in, len < in->rest.len ? len : in->rest.len));
        else
            write_leaf(r, kind, a, b, number, &leaf);
        add_leaf(r, how, number, &leaf);
    }
}

/* ---- Serving it ---- */

/* As often as there are pages, and once more for each of the two ends. */
static void count_question(record *r) { must(++r->asked <= LEAVES_MAX + HEADS_MAX + 4); }

static cb_error leaves(void *context, uint64_t from, unsigned count, cb_leaf_visitor each,
                       void *each_context)
{
    record *r = context;
    cb_error error = CB_OK;
    count_question(r);
    for (size_t i = 0; !error && count > 0 && i < r->leaves; i++) {
        if (r->leaf[i].position >= from) {
            error = each(each_context, &r->leaf[i]);
            count--;
        }
    }
    return error;
}

static cb_error heads(void *context, uint64_t from, unsigned count, cb_head_visitor each,
                      void *each_context)
{
    record *r = context;
    cb_error error = CB_OK;
    count_question(r);
    for (size_t i = 0; !error && count > 0 && i < r->heads; i++) {
        if (r->head[i].head.size >= from) {
            error = each(each_context, &r->head[i]);
            count--;
        }
    }
    return error;
}

/* An empty database. */
static cb_error no_lines(void *context, cb_row_lines_visitor each, void *each_context)
{
    (void)context;
    (void)each;
    (void)each_context;
    return CB_OK;
}

static cb_error long_since(void *context, int64_t *out)
{
    (void)context;
    *out = 0;
    return CB_OK;
}

static cb_error no_stock(void *context, cb_stock_lines_visitor each, void *each_context,
                         uint64_t *issued)
{
    (void)context;
    (void)each;
    (void)each_context;
    *issued = 0;
    return CB_OK;
}

static void count_finding(void *context, const cb_finding *finding)
{
    (*(uint64_t *)context)++;
    must(finding->what && finding->detail[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static record r;
    uint64_t findings = 0;
    cb_evidence_summary summary;
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    if (!point[0])
        must(cb_p256_public(scalar, point) == CB_OK);
    r = (record){0};
    make(&r, &in);
    cb_evidence_source source = {.context = &r, .leaves = leaves, .heads = heads};
    if (size % 2 == 0) { /* with tables to compare with: what leaves say of rows is kept then */
        source.lines = no_lines;
        source.issues_since = long_since;
        source.stock = no_stock;
    }
    cb_evidence_report report = {&findings, count_finding};
    cb_error error = cb_evidence_verify(&source, CB_BYTES_OF(point), "test/log", &report, &summary);
    must(summary.findings == findings);
    must(error == CB_E_PROTOCOL || (error == CB_OK) == (findings == 0));
    if (error == CB_OK)
        must(!r.wrong && summary.leaves == r.leaves && summary.heads == r.heads);
    for (size_t i = 0; i < r.leaves; i++)
        cb_buf_free(&r.text[i]);
    return 0;
}
