/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/memo.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "hsm/durable.h"

enum { CHECK = 16, ENTRIES = CB_MEMO_PAGE / CB_MEMO_ENTRY };

struct cb_memo {
    int fd;
};

/* Where an entry is, or where it would go. */
typedef struct place {
    off_t at;
    bool there;
    cb_digest value; /* if there */
} place;

cb_id cb_memo_place(const char *domain, cb_bytes what)
{
    cb_id id;
    cb_digest digest = cb_sha256_parts(
        (cb_bytes[]){cb_bytes_make((const uint8_t *)domain, strlen(domain) + 1), what}, 2);
    memcpy(id.bytes, digest.bytes, CB_ID_SIZE);
    return id;
}

static cb_digest check_of(const cb_id *id, const cb_digest *value)
{
    static const char domain[] = "cardbroker memo 1";
    return cb_sha256_parts(
        (cb_bytes[]){CB_BYTES_OF(domain), cb_id_bytes(id), cb_digest_bytes(value)}, 3);
}

static uint64_t number_of(const cb_id *id)
{
    cb_digest digest = cb_sha256(cb_id_bytes(id));
    cb_cursor in = cb_cursor_over(cb_digest_bytes(&digest));
    return cb_cursor_u64(&in);
}

static off_t page_in(unsigned segment, uint64_t number)
{
    uint64_t before = CB_MEMO_FIRST_PAGES * ((UINT64_C(1) << segment) - 1);
    uint64_t pages = (uint64_t)CB_MEMO_FIRST_PAGES << segment;
    return (off_t)((before + (number & (pages - 1))) * CB_MEMO_PAGE);
}

/* Behind the end of the file nothing was written yet. */
static cb_error read_page(const cb_memo *memo, off_t at, uint8_t page[CB_MEMO_PAGE])
{
    size_t got;
    memset(page, 0, CB_MEMO_PAGE);
    return cb_durable_read_at(memo->fd, page, CB_MEMO_PAGE, at, &got);
}

/* CB_OK: out is filled in. CB_E_NOT_FOUND: the page is full of others. */
static cb_error look_in(cb_bytes page, const cb_id *id, place *out)
{
    cb_cursor in = cb_cursor_over(page);
    for (unsigned i = 0; i < ENTRIES; i++) {
        cb_id seen;
        uint8_t check[CHECK];
        cb_cursor_copy(&in, seen.bytes, CB_ID_SIZE);
        cb_cursor_copy(&in, out->value.bytes, CB_SHA256_SIZE);
        cb_cursor_copy(&in, check, CHECK);
        out->there = cb_id_same(&seen, id);
        if (!out->there && !cb_id_is_zero(&seen))
            continue;
        out->at += (off_t)i * CB_MEMO_ENTRY;
        cb_digest right = check_of(id, &out->value);
        return out->there && memcmp(&right, check, CHECK) != 0 ? CB_E_HSM_RECORD : CB_OK;
    }
    return CB_E_NOT_FOUND;
}

static cb_error find(const cb_memo *memo, const cb_id *id, place *out)
{
    uint8_t page[CB_MEMO_PAGE];
    uint64_t number = number_of(id);
    if (cb_id_is_zero(id))
        return CB_E_ARGUMENT;
    for (unsigned segment = 0; segment < CB_MEMO_SEGMENTS; segment++) {
        *out = (place){.at = page_in(segment, number)};
        cb_error error = read_page(memo, out->at, page);
        if (!error)
            error = look_in(CB_BYTES_OF(page), id, out);
        if (error != CB_E_NOT_FOUND)
            return error;
    }
    return CB_E_STORE_FULL;
}

cb_error cb_memo_open(const char *path, cb_memo **out)
{
    cb_memo *memo = malloc(sizeof *memo);
    *out = NULL;
    if (!memo)
        return CB_E_MEMORY;
    cb_error error = cb_durable_open(path, &memo->fd);
    if (error)
        free(memo);
    else
        *out = memo;
    return error;
}

void cb_memo_close(cb_memo **memo)
{
    if (!*memo)
        return;
    close((*memo)->fd);
    free(*memo);
    *memo = NULL;
}

cb_error cb_memo_get(const cb_memo *memo, const cb_id *id, cb_digest *value)
{
    place found;
    cb_error error = find(memo, id, &found);
    if (error)
        return error == CB_E_STORE_FULL ? CB_E_NOT_FOUND : error;
    *value = found.value;
    return found.there ? CB_OK : CB_E_NOT_FOUND;
}

static cb_error write_at(const cb_memo *memo, off_t at, const cb_id *id, const cb_digest *value)
{
    cb_buf entry = CB_BUF(CB_MEMO_ENTRY);
    cb_digest check = check_of(id, value);
    cb_buf_put(&entry, cb_id_bytes(id));
    cb_buf_put(&entry, cb_digest_bytes(value));
    cb_buf_put(&entry, cb_bytes_make(check.bytes, CHECK));
    cb_error error = cb_buf_error(&entry);
    if (!error)
        error = cb_durable_write_at(memo->fd, cb_buf_bytes(&entry), at);
    cb_buf_free(&entry);
    return error;
}

static void set(void *context, cb_digest *value) { *value = *(const cb_digest *)context; }

cb_error cb_memo_put(cb_memo *memo, const cb_id *id, const cb_digest *value)
{
    cb_digest copy = *value;
    return cb_memo_change(memo, id, set, &copy);
}

cb_error cb_memo_change(cb_memo *memo, const cb_id *id,
                        void (*change)(void *context, cb_digest *value), void *context)
{
    place found;
    int locked;
    do
        locked = flock(memo->fd, LOCK_EX);
    while (locked != 0 && errno == EINTR);
    if (locked != 0)
        return CB_E_IO;
    cb_error error = find(memo, id, &found);
    if (!error) {
        if (!found.there)
            found.value = (cb_digest){{0}};
        change(context, &found.value);
        error = write_at(memo, found.at, id, &found.value);
    }
    flock(memo->fd, LOCK_UN);
    return error;
}
