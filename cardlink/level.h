/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Levels of assurance: what a tap has proven about who is there (docs/levels.md has the table). A
 * service states the least it takes, a key the least it is used for, a card's binding the highest
 * that it may reach (S3-⑦).
 *
 * The numbers stand in records for good and say nothing of what is more: the order is the table's
 * here.
 */
#ifndef CB_CARDLINK_LEVEL_H
#define CB_CARDLINK_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

typedef enum cb_level {
    CB_LEVEL_NONE = 0,
    CB_LEVEL_POSSESSION = 1, /* a key that does not leave the card has signed */
    CB_LEVEL_PIN =
        2, /* and the PIN came to the card encrypted, after the card had authenticated the broker */
    CB_LEVEL_TERMINAL_PIN = 3, /* or came from the terminal in the clear: less, for a hostile
                                  terminal may use it again */
    CB_LEVEL_PASSWORD = 4      /* no card at all: somebody knows a password. Less than any card, and
                                  taken by services that ask for no more alone */
} cb_level;

/* Whether it is a level that can be asked for: any but none. */
bool cb_level_ok(uint8_t level);

/* Whether who reached the one has what the other asks for. What is no level reaches nothing and is
 * reached by nothing. */
bool cb_level_reaches(uint8_t reached, uint8_t asked);

/* The one of the two that proves less. */
uint8_t cb_level_lower(uint8_t one, uint8_t other);

/* Whether nothing but a PIN can reach it. */
bool cb_level_needs_pin(uint8_t asked);

/* "password", "possession", "terminal-pin", "pin"; "none"; NULL for what is no level. */
const char *cb_level_name(uint8_t level);

/* By its name or its number in decimal; CB_LEVEL_NONE when it is neither, and for "none". */
uint8_t cb_level_parse(const char *text);

#endif
