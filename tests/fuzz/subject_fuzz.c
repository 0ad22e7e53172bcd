/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Subjects of certificate requests as an administrator writes them.
 */
#include <stdlib.h>

#include "broker/ctl/subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_buf text = CB_BUF(size + 1), der = CB_BUF(4096), why = CB_BUF(1024);
    cb_buf_put(&text, cb_bytes_make(data, size));
    const char *string = cb_buf_cstr(&text);
    if (string && cb_subject_parse(string, &der, &why) == CB_OK &&
        (der.len == 0 || der.len > CB_SUBJECT_MAX || der.data[0] != 0x30))
        abort();
    cb_buf_free(&text);
    cb_buf_free(&der);
    cb_buf_free(&why);
    return 0;
}
