/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/vault_keyring.h"

#include "base/log.h"
#include "hsm/binding.h"
#include "hsm/card_pair.h"
#include "hsm/initialise.h"
#include "hsm/receipt.h"
#include "hsm/sealed.h"

static cb_error open_ring(cb_vault_keyring *vault)
{
    cb_buf pin = CB_BUF(CB_HSM_PIN_MAX);
    cb_buf_put(&pin, cb_buf_bytes(vault->pin));
    cb_error error = cb_buf_error(&pin);
    if (!error)
        error = cb_keyring_open(&vault->config->token, &pin, &vault->keyring);
    cb_buf_free(&pin);
    return error;
}

/* NULL when the token was closed for a new generation and could not be opened since: it is tried
 * again at each request. */
static cb_keyring *ring(void *context)
{
    cb_vault_keyring *vault = context;
    if (!vault->keyring && open_ring(vault))
        vault->keyring = NULL;
    return vault->keyring;
}

static bool given_up(void *context)
{
    return !ring(context) || cb_token_given_up(cb_keyring_token(ring(context)));
}

static cb_error binding_check(void *context, cb_bytes binding, cb_binding_info *out)
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_binding_check(keyring, binding, out) : CB_E_HSM_TOKEN;
}

static cb_error sealed_check(void *context, cb_bytes sealed, cb_sealed_info *out)
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_sealed_check(keyring, sealed, out) : CB_E_HSM_TOKEN;
}

static cb_error sealed_use(void *context, cb_bytes sealed, uint8_t operation, uint8_t hash,
                           cb_bytes data, cb_buf *result)
{
    cb_open_key key = {0};
    cb_keyring *keyring = ring(context);
    cb_error error = keyring ? cb_sealed_open_believed(keyring, sealed, &key) : CB_E_HSM_TOKEN;
    if (!error)
        error = cb_open_key_use(keyring, &key, operation, hash, data, result);
    if (keyring)
        cb_open_key_close(keyring, &key);
    return error;
}

static cb_error receipt_make(void *context, const cb_receipt_info *info, cb_buf *receipt)
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_receipt_make(keyring, info, receipt) : CB_E_HSM_TOKEN;
}

/* u64 size ‖ root. */
static void head_text(const cb_tree_head *head, uint8_t out[8 + CB_SHA256_SIZE])
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(head->size >> (56 - 8 * i));
    memcpy(out + 8, head->root.bytes, CB_SHA256_SIZE);
}

static cb_error head_mac(void *context, const cb_tree_head *head, cb_digest *mac)
{
    uint8_t text[8 + CB_SHA256_SIZE];
    head_text(head, text);
    cb_keyring *keyring = ring(context);
    return keyring
               ? cb_keyring_mac(keyring, CB_MAC_LOG_HEAD, (cb_bytes[]){CB_BYTES_OF(text)}, 1, mac)
               : CB_E_HSM_TOKEN;
}

static cb_error head_check(void *context, const cb_tree_head *head, const cb_digest *mac)
{
    uint8_t text[8 + CB_SHA256_SIZE];
    head_text(head, text);
    cb_keyring *keyring = ring(context);
    return keyring ? cb_keyring_mac_check(keyring, CB_MAC_LOG_HEAD, (cb_bytes[]){CB_BYTES_OF(text)},
                                          1, cb_digest_bytes(mac))
                   : CB_E_HSM_TOKEN;
}

static cb_error password_mac(void *context, const cb_id *password, cb_bytes key, cb_digest *mac)
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_keyring_mac(keyring, CB_MAC_PASSWORD,
                                    (cb_bytes[]){cb_id_bytes(password), key}, 2, mac)
                   : CB_E_HSM_TOKEN;
}

static cb_error password_salt(void *context, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT])
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_keyring_host_salt(keyring, password, salt) : CB_E_HSM_TOKEN;
}

static cb_error log_sign(void *context, const cb_digest *digest,
                         uint8_t signature[CB_P256_SIGNATURE])
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_keyring_sign(keyring, CB_OWN_LOG, digest, signature) : CB_E_HSM_TOKEN;
}

static cb_error terminal_sign(void *context, const cb_digest *digest,
                              uint8_t signature[CB_P256_SIGNATURE])
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_keyring_sign(keyring, CB_OWN_TERMINALS, digest, signature) : CB_E_HSM_TOKEN;
}

static cb_error binding_make(void *context, const cb_binding_info *info, cb_buf *binding)
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_binding_make(keyring, info, binding) : CB_E_HSM_TOKEN;
}

