/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the parts of the relay share: one exchange over the kept connection.
 */
#ifndef CB_CARDLINK_TERMINAL_RELAY_PARTS_H
#define CB_CARDLINK_TERMINAL_RELAY_PARTS_H

#include "cardlink/terminal/relay.h"

typedef struct cb_relay_request {
    const char *path;
    json_t *body;     /* NULL: GET. Owned by the caller */
    bool safe;        /* may be asked again */
    unsigned success; /* the status of a success */
} cb_relay_request;

/* Does it and reads the answer; *answer is NULL unless CB_OK is returned. */
cb_error cb_relay_exchange(cb_relay *relay, const cb_relay_request *what, json_t **answer,
                           cb_problem *problem);

bool cb_relay_maintains(const cb_relay *relay);

/* Whether the last exchange was tried twice, so that the broker may have heard it before. */
bool cb_relay_asked_again(const cb_relay *relay);

/* Whether it is UTF-8. */
bool cb_relay_is_text(const char *text);

#endif
