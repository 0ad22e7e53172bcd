/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * RFC 5280, 6.1, without the tree: mappings are not followed, so a policy is one identifier from
 * the top to the bottom.
 */
#include "cardlink/x509/policy.h"

enum { NEVER = 1000 };

/* Skips are counted in certificates that did not issue themselves; one further down may only
 * tighten what one above it said. */
static int count_down(int left, const cb_x509 *certificate)
{
    bool self_issued = cb_bytes_same(certificate->issuer, certificate->subject);
    return left > 0 && !self_issued ? left - 1 : left;
}

static int tighten(int left, int said)
{
    return said != CB_X509_NO_LIMIT && said < left ? said : left;
}

/* Whether a policy has to be there, whatever the rules say (6.1.5, a and b). */
static bool is_required(const cb_x509_path *path)
{
    int left = NEVER;
    for (size_t i = path->count; i-- > 1;) {
        if (i + 1 < path->count)
            left = count_down(left, &path->certificates[i]);
        left = tighten(left, path->certificates[i].require_policy);
    }
    left = count_down(left, &path->certificates[0]);
    return left == 0 || path->certificates[0].require_policy == 0;
}

/* Whether each CA beneath the anchor allows a policy for those beneath it. */
static bool is_allowed(const cb_x509_path *path, cb_bytes policy)
{
    int any = NEVER;
    if (cb_x509_maps_policy(&path->certificates[path->count - 1], policy))
        return false;
    any = tighten(any, path->certificates[path->count - 1].inhibit_any_policy);
    for (size_t i = path->count - 1; i-- > 1;) {
        const cb_x509 *ca = &path->certificates[i];
        bool self_issued = cb_bytes_same(ca->issuer, ca->subject);
        bool by_any = (any > 0 || self_issued) && cb_x509_has_policy(ca, cb_oid_any_policy);
        if ((!by_any && !cb_x509_has_policy(ca, policy)) || cb_x509_maps_policy(ca, policy))
            return false;
        any = tighten(count_down(any, ca), ca->inhibit_any_policy);
    }
    return true;
}

static bool is_wanted(const cb_x509_rules *rules, cb_bytes policy)
{
    for (size_t i = 0; i < rules->policy_count; i++) {
        if (cb_bytes_same(rules->policies[i], policy))
            return true;
    }
    return rules->policy_count == 0;
}

cb_error cb_x509_check_policies(const cb_x509_path *path, const cb_x509_rules *rules)
{
    if (rules->policy_count == 0 && !is_required(path))
        return CB_OK;
    cb_cursor in = cb_der_open(path->certificates[0].policies, CB_DER_SEQUENCE);
    while (cb_cursor_ok(&in) && in.rest.len > 0) {
        cb_cursor one = cb_cursor_over(cb_der_expect(&in, CB_DER_SEQUENCE));
        cb_bytes policy = cb_der_expect(&one, CB_DER_OID);
        if (cb_cursor_ok(&one) && !cb_bytes_same(policy, cb_oid_any_policy) &&
            is_wanted(rules, policy) && is_allowed(path, policy))
            return CB_OK;
    }
    return CB_E_CERTIFICATE_POLICY;
}
