/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The requests that a broker gets, each with what must be there before.
 */
#ifndef CB_TESTS_FAULT_API_ACTS_H
#define CB_TESTS_FAULT_API_ACTS_H

#include "tests/fault/api_world.h"

typedef struct api_acts {
    api_world w;
    unsigned number; /* of things that were made */
    const char *method;
    char path[256];
    char body[API_BODY];
    cb_id holder, card, terminal, enrolment, key; /* made last */
    char service[8];
    char batch[32]; /* its manufacturer */
} api_acts;

typedef struct api_act {
    const char *name;
    void (*prepare)(api_acts *a); /* makes what is needed, and the request */
    int status;                   /* of the answer */
    unsigned runs;                /* about so many */
} api_act;

/* Each ends with a name that is NULL. */
extern const api_act api_act_table[];
extern const api_act api_life_table[]; /* of cards that nobody holds yet, applications, terminals */
extern const api_act api_rest_table[]; /* of codes, software, maintainers */

/* What acts are made of: a name that was not used yet; things, made last; the request itself. */
const char *act_fresh_name(api_acts *a);
void act_make_holder(api_acts *a);
void act_make_card(api_acts *a);
void act_change_card(api_acts *a, cb_card_act act);
void act_make_terminal(api_acts *a);
void act_make_user(api_acts *a); /* an active card, and a session of it at a terminal */
void act_request(api_acts *a, const char *method, const char *kind, const cb_id *id,
                 const char *act);
__attribute__((format(printf, 2, 3))) void act_body(api_acts *a, const char *format, ...);

void api_acts_make(api_acts *a);
void api_acts_ask(api_acts *a);

/* Of a terminal of which a start has taken something back nothing more is described before an
 * administrator has said all of it once more, as this does. False: the request is no such one. */
bool api_acts_confirm(api_acts *a);

#endif
