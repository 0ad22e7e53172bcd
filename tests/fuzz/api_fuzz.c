/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A request to the broker's real routes, behind which stand a database, hsmd's lanes and a
 * connectord that lets everybody in: by an administrator (A), the terminal (T) or nobody known (N),
 * with what is there at that moment in the place of words like $card.
 *
 *     A POST /v1/cards/$card/suspend
 *     {"reason":"mislaid"}
 *
 * Whatever comes is answered, with a status and a problem that are listed; what is refused has
 * changed nothing; and what the record says afterwards verifies.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/text.h"
#include "tests/fault/api_acts.h"
#include "tests/fault/api_judge.h"
#include "tests/support/faults.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* TAPS: fewer than a terminal may have under way. */
enum { CHANGES = 300, TAPS = 40, TEXT_MAX = API_BODY - 1, LINE_MAX = 250 };

static api_acts a;
static bool made;
static unsigned changes, begun; /* since the world was made: leaves, taps */
static struct WOLFSSL_CTX *stranger;

/* ---- The world ---- */

static void end(void)
{
    if (!made)
        return;
    made = false;
    api_world_close(&a.w);
    api_world_over(&a.w);
}

/* An assertion that fails here ends the program once more. */
static void clean_up(void)
{
    end();
    calm_tls_free(&stranger);
}

/* Proofs that fail would make the terminal wait. */
static const cb_failure_limits patient = {.window = 3600 * CB_SECOND, .slow_rate = 1};

static void prepare(void)
{
    if (!stranger) {
        fault_quiet();
        cb_json_wipe_always();
        stranger = calm_tls(NULL, NULL);
        atexit(clean_up);
    }
    if (made && changes < CHANGES && begun < TAPS)
        return;
    end();
    api_acts_make(&a);
    assert_int_equal(api_world_open(&a.w), CB_OK);
    cb_taps_set_limits(a.w.api.taps, &patient);
    made = true;
    changes = begun = 0;
}

static uint64_t leaves(void)
{
    cb_store_state state;
    assert_int_equal(cb_store_status(a.w.api.store, &state), CB_OK);
    return state.leaves;
}

/* ---- What stands for what is there ---- */

static bool has(const char *text, const char *word) { return strstr(text, word) != NULL; }

static void begin_tap(bool asked)
{
    begun++;
    api_begin(&a.w, "native");
    if (!asked)
        return;
    api_dial(&a.w);
    assert_int_equal(api_tap_challenge(&a.w, "tax"), 200);
    assert_true(api_play(&a.w));
}

/* $asked is the tap whose proof is at hand. */
static void make_what_is_named(const char *text)
{
    if (has(text, "$card") || has(text, "$holder") || has(text, "$enrolment") ||
        has(text, "$terminal") || has(text, "$binding") || has(text, "$sealed"))
        act_make_user(&a);
    if (has(text, "$tap") || has(text, "$asked"))
        begin_tap(has(text, "$asked"));
}

static const char *meaning(const char *word, size_t *len)
{
    static char value[2 * CB_SEALED_MAX + API_PEM];
    const struct {
        const char *word;
        const cb_id *id;
    } ids[] = {{"$card", &a.card},
               {"$holder", &a.holder},
               {"$enrolment", &a.enrolment},
               {"$terminal", &a.terminal}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        *len = strlen(ids[i].word);
        if (strncmp(word, ids[i].word, *len) == 0)
            return cb_id_text(ids[i].id, value), value;
    }
    const struct {
        const char *word, *text;
    } texts[] = {{"$tap", a.w.tap},
                 {"$asked", a.w.tap},
                 {"$answers", a.w.answers},
                 {"$key", a.w.public_key}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *len = strlen(texts[i].word);
        if (strncmp(word, texts[i].word, *len) == 0)
            return texts[i].text;
    }
    cb_id fresh = cb_id_new();
    *len = strlen("$binding");
    if (strncmp(word, "$binding", *len) == 0)
        return api_binding(&fresh, &a.holder, value), value;
    *len = strlen("$sealed");
    if (strncmp(word, "$sealed", *len) == 0)
        return api_sealed(&fresh, &a.holder, "bus", 1, 1, value), value;
    *len = strlen("$pem");
    if (strncmp(word, "$pem", *len) == 0)
        return api_certificate(&a.w, ++a.number, value), value;
    return NULL;
}

/* False: it becomes too long. */
static bool fill_in(const char *text, char *out, size_t room)
{
    size_t at = 0, len = 0;
    while (*text) {
        const char *means = *text == '$' ? meaning(text, &len) : NULL;
        size_t grows = means ? strlen(means) : 1;
        if (at + grows >= room)
            return false;
        memcpy(out + at, means ? means : text, grows);
        at += grows;
        text += means ? len : 1;
    }
    out[at] = 0;
    return true;
}

