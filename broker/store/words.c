/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the log says about rows (broker/evidence/vouch.h), as it changes while the broker runs.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/store/internal.h"

void cb_vouch_list_free(cb_vouch_list *list)
{
    free(list->item);
    *list = (cb_vouch_list){0};
}

cb_error cb_vouch_list_reserve(cb_vouch_list *list, size_t more)
{
    size_t room = list->room ? list->room : 16;
    while (room < list->count + more)
        room *= 2;
    if (room == list->room)
        return CB_OK;
    cb_vouch *grown = realloc(list->item, room * sizeof *grown);
    if (!grown)
        return CB_E_MEMORY;
    list->item = grown;
    list->room = room;
    return CB_OK;
}

/* The last word of this transaction, or else of what is committed. */
bool cb_txn_vouched(cb_txn *txn, char kind, const cb_id *id, const cb_digest *digest)
{
    for (size_t i = txn->words.count; i-- > 0;) {
        const cb_vouch *word = &txn->words.item[i];
        if (word->kind == kind && cb_id_same(&word->id, id))
            return !word->gone && (!digest || memcmp(word->digest.bytes, digest->bytes,
                                                     sizeof digest->bytes) == 0);
    }
    pthread_mutex_lock(&txn->store->lock);
    bool found = cb_vouch_found(&txn->store->vouches, kind, id, digest);
    pthread_mutex_unlock(&txn->store->lock);
    return found;
}

cb_error cb_store_room_for_words(cb_store *store, size_t count)
{
    return store->check == CB_E_BUSY ? cb_vouch_list_reserve(&store->since, count)
                                     : cb_id_map_reserve(&store->vouches, 2 * count);
}

void cb_store_take_words(cb_store *store, const cb_vouch_list *words)
{
    for (size_t i = 0; i < words->count; i++) {
        if (store->check == CB_E_BUSY)
            store->since.item[store->since.count++] = words->item[i];
        else
            cb_vouch_apply(&store->vouches, &words->item[i]);
    }
}
