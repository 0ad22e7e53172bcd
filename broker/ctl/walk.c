/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lists that come in pages.
 */
#include <string.h>

#include "broker/ctl/http.h"

enum {
    PAGE = 500 /* objects a page: leaves and enrolments are at most 16 kB, so that it stays below
                  CB_CTL_ANSWER_MAX */
};

static cb_ctl_status visit(json_t *page, const char *list,
                           cb_ctl_status (*each)(void *context, json_t *item), void *context)
{
    cb_ctl_status status = CB_CTL_DONE;
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(page, list), index, item)
    {
        if (!status)
            status = each(context, item);
    }
    return status;
}

/* The path of the page that follows "after". */
static void page_path(cb_buf *out, const char *path, const char *after)
{
    cb_buf_reset(out);
    cb_buf_printf(out, "%s%climit=%d", path, strchr(path, '?') ? '&' : '?', PAGE);
    if (*after)
        cb_ctl_path(out, "&after=%s", after);
}

cb_ctl_status cb_ctl_walk(cb_ctl *ctl, const char *path, const char *list,
                          cb_ctl_status (*each)(void *context, json_t *item), void *context)
{
    cb_buf url = CB_BUF(CB_CTL_PATH_MAX);
    char after[128] = "";
    cb_ctl_status status = CB_CTL_DONE;
    bool more = true;
    while (!status && more) {
        json_t *page = NULL;
        page_path(&url, path, after);
        const char *asked = cb_buf_cstr(&url);
        status =
            asked ? cb_ctl_call(ctl, "GET", asked, NULL, &page)
                  : cb_ctl_fail(ctl, cb_buf_error(&url) ? cb_buf_error(&url) : CB_E_MEMORY, NULL);
        if (!status && !json_is_array(json_object_get(page, list)))
            status =
                cb_ctl_fail(ctl, CB_E_PROTOCOL, "the answer is not the list that was asked for");
        if (!status)
            status = visit(page, list, each, context);
        const char *next = json_string_value(json_object_get(page, "next"));
        more = next && *next;
        /* A page that points at itself would never end. */
        if (!status && more && (strlen(next) >= sizeof after || strcmp(next, after) == 0))
            status = cb_ctl_fail(ctl, CB_E_PROTOCOL, "the list does not go on");
        else if (more)
            snprintf(after, sizeof after, "%s", next);
        json_decref(page);
    }
    cb_buf_free(&url);
    return status;
}

typedef struct collection {
    cb_ctl *ctl;
    json_t *items;
    size_t max;
} collection;

static cb_ctl_status keep(void *context, json_t *item)
{
    collection *into = context;
    if (into->max && json_array_size(into->items) >= into->max)
        return CB_CTL_DONE;
    if (json_array_append(into->items, item) != 0)
        return cb_ctl_fail(into->ctl, CB_E_MEMORY, NULL);
    return CB_CTL_DONE;
}

cb_ctl_status cb_ctl_collect(cb_ctl *ctl, const char *path, const char *list, size_t max,
                             json_t **out)
{
    collection into = {ctl, json_array(), max};
    *out = into.items;
    if (!into.items)
        return cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    return cb_ctl_walk(ctl, path, list, keep, &into);
}
