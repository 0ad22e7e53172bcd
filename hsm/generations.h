/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which generations of the authority above brokers are retired: cards that know no newer one are
 * not served any more.
 *
 * hsmd itself remembers it, in a file that all workers share (memo.h): a manager retires, and
 * neither the front end nor an older configuration brings a generation back. Everything up to a
 * number is retired; the number never falls. It is that of one authority, which cards know by its
 * KID: another's generations begin at their own beginning.
 *
 *   entry: the first 16 bytes of SHA-256("cardbroker retired generation 2" 00 ‖ KID), so that it is
 * nobody else's in that file: the number (1) ‖ zero (31)
 */
#ifndef CB_HSM_GENERATIONS_H
#define CB_HSM_GENERATIONS_H

#include "hsm/memo.h"

/* Retires everything of an authority up to a version; a lower one than before changes nothing.
 * CB_E_IO, CB_E_STORE_FULL, CB_E_HSM_RECORD. */
cb_error cb_generations_retire(cb_memo *memo, uint8_t key_id, uint8_t version);

/* Up to which one everything of that authority is retired; 0: none is. Where that cannot be told
 * (memo NULL, or an error), all but the newest. */
uint8_t cb_generations_retired(const cb_memo *memo, uint8_t key_id, uint8_t newest);

#endif
