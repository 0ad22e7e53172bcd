/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PIN and unblocking code of a new card: from a descriptor, from a person at the terminal, or drawn
 * by lot and written into a "PIN letter" for the holder.
 */
#ifndef CB_CARDLINK_ISSUER_SECRETS_H
#define CB_CARDLINK_ISSUER_SECRETS_H

#include "cardlink/native/pin.h"

typedef struct cb_card_secrets {
    char pin[CB_PIN_MAX + 1];
    char code[CB_UNBLOCK_CODE_LEN + 1];
} cb_card_secrets;

/* One secret that is to come in: what to ask for, and where to. */
typedef struct cb_secret_slot {
    const char *what;
    char *out;
    size_t size; /* of out; the secret is shorter */
} cb_secret_slot;

/* As many secrets: lines from a descriptor; or (fd -1) asked for on the terminal, without echo,
 * each twice. CB_E_PIN_FORMAT for a line that is missing or too long, or that was another when
 * repeated; CB_E_IO when there is no terminal. All are wiped then. */
cb_error cb_secrets_get(int fd, const cb_secret_slot *slots, size_t count);

/* Two lines from a descriptor: the PIN, the code. CB_E_PIN_FORMAT. */
cb_error cb_secrets_read(int fd, cb_card_secrets *out);

/* Asks on the terminal, without echo, each twice. CB_E_PIN_FORMAT, CB_E_IO when there is no
 * terminal. */
cb_error cb_secrets_ask(cb_card_secrets *out);

/* A PIN of as many digits, and a code. CB_E_PIN_FORMAT unless 4..12. */
cb_error cb_secrets_draw(unsigned pin_len, cb_card_secrets *out);

/* The letter: "card UUID", "PIN …", "unblocking code …". A new file of mode 0600. */
cb_error cb_secrets_letter(const char *path, const cb_id *card, const cb_card_secrets *secrets,
                           cb_buf *why);

#endif
