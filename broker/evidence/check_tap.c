/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Intents and results, and the receipts in them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/leaf.h"
#include "base/text.h"
#include "broker/evidence/check.h"
#include "hsm/records.h"

/* Counters that were seen, as ranges in order: their number is that of the gaps, not of the
 * receipts. */
typedef struct range {
    uint64_t from, to;
} range;

struct cb_boot {
    cb_id id;
    range *range;
    size_t count, room;
};

/* ---- Intents ---- */

/* 64 bits of a digest, of which nobody can know beforehand which others lead to them. */
static uint64_t number_of(const cb_check *check, cb_bytes bytes)
{
    uint64_t number;
    const cb_bytes parts[] = {CB_BYTES_OF(check->salt), bytes};
    cb_digest digest = cb_sha256_parts(parts, sizeof parts / sizeof *parts);
    memcpy(&number, digest.bytes, sizeof number);
    return number;
}

/* Who, where, with what: an intent and its result say the same. */
static uint64_t parties_of(const cb_check *check, const cb_leaf_fields *leaf)
{
    cb_buf all = CB_BUF(CB_LEAF_MAX);
    cb_buf_put(&all, cb_id_bytes(&leaf->card));
    cb_buf_put(&all, cb_id_bytes(&leaf->holder));
    cb_buf_put(&all, cb_id_bytes(&leaf->terminal));
    cb_buf_put(&all, cb_id_bytes(&leaf->key));
    cb_buf_put(&all, leaf->service);
    uint64_t number = number_of(check, cb_buf_bytes(&all));
    cb_buf_free(&all);
    return number;
}

static bool small_number(cb_bytes leaf, const char *name, uint8_t *out)
{
    char text[4], *end = text;
    if (cb_leaf_find_text(leaf, name, text, sizeof text) || text[0] < '0' || text[0] > '9')
        return false;
    unsigned long value = strtoul(text, &end, 10);
    *out = (uint8_t)value;
    return *end == 0 && value <= UINT8_MAX;
}

/* What for, as the card has signed it. */
static bool context_of(const cb_leaf_fields *leaf, cb_bytes data, cb_digest *out)
{
    char text[2 * CB_SHA256_SIZE + 1];
    cb_tap_context context = {.tap = leaf->tap, .terminal = leaf->terminal};
    if (!small_number(data, "profile", &context.profile) ||
        !small_number(data, "purpose", &context.purpose) ||
        !small_number(data, "level", &context.level) ||
        cb_leaf_find_text(data, "service", context.service, sizeof context.service) ||
        cb_leaf_find_text(data, "text", text, sizeof text) ||
        cb_unhex_exact(text, context.text.bytes, CB_SHA256_SIZE))
        return false;
    *out = cb_tap_context_digest(&context);
    return true;
}

static void compare_parties(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    cb_id_entry *intended = cb_id_map_find(&check->open, 'p', &leaf->tap);
    if (!intended || intended->value != parties_of(check, leaf))
        cb_check_finding(check, position, "tap.result",
                         "This result names another card, holder, terminal, service or key than "
                         "its intent.");
    if (intended)
        cb_id_map_remove(&check->open, intended);
    cb_id_entry *context = cb_id_map_find(&check->open, 'd', &leaf->tap);
    if (context)
        cb_id_map_remove(&check->open, context);
}

static void close_intent(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    cb_id_entry *intent = cb_id_map_find(&check->open, 'i', &leaf->tap);
    if (!leaf->has_intent || !intent || intent->value != leaf->intent) {
        cb_check_finding(check, position, "tap.result",
                         "This result has no open intent of its tap.");
        return;
    }
    cb_id_map_remove(&check->open, intent);
    check->summary->open_intents--;
    compare_parties(check, position, leaf);
    if (strcmp(leaf->outcome, "accepted") != 0)
        check->unfinished++;
}

static void open_intent(cb_check *check, uint64_t position, const cb_leaf_fields *leaf,
                        cb_bytes data)
{
    cb_digest context = {{0}};
    if (!context_of(leaf, data, &context))
        cb_check_finding(check, position, "tap.intent", "This intent does not say what for.");
    check->error = cb_id_map_set(&check->open, 'i', &leaf->tap, position);
    if (!check->error)
        check->error = cb_id_map_set(&check->open, 'p', &leaf->tap, parties_of(check, leaf));
    if (!check->error)
        check->error = cb_id_map_set(&check->open, 'd', &leaf->tap,
                                     number_of(check, cb_digest_bytes(&context)));
    check->summary->open_intents++;
}

void cb_check_tap(cb_check *check, uint64_t position, const cb_leaf_fields *leaf, cb_bytes data)
{
    bool result = strcmp(leaf->kind, "tap.result") == 0;
    if (!result && strcmp(leaf->kind, "tap.intent") != 0)
        return;
    if (leaf->repeated)
        cb_check_finding(check, position, "leaf.format", "The leaf says something twice.");
    if (result)
        close_intent(check, position, leaf);
    else if (cb_id_is_zero(&leaf->tap) || cb_id_map_find(&check->open, 'i', &leaf->tap))
        cb_check_finding(check, position, "tap.intent", "This tap has an open intent already.");
    else
        open_intent(check, position, leaf, data);
}

/* ---- Receipts ---- */

static struct cb_boot *boot_of(cb_check *check, const cb_id *id)
{
    for (size_t i = check->boot_count; i-- > 0;) {
        if (cb_id_same(&check->boots[i].id, id))
            return &check->boots[i];
    }
    struct cb_boot *grown = realloc(check->boots, (check->boot_count + 1) * sizeof *grown);
    if (!grown) {
        check->error = CB_E_MEMORY;
        return NULL;
    }
    check->boots = grown;
    check->boots[check->boot_count] = (struct cb_boot){.id = *id};
    return &check->boots[check->boot_count++];
}

