/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the terminal and the broker say to each other, as JSON. What comes from the broker is
 * outside data: every member is checked for kind, size and number before it is used, and more
 * commands than a script may have are refused.
 */
#ifndef CB_CARDLINK_TERMINAL_RELAY_JSON_H
#define CB_CARDLINK_TERMINAL_RELAY_JSON_H

#include "cardlink/terminal/relay.h"

/* Has jansson wipe what it lets go of, results above all. Before jansson is used. */
void cb_json_wipe_always(void);

/* Reads a body: one object, no member twice, at most CB_RELAY_BODY_MAX bytes. *out is NULL unless
 * CB_OK is returned: CB_E_PROTOCOL, CB_E_MEMORY. */
cb_error cb_json_read(cb_bytes body, json_t **out);

/* Appends an object as text, whole or not at all. CB_E_MEMORY, CB_E_TOO_LARGE. */
cb_error cb_json_write(const json_t *root, cb_buf *out);

/* {"tap", "script", "expires_in"} for a begun tap; without tap for a challenge, whose tap keeps its
 * name. now is monotonic. CB_E_PROTOCOL; then the tap is as it was. */
cb_error cb_json_read_begun(const json_t *root, bool first, int64_t now, cb_relay_tap *tap);

/* A new array of hexadecimal strings, of encoded answers; NULL: no memory, or not answers. */
json_t *cb_json_answers(cb_bytes encoded);

/* Whether it is the result of an accepted tap: outcome "accepted", and a delivery, if any, that is
 * an object. */
bool cb_json_accepted(const json_t *root);

/* {"number", "hash"} of what the broker has of the terminal's log. CB_E_PROTOCOL. */
cb_error cb_json_read_head(const json_t *root, cb_journal_head *head);

/* Whether it says that a card's certificates were renewed: outcome "renewed". */
bool cb_json_renewed(const json_t *root);

/* Whether it says that a card was registered: outcome "registered", and a card and holder. */
bool cb_json_registered(const json_t *root);

/* Whether it says that a card was ended. */
bool cb_json_card_ended(const json_t *root);

#endif
