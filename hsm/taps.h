/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The taps of one worker: a bounded table, in memory only.
 *
 *   begin → challenge → finish → activate → open key → use … → (ended)
 *
 * A tap's identifier names the worker (first byte) and the place in the table (next two), and is
 * otherwise random. A tap ends with its last use, at its time, at any error that is not explicitly
 * harmless, when it is ended, or with the worker; then everything of it is wiped. Time is
 * monotonic: from begin 30 s to the challenge, 60 s in all.
 */
#ifndef CB_HSM_TAPS_H
#define CB_HSM_TAPS_H

#include "hsm/brake.h"
#include "hsm/feed.h"
#include "hsm/host.h"
#include "hsm/memo.h"
#include "hsm/vault.h"

enum { CB_TAPS_MAX = 65535, CB_TAP_PREFETCH_SECONDS = 30, CB_TAP_SECONDS = 60 };

/* One bit each, so that a request can name the states in which it is legal. */
typedef enum cb_tap_state {
    CB_TAP_FREE = 0,
    CB_TAP_BEGUN = 1 << 0,
    CB_TAP_CHALLENGED = 1 << 1,
    CB_TAP_FINISHED = 1 << 2,
    CB_TAP_ACTIVE = 1 << 3,
    CB_TAP_OPEN = 1 << 4,
    CB_TAP_EXPIRED = 1 << 5 /* wiped; only its identifier is left, to answer CB_E_TAP_EXPIRED */
} cb_tap_state;

typedef struct cb_tap {
    cb_id id;
    uint8_t state; /* cb_tap_state */
    int64_t begun; /* monotonic */
    cb_id terminal;
    const cb_card_profile *profile;
    void *profile_state;
    cb_host *host;
    cb_tap_context context; /* from the challenge on */
    cb_id asked;            /* cb_binding_subject of what the card was asked with, likewise; zero: none */
    cb_card_claim claim;    /* from finish on */
    cb_activation activation;
    cb_id binding;      /* cb_binding_subject, from activate on */
    cb_sealed_info key; /* from open_key on */
    cb_buf sealed;
    uint8_t uses_left;
    struct cb_registering *registering; /* of a tap that binds its card (registering.h); or NULL */
    struct cb_renewing *renewing;       /* of one that renews what it is bound with (renewing.h); or NULL */
} cb_tap;

typedef struct cb_taps_setup {
    uint8_t worker;
    uint16_t capacity;     /* at least 1 */
    uint64_t most;         /* taps in all, after which a quiet moment is looked for; 0: no end */
    int64_t prefetch_us;   /* until the challenge */
    int64_t lifetime_us;   /* from begin to the last use */
    const cb_vault *vault; /* kept */
    cb_feed *feed;         /* kept */
    cb_memo *guesses;      /* kept; NULL: no password is believed */
    cb_memo *bound;        /* kept; NULL: no card is bound in a tap */
    const cb_card_profile *(*profile_find)(uint8_t id);
} cb_taps_setup;

typedef struct cb_taps {
    cb_taps_setup setup;
    cb_tap *tap;
    uint16_t *free_place; /* a stack */
    size_t free_count;
    size_t oldest_expired; /* where to look for an expired place next */
    cb_id boot;
    uint64_t receipts; /* made in this boot */
    uint64_t begun;    /* likewise */
    cb_brake passwords;
    cb_brake codes; /* wrong ones, of registrations */
} cb_taps;

cb_error cb_taps_new(const cb_taps_setup *setup, cb_taps **out);

/* Wipes every tap. */
void cb_taps_free(cb_taps **taps);

/* Whether setup.most taps were begun; and a tenth more: then none is begun any more. */
bool cb_taps_worn(const cb_taps *taps);
bool cb_taps_worn_out(const cb_taps *taps);

/* Whether any tap is between its challenge and its end, or was begun since. */
bool cb_taps_under_way(const cb_taps *taps, int64_t since);

/* A new tap in state BEGUN, which holds host. CB_E_BUSY when the table is full or worn,
 * CB_E_ARGUMENT for an unknown profile, CB_E_MEMORY. */
cb_error cb_taps_add(cb_taps *taps, cb_host *host, uint8_t profile, const cb_id *terminal,
                     cb_tap **out);

/* Finds a tap that is in one of the states. CB_E_TAP_UNKNOWN, CB_E_TAP_EXPIRED; CB_E_TAP_ORDER,
 * which ends the tap. */
cb_error cb_taps_enter(cb_taps *taps, const cb_id *id, unsigned states, cb_tap **out);

/* Ends and wipes a tap. */
void cb_taps_end(cb_taps *taps, cb_tap *tap);

/* Wipes taps whose time is over. Called about once a second. */
void cb_taps_sweep(cb_taps *taps);

/* How many are neither free nor expired. */
size_t cb_taps_live(const cb_taps *taps);

#endif
