/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"

/* libConfuse reports errors through a callback without a context of the caller's. */
static _Thread_local cb_buf *reason;
static _Thread_local const char *reason_path;

__attribute__((format(printf, 2, 0))) static void collect_error(cfg_t *cfg, const char *format, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    if (reason && reason->len == 0)
        cb_buf_printf(reason, "%s:%d: %s", reason_path, cfg ? cfg->line : 0, text);
}

static bool is_whole(cfg_t *cfg);

/* Whether what has a default, and is no list, has a value. */
static bool has_value(const cfg_opt_t *option)
{
    if (option->type == CFGT_SEC) {
        for (unsigned i = 0; i < option->nvalues; i++)
            if (!is_whole(option->values[i]->section))
                return false;
        return option->nvalues > 0 || (option->flags & (CFGF_MULTI | CFGF_NODEFAULT));
    }
    if (option->flags & (CFGF_LIST | CFGF_NODEFAULT))
        return true;
    if (option->nvalues == 0)
        return false;
    return option->type != CFGT_STR || !option->def.string || option->values[0]->string;
}

static bool is_whole(cfg_t *cfg)
{
    if (!cfg || !cfg->opts)
        return false;
    for (const cfg_opt_t *option = cfg->opts; option->name; option++)
        if (!has_value(option))
            return false;
    return true;
}

/* libConfuse does not look whether its own copies found room: without memory it leaves out a default
 * or a value, and what it has made by then cannot always be freed. So errno is looked at, which it
 * sets to 0 at each number, and then at what there is; and what is half made is left behind. */
static cb_error parse(cfg_opt_t *options, const char *text, cfg_t **out)
{
    errno = 0;
    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    if (!cfg || errno == ENOMEM)
        return CB_E_MEMORY;
    cfg_set_error_function(cfg, collect_error);
    int status = cfg_parse_buf(cfg, text);
    if (errno == ENOMEM || (status == CFG_SUCCESS && !is_whole(cfg)))
        return CB_E_MEMORY;
    *out = cfg;
    return status == CFG_SUCCESS ? CB_OK : CB_E_CONFIG;
}

cb_error cb_config_load(const char *path, cfg_opt_t *options, cfg_t **out, cb_buf *why)
{
    cb_buf content = CB_BUF(CB_CONFIG_MAX);
    cfg_t *cfg = NULL;
    cb_error error = cb_file_read(path, &content);
    if (error) {
        cb_buf_printf(why, "%s: cannot be read: %s", path, cb_error_text(error));
        error = error == CB_E_MEMORY ? error : CB_E_CONFIG;
        goto out;
    }
    const char *text = cb_buf_cstr(&content);
    reason = why;
    reason_path = path;
    error = text ? parse(options, text, &cfg) : CB_E_MEMORY;
    if (error == CB_E_CONFIG && why->len == 0)
        cb_buf_printf(why, "%s:%d: not understood", path, cfg->line);
    reason = NULL;
out:
    if (error && cfg)
        cfg_free(cfg);
    else
        *out = cfg;
    cb_buf_free(&content);
    return error;
}

static cb_error read_all(int fd, cb_buf *out)
{
    for (;;) {
        uint8_t chunk[4096];
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got > 0)
            cb_buf_put(out, cb_bytes_make(chunk, (size_t)got));
        cb_wipe(chunk, sizeof chunk);
        if (got < 0)
            return CB_E_IO;
        if (got == 0 || cb_buf_error(out))
            return cb_buf_error(out);
    }
}

/* Nobody needs to stand at the other end of what turns out to be a pipe. */
static int open_at_once(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (fd >= 0 && fcntl(fd, F_SETFL, 0) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

cb_error cb_file_read(const char *path, cb_buf *out)
{
    int fd = open_at_once(path, 0);
    if (fd < 0)
        return errno == ENOENT ? CB_E_NOT_FOUND : CB_E_IO;
    cb_error error = read_all(fd, out);
    close(fd);
    return error;
}

cb_error cb_config_secret(const char *path, cb_buf *out, cb_buf *why)
{
    struct stat about;
    cb_error error = CB_E_CONFIG;
    int fd = open_at_once(path, O_NOFOLLOW);
    if (fd < 0) {
        cb_buf_printf(why, "%s: cannot be opened: %s", path, strerror(errno));
        return error;
    }
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        cb_buf_printf(why, "%s: is not a regular file", path);
    else if (about.st_mode & 037)
        cb_buf_printf(why, "%s: others may open it: chmod 600 it", path);
    else if ((error = read_all(fd, out)) != CB_OK)
        cb_buf_printf(why, "%s: cannot be read: %s", path, cb_error_text(error));
    close(fd);
    if (!error && out->len > 0 && out->data[out->len - 1] == '\n')
        out->data[--out->len] = 0;
    return error;
}

static cb_error write_all(int fd, cb_bytes content)
{
    while (content.len > 0) {
        ssize_t done = write(fd, content.data, content.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno == ENOSPC ? CB_E_STORE_FULL : CB_E_IO;
        content = cb_bytes_make(content.data + done, content.len - (size_t)done);
    }
    return fsync(fd) == 0 ? CB_OK : CB_E_IO;
}

static cb_error open_folder_of(const char *path, int *out)
{
    char *copy = strdup(path);
    if (!copy)
        return CB_E_MEMORY;
    *out = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    return *out < 0 ? CB_E_IO : CB_OK;
}

/* A new file of that name; what a crash left there goes. */
static cb_error write_new(const char *name, cb_bytes content, unsigned mode)
{
    if (unlink(name) != 0 && errno != ENOENT)
        return CB_E_IO;
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    if (fd < 0)
        return errno == ENOSPC ? CB_E_STORE_FULL : CB_E_IO;
    cb_error error = write_all(fd, content);
    close(fd);
    return error;
}

cb_error cb_file_replace(const char *path, cb_bytes content, unsigned mode)
{
    cb_buf beside = CB_BUF(4096);
    int folder = -1;
    cb_buf_printf(&beside, "%s.new", path);
    const char *name = cb_buf_cstr(&beside);
    cb_error error = cb_buf_error(&beside);
    if (!error)
        error = open_folder_of(path, &folder);
    if (!error) {
        error = write_new(name, content, mode);
        if (!error && rename(name, path) != 0)
            error = CB_E_IO;
        if (error)
            unlink(name);
        else if (fsync(folder) != 0)
            error = CB_E_IO;
    }
    if (folder >= 0)
        close(folder);
    cb_buf_free(&beside);
    return error;
}
