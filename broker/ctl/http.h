/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking cardbrokerd: HTTP over the administration socket, JSON both ways.
 *
 * A question takes at most 5 seconds to connect and 30 to be answered, and an answer is at most 16
 * MiB. Nothing is asked twice: whether a question whose answer was lost has been acted upon is the
 * administrator's to look up.
 */
#ifndef CB_BROKER_CTL_HTTP_H
#define CB_BROKER_CTL_HTTP_H

#include "broker/ctl/ctl.h"

enum { CB_CTL_ANSWER_MAX = 16 * 1024 * 1024, CB_CTL_PATH_MAX = 2048 };

typedef struct cb_ctl_answer {
    long status;  /* HTTP's; 0: none came */
    json_t *body; /* NULL: none */
} cb_ctl_answer;

void cb_ctl_answer_free(cb_ctl_answer *answer);

/* Asks, and gives whatever answer came. Only when none came, or none that can be read, it says so
 * and returns something other than CB_CTL_DONE. body may be NULL; it is borrowed. */
cb_ctl_status cb_ctl_ask(cb_ctl *ctl, const char *method, const char *path, const json_t *body,
                         cb_ctl_answer *answer);

/* Says on standard error why an answer is not a success. */
cb_ctl_status cb_ctl_problem(cb_ctl *ctl, const cb_ctl_answer *answer);

/* Asks for something that has to succeed; says why it did not. *out (which may be NULL) is owned by
 * the caller: an object, or NULL when the answer had no body. */
cb_ctl_status cb_ctl_call(cb_ctl *ctl, const char *method, const char *path, const json_t *body,
                          json_t **out);

/* Walks a list page by page ("after" and "limit" are added to the path) and calls each with every
 * object of the array "list". each returns something other than CB_CTL_DONE to stop, which is
 * returned. */
cb_ctl_status cb_ctl_walk(cb_ctl *ctl, const char *path, const char *list,
                          cb_ctl_status (*each)(void *context, json_t *item), void *context);

/* The whole list as an array owned by the caller, at most max objects (0: no limit). */
cb_ctl_status cb_ctl_collect(cb_ctl *ctl, const char *path, const char *list, size_t max,
                             json_t **out);

/* Appends a path: in the template each %s is replaced by the next string, escaped for a URL. */
void cb_ctl_path(cb_buf *out, const char *format, ...);

void cb_ctl_http_close(cb_ctl_http **http);

#endif
