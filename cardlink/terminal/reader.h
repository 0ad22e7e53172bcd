/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Card readers: which are there, whether a card lies on them, and talking to that card.
 *
 * There are two kinds behind one table: PC/SC (pcsc.c) and a virtual card's socket (vreader.c).
 * Drivers of real readers can hang for good inside a call that nothing can interrupt. Therefore
 * each cb_readers has a thread of its own which makes all the calls; a call that does not come back
 * in time is given up: the caller gets CB_E_READER, the thread is left behind with what it holds
 * (and cleans up if it ever returns), and the cb_readers is good for nothing but closing.
 *
 * A cb_readers serves one thread at a time and one card at a time. Of all that a process has, only
 * one may list and wait (pcsc.c says why); the others take cards whose readers it named. It
 * recovers by itself from a PC/SC service that stops and starts.
 */
#ifndef CB_CARDLINK_TERMINAL_READER_H
#define CB_CARDLINK_TERMINAL_READER_H

#include "base/buf.h"

enum {
    CB_READER_NAME_MAX = 127,
    CB_READERS_MAX = 16, /* what PC/SC lite serves at most */
    CB_ATR_LEAST = 2,
    CB_ATR_MAX = 33
};

typedef struct cb_reader_info {
    char name[CB_READER_NAME_MAX + 1];
    bool present;     /* a card lies on it */
    bool mute;        /* and does not answer */
    bool in_use;      /* another program has it for itself */
    uint32_t changes; /* grows with each card that comes or goes, so that a quick exchange shows */
    uint8_t atr[CB_ATR_MAX];
    size_t atr_len;
} cb_reader_info;

typedef struct cb_reader_list {
    size_t count;
    cb_reader_info reader[CB_READERS_MAX];
} cb_reader_list;

/* What a kind of reader can do. Called by one thread. place says where, as the configuration does.
 * The functions return what those of cb_readers below do; open allocates no card and needs no
 * running service. */
typedef struct cb_reader_kind {
    const char *name;
    cb_error (*open)(const char *place, void **state);
    void (*close)(void *state);
    cb_error (*list)(void *state, cb_reader_list *out);
    cb_error (*wait)(void *state, cb_reader_list *known, bool plug, int64_t deadline);
    cb_error (*connect)(void *state, const char *reader);
    cb_error (*transmit)(void *state, cb_bytes command, cb_buf *answer);
    void (*disconnect)(void *state);
    bool (*has_pad)(void *state); /* of the card's reader; NULL: never */
    cb_error (*verify)(void *state, cb_bytes header, bool padded, cb_buf *answer);
} cb_reader_kind;

extern const cb_reader_kind cb_reader_pcsc;
extern const cb_reader_kind cb_reader_virtual;

typedef struct cb_readers cb_readers;

/* The kind and place of what a configuration says: "pcsc", "pcsc exclusive" or
 * "virtual:/path/of/socket". CB_E_CONFIG. */
cb_error cb_reader_kind_find(const char *text, const cb_reader_kind **kind, const char **place);

/* patience: microseconds that one call to the card or its reader may take; 0: ten seconds. */
cb_error cb_readers_open(const cb_reader_kind *kind, const char *place, int64_t patience,
                         cb_readers **out);
void cb_readers_close(cb_readers **readers);

/* Whether a call was given up; the only thing left to do is to close. */
bool cb_readers_hung(cb_readers *readers);

/* The readers of now, with their cards. CB_E_READER_NONE: none, or no service. */
cb_error cb_readers_list(cb_readers *readers, cb_reader_list *out);

/* Waits until something differs from *known, then writes what is to *known and returns CB_OK. With
 * plug also readers that come and go count; otherwise only those in *known, which become a list of
 * none if one of them is gone. CB_E_TIMEOUT at the (monotonic) deadline, CB_E_READER_NONE while
 * there is no service. Calls are best a second or less, so that a stop is noticed. */
cb_error cb_readers_wait(cb_readers *readers, cb_reader_list *known, bool plug, int64_t deadline);

/* Takes the card of a reader for this program alone until cb_card_release, which also resets it, so
 * that nothing that was opened on it stays open. CB_E_CARD_ABSENT, CB_E_CARD_STATUS (a mute card),
 * CB_E_READER_IN_USE (another program has it), CB_E_READER_NONE (no such reader), CB_E_READER. */
cb_error cb_card_take(cb_readers *readers, const char *reader);
void cb_card_release(cb_readers *readers);

/* One exchange, raw: 61xx and 6Cxx are play.h's. Appends data and status. CB_E_CARD_REMOVED (also
 * when the reader or the service went away: the card is out of reach), CB_E_READER, CB_E_TOO_LARGE.
 */
cb_error cb_card_transmit(cb_readers *readers, cb_bytes command, cb_buf *answer);

/* Whether the reader of the card that was taken has a PIN pad (pad.h). */
bool cb_card_has_pad(cb_readers *readers);

/* Has the PIN typed on it, put into a VERIFY of which this is the header, and sent to the card.
 * Appends the card's status. May take three quarters of a minute. CB_E_PIN_CANCELLED (nobody typed
 * one), CB_E_PIN_FORMAT (too few or too many digits), CB_E_PIN_PAD (there is none), and as
 * cb_card_transmit. */
cb_error cb_card_verify(cb_readers *readers, cb_bytes header, bool padded, cb_buf *answer);

#endif
