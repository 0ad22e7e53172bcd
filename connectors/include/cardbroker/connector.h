/* SPDX-License-Identifier: MIT
 *
 * Copyright (c) 2026 the Cardbroker authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
 * associated documentation files (the "Software"), to deal in the Software without restriction,
 * including without limitation the rights to use, copy, modify, merge, publish, distribute,
 * sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
 * furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or
 * substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
 * NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
 * NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
 * DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 * OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 *
 *
 * What a connector is: a plug-in that knows how to log a holder in at one kind of service. It is a
 * shared object with one exported symbol, CARDBROKER_CONNECTOR_SYMBOL, a cardbroker_connector. This
 * header is all that it needs.
 *
 * How it is run: every call but describe happens in a process made for that one call, with no way
 * to open a file, a socket or a program; a system call that is not plain computing or the host's
 * own ends the process. Whatever it stores in variables is gone afterwards. So it may be written
 * for one login at a time and need not clean up before it fails. describe is called once, when the
 * plug-in is loaded.
 *
 * What it gets: the login (opaque), and the host, a table of functions. Keys are used through the
 * host and never seen; HTTP goes through the host to the origins that the service's configuration
 * names (its fields of type CARDBROKER_URL) and no other.
 *
 * Strings are UTF-8 and end with a zero. Pointers that the host returns stay valid until the
 * process ends, unless it says otherwise; pointers that the connector passes need to be valid
 * during the call only.
 */
#ifndef CARDBROKER_CONNECTOR_H
#define CARDBROKER_CONNECTOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rises when a change is not compatible. A host refuses a connector of another version. Tables grow
 * at their end within a version; each starts with its size, as its author compiled it, and what
 * lies beyond it is taken as absent. */
#define CARDBROKER_CONNECTOR_ABI 1
#define CARDBROKER_CONNECTOR_SYMBOL "cardbroker_connector_1"
#define CARDBROKER_CONNECTOR_NAME cardbroker_connector_1

/* Before the connector's definition, so that it is seen from outside. */
#define CARDBROKER_EXPORT __attribute__((visibility("default")))

/* How a call went. What is not CARDBROKER_OK ends the login; the service's side of it is told to
 * the holder in words. */
typedef enum cardbroker_status {
    CARDBROKER_OK = 0,
    CARDBROKER_INVALID = 1,     /* an argument or the configuration is wrong */
    CARDBROKER_DOWN = 2,        /* the service cannot be reached */
    CARDBROKER_SLOW = 3,        /* the service did not answer in time */
    CARDBROKER_CERTIFICATE = 4, /* the service's certificate is not trusted */
    CARDBROKER_REFUSED = 5,     /* the service refused the login */
    CARDBROKER_ANSWER = 6,      /* the service's answer cannot be used */
    CARDBROKER_KEY = 7,         /* the key could not be used; the host knows why */
    CARDBROKER_LARGE = 8,       /* something is over a limit or does not fit */
    CARDBROKER_FAILED = 9       /* anything else; the connector's own fault */
} cardbroker_status;

typedef struct cardbroker_bytes {
    const uint8_t *data;
    size_t len;
} cardbroker_bytes;

/* ---- What the connector says of itself ---- */

/* What the citizen's side gets. */
enum {
    CARDBROKER_TOKEN = 1u << 0, /* a JSON object with a bearer token */
    CARDBROKER_ONE_TIME_URL = 1u << 1,
    CARDBROKER_COOKIES = 1u << 2, /* cookies for one origin */
    CARDBROKER_RELAYED =
        1u << 3 /* the host keeps the connection and relays the browser's requests over it */
};

typedef enum cardbroker_algorithm {
    CARDBROKER_EC_P256 = 1,
    CARDBROKER_EC_P384 = 2,
    CARDBROKER_RSA_2048 = 3,
    CARDBROKER_RSA_3072 = 4,
    CARDBROKER_HMAC_SHA256 = 5,
    CARDBROKER_SECRET = 6
} cardbroker_algorithm;

/* A bit of cardbroker_description.algorithms. */
#define CARDBROKER_USES(algorithm) (1u << (algorithm))

