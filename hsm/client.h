/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The only door to hsmd, the process that can use keys.
 *
 * hsmd runs several workers, each with a socket of its own in one run folder:
 *
 *   use-0.sock … use-N.sock   taps and uses of keys; for the front end. A tap lives in one worker.
 *   log.sock                  signs heads of the evidence log; for the front end
 *   manage.sock               binds cards, makes, imports and rewraps keys; for administrators, never the front end
 *
 * Functions block until their answer or until ten seconds have passed (CB_E_TIMEOUT; generation of RSA keys a minute),
 * may be called by many threads, and return CB_E_HSM_DOWN when the process they need does not answer: within about two seconds
 * where a process is starting anew, at once where none runs. Blobs are described in records.h; scripts and answers in
 * cardlink/script.h.
 */
#ifndef CB_HSM_CLIENT_H
#define CB_HSM_CLIENT_H

#include "base/merkle.h"
#include "cardlink/profile.h"
#include "cardlink/registration.h"
#include "hsm/records.h"

typedef struct cb_hsm cb_hsm;

/* run is the folder of the sockets. Connects lazily; so this fails for want of memory only. */
cb_error cb_hsm_open(const char *run, cb_hsm **out);
void cb_hsm_close(cb_hsm **hsm);

/* Whether at least one use worker serves taps (it has certificates and a trust anchor), and the log lane answers, now. */
cb_error cb_hsm_ping(cb_hsm *hsm);

/* ---- A tap: begin, challenge, finish, activate, open_key, use …, end. Any other order is CB_E_TAP_ORDER and ends the tap; so
 * does any error but the two that cb_hsm_tap_activate names. A tap that hsmd does not know is CB_E_TAP_UNKNOWN (to open_key and use:
 * CB_E_HSM_ACTIVATION), one whose time is over CB_E_TAP_EXPIRED. ---- */

/* Opens a tap in the least busy worker and appends the first script. It expires after 60 s (prefetched scripts: 30 s
 * until the challenge). CB_E_BUSY when all workers hold too many; CB_E_HSM_DOWN also while hsmd has no certificates. */
cb_error cb_hsm_tap_begin(cb_hsm *hsm, uint8_t profile, const cb_id *terminal, cb_id *tap,
                          cb_buf *script);

/* context's tap, terminal and profile must be those of begin. binding: of the card that the profile recognises in the answers
 * (cb_card_profile.recognise); empty for a profile that does not. Errors as in profile.h; CB_E_HSM_RECORD, also when
 * the feed says that its keys were renewed. */
cb_error cb_hsm_tap_challenge(cb_hsm *hsm, const cb_tap_context *context, cb_bytes answers,
                              cb_bytes pin, cb_bytes binding, cb_buf *script);

/* What the card claims, without its signature; not yet believed. CB_E_PIN_WRONG, CB_E_PIN_BLOCKED: claim says which card
 * and how many tries, as the terminal relayed it. */
cb_error cb_hsm_tap_finish(cb_hsm *hsm, const cb_id *tap, cb_bytes answers, cb_card_claim *claim);

typedef struct cb_activation {
    cb_id holder;
    cb_id card;
    uint8_t level; /* reached: cb_level */
    uint8_t pin;   /* cb_pin_state */
    uint8_t pin_tries_left;
    uint8_t generation; /* of a native card, as it signed it: KVN of the newest key of the authority above this broker; 0: others */
} cb_activation;

/* Believes the claim if the binding is genuine, names that card, is of the keys, holder and level that the card was asked
 * with (if it was asked with one), and the signature verifies with its key. feed is the
 * head of the revocation feed as the database has it: CB_E_HSM_FEED_BEHIND (pass the missing entries
 * on with cb_hsm_feed_extend, then call again), CB_E_HSM_ROLLED_BACK when it does not extend what hsmd remembers (another
 * thread may have told hsmd of a revocation in between: read the head again, and call again if it differs); these two
 * errors leave the tap as it was. CB_E_CARD_REVOKED, CB_E_CARD_SUSPENDED, CB_E_TERMINAL_REVOKED, CB_E_CARD_PROOF,
 * CB_E_PIN_WRONG / CB_E_PIN_BLOCKED (out is filled in for these two), CB_E_PIN_REQUIRED (a PIN was to be
 * changed or unblocked, and the card could not read it), CB_E_TAP_LEVEL, CB_E_HSM_RECORD. */