static cb_error generate(void *context, cb_sealed_info *info, cb_bytes subject, cb_buf *sealed,
                         cb_buf *public_key, cb_buf *csr)
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_sealed_generate(keyring, info, subject, sealed, public_key, csr)
                   : CB_E_HSM_TOKEN;
}

static cb_error import(void *context, cb_sealed_info *info, cb_bytes wrapped, cb_buf *sealed,
                       cb_buf *public_key)
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_sealed_import(keyring, info, wrapped, sealed, public_key) : CB_E_HSM_TOKEN;
}

static cb_error rewrap(void *context, cb_bytes sealed, cb_buf *out)
{
    cb_keyring *keyring = ring(context);
    return keyring ? cb_sealed_rewrap(keyring, sealed, out) : CB_E_HSM_TOKEN;
}

static cb_error add_generation(cb_vault_keyring *vault, cb_buf *so_pin, uint32_t *generation)
{
    cb_buf pin = CB_BUF(CB_HSM_PIN_MAX);
    cb_buf_put(&pin, cb_buf_bytes(vault->pin));
    cb_initialise_options options = {.token = vault->config->token, .so_pin = so_pin, .pin = &pin};
    cb_error error = cb_buf_error(&pin);
    if (!error)
        error = cb_hsm_add_generation(&options, generation);
    cb_buf_free(&pin);
    return error;
}

/* Only the security officer can make a key that others may be wrapped with, so his PIN is read for
 * this moment. The token is closed meanwhile: one process logs in once. */
static cb_error new_generation(void *context, uint32_t *generation)
{
    cb_vault_keyring *vault = context;
    cb_buf so_pin = CB_BUF(CB_HSM_PIN_MAX), why = CB_BUF(512);
    cb_error error = CB_E_CONFIG;
    if (!vault->config->so_pin_file)
        cb_buf_printf(&why, "so-pin-file is not set");
    else
        error = cb_hsmd_pin_read(vault->config->so_pin_file, &so_pin, &why);
    if (error) {
        cb_log_failure("generation.refused", error, cb_buf_cstr(&why));
    } else {
        cb_keyring_close(&vault->keyring);
        error = add_generation(vault, &so_pin, generation);
        cb_error after = open_ring(vault);
        error = error ? error : after;
    }
    cb_buf_free(&so_pin);
    cb_buf_free(&why);
    return error;
}

static cb_error public_key(void *context, const char *name, cb_buf *out)
{
    cb_own_key key;
    cb_keyring *keyring = ring(context);
    if (!keyring)
        return CB_E_HSM_TOKEN;
    if (!cb_own_key_parse(name, &key))
        return cb_keyring_public(keyring, key, out);
    cb_error error = cb_token_sync(cb_keyring_token(keyring));
    return error ? error : cb_card_pair_public(keyring, name, out);
}

static cb_error receipt_check(void *context, cb_bytes receipt)
{
    cb_receipt_info info;
    cb_keyring *keyring = ring(context);
    return keyring ? cb_receipt_check(keyring, receipt, &info) : CB_E_HSM_TOKEN;
}

static cb_error count(void *context, uint32_t *generation, uint32_t *objects)
{
    size_t persistent = 0;
    cb_keyring *keyring = ring(context);
    *generation = keyring ? cb_keyring_generation(keyring) : 0;
    cb_error error =
        keyring ? cb_token_count(cb_keyring_token(keyring), true, &persistent) : CB_E_HSM_TOKEN;
    *objects = (uint32_t)persistent;
    return error;
}

cb_error cb_vault_keyring_open(const cb_hsmd_config *config, const cb_buf *pin,
                               cb_vault_keyring *out)
{
    *out = (cb_vault_keyring){
        .config = config,
        .pin = pin,
        .vault = {.context = out,
                  .given_up = given_up,
                  .binding_check = binding_check,
                  .sealed_check = sealed_check,
                  .password_mac = password_mac,
                  .password_salt = password_salt,
                  .sealed_use = sealed_use,
                  .receipt_make = receipt_make,
                  .head_check = head_check,
                  .head_mac = head_mac,
                  .log_sign = log_sign,
                  .terminal_sign = terminal_sign,
                  .binding_make = binding_make,
                  .generate = generate,
                  .import = import,
                  .rewrap = rewrap,
                  .new_generation = new_generation,
                  .public_key = public_key,
                  .receipt_check = receipt_check,
                  .count = count},
    };
    return open_ring(out);
}

void cb_vault_keyring_close(cb_vault_keyring *vault) { cb_keyring_close(&vault->keyring); }
