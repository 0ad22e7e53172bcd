/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/id_map.h"

#include <stdlib.h>

#include "tests/unit/broker/support.h"

enum { MANY = 3000 };

static void what_was_put_in_is_found_and_nothing_else(void **state)
{
    cb_id_map map = {0};
    cb_id *ids = calloc(MANY, sizeof *ids);
    cb_id other = cb_id_random();
    (void)state;
    assert_null(cb_id_map_find(&map, 'c', &other));
    for (uint64_t i = 0; i < MANY; i++) {
        ids[i] = cb_id_random();
        assert_int_equal(cb_id_map_set(&map, 'c', &ids[i], i), CB_OK);
    }
    for (uint64_t i = 0; i < MANY; i++) {
        assert_int_equal(cb_id_map_find(&map, 'c', &ids[i])->value, i);
        assert_null(cb_id_map_find(&map, 't', &ids[i]));
    }
    assert_null(cb_id_map_find(&map, 'c', &other));
    assert_int_equal(map.count, MANY);
    assert_int_equal(cb_id_map_set(&map, 'c', &ids[7], 77), CB_OK);
    assert_int_equal(map.count, MANY);
    assert_int_equal(cb_id_map_find(&map, 'c', &ids[7])->value, 77);
    cb_id_map_free(&map);
    free(ids);
}

static void what_was_taken_out_is_gone_and_the_rest_is_still_found(void **state)
{
    cb_id_map map = {0};
    cb_id *ids = calloc(MANY, sizeof *ids);
    (void)state;
    for (uint64_t i = 0; i < MANY; i++) {
        ids[i] = cb_id_random();
        assert_int_equal(cb_id_map_set(&map, 'i', &ids[i], i), CB_OK);
    }
    for (uint64_t i = 0; i < MANY; i += 2)
        cb_id_map_remove(&map, cb_id_map_find(&map, 'i', &ids[i]));
    for (uint64_t i = 0; i < MANY; i++) {
        cb_id_entry *entry = cb_id_map_find(&map, 'i', &ids[i]);
        if (i % 2 == 0)
            assert_null(entry);
        else
            assert_int_equal(entry->value, i);
    }
    assert_int_equal(map.count, MANY / 2);
    cb_id_map_free(&map);
    free(ids);
}

static void most_of_its_room_is_used_before_it_doubles(void **state)
{
    cb_id_map map = {0};
    size_t room = 0;
    (void)state;
    assert_int_equal(cb_id_map_reserve(&map, MANY), CB_OK);
    room = map.room;
    for (uint64_t i = 0; map.room == room; i++) {
        cb_id id = cb_id_random();
        assert_int_equal(cb_id_map_set(&map, 'c', &id, i), CB_OK);
        assert_in_range(map.count, 1, room / 4 * 3 + 1);
    }
    assert_int_equal(map.count, room / 4 * 3 + 1);
    assert_int_equal(map.room, 2 * room);
    assert_int_equal(room, 4096); /* MANY of 3072 */
    cb_id_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_is_found_and_nothing_else),
        cmocka_unit_test(what_was_taken_out_is_gone_and_the_rest_is_still_found),
        cmocka_unit_test(most_of_its_room_is_used_before_it_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
