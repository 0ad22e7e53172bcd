/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The revocation feed, computed again from the leaves and compared with its table.
 */
#include <stdlib.h>

#include "broker/evidence/check.h"
#include "broker/evidence/leaf_feed.h"

enum { PAGE = 500 };

struct cb_feed_seen {
    uint64_t leaf;
    cb_digest hash;
};

static void note(cb_check *check, uint64_t position, const cb_digest *hash)
{
    if ((check->feed_count & (check->feed_count - 1)) == 0) {
        size_t room = check->feed_count ? 2 * check->feed_count : 1;
        struct cb_feed_seen *grown = realloc(check->feed, room * sizeof *grown);
        if (!grown) {
            check->error = CB_E_MEMORY;
            return;
        }
        check->feed = grown;
    }
    check->feed[check->feed_count++] = (struct cb_feed_seen){position, *hash};
}

void cb_check_feed(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    cb_feed_entry entry = {.number = check->feed_count + 1, .time = leaf->time};
    if (!cb_leaf_revokes(leaf, &entry)) {
        if (leaf->has_feed)
            cb_check_finding(check, position, "feed.leaf", "A leaf of this kind revokes nothing.");
        return;
    }
    if (!leaf->has_feed) {
        cb_check_finding(check, position, "feed.missing", "The revocation is not in the feed.");
        return;
    }
    check->feed_hash = cb_feed_hash(&check->feed_hash, &entry);
    if (leaf->feed != entry.number ||
        memcmp(&leaf->feed_hash, &check->feed_hash, sizeof check->feed_hash) != 0) {
        cb_check_finding(check, position, "feed.chain", "The feed's chain is broken here.");
        check->feed_hash = leaf->feed_hash; /* one finding for one break */
    }
    note(check, position, &leaf->feed_hash);
    check->summary->feed_number = check->feed_count;
}

/* ---- The table ---- */

typedef struct feed_page {
    cb_feed_entry entry[PAGE];
    cb_digest hash[PAGE];
    uint64_t leaf[PAGE];
    size_t count;
} feed_page;

static void compare(cb_check *check, uint64_t number, const feed_page *page, size_t i,
                    cb_digest *chain)
{
    const struct cb_feed_seen *seen = number <= check->feed_count ? &check->feed[number - 1] : NULL;
    cb_digest hash = cb_feed_hash(chain, &page->entry[i]);
    if (page->entry[i].number != number || !seen || seen->leaf != page->leaf[i])
        cb_check_finding(check, page->leaf[i], "feed.leaf", "A feed entry has no leaf of its own.");
    else if (memcmp(&hash, &page->hash[i], sizeof hash) != 0 ||
             memcmp(&hash, &seen->hash, sizeof hash) != 0)
        cb_check_finding(check, page->leaf[i], "feed.chain",
                         "A feed entry is not what its leaf says.");
    *chain = page->hash[i];
}

static cb_error compare_all(cb_check *check, feed_page *page, uint64_t *number)
{
    const cb_evidence_source *source = check->source;
    cb_digest chain = {{0}};
    cb_error error;
    uint64_t after = 0;
    do {
        error = source->feed(source->context, after, page->entry, page->hash, page->leaf, PAGE,
                             &page->count);
        for (size_t i = 0; !error && i < page->count; i++) {
            compare(check, ++*number, page, i, &chain);
            after = page->entry[i].number;
        }
    } while (!error && page->count > 0);
    return error;
}

void cb_check_feed_end(cb_check *check)
{
    uint64_t number = 0;
    if (!check->source->feed || check->error)
        return;
    feed_page *page = malloc(sizeof *page);
    check->error = page ? compare_all(check, page, &number) : CB_E_MEMORY;
    free(page);
    if (!check->error && number < check->feed_count)
        cb_check_finding(check, check->feed[number].leaf, "feed.missing",
                         "Revocations in the log are missing from the feed.");
}

void cb_check_feed_free(cb_check *check) { free(check->feed); }
