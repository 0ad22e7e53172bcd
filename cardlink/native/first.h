/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The first script of a native tap: SELECT, the card's batch certificate, the broker's certificate,
 * MUTUAL AUTHENTICATE.
 *
 * It is made before anything is known of the card, and fits cards of each generation that is
 * accepted: the card's answer to SELECT says which one it has, and the terminal plays what is for
 * that one (CB_SCRIPT_WHEN). A card that does not have the newest yet gets, as the one command
 * more, the link certificate to a newer one; what comes of that does not matter to this tap. Where
 * one generation is accepted, nothing in the script depends on the card.
 */
#ifndef CB_CARDLINK_NATIVE_FIRST_H
#define CB_CARDLINK_NATIVE_FIRST_H

#include "cardlink/native/channel.h"
#include "cardlink/profile.h"

/* What the broker is for cards of one generation. */
typedef struct cb_generation {
    void *keys; /* for the host's agree and sign */
    uint8_t version;
    cb_bytes agreement;
    cb_bytes signer;
    cb_bytes link; /* from this one to a newer one; empty: none */
} cb_generation;

/* The script. retired: generations up to that one are not accepted. CB_E_CONFIG when a certificate
 * is missing, CB_E_HSM_DOWN when the newest generation is retired. */
cb_error cb_native_first_put(const cb_profile_host *host, uint8_t retired,
                             const uint8_t data[CB_CHANNEL_DATA], cb_buf *script);

enum { CB_NATIVE_STORE_ANSWER = 1 }; /* place of the answer to GET DATA */

/* What the answers come to. */
typedef struct cb_native_first {
    cb_generation used; /* that the card took */
    bool tells;         /* the card says in its answer to SELECT which generation it has */
    cb_bytes mutual;    /* answer to MUTUAL AUTHENTICATE */
} cb_native_first;

/* Reads the answers to the script that was made with the same host and number. Fails unless every
 * command that counts was answered with 9000: CB_E_CARD_ANSWER, CB_E_CARD_REMOVED,
 * CB_E_CARD_BLOCKED, CB_E_CARD_EXPIRED, CB_E_CARD_FOREIGN, CB_E_CARD_STATUS; CB_E_CARD_GENERATION
 * for a card that knows none of the generations that are accepted, or one that host.retired has
 * reached since. No failure is authentic: this chooses words, nothing else. */
cb_error cb_native_first_read(const cb_profile_host *host, uint8_t retired,
                              const cb_script *answers, cb_native_first *out);

#endif
