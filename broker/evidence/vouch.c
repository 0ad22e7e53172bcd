/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/vouch.h"

#include <string.h>

#include "base/leaf.h"

/* The second half of a digest is kept beside the first, under a kind of its own. */
enum { SECOND_HALF = 'A' - 'a', HALF = 8 };

static const struct {
    const char *leaf; /* kind */
    char kind;
    bool gone;
    const char *from, *to; /* the lines that are hashed; to NULL: all from there on */
} words[] = {
    {"service.added", 's', false, "service", NULL},
    {"service.updated", 's', false, "service", NULL},
    {"terminal.added", 't', false, "terminal", NULL},
    {"terminal.code", 'o', false, "code_sha256", NULL},
    {"terminal.activated", 't', false, "terminal", NULL},
    {"terminal.certified", 't', false, "terminal", NULL},
    {"terminal.renewed", 't', false, "terminal", NULL},
    {"terminal.described", 't', false, "terminal", NULL},
    {"terminal.confirmed", 't', false, "terminal", NULL},
    {"terminal.revoked", 't', true, NULL, NULL},
    {"terminal.deactivated", 'd', false, "actor", "terminal"},
    {"terminal.reactivated", 'd', true, NULL, NULL},
    {"terminal.software", 'p', false, "terminal", NULL},
    {"terminal.log_resumed", 'r', false, "terminal", NULL},
    {"terminal.log", 'r', true, NULL, NULL},
    {"terminal.maintenance", 'u', false, "maintenance_until", NULL},
    {"terminal.maintained", 'u', true, NULL, NULL},
    {"maintainer.added", 'm', false, "maintainer", NULL},
    {"maintainer.removed", 'm', true, NULL, NULL},
    {"software.added", 'w', false, "software", NULL},
    {"software.removed", 'w', true, NULL, NULL},
    {"enrolment.added", 'e', false, "holder", "state"},
    {"enrolment.removed", 'e', true, NULL, NULL},
    {"tap.intent", 'n', false, "card", NULL},
    {"tap.result", 'n', true, NULL, NULL},
    {"application.entered", 'b', false, "application", NULL},
    {"application.approved", 'a', false, "application", NULL},
    {"application.issued", 'a', true, NULL, NULL},
    {"application.refused", 'a', true, NULL, NULL},
    {"registration.allowed", 'g', false, "code", NULL},
    {"registration.used", 'g', true, NULL, NULL},
    {"registration.withdrawn", 'g', true, NULL, NULL},
    {"registration.lapsed", 'g', true, NULL, NULL},
    {"card.added", 'i', false, NULL, NULL},
    {"card.activated", 'i', true, NULL, NULL},
    {"card.resumed", 'i', true, NULL, NULL},
    {"card.revoked", 'i', true, NULL, NULL},
};

static const struct {
    char kind;
    const char *line;      /* that names what the leaf is about */
    const char *taken_back; /* the same in a leaf "registry.unconfirmed"; no two are alike */
} subjects[] = {{'s', "service", "service"},     {'t', "terminal", "terminal"},
                {'d', "terminal", "reactivated"}, {'o', "terminal", "code"},
                {'p', "terminal", "program_of"},  {'w', "software", "software"},
                {'u', "terminal", "maintained"},  {'r', "terminal", "log_of"},
                {'m', "maintainer", "maintainer"},
                {'e', "enrolment", "enrolment"}, {'f', "enrolment", "enrolled"},
                {'i', "card", "card"},           {'n', "tap", "tap"},
                {'a', "application", "application"},
                {'b', "application", "entered"}, {'g', "code", "registration"}};

enum { WORDS = sizeof words / sizeof *words, SUBJECTS = sizeof subjects / sizeof *subjects };

static bool has_second_half(char kind) { return kind != 'i' && kind != 'd' && kind != 'f'; }

/* Where a line of that name begins; the end when there is none. */
static size_t line_at(cb_bytes leaf, const char *name)
{
    size_t len = strlen(name);
    for (size_t at = 0; at + len < leaf.len; at++) {
        if ((at == 0 || leaf.data[at - 1] == '\n') && leaf.data[at + len] == ' ' &&
            memcmp(leaf.data + at, name, len) == 0)
            return at;
        const uint8_t *end = memchr(leaf.data + at, '\n', leaf.len - at);
        if (!end)
            break;
        at = (size_t)(end - leaf.data);
    }
    return leaf.len;
}

/* Without memory of its own: what was not understood for want of it would not be heard, and it may
 * be what takes a right away. */
static bool find_text(cb_bytes leaf, const char *name, char *out, size_t size)
{
    return cb_leaf_find_text(leaf, name, out, size) == CB_OK;
}

cb_id cb_vouch_service(const char *name)
{
    cb_id id;
    cb_digest digest = cb_sha256(cb_bytes_str(name));
    memcpy(id.bytes, digest.bytes, sizeof id.bytes);
    return id;
}

static bool subject_at(cb_bytes leaf, char kind, const char *line, cb_id *out)
{
    char text[128];
    if (!find_text(leaf, line, text, sizeof text))
        return false;
    if (kind != 's')
        return cb_id_parse(text, out) == CB_OK;
    *out = cb_vouch_service(text);
    return true;
}

static bool subject_of(cb_bytes leaf, char kind, cb_id *out)
{
    for (size_t i = 0; i < SUBJECTS; i++) {
        if (subjects[i].kind == kind)
            return subject_at(leaf, kind, subjects[i].line, out);
    }
    return false;
}

