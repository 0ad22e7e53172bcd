/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/host_load.h"

#include "base/pem.h"
#include "base/config.h"
#include "cardlink/native/certificate.h"

static cb_error unusable(cb_buf *why, const char *path, const char *what)
{
    cb_buf_printf(why, "%s: %s", path, what);
    return CB_E_CONFIG;
}

static cb_error load_anchors(const cb_hsmd_config *config, cb_host *host, cb_buf *why)
{
    for (size_t i = 0; i < config->anchors; i++) {
        cb_error error = cb_trust_anchor_read(config->anchor[i], &host->trust[i]);
        if (error)
            return unusable(why, config->anchor[i], cb_error_text(error));
    }
    host->profile.trust_count = config->anchors;
    return CB_OK;
}

/* The certificates of a file, one after another. */
static cb_error load_pem(const char *path, cb_buf *out, cb_buf *why)
{
    cb_buf text = CB_BUF(CB_FOREIGN_BYTES_MAX), more = CB_BUF(CB_FOREIGN_BYTES_MAX);
    cb_error error = cb_file_read(path, &text);
    if (!error)
        error = cb_buf_cstr(&text) ? cb_pem_read(cb_buf_cstr(&text), out, &more) : CB_E_MEMORY;
    if (!error) {
        cb_buf_put(out, cb_buf_bytes(&more));
        error = cb_buf_error(out);
    }
    cb_buf_free(&text);
    cb_buf_free(&more);
    return error && error != CB_E_MEMORY ? unusable(why, path, cb_error_text(error)) : error;
}

/* Names what was loaded, once the buffer does not move any more. */
static cb_error split(cb_bytes all, cb_bytes *out, size_t *count, const char *path, cb_buf *why)
{
    cb_x509 certificate;
    cb_cursor cursor = cb_cursor_over(all);
    for (*count = 0; cursor.rest.len > 0; (*count)++) {
        cb_bytes der = cb_der_whole(&cursor, CB_DER_SEQUENCE);
        if (!cb_cursor_ok(&cursor) || *count == CB_FOREIGN_CERTIFICATES_MAX)
            return unusable(why, path, "not certificates, or too many");
        cb_error error = cb_x509_parse(der, &certificate);
        if (error)
            return unusable(why, path, cb_error_text(error));
        out[*count] = der;
    }
    return CB_OK;
}

static cb_error load_policies(const cb_hsmd_foreign *config, cb_foreign_trust *trust, cb_buf *why)
{
    for (size_t i = 0; i < config->policies; i++) {
        cb_buf oid = CB_BUF(CB_FOREIGN_OID_MAX);
        cb_error error = cb_oid_parse(config->policy[i], &oid);
        if (!error) {
            memcpy(trust->oid[i], oid.data, oid.len);
            trust->policy[i] = cb_bytes_make(trust->oid[i], oid.len);
            trust->policies++;
        }
        cb_buf_free(&oid);
        if (error)
            return error == CB_E_MEMORY
                       ? error
                       : unusable(why, config->policy[i], "is no object identifier");
    }
    return CB_OK;
}

static cb_error load_foreign(const cb_hsmd_foreign *config, cb_foreign_trust *trust, cb_buf *why)
{
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < config->anchors; i++)
        error = load_pem(config->anchor[i], &trust->der, why);
    size_t anchors = trust->der.len;
    for (size_t i = 0; !error && i < config->intermediates; i++)
        error = load_pem(config->intermediate[i], &trust->der, why);
    cb_bytes all = cb_buf_bytes(&trust->der);
    if (!error)
        error = split(cb_bytes_make(all.data, anchors), trust->anchor, &trust->anchors,
                      config->anchor[0], why);
    if (!error && all.len > anchors)
        error = split(cb_bytes_make(all.data + anchors, all.len - anchors), trust->intermediate,
                      &trust->intermediates, config->intermediate[0], why);
    if (!error)
        error = load_policies(config, trust, why);
    trust->renewal = config->renewal;
    if (!error)
        trust->profile = config->profile;
    return error;
}

/* *there says whether the certificate was found. */
static cb_error load_certificate(const char *path, uint16_t usage, cb_keyring *keyring,
                                 cb_own_key key, cb_buf *out, bool *there, cb_buf *why)
{
    uint8_t certified[CB_P256_POINT], own[CB_P256_POINT];
    *there = false;
    if (!path)
        return CB_OK;
    cb_error error = cb_broker_certificate_read(path, usage, out, certified);
    if (error == CB_E_NOT_FOUND)
        return CB_OK;
    if (error)
        return unusable(why, path, cb_error_text(error));
    error = cb_keyring_point(keyring, key, own);
    if (error)
        return error;
    if (memcmp(certified, own, sizeof own) != 0)
        return unusable(why, path, "is not for the key in the HSM");
    *there = true;
    return CB_OK;
}

cb_error cb_host_load(const cb_hsmd_config *config, cb_keyring *keyring, cb_host **out, cb_buf *why)
{
    bool agreement = false, signer = false;
    cb_host *host = cb_host_new();
    *out = NULL;
    if (!host)
        return CB_E_MEMORY;
    cb_error error = load_anchors(config, host, why);
    for (size_t i = 0; !error && i < config->foreigners; i++)
        error = load_foreign(&config->foreign[i], &host->foreign[i], why);
    if (!error)
        error = load_certificate(config->agreement, CB_CVC_AGREEMENT, keyring,
                                 CB_OWN_CARD_AGREEMENT, &host->agreement, &agreement, why);
    if (!error)
        error = load_certificate(config->signer, CB_CVC_BROKER_SIGNATURE, keyring,
                                 CB_OWN_CARD_SIGNATURE, &host->signer, &signer, why);
    if (error) {
        cb_host_release(&host);
        return error;
    }
    cb_profile_host *profile = &host->profile;
    profile->keys = keyring;
    profile->agree = cb_keyring_host_agree;
    profile->sign = cb_keyring_host_sign;
    profile->cmac = cb_keyring_host_cmac;
    profile->salt = cb_keyring_host_salt;
    profile->cmac_key_len = cb_keyring_scp03_len(keyring);
    profile->key_id = config->key_id;
    profile->key_version = config->key_version;
    profile->agreement_certificate = cb_buf_bytes(&host->agreement);
    profile->signer_certificate = cb_buf_bytes(&host->signer);
    host->ready = agreement && signer && profile->trust_count > 0;
    *out = host;
    return CB_OK;
}
