/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A database that somebody else wrote to while the broker was down, as an auditor and as the broker
 * open it.
 *
 * An input is u8 how. 0: changes to the file's bytes, each: u24 place, u8 by what. 1: changes to
 * rows, past every check and trigger, each: u8 table, u8 column, u8 row, u8 kind, u8 length, bytes;
 * kind 0: a number, 1: text, 2: bytes, 3: nothing, 4: the row is deleted, 5: bits of what is there,
 * 6: what stands in the row behind it.
 *
 * The audit ends, and says that the record is good if, and only if, it has no finding. A log that
 * is other than the one whose head was signed lets nobody in. A revoked card whose row says that it
 * is not is what hsmd's memory is for; here it stays out unless the audit names it.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/broker/support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBER, TEXT, BYTES, NOTHING, DELETED, BITS, NEIGHBOUR, KINDS, CHANGES_MAX = 8 };

static world w;
static cb_id revoked;
static uint8_t *file;
static size_t file_len;
static cb_tree_head signed_head;
static cb_digest log_digest; /* of the leaves below it */

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- The database as the broker left it ---- */

static void forget_files(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s-wal", w.path);
    unlink(path);
    snprintf(path, sizeof path, "%s-shm", w.path);
    unlink(path);
    snprintf(path, sizeof path, "%s-journal", w.path);
    unlink(path);
}

static cb_digest digest_of_log(void)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *rows = NULL;
    cb_buf all = CB_BUF(1 << 20);
    must(sqlite3_open_v2(w.path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK);
    if (sqlite3_prepare_v2(db,
                           "SELECT position, data FROM evidence_leaf WHERE position < ? ORDER BY 1",
                           -1, &rows, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(rows, 1, (sqlite3_int64)signed_head.size);
        while (sqlite3_step(rows) == SQLITE_ROW) {
            cb_buf_put_u64(&all, (uint64_t)sqlite3_column_int64(rows, 0));
            cb_buf_put_var(&all, cb_bytes_make(sqlite3_column_blob(rows, 1),
                                               (size_t)sqlite3_column_bytes(rows, 1)));
        }
    }
    sqlite3_finalize(rows);
    sqlite3_close(db);
    cb_digest digest = cb_sha256(cb_buf_bytes(&all));
    cb_buf_free(&all);
    return digest;
}

static void clean_up(void)
{
    forget_files();
    world_end(&w);
    free(file);
}

static void read_file(void)
{
    struct stat about;
    int fd = open(w.path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && fstat(fd, &about) == 0);
    file_len = (size_t)about.st_size;
    file = malloc(file_len);
    must(file && read(fd, file, file_len) == (ssize_t)file_len);
    close(fd);
}

/* From now on in memory, where there is such a place: nothing has to outlive the process. */
static void move(void)
{
    unlink(w.path);
    rmdir(w.folder);
    strcpy(w.folder, "/dev/shm/cardbroker-fuzz-XXXXXX");
    if (!mkdtemp(w.folder)) {
        strcpy(w.folder, "/tmp/cardbroker-fuzz-XXXXXX");
        must(mkdtemp(w.folder));
    }
    snprintf(w.path, sizeof w.path, "%s/broker.db", w.folder);
}

static void prepare(void)
{
    cb_id tap;
    if (file)
        return;
    cb_log_init("fuzz", CB_LOG_ERROR + 1);
    world_begin(&w);
    must(tap_once(&w, &tap, NULL) == CB_OK);
    revoked = add_card(&w, true);
    must(cb_card_change(w.store, "test", &revoked, CB_CARD_REVOKE, NULL, NULL) == CB_OK);
    must(tap_once(&w, &tap, NULL) == CB_OK);
    world_close(&w);
    signed_head = w.signer->remembered;
    log_digest = digest_of_log();
    forget_files();
    read_file();
    move();
    atexit(clean_up);
}

/* ---- What somebody else writes ---- */

static void write_file(cb_cursor *changes)
{
    uint8_t *changed = malloc(file_len);
    must(changed);
    memcpy(changed, file, file_len);
    while (changes && changes->rest.len >= 4) {
        size_t place = (size_t)cb_cursor_u8(changes) << 16 | cb_cursor_u16(changes);
        changed[place % file_len] ^= cb_cursor_u8(changes);
    }
    forget_files();
    int fd = open(w.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, changed, file_len) == (ssize_t)file_len);
    close(fd);
    free(changed);
}

