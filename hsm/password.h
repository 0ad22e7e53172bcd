/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Passwords, as hsmd believes them (cardlink/password/password.h has what goes before).
 *
 * A password's binding holds HMAC(record key, verifier ‖ identifier ‖ public key) instead of the
 * public key, and the salt is HMAC(record key, salt ‖ identifier). So the database alone is of no
 * use for guessing: for that somebody needs the salt, which hsmd gives for a tap, and either a
 * public key that was shown at a login, or hsmd, which counts (guesses.h).
 *
 * A name that nobody has is treated as one that somebody has: the same salt each time, the same
 * steps, the same answer.
 */
#ifndef CB_HSM_PASSWORD_H
#define CB_HSM_PASSWORD_H

#include "hsm/taps.h"

/* How many a worker looks at: what is more is held back. */
#define CB_PASSWORD_RATE ((cb_brake_rate){.each_us = 20000, .burst = 100})

/* The MAC of a public key, for a binding. */
cb_error cb_password_verifier(const cb_vault *vault, const cb_id *password,
                              const uint8_t point[CB_P256_POINT], cb_digest *out);

/* Whether the claim of a tap is right by this binding (empty: there is no such name). Counts as a
 * guess. CB_E_PASSWORD_WRONG, CB_E_PASSWORD_DELAYED, CB_E_HSM_RECORD, CB_E_BUSY, CB_E_HSM_TOKEN;
 * CB_E_IO when the file of guesses cannot be used. */
cb_error cb_password_believe(cb_taps *taps, const cb_tap *tap, cb_bytes blob,
                             cb_binding_info *binding);

/* What a tap's holder puts in the place of his password (CB_TAP_PASSWORD_CHANGE), over the proof of
 * that one, which counts as a guess. The new one counts from its first use on, and until then the
 * old one does: hsm/guesses.h. In the place of cb_tap_activate; *out is to be bound. As
 * cb_password_believe and cb_tap_activate, and CB_E_PASSWORD_OVER, CB_E_PASSWORD_USED. */
cb_error cb_password_change(cb_taps *taps, cb_tap *tap, cb_bytes blob, const cb_feed_head *feed,
                            cb_binding_info *out);

/* Whether a password that somebody else gave may still be changed: CB_E_PASSWORD_OVER. */
cb_error cb_password_in_time(const cb_binding_info *binding);

#endif
