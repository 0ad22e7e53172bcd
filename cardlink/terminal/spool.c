/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"

enum {
    CHECK = 8, /* bytes of an entry's hash that stand behind it */
    RECORD_MAX = CB_JOURNAL_ENTRY_MAX + CHECK,
    FILE_MAX = CB_SPOOL_MAX + RECORD_MAX
};

static const char magic[8] = "cblog 1\n";

struct cb_spool {
    char path[PATH_MAX], lock_path[PATH_MAX];
    pthread_mutex_t mutex;
    int lock;
    struct stat seen; /* the file as it was read or written last; size 0: not yet */
    cb_buf content;   /* of the whole file, without a half entry at its end */
    size_t first;     /* where the entries begin */
    cb_journal_head before, last;
};

/* ---- The file ---- */

static cb_error error_of(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EFBIG ? CB_E_STORE_FULL : CB_E_IO;
}

/* An entry and the check behind it. */
static bool take(cb_cursor *from, cb_journal_head *head)
{
    cb_journal_entry entry;
    if (cb_journal_take(from, &entry, head) != CB_OK)
        return false;
    cb_bytes check = cb_cursor_take(from, CHECK);
    return check.len == CHECK && memcmp(check.data, head->hash.bytes, CHECK) == 0;
}

/* Whether this can be what was left of one entry whose writing was cut off: no more than one is
 * ever written before it is synced. What a file system put there meanwhile is zero. */
static bool is_half(cb_bytes rest)
{
    enum { LENGTH_AT = 9 };
    while (rest.len > 0 && rest.data[rest.len - 1] == 0)
        rest.len--;
    size_t text = rest.len > LENGTH_AT ? rest.data[LENGTH_AT] : 0;
    return rest.len <= LENGTH_AT + 1 + text + CHECK;
}

/* Fills in the heads; *good is how many bytes are whole. */
static cb_error parse(cb_spool *spool, size_t *good)
{
    cb_cursor from = cb_cursor_over(cb_buf_bytes(&spool->content));
    cb_bytes name = cb_cursor_take(&from, sizeof magic);
    spool->before.number = cb_cursor_u64(&from);
    cb_cursor_copy(&from, spool->before.hash.bytes, CB_SHA256_SIZE);
    if (!cb_cursor_ok(&from) || memcmp(name.data, magic, sizeof magic) != 0)
        return CB_E_CONFIG;
    size_t all = spool->content.len;
    *good = spool->first = all - from.rest.len;
    spool->last = spool->before;
    for (cb_journal_head head = spool->last; take(&from, &head); spool->last = head)
        *good = all - from.rest.len;
    cb_bytes rest = cb_bytes_make(spool->content.data + *good, all - *good);
    return rest.len <= RECORD_MAX && is_half(rest) ? CB_OK : CB_E_CONFIG;
}

static cb_error write_file(cb_spool *spool, const cb_journal_head *before, cb_bytes entries)
{
    cb_buf fresh = CB_BUF(FILE_MAX + 64);
    cb_buf_put(&fresh, CB_BYTES_OF(magic));
    cb_buf_put_u64(&fresh, before->number);
    cb_buf_put(&fresh, cb_digest_bytes(&before->hash));
    cb_buf_put(&fresh, entries);
    cb_error error = cb_buf_error(&fresh);
    if (!error)
        error = cb_file_replace(spool->path, cb_buf_bytes(&fresh), 0600);
    cb_buf_free(&fresh);
    return error;
}

static bool is_as_seen(const struct stat *now, const struct stat *seen)
{
    return seen->st_size > 0 && now->st_ino == seen->st_ino && now->st_size == seen->st_size &&
           now->st_ctim.tv_sec == seen->st_ctim.tv_sec &&
           now->st_ctim.tv_nsec == seen->st_ctim.tv_nsec;
}

