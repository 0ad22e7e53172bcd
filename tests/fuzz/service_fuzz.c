/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a service and a browser say to each other through a relayed session, and the origins of
 * services.
 */
#include <stdlib.h>

#include "connectors/host/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cb_origin service = {"service.example", 443};
    cb_bytes bytes = cb_bytes_make(data, size);
    cb_buf out = CB_BUF(256 * 1024), text = CB_BUF(size + 1);
    cb_origin origin;
    const char *path;
    cb_bytes value;
    cb_headers_to_browser(bytes, &service, &out);
    cb_buf_reset(&out);
    cb_headers_to_service(bytes, &service, cb_bytes_str("X-Added: 1\r\n"), &out);
    cb_header_find(bytes, "Content-Length", &value);
    cb_buf_put(&text, bytes);
    const char *string = cb_buf_cstr(&text);
    if (string && cb_origin_of(string, &origin, &path) == CB_OK &&
        (!origin.host[0] || origin.port == 0))
        abort();
    cb_buf_free(&out);
    cb_buf_free(&text);
    return 0;
}
