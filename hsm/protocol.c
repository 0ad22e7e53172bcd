/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/protocol.h"

#include "base/clock.h"

void cb_put_id(cb_buf *out, const cb_id *id) { cb_buf_put(out, cb_id_bytes(id)); }

cb_id cb_get_id(cb_cursor *in)
{
    cb_id id;
    cb_cursor_copy(in, id.bytes, sizeof id.bytes);
    return id;
}

void cb_put_digest(cb_buf *out, const cb_digest *digest)
{
    cb_buf_put(out, cb_digest_bytes(digest));
}

cb_digest cb_get_digest(cb_cursor *in)
{
    cb_digest digest;
    cb_cursor_copy(in, digest.bytes, sizeof digest.bytes);
    return digest;
}

static void put_service(cb_buf *out, const char service[CB_SERVICE_NAME_MAX + 1])
{
    cb_bytes name = cb_bytes_make(service, strnlen(service, CB_SERVICE_NAME_MAX));
    cb_buf_put_u8(out, (uint8_t)name.len);
    cb_buf_put(out, name);
}

static void get_service(cb_cursor *in, char service[CB_SERVICE_NAME_MAX + 1])
{
    memset(service, 0, CB_SERVICE_NAME_MAX + 1);
    cb_bytes name = cb_cursor_take(in, cb_cursor_u8(in));
    if (name.len > CB_SERVICE_NAME_MAX || (name.len > 0 && memchr(name.data, 0, name.len)))
        cb_cursor_fail(in);
    else if (name.len > 0)
        memcpy(service, name.data, name.len);
}

void cb_put_context(cb_buf *out, const cb_tap_context *context)
{
    cb_put_id(out, &context->tap);
    cb_put_id(out, &context->terminal);
    cb_buf_put_u8(out, context->profile);
    cb_buf_put_u8(out, context->purpose);
    cb_buf_put_u8(out, context->level);
    put_service(out, context->service);
    cb_put_digest(out, &context->text);
}

void cb_get_context(cb_cursor *in, cb_tap_context *context)
{
    context->tap = cb_get_id(in);
    context->terminal = cb_get_id(in);
    context->profile = cb_cursor_u8(in);
    context->purpose = cb_cursor_u8(in);
    context->level = cb_cursor_u8(in);
    get_service(in, context->service);
    context->text = cb_get_digest(in);
}

void cb_put_claim(cb_buf *out, const cb_card_claim *claim)
{
    cb_put_id(out, &claim->card);
    cb_buf_put_u8(out, claim->pin);
    cb_buf_put_u8(out, claim->pin_tries_left);
    cb_buf_put_u16(out, claim->pin_failures);
    cb_buf_put_u32(out, claim->counter);
}

void cb_get_claim(cb_cursor *in, cb_card_claim *claim)
{
    *claim = (cb_card_claim){.card = cb_get_id(in)};
    claim->pin = cb_cursor_u8(in);
    claim->pin_tries_left = cb_cursor_u8(in);
    claim->pin_failures = cb_cursor_u16(in);
    claim->counter = cb_cursor_u32(in);
}

void cb_put_activation(cb_buf *out, const cb_activation *activation)
{
    cb_put_id(out, &activation->holder);
    cb_put_id(out, &activation->card);
    cb_buf_put_u8(out, activation->level);
    cb_buf_put_u8(out, activation->pin);
    cb_buf_put_u8(out, activation->pin_tries_left);
    cb_buf_put_u8(out, activation->generation);
}

void cb_get_activation(cb_cursor *in, cb_activation *activation)
{
    activation->holder = cb_get_id(in);
    activation->card = cb_get_id(in);
    activation->level = cb_cursor_u8(in);
    activation->pin = cb_cursor_u8(in);
    activation->pin_tries_left = cb_cursor_u8(in);
    activation->generation = cb_cursor_u8(in);
}

void cb_put_feed_head(cb_buf *out, const cb_feed_head *head)
{
    cb_buf_put_u64(out, head->number);
    cb_put_digest(out, &head->hash);
}

void cb_get_feed_head(cb_cursor *in, cb_feed_head *head)
{
    head->number = cb_cursor_u64(in);
    head->hash = cb_get_digest(in);
}

void cb_put_feed_entry(cb_buf *out, const cb_feed_entry *entry)
{
    cb_buf_put_u64(out, entry->number);
    cb_buf_put_u8(out, entry->kind);
    cb_put_id(out, &entry->subject);
    cb_buf_put_u64(out, (uint64_t)entry->time);
}

