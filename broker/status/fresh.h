/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How long what an issuer said of its certificates counts. Seconds since 1970.
 */
#ifndef CB_BROKER_STATUS_FRESH_H
#define CB_BROKER_STATUS_FRESH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cb_fresh_limits {
    int64_t skew; /* by which the issuer's clock and ours may differ */
    int64_t age;  /* nothing older than that counts, even if its issuer says so */
} cb_fresh_limits;

/* The last second in which it counts; next_update 0: the issuer does not say. */
static inline int64_t cb_fresh_until(int64_t this_update, int64_t next_update,
                                     const cb_fresh_limits *limits)
{
    int64_t by_age = this_update + limits->age + limits->skew;
    int64_t by_issuer = next_update + limits->skew;
    return next_update != 0 && by_issuer < by_age ? by_issuer : by_age;
}

static inline bool cb_is_fresh(int64_t this_update, int64_t next_update,
                               const cb_fresh_limits *limits, int64_t now)
{
    return this_update <= now + limits->skew &&
           now <= cb_fresh_until(this_update, next_update, limits);
}

#endif
