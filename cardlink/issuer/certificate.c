/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/certificate.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/config.h"
#include "base/secret.h"
#include "cardlink/x509/path.h"

enum { PEM_MAX = 16 * 1024, DAYS_A_YEAR = 365 };

/* A private key of either kind. */
typedef struct any_key {
    int type; /* RSA_TYPE, ECC_TYPE; 0: none */
    RsaKey rsa;
    ecc_key ecc;
} any_key;

static void *inner(any_key *key)
{
    return key->type == RSA_TYPE ? (void *)&key->rsa : (void *)&key->ecc;
}

static bool take_rsa(any_key *key, cb_bytes der)
{
    word32 at = 0;
    if (wc_InitRsaKey(&key->rsa, NULL) != 0)
        return false;
    if (wc_RsaPrivateKeyDecode(der.data, &at, &key->rsa, (word32)der.len) == 0)
        key->type = RSA_TYPE;
    else
        wc_FreeRsaKey(&key->rsa);
    return key->type == RSA_TYPE;
}

/* Either as DER, or as a scalar of P-256. */
static bool take_ec(any_key *key, cb_bytes secret, bool is_der)
{
    word32 at = 0, len = (word32)secret.len;
    if (wc_ecc_init(&key->ecc) != 0)
        return false;
    int status =
        is_der ? wc_EccPrivateKeyDecode(secret.data, &at, &key->ecc, len)
               : wc_ecc_import_private_key_ex(secret.data, len, NULL, 0, &key->ecc, ECC_SECP256R1);
    if (status == 0 && wc_ecc_make_pub(&key->ecc, NULL) == 0)
        key->type = ECC_TYPE;
    else
        wc_ecc_free(&key->ecc);
    return key->type == ECC_TYPE;
}

static bool load_signer(any_key *key, cb_bytes der)
{
    *key = (any_key){0};
    return take_rsa(key, der) || take_ec(key, der, true);
}

static bool load_subject(any_key *key, const cb_vcard_key *own)
{
    cb_bytes secret = cb_bytes_make(own->secret, own->len);
    *key = (any_key){0};
    if (own->algorithm == CB_VCARD_RSA_2048)
        return take_rsa(key, secret);
    return own->algorithm == CB_VCARD_EC_P256 && take_ec(key, secret, false);
}

static void free_key(any_key *key)
{
    if (key->type == RSA_TYPE)
        wc_FreeRsaKey(&key->rsa);
    else if (key->type == ECC_TYPE)
        wc_ecc_free(&key->ecc);
    cb_wipe(key, sizeof *key);
}

static cb_error blame(cb_buf *why, const char *path, cb_error error)
{
    if (error && why->len == 0)
        cb_buf_printf(why, "%s: %s", path, cb_error_text(error));
    return error;
}

/* The first certificate or key of a PEM file, as DER. */
static cb_error read_pem(const char *path, bool is_key, cb_buf *der, cb_buf *why)
{
    cb_buf pem = CB_BUF(PEM_MAX);
    cb_error error = cb_file_read(path, &pem);
    cb_buf_init(der, PEM_MAX);
    uint8_t *at = error ? NULL : cb_buf_extend(der, pem.len);
    if (!error && !at)
        error = cb_buf_error(der);
    if (!error) {
        int len = is_key ? wc_KeyPemToDer(pem.data, (int)pem.len, at, (int)pem.len, NULL)
                         : wc_CertPemToDer(pem.data, (int)pem.len, at, (int)pem.len, CERT_TYPE);
        der->len = len > 0 ? (size_t)len : 0;
        error = len > 0 ? CB_OK : CB_E_FORMAT;
    }
    cb_buf_free(&pem);
    return blame(why, path, error);
}

cb_error cb_x509_authority_read(const char *certificate, const char *key, cb_x509_authority *out,
                                cb_buf *why)
{
    struct stat about;
    *out = (cb_x509_authority){0};
    if (stat(key, &about) != 0)
        return blame(why, key, CB_E_NOT_FOUND);
    if (about.st_mode & 077) {
        cb_buf_printf(why, "%s: A private key must be its owner's alone: chmod 600 it.", key);
        return CB_E_DENIED;
    }
    cb_error error = read_pem(certificate, false, &out->certificate, why);
    if (!error)
        error = read_pem(key, true, &out->key, why);
    if (error)
        cb_x509_authority_free(out);
    return error;
}

