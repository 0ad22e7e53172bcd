/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal that changes what it relays does to the messages of a tap, one byte at a time.
 */
#ifndef CB_TESTS_CARDLINK_MEDDLE_H
#define CB_TESTS_CARDLINK_MEDDLE_H

#include "base/buf.h"

/* A message of a tap. */
typedef struct place {
    size_t script, command;
    bool answer;
} place;

/* Less than BYTE: the bit of that number. BYTE changes all bits, CUT ends the message before the
 * byte, LONGER adds one at its end. */
enum { BYTE = 8, CUT, LONGER, CHANGES };

/* Sets of changes. */
#define BITS 0xFFu
#define FLIP (BITS | 1u << BYTE)
#define ANY (FLIP | 1u << CUT)

typedef struct meddling {
    place at;
    size_t byte;
    unsigned change;
    bool hit; /* there was such a byte */
} meddling;

static inline bool same_place(place a, place b)
{
    return a.script == b.script && a.command == b.command && a.answer == b.answer;
}

/* Whether it is one of these changes, in bytes first to last of that message. */
static inline bool meddles_in(const meddling *m, place at, size_t first, size_t last,
                              unsigned changes)
{
    return same_place(at, m->at) && m->byte >= first && m->byte <= last &&
           (changes >> m->change & 1);
}

/* To each message on its way; context: a meddling, or NULL for an honest terminal. */
static inline void meddle(void *context, place at, cb_buf *message)
{
    meddling *m = context;
    if (!m || !same_place(at, m->at))
        return;
    if (m->change == LONGER)
        m->byte = message->len;
    m->hit = m->byte < message->len || m->change == LONGER;
    if (!m->hit)
        return;
    if (m->change == CUT)
        message->len = m->byte;
    else if (m->change == LONGER)
        cb_buf_put_u8(message, 0);
    else
        message->data[m->byte] ^= m->change == BYTE ? 0xFF : (uint8_t)(1u << m->change);
}

#endif