static cb_error cut(const cb_spool *spool, size_t size)
{
    int file = open(spool->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    bool good = file >= 0 && ftruncate(file, (off_t)size) == 0 && fsync(file) == 0;
    if (file >= 0)
        close(file);
    return good ? CB_OK : CB_E_IO;
}

/* What another program wrote meanwhile is read; a file that was taken away is not made again. */
static cb_error refresh(cb_spool *spool, bool make)
{
    static const cb_journal_head none;
    struct stat now;
    size_t good = 0;
    cb_error error = CB_OK;
    if (lstat(spool->path, &now) != 0) {
        error = make && errno == ENOENT ? write_file(spool, &none, (cb_bytes){0}) : CB_E_IO;
        if (!error && lstat(spool->path, &now) != 0)
            error = CB_E_IO;
    }
    if (error || is_as_seen(&now, &spool->seen))
        return error;
    spool->seen = (struct stat){0};
    cb_buf_free(&spool->content);
    if (!S_ISREG(now.st_mode))
        return CB_E_CONFIG;
    error = cb_file_read(spool->path, &spool->content);
    if (error == CB_E_TOO_LARGE)
        return CB_E_CONFIG;
    if (!error)
        error = parse(spool, &good);
    if (!error && good < spool->content.len) {
        error = cut(spool, good);
        spool->content.len = good;
    }
    if (!error && lstat(spool->path, &now) != 0)
        error = CB_E_IO;
    if (!error)
        spool->seen = now;
    return error;
}

/* ---- Turns ---- */

static cb_error enter_to(cb_spool *spool, bool make)
{
    int rc;
    pthread_mutex_lock(&spool->mutex);
    while ((rc = flock(spool->lock, LOCK_EX)) != 0 && errno == EINTR)
        ;
    return rc == 0 ? refresh(spool, make) : CB_E_IO;
}

static cb_error enter(cb_spool *spool) { return enter_to(spool, false); }

static cb_error leave(cb_spool *spool, cb_error error)
{
    flock(spool->lock, LOCK_UN);
    pthread_mutex_unlock(&spool->mutex);
    return error;
}

cb_error cb_spool_open(const char *path, cb_spool **out)
{
    cb_spool *spool = calloc(1, sizeof *spool);
    if (!spool)
        return CB_E_MEMORY;
    pthread_mutex_init(&spool->mutex, NULL);
    cb_buf_init(&spool->content, FILE_MAX);
    int len = snprintf(spool->path, sizeof spool->path, "%s", path);
    int lock_len = snprintf(spool->lock_path, sizeof spool->lock_path, "%.4000s.lock", path);
    bool fits = len > 0 && len <= 4000 && lock_len > 0;
    spool->lock =
        fits ? open(spool->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    cb_error error = spool->lock >= 0 ? CB_OK : fits ? error_of(errno) : CB_E_CONFIG;
    if (!error)
        error = leave(spool, enter_to(spool, true));
    if (error)
        cb_spool_close(&spool);
    *out = spool;
    return error;
}

void cb_spool_close(cb_spool **handle)
{
    cb_spool *spool = *handle;
    *handle = NULL;
    if (!spool)
        return;
    if (spool->lock >= 0)
        close(spool->lock);
    pthread_mutex_destroy(&spool->mutex);
    cb_buf_free(&spool->content);
    free(spool);
}

void cb_spool_remove(const char *path)
{
    /* ".new": what cb_file_replace leaves when it is killed. */
    static const char *const ends[] = {"", ".new", ".lock"};
    char name[PATH_MAX];
    for (size_t i = 0; *path && i < sizeof ends / sizeof *ends; i++) {
        if (snprintf(name, sizeof name, "%.4000s%s", path, ends[i]) > 0)
            unlink(name);
    }
}

/* ---- Adding ---- */

static cb_error write_at(int file, cb_bytes record, size_t at)
{
    for (size_t done = 0; done < record.len;) {
        ssize_t wrote = pwrite(file, record.data + done, record.len - done, (off_t)(at + done));
        if (wrote < 0 && errno != EINTR)
            return error_of(errno);
        if (wrote == 0)
            return CB_E_STORE_FULL;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return CB_OK;
}

static cb_error append(cb_spool *spool, cb_bytes record)
{
    size_t at = spool->content.len;
    int file = open(spool->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return CB_E_IO;
    cb_error error = write_at(file, record, at);
    if (!error && fdatasync(file) != 0)
        error = error_of(errno);
    if (!error && fstat(file, &spool->seen) != 0)
        error = CB_E_IO;
    if (error) { /* nobody was told that it is there */
        spool->seen = (struct stat){0};
        if (ftruncate(file, (off_t)at) != 0)
            error = CB_E_IO;
    }
    close(file);
    return error;
}

static bool has_room(const cb_spool *spool, uint8_t event, size_t record)
{
    size_t room = event == CB_JOURNAL_TAP_BEGUN ? CB_SPOOL_MAX - CB_SPOOL_RESERVE : CB_SPOOL_MAX;
    return spool->content.len + record <= room;
}

static cb_error add(cb_spool *spool, const cb_journal_entry *entry)
{
    cb_journal_entry again;
    cb_journal_head head = spool->last;
    cb_buf record = CB_BUF(RECORD_MAX);
    cb_error error = cb_journal_put(entry, &record);
    if (!error) {
        cb_cursor from = cb_cursor_over(cb_buf_bytes(&record));
        error = cb_journal_take(&from, &again, &head);
        cb_buf_put(&record, cb_bytes_make(head.hash.bytes, CHECK));
    }
    if (!error && !has_room(spool, entry->event, record.len))
        error = CB_E_TERMINAL_LOG;
    if (!error)
        error = append(spool, cb_buf_bytes(&record));
    if (!error) {
        cb_buf_put(&spool->content, cb_buf_bytes(&record));
        spool->last = head;
        if (cb_buf_error(&spool->content)) /* it is on the disk: read it from there */
            spool->seen = (struct stat){0};
    }
    cb_buf_free(&record);
    return error;
}

cb_error cb_spool_add(cb_spool *spool, cb_journal_event event, const char *text)
{
    int64_t now = cb_clock_wall_us(); /* of a clock that nobody has set yet, perhaps */
    cb_journal_entry entry = {.time = now > 0 ? now : 0, .event = (uint8_t)event};
    for (size_t i = 0; i < CB_JOURNAL_TEXT_MAX && text[i]; i++)
        entry.text[i] = cb_journal_char_ok(text[i]) ? text[i] : '-';
    cb_error error = enter(spool);
    return leave(spool, error ? error : add(spool, &entry));
}

cb_error cb_spool_room(cb_spool *spool)
{
    cb_journal_entry entry = {.event = CB_JOURNAL_TAP_BEGUN};
    cb_buf record = CB_BUF(RECORD_MAX);
    cb_journal_tap(&(cb_id){{1}}, "", entry.text);
    cb_error error = cb_journal_put(&entry, &record);
    size_t size = record.len + CHECK;
    cb_buf_free(&record);
    if (error)
        return error;
    error = enter(spool);
    if (!error && !has_room(spool, entry.event, size))
        error = CB_E_TERMINAL_LOG;
    return leave(spool, error);
}

/* ---- Shipping ---- */

static cb_cursor entries_of(const cb_spool *spool)
{
    return cb_cursor_over(
        cb_bytes_make(spool->content.data + spool->first, spool->content.len - spool->first));
}

bool cb_spool_waits(cb_spool *spool)
{
    bool waits = enter(spool) == CB_OK && spool->content.len > spool->first;
    leave(spool, CB_OK);
    return waits;
}

static cb_error batch(cb_spool *spool, cb_journal_head *before, cb_buf *entries,
                      cb_journal_head *after)
{
    cb_cursor from = entries_of(spool);
    *before = *after = spool->before;
    for (int i = 0; i < CB_JOURNAL_BATCH_ENTRIES && from.rest.len > 0; i++) {
        cb_bytes rest = from.rest;
        if (!take(&from, after))
            return CB_E_CONFIG;
        cb_buf_put(entries, cb_bytes_make(rest.data, rest.len - from.rest.len - CHECK));
    }
    return cb_buf_error(entries);
}

cb_error cb_spool_batch(cb_spool *spool, cb_journal_head *before, cb_buf *entries,
                        cb_journal_head *after)
{
    cb_error error = enter(spool);
    return leave(spool, error ? error : batch(spool, before, entries, after));
}

static cb_error taken(cb_spool *spool, const cb_journal_head *head)
{
    cb_cursor from = entries_of(spool);
    cb_journal_head at = spool->before;
    while (at.number < head->number && take(&from, &at))
        ;
    if (!cb_journal_same(&at, head))
        return CB_E_PROTOCOL;
    if (at.number == spool->before.number)
        return CB_OK;
    return write_file(spool, head, from.rest);
}

cb_error cb_spool_taken(cb_spool *spool, const cb_journal_head *head)
{
    cb_error error = enter(spool);
    return leave(spool, error ? error : taken(spool, head));
}
