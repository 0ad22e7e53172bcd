/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A store to be measured: a signer in software that takes about as long as SoftHSM's resident key,
 * rows as the key service would make them but for their MACs, and a tap that is T1 and T2 alone.
 * What cannot be done ends the program.
 */
#ifndef CB_TESTS_BENCH_STORE_PLACE_H
#define CB_TESTS_BENCH_STORE_PLACE_H

#include "broker/core/decide.h"
#include "broker/store/txn.h"

typedef struct signer {
    uint8_t scalar[CB_P256_SCALAR];
    uint8_t point[CB_P256_POINT];
    cb_tree_head remembered;
    unsigned signatures;
} signer;

void signer_begin(signer *s);
cb_head_signer signer_of(signer *s);

/* Ends the program with the error and what failed. */
void need(cb_error error, const char *what);

/* Who taps, where, for which service. */
typedef struct tapped {
    cb_id card, holder, terminal;
    const char *service;
} tapped;

cb_id add_terminal(cb_store *store, const char *name);
void add_service(cb_store *store, const char *name);

/* A holder and an active card. */
void add_citizen(cb_store *store, cb_id *holder, cb_id *card);
void add_key(cb_store *store, const cb_id *holder, const char *service);

/* Times in microseconds. */
void tap_once(cb_store *store, const tapped *who, int64_t *t1, int64_t *t2);

/* The value below which per_mille of them are; sorts. */
int64_t quantile(int64_t *us, size_t count, unsigned per_mille);

#endif
