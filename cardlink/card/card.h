/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card, in software: some applications (applet.h) behind one contact. For tests, benchmarks,
 * demonstrations, and as an example for whoever writes such an application for a chip.
 * docs/virtual-card.md says which applications there are.
 *
 * A card has states that last (content.h) and a session that ends with the power. It takes one
 * command and gives one answer; there is no command that it does not answer, and none that ends the
 * program.
 */
#ifndef CB_CARDLINK_CARD_CARD_H
#define CB_CARDLINK_CARD_CARD_H

#include "cardlink/card/content.h"
#include "cardlink/card/native/state.h"

typedef struct cb_vcard cb_vcard;

/* What a card with the native application says when it gets power, unless its file says otherwise:
 * T=1, contactless convention, issuer's data "CBCARD1". */
extern const uint8_t cb_vcard_atr[14];

/* Where the states are kept. save returns when they are durable (cb_vcard_put gives what a file
 * would hold); after an error the card is mute until it is reset. */
typedef struct cb_vcard_store {
    void *context;
    cb_error (*save)(void *context, const cb_vcard *card);
} cb_vcard_store;

/* A card whose states are in a file. No two programs can hold the same one: path.lock is locked
 * meanwhile (CB_E_BUSY). Otherwise as cb_card_file_read and cb_vcard_of. */
cb_error cb_vcard_open(const char *path, cb_vcard **out);

/* A card with a file's content. Without a store (NULL), nothing outlives the card. CB_E_FORMAT for
 * a state that its application does not take, CB_E_MEMORY. */
cb_error cb_vcard_of(const cb_card_content *content, const cb_vcard_store *store, cb_vcard **out);

/* A card with the native application alone, and a copy of its state. */
cb_error cb_vcard_make(const cb_vcard_state *state, const cb_vcard_store *store, cb_vcard **out);

/* Wipes and frees. */
void cb_vcard_close(cb_vcard **card);

/* On which of its interfaces the card is used, if it tells them apart: contactless, or with
 * contacts, as at first. To be said while it has no power. */
void cb_vcard_set_contactless(cb_vcard *card, bool contactless);

/* Takes the power away and gives it back: the sessions are forgotten. */
void cb_vcard_reset(cb_vcard *card);

/* Carries out one command and appends its answer (data, SW1 SW2; at most 258 bytes) to an empty
 * buffer. */
void cb_vcard_process(cb_vcard *card, cb_bytes command, cb_buf *answer);

/* What it says when it gets power. Borrowed. */
cb_bytes cb_vcard_atr_of(const cb_vcard *card);

/* The identity that its first application with one gives it; false: it has none. */
bool cb_vcard_identity(const cb_vcard *card, cb_id *out);

/* Appends what anybody may know about its applications, as lines. */
void cb_vcard_show(const cb_vcard *card, cb_buf *text);

/* Appends what its file holds. */
void cb_vcard_put(const cb_vcard *card, cb_buf *file);

/* The instance of an application (what its load made), or NULL. For tests. */
void *cb_vcard_applet(const cb_vcard *card, const cb_applet *applet);

/* The native application's state as it is now; NULL: the card does not have it. Borrowed; for
 * tests. */
const cb_vcard_state *cb_vcard_state_of(const cb_vcard *card);

#endif
