/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/places.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A service at which logins are under way. There are never more of them than workers, so that a
 * list will do. */
struct service {
    struct service *next;
    char name[CB_SERVICE_NAME_MAX + 1];
    unsigned taken;
};

struct cb_places {
    pthread_mutex_t lock;
    unsigned each;
    struct service *services;
};

cb_error cb_places_open(unsigned each, cb_places **out)
{
    cb_places *places = calloc(1, sizeof *places);
    *out = places;
    if (!places)
        return CB_E_MEMORY;
    places->each = each > 0 ? each : 1;
    pthread_mutex_init(&places->lock, NULL);
    return CB_OK;
}

void cb_places_close(cb_places **places)
{
    if (!*places)
        return;
    for (struct service *at = (*places)->services, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    pthread_mutex_destroy(&(*places)->lock);
    free(*places);
    *places = NULL;
}

static struct service **find(cb_places *places, const char *name)
{
    struct service **at = &places->services;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static cb_error add(struct service **at, const char *name)
{
    struct service *made = calloc(1, sizeof *made);
    if (!made)
        return CB_E_MEMORY;
    strncpy(made->name, name, CB_SERVICE_NAME_MAX);
    *at = made;
    return CB_OK;
}

cb_error cb_places_take(cb_places *places, const char *name)
{
    cb_error error = CB_OK;
    pthread_mutex_lock(&places->lock);
    struct service **at = find(places, name);
    if (!*at)
        error = add(at, name);
    else if ((*at)->taken >= places->each)
        error = CB_E_SERVICE_BUSY;
    if (!error)
        (*at)->taken++;
    pthread_mutex_unlock(&places->lock);
    return error;
}

void cb_places_give_back(cb_places *places, const char *name)
{
    pthread_mutex_lock(&places->lock);
    struct service **at = find(places, name);
    if (*at && --(*at)->taken == 0) {
        struct service *gone = *at;
        *at = gone->next;
        free(gone);
    }
    pthread_mutex_unlock(&places->lock);
}

cb_error cb_places_look(cb_places *places, const char *name)
{
    pthread_mutex_lock(&places->lock);
    struct service *service = *find(places, name);
    bool full = service && service->taken >= places->each;
    pthread_mutex_unlock(&places->lock);
    return full ? CB_E_SERVICE_BUSY : CB_OK;
}
