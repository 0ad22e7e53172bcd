/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Opens TCP connections for login processes, which cannot.
 *
 * A login's process, before it gives up its rights, registers a channel together with the origins
 * that the service's configuration names. Afterwards it can ask on that channel for a connection to
 * one of these, by number, and gets an open socket: no name and no address ever comes from the
 * sandboxed side.
 */
#ifndef CB_CONNECTORS_HOST_OPENER_H
#define CB_CONNECTORS_HOST_OPENER_H

#include "connectors/host/fields.h"

/* The opener's process: serves registrations that arrive on a packet socket until it closes.
 * Returns an exit status. */
int cb_opener_main(int registrations);

/* Registers the origins; *channel is a packet socket to ask on. */
cb_error cb_opener_register(int registrations, const cb_origin *origins, size_t count,
                            int *channel);

/* Asks for a connection to origins[index]. CB_E_SERVICE_DOWN, CB_E_SERVICE_SLOW, CB_E_BUSY,
 * CB_E_CONNECTOR_DOWN. */
cb_error cb_opener_connect(int channel, unsigned index, int64_t deadline, int *out);

#endif
