/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/said.h"
#include "connectors/client.h"

typedef struct write_service {
    cb_act act;
    const char *kind;
    cb_service service;
    cb_error (*put)(cb_txn *txn, const cb_service *service);
} write_service;

static cb_error run_write(cb_txn *txn, void *context)
{
    const write_service *write = context;
    const cb_service *service = &write->service;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, write->kind, &write->act);
    cb_said_service(&leaf, service);
    cb_error error = write->put(txn, service);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error == CB_E_NOT_FOUND ? CB_E_SERVICE_UNKNOWN : error;
}

static bool service_ok(const cb_service_new *s)
{
    return s->name && cb_service_name_ok(s->name) && cb_name_ok(s->title) && s->connector &&
           cb_service_name_ok(s->connector) && cb_level_ok(s->level) && s->kind <= CB_SESSION_RELAYED &&
           !(s->kinds & 1) && s->kinds < 1 << (CB_TERMINAL_PERSONAL + 1) && s->life >= 0 &&
           s->idle >= 0;
}

static cb_error take(const cb_service_new *from, int64_t now, cb_service *to)
{
    memcpy(to->name, from->name, strlen(from->name) + 1);
    memcpy(to->title, from->title, strlen(from->title) + 1);
    memcpy(to->connector, from->connector, strlen(from->connector) + 1);
    to->level = from->level;
    to->kind = from->kind;
    to->kinds = from->kinds;
    to->pad = from->pad;
    to->certificate = from->certificate;
    to->life = from->life;
    to->idle = from->idle;
    to->created = to->changed = now;
    cb_buf_put_str(&to->config, from->config ? from->config : "{}");
    return cb_buf_error(&to->config);
}

static cb_error do_write(cb_store *store, const char *actor, const char *kind,
                         const cb_service_new *service,
                         cb_error (*put)(cb_txn *txn, const cb_service *service))
{
    write_service write = {
        .act = {.actor = actor, .time = cb_clock_wall_us()}, .kind = kind, .put = put};
    if (cb_act_check(actor, NULL) || !service_ok(service))
        return CB_E_ARGUMENT;
    cb_error error =
        service->config ? cb_json_object_check(service->config, CB_SERVICE_CONFIG_MAX) : CB_OK;
    cb_service_init(&write.service);
    if (!error)
        error = take(service, write.act.time, &write.service);
    if (!error)
        error = cb_act_write(store, run_write, &write, CB_WRITE_ORDINARY);
    cb_service_free(&write.service);
    return error;
}

cb_error cb_service_add(cb_store *store, const char *actor, const cb_service_new *service)
{
    return do_write(store, actor, "service.added", service, cb_row_service_put);
}

cb_error cb_service_update(cb_store *store, const char *actor, const cb_service_new *service)
{
    return do_write(store, actor, "service.updated", service, cb_row_service_replace);
}

/* ---- Reading ---- */

typedef struct get_service {
    const char *name;
    cb_service *out;
} get_service;

static cb_error run_get(cb_txn *txn, void *context)
{
    const get_service *get = context;
    cb_error error = cb_row_service_get(txn, get->name, get->out);
    return error == CB_E_NOT_FOUND ? CB_E_SERVICE_UNKNOWN : error;
}

cb_error cb_service_get(cb_store *store, const char *name, cb_service *out)
{
    get_service get = {name, out};
    return cb_store_read(store, run_get, &get);
}

typedef struct list_services {
    const char *after;
    unsigned limit;
    cb_service_visitor each;
    void *context;
} list_services;

static cb_error run_list(cb_txn *txn, void *context)
{
    const list_services *list = context;
    return cb_row_service_each(txn, list->after, list->limit, list->each, list->context);
}

cb_error cb_service_list(cb_store *store, const char *after, unsigned limit,
                         cb_service_visitor each, void *context)
{
    list_services list = {after, limit, each, context};
    return cb_store_read(store, run_list, &list);
}
