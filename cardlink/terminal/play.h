/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Playing a script to a card, as cardlink/script.h says; and the transport's own answers: 61xx
 * (more is waiting: GET RESPONSE) and 6Cxx (wrong Le: once more with the right one), ISO/IEC
 * 7816-4, 5.3.4 and 7816-3.
 */
#ifndef CB_CARDLINK_TERMINAL_PLAY_H
#define CB_CARDLINK_TERMINAL_PLAY_H

#include "base/buf.h"
#include "cardlink/script.h"
#include "cardlink/terminal/reader.h"

/* A card to play to: transmit is one raw exchange and appends data and status, as cb_card_transmit.
 */
typedef struct cb_card_io {
    void *card;
    cb_error (*transmit)(void *card, cb_bytes command, cb_buf *answer);
    cb_bytes pin; /* digits, for cards that take them in the clear; empty: none */
    /* The reader's PIN pad instead: takes the digits itself, for a VERIFY of which this is the header, and appends the
     * card's status. NULL: there is none, or it is not used. */
    cb_error (*verify)(void *card, cb_bytes header, bool padded, cb_buf *answer);
    /* The command that the card was sent last, and its whole answer: when a script begins with it,
     * the card is not asked again. Empty: there is none. */
    cb_bytes sent, answered;
} cb_card_io;

/* The card that was taken; pad: with its reader's PIN pad. */
cb_card_io cb_card_io_of(cb_readers *readers, bool pad);

/* Plays the commands and appends the answers, encoded as answers are, to an empty buffer. CB_OK
 * also when the card refused a command and the script ended there: what that means is the broker's
 * to say. Otherwise the answers so far are in the buffer: CB_E_FORMAT       a command is not a
 * short APDU, or the PIN is to go into something that is not VERIFY; then nothing was sent at all CB_E_CARD_ANSWER  an answer without a
 * status, or GET RESPONSE that never ends or exceeds CB_ANSWER_MAX CB_E_PIN_REQUIRED, CB_E_PIN_FORMAT  the card wants the PIN in the
 * clear, and there is none, or not one of its length; then nothing was sent either; what transmit and verify returned, CB_E_CARD_REMOVED above all. */
cb_error cb_play(const cb_card_io *io, const cb_script *script, cb_buf *answers);

/* Whether these bytes are a short command APDU of one of the four cases (ISO/IEC 7816-3, 12.1). */
bool cb_command_ok(cb_bytes command);

/* Whether a script has a command that the PIN goes into. */
bool cb_script_wants_pin(const cb_script *script);

/* The form T=0 carries: without Le when there are data, with a zero P3 when there are neither. out
 * has CB_COMMAND_MAX bytes; returns the length. The command must be cb_command_ok. */
size_t cb_command_for_t0(cb_bytes command, uint8_t *out);

#endif
