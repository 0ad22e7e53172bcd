/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/x509/path.h"

#include "cardlink/x509/constraints.h"
#include "cardlink/x509/policy.h"
#include "cardlink/x509/signature.h"

#define OID(...)                                                                                   \
    {                                                                                              \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                     \
    }
const cb_bytes cb_oid_client_auth = OID(0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02);
const cb_bytes cb_oid_smartcard_logon =
    OID(0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x14, 0x02, 0x02);
const cb_bytes cb_oid_piv_card_auth = OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x06, 0x08);

typedef struct search {
    const cb_x509_trust *trust;
    const cb_x509_rules *rules;
    cb_x509_path *path;
    unsigned tries;
    cb_error error; /* the most telling so far */
} search;

cb_error cb_x509_check_dates(const cb_x509 *certificate, int64_t time)
{
    if (time < certificate->not_before)
        return CB_E_CERTIFICATE_EARLY;
    return time > certificate->not_after ? CB_E_CERTIFICATE_EXPIRED : CB_OK;
}

cb_error cb_x509_is_issued_by(const cb_x509 *issued, const cb_x509 *issuer)
{
    if (!cb_bytes_same(issued->issuer, issuer->subject))
        return CB_E_CARD_CERTIFICATE;
    cb_error error = cb_x509_signature_check(issuer->public_key, issued->signature_algorithm,
                                             issued->signed_bytes, issued->signature);
    return error == CB_E_CRYPTO ? CB_E_CARD_CERTIFICATE : error;
}

/* ---- the card's certificate itself ---- */

static cb_error check_usage(const cb_x509 *certificate, const cb_x509_rules *rules)
{
    if ((certificate->key_usage & rules->key_usage) != rules->key_usage)
        return CB_E_CERTIFICATE_USAGE;
    if (rules->extended_usage_count == 0)
        return CB_OK;
    if (certificate->extended_usages.len == 0)
        return rules->extended_usage_optional ? CB_OK : CB_E_CERTIFICATE_USAGE;
    for (size_t i = 0; i < rules->extended_usage_count; i++) {
        if (cb_x509_has_usage(certificate, rules->extended_usages[i]))
            return CB_OK;
    }
    return CB_E_CERTIFICATE_USAGE;
}

static cb_error check_card(const cb_x509 *certificate, const cb_x509_rules *rules)
{
    cb_x509_key key;
    cb_error error = cb_x509_check_dates(certificate, rules->time);
    if (!error)
        error = cb_x509_key_read(certificate->public_key, &key);
    if (!error)
        error = check_usage(certificate, rules);
    if (!error && (certificate->unknown_critical || certificate->name_constraints.len > 0))
        error = CB_E_CERTIFICATE_PATH;
    return error;
}

/* ---- those above it ---- */

static bool is_self_issued(const cb_x509 *certificate)
{
    return cb_bytes_same(certificate->issuer, certificate->subject);
}

/* How many CAs lie between the card's certificate and the next on the path: those that issued
 * themselves, for a change of key, do not count (RFC 5280, 4.2.1.9). */
static int count_between(const cb_x509_path *path)
{
    int count = 0;
    for (size_t i = 1; i < path->count; i++)
        count += !is_self_issued(&path->certificates[i]);
    return count;
}

/* Whether a CA may issue what comes beneath it (RFC 5280, 6.1.4, k to o). */
static cb_error check_issuer(const cb_x509 *issuer, const search *s)
{
    if (!issuer->is_ca || issuer->unknown_critical)
        return CB_E_CERTIFICATE_PATH;
    if (issuer->has_key_usage && !(issuer->key_usage & CB_X509_CERTIFICATE_SIGN))
        return CB_E_CERTIFICATE_PATH;
    if (issuer->path_length != CB_X509_NO_LIMIT && count_between(s->path) > issuer->path_length)
        return CB_E_CERTIFICATE_PATH;
    return cb_x509_check_dates(issuer, s->rules->time);
}

static bool may_be_issuer(const cb_x509 *issued, const cb_x509 *issuer)
{
    if (!cb_bytes_same(issued->issuer, issuer->subject))
        return false;
    return issued->authority_key_id.len == 0 || issuer->subject_key_id.len == 0 ||
           cb_bytes_same(issued->authority_key_id, issuer->subject_key_id);
}

static bool is_on_path(const cb_x509_path *path, const cb_x509 *certificate)
{
    for (size_t i = 0; i < path->count; i++) {
        if (cb_bytes_same(path->certificates[i].subject, certificate->subject) &&
            cb_bytes_same(path->certificates[i].public_key, certificate->public_key))
            return true;
    }
    return false;
}

/* What is wrong with a certificate that was really issued says more than that some other was not.
 */
static void note(search *s, cb_error error)
{
    if (s->error == CB_E_CARD_CERTIFICATE || error == CB_E_MEMORY)
        s->error = error;
}

/* What is to be said of a path only when its anchor is reached. */
static bool is_whole(search *s)
{
    cb_error error = cb_x509_check_constraints(s->path);
    if (!error)
        error = cb_x509_check_policies(s->path, s->rules);
    if (error)
        note(s, error);
    return error == CB_OK;
}

static bool extend(search *s);

/* Puts one more certificate on the path, and ends it there or goes on from it. */
static bool try_issuer(search *s, cb_bytes der, bool anchor)
{
    cb_x509_path *path = s->path;
    cb_x509 *next = &path->certificates[path->count];
    const cb_x509 *issued = next - 1;
    if (cb_x509_parse(der, next) != CB_OK || !may_be_issuer(issued, next) ||
        is_on_path(path, next) || s->tries == 0)
        return false;
    s->tries--;
    cb_error error = cb_x509_is_issued_by(issued, next);
    if (!error)
        error = check_issuer(next, s);
    if (error) {
        note(s, error);
        return false;
    }
    path->count++;
    bool found;
    if (anchor)
        found = is_whole(s);
    else
        found = extend(s);
    if (!found)
        path->count--;
    return found;
}

static bool extend(search *s)
{
    if (s->path->count == CB_X509_PATH_MAX || s->error == CB_E_MEMORY)
        return false;
    for (size_t i = 0; i < s->trust->anchor_count; i++) {
        if (try_issuer(s, s->trust->anchors[i], true))
            return true;
    }
    for (size_t i = 0; i < s->trust->intermediate_count; i++) {
        if (try_issuer(s, s->trust->intermediates[i], false))
            return true;
    }
    return false;
}

cb_error cb_x509_validate(cb_bytes certificate, const cb_x509_trust *trust,
                          const cb_x509_rules *rules, cb_x509_path *path)
{
    search s = {.trust = trust,
                .rules = rules,
                .path = path,
                .tries = CB_X509_TRIES,
                .error = CB_E_CARD_CERTIFICATE};
    path->count = 0;
    cb_error error = cb_x509_parse(certificate, &path->certificates[0]);
    if (!error)
        error = check_card(&path->certificates[0], rules);
    if (error)
        return error;
    path->count = 1;
    return extend(&s) ? CB_OK : s.error;
}
