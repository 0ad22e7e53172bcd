/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows of stock, of applications, and of what did not fit; as txn.h.
 */
#ifndef CB_BROKER_STORE_ROW_STOCK_H
#define CB_BROKER_STORE_ROW_STOCK_H

#include "broker/store/txn.h"

typedef struct cb_batch {
    cb_id id;
    char manufacturer[CB_STOCK_TEXT], name[CB_STOCK_TEXT];
    int64_t created;
} cb_batch;

typedef struct cb_stock {
    char manufacturer[CB_STOCK_TEXT], serial[CB_STOCK_TEXT];
    cb_id batch;
    uint8_t state;  /* cb_card_state */
    cb_id identity; /* of the card; zero: not known */
    char delivery[CB_STOCK_TEXT];
    int64_t line, changed;
} cb_stock;

typedef struct cb_mismatch {
    cb_id id;
    char kind[33];
    char manufacturer[CB_STOCK_TEXT], serial[CB_STOCK_TEXT], delivery[CB_STOCK_TEXT];
    cb_id card, application; /* zero: none */
    char actor[CB_ACTOR_TEXT];
    int64_t time;
} cb_mismatch;

typedef enum cb_application_state {
    CB_APPLICATION_ENTERED = 1,
    CB_APPLICATION_APPROVED = 2,
    CB_APPLICATION_ISSUED = 3,
    CB_APPLICATION_REFUSED = 4
} cb_application_state;

typedef struct cb_application {
    cb_id id, holder;
    uint8_t profile;
    char reason[16]; /* "first", "replacement" */
    uint8_t state;   /* cb_application_state */
    char operator[CB_ACTOR_TEXT], approver[CB_ACTOR_TEXT];
    cb_id card; /* zero: none yet */
    int64_t created, changed;
} cb_application;

extern const char *const cb_application_states[];
const char *cb_application_state_name(uint8_t state);

cb_error cb_row_batch_put(cb_txn *txn, const cb_batch *batch);
cb_error cb_row_batch_find(cb_txn *txn, const char *manufacturer, const char *name, cb_batch *out);

typedef cb_error (*cb_stock_visitor)(void *context, const cb_stock *stock);
cb_error cb_row_stock_put(cb_txn *txn, const cb_stock *stock);
cb_error cb_row_stock_get(cb_txn *txn, const char *manufacturer, const char *serial, cb_stock *out);
cb_error cb_row_stock_find(cb_txn *txn, const cb_id *identity, cb_stock *out);
cb_error cb_row_stock_set(cb_txn *txn, const cb_stock *stock); /* all but its key and batch */
/* state and delivery may be NULL: any. */
cb_error cb_row_stock_each(cb_txn *txn, const char *manufacturer, const char *state,
                           const char *delivery, const char *after, unsigned limit,
                           cb_stock_visitor each, void *context);
/* Of a delivery, in transit, and not said to be missing yet. */
cb_error cb_row_stock_missing(cb_txn *txn, const char *manufacturer, const char *delivery,
                              unsigned limit, cb_stock_visitor each, void *context);

typedef cb_error (*cb_mismatch_visitor)(void *context, const cb_mismatch *mismatch);
cb_error cb_row_mismatch_put(cb_txn *txn, const cb_mismatch *mismatch);
cb_error cb_row_mismatch_each(cb_txn *txn, const cb_id *after, unsigned limit,
                              cb_mismatch_visitor each, void *context);

typedef cb_error (*cb_application_visitor)(void *context, const cb_application *application);
cb_error cb_row_application_put(cb_txn *txn, const cb_application *application);
cb_error cb_row_application_get(cb_txn *txn, const cb_id *id, cb_application *out);
/* The first approved one of a holder for this. */
cb_error cb_row_application_find(cb_txn *txn, const cb_id *holder, uint8_t profile,
                                 const char *reason, cb_application *out);
cb_error cb_row_application_set(cb_txn *txn,
                                const cb_application *application); /* state, approver, card */
/* holder and state may be NULL. */
cb_error cb_row_application_each(cb_txn *txn, const cb_id *holder, const char *state,
                                 const cb_id *after, unsigned limit, cb_application_visitor each,
                                 void *context);

#endif
