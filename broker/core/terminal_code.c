/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Activation of a terminal by a one-time code.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "broker/core/act.h"
#include "broker/core/said.h"
#include "broker/core/state.h"
#include "broker/core/terminal_parts.h"

/* The terminal's identifier is in it, so that one guess is a guess at one terminal. */
static cb_digest hash_of(const cb_id *terminal, const char symbols[CB_CODE_SYMBOLS])
{
    static const char domain[] = "cardbroker activation code 1";
    return cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(domain), cb_id_bytes(terminal),
                                        cb_bytes_make(symbols, CB_CODE_SYMBOLS)},
                           3);
}

/* ---- Making codes ---- */

cb_error cb_terminal_code_make(int64_t seconds, cb_terminal_code *out)
{
    if (seconds < 1 || seconds > CB_TERMINAL_CODE_SECONDS_MAX)
        return CB_E_ARGUMENT;
    cb_code_make(out->text);
    out->expires = cb_clock_wall_us() + seconds * CB_SECOND;
    return CB_OK;
}

cb_error cb_terminal_code_write(cb_txn *txn, const cb_act *act, const cb_id *terminal,
                                const cb_terminal_code *code)
{
    char symbols[CB_CODE_SYMBOLS];
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_terminal_code_row row = {.expires = code->expires, .tries = CB_TERMINAL_CODE_TRIES};
    cb_error error = cb_code_read(cb_bytes_str(code->text), symbols);
    row.hash = hash_of(terminal, symbols);
    cb_wipe(symbols, sizeof symbols);
    cb_act_leaf(&leaf, "terminal.code", act);
    cb_leaf_id(&leaf, "terminal", terminal);
    cb_said_code(&leaf, &row);
    if (!error)
        error = cb_row_code_set(txn, terminal, &row);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

typedef struct set_code {
    cb_act act;
    const cb_id *id;
    const cb_terminal_code *code;
} set_code;

static cb_error run_set(cb_txn *txn, void *context)
{
    const set_code *set = context;
    cb_terminal terminal;
    cb_error error = cb_row_terminal_get(txn, set->id, &terminal);
    if (!error && terminal.state != CB_TERMINAL_REGISTERED)
        error = CB_E_STATE;
    return error ? error : cb_terminal_code_write(txn, &set->act, set->id, set->code);
}

cb_error cb_terminal_code_set(cb_store *store, const char *actor, const cb_id *id,
                              const cb_terminal_code *code)
{
    set_code set = {.act = {.actor = actor, .time = cb_clock_wall_us()}, .id = id, .code = code};
    if (cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_set, &set, CB_WRITE_ORDINARY);
}

/* ---- Trying them ---- */

typedef struct attempt {
    const char *name;
    const char *code;
    const cb_digest *key;
    cb_id terminal;
    bool done;
    bool counted;
    cb_error judgement;
} attempt;

static bool is_good(const cb_terminal_code_row *row)
{
    return row->tries > 0 && cb_clock_wall_us() < row->expires;
}

/* Whether this is the code. A wrong one counts, while the code is good. The key that was let in
 * with it may ask again also afterwards: the answer may have been lost, and nobody can make another
 * code for a terminal that is active. */
static cb_error compare(cb_txn *txn, attempt *a, const cb_terminal *terminal,
                        cb_terminal_code_row *row)
{
    cb_digest hash = hash_of(&terminal->id, a->code);
    bool right = cb_equal(cb_digest_bytes(&hash), cb_digest_bytes(&row->hash));
    bool good = is_good(row);
    bool registered = good && terminal->state == CB_TERMINAL_REGISTERED;
    a->terminal = terminal->id;
    a->done = terminal->state == CB_TERMINAL_ACTIVE &&
              memcmp(&terminal->key, a->key, sizeof *a->key) == 0;
    a->judgement = right && (registered || a->done) ? CB_OK : CB_E_ACTIVATION;
    if (right || !good)
        return CB_OK;
    row->tries--;
    a->counted = true;
    return cb_row_code_set(txn, &terminal->id, row);
}

/* The code of the terminal of that name, good or not; CB_E_NOT_FOUND. */
static cb_error find(cb_txn *txn, const char *name, cb_terminal *terminal,
                     cb_terminal_code_row *row)
{
    cb_error error = cb_row_terminal_named(txn, name, terminal);
    return error ? error : cb_row_code_get(txn, &terminal->id, row);
}

static cb_error run_known(cb_txn *txn, void *context)
{
    attempt *a = context;
    cb_terminal terminal;
    cb_terminal_code_row row;
    cb_error error = find(txn, a->name, &terminal, &row);
    if (!error) { /* used up and late ones, too: the key that was let in asks again with it */
        cb_digest hash = hash_of(&terminal.id, a->code);
        a->done = cb_equal(cb_digest_bytes(&hash), cb_digest_bytes(&row.hash));
    }
    return error == CB_E_NOT_FOUND ? CB_OK : error;
}

cb_error cb_terminal_code_known(cb_store *store, const char *name,
                                const char code[CB_CODE_SYMBOLS], bool *right)
{
    attempt a = {.name = name, .code = code};
    cb_error error = cb_store_read(store, run_known, &a);
    *right = a.done;
    return error;
}

static cb_error run_try(cb_txn *txn, void *context)
{
    attempt *a = context;
    cb_terminal terminal;
    cb_terminal_code_row row;
    a->judgement = CB_E_ACTIVATION;
    a->done = a->counted = false;
    cb_error error = find(txn, a->name, &terminal, &row);
    if (!error)
        error = compare(txn, a, &terminal, &row);
    return error == CB_E_NOT_FOUND ? CB_OK : error;
}

cb_error cb_terminal_code_try(cb_store *store, const char *name, const char code[CB_CODE_SYMBOLS],
                              const cb_digest *key, cb_id *terminal, bool *done)
{
    char id[CB_ID_TEXT];
    attempt a = {.name = name, .code = code, .key = key};
    cb_change change = {.run = run_try, .context = &a, .urgency = CB_WRITE_ORDINARY};
    cb_error error = cb_store_write(store, &change);
    *terminal = a.terminal;
    *done = a.done;
    if (!error && a.counted) {
        cb_id_text(&a.terminal, id);
        cb_log(CB_LOG_WARNING, "terminal.code_wrong", "A wrong activation code was tried.",
               "terminal", id, NULL);
    }
    return error ? error : a.judgement;
}

/* ---- Activating ---- */

/* The row becomes what it is to be; the log says so in the same transaction. */
static cb_error let_in(cb_txn *txn, const cb_terminal_activation *activation, cb_terminal *terminal)
{
    cb_act act = {.actor = "activation", .time = cb_clock_wall_us()};
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_error error = cb_terminal_next(terminal->state, CB_TERMINAL_ACTIVATE, &terminal->state);
    terminal->key = activation->key;
    terminal->expires = activation->expires;
    cb_act_leaf(&leaf, "terminal.activated", &act);
    cb_said_terminal(&leaf, terminal);
    if (!error)
        error = cb_row_terminal_state(txn, &terminal->id, terminal->state, act.time);
    if (!error)
        error = cb_row_terminal_key(txn, terminal, activation->certificate);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error run_activate(cb_txn *txn, void *context)
{
    const cb_terminal_activation *activation = context;
    cb_terminal terminal;
    cb_terminal_code_row row;
    cb_error error = cb_row_terminal_get(txn, &activation->terminal, &terminal);
    if (!error)
        error = cb_row_code_get(txn, &terminal.id, &row);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_ACTIVATION : error;
    cb_digest hash = hash_of(&terminal.id, activation->code);
    if (!cb_equal(cb_digest_bytes(&hash), cb_digest_bytes(&row.hash)))
        return CB_E_ACTIVATION;
    /* The same request, twice at a time; the code may have ended meanwhile. */
    if (terminal.state == CB_TERMINAL_ACTIVE &&
        memcmp(&terminal.key, &activation->key, sizeof terminal.key) == 0)
        return CB_OK;
    if (terminal.state != CB_TERMINAL_REGISTERED || !is_good(&row))
        return CB_E_ACTIVATION;
    error = cb_said_of_terminal(txn, &terminal);
    if (!error)
        error = cb_said_of_code(txn, &terminal.id, &row);
    return error ? error : let_in(txn, activation, &terminal);
}

cb_error cb_terminal_activate(cb_store *store, const cb_terminal_activation *activation)
{
    cb_terminal_activation copy = *activation;
    return cb_act_write(store, run_activate, &copy, CB_WRITE_ORDINARY);
}
