/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Codes that put a card in the place of another (decision 34). The broker uses none whose card was
 * stopped since the code was made, and takes that from the card's row. So a use after such a stop
 * is of a row that somebody had changed meanwhile.
 */
#include <string.h>

#include "base/leaf.h"
#include "broker/evidence/check.h"

static bool find(cb_bytes leaf, const char *line, cb_id *out)
{
    char text[CB_ID_TEXT];
    return cb_leaf_find_text(leaf, line, text, sizeof text) == CB_OK &&
           cb_id_parse(text, out) == CB_OK;
}

/* In one transaction the old card is revoked and the code used. */
static bool was_stopped(const cb_check *check, uint64_t allowed, const cb_id *old)
{
    uint64_t since;
    const char *was = cb_check_revoked_was(check, &since);
    if (!cb_id_same(&check->revoked.id, old))
        return true; /* it was dead already */
    if (strcmp(was, "suspended") == 0 || strcmp(was, "expired") == 0)
        return since > allowed;
    return strcmp(was, "issued") != 0 && strcmp(was, "active") != 0;
}

static void take_use(cb_check *check, uint64_t position, cb_bytes data, const cb_id *code)
{
    cb_id old;
    const cb_id_entry *allowed = cb_id_map_find(&check->open, 'g', code);
    if (allowed && find(data, "replaces", &old) && was_stopped(check, allowed->value, &old))
        cb_check_finding(check, position, "registration.stopped",
                         "The code was used although the card in whose place it puts another had "
                         "been stopped since it was made.");
}

void cb_check_registration(cb_check *check, uint64_t position, const cb_leaf_fields *leaf,
                           cb_bytes data)
{
    cb_id code, old;
    if (strncmp(leaf->kind, "registration.", 13) != 0 || check->error || !find(data, "code", &code))
        return;
    if (strcmp(leaf->kind, "registration.allowed") == 0) {
        if (find(data, "replaces", &old))
            check->error = cb_id_map_set(&check->open, 'g', &code, position);
        return;
    }
    if (strcmp(leaf->kind, "registration.used") == 0)
        take_use(check, position, data, &code);
    cb_id_entry *allowed = cb_id_map_find(&check->open, 'g', &code);
    if (allowed)
        cb_id_map_remove(&check->open, allowed);
}
