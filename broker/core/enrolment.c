/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Enrolments: adding, reading, removing. Their keys change in enrolment_key.c.
 */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/enrolment_key.h"
#include "broker/core/said.h"
#include "broker/core/state.h"

/* ---- Adding ---- */

typedef struct add_enrolment {
    cb_act act;
    cb_enrolment enrolment; /* its key waits in .next */
} add_enrolment;

static cb_error write_added(cb_txn *txn, const add_enrolment *add, bool ready)
{
    const cb_enrolment *e = &add->enrolment;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "enrolment.added", &add->act);
    cb_leaf_id(&leaf, "enrolment", &e->id);
    cb_said_enrolment(&leaf, e);
    cb_leaf_text(&leaf, "state", cb_enrolment_state_name(e->state));
    cb_key_leaf(&leaf, &e->next);
    cb_error error = cb_row_enrolment_put(txn, e);
    if (!error)
        error = cb_row_key_put(txn, &e->id, ready, &e->next);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error run_add(cb_txn *txn, void *context)
{
    add_enrolment *add = context;
    cb_service service;
    cb_service_init(&service);
    cb_error error = cb_row_service_get(txn, add->enrolment.service, &service);
    bool ready = !error && !service.certificate;
    add->enrolment.state = ready ? CB_ENROLMENT_ACTIVE : CB_ENROLMENT_PENDING;
    if (!error)
        error = write_added(txn, add, ready);
    cb_service_free(&service);
    return error;
}

static cb_error take(const cb_enrolment_new *from, int64_t now, cb_enrolment *to)
{
    const char *data = from->data ? from->data : "{}";
    if (!from->service || !cb_service_name_ok(from->service))
        return CB_E_ARGUMENT;
    cb_error error = cb_json_object_check(data, CB_ENROLMENT_DATA_MAX);
    if (error)
        return error;
    to->id = cb_id_new();
    to->holder = from->holder;
    memcpy(to->service, from->service, strlen(from->service) + 1);
    to->created = to->changed = now;
    cb_buf_put_str(&to->data, data);
    error = cb_key_take(&to->holder, to->service, from->sealed, from->public_key, &to->next);
    return error ? error : cb_buf_error(&to->data);
}

static cb_error read_back(cb_store *store, const cb_id *id, cb_enrolment *out)
{
    return out ? cb_enrolment_get(store, id, out) : CB_OK;
}

cb_error cb_enrolment_add(cb_store *store, const char *actor, const cb_enrolment_new *enrolment,
                          cb_enrolment *out)
{
    add_enrolment add = {.act = {.actor = actor, .time = cb_clock_wall_us()}};
    cb_enrolment_init(&add.enrolment);
    cb_error error = cb_act_check(actor, NULL);
    if (!error)
        error = take(enrolment, add.act.time, &add.enrolment);
    if (!error)
        error = cb_act_write(store, run_add, &add, CB_WRITE_ORDINARY);
    if (!error)
        error = read_back(store, &add.enrolment.id, out);
    cb_enrolment_free(&add.enrolment);
    return error;
}

/* ---- Removing ---- */

typedef struct remove_enrolment {
    cb_act act;
    const cb_id *id;
} remove_enrolment;

static cb_error write_removed(cb_txn *txn, const remove_enrolment *remove, uint8_t state)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "enrolment.removed", &remove->act);
    cb_leaf_id(&leaf, "enrolment", remove->id);
    cb_leaf_text(&leaf, "state", cb_enrolment_state_name(state));
    cb_error error = cb_row_enrolment_state(txn, remove->id, state, remove->act.time);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error run_remove(cb_txn *txn, void *context)
{
    const remove_enrolment *remove = context;
    cb_enrolment enrolment;
    uint8_t state = 0;
    cb_tap_match match = {.enrolment = remove->id};
    cb_enrolment_init(&enrolment);
    cb_error error = cb_row_enrolment_get(txn, remove->id, &enrolment);
    if (!error)
        error = cb_enrolment_next(enrolment.state, CB_ENROLMENT_REMOVE, &state);
    if (!error)
        error = cb_act_affected(txn, &match, remove->act.affected);
    if (!error)
        error = write_removed(txn, remove, state);
    if (!error)
        error = cb_key_retire(txn, &remove->act, remove->id, &enrolment.current);
    if (!error)
        error = cb_key_retire(txn, &remove->act, remove->id, &enrolment.next);
    cb_enrolment_free(&enrolment);
    return error;
}

cb_error cb_enrolment_remove(cb_store *store, const char *actor, const cb_id *id,
                             cb_affected *affected)
{
    remove_enrolment remove = {.act = {actor, NULL, cb_clock_wall_us(), affected}, .id = id};
    if (cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_remove, &remove, CB_WRITE_URGENT);
}

/* ---- Reading ---- */

typedef struct get_enrolment {
    const cb_id *id;
    cb_enrolment *out;
} get_enrolment;

static cb_error run_get(cb_txn *txn, void *context)
{
    const get_enrolment *get = context;
    return cb_row_enrolment_get(txn, get->id, get->out);
}

cb_error cb_enrolment_get(cb_store *store, const cb_id *id, cb_enrolment *out)
{
    get_enrolment get = {id, out};
    return cb_store_read(store, run_get, &get);
}

typedef struct list_enrolments {
    const cb_id *holder;
    const char *service;
    const cb_id *after;
    unsigned limit;
    cb_enrolment_visitor each;
    void *context;
} list_enrolments;

static cb_error run_list(cb_txn *txn, void *context)
{
    const list_enrolments *list = context;
    return cb_row_enrolment_each(txn, list->holder, list->service, list->after, list->limit,
                                 list->each, list->context);
}

cb_error cb_enrolment_list(cb_store *store, const cb_id *holder, const char *service,
                           const cb_id *after, unsigned limit, cb_enrolment_visitor each,
                           void *context)
{
    list_enrolments list = {holder, service, after, limit, each, context};
    return cb_store_read(store, run_list, &list);
}
