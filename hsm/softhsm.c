/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/softhsm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/log.h"

#define OBJECT "token.object"
#define KEPT OBJECT ".kept"
#define NEW KEPT ".new"

enum {
    PATH_MOST = 1024,
    GENERATION = 8, /* at the beginning of the file: how often it was written */
    UUID = 36,      /* a token's folder */
    SERIAL = 16,    /* digits: the last of the folder's name, without the hyphens */
    LABEL = 32,
    ENTRY = 4096,                                              /* of the system's list of users */
    READ_ONLY = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK /* no waiting at a pipe */
};

/* ---- Where the tokens are ---- */

/* As SoftHSM looks for its configuration. */
static FILE *open_configuration(void)
{
    char path[PATH_MOST], buffer[ENTRY];
    const char *named = getenv("SOFTHSM2_CONF"), *home = getenv("HOME");
    struct passwd user, *found = NULL;
    if (named)
        return fopen(named, "re");
    if ((!home || !*home) && getpwuid_r(getuid(), &user, buffer, sizeof buffer, &found) == 0)
        home = found ? found->pw_dir : NULL;
    FILE *file = NULL;
    if (home && snprintf(path, sizeof path, "%s/.config/softhsm2/softhsm2.conf", home) < PATH_MOST)
        file = fopen(path, "re");
    return file ? file : fopen("/etc/softhsm/softhsm2.conf", "re");
}

/* "directories.tokendir = PATH" */
static bool is_folder_line(char *line, char folder[PATH_MOST])
{
    static const char name[] = "directories.tokendir";
    char *at = line + strspn(line, " \t");
    if (strncmp(at, name, sizeof name - 1) != 0)
        return false;
    at += sizeof name - 1;
    at += strspn(at, " \t");
    if (*at++ != '=')
        return false;
    at += strspn(at, " \t");
    size_t len = strcspn(at, "\r\n#");
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t' || at[len - 1] == '/'))
        len--;
    if (len == 0 || len >= PATH_MOST)
        return false;
    memcpy(folder, at, len);
    folder[len] = 0;
    return true;
}

static DIR *open_tokens(void)
{
    char line[PATH_MOST + 64], folder[PATH_MOST];
    bool found = false;
    FILE *file = open_configuration();
    if (!file)
        return NULL;
    while (!found && fgets(line, sizeof line, file))
        found = is_folder_line(line, folder);
    fclose(file);
    return found ? opendir(folder) : NULL;
}

/* ---- One token's folder ---- */

/* Nobody else writes it meanwhile; SoftHSM's own tools lock it likewise. */
static bool lock(int fd)
{
    struct flock all = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    for (int i = 0; fcntl(fd, F_SETLK, &all) != 0; i++) {
        if (i == 100 || (errno != EAGAIN && errno != EACCES))
            return false;
        usleep(10000);
    }
    return true;
}

static int open_locked(int folder)
{
    int fd = openat(folder, OBJECT, READ_ONLY);
    if (fd >= 0 && !lock(fd)) {
        close(fd);
        errno = EBUSY;
        return -1;
    }
    return fd;
}

static bool read_all(int fd, cb_buf *out)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size > CB_SOFTHSM_FILE_MOST)
        return false;
    for (;;) {
        uint8_t piece[4096];
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 && !cb_buf_error(out);
        cb_buf_put(out, cb_bytes_make(piece, (size_t)got));
    }
}

static bool read_kept(int folder, cb_buf *out)
{
    int fd = openat(folder, KEPT, READ_ONLY);
    if (fd < 0)
        return false;
    bool good = read_all(fd, out);
    close(fd);
    return good;
}

