/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates: as an administrator hands them over (PEM, and the key inside the DER), as a
 * terminal or a service shows them in a handshake (wolfSSL, below an authority that is trusted
 * here).
 *
 * All readers find the same key in a certificate. One that is believed has a signature of the
 * authority over the very bytes that were read, and the name it is believed for stands in it.
 *
 * libFuzzer changes DER element by element here, so that most of what it makes is still DER.
 */
#include <stdlib.h>
#include <string.h>

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>

#include "base/tlv.h"
#include "base/pem.h"
#include "broker/core/registry.h"
#include "broker/http/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
/* Only libFuzzer has it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) __attribute__((weak));

/* Nobody has its key any more: what it signed is in the corpus. */
static const uint8_t authority[] = {
    0x30, 0x82, 0x01, 0x8B, 0x30, 0x82, 0x01, 0x31, 0xA0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x14, 0x35,
    0xC7, 0x5D, 0xA8, 0x70, 0x0A, 0x64, 0xE2, 0xBE, 0xC3, 0xD8, 0xF6, 0x1C, 0xD7, 0x2A, 0x31, 0xEE,
    0x66, 0x30, 0x9B, 0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02, 0x30,
    0x12, 0x31, 0x10, 0x30, 0x0E, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0C, 0x07, 0x46, 0x75, 0x7A, 0x7A,
    0x20, 0x43, 0x41, 0x30, 0x20, 0x17, 0x0D, 0x32, 0x36, 0x31, 0x31, 0x32, 0x31, 0x31, 0x31, 0x30,
    0x37, 0x35, 0x33, 0x5A, 0x18, 0x0F, 0x32, 0x31, 0x32, 0x36, 0x31, 0x30, 0x32, 0x38, 0x31, 0x31,
    0x30, 0x37, 0x35, 0x33, 0x5A, 0x30, 0x12, 0x31, 0x10, 0x30, 0x0E, 0x06, 0x03, 0x55, 0x04, 0x03,
    0x0C, 0x07, 0x46, 0x75, 0x7A, 0x7A, 0x20, 0x43, 0x41, 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07,
    0x03, 0x42, 0x00, 0x04, 0x3F, 0xD8, 0x67, 0xE9, 0x02, 0xA3, 0xE6, 0x35, 0x30, 0x67, 0x8B, 0x8D,
    0x0E, 0x9D, 0xAA, 0xCF, 0x88, 0xCE, 0x3D, 0x18, 0x5F, 0x22, 0xAC, 0x60, 0xDC, 0x93, 0x04, 0x9E,
    0xC6, 0x80, 0x57, 0x24, 0x85, 0x35, 0xAB, 0x01, 0x0A, 0x81, 0x1A, 0x34, 0x82, 0x25, 0x75, 0xB1,
    0xD0, 0xD7, 0xAC, 0xE6, 0x13, 0xFF, 0xC6, 0x24, 0xE6, 0xF4, 0x93, 0x16, 0x47, 0x10, 0x79, 0xE3,
    0xCE, 0xF2, 0x6B, 0xE8, 0xA3, 0x63, 0x30, 0x61, 0x30, 0x1D, 0x06, 0x03, 0x55, 0x1D, 0x0E, 0x04,
    0x16, 0x04, 0x14, 0x3E, 0xA7, 0x32, 0xCE, 0x12, 0x16, 0xA6, 0x81, 0x3A, 0xC7, 0xD4, 0x5B, 0x1A,
    0x86, 0x9D, 0xA6, 0xC4, 0x85, 0x68, 0xF9, 0x30, 0x1F, 0x06, 0x03, 0x55, 0x1D, 0x23, 0x04, 0x18,
    0x30, 0x16, 0x80, 0x14, 0x3E, 0xA7, 0x32, 0xCE, 0x12, 0x16, 0xA6, 0x81, 0x3A, 0xC7, 0xD4, 0x5B,
    0x1A, 0x86, 0x9D, 0xA6, 0xC4, 0x85, 0x68, 0xF9, 0x30, 0x0F, 0x06, 0x03, 0x55, 0x1D, 0x13, 0x01,
    0x01, 0xFF, 0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xFF, 0x30, 0x0E, 0x06, 0x03, 0x55, 0x1D, 0x0F,
    0x01, 0x01, 0xFF, 0x04, 0x04, 0x03, 0x02, 0x01, 0x06, 0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48,
    0xCE, 0x3D, 0x04, 0x03, 0x02, 0x03, 0x48, 0x00, 0x30, 0x45, 0x02, 0x21, 0x00, 0xFA, 0x49, 0x08,
    0x79, 0x0C, 0xFC, 0x80, 0x97, 0xAD, 0xBB, 0xA1, 0x5F, 0x9F, 0x4D, 0x80, 0xED, 0x90, 0x8F, 0xC2,
    0xE8, 0x26, 0xDF, 0xBC, 0xF6, 0xB5, 0xDD, 0xC1, 0xC9, 0x09, 0x25, 0x61, 0x9D, 0x02, 0x20, 0x49,
    0x9A, 0xE0, 0x04, 0x4F, 0x9E, 0xB7, 0x4C, 0x86, 0x74, 0x97, 0x6F, 0x4C, 0x20, 0x0C, 0x5E, 0xFC,
    0x5E, 0xE5, 0x58, 0xA5, 0x2A, 0x7E, 0x81, 0x52, 0x38, 0x07, 0xF5, 0x4C, 0xFA, 0x4B, 0x56,
};
static const char name[] = "service.example";

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- The same key for everybody ---- */

