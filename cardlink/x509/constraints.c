/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/x509/constraints.h"

#include <strings.h>

/* Kinds of GeneralName (4.2.1.6). */
enum {
    MAIL = CB_DER_CONTEXT + 1,
    DNS = CB_DER_CONTEXT + 2,
    DIRECTORY = CB_DER_CONSTRUCTED + 4,
    URI = CB_DER_CONTEXT + 6
};

#define OID(...)                                                                                   \
    {                                                                                              \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                     \
    }
static const cb_bytes mail_address =
    OID(0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x01); /* emailAddress in a subject */

/* ---- directory names ---- */

static bool is_text(uint8_t tag) { return tag == 0x0C || tag == 0x13 || tag == 0x16; }

static bool is_space(uint8_t byte) { return byte == ' '; }

/* The next character as names are compared (7.1): small letters, spaces in a row are one, none at
 * the ends. 0 at the end. */
static uint8_t next_folded(cb_cursor *text, bool *begun)
{
    bool space = false;
    while (text->rest.len > 0 && is_space(text->rest.data[0])) {
        cb_cursor_u8(text);
        space = *begun;
    }
    if (text->rest.len == 0)
        return 0;
    *begun = true;
    if (space)
        return ' ';
    uint8_t byte = cb_cursor_u8(text);
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
}

static bool same_text(cb_bytes a, cb_bytes b)
{
    cb_cursor first = cb_cursor_over(a);
    cb_cursor second = cb_cursor_over(b);
    bool first_begun = false;
    bool second_begun = false;
    for (;;) {
        uint8_t x = next_folded(&first, &first_begun);
        uint8_t y = next_folded(&second, &second_begun);
        if (x != y)
            return false;
        if (x == 0)
            return first.rest.len == 0 && second.rest.len == 0;
    }
}

/* Two RelativeDistinguishedNames: the contents of their SETs. */
static bool same_part(cb_bytes a, cb_bytes b)
{
    cb_cursor first = cb_cursor_over(a);
    cb_cursor second = cb_cursor_over(b);
    while (first.rest.len > 0 && second.rest.len > 0) {
        cb_cursor x = cb_cursor_over(cb_der_expect(&first, CB_DER_SEQUENCE));
        cb_cursor y = cb_cursor_over(cb_der_expect(&second, CB_DER_SEQUENCE));
        cb_bytes type = cb_der_expect(&x, CB_DER_OID);
        cb_der u, v;
        if (!cb_bytes_same(type, cb_der_expect(&y, CB_DER_OID)) || !cb_der_next(&x, &u) ||
            !cb_der_next(&y, &v))
            return false;
        bool text = is_text(u.tag) && is_text(v.tag);
        if (text ? !same_text(u.value, v.value) : !cb_bytes_same(u.whole, v.whole))
            return false;
    }
    return cb_cursor_done(&first) && cb_cursor_done(&second);
}

/* Whether a Name begins with another. */
static bool is_below(cb_bytes name, cb_bytes above)
{
    cb_cursor low = cb_der_open(name, CB_DER_SEQUENCE);
    cb_cursor high = cb_der_open(above, CB_DER_SEQUENCE);
    while (cb_cursor_ok(&high) && high.rest.len > 0) {
        cb_bytes part = cb_der_expect(&high, CB_DER_SET);
        if (!same_part(cb_der_expect(&low, CB_DER_SET), part) || !cb_cursor_ok(&low))
            return false;
    }
    return cb_cursor_ok(&high) && cb_cursor_ok(&low);
}

/* ---- names of hosts ---- */

static bool same_host(cb_bytes a, cb_bytes b)
{
    return a.len == b.len &&
           (a.len == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.len) == 0);
}

/* Whether a host ends with a domain that begins with a dot. */
static bool ends_with(cb_bytes host, cb_bytes domain)
{
    cb_cursor end = cb_cursor_over(host);
    if (host.len <= domain.len)
        return false;
    cb_cursor_take(&end, host.len - domain.len);
    return same_host(end.rest, domain);
}

static bool is_host_in(cb_bytes host, cb_bytes constraint)
{
    bool domain = constraint.len > 0 && constraint.data[0] == '.';
    return domain ? ends_with(host, constraint) : same_host(host, constraint);
}

static bool is_dns_in(cb_bytes name, cb_bytes constraint)
{
    cb_cursor end = cb_cursor_over(name);
    if (constraint.len == 0 || is_host_in(name, constraint))
        return true;
    if (name.len <= constraint.len)
        return false;
    cb_cursor_take(&end, name.len - constraint.len - 1);
    return cb_cursor_u8(&end) == '.' && same_host(end.rest, constraint);
}

/* What comes after the last of a character; all of it if there is none. */
static cb_bytes after_last(cb_bytes text, char mark)
{
    cb_cursor in = cb_cursor_over(text);
    cb_bytes after = text;
    while (in.rest.len > 0) {
        if (cb_cursor_u8(&in) == (uint8_t)mark)
            after = in.rest;
    }
    return after;
}

static bool is_mail_in(cb_bytes address, cb_bytes constraint)
{
    if (constraint.len > 0 && memchr(constraint.data, '@', constraint.len))
        return same_host(address, constraint);
    return is_host_in(after_last(address, '@'), constraint);
}

