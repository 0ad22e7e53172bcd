/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/folder.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

static cb_error refuse(cb_buf *why, const char *path, const char *what)
{
    cb_buf_printf(why, "%s: %s", path, what);
    return CB_E_CONFIG;
}

static cb_error check_one(const char *path, uid_t own, bool above, cb_buf *why)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return refuse(why, path, strerror(errno));
    if (!S_ISDIR(about.st_mode))
        return refuse(why, path, "is no folder");
    if (about.st_uid != 0 && about.st_uid != own)
        return refuse(why, path,
                      "belongs to another user, who could put another folder in its place");
    bool shared = about.st_mode & (S_IWGRP | S_IWOTH);
    if (shared && !(above && about.st_mode & S_ISVTX))
        return refuse(why, path,
                      "may be written by others, who could put another folder in its place");
    return CB_OK;
}

cb_error cb_folder_check(const char *path, uid_t own, cb_buf *why)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return refuse(why, path, strerror(errno));
    cb_error error = check_one(real, own, false, why);
    while (!error && strcmp(real, "/") != 0) {
        /* dirname cuts its argument off where it ends, or answers "/". */
        const char *above = dirname(real);
        if (above != real)
            strcpy(real, "/");
        error = check_one(real, own, true, why);
    }
    return error;
}