static const struct {
    const char *name, *key, *columns[12];
} tables[] = {
    {"evidence_leaf", "position", {"position", "data", "hash"}},
    {"tree_head", "size", {"size", "root", "time", "signature"}},
    {"tree_frontier", "one", {"size", "nodes", "one"}},
    {"feed", "number", {"number", "kind", "subject", "time", "hash", "leaf"}},
    {"holder", "id", {"id", "name", "created"}},
    {"card", "id", {"id", "holder", "state", "profile", "level", "sequence", "binding", "changed"}},
    {"terminal", "id", {"id", "name", "state", "key", "rate", "all_services"}},
    {"service",
     "name",
     {"name", "title", "connector", "config", "level", "kind", "certificate", "life"}},
    {"enrolment", "id", {"id", "holder", "service", "state", "data"}},
    {"enrolment_key",
     "id",
     {"id", "enrolment", "state", "algorithm", "level", "sequence", "sealed", "public_key",
      "certificate", "chain"}},
    {"intent", "tap", {"tap", "leaf", "card", "holder", "terminal", "enrolment", "key", "service"}},
    {"session", "id", {"id", "tap", "leaf", "card", "holder", "terminal", "enrolment", "kind"}},
};
enum { TABLES = sizeof tables / sizeof *tables };

static unsigned columns_of(unsigned table)
{
    unsigned count = 0;
    while (tables[table].columns[count])
        count++;
    return count;
}

static void bind(sqlite3_stmt *change, uint8_t kind, cb_bytes value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.len && i < 8; i++)
        number = number << 8 | value.data[i];
    if (kind == NUMBER)
        sqlite3_bind_int64(change, 1, (sqlite3_int64)number);
    else if (kind == TEXT)
        sqlite3_bind_text(change, 1, (const char *)value.data, (int)value.len, SQLITE_STATIC);
    else if (kind != NOTHING)
        sqlite3_bind_blob(change, 1, value.len ? (const void *)value.data : "", (int)value.len,
                          SQLITE_STATIC);
}

/* The bytes that are there, with others on top. */
static void mix(sqlite3 *db, const char *name, const char *key, const char *column, unsigned row,
                cb_bytes by, cb_buf *out)
{
    char sql[256];
    sqlite3_stmt *find = NULL;
    snprintf(sql, sizeof sql, "SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %u", column, name, key,
             row);
    if (sqlite3_prepare_v2(db, sql, -1, &find, NULL) == SQLITE_OK &&
        sqlite3_step(find) == SQLITE_ROW)
        cb_buf_put(out, cb_bytes_make(sqlite3_column_blob(find, 0),
                                      (size_t)sqlite3_column_bytes(find, 0)));
    for (size_t i = 0; by.len > 1 && i + 1 < by.len && out->len > 0; i++)
        out->data[(by.data[0] + i) % out->len] ^= by.data[i + 1];
    sqlite3_finalize(find);
}

static void change_row(sqlite3 *db, cb_cursor *in)
{
    char sql[512];
    sqlite3_stmt *change = NULL;
    cb_buf mixed = CB_BUF(64 * 1024);
    unsigned table = cb_cursor_u8(in) % TABLES;
    const char *name = tables[table].name, *key = tables[table].key;
    const char *column = tables[table].columns[cb_cursor_u8(in) % columns_of(table)];
    unsigned row = cb_cursor_u8(in) % 16;
    uint8_t kind = cb_cursor_u8(in) % KINDS;
    size_t len = cb_cursor_u8(in);
    cb_bytes value = cb_cursor_take(in, len < in->rest.len ? len : in->rest.len);
    if (kind == BITS || kind == NEIGHBOUR)
        mix(db, name, key, column, row + (kind == NEIGHBOUR), kind == BITS ? value : (cb_bytes){0},
            &mixed);
    if (kind == DELETED)
        snprintf(sql, sizeof sql,
                 "DELETE FROM %s WHERE %s = (SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %u)",
                 name, key, key, name, key, row);
    else
        snprintf(
            sql, sizeof sql,
            "UPDATE %s SET %s = ?1 WHERE %s = (SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %u)",
            name, column, key, key, name, key, row);
    if (sqlite3_prepare_v2(db, sql, -1, &change, NULL) == SQLITE_OK) {
        if (kind != DELETED)
            bind(change, kind, kind >= BITS ? cb_buf_bytes(&mixed) : value);
        sqlite3_step(change);
    }
    sqlite3_finalize(change);
    cb_buf_free(&mixed);
}

