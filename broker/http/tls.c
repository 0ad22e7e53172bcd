/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/tls.h"

#include <pthread.h>
#include <stdlib.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include "base/tlv.h"

enum { NAME_MAX_BYTES = 256, ENTRIES_MAX = 16, TAG_SEQUENCE = 0x30, TAG_VERSION = 0xA0 };

static const char CIPHERS[] =
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305";

struct entry {
    char name[NAME_MAX_BYTES];
    WOLFSSL_CTX *context;
};

struct set {
    struct entry entries[ENTRIES_MAX];
    size_t count;
};

struct cb_tls {
    pthread_mutex_t lock;
    struct set set;
    struct set next; /* count 0: nothing is prepared */
};

/* The client's own certificate is the first of those that it sends. The library asks about it
 * whatever it thinks of it, and also if there is none. Its copy of it will not do: without memory
 * for one it looks as if there had been no certificate. */
static void take_key(const WOLFSSL_X509_STORE_CTX *store)
{
    cb_tls_shown *shown = store->userCtx;
    const WOLFSSL_BUFFER_INFO *der = store->certs;
    if (store->error_depth != 0 || store->totalCerts == 0)
        return;
    shown->certificate = true;
    shown->error = cb_certificate_key(cb_bytes_make(der->buffer, der->length), &shown->key);
}

/* Only who signed it and when is forgiven; a certificate that cannot be read or whose signature is
 * wrong ends the handshake. */
static int judge_client(int verified, WOLFSSL_X509_STORE_CTX *store)
{
    take_key(store);
    if (verified)
        return 1;
    switch (store->error) {
    case ASN_NO_SIGNER_E:
    case ASN_SELF_SIGNED_E:
    case ASN_BEFORE_DATE_E:
    case ASN_AFTER_DATE_E:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return 1;
    default:
        return 0;
    }
}

static int restrict_context(WOLFSSL_CTX *context, bool ask)
{
    int groups[] = {WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP384R1};
    wolfSSL_CTX_set_options(context, WOLFSSL_OP_NO_TICKET | WOLFSSL_OP_CIPHER_SERVER_PREFERENCE);
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_set_verify(context, ask ? WOLFSSL_VERIFY_PEER : WOLFSSL_VERIFY_NONE,
                           ask ? judge_client : NULL);
    return wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_cipher_list(context, CIPHERS) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_groups(context, groups, sizeof groups / sizeof *groups) ==
               WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_group_messages(context) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_no_ticket_TLSv13(context) == 0;
}

static cb_error make_context(const cb_tls_entry *entry, WOLFSSL_CTX **out, cb_buf *why)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (!context)
        return CB_E_MEMORY;
    if (!restrict_context(context, entry->ask))
        cb_buf_put_str(why,
                       "this wolfSSL cannot be restricted to ephemeral, authenticated ciphers");
    else if (wolfSSL_CTX_use_certificate_chain_file(context, entry->certificate) != WOLFSSL_SUCCESS)
        cb_buf_printf(why, "%s: is not a readable PEM certificate chain", entry->certificate);
    else if (wolfSSL_CTX_use_PrivateKey_file(context, entry->key, WOLFSSL_FILETYPE_PEM) !=
             WOLFSSL_SUCCESS)
        cb_buf_printf(why, "%s: is not a readable PEM private key", entry->key);
    else if (wolfSSL_CTX_check_private_key(context) != WOLFSSL_SUCCESS)
        cb_buf_printf(why, "%s: is not the key of %s", entry->key, entry->certificate);
    else {
        *out = context;
        return CB_OK;
    }
    wolfSSL_CTX_free(context);
    return CB_E_CONFIG;
}

static void free_set(struct set *set)
{
    for (size_t i = 0; i < set->count; i++)
        wolfSSL_CTX_free(set->entries[i].context);
    set->count = 0;
}

static cb_error make_set(const cb_tls_entry *entries, size_t count, struct set *set, cb_buf *why)
{
    cb_error error = count > 0 && count <= ENTRIES_MAX ? CB_OK : CB_E_CONFIG;
    if (error)
        cb_buf_printf(why, "a listener takes 1 to %d certificates", ENTRIES_MAX);
    for (size_t i = 0; i < count && !error; i++) {
        struct entry *entry = &set->entries[i];
        size_t length = strlen(entries[i].name);
        if (length >= sizeof entry->name) {
            cb_buf_printf(why, "%s: is too long for a server name", entries[i].name);
            error = CB_E_CONFIG;
            break;
        }
        memcpy(entry->name, entries[i].name, length + 1);
        error = make_context(&entries[i], &entry->context, why);
        if (!error)
            set->count++;
    }
    if (error)
        free_set(set);
    return error;
}

