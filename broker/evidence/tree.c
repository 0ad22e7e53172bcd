/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/tree.h"

#include <stdlib.h>
#include <string.h>

void cb_log_tail_free(cb_log_tail *tail)
{
    free(tail->hash);
    *tail = (cb_log_tail){0};
}

cb_error cb_log_tail_reserve(cb_log_tail *tail, size_t count)
{
    size_t room = tail->room ? tail->room : 256;
    if (tail->count + count <= tail->room)
        return CB_OK;
    while (room < tail->count + count)
        room *= 2;
    cb_digest *hash = realloc(tail->hash, room * sizeof *hash);
    if (!hash)
        return CB_E_MEMORY;
    tail->hash = hash;
    tail->room = room;
    return CB_OK;
}

void cb_log_tail_append(cb_log_tail *tail, const cb_digest *hash, size_t count)
{
    if (count == 0)
        return;
    memcpy(tail->hash + tail->count, hash, count * sizeof *hash);
    tail->count += count;
}

uint64_t cb_log_tail_size(const cb_log_tail *tail) { return tail->base.size + tail->count; }

bool cb_log_tail_at(const cb_log_tail *tail, uint64_t size, cb_merkle_frontier *out)
{
    if (size < tail->base.size || size > cb_log_tail_size(tail))
        return false;
    *out = tail->base;
    for (size_t i = 0; out->size < size; i++)
        cb_merkle_append(out, &tail->hash[i]);
    return true;
}

void cb_log_tail_advance(cb_log_tail *tail, const cb_merkle_frontier *base)
{
    size_t gone = (size_t)(base->size - tail->base.size);
    if (tail->count > gone)
        memmove(tail->hash, tail->hash + gone, (tail->count - gone) * sizeof *tail->hash);
    tail->count -= gone;
    tail->base = *base;
}

cb_tree_head cb_frontier_head(const cb_merkle_frontier *frontier)
{
    return (cb_tree_head){frontier->size, cb_merkle_root(frontier)};
}

void cb_frontier_put(const cb_merkle_frontier *frontier, cb_buf *nodes)
{
    for (unsigned level = CB_MERKLE_DEPTH; level-- > 0;) {
        if (frontier->size >> level & 1)
            cb_buf_put(nodes, cb_digest_bytes(&frontier->node[level]));
    }
}

cb_error cb_frontier_get(uint64_t size, cb_bytes nodes, cb_merkle_frontier *out)
{
    cb_cursor cursor = cb_cursor_over(nodes);
    *out = (cb_merkle_frontier){.size = size};
    for (unsigned level = CB_MERKLE_DEPTH; level-- > 0;) {
        if (size >> level & 1)
            cb_cursor_copy(&cursor, out->node[level].bytes, CB_SHA256_SIZE);
    }
    return cb_cursor_done(&cursor) ? CB_OK : CB_E_FORMAT;
}
