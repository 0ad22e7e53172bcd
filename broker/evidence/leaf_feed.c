/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/leaf_feed.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *kind;
    uint8_t feed;
    size_t subject; /* offset in cb_leaf_fields */
} revoking[] = {
    {"card.revoked", CB_FEED_CARD_REVOKED, offsetof(cb_leaf_fields, card)},
    {"card.suspended", CB_FEED_CARD_SUSPENDED, offsetof(cb_leaf_fields, card)},
    {"card.expired", CB_FEED_CARD_SUSPENDED, offsetof(cb_leaf_fields, card)},
    {"card.resumed", CB_FEED_CARD_RESUMED, offsetof(cb_leaf_fields, card)},
    {"card.keys_retired", CB_FEED_KEY_RETIRED, offsetof(cb_leaf_fields, key)},
    {"terminal.revoked", CB_FEED_TERMINAL_REVOKED, offsetof(cb_leaf_fields, terminal)},
    {"enrolment.key_retired", CB_FEED_KEY_RETIRED, offsetof(cb_leaf_fields, key)},
};

bool cb_leaf_revokes(const cb_leaf_fields *leaf, cb_feed_entry *entry)
{
    for (size_t i = 0; i < sizeof revoking / sizeof *revoking; i++) {
        if (strcmp(revoking[i].kind, leaf->kind) != 0)
            continue;
        entry->kind = revoking[i].feed;
        memcpy(&entry->subject, (const char *)leaf + revoking[i].subject, sizeof entry->subject);
        return true;
    }
    return false;
}

bool cb_leaf_feed(cb_bytes leaf, cb_feed_entry *entry)
{
    cb_leaf_fields fields;
    *entry = (cb_feed_entry){0};
    if (cb_leaf_fields_read(leaf, &fields) || !cb_leaf_revokes(&fields, entry) || !fields.has_feed)
        return false;
    entry->number = fields.feed;
    entry->time = fields.time;
    return true;
}
