/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The terminal's configuration file, cardlink.conf(5).
 */
#ifndef CB_CARDLINK_TERMINAL_CONFIG_H
#define CB_CARDLINK_TERMINAL_CONFIG_H

#include "base/config.h"
#include "base/crypto.h"
#include "base/log.h"
#include "cardlink/terminal/order.h"
#include "cardlink/terminal/pad.h"

#define CB_TERMINAL_CONFIG "/etc/cardbroker/cardlink.conf"

enum { CB_LOG_PATH_MAX = 4000 };

typedef struct cb_terminal_config {
    cfg_t *cfg;         /* owns the texts below */
    const char *broker; /* https://host:port, no path */
    const char *ca;     /* PEM file: who may vouch for the broker */
    const char *certificate;
    const char *key;
    const cb_reader_kind *kind;
    const char *place;
    cb_profile_order profiles;
    cb_atr_hints hints;   /* of these profiles only */
    const char *service;  /* "": none */
    const char *text;     /* "": none */
    const char *tamper;   /* what is there when the housing was opened; "": nobody says so */
    char log[CB_LOG_PATH_MAX + 1]; /* the terminal's own log */
    int64_t
        log_every; /* microseconds, at least, between two times that it is brought to the broker */
    cb_digest digest;     /* of the configuration file */
    int64_t timeout;      /* microseconds, for one answer of the broker */
    int64_t card_timeout; /* microseconds, for one call to a reader */
    bool prefetch;
    int64_t prefetch_for; /* microseconds without a card, after which no more scripts are fetched in
                             advance */
    uint8_t pin_pad; /* cb_pad_use */
    cb_log_level log_level;
} cb_terminal_config;

/* What one reader is for, in the agent. */
typedef struct cb_reader_use {
    const char *service; /* "": none: the reader is not served */
    const char *text;    /* "": none */
} cb_reader_use;

/* Reads and checks. CB_E_CONFIG with "file:line: reason" in why. Files it names are not opened. */
cb_error cb_terminal_config_load(const char *path, cb_terminal_config *out, cb_buf *why);
void cb_terminal_config_free(cb_terminal_config *config);

/* For a reader by its name: of the section whose title is the name or the beginning of it, the
 * longest first; otherwise what holds for all. */
cb_reader_use cb_terminal_config_reader(const cb_terminal_config *config, const char *reader);

/* What is looked for on the card that lies on a reader. */
void cb_terminal_config_order(const cb_terminal_config *config, const cb_reader_info *card,
                              cb_profile_order *out);

#endif