void cb_get_feed_entry(cb_cursor *in, cb_feed_entry *entry)
{
    entry->number = cb_cursor_u64(in);
    entry->kind = cb_cursor_u8(in);
    entry->subject = cb_get_id(in);
    entry->time = (int64_t)cb_cursor_u64(in);
}

void cb_put_head(cb_buf *out, const cb_tree_head *head)
{
    cb_buf_put_u64(out, head->size);
    cb_put_digest(out, &head->root);
}

void cb_get_head(cb_cursor *in, cb_tree_head *head)
{
    head->size = cb_cursor_u64(in);
    head->root = cb_get_digest(in);
}

void cb_put_signed_head(cb_buf *out, const cb_signed_head *head)
{
    cb_put_head(out, &head->head);
    cb_buf_put_u64(out, (uint64_t)head->time);
    cb_buf_put(out, CB_BYTES_OF(head->signature));
    cb_put_digest(out, &head->mac);
}

void cb_get_signed_head(cb_cursor *in, cb_signed_head *head)
{
    cb_get_head(in, &head->head);
    head->time = (int64_t)cb_cursor_u64(in);
    cb_cursor_copy(in, head->signature, sizeof head->signature);
    head->mac = cb_get_digest(in);
}

void cb_put_sealed_info(cb_buf *out, const cb_sealed_info *info)
{
    cb_put_id(out, &info->holder);
    put_service(out, info->service);
    cb_buf_put_u8(out, info->algorithm);
    cb_buf_put_u8(out, info->level);
    cb_buf_put_u8(out, info->uses);
    cb_buf_put_u64(out, info->sequence);
}

void cb_get_sealed_info(cb_cursor *in, cb_sealed_info *info)
{
    *info = (cb_sealed_info){0};
    info->holder = cb_get_id(in);
    get_service(in, info->service);
    info->algorithm = cb_cursor_u8(in);
    info->level = cb_cursor_u8(in);
    info->uses = cb_cursor_u8(in);
    info->sequence = cb_cursor_u64(in);
}

void cb_put_state(cb_buf *out, const cb_hsm_state *state)
{
    cb_buf_put_u32(out, state->workers);
    cb_buf_put_u32(out, state->generation);
    cb_buf_put_u32(out, state->objects);
    cb_buf_put_u64(out, state->feed_number);
    cb_buf_put_u64(out, state->log_size);
    cb_buf_put_u8(out, state->separated);
}

void cb_get_state(cb_cursor *in, cb_hsm_state *state)
{
    state->workers = cb_cursor_u32(in);
    state->generation = cb_cursor_u32(in);
    state->objects = cb_cursor_u32(in);
    state->feed_number = cb_cursor_u64(in);
    state->log_size = cb_cursor_u64(in);
    state->separated = cb_cursor_u8(in) == 1;
}

void cb_put_reading(cb_buf *out, const cb_foreign_reading *reading)
{
    cb_buf_put_u8(out, reading->profile);
    cb_buf_put_var(out, reading->answers);
    cb_buf_put_u8(out, (uint8_t)reading->keys);
    for (size_t i = 0; i < reading->keys && i < CB_CARD_KEYS_MAX; i++) {
        cb_buf_put_u8(out, reading->key[i].use);
        cb_buf_put_var(out, reading->key[i].certificate);
    }
}

void cb_get_reading(cb_cursor *in, cb_foreign_reading *reading)
{
    *reading = (cb_foreign_reading){.profile = cb_cursor_u8(in)};
    reading->answers = cb_cursor_var(in, CB_SCRIPT_BYTES_MAX);
    reading->keys = cb_cursor_u8(in);
    for (size_t i = 0; i < reading->keys && i < CB_CARD_KEYS_MAX; i++) {
        reading->key[i].use = cb_cursor_u8(in);
        reading->key[i].certificate = cb_cursor_var(in, CB_FOREIGN_CERTIFICATE_MAX);
    }
}

void cb_put_registration(cb_buf *out, const cb_registration_grant *grant)
{
    cb_put_id(out, &grant->holder);
    cb_buf_put_u32(out, (uint32_t)(grant->until / CB_SECOND));
    cb_buf_put_u8(out, grant->profiles);
    cb_buf_put_u8(out, grant->level);
    cb_buf_put_u8(out, grant->state);
    cb_buf_put_u8(out, grant->wrong);
}

void cb_get_registration(cb_cursor *in, cb_registration_grant *grant)
{
    grant->holder = cb_get_id(in);
    grant->until = cb_cursor_u32(in) * CB_SECOND;
    grant->profiles = cb_cursor_u8(in);
    grant->level = cb_cursor_u8(in);
    grant->state = cb_cursor_u8(in);
    grant->wrong = cb_cursor_u8(in);
}
