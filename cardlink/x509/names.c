/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a certificate lists: usages, policies, and addresses of its issuer's.
 */
#include "cardlink/x509/certificate.h"

enum { GENERAL_NAME_URI = CB_DER_CONTEXT + 6 };

bool cb_x509_has_usage(const cb_x509 *certificate, cb_bytes oid)
{
    cb_cursor in = cb_der_open(certificate->extended_usages, CB_DER_SEQUENCE);
    while (cb_cursor_ok(&in) && in.rest.len > 0) {
        if (cb_bytes_same(cb_der_expect(&in, CB_DER_OID), oid))
            return cb_cursor_ok(&in);
    }
    return false;
}

/* Whether one of a list of sequences begins with an object identifier. */
static bool begins_one(cb_bytes list, cb_bytes oid)
{
    cb_cursor in = cb_der_open(list, CB_DER_SEQUENCE);
    while (cb_cursor_ok(&in) && in.rest.len > 0) {
        cb_cursor one = cb_cursor_over(cb_der_expect(&in, CB_DER_SEQUENCE));
        cb_bytes first = cb_der_expect(&one, CB_DER_OID);
        if (cb_cursor_ok(&one) && cb_bytes_same(first, oid))
            return true;
    }
    return false;
}

bool cb_x509_has_policy(const cb_x509 *certificate, cb_bytes oid)
{
    return begins_one(certificate->policies, oid);
}

bool cb_x509_maps_policy(const cb_x509 *certificate, cb_bytes oid)
{
    return begins_one(certificate->policy_mappings, oid);
}

static bool is_http(cb_bytes url) { return url.len > 7 && memcmp(url.data, "http://", 7) == 0; }

bool cb_x509_ocsp_url(const cb_x509 *certificate, unsigned index, cb_bytes *url)
{
    static const uint8_t ocsp[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01};
    cb_cursor in = cb_der_open(certificate->access, CB_DER_SEQUENCE);
    while (cb_cursor_ok(&in) && in.rest.len > 0) {
        cb_cursor one = cb_cursor_over(cb_der_expect(&in, CB_DER_SEQUENCE));
        cb_bytes method = cb_der_expect(&one, CB_DER_OID);
        if (!cb_bytes_same(method, CB_BYTES_OF(ocsp)) || !cb_der_is(&one, GENERAL_NAME_URI))
            continue;
        *url = cb_der_expect(&one, GENERAL_NAME_URI);
        if (cb_cursor_done(&one) && is_http(*url) && index-- == 0)
            return true;
    }
    return false;
}

/* The names of one distribution point that is by the issuer itself and for all reasons: reasons
 * ([1]) and cRLIssuer ([2]) are absent (RFC 5280, 4.2.1.13). */
static cb_cursor names_of_point(cb_cursor *points)
{
    cb_cursor point = cb_cursor_over(cb_der_expect(points, CB_DER_SEQUENCE));
    cb_bytes name = {0};
    cb_bytes full = {0};
    cb_der_optional(&point, CB_DER_CONSTRUCTED + 0, &name);
    cb_cursor inner = cb_cursor_over(name);
    cb_der_optional(&inner, CB_DER_CONSTRUCTED + 0, &full);
    return cb_cursor_over(cb_cursor_done(&point) && cb_cursor_done(&inner) ? full : (cb_bytes){0});
}

bool cb_x509_crl_url(const cb_x509 *certificate, unsigned index, cb_bytes *url)
{
    cb_cursor points = cb_der_open(certificate->crl_points, CB_DER_SEQUENCE);
    cb_der name;
    while (cb_cursor_ok(&points) && points.rest.len > 0) {
        cb_cursor names = names_of_point(&points);
        while (cb_der_next(&names, &name)) {
            *url = name.value;
            if (name.tag == GENERAL_NAME_URI && is_http(*url) && index-- == 0)
                return true;
        }
    }
    return false;
}

bool cb_crl_points_name(cb_bytes crl_points, cb_bytes general_name)
{
    cb_cursor points = cb_der_open(crl_points, CB_DER_SEQUENCE);
    cb_der name;
    while (cb_cursor_ok(&points) && points.rest.len > 0) {
        cb_cursor names = names_of_point(&points);
        while (cb_der_next(&names, &name)) {
            if (cb_bytes_same(name.whole, general_name))
                return true;
        }
    }
    return false;
}
