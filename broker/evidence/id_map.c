/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/id_map.h"

#include <stdlib.h>

#include "base/secret.h"

void cb_id_map_free(cb_id_map *map)
{
    free(map->place);
    *map = (cb_id_map){0};
}

/* Of three quarters the next free place is few steps away; more would cost memory at ten million
 * entries, less would cost searches. */
static bool has_room_for(const cb_id_map *map, size_t more)
{
    return map->count + more <= map->room / 4 * 3;
}

/* Seeded, so that nobody can choose identifiers that all fall on one place. */
static size_t start_of(const cb_id_map *map, char kind, const cb_id *id)
{
    uint64_t word[2];
    memcpy(word, id->bytes, sizeof word);
    uint64_t mixed = (word[0] ^ map->seed) * UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ (mixed >> 32) ^ word[1] ^ (uint8_t)kind) * UINT64_C(0xD6E8FEB86659FD93);
    return (size_t)(mixed ^ (mixed >> 32)) & (map->room - 1);
}

static size_t place_of(const cb_id_map *map, char kind, const cb_id *id)
{
    size_t at = start_of(map, kind, id);
    while (map->place[at].kind &&
           !(map->place[at].kind == kind && cb_id_same(&map->place[at].id, id)))
        at = (at + 1) & (map->room - 1);
    return at;
}

cb_id_entry *cb_id_map_find(const cb_id_map *map, char kind, const cb_id *id)
{
    if (map->room == 0)
        return NULL;
    cb_id_entry *entry = &map->place[place_of(map, kind, id)];
    return entry->kind ? entry : NULL;
}

static cb_error grow(cb_id_map *map)
{
    cb_id_map larger = {.room = map->room ? 2 * map->room : 64, .count = map->count};
    larger.place = calloc(larger.room, sizeof *larger.place);
    if (!larger.place)
        return CB_E_MEMORY;
    cb_random(&larger.seed, sizeof larger.seed);
    for (size_t i = 0; i < map->room; i++) {
        const cb_id_entry *entry = &map->place[i];
        if (entry->kind)
            larger.place[place_of(&larger, entry->kind, &entry->id)] = *entry;
    }
    free(map->place);
    *map = larger;
    return CB_OK;
}

cb_error cb_id_map_reserve(cb_id_map *map, size_t more)
{
    cb_error error = CB_OK;
    while (!error && !has_room_for(map, more))
        error = grow(map);
    return error;
}

cb_error cb_id_map_set(cb_id_map *map, char kind, const cb_id *id, uint64_t value)
{
    if (!has_room_for(map, 1)) {
        cb_error error = grow(map);
        if (error)
            return error;
    }
    cb_id_entry *entry = &map->place[place_of(map, kind, id)];
    if (!entry->kind)
        map->count++;
    *entry = (cb_id_entry){.id = *id,
                           .value = value,
                           .kind = kind,
                           .marked = entry->marked,
                           .more = entry->more};
    return CB_OK;
}

/* Entries after the hole that would no longer be found are moved into it. */
void cb_id_map_remove(cb_id_map *map, cb_id_entry *entry)
{
    size_t mask = map->room - 1;
    size_t hole = (size_t)(entry - map->place);
    for (size_t at = (hole + 1) & mask; map->place[at].kind; at = (at + 1) & mask) {
        size_t start = start_of(map, map->place[at].kind, &map->place[at].id);
        if (((at - start) & mask) < ((at - hole) & mask))
            continue;
        map->place[hole] = map->place[at];
        hole = at;
    }
    map->place[hole] = (cb_id_entry){0};
    map->count--;
}
