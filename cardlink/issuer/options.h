/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The command line of cardlink-issuer.
 */
#ifndef CB_CARDLINK_ISSUER_OPTIONS_H
#define CB_CARDLINK_ISSUER_OPTIONS_H

#include "cardlink/issuer/issue.h"

enum { CB_ISSUER_KEYS_MAX = 4 };

/* Texts are borrowed from argv; NULL, 0 and false: not given. */
typedef struct cb_issuer_options {
    const char *folder, *name, *authority, *use, *out, *batch, *state, *certificate, *letter, *ca,
        *ca_key, *certificates, *content_signer, *content_signer_key, *management, *management_key,
        *pairing_code, *beside, *atr, *master, *kdd;
    const char *key[CB_ISSUER_KEYS_MAX];
    size_t keys;
    const char *broker[CB_VCARD_KLOC_MAX];
    size_t brokers;
    unsigned years, limit, pin_len, key_version;
    int secrets_fd;
    bool in_transit, help, version;
} cb_issuer_options;

/* One after the other. */
extern const char cb_issuer_usage[], cb_issuer_usage_options[];

/* Reads all options; optind is the first word that is none. False for wrong use. */
bool cb_issuer_options_read(int argc, char **argv, cb_issuer_options *out);

#endif
