/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a listener shows and asks in a TLS handshake: certificates by server name, TLS 1.3 and 1.2
 * with ephemeral keys and authenticated encryption only, no resumption.
 *
 * A client certificate is asked for, never demanded, and not judged by who signed it: the handshake
 * proves that the client has its key, and the key is what is registered. A name may leave the
 * question out, because browsers would put it to the citizen.
 */
#ifndef CB_BROKER_HTTP_TLS_H
#define CB_BROKER_HTTP_TLS_H

#include "base/buf.h"
#include "base/crypto.h"

struct WOLFSSL;

typedef struct cb_tls_entry {
    const char *name; /* "": the default; "*.domain": any name one label below it; or one name */
    const char *certificate; /* path: PEM chain, own certificate first */
    const char *key;         /* path: PEM private key */
    bool ask;                /* for a client certificate */
} cb_tls_entry;

typedef struct cb_tls cb_tls;

/* The first entry is the default. CB_E_CONFIG with the reason in why, CB_E_MEMORY. */
cb_error cb_tls_open(const cb_tls_entry *entries, size_t count, cb_tls **out, cb_buf *why);

/* Reads everything anew and keeps it beside what is in use. By one thread at a time, others may use
 * what is in use. */
cb_error cb_tls_prepare(cb_tls *tls, const cb_tls_entry *entries, size_t count, cb_buf *why);

/* Uses what was prepared last, if anything was, or forgets it. Connections keep what they began
 * with. */
void cb_tls_settle(cb_tls *tls, bool use);
void cb_tls_close(cb_tls **tls);

/* What a client shows in a handshake. It counts once the handshake is done: only then has the
 * client proven that it has the key. */
typedef struct cb_tls_shown {
    bool certificate;
    cb_error error; /* CB_E_MEMORY, CB_E_FORMAT: it has a key that cannot be read */
    cb_digest key;
} cb_tls_shown;

/* A server session for a connected socket and the server name it asked for ("": none). NULL: no
 * memory. The caller ends it with wolfSSL_free, and keeps shown until then. Thread-safe. */
struct WOLFSSL *cb_tls_session(cb_tls *tls, int socket, const char *name, cb_tls_shown *shown);

/* SHA-256 of the SubjectPublicKeyInfo (with its tag and length) of a DER certificate. CB_E_FORMAT.
 */
cb_error cb_certificate_key(cb_bytes der, cb_digest *key);

#endif
