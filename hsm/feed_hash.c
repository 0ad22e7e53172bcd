/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/records.h"

cb_digest cb_feed_hash(const cb_digest *previous, const cb_feed_entry *entry)
{
    static const char domain[] = "cardbroker feed 1";
    uint8_t fixed[17];
    for (unsigned i = 0; i < 8; i++) {
        fixed[i] = (uint8_t)(entry->number >> (56 - 8 * i));
        fixed[9 + i] = (uint8_t)((uint64_t)entry->time >> (56 - 8 * i));
    }
    fixed[8] = entry->kind;
    return cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(domain), cb_digest_bytes(previous),
                                        cb_bytes_make(fixed, 9), cb_id_bytes(&entry->subject),
                                        cb_bytes_make(fixed + 9, 8)},
                           5);
}
