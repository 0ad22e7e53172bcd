/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/records.h"

#include "base/cursor.h"
#include "cardlink/profile.h"
#include "hsm/record_codec.h"

enum { KIND_SEALED = 'K', KIND_BINDING = 'B', KIND_RECEIPT = 'R', USES_MAX = 16 };

static const char *const algorithm_names[] = {
    [CB_KEY_EC_P256] = "ec-p256",         [CB_KEY_EC_P384] = "ec-p384",
    [CB_KEY_RSA_2048] = "rsa-2048",       [CB_KEY_RSA_3072] = "rsa-3072",
    [CB_KEY_HMAC_SHA256] = "hmac-sha256", [CB_KEY_SECRET] = "secret",
};

enum { ALGORITHMS = sizeof algorithm_names / sizeof *algorithm_names };

const char *cb_key_algorithm_name(uint8_t algorithm)
{
    return algorithm < ALGORITHMS ? algorithm_names[algorithm] : NULL;
}

cb_error cb_key_algorithm_parse(const char *name, uint8_t *out)
{
    for (uint8_t i = CB_KEY_EC_P256; i < ALGORITHMS; i++) {
        if (strcmp(algorithm_names[i], name) == 0) {
            *out = i;
            return CB_OK;
        }
    }
    return CB_E_HSM_ALGORITHM;
}

cb_error cb_record_split(cb_bytes blob, size_t max, cb_record_parts *out)
{
    *out = (cb_record_parts){0};
    if (blob.len <= CB_RECORD_MAC || blob.len > max)
        return CB_E_FORMAT;
    cb_cursor cursor = cb_cursor_over(blob);
    out->body = cb_cursor_take(&cursor, blob.len - CB_RECORD_MAC);
    out->mac = cb_cursor_rest(&cursor);
    return CB_OK;
}

static void head_put(cb_buf *buf, uint8_t kind, uint8_t version)
{
    cb_buf_put_u8(buf, kind);
    cb_buf_put_u8(buf, version);
}

/* The version, which is one from 1 to the newest. */
static uint8_t head_get(cb_cursor *cursor, uint8_t kind, uint8_t newest)
{
    uint8_t seen = cb_cursor_u8(cursor);
    uint8_t version = cb_cursor_u8(cursor);
    if (seen != kind || version < 1 || version > newest)
        cb_cursor_fail(cursor);
    return version;
}

static void id_get(cb_cursor *cursor, cb_id *out)
{
    cb_cursor_copy(cursor, out->bytes, CB_ID_SIZE);
}

/* ---- Sealed keys ---- */

bool cb_sealed_info_ok(const cb_sealed_info *info)
{
    return !cb_id_is_zero(&info->holder) && memchr(info->service, 0, sizeof info->service) &&
           cb_service_name_ok(info->service) && cb_key_algorithm_name(info->algorithm) &&
           (info->level == CB_LEVEL_NONE || cb_level_ok(info->level)) && info->uses >= 1 && info->uses <= USES_MAX;
}

void cb_sealed_body_put(cb_buf *buf, const cb_sealed_info *info, cb_bytes public_key,
                        cb_bytes wrapped)
{
    cb_bytes service = cb_bytes_str(info->service);
    head_put(buf, KIND_SEALED, CB_RECORD_VERSION);
    cb_buf_put(buf, cb_id_bytes(&info->key));
    cb_buf_put(buf, cb_id_bytes(&info->holder));
    cb_buf_put_u8(buf, (uint8_t)service.len);
    cb_buf_put(buf, service);
    cb_buf_put_u8(buf, info->algorithm);
    cb_buf_put_u8(buf, info->level);
    cb_buf_put_u8(buf, info->uses);
    cb_buf_put_u32(buf, info->generation);
    cb_buf_put_u64(buf, info->sequence);
    cb_buf_put_var(buf, public_key);
    cb_buf_put_var(buf, wrapped);
}

/* What stood behind a zero byte would be under the MAC and belong to no name. */
static void service_get(cb_cursor *cursor, char out[CB_SERVICE_NAME_MAX + 1])
{
    size_t len = cb_cursor_u8(cursor);
    cb_bytes name = cb_cursor_take(cursor, len);
    if (!cb_cursor_ok(cursor) || len > CB_SERVICE_NAME_MAX ||
        (len > 0 && memchr(name.data, 0, len)))
        cb_cursor_fail(cursor);
    else
        memcpy(out, name.data, len);
}

