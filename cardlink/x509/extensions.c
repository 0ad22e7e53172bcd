/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * RFC 5280, 4.2.
 */
#include "cardlink/x509/extensions.h"

enum { EXTENSIONS_MAX = 32, ITEMS_MAX = 64 };

typedef bool (*reader)(cb_bytes value, cb_x509 *out);

static bool read_basic_constraints(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_der_open(value, CB_DER_SEQUENCE);
    cb_bytes number;
    uint16_t most;
    out->is_ca = cb_der_flag(&in);
    if (cb_der_optional(&in, CB_DER_INTEGER, &number)) {
        if (!out->is_ca || !cb_der_small(number, &most))
            return false;
        out->path_length = most;
    }
    return cb_cursor_done(&in);
}

static bool read_key_usage(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_cursor_over(value);
    out->has_key_usage = true;
    return cb_der_named_bits(cb_der_expect(&in, CB_DER_BIT_STRING), &out->key_usage) &&
           cb_cursor_done(&in);
}

/* One or more objects of a tag, each of some bytes. */
static bool is_list(cb_bytes value, uint8_t tag)
{
    cb_cursor in = cb_der_open(value, CB_DER_SEQUENCE);
    unsigned count = 0;
    while (cb_cursor_ok(&in) && in.rest.len > 0 && count <= ITEMS_MAX) {
        if (cb_der_expect(&in, tag).len == 0)
            cb_cursor_fail(&in);
        count++;
    }
    return cb_cursor_done(&in) && count > 0 && count <= ITEMS_MAX;
}

static bool read_extended_usages(cb_bytes value, cb_x509 *out)
{
    out->extended_usages = value;
    return is_list(value, CB_DER_OID);
}

static bool read_policies(cb_bytes value, cb_x509 *out)
{
    out->policies = value;
    return is_list(value, CB_DER_SEQUENCE);
}

/* anyPolicy maps to nothing, and nothing to it (RFC 5280, 4.2.1.5). */
static bool read_policy_mappings(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_der_open(value, CB_DER_SEQUENCE);
    out->policy_mappings = value;
    while (cb_cursor_ok(&in) && in.rest.len > 0) {
        cb_cursor one = cb_cursor_over(cb_der_expect(&in, CB_DER_SEQUENCE));
        cb_bytes above = cb_der_expect(&one, CB_DER_OID);
        cb_bytes below = cb_der_expect(&one, CB_DER_OID);
        if (!cb_cursor_done(&one) || cb_bytes_same(above, cb_oid_any_policy) ||
            cb_bytes_same(below, cb_oid_any_policy))
            return false;
    }
    return is_list(value, CB_DER_SEQUENCE);
}

static bool read_alternative_name(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_der_open(value, CB_DER_SEQUENCE);
    out->alternative_name = value;
    return cb_cursor_ok(&in) && in.rest.len > 0;
}

static bool read_crl_points(cb_bytes value, cb_x509 *out)
{
    out->crl_points = value;
    return is_list(value, CB_DER_SEQUENCE);
}

static bool read_access(cb_bytes value, cb_x509 *out)
{
    out->access = value;
    return is_list(value, CB_DER_SEQUENCE);
}

static bool read_subject_key_id(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_cursor_over(value);
    out->subject_key_id = cb_der_expect(&in, CB_DER_OCTET_STRING);
    return cb_cursor_done(&in);
}

static bool read_authority_key_id(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_der_open(value, CB_DER_SEQUENCE);
    cb_bytes unused;
    cb_der_optional(&in, CB_DER_CONTEXT + 0, &out->authority_key_id);
    cb_der_optional(&in, CB_DER_CONSTRUCTED + 1, &unused); /* issuer and serial number */
    cb_der_optional(&in, CB_DER_CONTEXT + 2, &unused);
    return cb_cursor_done(&in);
}

static bool read_skip(cb_cursor *in, uint8_t tag, int *out)
{
    cb_bytes number;
    uint16_t skip;
    if (!cb_der_optional(in, tag, &number))
        return cb_cursor_ok(in);
    if (!cb_der_small(number, &skip))
        return false;
    *out = skip;
    return true;
}

