/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading the record.
 */
#include "broker/ctl/audit.h"

#include <string.h>

#include "base/leaf.h"
#include "base/text.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

enum { PAGE = 500, COUNT_DEFAULT = 100 };

/* Options that ask for leaves with a field of that name and value. */
static const char *const filters[] = {"holder", "card", "terminal", "service", "enrolment", "tap"};
enum { FILTERS = sizeof filters / sizeof filters[0] };

typedef struct listing {
    cb_ctl *ctl;
    const cb_ctl_args *args;
    uint64_t next; /* position to read from */
    uint64_t left; /* leaves still wanted */
    uint64_t seen; /* of this page */
    json_t *found; /* NULL: lines are printed as they come */
} listing;

/* The value of a field of a leaf, as text that lives until the next write to buf; "" when there is
 * none. */
static const char *value_of(cb_bytes leaf, const char *name, cb_buf *buf)
{
    cb_buf_reset(buf);
    if (cb_leaf_find(leaf, name, buf) || !cb_buf_cstr(buf))
        return "";
    return cb_buf_cstr(buf);
}

/* "card" asks for every kind that begins with "card."; "card.revoked" for that one. */
static bool is_kind(const char *kind, const char *wanted)
{
    size_t len = strlen(wanted);
    return strncmp(kind, wanted, len) == 0 && (kind[len] == 0 || kind[len] == '.');
}

static bool given_value(const cb_ctl_args *args, const char *option, const char *value)
{
    const char *wanted;
    for (unsigned i = 0; (wanted = cb_ctl_arg_at(args, option, i)); i++)
        if (strcmp(wanted, value) == 0)
            return true;
    return false;
}

static bool is_wanted(const listing *l, cb_bytes leaf)
{
    const char *kind = cb_ctl_arg(l->args, "kind");
    cb_buf value = CB_BUF(CB_LEAF_MAX);
    bool wanted = !kind || is_kind(value_of(leaf, "kind", &value), kind);
    for (unsigned i = 0; wanted && i < FILTERS; i++)
        if (cb_ctl_arg(l->args, filters[i]))
            wanted = given_value(l->args, filters[i], value_of(leaf, filters[i], &value));
    cb_buf_free(&value);
    return wanted;
}

/* Position, time, kind, and the other fields one after another. */
static void print_leaf(cb_ctl *ctl, const cb_log_leaf *leaf)
{
    cb_buf value = CB_BUF(CB_LEAF_MAX), line = CB_BUF(8 * CB_LEAF_MAX);
    cb_buf_printf(&line, "%8llu  ", (unsigned long long)leaf->position);
    cb_ctl_plain(&line, value_of(leaf->data, "time", &value));
    cb_buf_put_str(&line, "  ");
    cb_ctl_plain(&line, value_of(leaf->data, "kind", &value));
    cb_cursor rest = cb_cursor_over(leaf->data);
    for (unsigned number = 0; rest.rest.len; number++) {
        const uint8_t *end = memchr(rest.rest.data, '\n', rest.rest.len);
        cb_bytes text = cb_cursor_take(&rest, end ? (size_t)(end - rest.rest.data) : rest.rest.len);
        cb_cursor_take(&rest, rest.rest.len ? 1 : 0);
        if (number < 3 || (text.len > 8 && memcmp(text.data, "receipt ", 8) == 0))
            continue; /* what stands in front, and what only a program reads */
        cb_buf_reset(&value);
        cb_buf_put(&value, text);
        cb_buf_put_str(&line, "  ");
        cb_ctl_plain(&line, cb_buf_cstr(&value) ? cb_buf_cstr(&value) : "?");
    }
    fprintf(ctl->out, "%s\n", cb_buf_cstr(&line) ? cb_buf_cstr(&line) : "?");
    cb_buf_free(&value);
    cb_buf_free(&line);
}

static json_t *leaf_json(const cb_log_leaf *leaf)
{
    char hash[2 * CB_SHA256_SIZE + 1];
    cb_buf kind = CB_BUF(CB_LEAF_MAX), time = CB_BUF(CB_LEAF_MAX);
    cb_hex(cb_digest_bytes(&leaf->hash), hash);
    json_t *item =
        json_pack("{s:I,s:s,s:s,s:s#,s:s}", "position", (json_int_t)leaf->position, "time",
                  value_of(leaf->data, "time", &time), "kind", value_of(leaf->data, "kind", &kind),
                  "leaf", (const char *)leaf->data.data, (int)leaf->data.len, "hash", hash);
    cb_buf_free(&kind);
    cb_buf_free(&time);
    return item;
}

