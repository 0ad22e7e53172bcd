/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/host_load.h"

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
    profile->key_id = config->key_id;
    profile->key_version = config->key_version;
    profile->agreement_certificate = cb_buf_bytes(&host->agreement);
    profile->signer_certificate = cb_buf_bytes(&host->signer);
    host->ready = agreement && signer && profile->trust_count > 0;
    *out = host;
    return CB_OK;
}
