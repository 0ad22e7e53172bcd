/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What certificates say that their keys are for (RFC 5280, 4.2.1).
 */
#include "cardlink/issuer/x509.h"

#include "cardlink/x509/der.h"

enum { PART_MAX = 512 };

static void fail(cb_buf *buf, cb_error error)
{
    if (!buf->error)
        buf->error = error;
}

/* SEQUENCE { OID }, as often as depth says inside SEQUENCEs of their own. */
static void put_oid(cb_buf *out, const char *text, int depth)
{
    cb_buf oid = CB_BUF(CB_OID_MAX), inner = CB_BUF(PART_MAX), outer = CB_BUF(PART_MAX);
    fail(out, cb_oid_parse(text, &oid));
    cb_der_put(&inner, CB_DER_OID, cb_buf_bytes(&oid));
    if (depth == 2) {
        cb_der_put(&outer, CB_DER_SEQUENCE, cb_buf_bytes(&inner));
        fail(out, cb_buf_error(&outer));
    }
    fail(out, cb_buf_error(&inner));
    cb_der_put(out, CB_DER_SEQUENCE, cb_buf_bytes(depth == 2 ? &outer : &inner));
    cb_buf_free(&oid);
    cb_buf_free(&inner);
    cb_buf_free(&outer);
}

static void extend(cb_buf *extensions, cb_buf *value, uint8_t last, bool critical)
{
    fail(extensions, cb_buf_error(value));
    cb_issue_extension(extensions, cb_bytes_make((uint8_t[]){0x55, 0x1D, last}, 3), critical,
                       cb_buf_bytes(value));
    cb_buf_free(value);
}

void cb_issue_key_usage(cb_buf *extensions, uint8_t bits)
{
    cb_buf value = CB_BUF(PART_MAX);
    uint8_t unused = 0;
    while (unused < 7 && !(bits >> unused & 1))
        unused++;
    cb_der_put(&value, CB_DER_BIT_STRING, CB_BYTES_OF(((uint8_t[]){unused, bits})));
    extend(extensions, &value, 0x0F, true);
}

void cb_issue_extended_usage(cb_buf *extensions, const char *oid, bool critical)
{
    cb_buf value = CB_BUF(PART_MAX);
    put_oid(&value, oid, 1);
    extend(extensions, &value, 0x25, critical);
}

void cb_issue_policy(cb_buf *extensions, const char *oid)
{
    cb_buf value = CB_BUF(PART_MAX);
    put_oid(&value, oid, 2);
    extend(extensions, &value, 0x20, false);
}
