/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"

enum { SLOTS = 1024 };

struct count {
    cb_address address;
    unsigned connections;
    struct count *next;
};

struct cb_addresses {
    pthread_mutex_t lock;
    uint64_t seed; /* so that nobody can choose addresses that meet in one slot */
    struct count *slots[SLOTS];
};

cb_limits cb_limits_default(void)
{
    return (cb_limits){
        .connections = 4096,
        .handshakes = 256,
        .per_address = 1024,
        .handshake_time = 5 * CB_SECOND,
        .idle_time = 120 * CB_SECOND,
        .request_grace = 15 * CB_SECOND,
        .request_rate = 512,
        .close_time = 2 * CB_SECOND,
    };
}

bool cb_limits_too_slow(const cb_limits *limits, int64_t began, uint64_t bytes, int64_t now)
{
    int64_t over = now - began - limits->request_grace;
    return over > 0 && bytes < (uint64_t)(over / CB_SECOND + 1) * limits->request_rate;
}

unsigned cb_limits_handshakes_per_address(const cb_limits *limits)
{
    return limits->handshakes / 4 > 0 ? limits->handshakes / 4 : 1;
}

cb_address cb_address_of(const struct sockaddr_storage *from)
{
    cb_address address = {.bytes = {[10] = 0xFF, [11] = 0xFF}};
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
        memcpy(address.bytes + 12, &v4->sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(address.bytes, &v6->sin6_addr, sizeof address.bytes);
        if (!IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            memset(address.bytes + 8, 0, 8); /* one subscriber's network */
    }
    return address;
}

cb_error cb_addresses_open(cb_addresses **out)
{
    cb_addresses *addresses = calloc(1, sizeof *addresses);
    *out = addresses;
    if (!addresses)
        return CB_E_MEMORY;
    pthread_mutex_init(&addresses->lock, NULL);
    cb_random(&addresses->seed, sizeof addresses->seed);
    return CB_OK;
}

void cb_addresses_close(cb_addresses **addresses)
{
    if (!*addresses)
        return;
    for (size_t i = 0; i < SLOTS; i++) {
        while ((*addresses)->slots[i]) {
            struct count *gone = (*addresses)->slots[i];
            (*addresses)->slots[i] = gone->next;
            free(gone);
        }
    }
    pthread_mutex_destroy(&(*addresses)->lock);
    free(*addresses);
    *addresses = NULL;
}

static struct count **place_of(cb_addresses *addresses, const cb_address *address)
{
    uint64_t hash = addresses->seed;
    for (size_t i = 0; i < sizeof address->bytes; i++)
        hash = (hash ^ address->bytes[i]) * UINT64_C(0x100000001b3);
    struct count **at = &addresses->slots[(hash ^ (hash >> 32)) % SLOTS];
    while (*at && memcmp(&(*at)->address, address, sizeof *address) != 0)
        at = &(*at)->next;
    return at;
}

bool cb_addresses_take(cb_addresses *addresses, const cb_address *address, unsigned most)
{
    bool taken = false;
    pthread_mutex_lock(&addresses->lock);
    struct count **at = place_of(addresses, address);
    if (!*at) {
        *at = calloc(1, sizeof **at);
        if (*at)
            (*at)->address = *address;
    }
    if (*at && (*at)->connections < most) {
        (*at)->connections++;
        taken = true;
    }
    if (*at && (*at)->connections == 0) {
        free(*at); /* only when most is 0; new entries stand last in their slot */
        *at = NULL;
    }
    pthread_mutex_unlock(&addresses->lock);
    return taken;
}

void cb_addresses_put(cb_addresses *addresses, const cb_address *address)
{
    pthread_mutex_lock(&addresses->lock);
    struct count **at = place_of(addresses, address);
    if (*at && --(*at)->connections == 0) {
        struct count *gone = *at;
        *at = gone->next;
        free(gone);
    }
    pthread_mutex_unlock(&addresses->lock);
}
