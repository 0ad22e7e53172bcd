/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * No route of the broker is left out where allocations fail: each is asked by a table of requests,
 * or by the taps and terminals below.
 */
#include "tests/fault/api_acts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/faults.h"

enum { ROUTES_MAX = 256 };

/* What terminals ask, who are no administrator's tables: and the test that lets it fail. */
static const struct {
    const char *method, *pattern, *test;
} elsewhere[] = {
    {"POST", "/v1/taps", "api_tap_alloc"},
    {"POST", "/v1/taps/{tap}/challenge", "api_tap_alloc"},
    {"POST", "/v1/taps/{tap}/proof", "api_tap_alloc"},
    {"POST", "/v1/taps/{tap}/end", "api_tap_alloc"},
    {"POST", "/v1/taps/{tap}/registration", "api_own_card_alloc"},
    {"POST", "/v1/taps/{tap}/renewal", "api_own_card_alloc"},
    {"GET", "/v1/services", "api_tap_alloc"},
    {"POST", "/v1/log", "api_tap_alloc"},
    {"POST", "/v1/activations", "api_terminal_alloc"},
    {"POST", "/v1/certificate", "api_terminal_alloc"},
    {"POST", "/v1/terminal/end", "api_terminal_alloc"},
};

static bool asked[ROUTES_MAX];

static void ask_table(api_acts *a, const api_act *table)
{
    const cb_peer administrator = {.kind = CB_PEER_LOCAL};
    for (const api_act *act = table; act->name; act++) {
        cb_match match;
        act->prepare(a);
        a->path[strcspn(a->path, "?")] = 0;
        cb_route_match(cb_api_routes, cb_api_route_count, a->method, a->path, &administrator,
                       &match);
        if (!match.route)
            fail_msg("\"%s\" asks for no route: %s %s", act->name, a->method, a->path);
        asked[match.route - cb_api_routes] = true;
    }
}

static bool is_elsewhere(const cb_route *route)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (route->role != CB_ROLE_ADMINISTRATOR &&
            strcmp(route->method, elsewhere[i].method) == 0 &&
            strcmp(route->pattern, elsewhere[i].pattern) == 0)
            return true;
    return false;
}

static void each_route_is_asked_while_allocations_fail(void **state)
{
    static api_acts a;
    unsigned missing = 0;
    (void)state;
    assert_true(cb_api_route_count <= ROUTES_MAX);
    api_acts_make(&a);
    assert_int_equal(api_world_open(&a.w), CB_OK);
    ask_table(&a, api_act_table);
    ask_table(&a, api_life_table);
    ask_table(&a, api_rest_table);
    api_world_end(&a.w);
    for (size_t i = 0; i < cb_api_route_count; i++) {
        if (asked[i] || is_elsewhere(&cb_api_routes[i]))
            continue;
        print_error("%s %s\n", cb_api_routes[i].method, cb_api_routes[i].pattern);
        missing++;
    }
    assert_int_equal(missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_route_is_asked_while_allocations_fail),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
