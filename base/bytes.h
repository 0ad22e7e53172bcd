/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Borrowed bytes: a pointer and a length, owned by somebody else.
 *
 * A cb_bytes never owns what it points to and never outlives it. Functions that take one
 * do not keep it after they return, unless their header says so.
 */
#ifndef CB_BASE_BYTES_H
#define CB_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct cb_bytes {
    const uint8_t *data;
    size_t len;
} cb_bytes;

/* Bytes of an array whose size the compiler knows. */
#define CB_BYTES_OF(array) ((cb_bytes){(const uint8_t *)(array), sizeof(array)})

static inline cb_bytes cb_bytes_make(const void *data, size_t len)
{
    return (cb_bytes){(const uint8_t *)data, len};
}

/* The characters of a string, without its final zero. NULL gives no bytes. */
static inline cb_bytes cb_bytes_str(const char *text)
{
    return (cb_bytes){(const uint8_t *)text, text ? strlen(text) : 0};
}

/* Whether two public values are the same. Not for secrets: see cb_equal in secret.h. */
static inline bool cb_bytes_same(cb_bytes a, cb_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
