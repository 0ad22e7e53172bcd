/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/resolve.h"

#include <string.h>

const char *cb_ctl_text_field(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

cb_ctl_status cb_ctl_need_id(cb_ctl *ctl, const char *text, const char *what, cb_id *out)
{
    if (cb_id_parse(text, out) == CB_OK)
        return CB_CTL_DONE;
    return cb_ctl_misuse(ctl, "\"%s\" is not the identifier of %s; the list command shows them",
                         text, what);
}

cb_ctl_status cb_ctl_need_service(cb_ctl *ctl, const char *text)
{
    if (cb_service_name_ok(text))
        return CB_CTL_DONE;
    return cb_ctl_misuse(
        ctl,
        "\"%s\" is not a service's name: lower-case letters, digits and -, at most %d characters",
        text, CB_SERVICE_NAME_MAX);
}

cb_ctl_status cb_ctl_id_field(cb_ctl *ctl, const json_t *object, const char *name, cb_id *out)
{
    if (cb_id_parse(cb_ctl_text_field(object, name), out) == CB_OK)
        return CB_CTL_DONE;
    return cb_ctl_fail(ctl, CB_E_PROTOCOL, "an identifier is missing in cardbrokerd's answer");
}

typedef struct search {
    cb_ctl *ctl;
    const char *name;
    bool live; /* none that is revoked or disposed of */
    cb_id found;
    unsigned count;
} search;

static bool is_over(const char *state)
{
    return strcmp(state, "revoked") == 0 || strcmp(state, "disposed") == 0;
}

static cb_ctl_status compare(void *context, json_t *item)
{
    search *s = context;
    cb_id id;
    if (strcmp(cb_ctl_text_field(item, "name"), s->name) != 0 ||
        (s->live && is_over(cb_ctl_text_field(item, "state"))))
        return CB_CTL_DONE;
    cb_ctl_status status = cb_ctl_id_field(s->ctl, item, "id", &id);
    if (status)
        return status;
    if (s->count == 1) {
        char text[CB_ID_TEXT];
        cb_id_text(&s->found, text);
        cb_ctl_note(s->ctl, "%s", text);
    }
    if (s->count >= 1)
        cb_ctl_note(s->ctl, "%s", cb_ctl_text_field(item, "id"));
    s->found = id;
    s->count++;
    return CB_CTL_DONE;
}

static cb_ctl_status find(cb_ctl *ctl, const char *path, const char *list, bool live,
                          const char *text, const char *what, cb_id *out)
{
    search s = {.ctl = ctl, .name = text, .live = live};
    if (cb_id_parse(text, out) == CB_OK)
        return CB_CTL_DONE;
    cb_ctl_status status = cb_ctl_walk(ctl, path, list, compare, &s);
    if (status)
        return status;
    *out = s.found;
    if (s.count == 1)
        return CB_CTL_DONE;
    cb_ctl_fail(ctl, s.count ? CB_E_ARGUMENT : CB_E_NOT_FOUND, NULL);
    cb_ctl_note(ctl,
                s.count ? "More than one %s is called \"%s\" (above): give the identifier."
                        : "No %s is called \"%s\".",
                what, text);
    return CB_CTL_FAILED;
}

cb_ctl_status cb_ctl_find_holder(cb_ctl *ctl, const char *text, cb_id *out)
{
    return find(ctl, "/v1/holders", "holders", false, text, "holder", out);
}

cb_ctl_status cb_ctl_find_terminal(cb_ctl *ctl, const char *text, cb_id *out)
{
    return find(ctl, "/v1/terminals", "terminals", true, text, "terminal that is not revoked", out);
}