cb_error cb_sealed_body_get(cb_bytes body, cb_sealed_info *info, cb_bytes *public_key,
                            cb_bytes *wrapped)
{
    cb_cursor cursor = cb_cursor_over(body);
    *info = (cb_sealed_info){0};
    head_get(&cursor, KIND_SEALED, CB_RECORD_VERSION);
    id_get(&cursor, &info->key);
    id_get(&cursor, &info->holder);
    service_get(&cursor, info->service);
    info->algorithm = cb_cursor_u8(&cursor);
    info->level = cb_cursor_u8(&cursor);
    info->uses = cb_cursor_u8(&cursor);
    info->generation = cb_cursor_u32(&cursor);
    info->sequence = cb_cursor_u64(&cursor);
    *public_key = cb_cursor_var(&cursor, CB_PUBLIC_KEY_MAX);
    *wrapped = cb_cursor_var(&cursor, CB_WRAPPED_MAX);
    bool good = cb_cursor_done(&cursor) && !cb_id_is_zero(&info->key) && info->generation > 0 &&
                wrapped->len > 0 && cb_sealed_info_ok(info);
    return good ? CB_OK : CB_E_FORMAT;
}

cb_error cb_sealed_info_read(cb_bytes sealed, cb_sealed_info *out)
{
    cb_record_parts parts;
    cb_bytes public_key, wrapped;
    cb_error error = cb_record_split(sealed, CB_SEALED_MAX, &parts);
    if (!error)
        error = cb_sealed_body_get(parts.body, out, &public_key, &wrapped);
    return error;
}

/* ---- Card bindings ---- */

/* A native card has the one key that its profile knows, an SCP03 card none that is public; others have one for each use. */
static bool keys_ok(const cb_binding_info *info)
{
    const cb_card_keys *keys = &info->keys;
    if (info->profile == CB_PROFILE_NATIVE)
        return keys->count == 1 && keys->key[0].use == 0 && keys->key[0].kind == CB_CARD_KEY_P256 &&
               keys->key[0].len == CB_P256_POINT;
    if (info->profile == CB_PROFILE_SCP03)
        return keys->count == 0;
    if (info->profile == CB_PROFILE_PASSWORD)
        return keys->count == 1 && keys->key[0].use == 0 &&
               keys->key[0].kind == CB_CARD_KEY_PASSWORD && keys->key[0].len == CB_SHA256_SIZE;
    bool good = keys->count >= 1 && keys->count <= CB_CARD_KEYS_MAX;
    for (size_t i = 0; good && i < keys->count; i++)
        good = cb_card_key_kind_name(keys->key[i].kind) &&
               cb_card_keys_find(keys, keys->key[i].use) == &keys->key[i];
    return good;
}

/* A password reaches its own level and no other, and no card is bound to less than its possession. */
static bool level_ok(const cb_binding_info *info)
{
    bool password = info->profile == CB_PROFILE_PASSWORD;
    return cb_level_ok(info->level) && password == (info->level == CB_LEVEL_PASSWORD);
}

bool cb_binding_info_ok(const cb_binding_info *info)
{
    return !cb_id_is_zero(&info->card) && !cb_id_is_zero(&info->holder) && info->profile > 0 &&
           keys_ok(info) && level_ok(info) && info->expires >= 0 &&
           (info->expires == 0 || info->profile != CB_PROFILE_SCP03);
}

void cb_binding_body_put(cb_buf *buf, const cb_binding_info *info)
{
    bool native = info->profile == CB_PROFILE_NATIVE;
    head_put(buf, KIND_BINDING,
             info->expires == 0 ? (native ? CB_RECORD_VERSION : CB_BINDING_VERSION)
             : native           ? CB_DATED_VERSION
                                : CB_ONCE_VERSION);
    cb_buf_put(buf, cb_id_bytes(&info->card));
    cb_buf_put(buf, cb_id_bytes(&info->holder));
    cb_buf_put_u8(buf, info->profile);
    cb_buf_put_u8(buf, info->level);
    cb_buf_put_u64(buf, info->sequence);
    if (info->expires > 0)
        cb_buf_put_u64(buf, (uint64_t)info->expires);
    if (!native)
        cb_buf_put_u8(buf, (uint8_t)info->keys.count);
    for (size_t i = 0; i < info->keys.count; i++) {
        const cb_card_key *key = &info->keys.key[i];
        cb_bytes data = cb_bytes_make(key->data, key->len);
        if (native) {
            cb_buf_put(buf, data);
            continue;
        }
        cb_buf_put_u8(buf, key->use);
        cb_buf_put_u8(buf, key->kind);
        cb_buf_put_var(buf, data);
        cb_buf_put(buf, cb_digest_bytes(&key->certificate));
    }
}

static void key_get(cb_cursor *cursor, cb_card_key *key)
{
    key->use = cb_cursor_u8(cursor);
    key->kind = cb_cursor_u8(cursor);
    cb_bytes data = cb_cursor_var(cursor, CB_CARD_KEY_MAX);
    key->len = data.len;
    if (data.len > 0)
        memcpy(key->data, data.data, data.len);
    cb_cursor_copy(cursor, key->certificate.bytes, CB_SHA256_SIZE);
}

