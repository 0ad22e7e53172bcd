/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Scripts and answers of taps, as JSON has them.
 */
#ifndef CB_BROKER_API_TAPS_H
#define CB_BROKER_API_TAPS_H

#include "broker/http/request.h"

/* A script, encoded as in cardlink/script.h. NULL: no memory. */
json_t *cb_api_script_json(cb_bytes encoded);

/* A list of answers, likewise; what is wrong with it is said in the reply. */
cb_error cb_api_read_answers(cb_reply *reply, const json_t *list, cb_buf *out);

#endif
