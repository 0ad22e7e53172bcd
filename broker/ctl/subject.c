/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/subject.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "base/tlv.h"

enum {
    TAG_UTF8 = 0x0C,
    TAG_PRINTABLE = 0x13,
    TAG_IA5 = 0x16,
    TAG_OID = 0x06,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31
};
enum { OID_MAX = 32, TYPE_MAX = 96, VALUE_MAX = 512 };

/* Upper bounds in characters: RFC 5280, appendix A.1. */
static const struct attribute {
    const char *name;
    const char *oid; /* hexadecimal */
    uint8_t tag;
    unsigned max;
} attributes[] = {{"CN", "550403", TAG_UTF8, 64},
                  {"COMMONNAME", "550403", TAG_UTF8, 64},
                  {"SN", "550404", TAG_UTF8, 64},
                  {"SURNAME", "550404", TAG_UTF8, 64},
                  {"SERIALNUMBER", "550405", TAG_PRINTABLE, 64},
                  {"C", "550406", TAG_PRINTABLE, 2},
                  {"L", "550407", TAG_UTF8, 128},
                  {"ST", "550408", TAG_UTF8, 128},
                  {"STREET", "550409", TAG_UTF8, 128},
                  {"O", "55040a", TAG_UTF8, 64},
                  {"OU", "55040b", TAG_UTF8, 64},
                  {"TITLE", "55040c", TAG_UTF8, 64},
                  {"GIVENNAME", "55042a", TAG_UTF8, 64},
                  {"UID", "0992268993f22c640101", TAG_UTF8, 256},
                  {"DC", "0992268993f22c640119", TAG_IA5, 63},
                  {"EMAILADDRESS", "2a864886f70d010901", TAG_IA5, 255}};

/* One attribute, encoded, and where it stands. */
typedef struct pair {
    cb_buf der;
    unsigned component; /* from 0; pairs of one component are joined by "+" */
} pair;

typedef struct parser {
    cb_cursor text;
    cb_buf *why;
    pair pairs[CB_SUBJECT_ATTRIBUTES];
    unsigned count;
} parser;

static cb_error bad(parser *p, const char *what)
{
    if (p->why && p->why->len == 0)
        cb_buf_put_str(p->why, what);
    return CB_E_FORMAT;
}

static int peek(const parser *p) { return p->text.rest.len ? p->text.rest.data[0] : -1; }

static void skip_spaces(parser *p)
{
    while (peek(p) == ' ')
        cb_cursor_u8(&p->text);
}

/* One number of a dotted OID, base 128. */
static void put_arc(cb_buf *oid, uint64_t arc)
{
    for (int shift = 63; shift > 0; shift -= 7)
        if (arc >> shift)
            cb_buf_put_u8(oid, (uint8_t)(0x80 | (arc >> shift & 0x7F)));
    cb_buf_put_u8(oid, arc & 0x7F);
}

/* "1.2.840.113549.1.9.1": at least two numbers of at most 32 bits, without leading zeros. */
static bool dotted(const char *text, cb_buf *oid)
{
    uint64_t first = 0;
    unsigned count = 0;
    for (; *text; count++) {
        size_t len = strspn(text, "0123456789");
        uint64_t arc = 0;
        if (len == 0 || len > 10 || (len > 1 && *text == '0'))
            return false;
        for (size_t i = 0; i < len; i++)
            arc = arc * 10 + (uint64_t)(text[i] - '0');
        if (arc > UINT32_MAX || (count == 0 && arc > 2) || (count == 1 && first < 2 && arc > 39))
            return false;
        if (count == 0)
            first = arc;
        else
            put_arc(oid, count == 1 ? first * 40 + arc : arc);
        text += len;
        if (*text == '.' && text[1])
            text++;
        else if (*text)
            return false;
    }
    return count >= 2 && cb_buf_error(oid) == CB_OK;
}

