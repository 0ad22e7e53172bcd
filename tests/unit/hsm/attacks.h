/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What somebody who has taken over the front end, or edits the database, may try. The same list is
 * tried on the lanes over a vault in memory (client_test.c) and on a real hsmd with a token
 * (tests/integration/hsmd_test.c).
 */
#ifndef CB_TESTS_HSM_ATTACKS_H
#define CB_TESTS_HSM_ATTACKS_H

#include "front.h"
#include "test.h"

/* The folder of the sockets; set before the tests run. */
extern const char *attack_run;

enum { ATTACKS_MAX = 64 };

/* All of them, in the order in which they are to run; how many. Tests' state is a front *, with its
 * card's PIN untouched. */
size_t attack_list(struct CMUnitTest out[ATTACKS_MAX]);

/* The parts of the list, by file. */
extern const struct CMUnitTest attack_intent_tests[], attack_race_tests[], attack_log_tests[],
    attack_end_tests[], attack_password_tests[], attack_pin_tests[], attack_worker_tests[];
extern const size_t attack_intent_count, attack_race_count, attack_log_count, attack_end_count,
    attack_password_count, attack_pin_count, attack_worker_count;
extern const struct CMUnitTest attack_end_last; /* ends the front's card */

/* Another card of the same issuer and batch. */
void attack_another_card(front *f, cb_vcard_state *card, cb_buf *certificate);

/* One signature for an open tap; the receipt is thrown away. */
cb_error attack_sign(front *f, const front_tap *tap, const front_key *key);

/* Sends a message to a socket of the run folder and returns the error of the answer, or of there
 * being none. */
cb_error attack_raw(const char *run, const char *lane, uint16_t type, cb_bytes body);

#endif