typedef enum cardbroker_type {
    CARDBROKER_STRING = 1,
    CARDBROKER_INTEGER = 2, /* between least and most */
    CARDBROKER_BOOLEAN = 3,
    CARDBROKER_URL = 4, /* https://host[:port]/…; the host may then connect there */
    CARDBROKER_FILE =
        5, /* path of a file on the broker's machine; the connector gets its content */
    CARDBROKER_CHOICE = 6 /* one of choices, "a|b|c" */
} cardbroker_type;

enum {
    CARDBROKER_REQUIRED = 1u << 0,
    CARDBROKER_OF_ENROLMENT =
        1u << 1 /* differs from holder to holder: stands in the enrolment's data */
};

typedef struct cardbroker_field {
    const char *name;
    cardbroker_type type;
    unsigned flags;
    const char *fallback; /* text used when it is absent, or NULL */
    int64_t least, most;  /* of integers */
    const char *choices;
    const char *help; /* one sentence for the service's operator */
} cardbroker_field;

typedef struct cardbroker_description {
    size_t size;
    const char *name;    /* as in the host's configuration: lower-case letters, digits, "-" */
    const char *title;   /* one line for a list */
    const char *version; /* the connector's own */
    unsigned kinds;      /* what authenticate may set */
    unsigned algorithms; /* keys it can work with */
    const cardbroker_field *fields;
    size_t field_count;
} cardbroker_description;

/* ---- What the host does for it ---- */

typedef struct cardbroker_login cardbroker_login; /* one login; opaque */

typedef enum cardbroker_hash {
    CARDBROKER_SHA256 = 1,
    CARDBROKER_SHA384 = 2,
    CARDBROKER_SHA512 = 3
} cardbroker_hash;

typedef enum cardbroker_scheme {
    CARDBROKER_SIGN = 1,    /* ECDSA, giving r ‖ s; or RSA PKCS#1 v1.5 */
    CARDBROKER_SIGN_PSS = 2 /* RSA PSS, MGF1 with the same hash, salt of the digest's size */
} cardbroker_scheme;

typedef enum cardbroker_level {
    CARDBROKER_DEBUG = 0,
    CARDBROKER_INFO = 1,
    CARDBROKER_WARNING = 2,
    CARDBROKER_ERROR = 3
} cardbroker_level;

enum {
    CARDBROKER_BODY_MAX = 1024 * 1024,  /* of an answer to http; for more, relay */
    CARDBROKER_HEADERS_MAX = 32 * 1024, /* of an answer */
    CARDBROKER_VALUE_MAX = 16 * 1024    /* of a result */
};

/* The connection presents the holder's certificate and proves its key. */
enum { CARDBROKER_WITH_CERTIFICATE = 1u << 0 };

typedef struct cardbroker_request {
    size_t size;
    const char *method;
    const char *url;     /* absolute; its origin must be one of the configuration's */
    const char *headers; /* "Name: value\r\n"…, or NULL */
    cardbroker_bytes body;
    unsigned flags;
    cardbroker_bytes trust;      /* certificate authorities, PEM; none: the system's */
    const char *server_name;     /* the name in the service's certificate; NULL: the URL's host */
    uint32_t connect_timeout_ms; /* 0: as the login's deadline allows */
    uint32_t timeout_ms;         /* of all of it */
} cardbroker_request;

typedef struct cardbroker_response {
    size_t size; /* set by the caller */
    unsigned status;
    const char *headers;   /* as received, "Name: value\r\n"…; valid until the next http */
    cardbroker_bytes body; /* valid until the next http */
} cardbroker_response;

