/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How often a password may be guessed.
 *
 * hsmd itself counts, in a file of its own that all workers share: who has the front end or writes
 * the database can neither count less nor begin anew, a restart forgives nothing, and however many
 * terminals guess at a time, each takes its turn. An attempt is counted before it is looked at, and
 * the count ends with the first that was right.
 *
 * After five wrong ones in a row each waits: 10 s, 20 s, 40 s … at most a day. What is tried before
 * that is not looked at, right or wrong, and lengthens nothing. So nobody is shut out for good by
 * somebody who guesses, until the hundredth in a row (NIST SP 800-63B-4, 3.2.2), which takes him
 * almost three months; then, or earlier if asked, a manager forgives.
 *
 * A holder who changes his password leaves two: the one of before, and the one that takes its place
 * when it is used for the first time. Until then either may be shown, and both have one count; what
 * of the change was lost on its way therefore locks nobody out.
 *
 *   entries (memo.h), neither under the name itself, which a manager chooses, and which could be
 *   somebody else's place in that file:
 *   of a name, under the first 16 bytes of SHA-256("cardbroker password guesses 1" 00 ‖ name):
 *   subject of the binding (16) ‖ u32 wrong in a row ‖ i64 time of the last, wall clock,
 *   microseconds ‖ zero (4)
 *   of a change, under the first 16 bytes of SHA-256("cardbroker password change 1" 00 ‖ name):
 *   subject of the binding of before (16) ‖ of the one that is to take its place (16)
 */
#ifndef CB_HSM_GUESSES_H
#define CB_HSM_GUESSES_H

#include "hsm/memo.h"

enum {
    CB_GUESSES_FREE = 5,
    CB_GUESSES_MOST = 100,
    CB_GUESSES_DELAY_S = 10,
    CB_GUESSES_DELAY_MAX_S = 86400
};

/* How long after the last of so many wrong ones in a row, in microseconds; -1: not again. */
int64_t cb_guesses_delay(uint32_t wrong);

/* A password was made: the count begins anew, and is that of this binding alone. Nothing if it is
 * already. For the manage lane only. CB_E_IO, CB_E_STORE_FULL, CB_E_HSM_RECORD. */
cb_error cb_guesses_begin(cb_memo *memo, const cb_id *password, const cb_id *subject);

/* A holder changed his password, from the one whose binding has this subject to another: CB_OK once
 * that is durable. CB_E_HSM_RECORD: it is not the one that counts, or damaged; CB_E_IO,
 * CB_E_STORE_FULL. */
cb_error cb_guesses_change(cb_memo *memo, const cb_id *password, const cb_id *from,
                           const cb_id *to);

/* Counts an attempt at now. *allowed: whether it may be looked at. subject is that of the binding
 * that is shown. CB_E_HSM_RECORD: another one took its place since; it changes nothing, or whoever
 * kept it could begin anew with it. CB_E_IO, CB_E_STORE_FULL, CB_E_HSM_RECORD (damaged). */
cb_error cb_guesses_take(cb_memo *memo, const cb_id *password, const cb_id *subject, int64_t now,
                         bool *allowed);

/* The attempt was right: the count begins anew, and of two the one that was shown is the password
 * from now on. Nothing if the count is another binding's. Errors as above. */
cb_error cb_guesses_right(cb_memo *memo, const cb_id *password, const cb_id *subject);

/* A manager lets it be tried again at once. Nothing if nothing is counted of it. */
cb_error cb_guesses_forgive(cb_memo *memo, const cb_id *password);

#endif
