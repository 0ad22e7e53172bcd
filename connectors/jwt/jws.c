/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/jwt/jws.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"

const cb_jws_algorithm cb_jws_es256 = {"ES256", CARDBROKER_SIGN, CARDBROKER_SHA256};
const cb_jws_algorithm cb_jws_es384 = {"ES384", CARDBROKER_SIGN, CARDBROKER_SHA384};
const cb_jws_algorithm cb_jws_rs256 = {"RS256", CARDBROKER_SIGN, CARDBROKER_SHA256};
const cb_jws_algorithm cb_jws_ps256 = {"PS256", CARDBROKER_SIGN_PSS, CARDBROKER_SHA256};

enum { SIGNATURE_MAX = 512, DIGEST_MAX = 64 };

/* Most characters of the base64url of so many bytes, without padding. */
static size_t encoded(size_t len) { return (len * 4 + 2) / 3; }

/* Writes base64url (RFC 4648, 5) without padding and a final zero; returns where the zero is. */
static char *put_base64url(char *out, const uint8_t *data, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | data[i]) & 0xFFFF;
        for (held += 8; held >= 6; held -= 6)
            *out++ = alphabet[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *out++ = alphabet[bits << (6 - held) & 63];
    *out = 0;
    return out;
}

static cardbroker_status sign(const cardbroker_host *host, cardbroker_login *login,
                              const cb_jws_algorithm *algorithm, const char *text, uint8_t *out,
                              size_t *len)
{
    static const size_t sizes[] = {0, 32, 48, 64};
    uint8_t digest[DIGEST_MAX];
    cardbroker_bytes data = {(const uint8_t *)text, strlen(text)};
    cardbroker_status status = host->digest(login, algorithm->hash, data, digest);
    if (status != CARDBROKER_OK)
        return status;
    return host->sign(login, algorithm->scheme, algorithm->hash,
                      (cardbroker_bytes){digest, sizes[algorithm->hash]}, out, SIGNATURE_MAX, len);
}

cardbroker_status cb_jws_make(const cardbroker_host *host, cardbroker_login *login,
                              const cb_jws_algorithm *algorithm, const json_t *header,
                              const json_t *claims, char **out)
{
    uint8_t signature[SIGNATURE_MAX];
    size_t len = 0;
    cardbroker_status status = CARDBROKER_FAILED;
    char *first = cb_json_dumps(header, JSON_COMPACT);
    char *second = cb_json_dumps(claims, JSON_COMPACT);
    char *text =
        first && second
            ? malloc(encoded(strlen(first)) + encoded(strlen(second)) + encoded(SIGNATURE_MAX) + 3)
            : NULL;
    if (text) {
        char *at = put_base64url(text, (const uint8_t *)first, strlen(first));
        *at++ = '.';
        at = put_base64url(at, (const uint8_t *)second, strlen(second));
        status = sign(host, login, algorithm, text, signature, &len);
        *at++ = '.';
        put_base64url(at, signature, len);
    }
    if (status == CARDBROKER_OK)
        *out = text;
    else
        free(text);
    free(first);
    free(second);
    return status;
}
