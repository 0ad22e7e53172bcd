/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What managers allowed the holders of one-time codes: to bind one card each, without an operator
 * at the reader (cardlink/registration.h, S3-7).
 *
 * hsmd keeps it in a file that all workers share (memo.h). A code is used for one card with its
 * keys, durably, before the binding leaves hsmd; for that same card with those same keys it may be
 * used again until its time is over, since what was answered may never have been recorded. It never
 * becomes good for another card. A restart, and two terminals at a time, change nothing about that.
 *
 *   entry: the first 16 bytes of SHA-256("cardbroker registration grant 1" 00 ‖ code), so that it
 * is nobody else's in that file: holder (16) ‖ u32 its end, seconds since 1970 ‖ u8 profiles, a bit
 * for each (1 << cb_profile_id) ‖ u8 highest level ‖ u8 state ‖ u8 wrong tries ‖ zero (8)
 *   another, under the first 16 bytes of SHA-256("cardbroker registration use 1" 00 ‖ code): the
 * binding's digest (cb_binding_digest), whole, for who has the code can choose much of what is in
 * it. It is written before the state, and never again: a crash between the two leaves a code that
 * is open for this one binding alone
 */
#ifndef CB_HSM_REGISTRATION_H
#define CB_HSM_REGISTRATION_H

#include "hsm/client.h"
#include "hsm/memo.h"

/* Makes one good for its code. CB_E_EXISTS (the code is known already), CB_E_ARGUMENT, CB_E_IO,
 * CB_E_STORE_FULL, CB_E_HSM_RECORD. */
cb_error cb_registration_allow(cb_memo *memo, const cb_id *code,
                               const cb_registration_grant *grant);

/* What is remembered of a code. CB_E_NOT_FOUND and others as above. */
cb_error cb_registration_get(const cb_memo *memo, const cb_id *code, cb_registration_grant *out);

/* Whether a code is good at now (wall clock, microseconds) for a binding of this digest:
 * CB_E_REGISTRATION_CODE (there is none such), _USED, _LAPSED, _WITHDRAWN, _TRIED; others as above.
 */
cb_error cb_registration_look(const cb_memo *memo, const cb_id *code, int64_t now,
                              const cb_digest *binding, cb_registration_grant *out);

/* The same, and uses it for that binding, for good. */
cb_error cb_registration_take(cb_memo *memo, const cb_id *code, int64_t now,
                              const cb_digest *binding);

/* Counts a word that names the code and was not made with it. */
cb_error cb_registration_wrong(cb_memo *memo, const cb_id *code);

/* Ends one for good. CB_E_NOT_FOUND; CB_E_STATE: it was used. Withdrawn ones may be withdrawn
 * again. */
cb_error cb_registration_withdraw(cb_memo *memo, const cb_id *code);

#endif
