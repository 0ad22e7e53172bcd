/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How many logins at one service may be under way: a service that stands still holds so many
 * workers and no more, and the taps for all other services go on.
 */
#ifndef CB_BROKER_CORE_PLACES_H
#define CB_BROKER_CORE_PLACES_H

#include "cardlink/context.h"

typedef struct cb_places cb_places;

/* each: logins at a time at one service, at least 1. */
cb_error cb_places_open(unsigned each, cb_places **out);
void cb_places_close(cb_places **places);

/* Takes a place; CB_E_SERVICE_BUSY when all of the service's are taken. Each CB_OK is given back
 * once. */
cb_error cb_places_take(cb_places *places, const char *service);
void cb_places_give_back(cb_places *places, const char *service);

/* Whether a place could be taken now: CB_OK or CB_E_SERVICE_BUSY. */
cb_error cb_places_look(cb_places *places, const char *service);

#endif
