/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/software.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/act.h"
#include "broker/core/said.h"

static const char *const names[] = {"", "listed", "unlisted", "unsaid", "altered"};

const char *cb_software_standing_name(uint8_t standing)
{
    return standing < sizeof names / sizeof *names ? names[standing] : "";
}

/* ---- The list ---- */

typedef struct write_entry {
    cb_act act;
    cb_software_entry entry;
} write_entry;

static cb_error run_add(cb_txn *txn, void *context)
{
    const write_entry *write = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "software.added", &write->act);
    cb_said_software(&leaf, &write->entry);
    cb_error error = cb_row_software_put(txn, &write->entry);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_software_add(cb_store *store, const char *actor, const cb_software_new *fresh,
                         cb_software_entry *out)
{
    static const cb_digest none;
    write_entry write = {.act = {.actor = actor, .time = cb_clock_wall_us()}};
    cb_software_entry *entry = &write.entry;
    bool good = !cb_act_check(actor, NULL) && fresh->version &&
                cb_software_version_ok(fresh->version) && fresh->program &&
                memcmp(fresh->program, &none, sizeof none) != 0 &&
                (!fresh->note || cb_name_ok(fresh->note)) && fresh->since >= 0 &&
                fresh->until >= 0 && (!fresh->until || fresh->since < fresh->until);
    if (!good)
        return CB_E_ARGUMENT;
    *entry = (cb_software_entry){.id = cb_id_new(),
                                 .what.program = *fresh->program,
                                 .any_config = !fresh->config,
                                 .since = fresh->since,
                                 .until = fresh->until,
                                 .created = write.act.time};
    memcpy(entry->what.version, fresh->version, strlen(fresh->version) + 1);
    if (fresh->config)
        entry->what.config = *fresh->config;
    if (fresh->note)
        memcpy(entry->note, fresh->note, strlen(fresh->note) + 1);
    cb_error error = cb_act_write(store, run_add, &write, CB_WRITE_ORDINARY);
    if (!error && out)
        *out = *entry;
    return error;
}

static cb_error run_remove(cb_txn *txn, void *context)
{
    write_entry *write = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "software.removed", &write->act);
    cb_leaf_id(&leaf, "software", &write->entry.id);
    cb_error error = cb_row_software_remove(txn, &write->entry.id);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_software_remove(cb_store *store, const char *actor, const cb_id *id, const char *reason)
{
    write_entry write = {.act = {.actor = actor, .reason = reason, .time = cb_clock_wall_us()},
                         .entry.id = *id};
    if (cb_act_check(actor, reason))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_remove, &write, CB_WRITE_URGENT);
}

typedef struct list_software {
    const cb_id *after;
    unsigned limit;
    cb_software_visitor each;
    void *context;
} list_software;

static cb_error run_list(cb_txn *txn, void *context)
{
    const list_software *list = context;
    return cb_row_software_each(txn, list->after, list->limit, list->each, list->context);
}

cb_error cb_software_list(cb_store *store, const cb_id *after, unsigned limit,
                          cb_software_visitor each, void *context)
{
    list_software list = {after, limit, each, context};
    return cb_store_read(store, run_list, &list);
}

/* ---- How a terminal stands ---- */

typedef struct search {
    cb_txn *txn;
    int64_t now;
    bool listed, altered;
} search;

/* An entry that the log does not have is none. */
static cb_error look_at(void *context, const cb_software_entry *entry)
{
    search *s = context;
    bool in_time = s->now >= entry->since && (!entry->until || s->now < entry->until);
    if (s->listed || !in_time)
        return CB_OK;
    cb_error error = cb_said_of_software(s->txn, entry);
    s->listed = error == CB_OK;
    s->altered |= error == CB_E_HSM_RECORD;
    return CB_OK;
}

/* What seems altered is a way to stand, once that is sure. */
static cb_error unless_asked_again(const cb_txn *txn)
{
    return cb_txn_is_asked_again(txn) ? CB_E_HSM_RECORD : CB_OK;
}

static cb_error stand(cb_txn *txn, const cb_id *terminal, cb_terminal_software *said,
                      uint8_t *standing)
{
    search s = {.txn = txn, .now = cb_clock_wall_us()};
    *standing = CB_SOFTWARE_UNSAID;
    cb_error error = cb_row_terminal_software_get(txn, terminal, said);
    if (error || !said->what.version[0])
        return error;
    *standing = CB_SOFTWARE_ALTERED;
    error = cb_said_of_program(txn, terminal, &said->what);
    if (error)
        return error == CB_E_HSM_RECORD ? unless_asked_again(txn) : error;
    error = cb_row_software_match(txn, &said->what, look_at, &s);
    *standing = s.listed ? CB_SOFTWARE_LISTED : CB_SOFTWARE_UNLISTED;
    return error || s.listed || !s.altered ? error : unless_asked_again(txn);
}

