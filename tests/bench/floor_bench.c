/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The CPU of what a tap cannot do without, each called directly and alone, in microseconds, as
 * JSON. The names are those of the table in tests/bench/run, which says how often a tap needs each.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/crypto.h"

enum { ROUNDS = 400, COMMITS = 200, LEAF = 700 };

static uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT], signature[CB_P256_SIGNATURE];
static cb_digest digest;
static sqlite3 *database;
static sqlite3_stmt *insert;

static double cpu_us(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static void generate(void)
{
    uint8_t s[CB_P256_SCALAR], p[CB_P256_POINT];
    cb_p256_generate(s, p);
}

static void agree(void)
{
    uint8_t shared[CB_P256_SCALAR];
    cb_p256_agree(scalar, CB_BYTES_OF(point), shared);
}

static void verify(void)
{
    if (!cb_p256_verify(CB_BYTES_OF(point), &digest, CB_BYTES_OF(signature)))
        abort();
}

/* As the store has it: WAL, every commit synchronised; the evidence of half a tap. */
static void commit(void)
{
    char leaf[LEAF];
    memset(leaf, 'x', sizeof leaf);
    sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    sqlite3_bind_text(insert, 1, leaf, sizeof leaf, SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE)
        abort();
    sqlite3_reset(insert);
    if (sqlite3_exec(database, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        abort();
}

static void open_database(const char *folder)
{
    char path[512];
    snprintf(path, sizeof path, "%s/floor.db", folder);
    if (sqlite3_open(path, &database) != SQLITE_OK ||
        sqlite3_exec(database,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE leaf (n "
                     "INTEGER PRIMARY KEY, leaf TEXT);",
                     NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, "INSERT INTO leaf (leaf) VALUES (?)", -1, &insert, NULL) !=
            SQLITE_OK) {
        fprintf(stderr, "floor_bench: %s: cannot be made\n", path);
        exit(1);
    }
}

static void measure(const char *name, void (*operation)(void), unsigned rounds, const char *after)
{
    operation();
    double began = cpu_us();
    for (unsigned i = 0; i < rounds; i++)
        operation();
    printf("\"%s\":%.1f%s", name, (cpu_us() - began) / rounds, after);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr,
                "usage: floor_bench FOLDER (for a database, on the disk that is to be measured)\n");
        return 2;
    }
    open_database(argv[1]);
    if (cb_p256_generate(scalar, point) || cb_p256_sign(scalar, &digest, signature))
        return 1;
    printf("{");
    measure("generate", generate, ROUNDS, ",");
    measure("agree", agree, ROUNDS, ",");
    measure("verify", verify, ROUNDS, ",");
    measure("commit", commit, COMMITS, "}\n");
    sqlite3_finalize(insert);
    sqlite3_close(database);
    return 0;
}
