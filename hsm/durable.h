/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A number and a digest that survive a crash and a power cut: what hsmd must never forget.
 *
 * Both are written in place into one of two pages in turn, each with a sequence number and a
 * checksum, and synced before the write counts. A page that was torn by a power cut fails its
 * checksum, and the other one, which is the value before, stands. No file is created or renamed, so
 * a write costs one flush of the device (measured: 0.07–0.3 ms) and never an entry of a folder.
 *
 *   page (at 0 and at 4096): "CBHEAD1" 00 ‖ u64 sequence ‖ u64 number ‖ digest (32) ‖ SHA-256 of
 * the 56 bytes before
 *
 * What a process has read it writes once more before it relies on it (cb_durable_again): a sync
 * that failed leaves it to be read and never to be written.
 *
 * What follows the two pages belongs to the caller.
 */
#ifndef CB_HSM_DURABLE_H
#define CB_HSM_DURABLE_H

#include <sys/types.h>

#include "base/crypto.h"

enum { CB_DURABLE_PAGE = 4096, CB_DURABLE_SIZE = 2 * CB_DURABLE_PAGE };

typedef struct cb_durable {
    uint64_t sequence; /* of the last write; 0: none yet */
    uint64_t number;
    cb_digest digest;
} cb_durable;

/* Makes an empty state file (mode 0600) where there is none, and syncs the folder. Only when an
 * officer says so: a file that is missing later was lost, or its disk is not mounted, and who makes
 * a new one forgets what must never be forgotten. CB_E_IO, CB_E_STORE_FULL. */
cb_error cb_durable_make(const char *path);

/* Opens a state file. CB_E_IO, also when there is none. */
cb_error cb_durable_open(const char *path, int *fd);

/* Reads so many bytes, fewer only at the end of the file. CB_E_IO. */
cb_error cb_durable_read_at(int fd, void *out, size_t len, off_t at, size_t *got);

/* Writes all of it, and returns after it is safe. CB_E_IO, CB_E_STORE_FULL. */
cb_error cb_durable_write_at(int fd, cb_bytes data, off_t at);

/* Reads the newer valid page. A new file, or one that is all zero, gives zeros. CB_E_HSM_RECORD if
 * neither page is valid: the file is damaged, and nothing in it is believed. */
cb_error cb_durable_read(int fd, cb_durable *out);

/* Writes number and digest with the next sequence number, and returns after they are safe. CB_E_IO,
 * CB_E_STORE_FULL, CB_E_HSM_RECORD (sequence numbers are used up: somebody edited the file); then
 * *value is as it was. */
cb_error cb_durable_write(int fd, cb_durable *value, uint64_t number, const cb_digest *digest);

/* Writes what was read once more, into the other page: it may never have reached the disk, and then
 * no sync alone brings it there. Errors as above. */
cb_error cb_durable_again(int fd, cb_durable *value);

#endif
