/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "base/clock.h"
#include "broker/core/act.h"

typedef struct add_holder {
    cb_act act;
    cb_holder holder;
} add_holder;

cb_error cb_holder_put_in(cb_txn *txn, const cb_act *act, const cb_holder *holder)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "holder.added", act);
    cb_leaf_id(&leaf, "holder", &holder->id);
    cb_error error = cb_row_holder_put(txn, holder);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_holder_enter_in(cb_txn *txn, const cb_act *act, const cb_id *id, const char *name)
{
    cb_holder holder;
    if (!cb_name_ok(name) || cb_id_is_zero(id))
        return CB_E_ARGUMENT;
    cb_error error = cb_row_holder_get(txn, id, &holder);
    if (!error)
        return strcmp(holder.name, name) == 0 ? CB_OK : CB_E_EXISTS;
    if (error != CB_E_NOT_FOUND)
        return error;
    holder = (cb_holder){.id = *id, .created = act->time};
    memcpy(holder.name, name, strlen(name) + 1);
    return cb_holder_put_in(txn, act, &holder);
}

static cb_error run_add(cb_txn *txn, void *context)
{
    const add_holder *add = context;
    return cb_holder_put_in(txn, &add->act, &add->holder);
}

cb_error cb_holder_add(cb_store *store, const char *actor, const char *name, cb_holder *out)
{
    cb_id id = cb_id_new();
    return cb_holder_add_as(store, actor, &id, name, out);
}

cb_error cb_holder_add_as(cb_store *store, const char *actor, const cb_id *id, const char *name,
                          cb_holder *out)
{
    add_holder add = {.act = {.actor = actor, .time = cb_clock_wall_us()}};
    if (!cb_name_ok(name) || cb_id_is_zero(id) || cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    add.holder.id = *id;
    add.holder.created = add.act.time;
    memcpy(add.holder.name, name, strlen(name) + 1);
    cb_error error = cb_act_write(store, run_add, &add, CB_WRITE_ORDINARY);
    if (!error && out)
        *out = add.holder;
    return error;
}

typedef struct get_holder {
    const cb_id *id;
    cb_holder *out;
} get_holder;

static cb_error run_get(cb_txn *txn, void *context)
{
    const get_holder *get = context;
    return cb_row_holder_get(txn, get->id, get->out);
}

cb_error cb_holder_get(cb_store *store, const cb_id *id, cb_holder *out)
{
    get_holder get = {id, out};
    return cb_store_read(store, run_get, &get);
}

typedef struct list_holders {
    const cb_id *after;
    unsigned limit;
    cb_holder_visitor each;
    void *context;
} list_holders;

static cb_error run_list(cb_txn *txn, void *context)
{
    const list_holders *list = context;
    return cb_row_holder_each(txn, list->after, list->limit, list->each, list->context);
}

cb_error cb_holder_list(cb_store *store, const cb_id *after, unsigned limit, cb_holder_visitor each,
                        void *context)
{
    list_holders list = {after, limit, each, context};
    return cb_store_read(store, run_list, &list);
}
