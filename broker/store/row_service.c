/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row.h"

#define COLUMNS                                                                                    \
    "name, title, connector, config, level, kind, certificate, life, idle, kinds, pad, changed, "   \
    "created"

/* In the order of COLUMNS without name and created. */
static void bind_content(cb_query *q, const cb_service *service, const char *config)
{
    cb_query_text(q, service->title);
    cb_query_text(q, service->connector);
    cb_query_text(q, config);
    cb_query_number(q, service->level);
    cb_query_number(q, service->kind);
    cb_query_number(q, service->certificate);
    cb_query_number(q, service->life);
    cb_query_number(q, service->idle);
    cb_query_number(q, service->kinds);
    cb_query_number(q, service->pad);
    cb_query_number(q, service->changed);
}

/* The configuration as a string; a copy, for a borrowed buffer may not be changed. */
static cb_error config_text(const cb_service *service, cb_buf *copy)
{
    cb_buf_put(copy, cb_buf_bytes(&service->config));
    return cb_buf_cstr(copy) ? CB_OK : cb_buf_error(copy);
}

cb_error cb_row_service_put(cb_txn *txn, const cb_service *service)
{
    cb_buf config = CB_BUF(CB_SERVICE_CONFIG_MAX + 1);
    cb_error error = config_text(service, &config);
    if (!error) {
        cb_query q = cb_query_begin(txn->sql, "INSERT INTO service (" COLUMNS
                                              ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
        cb_query_text(&q, service->name);
        bind_content(&q, service, cb_buf_cstr(&config));
        cb_query_number(&q, service->created);
        error = cb_query_run(&q);
    }
    cb_buf_free(&config);
    return error;
}

cb_error cb_row_service_replace(cb_txn *txn, const cb_service *service)
{
    cb_buf config = CB_BUF(CB_SERVICE_CONFIG_MAX + 1);
    cb_error error = config_text(service, &config);
    if (!error) {
        cb_query q = cb_query_begin(
            txn->sql, "UPDATE service SET title = ?, connector = ?, config = ?, level = ?, "
                      "kind = ?, certificate = ?, life = ?, idle = ?, kinds = ?, pad = ?, changed = ? "
                      "WHERE name = ?");
        bind_content(&q, service, cb_buf_cstr(&config));
        cb_query_text(&q, service->name);
        error = cb_query_change_one(&q);
    }
    cb_buf_free(&config);
    return error;
}

static void read_service(cb_query *q, cb_service *out)
{
    cb_column_text(q, 0, out->name, sizeof out->name);
    cb_column_text(q, 1, out->title, sizeof out->title);
    cb_column_text(q, 2, out->connector, sizeof out->connector);
    cb_column_buf(q, 3, &out->config);
    out->level = cb_column_byte(q, 4);
    out->kind = cb_column_byte(q, 5);
    out->certificate = cb_column_number(q, 6) != 0;
    out->life = cb_column_number(q, 7);
    out->idle = cb_column_number(q, 8);
    out->kinds = cb_column_byte(q, 9);
    out->pad = cb_column_number(q, 10) != 0;
    out->changed = cb_column_number(q, 11);
    out->created = cb_column_number(q, 12);
}

cb_error cb_row_service_get(cb_txn *txn, const char *name, cb_service *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM service WHERE name = ?");
    cb_query_text(&q, name);
    bool found = cb_query_next(&q);
    if (found)
        read_service(&q, out);
    return cb_row_found(&q, found);
}

cb_error cb_row_service_each(cb_txn *txn, const char *after, unsigned limit,
                             cb_service_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_service service;
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS
                                          " FROM service WHERE name > ? ORDER BY name LIMIT ?");
    cb_query_text(&q, after ? after : "");
    cb_query_number(&q, cb_row_limit(limit));
    cb_service_init(&service);
    while (!error && cb_query_next(&q)) {
        read_service(&q, &service);
        error = q.error ? q.error : each(context, &service);
    }
    cb_service_free(&service);
    return cb_row_visited(&q, error);
}
