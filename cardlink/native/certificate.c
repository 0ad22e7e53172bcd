/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/native/certificate.h"

#include "base/clock.h"
#include "base/config.h"
#include "cardlink/native/native.h"

const uint8_t cb_native_aid[12] = {CB_NATIVE_AID_BYTES};

cb_error cb_trust_anchor_parse(cb_bytes bytes, cb_trust_anchor *out)
{
    cb_cvc cvc;
    if (cb_cvc_parse(bytes, &cvc) || cvc.usage != CB_CVC_AUTHORITY ||
        !cb_bytes_same(cvc.issuer, cvc.subject) || !cb_p256_is_point(cvc.point) ||
        !cb_cvc_verify(&cvc, cvc.point))
        return CB_E_FORMAT;
    *out = (cb_trust_anchor){.name_len = cvc.subject.len};
    memcpy(out->name, cvc.subject.data, cvc.subject.len);
    memcpy(out->point, cvc.point.data, CB_P256_POINT);
    return CB_OK;
}

cb_error cb_trust_anchor_read(const char *path, cb_trust_anchor *out)
{
    cb_buf file = CB_BUF(CB_CVC_MAX);
    cb_error error = cb_file_read(path, &file);
    if (!error)
        error = cb_trust_anchor_parse(cb_buf_bytes(&file), out);
    cb_buf_free(&file);
    return error;
}

static bool anchor_same(const cb_trust_anchor *a, const cb_trust_anchor *b)
{
    return cb_bytes_same(cb_bytes_make(a->name, a->name_len),
                         cb_bytes_make(b->name, b->name_len)) &&
           memcmp(a->point, b->point, CB_P256_POINT) == 0;
}

/* The anchor that signed a certificate: CB_E_CARD_CERTIFICATE when there is none, CB_E_MEMORY. Two
 * roots may have one name while one follows the other. */
static cb_error find_signer(const cb_cvc *cvc, const cb_trust_anchor *anchors, size_t count,
                            const cb_trust_anchor **out)
{
    for (size_t i = 0; i < count; i++) {
        if (!cb_bytes_same(cvc->issuer, cb_bytes_make(anchors[i].name, anchors[i].name_len)))
            continue;
        cb_error error = cb_cvc_check(cvc, CB_BYTES_OF(anchors[i].point));
        *out = &anchors[i];
        if (error != CB_E_CRYPTO)
            return error;
    }
    return CB_E_CARD_CERTIFICATE;
}

cb_error cb_card_certificate_check(cb_bytes bytes, const cb_trust_anchor *anchors, size_t count,
                                   cb_id *card, uint8_t point[CB_P256_POINT])
{
    cb_cvc cvc;
    const cb_trust_anchor *signer;
    if (cb_cvc_parse(bytes, &cvc) || cvc.usage != CB_CVC_CARD_PROOF ||
        cvc.subject.len != CB_ID_SIZE || !cb_cvc_valid_on(&cvc, cb_cvc_day(cb_clock_wall_us())) ||
        !cb_p256_is_point(cvc.point))
        return CB_E_CARD_CERTIFICATE;
    cb_error error = find_signer(&cvc, anchors, count, &signer);
    if (error)
        return error;
    memcpy(card->bytes, cvc.subject.data, CB_ID_SIZE);
    memcpy(point, cvc.point.data, CB_P256_POINT);
    return CB_OK;
}

/* Certificates that were verified, the newest in place of the oldest. A cache a thread needs no
 * lock. */
typedef struct verified {
    cb_digest digest; /* of the whole certificate */
    cb_trust_anchor anchor;
} verified;

enum { VERIFIED_MAX = 32 };
static _Thread_local verified cache[VERIFIED_MAX];
static _Thread_local unsigned cache_next;

static bool cache_holds(const cb_digest *digest, const cb_trust_anchor *anchors, size_t count)
{
    for (size_t i = 0; i < VERIFIED_MAX; i++) {
        if (memcmp(&cache[i].digest, digest, sizeof *digest) != 0 || cache[i].anchor.name_len == 0)
            continue;
        for (size_t j = 0; j < count; j++) {
            if (anchor_same(&cache[i].anchor, &anchors[j]))
                return true;
        }
    }
    return false;
}

static cb_error batch_check(const cb_cvc *cvc, const cb_digest *digest,
                            const cb_trust_anchor *anchors, size_t count)
{
    const cb_trust_anchor *anchor;
    cb_error error = cb_p256_is_point(cvc->point) ? find_signer(cvc, anchors, count, &anchor)
                                                  : CB_E_CARD_CERTIFICATE;
    if (error)
        return error;
    cache[cache_next] = (verified){*digest, *anchor};
    cache_next = (cache_next + 1) % VERIFIED_MAX;
    return CB_OK;
}

cb_error cb_batch_certificate_check(cb_bytes bytes, const cb_trust_anchor *anchors, size_t count,
                                    cb_batch_facts *out)
{
    cb_cvc cvc;
    cb_digest digest = cb_sha256(bytes);
    uint32_t today = cb_cvc_day(cb_clock_wall_us());
    if (cb_cvc_parse(bytes, &cvc) || cvc.usage != CB_CVC_AGREEMENT || cvc.first_day > today)
        return CB_E_CARD_CERTIFICATE;
    cb_error error =
        cache_holds(&digest, anchors, count) ? CB_OK : batch_check(&cvc, &digest, anchors, count);
    if (error)
        return error;
    *out = (cb_batch_facts){.first_day = cvc.first_day, .over = cvc.last_day < today};
    memcpy(out->point, cvc.point.data, CB_P256_POINT);
    return CB_OK;
}

cb_error cb_broker_certificate_read(const char *path, uint16_t usage, cb_buf *out,
                                    uint8_t point[CB_P256_POINT])
{
    cb_cvc cvc;
    cb_buf file = CB_BUF(CB_CVC_MAX);
    cb_error error = cb_file_read(path, &file);
    if (!error && (cb_cvc_parse(cb_buf_bytes(&file), &cvc) || cvc.usage != usage ||
                   file.len > CB_NATIVE_CERTIFICATE_MAX || !cb_p256_is_point(cvc.point)))
        error = CB_E_FORMAT;
    if (!error) {
        cb_buf_put(out, cb_buf_bytes(&file));
        error = cb_buf_error(out);
    }
    if (!error && point)
        memcpy(point, cvc.point.data, CB_P256_POINT);
    cb_buf_free(&file);
    return error;
}
