/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Scripts: what a terminal plays to a card.
 *
 * A script is a list of command APDUs that the broker's side made; the answers are the list of
 * response APDUs (data, then SW1 SW2) that the card gave to them. The terminal plays command after
 * command and stops after the first answer whose status is not 9000, unless that command is marked
 * CB_SCRIPT_GO_ON. GET RESPONSE (61xx), wrong Le (6Cxx) are the terminal's own work and do not
 * show. So there are at most as many answers as commands, and only the last may be a failure that
 * counts. Of a command that is marked CB_SCRIPT_PART, the first part of the answer is enough: GET
 * RESPONSE is not sent once there are data, and the status is 9000.
 *
 * Some cards take the PIN in the clear. The command for that is a header alone, 00 20 00 and a
 * reference, marked with the form in which the digits are put behind it: by the terminal, and by
 * nobody else. No other command is ever given the PIN. In the padded form, which is PIV's, the
 * header goes to the card alone first: with 6982 or 6A81 it says that it compares no PIN now, and
 * that is the command's answer; the PIN stays where it is.
 *
 * A command may be meant for some cards only, which the card's answer to the script's first command
 * tells apart: marked CB_SCRIPT_WHEN it is played only if the data of that answer hold certain
 * bytes, wherever; otherwise it is passed over and has no answer. The first command is never so
 * marked.
 *
 * Encoding of both, between processes: u8 count, then for each: u8 flags (0 in answers), with
 * CB_SCRIPT_WHEN u8 length and those bytes, 32-bit length, bytes. In JSON: arrays of {"apdu": hex,
 * "go_on": bool, "part": bool, "pin": "ascii" or "padded", "when": hex} and of hex strings.
 */
#ifndef CB_CARDLINK_SCRIPT_H
#define CB_CARDLINK_SCRIPT_H

#include "base/buf.h"
#include "base/cursor.h"

enum {
    CB_SCRIPT_COMMANDS_MAX = 32,
    CB_COMMAND_MAX = 261,     /* short APDUs only: 4 + 1 + 255 + 1 */
    CB_ANSWER_MAX = 4096 + 2, /* after GET RESPONSE was done */
    CB_SCRIPT_BYTES_MAX = 32 * 1024,
    CB_SCRIPT_GO_ON = 0x01,
    CB_SCRIPT_PART = 0x02,
    CB_SCRIPT_PIN_ASCII = 0x04, /* the digits as they are */
    CB_SCRIPT_PIN_PADDED =
        0x08, /* filled up to eight bytes with FF (NIST SP 800-73-4, part 2, 2.4.3) */
    CB_SCRIPT_PIN = CB_SCRIPT_PIN_ASCII | CB_SCRIPT_PIN_PADDED,
    CB_SCRIPT_WHEN = 0x10,
    CB_SCRIPT_WHEN_MAX = 32 /* bytes, at least one */
};

typedef struct cb_script_item {
    uint8_t flags;
    cb_bytes when; /* empty without CB_SCRIPT_WHEN */
    cb_bytes apdu;
} cb_script_item;

/* Borrowed items; the buffer they were read from owns the bytes. */
typedef struct cb_script {
    size_t count;
    cb_script_item item[CB_SCRIPT_COMMANDS_MAX];
} cb_script;

/* Appends an item to a script that is being made in buf (an empty buffer is an empty script). */
void cb_script_put(cb_buf *buf, uint8_t flags, cb_bytes apdu);

/* The same for a command that is played only when these bytes are in the first answer; of none:
 * always. */
void cb_script_put_when(cb_buf *buf, uint8_t flags, cb_bytes when, cb_bytes apdu);

/* Whether a command is played, by the whole answer to the first one. */
bool cb_script_plays(const cb_script_item *item, cb_bytes first_answer);

/* Reads a whole script, or answers. CB_E_FORMAT, CB_E_TOO_LARGE. No bytes at all are an empty one.
 */
cb_error cb_script_read(cb_bytes encoded, size_t item_max, cb_script *out);

/* The status word of an answer, 0 if it is shorter than two bytes; and what stands before it. */
uint16_t cb_answer_status(cb_bytes answer);
cb_bytes cb_answer_data(cb_bytes answer);

#endif