static bool write_all(int fd, cb_bytes data)
{
    while (data.len > 0) {
        ssize_t done = write(fd, data.data, data.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        data = cb_bytes_make(data.data + done, data.len - (size_t)done);
    }
    return true;
}

static bool put_new(int folder, const char *name, cb_bytes data, bool synced)
{
    int fd = openat(folder, NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && write_all(fd, data) && (!synced || fsync(fd) == 0);
    if (fd >= 0)
        close(fd);
    return good && renameat(folder, NEW, folder, name) == 0;
}

/* The file is there as a whole, or as it was. */
static bool replace(int folder, const char *name, cb_bytes data)
{
    bool good = put_new(folder, name, data, true) && fsync(folder) == 0;
    if (!good)
        cb_log_failure("token.copy", CB_E_IO, strerror(errno));
    return good;
}

/* u64 type ‖ u64 kind ‖ value. */
static bool next_attribute(cb_cursor *in, cb_bytes *value)
{
    enum { ONE_BYTE = 1, NUMBER = 2, BYTES = 3 };
    cb_cursor_u64(in);
    uint64_t kind = cb_cursor_u64(in);
    uint64_t len = kind == BYTES ? cb_cursor_u64(in) : kind == NUMBER ? sizeof(uint64_t) : 1;
    if (kind < ONE_BYTE || kind > BYTES || len > in->rest.len)
        return false;
    *value = cb_cursor_take(in, (size_t)len);
    return cb_cursor_ok(in);
}

/* Attributes, and nothing after the last. What is damaged was damaged by a writer that ended too
 * early, or a power cut; a token that was initialised anew has less in its file than before, and is
 * whole. */
static bool is_whole(cb_bytes file)
{
    cb_bytes value;
    cb_cursor in = cb_cursor_over(file);
    cb_cursor_take(&in, GENERATION);
    bool any = false, good = true;
    while (good && cb_cursor_ok(&in) && in.rest.len > 0)
        any = good = next_attribute(&in, &value);
    return any && good && cb_cursor_ok(&in);
}

/* Whether it is the file of the token with that label: other applications may have some, too. */
static bool is_named(cb_bytes file, const char *label)
{
    char padded[LABEL];
    cb_bytes value;
    size_t len = strlen(label);
    if (len > LABEL)
        return false;
    memset(padded, ' ', sizeof padded);
    memcpy(padded, label, len);
    cb_cursor in = cb_cursor_over(file);
    cb_cursor_take(&in, GENERATION);
    while (next_attribute(&in, &value)) {
        if (cb_bytes_same(value, CB_BYTES_OF(padded)))
            return true;
    }
    return false;
}

static bool mend(int tokens, int folder, const char *name, const void *label)
{
    (void)tokens;
    cb_buf kept = CB_BUF(CB_SOFTHSM_FILE_MOST), now = CB_BUF(CB_SOFTHSM_FILE_MOST);
    bool copy = read_kept(folder, &kept) && is_whole(cb_buf_bytes(&kept));
    int fd = open_locked(folder);
    bool gone = fd < 0 && errno == ENOENT;
    bool there = fd >= 0 && read_all(fd, &now);
    bool whole = there && is_whole(cb_buf_bytes(&now));
    if (copy && (gone || (there && !whole)) && replace(folder, OBJECT, cb_buf_bytes(&kept)))
        cb_log(CB_LOG_WARNING, "token.mended",
               "A process ended while SoftHSM wrote the token's file: it is as it was at the "
               "last login again, with the PIN of then.",
               "token", name, NULL);
    if (!copy && whole && is_named(cb_buf_bytes(&now), label))
        replace(folder, KEPT, cb_buf_bytes(&now));
    if (fd >= 0)
        close(fd);
    cb_buf_free(&kept);
    cb_buf_free(&now);
    return true;
}

static bool same_but_generation(cb_bytes a, cb_bytes b)
{
    return a.len == b.len && a.len > GENERATION &&
           memcmp(a.data + GENERATION, b.data + GENERATION, a.len - GENERATION) == 0;
}

static bool keep(int tokens, int folder, const char *name, const void *unused)
{
    (void)tokens, (void)name, (void)unused;
    cb_buf kept = CB_BUF(CB_SOFTHSM_FILE_MOST), now = CB_BUF(CB_SOFTHSM_FILE_MOST);
    int fd = open_locked(folder);
    if (fd >= 0 && read_all(fd, &now) && is_whole(cb_buf_bytes(&now))) {
        bool known = read_kept(folder, &kept) &&
                     same_but_generation(cb_buf_bytes(&now), cb_buf_bytes(&kept));
        if (!known)
            replace(folder, KEPT, cb_buf_bytes(&now));
    }
    if (fd >= 0)
        close(fd);
    cb_buf_free(&kept);
    cb_buf_free(&now);
    return true;
}

/* ---- On the disk ---- */

/* Linux tells of a failed write once, and takes what was not written for written; so that the next
 * sync has something to write, and is not told that all is well, the file is made anew. Whoever has
 * it locked for long is writing all of it, which the next sync has to write as well. */
static void write_anew(int folder, const char *name, int fd)
{
    cb_buf content = CB_BUF(CB_SOFTHSM_FILE_MOST);
    if (lock(fd) && read_all(fd, &content))
        put_new(folder, name, cb_buf_bytes(&content), false);
    cb_buf_free(&content);
}

static bool sync_object(int folder, const char *name)
{
    int fd = openat(folder, name, READ_ONLY);
    if (fd < 0)
        return errno == ENOENT; /* destroyed meanwhile */
    bool good = fsync(fd) == 0;
    int reason = errno;
    /* Of the token's own file there is a copy. */
    if (!good && strcmp(name, OBJECT) != 0)
        write_anew(folder, name, fd);
    close(fd);
    errno = reason;
    return good;
}

static bool is_object(const char *name)
{
    static const char end[] = ".object";
    size_t len = strlen(name);
    return len >= sizeof end - 1 && strcmp(name + len - (sizeof end - 1), end) == 0;
}

/* All are tried: what fails is made anew, and the next time they are synced together. */
static bool sync_token(int tokens, int folder, const char *name, const void *unused)
{
    (void)name, (void)unused;
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *objects = again >= 0 ? fdopendir(again) : NULL;
    const struct dirent *entry;
    bool good = objects != NULL;
    int reason = errno;
    for (errno = 0; objects && (entry = readdir(objects)) != NULL; errno = 0) {
        if (is_object(entry->d_name) && !sync_object(folder, entry->d_name)) {
            good = false;
            reason = errno;
        }
    }
    if (objects && errno != 0) {
        good = false;
        reason = errno;
    }
    if (objects)
        closedir(objects);
    else if (again >= 0)
        close(again);
    errno = reason;
    return good && fsync(folder) == 0 && fsync(tokens) == 0;
}

/* ---- All of them ---- */

static bool is_of(const char *folder, const CK_TOKEN_INFO *info)
{
    char serial[SERIAL + 1];
    size_t len = 0;
    for (const char *at = folder + UUID - SERIAL - 1; *at; at++) {
        if (*at != '-' && len < SERIAL)
            serial[len++] = *at;
    }
    return len == SERIAL && memcmp(serial, info->serialNumber, SERIAL) == 0;
}

typedef bool (*token_act)(int tokens, int folder, const char *name, const void *label);

/* One token, or with info NULL all of them. Whether there was any, and each act was good. */
static bool each_token(const CK_TOKEN_INFO *info, token_act act, const char *label)
{
    DIR *tokens = open_tokens();
    const struct dirent *entry;
    unsigned found = 0, good = 0;
    while (tokens && (entry = readdir(tokens)) != NULL) {
        if (strlen(entry->d_name) != UUID || (info && !is_of(entry->d_name, info)))
            continue;
        int folder =
            openat(dirfd(tokens), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        found++;
        if (folder < 0)
            continue;
        good += act(dirfd(tokens), folder, entry->d_name, label);
        close(folder);
    }
    if (tokens)
        closedir(tokens);
    return found > 0 && good == found;
}

static bool is_softhsm(const CK_TOKEN_INFO *info)
{
    static const char maker[] = "SoftHSM";
    return memcmp(info->manufacturerID, maker, sizeof maker - 1) == 0;
}

void cb_softhsm_mend(const char *label) { each_token(NULL, mend, label); }

void cb_softhsm_keep(const CK_TOKEN_INFO *info)
{
    static atomic_bool said;
    if (!is_softhsm(info) || each_token(info, keep, NULL) || atomic_exchange(&said, true))
        return;
    cb_log(CB_LOG_WARNING, "token.not_kept",
           "The folder of SoftHSM's token was not found: no copy is kept of the token's file, and "
           "no new key is used. Let SOFTHSM2_CONF name the configuration with that folder.",
           NULL);
}

cb_error cb_softhsm_sync(const CK_TOKEN_INFO *info)
{
    errno = 0;
    if (!is_softhsm(info) || each_token(info, sync_token, NULL))
        return CB_OK;
    cb_log(CB_LOG_ERROR, "token.not_synced",
           "Keys in SoftHSM's token may not be on the disk, and nothing is sealed under new ones: "
           "mend its disk, or let SOFTHSM2_CONF name the configuration with its folder; then do it "
           "again.",
           "reason", errno ? strerror(errno) : "the token's folder was not found", NULL);
    return CB_E_IO;
}