void cb_x509_authority_free(cb_x509_authority *authority)
{
    cb_buf_free(&authority->certificate);
    cb_buf_free(&authority->key);
}

static bool fill(Cert *cert, const cb_x509_authority *authority, const cb_x509_order *order,
                 any_key *subject)
{
    memcpy(cert->subject.commonName, order->name, strlen(order->name) + 1);
    cert->subject.commonNameEnc = CTC_UTF8;
    cert->daysValid = (int)(order->years * DAYS_A_YEAR);
    cert->selfSigned = !authority;
    if (order->policy) {
        if (strlen(order->policy) >= CTC_MAX_CERTPOL_SZ)
            return false;
        memcpy(cert->certPolicies[0], order->policy, strlen(order->policy) + 1);
        cert->certPoliciesNb = 1;
    }
    if (authority && (wc_SetIssuerBuffer(cert, authority->certificate.data,
                                         (int)authority->certificate.len) != 0 ||
                      wc_SetAuthKeyIdFromCert(cert, authority->certificate.data,
                                              (int)authority->certificate.len) != 0))
        return false;
    return wc_SetKeyUsage(cert, order->usage) == 0 &&
           (!order->extended || wc_SetExtKeyUsage(cert, order->extended) == 0) &&
           wc_SetSubjectKeyIdFromPublicKey_ex(cert, subject->type, inner(subject)) == 0;
}

static cb_error sign(Cert *cert, any_key *subject, any_key *signer, WC_RNG *rng,
                     cb_buf *certificate)
{
    size_t before = certificate->len;
    uint8_t *at = cb_buf_extend(certificate, CB_X509_ISSUED_MAX);
    if (!at)
        return cb_buf_error(certificate);
    int len = -1;
    cert->sigType = signer->type == RSA_TYPE ? CTC_SHA256wRSA : CTC_SHA256wECDSA;
    if (wc_MakeCert_ex(cert, at, CB_X509_ISSUED_MAX, subject->type, inner(subject), rng) > 0)
        len = wc_SignCert_ex(cert->bodySz, cert->sigType, at, CB_X509_ISSUED_MAX, signer->type,
                             inner(signer), rng);
    certificate->len = before + (size_t)(len > 0 ? len : 0);
    return len > 0 ? CB_OK : CB_E_CRYPTO;
}

/* Whether what was made is what others will read: in time, and under the authority's own key. */
static cb_error look_over(cb_bytes made, const cb_x509_authority *authority)
{
    cb_x509 issued, issuer;
    cb_error error = cb_x509_parse(made, &issued);
    if (!error)
        error = cb_x509_parse(authority ? cb_buf_bytes(&authority->certificate) : made, &issuer);
    return error ? error : cb_x509_is_issued_by(&issued, &issuer);
}

static cb_error issue(Cert *cert, const cb_x509_authority *authority, const cb_x509_order *order,
                      WC_RNG *rng, cb_buf *certificate)
{
    static _Thread_local any_key subject, signer;
    size_t before = certificate->len;
    cb_error error = CB_E_ARGUMENT;
    if (!load_subject(&subject, order->key))
        return error;
    if (!authority || load_signer(&signer, cb_buf_bytes(&authority->key)))
        error = fill(cert, authority, order, &subject) ? CB_OK : CB_E_ARGUMENT;
    if (!error)
        error = sign(cert, &subject, authority ? &signer : &subject, rng, certificate);
    if (!error)
        error = look_over(cb_bytes_make(&certificate->data[before], certificate->len - before),
                          authority);
    free_key(&subject);
    free_key(&signer);
    return error;
}

cb_error cb_x509_issue(const cb_x509_authority *authority, const cb_x509_order *order,
                       cb_buf *certificate)
{
    WC_RNG rng;
    size_t len = order->name ? strlen(order->name) : 0;
    if (len == 0 || len > CB_X509_NAME_MAX || order->years < 1 || order->years > 30)
        return CB_E_ARGUMENT;
    if (wc_InitRng(&rng) != 0)
        return CB_E_CRYPTO;
    Cert *cert = calloc(1, sizeof *cert); /* tens of kilobytes: not for the stack */
    cb_error error = cert ? CB_OK : CB_E_MEMORY;
    if (!error && wc_InitCert(cert) != 0)
        error = CB_E_CRYPTO;
    if (!error)
        error = issue(cert, authority, order, &rng, certificate);
    free(cert);
    wc_FreeRng(&rng);
    return error;
}
