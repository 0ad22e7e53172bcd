/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An HTTP client in the same process as a server that is made to fail: no fault strikes it, neither
 * its allocations nor its calls for sockets are counted (alloc_faults.h, socket_faults.h). One
 * connection for one request; waits for an answer for as long as a loaded machine may take.
 */
#ifndef CB_TESTS_SUPPORT_CALM_CLIENT_H
#define CB_TESTS_SUPPORT_CALM_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct calm_answer {
    bool connected; /* the connection was made, and TLS where there is one */
    bool silent;    /* time went by without an answer and without an end */
    int status;     /* 0: the connection ended before a whole answer */
    char head[4096];
    char body[16384];
} calm_answer;

/* A client for TLS; certificate and key are PEM files, NULL: none. It trusts whatever it meets. */
struct WOLFSSL_CTX *calm_tls(const char *certificate, const char *key);
void calm_tls_free(struct WOLFSSL_CTX **tls);

/* A connection over TLS for one request, made before: the request is asked with it, and ends it.
 * NULL: none was made. */
struct calm_line *calm_dial(struct WOLFSSL_CTX *tls, uint16_t port);
void calm_ask_on(struct calm_line **line, const char *request, calm_answer *answer);
void calm_drop(struct calm_line **line); /* nothing is asked */

/* Sends all of the request at once, and reads the answer until the connection ends: it should say
 * "Connection: close". */
void calm_ask_network(struct WOLFSSL_CTX *tls, uint16_t port, const char *request,
                      calm_answer *answer);
void calm_ask_local(const char *path, const char *request, calm_answer *answer);

#endif
