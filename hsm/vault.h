/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the request handlers ask of the HSM, as a table: the keyring fills it in (vault_keyring.c), and
 * tests and fuzzers put something in its place that needs no token.
 *
 * Each function gets context first. Errors are those of keyring.h, sealed.h, binding.h and
 * receipt.h.
 */
#ifndef CB_HSM_VAULT_H
#define CB_HSM_VAULT_H

#include "base/merkle.h"
#include "hsm/client.h"

#define CB_TERMINAL_CA_KEY "terminal-authority" /* for public_key */

typedef struct cb_vault {
    void *context;

    /* Whether only a new process can use the HSM again. NULL: it never comes to that. */
    bool (*given_up)(void *context);

    /* For taps. */
    cb_error (*binding_check)(void *context, cb_bytes binding, cb_binding_info *out);
    cb_error (*sealed_check)(void *context, cb_bytes sealed, cb_sealed_info *out);
    /* Unwraps, uses once, destroys: between two calls no key of a holder is open. Of sealed,
     * sealed_check must have said that it is genuine; it is not looked at again. */
    cb_error (*sealed_use)(void *context, cb_bytes sealed, uint8_t operation, uint8_t hash,
                           cb_bytes data, cb_buf *result);
    cb_error (*receipt_make)(void *context, const cb_receipt_info *info, cb_buf *receipt);
    cb_error (*head_check)(void *context, const cb_tree_head *head, const cb_digest *mac);
    cb_error (*password_mac)(void *context, const cb_id *password, cb_bytes key, cb_digest *mac);

    /* For the log. */
    cb_error (*head_mac)(void *context, const cb_tree_head *head, cb_digest *mac);
    cb_error (*log_sign)(void *context, const cb_digest *digest,
                         uint8_t signature[CB_P256_SIGNATURE]);

    /* For terminals: by the terminal CA, over a certificate that hsmd built. */
    cb_error (*terminal_sign)(void *context, const cb_digest *digest,
                              uint8_t signature[CB_P256_SIGNATURE]);

    /* For administrators. */
    cb_error (*password_salt)(void *context, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT]);
    cb_error (*binding_make)(void *context, const cb_binding_info *info, cb_buf *binding);
    cb_error (*generate)(void *context, cb_sealed_info *info, cb_bytes subject, cb_buf *sealed,
                         cb_buf *public_key, cb_buf *csr);
    cb_error (*import)(void *context, cb_sealed_info *info, cb_bytes wrapped, cb_buf *sealed,
                       cb_buf *public_key);
    cb_error (*rewrap)(void *context, cb_bytes sealed, cb_buf *out);
    cb_error (*new_generation)(void *context, uint32_t *generation);
    cb_error (*public_key)(void *context, const char *name, cb_buf *out);
    cb_error (*receipt_check)(void *context, cb_bytes receipt);
    cb_error (*count)(void *context, uint32_t *generation, uint32_t *objects);
} cb_vault;

#endif
