/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What /v1/ready says is missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/api/ready.h"

static void the_first_part_that_is_missing_is_named(void **state)
{
    static const struct {
        cb_error store, signer, hsm, connectors, ready;
    } rows[] = {
        {CB_OK, CB_OK, CB_OK, CB_OK, CB_OK},
        {CB_E_STORE_FULL, CB_E_TIMEOUT, CB_E_HSM_DOWN, CB_E_CONNECTOR_DOWN, CB_E_STORE_FULL},
        {CB_OK, CB_E_TIMEOUT, CB_OK, CB_E_CONNECTOR_DOWN, CB_E_HSM_DOWN},
        {CB_OK, CB_E_PROTOCOL, CB_OK, CB_OK, CB_E_HSM_DOWN},
        {CB_OK, CB_OK, CB_E_HSM_TOKEN, CB_E_CONNECTOR_DOWN, CB_E_HSM_TOKEN},
        {CB_OK, CB_OK, CB_OK, CB_E_CONNECTOR_DOWN, CB_E_CONNECTOR_DOWN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const cb_store_state store = {.error = rows[i].store, .signer = rows[i].signer};
        const cb_watch_view view = {.hsm = rows[i].hsm, .connectors = rows[i].connectors};
        assert_int_equal(cb_api_readiness(&store, &view), rows[i].ready);
    }
}

static void
a_head_that_was_not_signed_for_want_of_memory_is_not_the_key_services_fault(void **state)
{
    const cb_store_state store = {.signer = CB_E_MEMORY};
    const cb_watch_view view = {.hsm = CB_OK};
    (void)state;
    assert_int_equal(cb_api_readiness(&store, &view), CB_E_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_part_that_is_missing_is_named),
        cmocka_unit_test(
            a_head_that_was_not_signed_for_want_of_memory_is_not_the_key_services_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
