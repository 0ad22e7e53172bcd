/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A login with a name and a password: a tap in which the terminal itself plays the card
 * (cardlink/password/password.h).
 */
#ifndef CB_CARDLINK_TERMINAL_LOGIN_H
#define CB_CARDLINK_TERMINAL_LOGIN_H

#include "cardlink/terminal/tap.h"

typedef struct cb_login_order {
    const char *name;  /* in the form of cb_password_name */
    cb_bytes password; /* borrowed */
    cb_bytes next;     /* the one to put in its place, for no service; empty: to log in. Borrowed */
    const char *service;
    const char *text; /* "": none */
} cb_login_order;

/* Returns CB_OK only for an accept; otherwise report->problem says why. No password is tried twice,
 * for each try may be one of few: a proof whose answer does not come is brought again as it is
 * (tap.h), and if it stays away nobody knows what came of it: CB_E_TAP_UNHEARD, and of a change
 * CB_E_PASSWORD_UNCERTAIN. */
cb_error cb_login_run(cb_relay *relay, const cb_login_order *order, cb_tap_report *report);

#endif
