/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"

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

cb_error cb_durable_open(const char *path, int *out)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && sync_folder(path)) {
            close(fd);
            fd = -1;
        }
    }
    *out = fd;
    return fd >= 0 ? CB_OK : CB_E_IO;
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
    *out = (cb_durable){0};
    if (pread(fd, pages, sizeof pages, 0) < 0)
        return CB_E_IO;
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
    cb_buf page = CB_BUF(RECORD);
    cb_buf_put(&page, CB_BYTES_OF(magic));
    cb_buf_put_u64(&page, next.sequence);
    cb_buf_put_u64(&page, number);
    cb_buf_put(&page, cb_digest_bytes(digest));
    cb_digest sum = cb_sha256(cb_buf_bytes(&page));
    cb_buf_put(&page, cb_digest_bytes(&sum));
    cb_error error = cb_buf_error(&page);
    if (!error) {
        off_t at = (off_t)(next.sequence % 2) * CB_DURABLE_PAGE;
        ssize_t done = pwrite(fd, page.data, page.len, at);
        if (done != (ssize_t)page.len)
            error = done < 0 && errno == ENOSPC ? CB_E_STORE_FULL : CB_E_IO;
        else if (fdatasync(fd) != 0)
            error = CB_E_IO;
    }
    cb_buf_free(&page);
    if (!error)
        *value = next;
    return error;
}