cb_error cb_still_software(cb_txn *txn, const cb_id *terminal)
{
    uint8_t standing;
    cb_terminal_software said;
    if (cb_txn_software_policy(txn) != CB_SOFTWARE_ENFORCE)
        return CB_OK;
    cb_error error = stand(txn, terminal, &said, &standing);
    return error ? error : standing == CB_SOFTWARE_LISTED ? CB_OK : CB_E_TERMINAL_SOFTWARE;
}

typedef struct look {
    const cb_id *terminal;
    cb_terminal_software said;
    uint8_t standing;
    bool news;
} look;

static cb_error run_look(cb_txn *txn, void *context)
{
    look *l = context;
    cb_error error = stand(txn, l->terminal, &l->said, &l->standing);
    l->news = strcmp(l->said.finding, names[l->standing]) != 0;
    return error;
}

cb_error cb_software_of(cb_store *store, const cb_id *terminal, cb_terminal_software *out,
                        uint8_t *standing)
{
    look l = {.terminal = terminal};
    bool known = cb_store_checked(store, cb_deadline_in(0)) == CB_OK;
    cb_error error = cb_store_read_said(store, run_look, &l);
    *out = l.said;
    *standing = known ? l.standing : 0;
    return error;
}

/* Looked at again, for it may have been written down meanwhile. That all is well is worth a leaf
 * only after it was not. */
static cb_error run_found(cb_txn *txn, void *context)
{
    look *l = context;
    cb_error error = run_look(txn, context);
    bool fresh = l->standing == CB_SOFTWARE_LISTED && !l->said.finding[0];
    if (error || !l->news)
        return error;
    snprintf(l->said.finding, sizeof l->said.finding, "%s", names[l->standing]);
    cb_act act = {.actor = "broker", .time = cb_clock_wall_us()};
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "terminal.software_found", &act);
    cb_leaf_id(&leaf, "terminal", l->terminal);
    cb_leaf_text(&leaf, "found", names[l->standing]);
    error = cb_row_terminal_software_set(txn, l->terminal, &l->said);
    if (!error && !fresh)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static void write_down(cb_store *store, look *l)
{
    char terminal[CB_ID_TEXT];
    cb_change change = {.run = run_found, .context = l, .urgency = CB_WRITE_DUE};
    cb_id_text(l->terminal, terminal);
    cb_error error = cb_store_write(store, &change);
    if (error)
        cb_log_failure("terminal.software", error,
                       "how a terminal's software stands could not be written down");
    if (l->standing == CB_SOFTWARE_LISTED)
        cb_log(CB_LOG_INFO, "terminal.software", "A terminal runs software that is on the list.",
               "terminal", terminal, "found", names[l->standing], NULL);
    else
        cb_log(CB_LOG_WARNING, "terminal.software",
               "A terminal runs software that is not on the list, or has not said what it runs.",
               "terminal", terminal, "found", names[l->standing], "version", l->said.what.version,
               NULL);
}

cb_error cb_software_admit(cb_store *store, const cb_id *terminal)
{
    look l = {.terminal = terminal};
    uint8_t policy = cb_store_software_policy(store);
    if (policy == CB_SOFTWARE_OFF)
        return CB_OK;
    cb_error error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
    if (!error)
        error = cb_store_read_said(store, run_look, &l);
    if (!error && l.news)
        write_down(store, &l);
    if (policy != CB_SOFTWARE_ENFORCE)
        return CB_OK;
    return error ? error : l.standing == CB_SOFTWARE_LISTED ? CB_OK : CB_E_TERMINAL_SOFTWARE;
}

/* ---- What a terminal says ---- */

static bool same(const cb_software *a, const cb_software *b)
{
    return strcmp(a->version, b->version) == 0 &&
           memcmp(&a->program, &b->program, sizeof a->program) == 0 &&
           memcmp(&a->config, &b->config, sizeof a->config) == 0;
}

/* What is as it was is not said again, unless the log's word about it was taken back. */
static cb_error keep(cb_txn *txn, const cb_id *terminal, const cb_software *what, int64_t started,
                     int64_t now)
{
    cb_terminal_software row;
    cb_act act = {.actor = "terminal", .time = now};
    cb_error error = cb_row_terminal_software_get(txn, terminal, &row);
    if (error)
        return error;
    bool known = same(&row.what, what) && cb_said_of_program(txn, terminal, what) == CB_OK;
    row.what = *what;
    row.started = started;
    row.received = now;
    error = cb_row_terminal_software_set(txn, terminal, &row);
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "terminal.software", &act);
    cb_said_program(&leaf, terminal, what);
    if (!error && !known)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_software_said(cb_txn *txn, const cb_id *terminal, cb_bytes entries, int64_t now)
{
    bool said = false;
    int64_t started = 0;
    cb_software what;
    cb_journal_entry entry;
    cb_journal_head head = {0};
    cb_cursor from = cb_cursor_over(entries);
    while (from.rest.len > 0 && cb_journal_take(&from, &entry, &head) == CB_OK) {
        if (entry.event != CB_JOURNAL_STARTED)
            continue;
        said = true;
        started = entry.time;
        cb_software_read(entry.text, &what); /* one that cannot be read is on no list */
    }
    return said ? keep(txn, terminal, &what, started, now) : CB_OK;
}
