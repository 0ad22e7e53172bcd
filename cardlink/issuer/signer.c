/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certification authorities from PEM files (RFC 7468).
 */
#include "cardlink/issuer/x509.h"

#include <stdio.h>
#include <sys/stat.h>

#include <wolfssl/wolfcrypt/coding.h>

#include "base/config.h"
#include "base/secret.h"
#include "cardlink/x509/certificate.h"

enum { PEM_MAX = 64 * 1024, LABEL_MAX = 64 };

/* The bytes of the first block whose label ends so. */
static cb_error from_pem(const char *text, const char *label, cb_buf *der)
{
    char end[LABEL_MAX];
    for (const char *at = text; (at = strstr(at, "-----BEGIN "));) {
        const char *rest = at + strlen("-----BEGIN ");
        const char *close = strstr(rest, "-----");
        if (!close || close - rest >= LABEL_MAX - 16)
            return CB_E_FORMAT;
        size_t len = (size_t)(close - rest);
        cb_buf mark = CB_BUF(LABEL_MAX);
        cb_buf_put_str(&mark, "-----END ");
        cb_buf_put(&mark, cb_bytes_make(rest, len));
        const char *found = cb_buf_cstr(&mark);
        snprintf(end, sizeof end, "%s", found ? found : "");
        cb_buf_free(&mark);
        const char *stop = strstr(close, end);
        if (!found || !stop)
            return CB_E_FORMAT;
        at = stop;
        if (len < strlen(label) || memcmp(close - strlen(label), label, strlen(label)) != 0)
            continue;
        size_t coded = (size_t)(stop - close) - 5;
        word32 room = (word32)coded;
        uint8_t *bytes = cb_buf_extend(der, room);
        if (!bytes)
            return cb_buf_error(der);
        if (Base64_Decode((const byte *)close + 5, (word32)coded, bytes, &room) != 0)
            return CB_E_FORMAT;
        der->len = room;
        return CB_OK;
    }
    return CB_E_FORMAT;
}

static cb_error read_block(const char *path, const char *label, cb_buf *der, cb_buf *why)
{
    cb_buf text = CB_BUF(PEM_MAX);
    cb_error error = cb_file_read(path, &text);
    const char *string = error ? NULL : cb_buf_cstr(&text);
    if (!error)
        error = string ? from_pem(string, label, der) : cb_buf_error(&text);
    if (error)
        cb_buf_printf(why, "%s: %s", path,
                      error == CB_E_FORMAT ? "holds no such PEM block" : cb_error_text(error));
    cb_buf_free(&text);
    return error;
}

static cb_error is_private(const char *key, cb_buf *why)
{
    struct stat about;
    cb_error error = stat(key, &about) != 0 ? CB_E_NOT_FOUND : CB_OK;
    if (!error && about.st_mode & 077)
        error = CB_E_DENIED;
    if (error)
        cb_buf_printf(why, "%s: %s", key,
                      error == CB_E_DENIED ? "a private key must be its owner's alone: chmod 600 it"
                                           : cb_error_text(error));
    return error;
}

cb_error cb_issue_signer_load(const char *certificate, const char *key, cb_issue_signer *out,
                              cb_buf *why)
{
    cb_x509 read;
    cb_buf der = CB_BUF(PEM_MAX), secret = CB_BUF(PEM_MAX), spki = CB_BUF(CB_VCARD_SPKI_MAX);
    *out = (cb_issue_signer){
        .name = CB_BUF(CB_ISSUE_NAME_MAX), .key_id = CB_BUF(64), .certificate = CB_BUF(PEM_MAX)};
    cb_error error = is_private(key, why);
    if (!error)
        error = read_block(certificate, "CERTIFICATE", &der, why);
    if (!error && (error = cb_x509_parse(cb_buf_bytes(&der), &read)))
        cb_buf_printf(why, "%s: %s", certificate, cb_error_text(error));
    if (!error)
        error = read_block(key, "PRIVATE KEY", &secret, why);
    if (!error && (error = cb_vcard_key_import(cb_buf_bytes(&secret), &out->key)))
        cb_buf_printf(why, "%s: not a P-256, P-384 or RSA-2048 key in clear", key);
    if (!error)
        error = cb_vcard_key_spki(&out->key, &spki);
    if (!error && !cb_bytes_same(cb_buf_bytes(&spki), read.public_key)) {
        cb_buf_printf(why, "%s: not the key of %s", key, certificate);
        error = CB_E_ARGUMENT;
    }
    if (!error) {
        cb_buf_put(&out->name, read.subject);
        cb_buf_put(&out->key_id, read.subject_key_id);
        cb_buf_put(&out->certificate, cb_buf_bytes(&der));
        error = cb_buf_error(&out->name) ? cb_buf_error(&out->name) : cb_buf_error(&out->key_id);
        error = error ? error : cb_buf_error(&out->certificate);
    }
    if (error)
        cb_issue_signer_end(out);
    cb_buf_free(&der);
    cb_buf_free(&secret);
    cb_buf_free(&spki);
    return error;
}

void cb_issue_signer_end(cb_issue_signer *signer)
{
    cb_buf_free(&signer->name);
    cb_buf_free(&signer->key_id);
    cb_buf_free(&signer->certificate);
    cb_wipe(&signer->key, sizeof signer->key);
}
