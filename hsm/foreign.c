/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/foreign.h"

#include "base/clock.h"
#include "cardlink/jpki/commands.h"
#include "cardlink/piv/certificate.h"
#include "cardlink/piv/commands.h"
#include "cardlink/x509/der.h"

void cb_foreign_trust_init(cb_foreign_trust *trust)
{
    *trust = (cb_foreign_trust){.der = CB_BUF(CB_FOREIGN_BYTES_MAX)};
}

void cb_foreign_trust_free(cb_foreign_trust *trust)
{
    cb_buf_free(&trust->der);
    cb_foreign_trust_init(trust);
}

/* Which of a profile's keys may be bound, and what their certificates may be for if they say it;
 * what signs others' must say it. */
static bool usages_of(uint8_t profile, uint8_t use, cb_bytes out[2])
{
    if (profile == CB_PROFILE_PIV && use == CB_PIV_KEY_MESSAGING) {
        out[0] = out[1] = cb_oid_piv_content_signing;
        return true;
    }
    out[0] = cb_oid_client_auth;
    out[1] = use == CB_PIV_KEY_CARD ? cb_oid_piv_card_auth : cb_oid_smartcard_logon;
    if (profile == CB_PROFILE_JPKI)
        return use == CB_JPKI_KEY;
    return profile == CB_PROFILE_PIV &&
           (use == CB_PIV_KEY_AUTHENTICATION || use == CB_PIV_KEY_CARD);
}

/* The certificate of X.509 in what was read for a use; *between gets what follows the signer's. */
static cb_bytes x509_of(const cb_card_profile *profile, uint8_t use, cb_bytes read,
                        cb_bytes *between)
{
    cb_cursor cursor = cb_cursor_over(read);
    *between = (cb_bytes){0};
    if (use != profile->attested)
        return read;
    cb_bytes der = cb_der_whole(&cursor, CB_DER_SEQUENCE);
    *between = cb_cursor_rest(&cursor);
    return der;
}

static cb_error key_of(const cb_card_profile *profile, const cb_script *answers, uint8_t use,
                       const cb_x509 *certificate, cb_bytes between, cb_card_key *out)
{
    if (use == profile->attested)
        return profile->attest(answers, certificate, between, out);
    if (cb_card_key_of_spki(certificate->public_key, out))
        return CB_E_CERTIFICATE_ALGORITHM;
    return profile->fits(answers, certificate) ? CB_OK : CB_E_CARD_ANSWER;
}

/* When a certificate's last second is over. */
static int64_t end_of(const cb_x509 *certificate)
{
    int64_t last = certificate->not_after;
    return last < INT64_MAX / CB_SECOND ? (last + 1) * CB_SECOND : INT64_MAX;
}

/* end: of the certificate; raised to it, but by the signer of another's. */
static cb_error check_key(const cb_foreign_trust *trust, const cb_card_profile *profile,
                          const cb_script *answers, uint8_t use, cb_bytes read, int64_t now,
                          cb_card_key *out, int64_t *end)
{
    cb_bytes usages[2], between;
    cb_bytes certificate = x509_of(profile, use, read, &between);
    cb_x509_path path;
    if (!usages_of(profile->id, use, usages))
        return CB_E_ARGUMENT;
    const cb_x509_trust known = {.anchors = trust->anchor,
                                 .anchor_count = trust->anchors,
                                 .intermediates = trust->intermediate,
                                 .intermediate_count = trust->intermediates};
    const cb_x509_rules rules = {.time = now,
                                 .key_usage = CB_X509_DIGITAL_SIGNATURE,
                                 .extended_usages = usages,
                                 .extended_usage_count = 2,
                                 .extended_usage_optional = use != profile->attested,
                                 .policies = trust->policy,
                                 .policy_count = trust->policies};
    cb_error error = cb_x509_validate(certificate, &known, &rules, &path);
    if (!error)
        error = key_of(profile, answers, use, &path.certificates[0], between, out);
    if (!error) {
        out->use = use;
        out->certificate = cb_sha256(certificate);
    }
    if (!error && use != profile->attested && end_of(&path.certificates[0]) > *end)
        *end = end_of(&path.certificates[0]);
    return error;
}

static bool same_key(const cb_card_key *one, const cb_card_key *other)
{
    return cb_bytes_same(cb_bytes_make(one->data, one->len),
                         cb_bytes_make(other->data, other->len));
}

/* A key that asks for no PIN must not stand for the one that does, nor one that agrees for one that
 * signs. */
static bool is_twice(const cb_card_keys *keys, size_t last)
{
    for (size_t i = 0; i < last; i++) {
        if (same_key(&keys->key[i], &keys->key[last]))
            return true;
    }
    return false;
}

/* With which it can prove anything to others than who agrees with it. */
static bool has_signing_key(const cb_card_profile *profile, const cb_foreign_reading *card)
{
    for (size_t i = 0; i < card->keys; i++) {
        if (card->key[i].use != profile->attested)
            return true;
    }
    return card->keys == 0;
}

/* The keys that sign by their numbers, then the one that is attested, and none twice. A binding is
 * known by its keys in their order (cb_binding_digest): in another one the same keys would be taken
 * for others, and the first ones be retired for good. */
static bool in_order(const cb_card_profile *profile, const cb_foreign_reading *card)
{
    for (size_t i = 1; i < card->keys; i++) {
        uint8_t before = card->key[i - 1].use, use = card->key[i].use;
        if (before == profile->attested || (use <= before && use != profile->attested))
            return false;
    }
    return true;
}

