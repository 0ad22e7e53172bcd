/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is known of foreign cards' issuers, for status.c. Everything takes NULL: none is configured.
 */
#ifndef CB_BROKER_API_ISSUERS_H
#define CB_BROKER_API_ISSUERS_H

#include <jansson.h>

#include "broker/status/status.h"

/* An array with an object for each list; NULL for want of memory. */
json_t *cb_issuers_json(cb_status *status);

/* Appends metrics; nothing when no issuer is configured. */
void cb_issuers_metrics(cb_status *status, cb_buf *out);

#endif
