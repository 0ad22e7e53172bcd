/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/places.h"

#include <pthread.h>

#include "tests/unit/base/test.h"

static void each_service_has_its_own_places(void **state)
{
    cb_places *places;
    (void)state;
    assert_int_equal(cb_places_open(2, &places), CB_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(cb_places_look(places, "tax"), CB_OK);
        assert_int_equal(cb_places_take(places, "tax"), CB_OK);
        assert_int_equal(cb_places_take(places, "tax"), CB_OK);
        assert_int_equal(cb_places_look(places, "tax"), CB_E_SERVICE_BUSY);
        assert_int_equal(cb_places_take(places, "tax"), CB_E_SERVICE_BUSY);
        assert_int_equal(cb_places_look(places, "taxi"), CB_OK);
        assert_int_equal(cb_places_take(places, "taxi"), CB_OK);
        cb_places_give_back(places, "taxi");
        cb_places_give_back(places, "tax");
        assert_int_equal(cb_places_look(places, "tax"), CB_OK);
        assert_int_equal(cb_places_take(places, "tax"), CB_OK);
        assert_int_equal(cb_places_take(places, "tax"), CB_E_SERVICE_BUSY);
        cb_places_give_back(places, "tax");
        cb_places_give_back(places, "tax");
    }
    assert_int_equal(cb_places_take(places, "left behind"), CB_OK);
    cb_places_close(&places);
    assert_null(places);
}

static void at_least_one_place_there_is(void **state)
{
    cb_places *places;
    (void)state;
    assert_int_equal(cb_places_open(0, &places), CB_OK);
    assert_int_equal(cb_places_take(places, "tax"), CB_OK);
    assert_int_equal(cb_places_take(places, "tax"), CB_E_SERVICE_BUSY);
    cb_places_close(&places);
}

static void *take_and_give_back(void *context)
{
    cb_places *places = context;
    for (int i = 0; i < 20000; i++)
        if (cb_places_take(places, i % 2 ? "tax" : "health") == CB_OK)
            cb_places_give_back(places, i % 2 ? "tax" : "health");
    return NULL;
}

static void nothing_is_lost_among_threads(void **state)
{
    cb_places *places;
    pthread_t threads[4];
    (void)state;
    assert_int_equal(cb_places_open(3, &places), CB_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give_back, places), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(cb_places_take(places, "tax"), CB_OK);
    assert_int_equal(cb_places_take(places, "tax"), CB_E_SERVICE_BUSY);
    cb_places_close(&places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_service_has_its_own_places),
        cmocka_unit_test(at_least_one_place_there_is),
        cmocka_unit_test(nothing_is_lost_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