/* The attribute's type up to "="; *found is NULL for dotted numbers. */
static cb_error read_type(parser *p, cb_buf *oid, const struct attribute **found)
{
    char type[TYPE_MAX];
    size_t len = 0;
    skip_spaces(p);
    while (peek(p) >= 0 && !strchr("=,+; \\\"<>#", peek(p)) && len < sizeof type - 1)
        type[len++] = (char)cb_cursor_u8(&p->text);
    type[len] = 0;
    skip_spaces(p);
    if (len == 0 || peek(p) != '=')
        return bad(p, "each component is TYPE=value, for example CN=Tanaka Hanako");
    cb_cursor_u8(&p->text);
    *found = NULL;
    for (size_t i = 0; !*found && i < sizeof attributes / sizeof attributes[0]; i++)
        if (strcasecmp(type, attributes[i].name) == 0)
            *found = &attributes[i];
    if (*found)
        return cb_unhex(cb_bytes_str((*found)->oid), oid);
    return dotted(type, oid)
               ? CB_OK
               : bad(p, "an attribute's type is not known; use dotted numbers for others");
}

static int nibble(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What follows a backslash. */
static cb_error read_escape(parser *p, cb_buf *value)
{
    int c = peek(p);
    if (c > 0 && strchr("\"+,;<>\\=# ", c)) {
        cb_buf_put_u8(value, cb_cursor_u8(&p->text));
        return CB_OK;
    }
    int high = nibble(c);
    cb_cursor_u8(&p->text);
    int low = nibble(peek(p));
    cb_cursor_u8(&p->text);
    if (high < 0 || low < 0)
        return bad(p, "a backslash stands before one of \" + , ; < > \\ = # space, or two "
                      "hexadecimal digits");
    cb_buf_put_u8(value, (uint8_t)(high << 4 | low));
    return CB_OK;
}

/* A value up to the next separator, escapes undone, unescaped spaces at its end taken off. */
static cb_error read_value(parser *p, cb_buf *value)
{
    size_t kept = 0; /* bytes that are not trailing spaces */
    skip_spaces(p);
    if (peek(p) == '#')
        return bad(p, "a value that begins with # needs a backslash before it");
    while (peek(p) >= 0 && !strchr(",+;", peek(p))) {
        int c = cb_cursor_u8(&p->text);
        if (c == '\\') {
            cb_error error = read_escape(p, value);
            if (error)
                return error;
        } else if (c == '"' || c == '<' || c == '>') {
            return bad(p, "the characters \" < > need a backslash before them");
        } else {
            cb_buf_put_u8(value, (uint8_t)c);
        }
        if (c != ' ')
            kept = value->len;
    }
    value->len = kept;
    return cb_buf_error(value);
}

/* Number of characters of UTF-8 text; -1 when it is not UTF-8 or holds control characters. */
static int characters(cb_bytes text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    cb_cursor in = cb_cursor_over(text);
    int count = 0;
    while (in.rest.len && cb_cursor_ok(&in)) {
        uint32_t c = cb_cursor_u8(&in);
        unsigned len = c < 0x80 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
        if (c < 0x20 || c == 0x7F || (c >= 0x80 && c < 0xC2) || c > 0xF4)
            return -1;
        c = len == 1 ? c : c & (0xFFU >> (len + 1));
        for (unsigned i = 1; i < len; i++) {
            uint8_t next = cb_cursor_u8(&in);
            if ((next & 0xC0) != 0x80)
                return -1;
            c = c << 6 | (next & 0x3FU);
        }
        if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) ||
            (c >= 0x80 && c < 0xA0))
            return -1;
        count++;
    }
    return cb_cursor_ok(&in) ? count : -1;
}

static bool is_all(cb_bytes text, uint8_t tag)
{
    for (size_t i = 0; i < text.len; i++) {
        int c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (tag == TAG_PRINTABLE && !letter && !(c && strchr(" '()+,-./:=?", c)))
            return false;
        if (tag == TAG_IA5 && (c < 0x20 || c > 0x7E))
            return false;
    }
    return true;
}

static cb_error check_value(parser *p, const struct attribute *attribute, cb_bytes value)
{
    int count = characters(value);
    if (count < 0)
        return bad(p, "a value is not UTF-8 text, or holds control characters");
    if (count == 0)
        return bad(p, "a value is empty");
    if (attribute && (unsigned)count > attribute->max)
        return bad(
            p,
            "a value is longer than certificates allow (RFC 5280: 64 characters for CN, O and OU)");
    if (attribute && strcmp(attribute->name, "C") == 0 && count != 2)
        return bad(p, "a country (C) is two letters, such as JP");
    if (attribute && !is_all(value, attribute->tag))
        return bad(p, "a country, serial number, domain component or mail address takes ASCII "
                      "characters only");
    return CB_OK;
}

