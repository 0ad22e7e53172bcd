/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/x509/certificate.h"

#include "cardlink/x509/extensions.h"

enum { VERSION_1 = 0, VERSION_3 = 2 };

static uint16_t read_version(cb_cursor *tbs)
{
    cb_bytes explicit;
    uint16_t version = VERSION_1;
    if (!cb_der_optional(tbs, CB_DER_CONSTRUCTED + 0, &explicit))
        return VERSION_1;
    cb_cursor inner = cb_cursor_over(explicit);
    cb_bytes number = cb_der_expect(&inner, CB_DER_INTEGER);
    if (!cb_cursor_done(&inner) || !cb_der_small(number, &version) || version != VERSION_3)
        cb_cursor_fail(tbs);
    return version;
}

static void read_validity(cb_cursor *tbs, cb_x509 *out)
{
    cb_cursor validity = cb_cursor_over(cb_der_expect(tbs, CB_DER_SEQUENCE));
    out->not_before = cb_der_time(&validity);
    out->not_after = cb_der_time(&validity);
    if (!cb_cursor_done(&validity))
        cb_cursor_fail(tbs);
}

/* RFC 5280, 4.1. The identifiers after the key, [1] and [2], are of no use. */
static void read_signed(cb_cursor *tbs, cb_x509 *out)
{
    cb_bytes extensions, unused;
    uint16_t version = read_version(tbs);
    out->serial = cb_der_unsigned(tbs, CB_X509_SERIAL_MAX);
    cb_bytes algorithm = cb_der_whole(tbs, CB_DER_SEQUENCE);
    out->issuer = cb_der_whole(tbs, CB_DER_SEQUENCE);
    read_validity(tbs, out);
    out->subject = cb_der_whole(tbs, CB_DER_SEQUENCE);
    out->public_key = cb_der_whole(tbs, CB_DER_SEQUENCE);
    cb_der_optional(tbs, CB_DER_CONTEXT + 1, &unused);
    cb_der_optional(tbs, CB_DER_CONTEXT + 2, &unused);
    if (version == VERSION_3 && cb_der_optional(tbs, CB_DER_CONSTRUCTED + 3, &extensions) &&
        !cb_x509_read_extensions(extensions, out))
        cb_cursor_fail(tbs);
    if (!cb_bytes_same(algorithm, out->signature_algorithm))
        cb_cursor_fail(tbs);
}

cb_error cb_x509_parse(cb_bytes der, cb_x509 *out)
{
    *out = (cb_x509){.whole = der,
                     .path_length = CB_X509_NO_LIMIT,
                     .require_policy = CB_X509_NO_LIMIT,
                     .inhibit_any_policy = CB_X509_NO_LIMIT};
    if (der.len > CB_X509_MAX)
        return CB_E_CERTIFICATE_FORM;
    cb_cursor outer = cb_der_open(der, CB_DER_SEQUENCE);
    out->signed_bytes = cb_der_whole(&outer, CB_DER_SEQUENCE);
    out->signature_algorithm = cb_der_whole(&outer, CB_DER_SEQUENCE);
    out->signature = cb_der_bits(&outer);
    cb_cursor tbs = cb_der_open(out->signed_bytes, CB_DER_SEQUENCE);
    read_signed(&tbs, out);
    return cb_cursor_done(&outer) && cb_cursor_done(&tbs) ? CB_OK : CB_E_CERTIFICATE_FORM;
}

/* ---- renewal ---- */

cb_x509_relation cb_x509_compare(const cb_x509 *before, const cb_x509 *now)
{
    return (cb_x509_relation){
        .same = cb_bytes_same(before->whole, now->whole),
        .same_issuer = cb_bytes_same(before->issuer, now->issuer),
        .same_subject = cb_bytes_same(before->subject, now->subject),
        .same_alternative = before->alternative_name.len > 0 &&
                            cb_bytes_same(before->alternative_name, now->alternative_name),
        .same_key = cb_bytes_same(before->public_key, now->public_key),
        .later = now->not_before > before->not_before,
    };
}

/* A name of no parts names nobody. */
static bool is_named(const cb_x509 *certificate)
{
    return cb_der_open(certificate->subject, CB_DER_SEQUENCE).rest.len > 0 ||
           certificate->alternative_name.len > 0;
}

bool cb_x509_renews(const cb_x509 *before, const cb_x509 *now, cb_x509_renewal rule)
{
    cb_x509_relation r = cb_x509_compare(before, now);
    bool alternative =
        r.same_alternative || before->alternative_name.len + now->alternative_name.len == 0;
    bool same_holder = r.same_issuer && r.same_subject && alternative && is_named(now);
    if (r.same || !r.later || !same_holder)
        return false;
    return rule == CB_X509_RENEWAL_SAME_SUBJECT || (rule == CB_X509_RENEWAL_SAME_KEY && r.same_key);
}
