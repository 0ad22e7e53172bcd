/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * hsmd's configuration (docs/man/hsmd.conf.5), read once by the first process and inherited by its
 * workers.
 */
#ifndef CB_HSM_CONFIG_H
#define CB_HSM_CONFIG_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/log.h"
#include "hsm/foreign.h"
#include "hsm/sandbox.h"
#include "hsm/token.h"

enum {
    CB_HSMD_USERS_MAX = 16,
    CB_HSM_PIN_MAX = 256,
    CB_ORIGIN_MAX = 200,
    CB_HSMD_ANCHORS_MAX = 64,
    CB_HSMD_FOREIGN_FILES_MAX = 16
};

/* The broker's certificates under a generation that came before. */
typedef struct cb_hsmd_former {
    uint8_t version;
    const char *agreement;
    const char *signer;
    const char *link; /* NULL: no card is rolled */
} cb_hsmd_former;

typedef struct cb_hsmd_users {
    bool separated; /* started as root with users named: the lanes' users differ */
    uid_t front_end;
    uid_t manager[CB_HSMD_USERS_MAX];
    size_t managers;
    uid_t own; /* what hsmd itself becomes; only if separated */
} cb_hsmd_users;

/* Whom to trust for cards of a profile that others issued. */
typedef struct cb_hsmd_foreign {
    uint8_t profile;
    const char *anchor[CB_HSMD_FOREIGN_FILES_MAX]; /* PEM files */
    size_t anchors;
    const char *intermediate[CB_HSMD_FOREIGN_FILES_MAX];
    size_t intermediates;
    const char *policy[CB_FOREIGN_POLICIES_MAX]; /* object identifiers */
    size_t policies;
    cb_x509_renewal renewal;
    bool renewal_at_taps;
} cb_hsmd_foreign;

typedef struct cb_hsmd_config {
    struct cfg_t *file; /* owns the strings */
    cb_token_config token;
    const char *user; /* NULL: none named */
    const char *pin_file;
    const char *so_pin_file; /* NULL: none */
    const char *run;
    const char *state;
    const char *origin;
    unsigned workers;
    unsigned taps;
    uint32_t revocations; /* remembered at most */
    uint32_t
        renew_after; /* taps that a worker begins before a fresh one takes its place; 0: no end */
    uint32_t terminal_seconds; /* how long a terminal's certificate is valid */
    int64_t prefetch_us;
    int64_t lifetime_us;
    const char *anchor[CB_HSMD_ANCHORS_MAX];
    size_t anchors;
    cb_hsmd_foreign foreign[CB_PROFILES_MAX];
    size_t foreigners;
    const char *agreement; /* NULL: not installed yet */
    const char *signer;
    uint8_t key_id;
    uint8_t key_version;
    cb_hsmd_former former[CB_HOST_OLDER_MAX]; /* ascending */
    size_t formers;
    cb_hsmd_users users;
    cb_log_level log_level;
    bool sandbox;
    const char *extra_call[CB_SANDBOX_EXTRA_MAX]; /* see sandbox.h */
    size_t extra_calls;
    char lock_path[512]; /* of the token */
    char feed_path[512];
    char bound_path[512];
    char guesses_path[512];
    char log_path[512];
} cb_hsmd_config;

/* Reads a file. On CB_E_CONFIG why says what is wrong, with file and line where there is one. */
cb_error cb_hsmd_config_load(const char *path, cb_hsmd_config *out, cb_buf *why);
void cb_hsmd_config_free(cb_hsmd_config *config);

/* Reads a PIN from the file named in the configuration, or, when its name has no slash, from that
 * file in the folder that systemd passes credentials in ($CREDENTIALS_DIRECTORY). */
cb_error cb_hsmd_pin_read(const char *name, cb_buf *pin, cb_buf *why);

/* Reads a PIN from a descriptor up to its end or the first newline, and closes it. */
cb_error cb_hsmd_pin_read_fd(int fd, cb_buf *pin, cb_buf *why);

#endif