cb_error cb_hsm_tap_activate(cb_hsm *hsm, const cb_id *tap, cb_bytes binding,
                             const cb_feed_head *feed, cb_activation *out);

/* The feed head that the worker of this tap remembers, and handing it entries that follow it, in
 * order (at most 1,000 a call). CB_E_BUSY: more than a worker takes for now; CB_E_STORE_FULL: more
 * than hsmd remembers. */
cb_error cb_hsm_feed_state(cb_hsm *hsm, const cb_id *tap, cb_feed_head *out);
cb_error cb_hsm_feed_extend(cb_hsm *hsm, const cb_id *tap, const cb_feed_entry *entries,
                            size_t count);

/* The same, outside a tap, to any worker: all workers share what they remember. Used after a revocation. */
cb_error cb_hsm_feed_state_any(cb_hsm *hsm, cb_feed_head *out);
cb_error cb_hsm_feed_extend_any(cb_hsm *hsm, const cb_feed_entry *entries, size_t count);

/* Proof that the intent is in the log: its place, a signed head (with the MAC that cb_hsm_sign_head
 * returned), and the path. */
typedef struct cb_intent_proof {
    cb_intent intent;
    uint64_t index;
    cb_tree_head head;
    cb_digest head_mac;
    cb_merkle_proof path;
} cb_intent_proof;

/* Opens the tap's worker for uses of one key: checks the sealed key against the activation (holder, service, level) and
 * the intent against the log. CB_E_HSM_RECORD, CB_E_HSM_ACTIVATION, CB_E_HSM_INTENT, CB_E_HSM_KEY_RETIRED, CB_E_TAP_LEVEL. */
cb_error cb_hsm_tap_open_key(cb_hsm *hsm, const cb_id *tap, cb_bytes sealed,
                             const cb_intent_proof *proof);

/* One use. data is a digest of hash's size to sign, the message to MAC, or empty. Appends the result and the receipt. The
 * activation ends when its uses are used up. CB_E_HSM_ACTIVATION, CB_E_HSM_ALGORITHM, CB_E_HSM_TOKEN. */
cb_error cb_hsm_use(cb_hsm *hsm, const cb_id *tap, uint8_t operation, uint8_t hash, cb_bytes data,
                    cb_buf *result, cb_buf *receipt);

/* Forgets a tap; nothing of it can be used afterwards. Unknown taps are no error. */
void cb_hsm_tap_end(cb_hsm *hsm, const cb_id *tap);

/* ---- Registration by a one-time code (cardlink/registration.h) ---- */

/* What a manager allowed the holder of a code. */
typedef enum cb_registration_state {
    CB_REGISTRATION_NONE = 0,
    CB_REGISTRATION_OPEN = 1,
    CB_REGISTRATION_USED = 2, /* for one card; for that one it stays good until its end */
    CB_REGISTRATION_WITHDRAWN = 3
} cb_registration_state;

enum {
    CB_REGISTRATION_LEAST_S = 1,
    CB_REGISTRATION_MOST_S = 30 * 86400,
    CB_REGISTRATION_TRIES = 5, /* words that name the code and were not made with it */
    CB_REGISTRATION_PROFILES = 1 << CB_PROFILE_PIV | 1 << CB_PROFILE_JPKI | 1 << CB_PROFILE_SCP03
};

typedef struct cb_registration_grant {
    cb_id holder;
    int64_t until;    /* wall clock, microseconds; kept in whole seconds */
    uint8_t profiles; /* 1 << cb_profile_id for each */
    uint8_t level;    /* the highest that the card may reach */
    uint8_t state;    /* cb_registration_state */
    uint8_t wrong;    /* tries */
} cb_registration_grant;

