/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "hsm/durable.h"
#include "hsm/feed_set.h"
#include "hsm/memo.h"

enum { CHUNK_RECORDS = 1000, CHUNK = CHUNK_RECORDS * CB_FEED_RECORD };

struct cb_feed {
    int fd;
    cb_durable head;  /* as last read or written */
    cb_feed_head now; /* what the set holds */
    cb_feed_set set;
    cb_memo *resumed;
    bool unsure;   /* the head that was read could not be written again: it may not be on the disk */
    uint32_t most; /* entries */
};

static off_t place_of(uint64_t number)
{
    return CB_DURABLE_SIZE + (off_t)(number * CB_FEED_RECORD);
}

static void put_record(cb_buf *out, const cb_feed_entry *entry, const cb_digest *hash)
{
    cb_buf_put_u64(out, entry->number);
    cb_buf_put_u8(out, entry->kind);
    cb_buf_put(out, cb_id_bytes(&entry->subject));
    cb_buf_put_u64(out, (uint64_t)entry->time);
    cb_buf_put(out, cb_digest_bytes(hash));
}

static void get_record(cb_cursor *in, cb_feed_entry *entry, cb_digest *hash)
{
    entry->number = cb_cursor_u64(in);
    entry->kind = cb_cursor_u8(in);
    cb_cursor_copy(in, entry->subject.bytes, CB_ID_SIZE);
    entry->time = (int64_t)cb_cursor_u64(in);
    cb_cursor_copy(in, hash->bytes, sizeof hash->bytes);
}

static void apply(cb_feed *feed, const cb_feed_entry *entry, const cb_digest *hash)
{
    static const struct {
        uint8_t add, take;
    } effect[] = {
        [CB_FEED_CARD_REVOKED] = {CB_MARK_CARD_REVOKED, 0},
        [CB_FEED_CARD_SUSPENDED] = {CB_MARK_CARD_SUSPENDED, CB_MARK_CARD_RESUMED},
        [CB_FEED_CARD_RESUMED] = {CB_MARK_CARD_RESUMED, 0},
        [CB_FEED_TERMINAL_REVOKED] = {CB_MARK_TERMINAL_REVOKED, 0},
        [CB_FEED_KEY_RETIRED] = {CB_MARK_KEY_RETIRED, 0},
    };
    cb_feed_set_mark(&feed->set, &entry->subject, effect[entry->kind].add,
                     effect[entry->kind].take);
    if (entry->kind == CB_FEED_CARD_SUSPENDED)
        cb_feed_set_suspended(&feed->set, &entry->subject, (uint32_t)entry->number);
    feed->now = (cb_feed_head){entry->number, *hash};
}

static bool kind_ok(uint8_t kind)
{
    return kind >= CB_FEED_CARD_REVOKED && kind <= CB_FEED_KEY_RETIRED;
}

/* Reads count records behind those that are known, and applies those that continue the chain. */
static cb_error take_in(cb_feed *feed, uint8_t *chunk, size_t count)
{
    size_t got, len = count * CB_FEED_RECORD;
    cb_error error = cb_durable_read_at(feed->fd, chunk, len, place_of(feed->now.number), &got);
    if (!error)
        error = cb_feed_set_reserve(&feed->set, count);
    cb_cursor in = cb_cursor_over(cb_bytes_make(chunk, got));
    for (size_t i = 0; i < count && !error; i++) {
        cb_feed_entry entry;
        cb_digest hash;
        get_record(&in, &entry, &hash);
        cb_digest expected = cb_feed_hash(&feed->now.hash, &entry);
        if (!cb_cursor_ok(&in) || entry.number != feed->now.number + 1 || !kind_ok(entry.kind) ||
            memcmp(&expected, &hash, sizeof hash) != 0)
            error = CB_E_HSM_RECORD;
        else
            apply(feed, &entry, &hash);
    }
    return error;
}

static cb_error take_in_all(cb_feed *feed)
{
    uint8_t *chunk = malloc(CHUNK);
    cb_error error = chunk ? CB_OK : CB_E_MEMORY;
    while (!error && feed->now.number < feed->head.number) {
        uint64_t left = feed->head.number - feed->now.number;
        error = take_in(feed, chunk, left < CHUNK_RECORDS ? (size_t)left : CHUNK_RECORDS);
    }
    free(chunk);
    bool ends_right = memcmp(&feed->now.hash, &feed->head.digest, sizeof feed->now.hash) == 0;
    return error ? error : ends_right ? CB_OK : CB_E_HSM_RECORD;
}

