/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the tests of connectors stand on: a private connectord, a private nginx, keys in software
 * behind cb_login_keys. Everything lives in one temporary folder and is stopped by process id.
 * Failures end the test.
 */
#ifndef CB_TESTS_CONNECTORS_SUPPORT_H
#define CB_TESTS_CONNECTORS_SUPPORT_H

#include <stdatomic.h>
#include <sys/types.h>

#include "connectors/client.h"

enum { PATH_SIZE = 256 };

typedef struct bench {
    char dir[PATH_SIZE];     /* temporary */
    char service[PATH_SIZE]; /* nginx's folder in it */
    int port;                /* nginx's first */
    pid_t connectord;
    cb_connectors *connectors;
} bench;

/* A holder: a certificate, and its key as a test's stand-in for the HSM. */
typedef struct holder {
    char name[64];
    uint8_t algorithm;
    cb_buf certificate;
    cb_buf public_key;
    cb_buf private_key; /* PKCS#8, DER */
    atomic_uint uses;
    cb_error refuse; /* what use() answers, when not CB_OK */
} holder;

/* connectors: connectord.conf sections, "" for mtls alone. With nginx when with_service. */
void bench_start(bench *b, const char *connectors, bool with_service);
void bench_stop(bench *b);
void bench_start_connectord(bench *b);
void bench_launch_connectord(bench *b); /* waits for nothing */
void bench_await_connectord(bench *b);
void bench_stop_connectord(bench *b, int signal);

/* Makes a key and a certificate at the service's authority. algorithm: "ec-p256", … */
void holder_new(const bench *b, holder *h, const char *name, const char *algorithm);
void holder_free(holder *h);

/* Reads the certificate again from nginx's folder. */
void holder_reload(const bench *b, holder *h);

/* For cb_login_keys; context is the holder. */
cb_error holder_use(void *context, uint8_t operation, uint8_t hash, cb_bytes data, cb_buf *result);

/* {"url":"https://localhost:<port><path>","ca_file":…<extra>} */
const char *service_config(const bench *b, int port, const char *path, const char *extra,
                           cb_buf *out);

/* Logs in with the connector and configuration given. */
cb_error log_in(bench *b, holder *h, const char *connector, const char *config, int64_t time,
                cb_login_result *result, cb_session **session);

/* The same with mtls at nginx, whoami; must succeed. */
cb_session *log_in_at_service(bench *b, holder *h, int port);

/* One exchange without a body; text gets the answer's body, headers may be NULL. */
cb_error fetch(cb_session *session, const char *method, const char *target,
               const char *request_headers, unsigned *status, cb_buf *headers, cb_buf *text);

/* Descriptors that this process has open, and all descendants of connectord. */
unsigned open_descriptors(pid_t pid);
unsigned descendants(pid_t pid, pid_t *out, unsigned most);

/* The process of connectord's worker whose name (mtls, …) is this: the first child that has a
 * login's zygote's plug-in mapped. */
pid_t zygote_of(const bench *b, const char *plugin);

bool process_is_gone(void *pid);

/* Whether the tests were built with a sanitizer that maps more memory than any limit. */
bool sanitized(void);

/* Waits until the condition holds, up to five seconds. */
bool eventually(bool (*condition)(void *), void *context);

#endif
