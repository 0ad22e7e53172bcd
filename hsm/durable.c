/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/log.h"

enum { CHECKED = 56, RECORD = CHECKED + CB_SHA256_SIZE };
static const uint8_t magic[8] = "CBHEAD1";

static cb_error sync_folder(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return CB_E_MEMORY;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return CB_E_IO;
    cb_error error = fsync(fd) == 0 ? CB_OK : CB_E_IO;
    close(fd);
    return error;
}

/* Once for each reason: a worker that cannot write is asked again and again. */
static cb_error say(const char *what, int reason)
{
    static _Atomic int said;
    cb_error error = reason == ENOSPC || reason == EDQUOT ? CB_E_STORE_FULL : CB_E_IO;
    if (atomic_exchange(&said, reason) != reason && reason != 0)
        cb_log(CB_LOG_ERROR, "state.failed",
               "hsmd's memory cannot be read or written: mend its disk, or make room on it; until "
               "then no tap is served",
               "detail", what, "reason", strerror(reason), NULL);
    return error;
}

cb_error cb_durable_make(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return say(path, errno);
    close(fd);
    return sync_folder(path);
}

cb_error cb_durable_open(const char *path, int *out)
{
    *out = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (*out >= 0)
        return CB_OK;
    if (errno != ENOENT)
        return say(path, errno);
    cb_log(CB_LOG_ERROR, "state.missing",
           "A file of hsmd's memory is missing: mount its disk, or restore it from the backup; "
           "cardbroker-hsmd(8) says what it costs to go on without",
           "path", path, NULL);
    return CB_E_IO;
}

cb_error cb_durable_read_at(int fd, void *out, size_t len, off_t at, size_t *got)
{
    uint8_t *to = out;
    *got = 0;
    while (*got < len) {
        ssize_t n = pread(fd, to + *got, len - *got, at + (off_t)*got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return say("pread", errno);
        if (n == 0)
            return CB_OK;
        *got += (size_t)n;
    }
    return CB_OK;
}

cb_error cb_durable_write_at(int fd, cb_bytes data, off_t at)
{
    for (size_t done = 0; done < data.len;) {
        ssize_t n = pwrite(fd, data.data + done, data.len - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return say("pwrite", n < 0 ? errno : ENOSPC);
        done += (size_t)n;
    }
    if (fdatasync(fd) != 0)
        return say("fdatasync", errno);
    say(NULL, 0);
    return CB_OK;
}

/* Whether the page's checksum holds; then out is its value. */
static bool page_read(cb_bytes page, cb_durable *out)
{
    cb_cursor checked = cb_cursor_over(cb_bytes_make(page.data, CHECKED));
    cb_digest sum = cb_sha256(checked.rest);
    if (memcmp(page.data + CHECKED, sum.bytes, sizeof sum.bytes) != 0)
        return false;
    cb_bytes name = cb_cursor_take(&checked, sizeof magic);
    out->sequence = cb_cursor_u64(&checked);
    out->number = cb_cursor_u64(&checked);
    cb_cursor_copy(&checked, out->digest.bytes, CB_SHA256_SIZE);
    /* The last number of all would have no successor: what was written after it would not count. */
    return cb_cursor_done(&checked) && cb_bytes_same(name, CB_BYTES_OF(magic)) &&
           out->sequence > 0 && out->sequence < UINT64_MAX;
}

static bool all_zero(cb_bytes bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i])
            return false;
    }
    return true;
}

cb_error cb_durable_read(int fd, cb_durable *out)
{
    uint8_t pages[CB_DURABLE_SIZE] = {0};
    size_t got;
    *out = (cb_durable){0};
    cb_error error = cb_durable_read_at(fd, pages, sizeof pages, 0, &got);
    if (error)
        return error;
    bool any = false;
    for (unsigned i = 0; i < 2; i++) {
        cb_durable value = {0};
        if (!page_read(cb_bytes_make(pages + (size_t)i * CB_DURABLE_PAGE, CB_DURABLE_PAGE), &value))
            continue;
        if (!any || value.sequence > out->sequence)
            *out = value;
        any = true;
    }
    return any || all_zero(CB_BYTES_OF(pages)) ? CB_OK : CB_E_HSM_RECORD;
}

cb_error cb_durable_write(int fd, cb_durable *value, uint64_t number, const cb_digest *digest)
{
    cb_durable next = {value->sequence + 1, number, *digest};
    if (value->sequence >= UINT64_MAX - 1)
        return CB_E_HSM_RECORD;
    cb_buf page = CB_BUF(RECORD);
    cb_buf_put(&page, CB_BYTES_OF(magic));
    cb_buf_put_u64(&page, next.sequence);
    cb_buf_put_u64(&page, number);
    cb_buf_put(&page, cb_digest_bytes(digest));
    cb_digest sum = cb_sha256(cb_buf_bytes(&page));
    cb_buf_put(&page, cb_digest_bytes(&sum));
    cb_error error = cb_buf_error(&page);
    off_t at = (off_t)(next.sequence % 2) * CB_DURABLE_PAGE;
    if (!error)
        error = cb_durable_write_at(fd, cb_buf_bytes(&page), at);
    cb_buf_free(&page);
    if (!error)
        *value = next;
    return error;
}

cb_error cb_durable_again(int fd, cb_durable *value)
{
    const cb_durable now = *value;
    return cb_durable_write(fd, value, now.number, &now.digest);
}
