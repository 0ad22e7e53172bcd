/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Link certificates: how a card that is in use comes to trust the next key of the authority above
 * brokers (CA-KLOC).
 *
 * Each generation of that authority has a key version number (KVN), and a card knows a broker by
 * the generations that it has. A link is a certificate (cvc.h) of a usage of its own, over the next
 * generation's key and signed by one that the card has: as the link certificates of country
 * verifying authorities (BSI TR-03110-3, C.1) are, whose holders' references the three numbers
 * stand for.
 *
 *   7F21 { 93 serial, 42 name of the signing key, 5F20 name of the next, 95 8203, 5F25, 5F24,
 *          53 03 KID ‖ KVN of the signing key ‖ KVN of the next, 7F49 next key, 5F37 signature }
 *
 * A link is no secret, and who brings it does not matter: its signature is all.
 */
#ifndef CB_CARDLINK_NATIVE_LINK_H
#define CB_CARDLINK_NATIVE_LINK_H

#include "cardlink/native/cvc.h"

/* Fields, borrowed from the bytes they were parsed from. */
typedef struct cb_link {
    cb_cvc cvc;
    uint8_t key_id;   /* of both keys */
    uint8_t previous; /* KVN of the key that signed it */
    uint8_t version;  /* KVN of the next: greater, at most 7F */
} cb_link;

/* Parses one link certificate of at most CB_NATIVE_CERTIFICATE_MAX bytes, with nothing after it;
 * its key is a point on the curve. CB_E_FORMAT. */
cb_error cb_link_parse(cb_bytes bytes, cb_link *out);

/* Whether it follows on the key of these numbers, with this name and point: the numbers are its,
 * and the signature is by that key. */
bool cb_link_follows(const cb_link *link, uint8_t key_id, uint8_t version, cb_bytes name,
                     cb_bytes point);

/* Makes one; numbers are previous's and the next's, as above. Days are for people to read: a card
 * has no clock. CB_E_ARGUMENT, CB_E_CRYPTO. */
cb_error cb_link_make(const cb_link *fields, const uint8_t issuer[CB_P256_SCALAR], cb_buf *out);

#endif
