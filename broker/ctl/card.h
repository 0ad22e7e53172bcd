/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Acts on cards that more than one command is made of. Each says what went wrong.
 */
#ifndef CB_BROKER_CTL_CARD_H
#define CB_BROKER_CTL_CARD_H

#include "broker/ctl/ctl.h"

/* Has hsmd bind the card of a certificate to a holder and cardbrokerd record it. *card is the
 * caller's. */
cb_ctl_status cb_ctl_card_issue(cb_ctl *ctl, const cb_id *holder, cb_bytes certificate,
                                uint8_t level, json_t **card);

/* activate, suspend, resume, revoke; reason may be NULL. */
cb_ctl_status cb_ctl_card_change(cb_ctl *ctl, const char *card, const char *act,
                                 const char *reason);

/* --level 1|2|possession|pin; *level is left alone when text is NULL. */
cb_ctl_status cb_ctl_level(cb_ctl *ctl, const char *text, uint8_t *level);

/* card replace */
cb_ctl_status cb_ctl_card_replace(cb_ctl *ctl, const cb_ctl_args *args);

#endif
