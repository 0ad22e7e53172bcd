/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/audit.h"

#include "base/leaf.h"
#include "base/text.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/resolve.h"

enum { PAGE = 500 /* a leaf is at most 16 kB as hexadecimal: half of CB_CTL_ANSWER_MAX */ };

/* The array of one page; *page is the caller's. */
static cb_error get_page(cb_ctl *ctl, const char *what, uint64_t from, unsigned count,
                         json_t **page)
{
    char path[128];
    count = count == 0 || count > PAGE ? PAGE : count;
    snprintf(path, sizeof path, "/v1/audit/%s?from=%llu&count=%u", what, (unsigned long long)from,
             count);
    if (cb_ctl_call(ctl, "GET", path, NULL, page))
        return CB_E_IO;
    if (json_is_array(json_object_get(*page, what)))
        return CB_OK;
    cb_ctl_fail(ctl, CB_E_PROTOCOL, "the answer is not a part of the record");
    return CB_E_PROTOCOL;
}

/* A page that goes back would be read for ever. */
static cb_error visit_leaf(cb_ctl *ctl, const json_t *item, uint64_t from, cb_leaf_visitor each,
                           void *context)
{
    cb_buf data = CB_BUF(CB_LEAF_MAX);
    cb_log_leaf leaf = {.position =
                            (uint64_t)json_integer_value(json_object_get(item, "position"))};
    cb_error error = CB_E_PROTOCOL;
    if (!json_is_integer(json_object_get(item, "position")) || leaf.position < from ||
        cb_ctl_unhex_field(item, "data", &data) ||
        cb_unhex_exact(cb_ctl_text_field(item, "hash"), leaf.hash.bytes, sizeof leaf.hash.bytes)) {
        cb_ctl_fail(ctl, error, "a leaf is not as a leaf should be");
    } else {
        leaf.data = cb_buf_bytes(&data);
        error = each(context, &leaf);
    }
    cb_buf_free(&data);
    return error;
}

static cb_error visit_head(cb_ctl *ctl, const json_t *item, cb_head_visitor each, void *context)
{
    cb_signed_head head = {.head.size = (uint64_t)json_integer_value(json_object_get(item, "size")),
                           .time = json_integer_value(json_object_get(item, "time_us"))};
    if (json_is_integer(json_object_get(item, "size")) &&
        json_is_integer(json_object_get(item, "time_us")) &&
        !cb_unhex_exact(cb_ctl_text_field(item, "root"), head.head.root.bytes,
                        sizeof head.head.root.bytes) &&
        !cb_unhex_exact(cb_ctl_text_field(item, "signature"), head.signature,
                        sizeof head.signature))
        return each(context, &head);
    cb_ctl_fail(ctl, CB_E_PROTOCOL, "a signed head is not as a head should be");
    return CB_E_PROTOCOL;
}

cb_error cb_ctl_audit_leaves(cb_ctl *ctl, uint64_t from, unsigned count, cb_leaf_visitor each,
                             void *context)
{
    json_t *page = NULL, *item;
    size_t index;
    cb_error error = get_page(ctl, "leaves", from, count, &page);
    json_array_foreach(json_object_get(page, "leaves"), index, item)
    {
        if (!error)
            error = visit_leaf(ctl, item, from, each, context);
    }
    json_decref(page);
    return error;
}

cb_error cb_ctl_audit_heads(cb_ctl *ctl, uint64_t from, unsigned count, cb_head_visitor each,
                            void *context)
{
    json_t *page = NULL, *item;
    size_t index;
    cb_error error = get_page(ctl, "heads", from, count, &page);
    json_array_foreach(json_object_get(page, "heads"), index, item)
    {
        if (!error)
            error = visit_head(ctl, item, each, context);
    }
    json_decref(page);
    return error;
}
