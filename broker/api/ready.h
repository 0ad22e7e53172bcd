/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether taps can succeed, of what the parts say of themselves.
 */
#ifndef CB_BROKER_API_READY_H
#define CB_BROKER_API_READY_H

#include "broker/api/watch.h"

/* What a tap would fail with now; CB_OK: with nothing that is known. */
cb_error cb_api_readiness(const cb_store_state *store, const cb_watch_view *view);

#endif
