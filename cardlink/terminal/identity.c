/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/identity.h"

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/secret.h"

enum { DER_MAX = 1024, PEM_MAX = 4096, TRUST_MAX = 1024 * 1024, DAYS = CB_IDENTITY_YEARS * 365 };

static bool name_ok(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!isprint((unsigned char)name[i]))
            return false;
    return len >= 1 && len <= CB_TERMINAL_NAME_MAX;
}

static cb_error key_digest(ecc_key *key, cb_digest *out)
{
    uint8_t info[DER_MAX];
    int len = wc_EccPublicKeyToDer(key, info, sizeof info, 1);
    if (len <= 0)
        return CB_E_CRYPTO;
    *out = cb_sha256(cb_bytes_make(info, (size_t)len));
    return CB_OK;
}

static cb_error pem_of(const uint8_t *der, int len, int type, cb_buf *pem)
{
    uint8_t text[PEM_MAX];
    int size = len > 0 ? wc_DerToPem(der, (word32)len, text, sizeof text, type) : -1;
    if (size > 0)
        cb_buf_put(pem, cb_bytes_make(text, (size_t)size));
    cb_wipe(text, sizeof text);
    return size > 0 ? cb_buf_error(pem) : CB_E_CRYPTO;
}

static cb_error key_pem(ecc_key *key, cb_buf *pem)
{
    uint8_t der[DER_MAX];
    word32 len = sizeof der;
    int size = wc_EccPrivateKeyToPKCS8(key, der, &len);
    cb_error error = pem_of(der, size, PKCS8_PRIVATEKEY_TYPE, pem);
    cb_wipe(der, sizeof der);
    return error;
}

static cb_error certificate_pem(ecc_key *key, WC_RNG *rng, const char *name, cb_digest *digest,
                                cb_buf *pem)
{
    static _Thread_local Cert cert; /* tens of kilobytes: not for the stack */
    uint8_t der[DER_MAX];
    if (wc_InitCert(&cert) != 0)
        return CB_E_CRYPTO;
    memcpy(cert.subject.commonName, name, strlen(name) + 1);
    cert.sigType = CTC_SHA256wECDSA;
    cert.daysValid = DAYS;
    cert.selfSigned = 1;
    int len = -1;
    if (wc_SetKeyUsage(&cert, "digitalSignature") == 0 &&
        wc_SetExtKeyUsage(&cert, "clientAuth") == 0 &&
        wc_MakeCert_ex(&cert, der, sizeof der, ECC_TYPE, key, rng) > 0)
        len = wc_SignCert_ex(cert.bodySz, cert.sigType, der, sizeof der, ECC_TYPE, key, rng);
    if (len <= 0)
        return CB_E_CRYPTO;
    *digest = cb_sha256(cb_bytes_make(der, (size_t)len));
    return pem_of(der, len, CERT_TYPE, pem);
}

/* The key first, so that there is never a certificate whose key is not there. */
static cb_error store(const char *certificate_path, const char *key_path, const cb_buf *certificate,
                      const cb_buf *key)
{
    cb_error error = cb_file_replace(key_path, cb_buf_bytes(key), 0600);
    if (!error) {
        error = cb_file_replace(certificate_path, cb_buf_bytes(certificate), 0644);
        if (error)
            unlink(certificate_path); /* it may be there, not durably */
    }
    if (error)
        unlink(key_path);
    return error;
}

cb_error cb_identity_make(const char *name, const char *certificate_path, const char *key_path,
                          cb_identity *out)
{
    ecc_key key;
    WC_RNG rng;
    cb_buf secret = CB_BUF(PEM_MAX);
    cb_buf certificate = CB_BUF(PEM_MAX);
    cb_error error = CB_E_CRYPTO;
    struct stat about;
    if (!name_ok(name))
        return CB_E_ARGUMENT;
    if (lstat(certificate_path, &about) == 0 || lstat(key_path, &about) == 0)
        return CB_E_EXISTS;
    if (wc_InitRng(&rng) != 0)
        return CB_E_CRYPTO;
    if (wc_ecc_init(&key) != 0)
        goto no_key;
    if (wc_ecc_make_key_ex(&rng, CB_P256_SCALAR, &key, ECC_SECP256R1) == 0)
        error = key_digest(&key, &out->key);
    if (!error)
        error = key_pem(&key, &secret);
    if (!error)
        error = certificate_pem(&key, &rng, name, &out->certificate, &certificate);
    if (!error)
        error = store(certificate_path, key_path, &certificate, &secret);
    wc_ecc_free(&key);
no_key:
    wc_FreeRng(&rng);
    cb_buf_free(&secret);
    cb_buf_free(&certificate);
    return error;
}