/* With the lock held: brings memory up to the durable head, and cuts off what lies behind it. */
static cb_error catch_up(cb_feed *feed)
{
    struct stat about;
    uint64_t known = feed->head.sequence;
    cb_error error = cb_durable_read(feed->fd, &feed->head);
    if (!error && feed->head.number < feed->now.number)
        error = CB_E_HSM_ROLLED_BACK;
    if (!error && feed->head.number > UINT32_MAX)
        error = CB_E_HSM_RECORD;
    if (!error)
        error = take_in_all(feed);
    if (!error && fstat(feed->fd, &about) != 0)
        error = CB_E_IO;
    if (!error && about.st_size != place_of(feed->head.number) &&
        ftruncate(feed->fd, place_of(feed->head.number)) != 0)
        error = CB_E_IO;
    /* Whoever wrote the head may have ended before it was safe, or his disk may have failed, and a
     * second sync of what nobody writes again says nothing. One that this process wrote is safe;
     * so are the entries that it covers, which were synced before it was written. */
    if (!error && feed->head.sequence != known) {
        error = cb_durable_again(feed->fd, &feed->head);
        feed->unsure = error != CB_OK;
    }
    if (error)
        feed->head.sequence = known;
    return error;
}

static cb_error lock(const cb_feed *feed)
{
    int done;
    do {
        done = flock(feed->fd, LOCK_EX);
    } while (done != 0 && errno == EINTR);
    return done == 0 ? CB_OK : CB_E_IO;
}

static void unlock(const cb_feed *feed) { flock(feed->fd, LOCK_UN); }

/* The file beside path that says what was resumed: made, when out is NULL, or opened. */
static cb_error find_resumed(const char *path, cb_memo **out)
{
    cb_buf beside = CB_BUF(4096);
    cb_buf_printf(&beside, "%s" CB_FEED_RESUMED, path);
    const char *name = cb_buf_cstr(&beside);
    cb_error error = name ? CB_OK : cb_buf_error(&beside);
    if (!error)
        error = out ? cb_memo_open(name, out) : cb_durable_make(name);
    cb_buf_free(&beside);
    return error;
}

cb_error cb_feed_make(const char *path)
{
    cb_error error = cb_durable_make(path);
    return error ? error : find_resumed(path, NULL);
}

cb_error cb_feed_open(const char *path, cb_feed **out)
{
    cb_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return CB_E_MEMORY;
    feed->most = UINT32_MAX;
    cb_feed_set_init(&feed->set);
    cb_error error = cb_durable_open(path, &feed->fd);
    if (!error)
        error = find_resumed(path, &feed->resumed);
    if (!error)
        error = lock(feed);
    if (!error) {
        error = catch_up(feed);
        unlock(feed);
    }
    if (error)
        cb_feed_close(&feed);
    *out = feed;
    return error;
}

void cb_feed_close(cb_feed **feed)
{
    if (!*feed)
        return;
    if ((*feed)->fd >= 0)
        close((*feed)->fd);
    cb_memo_close(&(*feed)->resumed);
    cb_feed_set_free(&(*feed)->set);
    free(*feed);
    *feed = NULL;
}

void cb_feed_limit(cb_feed *feed, uint32_t most) { feed->most = most; }

cb_error cb_feed_refresh(cb_feed *feed)
{
    struct stat about;
    if (fstat(feed->fd, &about) != 0)
        return CB_E_IO;
    if (about.st_nlink == 0 || about.st_size < place_of(feed->now.number))
        return CB_E_HSM_ROLLED_BACK;
    if (about.st_size == place_of(feed->now.number) && !feed->unsure)
        return CB_OK;
    cb_error error = lock(feed);
    if (!error) {
        error = catch_up(feed);
        unlock(feed);
    }
    return error;
}

cb_feed_head cb_feed_now(const cb_feed *feed) { return feed->now; }

cb_error cb_feed_compare(const cb_feed *feed, const cb_feed_head *database)
{
    if (database->number > feed->now.number)
        return CB_E_HSM_FEED_BEHIND;
    bool same = database->number == feed->now.number &&
                memcmp(&database->hash, &feed->now.hash, sizeof database->hash) == 0;
    return same ? CB_OK : CB_E_HSM_ROLLED_BACK;
}

/* The hash of an entry that is remembered; zeros for number 0. */
static cb_error hash_of(const cb_feed *feed, uint64_t number, cb_digest *out)
{
    uint8_t record[CB_FEED_RECORD];
    cb_feed_entry entry;
    *out = (cb_digest){0};
    if (number == 0)
        return CB_OK;
    size_t got;
    cb_error error =
        cb_durable_read_at(feed->fd, record, sizeof record, place_of(number - 1), &got);
    if (error || got != sizeof record)
        return CB_E_IO;
    cb_cursor in = cb_cursor_over(CB_BYTES_OF(record));
    get_record(&in, &entry, out);
    return CB_OK;
}

/* Chains the entries from where they begin: those that are known must be the same ones, those that
 * are new go to records. */
