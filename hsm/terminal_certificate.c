/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/terminal_certificate.h"

#include <stdio.h>
#include <time.h>

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/x509/request.h"
#include "cardlink/x509/signature.h"

enum {
    SERIAL = 16,
    KEY_ID = 20,
    PART_MAX = 1536,
    TAG_VERSION = 0xA0,
    TAG_EXTENSIONS = 0xA3,
    YEAR_OF_GENERALIZED_TIME = 2050
};

#define CA_NAME "Cardbroker terminal CA "

/* Extensions whose bytes never change (RFC 5280, 4.2.1): of terminals and of the CA. */
static const uint8_t terminal_extensions[] = {
    0x30, 0x0C, 0x06, 0x03, 0x55, 0x1D, 0x13, 0x01, 0x01, 0xFF, 0x04, 0x02, 0x30, 0x00, /* no CA */
    0x30, 0x0E, 0x06, 0x03, 0x55, 0x1D, 0x0F, 0x01, 0x01, 0xFF, 0x04, 0x04, 0x03, 0x02,
    0x07, 0x80, /* digitalSignature */
    0x30, 0x16, 0x06, 0x03, 0x55, 0x1D, 0x25, 0x01, 0x01, 0xFF, 0x04, 0x0C, 0x30, 0x0A,
    0x06, 0x08, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02 /* clientAuth */};
static const uint8_t ca_extensions[] = {0x30, 0x12, 0x06, 0x03, 0x55, 0x1D, 0x13, 0x01, 0x01,
                                        0xFF, 0x04, 0x08, 0x30, 0x06, 0x01, 0x01, 0xFF, 0x02,
                                        0x01, 0x00, /* CA, of end entities only */
                                        0x30, 0x0E, 0x06, 0x03, 0x55, 0x1D, 0x0F, 0x01, 0x01,
                                        0xFF, 0x04, 0x04, 0x03, 0x02, 0x02, 0x04 /* keyCertSign */};
/* The beginnings of authorityKeyIdentifier and subjectKeyIdentifier; 20 bytes follow each. */
static const uint8_t authority_key_id[] = {0x30, 0x1F, 0x06, 0x03, 0x55, 0x1D, 0x23,
                                           0x04, 0x18, 0x30, 0x16, 0x80, 0x14};
static const uint8_t subject_key_id[] = {0x30, 0x1D, 0x06, 0x03, 0x55, 0x1D,
                                         0x0E, 0x04, 0x16, 0x04, 0x14};

/* What is different between the two. */
typedef struct content {
    const char *subject;
    cb_bytes public_key;
    int64_t from, to;
    cb_bytes extensions;
    bool is_ca;
} content;

static void put_time(cb_buf *out, int64_t seconds)
{
    char text[24];
    struct tm t;
    time_t when = (time_t)seconds;
    gmtime_r(&when, &t);
    bool utc = t.tm_year + 1900 < YEAR_OF_GENERALIZED_TIME;
    size_t len = strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &t);
    size_t century = utc ? 2 : 0;
    cb_der_put(out, utc ? CB_DER_UTC_TIME : CB_DER_GENERALIZED_TIME,
               cb_bytes_make(text + century, len - century));
}

static void put_wrapped(cb_buf *out, uint8_t tag, cb_buf *inside)
{
    if (cb_buf_error(inside) && !out->error)
        out->error = cb_buf_error(inside);
    cb_der_put(out, tag, cb_buf_bytes(inside));
    cb_buf_free(inside);
}

static void put_serial(cb_buf *out)
{
    uint8_t serial[SERIAL];
    cb_random(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x3F) | 0x40); /* positive, and always as long */
    cb_der_put(out, CB_DER_INTEGER, CB_BYTES_OF(serial));
}

static void put_validity(cb_buf *out, const content *c)
{
    cb_buf validity = CB_BUF(64);
    put_time(&validity, c->from);
    put_time(&validity, c->to);
    put_wrapped(out, CB_DER_SEQUENCE, &validity);
}

