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
 * The claim is worth nothing until cb_profile_check has checked it with the public key of the card's binding.
 * A profile keeps its state in memory that the caller provides (state_size bytes, zeroed, wiped by end).
 */
#ifndef CB_CARDLINK_PROFILE_H
#define CB_CARDLINK_PROFILE_H

#include "cardlink/card_key.h"
#include "cardlink/context.h"
#include "cardlink/script.h"

enum { CB_PIN_CIPHERTEXT_MAX = 240, CB_HOST_CERTIFICATE_MAX = 1024, CB_TRUST_MAX = 64, CB_PROFILES_MAX = 5, CB_PASSWORD_SALT = 16 };

/* A card issuer's root that hsmd was configured with: the issuer's name as it stands in certificates (42) and its point. */
typedef struct cb_trust_anchor {
    uint8_t name[16];
    size_t name_len;
    uint8_t point[CB_P256_POINT];
} cb_trust_anchor;

enum { CB_HOST_OLDER_MAX = 3 };

/* What the broker is for cards that know an older generation of the authority above it than the
 * newest. */
typedef struct cb_host_older {
    void *keys;      /* passed to agree and sign */
    uint8_t version; /* KVN; ascending, and less than the newest's */
    cb_bytes agreement_certificate, signer_certificate;
    cb_bytes link; /* from it to a newer generation that is here (native/link.h); empty: none */
} cb_host_older;

/* The broker's own card-facing identity. The private halves rest in the HSM and are reached through the
 * functions; certificates are public. One value serves all taps of a worker and is not changed by them. */
typedef struct cb_profile_host {
    void *keys; /* passed to the functions */
    cb_error (*agree)(void *keys, const uint8_t peer[CB_P256_POINT], uint8_t shared[CB_P256_SCALAR]);
    cb_error (*sign)(void *keys, const cb_digest *digest, uint8_t signature[CB_P256_SIGNATURE]);
    uint8_t
        key_id; /* KID and KVN of the newest CA-KLOC key that cards check the certificates with */
    uint8_t key_version;
    cb_bytes agreement_certificate; /* CVC 7F21 of the key agreement key (usage 0080), by CA-KLOC */
    cb_bytes signer_certificate;    /* CVC 7F21 of the transcript signing key, by CA-KLOC, of its own usage */
    const cb_trust_anchor *trust;
    size_t trust_count;
    /* AES-CMAC under the master key of SCP03 cards, over at most 64 bytes. The key is of so many bytes; 0: there is none. */
    cb_error (*cmac)(void *keys, cb_bytes data, uint8_t out[CB_AES_BLOCK]);
    uint8_t cmac_key_len;
    /* The salt of a password, by its identifier: always the same, and known to nobody who has not asked hsmd. */
    cb_error (*salt)(void *keys, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT]);
    const cb_host_older
        *older; /* generations that are accepted besides, at most CB_HOST_OLDER_MAX */
    size_t older_count;
    uint8_t retired; /* generations up to this one are not accepted, whatever stands above */
} cb_profile_host;

typedef enum cb_pin_state {
    CB_PIN_NOT_PRESENTED = 0,
    CB_PIN_VERIFIED = 1,
    CB_PIN_WRONG = 2,
    CB_PIN_BLOCKED = 3
} cb_pin_state;

/* Of a card that does not report on its PIN, pin says what its signature implies, and the tries left are what the
 * terminal relayed. */
typedef struct cb_card_claim {
    cb_id card;
    uint8_t pin;            /* cb_pin_state, as the card signed it */
    uint8_t pin_tries_left;
    uint16_t pin_failures;  /* wrong PINs since the last proof */
    uint32_t counter;       /* which of its proofs this is, from 1, as the card proves it; 0: it does not say (PIV, JPKI) */
    uint8_t generation;     /* of a native card: KVN of the newest key it has of the authority above
                               this broker; 0: others */
    bool over; /* what vouches for it was good until some day, which is over: whatever it proves
                  opens nothing */
    uint8_t served_under;   /* of a native card: KVN of the key of that authority that the broker's
                               certificates in this tap are under; 0: others */
    uint8_t shown[CB_P256_POINT]; /* of a password: its public key, which the binding has a MAC of */
    uint8_t next[CB_P256_POINT]; /* of the one that is to take its place, which the signature covers */
    cb_card_signature signature;
} cb_card_claim;

/* A card that hsmd has bound, for profiles that know it before it proves anything. */
typedef struct cb_known_card {
    cb_id card;
    cb_card_keys keys;
} cb_known_card;

struct cb_x509; /* x509/certificate.h */

enum { CB_PROFILE_MARKS_MAX = 2 };

