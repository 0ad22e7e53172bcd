/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A checkpoint, as whoever writes to the database's folder, or a leaf, can make it. The first byte
 * says what the rest is: a file (0) or a leaf (1).
 *
 * There is one way to write either: what is taken, written again, is what was read.
 */
#include <stdlib.h>

#include "base/leaf.h"
#include "broker/evidence/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void same_again(cb_bytes words, const cb_id_map *map, const cb_merkle_frontier *blocks)
{
    cb_checkpoint own = {0};
    cb_merkle_frontier again = {0};
    cb_buf back = CB_BUF(words.len);
    cb_id_entry *all = calloc(map->count + 1, sizeof *all);
    must(all && cb_words_of(map, &own) == CB_OK);
    cb_digest root = cb_merkle_root(blocks);
    must(own.words == words.len / CB_WORD_SIZE && memcmp(&own.words_root, &root, sizeof root) == 0);
    cb_words_copy(map, all);
    cb_words_sort(all, map->count);
    cb_words_put(&back, all, map->count, &again);
    must(cb_bytes_same(cb_buf_bytes(&back), words));
    free(all);
    cb_buf_free(&back);
}

static void read_file(cb_cursor in)
{
    cb_checkpoint head;
    cb_merkle_frontier tree;
    cb_words_reader reader = {0};
    size_t size = 0;
    cb_bytes whole = in.rest;
    if (cb_checkpoint_head_size(cb_cursor_take(&in, CB_CHECKPOINT_HEAD), &size) || size > whole.len)
        return;
    cb_cursor_take(&in, size - CB_CHECKPOINT_HEAD);
    must(cb_checkpoint_head_get(cb_bytes_make(whole.data, size), &head, &tree) == CB_OK);
    cb_buf back = CB_BUF(CB_CHECKPOINT_HEAD_MAX);
    cb_checkpoint_head_put(&back, &head, &tree);
    must(cb_bytes_same(cb_buf_bytes(&back), cb_bytes_make(whole.data, size)));
    cb_buf_free(&back);
    cb_bytes words = cb_cursor_rest(&in);
    if (words.len <= CB_WORDS_BLOCK * CB_WORD_SIZE && words.len > 0 &&
        cb_words_take(&reader, words) == CB_OK)
        same_again(words, &reader.map, &reader.tree);
    cb_id_map_free(&reader.map);
}

static void read_leaf(cb_bytes leaf)
{
    cb_checkpoint said;
    cb_checkpoint_over end;
    cb_error error = cb_checkpoint_read(leaf, &said);
    must(error != CB_OK || !cb_checkpoint_taken_back(leaf, &end));
    if (error)
        return;
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_checkpoint_put(&lines, &said);
    must(cb_buf_error(&lines) == CB_OK && lines.len < leaf.len &&
         memcmp(lines.data, leaf.data + leaf.len - lines.len, lines.len) == 0);
    cb_buf_free(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    if (cb_cursor_u8(&in) == 0)
        read_file(in);
    else
        read_leaf(in.rest);
    return 0;
}
