/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cmocka with what it needs before it.
 */
#ifndef CB_TESTS_UNIT_BASE_TEST_H
#define CB_TESTS_UNIT_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