/* The second step of a tap that binds its card, in the place of cb_hsm_tap_challenge: certificates
 * and word are checked, and what the card is to sign is made. context: tap, terminal, profile and
 * purpose (CB_TAP_REGISTER); hsmd puts the rest of it in. Errors as of cb_hsm_bind_foreign and
 * cb_hsm_tap_challenge; CB_E_REGISTRATION_…; CB_E_CARD_BOUND; CB_E_CARD_NAMELESS; CB_E_BUSY (too
 * many wrong codes). */
cb_error cb_hsm_tap_register(cb_hsm *hsm, const cb_tap_context *context,
                             const cb_foreign_reading *reading, const cb_registration_word *word,
                             cb_buf *script);

/* The same for a tap that renews what its card is bound with. context: with CB_TAP_RENEW; binding
 * and certificates as for cb_hsm_renew_foreign. Errors as there and of cb_hsm_tap_challenge;
 * CB_E_CERTIFICATE_RENEWAL also where it is for a manager to do; CB_E_CARD_SUSPENDED. */
cb_error cb_hsm_tap_renew(cb_hsm *hsm, const cb_tap_context *context,
                          const cb_foreign_reading *reading, cb_bytes binding,
                          cb_bytes certificates, cb_buf *script);

/* After cb_hsm_tap_finish, in the place of cb_hsm_tap_activate: believes the card, uses the code if
 * there is one, and makes the binding. sequence: from 1 to INT32_MAX, and more than that of the
 * binding that is renewed. Ends the tap. Errors as of cb_hsm_tap_activate, cb_hsm_tap_register and
 * cb_hsm_tap_renew. */
cb_error cb_hsm_tap_bind(cb_hsm *hsm, const cb_id *tap, uint64_t sequence, const cb_feed_head *feed,
                         cb_buf *binding);

/* ---- The log lane ---- */

typedef struct cb_signed_head {
    cb_tree_head head;
    int64_t time;     /* wall clock when signed, microseconds */
    uint8_t signature[CB_P256_SIGNATURE]; /* ECDSA over SHA-256 of cb_signed_head_text */
    cb_digest mac;    /* for cb_intent_proof; of no use outside hsmd */
} cb_signed_head;

/* Signs a head that extends the one hsmd remembers (durably); CB_E_HSM_HEAD otherwise, with *remembered filled in so
 * that a front end which restarted can prove from there. remembered may be NULL. CB_E_MEMORY: the caller's was
 * wanting; where hsmd's is, CB_E_HSM_DOWN. */
cb_error cb_hsm_sign_head(cb_hsm *hsm, const cb_tree_head *head, const cb_merkle_proof *extends,
                          cb_signed_head *out, cb_tree_head *remembered);
cb_error cb_hsm_head_state(cb_hsm *hsm, cb_tree_head *remembered);

/* What is signed: "cardbroker-log-head 1\norigin <name>\nsize <n>\nroot <hex>\ntime <rfc3339>\n". origin is hsmd's configuration. */
void cb_signed_head_text(const char *origin, const cb_signed_head *head, cb_buf *text);
/* Whether the signature is by the log's key: CB_E_CRYPTO when it is not, CB_E_MEMORY when that could not be told. */
cb_error cb_signed_head_check(const char *origin, const cb_signed_head *head, cb_bytes log_point);

/* ---- The manage lane (cardbrokerctl only) ---- */

/* Binds a card to a holder. card_certificate is the card's own CVC (tag 7F21), made by the card's
 * issuer at personalisation; its key, card id and issuer are checked against hsmd's trust anchors.
 * CB_E_CARD_CERTIFICATE. hsmd remembers it: the same card for the same holder and level may be
 * bound again, to repeat an attempt; otherwise CB_E_CARD_BOUND. CB_E_CARD_REVOKED. */
cb_error cb_hsm_bind(cb_hsm *hsm, cb_bytes card_certificate, const cb_id *holder, uint8_t level,
                     uint64_t sequence, cb_buf *binding);

/* The same for a card that somebody else issued: its certificates are checked against the anchors that hsmd has for its profile. The card's
 * identifier here comes from what distinguishes it, and is in the binding. CB_E_CARD_BOUND also when a key of it, or a name in its certificates, was bound under another identifier. Also CB_E_CERTIFICATE_…, CB_E_CARD_FOREIGN, CB_E_CARD_ANSWER. */
