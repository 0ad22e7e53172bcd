/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Configuration files, read with libConfuse. Each program declares its own table of options; a name
 * that is not in it is an error, with file and line.
 */
#ifndef CB_BASE_CONFIG_H
#define CB_BASE_CONFIG_H

#include <confuse.h>

#include "base/buf.h"

enum { CB_CONFIG_MAX = 1024 * 1024 };

/* Reads a file. On failure writes "file:line: what is wrong" (no final newline) to why and returns
 * CB_E_CONFIG (or CB_E_MEMORY). The caller ends a successful one with cfg_free. */
cb_error cb_config_load(const char *path, cfg_opt_t *options, cfg_t **out, cb_buf *why);

/* Reads a small secret (a PIN, a password) from a file, without a final newline. The file must be a regular one
 * that nobody but its owner (and group, read only) may open: CB_E_CONFIG otherwise, with the reason in why. */
cb_error cb_config_secret(const char *path, cb_buf *out, cb_buf *why);

/* Reads a whole file of at most out->max bytes. CB_E_NOT_FOUND, CB_E_TOO_LARGE, CB_E_IO. A pipe
 * that nobody writes to is empty. */
cb_error cb_file_read(const char *path, cb_buf *out);

/* Replaces a file so that a crash leaves the old or the new content, never a part: writes beside
 * it, syncs, renames, syncs the folder. After an error the old content is there, unless it was the
 * folder that could not be synced. CB_E_STORE_FULL, CB_E_IO, CB_E_MEMORY, CB_E_TOO_LARGE (the
 * path). */
cb_error cb_file_replace(const char *path, cb_bytes content, unsigned mode);

#endif