/* The CA's key identifier: RFC 7093, 2, method 1. */
static void put_extensions(cb_buf *out, const content *c, const cb_digest *ca)
{
    cb_buf list = CB_BUF(512), sequence = CB_BUF(512);
    cb_buf_put(&list, c->extensions);
    cb_buf_put(&list, c->is_ca ? CB_BYTES_OF(subject_key_id) : CB_BYTES_OF(authority_key_id));
    cb_buf_put(&list, cb_bytes_make(ca->bytes, KEY_ID));
    put_wrapped(&sequence, CB_DER_SEQUENCE, &list);
    put_wrapped(out, TAG_EXTENSIONS, &sequence);
}

static void name_ca(const cb_digest *ca, char out[64])
{
    char digits[17];
    cb_hex(cb_bytes_make(ca->bytes, 8), digits);
    snprintf(out, 64, CA_NAME "%s", digits);
}

/* TBSCertificate. */
static void put_content(cb_buf *out, const content *c, const cb_digest *ca)
{
    static const uint8_t version[] = {0x02, 0x01, 0x02};
    char issuer[64];
    cb_buf inside = CB_BUF(PART_MAX);
    name_ca(ca, issuer);
    cb_der_put(&inside, TAG_VERSION, CB_BYTES_OF(version));
    put_serial(&inside);
    cb_buf_put(&inside, cb_x509_ecdsa_sha256);
    cb_x509_put_name(&inside, issuer);
    put_validity(&inside, c);
    cb_x509_put_name(&inside, c->is_ca ? issuer : c->subject);
    cb_buf_put(&inside, c->public_key);
    put_extensions(&inside, c, ca);
    put_wrapped(out, CB_DER_SEQUENCE, &inside);
}

static cb_error key_of_ca(const cb_vault *vault, cb_buf *spki, cb_digest *id)
{
    cb_x509_key key;
    cb_error error = vault->public_key(vault->context, CB_TERMINAL_CA_KEY, spki);
    if (!error && cb_x509_key_read(cb_buf_bytes(spki), &key) != CB_OK)
        error = CB_E_HSM_TOKEN;
    if (!error)
        *id = cb_sha256(key.point);
    return error;
}

static cb_error sign(const cb_vault *vault, const content *c, const cb_digest *ca, cb_buf *out)
{
    uint8_t signature[CB_P256_SIGNATURE];
    cb_buf inside = CB_BUF(PART_MAX);
    put_content(&inside, c, ca);
    cb_error error = cb_buf_error(&inside);
    if (!error) {
        cb_digest digest = cb_sha256(cb_buf_bytes(&inside));
        error = vault->terminal_sign(vault->context, &digest, signature);
    }
    if (!error) {
        cb_x509_put_signed(out, cb_buf_bytes(&inside), signature);
        error = cb_buf_error(out);
    }
    cb_buf_free(&inside);
    return error;
}

cb_error cb_terminal_certificate_make(const cb_vault *vault, const cb_id *terminal,
                                      cb_bytes request, int64_t now, uint32_t seconds, cb_buf *out)
{
    char subject[CB_ID_TEXT];
    cb_digest ca;
    content c = {.subject = subject,
                 .from = now,
                 .to = now + seconds,
                 .extensions = CB_BYTES_OF(terminal_extensions)};
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    if (cb_id_is_zero(terminal) || seconds == 0 || seconds > CB_TERMINAL_SECONDS_MAX)
        return CB_E_ARGUMENT;
    cb_id_text(terminal, subject);
    cb_error error = cb_x509_request_read(request, &c.public_key);
    if (!error)
        error = key_of_ca(vault, &spki, &ca);
    if (!error)
        error = sign(vault, &c, &ca, out);
    cb_buf_free(&spki);
    return error;
}

cb_error cb_terminal_ca_make(const cb_vault *vault, int64_t now, cb_buf *out)
{
    cb_digest ca;
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_error error = key_of_ca(vault, &spki, &ca);
    content c = {.from = now,
                 .to = now + (int64_t)CB_TERMINAL_CA_YEARS * 365 * 86400,
                 .public_key = cb_buf_bytes(&spki),
                 .extensions = CB_BYTES_OF(ca_extensions),
                 .is_ca = true};
    if (!error)
        error = sign(vault, &c, &ca, out);
    cb_buf_free(&spki);
    return error;
}
