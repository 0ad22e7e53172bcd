/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that others issued, for the world: a PIV, a JPKI and an SCP03 card. They are no memory of
 * the broker's: no fault strikes where they are made.
 */
#ifndef CB_TESTS_FAULT_API_FOREIGN_H
#define CB_TESTS_FAULT_API_FOREIGN_H

#include "foreign_cards.h"
#include "tests/fault/api_world.h"

enum { API_PIV = 0, API_JPKI, API_SCP03, API_FOREIGN_CARDS, API_FOREIGN_KEYS = 2 };

typedef struct api_foreign {
    const char *profile;
    uint8_t id, level;
    const char *service, *pin; /* a service that asks for that level */
    cb_vcard *card;
    unsigned keys;
    uint8_t use[API_FOREIGN_KEYS];
    cb_bytes certificate[API_FOREIGN_KEYS];
} api_foreign;

extern api_foreign api_foreign_cards[API_FOREIGN_CARDS];

/* The cards and who issued them; and the world in which these are trusted, in which service "vip"
 * asks for a PIN, and which is open with all of them registered. */
void api_foreign_make(void);
void api_foreign_free(void);
void api_foreign_world(api_world *w);

/* From now on this one lies on the reader. */
void api_foreign_lay_down(api_world *w, api_foreign *card);

/* A tap of it begins, as by api_begin. */
void api_foreign_begin(api_world *w);

#endif
