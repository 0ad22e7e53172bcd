/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A loaded plug-in: found by the path in the configuration, checked once, then only called.
 */
#ifndef CB_CONNECTORS_HOST_PLUGIN_H
#define CB_CONNECTORS_HOST_PLUGIN_H

#include "base/buf.h"
#include "connectors/include/cardbroker/connector.h"

typedef struct cb_plugin {
    const char *name; /* in the host's configuration; owned by the caller */
    const cardbroker_connector *table;
    const cardbroker_description *about;
    void *handle;
} cb_plugin;

/* Loads and checks one. name must be what it says of itself. CB_E_CONFIG, with a sentence in why.
 * Never unloaded: the process lives for it. */
cb_error cb_plugin_load(cb_plugin *plugin, const char *name, const char *path, cb_buf *why);

/* Checks tables that are already in memory, as cb_plugin_load does. */
cb_error cb_plugin_check(cb_plugin *plugin, const char *name, const cardbroker_connector *table,
                         cb_buf *why);

/* The description as JSON, for administrators:
 * {"name","title","version","kinds":[…],"algorithms":[…],"fields":[…]}. */
cb_error cb_plugin_describe(const cb_plugin *plugin, cb_buf *json);

#endif