typedef struct cardbroker_host {
    uint32_t abi;
    size_t size;

    /* The service's configuration and the enrolment's data, checked against the fields: NULL, 0
     * when absent without a fallback. Files: their content (and its length). */
    const char *(*text)(cardbroker_login *login, const char *field);
    int64_t (*number)(cardbroker_login *login, const char *field); /* integers; booleans as 0, 1 */
    cardbroker_bytes (*content)(cardbroker_login *login, const char *field);

    /* The holder's key. */
    cardbroker_algorithm (*algorithm)(cardbroker_login *login);
    cardbroker_bytes (*certificate)(cardbroker_login *login); /* DER, or empty */
    /* Its public half as a JSON Web Key (RFC 7517) with kid (RFC 7638), without a final newline. */
    cardbroker_status (*public_jwk)(cardbroker_login *login, char *out, size_t size);

    /* Uses of the key. Each is counted and recorded; one login has few. out needs 512 bytes for
     * signatures, 32 for a MAC; secret, which gives out what the algorithm CARDBROKER_SECRET keeps,
     * up to 4,096. */
    cardbroker_status (*sign)(cardbroker_login *login, cardbroker_scheme scheme,
                              cardbroker_hash hash, cardbroker_bytes digest, uint8_t *out,
                              size_t size, size_t *len);
    cardbroker_status (*mac)(cardbroker_login *login, cardbroker_bytes data, uint8_t *out,
                             size_t size, size_t *len);
    cardbroker_status (*secret)(cardbroker_login *login, uint8_t *out, size_t size, size_t *len);

    /* One exchange; redirects are not followed, cookies kept for this login alone are sent. What
     * the service answers, also an error of its own, is CARDBROKER_OK with its status. */
    cardbroker_status (*http)(cardbroker_login *login, const cardbroker_request *request,
                              cardbroker_response *response);
    /* Value of the first header of that name in a response, or NULL; valid until the next call of
     * header or http. */
    const char *(*header)(cardbroker_login *login, const cardbroker_response *response,
                          const char *name);

    /* message: no secrets, no names of people. Few lines a login are kept. */
    void (*log)(cardbroker_login *login, cardbroker_level level, const char *event,
                const char *message);
    int64_t (*wall_clock)(cardbroker_login *login); /* seconds since 1970, UTC */
    int64_t (*time_left)(cardbroker_login *login);  /* milliseconds until the deadline */
    void (*random)(cardbroker_login *login, void *out, size_t len);
    /* out needs 32, 48 or 64 bytes. */
    cardbroker_status (*digest)(cardbroker_login *login, cardbroker_hash hash,
                                cardbroker_bytes data, uint8_t *out);

    /* The result: one of these, once. expires: seconds since 1970, or 0. They copy. */
    cardbroker_status (*set_token)(cardbroker_login *login, const char *json, int64_t expires);
    cardbroker_status (*set_url)(cardbroker_login *login, const char *url, int64_t expires);
    cardbroker_status (*set_cookies)(cardbroker_login *login, const char *json, int64_t expires);
    /* The connection of the last http becomes the session. It is never replaced: when the service
     * closes it, the session ends. */
    cardbroker_status (*set_relayed)(cardbroker_login *login, int64_t expires);
    /* A header that the host adds to every relayed request, replacing the browser's of that name
     * (Cookie: added to it). */
    cardbroker_status (*set_relay_header)(cardbroker_login *login, const char *name,
                                          const char *value);

    /* One sentence that goes with the failure about to be returned, for the operator's log; no
     * secrets. Of check: for who configures it. */
    void (*explain)(cardbroker_login *login, const char *sentence);
    /* The answer of enrol: JSON text. */
    cardbroker_status (*set_enrolment)(cardbroker_login *login, const char *json);
} cardbroker_host;

/* ---- The connector ---- */

typedef struct cardbroker_connector {
    uint32_t abi; /* CARDBROKER_CONNECTOR_ABI */
    size_t size;  /* sizeof(cardbroker_connector) */

    /* What it is. Constant; called once. Never NULL. */
    const cardbroker_description *(*describe)(void);

    /* Whether a configuration, whose fields the host has checked one by one, makes sense as a
     * whole. May be NULL. */
    cardbroker_status (*check)(const cardbroker_host *host, cardbroker_login *login);

    /* What an administrator hands to the service so that it accepts this key (set_enrolment;
     * cardbrokerctl enrolment add --for-service, which takes {"subject":…,"jwks":{"keys":[…]}} with
     * this key and "alg" and "use", and nothing else). May be NULL. */
    cardbroker_status (*enrol)(const cardbroker_host *host, cardbroker_login *login);

    /* Logs in and sets a result. Never NULL. */
    cardbroker_status (*authenticate)(const cardbroker_host *host, cardbroker_login *login);

    /* Logs out at the service, in the process of authenticate; has about a second. The key can no
     * longer be used. May be NULL. */
    cardbroker_status (*log_out)(const cardbroker_host *host, cardbroker_login *login);

    /* Whether the service is there. No key. May be NULL. The broker does not ask for it yet. */
    cardbroker_status (*health)(const cardbroker_host *host, cardbroker_login *login);
} cardbroker_connector;

#ifdef __cplusplus
}
#endif

#endif