static void change_rows(cb_cursor *in)
{
    sqlite3 *db = NULL;
    write_file(NULL);
    must(sqlite3_open(w.path, &db) == SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_exec(db, "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF", NULL, NULL,
                 NULL);
    for (int i = 0; i < CHANGES_MAX && in->rest.len >= 5; i++)
        change_row(db, in);
    sqlite3_close(db);
}

/* ---- The auditor ---- */

static void count_finding(void *context, const cb_finding *finding)
{
    (*(uint64_t *)context)++;
    must(finding->what && finding->detail[0]);
}

/* Whether there is nothing to find. */
static bool audit(bool same_log)
{
    cb_evidence_file *source_file = NULL;
    cb_evidence_summary summary = {0};
    uint64_t findings = 0;
    cb_evidence_report report = {&findings, count_finding};
    if (cb_evidence_file_open(w.path, &source_file))
        return false;
    cb_evidence_source source = cb_evidence_file_source(source_file);
    cb_error error =
        cb_evidence_verify(&source, CB_BYTES_OF(w.signer->point), ORIGIN, &report, &summary);
    must(summary.findings == findings);
    must(error != CB_OK || findings == 0);
    must(error != CB_E_EVIDENCE || findings > 0);
    if (error == CB_OK && summary.last.size == signed_head.size)
        must(same_log);
    cb_evidence_file_close(&source_file);
    return error == CB_OK;
}

/* ---- The broker ---- */

static cb_error settle(void)
{
    cb_store_state state = {.error = CB_E_BUSY};
    for (int i = 0; i < 20000 && state.error == CB_E_BUSY; i++) {
        cb_store_status(w.store, &state);
        if (state.error == CB_E_BUSY)
            usleep(500);
    }
    return state.error;
}

static void read_rows(void)
{
    cb_holder holder;
    cb_terminal terminal;
    cb_card card;
    cb_service service;
    cb_enrolment enrolment;
    cb_card_init(&card);
    cb_service_init(&service);
    cb_enrolment_init(&enrolment);
    cb_holder_get(w.store, &w.holder.id, &holder);
    cb_terminal_get(w.store, &w.terminal.id, &terminal);
    cb_card_get(w.store, &w.card, &card);
    cb_service_get(w.store, "tax", &service);
    cb_enrolment_get(w.store, &w.enrolment.id, &enrolment);
    cb_card_free(&card);
    cb_service_free(&service);
    cb_enrolment_free(&enrolment);
}

static void serve(bool same_log, bool clean, bool untouched)
{
    cb_id tap, card = w.card;
    w.signer->remembered = signed_head;
    if (cb_store_open(&w.options, &w.store)) {
        must(!untouched);
        return;
    }
    cb_error error = settle();
    read_rows();
    cb_error accepted = tap_once(&w, &tap, NULL);
    must(!untouched || (clean && !error && !accepted));
    must(same_log || accepted != CB_OK);
    must(same_log || error != CB_OK);
    w.card = revoked;
    must(tap_once(&w, &tap, NULL) != CB_OK || !clean);
    w.card = card;
    world_close(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    prepare();
    if (cb_cursor_u8(&in) % 2 == 0)
        write_file(&in);
    else
        change_rows(&in);
    cb_digest now = digest_of_log();
    bool same = memcmp(&now, &log_digest, sizeof now) == 0;
    serve(same, audit(same), size <= 1);
    return 0;
}
