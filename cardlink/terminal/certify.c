/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/certify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pem.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/relay.h"
#include "cardlink/x509/certificate.h"
#include "cardlink/x509/request.h"

enum { CERTIFICATE_MAX = 2048, PEM_MAX = 8192, LINE = 64, TRIES = 50 };

#define RETRY_MIN CB_SECOND
#define RETRY_MAX (3600 * CB_SECOND)

/* ---- Files ---- */

static bool exists(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

static bool next_of(const char *path, char out[PATH_MAX])
{
    int len = snprintf(out, PATH_MAX, "%s%s", path, CB_IDENTITY_NEXT);
    return len > 0 && len < PATH_MAX;
}

static cb_error move(const char *from, const char *to)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(to, '/');
    if (!slash || rename(from, to) != 0)
        return CB_E_IO;
    snprintf(folder, sizeof folder, "%.*s/", (int)(slash - to), to);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cb_error error = fd >= 0 && fsync(fd) == 0 ? CB_OK : CB_E_IO;
    if (fd >= 0)
        close(fd);
    return error;
}

static bool belong_together(const char *certificate, const char *key)
{
    cb_identity identity;
    cb_buf why = CB_BUF(1024);
    cb_error error = cb_identity_check(certificate, key, &identity, &why);
    cb_buf_free(&why);
    return error == CB_OK;
}

void cb_certify_settle(const cb_terminal_config *config)
{
    char certificate[PATH_MAX], key[PATH_MAX];
    if (!next_of(config->certificate, certificate) || !next_of(config->key, key) || !exists(key))
        return;
    if (exists(certificate) && belong_together(certificate, key))
        move(certificate, config->certificate);
    if (belong_together(config->certificate, key))
        move(key, config->key);
}

static cb_error store(const char *path, cb_bytes der)
{
    cb_buf text = CB_BUF(PEM_MAX), pem = CB_BUF(PEM_MAX);
    cb_buf_put_base64(&text, der);
    cb_buf_put_str(&pem, "-----BEGIN CERTIFICATE-----\n");
    for (size_t at = 0; at < text.len; at += LINE) {
        size_t len = text.len - at < LINE ? text.len - at : LINE;
        cb_buf_put(&pem, cb_bytes_make(text.data + at, len));
        cb_buf_put_str(&pem, "\n");
    }
    cb_buf_put_str(&pem, "-----END CERTIFICATE-----\n");
    cb_error error = cb_buf_error(&text) ? cb_buf_error(&text) : cb_buf_error(&pem);
    if (!error)
        error = cb_file_replace(path, cb_buf_bytes(&pem), 0644);
    cb_buf_free(&text);
    cb_buf_free(&pem);
    return error;
}

/* ---- Asking ---- */

/* Whether a certificate is of that key. */
static bool is_of(cb_bytes certificate, const uint8_t scalar[CB_P256_SCALAR])
{
    cb_x509 read;
    uint8_t point[CB_P256_POINT];
    cb_buf key = CB_BUF(256);
    bool good =
        cb_x509_parse(certificate, &read) == CB_OK && cb_p256_public(scalar, point) == CB_OK;
    if (good) {
        cb_x509_put_key(&key, point);
        good = cb_bytes_same(read.public_key, cb_buf_bytes(&key));
    }
    cb_buf_free(&key);
    return good;
}

typedef struct question {
    const char *name, *code; /* NULL: as the terminal itself */
    const char *key, *certificate;
} question;

static cb_error ask(const cb_terminal_config *config, const question *q,
                    const uint8_t scalar[CB_P256_SCALAR], cb_problem *problem)
{
    cb_relay_settings settings = {.broker = config->broker,
                                  .ca = config->ca,
                                  .certificate = q->name ? NULL : config->certificate,
                                  .key = q->name ? NULL : config->key,
                                  .timeout = config->timeout};
    cb_relay *relay = NULL;
    cb_buf request = CB_BUF(CB_X509_REQUEST_MAX), certificate = CB_BUF(CERTIFICATE_MAX);
    cb_error error = cb_x509_request_make(scalar, "terminal", &request);
    if (!error)
        error = cb_relay_open(&settings, &relay);
    if (error)
        cb_problem_set(problem, error, NULL);
    else
        error = cb_relay_certificate(relay, q->name, q->code, cb_buf_bytes(&request), &certificate,
                                     problem);
    if (!error && !is_of(cb_buf_bytes(&certificate), scalar))
        error = cb_problem_set(problem, CB_E_PROTOCOL, "the certificate is of another key");
    if (!error && (error = store(q->certificate, cb_buf_bytes(&certificate))) != CB_OK)
        cb_problem_set(problem, error, q->certificate);
    cb_relay_close(&relay);
    cb_buf_free(&request);
    cb_buf_free(&certificate);
    return error;
}

static cb_error key_and_certificate(const cb_terminal_config *config, const question *q,
                                    cb_problem *problem)
{
    uint8_t scalar[CB_P256_SCALAR];
    cb_buf why = CB_BUF(1024);
    cb_error error = cb_identity_key(q->key, scalar, &why);
    if (error)
        cb_problem_set(problem, error, why.len > 0 ? cb_buf_cstr(&why) : q->key);
    else
        error = ask(config, q, scalar, problem);
    cb_wipe(scalar, sizeof scalar);
    cb_buf_free(&why);
    return error;
}

cb_error cb_certify_activate(const cb_terminal_config *config, const char *name, const char *code,
                             cb_problem *problem)
{
    question q = {name, code, config->key, config->certificate};
    if (exists(config->certificate))
        return cb_problem_set(problem, CB_E_EXISTS, config->certificate);
    return key_and_certificate(config, &q, problem);
}

cb_error cb_certify_renew(const cb_terminal_config *config, cb_problem *problem)
{
    char certificate[PATH_MAX], key[PATH_MAX];
    if (!next_of(config->certificate, certificate) || !next_of(config->key, key))
        return cb_problem_set(problem, CB_E_CONFIG, config->key);
    question q = {NULL, NULL, key, certificate};
    cb_error error = key_and_certificate(config, &q, problem);
    if (!error && (error = move(certificate, config->certificate)) == CB_OK)
        error = move(key, config->key);
    if (error == CB_E_IO)
        cb_problem_set(problem, error, config->key);
    return error;
}

/* ---- When ---- */

int64_t cb_certify_due(const cb_terminal_config *config, int64_t *every)
{
    cb_x509 read;
    cb_buf pem = CB_BUF(PEM_MAX), der = CB_BUF(PEM_MAX);
    int64_t due = INT64_MAX;
    *every = RETRY_MAX;
    cb_error error = cb_file_read(config->certificate, &pem);
    const char *text = error ? NULL : cb_buf_cstr(&pem);
    if (text && cb_pem_read(text, &der, NULL) == CB_OK &&
        cb_x509_parse(cb_buf_bytes(&der), &read) == CB_OK &&
        !cb_bytes_same(read.issuer, read.subject) && read.not_after > read.not_before) {
        int64_t life = (read.not_after - read.not_before) * CB_SECOND;
        due = read.not_before * CB_SECOND + life / 3 * 2;
        *every = life / TRIES < RETRY_MIN ? RETRY_MIN : life / TRIES;
        *every = *every > RETRY_MAX ? RETRY_MAX : *every;
    }
    cb_buf_free(&pem);
    cb_buf_free(&der);
    return due;
}
