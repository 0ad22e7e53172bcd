/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * By which keys the record has known each terminal: one takes another's place only after it was
 * certified for that terminal.
 */
#include <string.h>

#include "base/leaf.h"
#include "base/text.h"
#include "broker/evidence/check.h"

enum { IN_USE = 1, NEXT = 2 }; /* what a key of a terminal was said to be, so far */

static const struct {
    const char *leaf; /* kind */
    bool gives;       /* the key in use may be another than before */
} kinds[] = {
    {"terminal.added", true},    {"terminal.activated", true},  {"terminal.certified", false},
    {"terminal.renewed", false}, {"terminal.described", false},
    {"terminal.confirmed", true},
};

static cb_id name_of(const cb_id *terminal, const cb_digest *key)
{
    cb_id id;
    cb_digest digest =
        cb_sha256_parts((cb_bytes[]){cb_id_bytes(terminal), cb_digest_bytes(key)}, 2);
    memcpy(id.bytes, digest.bytes, sizeof id.bytes);
    return id;
}

static uint64_t said(const cb_check *check, const cb_id *name)
{
    const cb_id_entry *entry = cb_id_map_find(&check->keys, 'k', name);
    return entry ? entry->value : 0;
}

static void note(cb_check *check, const cb_id *terminal, const cb_digest *key, uint64_t what)
{
    cb_id name = name_of(terminal, key);
    if (!check->error)
        check->error = cb_id_map_set(&check->keys, 'k', &name, said(check, &name) | what);
}

static bool find(cb_bytes leaf, const char *line, cb_digest *out)
{
    char text[2 * CB_SHA256_SIZE + 1];
    return cb_leaf_find_text(leaf, line, text, sizeof text) == CB_OK &&
           cb_unhex_exact(text, out->bytes, CB_SHA256_SIZE) == CB_OK;
}

bool cb_check_terminal_had(const cb_check *check, const cb_id *terminal, const cb_digest *key)
{
    cb_id name = name_of(terminal, key);
    return said(check, &name) & IN_USE;
}

void cb_check_terminal(cb_check *check, uint64_t position, const cb_leaf_fields *leaf,
                       cb_bytes data)
{
    cb_digest key, next;
    size_t i = 0;
    while (i < sizeof kinds / sizeof *kinds && strcmp(kinds[i].leaf, leaf->kind) != 0)
        i++;
    if (i == sizeof kinds / sizeof *kinds || check->error)
        return;
    if (cb_id_is_zero(&leaf->terminal) || !find(data, "key_sha256", &key)) {
        cb_check_finding(check, position, "leaf.format", "The leaf does not say by which key.");
        return;
    }
    cb_id name = name_of(&leaf->terminal, &key);
    if (!kinds[i].gives && said(check, &name) == 0)
        cb_check_finding(check, position, "terminal.key",
                         "The terminal got a key that was never certified for it.");
    note(check, &leaf->terminal, &key, IN_USE);
    if (find(data, "next_key_sha256", &next))
        note(check, &leaf->terminal, &next, NEXT);
}
