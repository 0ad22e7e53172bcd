/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checkpoints, computed again, and rows compared with the words that remain at the end. A leaf about one speaks of a position that lies before its own: so
 * what the last leaves say is kept aside for a while, and taken in as far as the next checkpoint
 * goes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/evidence/check.h"
#include "broker/evidence/checkpoint.h"
#include "broker/evidence/leaf_feed.h"
#include "broker/evidence/tree.h"

/* What one leaf says. */
typedef struct past {
    cb_digest hash;
    cb_digest feed_hash; /* after it */
    cb_vouch word;
    bool revokes, says;
} past;

struct cb_lag {
    past *ring;
    size_t room, first, count;
    cb_feed_head newest; /* after the last leaf; below: after those that were taken in */
    cb_feed_head feed;
    cb_merkle_frontier tree;
    cb_id_map words;
    bool gaps; /* leaves are missing, which is a finding already: nothing can be compared */
    struct suspect *suspects;
    size_t suspect_count;
    size_t settled; /* so many of them no head can change any more */
    uint64_t login; /* what lies before this was under a head when somebody was logged in */
};

/* A checkpoint that is wrong is a finding unless a later leaf says that it never counted: then it
 * was written into the database, where somebody found it before it was signed. So no head may cover
 * it without that leaf; nor may anybody have been logged in between them, for that needs a head,
 * and heads can be left out of a record. */
struct suspect {
    uint64_t position;
    uint64_t pardon; /* where that leaf is; UINT64_MAX: nowhere */
    const char *what, *detail;
};

static bool make_room(struct cb_lag *lag)
{
    if (lag->count < lag->room)
        return true;
    size_t room = lag->room ? 2 * lag->room : 256;
    past *ring = malloc(room * sizeof *ring);
    if (!ring)
        return false;
    for (size_t i = 0; i < lag->count; i++)
        ring[i] = lag->ring[(lag->first + i) % lag->room];
    free(lag->ring);
    lag->ring = ring;
    lag->room = room;
    lag->first = 0;
    return true;
}

static cb_error take_in(struct cb_lag *lag)
{
    const past *oldest = &lag->ring[lag->first];
    cb_error error = oldest->says ? cb_vouch_apply(&lag->words, &oldest->word) : CB_OK;
    cb_merkle_append(&lag->tree, &oldest->hash);
    if (oldest->revokes)
        lag->feed = (cb_feed_head){lag->feed.number + 1, oldest->feed_hash};
    lag->first = (lag->first + 1) % lag->room;
    lag->count--;
    return error;
}

static cb_error put_aside(struct cb_lag *lag, const cb_log_leaf *leaf, const cb_digest *hash)
{
    cb_feed_entry entry;
    past now = {.hash = *hash};
    cb_error error = lag->count == CB_CHECKPOINT_LAG ? take_in(lag) : CB_OK;
    if (error || !make_room(lag))
        return CB_E_MEMORY;
    now.says = cb_vouch_read(leaf->data, &now.word);
    now.revokes = cb_leaf_feed(leaf->data, &entry);
    if (now.revokes)
        lag->newest =
            (cb_feed_head){lag->newest.number + 1, cb_feed_hash(&lag->newest.hash, &entry)};
    now.feed_hash = lag->newest.hash;
    lag->ring[(lag->first + lag->count++) % lag->room] = now;
    return CB_OK;
}

/* ---- What is wrong ---- */

static void suspect(cb_check *check, uint64_t position, const char *what, const char *detail)
{
    struct cb_lag *lag = check->lag;
    struct suspect *grown = realloc(lag->suspects, (lag->suspect_count + 1) * sizeof *grown);
    if (!grown) {
        check->error = CB_E_MEMORY;
        return;
    }
    lag->suspects = grown;
    lag->suspects[lag->suspect_count++] =
        (struct suspect){position, UINT64_MAX, what, detail};
}

/* In order of positions. */
static int by_position(const void *key, const void *item)
{
    const uint64_t *position = key;
    const struct suspect *one = item;
    if (*position == one->position)
        return 0;
    return *position < one->position ? -1 : 1;
}

static void pardon(struct cb_lag *lag, uint64_t position, uint64_t at)
{
    struct suspect *one = lag->suspect_count == 0
                              ? NULL
                              : bsearch(&position, lag->suspects, lag->suspect_count,
                                        sizeof *lag->suspects, by_position);
    if (one && (size_t)(one - lag->suspects) >= lag->settled && position >= lag->login)
        one->pardon = at;
}

void cb_check_checkpoint_head(cb_check *check, uint64_t size)
{
    struct cb_lag *lag = check->lag;
    while (lag && lag->settled < lag->suspect_count &&
           lag->suspects[lag->settled].position < size) {
        struct suspect *one = &lag->suspects[lag->settled++];
        if (size <= one->pardon)
            one->pardon = UINT64_MAX;
    }
}

void cb_check_checkpoint_login(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    struct cb_lag *lag = check->lag;
    if (lag && strcmp(leaf->kind, "tap.result") == 0 && strcmp(leaf->outcome, "accepted") == 0 &&
        leaf->intent > lag->login && leaf->intent < position)
        lag->login = leaf->intent;
}

void cb_check_checkpoints_end(cb_check *check)
{
    const struct cb_lag *lag = check->lag;
    for (size_t i = 0; lag && i < lag->suspect_count; i++) {
        if (lag->suspects[i].pardon == UINT64_MAX)
            cb_check_finding(check, lag->suspects[i].position, lag->suspects[i].what,
                             lag->suspects[i].detail);
    }
}

