/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/names_apart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* as the kernel follows */

/* ---- Where a name leads to ---- */

/* False: together they are too long. */
static bool join(const char *folder, const char *name, char out[PATH_MAX])
{
    int len = snprintf(out, PATH_MAX, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name);
    return len > 0 && len < PATH_MAX;
}

/* The folder without links, and what is or would be in it. */
static bool place_in(const char *path, char folder[PATH_MAX], char out[PATH_MAX])
{
    char above[PATH_MAX];
    snprintf(above, sizeof above, "%s", path);
    char *slash = strrchr(above, '/');
    const char *name = slash ? path + (slash + 1 - above) : path;
    if (slash)
        slash[slash == above] = 0;
    return *name && realpath(slash ? above : ".", folder) && join(folder, name, out);
}

bool cb_run_place(const char *path, char out[PATH_MAX])
{
    char at[PATH_MAX], folder[PATH_MAX], target[PATH_MAX];
    bool good = snprintf(at, sizeof at, "%s", path) < PATH_MAX;
    for (int links = 0; good && links <= LINKS_MAX; links++) {
        if (realpath(at, out))
            return true;
        if (errno != ENOENT || !place_in(at, folder, out))
            return false;
        ssize_t len = readlink(out, target, sizeof target - 1);
        if (len <= 0)
            return true; /* nothing is there yet */
        target[len] = 0;
        if (target[0] == '/')
            memcpy(at, target, (size_t)len + 1);
        else
            good = join(folder, target, at);
    }
    return false;
}

/* ---- Whether they are apart ---- */

typedef struct found {
    char place[PATH_MAX];
    struct stat about;
    bool known, there;
} found;

static bool same(const found *a, const found *b)
{
    return (a->known && b->known && strcmp(a->place, b->place) == 0) ||
           (a->there && b->there && a->about.st_dev == b->about.st_dev &&
            a->about.st_ino == b->about.st_ino);
}

static cb_ctl_status refuse(cb_ctl *ctl, const cb_run_name *a, const cb_run_name *b)
{
    const char *option = b->option ? b->option : a->option;
    cb_ctl_misuse(ctl, "%s would be %s and %s in one", b->path, a->what, b->what);
    if (option)
        cb_ctl_note(ctl, "Nothing was begun: name another file with %s.", option);
    else
        cb_ctl_note(ctl, "Nothing was begun: put the file that is read elsewhere, or remove %s.",
                    b->path);
    return CB_CTL_USAGE;
}

cb_ctl_status cb_run_names_apart(cb_ctl *ctl, const cb_run_name *names, size_t count)
{
    cb_ctl_status status = CB_CTL_DONE;
    found *all = count <= CB_RUN_NAMES_MAX ? calloc(CB_RUN_NAMES_MAX, sizeof *all) : NULL;
    if (!all)
        return cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    for (size_t i = 0; i < count; i++) {
        all[i].known = cb_run_place(names[i].path, all[i].place);
        all[i].there = stat(names[i].path, &all[i].about) == 0;
        for (size_t j = 0; !status && j < i; j++) {
            if (same(&all[i], &all[j]))
                status = refuse(ctl, &names[j], &names[i]);
        }
    }
    free(all);
    return status;
}
