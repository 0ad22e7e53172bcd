/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>

#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/said.h"
#include "broker/core/state.h"
#include "broker/core/terminal_parts.h"

/* ---- Adding ---- */

typedef struct add_terminal {
    cb_act act;
    cb_terminal terminal;
    const cb_terminal_code *code;
} add_terminal;

static cb_error run_add(cb_txn *txn, void *context)
{
    const add_terminal *add = context;
    const cb_terminal *terminal = &add->terminal;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "terminal.added", &add->act);
    cb_said_terminal(&leaf, terminal);
    cb_error error = cb_row_terminal_put(txn, terminal);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error && add->code)
        error = cb_terminal_code_write(txn, &add->act, &terminal->id, add->code);
    cb_buf_free(&leaf);
    return error;
}

/* In the place of a key that is not there yet: a digest, unlike any other, of nobody's key. */
static cb_digest no_key(const cb_id *terminal)
{
    static const char domain[] = "cardbroker terminal without a key 1";
    return cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(domain), cb_id_bytes(terminal)}, 2);
}

static bool has_service(const cb_terminal *terminal, const char *service)
{
    for (unsigned i = 0; i < terminal->service_count; i++) {
        if (strcmp(terminal->services[i], service) == 0)
            return true;
    }
    return false;
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

cb_error cb_terminal_allow(const cb_terminal_new *from, cb_terminal *to)
{
    to->rate = from->rate;
    to->passwords = from->passwords;
    to->kind = from->kind;
    to->pad = from->pad;
    to->all_services = !from->services;
    to->service_count = 0;
    if (from->kind > CB_TERMINAL_PERSONAL ||
        (from->services && from->service_count > CB_TERMINAL_SERVICES_MAX))
        return CB_E_ARGUMENT;
    for (unsigned i = 0; from->services && i < from->service_count; i++) {
        const char *name = from->services[i];
        if (!name || !cb_service_name_ok(name) || has_service(to, name))
            return CB_E_ARGUMENT;
        memcpy(to->services[to->service_count++], name, strlen(name) + 1);
    }
    /* As the database gives them back. */
    qsort(to->services, to->service_count, sizeof to->services[0], by_name);
    return CB_OK;
}

cb_error cb_terminal_add(cb_store *store, const char *actor, const cb_terminal_new *terminal,
                         cb_terminal *out)
{
    add_terminal add = {.act = {.actor = actor, .time = cb_clock_wall_us()}};
    if (!cb_name_ok(terminal->name) || cb_act_check(actor, NULL) ||
        cb_terminal_allow(terminal, &add.terminal))
        return CB_E_ARGUMENT;
    memcpy(add.terminal.name, terminal->name, strlen(terminal->name) + 1);
    add.terminal.id = cb_id_new();
    add.code = terminal->code;
    add.terminal.state = terminal->code ? CB_TERMINAL_REGISTERED : CB_TERMINAL_ACTIVE;
    add.terminal.key = terminal->code ? no_key(&add.terminal.id) : terminal->key;
    add.terminal.created = add.terminal.changed = add.act.time;
    cb_error error = cb_act_write(store, run_add, &add, CB_WRITE_ORDINARY);
    if (!error && out)
        *out = add.terminal;
    return error;
}

/* ---- Reading ---- */

bool cb_terminal_allows(const cb_terminal *terminal, const char *service)
{
    return terminal->all_services || has_service(terminal, service);
}

typedef struct get_terminal {
    const cb_id *id;
    const cb_digest *key;
    bool vouched;
    cb_terminal *out;
} get_terminal;

static cb_error run_get(cb_txn *txn, void *context)
{
    const get_terminal *get = context;
    cb_error error = get->id ? cb_row_terminal_get(txn, get->id, get->out)
                             : cb_row_terminal_find(txn, get->key, get->out);
    /* Of one that is over, the log has no word any more. */
    if (!error && get->vouched && cb_terminal_refusal(get->out->state) == CB_OK)
        error = cb_said_of_terminal(txn, get->out);
    return error;
}

cb_error cb_terminal_get(cb_store *store, const cb_id *id, cb_terminal *out)
{
    get_terminal get = {.id = id, .out = out};
    return cb_store_read(store, run_get, &get);
}

cb_error cb_terminal_get_vouched(cb_store *store, const cb_id *id, cb_terminal *out)
{
    get_terminal get = {.id = id, .vouched = true, .out = out};
    cb_error error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
    return error ? error : cb_store_read_said(store, run_get, &get);
}

/* ending: also one that is de-activated, whose next key takes no other's place by that. */
static cb_error find(cb_store *store, const cb_digest *key, bool ending, cb_terminal *out)
{
    get_terminal get = {.key = key, .out = out};
    cb_error error = cb_store_read(store, run_get, &get);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_TERMINAL_UNKNOWN : error;
    error = cb_terminal_refusal(out->state);
    bool idle = ending && error == CB_E_TERMINAL_INACTIVE;
    if (error && !idle)
        return error;
    bool next = memcmp(&out->key, key, sizeof *key) != 0;
    int64_t expires = next ? out->next_expires : out->expires;
    if (expires && cb_clock_wall_us() >= expires)
        return CB_E_TERMINAL_EXPIRED;
    return next && !idle ? cb_terminal_promote(store, key, out) : CB_OK;
}

cb_error cb_terminal_find(cb_store *store, const cb_digest *key, cb_terminal *out)
{
    return find(store, key, false, out);
}

cb_error cb_terminal_find_ending(cb_store *store, const cb_digest *key, cb_terminal *out)
{
    return find(store, key, true, out);
}

typedef struct list_terminals {
    const cb_id *after;
    unsigned limit;
    cb_terminal_visitor each;
    void *context;
} list_terminals;

static cb_error run_list(cb_txn *txn, void *context)
{
    const list_terminals *list = context;
    return cb_row_terminal_each(txn, list->after, list->limit, list->each, list->context);
}

cb_error cb_terminal_list(cb_store *store, const cb_id *after, unsigned limit,
                          cb_terminal_visitor each, void *context)
{
    list_terminals list = {after, limit, each, context};
    return cb_store_read(store, run_list, &list);
}