/* ---- A key alone ---- */

cb_error cb_identity_scalar(cb_bytes pem, uint8_t scalar[CB_P256_SCALAR])
{
    ecc_key key;
    uint8_t der[DER_MAX];
    word32 at = 0, len = CB_P256_SCALAR;
    int size = wc_KeyPemToDer(pem.data, (int)pem.len, der, sizeof der, NULL);
    if (wc_ecc_init(&key) != 0) {
        cb_wipe(der, sizeof der);
        return CB_E_MEMORY;
    }
    bool good = size > 0 && wc_EccPrivateKeyDecode(der, &at, &key, (word32)size) == 0 &&
                wc_ecc_get_curve_id(key.idx) == ECC_SECP256R1 &&
                wc_ecc_export_private_only(&key, scalar, &len) == 0 && len == CB_P256_SCALAR;
    wc_ecc_free(&key);
    cb_wipe(der, sizeof der);
    return good ? CB_OK : CB_E_CONFIG;
}

static cb_error make_key(const char *path, uint8_t scalar[CB_P256_SCALAR])
{
    ecc_key key;
    uint8_t point[CB_P256_POINT];
    cb_buf pem = CB_BUF(PEM_MAX);
    cb_error error = cb_p256_generate(scalar, point);
    if (error || wc_ecc_init(&key) != 0)
        return error ? error : CB_E_MEMORY;
    if (wc_ecc_import_private_key_ex(scalar, CB_P256_SCALAR, point, sizeof point, &key,
                                     ECC_SECP256R1) != 0)
        error = CB_E_CRYPTO;
    if (!error)
        error = key_pem(&key, &pem);
    if (!error)
        error = cb_file_replace(path, cb_buf_bytes(&pem), 0600);
    wc_ecc_free(&key);
    cb_buf_free(&pem);
    return error;
}

cb_error cb_identity_key(const char *path, uint8_t scalar[CB_P256_SCALAR], cb_buf *why)
{
    struct stat about;
    if (lstat(path, &about) == 0 || errno != ENOENT)
        return cb_identity_key_read(path, scalar, why);
    cb_error error = make_key(path, scalar);
    if (error)
        cb_wipe(scalar, CB_P256_SCALAR);
    return error;
}

cb_error cb_identity_key_read(const char *path, uint8_t scalar[CB_P256_SCALAR], cb_buf *why)
{
    cb_buf pem = CB_BUF(PEM_MAX);
    cb_error error = cb_config_secret(path, &pem, why);
    if (!error && (error = cb_identity_scalar(cb_buf_bytes(&pem), scalar)) == CB_E_CONFIG)
        cb_buf_printf(why, "%s: is not a P-256 key", path);
    if (error)
        cb_wipe(scalar, CB_P256_SCALAR);
    cb_buf_free(&pem);
    return error;
}

