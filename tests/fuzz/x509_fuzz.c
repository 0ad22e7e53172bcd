/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates that cards show, with those above them: u16 length and certificate, again and again;
 * the first is the card's, the last the anchor. Every signature counts as good, so that what comes
 * after it is reached.
 */
#include <stdlib.h>

#include "cardlink/x509/path.h"
#include "cardlink/x509/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
cb_error __wrap_cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                        cb_bytes signature);
cb_error __real_cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                        cb_bytes signature);

enum { CERTIFICATES_MAX = 6 };

cb_error __wrap_cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                        cb_bytes signature)
{
    cb_error error = __real_cb_x509_signature_check(public_key, algorithm, data, signature);
    return error == CB_E_CRYPTO ? CB_OK : error;
}

static bool lies_in(cb_bytes part, cb_bytes whole)
{
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             (size_t)(part.data - whole.data) <= whole.len - part.len);
}

static void look_at(cb_bytes der)
{
    cb_x509 x;
    cb_bytes url;
    if (cb_x509_parse(der, &x) != CB_OK)
        return;
    const cb_bytes parts[] = {x.signed_bytes, x.serial,     x.issuer, x.subject,  x.public_key,
                              x.policies,     x.crl_points, x.access, x.signature};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!lies_in(parts[i], der))
            abort();
    if (x.serial.len == 0 || x.serial.len > CB_X509_SERIAL_MAX || x.issuer.len == 0)
        abort();
    for (unsigned i = 0; cb_x509_ocsp_url(&x, i, &url) || cb_x509_crl_url(&x, i, &url); i++)
        if (!lies_in(url, der) || i > der.len)
            abort();
    if (!cb_x509_compare(&x, &x).same || cb_x509_renews(&x, &x, CB_X509_RENEWAL_SAME_SUBJECT))
        abort();
    cb_x509_key key;
    cb_x509_key_read(x.public_key, &key);
}

static void validate(const cb_bytes *certificates, size_t count)
{
    static cb_x509_path path;
    const cb_x509_trust trust = {&certificates[count - 1], 1, &certificates[1], count - 2};
    const cb_x509_rules rules = {.time = 1780272000, /* 2026-06-01 */
                                 .key_usage = CB_X509_DIGITAL_SIGNATURE,
                                 .extended_usages = &cb_oid_client_auth,
                                 .extended_usage_count = 1};
    if (cb_x509_validate(certificates[0], &trust, &rules, &path) != CB_OK)
        return;
    if (path.count < 2 || path.count > CB_X509_PATH_MAX || path.certificates[0].unknown_critical)
        abort();
    for (size_t i = 1; i < path.count; i++)
        if (!path.certificates[i].is_ca || path.certificates[i].unknown_critical)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    cb_bytes certificates[CERTIFICATES_MAX];
    size_t count = 0;
    while (count < CERTIFICATES_MAX && in.rest.len > 2) {
        size_t len = cb_cursor_u16(&in);
        certificates[count] = cb_cursor_take(&in, len < in.rest.len ? len : in.rest.len);
        look_at(certificates[count++]);
    }
    if (count >= 2)
        validate(certificates, count);
    return 0;
}