cb_error cb_hsm_bind_foreign(cb_hsm *hsm, const cb_foreign_reading *card, const cb_id *holder,
                             uint8_t level, uint64_t sequence, cb_buf *binding);

/* Binds a card that somebody else issued with the certificates that it shows now. binding is the one that it has, certificates those it was bound
 * with (DER, one after another in the binding's order); holder and level stay, sequence must be higher. hsmd remembers the new keys: the same
 * renewal may be repeated until it was recorded. When keys changed, the feed retires the old binding (cb_binding_subject) once that is
 * recorded. Also CB_E_CERTIFICATE_RENEWAL (another card, or not by the profile's rule), CB_E_HSM_RECORD, CB_E_HSM_KEY_RETIRED (these keys were renewed before),
 * CB_E_CARD_BOUND (neither is what hsmd remembers), CB_E_CARD_REVOKED, CB_E_ARGUMENT. */
cb_error cb_hsm_renew_foreign(cb_hsm *hsm, const cb_foreign_reading *card, cb_bytes binding,
                              cb_bytes certificates, uint64_t sequence, cb_buf *renewed);

/* Passwords (cardlink/password/password.h): the salt of one by its identifier; and its binding to a holder, by the point of its key. before: the
 * binding that it has, for a new password in the place of that one, whose holder and a lower sequence must be in it; empty: it has none yet. The
 * rest is as for cb_hsm_bind and cb_hsm_renew_foreign: CB_E_CARD_BOUND, CB_E_CARD_REVOKED, CB_E_HSM_KEY_RETIRED (the password was used before),
 * CB_E_HSM_RECORD, CB_E_ARGUMENT. expires (0: never; at most CB_PASSWORD_ONCE_MOST_S from now on): it was not its holder who chose it; until then he
 * may put his own in its place, and it opens nothing. */
enum { CB_PASSWORD_ONCE_MOST_S = 30 * 86400 };
cb_error cb_hsm_password_salt(cb_hsm *hsm, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT]);
cb_error cb_hsm_bind_password(cb_hsm *hsm, const cb_id *password, const uint8_t point[CB_P256_POINT],
                              const cb_id *holder, uint64_t sequence, int64_t expires,
                              cb_bytes before, cb_buf *binding);

/* What the holder of a tap of CB_TAP_PASSWORD_CHANGE puts in the place of his password, whose binding
 * is given (empty: there is no such name): after cb_hsm_tap_finish, in the place of
 * cb_hsm_tap_activate. The new binding counts from its first use on, and the old one until then, or
 * until the feed retires it. Ends the tap. Errors as of cb_hsm_tap_activate; CB_E_PASSWORD_OVER,
 * CB_E_PASSWORD_USED. */
cb_error cb_hsm_tap_password(cb_hsm *hsm, const cb_id *tap, cb_bytes before,
                             const cb_feed_head *feed, cb_buf *binding);

/* Forgets the wrong guesses at a password. CB_E_IO. */
cb_error cb_hsm_password_forgive(cb_hsm *hsm, const cb_id *password);

/* Lets a suspended card be used again, after cardbrokerd has recorded that it is resumed and has
 * told hsmd (CB_E_HSM_FEED_BEHIND until then): hsmd does not take the front end's word for it.
 * CB_E_CARD_REVOKED. */
cb_error cb_hsm_resume(cb_hsm *hsm, const cb_id *card);

/* Lets a card take one new PIN without its unblocking code, at one terminal, for so many seconds
 * (hsm/pin_reset.h). CB_E_ARGUMENT; CB_E_CARD_REVOKED, CB_E_CARD_SUSPENDED; CB_E_IO. */
cb_error cb_hsm_pin_reset(cb_hsm *hsm, const cb_id *card, const cb_id *terminal, uint16_t seconds);

