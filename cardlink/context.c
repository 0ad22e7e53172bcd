/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/context.h"

static bool service_character(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool cb_service_name_ok(const char *name)
{
    if (!name || !service_character(name[0]))
        return false;
    size_t len = 0;
    for (; name[len]; len++) {
        if (len == CB_SERVICE_NAME_MAX || !(service_character(name[len]) || name[len] == '-'))
            return false;
    }
    return true;
}

cb_digest cb_tap_context_digest(const cb_tap_context *context)
{
    static const char domain[] = "cardbroker tap context 1"; /* its final zero is part of it */
    size_t service_len = strnlen(context->service, CB_SERVICE_NAME_MAX);
    const uint8_t numbers[] = {context->profile, context->purpose, context->level,
                               (uint8_t)service_len};
    const cb_bytes parts[] = {CB_BYTES_OF(domain),
                              cb_id_bytes(&context->tap),
                              cb_id_bytes(&context->terminal),
                              CB_BYTES_OF(numbers),
                              cb_bytes_make(context->service, service_len),
                              cb_digest_bytes(&context->text)};
    return cb_sha256_parts(parts, sizeof parts / sizeof parts[0]);
}
