/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a card has the application of a profile: it is selected. The broker's first scripts begin
 * with the same command; it is not sent again where the card was sent nothing since (play.h), so
 * looking costs no command, and a tap is begun at the broker only when it is known which.
 */
#ifndef CB_CARDLINK_TERMINAL_APPLICATION_H
#define CB_CARDLINK_TERMINAL_APPLICATION_H

#include "cardlink/profile.h"
#include "cardlink/terminal/play.h"

/* What was selected last. */
typedef struct cb_application {
    cb_bytes command; /* the profile's; empty: not known */
    cb_buf answer;    /* the whole of it */
} cb_application;

void cb_application_init(cb_application *last);

/* Also when the card is sent something else, or given back. */
void cb_application_forget(cb_application *last);

/* Sends the command; *status: the card's. What cb_play returns. */
cb_error cb_application_select(const cb_card_io *io, const cb_card_profile *profile,
                               cb_application *last, uint16_t *status);

/* For a script that is played next, as long as last is there unchanged. */
void cb_application_spare(const cb_application *last, cb_card_io *io);

#endif
