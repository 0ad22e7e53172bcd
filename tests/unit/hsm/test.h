/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cmocka with what it needs before it, and errors compared by code.
 */
#ifndef CB_TESTS_HSM_TEST_H
#define CB_TESTS_HSM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

#define expect(error, call) assert_string_equal(cb_error_code(call), cb_error_code(error))
#define good(call) expect(CB_OK, call)

#endif
