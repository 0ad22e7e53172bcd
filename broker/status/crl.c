/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/status/crl.h"

#include <stdlib.h>

#include "cardlink/x509/signature.h"

enum { NUMBER_MAX = 20, EXTENSIONS_MAX = 16, REASON_REMOVED = 8, REASON_LAST = 10 };

#define OID(...)                                                                                   \
    {                                                                                              \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                     \
    }
static const cb_bytes crl_number = OID(0x55, 0x1D, 0x14), reason_code = OID(0x55, 0x1D, 0x15),
                      issuing_point = OID(0x55, 0x1D, 0x1C);

/* ---- what the list as a whole says ---- */

/* IssuingDistributionPoint (5.2.5). A name relative to the issuer is not understood. */
static bool read_point(cb_bytes value, cb_crl *out)
{
    cb_cursor in = cb_der_open(value, CB_DER_SEQUENCE);
    cb_bytes name = {0};
    cb_bytes flag;
    cb_der_optional(&in, CB_DER_CONSTRUCTED + 0, &name);
    cb_cursor inner = cb_cursor_over(name);
    cb_der_optional(&inner, CB_DER_CONSTRUCTED + 0, &out->point);
    if (cb_der_optional(&in, CB_DER_CONTEXT + 1, &flag))
        out->users_only = flag.len == 1 && flag.data[0] == 0xFF;
    if (cb_der_optional(&in, CB_DER_CONTEXT + 2, &flag))
        out->cas_only = flag.len == 1 && flag.data[0] == 0xFF;
    return cb_cursor_done(&in) && cb_cursor_done(&inner) && !(out->users_only && out->cas_only);
}

static bool read_number(cb_bytes value, cb_crl *out)
{
    cb_cursor in = cb_cursor_over(value);
    out->number = cb_der_unsigned(&in, NUMBER_MAX);
    return cb_cursor_done(&in);
}

/* One Extension: its identifier, whether it is critical, its value. */
static bool read_extension(cb_cursor *list, cb_bytes *oid, bool *critical, cb_bytes *value)
{
    cb_cursor in = cb_cursor_over(cb_der_expect(list, CB_DER_SEQUENCE));
    *oid = cb_der_expect(&in, CB_DER_OID);
    *critical = cb_der_flag(&in);
    *value = cb_der_expect(&in, CB_DER_OCTET_STRING);
    return cb_cursor_done(&in);
}

static bool read_extensions(cb_bytes explicit, cb_crl *out)
{
    cb_cursor list = cb_der_open(explicit, CB_DER_SEQUENCE);
    cb_bytes oid, value;
    bool critical;
    unsigned count = 0;
    while (cb_cursor_ok(&list) && list.rest.len > 0) {
        if (++count > EXTENSIONS_MAX || !read_extension(&list, &oid, &critical, &value))
            return false;
        bool good = !critical;
        if (cb_bytes_same(oid, issuing_point))
            good = read_point(value, out);
        else if (cb_bytes_same(oid, crl_number))
            good = read_number(value, out);
        if (!good)
            return false;
    }
    return cb_cursor_done(&list);
}

/* ---- entries ---- */

typedef struct entry {
    cb_bytes serial;
    uint8_t reason;
} entry;

static bool read_reason(cb_bytes extensions, uint8_t *reason)
{
    cb_cursor list = cb_cursor_over(extensions);
    cb_bytes oid, value;
    bool critical;
    while (cb_cursor_ok(&list) && list.rest.len > 0) {
        if (!read_extension(&list, &oid, &critical, &value))
            return false;
        if (!cb_bytes_same(oid, reason_code)) {
            if (critical) /* one that names another issuer, for instance */
                return false;
            continue;
        }
        cb_cursor in = cb_cursor_over(value);
        cb_bytes code = cb_der_expect(&in, CB_DER_ENUMERATED);
        if (!cb_cursor_done(&in) || code.len != 1 || code.data[0] > REASON_LAST ||
            code.data[0] == REASON_REMOVED)
            return false;
        *reason = code.data[0];
    }
    return cb_cursor_ok(&list);
}

static bool read_entry(cb_cursor *list, entry *out)
{
    cb_cursor in = cb_cursor_over(cb_der_expect(list, CB_DER_SEQUENCE));
    cb_bytes extensions;
    out->reason = CB_CRL_NO_REASON;
    out->serial = cb_der_unsigned(&in, CB_X509_SERIAL_MAX);
    cb_der_time(&in);
    if (cb_der_optional(&in, CB_DER_SEQUENCE, &extensions) &&
        !read_reason(extensions, &out->reason))
        return false;
    return cb_cursor_done(&in);
}

static int compare(cb_bytes a, cb_bytes b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len > 0 ? memcmp(a.data, b.data, a.len) : 0;
}

static cb_cursor entries_from(const cb_crl *crl, uint32_t at)
{
    cb_cursor list = cb_cursor_over(crl->entries);
    cb_cursor_take(&list, at);
    return list;
}

/* Of an entry that was read before. */
static cb_bytes serial_at(const cb_crl *crl, uint32_t at)
{
    cb_cursor list = entries_from(crl, at);
    cb_cursor in = cb_cursor_over(cb_der_expect(&list, CB_DER_SEQUENCE));
    return cb_der_unsigned(&in, CB_X509_SERIAL_MAX);
}

static uint8_t reason_at(const cb_crl *crl, uint32_t at)
{
    cb_cursor list = entries_from(crl, at);
    entry found = {.reason = CB_CRL_NO_REASON};
    read_entry(&list, &found);
    return found.reason;
}

