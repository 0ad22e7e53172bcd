/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Renewal of a terminal's key: the new one is certified while the old one is in use, and takes its
 * place when it is used for the first time. So nothing that is lost on the way, on either side,
 * leaves a terminal without a key that counts.
 */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/said.h"
#include "broker/core/state.h"
#include "broker/core/terminal_parts.h"

static cb_error write_leaf(cb_txn *txn, const char *kind, const cb_terminal *terminal)
{
    cb_act act = {.actor = "terminal", .time = cb_clock_wall_us()};
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, kind, &act);
    cb_said_terminal(&leaf, terminal);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static bool is_key(const cb_digest *key, const cb_digest *other)
{
    return memcmp(key, other, sizeof *key) == 0;
}

/* ---- Certifying ---- */

typedef struct certify {
    const cb_id *id;
    const cb_digest *key;
    cb_bytes certificate;
    int64_t expires;
} certify;

static cb_error run_certify(cb_txn *txn, void *context)
{
    const certify *c = context;
    cb_terminal terminal;
    cb_error error = cb_row_terminal_get(txn, c->id, &terminal);
    if (!error)
        error = cb_terminal_refusal(terminal.state);
    if (!error)
        error = cb_said_of_terminal(txn, &terminal);
    if (!error && terminal.expires == 0)
        error = CB_E_STATE;
    /* The same request, twice at a time: the terminal gets what the first has stored. */
    if (error || (terminal.next_expires && is_key(&terminal.next_key, c->key)))
        return error;
    terminal.next_key = *c->key;
    terminal.next_expires = c->expires;
    error = cb_row_terminal_next_key(txn, &terminal, c->certificate);
    return error ? error : write_leaf(txn, "terminal.certified", &terminal);
}

cb_error cb_terminal_certify(cb_store *store, const cb_id *id, const cb_digest *key,
                             cb_bytes certificate, int64_t expires)
{
    certify c = {id, key, certificate, expires};
    return cb_act_write(store, run_certify, &c, CB_WRITE_ORDINARY);
}

typedef struct fetch {
    const cb_id *id;
    const cb_digest *key;
    cb_buf *out;
    int64_t expires;
} fetch;

static cb_error run_fetch(cb_txn *txn, void *context)
{
    fetch *f = context;
    cb_terminal terminal;
    cb_buf_reset(f->out);
    cb_error error = cb_row_terminal_get(txn, f->id, &terminal);
    if (error)
        return error;
    bool next = terminal.next_expires && is_key(&terminal.next_key, f->key);
    f->expires = next ? terminal.next_expires : terminal.expires;
    if (f->expires == 0 || (!next && !is_key(&terminal.key, f->key)))
        return CB_E_NOT_FOUND;
    return cb_row_terminal_certificate(txn, f->id, next, f->out);
}

static cb_error run_nothing(cb_txn *txn, void *context)
{
    (void)txn, (void)context;
    return CB_OK;
}

/* What a start would take back (store/recheck.c) is not given out, whoever asks again. */
cb_error cb_terminal_certificate(cb_store *store, const cb_id *id, const cb_digest *key,
                                 cb_buf *out, int64_t *expires)
{
    fetch f = {.id = id, .key = key, .out = out};
    cb_error error = cb_store_read(store, run_fetch, &f);
    *expires = f.expires;
    return error ? error : cb_act_write(store, run_nothing, NULL, CB_WRITE_ORDINARY);
}

/* ---- The first use ---- */

typedef struct promote {
    const cb_digest *key;
    cb_terminal *terminal;
} promote;

static cb_error run_promote(cb_txn *txn, void *context)
{
    const promote *p = context;
    cb_terminal *terminal = p->terminal;
    cb_error error = cb_row_terminal_find(txn, p->key, terminal);
    if (!error)
        error = cb_terminal_refusal(terminal->state);
    if (error || is_key(&terminal->key, p->key))
        return error;
    /* What nobody but the product wrote; and no key of its makes lasts for ever. */
    error = cb_said_of_terminal(txn, terminal);
    if (!error && terminal->next_expires == 0)
        error = CB_E_HSM_RECORD;
    if (error)
        return error;
    terminal->key = terminal->next_key;
    terminal->expires = terminal->next_expires;
    terminal->next_key = (cb_digest){{0}};
    terminal->next_expires = 0;
    error = cb_row_terminal_promote(txn, &terminal->id);
    return error ? error : write_leaf(txn, "terminal.renewed", terminal);
}

cb_error cb_terminal_promote(cb_store *store, const cb_digest *key, cb_terminal *terminal)
{
    promote p = {key, terminal};
    return cb_act_write(store, run_promote, &p, CB_WRITE_ORDINARY);
}