static cb_error read_pair(parser *p, unsigned component)
{
    const struct attribute *attribute = NULL;
    cb_buf oid = CB_BUF(OID_MAX), value = CB_BUF(VALUE_MAX),
           both = CB_BUF(OID_MAX + VALUE_MAX + 16);
    cb_error error =
        p->count == CB_SUBJECT_ATTRIBUTES ? CB_E_TOO_LARGE : read_type(p, &oid, &attribute);
    if (!error)
        error = read_value(p, &value);
    if (!error)
        error = check_value(p, attribute, cb_buf_bytes(&value));
    if (!error) {
        pair *into = &p->pairs[p->count++];
        cb_buf_init(&into->der, OID_MAX + VALUE_MAX + 32);
        into->component = component;
        cb_tlv_put(&both, TAG_OID, cb_buf_bytes(&oid));
        cb_tlv_put(&both, attribute ? attribute->tag : TAG_UTF8, cb_buf_bytes(&value));
        cb_tlv_put(&into->der, TAG_SEQUENCE, cb_buf_bytes(&both));
        error = cb_buf_error(&both) ? cb_buf_error(&both) : cb_buf_error(&into->der);
    }
    cb_buf_free(&oid);
    cb_buf_free(&value);
    cb_buf_free(&both);
    return error;
}

static cb_error read_all(parser *p)
{
    unsigned component = 0;
    cb_error error = read_pair(p, component);
    while (!error && peek(p) >= 0) {
        int separator = cb_cursor_u8(&p->text);
        component += separator != '+';
        error = read_pair(p, component);
    }
    return error;
}

/* DER puts the members of a SET in order of their encodings. */
static void sort(pair *pairs, unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        for (unsigned j = i; j > 0; j--) {
            const cb_buf *a = &pairs[j - 1].der, *b = &pairs[j].der;
            size_t common = a->len < b->len ? a->len : b->len;
            int order = memcmp(a->data, b->data, common);
            if (order < 0 || (order == 0 && a->len <= b->len))
                break;
            pair swap = pairs[j];
            pairs[j] = pairs[j - 1];
            pairs[j - 1] = swap;
        }
}

static cb_error encode(parser *p, cb_buf *der)
{
    cb_buf names = CB_BUF(CB_SUBJECT_MAX), set = CB_BUF(CB_SUBJECT_MAX);
    unsigned end = p->count;
    while (end > 0) {
        unsigned start = end;
        while (start > 0 && p->pairs[start - 1].component == p->pairs[end - 1].component)
            start--;
        sort(p->pairs + start, end - start);
        cb_buf_reset(&set);
        for (unsigned i = start; i < end; i++)
            cb_buf_put(&set, cb_buf_bytes(&p->pairs[i].der));
        cb_tlv_put(&names, TAG_SET, cb_buf_bytes(&set));
        end = start;
        if (cb_buf_error(&set) || cb_buf_error(&names))
            break;
    }
    cb_error error = cb_buf_error(&set) ? cb_buf_error(&set) : cb_buf_error(&names);
    if (!error && names.len + 4 > CB_SUBJECT_MAX)
        error = CB_E_TOO_LARGE;
    if (!error) {
        cb_tlv_put(der, TAG_SEQUENCE, cb_buf_bytes(&names));
        error = cb_buf_error(der);
    }
    cb_buf_free(&names);
    cb_buf_free(&set);
    return error;
}

cb_error cb_subject_parse(const char *text, cb_buf *der, cb_buf *why)
{
    parser p = {.text = cb_cursor_over(cb_bytes_str(text)), .why = why};
    cb_error error = read_all(&p);
    if (!error)
        error = encode(&p, der);
    if (error == CB_E_TOO_LARGE && why && why->len == 0)
        cb_buf_put_str(why, "the name or one of its values is too long");
    for (unsigned i = 0; i < p.count; i++)
        cb_buf_free(&p.pairs[i].der);
    return error;
}