static int by_serial(const void *a, const void *b, void *crl)
{
    const uint32_t *first = a;
    const uint32_t *second = b;
    int order = compare(serial_at(crl, *first), serial_at(crl, *second));
    return order ? order : *first < *second ? -1 : *first > *second;
}

static cb_error count_entries(cb_crl *crl)
{
    cb_cursor list = cb_cursor_over(crl->entries);
    entry one;
    while (list.rest.len > 0) {
        if (!read_entry(&list, &one))
            return CB_E_FORMAT;
        if (++crl->count > CB_CRL_ENTRIES_MAX)
            return CB_E_TOO_LARGE;
    }
    return CB_OK;
}

/* Issuers often write entries in the order of their serial numbers, and then nothing is sorted. */
static cb_error make_index(cb_crl *crl)
{
    cb_error error = count_entries(crl);
    if (error || crl->count == 0)
        return error;
    crl->index = malloc(crl->count * sizeof *crl->index);
    if (!crl->index)
        return CB_E_MEMORY;
    cb_cursor list = cb_cursor_over(crl->entries);
    cb_bytes last = {0};
    bool sorted = true;
    for (size_t i = 0; i < crl->count; i++) {
        entry one;
        crl->index[i] = (uint32_t)(crl->entries.len - list.rest.len);
        read_entry(&list, &one);
        sorted &= compare(last, one.serial) <= 0;
        last = one.serial;
    }
    if (!sorted)
        qsort_r(crl->index, crl->count, sizeof *crl->index, by_serial, crl);
    return CB_OK;
}

bool cb_crl_has(const cb_crl *crl, cb_bytes serial, uint8_t *reason)
{
    size_t low = 0;
    size_t high = crl->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(serial_at(crl, crl->index[middle]), serial);
        if (order == 0) {
            *reason = reason_at(crl, crl->index[middle]);
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* ---- the list ---- */

/* TBSCertList (5.1.2), version 2 with nextUpdate. */
static bool read_signed(cb_bytes tbs, cb_bytes algorithm, const cb_x509 *issuer, cb_crl *out)
{
    cb_cursor in = cb_der_open(tbs, CB_DER_SEQUENCE);
    cb_bytes extensions;
    uint16_t version = 0;
    bool good = cb_der_small(cb_der_expect(&in, CB_DER_INTEGER), &version) && version == 1 &&
                cb_bytes_same(cb_der_whole(&in, CB_DER_SEQUENCE), algorithm) &&
                cb_bytes_same(cb_der_whole(&in, CB_DER_SEQUENCE), issuer->subject);
    out->this_update = cb_der_time(&in);
    out->next_update = cb_der_time(&in);
    cb_der_optional(&in, CB_DER_SEQUENCE, &out->entries);
    if (cb_der_optional(&in, CB_DER_CONSTRUCTED + 0, &extensions))
        good = good && read_extensions(extensions, out);
    return good && cb_cursor_done(&in);
}

static cb_error read_list(cb_crl *out, const cb_x509 *issuer)
{
    cb_cursor outer = cb_der_open(cb_buf_bytes(&out->der), CB_DER_SEQUENCE);
    cb_bytes tbs = cb_der_whole(&outer, CB_DER_SEQUENCE);
    cb_bytes algorithm = cb_der_whole(&outer, CB_DER_SEQUENCE);
    cb_bytes signature = cb_der_bits(&outer);
    if (!cb_cursor_done(&outer) || tbs.len > UINT32_MAX)
        return CB_E_FORMAT;
    cb_error error = cb_x509_signature_check(issuer->public_key, algorithm, tbs, signature);
    if (error)
        return error;
    return read_signed(tbs, algorithm, issuer, out) ? make_index(out) : CB_E_FORMAT;
}

cb_error cb_crl_read(cb_buf *der, const cb_x509 *issuer, cb_crl **out)
{
    cb_crl *crl = calloc(1, sizeof *crl);
    if (!crl) {
        cb_buf_free(der);
        return CB_E_MEMORY;
    }
    crl->der = *der;
    *der = CB_BUF(0);
    bool may_sign =
        issuer->is_ca && (!issuer->has_key_usage || issuer->key_usage & CB_X509_CRL_SIGN);
    cb_error error = may_sign ? read_list(crl, issuer) : CB_E_DENIED;
    if (error)
        cb_crl_free(&crl);
    *out = crl;
    return error;
}

void cb_crl_free(cb_crl **crl)
{
    if (!*crl)
        return;
    cb_buf_free(&(*crl)->der);
    free((*crl)->index);
    free(*crl);
    *crl = NULL;
}

bool cb_crl_covers(const cb_crl *crl, bool is_ca, cb_bytes crl_points)
{
    cb_cursor names = cb_cursor_over(crl->point);
    cb_der name;
    if (is_ca ? crl->users_only : crl->cas_only)
        return false;
    if (crl->point.len == 0)
        return true;
    while (cb_der_next(&names, &name)) {
        if (cb_crl_points_name(crl_points, name.whole))
            return true;
    }
    return false;
}

bool cb_crl_same_scope(const cb_crl *crl, const cb_crl *other)
{
    return crl->users_only == other->users_only && crl->cas_only == other->cas_only &&
           cb_bytes_same(crl->point, other->point);
}

bool cb_crl_is_older(const cb_crl *crl, const cb_crl *other)
{
    if (crl->number.len > 0 && other->number.len > 0 && compare(crl->number, other->number) != 0)
        return compare(crl->number, other->number) < 0;
    return crl->this_update < other->this_update;
}
