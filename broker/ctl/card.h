/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Acts on cards that more than one command is made of. Each says what went wrong.
 */
#ifndef CB_BROKER_CTL_CARD_H
#define CB_BROKER_CTL_CARD_H

#include "broker/ctl/ctl.h"

/* Where cardbrokerd is asked to record a card, and what it is told besides the binding. */
typedef struct cb_ctl_record {
    const char *path;
    json_t *fields;       /* an object; NULL: nothing */
    const char *replaces; /* the card in whose place it comes, or NULL */
} cb_ctl_record;

/* A card before hsmd binds it. */
typedef struct cb_ctl_card {
    uint8_t profile;
    cb_id id; /* zero: not known yet */
} cb_ctl_card;

/* Of the certificate of a card of the broker's own issuers, which nobody has verified yet. */
cb_ctl_card cb_ctl_card_native(cb_bytes certificate);

/* Asks cardbrokerd whether the rules let it be recorded now: a binding is for good, and one that nobody records costs the card. Of one that is there
 * hsmd is to judge whose it is. holder_name: of one who is entered with it, or NULL. */
cb_ctl_status cb_ctl_card_issuable(cb_ctl *ctl, const cb_ctl_card *card, const cb_id *holder,
                                   const char *holder_name, const cb_ctl_record *record);

/* What --expires and --station say, and the name of this machine where no station is named. fields is the caller's. */
cb_ctl_status cb_ctl_issue_fields(cb_ctl *ctl, const cb_ctl_args *args, json_t **fields);

/* These options, for the tables of commands. */
#define CB_CTL_ISSUE_OPTIONS                                                                       \
    {"expires", "DAY", "an own last day, as 2031-03-31; the card ends then, or with its certificate before", false, false}, \
    {"serial", "MANUFACTURER/SERIAL", "which card of stock it is, where the list does not have its identity", false, false}, \
    {"application", "APPLICATION", "that it is issued for (default: the first that is approved, if one is required)", false, false}, \
    {"station", "NAME", "the machine that the card is issued at (default: this one's name)", false, false}

/* Has hsmd bind the card of a certificate to a holder and cardbrokerd record it. *card is the
 * caller's. */
cb_ctl_status cb_ctl_card_issue(cb_ctl *ctl, const cb_id *holder, cb_bytes certificate,
                                uint8_t level, const cb_ctl_record *record, json_t **card);

/* How hsmd binds a card: one of cb_hsm_bind and cb_hsm_bind_foreign, with what they take. */
typedef cb_error (*cb_ctl_binder)(cb_hsm *hsm, const void *what, const cb_id *holder, uint8_t level,
                                  uint64_t sequence, cb_buf *binding);

/* The same for a card of any kind. certificates: DER, one after another, of a foreign card's keys; otherwise none. */
cb_ctl_status cb_ctl_card_bind(cb_ctl *ctl, const cb_ctl_card *of, const cb_id *holder,
                               uint8_t level, cb_ctl_binder bind, const void *what,
                               cb_bytes certificates, const cb_ctl_record *record, json_t **card);

/* Activates a card that was made if --activate says so, and says what was done with it: "issued", "registered". */
cb_ctl_status cb_ctl_card_made(cb_ctl *ctl, const cb_ctl_args *args, json_t *card, const char *what);

cb_ctl_status cb_ctl_card_issue_many(cb_ctl *ctl, const cb_ctl_args *args);
cb_ctl_status cb_ctl_card_register_many(cb_ctl *ctl, const cb_ctl_args *args);

/* activate, suspend, resume, revoke, return, destroy; reason may be NULL. */
cb_ctl_status cb_ctl_card_change(cb_ctl *ctl, const char *card, const char *act,
                                 const char *reason);

/* Lets a suspended card be used again, in the record and in hsmd. */
cb_ctl_status cb_ctl_card_resume(cb_ctl *ctl, const cb_id *id);

/* --level, by name or number; *level is left alone when text is NULL. */
cb_ctl_status cb_ctl_level(cb_ctl *ctl, const char *text, uint8_t *level);

/* The number of the next binding of a holder, who is there. */
cb_ctl_status cb_ctl_next_sequence(cb_ctl *ctl, const char *holder, uint64_t *sequence);

/* card register, card renew */
cb_ctl_status cb_ctl_card_register(cb_ctl *ctl, const cb_ctl_args *args);
cb_ctl_status cb_ctl_card_renew(cb_ctl *ctl, const cb_ctl_args *args);

/* card unblock */
cb_ctl_status cb_ctl_card_unblock(cb_ctl *ctl, const cb_ctl_args *args);

/* card suspension-code */
cb_ctl_status cb_ctl_card_code(cb_ctl *ctl, const cb_ctl_args *args);

/* card replace */
cb_ctl_status cb_ctl_card_replace(cb_ctl *ctl, const cb_ctl_args *args);

#endif
