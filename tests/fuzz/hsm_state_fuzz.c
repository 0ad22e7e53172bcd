/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * hsmd's memory on disk: the revocation feed, what was resumed, the bound cards, the log's head;
 * after a crash, on a disk that lies, or edited by somebody.
 *
 * An input is u8 file and u8 how, then steps, each u8 what, u8 a, u16 place, u64 number:
 *   what 0: a byte of the file is changed; 1: the file is cut off there; 2: a page of the head is
 *   written with a checksum that is right, and these as sequence and number; 3: something is
 *   remembered; 4: it is closed and opened again.
 *
 * What is opened is whole or refused. What was remembered since the file was last touched from
 * outside is there when it is opened again: a card that was revoked stays so.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "hsm/durable.h"
#include "hsm/feed.h"
#include "hsm/loghead.h"
#include "hsm/memo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

enum { FEED, MEMO, LOGHEAD, KINDS, STEPS_MAX = 24, CARDS = 8 };
enum { CHANGE, CUT, HEAD, REMEMBER, REOPEN, WHATS };

typedef struct memory {
    uint8_t kind;
    cb_feed *feed;
    cb_memo *memo;
    cb_loghead *loghead;
    cb_merkle_frontier tree;
    uint8_t known[CARDS]; /* what is remembered of each since the last touch; 0: nothing */
} memory;

static char folder[] = "/tmp/cardbroker-fuzz-XXXXXX";
static char path[64], beside[80];

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Nothing here outlives the process. */
int __wrap_fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

static void remove_files(void)
{
    unlink(path);
    unlink(beside);
}

static void clean_up(void)
{
    remove_files();
    rmdir(folder);
}

static void prepare(void)
{
    if (path[0])
        return;
    cb_log_init("fuzz", CB_LOG_ERROR + 1);
    must(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/memory", folder);
    snprintf(beside, sizeof beside, "%s" CB_FEED_RESUMED, path);
    atexit(clean_up);
}

static cb_id card(uint8_t number) { return (cb_id){{0xCA, number}}; }
static cb_digest value(uint8_t number) { return (cb_digest){{number}}; }

static void close_memory(memory *m)
{
    cb_feed_close(&m->feed);
    cb_memo_close(&m->memo);
    cb_loghead_close(&m->loghead);
}

static cb_error make_memory(uint8_t kind)
{
    return kind == FEED ? cb_feed_make(path) : cb_durable_make(path);
}

static cb_error open_memory(memory *m)
{
    if (m->kind == FEED)
        return cb_feed_open(path, &m->feed);
    if (m->kind == MEMO)
        return cb_memo_open(path, &m->memo);
    return cb_loghead_open(path, &m->loghead);
}

/* ---- From outside ---- */

static void write_head(uint8_t page, uint64_t sequence, uint64_t number, const cb_digest *digest)
{
    static const uint8_t magic[8] = "CBHEAD1";
    cb_buf out = CB_BUF(128);
    cb_buf_put(&out, CB_BYTES_OF(magic));
    cb_buf_put_u64(&out, sequence);
    cb_buf_put_u64(&out, number);
    cb_buf_put(&out, cb_digest_bytes(digest));
    cb_digest sum = cb_sha256(cb_buf_bytes(&out));
    cb_buf_put(&out, cb_digest_bytes(&sum));
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    must(fd >= 0 &&
         pwrite(fd, out.data, out.len, (page & 1) * CB_DURABLE_PAGE) == (ssize_t)out.len);
    close(fd);
    cb_buf_free(&out);
}

static void touch(memory *m, uint8_t what, uint8_t a, uint16_t place, uint64_t number)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    must(fd >= 0);
    if (what == CHANGE && pwrite(fd, &a, 1, place) != 1)
        abort();
    if (what == CUT && ftruncate(fd, place) != 0)
        abort();
    close(fd);
    if (what == HEAD) {
        cb_digest digest = m->kind == FEED ? (cb_digest){0} : cb_merkle_root(&m->tree);
        write_head(a, number, number >> 32 ? place : number & 0xFF, &digest);
    }
    memset(m->known, 0, sizeof m->known);
}