static cb_bytes until_any(cb_bytes text, const char *marks)
{
    cb_bytes before = {text.data, 0};
    while (before.len < text.len && !strchr(marks, text.data[before.len]))
        before.len++;
    return before;
}

/* The host of SCHEME://[USER@]HOST[:PORT]…; none: no bytes. */
static cb_bytes host_of(cb_bytes uri)
{
    cb_cursor in = cb_cursor_over(uri);
    cb_cursor_take(&in, until_any(uri, ":").len);
    cb_bytes mark = cb_cursor_take(&in, 3);
    if (!cb_bytes_same(mark, cb_bytes_str("://")))
        return (cb_bytes){0};
    return until_any(after_last(until_any(in.rest, "/?#"), '@'), ":");
}

/* ---- a name and a constraint of one kind ---- */

static bool is_in(uint8_t kind, cb_bytes name, cb_bytes constraint)
{
    switch (kind) {
    case DIRECTORY:
        return is_below(name, constraint);
    case MAIL:
        return is_mail_in(name, constraint);
    case DNS:
        return is_dns_in(name, constraint);
    default:
        return is_host_in(host_of(name), constraint);
    }
}

static bool is_known(uint8_t kind, cb_bytes name)
{
    return kind == DIRECTORY || kind == MAIL || kind == DNS ||
           (kind == URI && host_of(name).len > 0);
}

/* GeneralSubtrees: how many constraints are of a kind, and whether a name is in one of them. */
typedef struct found {
    bool any, in, wrong;
} found;

static found look(cb_bytes subtrees, uint8_t kind, cb_bytes name)
{
    cb_cursor list = cb_cursor_over(subtrees);
    found f = {false, false, false};
    while (list.rest.len > 0) {
        cb_cursor one = cb_cursor_over(cb_der_expect(&list, CB_DER_SEQUENCE));
        cb_der base;
        /* minimum and maximum are never used (4.2.1.10). */
        f.wrong |= !cb_der_next(&one, &base) || !cb_cursor_done(&one);
        if (f.wrong || base.tag != kind)
            continue;
        f.any = true;
        f.in |= is_in(kind, name, base.value);
    }
    return f;
}

static bool is_allowed(const cb_x509 *ca, uint8_t kind, cb_bytes name)
{
    cb_cursor in = cb_der_open(ca->name_constraints, CB_DER_SEQUENCE);
    cb_bytes permitted = {0};
    cb_bytes excluded = {0};
    cb_der_optional(&in, CB_DER_CONSTRUCTED + 0, &permitted);
    cb_der_optional(&in, CB_DER_CONSTRUCTED + 1, &excluded);
    found within = look(permitted, kind, name);
    found without = look(excluded, kind, name);
    if (!cb_cursor_done(&in) || within.wrong || without.wrong)
        return false;
    if (!is_known(kind, name))
        return !within.any && !without.any;
    return !without.in && (within.in || !within.any);
}

/* ---- the names of a certificate ---- */

/* Mail addresses in a subject count as such. */
static bool are_addresses_allowed(const cb_x509 *ca, cb_bytes subject)
{
    cb_cursor parts = cb_der_open(subject, CB_DER_SEQUENCE);
    while (cb_cursor_ok(&parts) && parts.rest.len > 0) {
        cb_cursor part = cb_cursor_over(cb_der_expect(&parts, CB_DER_SET));
        while (cb_cursor_ok(&part) && part.rest.len > 0) {
            cb_cursor one = cb_cursor_over(cb_der_expect(&part, CB_DER_SEQUENCE));
            cb_der value;
            cb_bytes type = cb_der_expect(&one, CB_DER_OID);
            if (cb_bytes_same(type, mail_address) && cb_der_next(&one, &value) &&
                !is_allowed(ca, MAIL, value.value))
                return false;
        }
    }
    return cb_cursor_ok(&parts);
}

static bool are_names_allowed(const cb_x509 *ca, const cb_x509 *certificate)
{
    cb_cursor subject = cb_der_open(certificate->subject, CB_DER_SEQUENCE);
    if (subject.rest.len > 0 && (!is_allowed(ca, DIRECTORY, certificate->subject) ||
                                 !are_addresses_allowed(ca, certificate->subject)))
        return false;
    if (certificate->alternative_name.len == 0)
        return true;
    cb_cursor names = cb_der_open(certificate->alternative_name, CB_DER_SEQUENCE);
    cb_der name;
    while (cb_der_next(&names, &name)) {
        if (!is_allowed(ca, name.tag, name.value))
            return false;
    }
    return cb_cursor_ok(&names);
}

cb_error cb_x509_check_constraints(const cb_x509_path *path)
{
    for (size_t i = 1; i < path->count; i++) {
        const cb_x509 *ca = &path->certificates[i];
        for (size_t k = 0; k < i && ca->name_constraints.len > 0; k++) {
            const cb_x509 *below = &path->certificates[k];
            bool self_issued = k > 0 && cb_bytes_same(below->issuer, below->subject);
            if (!self_issued && !are_names_allowed(ca, below))
                return CB_E_CERTIFICATE_PATH;
        }
    }
    return CB_OK;
}
