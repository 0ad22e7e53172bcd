/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/route.h"

#include <string.h>

#include "tests/unit/base/test.h"

#define ID "0189f7c2-0000-7000-8000-000000000001"

static const cb_route table[] = {
    {.method = "GET", .pattern = "/a", .role = CB_ROLE_ANYBODY},
    {.method = "POST", .pattern = "/a", .role = CB_ROLE_ADMINISTRATOR},
    {.method = "GET", .pattern = "/a/{id}", .role = CB_ROLE_TERMINAL},
    {.method = "GET", .pattern = "/a/{id}/b/{name}", .role = CB_ROLE_ANYBODY},
    {.method = "GET", .pattern = "/both", .role = CB_ROLE_TERMINAL},
    {.method = "GET", .pattern = "/both", .role = CB_ROLE_ADMINISTRATOR},
};

static const cb_peer local = {.kind = CB_PEER_LOCAL};
static const cb_peer stranger = {.kind = CB_PEER_NETWORK};
static const cb_peer terminal = {.kind = CB_PEER_NETWORK, .has_key = true};

static cb_match match(const char *method, const char *path, const cb_peer *peer)
{
    cb_match out;
    cb_route_match(table, sizeof table / sizeof *table, method, path, peer, &out);
    return out;
}

static void a_path_is_compared_part_by_part(void **state)
{
    (void)state;
    assert_ptr_equal(match("GET", "/a", &stranger).route, &table[0]);
    static const char *const others[] = {"",
                                         "/",
                                         "a",
                                         "/a/",
                                         "//a",
                                         "/A",
                                         "/ab",
                                         "/a/" ID "/",
                                         "/a//b/x",
                                         "/a/" ID "/b",
                                         "/a/" ID "/b/c/d",
                                         "/b"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(match("GET", others[i], &terminal).error, CB_E_NOT_FOUND);
}

static void parameters_are_read_and_checked(void **state)
{
    (void)state;
    cb_match good = match("GET", "/a/" ID "/b/tax-office", &stranger);
    char id[CB_ID_TEXT];
    assert_int_equal(good.error, CB_OK);
    assert_int_equal(good.parameter_count, 2);
    cb_id_text(&good.parameters[0].id, id);
    assert_string_equal(id, ID);
    assert_string_equal(good.parameters[1].text, "tax-office");
    cb_match bad = match("GET", "/a/x/b/tax", &stranger);
    assert_int_equal(bad.error, CB_E_ARGUMENT);
    assert_int_equal(strncmp(bad.bad_parameter, "id}", 3), 0);
    bad = match("GET", "/a/" ID "/b/Tax", &stranger);
    assert_int_equal(bad.error, CB_E_ARGUMENT);
    assert_int_equal(strncmp(bad.bad_parameter, "name}", 5), 0);
    assert_int_equal(match("GET", "/a/" ID "0/b/tax", &stranger).error, CB_E_ARGUMENT);
}

static void methods_are_told(void **state)
{
    (void)state;
    cb_match other = match("DELETE", "/a", &stranger);
    assert_int_equal(other.error, CB_E_METHOD);
    assert_string_equal(other.allow, "GET, HEAD, POST");
    assert_ptr_equal(match("HEAD", "/a", &stranger).route, &table[0]);
    assert_int_equal(match("get", "/a", &stranger).error, CB_E_METHOD);
}

static void the_peer_decides(void **state)
{
    (void)state;
    assert_int_equal(match("POST", "/a", &stranger).error, CB_E_DENIED);
    assert_int_equal(match("POST", "/a", &terminal).error, CB_E_DENIED);
    assert_ptr_equal(match("POST", "/a", &local).route, &table[1]);
    assert_int_equal(match("GET", "/a/" ID, &stranger).error, CB_E_UNAUTHENTICATED);
    assert_int_equal(match("GET", "/a/" ID, &local).error, CB_E_DENIED);
    assert_ptr_equal(match("GET", "/a/" ID, &terminal).route, &table[2]);
    assert_ptr_equal(match("GET", "/both", &terminal).route, &table[4]);
    assert_ptr_equal(match("GET", "/both", &local).route, &table[5]);
    assert_int_equal(match("GET", "/both", &stranger).error, CB_E_UNAUTHENTICATED);
}

static void a_local_peer_is_never_a_terminal(void **state)
{
    (void)state;
    cb_peer odd = {.kind = CB_PEER_LOCAL, .has_key = true};
    assert_int_equal(match("GET", "/a/" ID, &odd).error, CB_E_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_compared_part_by_part),
        cmocka_unit_test(parameters_are_read_and_checked),
        cmocka_unit_test(methods_are_told),
        cmocka_unit_test(the_peer_decides),
        cmocka_unit_test(a_local_peer_is_never_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