/* Fills in what an identity says from PEM texts, and compares the halves. */
static cb_error match(cb_bytes certificate, cb_bytes secret, cb_identity *out)
{
    cb_error error = CB_E_CONFIG;
    DerBuffer *der = NULL;
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLS_client_method());
    ecc_key key;
    word32 at = 0;
    uint8_t scalar[DER_MAX];
    int len = wc_KeyPemToDer(secret.data, (int)secret.len, scalar, sizeof scalar, NULL);
    if (wc_ecc_init(&key) != 0) {
        wolfSSL_CTX_free(context);
        cb_wipe(scalar, sizeof scalar);
        return CB_E_MEMORY;
    }
    if (context && len > 0 &&
        wolfSSL_CTX_use_certificate_buffer(context, certificate.data, (long)certificate.len,
                                           WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_use_PrivateKey_buffer(context, secret.data, (long)secret.len,
                                          WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_check_private_key(context) == WOLFSSL_SUCCESS &&
        wc_EccPrivateKeyDecode(scalar, &at, &key, (word32)len) == 0 &&
        wc_ecc_make_pub(&key, NULL) == 0 &&
        wc_PemToDer(certificate.data, (long)certificate.len, CERT_TYPE, &der, NULL, NULL, NULL) ==
            0) {
        error = key_digest(&key, &out->key);
        out->certificate = cb_sha256(cb_bytes_make(der->buffer, der->length));
    }
    wc_FreeDer(&der);
    wc_ecc_free(&key);
    cb_wipe(scalar, sizeof scalar);
    wolfSSL_CTX_free(context);
    return error;
}

cb_error cb_identity_read(const char *certificate_path, const char *key_path, cb_identity *out,
                          cb_buf *certificate, cb_buf *key, cb_buf *why)
{
    cb_error error = cb_config_secret(key_path, key, why);
    if (!error && cb_file_read(certificate_path, certificate) != CB_OK) {
        cb_buf_printf(why, "%s: cannot be read; make it with \"cardlink enrol\"", certificate_path);
        error = CB_E_CONFIG;
    }
    if (!error) {
        error = match(cb_buf_bytes(certificate), cb_buf_bytes(key), out);
        if (error)
            cb_buf_printf(why, "%s and %s: are not a certificate and its P-256 key",
                          certificate_path, key_path);
    }
    return error;
}

cb_error cb_identity_check(const char *certificate_path, const char *key_path, cb_identity *out,
                           cb_buf *why)
{
    cb_buf certificate = CB_BUF(CB_IDENTITY_PEM_MAX);
    cb_buf secret = CB_BUF(CB_IDENTITY_PEM_MAX);
    cb_error error = cb_identity_read(certificate_path, key_path, out, &certificate, &secret, why);
    cb_buf_free(&certificate);
    cb_buf_free(&secret);
    return error;
}

/* ---- Erasing ---- */

static cb_error overwrite(int fd)
{
    static const uint8_t zeros[PEM_MAX];
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        return CB_E_IO;
    for (off_t at = 0; at < about.st_size && at < TRUST_MAX; at += (off_t)sizeof zeros) {
        if (pwrite(fd, zeros, sizeof zeros, at) != (ssize_t)sizeof zeros)
            return CB_E_IO;
    }
    return fsync(fd) == 0 ? CB_OK : CB_E_IO;
}

static cb_error sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) >= sizeof folder)
        return CB_E_IO;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    int fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cb_error error = fd >= 0 && fsync(fd) == 0 ? CB_OK : CB_E_IO;
    if (fd >= 0)
        close(fd);
    return error;
}

/* Removed in any case: an overwriting that failed is no reason to leave it there. */
static cb_error erase(const char *path, const char *end)
{
    char name[PATH_MAX];
    int len = snprintf(name, sizeof name, "%s%s", path, end);
    if (len < 0 || (size_t)len >= sizeof name)
        return CB_E_IO;
    int fd = open(name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return CB_OK;
    cb_error error = fd >= 0 ? overwrite(fd) : CB_E_IO;
    if (fd >= 0)
        close(fd);
    if (unlink(name) != 0 && errno != ENOENT)
        error = CB_E_IO;
    cb_error synced = sync_folder_of(name);
    return error ? error : synced;
}

cb_error cb_identity_erase(const char *certificate_path, const char *key_path)
{
    /* ".new": what cb_file_replace leaves when it is killed. */
    static const char *const ends[] = {"", CB_IDENTITY_NEXT, ".new", CB_IDENTITY_NEXT ".new"};
    cb_error error = CB_OK;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        cb_error key = erase(key_path, ends[i]);
        cb_error certificate = erase(certificate_path, ends[i]);
        error = error ? error : key ? key : certificate;
    }
    return error;
}

/* A certificate that is not valid today is for whoever is asked to trust it to refuse. */
static bool names_an_authority(cb_bytes pem)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLS_client_method());
    int rc = context ? wolfSSL_CTX_load_verify_buffer(context, pem.data, (long)pem.len,
                                                      WOLFSSL_FILETYPE_PEM)
                     : WOLFSSL_FAILURE;
    wolfSSL_CTX_free(context);
    return rc == WOLFSSL_SUCCESS || rc == ASN_BEFORE_DATE_E || rc == ASN_AFTER_DATE_E;
}

cb_error cb_trust_check(const char *path, cb_buf *why)
{
    cb_buf pem = CB_BUF(TRUST_MAX);
    cb_error error = cb_file_read(path, &pem);
    if (error)
        cb_buf_printf(why, "%s: cannot be read; it is the CA certificate of the broker", path);
    else if (!names_an_authority(cb_buf_bytes(&pem)))
        cb_buf_printf(why, "%s: is not a file with the CA certificate of the broker", path);
    cb_buf_free(&pem);
    return why->len > 0 ? CB_E_CONFIG : CB_OK;
}
