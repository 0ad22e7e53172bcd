/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading a card that somebody else issued, so that it can be registered: what it is known by, and
 * the certificates of its keys. All of it is readable by anybody who holds the card; no PIN is
 * asked for. Certificates that the card keeps compressed are made whole here.
 *
 *   {"profile": name, "answers": [hex, …], "certificates": [{"use": number, "der": hex}, …]}
 *
 * The certificate of a PIV card's key for secure messaging is among the answers; under its use, 4,
 * is that of who signed it, and behind this the intermediate one, if the card has one.
 */
#ifndef CB_CARDLINK_TERMINAL_SURVEY_H
#define CB_CARDLINK_TERMINAL_SURVEY_H

#include <jansson.h>

#include "cardlink/terminal/config.h"
#include "cardlink/terminal/play.h"

/* What was read of a card's keys. */
typedef struct cb_survey_keys {
    size_t count;
    struct {
        uint8_t use;
        cb_buf der;
    } key[CB_CARD_KEYS_MAX];
} cb_survey_keys;

void cb_survey_keys_init(cb_survey_keys *keys);
void cb_survey_keys_free(cb_survey_keys *keys);

/* Reads the certificates of a card whose answers to the profile's first script are there: none of a
 * profile whose cards have none. Errors as below. */
cb_error cb_survey_read(const cb_card_io *io, const cb_card_profile *profile, cb_bytes first,
                        cb_survey_keys *keys);

/* Reads the card behind io, of the first profile in the order that it has and that can be
 * registered. *out is the caller's. CB_E_CARD_FOREIGN (none of these profiles),
 * CB_E_CARD_CERTIFICATE (not one certificate), CB_E_CARD_ANSWER, CB_E_CARD_STATUS, and what cb_play
 * returns. */
cb_error cb_survey(const cb_card_io *io, const cb_profile_order *order, json_t **out);

#endif
