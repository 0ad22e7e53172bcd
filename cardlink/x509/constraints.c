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

enum { ATTRIBUTES_MAX = 8 };

#define OID(...)                                                                                   \
    {                                                                                              \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                     \
    }
static const cb_bytes mail_address =
    OID(0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x01); /* emailAddress in a subject */

/* What cannot be told decides against the certificate: a name that may be in what is permitted is
 * outside, one that may be in what is excluded is inside. */
typedef enum likeness { OTHER, UNSURE, SAME } likeness;

static likeness lesser(likeness a, likeness b) { return a < b ? a : b; }

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

/* Beyond these, which letters are the same as which is not known here (RFC 4518). */
static bool is_plain_text(cb_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    }
    return true;
}

static bool has_nul(cb_bytes text) { return text.len > 0 && memchr(text.data, 0, text.len); }

static likeness compare_text(cb_bytes a, cb_bytes b)
{
    cb_cursor first = cb_cursor_over(a);
    cb_cursor second = cb_cursor_over(b);
    bool first_begun = false;
    bool second_begun = false;
    likeness other = is_plain_text(a) && is_plain_text(b) ? OTHER : UNSURE;
    if (has_nul(a) || has_nul(b)) /* which is the end, below */
        return cb_bytes_same(a, b) ? SAME : UNSURE;
    for (;;) {
        uint8_t x = next_folded(&first, &first_begun);
        uint8_t y = next_folded(&second, &second_begun);
        if (x != y)
            return other;
        if (x == 0)
            return first.rest.len == 0 && second.rest.len == 0 ? SAME : other;
    }
}

/* Two AttributeTypeAndValues. A text of another kind (T61, BMP, Universal) may say the same. */
static likeness compare_attribute(cb_bytes a, cb_bytes b)
{
    cb_cursor x = cb_cursor_over(a);
    cb_cursor y = cb_cursor_over(b);
    cb_bytes first = cb_der_expect(&x, CB_DER_OID);
    cb_bytes second = cb_der_expect(&y, CB_DER_OID);
    cb_der u, v;
    if (!cb_der_next(&x, &u) || !cb_der_next(&y, &v) || !cb_cursor_done(&x) || !cb_cursor_done(&y))
        return UNSURE;
    if (!cb_bytes_same(first, second))
        return OTHER;
    if (is_text(u.tag) && is_text(v.tag))
        return compare_text(u.value, v.value);
    return cb_bytes_same(u.whole, v.whole) ? SAME : UNSURE;
}

/* The likeness of the attribute in a RelativeDistinguishedName that is most like this one. */
static likeness find_attribute(cb_bytes attribute, cb_bytes part)
{
    cb_cursor in = cb_cursor_over(part);
    likeness best = OTHER;
    while (cb_cursor_ok(&in) && in.rest.len > 0) {
        likeness one = compare_attribute(attribute, cb_der_expect(&in, CB_DER_SEQUENCE));
        if (one > best)
            best = one;
    }
    return cb_cursor_ok(&in) ? best : UNSURE;
}

/* Two RelativeDistinguishedNames: the contents of their SETs. Those of many attributes are not
 * looked into, and others are surely the same in one order alone. */
static likeness compare_part(cb_bytes a, cb_bytes b)
{
    cb_cursor first = cb_cursor_over(a);
    cb_cursor second = cb_cursor_over(b);
    likeness in_order = SAME, in_any = SAME;
    size_t count = 0;
    while (first.rest.len > 0 && second.rest.len > 0) {
        cb_bytes x = cb_der_expect(&first, CB_DER_SEQUENCE);
        cb_bytes y = cb_der_expect(&second, CB_DER_SEQUENCE);
        if (!cb_cursor_ok(&first) || !cb_cursor_ok(&second) || count++ >= ATTRIBUTES_MAX)
            return UNSURE;
        in_order = lesser(in_order, compare_attribute(x, y));
        in_any = lesser(in_any, lesser(find_attribute(x, b), find_attribute(y, a)));
    }
    if (first.rest.len > 0 || second.rest.len > 0)
        return OTHER;
    return in_order == SAME ? SAME : lesser(in_any, UNSURE);
}

