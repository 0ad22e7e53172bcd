/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card that somebody else issued, as "cardlink read" printed it (cardlink/terminal/survey.h).
 */
#ifndef CB_BROKER_CTL_READING_H
#define CB_BROKER_CTL_READING_H

#include "broker/ctl/card.h"
#include "hsm/client.h"

typedef struct cb_ctl_reading {
    cb_foreign_reading card; /* borrows from the rest */
    cb_buf answers;
    cb_buf certificate[CB_CARD_KEYS_MAX];
} cb_ctl_reading;

void cb_ctl_reading_init(cb_ctl_reading *r);
void cb_ctl_reading_free(cb_ctl_reading *r);

/* Reads the file into one that is empty; says what is wrong with it. */
cb_ctl_status cb_ctl_reading_load(cb_ctl *ctl, const char *path, cb_ctl_reading *r);

/* Of which profile it is, and its identifier by what it says of itself, which nobody has verified
 * yet. */
cb_ctl_card cb_ctl_reading_card(const cb_ctl_reading *r);

/* Appends its certificates as the record has them: those of X.509, DER, one after another. What
 * follows one in the reading is for hsmd alone. */
cb_ctl_status cb_ctl_reading_certificates(cb_ctl *ctl, const cb_ctl_reading *r, cb_buf *all);

/* Has hsmd bind it to a holder and cardbrokerd record it. *card is the caller's. */
cb_ctl_status cb_ctl_reading_bind(cb_ctl *ctl, const cb_ctl_reading *r, const cb_id *holder,
                                  uint8_t level, const cb_ctl_record *record, json_t **card);

/* Appends the bytes of a text in hexadecimal. CB_E_FORMAT. */
cb_error cb_ctl_unhex(const json_t *text, cb_buf *out);

#endif
