/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A hash table from identifiers, each of a kind, to numbers. 32 bytes an entry; of its room,
 * which doubles, at most three quarters are used.
 */
#ifndef CB_BROKER_EVIDENCE_ID_MAP_H
#define CB_BROKER_EVIDENCE_ID_MAP_H

#include "base/id.h"

typedef struct cb_id_entry {
    cb_id id;
    uint64_t value;
    char kind; /* 0: an empty place */
    bool marked;
    uint32_t more; /* beside the value, in room that there is anyway; who uses it sets it */
} cb_id_entry;

typedef struct cb_id_map {
    cb_id_entry *place;
    size_t room; /* a power of two */
    size_t count;
    uint64_t seed;
} cb_id_map;

void cb_id_map_free(cb_id_map *map);

/* The entry, or NULL. Valid until the next change. */
cb_id_entry *cb_id_map_find(const cb_id_map *map, char kind, const cb_id *id);

/* Makes room for so many more, which then are set without an error. CB_E_MEMORY. */
cb_error cb_id_map_reserve(cb_id_map *map, size_t more);

/* Adds or replaces; what stands beside the value stays. CB_E_MEMORY. */
cb_error cb_id_map_set(cb_id_map *map, char kind, const cb_id *id, uint64_t value);

void cb_id_map_remove(cb_id_map *map, cb_id_entry *entry);

#endif
