/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardbrokerd's configuration (docs/man/cardbroker.conf.5), read at start and again on SIGHUP.
 */
#ifndef CB_BROKER_CONFIG_H
#define CB_BROKER_CONFIG_H

#include "base/buf.h"
#include "base/log.h"
#include "broker/core/failures.h"
#include "broker/http/acceptor.h"
#include "broker/status/status.h"

enum { CB_CONFIG_LISTENERS = 8 };

/* An issuer of foreign cards, and where it says what it has revoked. */
typedef struct cb_broker_issuer {
    const char *name;
    const char *certificate; /* PEM file */
    const char *lists[CB_STATUS_LISTS_MAX];
    size_t list_count;
    const char *responder; /* NULL: none */
} cb_broker_issuer;

typedef struct cb_broker_listener {
    const char *address;
    uint16_t port;
    cb_tls_entry entries[2]; /* its own, and the relay domain's if that has one */
    size_t entry_count;
} cb_broker_listener;

/* Texts are owned by file or apart. Not to be copied: entries point into it. */
typedef struct cb_broker_config {
    struct cfg_t *file;
    struct cb_config_apart *apart;
    const char *user; /* NULL: stays who it is */
    const char *run;
    const char *state;
    const char *database;
    const char *relay_domain;
    char relay_pattern[256]; /* "*." and the domain */
    unsigned relay_port;
    cb_broker_listener listeners[CB_CONFIG_LISTENERS];
    size_t listener_count;
    uint32_t administrators[CB_LOCAL_USERS_MAX];
    size_t administrator_count;
    cb_limits limits;
    cb_broker_issuer issuers[CB_STATUS_ISSUERS_MAX];
    size_t issuer_count;
    cb_status_config status; /* numbers alone */
    unsigned workers, queue, threads, streams, taps, sessions;
    int64_t stop_time;      /* microseconds at most for what is under way when the broker stops */
    int64_t login_deadline; /* microseconds a connector may take */
    unsigned logins_per_service;
    uint64_t checkpoint; /* as in cb_store_options */
    cb_card_rules rules; /* for cards that are issued */
    cb_failure_limits failures;
    int64_t renewal;     /* before the end of a card's certificates newer ones are asked for at its
                            taps; 0: only when they count no more */
    int64_t return_time; /* after its last day a card may be given back; 0: for ever */
    uint8_t software; /* cb_software_policy */
    int64_t maintenance; /* microseconds that maintenance of a terminal may last */
    unsigned activations, activations_each; /* a minute, of all and of one address */
    cb_log_level log_level;
    bool sandbox;
} cb_broker_config;

/* CB_E_CONFIG with "file: what is wrong" in why. */
cb_error cb_broker_config_load(const char *path, cb_broker_config *out, cb_buf *why);

/* The same, for a program that serves: libConfuse ends the program, or falls over what it has half
 * made, when it finds no memory, so a process of its own does the reading, for at most time
 * (microseconds). CB_E_INTERNAL when that one ended within it or took longer. */
cb_error cb_broker_config_load_apart(const char *path, int64_t time, cb_broker_config *out,
                                     cb_buf *why);

void cb_broker_config_free(cb_broker_config *config);

void cb_config_apart_free(struct cb_config_apart *apart); /* config.c's only; takes NULL */

#endif
