/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The first bytes of a connection, read before the TLS library sees them.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/http/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[CB_SERVER_NAME];
    memset(name, 'x', sizeof name);
    cb_hello seen = cb_hello_name(cb_bytes_make(data, size), name);
    if (seen != CB_HELLO_INCOMPLETE && !memchr(name, 0, sizeof name))
        abort();
    return 0;
}
