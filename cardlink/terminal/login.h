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

/* Returns CB_OK only for an accept; otherwise report->problem says why. Nothing is tried twice:
 * each try may be one of few. */
cb_error cb_login_run(cb_relay *relay, const cb_login_order *order, cb_tap_report *report);

#endif