/* ---- Checkpoints ---- */

static void compare_words(cb_check *check, uint64_t position, const cb_checkpoint *said)
{
    cb_checkpoint own = *said;
    own.rules = cb_vouch_rules();
    if (memcmp(&own.rules, &said->rules, sizeof own.rules) != 0) {
        check->summary->checkpoints_other++;
        return;
    }
    check->error = cb_words_of(&check->lag->words, &own);
    if (!check->error && !cb_checkpoint_same(&own, said))
        suspect(check, position, "checkpoint.words",
                "The checkpoint does not say of rows what the leaves before it say: the broker "
                "that wrote it was not sound.");
}

static void compare(cb_check *check, uint64_t position, const cb_checkpoint *said)
{
    cb_checkpoint own = *said;
    own.tree = cb_frontier_head(&check->lag->tree);
    own.feed = check->lag->feed;
    if (cb_checkpoint_same(&own, said))
        compare_words(check, position, said);
    else
        suspect(check, position, "checkpoint.record",
                "The checkpoint is not about the leaves and revocations before it.");
}

static void check_one(cb_check *check, uint64_t position, const cb_checkpoint *said)
{
    struct cb_lag *lag = check->lag;
    check->summary->checkpoints++;
    if (said->tree.size < lag->tree.size || said->tree.size > lag->tree.size + lag->count) {
        suspect(check, position, "checkpoint.format",
                "The checkpoint is about a position that comes too long before it, before "
                "another's, or after it.");
        return;
    }
    while (!check->error && lag->tree.size < said->tree.size)
        check->error = take_in(lag);
    if (!check->error)
        compare(check, position, said);
}

static void check_leaf(cb_check *check, const cb_log_leaf *leaf)
{
    cb_checkpoint said;
    cb_checkpoint_over end;
    cb_error error = cb_checkpoint_read(leaf->data, &said);
    if (error == CB_OK && !check->lag->gaps)
        check_one(check, leaf->position, &said);
    else if (error == CB_E_FORMAT)
        suspect(check, leaf->position, "checkpoint.format",
                "The leaf about a checkpoint is not written as such leaves are.");
    else if (error == CB_E_NOT_FOUND && cb_checkpoint_taken_back(leaf->data, &end) && end.pardoned)
        pardon(check->lag, end.position, leaf->position);
    else if (error == CB_E_MEMORY)
        check->error = error;
}

void cb_check_checkpoint(cb_check *check, const cb_log_leaf *leaf, const cb_digest *hash)
{
    if (!check->lag)
        check->lag = calloc(1, sizeof *check->lag);
    if (!check->lag)
        check->error = CB_E_MEMORY;
    if (check->error)
        return;
    struct cb_lag *lag = check->lag;
    lag->gaps = lag->gaps || leaf->position != lag->tree.size + lag->count;
    check_leaf(check, leaf);
    if (!check->error)
        check->error = put_aside(lag, leaf, hash);
}

/* ---- Rows ---- */

/* A word that a start took back matches nothing, and is no finding. */
static cb_error check_row(void *context, const cb_said_row *row)
{
    static const cb_digest taken_back;
    cb_check *check = context;
    char detail[160];
    const cb_id_map *words = &check->lag->words;
    cb_id_entry *entry = cb_id_map_find(words, row->kind, &row->id);
    if (entry)
        entry->marked = true;
    if (cb_vouch_found(words, row->kind, &row->id, &row->digest) ||
        cb_vouch_found(words, row->kind, &row->id, &taken_back))
        return CB_OK;
    snprintf(detail, sizeof detail, "%s %.64s is not in the table as the log says of it.", row->what,
             row->name);
    cb_check_finding(check, UINT64_MAX, "table.content", detail);
    return CB_OK;
}

/* Of which there is a row as long as there is a word. Of others the state is compared, and with it
 * whether they are there. */
static void check_missing(cb_check *check, const cb_id_entry *entry)
{
    static const struct {
        char kind;
        const char *what;
    } rows[] = {{'s', "service, by the SHA-256 of its name,"}, {'w', "software"}, {'m', "maintainer"}};
    char detail[160], text[CB_ID_TEXT];
    cb_id_text(&entry->id, text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].kind != entry->kind || entry->marked)
            continue;
        snprintf(detail, sizeof detail, "%s %s is in the log, but not in the table.", rows[i].what,
                 text);
        cb_check_finding(check, UINT64_MAX, "table.missing", detail);
    }
}

void cb_check_words_end(cb_check *check)
{
    const cb_evidence_source *source = check->source;
    struct cb_lag *lag = check->lag;
    if (!source->said || !lag || lag->gaps)
        return;
    while (!check->error && lag->count > 0)
        check->error = take_in(lag);
    if (!check->error)
        check->error = source->said(source->context, check_row, check);
    for (size_t i = 0; !check->error && i < lag->words.room; i++) {
        if (lag->words.place[i].kind)
            check_missing(check, &lag->words.place[i]);
    }
}

void cb_check_checkpoint_free(cb_check *check)
{
    if (!check->lag)
        return;
    cb_id_map_free(&check->lag->words);
    free(check->lag->ring);
    free(check->lag->suspects);
    free(check->lag);
    check->lag = NULL;
}