cb_error cb_binding_body_get(cb_bytes body, cb_binding_info *info)
{
    cb_cursor cursor = cb_cursor_over(body);
    *info = (cb_binding_info){0};
    uint8_t version = head_get(&cursor, KIND_BINDING, CB_ONCE_VERSION);
    bool native = version != CB_BINDING_VERSION && version != CB_ONCE_VERSION;
    id_get(&cursor, &info->card);
    id_get(&cursor, &info->holder);
    info->profile = cb_cursor_u8(&cursor);
    info->level = cb_cursor_u8(&cursor);
    info->sequence = cb_cursor_u64(&cursor);
    if (native != (info->profile == CB_PROFILE_NATIVE))
        return CB_E_FORMAT;
    if (version == CB_DATED_VERSION || version == CB_ONCE_VERSION) {
        info->expires = (int64_t)cb_cursor_u64(&cursor);
        if (info->expires <= 0)
            return CB_E_FORMAT;
    }
    if (native) {
        uint8_t point[CB_P256_POINT] = {0};
        cb_cursor_copy(&cursor, point, sizeof point);
        info->keys = (cb_card_keys){.count = 1, .key = {cb_card_key_of_point(point)}};
    } else {
        info->keys.count = cb_cursor_u8(&cursor);
        for (size_t i = 0; i < info->keys.count && i < CB_CARD_KEYS_MAX; i++)
            key_get(&cursor, &info->keys.key[i]);
    }
    return cb_cursor_done(&cursor) && cb_binding_info_ok(info) ? CB_OK : CB_E_FORMAT;
}

cb_error cb_binding_info_read(cb_bytes binding, cb_binding_info *out)
{
    cb_record_parts parts;
    cb_error error = cb_record_split(binding, CB_BINDING_MAX, &parts);
    return error ? error : cb_binding_body_get(parts.body, out);
}

/* ---- Receipts ---- */

void cb_receipt_body_put(cb_buf *buf, const cb_receipt_info *info)
{
    head_put(buf, KIND_RECEIPT, CB_RECORD_VERSION);
    cb_buf_put(buf, cb_id_bytes(&info->boot));
    cb_buf_put_u32(buf, info->worker);
    cb_buf_put_u64(buf, info->counter);
    cb_buf_put_u64(buf, (uint64_t)info->time);
    cb_buf_put(buf, cb_id_bytes(&info->tap));
    cb_buf_put(buf, cb_id_bytes(&info->card));
    cb_buf_put(buf, cb_id_bytes(&info->key));
    cb_buf_put_u8(buf, info->operation);
    cb_buf_put(buf, cb_digest_bytes(&info->context));
    cb_buf_put(buf, cb_digest_bytes(&info->data));
}

cb_error cb_receipt_body_get(cb_bytes body, cb_receipt_info *info)
{
    cb_cursor cursor = cb_cursor_over(body);
    *info = (cb_receipt_info){0};
    head_get(&cursor, KIND_RECEIPT, CB_RECORD_VERSION);
    id_get(&cursor, &info->boot);
    info->worker = cb_cursor_u32(&cursor);
    info->counter = cb_cursor_u64(&cursor);
    info->time = (int64_t)cb_cursor_u64(&cursor);
    id_get(&cursor, &info->tap);
    id_get(&cursor, &info->card);
    id_get(&cursor, &info->key);
    info->operation = cb_cursor_u8(&cursor);
    cb_cursor_copy(&cursor, info->context.bytes, CB_SHA256_SIZE);
    cb_cursor_copy(&cursor, info->data.bytes, CB_SHA256_SIZE);
    return cb_cursor_done(&cursor) && info->counter > 0 ? CB_OK : CB_E_FORMAT;
}

cb_error cb_receipt_info_read(cb_bytes receipt, cb_receipt_info *out)
{
    cb_record_parts parts;
    cb_error error = cb_record_split(receipt, CB_RECEIPT_MAX, &parts);
    return error ? error : cb_receipt_body_get(parts.body, out);
}

/* ---- What renewal alone changes ---- */

cb_digest cb_binding_digest(const cb_binding_info *info)
{
    static const char native[] = "cardbroker bound card 1", others[] = "cardbroker bound card 2";
    const uint8_t small[] = {info->profile, info->level};
    cb_bytes parts[4 + 2 * CB_CARD_KEYS_MAX];
    size_t count = 0;
    bool of_ours = info->profile == CB_PROFILE_NATIVE;
    parts[count++] = of_ours ? CB_BYTES_OF(native) : CB_BYTES_OF(others);
    parts[count++] = cb_id_bytes(&info->card);
    parts[count++] = cb_id_bytes(&info->holder);
    parts[count++] = CB_BYTES_OF(small);
    for (size_t i = 0; i < info->keys.count; i++) {
        const cb_card_key *key = &info->keys.key[i];
        if (!of_ours)
            parts[count++] = cb_bytes_make(&key->use, 1);
        parts[count++] = cb_bytes_make(key->data, key->len);
    }
    return cb_sha256_parts(parts, count);
}

cb_id cb_binding_subject(const cb_binding_info *info)
{
    cb_id id;
    cb_digest digest = cb_binding_digest(info);
    memcpy(id.bytes, digest.bytes, sizeof id.bytes);
    return id;
}
