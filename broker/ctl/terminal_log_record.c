/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/terminal_log_record.h"

#include <stdio.h>
#include <string.h>

#include "base/leaf.h"
#include "base/text.h"
#include "broker/ctl/audit.h"
#include "broker/ctl/http.h"
#include "broker/ctl/resolve.h"
#include "broker/ctl/output.h"

enum { PAGE = 500, VALUE_MAX = 80 };

static const char *const compared[] = {"part", "last", "hash", "entries_sha256"};
enum { COMPARED = sizeof compared / sizeof *compared };

typedef struct comparison {
    cb_ctl *ctl;
    const char *terminal;
    uint64_t leaves;
    const json_t *batches;
    size_t next;      /* of the batches */
    uint64_t at;      /* of the leaves */
    uint64_t seen;    /* of this page */
    bool more;        /* leaves than batches */
    json_t *position; /* of the first of those */
    cb_ctl_status (*found)(void *context, const json_t *at, const char *what);
    void *context;
    cb_ctl_status status;
} comparison;

json_t *cb_ctl_log_batch(const json_t *batch, cb_bytes entries)
{
    char part[24], last[24], digest[2 * CB_SHA256_SIZE + 1];
    cb_digest sum = cb_sha256(entries);
    cb_hex(cb_digest_bytes(&sum), digest);
    snprintf(part, sizeof part, "%lld",
             (long long)json_integer_value(json_object_get(batch, "part")));
    snprintf(last, sizeof last, "%lld",
             (long long)json_integer_value(json_object_get(batch, "last")));
    return json_pack("{s:s,s:s,s:s,s:s,s:O}", "part", part, "last", last, "hash",
                     cb_ctl_text_field(batch, "hash"), "entries_sha256", digest, "at",
                     json_object_get(batch, "at"));
}

static bool says(cb_bytes leaf, const char *name, const char *value)
{
    char text[VALUE_MAX];
    return cb_leaf_find_text(leaf, name, text, sizeof text) == CB_OK && strcmp(text, value) == 0;
}

static cb_error look(void *context, const cb_log_leaf *leaf)
{
    comparison *c = context;
    c->at = leaf->position + 1;
    c->seen++;
    if (!says(leaf->data, "kind", "terminal.log") || !says(leaf->data, "terminal", c->terminal))
        return CB_OK;
    json_t *batch = json_array_get(c->batches, c->next);
    c->next += batch != NULL;
    if (!batch && !c->more && leaf->position < c->leaves) {
        c->more = true;
        c->position = json_integer((json_int_t)leaf->position);
    }
    bool same = true;
    for (size_t i = 0; batch && i < COMPARED; i++)
        same = same && says(leaf->data, compared[i], cb_ctl_text_field(batch, compared[i]));
    if (!same && !c->status)
        c->status = c->found(c->context, json_object_get(batch, "at"),
                             "the record has another batch in its place");
    return c->status ? CB_E_INTERNAL : CB_OK;
}

cb_ctl_status cb_ctl_log_leaves(cb_ctl *ctl, uint64_t *leaves)
{
    json_t *status = NULL;
    cb_ctl_status result = cb_ctl_call(ctl, "GET", "/v1/status", NULL, &status);
    *leaves =
        (uint64_t)json_integer_value(json_object_get(json_object_get(status, "store"), "leaves"));
    json_decref(status);
    return result;
}

cb_ctl_status
cb_ctl_log_compare(cb_ctl *ctl, const char *terminal, uint64_t leaves, const json_t *batches,
                   cb_ctl_status (*found)(void *context, const json_t *at, const char *what),
                   void *context)
{
    comparison c = {.ctl = ctl,
                    .terminal = terminal,
                    .leaves = leaves,
                    .batches = batches,
                    .found = found,
                    .context = context};
    cb_error error;
    do {
        c.seen = 0;
        error = cb_ctl_audit_leaves(ctl, c.at, PAGE, look, &c);
    } while (!error && c.seen > 0);
    if (error && !c.status)
        c.status = error == CB_E_IO ? CB_CTL_UNREACHABLE : CB_CTL_FAILED;
    if (!c.status && c.more)
        c.status = found(context, c.position, "the record has a batch that is not there");
    if (!c.status && c.next < json_array_size(batches))
        c.status = found(context, json_object_get(json_array_get(batches, c.next), "at"),
                         "it is not in the record");
    json_decref(c.position);
    return c.status;
}
