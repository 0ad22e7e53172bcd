/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The last of the disk is kept for revocations and for results of taps that are under way: when it
 * fills up, new taps are refused first, and that somebody was refused is only logged.
 */
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/store/internal.h"

#define RESERVE_DEFAULT (INT64_C(16) * 1024 * 1024)

/* Whether so many bytes leave less than is kept free. */
static bool is_short(const cb_store *store, uint64_t bytes)
{
    struct statvfs fs;
    int64_t reserve = store->options.reserve ? store->options.reserve : RESERVE_DEFAULT;
    if (reserve < 0 || statvfs(store->path, &fs) != 0)
        return false;
    return fs.f_bavail < ((uint64_t)reserve + bytes) / fs.f_frsize;
}

bool cb_store_has_room(const cb_store *store, uint64_t bytes) { return !is_short(store, bytes); }

bool cb_store_short_of_space(cb_store *store)
{
    int64_t now = cb_clock_monotonic_us();
    if (store->space_asked && now - store->space_asked < CB_SECOND)
        return store->short_of_space;
    bool now_short = is_short(store, 0);
    if (now_short != store->short_of_space)
        cb_log(now_short ? CB_LOG_ERROR : CB_LOG_INFO,
               now_short ? "store.space" : "store.space_back",
               now_short ? "Little space is left: only revocations and results are recorded"
                         : "There is space again",
               NULL);
    store->short_of_space = now_short;
    store->space_asked = now;
    return now_short;
}