/* Mappings are never followed, so forbidding them (inhibitPolicyMapping) changes nothing. */
static bool read_policy_constraints(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_der_open(value, CB_DER_SEQUENCE);
    int unused;
    return in.rest.len > 0 && read_skip(&in, CB_DER_CONTEXT + 0, &out->require_policy) &&
           read_skip(&in, CB_DER_CONTEXT + 1, &unused) && cb_cursor_done(&in);
}

static bool read_inhibit_any(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_cursor_over(value);
    return read_skip(&in, CB_DER_INTEGER, &out->inhibit_any_policy) &&
           out->inhibit_any_policy != CB_X509_NO_LIMIT && cb_cursor_done(&in);
}

static bool read_name_constraints(cb_bytes value, cb_x509 *out)
{
    cb_cursor in = cb_der_open(value, CB_DER_SEQUENCE);
    out->name_constraints = value;
    return cb_cursor_ok(&in) && in.rest.len > 0;
}

static bool note_no_check(cb_bytes value, cb_x509 *out)
{
    out->no_status_check = true;
    return value.len == 2 && value.data[0] == CB_DER_NULL && value.data[1] == 0;
}

static bool pass_over(cb_bytes value, cb_x509 *out)
{
    (void)value, (void)out;
    return true;
}

#define OID(...)                                                                                   \
    {                                                                                              \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                     \
    }

static const struct {
    cb_bytes oid;
    reader read;
} known[] = {
    {OID(0x55, 0x1D, 0x0E), read_subject_key_id},
    {OID(0x55, 0x1D, 0x0F), read_key_usage},
    {OID(0x55, 0x1D, 0x11), read_alternative_name},
    {OID(0x55, 0x1D, 0x12), pass_over}, /* issuerAltName */
    {OID(0x55, 0x1D, 0x13), read_basic_constraints},
    {OID(0x55, 0x1D, 0x1E), read_name_constraints},
    {OID(0x55, 0x1D, 0x1F), read_crl_points},
    {OID(0x55, 0x1D, 0x20), read_policies},
    {OID(0x55, 0x1D, 0x21), read_policy_mappings},
    {OID(0x55, 0x1D, 0x23), read_authority_key_id},
    {OID(0x55, 0x1D, 0x24), read_policy_constraints},
    {OID(0x55, 0x1D, 0x25), read_extended_usages},
    {OID(0x55, 0x1D, 0x36), read_inhibit_any},
    {OID(0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01), read_access},
    {OID(0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05), note_no_check},
    /* id-piv-NACI (FIPS 201-2): says how the holder was examined, constrains nothing. */
    {OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x06, 0x09, 0x01), pass_over},
};

enum { KNOWN = sizeof known / sizeof *known };

const cb_bytes cb_oid_any_policy = OID(0x55, 0x1D, 0x20, 0x00);
const cb_bytes cb_oid_any_usage = OID(0x55, 0x1D, 0x25, 0x00);
const cb_bytes cb_oid_ocsp_signing = OID(0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09);

/* One extension; *seen has a bit for each known one. */
static bool read_one(cb_bytes body, uint32_t *seen, cb_x509 *out)
{
    cb_cursor in = cb_cursor_over(body);
    cb_bytes oid = cb_der_expect(&in, CB_DER_OID);
    bool critical = cb_der_flag(&in);
    cb_bytes value = cb_der_expect(&in, CB_DER_OCTET_STRING);
    if (!cb_cursor_done(&in))
        return false;
    for (unsigned i = 0; i < KNOWN; i++) {
        if (!cb_bytes_same(oid, known[i].oid))
            continue;
        bool again = *seen >> i & 1;
        *seen |= 1u << i;
        return !again && known[i].read(value, out);
    }
    out->unknown_critical |= critical;
    return true;
}

bool cb_x509_read_extensions(cb_bytes explicit, cb_x509 *out)
{
    cb_cursor in = cb_der_open(explicit, CB_DER_SEQUENCE);
    uint32_t seen = 0;
    unsigned count = 0;
    while (cb_cursor_ok(&in) && in.rest.len > 0) {
        cb_bytes body = cb_der_expect(&in, CB_DER_SEQUENCE);
        if (++count > EXTENSIONS_MAX || !read_one(body, &seen, out))
            return false;
    }
    return cb_cursor_done(&in) && count > 0;
}
