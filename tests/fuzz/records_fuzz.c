/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The readable parts of sealed keys, bindings and receipts, before anybody has checked their MACs.
 * There is one way to write each: what was read, written again, is the same bytes.
 */
#include <stdlib.h>

#include "hsm/record_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_again(cb_bytes body, cb_buf *again)
{
    if (!cb_bytes_same(body, cb_buf_bytes(again)))
        abort();
    cb_buf_reset(again);
}

static void read_bodies(cb_bytes body)
{
    cb_bytes public_key, wrapped;
    cb_sealed_info sealed;
    cb_binding_info binding;
    cb_receipt_info receipt;
    cb_buf again = CB_BUF(CB_SEALED_MAX);
    if (cb_sealed_body_get(body, &sealed, &public_key, &wrapped) == CB_OK) {
        cb_sealed_body_put(&again, &sealed, public_key, wrapped);
        same_again(body, &again);
    }
    if (cb_binding_body_get(body, &binding) == CB_OK) {
        cb_binding_body_put(&again, &binding);
        same_again(body, &again);
    }
    if (cb_receipt_body_get(body, &receipt) == CB_OK) {
        cb_receipt_body_put(&again, &receipt);
        same_again(body, &again);
    }
    cb_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_bytes bytes = cb_bytes_make(data, size);
    cb_record_parts parts;
    cb_sealed_info sealed;
    cb_binding_info binding;
    cb_receipt_info receipt;
    if (cb_record_split(bytes, CB_SEALED_MAX, &parts) == CB_OK)
        read_bodies(parts.body);
    if (cb_sealed_info_read(bytes, &sealed) == CB_OK &&
        (!cb_service_name_ok(sealed.service) || !cb_key_algorithm_name(sealed.algorithm)))
        abort();
    if (cb_binding_info_read(bytes, &binding) == CB_OK && binding.level > CB_LEVEL_PIN)
        abort();
    cb_receipt_info_read(bytes, &receipt);
    return 0;
}
