/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a reader's driver says of its features, and what it answers to a verification.
 */
#include <stdlib.h>

#include "cardlink/script.h"
#include "cardlink/terminal/pad.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_bytes input = cb_bytes_make(data, size);
    uint32_t code = 0, again = 0;
    bool found = cb_pad_find(input, &code);
    if (found && (size < 6 || !cb_pad_find(input, &again) || again != code))
        abort();
    if (cb_pad_outcome(input) == CB_OK && size != 2) /* nothing but a status */
        abort();
    return 0;
}
