/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The structured log: one JSON object a line on standard error.
 *
 *   {"time":"…","level":"info","program":"cardbrokerd","pid":7,"request":"…","event":"tap.accepted",
 *    "message":"…","card":"…"}
 *
 * event is stable and for programs; message is for people. The request identifier is set per thread
 * when a request or message arrives, and travels in every message between processes, so that one tap
 * can be followed through all of them. Never pass a secret. Thread-safe; a line is one write(2).
 */
#ifndef CB_BASE_LOG_H
#define CB_BASE_LOG_H

#include "base/error.h"
#include "base/id.h"

typedef enum cb_log_level {
    CB_LOG_DEBUG,
    CB_LOG_INFO,
    CB_LOG_WARNING,
    CB_LOG_ERROR
} cb_log_level;

/* program is kept, not copied. Lines below the level are dropped. */
void cb_log_init(const char *program, cb_log_level least);

/* "debug", "info", "warning", "error"; CB_E_ARGUMENT otherwise. */
cb_error cb_log_level_parse(const char *text, cb_log_level *out);

/* The request that this thread works for; NULL for none. Copied. */
void cb_log_set_request(const cb_id *request);
const cb_id *cb_log_request(void);

/* Logs an event. After message come pairs of strings, name and value, ended by NULL; a NULL value
 * is left out. */
void cb_log(cb_log_level level, const char *event, const char *message, ...)
    __attribute__((sentinel));

/* Logs that something failed with an error; adds its code. Returns the error, so that it can be used in
 * a return statement. detail may be NULL and must hold no secret. */
cb_error cb_log_failure(const char *event, cb_error error, const char *detail);

#endif
