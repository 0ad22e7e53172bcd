/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The agent: serves cards on all readers until it is stopped.
 *
 * One thread watches which readers there are and starts a thread for each; that one has its own
 * readers handle and its own connection to the broker, waits for a card, does the tap and waits for
 * the card to go. While it waits it holds one first script, so that after contact two exchanges
 * with the broker are left; it is fetched anew before it expires, but not for longer than
 * prefetch_for without a card (a broker is not to be kept busy by terminals that nobody uses). Each
 * card is served once: it must be taken away before another tap.
 *
 * A broker out of reach is asked again after 1, 2, 4 … at most 30 s, or when it said. A reader that
 * hangs is left alone for 30 s; after eight such the agent ends with CB_E_READER, since each has
 * cost a thread.
 */
#ifndef CB_CARDLINK_TERMINAL_AGENT_H
#define CB_CARDLINK_TERMINAL_AGENT_H

#include <stdatomic.h>

#include "cardlink/terminal/config.h"
#include "cardlink/terminal/output.h"

typedef struct cb_agent_order {
    const cb_terminal_config *config;
    const char *service; /* for all readers, instead of the configuration's; NULL: none given */
    const char *text;    /* likewise */
    const char *reader;  /* only this one; NULL: all */
    cb_output *output;
    atomic_bool *stop; /* set from outside, also by a signal handler */
} cb_agent_order;

/* Returns when *stop is set (CB_OK, within about the broker's time limit), CB_E_READER,
 * CB_E_MEMORY, or CB_E_TERMINAL_DISPOSED as soon as the broker says so, or
 * CB_E_TERMINAL_TAMPERED when the housing was opened. */
cb_error cb_agent_run(const cb_agent_order *order);

#endif