typedef struct cb_card_profile {
    uint8_t id; /* cb_profile_id */
    const char *name;
    cb_bytes select;        /* the command that a card of this profile answers with 9000, and no other card */
    uint8_t level_with_pin; /* cb_level of a tap with the PIN */
    bool proven_in_channel; /* finish itself believes the card, and its claim has no signature */
    size_t state_size;

    /* Which card this is, from what it says to everybody, in the answers to the first script; NULL: it says so in its
     * claim only. Whoever calls believes nothing yet. CB_E_CARD_FOREIGN, CB_E_CARD_ANSWER, CB_E_CARD_STATUS,
     * CB_E_CARD_REMOVED. */
    cb_error (*recognise)(const cb_script *answers, cb_id *card);

    cb_error (*begin)(void *state, const cb_profile_host *host, cb_buf *script);

    /* CB_E_CARD_FOREIGN, CB_E_CARD_CERTIFICATE, CB_E_CARD_ANSWER, CB_E_CARD_STATUS,
     * CB_E_CARD_BLOCKED, CB_E_CARD_REMOVED (fewer answers than commands, the last one a success),
     * CB_E_CARD_GENERATION (the card knows no generation that is accepted),
     * CB_E_CARD_PROOF (another card's key opened the channel, or none), CB_E_CRYPTO,
     * CB_E_HSM_TOKEN. known is the card as it is bound, for profiles that recognise it, and for the
     * purpose that ends a card; otherwise NULL. pin is the ciphertext for a card that takes one,
     * empty when none is presented. */
    cb_error (*challenge)(void *state, const cb_profile_host *host, const cb_script *answers,
                          const cb_tap_context *context, const cb_known_card *known, cb_bytes pin,
                          cb_buf *script);

    /* CB_E_CARD_PROOF: what was to be made with the keys of the card's channel was not. Also CB_E_PIN_WRONG and CB_E_PIN_BLOCKED, with the card and its tries in the claim, when a card that does not
     * report on its PIN refused it. */
    cb_error (*finish)(void *state, const cb_profile_host *host, const cb_script *answers,
                       cb_card_claim *claim);

    void (*end)(void *state);

    /* For the registration of cards that are recognised: the commands that read the certificates of keys that can be bound, to be played
     * after the first script, in which nothing depends on the host; and the index-th of these certificates from the answers, DER or that in
     * gzip (terminal/inflate.h). NULL where recognise is. certificate: CB_E_NOT_FOUND when the card has none for that key, CB_E_CARD_ANSWER. */
    size_t certificates;
    void (*survey)(const cb_script *first,
                   cb_buf *script); /* first: the answers to the first script */
    cb_error (*certificate)(const cb_script *answers, size_t index, uint8_t *use, cb_buf *der);

    /* Whether a certificate can be of the card that recognise tells from the answers to the first script: it names no other. A key that is
     * bound is then bound under the name of its own card, so that nobody registers a revoked one again under another. NULL where there are
     * no certificates. */
    bool (*fits)(const cb_script *answers, const struct cb_x509 *certificate);

    /* Whether a certificate that fits says itself that it is of this card, so that nobody has to look at the card. NULL: each that fits does. */
    bool (*names)(const cb_script *answers, const struct cb_x509 *certificate);

    /* What a certificate that fits says of its card and of no other, at most CB_PROFILE_MARKS_MAX
     * pieces of the answers to the first script; certificate: NULL for that of the key that is
     * attested. Besides these, and the keys, everything that recognise goes by may be changed
     * between card and hsmd. NULL: it goes by nothing else. */
    size_t (*marks)(const cb_script *answers, const struct cb_x509 *certificate,
                    cb_bytes out[CB_PROFILE_MARKS_MAX]);

    /* A key whose certificate is none of X.509, but stands in the answers to the first script: its
     * use (0: there is none), and the key, once the certificate was found to be of that card and
     * signed by the key of an X.509 certificate, which the caller has checked, or through what is
     * between. CB_E_CARD_ANSWER, CB_E_CARD_CERTIFICATE, CB_E_CERTIFICATE_FORM,
     * CB_E_CERTIFICATE_ALGORITHM, CB_E_MEMORY. */
    uint8_t attested;
    cb_error (*attest)(const cb_script *answers, const struct cb_x509 *signer, cb_bytes between,
                       cb_card_key *key);
} cb_card_profile;

extern const cb_card_profile cb_profile_native, cb_profile_piv, cb_profile_jpki,
    cb_profile_scp03, cb_profile_password;

/* The profile of an id or a name, or NULL. */
const cb_card_profile *cb_profile_find(uint8_t id);
const cb_card_profile *cb_profile_named(const char *name);

/* What a tap with or without the PIN proves at most: what its profile can, and no more than possession without the PIN. */
uint8_t cb_profile_level(const cb_card_profile *profile, bool with_pin);

/* Whether its proofs come from cards, that lie at a reader. */
bool cb_profile_has_cards(const cb_card_profile *profile);

/* Whether the claim was signed by one of the keys of the card's binding; check says CB_E_CARD_PROOF
 * when it was not, and CB_E_MEMORY when that could not be told. */
cb_error cb_profile_check(const cb_card_claim *claim, const cb_card_keys *keys);
bool cb_profile_verify(const cb_card_claim *claim, const cb_card_keys *keys);

#endif