/* Whether a Name begins with another. */
static likeness is_below(cb_bytes name, cb_bytes above)
{
    cb_cursor low = cb_der_open(name, CB_DER_SEQUENCE);
    cb_cursor high = cb_der_open(above, CB_DER_SEQUENCE);
    likeness all = SAME;
    while (cb_cursor_ok(&high) && cb_cursor_ok(&low) && high.rest.len > 0) {
        if (low.rest.len == 0)
            return OTHER;
        cb_bytes part = cb_der_expect(&high, CB_DER_SET);
        all = lesser(all, compare_part(cb_der_expect(&low, CB_DER_SET), part));
    }
    return cb_cursor_ok(&high) && cb_cursor_ok(&low) ? all : UNSURE;
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

/* A host in the one form in which it is compared: no final dot, nothing escaped or quoted. */
static bool is_plain_host(cb_bytes host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' && c != '*')
            return false;
    }
    return host.len > 0 && host.data[host.len - 1] != '.';
}

/* ---- a name and a constraint of one kind ---- */

static bool is_host_of(uint8_t kind, cb_bytes name, cb_bytes constraint)
{
    if (kind == MAIL)
        return is_mail_in(name, constraint);
    return kind == DNS ? is_dns_in(name, constraint) : is_host_in(host_of(name), constraint);
}

/* "" is everything, ".name" what is below; of an address, its part after the @ counts. */
static bool is_plain_constraint(uint8_t kind, cb_bytes constraint)
{
    cb_bytes host = kind == MAIL ? after_last(constraint, '@') : constraint;
    if (host.len > 0 && host.data[0] == '.')
        host = cb_bytes_make(host.data + 1, host.len - 1);
    return constraint.len == 0 || is_plain_host(host);
}

static likeness is_in(uint8_t kind, cb_bytes name, cb_bytes constraint)
{
    if (kind == DIRECTORY)
        return is_below(name, constraint);
    cb_bytes host = kind == MAIL ? after_last(name, '@') : kind == DNS ? name : host_of(name);
    bool quoted = kind == MAIL && (!is_plain_text(name) || after_last(name, '"').len < name.len);
    if (is_host_of(kind, name, constraint))
        return SAME;
    return is_plain_host(host) && is_plain_constraint(kind, constraint) && !quoted ? OTHER
                                                                                  : UNSURE;
}

static bool is_known(uint8_t kind, cb_bytes name)
{
    return kind == DIRECTORY || kind == MAIL || kind == DNS ||
           (kind == URI && host_of(name).len > 0);
}

/* GeneralSubtrees: whether constraints are of a kind, and whether a name is in one of them. */
typedef struct found {
    bool any, wrong;
    likeness in;
} found;

static found look(cb_bytes subtrees, uint8_t kind, cb_bytes name)
{
    cb_cursor list = cb_cursor_over(subtrees);
    found f = {false, false, OTHER};
    while (list.rest.len > 0) {
        cb_cursor one = cb_cursor_over(cb_der_expect(&list, CB_DER_SEQUENCE));
        cb_der base;
        /* minimum and maximum are never used (4.2.1.10). */
        f.wrong |= !cb_der_next(&one, &base) || !cb_cursor_done(&one);
        if (f.wrong || base.tag != kind)
            continue;
        likeness in = is_in(kind, name, base.value);
        f.any = true;
        if (in > f.in)
            f.in = in;
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
    return without.in == OTHER && (within.in == SAME || !within.any);
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
            if (!cb_bytes_same(type, mail_address))
                continue;
            if (!cb_der_next(&one, &value) || !is_allowed(ca, MAIL, value.value))
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