cb_error cb_foreign_card_check(const cb_foreign_trust *trust, const cb_foreign_reading *card,
                               int64_t now, cb_binding_info *out)
{
    cb_script answers;
    const cb_card_profile *profile = cb_profile_find(card->profile);
    if (!profile || !profile->recognise || card->keys > CB_CARD_KEYS_MAX ||
        (card->keys > 0) != (profile->certificates > 0) || !has_signing_key(profile, card) ||
        !in_order(profile, card))
        return CB_E_ARGUMENT;
    out->profile = card->profile;
    out->keys = (cb_card_keys){0};
    out->expires = 0;
    cb_error error = cb_script_read(card->answers, CB_ANSWER_MAX, &answers);
    if (!error)
        error = profile->recognise(&answers, &out->card);
    if (!error && card->keys > 0 && trust->profile != card->profile)
        error = CB_E_CARD_CERTIFICATE;
    for (size_t i = 0; !error && i < card->keys; i++) {
        error = check_key(trust, profile, &answers, card->key[i].use, card->key[i].certificate, now,
                          &out->keys.key[i], &out->expires);
        out->keys.count = i + 1;
        if (!error && is_twice(&out->keys, i))
            error = CB_E_ARGUMENT;
    }
    return error;
}

cb_error cb_foreign_card_named(const cb_foreign_reading *card)
{
    cb_script answers;
    const cb_card_profile *profile = cb_profile_find(card->profile);
    cb_error error = cb_script_read(card->answers, CB_ANSWER_MAX, &answers);
    for (size_t i = 0; !error && profile->names && i < card->keys; i++) {
        cb_x509 certificate;
        if (card->key[i].use == profile->attested)
            continue; /* its key's own certificate names the card */
        error = cb_x509_parse(card->key[i].certificate, &certificate);
        if (!error && !profile->names(&answers, &certificate))
            error = CB_E_CARD_NAMELESS;
    }
    return error;
}

static cb_bytes certificate_for(const cb_foreign_reading *card, uint8_t use)
{
    cb_bytes between;
    for (size_t i = 0; i < card->keys; i++) {
        if (card->key[i].use == use)
            return x509_of(cb_profile_find(card->profile), use, card->key[i].certificate, &between);
    }
    return (cb_bytes){0};
}

/* *renewed becomes true for another certificate. */
static cb_error key_renews(cb_x509_renewal rule, cb_bytes before, cb_bytes now, bool *renewed)
{
    cb_x509 old, new;
    if (cb_bytes_same(before, now))
        return CB_OK;
    cb_error error = cb_x509_parse(before, &old);
    if (!error)
        error = cb_x509_parse(now, &new);
    if (!error && !cb_x509_renews(&old, &new, rule))
        error = CB_E_CERTIFICATE_RENEWAL;
    *renewed = true;
    return error;
}

/* The same for a key that another certificate than the signer's is of. */
static cb_error attested_renews(cb_x509_renewal rule, cb_bytes before, cb_bytes now, bool same,
                                bool *renewed)
{
    cb_x509 old, new;
    bool same_signer = cb_bytes_same(before, now);
    if (same && same_signer)
        return CB_OK;
    cb_error error = cb_x509_parse(before, &old);
    if (!error)
        error = cb_x509_parse(now, &new);
    if (!error &&
        (rule == CB_X509_RENEWAL_NEVER || (!same_signer && new.not_before <= old.not_before) ||
         (!same && rule != CB_X509_RENEWAL_SAME_SUBJECT)))
        error = CB_E_CERTIFICATE_RENEWAL;
    *renewed = true;
    return error;
}

static cb_error renews(const cb_foreign_trust *trust, const cb_card_key *key, cb_bytes old,
                       cb_bytes new, const cb_binding_info *info, bool *renewed)
{
    const cb_card_key *other = cb_card_keys_find(&info->keys, key->use);
    if (new.len == 0 || !other)
        return CB_E_CERTIFICATE_RENEWAL;
    if (key->use != cb_profile_find(info->profile)->attested)
        return key_renews(trust->renewal, old, new, renewed);
    return attested_renews(trust->renewal, old, new, same_key(key, other), renewed);
}

cb_error cb_foreign_card_renews(const cb_foreign_trust *trust, const cb_binding_info *before,
                                cb_bytes certificates, const cb_foreign_reading *now,
                                const cb_binding_info *info)
{
    bool renewed = false;
    cb_cursor in = cb_cursor_over(certificates);
    cb_error error = now->keys == 0                    ? CB_E_ARGUMENT
                     : now->keys != before->keys.count ? CB_E_CERTIFICATE_RENEWAL
                                                       : CB_OK;
    for (size_t i = 0; !error && i < before->keys.count; i++) {
        const cb_card_key *key = &before->keys.key[i];
        cb_bytes old = cb_der_whole(&in, CB_DER_SEQUENCE), new = certificate_for(now, key->use);
        cb_digest digest = cb_sha256(old);
        if (!cb_cursor_ok(&in) || memcmp(&digest, &key->certificate, sizeof digest) != 0)
            error = CB_E_HSM_RECORD;
        else
            error = renews(trust, key, old, new, info, &renewed);
    }
    if (!error && !cb_cursor_done(&in))
        error = CB_E_HSM_RECORD;
    return !error && !renewed ? CB_E_CERTIFICATE_RENEWAL : error;
}
