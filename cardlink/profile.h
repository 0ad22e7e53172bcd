/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Card profiles, seen from the broker's end: the table that each kind of card fills in.
 *
 * hsmd drives a tap through three calls. Between them lie exchanges with the terminal, which relays
 * scripts (script.h) to the card and brings the answers back:
 *
 *   begin      → first script; depends on nothing the card says and not on what the tap is for, so that a terminal
 *                may hold it in advance
 *   challenge  first answers, and what the tap is for → second script; ends with the command that asks for the proof
 *   finish     second answers → the card's claim: who it says it is, and its signature
 *
 * The claim is worth nothing until cb_profile_verify has checked it with the public key of the card's binding.
 * A profile keeps its state in memory that the caller provides (state_size bytes, zeroed, wiped by end).
 */
#ifndef CB_CARDLINK_PROFILE_H
#define CB_CARDLINK_PROFILE_H

#include "cardlink/context.h"
#include "cardlink/script.h"

enum { CB_PIN_CIPHERTEXT_MAX = 240, CB_HOST_CERTIFICATE_MAX = 1024, CB_TRUST_MAX = 64 };

/* A card issuer's root that hsmd was configured with: the issuer's name as it stands in certificates (42) and its point. */
typedef struct cb_trust_anchor {
    uint8_t name[16];
    size_t name_len;
    uint8_t point[CB_P256_POINT];
} cb_trust_anchor;

/* The broker's own card-facing identity. The private halves rest in the HSM and are reached through the
 * two functions; certificates are public. One value serves all taps of a worker and is not changed by them. */
typedef struct cb_profile_host {
    void *keys; /* passed to the two functions */
    cb_error (*agree)(void *keys, const uint8_t peer[CB_P256_POINT], uint8_t shared[CB_P256_SCALAR]);
    cb_error (*sign)(void *keys, const cb_digest *digest, uint8_t signature[CB_P256_SIGNATURE]);
    uint8_t key_id;      /* KID and KVN of the CA-KLOC key that cards check the certificates with */
    uint8_t key_version;
    cb_bytes agreement_certificate; /* CVC 7F21 of the key agreement key (usage 0080), by CA-KLOC */
    cb_bytes signer_certificate;    /* CVC 7F21 of the transcript signing key, by CA-KLOC, of its own usage */
    const cb_trust_anchor *trust;
    size_t trust_count;
} cb_profile_host;

typedef enum cb_pin_state {
    CB_PIN_NOT_PRESENTED = 0,
    CB_PIN_VERIFIED = 1,
    CB_PIN_WRONG = 2,
    CB_PIN_BLOCKED = 3
} cb_pin_state;

/* What a terminal brings for the PIN, encrypted to the card (docs/card-application.md): one ciphertext to
 * authenticate (the PIN), to change (old and new PIN) or to unblock (code and new PIN). */
typedef struct cb_card_claim {
    cb_id card;
    uint8_t pin;            /* cb_pin_state, as the card signed it */
    uint8_t pin_tries_left;
    uint16_t pin_failures;  /* wrong PINs since the last proof */
    uint32_t counter;       /* the card's transaction counter */
    cb_digest signed_digest;
    uint8_t signature[CB_P256_SIGNATURE];
} cb_card_claim;

typedef struct cb_card_profile {
    uint8_t id; /* cb_profile_id */
    const char *name;
    size_t state_size;

    cb_error (*begin)(void *state, const cb_profile_host *host, cb_buf *script);

    /* CB_E_CARD_FOREIGN, CB_E_CARD_CERTIFICATE, CB_E_CARD_ANSWER, CB_E_CARD_STATUS, CB_E_CARD_BLOCKED,
     * CB_E_CARD_REMOVED (fewer answers than commands, the last one a success), CB_E_CRYPTO, CB_E_HSM_TOKEN.
     * pin is empty when none is presented. */
    cb_error (*challenge)(void *state, const cb_profile_host *host, const cb_script *answers,
                          const cb_tap_context *context, cb_bytes pin, cb_buf *script);

    cb_error (*finish)(void *state, const cb_profile_host *host, const cb_script *answers,
                       cb_card_claim *claim);

    void (*end)(void *state);
} cb_card_profile;

extern const cb_card_profile cb_profile_native;

/* The profile of an id, or NULL. */
const cb_card_profile *cb_profile_find(uint8_t id);

/* Whether the claim was signed by the key of the card's binding. */
bool cb_profile_verify(const cb_card_claim *claim, cb_bytes card_point);

#endif