static bool make_room(struct cb_boot *boot)
{
    if (boot->count < boot->room)
        return true;
    size_t room = boot->room ? 2 * boot->room : 8;
    range *grown = realloc(boot->range, room * sizeof *grown);
    if (!grown)
        return false;
    boot->range = grown;
    boot->room = room;
    return true;
}

/* Joins the range at i with the one after it when nothing lies between. */
static void join(struct cb_boot *boot, size_t i)
{
    if (i + 1 >= boot->count || boot->range[i].to + 1 != boot->range[i + 1].from)
        return;
    boot->range[i].to = boot->range[i + 1].to;
    memmove(&boot->range[i + 1], &boot->range[i + 2], (boot->count - i - 2) * sizeof(range));
    boot->count--;
}

/* CB_E_EXISTS for a counter that was there. They come nearly in order, so the search is from the
 * end. */
static cb_error add_counter(struct cb_boot *boot, uint64_t counter)
{
    size_t i = boot->count;
    while (i > 0 && boot->range[i - 1].from > counter)
        i--;
    if (i > 0 && counter <= boot->range[i - 1].to)
        return CB_E_EXISTS;
    if (i > 0 && counter == boot->range[i - 1].to + 1) {
        boot->range[i - 1].to = counter;
        join(boot, i - 1);
        return CB_OK;
    }
    if (!make_room(boot))
        return CB_E_MEMORY;
    memmove(&boot->range[i + 1], &boot->range[i], (boot->count - i) * sizeof(range));
    boot->range[i] = (range){counter, counter};
    boot->count++;
    join(boot, i);
    return CB_OK;
}

/* NULL when hsmd made it for what the leaf and its intent say. */
static const char *made_for(const cb_check *check, const cb_leaf_fields *leaf,
                            const cb_receipt_info *info)
{
    if (strcmp(leaf->kind, "tap.result") != 0)
        return "A receipt stands in a leaf that is no result.";
    if (!cb_id_same(&info->tap, &leaf->tap))
        return "The receipt is of another tap.";
    if (!cb_id_same(&info->card, &leaf->card))
        return "The receipt is of another card.";
    if (!cb_id_same(&info->key, &leaf->key))
        return "The receipt is of another key.";
    const cb_id_entry *context = cb_id_map_find(&check->open, 'd', &leaf->tap);
    if (!context || context->value != number_of(check, cb_digest_bytes(&info->context)))
        return "The receipt is of a tap for something else than the intent says.";
    return NULL;
}

static void check_receipt(cb_check *check, uint64_t position, const cb_leaf_fields *leaf,
                          const cb_receipt_info *info)
{
    const char *another = made_for(check, leaf, info);
    if (another)
        cb_check_finding(check, position, "receipt.tap", another);
    struct cb_boot *boot = boot_of(check, &info->boot);
    cb_error error = boot ? add_counter(boot, info->counter) : CB_E_MEMORY;
    if (error == CB_E_EXISTS)
        cb_check_finding(check, position, "receipt.twice", "The receipt was recorded before.");
    else if (error)
        check->error = error;
    check->summary->receipts++;
}

void cb_check_receipts(cb_check *check, uint64_t position, const cb_leaf_fields *leaf)
{
    cb_buf blob = CB_BUF(CB_RECEIPT_MAX);
    cb_receipt_info info;
    if (strcmp(leaf->kind, "tap.result") == 0 && strcmp(leaf->outcome, "accepted") == 0 &&
        leaf->receipts == 0)
        check->summary->accepted_without_receipt++;
    for (unsigned i = 0; i < leaf->receipts; i++) {
        cb_buf_reset(&blob);
        if (cb_unhex(leaf->receipt[i], &blob) || cb_receipt_info_read(cb_buf_bytes(&blob), &info))
            cb_check_finding(check, position, "receipt.format", "The receipt is not well formed.");
        else
            check_receipt(check, position, leaf, &info);
    }
    cb_buf_free(&blob);
}

static uint64_t missing_of(const struct cb_boot *boot)
{
    uint64_t missing = 0, next = 1;
    for (size_t i = 0; i < boot->count; i++) {
        missing += boot->range[i].from - next;
        next = boot->range[i].to + 1;
    }
    return missing;
}

/* A use whose answer was lost leaves a gap, and a result that is not an accept; more gaps than such
 * results mean uses that nobody recorded. */
void cb_check_receipts_end(cb_check *check)
{
    char detail[160];
    uint64_t missing = 0;
    for (size_t i = 0; i < check->boot_count; i++) {
        uint64_t of_boot = missing_of(&check->boots[i]);
        /* Numbers of which a few wrap round to little would hide all that is missing. */
        missing = of_boot > UINT64_MAX - missing ? UINT64_MAX : missing + of_boot;
    }
    check->summary->receipts_lost = missing;
    if (missing <= check->unfinished + check->summary->open_intents)
        return;
    snprintf(detail, sizeof detail,
             "%llu receipts are missing, but only %llu taps ended without an accept.",
             (unsigned long long)missing, (unsigned long long)check->unfinished);
    cb_check_finding(check, UINT64_MAX, "receipt.gap", detail);
}

void cb_check_receipts_free(cb_check *check)
{
    for (size_t i = 0; i < check->boot_count; i++)
        free(check->boots[i].range);
    free(check->boots);
}