static void read_key(cb_bytes der)
{
    cb_buf key = CB_BUF(8192);
    cb_digest digest;
    DecodedCert decoded;
    bool mine = cb_certificate_public_key(der, &key) == CB_OK;
    bool at_listener = cb_certificate_key(der, &digest) == CB_OK;
    must(!mine || (key.len > 0 && key.len <= der.len + 4 && key.data[0] == 0x30));
    if (mine) {
        cb_digest same = cb_sha256(cb_buf_bytes(&key));
        must(at_listener && memcmp(&same, &digest, sizeof same) == 0);
    }
    wc_InitDecodedCert(&decoded, der.data, (word32)der.len, NULL);
    if (wc_ParseCert(&decoded, CERT_TYPE, NO_VERIFY, NULL) == 0 && mine && decoded.pubKeySize > 0)
        must(memmem(key.data, key.len, decoded.publicKey, decoded.pubKeySize));
    wc_FreeDecodedCert(&decoded);
    cb_buf_free(&key);
}

/* ---- Believed by the authority's signature only ---- */

static WOLFSSL_CERT_MANAGER *trust;
static uint8_t point[CB_P256_POINT];

static void clean_up(void)
{
    wolfSSL_CertManagerFree(trust);
    wolfSSL_Cleanup();
}