cb_error cb_tls_open(const cb_tls_entry *entries, size_t count, cb_tls **out, cb_buf *why)
{
    cb_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return CB_E_MEMORY;
    wolfSSL_Init();
    pthread_mutex_init(&tls->lock, NULL);
    cb_error error = make_set(entries, count, &tls->set, why);
    if (error)
        cb_tls_close(&tls);
    *out = tls;
    return error;
}

cb_error cb_tls_prepare(cb_tls *tls, const cb_tls_entry *entries, size_t count, cb_buf *why)
{
    free_set(&tls->next);
    return make_set(entries, count, &tls->next, why);
}

void cb_tls_settle(cb_tls *tls, bool use)
{
    if (use && tls->next.count > 0) {
        pthread_mutex_lock(&tls->lock);
        struct set old = tls->set;
        tls->set = tls->next;
        pthread_mutex_unlock(&tls->lock);
        tls->next = old;
    }
    free_set(&tls->next); /* sessions hold references of their own */
}

void cb_tls_close(cb_tls **tls)
{
    if (!*tls)
        return;
    free_set(&(*tls)->set);
    free_set(&(*tls)->next);
    pthread_mutex_destroy(&(*tls)->lock);
    free(*tls);
    *tls = NULL;
    wolfSSL_Cleanup();
}

static bool name_matches(const char *pattern, const char *name)
{
    if (pattern[0] != '*')
        return strcmp(pattern, name) == 0;
    const char *dot = strchr(name, '.');
    return dot && dot != name && strcmp(pattern + 1, dot) == 0;
}

static WOLFSSL_CTX *choose(const struct set *set, const char *name)
{
    for (size_t i = 1; i < set->count; i++)
        if (name_matches(set->entries[i].name, name))
            return set->entries[i].context;
    return set->entries[0].context;
}

struct WOLFSSL *cb_tls_session(cb_tls *tls, int socket, const char *name, cb_tls_shown *shown)
{
    static char protocol[] = "http/1.1";
    *shown = (cb_tls_shown){.error = CB_OK};
    pthread_mutex_lock(&tls->lock);
    WOLFSSL *session = wolfSSL_new(choose(&tls->set, name));
    pthread_mutex_unlock(&tls->lock);
    if (session && (wolfSSL_set_fd(session, socket) != WOLFSSL_SUCCESS ||
                    wolfSSL_UseALPN(session, protocol, sizeof protocol - 1,
                                    WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) != WOLFSSL_SUCCESS)) {
        wolfSSL_free(session);
        session = NULL;
    }
    if (session)
        wolfSSL_SetCertCbCtx(session, shown);
    return session;
}

cb_error cb_certificate_key(cb_bytes der, cb_digest *key)
{
    cb_cursor outer = cb_cursor_over(der);
    cb_cursor certificate = cb_cursor_over(cb_tlv_expect(&outer, TAG_SEQUENCE));
    cb_cursor body = cb_cursor_over(cb_tlv_expect(&certificate, TAG_SEQUENCE));
    /* RFC 5280, 4.1: [version], serial number, signature, issuer, validity, subject,
     * subjectPublicKeyInfo. */
    cb_tlv item = {0};
    bool read = cb_tlv_next(&body, &item);
    for (int left = item.tag == TAG_VERSION ? 6 : 5; read && left > 0; left--)
        read = cb_tlv_next(&body, &item);
    if (!read || !cb_cursor_ok(&outer) || !cb_cursor_ok(&certificate) || item.tag != TAG_SEQUENCE)
        return CB_E_FORMAT;
    cb_buf info = CB_BUF(item.value.len + 8);
    cb_tlv_put(&info, TAG_SEQUENCE, item.value);
    cb_error error = cb_buf_error(&info);
    if (!error)
        *key = cb_sha256(cb_buf_bytes(&info));
    cb_buf_free(&info);
    return error;
}
