/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/leaf.h"
#include "base/text.h"
#include "broker/evidence/leaf_fields.h"
#include "broker/evidence/tree.h"

static const uint8_t magic[16] = {'c', 'b', 'c', 'h', 'e', 'c', 'k', 'p',
                                  'o', 'i', 'n', 't', 0,   1,   0,   0};

enum { VALUE = 8, NUMBER_TEXT = 24, BEGINNING_LINES = 3 };

static bool same_digest(const cb_digest *a, const cb_digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool cb_checkpoint_same(const cb_checkpoint *a, const cb_checkpoint *b)
{
    return a->tree.size == b->tree.size && same_digest(&a->tree.root, &b->tree.root) &&
           a->feed.number == b->feed.number && same_digest(&a->feed.hash, &b->feed.hash) &&
           a->words == b->words && same_digest(&a->words_root, &b->words_root) &&
           same_digest(&a->rules, &b->rules);
}

/* ---- The leaf ---- */

void cb_checkpoint_put(cb_buf *leaf, const cb_checkpoint *checkpoint)
{
    cb_leaf_number(leaf, "size", checkpoint->tree.size);
    cb_leaf_hex(leaf, "root", cb_digest_bytes(&checkpoint->tree.root));
    cb_leaf_number(leaf, "revocations", checkpoint->feed.number);
    cb_leaf_hex(leaf, "revocations_hash", cb_digest_bytes(&checkpoint->feed.hash));
    cb_leaf_number(leaf, "words", checkpoint->words);
    cb_leaf_hex(leaf, "words_root", cb_digest_bytes(&checkpoint->words_root));
    cb_leaf_hex(leaf, "rules", cb_digest_bytes(&checkpoint->rules));
}

static bool number_of(cb_bytes leaf, const char *name, uint64_t *out)
{
    char text[NUMBER_TEXT];
    *out = 0;
    if (cb_leaf_find_text(leaf, name, text, sizeof text) != CB_OK)
        return false;
    for (const char *at = text; *at; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*at < '0' || *at > '9' || *out > (UINT64_MAX - digit) / 10)
            return false;
        *out = 10 * *out + digit;
    }
    return text[0];
}

/* What comes after the three lines with which every leaf begins. */
static cb_bytes after_beginning(cb_bytes leaf)
{
    unsigned lines = 0;
    for (size_t at = 0; at < leaf.len; at++) {
        if (leaf.data[at] == '\n' && ++lines == BEGINNING_LINES)
            return cb_bytes_make(leaf.data + at + 1, leaf.len - at - 1);
    }
    return (cb_bytes){0};
}

cb_error cb_checkpoint_read(cb_bytes leaf, cb_checkpoint *out)
{
    char kind[40];
    *out = (cb_checkpoint){0};
    if (cb_leaf_find_text(leaf, "kind", kind, sizeof kind) != CB_OK ||
        strcmp(kind, "record.checkpoint") != 0)
        return CB_E_NOT_FOUND;
    if (!number_of(leaf, "size", &out->tree.size) || !cb_leaf_find_digest(leaf, "root", &out->tree.root) ||
        !number_of(leaf, "revocations", &out->feed.number) ||
        !cb_leaf_find_digest(leaf, "revocations_hash", &out->feed.hash) ||
        !number_of(leaf, "words", &out->words) ||
        !cb_leaf_find_digest(leaf, "words_root", &out->words_root) || !cb_leaf_find_digest(leaf, "rules", &out->rules))
        return CB_E_FORMAT;
    /* There is one way to write it, so that no two readers take it differently. */
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_checkpoint_put(&lines, out);
    cb_error error = cb_buf_error(&lines);
    if (!error && !cb_bytes_same(cb_buf_bytes(&lines), after_beginning(leaf)))
        error = CB_E_FORMAT;
    cb_buf_free(&lines);
    return error;
}

bool cb_checkpoint_taken_back(cb_bytes leaf, cb_checkpoint_over *out)
{
    char kind[40], what[40];
    cb_checkpoint_over end;
    if (cb_leaf_find_text(leaf, "kind", kind, sizeof kind) != CB_OK ||
        strcmp(kind, "registry.unconfirmed") != 0 ||
        cb_leaf_find_text(leaf, CB_CHECKPOINT_TAKEN_BACK, what, sizeof what) != CB_OK ||
        !number_of(leaf, "leaf", &end.position))
        return false;
    end.pardoned = strcmp(what, CB_CHECKPOINT_UNCONFIRMED) == 0;
    if (out)
        *out = end;
    return true;
}

void cb_checkpoint_take_back(cb_buf *leaf, int64_t time, const cb_checkpoint_over *end)
{
    cb_leaf_begin(leaf, "registry.unconfirmed", time);
    cb_leaf_number(leaf, "leaf", end->position);
    cb_leaf_text(leaf, CB_CHECKPOINT_TAKEN_BACK,
                 end->pardoned ? CB_CHECKPOINT_UNCONFIRMED : CB_CHECKPOINT_REFUTED);
}

/* ---- Words ---- */

void cb_words_copy(const cb_id_map *map, cb_id_entry *out)
{
    size_t count = 0;
    for (size_t i = 0; i < map->room; i++) {
        if (map->place[i].kind)
            out[count++] = map->place[i];
    }
}

static int compare(const void *left, const void *right)
{
    const cb_id_entry *a = left, *b = right;
    if (a->kind != b->kind)
        return (uint8_t)a->kind < (uint8_t)b->kind ? -1 : 1;
    return memcmp(a->id.bytes, b->id.bytes, sizeof a->id.bytes);
}

