/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * HTTP/1.1 over TLS towards a service, by libcurl on wolfSSL, for one login.
 *
 * Nothing is shared with another login: not a connection, not a TLS session, not a cookie. libcurl
 * resolves nothing and opens nothing: each connection comes from the opener, for an origin of the
 * service's configuration, and each is a fresh one with a full handshake. Where the holder's
 * certificate is presented, the handshake's signature is asked from the broker.
 *
 * What is made before the sandbox closes is made by cb_http_new.
 */
#ifndef CB_CONNECTORS_HOST_HTTP_H
#define CB_CONNECTORS_HOST_HTTP_H

#include <curl/curl.h>

#include "base/buf.h"
#include "connectors/include/cardbroker/connector.h"

typedef struct cb_http {
    CURL *easy;
    CURLM *multi;
    struct cardbroker_login *login;
    int connection;        /* the descriptor that libcurl now uses, -1: none. Owned by libcurl */
    bool may_connect;      /* false once the session has its one connection */
    int64_t connect_until; /* monotonic */
    unsigned origin;       /* number of the origin of the request */
    bool with_certificate;
    cb_bytes trust;
    cb_error error; /* what a callback found; more exact than libcurl's code */
    bool lost;      /* there was no memory for a part of the request, which is then not sent */
    unsigned status;
    cb_buf headers;
    cb_buf body;
    cb_buf found; /* answer of header() */
    char *resolve;
} cb_http;

/* Starts the libraries, and reads the system's list of certificate authorities, for requests that
 * name no trust. Once, in the zygote: copies share it. CB_E_MEMORY, CB_E_INTERNAL; that there is no
 * such list is no error. */
cb_error cb_http_start(void);

/* The parts of libcurl that need descriptors. CB_E_MEMORY. */
cb_error cb_http_new(struct cardbroker_login *login, cb_http **out);

/* One exchange, buffered. Errors: CB_E_SERVICE_*, CB_E_ARGUMENT, CB_E_TOO_LARGE, or what the key
 * said. */
cb_error cb_http_exchange(cb_http *http, const cardbroker_request *request,
                          cardbroker_response *response);

/* Options that every request of this login has; the relay starts from them too. CB_E_ARGUMENT for
 * an origin that the service's configuration does not name. deadline: monotonic. */
cb_error cb_http_prepare(cb_http *http, const cardbroker_request *request, int64_t deadline);

/* Sets an option of the request, or notes that it is lost. */
#define CB_HTTP_SET(http, option, value)                                                           \
    ((http)->lost |= curl_easy_setopt((http)->easy, option, value) != CURLE_OK)

/* Adds a copy of a line to a list that belongs to the request, or notes that it is lost; line NULL:
 * it is lost already. */
void cb_http_add_line(cb_http *http, struct curl_slist **list, const char *line);

/* Drives the prepared transfer to its end; ends early when the broker's socket closes. Nothing is
 * sent of a request that is not whole (CB_E_MEMORY). */
cb_error cb_http_perform(cb_http *http);

/* Gathers one header line; the status line of each answer starts anew, so that interim answers
 * (1xx) are not mixed in. For CURLOPT_HEADERFUNCTION. */
size_t cb_http_take_header(char *line, size_t size, size_t count, void *http);

/* Value of the first header of that name, or NULL. */
const char *cb_http_find_header(cb_http *http, const char *name);

void cb_http_free(cb_http **http);

#endif
