/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/tls.h"

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/crypto.h"
#include "base/tlv.h"
#include "hsm/client.h"

enum { P256_HALF = 32, P384_HALF = 48, SIGNATURE_MAX = 512 };

/* A process has one login, and RSA's callbacks get no context through libcurl. */
static cardbroker_login *current;

static uint8_t hash_of_size(size_t size)
{
    return size == 32   ? CB_HASH_SHA256
           : size == 48 ? CB_HASH_SHA384
           : size == 64 ? CB_HASH_SHA512
                        : 0;
}

/* Has a digest signed; wolfSSL's convention for results. */
static int sign(uint8_t operation, cb_bytes digest, cb_buf *signature)
{
    uint8_t hash = hash_of_size(digest.len);
    if (!hash)
        return BAD_FUNC_ARG;
    return cb_login_use(current, operation, hash, digest, signature) == CB_OK ? 0 : WC_HW_E;
}

static int give(const cb_buf *signature, byte *out, word32 *size)
{
    if (cb_buf_error(signature) || signature->len == 0 || signature->len > *size)
        return BUFFER_E;
    memcpy(out, signature->data, signature->len);
    *size = (word32)signature->len;
    return 0;
}

static int sign_ecdsa(WOLFSSL *ssl, const unsigned char *in, unsigned int in_size,
                      unsigned char *out, word32 *out_size, const unsigned char *key,
                      unsigned int key_size, void *context)
{
    (void)ssl, (void)key, (void)key_size, (void)context;
    cb_buf raw = CB_BUF(SIGNATURE_MAX);
    cb_buf der = CB_BUF(SIGNATURE_MAX);
    size_t half = current->algorithm == CB_KEY_EC_P384 ? P384_HALF : P256_HALF;
    int status = sign(CB_USE_SIGN_DIGEST, cb_bytes_make(in, in_size), &raw);
    if (status == 0 && raw.len != 2 * half)
        status = ASN_SIG_KEY_E;
    if (status == 0) {
        cb_ecdsa_to_der(cb_buf_bytes(&raw), &der);
        status = give(&der, out, out_size);
    }
    cb_buf_free(&raw);
    cb_buf_free(&der);
    return status;
}

/* The digest in DigestInfo ::= SEQUENCE { AlgorithmIdentifier, OCTET STRING } (RFC 8017, 9.2). */
static cb_bytes digest_in(cb_bytes info)
{
    cb_cursor outer = cb_cursor_over(info);
    cb_cursor inner = cb_cursor_over(cb_tlv_expect(&outer, 0x30));
    cb_tlv_expect(&inner, 0x30);
    cb_bytes digest = cb_tlv_expect(&inner, 0x04);
    return cb_cursor_done(&outer) && cb_cursor_done(&inner) ? digest : (cb_bytes){0};
}

static int sign_rsa(WOLFSSL *ssl, const unsigned char *in, unsigned int in_size, unsigned char *out,
                    word32 *out_size, const unsigned char *key, unsigned int key_size,
                    void *context)
{
    (void)ssl, (void)key, (void)key_size, (void)context;
    cb_buf signature = CB_BUF(SIGNATURE_MAX);
    int status = sign(CB_USE_SIGN_DIGEST, digest_in(cb_bytes_make(in, in_size)), &signature);
    if (status == 0)
        status = give(&signature, out, out_size);
    cb_buf_free(&signature);
    return status;
}

static int sign_pss(WOLFSSL *ssl, const unsigned char *in, unsigned int in_size, unsigned char *out,
                    unsigned int *out_size, int hash, int mgf, const unsigned char *key,
                    unsigned int key_size, void *context)
{
    (void)ssl, (void)key, (void)key_size, (void)context, (void)hash, (void)mgf;
    cb_buf signature = CB_BUF(SIGNATURE_MAX);
    int status = sign(CB_USE_SIGN_PSS, cb_bytes_make(in, in_size), &signature);
    if (status == 0)
        status = give(&signature, out, out_size);
    cb_buf_free(&signature);
    return status;
}

static int load_public(RsaKey *key)
{
    word32 at = 0;
    int status = wc_InitRsaKey(key, NULL);
    if (status == 0)
        status = wc_RsaPublicKeyDecode(current->public_key.data, &at, key,
                                       (word32)current->public_key.len);
    return status;
}