/* ---- One request ---- */

/* "A POST /path": HTTP itself is http_server's. */
static bool part_line(char *line, char *who, char **method, char **path)
{
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            return false;
    char *space = strchr(line, ' '), *second = space ? strchr(space + 1, ' ') : NULL;
    if (space != line + 1 || !second || second[1] != '/' || strchr(second + 1, ' '))
        return false;
    for (char *c = space + 1; c < second; c++)
        if (!isupper((unsigned char)*c))
            return false;
    *who = *line;
    *second = 0;
    *method = space + 1;
    *path = second + 1;
    return strlen(*method) > 0 && strcmp(*method, "CONNECT") != 0;
}

static bool ask(char who, const char *method, const char *path, const char *body)
{
    switch (who) {
    case 'A':
        api_ask(&a.w, method, path, body);
        return true;
    case 'T':
        api_dial(&a.w);
        break;
    case 'N':
        api_dial_as(&a.w, stranger);
        break;
    default:
        return false;
    }
    api_ask_dialled(&a.w, method, path, body);
    return true;
}

static _Noreturn void bad(const char *why)
{
    fprintf(stderr, "%s: %d %s%s\n", why, a.w.answer.status, a.w.answer.head, a.w.answer.body);
    abort();
}

/* A tap that is refused, and a code that is guessed, are on record. */
static bool may_record(const char *path)
{
    return strncmp(path, "/v1/taps", 8) == 0 || strncmp(path, "/v1/activations", 15) == 0 ||
           strncmp(path, "/v1/suspensions", 15) == 0;
}

/* Of what requests before have left, some comes on record by itself. */
static bool by_itself(const char *kind)
{
    return strncmp(kind, "session.", 8) == 0 || strncmp(kind, "tap.", 4) == 0;
}

static void nothing_was_done(uint64_t before)
{
    char file[160], kind[64];
    sqlite3 *db = NULL;
    sqlite3_stmt *rows = NULL;
    snprintf(file, sizeof file, "%s/broker.db", a.w.hsmd.folder);
    assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(
            db, "SELECT CAST(data AS TEXT) FROM evidence_leaf ORDER BY position LIMIT -1 OFFSET ?",
            -1, &rows, NULL),
        SQLITE_OK);
    sqlite3_bind_int64(rows, 1, (sqlite3_int64)before);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(rows, 0),
                   *found = text ? strstr(text, "kind ") : NULL;
        if (!found || sscanf(found, "kind %63[a-z._]", kind) != 1 || !by_itself(kind)) {
            fprintf(stderr, "%s\n", text ? text : "a leaf");
            bad("what was refused has changed something");
        }
    }
    sqlite3_finalize(rows);
    sqlite3_close(db);
}

static void judge(const char *method, const char *path, uint64_t before)
{
    const calm_answer *answer = &a.w.answer;
    if (strlen(answer->body) + 1 == sizeof answer->body) /* there is no room for all metrics */
        return;
    if (answer->silent || answer->status == 0)
        bad("no answer");
    if (answer->status < 200 || answer->status == 500 || answer->status > 504)
        bad("a status that nobody means");
    if (answer->status >= 400 && strcmp(method, "HEAD") != 0) {
        json_t *problem = json_loads(answer->body, 0, NULL);
        const char *code = json_string_value(json_object_get(problem, "code"));
        if (!code || !*code)
            bad("a refusal without a code");
        bool done = strcmp(code, "evidence.unsigned") == 0; /* on a machine that was held up */
        json_decref(problem);
        if (!done && !may_record(path) && leaves() != before)
            nothing_was_done(before);
    }
    changes += leaves() != before;
    begun += answer->status == 201 && strcmp(path, "/v1/taps") == 0;
    /* The terminal that asks was ended by itself. */
    if (answer->status < 300 && strcmp(path, "/v1/terminal/end") == 0)
        changes = CHANGES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX + 1], line[LINE_MAX + 1], body[TEXT_MAX + 1], raw[LINE_MAX + 1];
    char who, *method, *path;
    if (size > TEXT_MAX || memchr(data, 0, size))
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    char *rest = strchr(text, '\n');
    size_t len = rest ? (size_t)(rest - text) : size;
    if (len > LINE_MAX)
        return 0;
    memcpy(raw, text, len);
    raw[len] = 0;
    prepare();
    make_what_is_named(text);
    if (!fill_in(raw, line, sizeof line) || !fill_in(rest ? rest + 1 : "", body, sizeof body) ||
        !part_line(line, &who, &method, &path))
        return 0;
    cb_store_settle(a.w.api.store);
    uint64_t before = leaves();
    if (ask(who, method, path, rest ? body : NULL))
        judge(method, path, before);
    return 0;
}
