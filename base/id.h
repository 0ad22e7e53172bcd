/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Identifiers of holders, cards, terminals, enrolments, taps: 16 bytes, written as a UUID.
 *
 * cb_id_new makes version 7 (RFC 9562, 5.7): a millisecond time, then random bits, so that rows
 * made together lie together. They are names, not secrets.
 */
#ifndef CB_BASE_ID_H
#define CB_BASE_ID_H

#include "base/bytes.h"
#include "base/error.h"

enum { CB_ID_SIZE = 16, CB_ID_TEXT = 37 /* 36 characters and a zero */ };

typedef struct cb_id {
    uint8_t bytes[CB_ID_SIZE];
} cb_id;

cb_id cb_id_new(void);

/* Sixteen random bytes with no time in them (version 4). */
cb_id cb_id_random(void);

/* "0189f7c2-....": lower case, 36 characters and a zero. */
void cb_id_text(const cb_id *id, char out[CB_ID_TEXT]);

/* CB_E_FORMAT unless text is a UUID in that form (either case). */
cb_error cb_id_parse(const char *text, cb_id *out);

static inline bool cb_id_same(const cb_id *a, const cb_id *b)
{
    return memcmp(a->bytes, b->bytes, CB_ID_SIZE) == 0;
}

static inline bool cb_id_is_zero(const cb_id *id)
{
    static const cb_id zero;
    return cb_id_same(id, &zero);
}

static inline cb_bytes cb_id_bytes(const cb_id *id)
{
    return (cb_bytes){id->bytes, CB_ID_SIZE};
}

#endif
