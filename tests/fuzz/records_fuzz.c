/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The readable parts of sealed keys, bindings and receipts, before anybody has checked their MACs.
 */
#include <stdlib.h>

#include "hsm/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_bytes bytes = cb_bytes_make(data, size);
    cb_sealed_info sealed;
    cb_binding_info binding;
    cb_receipt_info receipt;
    if (cb_sealed_info_read(bytes, &sealed) == CB_OK &&
        (!cb_service_name_ok(sealed.service) || !cb_key_algorithm_name(sealed.algorithm)))
        abort();
    if (cb_binding_info_read(bytes, &binding) == CB_OK && binding.level > CB_LEVEL_PIN)
        abort();
    cb_receipt_info_read(bytes, &receipt);
    return 0;
}
