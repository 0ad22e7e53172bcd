/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * BER-TLV as cards use it (ISO/IEC 7816-4, 5.2.2): tags of one to three bytes, definite lengths of
 * up to 65,535. A tag is the number its bytes spell, e.g. 0x5F49.
 */
#ifndef CB_BASE_TLV_H
#define CB_BASE_TLV_H

#include "base/buf.h"
#include "base/cursor.h"

typedef struct cb_tlv {
    uint32_t tag;
    cb_bytes value;
} cb_tlv;

/* The next object. False at the end of the data and on malformed data; the two are told apart by
 * cb_cursor_ok. */
bool cb_tlv_next(cb_cursor *cursor, cb_tlv *out);

/* The next object's value, which must have this tag; otherwise the cursor fails. */
cb_bytes cb_tlv_expect(cb_cursor *cursor, uint32_t tag);

/* The value of the first object with this tag among the objects of data (one level); false when
 * there is none or the data before it is malformed. */
bool cb_tlv_find(cb_bytes data, uint32_t tag, cb_bytes *value);

/* Writes one object. */
void cb_tlv_put(cb_buf *buf, uint32_t tag, cb_bytes value);

#endif