/* ---- What hsmd does ---- */

static cb_error extend_feed(memory *m, uint8_t number, uint8_t kind)
{
    cb_feed_head now = cb_feed_now(m->feed);
    cb_feed_entry entry = {now.number + 1, kind, card(number), 1};
    cb_error error = cb_feed_extend(m->feed, &entry, 1);
    if (!error) {
        cb_feed_head after = cb_feed_now(m->feed);
        must(after.number == entry.number);
        cb_digest hash = cb_feed_hash(&now.hash, &entry);
        must(memcmp(&after.hash, &hash, sizeof hash) == 0);
    }
    return error;
}

static void remember(memory *m, uint8_t a, uint64_t number)
{
    uint8_t which = a % CARDS, what = (uint8_t)(number | 1);
    cb_id id = card(which);
    cb_digest digest = value(what), leaf = value(a);
    if (m->kind == MEMO && cb_memo_put(m->memo, &id, &digest) == CB_OK)
        m->known[which] = what;
    if (m->kind == FEED && cb_feed_refresh(m->feed) == CB_OK &&
        extend_feed(m, which, (uint8_t)(number % 6)) == CB_OK && number % 6 == CB_FEED_CARD_REVOKED)
        m->known[which] = 1;
    if (m->kind == FEED && m->feed)
        cb_feed_resume(m->feed, &id);
    if (m->kind == LOGHEAD) {
        cb_merkle_frontier before = m->tree;
        cb_merkle_proof proof;
        cb_merkle_append(&m->tree, &leaf);
        cb_merkle_consistency(&before, &leaf, 1, &proof);
        cb_tree_head head = {m->tree.size, cb_merkle_root(&m->tree)};
        if (cb_loghead_extend(m->loghead, &head, &proof) == CB_OK)
            m->known[0] = 1;
        else
            m->tree = before;
    }
}

/* ---- Whether it is there ---- */

static void check_log(const memory *m)
{
    cb_tree_head now = cb_loghead_now(m->loghead);
    cb_digest root = cb_merkle_root(&m->tree);
    if (m->known[0])
        must(now.size == m->tree.size && memcmp(&now.root, &root, sizeof root) == 0);
}

static void check(const memory *m)
{
    if (m->kind == LOGHEAD)
        check_log(m);
    for (uint8_t i = 0; i < CARDS && m->kind != LOGHEAD; i++) {
        cb_id id = card(i);
        cb_digest got, expected = value(m->known[i]);
        if (m->kind == FEED && m->known[i])
            must(cb_feed_card(m->feed, &id) == CB_E_CARD_REVOKED);
        if (m->kind == MEMO && m->known[i])
            must(cb_memo_get(m->memo, &id, &got) == CB_OK &&
                 memcmp(&got, &expected, sizeof got) == 0);
    }
}

/* False when it was refused; then nothing more can be done with it. */
static bool reopen(memory *m)
{
    bool anything = false;
    for (size_t i = 0; i < CARDS; i++)
        anything = anything || m->known[i];
    close_memory(m);
    cb_error error = open_memory(m);
    must(!error || !anything);
    if (!error)
        check(m);
    return !error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    memory m = {.kind = cb_cursor_u8(&in) % KINDS};
    prepare();
    must(make_memory(m.kind) == CB_OK && open_memory(&m) == CB_OK);
    bool usable = true;
    for (int i = 0; i < STEPS_MAX && usable && in.rest.len >= 12; i++) {
        uint8_t what = cb_cursor_u8(&in) % WHATS, a = cb_cursor_u8(&in);
        uint16_t place = cb_cursor_u16(&in);
        uint64_t number = cb_cursor_u64(&in);
        if (what == REMEMBER)
            remember(&m, a, number);
        else if (what == REOPEN)
            usable = reopen(&m);
        else
            touch(&m, what, a, place, number);
        /* What changed beneath an open memory is not looked at before it is opened again. */
        if (what < REMEMBER)
            usable = reopen(&m);
    }
    if (usable)
        reopen(&m);
    close_memory(&m);
    remove_files();
    return 0;
}
