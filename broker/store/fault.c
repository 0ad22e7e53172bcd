/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Faults that may pass: a disk that failed or was mounted read-only, a lock that somebody holds, a
 * file that is not where it was. Ordinary changes are refused at once then, revocations and results
 * are tried all the same, and every few seconds a trial is written, so that the store serves again
 * as soon as it can.
 *
 * That is sound after a failed fsync too, when nobody knows what the disk holds: a transaction that
 * failed does not count in the WAL's index, so the next one overwrites its frames and syncs them
 * anew, and a checkpoint that failed is repeated from the WAL, which is not reset before it
 * succeeded. What was acknowledged before was synced before. A damaged database is another thing:
 * nothing is written to it any more.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/store/internal.h"

#define TRIAL_DEFAULT (500 * CB_MILLISECOND)

static cb_error look_up(const cb_store *store, unsigned which, cb_file_place *out)
{
    static const char *const suffix[CB_STORE_FILES] = {"", "-wal", "-shm"};
    char name[4096];
    struct stat about;
    int len = snprintf(name, sizeof name, "%s%s", store->path, suffix[which]);
    if (len < 0 || (size_t)len >= sizeof name || stat(name, &about) != 0)
        return CB_E_STORE_MOVED;
    *out = (cb_file_place){about.st_dev, about.st_ino};
    return CB_OK;
}

cb_error cb_store_note_place(cb_store *store)
{
    cb_error error = CB_OK;
    for (unsigned i = 0; !error && i < CB_STORE_FILES; i++)
        error = look_up(store, i, &store->place[i]);
    return error;
}

/* SQLite goes on with files that have no name any more: what it writes there is lost with the last
 * who has them open. */
cb_error cb_store_in_place(const cb_store *store)
{
    cb_file_place now = {0};
    cb_error error = CB_OK;
    for (unsigned i = 0; !error && i < CB_STORE_FILES; i++) {
        const cb_file_place *then = &store->place[i];
        error = look_up(store, i, &now);
        if (!error && (now.device != then->device || now.number != then->number))
            error = CB_E_STORE_MOVED;
    }
    return error;
}

void cb_store_faulty(cb_store *store, cb_error error)
{
    if (store->fault != error)
        cb_log(CB_LOG_ERROR, "store.fault", cb_error_text(error), "error", cb_error_code(error),
               NULL);
    int64_t first = store->options.trial > 0 ? store->options.trial : TRIAL_DEFAULT;
    store->trial_wait = store->fault ? 2 * store->trial_wait : first;
    if (store->trial_wait > 8 * first)
        store->trial_wait = 8 * first;
    store->trial_at = cb_clock_monotonic_us() + store->trial_wait;
    store->fault = error;
    pthread_cond_signal(&store->work);
}

void cb_store_sound(cb_store *store)
{
    if (store->fault)
        cb_log(CB_LOG_INFO, "store.sound", "The database takes changes again", NULL);
    store->fault = CB_OK;
}

void cb_store_note_fault(cb_store *store, cb_error error)
{
    pthread_mutex_lock(&store->lock);
    if (error == CB_E_STORE_DAMAGED)
        cb_store_refuse(store, error,
                        "The database is damaged: nothing is written to it any more; stop the "
                        "broker, keep a copy of its files, restore the newest backup");
    else if (error == CB_E_STORE || error == CB_E_STORE_MOVED)
        cb_store_faulty(store, error);
    pthread_mutex_unlock(&store->lock);
}

/* The page that holds the number is written and synced, whatever the number was. */
cb_error cb_store_trial(cb_txn *txn) { return cb_sql_run(txn->sql, "PRAGMA user_version = 0"); }
