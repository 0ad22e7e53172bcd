/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/vfs_faults.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fault_counter.h"

static fault_counter io, full, busy;
static sqlite3_vfs *usual;

__attribute__((constructor)) static void make_counters(void)
{
    fault_counter_make(&io);
    fault_counter_make(&full);
    fault_counter_make(&busy);
}

typedef struct shim {
    sqlite3_file base;
    sqlite3_file *real; /* follows in the same memory */
} shim;

static sqlite3_file *real_of(sqlite3_file *file) { return ((shim *)file)->real; }

#define STRIKE(counter, status)                                                                    \
    do {                                                                                           \
        if (fault_counter_strikes(&(counter)))                                                     \
            return status;                                                                         \
    } while (0)

/* ---- Files ---- */

static int do_close(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int do_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    STRIKE(io, SQLITE_IOERR_READ);
    return real_of(file)->pMethods->xRead(real_of(file), out, len, at);
}

static int do_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    STRIKE(io, SQLITE_IOERR_WRITE);
    STRIKE(full, SQLITE_FULL);
    return real_of(file)->pMethods->xWrite(real_of(file), data, len, at);
}

static int do_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    STRIKE(io, SQLITE_IOERR_TRUNCATE);
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int do_sync(sqlite3_file *file, int flags)
{
    STRIKE(io, SQLITE_IOERR_FSYNC);
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int do_size(sqlite3_file *file, sqlite3_int64 *size)
{
    STRIKE(io, SQLITE_IOERR_FSTAT);
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int do_lock(sqlite3_file *file, int level)
{
    STRIKE(io, SQLITE_IOERR_LOCK);
    STRIKE(busy, SQLITE_BUSY);
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int do_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int do_check(sqlite3_file *file, int *out)
{
    STRIKE(io, SQLITE_IOERR_CHECKRESERVEDLOCK);
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int do_control(sqlite3_file *file, int operation, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int do_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int do_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int do_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    *out = NULL;
    STRIKE(io, SQLITE_IOERR_SHMMAP);
    STRIKE(full, SQLITE_FULL);
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int do_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    if (flags & SQLITE_SHM_LOCK) {
        STRIKE(io, SQLITE_IOERR_SHMLOCK);
        STRIKE(busy, SQLITE_BUSY);
    }
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void do_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int do_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = do_close,
    .xRead = do_read,
    .xWrite = do_write,
    .xTruncate = do_truncate,
    .xSync = do_sync,
    .xFileSize = do_size,
    .xLock = do_lock,
    .xUnlock = do_unlock,
    .xCheckReservedLock = do_check,
    .xFileControl = do_control,
    .xSectorSize = do_sector,
    .xDeviceCharacteristics = do_device,
    .xShmMap = do_shm_map,
    .xShmLock = do_shm_lock,
    .xShmBarrier = do_shm_barrier,
    .xShmUnmap = do_shm_unmap,
};

/* ---- Names ---- */

static int do_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    shim *own = (shim *)file;
    (void)vfs;
    own->base.pMethods = NULL;
    STRIKE(io, SQLITE_CANTOPEN);
    own->real = (sqlite3_file *)(own + 1);
    own->real->pMethods = NULL;
    int status = usual->xOpen(usual, name, own->real, flags, out);
    if (own->real->pMethods)
        own->base.pMethods = &methods;
    return status;
}

static int do_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    STRIKE(io, SQLITE_IOERR_DELETE);
    return usual->xDelete(usual, name, sync);
}

static int do_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    (void)vfs;
    STRIKE(io, SQLITE_IOERR_ACCESS);
    return usual->xAccess(usual, name, flags, out);
}

void vfs_faults_install(void)
{
    static sqlite3_vfs own;
    if (usual)
        return;
    usual = sqlite3_vfs_find(NULL);
    own = *usual;
    own.zName = "faults";
    own.szOsFile = (int)sizeof(shim) + usual->szOsFile;
    own.xOpen = do_open;
    own.xDelete = do_delete;
    own.xAccess = do_access;
    if (sqlite3_vfs_register(&own, 1) != SQLITE_OK)
        abort();
}

/* ---- Kinds ---- */

#define KIND(which, said, passes)                                                                  \
    static void which##_arm(unsigned nth, bool lasting)                                            \
    {                                                                                              \
        fault_counter_arm(&which, nth, lasting);                                                   \
    }                                                                                              \
    static unsigned which##_disarm(void) { return fault_counter_disarm(&which); }                  \
    static void which##_where(void) { fault_counter_where(&which); }                               \
    const fault_kind vfs_##which##_faults = {said, which##_arm, which##_disarm, which##_where,     \
                                             passes}

KIND(io, "disk", false);
KIND(full, "full disk", false);
/* For one that is held for good SQLite waits ten seconds. */
KIND(busy, "lock", true);