/* What the signature was made over; wolfSSL compares. */
static int check_rsa(WOLFSSL *ssl, unsigned char *signature, unsigned int size, unsigned char **out,
                     const unsigned char *key_der, unsigned int key_size, void *context)
{
    (void)ssl, (void)key_der, (void)key_size, (void)context;
    RsaKey key;
    int status = load_public(&key);
    if (status == 0)
        status = wc_RsaSSL_VerifyInline(signature, size, out, &key);
    wc_FreeRsaKey(&key);
    return status;
}

static enum wc_HashType pss_hash(int mgf)
{
    return mgf == WC_MGF1SHA512   ? WC_HASH_TYPE_SHA512
           : mgf == WC_MGF1SHA384 ? WC_HASH_TYPE_SHA384
                                  : WC_HASH_TYPE_SHA256;
}

static int check_pss(WOLFSSL *ssl, unsigned char *signature, unsigned int size, unsigned char **out,
                     int hash, int mgf, const unsigned char *key_der, unsigned int key_size,
                     void *context)
{
    (void)ssl, (void)hash, (void)key_der, (void)key_size, (void)context;
    RsaKey key;
    int status = load_public(&key);
    if (status == 0)
        status = wc_RsaPSS_VerifyInline(signature, size, out, pss_hash(mgf), mgf, &key);
    wc_FreeRsaKey(&key);
    return status;
}

/* Only the callback of the key's own kind: each one that is set is taken to mean a key of that
 * kind. */
static void set_callbacks(WOLFSSL_CTX *ctx)
{
    if (current->algorithm == CB_KEY_EC_P256 || current->algorithm == CB_KEY_EC_P384) {
        wolfSSL_CTX_SetEccSignCb(ctx, sign_ecdsa);
        return;
    }
    wolfSSL_CTX_SetRsaSignCb(ctx, sign_rsa);
    wolfSSL_CTX_SetRsaSignCheckCb(ctx, check_rsa);
    wolfSSL_CTX_SetRsaPssSignCb(ctx, sign_pss);
    wolfSSL_CTX_SetRsaPssSignCheckCb(ctx, check_pss);
}

static cb_error present_certificate(WOLFSSL_CTX *ctx)
{
    cb_buf all = CB_BUF(CB_CONN_CERTIFICATE_MAX + CB_CONN_CHAIN_MAX);
    cb_error error = CB_OK;
    if (current->certificate.len == 0)
        return CB_E_ENROLMENT_PENDING;
    cb_buf_put(&all, cb_buf_bytes(&current->certificate));
    cb_buf_put(&all, cb_buf_bytes(&current->chain));
    int status = cb_buf_error(&all) == CB_E_MEMORY
                     ? MEMORY_E
                     : wolfSSL_CTX_use_certificate_chain_buffer_format(ctx, all.data, (long)all.len,
                                                                       WOLFSSL_FILETYPE_ASN1);
    if (status == MEMORY_E) {
        error = CB_E_MEMORY;
    } else if (status != WOLFSSL_SUCCESS) {
        cb_login_explain(current, "the holder's certificate cannot be used");
        error = CB_E_ARGUMENT;
    }
    cb_buf_free(&all);
    if (!error)
        set_callbacks(ctx);
    return error;
}

/* Notes why a handshake fails, which libcurl does not always tell. */
static int note_verification(int good, WOLFSSL_X509_STORE_CTX *store)
{
    if (!good) {
        int number = wolfSSL_X509_STORE_CTX_get_error(store);
        const char *reason = wolfSSL_ERR_reason_error_string((unsigned long)number);
        cb_login_explain(current, reason ? reason : "the service's certificate is not trusted");
        current->http->error = CB_E_SERVICE_CERTIFICATE;
    }
    return good;
}

cb_error cb_tls_set_up(cardbroker_login *login, void *ctx)
{
    cb_bytes trust = login->http->trust;
    current = login;
    wolfSSL_CTX_SetMinVersion(ctx, WOLFSSL_TLSV1_2);
    wolfSSL_CTX_set_group_messages(ctx);
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER, note_verification);
    wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_NoTicketTLSv12(ctx);
    /* Authorities that are not valid today are not taken either. */
    if (trust.len == 0 ||
        wolfSSL_CTX_load_verify_buffer_ex(ctx, trust.data, (long)trust.len, WOLFSSL_FILETYPE_PEM, 0,
                                          WOLFSSL_LOAD_FLAG_IGNORE_ERR) != WOLFSSL_SUCCESS) {
        cb_login_explain(login, "none of the certificate authorities to trust can be used: look at "
                                "their file, their dates and the clock");
        return CB_E_SERVICE_CERTIFICATE;
    }
    return login->http->with_certificate ? present_certificate(ctx) : CB_OK;
}
