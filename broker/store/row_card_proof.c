/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row_card_proof.h"

#include "broker/store/row.h"

cb_error cb_row_card_proof_get(cb_txn *txn, const cb_id *card, cb_card_proof_row *out)
{
    cb_query q = cb_query_begin(
        txn->sql, "SELECT counter, at, heard, first_use, back FROM card_proof WHERE card = ?");
    *out = (cb_card_proof_row){.counter = 0};
    cb_query_id(&q, card);
    if (cb_query_next(&q)) {
        out->counter = (uint32_t)cb_column_number(&q, 0);
        out->at = cb_column_number(&q, 1);
        out->heard = (uint64_t)cb_column_number(&q, 2);
        out->first_use = cb_column_number(&q, 3);
        out->back = cb_column_number(&q, 4);
    }
    return cb_query_end(&q);
}

cb_error cb_row_card_proof_set(cb_txn *txn, const cb_id *card, const cb_card_proof_row *row)
{
    cb_query q = cb_query_begin(
        txn->sql, "INSERT OR REPLACE INTO card_proof (card, counter, at, heard, first_use, "
                  "back) VALUES (?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, card);
    cb_query_number(&q, row->counter);
    cb_query_number(&q, row->at);
    cb_query_number(&q, (int64_t)row->heard);
    cb_query_number(&q, row->first_use);
    cb_query_number(&q, row->back);
    return cb_query_run(&q);
}
