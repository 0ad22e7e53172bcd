/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/host_load.h"

#include <stdlib.h>

#include "base/pem.h"
#include "base/config.h"
#include "cardlink/native/certificate.h"
#include "cardlink/native/link.h"
#include "hsm/card_pair.h"

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
    trust->renewal_at_taps = config->renewal_at_taps;
    if (!error)
        trust->profile = config->profile;
    return error;
}

/* *there says whether the certificate was found. */
static cb_error load_certificate(const char *path, uint16_t usage, cb_buf *out,
                                 uint8_t point[CB_P256_POINT], bool *there, cb_buf *why)
{
    *there = false;
    if (!path)
        return CB_OK;
    cb_error error = cb_broker_certificate_read(path, usage, out, point);
    if (error == CB_E_NOT_FOUND)
        return CB_OK;
    if (error)
        return unusable(why, path, cb_error_text(error));
    *there = true;
    return CB_OK;
}

/* One generation's certificates, and the pair of keys in the HSM that they are for. */
typedef struct generation {
    const char *agreement_path, *signer_path;
    cb_buf *agreement, *signer;
    bool there; /* both are installed */
    cb_card_pair *pair;
} generation;

static cb_error load_generation(generation *g, cb_keyring *keyring, cb_buf *why)
{
    bool agreement = false, signer = false;
    uint8_t agreement_point[CB_P256_POINT], signer_point[CB_P256_POINT];
    cb_error error = load_certificate(g->agreement_path, CB_CVC_AGREEMENT, g->agreement,
                                      agreement_point, &agreement, why);
    if (!error)
        error = load_certificate(g->signer_path, CB_CVC_BROKER_SIGNATURE, g->signer, signer_point,
                                 &signer, why);
    if (!error)
        error = cb_card_pair_of(keyring, agreement ? agreement_point : NULL,
                                signer ? signer_point : NULL, g->pair);
    if (error == CB_E_NOT_FOUND)
        return unusable(why, agreement ? g->agreement_path : g->signer_path,
                        "is not for the key in the HSM");
    g->there = agreement && signer;
    return error;
}

static cb_error load_newest(const cb_hsmd_config *config, cb_keyring *keyring, cb_host *host,
                            bool *there, cb_buf *why)
{
    cb_card_pair *pair = calloc(1, sizeof *pair);
    generation g = {config->agreement, config->signer, &host->agreement, &host->signer,
                    .pair = pair};
    host->pair[CB_HOST_OLDER_MAX] = pair;
    cb_error error = pair ? load_generation(&g, keyring, why) : CB_E_MEMORY;
    *there = g.there;
    host->profile.keys = pair;
    host->profile.agreement_certificate = cb_buf_bytes(&host->agreement);
    host->profile.signer_certificate = cb_buf_bytes(&host->signer);
    return error;
}

/* Whether both of a generation's certificates are under the key that a link leads to: otherwise the
 * cards that took it would be lost. */
static bool leads_to(const cb_link *link, cb_bytes agreement, cb_bytes signer)
{
    cb_cvc cvc;
    const cb_bytes both[] = {agreement, signer};
    for (size_t i = 0; i < 2; i++) {
        if (cb_cvc_parse(both[i], &cvc) || !cb_bytes_same(cvc.issuer, link->cvc.subject) ||
            !cb_cvc_verify(&cvc, link->cvc.point))
            return false;
    }
    return true;
}

/* The generation that a link leads to must be there. */
static bool link_fits(const cb_profile_host *host, const cb_link *link, uint8_t version)
{
    if (link->key_id != host->key_id || link->previous != version)
        return false;
    if (link->version == host->key_version)
        return leads_to(link, host->agreement_certificate, host->signer_certificate);
    for (size_t i = 0; i < host->older_count; i++) {
        if (host->older[i].version == link->version)
            return leads_to(link, host->older[i].agreement_certificate,
                            host->older[i].signer_certificate);
    }
    return false;
}

static cb_error load_link(const char *path, cb_host *host, size_t i, cb_buf *why)
{
    cb_link link;
    cb_buf *file = &host->former[i][2];
    if (!path)
        return CB_OK;
    cb_error error = cb_file_read(path, file);
    if (error == CB_E_NOT_FOUND)
        return CB_OK;
    if (!error)
        error = cb_link_parse(cb_buf_bytes(file), &link);
    if (error)
        return unusable(why, path, cb_error_text(error));
    if (!link_fits(&host->profile, &link, host->older[i].version))
        return unusable(why, path,
                        "does not lead from this key version to one under which the certificates "
                        "here are");
    host->older[i].link = cb_buf_bytes(file);
    return CB_OK;
}

static cb_error load_former(const cb_hsmd_former *config, cb_keyring *keyring, cb_host *host,
                            size_t i, cb_buf *why)
{
    cb_card_pair *pair = calloc(1, sizeof *pair);
    generation g = {config->agreement, config->signer, &host->former[i][0], &host->former[i][1],
                    .pair = pair};
    host->pair[i] = pair;
    cb_error error = pair ? load_generation(&g, keyring, why) : CB_E_MEMORY;
    if (!error && !g.there)
        return unusable(why, config->agreement, "or the signer's beside it cannot be found");
    host->older[i] = (cb_host_older){.keys = pair,
                                     .version = config->version,
                                     .agreement_certificate = cb_buf_bytes(g.agreement),
                                     .signer_certificate = cb_buf_bytes(g.signer)};
    host->profile.older_count = i + 1;
    return error;
}

/* The newest comes first: links lead to it. */
static cb_error load_generations(const cb_hsmd_config *config, cb_keyring *keyring, cb_host *host,
                                 bool *there, cb_buf *why)
{
    host->profile.key_id = config->key_id;
    host->profile.key_version = config->key_version;
    cb_error error = load_newest(config, keyring, host, there, why);
    for (size_t i = 0; !error && i < config->formers; i++)
        error = load_former(&config->former[i], keyring, host, i, why);
    for (size_t i = 0; !error && *there && i < config->formers; i++)
        error = load_link(config->former[i].link, host, i, why);
    return error;
}

cb_error cb_host_load(const cb_hsmd_config *config, cb_keyring *keyring, cb_host **out, cb_buf *why)
{
    bool there = false;
    cb_host *host = cb_host_new();
    *out = NULL;
    if (!host)
        return CB_E_MEMORY;
    cb_error error = load_anchors(config, host, why);
    for (size_t i = 0; !error && i < config->foreigners; i++)
        error = load_foreign(&config->foreign[i], &host->foreign[i], why);
    if (!error)
        error = load_generations(config, keyring, host, &there, why);
    if (error) {
        cb_host_release(&host);
        return error;
    }
    cb_profile_host *profile = &host->profile;
    profile->agree = cb_card_pair_agree;
    profile->sign = cb_card_pair_sign;
    profile->cmac = cb_card_pair_cmac;
    profile->salt = cb_card_pair_salt;
    profile->cmac_key_len = cb_keyring_scp03_len(keyring);
    host->ready = there && profile->trust_count > 0;
    *out = host;
    return CB_OK;
}
