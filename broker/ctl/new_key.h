/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A sealed key for an enrolment: made by hsmd, or brought along and encrypted to hsmd's import key.
 */
#ifndef CB_BROKER_CTL_NEW_KEY_H
#define CB_BROKER_CTL_NEW_KEY_H

#include "broker/ctl/ctl.h"

enum { CB_CTL_CSR_MAX = 4096 };

typedef struct cb_ctl_new_key {
    cb_sealed_info info;
    cb_buf subject; /* DER Name, when a request is asked for */
    cb_buf
        plain; /* PKCS#8 or secret, when the key is brought along; wiped as soon as it is wrapped */
    cb_buf sealed;
    cb_buf public_key; /* empty for secrets */
    cb_buf csr;        /* empty: none was asked for */
} cb_ctl_new_key;

void cb_ctl_new_key_init(cb_ctl_new_key *key);
void cb_ctl_new_key_free(cb_ctl_new_key *key);

/* Reads what the command line says of the key (--algorithm, --uses, --csr, --subject, --public-key,
 * --import, --secret-fd), and the key itself if it is brought along. Asks nobody but the
 * administrator. */
cb_ctl_status cb_ctl_new_key_read(cb_ctl *ctl, const cb_ctl_args *args, cb_ctl_new_key *key);

/* Has hsmd make or import it, for the holder, service, level and sequence that stand in info by
 * now. */
cb_ctl_status cb_ctl_new_key_make(cb_ctl *ctl, cb_ctl_new_key *key);

/* Writes the request and the public key where --csr and --public-key say; before the key is
 * recorded, so that a request is never missing for one that is. */
cb_ctl_status cb_ctl_new_key_write(cb_ctl *ctl, const cb_ctl_args *args, const cb_ctl_new_key *key);

/* Takes the files away again when the key was refused. */
void cb_ctl_new_key_unwrite(const cb_ctl_args *args);

/* What add and renew post of it: sealed, and public_key unless it is a secret. NULL for want of memory. */
json_t *cb_ctl_new_key_json(const cb_ctl_new_key *key);

#define CB_CTL_NEW_KEY_OPTIONS                                                                     \
    {"algorithm", "A", "ec-p256, ec-p384, rsa-2048, rsa-3072, hmac-sha256 or secret", true,        \
     false},                                                                                       \
        {"csr", "OUT", "write a certificate request (PEM) here", false, false},                    \
        {"subject", "NAME", "the request's subject, for example \"CN=Tanaka Hanako,O=Example\"",   \
         false, false},                                                                            \
        {"public-key", "OUT", "write the public key (PEM) here", false, false},                    \
        {"import", "FILE",                                                                         \
         "bring along an existing key (PEM or DER; \"-\": standard input) or secret", false,       \
         false},                                                                                   \
        {"secret-fd", "N", "read the secret from this file descriptor", false, false},             \
    {                                                                                              \
        "uses", "N", "most uses of the key in one tap, 1 to 16 (default 1)", false, false          \
    }

#endif