/* Allows the holder of a code (cb_registration_id) to bind one card, within seconds from
 * CB_REGISTRATION_LEAST_S to _MOST_S from now on; withdraws it; says what is remembered of it.
 * CB_E_ARGUMENT; CB_E_EXISTS (the code was used before); CB_E_NOT_FOUND; CB_E_STATE (to withdraw one
 * that was used); CB_E_IO. */
cb_error cb_hsm_registration_allow(cb_hsm *hsm, const cb_id *code,
                                   const cb_registration_grant *grant);
cb_error cb_hsm_registration_withdraw(cb_hsm *hsm, const cb_id *code);
cb_error cb_hsm_registration_state(cb_hsm *hsm, const cb_id *code, cb_registration_grant *out);

/* Retires generations of the authority above brokers up to a version (1 to 127), for good
 * (hsm/generations.h). CB_E_STATE for the newest that hsmd has certificates under, or beyond;
 * CB_E_IO. May: only asks whether it would. */
cb_error cb_hsm_retire_generation(cb_hsm *hsm, uint8_t version);
cb_error cb_hsm_may_retire_generation(cb_hsm *hsm, uint8_t version);

/* Makes a key inside the HSM, sealed for info's holder, service, algorithm, level, uses and sequence (key, generation are
 * filled in). public_key gets DER SubjectPublicKeyInfo (empty for secrets); csr, if not NULL, a DER PKCS#10 request for
 * subject_der (a DER Name), signed inside the HSM at birth: the one signature made without a tap, over a request hsmd built. */
cb_error cb_hsm_generate(cb_hsm *hsm, cb_sealed_info *info, cb_bytes subject_der, cb_buf *sealed,
                         cb_buf *public_key, cb_buf *csr);

/* Takes a key that was encrypted to hsmd's import key: RSA-OAEP (SHA-1 and MGF1 with SHA-1, which is what SoftHSM can;
 * AES-256 key) ‖ AES-KWP (RFC 5649; PKCS#8 or secret). Secrets have at most 1,024 bytes; for HMAC at least 32, and more than 64
 * only in multiples of eight. CB_E_FORMAT when it is not what info says. */
cb_error cb_hsm_import(cb_hsm *hsm, cb_sealed_info *info, cb_bytes wrapped, cb_buf *sealed,
                       cb_buf *public_key);

/* Seals again under the newest generation of the key-encryption key. */
cb_error cb_hsm_rewrap(cb_hsm *hsm, cb_bytes sealed, cb_buf *out);

/* Starts a new generation of the key-encryption keys; older ones stay able to unwrap. CB_E_CONFIG when hsmd may not read the
 * security officer's PIN (so-pin-file): then it is made with cardbroker-hsmd --new-generation. */
cb_error cb_hsm_new_generation(cb_hsm *hsm, uint32_t *generation);

/* A certificate (DER) for a terminal, by the terminal CA; request is PKCS#10 (DER). hsmd chooses all
 * that it says but the key. CB_E_FORMAT, CB_E_CRYPTO (the request), CB_E_TERMINAL_REVOKED,
 * CB_E_CONFIG (the token has no terminal CA: cardbroker-hsmd --initialise makes it). */
cb_error cb_hsm_certify_terminal(cb_hsm *hsm, const cb_id *terminal, cb_bytes request,
                                 cb_buf *certificate);

/* Public halves of the broker's own keys: "card-agreement", "card-signature", "log", "import", "terminal-authority". DER SubjectPublicKeyInfo. Asks
 * the log lane where the manage lane cannot be reached, so the front end may ask too. */
cb_error cb_hsm_public_key(cb_hsm *hsm, const char *name, cb_buf *out);

/* Whether a receipt is genuine (for audits). CB_E_HSM_RECORD. */
cb_error cb_hsm_receipt_check(cb_hsm *hsm, cb_bytes receipt);

typedef struct cb_hsm_state {
    uint32_t workers;
    uint32_t generation;
    uint32_t objects; /* persistent objects on the token: constant however many keys are sealed */
    uint64_t feed_number;
    uint64_t log_size;
    bool separated;   /* manage and use are different users */
} cb_hsm_state;
cb_error cb_hsm_status(cb_hsm *hsm, cb_hsm_state *out);

#endif
