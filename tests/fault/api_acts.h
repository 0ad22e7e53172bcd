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
} api_acts;

typedef struct api_act {
    const char *name;
    void (*prepare)(api_acts *a); /* makes what is needed, and the request */
    int status;                   /* of the answer */
    unsigned runs;                /* about so many */
} api_act;

extern const api_act api_act_table[]; /* ends with a name that is NULL */

void api_acts_make(api_acts *a);
void api_acts_ask(api_acts *a);

#endif
