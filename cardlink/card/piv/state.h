/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the PIV application remembers when it has no power (NIST SP 800-73-4, part 1, 3 and 5): the
 * PIN and the PUK with their tries, the management key, the keys of four slots, data objects, which
 * are kept as the bytes inside their tag 53, and, if it has one, the secure messaging key with its
 * certificate.
 */
#ifndef CB_CARDLINK_CARD_PIV_STATE_H
#define CB_CARDLINK_CARD_PIV_STATE_H

#include "cardlink/card/key.h"

enum {
    CB_VPIV_PIN = 8,          /* bytes; a PIN is 6 to 8 digits, padded with FF */
    CB_VPIV_PIN_TRIES = 3,    /* of the PIN */
    CB_VPIV_PAIRING_CODE = 8, /* digits */
    CB_VPIV_PUK_TRIES = 3,
    CB_VPIV_MANAGEMENT_MAX = 32,
    CB_VPIV_CVC_MAX = 256,
    CB_VPIV_OBJECT_MAX = 4096,
    CB_VPIV_OBJECTS_MAX = 40,
    CB_VPIV_OBJECT_BYTES_MAX = 40 * 1024 /* of all together */
};

/* Management key algorithms (SP 800-78-4, table 6-2). */
enum {
    CB_VPIV_3DES = 0x03,
    CB_VPIV_AES_128 = 0x08,
    CB_VPIV_AES_192 = 0x0A,
    CB_VPIV_AES_256 = 0x0C
};

/* Key references (part 1, table 4b). */
enum {
    CB_VPIV_SECURE_MESSAGING = 0x04,
    CB_VPIV_AUTHENTICATION = 0x9A,
    CB_VPIV_MANAGEMENT = 0x9B,
    CB_VPIV_SIGNATURE = 0x9C,
    CB_VPIV_KEY_MANAGEMENT = 0x9D,
    CB_VPIV_CARD_AUTHENTICATION = 0x9E
};

enum { CB_VPIV_SLOTS = 4 };

/* Data objects (part 1, table 3). */
enum {
    CB_VPIV_DISCOVERY = 0x7E,
    CB_VPIV_CARD_AUTHENTICATION_CERTIFICATE = 0x5FC101,
    CB_VPIV_CHUID = 0x5FC102,
    CB_VPIV_AUTHENTICATION_CERTIFICATE = 0x5FC105,
    CB_VPIV_CCC = 0x5FC107,
    CB_VPIV_SIGNATURE_CERTIFICATE = 0x5FC10A,
    CB_VPIV_KEY_MANAGEMENT_CERTIFICATE = 0x5FC10B,
    CB_VPIV_SECURE_MESSAGING_SIGNER = 0x5FC122,
    CB_VPIV_PAIRING = 0x5FC123 /* the pairing code's container */
};

typedef struct cb_vpiv_object {
    uint32_t tag;
    cb_buf content;
} cb_vpiv_object;

typedef struct cb_vpiv_state {
    uint8_t pin[CB_VPIV_PIN];
    uint8_t pin_tries;
    uint8_t puk[CB_VPIV_PIN];
    uint8_t puk_tries;
    uint8_t management_algorithm;
    uint8_t management_key[CB_VPIV_MANAGEMENT_MAX];
    cb_vcard_key key[CB_VPIV_SLOTS]; /* by cb_vpiv_slot; no algorithm: no key */
    cb_vpiv_object object[CB_VPIV_OBJECTS_MAX];
    size_t object_count;
    cb_vcard_key channel_key;     /* secure messaging, P-256; no algorithm: there is none */
    uint8_t cvc[CB_VPIV_CVC_MAX]; /* its card verifiable certificate (part 2, 4.1.5), whole */
    size_t cvc_len;
} cb_vpiv_state;

/* 0 to 3 for 9A, 9C, 9D, 9E; -1 for any other reference. And back. */
int cb_vpiv_slot(uint8_t reference);
uint8_t cb_vpiv_reference(int slot);

/* The object that holds a slot's certificate. */
uint32_t cb_vpiv_certificate_tag(int slot);

/* Bytes of a management key: 24, 16, 24 or 32; 0: no such algorithm. */
size_t cb_vpiv_management_len(uint8_t algorithm);

/* Whether eight bytes are a PIN: 6 to 8 digits, then FF. And makes them; false for anything else.
 */
bool cb_vpiv_pin_ok(cb_bytes block);
bool cb_vpiv_pin_pad(cb_bytes digits, uint8_t out[CB_VPIV_PIN]);

/* The content of an object, or of no bytes when there is none. */
cb_bytes cb_vpiv_object_get(const cb_vpiv_state *state, uint32_t tag);

/* Replaces an object by a copy; of no bytes: removes it. CB_E_TOO_LARGE (it, all of them, or their
 * number; everything is as before then), CB_E_MEMORY. */
cb_error cb_vpiv_object_set(cb_vpiv_state *state, uint32_t tag, cb_bytes content);

/* Appends the state: in version 1, or, with a secure messaging key, in version 2, which ends with
 * that key and its certificate. Reads either (CB_E_FORMAT, CB_E_MEMORY). The caller ends it with
 * cb_vpiv_state_free, which wipes. */
void cb_vpiv_state_put(cb_buf *buf, const cb_vpiv_state *state);
cb_error cb_vpiv_state_parse(cb_bytes bytes, cb_vpiv_state *out);
void cb_vpiv_state_free(cb_vpiv_state *state);

#endif
