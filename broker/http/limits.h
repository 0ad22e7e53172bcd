/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How much a network may take: connections at a time, handshakes under way, connections from one
 * address, and how slow a client may be. What is over a limit is closed at once, without an answer:
 * an answer would cost what the limit saves.
 */
#ifndef CB_BROKER_HTTP_LIMITS_H
#define CB_BROKER_HTTP_LIMITS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct cb_limits {
    unsigned connections;   /* at a time */
    unsigned handshakes;    /* under way at a time */
    unsigned per_address;   /* connections of one IPv4 address, or of one IPv6 /64 */
    int64_t handshake_time; /* microseconds from accept to the end of the handshake */
    int64_t idle_time;      /* without a byte in either direction */
    int64_t request_grace;  /* a client may take this long to send a request … */
    uint64_t
        request_rate;   /* … and afterwards must have sent this many bytes for each second more */
    int64_t close_time; /* for the client to notice that the connection ends */
} cb_limits;

/* 4096 connections, 256 handshakes of 5 s, 1024 an address, 120 s idle, 15 s and 512 bytes a
 * second. */
cb_limits cb_limits_default(void);

/* Whether a client that has sent bytes of its request since "began" is too slow by now (both
 * monotonic). */
bool cb_limits_too_slow(const cb_limits *limits, int64_t began, uint64_t bytes, int64_t now);

/* A quarter of all handshakes, at least one: silent connections of a single address must not keep
 * everybody else out. */
unsigned cb_limits_handshakes_per_address(const cb_limits *limits);

/* Connections counted by where they come from. Thread-safe. */
typedef struct cb_addresses cb_addresses;

typedef struct cb_address {
    uint8_t bytes[16]; /* IPv6, the host half zeroed; IPv4 as ::ffff:a.b.c.d */
} cb_address;

cb_address cb_address_of(const struct sockaddr_storage *from);

cb_error cb_addresses_open(cb_addresses **out);
void cb_addresses_close(cb_addresses **addresses);

/* Counts one more unless there are most already: then false. Each true is given back once. */
bool cb_addresses_take(cb_addresses *addresses, const cb_address *address, unsigned most);
void cb_addresses_put(cb_addresses *addresses, const cb_address *address);

#endif