void cb_words_sort(cb_id_entry *words, size_t count)
{
    if (count > 1)
        qsort(words, count, sizeof *words, compare);
}

void cb_words_put(cb_buf *block, const cb_id_entry *words, size_t count, cb_merkle_frontier *tree)
{
    size_t before = block->len;
    for (size_t i = 0; i < count; i++) {
        uint8_t value[VALUE];
        memcpy(value, &words[i].value, VALUE); /* bytes of a digest, not a number */
        cb_buf_put_u8(block, (uint8_t)words[i].kind);
        cb_buf_put(block, cb_id_bytes(&words[i].id));
        cb_buf_put(block, CB_BYTES_OF(value));
    }
    if (cb_buf_error(block) || count == 0)
        return;
    cb_digest hash = cb_merkle_leaf(cb_bytes_make(block->data + before, block->len - before));
    cb_merkle_append(tree, &hash);
}

static cb_error root_of(const cb_id_entry *words, size_t count, cb_digest *out)
{
    cb_merkle_frontier tree = {0};
    cb_buf block = CB_BUF(CB_WORDS_BLOCK * CB_WORD_SIZE);
    for (size_t at = 0; at < count; at += CB_WORDS_BLOCK) {
        cb_buf_reset(&block);
        cb_words_put(&block, words + at, count - at < CB_WORDS_BLOCK ? count - at : CB_WORDS_BLOCK,
                     &tree);
    }
    cb_error error = cb_buf_error(&block);
    cb_buf_free(&block);
    *out = cb_merkle_root(&tree);
    return error;
}

cb_error cb_words_of(const cb_id_map *map, cb_checkpoint *out)
{
    cb_id_entry *words = malloc((map->count + 1) * sizeof *words);
    if (!words)
        return CB_E_MEMORY;
    cb_words_copy(map, words);
    cb_words_sort(words, map->count);
    out->words = map->count;
    cb_error error = root_of(words, map->count, &out->words_root);
    free(words);
    return error;
}

/* ---- The file ---- */

void cb_checkpoint_head_put(cb_buf *head, const cb_checkpoint *checkpoint,
                            const cb_merkle_frontier *tree)
{
    cb_buf_put(head, CB_BYTES_OF(magic));
    cb_buf_put_u64(head, checkpoint->tree.size);
    cb_buf_put_u64(head, checkpoint->feed.number);
    cb_buf_put(head, cb_digest_bytes(&checkpoint->feed.hash));
    cb_buf_put(head, cb_digest_bytes(&checkpoint->rules));
    cb_buf_put_u64(head, checkpoint->words);
    cb_frontier_put(tree, head);
}

static void take_beginning(cb_cursor *from, cb_checkpoint *out)
{
    if (!cb_bytes_same(cb_cursor_take(from, sizeof magic), CB_BYTES_OF(magic)))
        cb_cursor_fail(from);
    out->tree.size = cb_cursor_u64(from);
    out->feed.number = cb_cursor_u64(from);
    cb_cursor_copy(from, out->feed.hash.bytes, CB_SHA256_SIZE);
    cb_cursor_copy(from, out->rules.bytes, CB_SHA256_SIZE);
    out->words = cb_cursor_u64(from);
}

cb_error cb_checkpoint_head_size(cb_bytes beginning, size_t *size)
{
    cb_checkpoint said = {0};
    cb_cursor from = cb_cursor_over(beginning);
    take_beginning(&from, &said);
    *size = CB_CHECKPOINT_HEAD;
    for (uint64_t rest = said.tree.size; rest; rest >>= 1)
        *size += rest & 1 ? CB_SHA256_SIZE : 0;
    return cb_cursor_done(&from) ? CB_OK : CB_E_FORMAT;
}

cb_error cb_checkpoint_head_get(cb_bytes head, cb_checkpoint *out, cb_merkle_frontier *tree)
{
    cb_cursor from = cb_cursor_over(head);
    *out = (cb_checkpoint){0};
    *tree = (cb_merkle_frontier){0};
    take_beginning(&from, out);
    if (!cb_cursor_ok(&from))
        return CB_E_FORMAT;
    cb_error error = cb_frontier_get(out->tree.size, cb_cursor_rest(&from), tree);
    if (!error)
        out->tree.root = cb_merkle_root(tree);
    return error;
}

static void take_word(cb_cursor *from, cb_id_entry *out)
{
    uint8_t value[VALUE];
    *out = (cb_id_entry){.kind = (char)cb_cursor_u8(from)};
    cb_cursor_copy(from, out->id.bytes, sizeof out->id.bytes);
    cb_cursor_copy(from, value, VALUE);
    memcpy(&out->value, value, VALUE);
}

cb_error cb_words_take(cb_words_reader *reader, cb_bytes block)
{
    cb_cursor from = cb_cursor_over(block);
    cb_error error = CB_OK;
    cb_digest hash = cb_merkle_leaf(block);
    cb_merkle_append(&reader->tree, &hash);
    while (!error && from.rest.len > 0) {
        cb_id_entry word;
        take_word(&from, &word);
        /* Strictly ascending from an empty one, so that none comes twice. */
        if (!cb_cursor_ok(&from) || !cb_vouch_keeps(word.kind) ||
            compare(&reader->last, &word) >= 0)
            return CB_E_FORMAT;
        error = cb_id_map_set(&reader->map, word.kind, &word.id, word.value);
        reader->last = word;
    }
    return error;
}
