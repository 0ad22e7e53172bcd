/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What somebody who has taken over the front end, or edits the database, may try. The same list is
 * tried on the lanes over a vault in memory (client_test.c) and on a real hsmd with a token
 * (tests/integration/hsmd_test.c).
 */
#ifndef CB_TESTS_HSM_ATTACKS_H
#define CB_TESTS_HSM_ATTACKS_H

#include "test.h"

/* The folder of the sockets; set before the tests run. */
extern const char *attack_run;

/* Tests' state is a front *, with its card's PIN untouched. */
extern const struct CMUnitTest attack_tests[];
extern const size_t attack_count;

#endif