void cb_vouch_lines(char kind, const char **line, const char **taken_back)
{
    *line = *taken_back = "";
    for (size_t i = 0; i < SUBJECTS; i++) {
        if (subjects[i].kind == kind) {
            *line = subjects[i].line;
            *taken_back = subjects[i].taken_back;
        }
    }
}

/* The leaf names one of them. */
static bool read_unconfirmed(cb_bytes leaf, cb_vouch *out)
{
    out->taken_back = true;
    for (size_t i = 0; i < SUBJECTS; i++) {
        out->kind = subjects[i].kind;
        if (subject_at(leaf, out->kind, subjects[i].taken_back, &out->id))
            return true;
    }
    return false;
}

static bool read_word(cb_bytes leaf, size_t i, cb_vouch *out)
{
    out->kind = words[i].kind;
    out->gone = words[i].gone;
    if (!subject_of(leaf, out->kind, &out->id))
        return false;
    if (out->kind == 'e' && !out->gone && line_at(leaf, "data_sha256") == leaf.len)
        out->kind = 'f';
    if (words[i].from) {
        size_t from = line_at(leaf, words[i].from);
        size_t to = words[i].to ? line_at(leaf, words[i].to) : leaf.len;
        out->digest = cb_sha256(cb_bytes_make(leaf.data + from, to > from ? to - from : 0));
    }
    return true;
}

bool cb_vouch_read(cb_bytes leaf, cb_vouch *out)
{
    char kind[40];
    *out = (cb_vouch){0};
    if (!find_text(leaf, "kind", kind, sizeof kind))
        return false;
    if (strcmp(kind, "registry.unconfirmed") == 0)
        return read_unconfirmed(leaf, out);
    for (size_t i = 0; i < WORDS; i++) {
        if (strcmp(words[i].leaf, kind) == 0)
            return read_word(leaf, i, out);
    }
    return false;
}

bool cb_vouch_keeps(char kind)
{
    for (size_t i = 0; i < SUBJECTS; i++) {
        char first = subjects[i].kind;
        if (kind == first || (has_second_half(first) && kind == (char)(first + SECOND_HALF)))
            return true;
    }
    return false;
}

/* Chained, for there is not always memory. */
static void mix(cb_digest *rules, char kind, bool gone, const char *line)
{
    const uint8_t marks[] = {(uint8_t)kind, gone, line != NULL};
    const cb_bytes parts[] = {cb_digest_bytes(rules), CB_BYTES_OF(marks),
                              cb_bytes_str(line ? line : "")};
    *rules = cb_sha256_parts(parts, sizeof parts / sizeof *parts);
}

cb_digest cb_vouch_rules(void)
{
    cb_digest rules = {{CB_VOUCH_RULES}};
    for (size_t i = 0; i < WORDS; i++) {
        mix(&rules, words[i].kind, words[i].gone, words[i].leaf);
        mix(&rules, words[i].kind, words[i].gone, words[i].from);
        mix(&rules, words[i].kind, words[i].gone, words[i].to);
    }
    for (size_t i = 0; i < SUBJECTS; i++) {
        mix(&rules, subjects[i].kind, false, subjects[i].line);
        mix(&rules, subjects[i].kind, false, subjects[i].taken_back);
    }
    return rules;
}

bool cb_vouch_grants(const cb_vouch *vouch)
{
    if (vouch->taken_back || vouch->kind == 'n')
        return false; /* an intent gives nothing without a tap that is under way */
    return (vouch->kind == 'i' || vouch->kind == 'd' || vouch->kind == 'u') == vouch->gone;
}

static uint64_t half(const cb_digest *digest, size_t which)
{
    uint64_t number;
    memcpy(&number, digest->bytes + which * HALF, sizeof number);
    return number;
}

static void forget(cb_id_map *map, char kind, const cb_id *id)
{
    cb_id_entry *entry = cb_id_map_find(map, kind, id);
    if (entry)
        cb_id_map_remove(map, entry);
}

cb_error cb_vouch_apply(cb_id_map *map, const cb_vouch *vouch)
{
    char second = (char)(vouch->kind + SECOND_HALF);
    /* What cannot be kept whole is not kept: a half would be believed as little. */
    forget(map, second, &vouch->id);
    forget(map, vouch->kind, &vouch->id);
    if (vouch->gone && vouch->kind == 'a') { /* and nobody approves it any more */
        forget(map, 'b', &vouch->id);
        forget(map, 'b' + SECOND_HALF, &vouch->id);
    }
    if (vouch->kind == 'e')
        forget(map, 'f', &vouch->id);
    if (vouch->gone)
        return CB_OK;
    cb_error error = cb_id_map_set(map, vouch->kind, &vouch->id, half(&vouch->digest, 0));
    if (!error && has_second_half(vouch->kind))
        error = cb_id_map_set(map, second, &vouch->id, half(&vouch->digest, 1));
    return error;
}

bool cb_vouch_found(const cb_id_map *map, char kind, const cb_id *id, const cb_digest *digest)
{
    const cb_id_entry *first = cb_id_map_find(map, kind, id);
    if (!first || !digest)
        return first;
    if (!has_second_half(kind))
        return first->value == half(digest, 0);
    const cb_id_entry *second = cb_id_map_find(map, (char)(kind + SECOND_HALF), id);
    return second && first->value == half(digest, 0) && second->value == half(digest, 1);
}