static cb_error show_leaf(void *context, const cb_log_leaf *leaf)
{
    listing *l = context;
    l->next = leaf->position + 1;
    l->seen++;
    if (l->left == 0 || !is_wanted(l, leaf->data))
        return CB_OK;
    l->left--;
    if (!l->found) {
        print_leaf(l->ctl, leaf);
        return CB_OK;
    }
    json_t *item = leaf_json(leaf);
    if (item && json_array_append_new(l->found, item) == 0)
        return CB_OK;
    cb_ctl_fail(l->ctl, CB_E_FORMAT, "a leaf is not text: cardbrokerctl audit verify says more");
    return CB_E_FORMAT;
}

/* Where the last N leaves begin. */
static cb_ctl_status from_end(cb_ctl *ctl, uint64_t last, uint64_t *from)
{
    json_t *status = NULL;
    cb_ctl_status result = cb_ctl_call(ctl, "GET", "/v1/status", NULL, &status);
    json_int_t leaves =
        json_integer_value(json_object_get(json_object_get(status, "store"), "leaves"));
    *from = (uint64_t)leaves > last ? (uint64_t)leaves - last : 0;
    json_decref(status);
    return result;
}

static cb_ctl_status list(cb_ctl *ctl, const cb_ctl_args *args)
{
    listing l = {.ctl = ctl, .args = args, .left = COUNT_DEFAULT};
    uint64_t last = 0;
    if (cb_ctl_number(cb_ctl_arg(args, "from"), INT64_MAX, &l.next) ||
        cb_ctl_number(cb_ctl_arg(args, "count"), INT32_MAX, &l.left) ||
        cb_ctl_number(cb_ctl_arg(args, "last"), INT32_MAX, &last) ||
        (cb_ctl_arg(args, "from") && cb_ctl_arg(args, "last")))
        return cb_ctl_misuse(
            ctl,
            "--from, --count and --last are numbers, and --from and --last exclude each other");
    cb_ctl_status status = cb_ctl_arg(args, "last") ? from_end(ctl, last, &l.next) : CB_CTL_DONE;
    if (status)
        return status;
    l.found = ctl->json ? json_array() : NULL;
    cb_error error;
    do {
        l.seen = 0;
        error = cb_ctl_audit_leaves(ctl, l.next, PAGE, show_leaf, &l);
    } while (!error && l.seen > 0 && l.left > 0);
    status = error == CB_E_IO ? CB_CTL_UNREACHABLE : error ? CB_CTL_FAILED : CB_CTL_DONE;
    if (!status && l.found)
        status = cb_ctl_json(ctl, l.found);
    json_decref(l.found);
    return status;
}

static const cb_ctl_option list_options[] = {
    {"from", "N", "position to begin at (default 0)", false, false},
    {"last", "N", "begin N leaves before the end", false, false},
    {"count", "N", "most leaves to show (default 100)", false, false},
    {"kind", "KIND", "of this kind only: card.revoked, or card for all that begin so", false,
     false},
    {"holder", "ID", "that name this holder", false, true},
    {"card", "ID", "that name this card", false, true},
    {"terminal", "ID", "that name this terminal", false, true},
    {"service", "NAME", "that name this service", false, true},
    {"enrolment", "ID", "that name this enrolment", false, true},
    {"tap", "ID", "that name this tap", false, true},
    {0}};

static const cb_ctl_option verify_options[] = {
    {"log-key", "PEMFILE", "the log's public key: the auditor's own copy, taken when the log began",
     false, false},
    {"origin", "NAME", "the log's name (default: the configuration's)", false, false},
    {"database", "FILE", "the database, or a copy of it: its tables are compared, too", false, false},
    {0}};

const cb_ctl_command cb_ctl_audit_commands[] = {
    {"audit", "list", "", 0, 0, list_options, "Show what is on record", list},
    {"audit", "verify", "", 0, 0, verify_options,
     "Check the whole record, trusting nobody who keeps it", cb_ctl_audit_verify},
    {0}};