static void prepare(void)
{
    cb_buf key = CB_BUF(1024);
    if (trust)
        return;
    must(wolfSSL_Init() == WOLFSSL_SUCCESS && (trust = wolfSSL_CertManagerNew()));
    must(wolfSSL_CertManagerLoadCABuffer(trust, authority, sizeof authority,
                                         WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS);
    must(cb_certificate_public_key(CB_BYTES_OF(authority), &key) == CB_OK);
    must(key.len > CB_P256_POINT);
    memcpy(point, key.data + key.len - CB_P256_POINT, CB_P256_POINT);
    cb_buf_free(&key);
    atexit(clean_up);
}

/* One half of an ECDSA signature in DER as 32 bytes. */
static bool put_half(cb_cursor *in, uint8_t out[32])
{
    cb_bytes number = cb_tlv_expect(in, 0x02);
    while (number.len > 32 && number.data[0] == 0)
        number = cb_bytes_make(number.data + 1, number.len - 1);
    if (number.len > 32)
        return false;
    memset(out, 0, 32);
    if (number.len > 0)
        memcpy(out + 32 - number.len, number.data, number.len);
    return true;
}

static bool is_signed(cb_bytes der)
{
    uint8_t signature[CB_P256_SIGNATURE];
    cb_cursor whole = cb_cursor_over(der);
    cb_cursor outer = cb_cursor_over(cb_tlv_expect(&whole, 0x30));
    const uint8_t *begin = outer.rest.data;
    size_t before = outer.rest.len;
    cb_tlv_expect(&outer, 0x30);
    cb_digest digest = cb_sha256(cb_bytes_make(begin, before - outer.rest.len));
    cb_tlv_expect(&outer, 0x30);
    cb_cursor bits = cb_cursor_over(cb_tlv_expect(&outer, 0x03));
    cb_cursor_u8(&bits);
    cb_cursor halves = cb_cursor_over(cb_tlv_expect(&bits, 0x30));
    return put_half(&halves, signature) && put_half(&halves, signature + 32) &&
           cb_p256_verify(CB_BYTES_OF(point), &digest, CB_BYTES_OF(signature));
}

static void believe(cb_bytes der)
{
    if (wolfSSL_CertManagerVerifyBuffer(trust, der.data, (long)der.len, WOLFSSL_FILETYPE_ASN1) !=
        WOLFSSL_SUCCESS)
        return;
    must(is_signed(der));
    const unsigned char *at = der.data;
    WOLFSSL_X509 *certificate = wolfSSL_d2i_X509(NULL, &at, (int)der.len);
    if (certificate && wolfSSL_X509_check_host(certificate, name, sizeof name - 1, 0, NULL) == 1)
        must(memmem(der.data, der.len, name, sizeof name - 1) != NULL);
    wolfSSL_X509_free(certificate);
}

/* ---- PEM ---- */

static void read_pem(cb_bytes bytes)
{
    cb_buf text = CB_BUF(bytes.len + 1), first = CB_BUF(8192), rest = CB_BUF(32768);
    cb_buf_put(&text, bytes);
    const char *string = cb_buf_cstr(&text);
    if (string && cb_pem_read(string, &first, &rest) == CB_OK) {
        must(first.len > 0);
        read_key(cb_buf_bytes(&first));
        believe(cb_buf_bytes(&first));
    }
    cb_buf_free(&text);
    cb_buf_free(&first);
    cb_buf_free(&rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_bytes bytes = cb_bytes_make(data, size);
    prepare();
    read_pem(bytes);
    if (size > 0) {
        read_key(bytes);
        believe(bytes);
    }
    return 0;
}

/* ---- Changing DER ---- */

enum { ELEMENTS_MAX = 256 };

typedef struct element {
    size_t at, header, len, parent;
} element;

/* The elements of a DER structure, each after the one that holds it. */
static size_t find_elements(const uint8_t *data, size_t size, element out[ELEMENTS_MAX])
{
    size_t count = 0;
    out[count++] = (element){0, 0, size, 0};
    for (size_t i = 0; i < count; i++) {
        bool holds = i == 0 || data[out[i].at] & 0x20;
        cb_cursor in = cb_cursor_over(cb_bytes_make(data + out[i].at + out[i].header, out[i].len));
        cb_tlv object;
        while (holds && in.rest.len > 0 && count < ELEMENTS_MAX) {
            size_t at = (size_t)(in.rest.data - data);
            if (!cb_tlv_next(&in, &object))
                break;
            size_t header = object.value.len ? (size_t)(object.value.data - data) - at
                                             : (size_t)(in.rest.data - data) - at;
            if (in.rest.len == 0 && object.value.len == 0)
                header = 2;
            out[count++] = (element){at, header, object.value.len, i};
        }
    }
    return count;
}

/* The same structure with one element's content in other bytes; lengths above it follow. */
static void write_with(const uint8_t *data, const element *all, size_t count, size_t which,
                       size_t target, cb_bytes content, cb_buf *out)
{
    if (which == target) {
        cb_buf_put(out, content);
        return;
    }
    bool holds = false;
    for (size_t i = 1; i < count; i++) {
        if (all[i].parent != which || i == which)
            continue;
        cb_buf inner = CB_BUF(64 * 1024);
        holds = true;
        write_with(data, all, count, i, target, content, &inner);
        cb_tlv_put(out, data[all[i].at], cb_buf_bytes(&inner));
        cb_buf_free(&inner);
    }
    if (!holds)
        cb_buf_put(out, cb_bytes_make(data + all[which].at + all[which].header, all[which].len));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static element all[ELEMENTS_MAX];
    size_t count = find_elements(data, size, all);
    if (count < 4 || seed % 8 == 0)
        return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, max) : size;
    size_t target = 1 + seed / 8 % (count - 1);
    size_t len = all[target].len;
    uint8_t *content = malloc(len + 64);
    if (!content)
        return size;
    memcpy(content, data + all[target].at + all[target].header, len);
    if (seed / 8 / count % 3 == 0) { /* another element's content */
        const element *other = &all[1 + seed / 64 % (count - 1)];
        len = other->len < len + 64 ? other->len : len + 64;
        memcpy(content, data + other->at + other->header, len);
    } else if (LLVMFuzzerMutate) {
        len = LLVMFuzzerMutate(content, len, len + 64);
    }
    cb_buf out = CB_BUF(max);
    write_with(data, all, count, 0, target, cb_bytes_make(content, len), &out);
    if (cb_buf_error(&out) == CB_OK && out.len > 0) {
        size = out.len;
        memcpy(data, out.data, size);
    }
    free(content);
    cb_buf_free(&out);
    return size;
}