static cb_error chain(const cb_feed *feed, const cb_feed_entry *entries, size_t count,
                      cb_buf *records, cb_digest *last)
{
    cb_error error = hash_of(feed, entries[0].number - 1, last);
    for (size_t i = 0; i < count && !error; i++) {
        const cb_feed_entry *entry = &entries[i];
        cb_digest known, hash = cb_feed_hash(last, entry);
        if (entry->number != entries[0].number + i || !kind_ok(entry->kind)) {
            error = CB_E_ARGUMENT;
        } else if (entry->number > feed->now.number) {
            put_record(records, entry, &hash);
        } else {
            error = hash_of(feed, entry->number, &known);
            if (!error && memcmp(&known, &hash, sizeof hash) != 0)
                error = CB_E_HSM_ROLLED_BACK;
        }
        *last = hash;
    }
    return error ? error : cb_buf_error(records);
}

/* Appends records, syncs them, then moves the head. On failure the file is cut back to its head. */
static cb_error append(cb_feed *feed, const cb_buf *records, const cb_digest *last)
{
    uint64_t number = feed->now.number + records->len / CB_FEED_RECORD;
    off_t end = place_of(feed->now.number);
    cb_error error = cb_durable_write_at(feed->fd, cb_buf_bytes(records), end);
    if (!error)
        error = cb_durable_write(feed->fd, &feed->head, number, last);
    /* A head that may or may not have been written is read again by catch_up: it decides what
     * counts. */
    return error;
}

cb_error cb_feed_extend(cb_feed *feed, const cb_feed_entry *entries, size_t count)
{
    if (count == 0)
        return CB_OK;
    if (count > CB_FEED_EXTEND_MAX || entries[0].number == 0)
        return CB_E_ARGUMENT;
    cb_buf records = CB_BUF(CHUNK);
    cb_digest last;
    cb_error error = lock(feed);
    if (error)
        return error;
    error = catch_up(feed);
    if (!error && entries[0].number > feed->now.number + 1)
        error = CB_E_HSM_FEED_BEHIND;
    if (!error)
        error = chain(feed, entries, count, &records, &last);
    if (!error && feed->now.number + records.len / CB_FEED_RECORD > feed->most && records.len > 0)
        error = CB_E_STORE_FULL;
    if (!error && records.len > 0) {
        error = append(feed, &records, &last);
        cb_error after = catch_up(feed);
        error = error ? error : after;
    }
    unlock(feed);
    cb_buf_free(&records);
    return error;
}

static bool marked(const cb_feed *feed, const cb_id *id, uint8_t mark)
{
    return cb_feed_set_marks(&feed->set, id, NULL) & mark;
}

/* Whatever cannot be read lifts nothing. */
static bool is_suspended(const cb_feed *feed, const cb_id *card)
{
    uint32_t number;
    cb_digest lifted, suspended;
    uint8_t marks = cb_feed_set_marks(&feed->set, card, &number);
    if (!(marks & CB_MARK_CARD_SUSPENDED))
        return false;
    if (!(marks & CB_MARK_CARD_RESUMED) || cb_memo_get(feed->resumed, card, &lifted) ||
        hash_of(feed, number, &suspended))
        return true;
    return memcmp(&lifted, &suspended, sizeof lifted) != 0;
}

cb_error cb_feed_card(const cb_feed *feed, const cb_id *card)
{
    if (marked(feed, card, CB_MARK_CARD_REVOKED))
        return CB_E_CARD_REVOKED;
    return is_suspended(feed, card) ? CB_E_CARD_SUSPENDED : CB_OK;
}

cb_error cb_feed_resume(cb_feed *feed, const cb_id *card)
{
    uint32_t number;
    cb_digest suspended;
    uint8_t marks = cb_feed_set_marks(&feed->set, card, &number);
    if (marks & CB_MARK_CARD_REVOKED)
        return CB_E_CARD_REVOKED;
    if (!(marks & CB_MARK_CARD_SUSPENDED) || !(marks & CB_MARK_CARD_RESUMED))
        return CB_E_HSM_FEED_BEHIND;
    cb_error error = hash_of(feed, number, &suspended);
    return error ? error : cb_memo_put(feed->resumed, card, &suspended);
}

cb_error cb_feed_terminal(const cb_feed *feed, const cb_id *terminal)
{
    return marked(feed, terminal, CB_MARK_TERMINAL_REVOKED) ? CB_E_TERMINAL_REVOKED : CB_OK;
}

cb_error cb_feed_key(const cb_feed *feed, const cb_id *key)
{
    return marked(feed, key, CB_MARK_KEY_RETIRED) ? CB_E_HSM_KEY_RETIRED : CB_OK;
}

cb_error cb_feed_peek(const char *path, uint64_t *number)
{
    int fd = -1;
    cb_durable head;
    cb_error error = cb_durable_open(path, &fd);
    if (!error) {
        error = cb_durable_read(fd, &head);
        close(fd);
    }
    *number = error ? 0 : head.number;
    return error;
}
