/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A disk that fails: a file system for SQLite that passes everything on to the usual one, but for
 * the call that is to fail.
 */
#ifndef CB_TESTS_SUPPORT_VFS_FAULTS_H
#define CB_TESTS_SUPPORT_VFS_FAULTS_H

#include "tests/support/faults.h"

/* Makes it SQLite's default, for all connections that are opened from now on. */
void vfs_faults_install(void);

/* All calls, each with its input/output error; writing, to a disk that is full; and locks that
 * somebody else holds. */
extern const fault_kind vfs_io_faults, vfs_full_faults, vfs_busy_faults;

#endif
