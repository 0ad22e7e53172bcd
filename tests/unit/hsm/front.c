/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "front.h"

#include "base/clock.h"

cb_error front_make(front *f, world *w, const char *run)
{
    *f = (front){
        .w = w, .holder = cb_id_new(), .terminal = cb_id_new(), .binding = CB_BUF(CB_BINDING_MAX)};
    cb_error error = cb_hsm_open(run, &f->hsm);
    if (!error)
        error = cb_hsm_bind(f->hsm, cb_buf_bytes(&w->certificate), &f->holder, CB_LEVEL_PIN, 1,
                            &f->binding);
    return error;
}

void front_free(front *f)
{
    cb_hsm_close(&f->hsm);
    cb_buf_free(&f->binding);
}

cb_error front_key_make(front *f, const cb_id *holder, const char *service, uint8_t algorithm,
                        uint8_t level, uint8_t uses, front_key *out)
{
    *out = (front_key){.info = {.holder = *holder,
                                .algorithm = algorithm,
                                .level = level,
                                .uses = uses,
                                .sequence = 1},
                       .sealed = CB_BUF(CB_SEALED_MAX),
                       .public_key = CB_BUF(CB_PUBLIC_KEY_MAX)};
    memcpy(out->info.service, service, strlen(service));
    return cb_hsm_generate(f->hsm, &out->info, (cb_bytes){0}, &out->sealed, &out->public_key, NULL);
}

void front_key_free(front_key *key)
{
    cb_buf_free(&key->sealed);
    cb_buf_free(&key->public_key);
}

cb_error front_begin(front *f, front_tap *tap, cb_buf *script)
{
    *tap = (front_tap){.context = {.terminal = f->terminal, .profile = CB_PROFILE_NATIVE}};
    cb_vcard_reset(f->w->card);
    return cb_hsm_tap_begin(f->hsm, CB_PROFILE_NATIVE, &f->terminal, &tap->context.tap, script);
}

static cb_error encrypt_pin(const front_wish *wish, const cb_tap_context *context,
                            const cb_buf *answers, cb_buf *out)
{
    cb_script read;
    uint8_t card_key[CB_P256_POINT];
    if (!wish->pin)
        return CB_OK;
    cb_error error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read);
    if (!error)
        error = cb_pin_card_key(&read, card_key);
    if (!error)
        error = cb_pin_encrypt(cb_pin_form_for(context->purpose), cb_bytes_str(wish->pin),
                               cb_tap_purpose_foreign(context->purpose) ? (cb_bytes){0}
                                                                        : cb_bytes_str("9876"),
                               card_key, out);
    return error;
}

cb_error front_challenge(front *f, front_wish wish, front_tap *tap, cb_buf *script)
{
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_error error = front_begin(f, tap, script);
    if (!error) {
        tap->context.purpose = wish.purpose ? wish.purpose : CB_TAP_AUTHENTICATE;
        tap->context.level = wish.level;
        memcpy(tap->context.service, wish.service, strlen(wish.service));
        world_play(f->w->card, script, &answers);
        error = cb_buf_error(&answers);
    }
    if (!error)
        error = encrypt_pin(&wish, &tap->context, &answers, &pin);
    cb_buf_reset(script);
    if (!error)
        error = cb_hsm_tap_challenge(f->hsm, &tap->context, cb_buf_bytes(&answers),
                                     cb_buf_bytes(&pin), (cb_bytes){0}, script);
    cb_buf_free(&answers);
    cb_buf_free(&pin);
    return error;
}

cb_error front_finish(front *f, front_wish wish, front_tap *tap)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = front_challenge(f, wish, tap, &script);
    if (!error) {
        world_play(f->w->card, &script, &answers);
        error = cb_buf_error(&answers);
    }
    if (!error)
        error = cb_hsm_tap_finish(f->hsm, &tap->context.tap, cb_buf_bytes(&answers), &tap->claim);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

cb_error front_activate(front *f, front_wish wish, front_tap *tap)
{
    cb_error error = front_finish(f, wish, tap);
    if (!error)
        error = cb_hsm_tap_activate(f->hsm, &tap->context.tap, cb_buf_bytes(&f->binding), &f->feed,
                                    &tap->activation);
    return error;
}

cb_intent front_intent(const front_tap *tap, const cb_id *key)
{
    return (cb_intent){.time = cb_clock_wall_us(),
                       .context = tap->context,
                       .card = tap->activation.card,
                       .holder = tap->activation.holder,
                       .key = *key,
                       .reached = tap->activation.level};
}

cb_error front_record(front *f, const cb_intent *intent, cb_intent_proof *proof)
{
    cb_buf leaf = CB_BUF(8192);
    cb_merkle_proof extends;
    cb_merkle_frontier before = f->log;
    cb_signed_head head;
    cb_intent_leaf(intent, &leaf);
    cb_error error = cb_buf_error(&leaf);
    cb_digest hash = cb_merkle_leaf(cb_buf_bytes(&leaf));
    cb_buf_free(&leaf);
    if (error)
        return error;
    cb_merkle_append(&f->log, &hash);
    cb_merkle_consistency(&before, &hash, 1, &extends);
    *proof = (cb_intent_proof){.intent = *intent, .index = before.size};
    proof->head = (cb_tree_head){f->log.size, cb_merkle_root(&f->log)};
    cb_merkle_inclusion(&before, &hash, 1, 0, &proof->path);
    error = cb_hsm_sign_head(f->hsm, &proof->head, &extends, &head, NULL);
    if (!error)
        proof->head_mac = head.mac;
    return error;
}

cb_error front_open(front *f, front_wish wish, const front_key *key, front_tap *tap)
{
    cb_intent_proof proof;
    cb_error error = front_activate(f, wish, tap);
    if (error)
        return error;
    cb_intent intent = front_intent(tap, &key->info.key);
    error = front_record(f, &intent, &proof);
    if (!error)
        error = cb_hsm_tap_open_key(f->hsm, &tap->context.tap, cb_buf_bytes(&key->sealed), &proof);
    return error;
}

cb_error front_sign(front *f, const front_tap *tap, const front_key *key, cb_buf *receipt)
{
    cb_buf result = CB_BUF(CB_USE_RESULT_MAX);
    cb_digest digest = cb_sha256(cb_bytes_str("what the service asks for"));
    cb_error error = cb_hsm_use(f->hsm, &tap->context.tap, CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                                cb_digest_bytes(&digest), &result, receipt);
    if (!error && key->public_key.len > CB_P256_POINT) {
        /* A SubjectPublicKeyInfo of P-256 ends with its point. */
        cb_cursor spki = cb_cursor_over(cb_buf_bytes(&key->public_key));
        cb_cursor_take(&spki, key->public_key.len - CB_P256_POINT);
        if (!cb_p256_verify(cb_cursor_rest(&spki), &digest, cb_buf_bytes(&result)))
            error = CB_E_CRYPTO;
    }
    cb_buf_free(&result);
    return error;
}

cb_error front_revoke(front *f, uint8_t kind, const cb_id *subject)
{
    cb_feed_entry entry = {f->feed.number + 1, kind, *subject, cb_clock_wall_us()};
    cb_error error = cb_hsm_feed_extend_any(f->hsm, &entry, 1);
    if (!error)
        f->feed = (cb_feed_head){entry.number, cb_feed_hash(&f->feed.hash, &entry)};
    return error;
}
