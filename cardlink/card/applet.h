/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a card's application is to the card.
 *
 * A card holds several applications, each with an identifier (AID), a state that lasts, and a
 * session that ends with the power or when another application is selected. The card (card.h) finds
 * the one that a SELECT means, hands it every command until the next SELECT, and makes the states
 * of all of them durable together. An application is a constant table of functions; applets.c lists
 * them all.
 *
 * SELECT by AID comes to the application that it means as any other command does, after the session
 * of the one selected before has ended. A SELECT that means none, and whatever else comes, goes to
 * the one that is selected; after a reset that is the card's first.
 */
#ifndef CB_CARDLINK_CARD_APPLET_H
#define CB_CARDLINK_CARD_APPLET_H

#include "base/id.h"
#include "cardlink/apdu.h"

struct cb_vcard;

enum {
    CB_CARD_ANSWER_MAX = 16 * 1024, /* of one application, before it is cut for the wire */
    CB_CARD_APPLETS_MAX = 8,        /* of one card */
    CB_CARD_STATE_MAX = 64 * 1024   /* of one application */
};

typedef struct cb_applet {
    const char *name; /* in card files and messages; never changes */
    cb_bytes aid;
    size_t aid_min; /* so many of its first bytes are enough in a SELECT; at least 1 */

    /* Most data bytes of one command, when it may come as a chain of commands (bit 10 of CLA;
     * ISO/IEC 7816-4, 5.3.3). The application then gets it whole, and its answers leave in parts:
     * as much as Le asks for, the rest by GET RESPONSE (61xx). 0: it sees CLA as it comes, and its
     * answers leave whole (at most 258 bytes). */
    size_t command_max;

    /* With command_max 0: of the data of an answer only as much leaves as Le asks for, and the rest
     * is for another command to fetch (READ BINARY at another offset). */
    bool cuts;

    /* A new instance with a state that save wrote; the application keeps card to call
     * cb_vcard_save. CB_E_FORMAT, CB_E_MEMORY. */
    cb_error (*load)(struct cb_vcard *card, cb_bytes state, void **out);

    /* Appends its state; a buffer that fails says so. */
    void (*save)(const void *self, cb_buf *out);

    /* Ends the session: power, reset, or another application was selected. */
    void (*reset)(void *self);

    /* Carries out one command and appends its answer to an empty buffer: data, SW1 SW2 (see
     * cb_applet_answer). */
    void (*process)(void *self, const cb_apdu *apdu, cb_buf *answer);

    /* Something came that is no command, or whose chain is too long: returns the status word for
     * it. cla is its first byte, or 0. NULL: 6700. */
    uint16_t (*malformed)(void *self, uint8_t cla);

    /* The identity that the card is known by in this application; false: it has none. NULL: none.
     */
    bool (*identity)(const void *self, cb_id *out);

    /* Appends lines of what anybody may know about it, for cardlink-vcard --show. */
    void (*show)(const void *self, cb_buf *text);

    /* Wipes and frees. */
    void (*free)(void *self);
} cb_applet;

/* All applications there are, ended by NULL; the one of a name, or NULL. */
extern const cb_applet *const cb_applets[];
const cb_applet *cb_applet_named(cb_bytes name);

/* Ends an answer with its status word. Without 9000 there is no data, and data that did not fit is
 * no success. */
void cb_applet_answer(cb_buf *answer, uint16_t status);

/* Whether the card lies on a contactless reader. */
bool cb_vcard_is_contactless(const struct cb_vcard *card);

/* Makes the states of all the card's applications durable. False: that failed, and from this
 * command's answer on, which must be 6581, the card is mute until it is reset. */
bool cb_vcard_save(struct cb_vcard *card);

#endif
