/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who is at the other end of a connection: what its handshake or its socket proved, once. What that
 * means now (a terminal, its state, a right) is looked up at every request.
 */
#ifndef CB_BROKER_HTTP_PEER_H
#define CB_BROKER_HTTP_PEER_H

#include "base/crypto.h"

enum { CB_PEER_ADDRESS = 46 /* INET6_ADDRSTRLEN */ };

typedef enum cb_peer_kind {
    CB_PEER_NETWORK = 1, /* TLS */
    CB_PEER_LOCAL = 2    /* the administration socket */
} cb_peer_kind;

typedef struct cb_peer {
    uint64_t connection; /* number of the connection, never used twice in a process */
    cb_digest
        key; /* SHA-256 of the client certificate's SubjectPublicKeyInfo; possession is proven */
    uint32_t uid; /* of the process, for local peers */
    uint8_t kind; /* cb_peer_kind */
    bool has_key;
    char address[CB_PEER_ADDRESS];
} cb_peer;

#endif
