/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Proofs that failed a moment ago, which a renewal of their card may explain: its issuer has made a
 * key on it, and nobody has told the broker.
 *
 * Each is counted before it stands here (failures.h), so that whoever never renews, ends the tap or
 * ends the broker is counted like anybody; all that is lost then is that a count is taken back. Of
 * one card at one terminal the last stands here alone, for CB_TAP_EXPLAINED_FOR, and is taken once:
 * one renewal explains one failed proof. Of too many the oldest are forgotten.
 */
#ifndef CB_BROKER_CORE_TAP_UNEXPLAINED_H
#define CB_BROKER_CORE_TAP_UNEXPLAINED_H

#include "base/clock.h"
#include "broker/core/registry.h"

/* Until the renewal is asked for: as long as a tap lives. */
#define CB_TAP_EXPLAINED_FOR (60 * CB_SECOND)
enum { CB_TAP_UNEXPLAINED_MOST = 1024 };

typedef struct cb_tap_unexplained cb_tap_unexplained;

cb_error cb_tap_unexplained_open(cb_tap_unexplained **out);
void cb_tap_unexplained_close(cb_tap_unexplained **table);

void cb_tap_unexplained_put(cb_tap_unexplained *table, const cb_failed_proof *failed);

/* Whether that of this tap of this terminal stands here. */
bool cb_tap_unexplained_has(cb_tap_unexplained *table, const cb_id *tap, const cb_id *terminal);

/* Takes the one of a card at a terminal; without one, *out is all zero. */
void cb_tap_unexplained_take(cb_tap_unexplained *table, const cb_id *card, const cb_id *terminal,
                             cb_failed_proof *out);

#endif
