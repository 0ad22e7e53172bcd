/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * DER as certificates, revocation lists and OCSP answers use it (X.690, 8 and 10): tags of one
 * byte, definite lengths in their shortest form, of up to four bytes. Whatever is encoded in
 * another way is refused: two readers must never see two things in the same bytes.
 */
#ifndef CB_CARDLINK_X509_DER_H
#define CB_CARDLINK_X509_DER_H

#include "base/buf.h"
#include "base/cursor.h"

enum {
    CB_DER_BOOLEAN = 0x01,
    CB_DER_INTEGER = 0x02,
    CB_DER_BIT_STRING = 0x03,
    CB_DER_OCTET_STRING = 0x04,
    CB_DER_NULL = 0x05,
    CB_DER_OID = 0x06,
    CB_DER_ENUMERATED = 0x0A,
    CB_DER_UTC_TIME = 0x17,
    CB_DER_GENERALIZED_TIME = 0x18,
    CB_DER_SEQUENCE = 0x30,
    CB_DER_SET = 0x31,
    CB_DER_CONTEXT = 0x80,     /* [n], primitive: add n */
    CB_DER_CONSTRUCTED = 0xA0, /* [n], constructed: add n */
    CB_OID_MAX = 64            /* bytes of an object identifier */
};

typedef struct cb_der {
    uint8_t tag;
    cb_bytes value;
    cb_bytes whole; /* with tag and length */
} cb_der;

/* The next object. False at the end of the data and on malformed data; the two are told apart by
 * cb_cursor_ok. */
bool cb_der_next(cb_cursor *cursor, cb_der *out);

/* Whether the next object has this tag. */
bool cb_der_is(const cb_cursor *cursor, uint8_t tag);

/* The next object, which must have this tag; otherwise the cursor fails. Value, or all of it. */
cb_bytes cb_der_expect(cb_cursor *cursor, uint8_t tag);
cb_bytes cb_der_whole(cb_cursor *cursor, uint8_t tag);

/* The value of the next object if it has this tag; false, and nothing read, if not. */
bool cb_der_optional(cb_cursor *cursor, uint8_t tag, cb_bytes *value);

/* A reader over the value of an object that is all of data; failed when it is not that. */
cb_cursor cb_der_open(cb_bytes data, uint8_t tag);

/* A positive INTEGER without the zero byte that its sign may need, of most bytes at most. */
cb_bytes cb_der_unsigned(cb_cursor *cursor, size_t most);

/* A number of 0 to 65,535 from the value of an INTEGER; false if it is none. */
bool cb_der_small(cb_bytes value, uint16_t *out);

/* BOOLEAN DEFAULT FALSE. A written FALSE is no DER, but some issuers write it, and it says the
 * same. */
bool cb_der_flag(cb_cursor *cursor);

/* The bytes of a BIT STRING that has no unused bits. */
cb_bytes cb_der_bits(cb_cursor *cursor);

/* The first sixteen named bits of a BIT STRING's value, the first one in the top bit. */
bool cb_der_named_bits(cb_bytes value, uint16_t *out);

/* UTCTime or GeneralizedTime as RFC 5280 writes them (4.1.2.5: seconds, "Z", no fraction), in
 * seconds since 1970. */
int64_t cb_der_time(cb_cursor *cursor);

/* Of the value of a time of a tag; false if it is none. */
bool cb_der_time_of(uint8_t tag, cb_bytes value, int64_t *out);

/* Writes one object of up to 65,535 bytes. */
void cb_der_put(cb_buf *buf, uint8_t tag, cb_bytes value);

/* An object identifier from text like "2.16.840.1.101.3.6.8": its value's bytes. CB_E_FORMAT. */
cb_error cb_oid_parse(const char *text, cb_buf *out);

#endif
