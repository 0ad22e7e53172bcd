/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is written in the records that hsmd makes and others keep: sealed keys, card bindings, revocations,
 * receipts. The records themselves travel and rest as opaque bytes ("blobs") with a MAC under a key that
 * never leaves the HSM; their fields are readable to all, believable only to hsmd.
 */
#ifndef CB_HSM_RECORDS_H
#define CB_HSM_RECORDS_H

#include "base/crypto.h"
#include "base/id.h"
#include "cardlink/card_key.h"
#include "cardlink/context.h"

enum {
    CB_SEALED_MAX = 8 * 1024,
    CB_BINDING_MAX = 1024,
    CB_RECEIPT_MAX = 512,
    CB_PUBLIC_KEY_MAX = 1024, /* DER SubjectPublicKeyInfo */
    CB_USE_DATA_MAX = 16 * 1024,
    CB_USE_RESULT_MAX = 4096
};

typedef enum cb_key_algorithm {
    CB_KEY_EC_P256 = 1,
    CB_KEY_EC_P384 = 2,
    CB_KEY_RSA_2048 = 3,
    CB_KEY_RSA_3072 = 4,
    CB_KEY_HMAC_SHA256 = 5, /* a secret that never leaves the HSM in use */
    CB_KEY_SECRET = 6       /* a secret that may be released to a connector, e.g. a password; its own KEK */
} cb_key_algorithm;

/* "ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "hmac-sha256", "secret"; NULL / CB_E_HSM_ALGORITHM for others. */
const char *cb_key_algorithm_name(uint8_t algorithm);
cb_error cb_key_algorithm_parse(const char *name, uint8_t *out);

/* What can be done with a key, and which digest is signed. */
typedef enum cb_key_operation {
    CB_USE_SIGN_DIGEST = 1, /* ECDSA (r ‖ s), or RSA PKCS#1 v1.5 with the DigestInfo made in hsmd */
    CB_USE_SIGN_PSS = 2,    /* RSA PSS, MGF1 and salt of the digest's size */
    CB_USE_MAC = 3,         /* HMAC-SHA256 of the data */
    CB_USE_RELEASE = 4      /* gives a releasable secret out */
} cb_key_operation;

typedef enum cb_hash { CB_HASH_SHA256 = 1, CB_HASH_SHA384 = 2, CB_HASH_SHA512 = 3 } cb_hash;

/* The readable part of a sealed key. */
typedef struct cb_sealed_info {
    cb_id key;
    cb_id holder;
    char service[CB_SERVICE_NAME_MAX + 1];
    uint8_t algorithm;   /* cb_key_algorithm */
    uint8_t level;       /* least level of assurance for a use */
    uint8_t uses;        /* most uses of one activation, 1..16 */
    uint32_t generation; /* of the key-encryption key */
    uint64_t sequence;   /* of the enrolment: renewal adds one */
} cb_sealed_info;

/* The readable part of a card binding. */
typedef struct cb_binding_info {
    cb_id card;
    cb_id holder;
    uint8_t profile;
    uint8_t level; /* the highest this card may reach */
    uint64_t sequence;
    int64_t expires;   /* microseconds; 0: the binding does not say. Of a native card: when its certificate's last day is over; of one
                          that others issued: the last of those of the keys that it signs with. A password that
                          has an end was given by somebody else: until then it may be changed, and does for nothing else */
    cb_card_keys keys; /* of a native card: its own key */
} cb_binding_info;

/* Reads the fields of a blob without believing them. CB_E_FORMAT. */
cb_error cb_sealed_info_read(cb_bytes sealed, cb_sealed_info *out);
cb_error cb_binding_info_read(cb_bytes binding, cb_binding_info *out);

/* What of a binding never changes but by renewal: whose the card is, how far it may reach, and its keys. Not the sequence: an
 * attempt that was not recorded may be repeated after others were; nor the certificates. */
cb_digest cb_binding_digest(const cb_binding_info *info);

/* The subject under which the feed retires every binding of this digest. */
cb_id cb_binding_subject(const cb_binding_info *info);

/* One entry of the revocation feed. Numbers start at 1 and have no gaps; each entry's hash covers the one before:
 * hash = SHA-256("cardbroker feed 1" 00 ‖ previous hash ‖ u64 number ‖ u8 kind ‖ subject ‖ i64 time), the
 * hash before the first being 32 zero bytes. */
typedef enum cb_feed_kind {
    CB_FEED_CARD_REVOKED = 1,
    CB_FEED_CARD_SUSPENDED = 2,
    CB_FEED_CARD_RESUMED = 3,
    CB_FEED_TERMINAL_REVOKED = 4,
    CB_FEED_KEY_RETIRED = 5 /* subject: the key id of a sealed key, or cb_binding_subject */
} cb_feed_kind;

typedef struct cb_feed_entry {
    uint64_t number;
    uint8_t kind;
    cb_id subject;
    int64_t time; /* wall clock, microseconds */
} cb_feed_entry;

typedef struct cb_feed_head {
    uint64_t number; /* of the last entry; 0: none */
    cb_digest hash;
} cb_feed_head;

cb_digest cb_feed_hash(const cb_digest *previous, const cb_feed_entry *entry);

/* What was done with a key, as hsmd attests it. Encoding: see receipt.h. */
typedef struct cb_receipt_info {
    cb_id boot;      /* of the worker process */
    uint32_t worker;
    uint64_t counter; /* within the boot, from 1, without gaps */
    int64_t time;
    cb_id tap;
    cb_id card;
    cb_id key;
    uint8_t operation;
    cb_digest context; /* cb_tap_context_digest */
    cb_digest data;    /* SHA-256 of what was signed or MACed; zero for a release */
} cb_receipt_info;

cb_error cb_receipt_info_read(cb_bytes receipt, cb_receipt_info *out);

/* The leaf that must be in the evidence log before a key is used (kind "tap.intent"). hsmd makes the same leaf from
 * what it knows and asks for a proof that it is in the log, so both sides call this one function. */
typedef struct cb_intent {
    int64_t time; /* wall clock of the front end, microseconds */
    cb_tap_context context;
    cb_id card;
    cb_id holder;
    cb_id key;
    uint8_t reached; /* level reached */
} cb_intent;

void cb_intent_leaf(const cb_intent *intent, cb_buf *leaf);

#endif
