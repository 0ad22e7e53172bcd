/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates, state files and PIN ciphertexts: what comes from outside in one piece.
 */
#include <stdlib.h>

#include "cardlink/card/native/state.h"
#include "cardlink/native/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t scalar[CB_P256_SCALAR] = {[31] = 1};
    static uint8_t point[CB_P256_POINT];
    cb_bytes bytes = cb_bytes_make(data, size);
    cb_trust_anchor anchor;
    cb_vcard_state state;
    cb_pin_block block;
    cb_cvc cvc;
    if (point[0] == 0 && cb_p256_public(scalar, point))
        abort();
    if (cb_cvc_parse(bytes, &cvc) == CB_OK) {
        if (cvc.point.len != CB_P256_POINT || cvc.signature.len != CB_P256_SIGNATURE ||
            cvc.subject.len > CB_CVC_NAME_MAX || cvc.signed_bytes.len > size)
            abort();
        cb_trust_anchor_parse(bytes, &anchor);
    }
    cb_vcard_state_parse(bytes, &state);
    cb_pin_decrypt(bytes, scalar, point, &block);
    return 0;
}
