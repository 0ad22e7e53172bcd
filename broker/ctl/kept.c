/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "base/text.h"

enum { ID_LEN = CB_ID_TEXT - 1 };

static cb_ctl_status refuse(cb_ctl *ctl, const cb_kept *kept, const char *why)
{
    char text[PATH_MAX + 256];
    snprintf(text, sizeof text, "%s: %s", kept->path, why);
    cb_ctl_status status = cb_ctl_fail(ctl, CB_E_IO, text);
    cb_ctl_note(ctl,
                "Nothing was begun. Name another file with %s, or bring the one back that the run "
                "before wrote.",
                kept->option);
    return status;
}

bool cb_kept_sync_name(const char *place)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", place);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return true;
    slash[slash == folder] = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);
    if (fd >= 0)
        close(fd);
    return good;
}

/* A whole row is an identifier, a comma, and text without control characters. */
static bool row_ok(const char *row, size_t len, cb_id *id)
{
    char text[CB_ID_TEXT];
    if (len < ID_LEN + 2 || row[ID_LEN] != ',' || row[len - 1] != '\n')
        return false;
    for (size_t i = 0; i + 1 < len; i++) {
        if ((unsigned char)row[i] < 0x20 || row[i] == 0x7F)
            return false;
    }
    memcpy(text, row, ID_LEN);
    text[ID_LEN] = 0;
    return cb_id_parse(text, id) == CB_OK;
}

/* ---- What is there ---- */

/* NULL, or what is wrong: somebody else could read it, or have it read something else. */
static const char *not_ours(const cb_kept *kept)
{
    struct stat about;
    if (fstat(kept->fd, &about) != 0)
        return strerror(errno);
    if (!S_ISREG(about.st_mode) || about.st_nlink != 1)
        return "it is no file of its own";
    if (about.st_uid != geteuid())
        return "it is somebody else's";
    if (about.st_mode & (S_IRWXG | S_IRWXO))
        return "others than its owner may open it";
    return flock(kept->fd, LOCK_EX | LOCK_NB) == 0 ? NULL : "another run is writing it";
}

/* Takes what is whole, and says where that ends. */
static const char *take_rows(cb_kept *kept, FILE *from)
{
    char row[CB_KEPT_ROW_MAX + 1];
    size_t len = strlen(kept->heading);
    const char *wrong = NULL;
    /* fgets says nothing of zeros, after which the row seems to end. */
    if (!fgets(row, sizeof row, from) || strcmp(row, kept->heading) != 0)
        return NULL;
    kept->size = (int64_t)len;
    cb_id id;
    while (!wrong && fgets(row, sizeof row, from) && row_ok(row, strlen(row), &id)) {
        kept->size += (int64_t)strlen(row);
        kept->rows++;
        if (cb_id_map_set(&kept->of, 'r', &id, 1))
            wrong = strerror(ENOMEM);
    }
    if (!wrong && ferror(from))
        wrong = "it cannot be read to its end";
    cb_wipe(row, sizeof row);
    return wrong;
}

static const char *read_rows(cb_kept *kept)
{
    int fd = dup(kept->fd);
    FILE *from = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!from) {
        const char *wrong = strerror(errno);
        if (fd >= 0)
            close(fd);
        return wrong;
    }
    char buffer[BUFSIZ];
    setvbuf(from, buffer, _IOFBF, sizeof buffer);
    const char *wrong = take_rows(kept, from);
    fclose(from);
    cb_wipe(buffer, sizeof buffer);
    return wrong;
}

/* A run that ended as it made its file has left a heading, or the beginning of one. */
static bool only_begun(const cb_kept *kept)
{
    char text[256];
    struct stat about;
    size_t len = strlen(kept->heading);
    if (fstat(kept->fd, &about) != 0 || about.st_size > (off_t)len || len > sizeof text)
        return false;
    ssize_t have = pread(kept->fd, text, sizeof text, 0);
    return have == (ssize_t)about.st_size && memcmp(text, kept->heading, (size_t)have) == 0;
}

/* ---- Beginning and going on ---- */

static bool put(cb_kept *kept, cb_bytes bytes)
{
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t n =
            pwrite(kept->fd, bytes.data + done, bytes.len - done, (off_t)kept->size + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done == bytes.len)
        kept->size += (int64_t)done;
    else if (ftruncate(kept->fd, (off_t)kept->size) != 0)
        errno = EIO; /* the next run cuts it off */
    return done == bytes.len;
}

static const char *begin(cb_kept *kept)
{
    const char *wrong = not_ours(kept);
    if (wrong)
        return wrong;
    if (!only_begun(kept))
        return "it is there already, and not of the run that is to go on";
    if (ftruncate(kept->fd, 0) != 0 || !put(kept, cb_bytes_str(kept->heading)) ||
        fsync(kept->fd) != 0)
        return strerror(errno);
    return cb_kept_sync_name(kept->place) ? NULL : strerror(errno);
}

static const char *go_on(cb_kept *kept, const char *before, int64_t size)
{
    if (strcmp(kept->place, before) != 0)
        return "it is not the one of the run that is to go on";
    const char *wrong = not_ours(kept);
    if (!wrong)
        wrong = read_rows(kept);
    if (!wrong && (kept->size == 0 || kept->size < size))
        wrong = "rows are missing or changed that were in it";
    if (!wrong && (ftruncate(kept->fd, (off_t)kept->size) != 0 || fsync(kept->fd) != 0))
        wrong = strerror(errno);
    return wrong;
}

cb_ctl_status cb_kept_open(cb_ctl *ctl, cb_kept *kept, const char *before, int64_t size)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int fd = before ? -1 : open(kept->path, flags | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
    if (fd < 0 && (before || errno == EEXIST))
        fd = open(kept->path, flags);
    kept->fd = fd > 0 ? fd : 0;
    if (fd <= 0)
        return refuse(ctl, kept, strerror(errno));
    const char *wrong = realpath(kept->path, kept->place) ? NULL : strerror(errno);
    if (!wrong)
        wrong = before ? go_on(kept, before, size) : begin(kept);
    return wrong ? refuse(ctl, kept, wrong) : CB_CTL_DONE;
}

void cb_kept_close(cb_kept *kept)
{
    if (kept->fd > 0)
        close(kept->fd);
    kept->fd = 0;
    cb_id_map_free(&kept->of);
}

/* ---- Rows ---- */

cb_error cb_kept_claim(cb_kept *kept, const cb_id *id, bool *mine)
{
    *mine = cb_id_map_find(&kept->of, 'r', id) == NULL;
    return *mine ? cb_id_map_set(&kept->of, 'r', id, 1) : CB_OK;
}

void cb_kept_release(cb_kept *kept, const cb_id *id)
{
    cb_id_entry *entry = cb_id_map_find(&kept->of, 'r', id);
    if (entry)
        cb_id_map_remove(&kept->of, entry);
}

bool cb_kept_add(cb_kept *kept, cb_bytes row)
{
    cb_id id;
    bool good = !kept->unwritten && row.len <= CB_KEPT_ROW_MAX - 1 &&
                row_ok((const char *)row.data, row.len, &id) && put(kept, row);
    kept->unwritten = !good;
    kept->rows += good;
    return good;
}

bool cb_kept_sync(cb_kept *kept)
{
    kept->unwritten = fsync(kept->fd) != 0 || kept->unwritten;
    return !kept->unwritten;
}

void cb_kept_quoted(cb_buf *out, const char *text)
{
    cb_buf_put_u8(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            cb_buf_put_u8(out, '"');
        cb_buf_put_u8(out, (uint8_t)*text);
    }
    cb_buf_put_u8(out, '"');
}
